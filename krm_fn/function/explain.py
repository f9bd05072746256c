"""Where every number of a plan comes from: term, formula, source, range. One line each."""

from collections.abc import Iterator
from dataclasses import dataclass

from krm_fn.function.facts import Facts
from krm_fn.function.launches import host_needs, pinned_bytes
from krm_fn.function.questions import question
from krm_fn.function.variant_facts import VariantFacts
from krm_fn.planner.layouts import legal
from krm_fn.planner.memory_terms import memory_terms
from krm_fn.planner.plan import Estimate, Plan
from krm_fn.planner.weights import active_parameters, checkpoint_bytes, parameters
from krm_fn.units import gib, milliseconds


@dataclass(frozen=True, kw_only=True)
class Line:
    """One number: what it is called in the plan, its value in words, how it came, whence."""

    section: str
    field: str
    value: str
    because: str
    source: str = ""

    @property
    def text(self) -> str:
        source = f"  [{self.source}]" if self.source else ""
        return f"  {self.field:<32} {self.value:<16} {self.because}{source}"


def explained(facts: Facts, plan: Plan) -> tuple[Line, ...]:
    """All lines of one variant's plan, in the order in which the planner decides."""
    variant = next(v for v in facts.modelled if v.name == plan.variant)
    return (
        *_facts(facts, variant),
        *_layout(facts, variant, plan),
        *_memory(facts, variant, plan),
        *_settings(plan),
        *(_speed(plan.estimate) if plan.estimate else ()),
        *_host(facts, variant, plan),
    )


def _facts(facts: Facts, variant: VariantFacts) -> Iterator[Line]:
    shape, gpu = facts.card.shape, facts.gpu
    asked = question(facts, variant)
    count, active = parameters(shape), active_parameters(shape)
    yield Line(
        section="facts",
        field="parameters",
        value=f"{count / 1e9:.2f} B",
        because=f"{active / 1e9:.2f} B of them active per token, from the shape of "
        f"{shape.architecture}",
        source=facts.card.source,
    )
    yield Line(
        section="facts",
        field="checkpoint",
        value=gib(checkpoint_bytes(asked)),
        because="what a pod downloads and reads",
        source="safetensors index" if facts.card.safetensors else "the shape",
    )
    yield Line(
        section="facts",
        field="gpu",
        value=gib(asked.pool.gpu_memory_bytes),
        because=f"{gpu.name}: memory as CUDA reports it, {gpu.bandwidth}, compute capability "
        f"{gpu.compute_capability}",
        source=f"{gpu.source}; confidence {gpu.confidence}",
    )


def _layout(facts: Facts, variant: VariantFacts, plan: Plan) -> Iterator[Line]:
    found = legal(question(facts, variant))
    names = ", ".join(str(layout) for layout in found[:8]) or "none"
    more = f" and {len(found) - 8} more" if len(found) > 8 else ""
    yield Line(
        section="layout",
        field="legal",
        value=str(len(found)),
        because=f"within a node and the share: {names}{more}",
        source="head, group and node rules of the engines (planner/layouts.py)",
    )
    yield from (
        Line(section="layout", field=r.field, value=str(r.value), because=r.because)
        for r in plan.reasons
        if r.field in ("parallelism", "replicas")
    )


def _memory(facts: Facts, variant: VariantFacts, plan: Plan) -> Iterator[Line]:
    for term in memory_terms(question(facts, variant), plan.parallelism, plan.serving):
        known = f" ({gib(term.low)} to {gib(term.high)})" if term.spread else ""
        yield Line(
            section="memory per GPU",
            field=term.field,
            value=term.text,
            because=term.formula + known,
            source=term.source,
        )


def _settings(plan: Plan) -> Iterator[Line]:
    for reason in plan.reasons:
        if reason.field.startswith("serving."):
            yield Line(
                section="settings",
                field=reason.field.removeprefix("serving."),
                value=str(reason.value),
                because=reason.because,
            )


def _speed(estimate: Estimate) -> Iterator[Line]:
    low, high = estimate.ttft_interval
    ttft, itl = estimate.ttft_seconds, estimate.itl_seconds
    yield Line(
        section="speed",
        field="ttft",
        value=milliseconds(ttft),
        because=f"{milliseconds(ttft * low)} to {milliseconds(ttft * high)}, at "
        f"{estimate.concurrency} requests at once",
        source=estimate.provenance,
    )
    low, high = estimate.itl_interval
    yield Line(
        section="speed",
        field="itl",
        value=milliseconds(itl),
        because=f"{milliseconds(itl * low)} to {milliseconds(itl * high)}; no GPU of this kind can "
        f"do better than {milliseconds(estimate.itl_floor_seconds)} (roofline)",
        source=estimate.provenance,
    )
    yield Line(
        section="speed",
        field="requests per second",
        value=f"{estimate.requests_per_second_per_replica:.3g}",
        because=f"per replica, bound by {estimate.bound}: concurrency / (ttft + output x itl)",
    )


def _host(facts: Facts, variant: VariantFacts, plan: Plan) -> Iterator[Line]:
    needs = host_needs(facts, variant, plan, question(facts, variant))
    storage = facts.service.spec.storage
    rates = f"download at {storage.download_bandwidth} + read at {storage.read_bandwidth}"
    start = f"2 x ({rates} + compile + graph capture), at least 900 s"
    stop = "the longest planned answer: ttft + 4 x output x itl, 30 s to 900 s"
    shared = f"per GPU of the pod ({variant.engine.shared_memory.source})"
    held = needs.shared_memory_bytes - variant.engine.shared_memory.bytes(plan.gpus_per_replica)
    shared += f", and {gib(held)} of offloaded KV cache" if held else ""
    cores = "2 + 2 per GPU; on a known node from half to all of the GPUs' share of it"
    pinned = pinned_bytes(question(facts, variant), plan)
    locked = f" + {gib(pinned)} of adapters and offloaded KV cache" if pinned else ""
    memory = f"4 GiB + 4 GiB per GPU + shared memory{locked}, at most the GPUs' share of the node"
    rows = (
        ("startup budget", f"{needs.startup_seconds} s", start),
        ("shutdown", f"{needs.shutdown_seconds} s", stop),
        ("shared memory", gib(needs.shared_memory_bytes), shared),
        ("cpu", f"{needs.cpu_cores:g} cores", cores),
        ("memory", gib(needs.memory_bytes), memory),
    )
    for field, value, because in rows:
        yield Line(
            section="pod", field=field, value=value, because=because, source="planner/host.py"
        )

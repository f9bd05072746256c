"""Where every number of a plan comes from: term, formula, source, range. One line each."""

from collections.abc import Iterator
from dataclasses import dataclass

from krm_fn.function.facts import Facts
from krm_fn.function.launches import host_needs, node_shape, pinned_bytes
from krm_fn.function.questions import question
from krm_fn.function.report import counted
from krm_fn.function.variant_facts import VariantFacts
from krm_fn.planner import host
from krm_fn.planner.layouts import legal
from krm_fn.planner.memory_term import count
from krm_fn.planner.memory_terms import memory_terms
from krm_fn.planner.plan import Plan
from krm_fn.planner.speed import speed
from krm_fn.planner.speed_terms import speed_terms
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
        *_speed(facts, variant, plan),
        *_host(facts, variant, plan),
    )


def _facts(facts: Facts, variant: VariantFacts) -> Iterator[Line]:
    shape, gpu = facts.card.shape, facts.gpu
    asked = question(facts, variant)
    whole, active = parameters(shape), active_parameters(shape)
    yield Line(
        section="facts",
        field="parameters",
        value=f"{whole / 1e9:.2f} B",
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


def _speed(facts: Facts, variant: VariantFacts, plan: Plan) -> Iterator[Line]:
    if plan.estimate is None:
        return
    asked = question(facts, variant)
    known = speed(asked, plan.parallelism, plan.serving, plan.memory)
    for term in speed_terms(asked, known, plan.estimate):
        yield Line(
            section="speed",
            field=term.field,
            value=term.text,
            because=f"{term.range}: {term.formula}" if term.range else term.formula,
            source=term.source,
        )


def _host(facts: Facts, variant: VariantFacts, plan: Plan) -> Iterator[Line]:
    for field, value, because, source in (
        _startup(facts, variant, plan),
        _shutdown(facts, variant, plan),
        _shared(facts, variant, plan),
        _cpu(facts, plan),
        _pod_memory(facts, variant, plan),
    ):
        yield Line(section="pod", field=field, value=value, because=because, source=source)


Row = tuple[str, str, str, str]
"""Field, value, formula with its numbers, source."""


def _startup(facts: Facts, variant: VariantFacts, plan: Plan) -> Row:
    asked, storage = question(facts, variant), facts.service.spec.storage
    size, layers = checkpoint_bytes(asked), len(asked.shape.layers)
    warm = f" + {host.COMPILE_SECONDS:g} s + {layers} layers x {host.CAPTURE_SECONDS_PER_LAYER:g} s"
    warm += " of compiling and capturing"
    formula = (
        f"2 x ({count(size)} B / {storage.download_bandwidth} + {count(size)} B / "
        f"{storage.read_bandwidth}{'' if plan.serving.enforce_eager else warm}), at least "
        f"{host.MIN_STARTUP_SECONDS} s, in steps of 30 s; half of it is expected"
    )
    needs = host_needs(facts, variant, plan, asked)
    source = "spec.storage; compiling and capturing as vLLM logs of 8B to 70B print (estimated)"
    return "startup budget", f"{needs.startup_seconds} s", formula, source


def _shutdown(facts: Facts, variant: VariantFacts, plan: Plan) -> Row:
    asked, speed = question(facts, variant), plan.estimate
    needs = host_needs(facts, variant, plan, asked)
    ttft, itl = (speed.ttft_seconds, speed.itl_seconds) if speed else (0.0, 0.0)
    answer = f"{host.ANSWER_FACTOR} x {asked.workload.output_tokens} tokens x {milliseconds(itl)}"
    formula = (
        f"the longest planned answer, {milliseconds(ttft)} + {answer}, in steps of 10 s, 30 s to "
        "900 s"
    )
    return "shutdown", f"{needs.shutdown_seconds} s", formula, "planner/host.py"


def _shared(facts: Facts, variant: VariantFacts, plan: Plan) -> Row:
    needs = host_needs(facts, variant, plan, question(facts, variant))
    rule, gpus = variant.engine.shared_memory, plan.gpus_per_replica
    held = needs.shared_memory_bytes - rule.bytes(gpus)
    formula = f"{gib(rule.base_bytes)} + {counted(gpus, 'GPU')} x {gib(rule.per_gpu_bytes)}"
    formula += f" + {gib(held)} of offloaded KV cache" if held else ""
    return "shared memory", gib(needs.shared_memory_bytes), formula, rule.source


def _cpu(facts: Facts, plan: Plan) -> Row:
    node, gpus = node_shape(facts), plan.gpus_per_replica
    modest = f"2 + 2 x {counted(gpus, 'GPU')} = {2 + 2 * gpus}"
    if node.cpu_cores is None:
        formula = f"{modest}; `gpuPool.node.cpu` is not stated"
    else:
        share = host.node_part(gpus, node) * node.cpu_cores
        part = f"{node.cpu_cores:g} cores x {host.NODE_SHARE:g} x {gpus} / {node.gpus} GPUs"
        formula = (
            f"{modest}, at least half and at most all of the GPUs' share of the node, {part} = "
            f"{share:.3g}, in steps of {host.LEAST_CORES:g}"
        )
    source = "vLLM asks for 2 + GPUs at least (docs/configuration/optimization.md, 0.19)"
    return "cpu", f"{host.cpu_cores(gpus, node):g} cores", formula, source


def _pod_memory(facts: Facts, variant: VariantFacts, plan: Plan) -> Row:
    asked, node = question(facts, variant), node_shape(facts)
    needs, gpus = host_needs(facts, variant, plan, asked), plan.gpus_per_replica
    pinned = pinned_bytes(asked, plan)
    locked = f" + {gib(pinned)} of adapters and offloaded KV cache" if pinned else ""
    formula = (
        f"{gib(host.LEAST_BYTES)} + {counted(gpus, 'GPU')} x {gib(host.LEAST_BYTES)} + "
        f"{gib(needs.shared_memory_bytes)} of shared memory{locked}"
    )
    if node.memory_bytes is not None:
        share = host.memory_share(gpus, node.memory_bytes, node)
        formula += f", at most the GPUs' share of the node, {gib(share)}"
    return "memory", gib(needs.memory_bytes), formula, "planner/host.py (estimated)"

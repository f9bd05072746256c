"""The plan in words: JSON for machines, LLMPlan beside the manifests, lines for people."""

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from posixpath import normpath
from shlex import quote
from typing import Any

from krm_fn.api import reference
from krm_fn.errors import Result, error, info
from krm_fn.function import compose
from krm_fn.function.facts import Facts
from krm_fn.function.intake import Request
from krm_fn.krm import Manifest, wire
from krm_fn.planner.plan import Alternative, Estimate, MemoryBudget, Plan
from krm_fn.targets.base import Rendering
from krm_fn.units import gib, milliseconds


def plan_json(plan: Plan) -> dict[str, Any]:
    """The object of `krm-fn plan -o json`; keys are an interface (docs: README, the plan)."""
    return {
        "service": plan.service,
        "variant": plan.variant,
        "engine": plan.engine,
        "engine_version": plan.engine_version,
        "feasible": plan.feasible,
        "parallelism": asdict(plan.parallelism),
        "gpus_per_replica": plan.gpus_per_replica,
        "replicas": plan.replicas,
        "max_replicas": plan.max_replicas,
        "memory": _memory(plan.memory),
        "serving": asdict(plan.serving),
        "estimate": _estimate(plan.estimate) if plan.estimate else None,
        "reasons": [asdict(reason) for reason in plan.reasons],
        "alternatives": [asdict(alternative) for alternative in plan.alternatives],
        "results": [wire(result) for result in plan.results],
    }


PARTS = ("lora_bytes", "draft_bytes")
"""Parts of the weights that stand in a plan only where they are asked for."""


def _memory(memory: MemoryBudget) -> dict[str, Any]:
    values = {k: v for k, v in asdict(memory).items() if v or k not in PARTS}
    return values | {"max_concurrency": round(memory.max_concurrency, 2)}


def _estimate(estimate: Estimate) -> dict[str, Any]:
    values = asdict(estimate)
    rounded = {k: _significant(v) if isinstance(v, float) else v for k, v in values.items()}
    return rounded | {
        "ttft_interval": list(estimate.ttft_interval),
        "itl_interval": list(estimate.itl_interval),
    }


def _significant(value: float) -> float:
    """Six digits: predictions have no more, and goldens must not depend on the last bit."""
    return float(f"{value:.6g}")


def failed_json(
    name: str, results: Iterable[Result], *, variant: str | None = None
) -> dict[str, Any]:
    """The object of a document that could not be planned at all."""
    empty = ("parallelism", "gpus_per_replica", "replicas", "max_replicas", "memory", "serving")
    return {
        "service": name,
        "variant": variant,
        "engine": None,
        "engine_version": None,
        "feasible": False,
        **dict.fromkeys((*empty, "estimate")),
        "reasons": [],
        "alternatives": [],
        "results": [wire(result) for result in results],
    }


def plan_document(facts: Facts, plans: Sequence[Plan], files: Mapping[str, str]) -> Manifest:
    """LLMPlan: why every number is what it is, and the hashes of what was generated."""
    return {
        "apiVersion": "krm-fn.dev/v1alpha1",
        "kind": "LLMPlan",
        "metadata": {
            "name": facts.service.metadata.name,
            "annotations": {"config.kubernetes.io/local-config": "true"},
        },
        "spec": {
            "model": {
                "id": facts.service.spec.model.id,
                "revision": facts.card.revision,
                "source": facts.card.source,
            },
            "gpu": {"name": facts.gpu.name, "source": facts.gpu.source},
            "variants": {plan.variant: _written(plan) for plan in plans},
            "files": dict(files),
        },
    }


def _written(plan: Plan) -> dict[str, Any]:
    values = plan_json(plan)
    for key in ("service", "variant", "alternatives", "results"):
        values.pop(key)
    return values


def why(plans: Sequence[Plan]) -> tuple[str, ...]:
    """Three lines for one service: layout, memory, speed."""
    plan = plans[0]
    memory, serving = plan.memory, plan.serving
    layout = (
        f"layout   {counted(plan.replicas, 'replica')} of {plan.parallelism} = "
        f"{counted(plan.replicas * plan.gpus_per_replica, 'GPU')}, at most {plan.max_replicas}: "
        f"{_because(plan, 'parallelism')}"
    )
    room = (
        f"memory   {gib(memory.total_bytes)} per GPU: weights {gib(memory.weights_bytes)}, "
        f"KV cache {gib(max(0, memory.kv_cache_bytes))} = {memory.kv_cache_tokens:,} tokens, "
        f"context {serving.max_model_len:,}, batch {serving.max_num_seqs}"
    )
    return (layout, room, *((_speed(plan.estimate),) if plan.estimate else ()))


def counted(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"


def _speed(estimate: Estimate) -> str:
    """An embedding model answers at once: it has no time between tokens."""
    ttft, itl = milliseconds(estimate.ttft_seconds), milliseconds(estimate.itl_seconds)
    answer = f"first token {ttft}, then one per {itl}" if estimate.itl_seconds else f"answer {ttft}"
    return (
        f"speed    {answer} at {estimate.concurrency} requests at once, "
        f"{estimate.requests_per_second_per_replica:.3g} requests/s per replica "
        f"({estimate.provenance})"
    )


def _because(plan: Plan, field: str) -> str:
    return next((reason.because for reason in plan.reasons if reason.field == field), "")


def alternative_line(facts: Facts, way: Alternative) -> str:
    """`spec.serving.kvCacheDtype: fp8 (...)`: one line that can be pasted."""
    pasted = ", ".join(
        f"{_field(facts, path)}: {'null' if value is None else value}"
        for path, value in way.change.items()
    )
    return f"{pasted} ({way.because}; {counted(way.gpus, 'GPU')})"


def _field(facts: Facts, path: str) -> str:
    """Fields of a pool that services share are in its own document."""
    room, _, rest = path.partition(".")
    if room == "gpuPool" and facts.pool_key:
        return f"GPUPool/{facts.pool_key[1]} spec.{rest}"
    return f"spec.{path}"


def variant_names(facts: Facts) -> tuple[str, ...]:
    return tuple(variant.name for variant in facts.variants)


def chosen_variant(facts: Facts) -> str:
    """`output.variant`, else vllm if asked for, else the first GPU variant, else the first."""
    stated = facts.service.spec.output.variant
    names = [variant.name for variant in facts.variants]
    planned = [variant.name for variant in facts.planned]
    return stated or ("vllm" if "vllm" in names else (*planned, *names)[0])


def refusals(facts: Facts, plans: Sequence[Plan]) -> tuple[Result, ...]:
    """Why a service cannot be served, once per distinct reason, with what would work."""
    found = [result for plan in plans if not plan.feasible for result in plan.results]
    ways = next((plan.alternatives for plan in plans if plan.alternatives), ())
    lines = [f"{number}. {alternative_line(facts, way)}" for number, way in enumerate(ways, 1)]
    if found and lines:
        found.append(info(f"what works instead: {'; '.join(lines)}", "spec"))
    if found and not lines:
        found.append(info(_no_way(found), "spec"))
    return about(facts.request, found)


def _no_way(faults: Sequence[Result]) -> str:
    """Other GPUs and more of them are among what was tried."""
    fields = dict.fromkeys(fault.field_path for fault in faults if fault.field_path)
    named = ", ".join(f"`{field}`" for field in fields)
    return (
        "no change of one field or of two that was tried works, nor do other GPUs or more of them; "
        f"change what the faults above name together ({named}), or ask for less"
    )


def warnings(facts: Facts, plans: Sequence[Plan]) -> tuple[Result, ...]:
    """What is to be said of plans that work."""
    return about(facts.request, (r for plan in plans if plan.feasible for r in plan.results))


def about(request: Request, results: Iterable[Result]) -> tuple[Result, ...]:
    """The Results with the service they are about, each line once."""
    reference_of = reference(request.document)
    located = (r if r.resource else replace(r, resource=reference_of) for r in results)
    return tuple({result.line: result for result in located}.values())


def shared_folders(services: Sequence[Facts]) -> tuple[Result, ...]:
    """Services of one package that write to one folder."""
    places: dict[tuple[str | None, str], list[Facts]] = defaultdict(list)
    for facts in services:
        places[facts.request.package_path, normpath(facts.service.spec.output.path)].append(facts)
    crowded = [members for members in places.values() if len(members) > 1]
    return tuple(
        error(
            f"must be a folder of its own, because {len(members)} services of the package write to "
            f'"{facts.service.spec.output.path}"; for instance "{facts.service.metadata.name}"',
            "spec.output.path",
            current=facts.service.spec.output.path,
            proposed=facts.service.metadata.name,
            resource=reference(facts.request.document),
        )
        for members in crowded
        for facts in members
    )


CALLS: Mapping[str, tuple[str, dict[str, Any]]] = {
    "generate": ("chat/completions", {"messages": [{"role": "user", "content": "Hello"}]}),
    "embed": ("embeddings", {"input": "Hello"}),
}
"""Path and question of the API that a model has."""


def flat_file(manifest: Manifest) -> str:
    """The file of an object where each has one of its own."""
    return f"{manifest['kind'].lower()}.yaml"


def flat_files(rendering: Rendering, facts: Facts) -> tuple[str, ...]:
    return tuple(flat_file(each) for each in rendering.flat[chosen_variant(facts)])


def next_steps(facts: Facts, folder: Path, objects: Sequence[str] = ()) -> tuple[str, ...]:
    """How to look at the cluster, apply, call and remove; each a command to paste.

    `objects` = files of the flat shape, which no kustomization holds together.
    """
    service = facts.service
    space = f" -n {service.metadata.namespace}" if service.metadata.namespace else ""
    labels = compose.placement(facts).node_selector
    selector = quote(",".join(f"{key}={value}" for key, value in labels.items()))
    overlay = f"-k {quote(str(folder / 'overlays' / chosen_variant(facts)))}"
    others = ", ".join(variant.name for variant in facts.variants)
    note = "" if objects else f"   (overlays: {others})"
    what = f"-f {','.join(quote(str(folder / name)) for name in objects)}" if objects else overlay
    return (
        f"check    kubectl get nodes -l {selector}",
        f"apply    kubectl apply{space} {what}{note}",
        f"call     {_call(facts, space)}",
        f"remove   kubectl delete{space} {what}",
    )


def _call(facts: Facts, space: str) -> str:
    service = facts.service
    name, port = service.metadata.name, service.spec.service.port
    model = service.spec.model.served_name or service.spec.model.id
    path, question = CALLS[facts.card.shape.task]
    return (
        f"kubectl port-forward{space} service/{name} {port}:{port} & "
        f"curl -s localhost:{port}/v1/{path} -H 'Content-Type: application/json' "
        f"-d {quote(json.dumps({'model': model, **question}))}"
    )

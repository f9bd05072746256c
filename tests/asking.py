"""A functionConfig in, and any stage of the function out: questions, plans, objects, messages."""

from typing import Any

from configs import document

from krm_fn import krm
from krm_fn.errors import KrmFnError, Result
from krm_fn.function import OWNER, generate
from krm_fn.function.intake import intake
from krm_fn.function.pools import Planned
from krm_fn.function.questions import questions as questions_of
from krm_fn.function.rendered import plan_one
from krm_fn.krm import ResourceList
from krm_fn.planner.plan import Plan, Question

QWEN, LLAMA, MOE = "Qwen/Qwen3-8B", "meta-llama/Llama-3.3-70B-Instruct", "Qwen/Qwen3-30B-A3B"
Objects = list[dict[str, Any]]


def config(model: str = QWEN, gpu: str = "NVIDIA-H100-80GB-HBM3", **spec: Any) -> dict[str, Any]:
    """`pool` and `model` hold what is more than the two names."""
    model_spec, pool = spec.pop("model_spec", {}), spec.pop("pool", {})
    return document({"model": {"id": model, **model_spec}, "gpuPool": {"gpu": gpu, **pool}, **spec})


def resources(*documents: dict[str, Any]) -> ResourceList:
    """Files of a folder."""
    found = [krm.file_items(f"{n}.yaml", krm.dump(each)) for n, each in enumerate(documents)]
    return ResourceList(items=tuple(item for each in found for item in each))


def planned(*args: Any, **spec: Any) -> Planned:
    given = intake(resources(config(*args, **spec)))
    return plan_one(given.requests[0], given)


def plans(*args: Any, **spec: Any) -> tuple[Plan, ...]:
    return planned(*args, **spec).plans


def plan(*args: Any, **spec: Any) -> Plan:
    """Of vllm alone, unless variants are stated."""
    return plans(*args, **({"variants": {"vllm": {}}} | spec))[0]


def question(*args: Any, **spec: Any) -> Question:
    return questions_of(planned(*args, **({"variants": {"vllm": {}}} | spec)).facts)[0]


def answer(*documents: dict[str, Any], mode: str = "tree") -> tuple[Objects, tuple[Result, ...]]:
    """Objects of ours and what was said; no objects where it was refused."""
    try:
        found = generate(resources(*documents), mode=mode)
    except KrmFnError as fault:
        return [], fault.results
    return [i.object for i in found.items if OWNER in i.annotations], found.results


def objects(variant: str, *args: Any, **spec: Any) -> Objects:
    """The flat objects of one variant; it must work."""
    chosen = config(*args, **spec)
    chosen["spec"].setdefault("output", {})["variant"] = variant
    found, said = answer(chosen, mode="flat")
    assert found, [result.line for result in said]
    return found


def one(kind: str, found: Objects) -> dict[str, Any]:
    (only,) = (each for each in found if each["kind"] == kind)
    return only


def container(found: Objects) -> dict[str, Any]:
    (only,) = one("Deployment", found)["spec"]["template"]["spec"]["containers"]
    return only


def messages(*documents: dict[str, Any], severity: str = "error") -> list[str]:
    """`field: message` of all results of a severity."""
    found = (r for r in answer(*documents)[1] if r.severity == severity)
    return [f"{result.field_path}: {result.message}" for result in found]

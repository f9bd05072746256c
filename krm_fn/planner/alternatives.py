"""Changes that would make an infeasible service work, each planned again before it is offered.

A change is a map of dotted paths below `spec` to values, so that it can be pasted. Ranked by loss:
first what costs accuracy or comfort a little, then what costs GPUs, then what gives up load.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import combinations, islice, product
from typing import Any

from krm_fn.catalog.rows import Gpu
from krm_fn.planner import layouts, memory
from krm_fn.planner.capacity import plans
from krm_fn.planner.plan import Alternative, Interconnect, Parallelism, Plan, PoolShape, Question
from krm_fn.planner.serving import CONTEXT_STEP, fitted
from krm_fn.units import gib

MOST, FEW = 5, 3
FP8_KV_SINCE = (8, 9)
FP8_WEIGHTS_SINCE = (8, 0)
"""vLLM runs fp8 weights on 8.0 and newer, below 8.9 as weight-only Marlin (fp8.py, 0.33)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Change:
    """A change of the functionConfig and of the question that it means."""

    paths: dict[str, Any]
    apply: Callable[[Question], Question]
    because: str


def alternatives(questions: Sequence[Question], gpus: Iterable[Gpu]) -> tuple[Alternative, ...]:
    """Up to five changes that work for every variant, least loss first.

    Pairs are tried where fewer than three single changes work; none contains a working single.
    """
    groups = _groups(questions[0], tuple(gpus))
    singles = [(change,) for group in groups.values() for change in group]
    found = _working(questions, singles, MOST)
    if len(found) >= FEW:
        return tuple(found)
    enough = [set(alternative.change.items()) for alternative in found]
    pairs = [
        pair
        for pair in _pairs(groups)
        if not any(one <= set(_paths(pair).items()) for one in enough)
    ]
    return (*found, *_working(questions, pairs, FEW - len(found)))


Groups = dict[str, tuple[Change, ...]]


def _groups(question: Question, gpus: tuple[Gpu, ...]) -> Groups:
    """Candidates in order of loss; most will not work for a given question."""
    return {
        "layout": tuple(_layout_changes(question)),
        "cache": tuple(_cache_changes(question)),
        "context": tuple(_context_changes(question)),
        "quantization": tuple(_quantization_changes(question)),
        "pool": tuple(_pool_changes(question)),
        "gpu": tuple(_gpu_changes(question, gpus)),
        "load": tuple(_load_changes(question)),
    }


def _pairs(groups: Groups) -> Iterator[tuple[Change, ...]]:
    """Two settings; a setting and more GPUs; another GPU and more of it."""
    soft = (*groups["cache"], *groups["context"], *groups["quantization"])
    yield from combinations(soft, 2)
    yield from product(soft, (*groups["layout"], *groups["pool"], *groups["gpu"]))
    yield from product(groups["gpu"], groups["pool"])


def _working(
    questions: Sequence[Question], tries: Iterable[tuple[Change, ...]], most: int
) -> list[Alternative]:
    found = (_tried(questions, changes) for changes in tries)
    return list(islice((alternative for alternative in found if alternative), most))


def _paths(changes: Iterable[Change]) -> dict[str, Any]:
    return {path: value for change in changes for path, value in change.paths.items()}


def _tried(questions: Sequence[Question], changes: Sequence[Change]) -> Alternative | None:
    changed = list(questions)
    for change in changes:
        changed = [change.apply(question) for question in changed]
    found = plans(changed)
    if not all(plan.feasible for plan in found):
        return None
    return Alternative(
        change=_paths(changes),
        gpus=max(plan.gpus_per_replica * plan.replicas for plan in found),
        memory_margin_bytes=min(_margin(plan) for plan in found),
        because="; ".join(change.because for change in changes),
    )


def _margin(plan: Plan) -> int:
    """KV memory beyond one request of the full context."""
    return int(plan.memory.kv_cache_bytes * (1 - 1 / max(1.0, plan.memory.max_concurrency)))


def _stated(name: str, value: Any) -> Callable[[Question], Question]:
    return lambda q: replace(q, stated=replace(q.stated, **{name: value}))


def _layout_changes(question: Question) -> Iterator[Change]:
    """Another tensor size than the stated one."""
    if not question.stated.tensor:
        return
    free = replace(question, stated=replace(question.stated, tensor=None, pipeline=None))
    for size in sorted({layout.tensor for layout in layouts.legal(free)}):
        if size != question.stated.tensor:
            yield Change(
                paths={"serving.tensorParallelSize": size},
                apply=_stated("tensor", size),
                because=f"tensor size {size} is legal for this model",
            )


def _cache_changes(question: Question) -> Iterator[Change]:
    capable = question.pool.gpu.capability >= FP8_KV_SINCE
    known = any(name.startswith("fp8") for name in question.engine.kv_cache_dtypes)
    if capable and known and not question.stated.kv_cache_dtype:
        yield Change(
            paths={"serving.kvCacheDtype": "fp8"},
            apply=_stated("kv_cache_dtype", "fp8"),
            because="half the KV cache per token, a small loss of accuracy",
        )


def _context_changes(question: Question) -> Iterator[Change]:
    """A shorter context: the longest of which one request fits, at least one mean request."""
    workload = question.workload
    least = workload.input_tokens + workload.output_tokens
    best = max((_longest(question, layout) for layout in layouts.legal(question)), default=0)
    stepped = best // CONTEXT_STEP * CONTEXT_STEP or best
    current = question.stated.max_model_len
    for length in dict.fromkeys((stepped, least)):
        if least <= length and (current is None or length < current):
            yield Change(
                paths={"serving.maxModelLen": length},
                apply=_stated("max_model_len", length),
                because=f"one request of {length} tokens fits",
            )


def _longest(question: Question, layout: Parallelism) -> int:
    fit = fitted(question, layout)
    return memory.max_model_len(question, layout, fit.serving, concurrency=1.0)


def _quantization_changes(question: Question) -> Iterator[Change]:
    capable = question.pool.gpu.capability >= FP8_WEIGHTS_SINCE
    if capable and question.shape.quantization is None and not question.stated.quantization:
        yield Change(
            paths={"serving.quantization": "fp8"},
            apply=_stated("quantization", "fp8"),
            because="weights quantised to 8 bits at start, half the memory; "
            "a checkpoint quantised beforehand is better",
        )


def _pool_changes(question: Question) -> Iterator[Change]:
    """More of the same GPU: the whole pool, more a node, more nodes."""
    pool = question.pool
    total = pool.gpus_per_node * pool.nodes
    if pool.share < total:
        yield _pool({"gpuPool.share": total}, share=total, because="the whole pool")
    for size in (2, 4, 8):
        if size > pool.gpus_per_node:
            yield _pool(
                {"gpuPool.gpusPerNode": size},
                gpus_per_node=size,
                share=size * pool.nodes,
                because=f"nodes with {size} GPUs",
            )
    for count in (2, 4, 8, 16):
        if count > pool.nodes:
            yield _pool(
                {"gpuPool.nodes": count},
                nodes=count,
                share=pool.gpus_per_node * count,
                because=f"{count} nodes",
            )


def _pool(paths: dict[str, Any], *, because: str, **changes: Any) -> Change:
    return Change(
        paths=paths,
        apply=lambda q: replace(q, pool=replace(q.pool, **changes)),
        because=because,
    )


def _gpu_changes(question: Question, gpus: tuple[Gpu, ...]) -> Iterator[Change]:
    """Boards of the same vendor with more memory, the next larger first."""
    pool = question.pool
    larger = [
        gpu
        for gpu in gpus
        if gpu.vendor == pool.gpu.vendor and gpu.memory_bytes > pool.gpu_memory_bytes * 1.1
    ]
    for gpu in sorted(larger, key=lambda gpu: (gpu.memory_bytes, gpu.name)):
        yield Change(
            paths={"gpuPool.gpu": gpu.name},
            apply=lambda q, gpu=gpu: replace(q, pool=_with_gpu(q.pool, gpu)),  # type: ignore[misc]
            because=f"{gib(gpu.memory_bytes)} per GPU",
        )


def _with_gpu(pool: PoolShape, gpu: Gpu) -> PoolShape:
    link: Interconnect = "nvlink" if gpu.form in ("sxm", "superchip") else "pcie"
    return replace(pool, gpu=gpu, gpu_memory_bytes=gpu.memory_bytes, interconnect=link)


def _load_changes(question: Question) -> Iterator[Change]:
    """Less load: what the share carries."""
    workload = question.workload
    for part in (0.75, 0.5, 0.25, 0.1):
        if workload.requests_per_second:
            rate = float(f"{workload.requests_per_second * part:.2g}")
            yield _load({"workload.requestsPerSecond": rate}, requests_per_second=rate)
        if workload.concurrency and int(workload.concurrency * part) >= 1:
            users = int(workload.concurrency * part)
            yield _load({"workload.concurrency": users}, concurrency=users)


def _load(paths: dict[str, Any], **changes: Any) -> Change:
    return Change(
        paths=paths,
        apply=lambda q: replace(q, workload=replace(q.workload, **changes)),
        because="the load that the share carries",
    )

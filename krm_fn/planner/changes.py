"""Changes of a service that could make it work, in order of loss; none is tried here.

First what costs accuracy or comfort a little, then what costs GPUs, then what gives up load.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from krm_fn.catalog.rows import Gpu
from krm_fn.planner import layouts, memory
from krm_fn.planner.candidates import Candidate, candidates
from krm_fn.planner.change import Change
from krm_fn.planner.extra_changes import extra_changes, rehearsal_changes
from krm_fn.planner.load import UTILISATION, objective_values
from krm_fn.planner.plan import Parallelism, PoolShape, Question
from krm_fn.planner.refusals import FIELDS
from krm_fn.planner.serving import CONTEXT_STEP, fitted
from krm_fn.planner.setting_changes import setting_changes
from krm_fn.units import gib

FP8_KV_SINCE = (8, 9)
FP8_WEIGHTS_SINCE = (8, 0)
"""vLLM runs fp8 weights on 8.0 and newer, below 8.9 as weight-only Marlin (fp8.py, 0.33)."""


CARRIED = "the load that the share carries"
UNUSUAL = ("attention_data", "expert", "pipeline", "data")
Groups = dict[str, tuple[Change, ...]]


def groups_of(questions: Sequence[Question], gpus: tuple[Gpu, ...]) -> Groups:
    """Candidates in order of loss; most will not work for a given question."""
    question = questions[0]
    return {
        "layout": tuple(_layout_changes(question)),
        "replicas": tuple(_replica_changes(questions)),
        "cache": tuple(_cache_changes(question)),
        "extras": tuple(extra_changes(question)),
        "rehearsal": tuple(rehearsal_changes(question)),
        "settings": tuple(setting_changes(questions)),
        "context": tuple(_context_changes(questions)),
        "quantization": tuple(_quantization_changes(question)),
        "pool": tuple(_pool_changes(question)),
        "gpu": tuple(_gpu_changes(question, gpus)),
        "load": tuple(_load_changes(questions)),
        "objectives": tuple(_objective_changes(questions)),
    }


def _layout_changes(question: Question) -> Iterator[Change]:
    """Another tensor size than the stated one; nothing of the less usual sizes; no size stated."""
    unusual = [f"serving.{FIELDS[x]}" for x in UNUSUAL if (getattr(question.stated, x) or 1) > 1]
    for field in unusual:
        yield Change({field: 1}, "the usual layout")
    if len(unusual) > 1:
        yield Change(dict.fromkeys(unusual, 1), "the usual layout")
    sizes = [name for name in FIELDS if getattr(question.stated, name)]
    if question.stated.tensor:
        free = replace(question, stated=replace(question.stated, tensor=None, pipeline=None))
        for size in sorted({layout.tensor for layout in layouts.legal(free)}):
            if size != question.stated.tensor:
                because = f"tensor size {size} is legal for this model"
                yield Change({"serving.tensorParallelSize": size}, because)
    if len(sizes) > 1:
        yield Change({f"serving.{FIELDS[name]}": None for name in sizes}, "the planner's layout")


def _replica_changes(questions: Sequence[Question]) -> Iterator[Change]:
    """Numbers of replicas that the share holds; as few more as the load needs."""
    stated = questions[0].stated
    found = [each for question in questions for each in _fitting(question)]
    needed = sorted({each.replicas for each in found})
    rooms = sorted({each.room for each in found}, reverse=True)
    for name, field in (
        ("replicas", "replicas"),
        ("min_replicas", "minReplicas"),
        ("max_replicas", "maxReplicas"),
    ):
        value = getattr(stated, name) or 0
        more = [count for count in needed if count > value and name == "max_replicas"]
        less = [count for count in rooms if 0 < count < value]
        for count in (*more, *less) if value else ():
            because = "what the share holds" if count < value else "what the load needs"
            yield Change({f"scaling.{field}": count}, because)


def _cache_changes(question: Question) -> Iterator[Change]:
    capable = question.pool.gpu.capability >= FP8_KV_SINCE
    known = any(name.startswith("fp8") for name in question.engine.kv_cache_dtypes)
    if capable and known and not question.stated.kv_cache_dtype:
        yield Change(
            paths={"serving.kvCacheDtype": "fp8"},
            because="half the KV cache per token, a small loss of accuracy",
        )


def _context_changes(questions: Sequence[Question]) -> Iterator[Change]:
    """A shorter context: the longest of which one request fits, at least one mean request."""
    question = questions[0]
    workload = question.workload
    least = workload.input_tokens + workload.output_tokens
    best = min(
        max((_longest(each, layout) for layout in layouts.legal(each)), default=0)
        for each in questions
    )
    stepped = best // CONTEXT_STEP * CONTEXT_STEP or best
    current = question.stated.max_model_len
    for length in dict.fromkeys((stepped, least)):
        if least <= length and (current is None or length < current):
            yield Change(
                paths={"serving.maxModelLen": length},
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
            because="weights quantised to 8 bits at start, half the memory; "
            "a checkpoint quantised beforehand is better",
        )


def _pool_changes(question: Question) -> Iterator[Change]:
    """More of the same GPU: the whole pool, more a node, more nodes; a stated share grows too."""
    pool = question.pool
    total = pool.gpus_per_node * pool.nodes
    if pool.share < total:
        yield Change({"gpuPool.share": total}, "the whole pool")
    for size in (2, 4, 8):
        if size > pool.gpus_per_node:
            share = {"gpuPool.share": size * pool.nodes} if pool.share_stated else {}
            yield Change({"gpuPool.gpusPerNode": size} | share, f"nodes with {size} GPUs")
    for count in (2, 4, 8, 16):
        if count > pool.nodes:
            share = {"gpuPool.share": pool.gpus_per_node * count} if pool.share_stated else {}
            yield Change({"gpuPool.nodes": count} | share, f"{count} nodes")


def _gpu_changes(question: Question, gpus: tuple[Gpu, ...]) -> Iterator[Change]:
    """More of the board that is in parts, then boards with more memory, the next larger first."""
    pool = question.pool
    yield from _part_changes(pool, gpus)
    larger = [
        gpu
        for gpu in gpus
        if gpu.vendor == pool.gpu.vendor and gpu.memory_bytes > pool.gpu_memory_bytes * 1.1
    ]
    for gpu in sorted(larger, key=lambda gpu: (gpu.memory_bytes, gpu.name)):
        yield Change({"gpuPool.gpu": gpu.name, **_whole(pool)}, f"{gib(gpu.memory_bytes)} per GPU")


def _part_changes(pool: PoolShape, gpus: tuple[Gpu, ...]) -> Iterator[Change]:
    """The board alone instead of shared, larger slices of it, all of it."""
    board = next((gpu for gpu in gpus if gpu.name == pool.gpu.parent), None)
    if board is None:
        return
    profiles = list(board.mig_profiles)
    if pool.gpu.mig in profiles:
        for profile in profiles[profiles.index(pool.gpu.mig) + 1 :]:
            paths = {"gpuPool.gpu": board.name, "gpuPool.mig.profile": profile}
            yield Change(paths, f"the slice {profile}")
    if pool.sharers > 1:
        yield Change({"gpuPool.gpu": board.name, **_whole(pool)}, "a GPU of its own")


def _whole(pool: PoolShape) -> dict[str, Any]:
    """What a whole board of another kind has no use for."""
    given = {
        "gpuPool.mig": pool.gpu.mig,
        "gpuPool.shared": pool.sharers > 1,
        "gpuPool.gpuMemory": pool.gpu_memory_bytes != pool.gpu.memory_bytes,
    }
    return {path: None for path, is_given in given.items() if is_given}


def _load_changes(questions: Sequence[Question]) -> Iterator[Change]:
    """Less load: what the share carries, in two digits."""
    workload = questions[0].workload
    carried = [_carried(question) for question in questions]
    rate = _floor(min(rate for rate, _ in carried))
    users = min(users for _, users in carried)
    if workload.requests_per_second and 0 < rate < workload.requests_per_second:
        yield Change({"workload.requestsPerSecond": rate}, CARRIED)
    if workload.concurrency and 0 < users < workload.concurrency:
        yield Change({"workload.concurrency": users}, CARRIED)


def _carried(question: Question) -> tuple[float, int]:
    """Requests per second and users that the share carries with its best layout."""
    loads = [(found.room, found.load) for found in _fitting(question) if found.works]
    rates = (UTILISATION * room * load.requests_per_second for room, load in loads if load)
    users = (room * load.concurrency for room, load in loads if load)
    return max(rates, default=0.0), max(users, default=0)


def _fitting(question: Question) -> list[Candidate]:
    """Layouts without a pipeline that the memory holds."""
    return [c for c in candidates(question) if c.load and c.layout.pipeline == 1]


def _floor(value: float) -> float:
    """Two digits, rounded down."""
    step = 10.0 ** (math.floor(math.log10(value)) - 1) if value > 0 else 1.0
    return float(f"{math.floor(value / step + 1e-9) * step:.6g}")


def _objective_changes(questions: Sequence[Question]) -> Iterator[Change]:
    """The objectives that the fastest common layout meets, for one request or for some."""
    workload = questions[0].workload
    reached = [_reached(question) for question in questions]
    if not all(reached):
        return
    for room in (1.02, 1.25, 1.5, 2.0, 3.0):
        values = {
            name: math.ceil(max(each[name] for each in reached) * room * 1000) / 1000
            for name, wanted in (("ttft", workload.ttft_seconds), ("itl", workload.itl_seconds))
            if wanted is not None and max(each[name] for each in reached) > wanted
        }
        if values:
            yield _objectives(values)


def _reached(question: Question) -> dict[str, float]:
    """TTFT and ITL of one request alone, on the layout that is nearest to the objectives."""
    workload = question.workload
    found = [
        dict(zip(("ttft", "itl"), objective_values(workload, c.load.estimate), strict=True))
        for c in _fitting(question)
        if c.load and c.load.concurrency == 0
    ]
    wanted = {"ttft": workload.ttft_seconds, "itl": workload.itl_seconds}
    return min(
        found,
        key=lambda each: max(each[name] / (goal or math.inf) for name, goal in wanted.items()),
        default={},
    )


def _objectives(values: dict[str, float]) -> Change:
    paths = {f"workload.objectives.{k}": f"{round(v * 1000)}ms" for k, v in values.items()}
    return Change(paths, "what these GPUs reach")

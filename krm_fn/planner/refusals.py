"""Why a question has no answer: no legal layout, no memory, an objective, no room."""

from collections.abc import Iterator
from dataclasses import replace

from krm_fn.errors import Result, error
from krm_fn.planner import layouts, memory
from krm_fn.planner.candidates import Candidate
from krm_fn.planner.plan import Parallelism, Question
from krm_fn.units import gib

FIELDS = {
    "attention_data": "attentionDataParallelSize",
    "expert": "expertParallelSize",
    "pipeline": "pipelineParallelSize",
    "data": "dataParallelSize",
    "tensor": "tensorParallelSize",
}
"""Sizes of a layout and the fields that state them, the less usual first."""


def faults(question: Question, found: Candidate | None) -> tuple[Result, ...]:
    """Why this cannot work, each with its field; empty when it does."""
    if found is None:
        return tuple(_no_layout(question))
    if found.load is None:
        return (_no_memory(question, found),)
    if found.load.unmet:
        engine = f"{question.engine.name} {question.engine.version}"
        return (error(f"{engine}: {found.load.unmet}", "spec.workload.objectives"),)
    return tuple(_room_faults(question, found))


def asked(question: Question) -> Parallelism:
    """The layout that was asked for though it is not legal."""
    stated = question.stated
    return Parallelism(
        tensor=stated.tensor or 1,
        pipeline=stated.pipeline or 1,
        data=stated.data or 1,
        expert=stated.expert or 1,
        attention_data=stated.attention_data or 1,
    )


def _no_layout(question: Question) -> Iterator[Result]:
    """Stated sizes that the model, the engine or the node cannot have."""
    wanted, most = asked(question), question.pool.most_gpus
    conflicts = layouts.conflicts(question, wanted)
    for text in conflicts:
        name = _cause(question, wanted, text)
        yield _size_fault(name, text, getattr(question.stated, name, None))
    if wanted.gpus > most:
        room = (
            "slices of GPUs cannot be joined"
            if question.pool.sliced
            else f"a node of the share has {most}"
        )
        name = max(("tensor", "pipeline", "data"), key=lambda each: getattr(wanted, each))
        text = f"a replica of {wanted.gpus} GPUs needs one node with as many; {room}"
        yield _size_fault(name, text, getattr(question.stated, name))
    elif not conflicts:
        yield error("no layout of the model is legal on these nodes", "spec.serving")


def _cause(question: Question, wanted: Parallelism, text: str) -> str:
    """The size without which the conflict would not be; "" if none was stated."""
    sizes = [name for name in FIELDS if getattr(question.stated, name)]
    mended = (
        name
        for name in sizes
        if text not in layouts.conflicts(question, replace(wanted, **{name: 1}))
    )
    return next(mended, sizes[0] if sizes else "")


def _size_fault(name: str, text: str, current: int | None) -> Result:
    field = f"spec.serving.{FIELDS[name]}" if name else "spec.serving"
    return error(text, field, current=current)


def _no_memory(question: Question, found: Candidate) -> Result:
    """The largest part, the limit, and what is missing."""
    budget, serving = found.fitted.memory, found.fitted.serving
    parts = (
        f"weights {gib(budget.weights_bytes)}, activations {gib(budget.activation_bytes)}, "
        f"other {gib(budget.non_torch_bytes)}, CUDA graphs {gib(budget.cuda_graph_bytes)}"
    )
    if outside := _no_headroom(question, found) or _no_rehearsal(question, found):
        return outside
    need = budget.kv_cache_bytes_per_token * serving.max_model_len
    left = gib(budget.kv_cache_bytes) if budget.kv_cache_bytes > 0 else "nothing"
    return error(
        f"{question.model_id} does not fit on {question.pool.gpu.name} with {found.layout} under "
        f"{question.engine.name} {question.engine.version}: of {gib(budget.budget_bytes)} per GPU "
        f"({parts}) {left} remains for the KV cache; one request of {serving.max_model_len} tokens "
        f"needs {gib(need)}",
        "spec.gpuPool",
    )


def _no_headroom(question: Question, found: Candidate) -> Result | None:
    """The budget holds the cache, but the GPU does not hold what comes beside a full budget."""
    budget, serving = found.fitted.memory, found.fitted.serving
    terms = memory.fullest(question, found.layout, serving)
    if terms.headroom >= 0 or budget.kv_cache_bytes <= 0 or budget.max_concurrency < 1:
        return None
    parts = ", ".join(f"{name} {gib(size)}" for name, size in terms.outside if size)
    return error(
        f"{question.model_id} does not start on {question.pool.gpu.name} with {found.layout} under "
        f"{question.engine.name} {question.engine.version}: a memory fraction of "
        f"{serving.memory_fraction:g} takes {gib(terms.budget)} of {gib(terms.total)}, and beside "
        f"it come {parts}, for which {gib(-terms.headroom)} is missing; a smaller "
        "`memoryFraction` leaves more",
        f"spec.variants.{question.variant}.memoryFraction",
        current=serving.memory_fraction,
    )


def _no_rehearsal(question: Question, found: Candidate) -> Result | None:
    """All fits but the cache that CUDA graphs are rehearsed with, before the real one is made."""
    budget, serving = found.fitted.memory, found.fitted.serving
    pool = memory.rehearsal_pool(question, found.layout, serving)
    missing = -(pool.rehearsal_bytes or 0) if pool else 0
    if pool is None or missing <= 0 or budget.kv_cache_bytes <= 0 or budget.max_concurrency < 1:
        return None
    blocks = pool.terms.rehearsed
    return error(
        f"{question.model_id} does not start on {question.pool.gpu.name} with {found.layout} under "
        f"{question.engine.name} {question.engine.version}: before the KV cache is sized, CUDA "
        f"graphs are captured with {blocks} blocks of {gib(pool.block_bytes)} beside weights of "
        f"{gib(budget.weights_bytes)}, for which {gib(missing)} is missing whatever "
        f"`serving.memoryFraction`; `serving.maxNumSeqs` is {serving.max_num_seqs}",
        "spec.serving.maxNumSeqs",
        current=serving.max_num_seqs,
    )


def _room_faults(question: Question, found: Candidate) -> Iterator[Result]:
    """Replicas that the share does not hold, or that the stated maximum forbids."""
    stated, room = question.stated, found.room
    for field, count in (("replicas", stated.replicas), ("minReplicas", stated.min_replicas)):
        if count and count > room and not (stated.replicas and field == "minReplicas"):
            yield _no_room(question, found, f"scaling.{field}", count)
            return
    if found.replicas > room:
        yield _no_room(question, found, "workload", found.replicas)
    elif stated.max_replicas and found.replicas > stated.max_replicas:
        yield error(
            f"must be at least {found.replicas}: "
            f"{'`scaling.replicas` asks for' if stated.replicas else 'the stated load needs'} "
            f"{found.replicas} replicas of {_gpus(found.layout.gpus)}; got {stated.max_replicas}",
            "spec.scaling.maxReplicas",
            current=stated.max_replicas,
            proposed=found.replicas,
        )
    elif stated.max_replicas and stated.max_replicas > room:
        yield _no_room(question, found, "scaling.maxReplicas", stated.max_replicas)


def _no_room(question: Question, found: Candidate, field: str, count: int) -> Result:
    pool, size = question.pool, found.layout.gpus
    what = "the stated load needs" if field == "workload" else f"`{field}` asks for"
    return error(
        f"{what} {count} replicas of {_gpus(size)} = {_gpus(count * size)}; the service may "
        f"use {pool.share} on nodes of {pool.gpus_per_node}, which hold {found.room}",
        f"spec.{field}",
        current=count,
        proposed=found.room,
    )


def _gpus(count: int) -> str:
    return f"{count} GPU{'' if count == 1 else 's'}"

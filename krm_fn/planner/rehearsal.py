"""CUDA graphs that an engine captures before it sizes the KV cache, to know what they take.

For it a cache of a few blocks is made beside the weights, whatever the memory fraction. Blocks of
models with states hold a whole state, so that on a small GPU this alone can run out of memory:
Qwen3.8-27B on an RTX 5090 "tried to allocate 784.00 MiB" = 256 blocks of 3.0625 MiB, one of 16
tensors, at fractions of 0.80 and 0.93 alike (vllm-0197).
"""

from math import inf

from krm_fn.planner.activation import largest_graph
from krm_fn.planner.limits import Graphs, Rehearsal, Unrehearsed
from krm_fn.planner.plan import Question, Serving


def rehearsal(question: Question) -> Rehearsal | None:
    """How the engine rehearses this model on this GPU; None = it does not."""
    pool, engine = question.pool, question.engine
    if any(_skips(row, question) for row in engine.unrehearsed):
        return None
    rows = engine.rehearsals
    return next((r for r in rows if r.where.holds(pool.gpu, pool.gpu_memory_bytes)), None)


def _skips(row: Unrehearsed, question: Question) -> bool:
    """Whether the model is served by a runner that does not rehearse."""
    shape, draft = question.shape, question.extras.draft
    if shape.task != "generate" or (draft and draft.method not in row.drafts):
        return False
    named = shape.architecture in row.architectures
    if row.plain:
        return named and not shape.is_moe and not shape.quantization
    return named or (row.dense and not shape.is_moe and not shape.has_states)


def rehearsed_blocks(rule: Rehearsal | None, graphs: Graphs | None, serving: Serving) -> int:
    """Blocks of the cache that the rehearsal is given; 0 = none is held."""
    if rule is None or graphs is None or serving.enforce_eager:
        return 0
    most = serving.max_num_seqs if rule.blocks == "batch" else inf
    return int(min(largest_graph(graphs, serving), most))


def most_rehearsed(rule: Rehearsal | None, graphs: Graphs | None, blocks: float) -> float:
    """The largest batch limit whose rehearsal needs no more than `blocks`."""
    if rule is None or graphs is None or blocks >= graphs.max_size:
        return inf
    return blocks if rule.blocks == "batch" else blocks // (2 * graphs.queries)

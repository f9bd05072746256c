"""Where the memory of one GPU goes, how many tokens are left, and what fits.

The forward model is `memory_budget`; every other question (longest context, concurrency) is solved
by it. Nothing raises: what does not fit has a negative margin.
"""

from dataclasses import replace
from math import ceil, inf

from krm_fn.planner.kv_cache import bytes_per_token
from krm_fn.planner.memory_fraction import automatic_fraction
from krm_fn.planner.memory_pool import Held, Pool, held
from krm_fn.planner.plan import MemoryBudget, Parallelism, Question, Serving
from krm_fn.planner.rehearsal import most_rehearsed, rehearsal
from krm_fn.planner.terms import Terms, matching, overhead

__all__ = [
    "automatic_fraction",
    "fullest",
    "kv_concurrency",
    "max_concurrency",
    "max_model_len",
    "memory_budget",
    "memory_fraction_limit",
    "most_seats",
    "rehearsal_pool",
    "rehearsal_seats",
    "request_blocks",
]


def memory_budget(question: Question, parallelism: Parallelism, serving: Serving) -> MemoryBudget:
    """The memory of one GPU of the rank with the smallest KV pool."""
    layout = held(question, parallelism, serving)
    pools = layout.pools(serving.max_model_len)
    pool = min(pools, key=lambda p: (p.concurrency, p.kv_bytes))
    terms = pool.terms
    return MemoryBudget(
        total_bytes=terms.total,
        budget_bytes=terms.budget,
        weights_bytes=terms.weights,
        activation_bytes=terms.activation,
        non_torch_bytes=terms.non_torch,
        cuda_graph_bytes=terms.graphs,
        kv_cache_bytes=pool.kv_bytes,
        kv_cache_bytes_per_token=bytes_per_token(layout.specs[terms.first : terms.last]),
        kv_cache_blocks=pool.blocks,
        block_size=pool.block_size,
        kv_cache_tokens=pool.tokens,
        max_concurrency=pool.concurrency,
        uncertainty_bytes=terms.uncertainty,
        margin_bytes=min(p.margin_bytes for p in pools),
        lora_bytes=terms.lora,
        draft_bytes=terms.draft,
    )


def memory_fraction_limit(question: Question, parallelism: Parallelism) -> float:
    """The largest fraction that a start accepts: free / total after context and communicators
    (vllm/v1/worker/utils.py:request_memory, "Free memory on device ...").
    """
    total = question.pool.gpu_memory_bytes
    return (total - overhead(question.engine.context, question, parallelism).bytes) / total


def fullest(question: Question, parallelism: Parallelism, serving: Serving) -> Terms:
    """The terms of the stage whose GPU has least left beside a full budget."""
    return min(held(question, parallelism, serving).terms, key=lambda terms: terms.headroom)


def rehearsal_pool(question: Question, parallelism: Parallelism, serving: Serving) -> Pool | None:
    """The pool of the stage whose rehearsal of CUDA graphs leaves least; None without one."""
    return _rehearsed(held(question, parallelism, serving), serving.max_model_len)


def rehearsal_seats(question: Question, parallelism: Parallelism, serving: Serving) -> float:
    """The largest batch limit whose rehearsal fits; infinite where none is in the way."""
    return _seats(held(question, parallelism, serving), parallelism, serving.max_model_len)


def most_seats(
    question: Question, parallelism: Parallelism, serving: Serving, tokens: float
) -> float:
    """The batch of sequences of mean length `tokens` that the cache and the rehearsal hold."""
    layout, length = held(question, parallelism, serving), max(1, ceil(tokens))
    return min(layout.usable(length), _seats(layout, parallelism, length))


def _rehearsed(layout: Held, tokens: int) -> Pool | None:
    found = [pool for pool in layout.pools(tokens) if pool.rehearsal_bytes is not None]
    return min(found, key=lambda pool: pool.rehearsal_bytes or 0, default=None)


def _seats(layout: Held, parallelism: Parallelism, tokens: int) -> float:
    pool = _rehearsed(layout, tokens)
    if pool is None or not pool.block_bytes:
        return inf
    blocks = pool.terms.rehearsal_room(0) // pool.block_bytes
    graphs = matching(layout.question.engine.graphs, layout.question, parallelism)
    return max(1, most_rehearsed(rehearsal(layout.question), graphs, blocks))


def max_concurrency(question: Question, parallelism: Parallelism, serving: Serving) -> float:
    """Requests of the full context that fit at once, as the engine prints it."""
    pools = held(question, parallelism, serving).pools(serving.max_model_len)
    return min(pool.concurrency for pool in pools)


def request_blocks(
    question: Question, parallelism: Parallelism, serving: Serving, tokens: int
) -> int:
    """Blocks that one request of `tokens` takes over all groups; pages of a token pool."""
    layout = held(question, parallelism, serving)
    return layout.blocks.request_blocks(tokens) if layout.blocks else ceil(tokens / layout.page)


def kv_concurrency(
    question: Question, parallelism: Parallelism, serving: Serving, tokens: float
) -> float:
    """How many sequences of mean length `tokens` fit at once."""
    return held(question, parallelism, serving).usable(max(1, ceil(tokens)))


def max_model_len(
    question: Question, parallelism: Parallelism, serving: Serving, concurrency: float = 1.0
) -> int:
    """The longest context of which `concurrency` requests fit, at most the model's own; 0 = none.

    Monotone bisection of the forward model.
    """
    layout = None if _grows(question) else held(question, parallelism, serving)
    low, high = 0, question.shape.max_position_embeddings
    while low < high:
        middle = (low + high + 1) // 2
        asked = layout or _at(question, parallelism, serving, middle)
        if asked.usable(middle) >= concurrency:
            low = middle
        else:
            high = middle - 1
    return low


def _grows(question: Question) -> bool:
    """Whether activations depend on the context (no chunked prefill)."""
    return any(rule.whole_prompt for rule in question.engine.activation)


def _at(question: Question, parallelism: Parallelism, serving: Serving, tokens: int) -> Held:
    return held(question, parallelism, replace(serving, max_model_len=tokens))

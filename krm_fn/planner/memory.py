"""Where the memory of one GPU goes, how many tokens are left, and what fits.

The forward model is `memory_budget`; every other question (longest context, concurrency) is solved
by it. Nothing raises: what does not fit has a negative margin.
"""

from dataclasses import dataclass, replace
from math import ceil

from krm_fn.planner.cache_blocks import Blocks, block_tokens, grouped
from krm_fn.planner.cache_tokens import concurrency as pool_concurrency
from krm_fn.planner.cache_tokens import token_pool
from krm_fn.planner.kv_cache import CacheSpec, bytes_per_token, cache_specs
from krm_fn.planner.memory_fraction import automatic_fraction
from krm_fn.planner.plan import MemoryBudget, Parallelism, Question, Serving
from krm_fn.planner.terms import Terms, overhead, stage_terms

__all__ = [
    "automatic_fraction",
    "kv_concurrency",
    "max_concurrency",
    "max_model_len",
    "memory_budget",
    "memory_fraction_limit",
    "request_blocks",
]

Layers = tuple[tuple[CacheSpec, ...], ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Pool:
    """The KV pool of one stage: what it holds, and what one request of the full context leaves."""

    terms: Terms
    blocks: int
    tokens: int
    concurrency: float
    usable: float
    kv_bytes: int
    spare_bytes: int
    block_size: int


def block_layout(
    question: Question, parallelism: Parallelism, serving: Serving, specs: Layers
) -> Blocks:
    """Groups and block sizes of the whole model; stages hold their own layers of each group."""
    engine, pool = question.engine, question.pool
    latent = any(spec.latent for layer in specs for spec in layer)
    tokens = block_tokens(engine, pool.gpu, pool.gpu_memory_bytes, latent=latent)
    rules = engine.cache
    batches = parallelism.pipeline + rules.batches_in_flight - 1
    batches = (
        batches if rules.pipelined_batches or parallelism.pipeline == 1 else parallelism.pipeline
    )
    return Blocks(
        groups=grouped(specs, tokens, rules),
        rules=rules,
        in_flight_tokens=batches * serving.max_num_batched_tokens,
        encoder_tokens=question.shape.encoder_tokens,
    )


def block_pool(terms: Terms, blocks: Blocks, serving: Serving) -> Pool:
    """num_blocks = available // bytes per block; concurrency = blocks / blocks of one request.

    One null block is never given to a request; newer versions take it off before they check that
    one request fits (get_kv_cache_configs, 0.28-0.33).
    """
    width = blocks.block_bytes(terms.first, terms.last)
    count = max(0, terms.available // width) if width else 1
    need = max(1, blocks.request_blocks(serving.max_model_len))
    usable = count - 1 if blocks.rules.null_block and width else count
    held = count / need
    printed = {
        "blocks": count * blocks.block_size,
        "groups": count // max(1, len(blocks.groups)) * blocks.block_size,
        "capacity": int(held * serving.max_model_len),
    }[blocks.rules.printed]
    return Pool(
        terms=terms,
        blocks=count,
        tokens=printed,
        concurrency=held,
        usable=usable / need,
        kv_bytes=terms.available,
        spare_bytes=(usable - need) * width if width else terms.available,
        block_size=blocks.block_size,
    )


def stage_tokens(terms: Terms, question: Question, specs: Layers, serving: Serving) -> Pool:
    """SGLang's pool of one stage; a budget that the weights exceed stays negative."""
    engine = question.engine
    layers = specs[terms.first : terms.last]
    pool = token_pool(terms.available, layers, engine.cache, engine.block_size)
    held = pool_concurrency(pool, serving.max_model_len, layers, engine.cache)
    kv = pool.kv_bytes if terms.available > 0 else terms.available
    need = serving.max_model_len * pool.cell_bytes
    return Pool(
        terms=terms,
        blocks=pool.tokens // engine.block_size,
        tokens=pool.tokens,
        concurrency=held,
        usable=held,
        kv_bytes=kv,
        spare_bytes=int(need * (held - 1)),
        block_size=engine.block_size,
    )


def pools(question: Question, parallelism: Parallelism, serving: Serving) -> tuple[Pool, ...]:
    """The KV pool of each stage."""
    specs = cache_specs(question.shape, parallelism, serving, question.engine)
    terms = stage_terms(question, parallelism, serving)
    if question.engine.cache.pool == "tokens":
        return tuple(stage_tokens(stage, question, specs, serving) for stage in terms)
    blocks = block_layout(question, parallelism, serving, specs)
    return tuple(block_pool(stage, blocks, serving) for stage in terms)


def memory_budget(question: Question, parallelism: Parallelism, serving: Serving) -> MemoryBudget:
    """The memory of one GPU of the rank with the smallest KV pool."""
    pool = min(pools(question, parallelism, serving), key=lambda p: (p.concurrency, p.kv_bytes))
    terms = pool.terms
    specs = cache_specs(question.shape, parallelism, serving, question.engine)
    return MemoryBudget(
        total_bytes=terms.total,
        budget_bytes=terms.budget,
        weights_bytes=terms.weights,
        activation_bytes=terms.activation,
        non_torch_bytes=terms.non_torch,
        cuda_graph_bytes=terms.graphs,
        kv_cache_bytes=pool.kv_bytes,
        kv_cache_bytes_per_token=bytes_per_token(specs[terms.first : terms.last]),
        kv_cache_blocks=pool.blocks,
        block_size=pool.block_size,
        kv_cache_tokens=pool.tokens,
        max_concurrency=pool.concurrency,
        uncertainty_bytes=terms.uncertainty,
        margin_bytes=min(terms.headroom, pool.spare_bytes),
    )


def memory_fraction_limit(question: Question, parallelism: Parallelism) -> float:
    """The largest fraction that a start accepts: free / total after context and communicators
    (vllm/v1/worker/utils.py:request_memory, "Free memory on device ...").
    """
    total = question.pool.gpu_memory_bytes
    return (total - overhead(question.engine.context, question, parallelism).bytes) / total


def max_concurrency(question: Question, parallelism: Parallelism, serving: Serving) -> float:
    """Requests of the full context that fit at once, as the engine prints it."""
    return min(pool.concurrency for pool in pools(question, parallelism, serving))


def request_blocks(
    question: Question, parallelism: Parallelism, serving: Serving, tokens: int
) -> int:
    """Blocks that one request of `tokens` takes (over all groups)."""
    specs = cache_specs(question.shape, parallelism, serving, question.engine)
    return block_layout(question, parallelism, serving, specs).request_blocks(tokens)


def kv_concurrency(
    question: Question, parallelism: Parallelism, serving: Serving, tokens: float
) -> float:
    """How many sequences of mean length `tokens` fit at once."""
    return max_concurrency(
        question, parallelism, replace(serving, max_model_len=max(1, ceil(tokens)))
    )


def max_model_len(
    question: Question, parallelism: Parallelism, serving: Serving, concurrency: float = 1.0
) -> int:
    """The longest context of which `concurrency` requests fit, at most the model's own; 0 = none.

    Monotone bisection of the forward model.
    """
    low, high = 0, question.shape.max_position_embeddings
    while low < high:
        middle = (low + high + 1) // 2
        if kv_concurrency(question, parallelism, serving, middle) >= concurrency:
            low = middle
        else:
            high = middle - 1
    return low

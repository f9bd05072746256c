"""The memory of one GPU term by term, with formula, numbers, range and source, for `explain`."""

from dataclasses import dataclass

from krm_fn.catalog.shape import ModelShape
from krm_fn.planner.activation import largest_graph, profile_tokens
from krm_fn.planner.kv_cache import cache_dtype
from krm_fn.planner.limits import Activation, Graphs
from krm_fn.planner.memory_pool import Held, Pool, held
from krm_fn.planner.plan import Parallelism, Question, Serving
from krm_fn.planner.terms import WEIGHT_SPREAD, Terms, matching, overhead
from krm_fn.units import gib

PARAMETERS = "parameters as they are stored, split over the GPUs, and the rotary tables"


@dataclass(frozen=True, kw_only=True, slots=True)
class MemoryTerm:
    """One term: `formula` with its numbers, the range its calibration leaves, where it stands."""

    field: str
    bytes: int
    formula: str
    source: str
    low_bytes: int
    high_bytes: int


def memory_terms(
    question: Question, parallelism: Parallelism, serving: Serving
) -> tuple[MemoryTerm, ...]:
    """The terms of the GPU with the smallest KV pool, in the order they are subtracted."""
    layout = held(question, parallelism, serving)
    pool = min(layout.pools(serving.max_model_len), key=lambda p: (p.concurrency, p.kv_bytes))
    terms = pool.terms
    rule = matching(question.engine.activation, question, parallelism)
    graphs = matching(question.engine.graphs, question, parallelism)
    return (
        _budget(question, serving, terms),
        _term("weightsBytes", terms.weights, int(WEIGHT_SPREAD * terms.weights), PARAMETERS),
        *((_activation(question.shape, rule, serving, terms),) if rule else ()),
        _measured("nonTorchBytes", question, parallelism, charged=True),
        *((_graphs(question.shape, graphs, serving, terms),) if graphs else ()),
        _measured("contextBytes", question, parallelism, charged=False),
        _cache(question, serving, layout, pool),
    )


def _term(field: str, value: int, spread: int, formula: str, source: str = "") -> MemoryTerm:
    return MemoryTerm(
        field=field,
        bytes=value,
        formula=formula,
        source=source,
        low_bytes=value - spread,
        high_bytes=value + spread,
    )


def _budget(question: Question, serving: Serving, terms: Terms) -> MemoryTerm:
    base = gib(terms.total)
    if question.engine.memory_basis == "free":
        base = f"({base} - {gib(terms.context)} of context and communicators)"
    formula = f"{base} x {serving.memory_fraction:g} = {gib(terms.budget)}"
    return _term("budgetBytes", terms.budget, 0, formula, "the engine's memory fraction")


def _activation(shape: ModelShape, rule: Activation, serving: Serving, terms: Terms) -> MemoryTerm:
    rows = min(serving.max_num_seqs, profile_tokens(rule, serving))
    formula = (
        f"max({rule.sampler_copies:g} x {rows} sequences x {shape.vocab_size} x 4 B, "
        f"forward pass of {profile_tokens(rule, serving)} tokens) and buffers of experts "
        f"= {gib(terms.activation)}"
    )
    source = f"{rule.source} ({rule.measurements} logs)"
    spread = int(rule.spread * terms.activation)
    return _term("activationBytes", terms.activation, spread, formula, source)


def _graphs(shape: ModelShape, rule: Graphs, serving: Serving, terms: Terms) -> MemoryTerm:
    size = largest_graph(rule, serving)
    kept = "charged to" if rule.charged else "outside"
    formula = (
        f"{len(shape.layers)} layers captured up to {size} sequences = {gib(terms.graphs)}, "
        f"{kept} the budget"
    )
    source = f"{rule.source} ({rule.measurements} logs)"
    spread = rule.spread_bytes if terms.graphs else 0
    return _term("cudaGraphBytes", terms.graphs, spread, formula, source)


def _measured(
    field: str, question: Question, parallelism: Parallelism, *, charged: bool
) -> MemoryTerm:
    rows = question.engine.non_torch if charged else question.engine.context
    row = overhead(rows, question, parallelism)
    when = "after" if charged else "before"
    formula = f"{gib(row.bytes)} taken outside PyTorch {when} the engine's baseline"
    source = f"{row.source} ({row.measurements} logs)"
    return _term(field, row.bytes, row.spread_bytes, formula, source)


def _cache(question: Question, serving: Serving, layout: Held, pool: Pool) -> MemoryTerm:
    dtype = cache_dtype(question.shape, serving, question.engine)
    tokens = serving.max_model_len
    if layout.blocks:
        width = layout.blocks.block_bytes(pool.terms.first, pool.terms.last)
        need = layout.blocks.request_blocks(tokens)
        formula = (
            f"{gib(pool.kv_bytes)} / {width} B per block = {pool.blocks} blocks of "
            f"{pool.block_size} tokens ({dtype}); {tokens} tokens take {need} blocks: "
            f"{pool.concurrency:.2f} requests"
        )
    else:
        formula = (
            f"{gib(pool.kv_bytes)} hold {pool.tokens} tokens ({dtype}): "
            f"{pool.concurrency:.2f} requests of {tokens}"
        )
    source = f"{question.engine.name} {question.engine.version}'s own planning"
    return _term("kvCacheBytes", pool.kv_bytes, pool.terms.uncertainty, formula, source)

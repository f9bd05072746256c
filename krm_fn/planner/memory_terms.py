"""The memory of one GPU term by term, with formula, numbers, range and source, for `explain`."""

from krm_fn.planner.activation import (
    activation_parts,
    feed_forward,
    feed_forward_made,
    largest_graph,
    profile_tokens,
    sampled_rows,
)
from krm_fn.planner.adapters import lora_terms
from krm_fn.planner.cache_terms import cache_terms
from krm_fn.planner.drafts import draft_terms
from krm_fn.planner.limits import Activation, Graphs
from krm_fn.planner.loading import encoder_term
from krm_fn.planner.memory_fraction import fraction_made
from krm_fn.planner.memory_pool import Pool, held
from krm_fn.planner.memory_term import MemoryTerm, count, logs
from krm_fn.planner.plan import Parallelism, Question, Serving
from krm_fn.planner.serving import first_serving
from krm_fn.planner.terms import WEIGHTS, Terms, matching, overhead, sharing_experts
from krm_fn.planner.weight_terms import weight_terms
from krm_fn.units import gib

__all__ = ["MemoryTerm", "memory_terms"]


def memory_terms(
    question: Question, parallelism: Parallelism, serving: Serving
) -> tuple[MemoryTerm, ...]:
    """The terms of the GPU with the smallest KV pool, in the order they are subtracted."""
    layout = held(question, parallelism, serving)
    pools = layout.pools(serving.max_model_len)
    pool = min(pools, key=lambda p: (p.concurrency, p.kv_bytes))
    terms = pool.terms
    rule = matching(question.engine.activation, question, parallelism)
    graphs = matching(question.engine.graphs, question, parallelism)
    return (
        _budget(question, parallelism, serving, terms),
        _weights(terms),
        *weight_terms(question, parallelism, serving, terms),
        *encoder_term(question),
        *lora_terms(question, parallelism, serving, terms.first, terms.last),
        *draft_terms(question, parallelism, serving, last=terms.last == len(question.shape.layers)),
        *((_activation(question, parallelism, rule, serving, terms),) if rule else ()),
        _measured("non_torch_bytes", question, parallelism, charged=True),
        *((_graphs(question, parallelism, graphs, serving, terms),) if graphs else ()),
        *cache_terms(question, serving, layout, pool),
        _measured("context_bytes", question, parallelism, charged=False),
        _uncertainty(terms),
        _margin(pools, serving.max_model_len),
    )


def _budget(
    question: Question, parallelism: Parallelism, serving: Serving, terms: Terms
) -> MemoryTerm:
    base = f"{count(terms.total)} B"
    if question.engine.memory_basis == "free":
        base = f"({base} - {count(terms.context)} B of context and communicators)"
    first = first_serving(question, parallelism)
    own = first.memory_fraction == serving.memory_fraction
    made = fraction_made(question, parallelism, first) if own else ""
    return MemoryTerm(
        field="budget_bytes",
        amount=terms.budget,
        formula=f"{base} x {serving.memory_fraction:g} = {count(terms.budget)} B{made}",
        source="the engine's memory fraction",
    )


def _weights(terms: Terms) -> MemoryTerm:
    return MemoryTerm(
        field="weights_bytes",
        amount=terms.weights,
        spread=int(WEIGHTS.spread * terms.weights),
        formula=f"the sum of the classes = {count(terms.weights)} B",
        source=f"{WEIGHTS.source} ({logs(WEIGHTS.measurements)})",
    )


def _activation(
    question: Question, parallelism: Parallelism, rule: Activation, serving: Serving, terms: Terms
) -> MemoryTerm:
    last = terms.last == len(question.shape.layers)
    shared = sharing_experts(question, parallelism)
    parts = activation_parts(question.shape, rule, parallelism, serving, last=last, copies=shared)
    tokens = profile_tokens(rule, serving)
    rows = sampled_rows(question.shape, rule, serving, last=last)
    blocks = feed_forward(question.shape, rule, parallelism, serving, shared)
    dense, experts = feed_forward_made(blocks)
    states = count(int(parts.states))
    wide = " or ".join(text for text in (dense, "" if parts.resident else experts) if text)
    more = "".join(
        f" + {count(int(size))} B {what}"
        for size, what in (
            (parts.resident, f"of expert buffers ({experts})"),
            (parts.encoder, f"of encoder output ({rule.encoder_copies:g} x {states} B)"),
            (parts.constant, "at all times"),
        )
        if size
    )
    formula = (
        f"max(sampler {rule.sampler_copies:g} x {rows} sequences x {question.shape.vocab_size} x "
        f"4 B + {states} B of {tokens} hidden states = {count(int(parts.sampler))} B, forward pass "
        f"{parts.kept:g} x {states} B + {count(int(parts.block))} B of the widest feed-forward"
        f"{f' ({wide})' if wide and parts.block else ''} = "
        f"{count(int(parts.forward))} B){more} = {count(terms.activation)} B"
    )
    return MemoryTerm(
        field="activation_bytes",
        amount=terms.activation,
        spread=int(rule.spread * terms.activation),
        formula=formula,
        source=f"{rule.source} ({logs(rule.measurements)})",
    )


def _graphs(
    question: Question, parallelism: Parallelism, rule: Graphs, serving: Serving, terms: Terms
) -> MemoryTerm:
    layers = len(question.shape.layers) / parallelism.pipeline
    kept = (
        f"{count(terms.charged_graphs)} B of it charged to" if terms.charged_graphs else "outside"
    )
    experts = f" + {count(rule.expert_bytes)}" if question.shape.is_moe else ""
    formula = (
        f"({count(rule.base_bytes)} + {layers:g} layers x {count(rule.layer_bytes)}{experts}) B x "
        f"{largest_graph(rule, serving)} / 512 sequences = {count(terms.graphs)} B, {kept} the "
        "budget"
    )
    return MemoryTerm(
        field="cuda_graph_bytes",
        amount=terms.graphs,
        spread=rule.spread_bytes if terms.graphs else 0,
        formula=formula if terms.graphs else "no CUDA graphs are captured",
        source=f"{rule.source} ({logs(rule.measurements)})",
    )


def _measured(
    field: str, question: Question, parallelism: Parallelism, *, charged: bool
) -> MemoryTerm:
    rows = question.engine.non_torch if charged else question.engine.context
    row = overhead(rows, question, parallelism)
    when = "after" if charged else "before"
    return MemoryTerm(
        field=field,
        amount=row.bytes,
        spread=row.spread_bytes,
        formula=f"{count(row.bytes)} B taken outside PyTorch {when} the engine's baseline",
        source=f"{row.source} ({logs(row.measurements)})",
    )


def _uncertainty(terms: Terms) -> MemoryTerm:
    squares = " + ".join(
        f"{count(int(s.bytes))}^2 of {s.what} ({logs(s.measurements)})" for s in terms.spreads
    )
    return MemoryTerm(
        field="uncertainty_bytes",
        amount=terms.uncertainty,
        formula=f"square root of {squares} = {count(terms.uncertainty)} B",
        source="each term's measured spread, independent of the others'",
    )


def _margin(pools: tuple[Pool, ...], tokens: int) -> MemoryTerm:
    """The least of what is left, with all candidates."""
    outside = min(pool.terms.headroom for pool in pools)
    inside = min(pool.spare_bytes for pool in pools)
    return MemoryTerm(
        field="margin_bytes",
        amount=min(pool.margin_bytes for pool in pools),
        formula=f"the least of {_outside(pools)} = {gib(outside)} left on the GPU outside the "
        f"budget; {_spare(pools, tokens)}{gib(inside)} of KV cache beyond one request of the full "
        f"context{_rehearsed(pools)}",
        source="planner/memory_pool.py",
    )


def _outside(pools: tuple[Pool, ...]) -> str:
    """Total - context - budget - what of graphs and activations the budget does not hold."""
    terms = min((pool.terms for pool in pools), key=lambda terms: terms.headroom)
    rest = (
        (terms.graphs - terms.charged_graphs, " of graphs"),
        (terms.resident, " after the profile run"),
        (0 if terms.activation_charged else terms.activation, " of activations"),
    )
    parts = [count(size) for size in (terms.total, terms.context, terms.budget)]
    return " - ".join((*parts, *(f"{count(size)}{what}" for size, what in rest if size)))


def _spare(pools: tuple[Pool, ...], tokens: int) -> str:
    """(blocks - the null block - those of one request) x bytes of a block; or requests x tokens."""
    pool = min(pools, key=lambda pool: pool.spare_bytes)
    if pool.token_bytes:
        held = f"({pool.concurrency:.7g} requests - 1)"
        return f"{held} x {count(tokens)} tokens x {count(pool.token_bytes)} B = "
    if not pool.block_bytes or not pool.concurrency:
        return ""
    need = round(pool.blocks / pool.concurrency)
    null = " - 1 that is never given away" if pool.usable < pool.concurrency else ""
    return f"({count(pool.blocks)} blocks{null} - {count(need)}) x {count(pool.block_bytes)} = "


def _rehearsed(pools: tuple[Pool, ...]) -> str:
    """What the rehearsal of CUDA graphs leaves: total - context - other - weights - its cache."""
    found = [pool for pool in pools if pool.rehearsal_bytes is not None]
    if not found:
        return ""
    pool = min(found, key=lambda pool: pool.rehearsal_bytes or 0)
    terms = pool.terms
    parts = (terms.total, terms.context, terms.non_torch, terms.weights)
    sizes = " - ".join(count(size) for size in parts)
    cache = f"{terms.rehearsed} blocks x {count(pool.block_bytes)}"
    left = gib(pool.rehearsal_bytes or 0)
    return (
        f"; {sizes} - {cache} = {left} while CUDA graphs are captured before the KV cache is sized"
    )

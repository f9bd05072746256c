"""The KV cache of one GPU: bytes per kind of layer, of a block, of a request."""

from collections import Counter

from krm_fn.planner.cache_spec import CacheSpec
from krm_fn.planner.cache_tokens import cells, window_cap
from krm_fn.planner.kv_cache import bytes_per_token, cache_dtype
from krm_fn.planner.memory_pool import Held, Pool
from krm_fn.planner.memory_term import MemoryTerm, count
from krm_fn.planner.plan import Question, Serving

KINDS = {
    "full": "all tokens are kept",
    "window": "sliding window of {reach} tokens",
    "chunk": "chunks of {reach} tokens",
    "cross": "the encoder's tokens are kept",
}


def cache_terms(
    question: Question, serving: Serving, layout: Held, pool: Pool
) -> tuple[MemoryTerm, ...]:
    """Bytes left for the cache, bytes per kind of layer, and what they come to."""
    source = f"{question.engine.name} {question.engine.version}'s own planning"
    dtype = cache_dtype(question.shape, serving, question.engine)
    lines = (
        available(pool),
        *layer_terms(layout, pool, dtype),
        per_token(layout, pool),
        *(block_terms if layout.blocks else token_terms)(serving, layout, pool),
    )
    return tuple(
        MemoryTerm(
            field=line.field,
            amount=line.amount,
            formula=line.formula,
            unit=line.unit,
            spread=line.spread,
            source=line.source or source,
        )
        for line in lines
    )


def available(pool: Pool) -> MemoryTerm:
    """Budget less all that is charged to it; a pool of tokens keeps whole pages of it."""
    terms = pool.terms
    parts = [count(terms.budget), count(terms.weights)]
    parts += [count(terms.activation)] if terms.activation_charged else []
    parts += [count(x) for x in (terms.non_torch, terms.charged_graphs) if x]
    text = f"{' - '.join(parts)} = {count(terms.available)} B"
    if pool.kv_bytes != terms.available:
        text += f", of which whole tokens and states take {count(pool.kv_bytes)} B as KV"
    return MemoryTerm(
        field="kv_cache_bytes", amount=pool.kv_bytes, formula=text, spread=terms.uncertainty
    )


def layer_terms(layout: Held, pool: Pool, dtype: str) -> tuple[MemoryTerm, ...]:
    """One line per kind of cache layer of the stage."""
    stage = layout.specs[pool.terms.first : pool.terms.last]
    kinds = Counter(spec for layer in stage for spec in layer)
    return tuple(_layers(spec, number, dtype) for spec, number in kinds.items())


def _layers(spec: CacheSpec, number: int, dtype: str) -> MemoryTerm:
    if spec.kind == "state":
        size = number * spec.state_bytes
        text = f"{number} layers x {count(spec.state_bytes)} B of state per request"
        field = "kv_cache_bytes_per_request.state"
        return MemoryTerm(field=field, amount=size, formula=f"{text} = {count(size)} B")
    size = number * spec.token_bytes // spec.ratio
    made = f" ({_elements(spec)}, {dtype})" if spec.width else ""
    shared = f" / {spec.ratio} tokens of one entry" if spec.ratio > 1 else ""
    kept = KINDS[spec.kind].format(reach=spec.reach)
    text = f"{number} layers x {count(spec.token_bytes)} B{made}{shared} = {count(size)} B; {kept}"
    return MemoryTerm(field=f"kv_cache_bytes_per_token.{spec.kind}", amount=size, formula=text)


def _elements(spec: CacheSpec) -> str:
    heads = "1 latent" if spec.latent else f"{spec.heads} KV head" + "s" * (spec.heads > 1)
    size = spec.token_bytes / (spec.heads * spec.width)
    plain = f" x {size:g} B" if size in (0.5, 1, 2, 4) else ""
    return f"{heads} x {spec.width} elements{plain}"


def per_token(layout: Held, pool: Pool) -> MemoryTerm:
    size = bytes_per_token(layout.specs[pool.terms.first : pool.terms.last])
    text = f"{count(size)} B, every layer whose cache grows counted in full"
    return MemoryTerm(field="kv_cache_bytes_per_token", amount=size, formula=text)


def block_terms(serving: Serving, layout: Held, pool: Pool) -> tuple[MemoryTerm, ...]:
    """Blocks of equal pages: how many there are, how many one request takes."""
    blocks, tokens = layout.blocks, serving.max_model_len
    if not blocks:
        return ()
    first, last = pool.terms.first, pool.terms.last
    width, need = blocks.block_bytes(first, last), blocks.request_blocks(tokens)
    pages = " + ".join(
        f"{count(blocks.group_blocks(group, tokens))} ({len(group.layers)} {group.spec.kind})"
        for group in blocks.groups
    )
    return (
        MemoryTerm(
            field="kv_cache_blocks",
            amount=pool.blocks,
            unit="blocks",
            formula=f"{count(max(0, pool.terms.available))} B / {count(width)} B per block of "
            f"{pool.block_size} tokens, rounded down",
        ),
        MemoryTerm(
            field="kv_cache_tokens",
            amount=pool.tokens,
            unit="tokens",
            formula=printed(layout, pool, tokens),
        ),
        MemoryTerm(
            field="max_concurrency",
            amount=round(pool.concurrency, 2),
            unit="requests",
            formula=f"{count(pool.blocks)} blocks / {count(need)} that {count(tokens)} tokens "
            f"take, by group of layers {pages}",
        ),
    )


def printed(layout: Held, pool: Pool, tokens: int) -> str:
    """What the version's log calls tokens."""
    rules = layout.question.engine.cache
    groups = len(layout.blocks.groups) if layout.blocks else 1
    return {
        "blocks": f"{count(pool.blocks)} blocks x {pool.block_size}",
        "groups": f"{count(pool.blocks)} blocks / {groups} groups, rounded down, x "
        f"{pool.block_size}",
        "capacity": f"{pool.concurrency:.6g} requests x {count(tokens)} tokens, as this version "
        "prints it",
    }[rules.printed]


def token_terms(serving: Serving, layout: Held, pool: Pool) -> tuple[MemoryTerm, ...]:
    """One pool of tokens."""
    rules, tokens = layout.question.engine.cache, serving.max_model_len
    layers = layout.specs[pool.terms.first : pool.terms.last]
    cell, cap = cells(layers), window_cap(layers, rules, layout.page, layout.batch)
    width = f"{count(cell.full_bytes)} B"
    if cell.window_bytes and cap is None:
        width = f"({width} + {rules.window_share:g} x {count(cell.window_bytes)} B of windows)"
    slots = f"{layout.batch.requests + 1} x " if rules.by_requests else ""
    each = "" if rules.by_requests else " per state slot"
    states = f" after {slots}{count(cell.state_bytes)} B{each}" if cell.state_bytes else ""
    if cap is not None:
        states += f" - {count(cap)} tokens x {count(cell.window_bytes)} B of windows"
    cached = bool(cell.full_bytes or cell.window_bytes)
    pages = f"{count(pool.terms.available)} B{states} / {width}, in whole pages of {layout.page}"
    least = f"{count(pool.tokens)} / {count(tokens)} tokens, no more than windows and state slots"
    slot = f"{count(pool.kv_bytes)} B / {rules.states_per_request} x {count(cell.state_bytes)} B"
    return (
        MemoryTerm(
            field="kv_cache_tokens",
            amount=pool.tokens,
            unit="tokens",
            formula=pages if cached else "the context: states do not grow with tokens",
        ),
        MemoryTerm(
            field="max_concurrency",
            amount=round(pool.concurrency, 2),
            unit="requests",
            formula=f"{least} allow" if cached else f"{slot} of state slots",
        ),
    )

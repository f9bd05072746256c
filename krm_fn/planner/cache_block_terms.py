"""A KV cache of blocks in figures: one block, how many there are, how many one request takes."""

from collections import Counter

from krm_fn.planner.cache_blocks import Blocks, Group
from krm_fn.planner.memory_pool import Held, Pool
from krm_fn.planner.memory_term import MemoryTerm, count
from krm_fn.planner.plan import Serving


def block_terms(serving: Serving, layout: Held, pool: Pool) -> tuple[MemoryTerm, ...]:
    """Blocks of equal pages: how many there are, how many one request takes."""
    blocks, tokens = layout.blocks, serving.max_model_len
    if not blocks:
        return ()
    first, last = pool.terms.first, pool.terms.last
    width, need = blocks.block_bytes(first, last), blocks.request_blocks(tokens)
    alike = Counter(group_pages(blocks, group, tokens) for group in blocks.groups)
    pages = " + ".join(f"{n} x ({text})" if n > 1 else text for text, n in alike.items())
    return (
        MemoryTerm(
            field="kv_cache_blocks.size",
            amount=width,
            formula=block_made(layout, blocks, first, last),
        ),
        MemoryTerm(
            field="kv_cache_blocks",
            amount=pool.blocks,
            unit="blocks",
            formula=f"{count(max(0, pool.terms.available))} B / {count(width)} B per block of "
            f"{count(pool.block_size)} tokens, rounded down",
        ),
        MemoryTerm(
            field="kv_cache_tokens",
            amount=pool.tokens,
            unit="tokens",
            formula=printed(layout, pool, tokens, need),
        ),
        MemoryTerm(
            field="max_concurrency",
            amount=round(pool.concurrency, 2),
            unit="requests",
            formula=f"{count(pool.blocks)} blocks / {count(need)} that {count(tokens)} tokens "
            f"take, by group of layers {pages}",
        ),
    )


def block_made(layout: Held, blocks: Blocks, first: int, last: int) -> str:
    """Bytes of one block: the pages of the layers of the widest group, and why a page is so large.

    Groups take turns in the same memory, so that the widest one decides.
    """
    widest = max(blocks.groups, key=lambda group: group.pages(first, last))
    sizes = widest.layer_pages or (widest.page_bytes,) * len(widest.layers)
    pairs = zip(widest.layers, sizes, strict=True)
    pages = Counter(size for layer, size in pairs if first <= layer < last)
    made = " + ".join(f"{times} layers x {count(size)} B" for size, times in pages.items())
    width = count(widest.pages(first, last))
    groups = f", the widest of {len(blocks.groups)} groups" if len(blocks.groups) > 1 else ""
    return f"{made} a page = {width} B{groups}{_raised(layout, blocks)}"


def _raised(layout: Held, blocks: Blocks) -> str:
    """Why a block of a hybrid holds more tokens than usual."""
    states = [group.spec.state_bytes for group in blocks.groups if group.spec.kind == "state"]
    whole = next((group for group in blocks.groups if group.spec.kind == "full"), None)
    if not states or whole is None or whole.block_size <= layout.page:
        return ""
    step = max(layout.page, blocks.rules.latent_align if whole.spec.latent else layout.page)
    step = max(step, 0 if whole.spec.latent else blocks.rules.state_align)
    return (
        f"; a page of {count(whole.block_size)} tokens x {count(whole.spec.token_bytes)} B is the "
        f"least of whole {step} tokens that holds a state of {count(max(states))} B"
    )


def _states(blocks: Blocks, group: Group, whole: str) -> str:
    """States of one request: see Blocks.group_blocks."""
    rules = blocks.rules
    mode = rules.state_mode if blocks.block_size else "none"
    if mode == "all":
        return f"{whole} / {count(group.block_size)}"
    checkpoints = group.spec.checkpoints if mode == "align" else 0
    more = ((checkpoints, "checkpoint"), (rules.draft_tokens, "for drafted tokens"))
    first = "2 with prefix caching" if mode == "align" else "1"
    return " + ".join((first, *(f"{number} {what}" for number, what in more if number)))


def group_pages(blocks: Blocks, group: Group, tokens: int) -> str:
    """`964 = 262,144 / 272 (12 full)`: blocks of one request in a group of layers."""
    number, size = blocks.group_blocks(group, tokens), count(group.block_size)
    flight, reach = count(blocks.in_flight_tokens), count(group.spec.reach)
    whole = count(tokens)
    made = {
        "full": f" = {whole} / {size}",
        "window": f" = min({reach} - 1 + {flight} in flight, {whole}) / {size} + 1",
        "chunk": f" = min({reach} + {flight} in flight, {whole}) / {size}",
        "cross": f" = {count(blocks.encoder_tokens)} / {size}",
        "state": f" = {_states(blocks, group, whole)}",
    }[group.spec.kind]
    return f"{count(number)}{made} ({len(group.layers)} {group.spec.kind})"


def printed(layout: Held, pool: Pool, tokens: int, need: int) -> str:
    """What the version's log calls tokens."""
    rules = layout.question.engine.cache
    groups = len(layout.blocks.groups) if layout.blocks else 1
    return {
        "blocks": f"{count(pool.blocks)} blocks x {pool.block_size}",
        "groups": f"{count(pool.blocks)} blocks / {groups} groups, rounded down, x "
        f"{pool.block_size}",
        "capacity": f"{count(pool.blocks)} blocks / {count(need)} of one request x "
        f"{count(tokens)} tokens, as this version prints it",
    }[rules.printed]

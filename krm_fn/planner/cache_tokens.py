"""A KV cache of one pool of tokens: SGLang's cell sizes, window pools and state slots.

Source: sglang/srt/model_executor/pool_configurator.py and mem_cache/kv_cache_configurator.py
(0.5.23).
"""

from dataclasses import dataclass

from krm_fn.planner.cache_spec import CacheSpec
from krm_fn.planner.limits import CacheRules

Layers = tuple[tuple[CacheSpec, ...], ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class TokenPool:
    """Tokens of the full-attention pool, of the window pool, slots of states; bytes of KV, or of
    the states where there is nothing else.
    """

    tokens: int
    window_tokens: int
    state_slots: int
    kv_bytes: int
    cell_bytes: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Batch:
    """What the scheduler may have in flight: sequences, and tokens of a prefill chunk."""

    requests: int = 1
    prefill_tokens: int = 0


ONE = Batch()


@dataclass(frozen=True, kw_only=True, slots=True)
class Cells:
    """Bytes per token of full and of window layers, bytes per request of states, of one stage."""

    full_bytes: int
    window_bytes: int
    state_bytes: int


def cells(layers: Layers) -> Cells:
    """max(1, kv_heads // attn_tp) x (head_dim + v_head_dim) x layers x bytes, by kind of layer
    (DefaultPoolConfigurator._compute_cell_size); chunked layers count in full.
    """
    found = [spec for specs in layers for spec in specs]
    window = sum(x.token_bytes // x.ratio for x in found if x.kind == "window")
    full = sum(x.token_bytes // x.ratio for x in found if x.kind in ("full", "chunk"))
    states = sum(spec.state_bytes for spec in found if spec.kind == "state")
    return Cells(full_bytes=full, window_bytes=window, state_bytes=states)


def state_slots(rest_bytes: int, state_bytes: int, rules: CacheRules, batch: Batch) -> int:
    """Slots of states: (rest x r / (1 + r) - one) // bytes per request, r = 0.9; one pads the pool
    (_handle_max_mamba_cache, 0.5.23). Without prefix caching one per running request.
    """
    if not state_bytes:
        return 0
    if rules.by_requests:
        return batch.requests
    budget = rest_bytes * rules.state_share / (1 + rules.state_share)
    return max(0, int((budget - state_bytes) // state_bytes))


def window_cap(layers: Layers, rules: CacheRules, page: int, batch: Batch) -> int | None:
    """Tokens of the window pool when it follows the batch limit; None = it has its share.

    requests x (window + 128 until eviction + 2 pages) + 2 prefill chunks + a page, in whole pages
    (compute_swa_request_cap, 0.5.14-0.5.23), where full layers stand beside the windows.
    """
    cell = cells(layers)
    slack = rules.window_slack
    if not rules.by_requests or slack is None or not (cell.window_bytes and cell.full_bytes):
        return None
    each = window_reach(layers) + slack + 2 * page
    tokens = batch.requests * each + 2 * batch.prefill_tokens + page
    return -(-tokens // page) * page


def window_reach(layers: Layers) -> int:
    return max((x.reach for specs in layers for x in specs if x.kind == "window"), default=0)


def token_pool(
    rest_bytes: int, layers: Layers, rules: CacheRules, page: int, batch: Batch = ONE
) -> TokenPool:
    """What fits into the rest of the static memory, states taken out first.

    tokens = rest / (full + share x window) in whole pages, share = 0.8 (HybridSWAPoolConfigurator);
    without full layers rest / window; with a window pool of its own size (rest - window) / full.
    Layers without attention leave all to the states, for any number of tokens
    (DefaultPoolConfigurator.calculate_pool_sizes: _zero_kv_max_tokens).
    """
    cell, cap = cells(layers), window_cap(layers, rules, page, batch)
    slots = state_slots(rest_bytes, cell.state_bytes, rules, batch)
    left = rest_bytes - (slots + 1) * cell.state_bytes - (cap or 0) * cell.window_bytes
    share = rules.window_share if cell.full_bytes else 1.0
    width = cell.full_bytes + (share * cell.window_bytes if cap is None else 0)
    tokens = int(max(0, left) // width) // page * page if width else 0
    window = int(share * tokens) // page * page if cell.window_bytes else 0
    window = window if cap is None else cap
    full = tokens if cell.full_bytes else 0
    return TokenPool(
        tokens=full or window,
        window_tokens=window,
        state_slots=slots,
        kv_bytes=full * cell.full_bytes + window * cell.window_bytes
        if width or cap
        else slots * cell.state_bytes,
        cell_bytes=cell.full_bytes + cell.window_bytes,
    )


def concurrency(pool: TokenPool, tokens: int, layers: Layers, rules: CacheRules) -> float:
    """How many requests of `tokens` fit: by tokens, by their windows, by state slots.

    Three slots of states per request with prefix caching, else one (kv_cache_configurator.py:
    _calculate_mamba_ratio, 0.5.23).
    """
    found = [spec for specs in layers for spec in specs]
    reach = window_reach(layers)
    limits = [pool.tokens / tokens] if pool.cell_bytes else []
    if reach:
        limits.append(pool.window_tokens / min(tokens, reach))
    if any(spec.kind == "state" for spec in found):
        limits.append(pool.state_slots / rules.states_per_request)
    return min(limits, default=0.0)

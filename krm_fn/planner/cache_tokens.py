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
    """Tokens of the full-attention pool, of the window pool, slots of states; bytes of KV."""

    tokens: int
    window_tokens: int
    state_slots: int
    kv_bytes: int
    cell_bytes: int


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


def state_slots(rest_bytes: int, state_bytes: int, rules: CacheRules) -> int:
    """Slots of states: (rest x r / (1 + r) - one) // bytes per request, r = 0.9; one pads the pool
    (_handle_max_mamba_cache, 0.5.23).
    """
    if not state_bytes:
        return 0
    budget = rest_bytes * rules.state_share / (1 + rules.state_share)
    return max(0, int((budget - state_bytes) // state_bytes))


def token_pool(rest_bytes: int, layers: Layers, rules: CacheRules, page: int) -> TokenPool:
    """What fits into the rest of the static memory, states taken out first.

    tokens = rest / (full + share x window) in whole pages, share = 0.8 (HybridSWAPoolConfigurator);
    without full layers rest / window.
    """
    cell = cells(layers)
    slots = state_slots(rest_bytes, cell.state_bytes, rules)
    left = rest_bytes - (slots + 1) * cell.state_bytes
    share = rules.window_share if cell.full_bytes else 1.0
    width = cell.full_bytes + share * cell.window_bytes
    tokens = int(max(0, left) // width) // page * page if width else 0
    window = int(share * tokens) // page * page if cell.window_bytes else 0
    full = tokens if cell.full_bytes else 0
    return TokenPool(
        tokens=full or window,
        window_tokens=window,
        state_slots=slots,
        kv_bytes=full * cell.full_bytes + window * cell.window_bytes,
        cell_bytes=cell.full_bytes + cell.window_bytes,
    )


def concurrency(pool: TokenPool, tokens: int, layers: Layers, rules: CacheRules) -> float:
    """How many requests of `tokens` fit: by tokens, by their windows, by state slots.

    Three slots of states per request with prefix caching (kv_cache_configurator.py, 0.5.23).
    """
    found = [spec for specs in layers for spec in specs]
    reach = max((spec.reach for spec in found if spec.kind == "window"), default=0)
    limits = [pool.tokens / tokens] if pool.cell_bytes else []
    if reach:
        limits.append(pool.window_tokens / min(tokens, reach))
    if any(spec.kind == "state" for spec in found):
        limits.append(pool.state_slots / rules.states_per_request)
    return min(limits, default=0.0)

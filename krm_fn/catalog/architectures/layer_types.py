"""The kind of each layer, in order, from the ways in which a config.json says so."""

from collections.abc import Callable
from typing import Any

from krm_fn.catalog.architectures.config import Config
from krm_fn.catalog.architectures.family import TypesOf
from krm_fn.catalog.architectures.faults import shown

FULL, SLIDING, CHUNKED, CROSS = (
    "full_attention",
    "sliding_attention",
    "chunked_attention",
    "cross_attention",
)
LINEAR, MAMBA, CONV, DENSE, MOE = "linear_attention", "mamba", "conv", "mlp", "moe"

_ALIASES: dict[str | int, str] = {
    "attention": FULL,
    "global": FULL,
    "local": SLIDING,
    "mamba2": MAMBA,
    "global_attention": FULL,
    "local_attention": SLIDING,
    "swa": SLIDING,
    "deepseek_sparse_attention": FULL,
    1: FULL,
    0: LINEAR,
}
KINDS = (FULL, SLIDING, CHUNKED, CROSS, LINEAR, MAMBA, CONV, DENSE, MOE)
_LETTERS = {"M": MAMBA, "*": FULL, "-": DENSE, "E": MOE}


def listed(otherwise: TypesOf) -> TypesOf:
    """`layer_types` where the file has one for every layer, else the family's own rule."""

    def types(config: Config) -> list[str]:
        given = config.get("layer_types")
        count = config.number("num_hidden_layers", len(given) if given else None)
        if not isinstance(given, list):
            return otherwise(config)
        if len(given) < count:
            text = f"must name each of the {count} layers; got {len(given)}"
            config.refuse("layer_types", text)
        return [_kind(config, kind) for kind in given[:count]]

    return types


def _kind(config: Config, given: Any) -> str:
    """The type that a file names; a fault where it is none of those that are planned."""
    kind = _ALIASES.get(given, given) if isinstance(given, str | int) else given
    if kind in KINDS:
        return str(kind)
    config.refuse("layer_types", f"must be of {', '.join(KINDS)}; got {shown(given)}")
    return FULL


def _all(config: Config, kind: str) -> list[str]:
    return [kind] * config.number("num_hidden_layers")


def _full(config: Config) -> list[str]:
    return _all(config, FULL)


def _windowed(config: Config) -> list[str]:
    return _all(config, SLIDING if config.get("sliding_window") else FULL)


def _if_used(config: Config) -> list[str]:
    """Qwen: a window only with `use_sliding_window`, in the layers from `max_window_layers` on."""
    first = config.number("max_window_layers", 0)
    used = config.flag("use_sliding_window") and bool(config.get("sliding_window"))
    count = config.number("num_hidden_layers")
    return [SLIDING if used and index >= first else FULL for index in range(count)]


def _by_rule(rule: Callable[[Config, int], str]) -> TypesOf:
    return lambda config: [rule(config, i) for i in range(config.number("num_hidden_layers"))]


def every(period: int, key: str, *, rest: str = SLIDING) -> TypesOf:
    """Full attention in every `period`-th layer (the key may say another period), else `rest`."""

    def rule(config: Config, index: int) -> str:
        return FULL if (index + 1) % (config.number(key, period) or 1) == 0 else rest

    return listed(_by_rule(rule))


def _alternating(config: Config, index: int) -> str:
    return FULL if index % 2 or not config.get("sliding_window") else SLIDING


def _llama4(config: Config, index: int) -> str:
    """Layers without rotary embedding attend to everything, the others within a chunk."""
    rope = config.get("no_rope_layers") or []
    local = rope[index] if index < len(rope) else (index + 1) % 4
    return CHUNKED if local and config.get("attention_chunk_size") else FULL


def _binary_pattern(config: Config, index: int) -> str:
    pattern = config.get("hybrid_layer_pattern") or []
    return SLIDING if index < len(pattern) and pattern[index] else FULL


def _period_offset(config: Config, index: int) -> str:
    """Jamba: attention in layers with index % period == offset, Mamba in the others."""
    period = config.number("attn_layer_period", 8)
    return FULL if index % period == config.number("attn_layer_offset", 4) else MAMBA


def _attention_indices(config: Config, index: int) -> str:
    return FULL if index in (config.get("attn_layer_indices") or []) else MAMBA


def _kimi(config: Config, index: int) -> str:
    linear = config.get("linear_attn_config") or {}
    return LINEAR if index + 1 in linear.get("kda_layers", ()) else FULL


def _cross(config: Config, index: int) -> str:
    return CROSS if index in (config.get("cross_attention_layers") or []) else FULL


def _lfm2(config: Config, index: int) -> str:
    full = config.get("full_attn_idxs")
    if full is None:
        config.missing["layer_types"] = None
    return FULL if index in (full or []) else CONV


def _exaone(config: Config, index: int) -> str:
    pattern = config.get("sliding_window_pattern")
    if not isinstance(pattern, str) or not config.get("sliding_window"):
        return FULL
    return SLIDING if pattern[index % len(pattern)] == "L" else FULL


def by_letters(config: Config) -> list[str]:
    """Nemotron-H: M Mamba-2, * attention, - dense block, E experts; one block a layer."""
    pattern = config.get("hybrid_override_pattern")
    if not pattern:
        config.missing["hybrid_override_pattern"] = None
    return [_LETTERS[letter] for letter in pattern or "" if letter in _LETTERS]


full = listed(_full)
windowed = listed(_windowed)
if_used = listed(_if_used)
alternating = listed(_by_rule(_alternating))
llama4 = listed(_by_rule(_llama4))
binary_pattern = listed(_by_rule(_binary_pattern))
period_offset = listed(_by_rule(_period_offset))
attention_indices = listed(_by_rule(_attention_indices))
kimi = _by_rule(_kimi)
cross = listed(_by_rule(_cross))
lfm2 = listed(_by_rule(_lfm2))
exaone = listed(_by_rule(_exaone))
letters = listed(by_letters)


def only(kind: str) -> TypesOf:
    return lambda config: _all(config, kind)

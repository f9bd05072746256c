"""What a config.json says that no model can be: who wrote it may have written anything."""

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

Json = Mapping[str, Any]
Fault = tuple[str | None, str]
"""The key it is about, dotted (None = the whole file), and what it must be."""

TEXT_PARTS = ("text_config", "llm_config", "language_config", "thinker_config", "talker_config")
MAPS = (
    *TEXT_PARTS,
    "vision_config",
    "quantization_config",
    "compression_config",
    "rope_scaling",
    "rope_parameters",
    "linear_attn_config",
    "attention_other_setting",
    "sparse_attention_config",
    "config_groups",
    "quantized_layers",
)
NESTED = (*TEXT_PARTS, "quantization_config", "compression_config")
"""Maps whose keys are held against the same lists."""
LISTS = (
    "architectures",
    "layer_types",
    "mlp_layer_types",
    "mlp_only_layers",
    "no_rope_layers",
    "hybrid_layer_pattern",
    "attn_layer_indices",
    "cross_attention_layers",
    "full_attn_idxs",
    "block_configs",
    "compress_ratios",
    "indexer_types",
)
VISION_SIZES = (
    "hidden_size",
    "embed_dim",
    "depth",
    "num_hidden_layers",
    "num_attention_heads",
    "intermediate_size",
)
POSITIVE = (
    "hidden_size",
    "num_hidden_layers",
    "num_attention_heads",
    "num_key_value_heads",
    "head_dim",
    "vocab_size",
    "max_position_embeddings",
    "intermediate_size",
    "attn_layer_period",
    "moe_layer_freq",
)
"""Sizes that are never 0, also where an architecture has a default for them."""
DTYPES = ("bfloat16", "float16", "float32", "half", "float", "auto")
LEAST = {"moe_layer_end_index": -1}
MOST = {"num_hidden_layers": 1024}
"""Layers are planned one by one; the deepest models have some 130."""
LARGEST = 2**31 - 1


class ModelConfigError(ValueError):
    """Every fault of a config.json."""

    def __init__(self, faults: Iterable[Fault]) -> None:
        self.faults = tuple(faults)
        super().__init__("; ".join(f"{key}: {text}" if key else text for key, text in self.faults))


def sound(raw: Json, above: str = "") -> tuple[dict[str, Any], tuple[Fault, ...]]:
    """The config without maps and lists that are none, and a fault for each of them."""
    found = {key: _structure(key, value) for key, value in raw.items()}
    faults: list[Fault] = [(f"{above}{key}", text) for key, text in found.items() if text]
    kept = {key: value for key, value in raw.items() if not found[key]}
    faults += _vision(kept.get("vision_config") or {}, f"{above}vision_config")
    for part in (part for part in NESTED if kept.get(part)):
        kept[part], more = sound(kept[part], f"{above}{part}.")
        faults += more
    return kept, tuple(faults)


def _vision(encoder: Json, path: str) -> list[Fault]:
    stated = ((key, encoder[key]) for key in VISION_SIZES if encoder.get(key) is not None)
    found = ((key, size_fault(key, value, 1, None)) for key, value in stated)
    return [(f"{path}.{key}", text) for key, text in found if text]


def _structure(key: str, value: Any) -> str | None:
    if value is None:
        return None
    if key in MAPS and not isinstance(value, Mapping):
        return f"must be a map; got {shown(value)}"
    if key in LISTS and not isinstance(value, list):
        return f"must be a list; got {shown(value)}"
    if key == "architectures" and not all(isinstance(name, str) for name in value):
        return "must be a list of names, such as [LlamaForCausalLM]"
    return None


def whole(value: Any) -> int | None:
    """A whole number, also where JSON has it as 4096.0; None = it is none."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return int(value) if isinstance(value, int) or value.is_integer() else None


def size_fault(meaning: str, value: Any, least: int, word: str | None) -> str | None:
    """Why a value is no size, if it is none; `word` = what the key says."""
    number, most = whole(value), MOST.get(meaning, LARGEST)
    if number is not None and least <= number <= most:
        return None
    bound = f"at most {most}" if number is not None and number > most else f"at least {least}"
    about = f" ({word})" if word else ""
    quoted = isinstance(value, str) and value.strip().isdigit()
    hint = f": remove the quotes, {value.strip()}" if quoted else ""
    return f"must be a whole number of {bound}{about}; got {shown(value)}{hint}"


def least_of(meaning: str, *, required: bool) -> int:
    """The smallest value that a key may have."""
    return LEAST.get(meaning, 1 if required or meaning in POSITIVE else 0)


def place(raw: Json, name: str) -> str:
    """Where a key of the text part stands: there, or at the top."""
    return next(_places(raw, name, ""), name)


def _places(raw: Json, name: str, above: str) -> Iterator[str]:
    """Inner ones first: they win."""
    for part in TEXT_PARTS:
        if isinstance(raw.get(part), Mapping):
            yield from _places(raw[part], name, f"{above}{part}.")
            break
    if raw.get(name) is not None:
        yield f"{above}{name}"


def shown(value: Any) -> str:
    """A value as JSON has it, cut when long."""
    if isinstance(value, dict | list):
        return "a map" if isinstance(value, dict) else "a list"
    text = json.dumps(value, default=str)
    return text if len(text) <= 80 else f'{text[:77]}..."'

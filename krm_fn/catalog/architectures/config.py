"""One config.json, asked by meaning: the names that architectures use for the same thing."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from krm_fn.catalog.architectures.faults import (
    DTYPES,
    TEXT_PARTS,
    Fault,
    least_of,
    place,
    shown,
    size_fault,
)

# meaning -> names in config.json, the first that is there counts
NAMES: Mapping[str, tuple[str, ...]] = {
    "hidden_size": ("hidden_size", "n_embd", "d_model", "dim", "n_embed", "model_dim"),
    "num_hidden_layers": ("num_hidden_layers", "n_layer", "n_layers", "num_layers"),
    "num_attention_heads": ("num_attention_heads", "n_head", "n_heads", "num_heads"),
    "num_key_value_heads": (
        "num_key_value_heads",
        "num_kv_heads",
        "n_head_kv",
        "multi_query_group_num",
        "num_attention_groups",
        "num_query_groups",
    ),
    "intermediate_size": (
        "intermediate_size",
        "n_inner",
        "ffn_dim",
        "ffn_hidden_size",
        "dense_intermediate_size",
        "d_ff",
    ),
    "vocab_size": ("vocab_size", "padded_vocab_size"),
    "max_position_embeddings": (
        "max_position_embeddings",
        "n_positions",
        "max_seq_len",
        "seq_length",
        "n_ctx",
        "max_sequence_length",
        "model_max_length",
    ),
    "head_dim": ("head_dim", "attention_head_dim", "kv_channels"),
    "num_experts": (
        "num_experts",
        "num_local_experts",
        "n_routed_experts",
        "moe_num_experts",
    ),
    "experts_per_token": (
        "num_experts_per_tok",
        "num_experts_per_token",
        "experts_per_token",
        "moe_k",
        "moe_top_k",
        "moe_topk",
        "top_k_experts",
    ),
    "moe_intermediate_size": (
        "moe_intermediate_size",
        "moe_ffn_hidden_size",
        "expert_ffn_hidden_size",
        "intermediate_size",
        "ffn_hidden_size",
    ),
    "shared_experts": (
        "n_shared_experts",
        "num_shared_experts",
        "num_shared_expert",
        "moe_num_shared_experts",
    ),
    "shared_intermediate_size": (
        "shared_expert_intermediate_size",
        "moe_shared_expert_intermediate_size",
        "shared_intermediate_size",
        "share_expert_dim",
        "moe_shared_expert_hidden_size",
    ),
    "mtp_layers": (
        "num_nextn_predict_layers",
        "num_mtp_modules",
        "mtp_num_hidden_layers",
        "num_mtp_layers",
    ),
    "latent_size": ("moe_latent_size", "routed_expert_hidden_size"),
    "dtype": ("dtype", "torch_dtype"),
    "layer_types": ("layer_types", "layers_block_type", "attn_type_list"),
}

WORDS: Mapping[str, str] = {
    "hidden_size": "width of the residual stream",
    "num_hidden_layers": "number of layers",
    "num_attention_heads": "number of query heads",
    "vocab_size": "rows of the embedding",
    "intermediate_size": "width of the dense feed-forward block",
    "max_position_embeddings": "longest context in tokens",
    "num_experts": "routed experts per layer",
    "experts_per_token": "experts that one token uses",
    "moe_intermediate_size": "width of one expert",
    "hybrid_override_pattern": "which layer is attention, Mamba, experts or dense",
    "layer_types": "the type of each layer",
    "kv_lora_rank": "width of the latent that MLA caches",
}

# keys that say something about the shape; the others (activations, tokens, sampling) do not
_SHAPE = re.compile(
    r"(^num_|_num_|size|_dim|dim_|layers|_rank|heads|_bias|experts|pattern|_freq|_ratios|groups)"
)
_NOT_SHAPE = re.compile(
    r"(token|batch|rope|chunk_size|vocab_size_|beam|return_seq|ep_size|capacity|router_aux|init|"
    r"max_window|logits_to_keep|norm_size|group_size|layer_scale|pad_|img_size|image_size|"
    r"attention_chunk|^sliding_window|residual|num_labels|moe_layer_start|sampl|n_group|"
    r"query_pre_attn|hidden_size_per_layer|swiglu|mrope|dynamic|_eps|max_length|mscale|"
    r"intermediate_size_mlp|mtp_layers|time_step|num_hash|spatial_merge|word_embed_proj)"
)


class Config:
    """The text part of a config.json over its top level; remembers what was asked and missing."""

    def __init__(self, raw: Mapping[str, Any], defaults: Mapping[str, Any] | None = None) -> None:
        self.raw = raw
        self.text = text_part(raw)
        self.defaults = dict(defaults or {})
        self.missing: dict[str, None] = {}
        self.wrong: dict[str, str] = {}
        self.asked: set[str] = set()

    def get(self, meaning: str, default: Any = None) -> Any:
        """The value under any of the names of `meaning`; JSON's null counts as absent."""
        names = NAMES.get(meaning, (meaning,))
        self.asked.update(names)
        for source in (self.text, self.defaults):
            for name in names:
                if source.get(name) is not None:
                    return source[name]
        return default

    def implied(self, *meanings: str) -> None:
        """Keys that say nothing more in this architecture."""
        for meaning in meanings:
            self.asked.update(NAMES.get(meaning, (meaning,)))

    def number(self, meaning: str, default: int | None = None) -> int:
        """A size that must be there unless it has a default; 0 stands in for a missing one."""
        value = self.get(meaning)
        if value is not None:
            return self._size(meaning, value, "", required=default is None)
        if default is None:
            self.missing[meaning] = None
        return default or 0

    def optional(self, meaning: str) -> int | None:
        """A size that may be absent; 0 and false say the same."""
        value = self.get(meaning)
        return self._size(meaning, value, "", required=False) if value else None

    def _size(self, meaning: str, value: Any, where: str, *, required: bool) -> int:
        """A wrong one is a fault, and the least one stands in for it, so that all are found."""
        least = least_of(meaning, required=required)
        fault = size_fault(meaning, value, least, WORDS.get(meaning))
        if fault is None:
            return int(value)
        self.wrong[self._place(meaning) + where] = fault
        return max(1, least)

    def dtype(self, meaning: str, default: str | None = None) -> str | None:
        """The name of a type, without torch's prefix."""
        value = self.get(meaning, default)
        name = None if value is None else str(value).removeprefix("torch.")
        if name is None or name in DTYPES:
            return name
        self.refuse(meaning, f"must be one of {', '.join(DTYPES)}; got {shown(value)}")
        return default

    def refuse(self, meaning: str, text: str) -> None:
        """A fault of the key that stands for a meaning."""
        self.wrong[self._place(meaning)] = text

    def understood(self, *meanings: str) -> bool:
        """Whether none of them has a fault, so that they can be held against each other."""
        places = tuple(self._place(meaning) for meaning in meanings)
        return not any(key.startswith(places) for key in self.wrong)

    def _place(self, meaning: str) -> str:
        names = NAMES.get(meaning, (meaning,))
        name = next((name for name in names if self.text.get(name) is not None), meaning)
        return place(self.raw, name)

    def flag(self, trait: bool | str) -> bool:  # noqa: FBT001 - a trait is a flag or the key of one
        """A trait of a family: a fixed truth, or the name of the key that says so."""
        return bool(self.get(trait)) if isinstance(trait, str) else trait

    def indexed(self, meaning: str, index: int, default: int | None = None) -> int:
        """Like `number`, of a key that may hold one value per layer."""
        value = self.get(meaning, default)
        if not isinstance(value, list) or not value:
            return self.number(meaning, default)
        at = min(index, len(value) - 1)
        return self._size(meaning, value[at], f"[{at}]", required=default is None)

    def faults(self, name: str) -> tuple[Fault, ...]:
        """Keys that are wrong, each; then in one line those that the architecture lacks."""
        lacking = f"config.json of {name} lacks {explained(self.missing)}"
        return (*self.wrong.items(), *(((None, lacking),) if self.missing else ()))

    def leftovers(self) -> tuple[str, ...]:
        """Keys that look like shape, say something, and that nothing asked for."""
        return tuple(
            key
            for key, value in self.text.items()
            if key not in self.asked
            and not isinstance(value, (dict, str))
            and value not in (None, False, 0, [], 1)
            and _SHAPE.search(key)
            and not _NOT_SHAPE.search(key)
        )


def text_part(raw: Mapping[str, Any]) -> dict[str, Any]:
    """The language model's keys, over those of the top level."""
    merged = {k: v for k, v in raw.items() if k not in TEXT_PARTS and not k.endswith("_config")}
    if "linear_attn_config" in raw:
        merged["linear_attn_config"] = raw["linear_attn_config"]
    for name in TEXT_PARTS:
        if isinstance(raw.get(name), Mapping):
            inner = text_part(raw[name])
            return merged | {k: v for k, v in inner.items() if v is not None}
    return merged | {k: v for k, v in raw.items() if k.endswith("_config")}


def explained(missing: Iterable[str]) -> str:
    """Missing keys for a person: `vocab_size (rows of the embedding), ...`."""
    return ", ".join(f"`{key}` ({WORDS[key]})" if key in WORDS else f"`{key}`" for key in missing)

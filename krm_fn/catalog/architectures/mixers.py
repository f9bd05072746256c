"""What mixes tokens in a layer: softmax attention and latent attention."""

from collections.abc import Mapping
from dataclasses import replace

from krm_fn.catalog.architectures.config import Config
from krm_fn.catalog.architectures.family import Mixer, MixerOf
from krm_fn.catalog.architectures.layer_types import CHUNKED, CROSS, FULL, SLIDING
from krm_fn.catalog.shape import Attention, Mla

Trait = bool | str


def head_dim(config: Config) -> int:
    """Stated, else hidden size over heads."""
    heads, hidden = config.number("num_attention_heads"), config.number("hidden_size")
    known = config.understood("num_attention_heads", "hidden_size")
    if config.get("head_dim") is None and known and hidden % max(heads, 1):
        text = f"must divide hidden_size {hidden} where head_dim is not stated; got {heads}"
        config.refuse("num_attention_heads", text)
    return config.number("head_dim", hidden // max(heads, 1))


def _kv_heads(config: Config, index: int) -> int:
    """`num_key_value_heads`, one for multi-query models, else as many as query heads."""
    old_falcon = config.flag("multi_query") and not config.flag("new_decoder_architecture")
    heads = config.indexed("num_attention_heads", index)
    count = 1 if old_falcon else config.indexed("num_key_value_heads", index, heads)
    if count > heads and config.understood("num_attention_heads"):
        text = f"must be at most the number of query heads, {heads}; got {count}"
        config.refuse("num_key_value_heads", text)
    return count


def _windows(config: Config, kind: str) -> dict[str, int | None]:
    window = config.optional("sliding_window") or config.optional("sliding_window_size")
    chunk = config.optional("attention_chunk_size")
    return {
        "window": window if kind == SLIDING else None,
        "chunk": chunk if kind == CHUNKED else None,
    }


def attention(
    *,
    qkv_bias: Trait = False,
    o_bias: Trait = False,
    qk_norm: Trait = False,
    whole_norm: bool = False,
    output_gate: Trait = False,
    sinks: bool = False,
    head_gate: bool = False,
) -> MixerOf:
    """Attention of the family's biases and norms; `whole_norm` = over all heads together."""

    def mixer(config: Config, index: int, kind: str) -> Attention:
        dim = head_dim(config)
        return Attention(
            num_heads=config.indexed("num_attention_heads", index),
            num_kv_heads=_kv_heads(config, index),
            head_dim=dim,
            v_head_dim=config.number("v_head_dim", dim),
            qkv_bias=config.flag(qkv_bias),
            o_bias=config.flag(o_bias),
            qk_norm=config.flag(qk_norm),
            qk_norm_per_head=not whole_norm,
            output_gate=config.flag(output_gate),
            sinks=sinks,
            head_gate=head_gate,
            cross=kind == CROSS,
            **_windows(config, kind),  # type: ignore[arg-type]
        )

    return mixer


def by_kind(table: Mapping[str, MixerOf], otherwise: MixerOf) -> MixerOf:
    """The mixer that the table has for the kind of layer."""

    def mixer(config: Config, index: int, kind: str) -> Mixer:
        return table.get(kind, otherwise)(config, index, kind)

    return mixer


def nothing(_: Config, __: int, ___: str) -> None:
    return None


def mla(config: Config, index: int, _: str) -> Mla:
    """DeepSeek's latent attention; an indexer where the config has one."""
    heads = config.optional("index_n_heads")
    types = config.get("indexer_types") or []
    config.implied("num_key_value_heads", "head_dim", "qk_head_dim", "index_topk_freq")
    return Mla(
        num_heads=config.number("num_attention_heads"),
        kv_lora_rank=config.number("kv_lora_rank"),
        qk_rope_head_dim=config.number("qk_rope_head_dim"),
        qk_nope_head_dim=config.number("qk_nope_head_dim"),
        v_head_dim=config.number("v_head_dim"),
        q_lora_rank=config.optional("q_lora_rank"),
        index_heads=heads,
        index_head_dim=config.number("index_head_dim") if heads else None,
        index_topk=config.number("index_topk") if heads else None,
        index_shared=_index_shared(config, index, types) if heads else False,
        output_gate=config.flag("mla_use_output_gate"),
    )


def _index_shared(config: Config, index: int, types: list[str]) -> bool:
    """GLM-5.2: after an offset only every `index_topk_freq`-th layer has its own indexer.

    transformers 5.19 glm_moe_dsa: `indexer_types`, else from frequency and offset.
    """
    if index < len(types):
        return types[index] == "shared"
    freq, offset = config.number("index_topk_freq", 1), config.number("index_skip_topk_offset", 2)
    return freq > 1 and max(index - offset + 1, 0) % freq != 0


def deepseek_v4(config: Config, index: int, _: str) -> Mla:
    """One shared K=V head of `head_dim`, a window, and a compressed cache beside it."""
    dim, rope = config.number("head_dim", 512), config.number("qk_rope_head_dim", 64)
    ratios = config.get("compress_ratios") or []
    ratio = int(ratios[index]) if index < len(ratios) else 0
    if not ratios:
        config.missing["compress_ratios"] = None
    indexed = ratio == 4
    return Mla(
        num_heads=config.number("num_attention_heads"),
        kv_lora_rank=dim - rope,
        qk_rope_head_dim=rope,
        qk_nope_head_dim=dim - rope,
        v_head_dim=dim,
        q_lora_rank=config.number("q_lora_rank"),
        index_heads=config.number("index_n_heads") if indexed else None,
        index_head_dim=config.number("index_head_dim") if indexed else None,
        index_topk=config.number("index_topk") if indexed else None,
        window=config.number("sliding_window", 128),
        compress_ratio=ratio,
        o_groups=config.number("o_groups", 8),
        o_lora_rank=config.number("o_lora_rank", 1024),
    )


def mimo_v2(config: Config, _: int, kind: str) -> Attention:
    """Sliding layers have their own number and size of heads (MiMo V2)."""
    prefix = "swa_" if kind == SLIDING else ""
    dim = config.number(prefix + "head_dim", config.number("head_dim"))
    return Attention(
        num_heads=config.number(
            prefix + "num_attention_heads", config.number("num_attention_heads")
        ),
        num_kv_heads=config.number(
            prefix + "num_key_value_heads", config.number("num_key_value_heads")
        ),
        head_dim=dim,
        v_head_dim=config.number(prefix + "v_head_dim", config.number("v_head_dim", dim)),
        qkv_bias=config.flag("attention_bias"),
        sinks=config.flag(
            "add_swa_attention_sink_bias" if kind == SLIDING else "add_full_attention_sink_bias"
        ),
        window=_windows(config, kind)["window"],
    )


def gemma4(config: Config, index: int, kind: str) -> Attention:
    """Full layers: heads of `global_head_dim`, K may be V; late layers share a cache."""
    wide = kind == FULL
    layers, shared = config.number("num_hidden_layers"), config.number("num_kv_shared_layers", 0)
    dim = config.number("global_head_dim", 512) if wide else config.number("head_dim", 256)
    same = wide and config.flag("attention_k_eq_v")
    kv_heads = config.number("num_key_value_heads")
    return Attention(
        num_heads=config.number("num_attention_heads"),
        num_kv_heads=config.number("num_global_key_value_heads", kv_heads) if same else kv_heads,
        head_dim=dim,
        v_head_dim=dim,
        qk_norm=True,
        shares_kv=index >= layers - shared,
        k_eq_v=same,
        window=_windows(config, kind)["window"],
    )


def step3p5(config: Config, index: int, kind: str) -> Attention:
    """Step 3.5: sliding layers may have more query heads; one gate per head, zero-centred norms."""
    own = attention(qk_norm=True, head_gate=True)(config, index, kind)
    other = (config.get("attention_other_setting") or {}).get("num_attention_heads")
    heads = config.get("num_sliding_attention_heads", other)
    if kind != SLIDING or not heads:
        return own  # type: ignore[return-value]
    return attention_with_heads(own, int(heads))


def attention_with_heads(own: Mixer, heads: int) -> Attention:
    assert isinstance(own, Attention)
    return replace(own, num_heads=heads)


def minimax_m3(config: Config, index: int, kind: str) -> Attention:
    """Attention, with a block-sparse indexer where `sparse_attention_freq` says."""
    own = attention(qk_norm=True)(config, index, kind)
    sparse = config.get("sparse_attention_config") or {}
    freq = sparse.get("sparse_attention_freq") or []
    assert isinstance(own, Attention)
    if not (index < len(freq) and freq[index]):
        return own
    return replace(
        own,
        index_heads=int(sparse["sparse_num_index_heads"]),
        index_head_dim=int(sparse["sparse_index_dim"]),
    )


def decilm(config: Config, index: int, kind: str) -> Attention | None:
    """Nemotron-NAS: `block_configs` says each layer's attention, or none."""
    block = (config.get("block_configs") or [{}])[index].get("attention", {})
    if block.get("no_op") or block.get("replace_with_linear"):
        return None
    own = attention(qkv_bias="attention_bias", o_bias="attention_bias")(config, index, kind)
    assert isinstance(own, Attention)
    return replace(own, num_kv_heads=own.num_heads // int(block.get("n_heads_in_group") or 1))

"""The tensors of softmax and latent attention."""

from collections.abc import Iterator
from dataclasses import replace

from krm_fn.catalog.shape import Attention, Mla
from krm_fn.planner.tensor import Tensor, linear, vector, with_bias


def attention(mixer: Attention, hidden: int) -> Iterator[Tensor]:
    """Q (twice with an output gate), K, V, O; norms, sinks and gates.

    q: heads x head_dim x hidden; k: kv_heads x head_dim x hidden; v: kv_heads x v_head_dim x
    hidden; o: hidden x heads x v_head_dim. No V where K serves as V, no K and V where an earlier
    layer's cache is read.
    """
    name, heads, kv = "self_attn", mixer.num_heads, mixer.num_kv_heads
    width, value = heads * mixer.head_dim, heads * mixer.v_head_dim
    q_rows = width * (2 if mixer.output_gate else 1)
    yield from with_bias(
        linear("attention", f"{name}.q_proj", q_rows, hidden, "column"), mixer.qkv_bias
    )
    if not mixer.shares_kv:
        key = linear(
            "attention", f"{name}.k_proj", kv * mixer.head_dim, hidden, "kv_heads", heads=kv
        )
        val = linear(
            "attention", f"{name}.v_proj", kv * mixer.v_head_dim, hidden, "kv_heads", heads=kv
        )
        yield from with_bias(key, mixer.qkv_bias)
        yield from with_bias(replace(val, copy=mixer.k_eq_v), mixer.qkv_bias)
    out = linear("attention", f"{name}.o_proj", hidden, value, "row")
    yield from with_bias(out, mixer.o_bias)
    yield from _attention_extras(mixer, hidden)


def _attention_extras(mixer: Attention, hidden: int) -> Iterator[Tensor]:
    heads, kv = mixer.num_heads, mixer.num_kv_heads
    if mixer.qk_norm:
        per_head = mixer.qk_norm_per_head
        yield vector("norm", "self_attn.q_norm", mixer.head_dim * (1 if per_head else heads))
        if not mixer.shares_kv:
            yield vector("norm", "self_attn.k_norm", mixer.head_dim * (1 if per_head else kv))
    if mixer.sinks:
        yield vector("attention", "self_attn.sinks", heads, "column")
    if mixer.head_gate:
        yield linear("attention", "self_attn.g_proj", heads, hidden, "column")
    if mixer.cross:
        yield vector("attention", "self_attn.gates", 2)
    if mixer.index_heads and mixer.index_head_dim:
        dim = mixer.index_head_dim
        rows = mixer.index_heads * dim
        yield linear("attention", "self_attn.index_q_proj", rows, hidden, "replicated")
        yield linear("attention", "self_attn.index_k_proj", dim, hidden, "replicated")
        yield vector("norm", "self_attn.index_norms", 2 * dim)


def mla(mixer: Mla, hidden: int) -> Iterator[Tensor]:
    """DeepSeek V2/V3 latent attention; the down-projections are on every GPU.

    q_a: q_rank x hidden, q_b: heads x (nope + rope) x q_rank (or q straight from hidden);
    kv_a: (kv_rank + rope) x hidden; kv_b: heads x (nope + v) x kv_rank; o: hidden x heads x v.
    """
    heads, rank, rope = mixer.num_heads, mixer.kv_lora_rank, mixer.qk_rope_head_dim
    q_rows = heads * (mixer.qk_nope_head_dim + rope)
    kv_rows = heads * (mixer.qk_nope_head_dim + mixer.v_head_dim)
    value = heads * mixer.v_head_dim
    yield from _mla_query(mixer, hidden, q_rows)
    yield linear("mla", "self_attn.kv_a_proj_with_mqa", rank + rope, hidden, "replicated")
    yield vector("norm", "self_attn.kv_a_layernorm", rank)
    yield linear("mla", "self_attn.kv_b_proj", kv_rows, rank, "column")
    yield linear("mla", "self_attn.o_proj", hidden, value, "row")
    if mixer.output_gate:
        yield linear("mla", "self_attn.g_proj", value, hidden, "column")
    yield from _indexer(mixer, hidden)


def _mla_query(mixer: Mla, hidden: int, rows: int) -> Iterator[Tensor]:
    if mixer.q_lora_rank is None:
        yield linear("mla", "self_attn.q_proj", rows, hidden, "column")
        return
    yield linear("mla", "self_attn.q_a_proj", mixer.q_lora_rank, hidden, "replicated")
    yield vector("norm", "self_attn.q_a_layernorm", mixer.q_lora_rank)
    yield linear("mla", "self_attn.q_b_proj", rows, mixer.q_lora_rank, "column")


def _indexer(mixer: Mla, hidden: int) -> Iterator[Tensor]:
    """DeepSeek V3.2's indexer, on every GPU: wq_b, wk, a float32 LayerNorm of the key, head
    weights.
    """
    if not mixer.index_heads or not mixer.index_head_dim or mixer.index_shared:
        return
    heads, dim, name = mixer.index_heads, mixer.index_head_dim, "self_attn.indexer"
    yield linear("mla", f"{name}.wq_b", heads * dim, mixer.q_lora_rank or hidden, "replicated")
    yield linear("mla", f"{name}.wk", dim, hidden, "replicated")
    yield vector("norm", f"{name}.k_norm", 2 * dim, itemsize=4)
    yield Tensor(cls="mla", name=f"{name}.weights_proj", rows=heads, columns=hidden)


def deepseek_v4(mixer: Mla, hidden: int) -> Iterator[Tensor]:
    """DeepSeek V4: low-rank Q, one K=V head, grouped low-rank output, sinks, a compressor.

    vLLM 0.32 and transformers 5.19, deepseek_v4.
    """
    heads, dim, rank = mixer.num_heads, mixer.v_head_dim, mixer.q_lora_rank or 0
    grouped = mixer.o_groups * mixer.o_lora_rank
    yield linear("mla", "self_attn.q_a_proj", rank, hidden, "replicated")
    yield linear("mla", "self_attn.q_b_proj", heads * dim, rank, "column")
    yield linear("mla", "self_attn.kv_proj", dim, hidden, "replicated")
    yield linear("mla", "self_attn.o_a_proj", grouped, heads * dim // mixer.o_groups, "column")
    yield linear("mla", "self_attn.o_b_proj", hidden, grouped, "row")
    yield vector("norm", "self_attn.norms", rank + dim)
    yield vector("mla", "self_attn.sinks", heads, "column")
    if mixer.compress_ratio:
        yield from _compressor("self_attn.compressor", mixer.compress_ratio, dim, hidden)
    if mixer.index_heads and mixer.index_head_dim:
        index, name = mixer.index_head_dim, "self_attn.compressor.indexer"
        rows = mixer.index_heads * index
        yield linear("mla", f"{name}.q_b_proj", rows, rank, "replicated")
        yield Tensor(cls="mla", name=f"{name}.weights_proj", rows=mixer.index_heads, columns=hidden)
        yield from _compressor(name, mixer.compress_ratio or 4, index, hidden)


def _compressor(name: str, ratio: int, dim: int, hidden: int) -> Iterator[Tensor]:
    """K=V and gate projections (twice as wide where windows overlap: ratio 4), positions, norm."""
    width = dim * (2 if ratio == 4 else 1)
    yield Tensor(cls="mla", name=f"{name}.kv_proj", rows=width, columns=hidden)
    yield Tensor(cls="mla", name=f"{name}.gate_proj", rows=width, columns=hidden)
    yield vector("mla", f"{name}.position_bias", ratio * width)
    yield vector("norm", f"{name}.kv_norm", dim)

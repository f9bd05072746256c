"""The tensors of a model: what a checkpoint of this shape holds, class by class.

A tensor is rows x columns (output x input of a linear layer), `count` times. Names are those of
transformers, because quantisation patterns name them. Counts equal transformers 5.19 and vLLM 0.32.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Literal

from krm_fn.catalog.shape import Attention, Dense, Layer, Mla, ModelShape, Moe, StateSpace

Shard = Literal["column", "row", "kv_heads", "groups", "vocab", "replicated"]
Class = Literal[
    "embedding",
    "lm_head",
    "attention",
    "mla",
    "state",
    "mlp",
    "experts",
    "shared_experts",
    "router",
    "norm",
    "encoder",
    "other",
]


@dataclass(frozen=True, kw_only=True, slots=True)
class Tensor:
    """One weight of `rows` x `columns`, `count` times.

    `shard` says how tensor parallelism splits it: "column" the rows, "row" the columns, "kv_heads"
    the rows by `heads` with copies once there are more GPUs than heads, "vocab" the rows after
    padding. `experts` = spread over expert parallelism first. `linear` = quantisation applies.
    `itemsize` = fixed bytes per element (None = the model's dtype). `copy` = not in the files: an
    engine keeps a second copy of another tensor (V where K serves as V).
    """

    cls: Class
    name: str
    rows: int
    columns: int = 1
    count: int = 1
    shard: Shard = "replicated"
    heads: int = 0
    experts: bool = False
    linear: bool = False
    itemsize: int | None = None
    layer: int | None = None
    copy: bool = False

    @property
    def parameters(self) -> int:
        return 0 if self.copy else self.rows * self.columns * self.count


def _linear(cls: Class, name: str, rows: int, columns: int, shard: Shard, heads: int = 0) -> Tensor:
    return Tensor(
        cls=cls, name=name, rows=rows, columns=columns, shard=shard, heads=heads, linear=True
    )


def _vector(
    cls: Class, name: str, rows: int, shard: Shard = "replicated", itemsize: int | None = None
) -> Tensor:
    return Tensor(cls=cls, name=name, rows=rows, shard=shard, itemsize=itemsize)


def _bias(of: Tensor) -> Tensor:
    """A bias of the rows of a linear layer; not split where its input is."""
    shard: Shard = "replicated" if of.shard == "row" else of.shard
    return Tensor(
        cls=of.cls,
        name=of.name + ".bias",
        rows=of.rows,
        count=of.count,
        shard=shard,
        heads=of.heads,
        experts=of.experts,
    )


def _with_bias(tensor: Tensor, bias: bool) -> Iterator[Tensor]:  # noqa: FBT001 - a fact, not a mode
    yield tensor
    if bias:
        yield _bias(tensor)


def attention(mixer: Attention, hidden: int) -> Iterator[Tensor]:
    """Q (twice with an output gate), K, V, O; norms, sinks and gates.

    q: heads x head_dim x hidden; k: kv_heads x head_dim x hidden; v: kv_heads x v_head_dim x
    hidden; o: hidden x heads x v_head_dim. No V where K serves as V, no K and V where an earlier
    layer's cache is read.
    """
    name, heads, kv = "self_attn", mixer.num_heads, mixer.num_kv_heads
    width, value = heads * mixer.head_dim, heads * mixer.v_head_dim
    q_rows = width * (2 if mixer.output_gate else 1)
    yield from _with_bias(
        _linear("attention", f"{name}.q_proj", q_rows, hidden, "column"), mixer.qkv_bias
    )
    if not mixer.shares_kv:
        key = _linear(
            "attention", f"{name}.k_proj", kv * mixer.head_dim, hidden, "kv_heads", heads=kv
        )
        val = _linear(
            "attention", f"{name}.v_proj", kv * mixer.v_head_dim, hidden, "kv_heads", heads=kv
        )
        yield from _with_bias(key, mixer.qkv_bias)
        yield from _with_bias(replace(val, copy=mixer.k_eq_v), mixer.qkv_bias)
    out = _linear("attention", f"{name}.o_proj", hidden, value, "row")
    yield from _with_bias(out, mixer.o_bias)
    yield from _attention_extras(mixer, hidden)


def _attention_extras(mixer: Attention, hidden: int) -> Iterator[Tensor]:
    heads, kv = mixer.num_heads, mixer.num_kv_heads
    if mixer.qk_norm:
        per_head = mixer.qk_norm_per_head
        yield _vector("norm", "self_attn.q_norm", mixer.head_dim * (1 if per_head else heads))
        if not mixer.shares_kv:
            yield _vector("norm", "self_attn.k_norm", mixer.head_dim * (1 if per_head else kv))
    if mixer.sinks:
        yield _vector("attention", "self_attn.sinks", heads, "column")
    if mixer.head_gate:
        yield _linear("attention", "self_attn.g_proj", heads, hidden, "column")
    if mixer.cross:
        yield _vector("attention", "self_attn.gates", 2)
    if mixer.index_heads and mixer.index_head_dim:
        dim = mixer.index_head_dim
        rows = mixer.index_heads * dim
        yield _linear("attention", "self_attn.index_q_proj", rows, hidden, "replicated")
        yield _linear("attention", "self_attn.index_k_proj", dim, hidden, "replicated")
        yield _vector("norm", "self_attn.index_norms", 2 * dim)


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
    yield _linear("mla", "self_attn.kv_a_proj_with_mqa", rank + rope, hidden, "replicated")
    yield _vector("norm", "self_attn.kv_a_layernorm", rank)
    yield _linear("mla", "self_attn.kv_b_proj", kv_rows, rank, "column")
    yield _linear("mla", "self_attn.o_proj", hidden, value, "row")
    if mixer.output_gate:
        yield _linear("mla", "self_attn.g_proj", value, hidden, "column")
    yield from _indexer(mixer, hidden)


def _mla_query(mixer: Mla, hidden: int, rows: int) -> Iterator[Tensor]:
    if mixer.q_lora_rank is None:
        yield _linear("mla", "self_attn.q_proj", rows, hidden, "column")
        return
    yield _linear("mla", "self_attn.q_a_proj", mixer.q_lora_rank, hidden, "replicated")
    yield _vector("norm", "self_attn.q_a_layernorm", mixer.q_lora_rank)
    yield _linear("mla", "self_attn.q_b_proj", rows, mixer.q_lora_rank, "column")


def _indexer(mixer: Mla, hidden: int) -> Iterator[Tensor]:
    """DeepSeek V3.2's indexer, on every GPU: wq_b, wk, a LayerNorm of the key, head weights."""
    if not mixer.index_heads or not mixer.index_head_dim or mixer.index_shared:
        return
    heads, dim, name = mixer.index_heads, mixer.index_head_dim, "self_attn.indexer"
    yield _linear("mla", f"{name}.wq_b", heads * dim, mixer.q_lora_rank or hidden, "replicated")
    yield _linear("mla", f"{name}.wk", dim, hidden, "replicated")
    yield _vector("norm", f"{name}.k_norm", 2 * dim)
    yield Tensor(cls="mla", name=f"{name}.weights_proj", rows=heads, columns=hidden)


def deepseek_v4(mixer: Mla, hidden: int) -> Iterator[Tensor]:
    """DeepSeek V4: low-rank Q, one K=V head, grouped low-rank output, sinks, a compressor.

    vLLM 0.32 and transformers 5.19, deepseek_v4.
    """
    heads, dim, rank = mixer.num_heads, mixer.v_head_dim, mixer.q_lora_rank or 0
    grouped = mixer.o_groups * mixer.o_lora_rank
    yield _linear("mla", "self_attn.q_a_proj", rank, hidden, "replicated")
    yield _linear("mla", "self_attn.q_b_proj", heads * dim, rank, "column")
    yield _linear("mla", "self_attn.kv_proj", dim, hidden, "replicated")
    yield _linear("mla", "self_attn.o_a_proj", grouped, heads * dim // mixer.o_groups, "column")
    yield _linear("mla", "self_attn.o_b_proj", hidden, grouped, "row")
    yield _vector("norm", "self_attn.norms", rank + dim)
    yield _vector("mla", "self_attn.sinks", heads, "column")
    if mixer.compress_ratio:
        yield from _compressor("self_attn.compressor", mixer.compress_ratio, dim, hidden)
    if mixer.index_heads and mixer.index_head_dim:
        index, name = mixer.index_head_dim, "self_attn.compressor.indexer"
        rows = mixer.index_heads * index
        yield _linear("mla", f"{name}.q_b_proj", rows, rank, "replicated")
        yield Tensor(cls="mla", name=f"{name}.weights_proj", rows=mixer.index_heads, columns=hidden)
        yield from _compressor(name, mixer.compress_ratio or 4, index, hidden)


def _compressor(name: str, ratio: int, dim: int, hidden: int) -> Iterator[Tensor]:
    """K=V and gate projections (twice as wide where windows overlap: ratio 4), positions, norm."""
    width = dim * (2 if ratio == 4 else 1)
    yield Tensor(cls="mla", name=f"{name}.kv_proj", rows=width, columns=hidden)
    yield Tensor(cls="mla", name=f"{name}.gate_proj", rows=width, columns=hidden)
    yield _vector("mla", f"{name}.position_bias", ratio * width)
    yield _vector("norm", f"{name}.kv_norm", dim)


def gdn(mixer: StateSpace, hidden: int) -> Iterator[Tensor]:
    """Qwen3-Next's gated delta net: q, k, v, z, b, a projections, convolution, decay, output."""
    key = mixer.num_k_heads * mixer.k_head_dim
    value, heads = mixer.num_v_heads * mixer.v_head_dim, mixer.num_v_heads
    name = "linear_attn"
    yield _linear("state", f"{name}.in_proj_qkv", 2 * key + value, hidden, "column")
    yield _linear("state", f"{name}.in_proj_z", value, hidden, "column")
    yield Tensor(
        cls="state", name=f"{name}.in_proj_ba", rows=2 * heads, columns=hidden, shard="column"
    )
    yield _vector("state", f"{name}.conv1d", (2 * key + value) * mixer.conv_kernel, "column")
    yield _vector("state", f"{name}.A_log", heads, "column", itemsize=4)
    yield _vector("state", f"{name}.dt_bias", heads, "column")
    yield _vector("norm", f"{name}.norm", mixer.v_head_dim)
    yield _linear("state", f"{name}.out_proj", hidden, value, "row")


def kda(mixer: StateSpace, hidden: int) -> Iterator[Tensor]:
    """Kimi delta attention: q, k, v with a convolution each, low-rank decay and gate."""
    dim, heads, name = mixer.k_head_dim, mixer.num_k_heads, "self_attn"
    width = heads * dim
    for part in ("q_proj", "k_proj", "v_proj"):
        yield _linear("state", f"{name}.{part}", width, hidden, "column")
    yield _vector("state", f"{name}.conv1d", 3 * width * mixer.conv_kernel, "column")
    yield _linear("state", f"{name}.f_a_proj", dim, hidden, "replicated")
    yield _linear("state", f"{name}.f_b_proj", width, dim, "column")
    yield _linear("state", f"{name}.b_proj", heads, hidden, "column")
    if mixer.full_rank_gate:
        yield _linear("state", f"{name}.g_proj", width, hidden, "column")
    else:
        yield _linear("state", f"{name}.g_a_proj", dim, hidden, "replicated")
        yield _linear("state", f"{name}.g_b_proj", width, dim, "column")
    yield _vector("state", f"{name}.A_log", heads, "column", itemsize=4)
    yield _vector("state", f"{name}.dt_bias", width, "column", itemsize=4)
    yield _vector("norm", f"{name}.o_norm", dim)
    yield _linear("state", f"{name}.o_proj", hidden, width, "row")


def mamba2(mixer: StateSpace, hidden: int) -> Iterator[Tensor]:
    """Mamba-2: in = 2 x inner + 2 x groups x state + heads; convolution over x, B, C; A, D, dt."""
    inner, heads = mixer.num_v_heads * mixer.v_head_dim, mixer.num_v_heads
    mixed = inner + 2 * mixer.num_k_heads * mixer.k_head_dim
    name = "mixer"
    into = _linear("state", f"{name}.in_proj", inner + mixed + heads, hidden, "column")
    yield from _with_bias(into, mixer.proj_bias)
    taps = mixer.conv_kernel + (1 if mixer.conv_bias else 0)
    yield _vector("state", f"{name}.conv1d", mixed * taps, "column")
    yield _vector("state", f"{name}.A_log_D_dt_bias", 3 * heads, "column", itemsize=4)
    if mixer.gated_norm:
        yield _vector("norm", f"{name}.norm", inner, "column")
    yield from _with_bias(
        _linear("state", f"{name}.out_proj", hidden, inner, "row"), mixer.proj_bias
    )


def mamba1(mixer: StateSpace, hidden: int) -> Iterator[Tensor]:
    """Mamba-1: in = 2 x inner; x -> dt rank + 2 x state; dt -> inner; A (inner x state), D."""
    inner, state, rank, name = mixer.num_v_heads, mixer.k_head_dim, mixer.dt_rank, "mamba"
    yield from _with_bias(
        _linear("state", f"{name}.in_proj", 2 * inner, hidden, "column"), mixer.proj_bias
    )
    taps = mixer.conv_kernel + (1 if mixer.conv_bias else 0)
    yield _vector("state", f"{name}.conv1d", inner * taps, "column")
    yield _linear("state", f"{name}.x_proj", rank + 2 * state, inner, "row")
    yield _linear("state", f"{name}.dt_proj", inner, rank, "column")
    yield _vector("state", f"{name}.dt_bias", inner, "column")
    yield _vector("state", f"{name}.A_log_D", inner * (state + 1), "column", itemsize=4)
    if mixer.gated_norm:
        yield _vector("norm", f"{name}.dt_b_c_norms", rank + 2 * state)
    yield from _with_bias(
        _linear("state", f"{name}.out_proj", hidden, inner, "row"), mixer.proj_bias
    )


def lightning(mixer: StateSpace, hidden: int) -> Iterator[Tensor]:
    """MiniMax-01's linear attention: q, k, v, an output gate, a norm of the inner size, output."""
    width, name = mixer.num_v_heads * mixer.v_head_dim, "self_attn"
    yield _linear("state", f"{name}.qkv_proj", 3 * width, hidden, "column")
    yield _linear("state", f"{name}.output_gate", width, hidden, "column")
    yield _vector("norm", f"{name}.norm", width, "column")
    yield _linear("state", f"{name}.out_proj", hidden, width, "row")


def short_conv(mixer: StateSpace, hidden: int) -> Iterator[Tensor]:
    """LFM2: in = 3 x hidden, a depthwise convolution, output."""
    yield from _with_bias(
        _linear("state", "conv.in_proj", 3 * hidden, hidden, "column"), mixer.proj_bias
    )
    taps = mixer.conv_kernel + (1 if mixer.conv_bias else 0)
    yield _vector("state", "conv.conv", hidden * taps, "column")
    yield from _with_bias(_linear("state", "conv.out_proj", hidden, hidden, "row"), mixer.proj_bias)


STATES: Mapping[str, Callable[[StateSpace, int], Iterator[Tensor]]] = {
    "gdn": gdn,
    "kda": kda,
    "mamba1": mamba1,
    "mamba2": mamba2,
    "lightning": lightning,
    "short_conv": short_conv,
}


def mixer_tensors(mixer: Attention | Mla | StateSpace | None, hidden: int) -> Iterator[Tensor]:
    if isinstance(mixer, Attention):
        yield from attention(mixer, hidden)
    elif isinstance(mixer, Mla):
        yield from (deepseek_v4 if mixer.o_groups else mla)(mixer, hidden)
    elif isinstance(mixer, StateSpace):
        yield from STATES[mixer.kind](mixer, hidden)


def _block(
    cls: Class, name: str, width: int, hidden: int, *, gated: bool, bias: bool, count: int = 0
) -> Iterator[Tensor]:
    """Gate and up (column-parallel), down (row-parallel); `count` > 0 = that many experts."""
    many = {"count": count, "experts": True} if count else {}
    parts = ("gate_proj", "up_proj") if gated else ("up_proj",)
    shapes = [(part, width, hidden, "column") for part in parts]
    shapes.append(("down_proj", hidden, width, "row"))
    for part, rows, columns, shard in shapes:
        tensor = Tensor(
            cls=cls,
            name=f"{name}.{part}",
            rows=rows,
            columns=columns,
            shard=shard,  # type: ignore[arg-type]
            linear=True,
            **many,  # type: ignore[arg-type]
        )
        yield from _with_bias(tensor, bias)


def feed_forward(ffn: Dense | Moe | None, hidden: int) -> Iterator[Tensor]:
    """The dense block, or router, experts, shared experts and what stands beside them."""
    if isinstance(ffn, Dense):
        width = ffn.intermediate_size
        yield from _block("mlp", "mlp", width, hidden, gated=ffn.gated, bias=ffn.bias)
    elif isinstance(ffn, Moe):
        yield from _experts(ffn, hidden)


def _experts(ffn: Moe, hidden: int) -> Iterator[Tensor]:
    yield Tensor(cls="router", name="mlp.gate", rows=ffn.num_experts, columns=hidden)
    if ffn.router_bias:
        yield _vector("router", "mlp.gate.bias", ffn.num_experts, itemsize=4)
    width = ffn.latent_size or hidden
    yield from _block(
        "experts",
        "mlp.experts.0",
        ffn.intermediate_size,
        width,
        gated=ffn.gated,
        bias=ffn.bias,
        count=ffn.num_experts,
    )
    if ffn.latent_size:
        yield _linear("mlp", "mlp.fc1_latent_proj", ffn.latent_size, hidden, "replicated")
        yield _linear("mlp", "mlp.fc2_latent_proj", hidden, ffn.latent_size, "replicated")
    for size, name, cls in (
        (ffn.shared_intermediate_size, "mlp.shared_experts", "shared_experts"),
        (ffn.dense_intermediate_size, "mlp", "mlp"),
    ):
        if size:
            yield from _block(cls, name, size, hidden, gated=ffn.gated, bias=ffn.bias)  # type: ignore[arg-type]
    if ffn.shared_gate:
        yield Tensor(cls="router", name="mlp.shared_expert_gate", rows=1, columns=hidden)


@lru_cache(maxsize=512)
def layer_tensors(layer: Layer, hidden: int) -> tuple[Tensor, ...]:
    """Everything in one decoder layer, with names below `model.layers.N.`."""
    norms = (_vector("norm", "norms", layer.norms * hidden),) if layer.norms else ()
    other = layer.other_parameters
    return (
        *mixer_tensors(layer.mixer, hidden),
        *mixer_tensors(layer.parallel, hidden),
        *feed_forward(layer.ffn, hidden),
        *norms,
        *((_vector("other", "other", other),) if other else ()),
    )


def first_tensors(shape: ModelShape) -> tuple[Tensor, ...]:
    """Before the layers: embeddings of tokens, positions and Gemma's per-layer inputs."""
    hidden, vocab = shape.hidden_size, shape.vocab_size
    found = [_embedding("embed_tokens", vocab, hidden)]
    if shape.position_embeddings:
        found.append(
            Tensor(cls="embedding", name="wpe", rows=shape.position_embeddings, columns=hidden)
        )
    if shape.embedding_norms:
        found.append(_vector("norm", "embed_norm", shape.embedding_norms * hidden))
    if shape.per_layer_input:
        width = shape.per_layer_input * len(shape.layers)
        found.append(_embedding("embed_tokens_per_layer", shape.per_layer_vocab, width))
        found.append(_linear("mlp", "per_layer_model_projection", width, hidden, "column"))
        found.append(_vector("norm", "per_layer_projection_norm", shape.per_layer_input))
    if shape.encoder_parameters:
        found.append(_vector("encoder", "visual", shape.encoder_parameters, "column"))
    return tuple(found)


def _embedding(name: str, rows: int, columns: int) -> Tensor:
    return Tensor(cls="embedding", name=name, rows=rows, columns=columns, shard="vocab")


def last_tensors(shape: ModelShape) -> tuple[Tensor, ...]:
    """After the layers: final norm, output head, whatever else the model has."""
    hidden, vocab = shape.hidden_size, shape.vocab_size
    found = [_vector("norm", "norm", shape.final_norms * hidden)] if shape.final_norms else []
    if shape.lm_head and not shape.tie_word_embeddings:
        found.append(
            Tensor(
                cls="lm_head",
                name="lm_head",
                rows=vocab,
                columns=hidden,
                shard="vocab",
                linear=True,
            )
        )
    if shape.lm_head and shape.lm_head_bias:
        found.append(Tensor(cls="lm_head", name="lm_head.bias", rows=vocab, shard="vocab"))
    if shape.other_parameters:
        found.append(_vector("other", "other", shape.other_parameters))
    return tuple(found)

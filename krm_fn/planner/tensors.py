"""The tensors of a model: what a checkpoint of this shape holds, class by class.

A tensor is rows x columns (output x input of a linear layer), `count` times. Names are those of
transformers, because quantisation patterns name them. Counts equal transformers 5.19 and vLLM 0.32.
"""

from collections.abc import Iterator
from functools import lru_cache

from krm_fn.catalog.shape import Attention, Dense, Layer, Mla, ModelShape, Moe, StateSpace
from krm_fn.planner.attention_tensors import attention, deepseek_v4, mla
from krm_fn.planner.state_tensors import STATES
from krm_fn.planner.tensor import Class, Tensor, linear, vector, with_bias


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
        yield from with_bias(tensor, bias)


def feed_forward(ffn: Dense | Moe | None, hidden: int) -> Iterator[Tensor]:
    """The dense block, or router, experts, shared experts and what stands beside them."""
    if isinstance(ffn, Dense):
        width = ffn.intermediate_size
        yield from _block("mlp", "mlp", width, hidden, gated=ffn.gated, bias=ffn.bias)
    elif isinstance(ffn, Moe):
        yield from _experts(ffn, hidden)


def _experts(ffn: Moe, hidden: int) -> Iterator[Tensor]:
    yield Tensor(
        cls="router",
        name="mlp.gate",
        rows=ffn.num_experts,
        columns=hidden,
        itemsize=4 if ffn.router_float32 else None,
    )
    if ffn.router_bias:
        yield vector("router", "mlp.gate.bias", ffn.num_experts, itemsize=4)
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
        yield linear("mlp", "mlp.fc1_latent_proj", ffn.latent_size, hidden, "replicated")
        yield linear("mlp", "mlp.fc2_latent_proj", hidden, ffn.latent_size, "replicated")
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
    norms = (vector("norm", "norms", layer.norms * hidden),) if layer.norms else ()
    other = layer.other_parameters
    return (
        *mixer_tensors(layer.mixer, hidden),
        *mixer_tensors(layer.parallel, hidden),
        *feed_forward(layer.ffn, hidden),
        *norms,
        *((vector("other", "other", other),) if other else ()),
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
        found.append(vector("norm", "embed_norm", shape.embedding_norms * hidden))
    if shape.per_layer_input:
        width = shape.per_layer_input * len(shape.layers)
        found.append(_embedding("embed_tokens_per_layer", shape.per_layer_vocab, width))
        found.append(linear("mlp", "per_layer_model_projection", width, hidden, "column"))
        found.append(vector("norm", "per_layer_projection_norm", shape.per_layer_input))
    if shape.encoder_parameters:
        found.append(vector("encoder", "visual", shape.encoder_parameters, "column"))
    return tuple(found)


def _embedding(name: str, rows: int, columns: int) -> Tensor:
    return Tensor(cls="embedding", name=name, rows=rows, columns=columns, shard="vocab")


def last_tensors(shape: ModelShape) -> tuple[Tensor, ...]:
    """After the layers: final norm, output head, whatever else the model has."""
    hidden, vocab = shape.hidden_size, shape.vocab_size
    found = [vector("norm", "norm", shape.final_norms * hidden)] if shape.final_norms else []
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
        found.append(vector("other", "other", shape.other_parameters))
    return tuple(found)

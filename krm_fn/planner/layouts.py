"""Legal ways to spread one replica of a model over GPUs.

Rules by the engines' own checks: heads divide (vllm/config/model.py:verify_with_parallel_config,
0.33), KV heads divide or are replicated, quantisation groups and blocks stay whole in a shard
(vllm/model_executor/layers/quantization/fp8.py: "not divisible by weight quantization block_n"),
one pod is one node.
"""

from collections.abc import Iterator
from dataclasses import replace

from krm_fn.catalog.shape import Attention, Dense, Layer, Mla, ModelShape, Moe, StateSpace
from krm_fn.planner.plan import Parallelism, Question

PADDED = ("mxfp4",)
"""Layouts whose shards the engines pad to whole groups (vllm mxfp4.py; vllm-0098 ran at TP4)."""


def legal(question: Question) -> tuple[Parallelism, ...]:
    """All layouts within a node and the share that agree with what is stated, smallest first."""
    most = question.pool.most_gpus
    found = [p for p in _grid(question, most) if p.gpus <= most and not conflicts(question, p)]
    return tuple(sorted(found, key=lambda p: (p.gpus, p.pipeline, p.data)))


def _grid(question: Question, most: int) -> Iterator[Parallelism]:
    """Candidates; a stated size is the only one of its kind."""
    stated, engine = question.stated, question.engine
    tensors = (stated.tensor,) if stated.tensor else range(1, most + 1)
    stages = (1, 2, 3, 4, 6, 8) if engine.pipeline_parallel else (1,)
    pipelines = (stated.pipeline,) if stated.pipeline else stages
    for tensor in tensors:
        for pipeline in pipelines:
            layout = Parallelism(
                tensor=tensor,
                pipeline=pipeline,
                data=stated.data or 1,
                attention_data=stated.attention_data or 1,
            )
            yield _with_experts(question, layout)


def _with_experts(question: Question, layout: Parallelism) -> Parallelism:
    """Experts as stated; else sharded like the rest, or spread whole where a shard cuts blocks."""
    if question.stated.expert:
        return replace(layout, expert=question.stated.expert)
    group = _expert_group(question, layout)
    spread = replace(layout, expert=group)
    suits = group > 1 and _cuts_experts(question, layout) and not _cuts_experts(question, spread)
    return spread if suits else layout


def _cuts_experts(question: Question, layout: Parallelism) -> bool:
    faults = (_expert_conflicts(x.ffn, question.shape, layout) for x in _kinds(question))
    return any(True for each in faults for _ in each)


def _expert_group(question: Question, layout: Parallelism) -> int:
    """GPUs that experts can be spread over; vLLM's span the copies of a replica, SGLang's not."""
    return layout.tensor * (layout.data if question.engine.experts_span_data else 1)


def conflicts(question: Question, layout: Parallelism) -> tuple[str, ...]:
    """Why this layout cannot work, in words; empty when it can."""
    shape = question.shape
    if layout.tensor % layout.attention_data:
        return tuple(_engine_conflicts(question, layout))
    found = [text for layer in _kinds(question) for text in _layer_conflicts(layer, shape, layout)]
    found += _engine_conflicts(question, layout)
    found += _kv_head_conflicts(question, layout)
    found += _encoder_conflicts(question, layout)
    if layout.pipeline > len(shape.layers):
        found.append(f"pipeline size {layout.pipeline} exceeds the {len(shape.layers)} layers")
    return tuple(dict.fromkeys(found))


def _kinds(question: Question) -> tuple[Layer, ...]:
    """Each layer once; equal layers share one object, and identity is cheap to compare."""
    return tuple({id(layer): layer for layer in question.shape.layers}.values())


def _layer_conflicts(layer: Layer, shape: ModelShape, layout: Parallelism) -> Iterator[str]:
    match layer.mixer:
        case Attention() as attention:
            yield from _attention_conflicts(attention, layout)
        case Mla() as mla:
            yield from _divides(mla.num_heads, layout.attention_tensor, "attention heads")
        case StateSpace() as state:
            yield from _state_conflicts(state, layout)
        case None:
            pass
    yield from _expert_conflicts(layer.ffn, shape, layout)
    yield from _dense_conflicts(layer.ffn, shape, layout)


def _attention_conflicts(attention: Attention, layout: Parallelism) -> Iterator[str]:
    shards, kv = layout.attention_tensor, attention.num_kv_heads
    yield from _divides(attention.num_heads, shards, "attention heads")
    if kv % shards and shards % kv:
        yield f"tensor size {shards} must divide the {kv} KV heads or be a multiple of them"


def _kv_head_conflicts(question: Question, layout: Parallelism) -> Iterator[str]:
    """Architectures whose KV heads an engine does not copy have one on every GPU at least."""
    shape, shards = question.shape, layout.attention_tensor
    heads = min((x.num_kv_heads for x in shape.attention_layers), default=shards)
    if shape.architecture in question.engine.whole_kv_heads and shards > heads:
        yield f"tensor size {shards} exceeds the {heads} KV heads, which are not copied"


def _encoder_conflicts(question: Question, layout: Parallelism) -> Iterator[str]:
    """What engines cut of an encoder divides: "3420 is not divisible by 8" of Qwen2.5-VL at TP 8
    (vllm/distributed/utils.py:divide), unless a copy of it is on every GPU, or none.
    """
    shape, shards = question.shape, layout.attention_tensor
    if not shape.encoder_parameters or question.extras.whole_encoder:
        return
    flag = question.engine.whole_encoder
    copied = f" or copied by `{flag}` in `extraArgs`" if flag else ""
    for what, size in shape.encoder_parts:
        if size % shards:
            yield (
                f"tensor size {shards} must divide the {what} {size} of the encoder, unless it "
                f"is left out by `serving.multimodal.textOnly`{copied}"
            )


def _state_conflicts(state: StateSpace, layout: Parallelism) -> Iterator[str]:
    """Heads divide; the groups of Mamba-2 too, unless there is one, which every GPU then has
    (vllm/model_executor/layers/mamba/mamba_mixer2.py, 0.32).
    """
    yield from _divides(state.num_v_heads, layout.attention_tensor, f"{state.kind} heads")
    if state.kind == "mamba2" and state.num_k_heads > 1:
        yield from _divides(state.num_k_heads, layout.attention_tensor, "mamba2 groups")
    if state.kind in ("gdn", "kda", "lightning"):
        yield from _divides(state.num_k_heads, layout.attention_tensor, f"{state.kind} key heads")


def _divides(count: int, shards: int, what: str) -> Iterator[str]:
    if count % shards:
        yield f"tensor size {shards} must divide the {count} {what}"


def _expert_conflicts(
    ffn: Dense | Moe | None, shape: ModelShape, layout: Parallelism
) -> Iterator[str]:
    if not isinstance(ffn, Moe):
        return
    if layout.expert > 1:
        yield from _spread_conflicts(ffn, layout)
        return
    yield from _shard_conflicts(ffn.intermediate_size, shape, layout.tensor, "expert")


def _spread_conflicts(ffn: Moe, layout: Parallelism) -> Iterator[str]:
    if ffn.num_experts < layout.expert:
        yield f"expert size {layout.expert} exceeds the {ffn.num_experts} experts"


def _dense_conflicts(
    ffn: Dense | Moe | None, shape: ModelShape, layout: Parallelism
) -> Iterator[str]:
    if isinstance(ffn, Dense):
        yield from _shard_conflicts(ffn.intermediate_size, shape, layout.tensor, "feed-forward")
    elif isinstance(ffn, Moe) and ffn.shared_intermediate_size:
        yield from _shard_conflicts(
            ffn.shared_intermediate_size, shape, layout.tensor, "shared expert"
        )


def _shard_conflicts(size: int, shape: ModelShape, shards: int, what: str) -> Iterator[str]:
    """A shard is whole, and its quantisation groups or blocks are whole."""
    if size % shards:
        yield f"tensor size {shards} must divide the {what} size {size}"
        return
    unit = _unit(shape)
    if shards > 1 and unit and (size // shards) % unit:
        yield (
            f"a shard of the {what} size {size} over {shards} GPUs is {size // shards}, "
            f"which is no multiple of the quantisation group {unit}"
        )


def _unit(shape: ModelShape) -> int | None:
    """Elements that a quantised shard must keep together: group or block."""
    quantization = shape.quantization
    if quantization is None or quantization.method in PADDED:
        return None
    return quantization.block[0] if quantization.block else quantization.group_size


def _engine_conflicts(question: Question, layout: Parallelism) -> Iterator[str]:
    engine = question.engine
    if layout.attention_data > 1 and not engine.attention_data_parallel:
        yield f"{engine.name} has no data-parallel attention inside a tensor-parallel group"
    if layout.tensor % layout.attention_data:
        yield (
            f"attention data size {layout.attention_data} must divide the tensor size "
            f"{layout.tensor}"
        )
    if layout.pipeline > 1 and not engine.pipeline_parallel:
        yield f"{engine.name} {engine.version} has no pipeline parallelism"
    if layout.expert > 1:
        yield from _spread_faults(question, layout)


def _spread_faults(question: Question, layout: Parallelism) -> Iterator[str]:
    """Experts go over all GPUs or none in vLLM, over equal parts of the tensor size in SGLang."""
    group, size = _expert_group(question, layout), layout.expert
    if not question.shape.is_moe:
        yield "the model has no experts to spread"
    elif question.engine.experts_span_data and size != group:
        yield f"expert size {size} must be 1 or the {group} GPUs of the tensor and data size"
    elif group % size:
        yield f"expert size {size} must divide the tensor size {group}"

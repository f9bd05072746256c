"""Exact arithmetic of weights: parameters, bytes of a checkpoint, bytes per GPU and stage."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from math import ceil

from krm_fn.catalog.shape import Layer, ModelShape, Quantization
from krm_fn.planner.limits import MARLIN, ExpertKernel, expert_kernel, expert_width
from krm_fn.planner.plan import Parallelism, Question
from krm_fn.planner.storage import ITEMSIZE, allocated, loaded_itemsize, parameter, parts
from krm_fn.planner.stored import Stored, draft_layout, layout, stored_layers
from krm_fn.planner.tensor import Tensor
from krm_fn.planner.tensors import first_tensors, last_tensors, layer_tensors

VOCAB_PADDING = 64  # vllm/model_executor/layers/vocab_parallel_embedding.py (0.32), SGLang the same
_ATTENTION = frozenset({"attention", "mla", "state"})


@dataclass(frozen=True, kw_only=True, slots=True)
class Split:
    """How many GPUs share each kind of tensor, and what the kernels make of it.

    `kernel` = of MXFP4 experts; None = as the files have them. `least_expert` = the width up to
    which the shard of an expert is filled.
    """

    tensor: int = 1
    attention: int = 1
    embedding: int = 1
    encoder: int = 1
    experts: int = 1
    expert_tensor: int = 1
    padding: int = VOCAB_PADDING
    kernel: ExpertKernel | None = None
    least_expert: int = 0


def tensors(shape: ModelShape) -> tuple[Tensor, ...]:
    """Every tensor of the model, in order; those of decoder layers carry their index."""
    inside = (
        replace(tensor, layer=index, name=f"layers.{index}.{tensor.name}")
        for index, layer in enumerate(shape.layers)
        for tensor in layer_tensors(layer, shape.hidden_size)
    )
    return (*first_tensors(shape), *inside, *last_tensors(shape))


def _per_layer(shape: ModelShape) -> Iterator[tuple[Layer, int]]:
    yield from Counter(shape.layers).items()


def parameters(shape: ModelShape) -> int:
    """All parameters; tied ones once, draft (MTP) layers not."""
    ends = (*first_tensors(shape), *last_tensors(shape))
    layers = (
        count * tensor.parameters
        for layer, count in _per_layer(shape)
        for tensor in layer_tensors(layer, shape.hidden_size)
    )
    return sum(tensor.parameters for tensor in ends) + sum(layers)


def parameters_by_class(shape: ModelShape) -> Mapping[str, int]:
    """Parameters of each tensor class."""
    found: Counter[str] = Counter()
    for tensor in (*first_tensors(shape), *last_tensors(shape)):
        found[tensor.cls] += tensor.parameters
    for layer, count in _per_layer(shape):
        for tensor in layer_tensors(layer, shape.hidden_size):
            found[tensor.cls] += count * tensor.parameters
    return dict(found)


def active_parameters(shape: ModelShape) -> int:
    """Parameters that one token uses: all, with only its own experts of each layer."""
    return parameters(shape) - sum(
        count * _idle(layer, shape.hidden_size) for layer, count in _per_layer(shape)
    )


def _idle(layer: Layer, hidden: int) -> int:
    routed = [tensor for tensor in layer_tensors(layer, hidden) if tensor.experts]
    if not routed:
        return 0
    used = getattr(layer.ffn, "experts_per_token", 0)
    return sum(t.parameters // t.count * (t.count - used) for t in routed)


def checkpoint_bytes(question: Question) -> int:
    """Bytes to download and read: what the files are known to hold, else what the shape says."""
    shape = question.shape
    held = question.checkpoint_bytes or file_bytes(shape) + draft_bytes(shape)
    draft = question.extras.draft
    return held + question.unloaded_bytes + (draft.file_bytes if draft else 0)


def file_bytes(shape: ModelShape) -> int:
    """Bytes of the weights in the files, in the dtype they are stored in; without draft layers."""
    kinds, order, first, last = stored_layers(shape, shape.quantization)
    itemsize = ITEMSIZE.get(shape.dtype, 2)
    sizes = [_in_files(kind, itemsize) for kind in kinds]
    return _in_files((*first, *last), itemsize) + sum(sizes[kind] for kind in order)


def draft_bytes(shape: ModelShape) -> int:
    """About what the draft (MTP) layers add to the files: the last layer again, and a projection.

    DeepSeek V3: one decoder layer, eh_proj of hidden x 2 hidden and three norms per draft layer.
    """
    if not shape.mtp_layers or not shape.layers:
        return 0
    kinds, order, _, _ = stored_layers(shape, draft_layout(shape))
    itemsize = ITEMSIZE.get(shape.dtype, 2)
    layer = _in_files(kinds[order[-1]], itemsize)
    return shape.mtp_layers * (layer + 2 * shape.hidden_size**2 * itemsize)


def split(
    parallelism: Parallelism,
    *,
    experts_span_data: bool = False,
    least_expert: int = 0,
    kernel: ExpertKernel = MARLIN,
    whole_encoder: bool = False,
) -> Split:
    """Who shares what.

    Expert parallelism spreads whole experts; what is left of the tensor group splits each of them.
    With `experts_span_data` (vLLM) the experts of all data-parallel ranks form one group:
    vllm/model_executor/layers/fused_moe/config.py:FusedMoEParallelConfig.make (0.32). With DP
    attention (SGLang) attention weights are split over `attention_tensor` GPUs only and the
    embedding is on every GPU.
    """
    group = parallelism.tensor * (parallelism.data if experts_span_data else 1)
    return Split(
        tensor=parallelism.tensor,
        attention=parallelism.attention_tensor,
        embedding=1 if parallelism.attention_data > 1 else parallelism.tensor,
        encoder=1 if whole_encoder else parallelism.tensor,
        experts=parallelism.expert,
        expert_tensor=max(1, group // parallelism.expert),
        kernel=kernel,
        least_expert=least_expert,
    )


def split_of(
    question: Question, parallelism: Parallelism, shape: ModelShape | None = None
) -> Split:
    """Who shares what of a model (None = the question's own) on this engine and GPU."""
    engine, pool, shape = question.engine, question.pool, shape or question.shape
    architecture = shape.architecture
    return split(
        parallelism,
        whole_encoder=shape.encoder_whole or question.extras.whole_encoder,
        experts_span_data=engine.experts_span_data,
        least_expert=expert_width(engine, architecture),
        kernel=expert_kernel(
            engine,
            architecture,
            pool.gpu,
            pool.gpu_memory_bytes,
            adapters=question.extras.lora is not None,
        ),
    )


def local_size(tensor: Tensor, by: Split) -> tuple[int, int, int]:
    """Rows, columns and count of a tensor on one GPU (the one with the most)."""
    rows, columns, count = tensor.rows, tensor.columns, tensor.count
    ways = {"encoder": by.encoder}.get(tensor.cls, by.tensor)
    ways = by.attention if tensor.cls in _ATTENTION else ways
    if tensor.experts:
        ways, count = by.expert_tensor, ceil(count / by.experts)
    if tensor.shard == "vocab":
        ways = by.embedding if tensor.cls == "embedding" else by.tensor
        rows = ceil(ceil(rows / by.padding) * by.padding / ways)
    elif tensor.shard == "kv_heads":
        rows = rows // tensor.heads * ceil(tensor.heads / ways)
    elif tensor.shard == "column":
        rows = ceil(rows / ways)
    elif tensor.shard == "row":
        columns = ceil(columns / ways)
    if tensor.experts and ways > 1:
        rows, columns = _filled(tensor, rows, columns, by.least_expert)
    return rows, columns, count


def _filled(tensor: Tensor, rows: int, columns: int, least: int) -> tuple[int, int]:
    """The shard of an expert, as wide as the engine makes it at least."""
    row = tensor.shard == "row"
    return (rows, max(columns, least)) if row else (max(rows, least), columns)


def _padded(tensor: Tensor, rows: int, columns: int, kernel: ExpertKernel) -> tuple[int, int]:
    """MXFP4 experts on a GPU: their width and the model's in whole tiles of the kernel."""
    sizes = (kernel.width, kernel.hidden)
    width, hidden = sizes if tensor.shard == "column" else reversed(sizes)
    return ceil(rows / width) * width, ceil(columns / hidden) * hidden


def _swizzled(
    tensor: Tensor, rows: int, columns: int, stored: Quantization, kernel: ExpertKernel
) -> tuple[int, int, int]:
    """Values, scales and no zero points of one expert as its kernel keeps them.

    Gate and up share a tensor, so that each fills half a tile of scales.
    """
    rows, columns = _padded(tensor, rows, columns, kernel)
    values, scales, zeros = parts(rows, columns, stored, 1)
    if kernel.packed > 1:
        values = rows * ceil(columns / 2 / kernel.packed) * kernel.packed
    tile = kernel.scale_rows // 2 if tensor.shard == "column" else kernel.scale_rows
    groups = ceil(scales // rows / kernel.scale_groups) * kernel.scale_groups
    read = ceil(rows / max(1, tile)) * max(1, tile) * groups
    return values, read + (scales if kernel.keeps_scales else 0), zeros


def part_bytes(
    pair: tuple[Tensor, Quantization | None], by: Split, itemsize: int
) -> tuple[int, int, int]:
    """Bytes of values, scales and zero points of a tensor on one GPU."""
    tensor, stored = pair
    rows, columns, count = local_size(tensor, by)
    if by.kernel and tensor.experts and stored and stored.method == "mxfp4":
        sizes = _swizzled(tensor, rows, columns, stored, by.kernel)
    else:
        wide = by.kernel and by.kernel.wide_bias and tensor.experts and not tensor.linear
        sizes = parts(rows, columns, stored, 4 if wide else tensor.itemsize or itemsize)
    values, scales, zeros = sizes
    return count * values, count * scales, count * zeros


def _in_files(pairs: Stored, itemsize: int) -> int:
    stored = (pair for pair in pairs if not pair[0].copy)
    return sum(sum(part_bytes(pair, Split(padding=1), itemsize)) for pair in stored)


def on_gpu(pairs: Stored, by: Split, itemsize: int) -> int:
    """Bytes of the parameters that an engine makes of these tensors, as its allocator counts."""
    sizes: dict[tuple[str, int], int] = defaultdict(int)
    for pair in pairs:
        for part, size in enumerate(part_bytes(pair, by, itemsize)):
            sizes[parameter(pair[0].name), part] += size
    return sum(allocated(size) for size in sizes.values()) + absorbed_bytes(pairs, by)


def absorbed_bytes(pairs: Stored, by: Split) -> int:
    """16-bit copies of MLA's kv_b that both engines keep where it is quantised, bytes.

    vllm/model_executor/layers/attention/mla_attention.py:process_weights_after_loading (0.32):
    W_UK_T and W_UV are views of a 16-bit kv_b and copies of a quantised one.
    """
    found = (t for t, stored in pairs if stored and t.name.endswith("kv_b_proj"))
    return sum(2 * rows * columns for rows, columns, _ in (local_size(t, by) for t in found))


def stage_sizes(num_layers: int, stages: int) -> tuple[int, ...]:
    """Layers per pipeline stage: what is left over goes to the stages before the last.

    vllm/distributed/utils.py:get_pp_indices (0.32).
    """
    base, rest = divmod(num_layers, stages)
    sizes = [base] * stages
    for i in range(2, rest + 2):
        sizes[-i] += 1
    return tuple(sizes)


def rope_bytes(shape: ModelShape, itemsize: int = 2) -> int:
    """Cos and sin tables: positions x dimensions x bytes, once per distinct rotary embedding."""
    tables = shape.rope_caches or ((shape.max_position_embeddings, shape.rope_dims),)
    return sum(positions * dims * itemsize for positions, dims in tables)


def weights_bytes(
    shape: ModelShape,
    parallelism: Parallelism,
    *,
    total_bytes: int | None = None,
    quantization: str | None = None,
    dtype: str | None = None,
    by: Split | None = None,
    rotary: int = 1,
) -> tuple[int, ...]:
    """Bytes of weights on one GPU of each pipeline stage, as "Model loading took" means it.

    Parameters split as the engines do, vocabulary padded to 64, K and V copied when there are more
    GPUs than KV heads, plus the rotary tables. `total_bytes` = what the checkpoint's files hold;
    it wins over the shape: every class is scaled to it. `quantization` = on-the-fly, of a 16-bit
    checkpoint. `dtype` = stated by the user. `by` = who shares what (None = of the layout alone).
    `rotary` = how many times the tables are longer.
    """
    kinds, order, first, last = stored_layers(shape, layout(shape, quantization))
    by = by or split(parallelism)
    itemsize = loaded_itemsize(shape.dtype, dtype)
    sizes = [on_gpu(kind, by, itemsize) for kind in kinds]
    stages, start = [], 0
    for count in stage_sizes(len(order), parallelism.pipeline):
        stages.append(sum(sizes[kind] for kind in order[start : start + count]))
        start += count
    stages[0] += on_gpu(first, by, itemsize)
    stages[-1] += on_gpu(last, by, itemsize)
    if parallelism.pipeline > 1 and shape.tie_word_embeddings and shape.lm_head:
        stages[-1] += on_gpu(first[:1], by, itemsize)
    scale = files_factor(shape, total_bytes)
    return tuple(round(stage * scale) + rotary * rope_bytes(shape, itemsize) for stage in stages)


def files_factor(shape: ModelShape, total: int | None) -> float:
    """Files over shape; draft layers in the files do not count if they explain the rest."""
    if not total:
        return 1.0
    expected, draft = file_bytes(shape), draft_bytes(shape)
    nearest = min((total, total - draft), key=lambda held: abs(held - expected))
    return nearest / expected

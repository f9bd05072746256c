"""What no engine can beat: bytes over bandwidth and operations over peak, summed over a replica.

Nothing here is calibrated. Bandwidth and peaks are datasheet values, so the bounds are hard as far
as the datasheet is right. A replica of `data` copies: everything is per copy unless said.
"""

from dataclasses import dataclass

from krm_fn.catalog.rows import Flops, Gpu
from krm_fn.catalog.shape import Quantization
from krm_fn.planner.plan import Parallelism, Question, Serving
from krm_fn.planner.stored import layout
from krm_fn.planner.work import Work

_TERA = 1e12
_PCIE_BYTES = {3: 12e9, 4: 25e9, 5: 50e9, 6: 50e9}


@dataclass(frozen=True, kw_only=True, slots=True)
class Rates:
    """One GPU: operations per second in quantised and in 16-bit matrices, bytes per second."""

    packed: float
    plain: float
    memory: float
    link: float
    nvlink: bool


def rates(question: Question, parallelism: Parallelism, serving: Serving) -> Rates:
    pool, shape = question.pool, question.shape
    dtype = shape.dtype if serving.dtype == "auto" else serving.dtype
    group = parallelism.tensor
    nvlink = pool.interconnect == "nvlink" or (pool.interconnect == "pairs" and group <= 2)
    link = pool.gpu.link_bytes if nvlink else None
    return Rates(
        packed=packed_rate(pool.gpu.flops, layout(shape, serving.quantization), dtype),
        plain=plain_rate(pool.gpu.flops, dtype),
        memory=pool.gpu.bandwidth_bytes,
        link=link or _pcie_rate(pool.gpu),
        nvlink=link is not None,
    )


def plain_rate(flops: Flops, dtype: str) -> float:
    """Peak in 16 bit: bf16, or fp16 where the GPU has no bf16 (before compute capability 8.0)."""
    bf16, fp16 = flops.bf16 or flops.fp16, flops.fp16 or flops.bf16
    rate = fp16 if dtype == "float16" else bf16
    return (rate or 1.0) * _TERA


def packed_rate(flops: Flops, stored: Quantization | None, dtype: str) -> float:
    """Peak of matrices with quantised weights.

    8-bit weights use fp8 (compute capability 8.9 and newer) or int8 units where activations are
    8 bit as well, NVFP4 the fp4 units (10.0 and newer), MXFP4 beside fp4 units the fp8 units;
    int4, and whatever the GPU has no units for, is unpacked to 16 bit.
    """
    plain = plain_rate(flops, dtype)
    if stored is None:
        return plain
    if stored.bits > 6:
        eight = flops.int8 if "int8" in (stored.activations or "") else flops.fp8
        return max(plain, (eight or 0) * _TERA)
    if flops.fp4 and stored.group_size == 16:
        return flops.fp4 * _TERA
    if flops.fp4 and flops.fp8 and "mxfp4" in stored.method:
        return flops.fp8 * _TERA
    return plain


def _pcie_rate(gpu: Gpu) -> float:
    """Bytes per second in one direction as measured between two cards, about 0.8 of x16."""
    return _PCIE_BYTES.get(gpu.pcie, _PCIE_BYTES[4])


def weights_read_bytes(work: Work, split: Parallelism, batch: float) -> float:
    """Weights that one GPU of each stage reads in a step of `batch` sequences, over all stages.

    W = attention / t_attention + (dense + head) / t + replicated + experts x coverage / max(t, EP).
    The experts see the batch of their whole group, all copies when it is larger than one copy.
    """
    w = work.weights
    together = batch * split.data if split.expert > split.tensor else batch
    experts = w.expert_bytes * work.coverage(together) / max(split.tensor, split.expert)
    rest = (w.dense_bytes + work.head_bytes) / split.tensor + w.replicated_bytes
    return w.attention_bytes / split.attention_tensor + rest + experts


def cache_read_bytes(split: Parallelism, batch: float, sequence_bytes: float) -> float:
    """KV cache that one GPU of each stage moves in a step, over all stages.

    K = B/ranks x bytes of one sequence on one GPU (`Work.moved_bytes` of its context): K and V
    split over the GPUs as far as there are KV heads, the MLA latent not at all.
    """
    return max(1.0, batch / split.attention_data) * sequence_bytes


def decode_compute_seconds(
    work: Work, split: Parallelism, rate: Rates, batch: float, attention: float
) -> float:
    """(2 x active parameters + attention operations of one token) x B / peak, on t GPUs."""
    packed = 2 * work.weights.packed_parameters / rate.packed
    plain = 2 * (work.weights.plain_parameters + work.head_parameters) + attention
    return batch * (packed + plain / rate.plain) / split.tensor


def prefill_compute_seconds(
    work: Work, split: Parallelism, rate: Rates, tokens: float, cached: float
) -> float:
    """P = (2 P_active n + attention) / (GPUs x peak) for n = tokens - cached, all stages busy."""
    new, w = tokens - cached, work.weights
    linear = 2 * (w.packed_parameters / rate.packed + w.plain_parameters / rate.plain)
    attention = work.prefill_operations(tokens, cached) / rate.plain
    return (new * linear + attention) / (split.tensor * split.pipeline)


def ttft_bound(work: Work, split: Parallelism, rate: Rates, tokens: float, cached: float) -> float:
    """Least seconds to the first token: the prompt's operations, or the weights read once."""
    compute = prefill_compute_seconds(work, split, rate, tokens, cached)
    read = weights_read_bytes(work, split, max(1.0, tokens - cached))
    return max(compute, read / split.pipeline / rate.memory)

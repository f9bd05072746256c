"""Bytes of a weight: in a layout of values, scales and zero points, and in the allocator."""

from math import ceil

from krm_fn.catalog.shape import Quantization
from krm_fn.units import MIB

ITEMSIZE = {"float32": 4, "float": 4, "bfloat16": 2, "float16": 2, "half": 2, "float8_e4m3fn": 1}


def loaded_itemsize(dtype: str, stated: str | None = None) -> int:
    """Bytes per element after loading: fp32 checkpoints are served in 16 bit unless stated.

    vllm/config/model.py:_resolve_auto_dtype (0.32), SGLang 0.5 the same.
    """
    if stated and stated != "auto":
        return ITEMSIZE.get(stated, 2)
    return min(ITEMSIZE.get(dtype, 2), 2)


def parts(
    rows: int, columns: int, layout: Quantization | None, itemsize: int
) -> tuple[int, int, int]:
    """Bytes of one matrix: values, scales, and zero points with GPTQ's order index.

    values: rows x columns x bits / 8. Scales: one per group of `group_size` inputs and row, one per
    block, else one per row. Zero points: packed like the values, one per group. Order index: 4
    bytes per input.
    """
    if layout is None or layout.bits >= 16:
        return rows * columns * itemsize, 0, 0
    scales = _scales(rows, columns, layout)
    zeros = ceil(scales * layout.bits / 8) if layout.zero_points else 0
    order = 4 * columns if layout.desc_act else 0
    return ceil(rows * columns * layout.bits / 8), scales * layout.scale_bytes, zeros + order


# linear layers that both engines keep in one parameter: qkv_proj, gate_up_proj, fused_qkv_a_proj
_FUSED = {
    "q_proj": "qkv",
    "k_proj": "qkv",
    "v_proj": "qkv",
    "gate_proj": "gate_up",
    "up_proj": "gate_up",
    "q_a_proj": "qkv_a",
    "kv_a_proj_with_mqa": "qkv_a",
    "in_proj_qkv": "qkvz",
    "in_proj_z": "qkvz",
}


def parameter(name: str) -> str:
    """The name of the parameter in which an engine keeps a tensor."""
    path, _, last = name.rpartition(".")
    return f"{path}.{_FUSED.get(last, last)}"


def allocated(size: int) -> int:
    """Bytes that one allocation of PyTorch takes from the GPU.

    torch/c10/cuda/CUDACachingAllocator (2.5 to 2.13): from 10 MiB on a segment is a multiple of
    2 MiB, and a rest of at most 1 MiB is not split off. A 135 MiB matrix takes 136 MiB.
    """
    if size < 10 * MIB:
        return size
    rest = -size % (2 * MIB)
    return size + (rest if rest <= MIB else 0)


def _scales(rows: int, columns: int, layout: Quantization) -> int:
    if layout.block:
        return ceil(rows / layout.block[0]) * ceil(columns / layout.block[1])
    return rows * (ceil(columns / layout.group_size) if layout.group_size else 1)

"""How a weight is stored: which layout a module has, and the bytes of that layout."""

import re
from fnmatch import translate
from functools import lru_cache
from itertools import product
from math import ceil

from krm_fn.catalog.shape import Quantization
from krm_fn.planner.tensors import Tensor
from krm_fn.units import MIB

ITEMSIZE = {"float32": 4, "float": 4, "bfloat16": 2, "float16": 2, "half": 2, "float8_e4m3fn": 1}
_PREFIX = re.compile(r"^(language_model\.|model\.|backbone\.|thinker\.|text_model\.)+")
_PREFIXES = ("model.", "model.language_model.", "language_model.model.")
# the same module under the names of different checkpoints
_ALIASES = {
    "self_attn": ("self_attn", "attn", "mixer", "attention"),
    "linear_attn": ("linear_attn",),
    "mlp": ("mlp", "ffn", "block_sparse_moe", "mixer", "feed_forward", "moe"),
    "mixer": ("mixer", "mamba"),
    "conv": ("conv",),
}


def loaded_itemsize(dtype: str, stated: str | None = None) -> int:
    """Bytes per element after loading: fp32 checkpoints are served in 16 bit unless stated.

    vllm/config/model.py:_resolve_auto_dtype (0.32), SGLang 0.5 the same.
    """
    if stated and stated != "auto":
        return ITEMSIZE.get(stated, 2)
    return min(ITEMSIZE.get(dtype, 2), 2)


class Patterns:
    """Names and patterns of modules: `re:` regular expressions, `*` globs, else a dotted part."""

    def __init__(self, patterns: tuple[str, ...]) -> None:
        globs = [_PREFIX.sub("", p) for p in patterns if "*" in p and not p.startswith("re:")]
        starts = [p for p in globs if p.index("*") == len(p) - 1]
        rest = [translate(p) for p in globs if p.index("*") != len(p) - 1]
        self._regex = [re.compile(p[3:]) for p in patterns if p.startswith("re:")]
        self._regex += [re.compile("|".join(rest))] if rest else []
        self._starts = tuple(p[:-1] for p in starts)
        exact = (p for p in patterns if "*" not in p and not p.startswith("re:"))
        self._parts = {_PREFIX.sub("", p).strip(".") for p in exact}

    def match(self, name: str) -> bool:
        """`name` is below the model's own prefix: `layers.3.mlp.experts.0.up_proj`."""
        return any(self._matches_one(alias) for alias in _names(name))

    def _matches_one(self, name: str) -> bool:
        if self._parts and not self._parts.isdisjoint(_spans(name)):
            return True
        if name.startswith(self._starts):
            return True
        full = (name, *(prefix + name for prefix in _PREFIXES)) if self._regex else ()
        return any(pattern.match(n) for pattern in self._regex for n in full)


@lru_cache(maxsize=65536)
def _names(name: str) -> list[str]:
    choices = [_ALIASES.get(part, (part,)) for part in name.split(".")]
    return [".".join(parts) for parts in product(*choices)]


@lru_cache(maxsize=65536)
def _spans(name: str) -> frozenset[str]:
    parts = name.split(".")
    ends = range(len(parts) + 1)
    return frozenset(".".join(parts[i:j]) for i in ends for j in ends if i < j)


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


def quantised(tensor: Tensor, layout: Quantization) -> bool:
    """Only linear layers; an output head only where it is named; MXFP4 only the experts.

    vllm/model_executor/layers/quantization/mxfp4.py (0.32): linear layers stay 16 bit.
    """
    if tensor.cls == "lm_head" or not tensor.linear:
        return False
    return tensor.cls == "experts" or layout.method != "mxfp4"


# quantisation of a 16-bit checkpoint while it is loaded, by the engines' own names
ON_THE_FLY = {
    "fp8": Quantization(method="fp8", bits=8, scale_bytes=4, activations="fp8"),
    "w8a8_fp8": Quantization(method="fp8", bits=8, scale_bytes=4, activations="fp8"),
    "bitsandbytes": Quantization(method="bitsandbytes", bits=4, group_size=64, scale_bytes=4),
}

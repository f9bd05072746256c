"""The type that an engine computes in where none is stated."""

from krm_fn.catalog.rows import Gpu
from krm_fn.catalog.shape import ModelShape
from krm_fn.planner.limits import EngineLimits

BFLOAT16_SINCE = (8, 0)
"""GPUs below compute capability 8.0 have no bfloat16."""
HALVES = ("bfloat16", "float16")


def has_bfloat16(gpu: Gpu) -> bool:
    return gpu.vendor != "nvidia" or gpu.capability >= BFLOAT16_SINCE


def automatic_dtype(engine: EngineLimits, shape: ModelShape, gpu: Gpu) -> str:
    """What the engine falls back to on a GPU without the model's type; "auto" = the model's own."""
    if has_bfloat16(gpu) or shape.dtype not in HALVES:
        return "auto"
    if shape.model_type in engine.no_float16:
        return "float32"
    return "float16" if shape.dtype == "bfloat16" else "auto"


def quantised_dtypes(engine: EngineLimits, method: str) -> tuple[str, ...]:
    """The types that the kernels of a quantisation take; () = not known."""
    return next((each for names, each in engine.quantised_dtypes if method in names), ())

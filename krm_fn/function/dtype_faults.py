"""Types to compute in that the GPU does not have, or that an engine refuses at its start."""

from collections.abc import Iterator

from krm_fn.api.faults import one_of, shown
from krm_fn.api.v1alpha1 import LLMService
from krm_fn.catalog.rows import Gpu
from krm_fn.catalog.shape import ModelShape
from krm_fn.errors import Result, error
from krm_fn.function.card_facts import Card
from krm_fn.function.variant_facts import VariantFacts
from krm_fn.planner.dtypes import automatic_dtype, has_bfloat16, quantised_dtypes
from krm_fn.planner.limits import EngineLimits

SYNONYMS = {"half": "float16", "float": "float32"}
PATH = "spec.serving.dtype"


def dtype_faults(
    service: LLMService, variants: tuple[VariantFacts, ...], card: Card, gpu: Gpu
) -> Iterator[Result]:
    """A fault for each engine that would not start with the type, stated or its own."""
    stated, quantization = service.spec.serving.dtype, service.spec.serving.quantization
    if stated == "bfloat16" and not has_bfloat16(gpu):
        yield _no_bfloat16(gpu)
        return
    for variant in variants:
        if variant.engine.limits is None:
            continue
        limits = variant.engine.limits(variant.version)
        if stated in (None, "auto"):
            yield from _automatic_faults(limits, card.shape, gpu, quantization)
        else:
            yield from _stated_faults(limits, card.shape, gpu, str(stated), quantization)


def _no_bfloat16(gpu: Gpu) -> Result:
    major, minor = gpu.capability
    return error(
        f"{gpu.name} (compute capability {major}.{minor}) has no bfloat16; remove it, or use "
        '"auto"',
        PATH,
        current="bfloat16",
    )


def _stated_faults(
    limits: EngineLimits, shape: ModelShape, gpu: Gpu, stated: str, quantization: str | None
) -> Iterator[Result]:
    engine, wanted = f"{limits.name} {limits.version}", SYNONYMS.get(stated, stated)
    allowed = _allowed(limits, shape, quantization)
    if wanted == "float16" and shape.model_type in limits.no_float16:
        able = ["bfloat16", "float32"] if has_bfloat16(gpu) else ["float32"]
        yield error(
            f"must be one of {one_of(able)}, or be left out: {engine} does not start "
            f"{shape.model_type} models in float16, in which they are numerically unstable; got "
            f"{shown(stated)}",
            PATH,
            current=stated,
        )
    elif allowed and wanted not in allowed:
        yield error(
            f"must be one of {one_of(allowed)}, or be left out: {engine} has no kernels for "
            f"{_method(shape, quantization)} weights in {wanted}; got {shown(stated)}",
            PATH,
            current=stated,
        )


def _automatic_faults(
    limits: EngineLimits, shape: ModelShape, gpu: Gpu, quantization: str | None
) -> Iterator[Result]:
    """What the GPU leaves is not what the weights need."""
    chosen = automatic_dtype(limits, shape, gpu)
    wanted = shape.dtype if chosen == "auto" else chosen
    allowed = _allowed(limits, shape, quantization)
    if allowed and chosen != "auto" and wanted not in allowed:
        yield error(
            f"{gpu.name} has no bfloat16, so {limits.name} {limits.version} computes "
            f"{shape.model_type} in {wanted}, for which it has no kernels for "
            f"{_method(shape, quantization)} weights; use a GPU of compute capability 8.0 or newer",
            "spec.gpuPool.gpu",
            current=gpu.name,
        )


def _method(shape: ModelShape, quantization: str | None) -> str:
    """The checkpoint's own method, or the engine's name of the one that it is loaded with."""
    return shape.quantization.method if shape.quantization else str(quantization)


def _allowed(limits: EngineLimits, shape: ModelShape, quantization: str | None) -> tuple[str, ...]:
    own = shape.quantization or quantization not in (None, "auto")
    return quantised_dtypes(limits, _method(shape, quantization)) if own else ()

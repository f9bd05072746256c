"""What an engine version cannot do with what is stated."""

from collections.abc import Iterator

from krm_fn.api.faults import near, one_of, shown
from krm_fn.api.v1alpha1 import GpuPoolSpec, LLMService
from krm_fn.api.v1alpha1 import Variant as VariantSpec
from krm_fn.catalog.images import image_faults
from krm_fn.catalog.rows import Gpu
from krm_fn.engines import ENGINES, versions
from krm_fn.errors import Result, error, warning
from krm_fn.function.card_facts import Card
from krm_fn.function.variant_facts import DEFAULT_VARIANTS, VariantFacts
from krm_fn.planner.stored import ON_THE_FLY


def stated_twice(service: LLMService) -> Iterator[Result]:
    """The same thing stated twice with different values; and per-engine fields for several."""
    serving, variants = service.spec.serving, service.spec.variants
    named = variants or {name: VariantSpec() for name in DEFAULT_VARIANTS}
    planned = [name for name, variant in named.items() if _is_planned(name, variant)]
    for field, value in (
        ("memoryFraction", serving.memory_fraction),
        ("extraArgs", serving.extra_args),
        ("env", serving.env),
        ("secretEnv", serving.secret_env),
    ):
        if value and len(planned) > 1:
            yield error(
                f"must stand below `spec.variants.NAME`, because engines differ in it and "
                f"{len(planned)} GPU variants are asked for ({', '.join(planned)})",
                f"spec.serving.{field}",
            )
    for name, variant in named.items():
        yield from _contradictions(service, name, variant)


def _contradictions(service: LLMService, name: str, variant: VariantSpec) -> Iterator[Result]:
    serving = service.spec.serving
    for field, one, other in (
        ("memoryFraction", serving.memory_fraction, variant.memory_fraction),
        ("kvCacheDtype", serving.kv_cache_dtype, variant.kv_cache_dtype),
    ):
        if one is not None and other is not None and one != other:
            yield error(
                f"is stated twice: {other} here and {one} in `spec.serving.{field}`; keep one",
                f"spec.variants.{name}.{field}",
            )


def _is_planned(name: str, spec: VariantSpec) -> bool:
    engine = ENGINES.get(spec.engine or name)
    return engine is None or engine.planned


def shared_memory_faults(pool: GpuPoolSpec, variants: tuple[VariantFacts, ...]) -> Iterator[Result]:
    """A fraction of what is free is no promise where other pods come and go on the same GPU."""
    for variant in variants:
        limits = variant.engine.limits
        if pool.shared and limits and limits(variant.version).memory_basis == "free":
            yield warning(
                f"{variant.engine.name} takes a fraction of the memory that is free at its start, "
                "so on a time-sliced GPU it depends on which other pods run; prefer whole GPUs, "
                "MIG, or an engine whose fraction is of the total",
                "spec.gpuPool.shared",
            )


def version_faults(
    variants: tuple[VariantFacts, ...], gpu: Gpu, card: Card, pool: GpuPoolSpec
) -> Iterator[Result]:
    """What an engine version cannot run: this GPU, driver, architecture, flag or variable."""
    for variant in variants:
        path = f"spec.variants.{variant.name}"
        spec, engine = variant.spec, variant.engine
        if not engine.planned:
            continue
        if variant.image_row and not spec.image:
            yield from image_faults(variant.image_row, variant.version, gpu, pool.driver)
        yield from versions.architecture_faults(
            engine.name, variant.version, (card.shape.architecture,), path
        )


def type_faults(
    service: LLMService, variants: tuple[VariantFacts, ...], card: Card
) -> Iterator[Result]:
    """Cache and weight types that a version does not take, or that the checkpoint does not have."""
    for variant in variants:
        if variant.engine.limits is None:
            continue
        limits = variant.engine.limits(variant.version)
        yield from _kv_cache_faults(service, variant, limits.kv_cache_dtypes)
        yield from _quantization_faults(service, variant, card)


def _kv_cache_faults(
    service: LLMService, variant: VariantFacts, known: tuple[str, ...]
) -> Iterator[Result]:
    own, shared = variant.spec.kv_cache_dtype, service.spec.serving.kv_cache_dtype
    stated = own if own is not None else shared
    allowed = known if "fp8" in known else (*known, "fp8")  # engines map it to their own name
    if stated is not None and stated not in allowed:
        yield error(
            f"must be one of {one_of(allowed)} for {variant.engine.name} {variant.version}; "
            f"got {shown(stated)}{near(stated, list(allowed))}",
            f"spec.variants.{variant.name}.kvCacheDtype" if own else "spec.serving.kvCacheDtype",
            current=stated,
        )


def _quantization_faults(
    service: LLMService, variant: VariantFacts, card: Card
) -> Iterator[Result]:
    """AWQ and the like are properties of a checkpoint; only few can be made while loading."""
    stated, path = service.spec.serving.quantization, "spec.serving.quantization"
    if stated is None:
        return
    engine, version = variant.engine.name, variant.version
    known = versions.choices(engine, version, "--quantization")
    possible = [name for name in ON_THE_FLY if not known or name in known]
    if card.shape.quantization is None and stated not in possible:
        yield error(
            f"{shown(stated)} needs a checkpoint that was quantised with it, and this one is "
            f"{card.shape.dtype}; choose such a checkpoint, or {one_of(possible)}, with which "
            f"{engine} {version} quantises while loading",
            path,
            current=stated,
        )
    elif known and stated not in known:
        yield error(
            f"must be one of {one_of(known)} for {engine} {version}; got {shown(stated)}"
            f"{near(stated, list(known))}",
            path,
            current=stated,
        )

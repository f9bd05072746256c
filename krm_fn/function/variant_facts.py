"""Which engines, versions and images a service means."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from krm_fn.api.faults import near, one_of, shown
from krm_fn.api.v1alpha1 import LLMService
from krm_fn.api.v1alpha1 import Variant as VariantSpec
from krm_fn.catalog.images import Image, image, image_reference
from krm_fn.catalog.rows import Gpu
from krm_fn.checks.images import image_faults
from krm_fn.engines import ENGINES, Engine, versions
from krm_fn.errors import Result, error
from krm_fn.function.found import Found

DEFAULT_VARIANTS = ("mock", "vllm", "sglang")
BASE, MODEL_OF_MOCKS = "mock", "vllm"
FOREIGN_FIELDS: Mapping[bool, Mapping[str, str]] = {
    True: {"like": "like", "metric": "metric"},
    False: {"memory_fraction": "memoryFraction", "kv_cache_dtype": "kvCacheDtype"},
}
"""Fields that engines with a GPU plan (True) or without one (False) do not have."""


@dataclass(frozen=True, kw_only=True)
class VariantFacts:
    """One overlay: its engine, version and image reference."""

    name: str
    engine: Engine
    version: str
    image: str
    image_row: Image | None
    spec: VariantSpec


def variants_of(service: LLMService, gpu: Gpu | None) -> Found:
    """In the order of the engines, for kustomize sorts the keys of a map; the first one leads.

    Those that are understood, so that more can be said about them; each other has an error.
    """
    stated = service.spec.variants
    given = stated if stated is not None else {name: VariantSpec() for name in DEFAULT_VARIANTS}
    specs = dict(sorted(given.items(), key=_rank))
    found = [_variant(name, spec, gpu) for name, spec in specs.items()]
    results = [result for each in found for result in each.results]
    results += _choice_faults(service, specs)
    results += _registry_faults(service.spec.output.images.registry)
    return Found(value=tuple(each.value for each in found if each.value), results=tuple(results))


def _rank(item: tuple[str, VariantSpec]) -> tuple[int, str]:
    name, spec = item
    engine = spec.engine or name
    return (list(ENGINES).index(engine) if engine in ENGINES else len(ENGINES)), name


def _choice_faults(service: LLMService, specs: Mapping[str, VariantSpec]) -> Iterator[Result]:
    if not specs:
        yield error("must name at least one variant, such as `vllm: {}`", "spec.variants")
    wanted = service.spec.output.variant
    if wanted is not None and wanted not in specs:
        yield error(
            f"must be one of the variants {one_of(specs)}; got {shown(wanted)}",
            "spec.output.variant",
            current=wanted,
        )
    for name, spec in specs.items():
        if spec.like is not None and spec.like not in specs:
            yield error(
                f"must be one of the variants {one_of(specs)}; got {shown(spec.like)}",
                f"spec.variants.{name}.like",
            )


def _variant(name: str, spec: VariantSpec, gpu: Gpu | None) -> Found:
    path = f"spec.variants.{name}"
    engine = ENGINES.get(spec.engine or name)
    if engine is None:
        field = f"{path}.engine" if spec.engine else path
        return Found(results=(_unknown_engine(field, spec.engine or name, named=spec.engine),))
    faults = tuple(_spec_faults(path, engine, spec))
    if any(fault.severity == "error" for fault in faults):
        return Found(results=faults)
    version = (spec.version or engine.newest).removeprefix("v")
    row = image(engine.name, version, gpu.vendor) if engine.planned and gpu else None
    reference, more = _image(path, engine, version, spec, row, gpu)
    value = VariantFacts(
        name=name, engine=engine, version=version, image=reference, image_row=row, spec=spec
    )
    return Found(value=value, results=(*faults, *more))


def default_variant(name: str, gpu: Gpu) -> VariantFacts:
    """A variant that nobody asked for: the mock that base is, or what a mock alone imitates."""
    found: VariantFacts | None = _variant(name, VariantSpec(), gpu).value
    assert found is not None, name
    return found


def _unknown_engine(field: str, name: str, named: str | None) -> Result:
    hint = near(name, list(ENGINES))
    more = "" if named else "; a variant of another name states its `engine`"
    return error(f"must be one of {one_of(ENGINES)}; got {shown(name)}{hint}{more}", field)


def _spec_faults(path: str, engine: Engine, spec: VariantSpec) -> Iterator[Result]:
    """Fields that the engine does not have, and images without a version."""
    for field, name in FOREIGN_FIELDS[engine.planned].items():
        if field in spec.model_fields_set:
            yield error(f"means nothing for {engine.name}: remove it", f"{path}.{name}")
    if spec.image and not spec.version:
        yield error(
            "must be stated with `image`: flags and memory follow from it", f"{path}.version"
        )
    if spec.version:
        yield from versions.version_faults(engine.name, spec.version, f"{path}.version")
    if spec.image:
        yield from _reference_faults(spec, spec.image, f"{path}.image")


def _reference_faults(spec: VariantSpec, image: str, path: str) -> Iterator[Result]:
    """An image that nobody could pull, or that a restart may find changed."""
    floats = _is_floating(image) and not spec.digest
    if floats and not spec.allow_floating_tag:
        yield error(
            f"must have a fixed tag or a digest, so that a restart runs the same; got "
            f"{shown(image)}; `allowFloatingTag: true` allows it",
            path,
            current=image,
        )
        return
    if spec.digest and "@" in image and not image.endswith(f"@{spec.digest}"):
        yield error("names another digest than `digest`; keep one", path, current=image)
        return
    whole = image + ("" if "@" in image or not spec.digest else f"@{spec.digest}")
    for message in image_faults(whole):
        yield error(message, path, current=image)


def _registry_faults(registry: str | None) -> Iterator[Result]:
    if registry and any(image_faults(f"{registry.rstrip('/')}/image:v1")):
        yield error(
            "must be a registry that exists, in lower case, such as registry.example.com:5000/ai; "
            f"got {shown(registry)}",
            "spec.output.images.registry",
            current=registry,
        )


def _is_floating(reference: str) -> bool:
    name = reference.rpartition("/")[2]
    tag = name.partition("@")[0].partition(":")[2]
    return "@" not in name and tag in ("", "latest", "nightly", "main", "dev")


def _image(
    path: str,
    engine: Engine,
    version: str,
    spec: VariantSpec,
    row: Image | None,
    gpu: Gpu | None,
) -> tuple[str, tuple[Result, ...]]:
    digest = f"@{spec.digest}" if spec.digest else ""
    if spec.image:
        return spec.image + ("" if "@" in spec.image else digest), ()
    if not engine.planned:
        return engine.default_image(version) + digest, ()
    if gpu is None:
        return "", ()
    if row is None:
        return "", (
            error(
                f"no image of {engine.name} {version} for {gpu.vendor} GPUs is known: state "
                "`image` and `version`, or leave the variant out",
                f"{path}.version",
            ),
        )
    return image_reference(row, version, gpu) + digest, ()

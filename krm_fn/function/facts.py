"""From names to facts: which GPU, which model, which engine versions a service means.

Every name that is not known is a fault with the near ones; what is stated wins.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from krm_fn.api import reference
from krm_fn.api.faults import near, one_of, shown
from krm_fn.api.v1alpha1 import GpuPoolSpec, LLMService, Safetensors
from krm_fn.api.v1alpha1 import Variant as VariantSpec
from krm_fn.catalog import gpus, models, platforms
from krm_fn.catalog.architecture import model_shape
from krm_fn.catalog.images import Image, image, image_faults, image_reference
from krm_fn.catalog.rows import Gpu
from krm_fn.catalog.shape import ModelShape
from krm_fn.engines import ENGINES, Engine, argv, versions
from krm_fn.errors import Result, error, info, warning
from krm_fn.function.intake import Intake, Request

DEFAULT_VARIANTS = ("mock", "vllm", "sglang")
BASE, MODEL_OF_MOCKS = "mock", "vllm"


@dataclass(frozen=True, kw_only=True)
class Card:
    """Facts of a model and where they come from."""

    config: Mapping[str, Any]
    shape: ModelShape
    safetensors: Safetensors | None
    revision: str | None
    gated: bool
    source: str


@dataclass(frozen=True, kw_only=True)
class VariantFacts:
    """One overlay: its engine, version and image reference."""

    name: str
    engine: Engine
    version: str
    image: str
    image_row: Image | None
    spec: VariantSpec


@dataclass(frozen=True, kw_only=True)
class Facts:
    """A service with all its names resolved. `pool_name` = the shared GPUPool, if one."""

    request: Request
    service: LLMService
    pool: GpuPoolSpec
    pool_name: str | None
    gpu: Gpu
    card: Card
    variants: tuple[VariantFacts, ...]
    results: tuple[Result, ...]

    @property
    def planned(self) -> tuple[VariantFacts, ...]:
        """The GPU variants."""
        return tuple(v for v in self.variants if v.engine.planned)

    @property
    def modelled(self) -> tuple[VariantFacts, ...]:
        """What is planned: the GPU variants, or what a mock alone imitates."""
        return self.planned or (default_variant(MODEL_OF_MOCKS, self.gpu),)


@dataclass(frozen=True, kw_only=True)
class Found:
    """A fact if there is one, and what is to be said about it."""

    value: Any = None
    results: tuple[Result, ...] = ()


def facts(request: Request, given: Intake) -> tuple[Facts | None, tuple[Result, ...]]:
    """The facts, or None with every fault; `request.service` must have been read."""
    service = request.service
    assert service is not None
    pool = pool_of(service, given)
    gpu = gpu_of(pool.value) if pool.value else Found()
    card = card_of(service, given)
    variants = variants_of(service, gpu.value)
    found = (pool, gpu, card, variants)
    results = [result for each in found for result in each.results]
    results += _twice(service)
    if variants.value:
        results += _argument_faults(service, variants.value)
    if pool.value and gpu.value:
        results += platforms.placement_faults(placement(pool.value, gpu.value))
    if pool.value and variants.value:
        results += _shared_memory(pool.value, variants.value)
    if pool.value and gpu.value and card.value and variants.value:
        results += _engine_results(variants.value, gpu.value, card.value, pool.value)
    located = tuple(replace(r, resource=r.resource or reference(request.document)) for r in results)
    if not all(each.value for each in found):
        return None, located
    ref = service.spec.gpu_pool_ref
    return Facts(
        request=request,
        service=service,
        pool=pool.value,
        pool_name=ref.name if ref else None,
        gpu=gpu.value,
        card=card.value,
        variants=variants.value,
        results=located,
    ), located


def pool_of(service: LLMService, given: Intake) -> Found:
    spec = service.spec
    if spec.gpu_pool:
        return Found(value=spec.gpu_pool)
    assert spec.gpu_pool_ref is not None
    name = spec.gpu_pool_ref.name
    if name in given.pools:
        return Found(value=given.pools[name].spec)
    return Found(results=(_no_such("GPUPool", name, given.pools, "gpuPoolRef.name", given),))


def _no_such(kind: str, name: str, known: Mapping[str, Any], field: str, given: Intake) -> Result:
    path = f"spec.{field}"
    if given.alone:
        inline = "gpuPool" if kind == "GPUPool" else "model.config"
        return error(
            f'refers to {kind} "{name}", but a kustomize generator sees only its own config: state '
            f"`spec.{inline}` inline, or patch it in with a Component over a directory in "
            "`generators:`, or run the function under `transformers:`, where it sees all resources",
            path,
            current=name,
        )
    have = f"; there are {one_of(known)}" if known else "; there is none"
    return error(
        f'no {kind} "{name}" in the package{have}{near(name, list(known))}', path, current=name
    )


def placement(pool: GpuPoolSpec, gpu: Gpu) -> platforms.Placement:
    """What the pool says of its nodes."""
    stated = pool.taints
    return platforms.Placement(
        platform=pool.platform,
        gpu=gpu,
        node_pool=pool.node_pool,
        spot=pool.spot,
        node_selector=pool.node_selector,
        taints=None if stated is None else tuple(taint.model_dump() for taint in stated),
    )


def gpu_of(pool: GpuPoolSpec) -> Found:
    """The board or slice; shared and sliced GPUs must be asked for."""
    found = pool.gpu if isinstance(pool.gpu, Gpu) else gpus.gpu(pool.gpu)
    if found is None:
        assert isinstance(pool.gpu, str)
        return Found(results=(gpus.gpu_fault(pool.gpu),))
    if pool.mig and not found.mig:
        part = gpus.mig_slice(found, pool.mig.profile, pool.mig.strategy)
        if part is None:
            return Found(
                results=(gpus.mig_fault(found, pool.mig.profile, "spec.gpuPool.mig.profile"),)
            )
        found = part
    return Found(value=found, results=tuple(_sharing(pool, found)))


def _sharing(pool: GpuPoolSpec, found: Gpu) -> Iterator[Result]:
    if gpus.is_shared(found.name) and pool.shared is None:
        yield error(
            "is a time-sliced GPU: its memory is shared with other pods without any limit; state "
            "`shared: {replicas: N}` to plan with 1/N of it, or use whole GPUs",
            "spec.gpuPool.gpu",
            current=found.name,
            proposed=found.name.removesuffix("-SHARED"),
        )


def _shared_memory(pool: GpuPoolSpec, variants: tuple[VariantFacts, ...]) -> Iterator[Result]:
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


def card_of(service: LLMService, given: Intake) -> Found:
    """Inline facts win over a card, a card over the catalogue."""
    model = service.spec.model
    if model.config is not None:
        return _card(
            model.config, model.safetensors, model.revision, "inline config", gated=model.gated
        )
    if model.card_ref:
        name = model.card_ref.name
        if name not in given.cards:
            fault = _no_such("ModelCard", name, given.cards, "model.cardRef.name", given)
            return Found(results=(fault,))
        card = given.cards[name].spec
        return _card(
            card.config,
            model.safetensors or card.safetensors,
            model.revision or card.revision,
            f"ModelCard {name}",
            gated=card.gated if model.gated is None else model.gated,
        )
    row = models.model_card(model.id)
    if row is None:
        return Found(results=(_unknown_model(model.id),))
    gated = row.gated if model.gated is None else model.gated
    totals = Safetensors(**row.safetensors.model_dump()) if row.safetensors else None
    return _card(
        row.config,
        model.safetensors or totals,
        model.revision or row.revision,
        f"catalogue ({row.source})",
        gated=gated,
    )


def _card(
    config: Mapping[str, Any],
    safetensors: Safetensors | None,
    revision: str | None,
    source: str,
    *,
    gated: bool | None,
) -> Found:
    try:
        shape = model_shape(config)
    except ValueError as fault:
        return Found(results=(error(str(fault), "spec.model.config"),))
    card = Card(
        config=config,
        shape=shape,
        safetensors=safetensors,
        revision=revision,
        gated=bool(gated),
        source=source,
    )
    return Found(value=card, results=tuple(_not_understood(shape)))


def _not_understood(shape: ModelShape) -> Iterator[Result]:
    if shape.unknown:
        yield warning(
            f"not understood and left out of the plan: {'; '.join(shape.unknown)}",
            "spec.model.config",
        )


def _unknown_model(name: str) -> Result:
    close = models.near_models(name)
    hint = f" (did you mean {' or '.join(close)}?)" if close else ""
    return error(
        f'"{name}" is not in the catalogue{hint}: state `spec.model.config` with the model\'s '
        "config.json, or let `krm-fn resolve` write a ModelCard and state `spec.model.cardRef`",
        "spec.model.id",
        current=name,
        proposed=close[0] if close else None,
    )


def variants_of(service: LLMService, gpu: Gpu | None) -> Found:
    """In the order of the engines, for kustomize sorts the keys of a map; the first one leads."""
    stated = service.spec.variants
    given = stated if stated is not None else {name: VariantSpec() for name in DEFAULT_VARIANTS}
    specs = dict(sorted(given.items(), key=_rank))
    found = [_variant(name, spec, gpu) for name, spec in specs.items()]
    results = [result for each in found for result in each.results]
    results += _choice_faults(service, specs)
    values = tuple(each.value for each in found if each.value)
    complete = values if len(values) == len(specs) else None
    return Found(value=complete, results=tuple(results))


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
    version = spec.version or engine.newest
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
    stated = spec.model_fields_set
    ours = (
        {"like", "metric"}
        if engine.planned
        else {
            "memory_fraction",
            "kv_cache_dtype",
        }
    )
    aliases = {"memory_fraction": "memoryFraction", "kv_cache_dtype": "kvCacheDtype"}
    for field in sorted(stated & ours):
        yield error(
            f"means nothing for {engine.name}: remove it", f"{path}.{aliases.get(field, field)}"
        )
    if spec.image and not spec.version:
        yield error(
            "must be stated with `image`: flags and memory follow from it", f"{path}.version"
        )
    if spec.version:
        yield from versions.version_faults(engine.name, spec.version, f"{path}.version")
    if spec.image and _is_floating(spec.image) and not (spec.allow_floating_tag or spec.digest):
        yield error(
            f"must have a fixed tag or a digest, so that a restart runs the same; got "
            f"{shown(spec.image)}; `allowFloatingTag: true` allows it",
            f"{path}.image",
            current=spec.image,
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


def _twice(service: LLMService) -> Iterator[Result]:
    """The same thing stated twice with different values; and per-engine fields for several."""
    serving, variants = service.spec.serving, service.spec.variants or {}
    planned = (
        [n for n, v in variants.items() if _is_planned(n, v)] if variants else ["vllm", "sglang"]
    )
    if len(planned) > 1:
        for field, value in (
            ("memoryFraction", serving.memory_fraction),
            ("extraArgs", serving.extra_args),
            ("env", serving.env),
        ):
            if value:
                yield error(
                    f"must stand below `spec.variants.NAME`, because engines differ in it and "
                    f"{len(planned)} GPU variants are asked for ({', '.join(planned)})",
                    f"spec.serving.{field}",
                )
    for name, variant in variants.items():
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


def _engine_results(
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


def _argument_faults(service: LLMService, variants: tuple[VariantFacts, ...]) -> Iterator[Result]:
    """Extra arguments and variables that a version does not have, or that are ours to set."""
    serving = service.spec.serving
    for variant in variants:
        engine, version, spec = variant.engine, variant.version, variant.spec
        path = f"spec.variants.{variant.name}"
        for args, env, where in (
            (serving.extra_args, serving.env, "spec.serving"),
            (spec.extra_args, spec.env, path),
        ):
            yield from argv.argv_faults(
                engine.name, version, args, f"{where}.extraArgs", engine.owned
            )
            yield from argv.env_faults(
                engine.name, version, env, f"{where}.env", {"HF_TOKEN": "spec.model.tokenSecretRef"}
            )


def no_workload(service: LLMService) -> Iterator[Result]:
    if service.spec.workload is None:
        yield info(
            "no workload is stated: planned for requests of 1024 input and 256 output tokens on "
            "one replica; state inputTokens, outputTokens and concurrency or requestsPerSecond",
            "spec.workload",
        )

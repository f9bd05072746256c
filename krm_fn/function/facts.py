"""A service with all its names resolved; every name that is not known is a fault.

The names: pool_facts, card_facts, variant_facts. What engines cannot do with them: engine_faults.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from krm_fn.api import reference
from krm_fn.api.v1alpha1 import GpuPoolSpec, LLMService
from krm_fn.catalog import platforms
from krm_fn.catalog.rows import Gpu
from krm_fn.catalog.shape import ModelShape
from krm_fn.errors import Result, error
from krm_fn.function import engine_faults, length_faults
from krm_fn.function.argument_faults import argument_faults
from krm_fn.function.card_facts import Card, card_of
from krm_fn.function.draft_facts import draft_of
from krm_fn.function.dtype_faults import dtype_faults
from krm_fn.function.extra_faults import extra_faults
from krm_fn.function.found import Found
from krm_fn.function.intake import Intake, Key, Request
from krm_fn.function.pool_facts import gpu_of, placement, pool_key, pool_of
from krm_fn.function.variant_facts import (
    MODEL_OF_MOCKS,
    VariantFacts,
    default_variant,
    variants_of,
)


@dataclass(frozen=True, kw_only=True)
class Facts:
    """A service with all its names resolved. `pool_key` = the shared GPUPool, if one; `draft` = the
    model that drafts.
    """

    request: Request
    service: LLMService
    pool: GpuPoolSpec
    pool_key: Key | None
    gpu: Gpu
    card: Card
    draft: ModelShape | None
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


def facts(request: Request, given: Intake) -> tuple[Facts | None, tuple[Result, ...]]:
    """The facts, or None with every fault; `request.service` must have been read."""
    service, package = request.service, request.package_path
    assert service is not None
    names = _names(service, given, package)
    found = [*names.results, *source_faults(service), *engine_faults.stated_twice(service)]
    found += _faults(service, names)
    about = reference(request.document)
    results = tuple(replace(result, resource=result.resource or about) for result in found)
    if not names.all_known:
        return None, results
    return Facts(
        request=request,
        service=service,
        pool=names.pool.value,
        pool_key=pool_key(service, given, package),
        gpu=names.gpu.value,
        card=names.card.value,
        draft=names.draft.value,
        variants=names.variants.value,
        results=results,
    ), results


@dataclass(frozen=True, kw_only=True)
class _Names:
    """What the names of a service mean, as far as they are known."""

    pool: Found
    gpu: Found
    card: Found
    draft: Found
    variants: Found

    @property
    def results(self) -> tuple[Result, ...]:
        each = (self.pool, self.gpu, self.card, self.variants, self.draft)
        return tuple(result for found in each for result in found.results)

    @property
    def all_known(self) -> bool:
        return all(each.value for each in (self.pool, self.gpu, self.card, self.variants))


def _names(service: LLMService, given: Intake, package: str | None) -> _Names:
    pool = pool_of(service, given, package)
    gpu = gpu_of(pool.value) if pool.value else Found()
    return _Names(
        pool=pool,
        gpu=gpu,
        card=card_of(service, given, package),
        draft=draft_of(service, given, package),
        variants=variants_of(service, gpu.value),
    )


def _faults(service: LLMService, names: _Names) -> Iterator[Result]:
    """What does not go together, of all that is known: each rule needs some of it."""
    pool, gpu, card, variants = (
        each.value for each in (names.pool, names.gpu, names.card, names.variants)
    )
    if variants:
        yield from argument_faults(service, variants)
    if pool and gpu:
        yield from platforms.placement_faults(placement(pool, gpu))
    if pool and variants:
        yield from engine_faults.shared_memory_faults(pool, variants)
    if card and variants:
        yield from engine_faults.type_faults(service, variants, card)
        yield from length_faults.length_faults(service, variants, card)
        yield from length_faults.batch_faults(service, variants, card)
        yield from extra_faults(service, variants, card, names.draft.value)
    if pool and gpu and card and variants:
        yield from engine_faults.version_faults(variants, gpu, card, pool)
        yield from dtype_faults(service, variants, card, gpu)


def source_faults(service: LLMService) -> Iterator[Result]:
    """Places that weights cannot come from."""
    uri = service.spec.model.uri
    if uri.startswith(("s3://", "oci://")):
        yield error(
            "is not supported yet: no way to load it is common to the engines; copy the weights to "
            "a claim and state pvc://CLAIM/PATH, or let the pods take them from the Hub",
            "spec.model.uri",
            current=uri,
        )

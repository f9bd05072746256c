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
    service = request.service
    assert service is not None
    package = request.package_path
    pool = pool_of(service, given, package)
    gpu = gpu_of(pool.value) if pool.value else Found()
    card = card_of(service, given, package)
    draft = draft_of(service, given, package)
    variants = variants_of(service, gpu.value)
    found = (pool, gpu, card, variants)
    results = [result for each in (*found, draft) for result in each.results]
    results += source_faults(service)
    results += engine_faults.stated_twice(service)
    if variants.value:
        results += argument_faults(service, variants.value)
    if pool.value and gpu.value:
        results += platforms.placement_faults(placement(pool.value, gpu.value))
    if pool.value and variants.value:
        results += engine_faults.shared_memory_faults(pool.value, variants.value)
    if card.value and variants.value:
        results += engine_faults.type_faults(service, variants.value, card.value)
        results += length_faults.length_faults(service, variants.value, card.value)
        results += length_faults.batch_faults(service, variants.value, card.value)
        results += extra_faults(service, variants.value, card.value, draft.value)
    if pool.value and gpu.value and card.value and variants.value:
        results += engine_faults.version_faults(variants.value, gpu.value, card.value, pool.value)
    located = tuple(replace(r, resource=r.resource or reference(request.document)) for r in results)
    if not all(each.value for each in found):
        return None, located
    return Facts(
        request=request,
        service=service,
        pool=pool.value,
        pool_key=pool_key(service, given, package),
        gpu=gpu.value,
        card=card.value,
        draft=draft.value,
        variants=variants.value,
        results=located,
    ), located


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

"""The last look before anything is emitted: our own checks on the final objects."""

from collections.abc import Iterator, Mapping, Sequence

from krm_fn.api.v1alpha1 import LLMService
from krm_fn.catalog import platforms
from krm_fn.checks import Context, Pool, faults
from krm_fn.errors import Result
from krm_fn.function.compose import placement_facts
from krm_fn.function.facts import Facts
from krm_fn.function.questions import pool_shape
from krm_fn.function.weights import weights_claim
from krm_fn.planner.plan import Plan
from krm_fn.targets.base import Rendering, Variant


def verified(
    facts: Facts,
    rendering: Rendering,
    variants: Sequence[Variant],
    plans: Mapping[str, Plan],
) -> Iterator[Result]:
    """Faults of each variant's objects."""
    for variant in (variant for variant in variants if not variant.only_base):
        yield from faults(_context(facts, rendering, variant, plans))


def _context(
    facts: Facts, rendering: Rendering, variant: Variant, plans: Mapping[str, Plan]
) -> Context:
    at, shape = placement_facts(facts), pool_shape(facts.pool, facts.gpu)
    spec = next(v for v in facts.variants if v.name == variant.name).spec
    return Context(
        objects=rendering.flat[variant.name],
        plan=plans.get(variant.name),
        server=variant.server,
        pool=Pool(
            share=shape.share,
            gpus_per_node=shape.gpus_per_node,
            nodes=shape.nodes,
            resource=facts.gpu.resource,
            node_selector=tuple(platforms.node_selector(at).items()),
            tolerations=platforms.tolerations(at),
        ),
        profile="baseline" if variant.server.user is None else facts.service.spec.security.profile,
        floating_tags=spec.allow_floating_tag,
        external=external(facts.service),
    )


def external(service: LLMService) -> frozenset[tuple[str, str]]:
    """Objects that the user provides: secrets, and the claim of the weights."""
    spec = service.spec
    token, weights = spec.model.token_secret_ref, weights_claim(service)
    variants = (spec.variants or {}).values()
    owned = (spec.serving.secret_env, *(variant.secret_env for variant in variants))
    refs = (ref.name for each in owned for ref in each.values())
    secrets = (token.name if token else "hf-token", *spec.output.images.pull_secrets, *refs)
    claims = {("PersistentVolumeClaim", weights.name)} if weights else set()
    return frozenset(claims | {("Secret", name) for name in secrets})

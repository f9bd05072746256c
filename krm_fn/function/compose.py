"""From plans to the target's input: what each variant runs, where, how many and how carefully."""

from collections.abc import Iterator, Mapping
from dataclasses import replace

from krm_fn.api.v1alpha1 import LLMService
from krm_fn.catalog import platforms
from krm_fn.engines import Server
from krm_fn.errors import Result, info, warning
from krm_fn.function.facts import Facts
from krm_fn.function.launches import launch
from krm_fn.function.pool_facts import placement as pool_placement
from krm_fn.function.questions import question
from krm_fn.function.variant_facts import BASE, VariantFacts, default_variant
from krm_fn.function.weights import (
    cache,
    cache_bytes,
    downloads,
    is_prefetched,
    needs_recreate,
    prefetch,
    weights_claim,
)
from krm_fn.planner.plan import Plan
from krm_fn.resources.access import Access
from krm_fn.resources.autoscaling import Scaling
from krm_fn.resources.pod import Images, Placement, Security, Toleration
from krm_fn.resources.workload import Rollout
from krm_fn.targets.base import Service, Variant

MOCK_LEAST_REPLICAS = 1


def target_service(facts: Facts, plans: Mapping[str, Plan]) -> Service:
    spec, metadata = facts.service.spec, facts.service.metadata
    first = next(iter(plans.values()))
    asked = question(facts, facts.modelled[0])
    return Service(
        name=metadata.name,
        served_model_name=spec.model.served_name or spec.model.id,
        namespace=metadata.namespace,
        port=spec.service.port,
        type=spec.service.type,
        access=Access(
            network_policy=spec.access.network_policy,
            namespaces=callers(facts.service),
        ),
        security=Security(run_as_user=spec.security.run_as_user, profile=spec.security.profile),
        images=Images(
            registry=spec.output.images.registry, pull_secrets=spec.output.images.pull_secrets
        ),
        cache=cache(spec.storage, first, cache_bytes(facts, asked)),
        weights=weights_claim(facts.service),
        downloads_weights=downloads(facts.service),
        pod_monitor=spec.monitoring.pod_monitor,
        namespace_object=spec.output.namespace_object,
    )


def callers(service: LLMService) -> tuple[str, ...]:
    """Namespaces that may call: those stated, and the scrapers', without whom no HPA scales."""
    stated = (peer.namespace for peer in service.spec.access.from_)
    return tuple(dict.fromkeys((*stated, service.spec.monitoring.namespace)))


def target_variants(facts: Facts, plans: Mapping[str, Plan]) -> tuple[Variant, ...]:
    """All variants asked for, and the mock, because base is the mock."""
    found = tuple(target_variant(facts, variant, plans) for variant in facts.variants)
    if any(variant.plan is None for variant in found):
        return found
    return (
        *found,
        replace(target_variant(facts, default_variant(BASE, facts.gpu), plans), only_base=True),
    )


def target_variant(facts: Facts, variant: VariantFacts, plans: Mapping[str, Plan]) -> Variant:
    """One overlay; the mock imitates the plan of the variant it is `like`, else of the first."""
    plan = plans[like(facts, variant)]
    asked = question(facts, _facts_of(facts, plan.variant))
    server = variant.engine.server(launch(facts, variant, plan, asked))
    if not variant.engine.planned:
        return Variant(
            name=variant.name, server=server, scaling=_mock_scaling(facts, variant, plan)
        )
    return Variant(
        name=variant.name,
        server=server,
        plan=plan,
        placement=placement(facts),
        scaling=scaling(facts.service, plan),
        rollout=rollout(facts, plan),
        prefetch=prefetch(facts, server) if is_prefetched(facts.service, plan) else None,
    )


def like(facts: Facts, variant: VariantFacts) -> str:
    """The GPU variant whose plan this one runs or imitates."""
    if variant.engine.planned:
        return variant.name
    return variant.spec.like or facts.modelled[0].name


def _facts_of(facts: Facts, name: str) -> VariantFacts:
    return next(variant for variant in facts.modelled if variant.name == name)


def scaling(service: LLMService, plan: Plan) -> Scaling:
    """HPA's minimum is the planned number, so that the plan holds when metrics are missing."""
    stated = service.spec.scaling
    least = stated.min_replicas or min(plan.replicas, plan.max_replicas)
    return Scaling(
        owner=stated.owner,
        replicas=plan.replicas,
        min_replicas=least,
        max_replicas=max(least, plan.max_replicas),
        metrics=stated.metrics,
        prometheus=service.spec.monitoring.prometheus,
    )


def _mock_scaling(facts: Facts, variant: VariantFacts, plan: Plan) -> Scaling:
    """A mock starts with one pod, whatever the plan needs: it costs no GPU."""
    stated = facts.service.spec.scaling
    return Scaling(
        owner="none" if stated.owner == "none" else "hpa",
        replicas=MOCK_LEAST_REPLICAS,
        min_replicas=MOCK_LEAST_REPLICAS,
        max_replicas=plan.max_replicas,
        metrics="cpu" if variant.spec.metric == "cpu" else stated.metrics,
    )


def placement(facts: Facts) -> Placement:
    at = placement_facts(facts)
    found = (
        Toleration(key=t["key"], value=t.get("value"), effect=t.get("effect"))
        for t in platforms.tolerations(at)
    )
    return Placement(
        node_selector=platforms.node_selector(at),
        tolerations=tuple(found),
        runtime_class_name=facts.pool.runtime_class_name,
        gpu_resource=facts.gpu.resource,
        spread=facts.pool.nodes > 1,
    )


def placement_facts(facts: Facts) -> platforms.Placement:
    return pool_placement(facts.pool, facts.gpu)


def rollout(facts: Facts, plan: Plan) -> Rollout:
    """Surge only where one more replica than the maximum fits; a claim of one node: recreate."""
    if needs_recreate(facts, plan):
        return Rollout(recreate=True)
    room = question(facts, _facts_of(facts, plan.variant)).pool.replicas(plan.gpus_per_replica)
    surge = room > scaling(facts.service, plan).max_replicas
    return Rollout(max_surge=int(surge), max_unavailable=int(not surge))


def results(
    facts: Facts, plans: Mapping[str, Plan], built: tuple[Variant, ...]
) -> Iterator[Result]:
    """What a user should know about storage, roll-outs, metrics and security of the output."""
    plan = next(iter(plans.values()))
    found = cache(facts.service.spec.storage, plan, 0)
    if downloads(facts.service) and found.kind == "ephemeral":
        yield info(
            "each pod downloads the weights into a volume of its own; state `storageClass` and "
            "`accessMode: ReadWriteMany` to share one download",
            "spec.storage",
        )
    engines = [variant for variant in built if variant.plan]
    if engines and not engines[0].rollout.recreate and engines[0].rollout.max_surge == 0:
        yield _outage(engines[0])
    if engines and engines[0].rollout.recreate:
        yield info(
            "the weights stay on a claim that one node mounts, so a roll-out stops the old pod "
            f"first: about {_minutes(engines[0].server)} minutes without an answer",
            "spec.storage",
        )
    yield from _layout_results(engines)
    yield from _metric_results(facts, engines)
    yield from _access_results(facts)
    yield from _security_results(facts, engines)


def _layout_results(engines: list[Variant]) -> Iterator[Result]:
    """Engines that no common layout fits; their overlays ask for different numbers of GPUs."""
    layouts = {v.name: str(v.plan.parallelism) for v in engines if v.plan}
    if len(set(layouts.values())) > 1:
        each = ", ".join(f"{name} {layout}" for name, layout in layouts.items())
        yield warning(
            f"no layout works for all variants, so each has its own ({each}): a change of the "
            "variant changes the GPUs of a replica",
            "spec.variants",
        )


def _outage(variant: Variant) -> Result:
    one = variant.scaling.max_replicas == 1
    effect = "the service does not answer" if one else "one replica is missing"
    return warning(
        f"the share has no GPUs for a replica more than the maximum, so a roll-out takes one away "
        f"first: {effect} for about {_minutes(variant.server)} minutes each time; a larger "
        "`gpuPool.share` or a smaller `scaling.maxReplicas` makes room",
        "spec.gpuPool.share",
    )


def _minutes(server: Server) -> int:
    """Half of the startup budget is what the start is expected to take."""
    return max(1, round(server.startup_seconds / 2 / 60))


def _metric_results(facts: Facts, engines: list[Variant]) -> Iterator[Result]:
    stated = facts.service.spec.scaling
    if stated.owner == "keda" and engines and not facts.service.metadata.namespace:
        yield warning(
            "KEDA's query counts every service of this name in Prometheus, those of other "
            "namespaces too: state metadata.namespace, so that it names its own",
            "metadata.namespace",
        )
    if stated.owner != "hpa" or not engines:
        return
    names = ", ".join(m.name for variant in engines for m in variant.server.metrics)
    yield info(
        f"the HPA asks the custom metrics API for {names} (colons as _): {ADAPTERS[stated.metrics]}"
        "; without it the HPA keeps its minimum, which is the planned number",
        "spec.scaling.metrics",
    )


ADAPTERS = {
    "prometheus-adapter": "needs prometheus-adapter with a rule for these names",
    "gke": "GKE's custom metrics adapter and a PodMonitoring serve them",
    "keda": "KEDA's metrics server serves them",
}


def _access_results(facts: Facts) -> Iterator[Result]:
    """Who calls through a node comes from its address, which no namespace stands for."""
    stated, service = facts.service.spec.access, facts.service.spec.service
    if stated.from_ and service.type != "ClusterIP":
        yield warning(
            f"`service.type: {service.type}` lets in everyone who reaches the nodes, not only "
            "these namespaces; they alone can call with `service.type: ClusterIP`",
            "spec.access.from",
        )


def _security_results(facts: Facts, engines: list[Variant]) -> Iterator[Result]:
    for variant in engines:
        if variant.server.user is None and facts.service.spec.security.run_as_user is not None:
            yield warning(
                f"{variant.server.engine}'s image runs as root: the namespace needs the label "
                "pod-security.kubernetes.io/enforce: baseline, or state `security.runAsUser` to "
                "run it as that uid",
                "spec.security.runAsUser",
            )

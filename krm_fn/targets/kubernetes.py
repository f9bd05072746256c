"""Plain Kubernetes: a Deployment and what belongs to it, flat and as base with overlays."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial

from krm_fn.engines.base import Server
from krm_fn.krm.item import Manifest
from krm_fn.resources.access import namespace, network_policy, service_account
from krm_fn.resources.autoscaling import autoscaler, scaled_object
from krm_fn.resources.config import config_map
from krm_fn.resources.container import container, image, resources
from krm_fn.resources.disruption import disruption_budget
from krm_fn.resources.metadata import Identity
from krm_fn.resources.monitoring import pod_monitor
from krm_fn.resources.pod import pod_security, pod_spec
from krm_fn.resources.prefetch import (
    Prefetch,
    prefetch_container,
    prefetch_job,
    prefetch_mounts,
    prefetch_policy,
    waiting_container,
)
from krm_fn.resources.service import service as service_object
from krm_fn.resources.storage import Mount, claim, mounts, node_cache_bytes, weight_mounts
from krm_fn.resources.workload import deployment
from krm_fn.targets.base import Rendering, Service, Target, Variant
from krm_fn.targets.kustomize import tree


def render(service: Service, variants: Sequence[Variant]) -> Rendering:
    """The variants asked for; the base of the tree is the first one without GPUs, asked or not."""
    found = {variant.name: tuple(objects(service, variant)) for variant in variants}
    flat = {variant.name: found[variant.name] for variant in variants if not variant.only_base}
    return Rendering(flat=flat, files=partial(tree, found[base_name(variants)], flat))


def base_name(variants: Sequence[Variant]) -> str:
    return next((each for each in variants if not each.server.gpus), variants[0]).name


def objects(service: Service, variant: Variant) -> Iterator[Manifest]:
    """The final objects of one variant, in the order in which they need each other."""
    identity, server = identity_of(service), variant.server
    if service.namespace and service.namespace_object:
        yield namespace(service.namespace, pod_security(server, service.security))
    yield service_account(identity)
    if service.access.network_policy:
        yield policy(service, variant)
    if server.files:
        yield config_map(identity, server)
    if has_claim(service, variant):
        yield claim(identity, service.cache)
    if prefetch := prefetch_of(service, variant):
        yield from prefetch_objects(service, variant, prefetch)
    yield service_object(identity, port=service.port, service_type=service.type)
    yield workload(service, variant)
    yield disruption_budget(identity)
    yield from scaler(service, variant)
    if service.pod_monitor and variant.scaling.metrics != "cpu":
        yield pod_monitor(identity, server)


def identity_of(service: Service) -> Identity:
    return Identity(name=service.name, namespace=service.namespace, part_of=service.part_of)


def has_claim(service: Service, variant: Variant) -> bool:
    return service.cache.kind == "claim" and variant.server.cache_path is not None


def policy(service: Service, variant: Variant) -> Manifest:
    """A Service with an outside address is open to those who reach it."""
    is_inside = service.type == "ClusterIP"
    return network_policy(
        identity_of(service),
        port=variant.server.port,
        callers=service.access.namespaces if is_inside else None,
        downloads=downloads(service, variant),
    )


def downloads(service: Service, variant: Variant) -> bool:
    """Weights come from outside into this variant's pods, not into a Job's."""
    has_cache = variant.server.cache_path is not None
    return service.downloads_weights and has_cache and not prefetch_of(service, variant)


def fills_cache(service: Service, variant: Variant) -> bool:
    """A cache of one node cannot be filled ahead: the Job would hold it."""
    return bool(
        variant.prefetch and service.cache.is_shared and variant.server.cache_path is not None
    )


def workload(service: Service, variant: Variant) -> Manifest:
    identity, server, scaling = identity_of(service), variant.server, variant.scaling
    volumes = mounts(identity, server, service.cache, service.weights)
    needs = resources(
        server,
        gpu_resource=variant.placement.gpu_resource,
        node_cache_bytes=node_cache_bytes(server, service.cache),
    )
    main = container(server, image=image_of(service, server), resources=needs, mounts=volumes)
    return deployment(
        identity,
        server=server,
        pod=pod(service, variant, main, volumes, wait(service, variant)),
        rollout=variant.rollout,
        replicas=scaling.replicas if scaling.owner == "none" else None,
    )


def image_of(service: Service, server: Server) -> str:
    return image(server.image, service.images.registry)


def pod(
    service: Service,
    variant: Variant,
    main: Manifest,
    volumes: tuple[Mount, ...],
    init: Manifest | None = None,
) -> Manifest:
    return pod_spec(
        identity_of(service),
        server=variant.server,
        placement=variant.placement,
        security=service.security,
        images=service.images,
        container=main,
        init_container=init,
        mounts=volumes,
    )


def prefetch_of(service: Service, variant: Variant) -> Prefetch | None:
    """Only a cache that all nodes share can be filled ahead; another one the Job would hold."""
    has_shared_cache = service.cache.is_shared and variant.server.cache_path is not None
    return variant.prefetch if has_shared_cache else None


def prefetch_objects(service: Service, variant: Variant, prefetch: Prefetch) -> Iterator[Manifest]:
    """The Job, on the same nodes, and the policy that lets it download."""
    identity, server = identity_of(service), variant.server
    if service.access.network_policy:
        yield prefetch_policy(identity)
    volumes = prefetch_mounts(identity, server, service.cache)
    image = image_of(service, server)
    main = prefetch_container(prefetch, server, image=image, mounts=volumes)
    alone = replace(variant, placement=replace(variant.placement, spread=False))
    yield prefetch_job(identity, pod=pod(service, alone, main, volumes))


def wait(service: Service, variant: Variant) -> Manifest | None:
    """The init container that waits for the Job, where there is one."""
    prefetch = prefetch_of(service, variant)
    if prefetch is None:
        return None
    cache = weight_mounts(identity_of(service), variant.server, service.cache, None)
    image = image_of(service, variant.server)
    return waiting_container(prefetch, variant.server, image=image, mounts=cache)


def scaler(service: Service, variant: Variant) -> Iterator[Manifest]:
    """Exactly one owner of the replicas, or none beside the Deployment."""
    identity, scaling = identity_of(service), variant.scaling
    if scaling.owner == "hpa":
        yield autoscaler(identity, variant.server, scaling)
    if scaling.owner == "keda":
        yield scaled_object(identity, variant.server, scaling, service.served_model_name)


TARGET = Target(name="kubernetes", render=render)

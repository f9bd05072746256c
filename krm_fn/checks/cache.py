"""Weights survive a restart of their container, and the pod's user can write where they go."""

from collections.abc import Iterator

from krm_fn.checks.base import Check, Context
from krm_fn.checks.pods import Container, Pod
from krm_fn.checks.reading import amount, dig, mapping
from krm_fn.checks.view import Spot
from krm_fn.errors import Result
from krm_fn.units import GIB, gib, quantity

_BIG_BYTES = 10 * GIB


def _rule(context: Context) -> Iterator[Result]:
    for pod in context.pods:
        yield from _writable(pod)
    for container in context.servers:
        if context.server and context.server.cache_path and container.gpus:
            path, size = context.server.cache_path, context.server.cache_bytes
            yield from _kept(container, path, size, context)


def _writable(pod: Pod) -> Iterator[Result]:
    user = dig(pod.spec.node, "securityContext", "runAsUser")
    group = dig(pod.spec.node, "securityContext", "fsGroup")
    read_only = {
        mount.value("name")
        for container in pod.containers
        for mount in container.each("volumeMounts")
        if mount.value("readOnly")
    }
    for name, volume in pod.volumes.items():
        claim = volume.node.get("persistentVolumeClaim") or volume.node.get("ephemeral")
        if claim and name not in read_only and user and group is None:
            message = f"must be set: user {user} cannot write the claim of volume {name} without it"
            yield pod.spec.fault(message, "securityContext", "fsGroup", proposed=user)


def _kept(container: Container, path: str, size: int, context: Context) -> Iterator[Result]:
    volume = container.volume(path)
    if volume is None:
        message = f"must mount a volume for {path}: the weights would fill the container's layer"
        yield container.fault(message, "volumeMounts")
    elif volume.node.get("emptyDir") is not None:
        yield from _on_the_node(volume, size)
    else:
        yield from _large_enough(_claim(volume, container, context), size)


def _on_the_node(volume: Spot, size: int) -> Iterator[Result]:
    """The node's disk will do for big weights if it was asked for them (the limit counts it)."""
    limit = dig(volume.node, "emptyDir", "sizeLimit")
    if size >= _BIG_BYTES and (amount("storage", limit) or 0) < size:
        message = f"must be a claim, or have a sizeLimit of {gib(size)}; is {limit or 'absent'}"
        yield volume.fault(message, "emptyDir", current=limit, proposed=quantity(size))


def _claim(volume: Spot, container: Container, context: Context) -> Spot | None:
    template = volume.at("ephemeral", "volumeClaimTemplate", "spec")
    name = dig(volume.node, "persistentVolumeClaim", "claimName")
    found = context.find("PersistentVolumeClaim", name, container.pod.namespace)
    return found.at("spec") if found else template if template.node else None


def _large_enough(claim: Spot | None, size: int) -> Iterator[Result]:
    stated = mapping(claim.node, "resources", "requests").get("storage") if claim else None
    if claim and (amount("storage", stated) or 0) < size:
        message = f"must hold the weights, {gib(size)}; is {stated}"
        keys = ("resources", "requests", "storage")
        yield claim.fault(message, *keys, current=stated, proposed=quantity(size))


CHECK = Check(name="cache", defects=(18, 32), rule=_rule)

"""A volume has one source and a use, a mount has a volume and a place of its own; no hostPath."""

from collections.abc import Iterator

from krm_fn.checks.base import Check, Context
from krm_fn.checks.pods import Container, Pod
from krm_fn.checks.reading import dig, listing
from krm_fn.errors import Result


def _rule(context: Context) -> Iterator[Result]:
    for pod in context.pods:
        yield from _sources(pod)
        yield from _uses(pod)
        for container in pod.containers:
            yield from _mounts(container, pod)


def _sources(pod: Pod) -> Iterator[Result]:
    for volume in pod.spec.each("volumes"):
        sources = [key for key, value in volume.node.items() if key != "name" and value is not None]
        if len(sources) != 1:
            has = " and ".join(sources) or "none"
            yield volume.fault(f"must have exactly one source; has {has}", current=sources)
        if "hostPath" in sources:
            message = "must not be a hostPath: it ties the pod to a node and opens the node to it"
            yield volume.fault(message, proposed={"persistentVolumeClaim": {"claimName": "..."}})


def _uses(pod: Pod) -> Iterator[Result]:
    used = {mount.value("name") for one in pod.containers for mount in one.each("volumeMounts")}
    for name, volume in pod.volumes.items():
        if name not in used:
            yield volume.fault("must be mounted by a container or removed")


def _mounts(container: Container, pod: Pod) -> Iterator[Result]:
    templates = listing(pod.owner.get("spec"), "volumeClaimTemplates")
    known = pod.volumes.keys() | {str(dig(claim, "metadata", "name")) for claim in templates}
    paths: set[object] = set()
    for mount in container.each("volumeMounts"):
        name, path = mount.value("name"), mount.value("mountPath")
        if str(name) not in known:
            yield mount.fault(f'must name a volume of the pod; it has no "{name}"', current=name)
        if path in paths:
            yield mount.fault(f"must have a path of its own; {path} is mounted twice", "mountPath")
        paths.add(path)


CHECK = Check(name="volumes", defects=(31,), rule=_rule)

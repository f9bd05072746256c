"""What a pod refers to is in the set, or stated to come from elsewhere."""

from collections.abc import Iterator
from typing import Any

from krm_fn.checks.base import Check, Context
from krm_fn.checks.pods import Container, Pod
from krm_fn.checks.reading import dig, mapping
from krm_fn.checks.view import Spot
from krm_fn.errors import Result

_VOLUMES = {  # source -> key of the name, kind
    "configMap": ("name", "ConfigMap"),
    "persistentVolumeClaim": ("claimName", "PersistentVolumeClaim"),
}


def _rule(context: Context) -> Iterator[Result]:
    for pod in context.pods:
        account = pod.spec.value("serviceAccountName", "default")
        if account != "default":
            at = pod.spec.way("serviceAccountName")
            yield from _present("ServiceAccount", account, Spot(pod.owner, at, {}), pod, context)
        for volume in pod.spec.each("volumes"):
            yield from _volume(volume, pod, context)
        for container in pod.containers:
            yield from _env(container, pod, context)


def _volume(volume: Spot, pod: Pod, context: Context) -> Iterator[Result]:
    for key, (name, kind) in _VOLUMES.items():
        source = volume.at(key)
        if source.node and not source.value("optional"):
            yield from _present(kind, source.value(name), source, pod, context)
            for item in source.each("items"):
                found = context.find(kind, source.value(name), pod.namespace)
                yield from _key(found, item.value("key"), item)


def _env(container: Container, pod: Pod, context: Context) -> Iterator[Result]:
    for source in container.each("envFrom"):
        config = source.at("configMapRef")
        if config.node and not config.value("optional"):
            yield from _present("ConfigMap", config.value("name"), config, pod, context)
    for variable in container.each("env"):
        config = variable.at("valueFrom", "configMapKeyRef")
        if config.node and not config.value("optional"):
            name = config.value("name")
            yield from _present("ConfigMap", name, config, pod, context)
            yield from _key(
                context.find("ConfigMap", name, pod.namespace), config.value("key"), config
            )


def _present(kind: str, name: Any, spot: Spot, pod: Pod, context: Context) -> Iterator[Result]:
    if context.find(kind, name, pod.namespace) or (kind, name) in (context.external or ()):
        return
    message = f"must name a {kind} of the set; there is no {name}"
    yield spot.fault(message, severity="warning" if context.external is None else "error")


def _key(config: Spot | None, key: Any, spot: Spot) -> Iterator[Result]:
    if config and key not in {*mapping(config.node, "data"), *mapping(config.node, "binaryData")}:
        name = dig(config.node, "metadata", "name")
        yield spot.fault(f"must be a key of {config.node['kind']}/{name}; it has no {key}", "key")


CHECK = Check(name="references", defects=(28,), rule=_rule)

"""Selectors find our pods, only ours, and hold no label that an upgrade would change."""

from collections.abc import Iterator

from krm_fn.checks.base import Check, Context
from krm_fn.checks.pods import Pod
from krm_fn.checks.reading import reference
from krm_fn.checks.view import Spot
from krm_fn.errors import Result

_OWNERS = ("Deployment", "StatefulSet", "DaemonSet", "ReplicaSet")
_SELECTING = {  # kind -> way to its selector
    "Service": ("spec", "selector"),
    "PodDisruptionBudget": ("spec", "selector", "matchLabels"),
    "NetworkPolicy": ("spec", "podSelector", "matchLabels"),
    "PodMonitor": ("spec", "selector", "matchLabels"),
}
_STABLE = ("app.kubernetes.io/name", "app.kubernetes.io/component")
_CHANGING = (
    "app.kubernetes.io/managed-by",
    "app.kubernetes.io/part-of",
    "app.kubernetes.io/version",
    "llm-d.ai/engine-type",
)


def _rule(context: Context) -> Iterator[Result]:
    for kind in _OWNERS:
        for owner in context.of(kind):
            yield from _owner(owner.at("spec", "selector", "matchLabels"), context)
    for kind, way in _SELECTING.items():
        for spot in context.of(kind):
            yield from _found(spot.at(*way), context)
    for pod in context.pods:
        for constraint in pod.spec.each("topologySpreadConstraints"):
            yield from _spread(constraint.at("labelSelector", "matchLabels"), pod)


def _owner(selector: Spot, context: Context) -> Iterator[Result]:
    yield from _stable(selector)
    for pod in context.pods:
        own = pod.owner is selector.manifest
        if own and not pod.matches(selector.node):
            message = "must match the labels of the pod template"
            yield selector.fault(message, current=dict(selector.node), proposed=dict(pod.labels))
        elif not own and pod.matches(selector.node):
            other = f"{pod.kind}/{reference(pod.owner).get('name')}"
            yield selector.fault(f"must not match the pods of {other}")


def _found(selector: Spot, context: Context) -> Iterator[Result]:
    yield from _stable(selector)
    namespace = reference(selector.manifest).get("namespace")
    found = [x for x in context.pods if x.matches(selector.node) and x.namespace == namespace]
    kinds = {pod.kind for pod in found}
    headless = selector.manifest["kind"] == "Service" and not selector.node
    if not found and not headless:
        message = "must select pods of the set; selects none"
        severity = context.absence(selector.manifest)
        yield selector.fault(message, current=dict(selector.node), severity=severity)
    elif "Job" in kinds and len(kinds) > 1 and selector.manifest["kind"] != "NetworkPolicy":
        yield selector.fault("must not select the pods of a Job beside the servers")


def _stable(selector: Spot) -> Iterator[Result]:
    for key in selector.node:
        if key in _CHANGING:
            message = f"must not use {key}, which changes: {' and '.join(_STABLE)} for ever"
            yield selector.fault(message, current=key, proposed=list(_STABLE))


def _spread(selector: Spot, pod: Pod) -> Iterator[Result]:
    if not pod.matches(selector.node):
        yield selector.fault("must match the labels of its own pod", current=dict(selector.node))


CHECK = Check(name="selectors", defects=(), rule=_rule)

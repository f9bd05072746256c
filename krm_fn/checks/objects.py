"""Every object is there once, of an API that is served, and has no node in two places."""

from collections.abc import Iterator
from typing import Any

from krm_fn.checks.base import Check, Context
from krm_fn.checks.reading import reference
from krm_fn.checks.view import Spot
from krm_fn.errors import Result

_REMOVED = {  # kind -> the API version since Kubernetes 1.30 or earlier
    "CronJob": "batch/v1",
    "HorizontalPodAutoscaler": "autoscaling/v2",
    "Ingress": "networking.k8s.io/v1",
    "PodDisruptionBudget": "policy/v1",
}


def _rule(context: Context) -> Iterator[Result]:
    seen: set[tuple[str | None, ...]] = set()
    for manifest in context.objects:
        root = Spot(manifest, "", manifest)
        yield from _identity(root, seen)
        yield from _shared(root)


def _identity(root: Spot, seen: set[tuple[str | None, ...]]) -> Iterator[Result]:
    facts = reference(root.manifest)
    kind, version = facts.get("kind"), facts.get("apiVersion", "")
    key = (version.rpartition("/")[0], kind, facts.get("namespace"), facts.get("name"))
    if not kind or not version:
        yield root.fault("must have apiVersion and kind")
    if key in seen:
        yield root.fault("must be there once; it is given twice")
    seen.add(key)
    wanted = _REMOVED.get(str(kind))
    if wanted and version != wanted:
        yield root.fault(f"must be {wanted}", "apiVersion", current=version, proposed=wanted)


def _shared(root: Spot) -> Iterator[Result]:
    """A map or list that stands in two places would be a YAML alias, which kustomize refuses."""
    seen: set[int] = set()
    todo: list[Any] = [root.node]
    while todo:
        node = todo.pop()
        if node and id(node) in seen:
            at = ", ".join(_ways(root.node, node, ""))
            yield root.fault(f"must not have one value in two places: {at}")
        elif isinstance(node, (dict, list)):
            seen.add(id(node))
            todo += node.values() if isinstance(node, dict) else node


def _ways(node: Any, wanted: Any, path: str) -> Iterator[str]:
    if node is wanted:
        yield path
    elif isinstance(node, (dict, list)):
        for key, value in node.items() if isinstance(node, dict) else enumerate(node):
            yield from _ways(value, wanted, f"{path}.{key}" if path else str(key))


CHECK = Check(name="objects", defects=(34,), rule=_rule)

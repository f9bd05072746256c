"""The strategic-merge patch that turns one object into another, for kustomize.

kustomize (kyaml) merges maps; lists it replaces, except those with a merge key, where it puts the
elements of the patch first, in the patch's order, and then the others of the base. So a keyed list
is patched by its final elements up to the last one that differs, an unchanged one by its key alone.
"""

import json
from copy import deepcopy
from typing import Any

from krm_fn.krm.item import Manifest

DIRECTIVE = "$patch"
MERGE_KEYS = {
    "containers": "name",
    "initContainers": "name",
    "env": "name",
    "volumes": "name",
    "volumeMounts": "mountPath",
    "imagePullSecrets": "name",
}
# Merged by several keys, where kustomize keeps the base's order; we replace the whole list.
COMPOUND_KEYS = {"ports", "topologySpreadConstraints"}
# A reader wants to see these whole, once anything in them differs.
STATED_WHOLE = {"startupProbe", "readinessProbe", "livenessProbe", "strategy"}


def patch(base: Manifest, final: Manifest) -> Manifest | None:
    """What makes `final` of `base`, which has the same identity; None if they are equal."""
    changes = _changes(base, final)
    if not changes:
        return None
    metadata = _identity_metadata(final) | changes.pop("metadata", {})
    return {key: final[key] for key in ("apiVersion", "kind")} | {"metadata": metadata} | changes


def removal(base: Manifest) -> Manifest:
    """The patch that takes an object out."""
    head = {key: base[key] for key in ("apiVersion", "kind")}
    return {**head, "metadata": _identity_metadata(base), DIRECTIVE: "delete"}


def _identity_metadata(manifest: Manifest) -> Manifest:
    own = manifest["metadata"]
    return {key: own[key] for key in ("name", "namespace") if key in own}


def _changes(base: Manifest, final: Manifest) -> Manifest:
    """Changed and new keys in the order of `final`, then what is gone as null."""
    changed = {
        key: _change(key, base[key], value) if key in base else deepcopy(value)
        for key, value in final.items()
        if key not in base or not _same(base[key], value)
    }
    return changed | {key: None for key in base if key not in final}


def _same(base: Any, final: Any) -> bool:
    """Equal as JSON: to Python 1 and True are the same, to Kubernetes not."""
    return json.dumps(base, sort_keys=True) == json.dumps(final, sort_keys=True)


def _change(key: str, base: Any, final: Any) -> Any:
    if _are_maps(base, final):
        return _whole(base, final) if key in STATED_WHOLE else _changes(base, final)
    if isinstance(base, list) and isinstance(final, list):
        return _list_change(key, base, final)
    return deepcopy(final)


def _whole(base: Manifest, final: Manifest) -> Manifest:
    """All of `final`, and null for what only the base has, such as another probe handler."""
    stated = {
        key: _whole(base[key], value) if _are_maps(base.get(key), value) else deepcopy(value)
        for key, value in final.items()
    }
    return stated | {key: None for key in base if key not in final}


def _are_maps(base: Any, final: Any) -> bool:
    return isinstance(base, dict) and isinstance(final, dict)


def _list_change(name: str, base: list[Any], final: list[Any]) -> list[Any]:
    if name in COMPOUND_KEYS:
        return [{DIRECTIVE: "replace"}, *deepcopy(final)]
    if name not in MERGE_KEYS:
        return deepcopy(final)
    return _keyed_change(MERGE_KEYS[name], base, final)


def _keyed_change(key: str, base: list[Manifest], final: list[Manifest]) -> list[Any]:
    old = {element[key]: element for element in base}
    kept = {element[key] for element in final}
    removed = [{key: name, DIRECTIVE: "delete"} for name in old if name not in kept]
    changed = final[: _stated(key, base, final)]
    return [_element_change(key, old.get(each[key]), each) for each in changed] + removed


def _element_change(key: str, base: Manifest | None, final: Manifest) -> Manifest:
    if base is None:
        return deepcopy(final)
    return {key: final[key]} | _changes(base, final)


def _stated(key: str, base: list[Manifest], final: list[Manifest]) -> int:
    """How many elements of `final` the patch states: the rest then follows from the base."""
    for count in range(len(final)):
        stated = {element[key] for element in final[:count]}
        kept = {element[key] for element in final} - stated
        if _same([element for element in base if element[key] in kept], final[count:]):
            return count
    return len(final)

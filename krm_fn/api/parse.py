"""Documents to values: every fault of every document at once, then typed and frozen."""

import re
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import replace
from itertools import pairwise
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from krm_fn.api import faults
from krm_fn.api.v1alpha1 import GROUP_VERSION, GPUPool, LLMService, ModelCard
from krm_fn.errors import Result, error

T = TypeVar("T", bound=BaseModel)
ATTEMPTS = 6
"""Taking a leaf out can uncover a fault of its parent: no document is deeper."""
KINDS: Mapping[str, type[BaseModel]] = {
    "LLMService": LLMService,
    "GPUPool": GPUPool,
    "ModelCard": ModelCard,
}
CONFIG_MAP_KEYS: Mapping[str, tuple[tuple[str, ...], type]] = {
    "name": (("metadata", "name"), str),
    "namespace": (("metadata", "namespace"), str),
    "model": (("spec", "model", "id"), str),
    "revision": (("spec", "model", "revision"), str),
    "gpu": (("spec", "gpuPool", "gpu"), str),
    "gpusPerNode": (("spec", "gpuPool", "gpusPerNode"), int),
    "nodes": (("spec", "gpuPool", "nodes"), int),
    "platform": (("spec", "gpuPool", "platform"), str),
    "nodePool": (("spec", "gpuPool", "nodePool"), str),
    "inputTokens": (("spec", "workload", "inputTokens"), int),
    "outputTokens": (("spec", "workload", "outputTokens"), int),
    "concurrency": (("spec", "workload", "concurrency"), int),
    "requestsPerSecond": (("spec", "workload", "requestsPerSecond"), float),
    "variant": (("spec", "output", "variant"), str),
    "mode": (("spec", "output", "mode"), str),
    "path": (("spec", "output", "path"), str),
}


def is_ours(document: Any) -> bool:
    return isinstance(document, dict) and str(document.get("apiVersion", "")).startswith(
        "krm-fn.dev/"
    )


def parsed(
    document: Mapping[str, Any], model: type[T], written: faults.Written = faults.unknown_text
) -> tuple[T | None, tuple[Result, ...]]:
    """The value, if the document can be read at all, and all its faults.

    Faulty leaves are left out and the rest is read again, so that later checks can add theirs to
    the same answer; with any fault the value is for checking only. `written` = how the author wrote
    the value at a path: YAML reads `0.10` as 0.1.
    """
    rest = deepcopy(dict(document))
    found: dict[str, Result] = {}
    for attempt in range(ATTEMPTS):
        try:
            return model.model_validate(rest), tuple(found.values())
        except ValidationError as fault:
            for result in faults.results(fault, model, written, missing=attempt == 0):
                found.setdefault(result.line, replace(result, resource=reference(document)))
            for detail in fault.errors():
                _remove(rest, faults.place(detail))
    return None, tuple(found.values())


def value(
    document: Mapping[str, Any], written: faults.Written = faults.unknown_text
) -> tuple[BaseModel | None, tuple[Result, ...]]:
    """One of our documents by its kind; an unknown kind or version is a fault."""
    stated = document.get("kind")
    kind = str(stated)
    if kind not in KINDS:
        message = f"must be one of {faults.one_of(KINDS)}; got {faults.shown(stated)}"
        hint = faults.near(kind, list(KINDS))
        return None, (error(message + hint, "kind", resource=reference(document)),)
    return parsed(document, KINDS[kind], written)


def service_document(config_map: Mapping[str, Any]) -> tuple[dict[str, Any], tuple[Result, ...]]:
    """The LLMService that a ConfigMap means: `kpt fn eval -- model=... gpu=...`."""
    data = config_map.get("data") or {}
    document: dict[str, Any] = {"apiVersion": GROUP_VERSION, "kind": "LLMService"}
    document |= {"metadata": {}, "spec": {"gpuPool": {}}}
    about = reference(config_map)
    found = [_unknown_key(key, about) for key in data if key not in CONFIG_MAP_KEYS]
    for key, text in data.items():
        path, kind = CONFIG_MAP_KEYS.get(key, ((), str))
        if path:
            found += _set(document, path, str(text), kind, f"data.{key}", about)
    document["metadata"].setdefault("name", service_name(str(data.get("model", ""))))
    return document, tuple(found)


def service_name(model_id: str) -> str:
    """A DNS-1035 name of at most 40 characters from a model id: `Qwen/Qwen3-8B` -> `qwen3-8b`."""
    text = re.sub(r"[^a-z0-9]+", "-", model_id.rpartition("/")[2].lower()).strip("-")
    text = text if text[:1].isalpha() else f"llm-{text}"
    return text[:40].strip("-") or "llm"


def reference(document: Mapping[str, Any]) -> dict[str, str]:
    """`resourceRef` of a Result."""
    metadata = document.get("metadata") or {}
    named = {key: str(metadata[key]) for key in ("name", "namespace") if metadata.get(key)}
    own = {key: str(document[key]) for key in ("apiVersion", "kind") if document.get(key)}
    return own | named


def _unknown_key(key: str, about: dict[str, str]) -> Result:
    hint = faults.near(key, list(CONFIG_MAP_KEYS))
    allowed = ", ".join(CONFIG_MAP_KEYS)
    return error(f"unknown key{hint}; allowed are {allowed}", f"data.{key}", resource=about)


def _set(
    document: dict[str, Any],
    path: tuple[str, ...],
    text: str,
    kind: type,
    field_path: str,
    about: dict[str, str],
) -> list[Result]:
    at = document
    for part in path[:-1]:
        at = at.setdefault(part, {})
    try:
        at[path[-1]] = kind(text)
    except ValueError:
        what = "a whole number" if kind is int else "a number"
        message = f"must be {what}; got {faults.shown(text)}"
        return [error(message, field_path, current=text, resource=about)]
    return []


def _remove(document: Any, path: tuple[int | str, ...]) -> None:
    """Take the faulty leaf out; names of union branches in the path are skipped.

    A list goes as a whole, so that what is said of the rest of it names no wrong index.
    """
    for key, part in pairwise(path):
        inner = document.get(key) if isinstance(document, dict) else None
        if isinstance(inner, list) and isinstance(part, int):
            document.pop(key)
            return
        document = document if inner is None else inner
    if path == ("metadata", "name") and isinstance(document, dict):
        document["name"] = service_name(str(document.get("name", "")))  # a name is needed to go on
    elif isinstance(document, dict):
        document.pop(path[-1], None)

"""Where documents go: flat objects for kustomize, a tree of files for kpt and the command line."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from posixpath import normpath
from typing import Literal

from krm_fn.errors import ConfigError, error
from krm_fn.krm import yaml
from krm_fn.krm.comments import commented
from krm_fn.krm.item import (
    INDEX,
    LEGACY_PATH,
    PACKAGE_PATH,
    PATH,
    Item,
    Manifest,
    file_form,
    item_of_text,
)
from krm_fn.krm.resource_list import ResourceList

Mode = Literal["flat", "tree"]
_KUSTOMIZE_ID = "kustomize.config.k8s.io/id"
_KPT_INPUT = ("ConfigMap", "function-input")  # what kpt makes of `-- key=value`


@dataclass(frozen=True)
class Document:
    """An object and the file it belongs to, relative to the package; no file in flat mode."""

    path: str | None
    manifest: Manifest


def in_package(resources: ResourceList) -> bool:
    """Whether kpt (or our command line) sent the list, which can write files; kustomize cannot."""
    if any(_KUSTOMIZE_ID in item.annotations for item in resources.items):
        return False
    config = resources.function_config
    if config and (INDEX in config.annotations or (config.kind, config.name) == _KPT_INPUT):
        return True
    return any(
        item.kind == "Kptfile" or {PATH, LEGACY_PATH} & item.annotations.keys()
        for item in resources.items
    )


def mode(resources: ResourceList, stated: Literal["auto", "flat", "tree"] = "auto") -> Mode:
    """The shape to emit; a stated one wins."""
    if stated != "auto":
        return stated
    return "tree" if in_package(resources) else "flat"


def below(folder: str, documents: Iterable[Document]) -> tuple[Document, ...]:
    """The documents with their files in `folder` of the package; ConfigError if that is outside."""
    root = normpath(folder)
    if root.startswith(("/", "..")):
        raise ConfigError([error(f'must be a folder inside the package; got "{folder}"')])
    return tuple(
        replace(document, path=normpath(f"{root}/{document.path}")) if document.path else document
        for document in documents
    )


def placed(document: Document, index: int = 0, package_path: str | None = None) -> Manifest:
    """The manifest with the annotations that tell kpt which file to write."""
    if document.path is None:
        return document.manifest
    where = {PATH: document.path, INDEX: str(index)}
    if package_path:
        where[PACKAGE_PATH] = package_path
    return annotated(document.manifest, where)


def annotated(manifest: Manifest, annotations: Mapping[str, str]) -> Manifest:
    """A copy with more annotations."""
    metadata = manifest.get("metadata") or {}
    merged = {**(metadata.get("annotations") or {}), **annotations}
    return _ordered({**manifest, "metadata": {**metadata, "annotations": merged}})


def file_items(path: str, text: str) -> tuple[Item, ...]:
    """The items of one file of a package on disk."""
    return tuple(
        item_of_text(part, line=line, where={PATH: path, INDEX: str(index)})
        for index, (line, part) in enumerate(yaml.documents(text))
    )


def file_text(items: Iterable[Item], before: Iterable[Item] = ()) -> str:
    """The text of a file of ours: its items in their order, without transport annotations.

    `before` are the items that were read from the file: what did not change keeps its text, what
    did keeps its comments.
    """
    old = {item.identity: item for item in before}
    ordered = sorted(items, key=lambda item: int(item.annotations.get(INDEX, "0")))
    return "---\n".join(_document(item, old.get(item.identity)) for item in ordered)


def _document(item: Item, before: Item | None) -> str:
    if before is not None and item.raw == before.raw:
        return before.text
    text = yaml.dump(file_form(item.object))
    return commented(text, before.text) if before else text


def _ordered(manifest: Manifest) -> Manifest:
    """The keys in their usual order, also where there was no metadata."""
    first: Manifest = {
        key: manifest[key] for key in ("apiVersion", "kind", "metadata") if key in manifest
    }
    return {**first, **manifest}

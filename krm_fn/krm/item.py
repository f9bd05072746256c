"""One object of a ResourceList: its text as it came, its identity, its place in the package."""

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

from krm_fn.krm import yaml

Manifest = dict[str, Any]

INTERNAL = "internal.config.kubernetes.io/"
PATH, INDEX, PACKAGE_PATH = INTERNAL + "path", INTERNAL + "index", INTERNAL + "package-path"
LEGACY_PATH, LEGACY_INDEX = "config.kubernetes.io/path", "config.kubernetes.io/index"
_LINE_START = re.compile(r"\n(?=[^\n])")  # blank lines stay blank
_ENTRY_INDENT = re.compile(r"^  ", re.MULTILINE)
_TRANSPORT = {
    LEGACY_PATH,
    LEGACY_INDEX,
    "config.k8s.io/id",
    "kustomize.config.k8s.io/id",
}
_CARRIED = {*_TRANSPORT, "internal.kpt.dev/upstream-identifier"}  # the last one stays in the file


class Identity(NamedTuple):
    """What makes two items the same object of the same file; a base and its patch differ in path.

    `package_path` is an absolute path of the host: compare it, never print it.
    """

    package_path: str | None
    path: str | None
    api_version: str
    kind: str
    namespace: str | None
    name: str | None

    def __str__(self) -> str:
        name = f"{self.namespace}/{self.name}" if self.namespace else self.name
        return f"{self.kind}/{name}" if name else self.kind


@dataclass(frozen=True)
class Item:
    """An entry of `items`: `raw` is its text, from the dash in column 0 to the last line break.

    `line` is the number of its first line in the text it came from. `where` holds transport
    annotations that are known but not in the text, as of a file that was read from a folder.
    """

    raw: str
    line: int = 1
    where: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def header(self) -> Manifest:
        """apiVersion, kind and metadata; parsing only these keeps large packages cheap."""
        source = self.where.get(PATH, "input")
        header = yaml.load(_header_text(self.raw), source=source, line=self.line, aliases=True)
        if isinstance(header, dict) and "kind" in header:
            return header
        return self._loaded(aliases=True, source=source)

    @cached_property
    def object(self) -> Manifest:
        """The whole object; strict, so only asked of what is ours to read."""
        source = self.path if self.where else f"{self.path}, input" if self.path else "input"
        return self._loaded(aliases=False, source=source or "input")

    @cached_property
    def annotations(self) -> dict[str, str]:
        stated = _mapping(self.metadata.get("annotations"))
        return {**{key: str(value) for key, value in stated.items()}, **self.where}

    @property
    def text(self) -> str:
        """The document at column 0, as it stands in a file."""
        return _ENTRY_INDENT.sub("", _document_text(self.raw)).lstrip("\n")

    @property
    def metadata(self) -> Manifest:
        return _mapping(self.header.get("metadata"))

    @property
    def api_version(self) -> str:
        return str(self.header.get("apiVersion") or "")

    @property
    def kind(self) -> str:
        return str(self.header.get("kind") or "")

    @property
    def name(self) -> str | None:
        return _text(self.metadata.get("name"))

    @property
    def namespace(self) -> str | None:
        return _text(self.metadata.get("namespace"))

    @property
    def path(self) -> str | None:
        """Relative to the item's package, without a leading slash."""
        path = self.annotations.get(PATH) or self.annotations.get(LEGACY_PATH)
        return path.lstrip("/") if path else None

    @property
    def package_path(self) -> str | None:
        return self.annotations.get(PACKAGE_PATH)

    @cached_property
    def identity(self) -> Identity:
        return Identity(
            self.package_path, self.path, self.api_version, self.kind, self.namespace, self.name
        )

    def place(self, *path: str | int) -> yaml.Place | None:
        """Line and text of a value as its author wrote it: `item.place("spec", "version")`."""
        return yaml.place(_document_text(self.raw), path, line=self.line)

    def _loaded(self, *, aliases: bool, source: str) -> Manifest:
        text = _document_text(self.raw)
        return _mapping(yaml.load(text, source=source, line=self.line, aliases=aliases))


def item_of(manifest: Manifest) -> Item:
    """An item of our own, written by the one writer."""
    return item_of_text(yaml.dump(manifest))


def item_of_text(text: str, *, line: int = 1, where: Mapping[str, str] | None = None) -> Item:
    """An item whose document is `text`, at column 0, as it stands in a file."""
    entry = "- " + _LINE_START.sub("\n  ", text)
    return Item(raw=entry if entry.endswith("\n") else entry + "\n", line=line, where=where or {})


def carried(annotations: Mapping[str, str]) -> dict[str, str]:
    """Those by which kpt and kustomize follow an item; comments survive if these are kept."""
    return {key: value for key, value in annotations.items() if _is_transport(key, _CARRIED)}


def file_form(manifest: Manifest) -> Manifest:
    """The object as it stands in its file: a copy without the annotations of the transport."""
    return _without(manifest, lambda key: _is_transport(key, _TRANSPORT))


def content(manifest: Manifest, *, owner_key: str = "") -> Manifest:
    """What the object says, whoever owns it and wherever it stands; the thing to compare."""
    return _without(manifest, lambda key: key == owner_key or _is_transport(key, _CARRIED))


def _without(manifest: Manifest, dropped: Callable[[str], bool]) -> Manifest:
    metadata = dict(_mapping(manifest.get("metadata")))
    stated = _mapping(metadata.pop("annotations", None))
    annotations = {key: value for key, value in stated.items() if not dropped(key)}
    if annotations:
        metadata["annotations"] = annotations
    return {
        key: metadata if key == "metadata" else value
        for key, value in manifest.items()
        if key != "metadata" or metadata
    }


def _is_transport(key: str, others: Collection[str]) -> bool:
    return key.startswith("internal.config.") or key in others


def _document_text(raw: str) -> str:
    return " " + raw[1:]


def _header_text(raw: str) -> str:
    """Lines of the keys that make the header; nothing if the entry is not written as `- key:`."""
    lines, wanted = [], False
    for line in _document_text(raw).split("\n"):
        if line.startswith("  ") and line[2:3] not in ("", " ", "#", "\r"):
            wanted = line.startswith(("apiVersion:", "kind:", "metadata:"), 2)
        lines.append(line if wanted else "")
    return "\n".join(lines)


def _mapping(value: Any) -> Manifest:
    return value if isinstance(value, dict) else {}


def _text(value: Any) -> str | None:
    return None if value is None else str(value)

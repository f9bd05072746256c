"""What a file says, and whether somebody has changed it since we wrote it."""

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Any

from krm_fn.krm.item import Manifest, content
from krm_fn.krm.layout import Document


def file_hashes(documents: Iterable[Document]) -> dict[str, str]:
    """By path, the SHA-256 of what a file says; comments, key order and layout do not count.

    Nor does `metadata.namespace`, which kpt packages set with a function of their own.
    """
    files: dict[str, list[Manifest]] = defaultdict(list)
    for document in documents:
        if document.path is not None:
            files[document.path].append(document.manifest)
    return {path: file_hash(manifests) for path, manifests in files.items()}


def file_hash(manifests: Iterable[Manifest], *, owner_key: str = "") -> str:
    """The hash of one file, whose objects may name their owner."""
    said = (canonical(_anywhere(content(each, owner_key=owner_key))) for each in manifests)
    return hashlib.sha256("\n".join(said).encode()).hexdigest()


def canonical(manifest: Manifest) -> str:
    """One text for all ways to write an object."""
    return json.dumps(manifest, sort_keys=True, ensure_ascii=False)


def differences(old: Manifest, new: Manifest, *, owner_key: str) -> Iterator[str]:
    """Dotted paths of the values that differ between two versions of an object."""
    before, after = (_anywhere(content(each, owner_key=owner_key)) for each in (old, new))
    return _differences(before, after, "")


def _anywhere(manifest: Manifest) -> Manifest:
    metadata = {k: v for k, v in manifest.get("metadata", {}).items() if k != "namespace"}
    return {**manifest, "metadata": metadata}


def _differences(old: Any, new: Any, at: str) -> Iterator[str]:
    if isinstance(old, dict) and isinstance(new, dict):
        for key in {**old, **new}:
            yield from _differences(old.get(key), new.get(key), f"{at}.{key}" if at else key)
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for index, (one, other) in enumerate(zip(old, new, strict=True)):
            yield from _differences(one, other, f"{at}[{index}]")
    elif old != new:
        yield at

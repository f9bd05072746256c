"""Upsert and prune our own items; leave all others alone.

An item is ours if its owner annotation says so. Foreign items are never changed, moved or dropped.
"""

import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from krm_fn.errors import ConfigError, Result, error, info, warning
from krm_fn.krm.item import INDEX, LEGACY_INDEX, Identity, Item, Manifest, carried, content, item_of
from krm_fn.krm.layout import Document, annotated, placed

_FEW = 5  # names in one message


@dataclass(frozen=True, kw_only=True)
class Claim:
    """All that one owner wants to have in the package.

    `owner` is the value of the owner annotation, `Kind/name`. `recorded` are the `file_hashes` of
    the files as the owner wrote them the last time; nothing is known of edits without them.
    """

    owner: str
    documents: Sequence[Document]
    package_path: str | None = None
    recorded: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Reconciled:
    items: tuple[Item, ...]
    results: tuple[Result, ...]


@dataclass(frozen=True, eq=False)
class _Wanted:
    claim: Claim
    identity: Identity
    manifest: Manifest  # with its owner and its place


_Live = Mapping[tuple[str | None, str], Claim]  # by package and owner
_Pairs = Mapping[int, _Wanted]  # by id() of the item that the wanted object replaces


def file_hashes(documents: Iterable[Document]) -> dict[str, str]:
    """By path, the SHA-256 of what a file says; comments, key order and layout do not count."""
    files: dict[str, list[Manifest]] = defaultdict(list)
    for document in documents:
        if document.path is not None:
            files[document.path].append(document.manifest)
    return {path: _hash(manifests, "") for path, manifests in files.items()}


def reconcile(
    items: Sequence[Item], claims: Iterable[Claim], *, owner_key: str, prune: bool = False
) -> Reconciled:
    """The items with what the claims want, and a Result for all that a user may wonder about.

    A clash with an item of someone else is a ConfigError, one Result per clash. Owned files that
    are no longer wanted are left out; those whose owner is gone only with `prune`.
    """
    live = {(claim.package_path, claim.owner): claim for claim in claims}
    wanted = [want for claim in live.values() for want in _wanted(claim, owner_key)]
    owned = [item for item in items if owner_key in item.annotations]
    pairs = _pairs(owned, wanted, live, owner_key)
    if clashes := [*_rivals(wanted), *_clashes(items, wanted, live, owner_key)]:
        raise ConfigError(clashes)
    unwanted = [item for item in owned if item.path is not None and id(item) not in pairs]
    dropped, removals = _removals(unwanted, live, owner_key, prune=prune)
    kept = (item for item in items if id(item) not in dropped)
    met = set(map(id, pairs.values()))
    return Reconciled(
        items=(
            *(_upserted(item, pairs.get(id(item)), owner_key) for item in kept),
            *(item_of(want.manifest) for want in wanted if id(want) not in met),
        ),
        results=(
            *_takeovers(owned, pairs, owner_key),
            *_edits(owned, pairs, owner_key),
            *removals,
        ),
    )


def _wanted(claim: Claim, owner_key: str) -> Iterator[_Wanted]:
    counts: Counter[str | None] = Counter()
    for document in claim.documents:
        manifest, path = document.manifest, document.path
        if path is not None:
            manifest = annotated(manifest, {owner_key: claim.owner})
        manifest = placed(Document(path, manifest), counts[path], claim.package_path)
        counts[path] += 1
        yield _Wanted(claim, _identity(manifest, claim.package_path, path), manifest)


def _identity(manifest: Manifest, package_path: str | None, path: str | None) -> Identity:
    metadata = manifest.get("metadata") or {}
    return Identity(
        package_path if path is not None else None,
        path,
        manifest["apiVersion"],
        manifest["kind"],
        metadata.get("namespace"),
        metadata.get("name"),
    )


def _pairs(
    owned: Sequence[Item], wanted: Sequence[_Wanted], live: _Live, owner_key: str
) -> dict[int, _Wanted]:
    """Which owned item each wanted object replaces: the same object, else one of its kind there.

    The second rule is for a namespace or a name that another function or the user has changed.
    """
    pairs: dict[int, _Wanted] = {}
    for key in (_same, _same_kind_in_file):
        met = set(map(id, pairs.values()))
        free: dict[Any, list[Item]] = defaultdict(list)
        for item in owned:
            if id(item) not in pairs:
                free[key(item.identity)].append(item)
        for want in wanted:
            items = free[key(want.identity)] if id(want) not in met else []
            if items and _may_replace(items[0], want, live, owner_key):
                pairs[id(items.pop(0))] = want
    return pairs


def _same(identity: Identity) -> Identity:
    return identity


def _same_kind_in_file(identity: Identity) -> Any:
    return identity if identity.path is None else (*identity[:2], identity.kind)


def _may_replace(item: Item, want: _Wanted, live: _Live, owner_key: str) -> bool:
    """Ours, or of an owner that is gone, as after a change of its name."""
    owner = item.annotations.get(owner_key)
    return owner is not None and (
        owner == want.claim.owner or (item.package_path, owner) not in live
    )


def _rivals(wanted: Sequence[_Wanted]) -> Iterator[Result]:
    """Files that two owners want."""
    owners: dict[Any, dict[str, None]] = defaultdict(dict)
    for want in wanted:
        place = want.identity[:2] if want.identity.path is not None else want.identity
        owners[place][want.claim.owner] = None
    for place, names in owners.items():
        if len(names) > 1:
            what = f"`{place[1]}`" if len(place) == 2 else str(place)
            yield error(f"{what} is wanted by {' and '.join(names)}: give each its own folder")


def _clashes(
    items: Sequence[Item], wanted: Sequence[_Wanted], live: _Live, owner_key: str
) -> Iterator[Result]:
    """Items of someone else where an object of ours has to go."""
    claimed = {_place(want.identity): want for want in wanted}
    for item in items:
        want = claimed.get(_place(item.identity))
        if want is None or _may_replace(item, want, live, owner_key):
            continue
        owner = item.annotations.get(owner_key)
        whose = f"belongs to {owner}" if owner else f"was not generated by {want.claim.owner}"
        if item.path is None:
            yield error(f"{item.identity} is in the input and {whose}: rename one of the two")
        else:
            message = f"`{item.path}` holds {item.identity}, which {whose}: move one of the two"
            yield error(message, file={"path": item.path})


def _place(identity: Identity) -> Any:
    return identity[:2] if identity.path is not None else identity[2:]


def _upserted(item: Item, want: _Wanted | None, owner_key: str) -> Item:
    """The item itself if it already says what is wanted, so that its layout and comments stay."""
    if want is None:
        return item
    stated = want.manifest["metadata"].get("annotations", {})
    same_place = item.annotations.get(INDEX, "0") == stated.get(INDEX, "0")
    same_owner = item.annotations.get(owner_key) == stated.get(owner_key)
    if same_place and same_owner and _canonical(item.object) == _canonical(want.manifest):
        return item
    kept = {key: value for key, value in carried(item.annotations).items() if key not in stated}
    if LEGACY_INDEX in kept:
        kept[LEGACY_INDEX] = stated[INDEX]
    return item_of(annotated(want.manifest, kept))


def _takeovers(owned: Iterable[Item], pairs: _Pairs, owner_key: str) -> Iterator[Result]:
    taken: dict[tuple[str, str], list[str]] = defaultdict(list)
    for item in owned:
        want, owner = pairs.get(id(item)), item.annotations[owner_key]
        if want and owner != want.claim.owner:
            taken[owner, want.claim.owner].append(item.path or str(item.identity))
    for (old, new), paths in taken.items():
        yield warning(f"{new} takes over from {old}, which is gone: {_few(paths)}")


def _edits(owned: Iterable[Item], pairs: _Pairs, owner_key: str) -> Iterator[Result]:
    """A warning per file that says something else than its owner wrote, and now says again."""
    for (_, path), items in _by_file(owned).items():
        wants = [pairs[id(item)] for item in items if id(item) in pairs]
        if path is None or not wants or not _is_edited(items, wants[0].claim, path, owner_key):
            continue
        fields = [
            name
            for item in items
            if id(item) in pairs
            for name in _differences(
                content(item.object, owner_key=owner_key),
                content(pairs[id(item)].manifest, owner_key=owner_key),
            )
        ]
        if fields:
            yield warning(
                f"`{path}` was edited by hand and is overwritten; it differs in {_few(fields)}."
                " Keep changes in an overlay of your own",
                file={"path": path},
            )


def _removals(
    unwanted: Iterable[Item], live: _Live, owner_key: str, *, prune: bool
) -> tuple[set[int], list[Result]]:
    """The items to leave out, by id(), and what to say about them and the files that stay."""
    dropped: set[int] = set()
    results: list[Result] = []
    orphans: dict[str, list[str]] = defaultdict(list)
    for (_, path), items in _by_file(unwanted).items():
        owner = items[0].annotations[owner_key]
        claim = live.get((items[0].package_path, owner))
        if claim is None and not prune:
            orphans[owner].append(str(path))
            continue
        result, goes = _removal(str(path), items, owner, claim, owner_key)
        results.append(result)
        dropped.update(map(id, items if goes else ()))
    results += [_orphaned(owner, paths) for owner, paths in orphans.items()]
    return dropped, results


def _removal(
    path: str, items: Sequence[Item], owner: str, claim: Claim | None, owner_key: str
) -> tuple[Result, bool]:
    names, file = _few([str(item.identity) for item in items]), {"path": path}
    if claim is None:
        return info(f"`{path}` is removed ({names}): {owner} is gone", file=file), True
    if claim.recorded and path not in claim.recorded:
        message = (
            f"`{path}` names {owner} as its owner, which did not write it and does not need it;"
            f" it stays: remove the annotation `{owner_key}` or the file"
        )
        return warning(message, file=file), False
    if _is_edited(items, claim, path, owner_key):
        message = f"`{path}` is removed ({names}) with edits made by hand: {owner} needs it no more"
        return warning(message, file=file), True
    return info(f"`{path}` is removed ({names}): {owner} needs it no more", file=file), True


def _orphaned(owner: str, paths: Sequence[str]) -> Result:
    message = f"{owner} is gone, but {len(paths)} of its files stay: {_few(paths)}. Remove or prune"
    return warning(message, file={"path": paths[0]})


def _by_file(items: Iterable[Item]) -> dict[tuple[str | None, str | None], list[Item]]:
    files: dict[tuple[str | None, str | None], list[Item]] = defaultdict(list)
    for item in items:
        files[item.package_path, item.path].append(item)
    return files


def _is_edited(items: Iterable[Item], claim: Claim, path: str, owner_key: str) -> bool:
    recorded = claim.recorded.get(path)
    ordered = sorted(items, key=lambda item: int(item.annotations.get(INDEX, "0")))
    return recorded is not None and recorded != _hash((i.object for i in ordered), owner_key)


def _hash(manifests: Iterable[Manifest], owner_key: str) -> str:
    said = "\n".join(_canonical(manifest, owner_key) for manifest in manifests)
    return hashlib.sha256(said.encode()).hexdigest()


def _canonical(manifest: Manifest, owner_key: str = "") -> str:
    return json.dumps(content(manifest, owner_key=owner_key), sort_keys=True, ensure_ascii=False)


def _differences(old: Any, new: Any, at: str = "") -> Iterator[str]:
    """Dotted paths of the values that differ."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in {**old, **new}:
            yield from _differences(old.get(key), new.get(key), f"{at}.{key}" if at else key)
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for index, (one, other) in enumerate(zip(old, new, strict=True)):
            yield from _differences(one, other, f"{at}[{index}]")
    elif old != new:
        yield at


def _few(names: Sequence[str]) -> str:
    more = f" and {len(names) - _FEW} more" if len(names) > _FEW else ""
    return ", ".join(names[:_FEW]) + more

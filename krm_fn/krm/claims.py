"""What owners want, what is there, and where the two cannot both be."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from krm_fn.errors import Result, error
from krm_fn.krm.item import Identity, Item, Manifest
from krm_fn.krm.layout import Document, annotated, placed


@dataclass(frozen=True, kw_only=True)
class Claim:
    """All that one owner wants to have in the package.

    `owner` is the value of the owner annotation, `Kind/name`. `recorded` are the `file_hashes` of
    the files as the owner wrote them the last time, "" for a file whose hash is not known, as that
    of the file with the record in it. Without a record, edits and copies are not noticed.
    """

    owner: str
    documents: Sequence[Document]
    package_path: str | None = None
    recorded: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Wanted:
    claim: Claim
    identity: Identity
    manifest: Manifest  # with its owner and its place


@dataclass(frozen=True, kw_only=True)
class Before:
    """What is there: our items, who is still alive, and which item becomes which wanted object."""

    owner_key: str
    owned: Sequence[Item]
    live: Mapping[tuple[str | None, str], Claim]  # by package and owner
    pairs: Mapping[int, Wanted] = field(default_factory=dict)  # by id() of the item

    def owner(self, item: Item) -> str | None:
        return item.annotations.get(self.owner_key)

    def claim(self, item: Item) -> Claim | None:
        return self.live.get((item.package_path, self.owner(item) or ""))


def wanted_by(claim: Claim, owner_key: str) -> Iterator[Wanted]:
    counts: Counter[str | None] = Counter()
    for document in claim.documents:
        manifest, path = document.manifest, document.path
        if path is not None:
            manifest = annotated(manifest, {owner_key: claim.owner})
        manifest = placed(Document(path, manifest), counts[path], claim.package_path)
        counts[path] += 1
        yield Wanted(claim, _identity(manifest, claim.package_path, path), manifest)


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


def paired(before: Before, wanted: Sequence[Wanted]) -> Before:
    """Which owned item each wanted object replaces: the same object, else one of its kind there.

    The second rule is for a namespace or a name that another function or the user has changed.
    """
    pairs: dict[int, Wanted] = {}
    for key in (_same, _same_kind_in_file):
        met = set(map(id, pairs.values()))
        free: dict[Any, list[Item]] = defaultdict(list)
        for item in before.owned:
            if id(item) not in pairs:
                free[key(item.identity)].append(item)
        for want in wanted:
            items = free[key(want.identity)] if id(want) not in met else []
            if items and _may_replace(items[0], want, before):
                pairs[id(items.pop(0))] = want
    return replace(before, pairs=pairs)


def _same(identity: Identity) -> Identity:
    return identity


def _same_kind_in_file(identity: Identity) -> Any:
    return identity if identity.path is None else (*identity[:2], identity.kind)


def place_of(identity: Identity) -> Any:
    """What only one owner may have: a file, or an object that has none."""
    return identity[:2] if identity.path is not None else identity


def _may_replace(item: Item, want: Wanted, before: Before) -> bool:
    """Ours, or of an owner that is gone, as after a change of its name."""
    owner = before.owner(item)
    return owner is not None and (owner == want.claim.owner or before.claim(item) is None)


def conflicts(
    items: Iterable[Item], claims: Iterable[Claim], wanted: Iterable[Wanted], before: Before
) -> list[Result]:
    """All that must be settled by the user before anything can be written."""
    return [*_twins(claims), *_rivals(wanted), *_clashes(items, wanted, before)]


def _twins(claims: Iterable[Claim]) -> Iterator[Result]:
    """Owners that cannot be told apart."""
    counts = Counter((claim.package_path, claim.owner) for claim in claims)
    for (_, owner), count in counts.items():
        if count > 1:
            yield error(f"{owner} is defined {count} times in one package: rename all but one")


def _rivals(wanted: Iterable[Wanted]) -> Iterator[Result]:
    """Places that two owners want."""
    owners: dict[Any, dict[str, Identity]] = defaultdict(dict)
    for want in wanted:
        owners[place_of(want.identity)][want.claim.owner] = want.identity
    for names in owners.values():
        if len(names) > 1:
            identity = next(iter(names.values()))
            what = str(identity) if identity.path is None else f"`{identity.path}`"
            yield error(f"{what} is wanted by {' and '.join(names)}: give each its own folder")


def _clashes(items: Iterable[Item], wanted: Iterable[Wanted], before: Before) -> Iterator[Result]:
    """Items of someone else where an object of ours has to go."""
    claimed = {place_of(want.identity): want for want in wanted}
    for item in items:
        want = claimed.get(place_of(item.identity))
        if want is None or _may_replace(item, want, before):
            continue
        owner = before.owner(item)
        whose = f"belongs to {owner}" if owner else f"was not generated by {want.claim.owner}"
        if item.path is None:
            yield error(f"{item.identity} is in the input and {whose}: rename one of the two")
        else:
            message = f"`{item.path}` holds {item.identity}, which {whose}: move one of the two"
            yield error(message, file={"path": item.path})


def by_file(items: Iterable[Item]) -> dict[Any, list[Item]]:
    files: dict[Any, list[Item]] = defaultdict(list)
    for item in items:
        files[place_of(item.identity)].append(item)
    return files

"""Upsert and prune our own items; leave all others alone.

An item is ours if its owner annotation says so. Foreign items are never changed, moved or dropped.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from krm_fn.errors import ConfigError, Result, warning
from krm_fn.krm.claims import Before, Claim, by_file, conflicts, paired, wanted_by
from krm_fn.krm.edits import canonical, differences, file_hash
from krm_fn.krm.item import INDEX, LEGACY_INDEX, Item, carried, content, item_of
from krm_fn.krm.layout import annotated
from krm_fn.krm.pruning import removals
from krm_fn.krm.results import few


@dataclass(frozen=True, kw_only=True)
class Reconciled:
    items: tuple[Item, ...]
    results: tuple[Result, ...]


def reconcile(
    items: Sequence[Item], claims: Iterable[Claim], *, owner_key: str, prune: bool = False
) -> Reconciled:
    """The items with what the claims want, and a Result for all that a user may wonder about.

    A clash with an item of someone else is a ConfigError, one Result per clash. Owned files that
    are no longer wanted are left out; those whose owner is gone only with `prune`.
    """
    claims = tuple(claims)
    wanted = [want for claim in claims for want in wanted_by(claim, owner_key)]
    before = paired(
        Before(
            owner_key=owner_key,
            owned=[item for item in items if owner_key in item.annotations],
            live={(claim.package_path, claim.owner): claim for claim in claims},
        ),
        wanted,
    )
    if faults := conflicts(items, claims, wanted, before):
        raise ConfigError(faults)
    edited = _edited(before)
    dropped, losses = removals(before, wanted, edited, prune=prune)
    met = set(map(id, before.pairs.values()))
    return Reconciled(
        items=(
            *(_upserted(item, before) for item in items if id(item) not in dropped),
            *(item_of(want.manifest) for want in wanted if id(want) not in met),
        ),
        results=(*_takeovers(before), *_overwritten(before, edited), *losses),
    )


def _upserted(item: Item, before: Before) -> Item:
    """The item itself if it already says what is wanted, so that its layout and comments stay."""
    want = before.pairs.get(id(item))
    if want is None:
        return item
    stated = want.manifest.get("metadata", {}).get("annotations", {})
    same_place = item.annotations.get(INDEX, "0") == stated.get(INDEX, "0")
    if same_place and canonical(content(item.object)) == canonical(content(want.manifest)):
        return item
    kept = {key: value for key, value in carried(item.annotations).items() if key not in stated}
    if LEGACY_INDEX in kept and INDEX in stated:
        kept[LEGACY_INDEX] = stated[INDEX]
    return item_of(annotated(want.manifest, kept) if kept else want.manifest)


def _takeovers(before: Before) -> Iterator[Result]:
    taken: dict[tuple[str | None, str], list[str]] = defaultdict(list)
    for item in before.owned:
        want, owner = before.pairs.get(id(item)), before.owner(item)
        if want and owner != want.claim.owner:
            taken[owner, want.claim.owner].append(item.path or str(item.identity))
    for (old, new), paths in taken.items():
        yield warning(f"{new} takes over from {old}, which is gone: {few(paths)}")


def _edited(before: Before) -> set[Any]:
    """Places of files of ours that say something else than their owner wrote."""
    edited = set()
    for place, items in by_file(before.owned).items():
        claim = before.claim(items[0])
        recorded = claim.recorded.get(items[0].path or "") if claim else None
        if recorded:
            ordered = sorted(items, key=lambda item: int(item.annotations.get(INDEX, "0")))
            objects = [item.object for item in ordered]
            if recorded != file_hash(objects, owner_key=before.owner_key):
                edited.add(place)
    return edited


def _overwritten(before: Before, edited: set[Any]) -> Iterator[Result]:
    """A warning per file whose edits are lost."""
    for place, items in by_file(before.owned).items():
        pairs = [(item, before.pairs[id(item)]) for item in items if id(item) in before.pairs]
        if place not in edited:
            continue
        fields = [
            name
            for item, want in pairs
            for name in differences(item.object, want.manifest, owner_key=before.owner_key)
        ]
        if fields:
            path = items[0].path
            yield warning(
                f"`{path}` was edited by hand and is overwritten; it differs in {few(fields)}."
                " Keep changes in an overlay of your own",
                file={"path": path},
            )

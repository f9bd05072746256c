"""Which items of ours go, and what is said of those that stay without being wanted."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

from krm_fn.errors import Result, info, warning
from krm_fn.krm.claims import Before, Claim, Wanted, by_file, place_of
from krm_fn.krm.item import Item
from krm_fn.krm.results import few


def removals(
    before: Before, wanted: Iterable[Wanted], edited: set[Any], *, prune: bool
) -> tuple[set[int], list[Result]]:
    """The items to leave out, by id(), and what to say about them and the files that stay."""
    dropped: set[int] = set()
    results: list[Result] = []
    orphans: dict[str, list[str]] = defaultdict(list)
    claimed = {place_of(want.identity) for want in wanted}
    unwanted = (item for item in before.owned if item.path and id(item) not in before.pairs)
    for place, items in by_file(unwanted).items():
        path, owner, claim = str(items[0].path), str(before.owner(items[0])), before.claim(items[0])
        if place in claimed or _may_remove(path, claim, prune=prune):
            dropped.update(map(id, items))
            results.append(_removed(items, owner, is_gone=not claim, is_edited=place in edited))
        elif claim:
            results.append(_copied(path, owner, before.owner_key))
        else:
            orphans[owner].append(path)
    return dropped, [*results, *(_orphaned(*orphan) for orphan in orphans.items())]


def _may_remove(path: str, claim: Claim | None, *, prune: bool) -> bool:
    """Whether its owner wrote the file; nobody can say so of one that is gone."""
    if claim is None:
        return prune
    return not claim.recorded or path in claim.recorded


def _removed(items: Sequence[Item], owner: str, *, is_gone: bool, is_edited: bool) -> Result:
    names = few([str(item.identity) for item in items])
    edits = " with edits made by hand" if is_edited else ""
    reason = f"{owner} is gone" if is_gone else f"{owner} needs it no more"
    say = warning if is_edited else info
    path = items[0].path
    return say(f"`{path}` is removed ({names}){edits}: {reason}", file={"path": path})


def _copied(path: str, owner: str, owner_key: str) -> Result:
    return warning(
        f"`{path}` names {owner} as its owner, which did not write it and does not need it;"
        f" it stays: remove the annotation `{owner_key}` or the file",
        file={"path": path},
    )


def _orphaned(owner: str, paths: Sequence[str]) -> Result:
    message = f"{owner} is gone, but {len(paths)} of its files stay: {few(paths)}. Remove or prune"
    return warning(message, file={"path": paths[0]})

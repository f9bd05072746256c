"""Changes that would make an infeasible service work, each planned again before it is offered.

A change is a map of dotted paths below `spec` to values, so that it can be pasted. Ranked by loss:
first what costs accuracy or comfort a little, then what costs GPUs, then what gives up load.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import combinations, product
from typing import Any

from krm_fn.catalog.rows import Gpu
from krm_fn.planner.change import Change, Try
from krm_fn.planner.changes import Groups, groups_of
from krm_fn.planner.plan import Alternative, Plan, Question

MOST, FEW = 5, 3
VARIED = {"gpuPool.gpu", "serving.tensorParallelSize"}
"""Fields of which several values are offered; of others more than what works is noise."""


def alternatives(
    questions: Sequence[Question], gpus: Iterable[Gpu], attempt: Try
) -> tuple[Alternative, ...]:
    """Up to five changes that work for every variant, least loss first.

    Pairs are tried where fewer than three single changes work; none contains a working single.
    """
    groups = groups_of(questions, tuple(gpus))
    singles = [(change,) for group in groups.values() for change in group]
    found = _working(attempt, singles, MOST)
    if len(found) >= FEW:
        return tuple(found)
    pairs = [pair for pair in _pairs(groups) if not any(_contains(pair, one) for one in found)]
    return (*found, *_working(attempt, pairs, FEW - len(found)))


def _contains(pair: Iterable[Change], one: Alternative) -> bool:
    """Whether a single change that works is a part of the pair, or makes its part needless."""
    paths = _paths(pair)
    more = one.change.keys() <= paths.keys() and not one.change.keys() & VARIED
    return more or one.change.items() <= paths.items()


def _pairs(groups: Groups) -> Iterator[tuple[Change, ...]]:
    """Two settings; a setting and more GPUs; another GPU and more of it."""
    soft = (*groups["settings"], *groups["cache"], *groups["context"], *groups["quantization"])
    yield from combinations(soft, 2)
    yield from product(soft, (*groups["layout"], *groups["pool"], *groups["gpu"]))
    yield from product(groups["gpu"], groups["pool"])


def _working(attempt: Try, tries: Iterable[tuple[Change, ...]], most: int) -> list[Alternative]:
    found: list[Alternative] = []
    offered: set[frozenset[str]] = set()
    for changes in tries:
        if len(found) == most:
            break
        fields = frozenset(_paths(changes))
        alternative = None if fields in offered else _tried(attempt, changes)
        if alternative:
            found.append(alternative)
            offered |= set() if fields & VARIED else {fields}
    return found


def _paths(changes: Iterable[Change]) -> dict[str, Any]:
    return {path: value for change in changes for path, value in change.paths.items()}


def _tried(attempt: Try, changes: Sequence[Change]) -> Alternative | None:
    paths = _paths(changes)
    trial = attempt(paths)
    if trial is None:
        return None
    added = ((path, value) for path, value in trial.paths.items() if path not in paths)
    more = [f"with `{path}: {value}`" for path, value in added if value != {}]
    return Alternative(
        change=dict(trial.paths),
        gpus=max(plan.gpus_per_replica * plan.replicas for plan in trial.plans),
        memory_margin_bytes=min(_margin(plan) for plan in trial.plans),
        because="; ".join((*(change.because for change in changes), *more)),
    )


def _margin(plan: Plan) -> int:
    """KV memory beyond one request of the full context."""
    return int(plan.memory.kv_cache_bytes * (1 - 1 / max(1.0, plan.memory.max_concurrency)))

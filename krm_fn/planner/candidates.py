"""Layouts of one question, each fitted to the memory and loaded, and which of them is preferred."""

from collections.abc import Iterable
from dataclasses import dataclass

from krm_fn.planner import layouts
from krm_fn.planner.load import Load, replica_load, replicas_for
from krm_fn.planner.plan import Parallelism, PoolShape, Question
from krm_fn.planner.serving import Fitted, fitted


@dataclass(frozen=True, kw_only=True, slots=True)
class Candidate:
    """One layout, fitted and loaded. `load` None = the memory does not suffice.

    `room` = replicas that the share holds, `most` = the stated maximum.
    """

    layout: Parallelism
    fitted: Fitted
    load: Load | None
    replicas: int
    room: int
    most: int | None

    @property
    def gpus(self) -> int:
        return self.layout.gpus * self.replicas

    @property
    def works(self) -> bool:
        return self.load is not None and self.load.meets_objectives

    @property
    def crowded(self) -> bool:
        """Whether its replicas, or the stated maximum of them, exceed what there is."""
        most = self.room if self.most is None else self.most
        return self.replicas > min(most, self.room) or most > self.room


def candidates(question: Question) -> tuple[Candidate, ...]:
    return tuple(candidate(question, layout) for layout in layouts.legal(question))


def candidate(question: Question, layout: Parallelism) -> Candidate:
    fit, stated = fitted(question, layout), question.stated
    load, wanted = None, 1
    if fit.memory.fits:
        load = replica_load(question, layout, fit.serving, fit.memory)
        least = max(replicas_for(question.workload, load), stated.min_replicas or 1)
        wanted = stated.replicas or least
    return Candidate(
        layout=layout,
        fitted=fit,
        load=load,
        replicas=wanted,
        room=question.pool.replicas(layout.gpus),
        most=stated.max_replicas,
    )


def preference(
    pool: PoolShape, rows: Iterable[Candidate]
) -> tuple[bool, bool, bool, float, float, int]:
    """What has room, no pipeline (nothing measured stands behind one), a margin above the
    uncertainty of the memory, fewest GPUs for the load, fewest of them idle, then the smallest
    replica: bandwidth use falls with the tensor size.
    """
    rows = list(rows)
    layout = rows[0].layout
    taken = max(_occupied(pool, row) for row in rows)
    idle = taken - max(row.gpus for row in rows)
    tight = any(row.fitted.memory.tight for row in rows)
    return any(row.crowded for row in rows), layout.pipeline > 1, tight, taken, idle, layout.gpus


def _occupied(pool: PoolShape, row: Candidate) -> float:
    """GPUs that the replicas keep from others, with the part of a node that no replica can use."""
    node = min(pool.gpus_per_node, pool.share)
    return row.replicas * node / (node // row.layout.gpus)


def best_of(pool: PoolShape, rows: Iterable[Candidate]) -> Candidate | None:
    """The best that works; else the one that comes nearest, for its figures."""
    rows = list(rows)
    working = [c for c in rows if c.works]
    if working:
        return min(working, key=lambda c: preference(pool, [c]))
    fitting = [c.load.estimate.ttft_seconds for c in rows if c.load]
    if fitting:  # an objective is missed: the fastest shows by how much
        return next(c for c in rows if c.load and c.load.estimate.ttft_seconds == min(fitting))
    return max(rows, key=lambda c: c.fitted.memory.kv_cache_bytes, default=None)

"""Which layout, how many replicas: from one question to one plan.

Every legal layout is fitted, the feasible ones carry the load with so many GPUs, the one with the
fewest wins. Nothing feasible is an answer too, with memory and reasons.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from krm_fn.errors import Result, error
from krm_fn.planner import layouts
from krm_fn.planner.load import UTILISATION, Load, replica_load, replicas_for
from krm_fn.planner.performance import estimate
from krm_fn.planner.plan import Estimate, Parallelism, Plan, PoolShape, Question, Reason, Workload
from krm_fn.planner.serving import Fitted, fitted
from krm_fn.units import gib


@dataclass(frozen=True, kw_only=True, slots=True)
class Candidate:
    """One layout, fitted and loaded. `load` None = the memory does not suffice."""

    layout: Parallelism
    fitted: Fitted
    load: Load | None
    replicas: int

    @property
    def gpus(self) -> int:
        return self.layout.gpus * self.replicas

    @property
    def works(self) -> bool:
        return self.load is not None and self.load.meets_objectives


def plan(question: Question) -> Plan:
    """The plan for one engine alone."""
    return plans([question])[0]


def plans(questions: Sequence[Question]) -> tuple[Plan, ...]:
    """Plans for all GPU variants of a service: one layout that fits every one of them.

    If no layout serves all, each variant gets its own best and the function warns.
    """
    shared = _shared(questions)
    chosen: Sequence[Candidate | None] = shared or [
        _best(question.pool, candidates(question)) for question in questions
    ]
    return tuple(_plan(q, c) for q, c in zip(questions, chosen, strict=True))


def _shared(questions: Sequence[Question]) -> list[Candidate] | None:
    """The candidates of the preferred layout that works for every question.

    Layouts come in the order of preference but for the load they carry; one that is larger than
    all that the best so far takes cannot win, so most are never looked at.
    """
    pool = questions[0].pool
    best: list[Candidate] | None = None
    legal = [set(layouts.legal(question)) for question in questions[1:]]
    for layout in sorted(layouts.legal(questions[0]), key=lambda x: (x.pipeline > 1, x.gpus)):
        if best and (layout.pipeline > 1, layout.gpus) > _preference(pool, best)[:2]:
            break
        if not all(layout in found for found in legal):
            continue
        row = _working(questions, layout)
        if row and (best is None or _preference(pool, row) < _preference(pool, best)):
            best = row
    return best


def _working(questions: Sequence[Question], layout: Parallelism) -> list[Candidate] | None:
    """One candidate per question, None as soon as one does not work."""
    row = []
    for question in questions:
        found = candidate(question, layout)
        if not found.works:
            return None
        row.append(found)
    return row


def candidates(question: Question) -> tuple[Candidate, ...]:
    return tuple(candidate(question, layout) for layout in layouts.legal(question))


def candidate(question: Question, layout: Parallelism) -> Candidate:
    fit = fitted(question, layout)
    if not fit.memory.fits:
        return Candidate(layout=layout, fitted=fit, load=None, replicas=1)
    load = replica_load(question, layout, fit.serving, fit.memory)
    wanted = question.stated.replicas or replicas_for(question.workload, load)
    return Candidate(layout=layout, fitted=fit, load=load, replicas=wanted)


def faults(question: Question, found: Candidate | None) -> tuple[Result, ...]:
    """Why this cannot work, each with its field; empty when it does."""
    if found is None:
        return (_no_layout(question),)
    if found.load is None:
        return (_no_memory(question, found),)
    if found.load.unmet:
        return (error(found.load.unmet, "spec.workload.objectives"),)
    if found.replicas > question.pool.replicas(found.layout.gpus):
        return (_no_room(question, found),)
    return ()


def _preference(pool: PoolShape, rows: Iterable[Candidate]) -> tuple[bool, float, float, int]:
    """No pipeline (nothing measured stands behind one), fewest GPUs for the load, fewest of them
    idle, then the smallest replica: bandwidth use falls with the tensor size.
    """
    rows = list(rows)
    layout = rows[0].layout
    taken = max(_occupied(pool, row) for row in rows)
    return layout.pipeline > 1, taken, taken - max(row.gpus for row in rows), layout.gpus


def _occupied(pool: PoolShape, row: Candidate) -> float:
    """GPUs that the replicas keep from others, with the part of a node that no replica can use."""
    node = min(pool.gpus_per_node, pool.share)
    return row.replicas * node / (node // row.layout.gpus)


def _best(pool: PoolShape, rows: Iterable[Candidate]) -> Candidate | None:
    """The best that works; else the one that comes nearest, for its figures."""
    rows = list(rows)
    working = [c for c in rows if c.works]
    if working:
        return min(working, key=lambda c: _preference(pool, [c]))
    nearest = sorted(rows, key=lambda c: (c.load is None, -c.fitted.memory.kv_cache_bytes))
    return nearest[0] if nearest else None


def _plan(question: Question, found: Candidate | None) -> Plan:
    results = faults(question, found)
    found = found or candidate(question, _asked(question))
    most = max(1, question.pool.replicas(found.layout.gpus))
    return Plan(
        service=question.service,
        variant=question.variant,
        engine=question.engine.name,
        engine_version=question.engine.version,
        feasible=not results,
        parallelism=found.layout,
        replicas=found.replicas,
        max_replicas=min(most, question.stated.max_replicas or most),
        memory=found.fitted.memory,
        serving=found.fitted.serving,
        estimate=_estimate(question, found),
        reasons=_reasons(question, found),
        results=results,
    )


def _asked(question: Question) -> Parallelism:
    """The layout that was asked for though it is not legal, to show its memory."""
    stated = question.stated
    return Parallelism(
        tensor=stated.tensor or 1,
        pipeline=stated.pipeline or 1,
        data=stated.data or 1,
        expert=stated.expert or 1,
        attention_data=stated.attention_data or 1,
    )


def _estimate(question: Question, found: Candidate) -> Estimate | None:
    """Speed of one replica at its part of the stated load, else at the most it carries."""
    if found.load is None or layouts.conflicts(question, found.layout):
        return None
    workload = question.workload
    if not workload.concurrency and not workload.requests_per_second:
        return found.load.estimate
    part = replace(question, workload=_part(workload, found.replicas))
    return estimate(part, found.layout, found.fitted.serving, found.fitted.memory)


def _part(workload: Workload, replicas: int) -> Workload:
    """One replica's share of the load."""
    rate, users = workload.requests_per_second, workload.concurrency
    return replace(
        workload,
        requests_per_second=rate / replicas if rate else None,
        concurrency=-(-users // replicas) if users else None,
    )


def _reasons(question: Question, found: Candidate) -> tuple[Reason, ...]:
    return (
        Reason(
            field="parallelism",
            value=str(found.layout),
            because=_layout_reason(question, found),
        ),
        *found.fitted.reasons,
        Reason(field="replicas", value=found.replicas, because=_replica_reason(question, found)),
    )


def _layout_reason(question: Question, found: Candidate) -> str:
    if question.stated.tensor or question.stated.pipeline:
        return "stated"
    memory = found.fitted.memory
    weights = f"{gib(memory.weights_bytes)} of weights per GPU"
    if not memory.fits:
        return f"no layout fits; this one comes nearest with {weights}"
    kept = f"{weights} leave {gib(memory.kv_cache_bytes)} for the KV cache"
    if found.layout.gpus == 1:
        return f"the smallest layout fits: {kept}"
    return f"smaller layouts do not fit or need more GPUs for the load: {kept}"


def _replica_reason(question: Question, found: Candidate) -> str:
    workload = question.workload
    if question.stated.replicas:
        return "stated"
    if found.load is None or not (workload.requests_per_second or workload.concurrency):
        return "no load is stated"
    rate = found.load.requests_per_second
    if workload.requests_per_second:
        return (
            f"{workload.requests_per_second:g} requests/s at {UTILISATION:.0%} of {rate:.3g} "
            "requests/s per replica"
        )
    return f"{workload.concurrency} users, {found.load.concurrency} per replica"


def _no_layout(question: Question) -> Result:
    """Stated sizes that the model, the engine or the node cannot have."""
    asked = _asked(question)
    why = list(layouts.conflicts(question, asked))
    most = question.pool.most_gpus
    if asked.gpus > most:
        room = (
            "slices of GPUs cannot be joined"
            if question.pool.sliced
            else (f"a node of the share has {most}")
        )
        why.append(f"a replica of {asked.gpus} GPUs needs one node with as many; {room}")
    field = "spec.serving.tensorParallelSize" if question.stated.tensor else "spec.serving"
    return error("; ".join(why) or "no layout is legal", field, current=question.stated.tensor)


def _no_memory(question: Question, found: Candidate) -> Result:
    """The largest part, the limit, and what is missing."""
    memory, serving = found.fitted.memory, found.fitted.serving
    parts = (
        f"weights {gib(memory.weights_bytes)}, activations {gib(memory.activation_bytes)}, "
        f"other {gib(memory.non_torch_bytes)}, CUDA graphs {gib(memory.cuda_graph_bytes)}"
    )
    need = memory.kv_cache_bytes_per_token * serving.max_model_len
    left = gib(memory.kv_cache_bytes) if memory.kv_cache_bytes > 0 else "nothing"
    return error(
        f"{question.model_id} does not fit on {question.pool.gpu.name} with {found.layout} under "
        f"{question.engine.name} {question.engine.version}: of {gib(memory.budget_bytes)} per GPU "
        f"({parts}) {left} remains for the KV cache; one request of {serving.max_model_len} tokens "
        f"needs {gib(need)}",
        "spec.gpuPool",
    )


def _no_room(question: Question, found: Candidate) -> Result:
    pool, stated = question.pool, question.stated.replicas
    what = "`scaling.replicas`" if stated else "the stated load"
    return error(
        f"{what} needs {found.replicas} replicas of {found.layout.gpus} GPUs = {found.gpus} GPUs; "
        f"the service may use {pool.share} on nodes of {pool.gpus_per_node}, which hold "
        f"{pool.replicas(found.layout.gpus)}",
        "spec.scaling.replicas" if stated else "spec.workload",
        current=found.replicas,
        proposed=pool.replicas(found.layout.gpus),
    )

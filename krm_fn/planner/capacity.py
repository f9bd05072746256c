"""Which layout, how many replicas: from one question to one plan.

Every legal layout is fitted, the feasible ones carry the load with so many GPUs, the one with the
fewest wins. Nothing feasible is an answer too, with memory and reasons.
"""

from collections.abc import Sequence
from dataclasses import replace

from krm_fn.planner import layouts
from krm_fn.planner.candidates import Candidate, best_of, candidate, candidates, preference
from krm_fn.planner.load import UTILISATION
from krm_fn.planner.performance import estimate
from krm_fn.planner.plan import Estimate, Parallelism, Plan, Question, Reason, Workload
from krm_fn.planner.refusals import asked, faults
from krm_fn.units import gib


def plan(question: Question) -> Plan:
    """The plan for one engine alone."""
    return plans([question])[0]


def plans(questions: Sequence[Question]) -> tuple[Plan, ...]:
    """Plans for all GPU variants of a service: one layout that fits every one of them.

    If no layout serves all, each variant gets its own best and the function warns.
    """
    shared = _shared(questions)
    chosen: Sequence[Candidate | None] = shared or [
        best_of(question.pool, candidates(question)) for question in questions
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
        least = (False, layout.pipeline > 1, False, layout.gpus)
        if best and least > preference(pool, best)[:4]:
            break
        if not all(layout in found for found in legal):
            continue
        row = _working(questions, layout)
        if row and (best is None or preference(pool, row) < preference(pool, best)):
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


def _plan(question: Question, found: Candidate | None) -> Plan:
    results = faults(question, found)
    found = found or candidate(question, _countable(asked(question)))
    return Plan(
        service=question.service,
        variant=question.variant,
        engine=question.engine.name,
        engine_version=question.engine.version,
        feasible=not results,
        parallelism=found.layout,
        replicas=found.replicas,
        max_replicas=max(1, min(found.room, found.most or found.room)),
        memory=found.fitted.memory,
        serving=found.fitted.serving,
        estimate=_estimate(question, found),
        reasons=_reasons(question, found),
        results=results,
    )


def _countable(layout: Parallelism) -> Parallelism:
    """A layout that was asked for though it is not legal, as far as its memory can be counted."""
    split = layout.tensor % layout.attention_data == 0
    return layout if split else replace(layout, attention_data=1)


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
    return f"smaller layouts do not fit with a margin or need more GPUs for the load: {kept}"


def _replica_reason(question: Question, found: Candidate) -> str:
    workload = question.workload
    if question.stated.replicas:
        return "stated"
    if found.replicas == question.stated.min_replicas:
        return "the stated minimum"
    if found.load is None or not (workload.requests_per_second or workload.concurrency):
        return "no load is stated"
    rate = found.load.requests_per_second
    if workload.requests_per_second:
        return (
            f"{workload.requests_per_second:g} requests/s at {UTILISATION:.0%} of {rate:.3g} "
            "requests/s per replica"
        )
    return f"{workload.concurrency} users, {found.load.concurrency} per replica"

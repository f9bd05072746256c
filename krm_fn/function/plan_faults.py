"""What makes a feasible plan unusable all the same: its cache, and what its nodes have."""

from collections.abc import Iterator, Sequence

from krm_fn.errors import Result
from krm_fn.function.facts import Facts
from krm_fn.function.host_faults import host_faults
from krm_fn.function.questions import questions
from krm_fn.function.weights import size_faults, storage_faults
from krm_fn.planner.plan import Plan


def plan_faults(facts: Facts, plans: Sequence[Plan]) -> Iterator[Result]:
    """Warnings are among them."""
    yield from storage_faults(facts, plans)
    yield from size_faults(facts, questions(facts)[0])
    yield from host_faults(facts, plans)

"""From the facts of one service to its plans, with alternatives where they are needed."""

from dataclasses import replace

from krm_fn.catalog import gpus
from krm_fn.catalog.rows import Gpu
from krm_fn.function.facts import Facts
from krm_fn.function.intake import Intake
from krm_fn.function.pools import Planned
from krm_fn.function.questions import questions
from krm_fn.function.trials import tried
from krm_fn.planner.alternatives import alternatives
from krm_fn.planner.capacity import plans
from krm_fn.planner.margin import margin_results

OFFERED = (
    "NVIDIA-L4",
    "NVIDIA-L40S",
    "NVIDIA-A100-SXM4-40GB",
    "NVIDIA-A100-SXM4-80GB",
    "NVIDIA-H100-80GB-HBM3",
    "NVIDIA-H200",
    "NVIDIA-B200",
    "AMD_Instinct_MI300X_OAM",
)
"""Boards that clouds rent widely: what an alternative may propose."""


def planned(facts: Facts, given: Intake) -> Planned:
    asked = questions(facts)
    found = plans(asked)
    if not all(plan.feasible for plan in found):
        ways = alternatives(asked, _offered(facts), lambda change: tried(facts, given, change))
        found = tuple(replace(plan, alternatives=ways) for plan in found)
    told = (
        replace(plan, results=(*plan.results, *margin_results(question, plan)))
        for question, plan in zip(asked, found, strict=True)
    )
    return Planned(facts=facts, plans=tuple(told))


def _offered(facts: Facts) -> tuple[Gpu, ...]:
    """And the board of which the pool has parts."""
    names = dict.fromkeys((*OFFERED, facts.gpu.parent or facts.gpu.name))
    found = (gpus.gpu(name) for name in names)
    return tuple(gpu for gpu in found if gpu)

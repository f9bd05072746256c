"""Plans and manifests of all services of a list; every fault of every service at once."""

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass

from krm_fn.errors import ConfigError, PlanError, Result, has_errors
from krm_fn.function import compose, pools, report
from krm_fn.function.facts import Facts, facts
from krm_fn.function.host_faults import host_faults
from krm_fn.function.intake import Intake, Request
from krm_fn.function.launches import launch_results
from krm_fn.function.plan_faults import plan_faults
from krm_fn.function.planning import planned
from krm_fn.function.pools import Planned
from krm_fn.function.verify import verified
from krm_fn.function.workloads import length_results
from krm_fn.targets import TARGETS
from krm_fn.targets.base import Rendering


@dataclass(frozen=True, kw_only=True)
class Rendered:
    """One service with its plans, its manifests in both shapes and what is to be said."""

    planned: Planned
    rendering: Rendering
    results: tuple[Result, ...]

    @property
    def facts(self) -> Facts:
        return self.planned.facts


def plan_one(request: Request, given: Intake) -> Planned:
    """The plans of one service, feasible or not; ConfigError with all its faults."""
    found, results = _facts(request, given)
    if found is None or has_errors(results):
        raise ConfigError(report.about(request, results))
    return planned(found, given)


def plan_services(given: Intake) -> tuple[Planned, ...]:
    """The plans of all services, feasible or not; ConfigError when one cannot be understood."""
    found = [_facts(request, given) for request in given.requests]
    results = [
        *given.faults,
        *(
            result
            for request, (_, results) in zip(given.requests, found, strict=True)
            for result in report.about(request, results)
        ),
    ]
    if has_errors(results):
        raise ConfigError(results)
    return pools.shared_out([planned(each, given) for each, _ in found if each])


def render_services(
    given: Intake, emits: Callable[[Facts], Collection[str]] = report.variant_names
) -> tuple[Rendered, ...]:
    """Plan, ask each engine for its server, let the target render, check what `emits` names."""
    services = plan_services(given)
    refused = [*_infeasible(services), *pools.pool_faults(services)]
    if has_errors(refused):
        raise PlanError(refused)
    rendered = tuple(_rendered(each, emits(each.facts)) for each in services)
    faults = [result for each in rendered for result in each.results]
    if has_errors(faults):
        raise ConfigError(faults)
    return rendered


def _facts(request: Request, given: Intake) -> tuple[Facts | None, tuple[Result, ...]]:
    if request.service is None:
        return None, request.faults
    found, results = facts(request, given)
    return found, (*request.faults, *results)


def _infeasible(services: Sequence[Planned]) -> Iterator[Result]:
    for each in services:
        yield from report.refusals(each.facts, each.plans)
        if each.feasible:
            yield from report.about(each.facts.request, plan_faults(each.facts, each.plans))


def _rendered(each: Planned, emitted: Collection[str]) -> Rendered:
    facts, plans = each.facts, {plan.variant: plan for plan in each.plans}
    service = compose.target_service(facts, plans)
    variants = compose.target_variants(facts, plans)
    rendering = TARGETS[facts.service.spec.target].render(service, variants)
    said = [
        *facts.results,
        *length_results(facts.service, facts.variants, facts.card.shape),
        *launch_results(facts),
        *host_faults(facts, each.plans),  # what is left of them are warnings
        *(result for plan in each.plans for result in plan.results),
        *compose.results(facts, plans, variants),
        *verified(facts, rendering, [v for v in variants if v.name in emitted], plans),
    ]
    return Rendered(planned=each, rendering=rendering, results=report.about(facts.request, said))

"""A service with a change pasted in: read, asked and planned again, as its author would do it."""

from collections.abc import Iterator, Mapping
from copy import deepcopy
from dataclasses import replace
from typing import Any

from krm_fn import api
from krm_fn.api.v1alpha1 import GPUPool, LLMService
from krm_fn.errors import Result, has_errors
from krm_fn.function.facts import Facts, facts
from krm_fn.function.intake import Intake, Request
from krm_fn.function.plan_faults import plan_faults
from krm_fn.function.questions import questions
from krm_fn.krm import Manifest
from krm_fn.planner.capacity import plans
from krm_fn.planner.change import Changed, Trial
from krm_fn.planner.plan import Plan

POOL, VARIANTS = "gpuPool.", "variants."


def tried(of: Facts, given: Intake, change: Changed) -> Trial | None:
    """The change and its plans if it works; with what its faults propose, if they do; else None.

    More replicas may need another cache than the stated one, for instance.
    """
    change = {**change, **_kept_variants(of, change)}
    found, results = _planned(of, given, change)
    if has_errors(results):
        change = {**change, **dict(_proposals(results))}
        found, results = _planned(of, given, change)
    return Trial(change, found) if found and not has_errors(results) else None


def _kept_variants(of: Facts, change: Changed) -> dict[str, Any]:
    """The variants that nobody stated, where naming one alone would drop the others."""
    if of.service.spec.variants or not any(path.startswith(VARIANTS) for path in change):
        return {}
    names = (f"{VARIANTS}{variant.name}" for variant in of.variants)
    return {name: {} for name in names if not any(path.startswith(name) for path in change)}


def _proposals(results: tuple[Result, ...]) -> Iterator[tuple[str, Any]]:
    for each in results:
        if each.proposed is not None and each.field_path:
            yield each.field_path.removeprefix("spec."), each.proposed


def _planned(
    of: Facts, given: Intake, change: Changed
) -> tuple[tuple[Plan, ...], tuple[Result, ...]]:
    """Plans that all work, and the faults of the service that they leave."""
    request = _request(of, change)
    if request.service is None or has_errors(request.faults):
        return (), request.faults
    new, results = facts(request, _with_pool(of, given, change))
    if new is None or has_errors(results):
        return (), results
    found = plans(questions(new))
    return (found, tuple(plan_faults(new, found))) if all(p.feasible for p in found) else ((), ())


def _request(of: Facts, change: Changed) -> Request:
    own = {path: value for path, value in change.items() if not _is_of_pool(of, path)}
    document = pasted(of.request.document, own)
    service, faults = api.parsed(document, LLMService)
    return replace(of.request, document=document, service=service, faults=faults)


def _with_pool(of: Facts, given: Intake, change: Changed) -> Intake:
    """The list with the shared pool changed, if that is what the change is about."""
    own = {p.removeprefix(POOL): v for p, v in change.items() if _is_of_pool(of, p)}
    if of.pool_key is None or not own:
        return given
    pool = given.pools[of.pool_key]
    whole = pool.model_dump(by_alias=True, exclude_unset=True)
    changed, _ = api.parsed(pasted(whole, own), GPUPool)
    return replace(given, pools={**given.pools, of.pool_key: changed or pool})


def _is_of_pool(of: Facts, path: str) -> bool:
    return of.pool_key is not None and path.startswith(POOL)


def pasted(document: Mapping[str, Any], change: Changed) -> Manifest:
    """The document with dotted paths below `spec` set."""
    changed = deepcopy(dict(document))
    for path, value in change.items():
        at = changed["spec"]
        *above, last = path.split(".")
        for key in above:
            at[key] = at.get(key) or {}
            at = at[key]
        at[last] = value
    return changed

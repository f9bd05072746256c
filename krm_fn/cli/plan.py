"""Print the plan of each service and GPU variant.

CONFIG is a file, a folder, or - for a stream of YAML documents on stdin. With `-o json` one JSON
array goes to stdout; a document that is wrong gives its object with `results` and does not stop the
others. Exit 1 if any is infeasible or wrong.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from typing import Any

from krm_fn import krm
from krm_fn.cli import files
from krm_fn.errors import ConfigError, KrmFnError, error, has_errors
from krm_fn.function import pools, report
from krm_fn.function.intake import Intake, Request, intake
from krm_fn.function.pools import Planned
from krm_fn.function.rendered import plan_one
from krm_fn.krm import ResourceList


def arguments(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("configs", metavar="CONFIG", nargs="+", help="a file, a folder or - (stdin)")
    verb.add_argument("-o", "--output", choices=("text", "json", "yaml"), default="text")


def run(options: argparse.Namespace) -> int:
    """Every document is planned by itself, so that one fault hides no other."""
    items = files.packages(options.configs)
    given = intake(ResourceList(items=items))
    _refuse_nothing(given, options.configs)
    objects: list[dict[str, Any]] = []
    found_all = planned(given)
    for found in found_all:
        objects += _objects(found)
        if options.output == "text":
            _print(found)
    if options.output == "json":
        print(json.dumps(objects, indent=2))
    if options.output == "yaml":
        sys.stdout.write(krm.dump(objects))
    faults = tuple(pools.pool_faults([each for each in found_all if isinstance(each, Planned)]))
    for result in faults:
        print(result.line, file=sys.stderr)
    works = bool(objects) and all(each["feasible"] for each in objects)
    return int(not works or has_errors((*given.faults, *faults)))


def _refuse_nothing(given: Intake, configs: Sequence[str]) -> None:
    """Documents that cannot be read, and none that asks for a plan."""
    for result in given.faults:
        print(result.line, file=sys.stderr)
    if not given.requests:
        raise ConfigError([] if given.faults else [error(f"no LLMService in {', '.join(configs)}")])


def planned(given: Intake) -> list[Planned | tuple[str, KrmFnError]]:
    """Each service by itself, with its part of what several take from one pool."""
    found = [_planned(request, given) for request in given.requests]
    shared = iter(pools.shared_out([each for each in found if isinstance(each, Planned)]))
    return [next(shared) if isinstance(each, Planned) else each for each in found]


def _planned(request: Request, given: Intake) -> Planned | tuple[str, KrmFnError]:
    try:
        return plan_one(request, given)
    except KrmFnError as fault:
        return request.name, fault


def _objects(found: Planned | tuple[str, KrmFnError]) -> Sequence[dict[str, Any]]:
    if isinstance(found, Planned):
        return [report.plan_json(plan) for plan in found.shown]
    name, fault = found
    return [report.failed_json(name, fault.results)]


def _print(found: Planned | tuple[str, KrmFnError]) -> None:
    if not isinstance(found, Planned):
        for result in found[1].results:
            print(result.line, file=sys.stderr)
        return
    said = (report.refusals(found.facts, found.plans), report.warnings(found.facts, found.shown))
    for result in (*found.facts.results, *said[0], *said[1]):
        print(result.line, file=sys.stderr)
    for plan in found.shown:
        state = "" if plan.feasible else " (does not work)"
        print(f"{plan.service} {plan.variant} {plan.engine_version}{state}")
        for line in report.why([plan]):
            print(f"  {line}")

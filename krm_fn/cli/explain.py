"""Print where every number of a plan comes from: formula, inputs, source and range.

CONFIG is a file, a folder, or - (stdin). `-o json` gives the same lines as objects.
"""

import argparse
import json
import sys
from dataclasses import asdict
from itertools import groupby

from krm_fn.cli import files
from krm_fn.errors import ConfigError, error
from krm_fn.function import report
from krm_fn.function.explain import Line, explained
from krm_fn.function.intake import intake
from krm_fn.function.pools import Planned
from krm_fn.function.rendered import plan_services
from krm_fn.krm import ResourceList
from krm_fn.planner.plan import Plan


def arguments(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("configs", metavar="CONFIG", nargs="+", help="a file, a folder or - (stdin)")
    verb.add_argument("--variant", help="only this GPU variant")
    verb.add_argument("-o", "--output", choices=("text", "json"), default="text")


def run(options: argparse.Namespace) -> int:
    """Infeasible plans are explained too: that is when one wants to know."""
    items = files.packages(options.configs)
    services = plan_services(intake(ResourceList(items=items)))
    if not services:
        raise ConfigError([error(f"no LLMService in {', '.join(options.configs)}")])
    found = [
        (each, plan, explained(each.facts, plan))
        for each in services
        for plan in each.plans
        if options.variant in (None, plan.variant)
    ]
    if options.output == "json":
        print(json.dumps([_object(plan, lines) for _, plan, lines in found], indent=2))
    else:
        for each, plan, lines in found:
            _print(each, plan, lines)
    for each in services:
        for result in report.refusals(each.facts, each.plans):
            print(result.line, file=sys.stderr)
    return int(not found or not all(plan.feasible for _, plan, _ in found))


def _object(plan: Plan, lines: tuple[Line, ...]) -> dict[str, object]:
    return {
        "service": plan.service,
        "variant": plan.variant,
        "engine_version": plan.engine_version,
        "lines": [asdict(line) for line in lines],
    }


def _print(each: Planned, plan: Plan, lines: tuple[Line, ...]) -> None:
    model = each.facts.service.spec.model.id
    print(f"{plan.service}: {model} on {each.facts.gpu.name}, {plan.engine} {plan.engine_version}")
    for section, members in groupby(lines, key=lambda line: line.section):
        print(f"\n{section}")
        for line in members:
            print(line.text)
    print()

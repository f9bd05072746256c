"""Rules about our own output, run on the final objects of a variant before anything is emitted.

One file is one rule: `CHECK`, a name, the defects it catches, a function `Context -> Results`. It
imports `base`, `pods`, `view` and `reading`, never another rule. No YAML, no clock, no file. A new
rule is its file, its line in `CHECKS` and a bad input `tests/checks/bad/<rule>-<defect>.yaml`; bad
inputs of what no rule can see are in `tests/defects`.

Defects are the numbered regression list of the systems that came before:

| defect | check, or why it is not here |
|---|---|
| 1 overlay below its base | layout: `base/` beside `overlays/`; kustomize builds the examples |
| 2 two probe handlers after a merge | probes |
| 3 flag and value in one element | argv |
| 4, 5 names and flags the engine version does not know | argv (asks the engine's table) |
| 6 memory per GPU and in total mixed | memory |
| 7 tensor parallelism does not divide the heads | planner: no such layout is ever made |
| 8 context zero or negative | memory, planned |
| 9 Service `vllm` and service links | service_links |
| 10 `$(VAR)` where nothing expands it | expansion |
| 11 placeholder, floating or capital images | images |
| 12 CPU autoscaling of GPUs, two owners of replicas, more than the pool | scaling, capacity |
| 13 RBAC too wide, or bound to nothing | rbac |
| 14 writes to a read-only root | writable |
| 15 unknown fields | schemas, in the tests of examples |
| 16 GPU limit is not the parallelism | gpus, planned |
| 17 no /dev/shm | shared_memory |
| 18 emptyDir for a big model | cache |
| 19 startup shorter than the load | patience, rollout |
| 20 secrets in clear | credentials |
| 21 empty flag values | argv |
| 22 long or invalid names and labels | names |
| 23 variables nobody reads | env |
| 24 gateway timeout below the latency | routes |
| 25 route to a model nobody serves | routes |
| 26 port without a listener | probes, services, routes |
| 27 machine output through a pretty-printer | command line: its tests parse what it prints |
| 28 keys that differ between own files | references (ConfigMap keys) |
| 29 more GPUs than the pool has | capacity, rollout |
| 30 placement missing on some pod templates | placement |
| 31 mounts without volumes | volumes |
| 32 claim not writable by the user | cache |
| 33 KUBECONFIG is a folder | writable |
| 34 deprecated API | objects |
| 35 Dynamo needs semantic versions | the Dynamo target, when there is one |

Checks without a number hold design decisions: selectors, security, drain, resources, config.
"""

from collections.abc import Mapping

from krm_fn.checks import (
    argv,
    cache,
    capacity,
    config,
    credentials,
    drain,
    env,
    expansion,
    gpus,
    images,
    memory,
    names,
    objects,
    patience,
    placement,
    planned,
    probes,
    rbac,
    references,
    resources,
    rollout,
    routes,
    scaling,
    security,
    selectors,
    service_links,
    services,
    shared_memory,
    volumes,
    writable,
)
from krm_fn.checks.base import Check, Context, Pool, pool
from krm_fn.errors import Result

__all__ = ["CHECKS", "Check", "Context", "Pool", "faults", "pool"]

CHECKS: Mapping[str, Check] = {
    check.name: check
    for check in (
        objects.CHECK,
        names.CHECK,
        memory.CHECK,
        planned.CHECK,
        argv.CHECK,
        expansion.CHECK,
        env.CHECK,
        credentials.CHECK,
        images.CHECK,
        gpus.CHECK,
        capacity.CHECK,
        placement.CHECK,
        resources.CHECK,
        volumes.CHECK,
        shared_memory.CHECK,
        cache.CHECK,
        writable.CHECK,
        security.CHECK,
        service_links.CHECK,
        rbac.CHECK,
        probes.CHECK,
        patience.CHECK,
        rollout.CHECK,
        drain.CHECK,
        selectors.CHECK,
        services.CHECK,
        routes.CHECK,
        scaling.CHECK,
        references.CHECK,
        config.CHECK,
    )
}


def faults(context: Context) -> tuple[Result, ...]:
    """All findings of all checks, in the order of CHECKS, each once."""
    found = (result for check in CHECKS.values() for result in check.rule(context))
    return tuple({(result.line, result.severity): result for result in found}.values())

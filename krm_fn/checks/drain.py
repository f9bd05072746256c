"""A pod that is told to stop leaves the endpoints first, ends its answers, and has the time to."""

from collections.abc import Iterator

from krm_fn.checks.base import Check, Context
from krm_fn.checks.pods import Container
from krm_fn.checks.reading import count, dig, mapping
from krm_fn.errors import Result

_GRACE = 30  # Kubernetes' default


def _rule(context: Context) -> Iterator[Result]:
    for container in context.servers:
        yield from _grace(container, context)
        if context.server and context.server.pre_stop_seconds:
            yield from _hook(container, context.server.pre_stop_seconds)
    for budget in context.of("PodDisruptionBudget"):
        spec = budget.at("spec")
        if spec.value("maxUnavailable") in (0, "0%") or spec.value("minAvailable") == "100%":
            yield spec.fault("must let one pod go, or a node can never be drained")
        if spec.value("unhealthyPodEvictionPolicy") != "AlwaysAllow":
            message = "must be AlwaysAllow, or a pod that is still loading blocks a drain"
            yield spec.fault(message, "unhealthyPodEvictionPolicy", proposed="AlwaysAllow")


def _grace(container: Container, context: Context) -> Iterator[Result]:
    stated = container.pod.spec.value("terminationGracePeriodSeconds", _GRACE)
    sleep = count(mapping(container.node, "lifecycle", "preStop", "sleep"), "seconds", 0)
    shutdown = container.flags.get("--shutdown-timeout", "")
    least = sleep + (int(shutdown) if shutdown.isdecimal() else 0) + 1
    if context.server:
        least = max(least, context.server.pre_stop_seconds + context.server.shutdown_seconds)
    if isinstance(stated, int) and stated < least:
        yield container.pod.spec.fault(
            f"must be at least {least} s, preStop and shutdown together; is {stated} s",
            "terminationGracePeriodSeconds",
            current=stated,
            proposed=least,
        )


def _hook(container: Container, seconds: int) -> Iterator[Result]:
    sleep = dig(container.node, "lifecycle", "preStop", "sleep", "seconds")
    if sleep != seconds:
        message = f"must sleep {seconds} s, so that no request comes when the engine stops"
        yield container.fault(message, "lifecycle", "preStop", current=sleep, proposed=seconds)


CHECK = Check(name="drain", defects=(), rule=_rule)

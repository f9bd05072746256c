"""Probes wait as long as the engine needs: all of the load time, and while it is busy."""

from collections.abc import Iterator

from krm_fn.checks.base import Check, Context
from krm_fn.checks.pods import Container
from krm_fn.checks.reading import count
from krm_fn.errors import Result

_STARTUP_SECONDS = 900  # design 3.22: at least 15 minutes
_LIVENESS_SECONDS = 60


def _rule(context: Context) -> Iterator[Result]:
    for container in context.servers:
        if container.gpus:
            yield from _startup(container, context)
            yield from _liveness(container, context)


def _startup(container: Container, context: Context) -> Iterator[Result]:
    least = context.server.startup_seconds if context.server else _STARTUP_SECONDS
    allowed = container.startup_seconds
    if allowed < least:
        message = f"must allow at least {least} s to load the model; allows {allowed} s"
        yield container.fault(message, "startupProbe", current=allowed, proposed=least)


def _liveness(container: Container, context: Context) -> Iterator[Result]:
    probe = container.at("livenessProbe")
    if not probe.node:
        return
    tries = count(probe.node, "failureThreshold", 3)
    patience = tries * count(probe.node, "periodSeconds", 10)
    if patience < _LIVENESS_SECONDS:
        message = f"must bear {_LIVENESS_SECONDS} s of a busy engine; bears {patience} s"
        yield probe.fault(message, current=patience, proposed=_LIVENESS_SECONDS)
    timeout = count(probe.node, "timeoutSeconds", 1)
    least = context.server.liveness.timeout_seconds if context.server else 2
    if timeout < least:
        message = f"must be at least {least}: a busy engine answers late; is {timeout}"
        yield probe.fault(message, "timeoutSeconds", current=timeout, proposed=least)


CHECK = Check(name="patience", defects=(19,), rule=_rule)

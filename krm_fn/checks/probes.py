"""A probe or hook has exactly one handler, on a port that its container has."""

from collections.abc import Iterator

from krm_fn.checks.base import Check, Context
from krm_fn.checks.pods import Container
from krm_fn.checks.view import Spot
from krm_fn.errors import Result

_ASKING = ("exec", "grpc", "httpGet", "tcpSocket")
_ACTING = ("exec", "httpGet", "sleep", "tcpSocket")
_UNIONS = (
    (("startupProbe",), _ASKING),
    (("readinessProbe",), _ASKING),
    (("livenessProbe",), _ASKING),
    (("lifecycle", "postStart"), _ACTING),
    (("lifecycle", "preStop"), _ACTING),
)


def _rule(context: Context) -> Iterator[Result]:
    for container in context.containers:
        for keys, allowed in _UNIONS:
            yield from _handler(container, keys, allowed)


def _handler(
    container: Container, keys: tuple[str, ...], allowed: tuple[str, ...]
) -> Iterator[Result]:
    probe = container.at(*keys)
    chosen = [name for name in allowed if probe.node.get(name) is not None]
    if probe.node and len(chosen) != 1:
        has = " and ".join(chosen) or "none"
        yield probe.fault(f"must have exactly one handler; has {has}", current=chosen)
    for handler in chosen:
        yield from _port(container, probe.at(handler))


def _port(container: Container, handler: Spot) -> Iterator[Result]:
    port, ports = handler.value("port"), list(container.each("ports"))
    known = {spot.value(key) for spot in ports for key in ("name", "containerPort")}
    if port is not None and port not in known and (ports or isinstance(port, str)):
        message = f'must be a port of the container; it has no "{port}"'
        yield handler.fault(message, "port", current=port)


CHECK = Check(name="probes", defects=(2, 26), rule=_rule)

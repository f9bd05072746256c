"""A route leads to a Service and a port of the set and waits as long as the longest answer."""

from collections.abc import Iterator

from krm_fn.checks.base import Check, Context
from krm_fn.checks.reading import dig, reference
from krm_fn.checks.view import Spot
from krm_fn.errors import Result
from krm_fn.units import duration_seconds

_MODEL_HEADERS = ("x-gateway-model-name", "x-model")


def _rule(context: Context) -> Iterator[Result]:
    for route in context.of("HTTPRoute"):
        for rule in route.at("spec").each("rules"):
            for backend in rule.each("backendRefs"):
                yield from _backend(backend, context)
            yield from _timeout(rule, context)
            yield from _models(rule, context)


def _backend(backend: Spot, context: Context) -> Iterator[Result]:
    if backend.value("kind", "Service") != "Service":
        return
    namespace = backend.value("namespace", reference(backend.manifest).get("namespace"))
    service = context.find("Service", backend.value("name"), namespace)
    if service is None:
        name = backend.value("name")
        if ("Service", name) not in (context.external or ()):
            message = f"must name a Service of the set; there is no {name}"
            yield backend.fault(message, severity=context.absence(backend.manifest))
        return
    ports = [port.value("port") for port in service.at("spec").each("ports")]
    port = backend.value("port")
    if port not in ports:
        yield backend.fault(
            f"must be a port of the Service; it has no {port}", "port", current=port
        )


def _timeout(rule: Spot, context: Context) -> Iterator[Result]:
    """An answer may take as long as the server may finish it."""
    stated = dig(rule.node, "timeouts", "request")
    least = context.server.shutdown_seconds if context.server else 60
    try:
        seconds = duration_seconds(str(stated)) if stated else 0
    except ValueError:
        yield rule.fault("must be a duration", "timeouts", "request", current=stated)
        return
    if 0 < seconds < least:
        message = f"must be at least {least} s, the longest planned answer; is {stated}"
        yield rule.fault(message, "timeouts", "request", current=stated, proposed=f"{least}s")


def _models(rule: Spot, context: Context) -> Iterator[Result]:
    served = {str(one.flags.get("--served-model-name")) for one in context.servers}
    for match in rule.each("matches"):
        for header in match.each("headers"):
            value = header.value("value")
            if str(header.value("name")).lower() in _MODEL_HEADERS and value not in served:
                has = " and ".join(sorted(served))
                yield header.fault(f"must be a served model, {has}", "value", current=value)


CHECK = Check(name="routes", defects=(24, 25, 26), rule=_rule)

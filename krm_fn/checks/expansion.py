"""`$(VAR)` stands only where Kubernetes expands it: command, args, env after the variable."""

import re
from collections.abc import Iterable, Iterator
from typing import Any

from krm_fn.checks.base import Check, Context
from krm_fn.checks.pods import Container
from krm_fn.checks.reading import dig, listing, mapping
from krm_fn.checks.view import Spot
from krm_fn.errors import Result

_VARIABLE = re.compile(r"(?<!\$)\$\(([A-Z_][A-Z0-9_]*)\)")
_GIVEN = {"LeaderWorkerSet": "LWS_"}  # variables that a controller adds, by prefix
_PROBES = (("startupProbe",), ("readinessProbe",), ("livenessProbe",))
_HOOKS = (("lifecycle", "preStop"), ("lifecycle", "postStart"))


def _rule(context: Context) -> Iterator[Result]:
    for container in context.containers:
        if not listing(container.node, "envFrom"):
            yield from _undefined(container)
        for keys in (*_PROBES, *_HOOKS):
            yield from _unexpanded(container.at(*keys), hook=keys in _HOOKS)


def _undefined(container: Container) -> Iterator[Result]:
    defined: set[str] = set()
    for variable in container.each("env"):
        for name in _missing(variable.value("value"), defined, container):
            message = f"must name a variable that stands before it; {name} does not"
            yield variable.fault(message, "value", current=f"$({name})")
        defined.add(str(variable.value("name")))
    for key, token in container.argv:
        for name in _missing(token, defined, container):
            message = f"must use variables of env only; $({name}) stays as it is"
            yield container.fault(message, key, current=token)


def _missing(text: Any, defined: Iterable[str], container: Container) -> list[str]:
    given = _GIVEN.get(container.pod.kind, "\0")
    names = _VARIABLE.findall(text) if isinstance(text, str) and "$(" in text else ()
    return [name for name in names if name not in defined and not name.startswith(given)]


def _unexpanded(probe: Spot, *, hook: bool) -> Iterator[Result]:
    for text in _texts(probe.node, hook=hook):
        if _VARIABLE.search(text):
            yield probe.fault(f'must not use "{text}": Kubernetes does not expand it here')


def _texts(probe: dict[str, Any], *, hook: bool) -> Iterator[str]:
    http = mapping(probe, "httpGet")
    yield str(http.get("path", ""))
    for header in listing(http, "httpHeaders"):
        yield str(dig(header, "value"))
    yield from map(str, listing(probe, "exec", "command") if hook else ())


CHECK = Check(name="expansion", defects=(10,), rule=_rule)

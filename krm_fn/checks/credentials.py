"""Secrets come by reference; no value of one stands in a manifest, and no message shows it."""

import re
from collections.abc import Iterator
from typing import Any

from krm_fn.checks.base import Check, Context
from krm_fn.checks.pods import Container
from krm_fn.checks.view import Spot
from krm_fn.errors import Result

_NAMED = re.compile(
    r"(^|[_-])(API_?KEY|ACCESS_KEY(_ID)?|KEY|TOKEN|SECRET|PASSWORD|PASSWD|CREDENTIALS?)$",
    re.IGNORECASE,
)
_SHAPED = re.compile(
    r"\bhf_[A-Za-z0-9]{20,}|\bsk-[A-Za-z0-9_-]{20,}|\bAKIA[0-9A-Z]{16}\b|\bgh[pousr]_\w{30,}"
    r"|\bxox[abp]-|-----BEGIN [A-Z ]*PRIVATE KEY"
)
_HARMLESS = {"", "0", "1", "true", "false", "none", "auto"}


def _rule(context: Context) -> Iterator[Result]:
    for secret in context.of("Secret"):
        for key in ("data", "stringData"):
            if secret.node.get(key):
                yield secret.fault("must not be emitted: name an existing Secret instead", key)
    for config in context.of("ConfigMap"):
        yield from _values(config.at("data"), config)
    for container in context.containers:
        yield from _env(container)
        yield from _argv(container)


def is_secret(name: str, value: Any) -> bool:
    """A literal under a name of a secret, or one that looks like a well-known token."""
    text = str(value).strip()
    literal = text.lower() not in _HARMLESS and "$(" not in text
    return bool(literal and _NAMED.search(name)) or bool(_SHAPED.search(text))


def _values(data: Spot, config: Spot) -> Iterator[Result]:
    for key, value in data.node.items():
        if is_secret(str(key), value):
            yield config.fault("must not hold a secret: use a Secret", f"data[{key}]")


def _env(container: Container) -> Iterator[Result]:
    for variable in container.each("env"):
        value = variable.value("value")
        if value is not None and is_secret(str(variable.value("name")), value):
            proposed = {"valueFrom": {"secretKeyRef": {"name": "...", "key": "..."}}}
            yield variable.fault("must come from a Secret, not stand in clear", proposed=proposed)


def _argv(container: Container) -> Iterator[Result]:
    for flag, value in container.flags.items():
        if is_secret(flag, value):
            message = f"must not hold the value of {flag}: use a variable from a Secret"
            yield container.fault(message, "args")


CHECK = Check(name="credentials", defects=(20,), rule=_rule)

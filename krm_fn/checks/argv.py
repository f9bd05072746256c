"""An argv has one element per token, no empty value, and no flag that the engine does not know."""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from krm_fn.checks.base import Check, Context
from krm_fn.checks.pods import Container, running
from krm_fn.checks.reading import listing, reference
from krm_fn.engines.argv import argv_faults
from krm_fn.engines.versions import TABLED
from krm_fn.errors import Result

_SPACED = re.compile(r"--?[A-Za-z][\w.-]*\s.*", re.DOTALL)
_EMPTY = re.compile(r"--?[A-Za-z][\w.-]*=\s*")
_FLAG = re.compile(r"--[A-Za-z][\w.-]*")


def _rule(context: Context) -> Iterator[Result]:
    for container in context.containers:
        program = str(next(iter(listing(container.node, "command")), ""))
        if any(space in program for space in " \n\t"):
            yield container.fault(f'must start with a program; has "{program}"', "command")
        for key, token in container.argv:
            for message in token_faults(token):
                yield container.fault(message, key, current=token, proposed=_split(token))
    for container in context.servers:
        yield from _asked(container, context)


def flag(token: str) -> str | None:
    """The flag that an element starts with."""
    match = _FLAG.match(token)
    return match[0] if match else None


def token_faults(token: Any) -> Iterator[str]:
    """What is wrong with the form of one element."""
    if not isinstance(token, str):
        yield f"must be strings; has the {type(token).__name__} {token}"
    elif _SPACED.fullmatch(token):
        yield f'must have one element per token; has "{token}"'
    elif _EMPTY.fullmatch(token):
        yield f'must not have a flag without its value; has "{token}"'
    elif token != token.strip() and "\n" not in token:
        yield f'must not have spaces at the end of an element; has "{token}"'


def _split(token: Any) -> Any:
    spaced = isinstance(token, str) and _SPACED.fullmatch(token)
    return token.split() if spaced else None


def _asked(container: Container, context: Context) -> Iterator[Result]:
    """What the engine's own parser would say; an engine without tables may state a flag once."""
    engine, version = running(container, context.server)
    args = listing(container.node, "args")
    if "" in args:
        yield container.fault("must not have an empty element", "args", current="")
    if engine in TABLED and not any(any(token_faults(token)) for _, token in container.argv):
        for result in argv_faults(engine, version, args, container.way("args")):
            if context.server and result.severity != "error":
                continue  # said of the user's own field already
            message = f"must be what {engine} {version} takes: {result.message}"
            yield replace(result, message=message, resource=reference(container.manifest))
    elif engine not in TABLED:
        names = (flag(str(token)) for token in args)
        for name, count in Counter(names).items():
            if name and count > 1:
                yield container.fault(f"must state {name} once; has it {count} times", "args")


CHECK = Check(name="argv", defects=(3, 4, 5, 21), rule=_rule)

"""An argv has one element per token, no empty value, and no flag that the engine does not know."""

import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

from krm_fn.checks.base import Check, Context
from krm_fn.checks.reading import listing
from krm_fn.checks.view import Container
from krm_fn.errors import Result

_SPACED = re.compile(r"--?[A-Za-z][\w.-]*\s.*", re.DOTALL)
_EMPTY = re.compile(r"--?[A-Za-z][\w.-]*=\s*")
_FLAG = re.compile(r"--[A-Za-z][\w.-]*")
_REPEATED = {"--middleware"}  # flags of engines that append


def _rule(context: Context) -> Iterator[Result]:
    for container in context.containers:
        for index, (key, token) in enumerate(container.argv):
            for message in _faults(token):
                yield container.fault(message, key, current=token, proposed=_split(token))
            if token == "" and index:
                yield container.fault("must not have an empty element", key, current=token)
    for container in context.servers:
        yield from _asked(container, context)


def _faults(token: Any) -> Iterator[str]:
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
    names = (_FLAG.match(str(token)) for _, token in container.argv)
    for name, count in Counter(match[0] for match in names if match).items():
        if count > 1 and name not in _REPEATED:
            yield container.fault(f"must state {name} once; has it {count} times", "args")
    if context.argv_faults:
        command, args = (listing(container.node, key) for key in ("command", "args"))
        for message in context.argv_faults(command, args):
            yield container.fault(message, "args")


CHECK = Check(name="argv", defects=(3, 4, 5, 21), rule=_rule)

"""The fuse: whatever happens in between, a complete list leaves and no file is lost.

Pure but for `guarded_stdout`, which `__main__` uses.
"""

import sys
import traceback
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, replace
from typing import TextIO

from krm_fn.errors import ConfigError, KrmFnError, Result, error
from krm_fn.krm.item import Item
from krm_fn.krm.layout import in_package
from krm_fn.krm.resource_list import ResourceList, parse, serialise
from krm_fn.krm.results import has_errors, stderr_lines

Transform = Callable[[ResourceList], ResourceList]


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What the process has to do: write `text` to stdout, the lines to stderr, and exit."""

    text: str
    exit_code: int
    stderr: tuple[str, ...] = ()


def run(
    data: bytes | str,
    transform: Transform,
    *,
    owner_key: str,
    validates: Callable[[ResourceList], bool] = lambda _: False,
) -> Outcome:
    """`transform` applied to the list in `data`; on any fault the input items come back unchanged.

    Foreign items (without `owner_key`) must all be in the output. Where the list `validates`, no
    items are returned, because kustomize refuses those that come back from a validator.
    """
    given = ResourceList()
    lines: tuple[str, ...] = ()
    try:
        given = parse(data if isinstance(data, str) else _decoded(data))
        result = transform(given)
        if has_errors(result.results):
            result = replace(given, results=result.results)
        elif validates(given):
            result = replace(result, items=())
        else:
            _refuse_losses(given.items, result.items, owner_key)
        text = serialise(result)
    except KrmFnError as fault:
        result = replace(given, results=fault.results)
        text = serialise(result)
    except Exception as fault:  # noqa: BLE001  (the fuse: nothing may escape half-written)
        result = replace(given, results=(_bug(fault),))
        text, lines = serialise(result), tuple(traceback.format_exc().splitlines())
    failed = has_errors(result.results)
    shown = stderr_lines(result.results, warnings=not in_package(given))
    return Outcome(text=text, exit_code=int(failed), stderr=(*lines, *shown))


@contextmanager
def guarded_stdout() -> Iterator[TextIO]:
    """The real stdout, while whatever else is printed goes to stderr and cannot spoil the list."""
    stdout = sys.stdout
    with redirect_stdout(sys.stderr):
        yield stdout


def _decoded(data: bytes) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as fault:
        message = f"stdin is not UTF-8: byte {fault.start} is {data[fault.start]:#x}"
        raise ConfigError([error(message)]) from None


def _refuse_losses(before: Iterable[Item], after: Iterable[Item], owner_key: str) -> None:
    lost = Counter(item.raw for item in before if owner_key not in item.annotations)
    lost.subtract(item.raw for item in after)
    names = [str(item.identity) for item in before if lost[item.raw] > 0]
    if names:
        raise AssertionError(f"items of others would be lost: {', '.join(names)}")


def _bug(fault: Exception) -> Result:
    what = " ".join(f"{type(fault).__name__}: {fault}".split())
    return error(f"this is a bug in the function, please report it: {what}; nothing was changed")

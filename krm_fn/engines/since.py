"""Values by engine version: rows that hold from one release up to, not including, another."""

from dataclasses import dataclass
from typing import Generic, TypeVar

Version = tuple[int, ...]
Value = TypeVar("Value")
LATEST: Version = (999,)


@dataclass(frozen=True, kw_only=True, slots=True)
class Since(Generic[Value]):
    """A value of the versions in [since, until), and where that stands."""

    since: Version = (0,)
    until: Version = LATEST
    value: Value
    source: str = ""


def number(version: str) -> Version:
    """The release as numbers; suffixes (rc, post, +cpu) are left off.

    >>> number("0.19.2rc1")
    (0, 19, 2)
    """
    parts = version.removeprefix("v").partition("+")[0].split(".")
    heads = (_digits(part) for part in parts)
    return tuple(int(head) for head in heads if head)


def _digits(part: str) -> str:
    return part[: next((i for i, c in enumerate(part) if not c.isdigit()), len(part))]


def at(rows: tuple[Since[Value], ...], version: Version) -> Value:
    """The value of the first row that covers a version."""
    return next(row.value for row in rows if row.since <= version < row.until)


def all_at(rows: tuple[Since[Value], ...], version: Version) -> tuple[Value, ...]:
    """The values of all rows that cover a version, in order."""
    return tuple(row.value for row in rows if row.since <= version < row.until)

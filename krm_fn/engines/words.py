"""An argv taken apart as the engines' argument parsers do it, against the flags of one version."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from krm_fn.engines.versions import State, flag_table, state

_NUMBER = re.compile(r"-\.?\d[\d.eE+-]*")


@dataclass(frozen=True, kw_only=True, slots=True)
class Word:
    """One flag with its values, or a stray word (`flag` None).

    `written` is the flag as given, `flag` its name in the table, `short` True if it was given as an
    abbreviation that argparse completes. `joined` = the value stands behind `=`.
    """

    index: int
    written: str
    flag: str | None
    row: Mapping[str, Any] | None = None
    values: tuple[str, ...] = ()
    joined: bool = False
    short: bool = False

    @property
    def canonical(self) -> str | None:
        """The name that all spellings of a flag share."""
        name: str | None = (self.row or {}).get("of", self.flag)
        return name


def words(engine: str, version: str, args: Sequence[str]) -> tuple[Word, ...]:
    """The flags of an argv in their order, each with the values that follow it."""
    found: list[Word] = []
    rest = list(enumerate(args))
    while rest:
        index, text = rest.pop(0)
        if not is_flag(text):
            found.append(Word(index=index, written=text, flag=None))
            continue
        written, joint, value = text.partition("=")
        flag, short = _resolved(engine, version, written)
        row = flag_table(engine)["flags"].get(flag)
        values = (value,) if joint else tuple(_following(engine, version, row, rest))
        found.append(
            Word(
                index=index,
                written=written,
                flag=flag,
                row=row,
                values=values,
                joined=bool(joint),
                short=short,
            )
        )
    return tuple(found)


def is_flag(text: str) -> bool:
    return text.startswith("-") and len(text) > 1 and not _NUMBER.fullmatch(text)


def kind(engine: str, version: str, row: Mapping[str, Any]) -> str:
    """`flag`, `int`, `float`, `size`, `json` or `str`; with `*` = several values, `?` = optional.

    Where the kind differs between the neighbours of a version, anything goes: `?`.
    """
    kinds = row["kind"]
    if isinstance(kinds, str):
        return kinds
    sure = [name for name, spans in kinds.items() if state(engine, version, spans) == "yes"]
    return sure[0] if len(sure) == 1 else "str?"


def flag_state(engine: str, version: str, word: Word) -> State:
    """Whether the version has the flag."""
    return state(engine, version, word.row["in"] if word.row else "")


@cache
def flags_of(engine: str, version: str) -> tuple[str, ...]:
    """All flags that the version surely has."""
    rows: dict[str, dict[str, Any]] = flag_table(engine)["flags"]
    return tuple(flag for flag, row in rows.items() if state(engine, version, row["in"]) == "yes")


def _following(
    engine: str, version: str, row: Mapping[str, Any] | None, rest: list[tuple[int, str]]
) -> Iterator[str]:
    """Takes the values of a flag off `rest`; one that is unknown takes one word as its value."""
    wanted = kind(engine, version, row) if row else "str?"
    most = 0 if wanted == "flag" else len(rest) if wanted.endswith("*") else 1
    while rest and most and not is_flag(rest[0][1]):
        yield rest.pop(0)[1]
        most -= 1


def _resolved(engine: str, version: str, written: str) -> tuple[str, bool]:
    """The table's name of a flag: vLLM takes `_` for `-` and `--flag.key` for a key of its JSON.

    Both engines use argparse, which completes an abbreviation that fits one flag only.
    """
    flag = written
    if engine == "vllm" and written.startswith("--"):
        flag = written.partition(".")[0].replace("_", "-")
    rows = flag_table(engine)["flags"]
    if flag in rows or not flag.startswith("--"):
        return flag, False
    fitting = [each for each in flags_of(engine, version) if each.startswith(flag)]
    names = {rows[each].get("of", each) for each in fitting}
    return (names.pop(), True) if len(names) == 1 else (flag, False)

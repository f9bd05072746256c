"""Faults of an engine's arguments and environment, found before a container crashes over them."""

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from difflib import get_close_matches

from krm_fn.engines.versions import (
    TABLED,
    at_least,
    flag_table,
    name_table,
    neighbours,
    replacements,
    shown,
    state,
)
from krm_fn.engines.words import Word, flag_state, flags_of, is_flag, kind, words
from krm_fn.errors import Result, error, warning

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_SECRET = re.compile(r".*(TOKEN|API_KEY|PASSWORD|SECRET|ACCESS_KEY)$")
_PREFIXES = {"vllm": ("VLLM_",), "sglang": ("SGLANG_", "SGL_")}
_LEVEL = re.compile(r"-O(\d|\.\w+|=)?.*")
_VALUES: dict[str, tuple[Callable[[str], object], str]] = {
    "int": (int, "a whole number"),
    "float": (float, "a number"),
    "json": (json.loads, "JSON"),
}
_SIZE = re.compile(r"auto|-?\d+(\.\d+)?([kKmMgGtT]i?)?")


def argv_faults(
    engine: str,
    version: str,
    args: Sequence[str],
    field_path: str,
    owned: Mapping[str, str] | None = None,
) -> tuple[Result, ...]:
    """Faults of `args`, one element per token; `field_path[i]` names the element.

    With `owned` (flag -> the field that decides it) these are a user's `extraArgs`, in which flags
    of ours and stray words are faults; without, a whole argv, whose first word may be the model.
    """
    if engine not in TABLED:
        return ()
    found = _spaced(args, field_path)
    given = words(engine, version, [_mended(text) for text in args])
    taken = {_canonical(engine, flag): field for flag, field in (owned or {}).items()}
    faults = [
        fault
        for word in given
        for fault in _word_faults(engine, version, word, f"{field_path}[{word.index}]", taken)
        if not (owned is None and word.flag is None and word.index == 0)
    ]
    return (*found, *faults, *_repeated(given, field_path))


def _mended(text: str) -> str:
    """An element that holds a flag and its value, as it was meant: the rest can be checked too."""
    return text.replace(" ", "=", 1) if is_flag(text) and " " in text.partition("=")[0] else text


VARIABLE = "must be the name of a variable: letters, digits and `_`"


def is_variable(name: str) -> bool:
    return bool(_VARIABLE.fullmatch(name))


def env_faults(
    engine: str,
    version: str,
    env: Mapping[str, str],
    field_path: str,
    owned: Mapping[str, str] | None = None,
) -> tuple[Result, ...]:
    """Faults of variables: names, secrets in plain text, what the version does not read."""
    return tuple(
        fault
        for name in env
        for fault in _variable_faults(engine, version, name, f"{field_path}.{name}", owned or {})
    )


def _spaced(args: Sequence[str], path: str) -> list[Result]:
    """Elements that hold a flag and its value, which the engine would read as one flag."""
    return [
        error(
            "a flag and its value must be two elements, or one with `=`",
            f"{path}[{index}]",
            current=text,
            proposed=text.replace(" ", "=", 1),
        )
        for index, text in enumerate(args)
        if is_flag(text) and re.search(r"\s", text.partition("=")[0])
    ]


def _word_faults(
    engine: str, version: str, word: Word, path: str, taken: Mapping[str, str]
) -> Iterator[Result]:
    if word.flag is None:
        text = f"`{word.written}` belongs to no flag"
        yield error(text if word.written else "must not be empty", path, current=word.written)
    elif (canonical := str(word.canonical)) in taken:
        text = f"`{word.written}` is set by krm-fn: change {taken[canonical]} instead"
        yield error(text, path, current=word.written)
    elif _LEVEL.fullmatch(word.written) and engine == "vllm":
        return  # -O3 and -O.key are rewritten before vLLM's parser sees them
    elif word.row is None or flag_state(engine, version, word) != "yes":
        yield _missing(engine, version, word, path)
    else:
        yield from _known_faults(engine, version, word, path)


def _missing(engine: str, version: str, word: Word, path: str) -> Result:
    """A flag that the version lacks, or may lack."""
    have = flag_state(engine, version, word)
    what = f"{engine} {version} has no flag `{word.written}`"
    if have == "uncertain":
        return warning(f"{_uncertain(engine, version, what)}", path, current=word.written)
    if word.row is None:
        near = get_close_matches(word.written, flags_of(engine, version), n=1, cutoff=0.6)
        hint = f"; did you mean `{near[0]}`?" if near else ""
        return error(what + hint, path, current=word.written, proposed=near[0] if near else None)
    spans = str(word.row["in"])
    instead = _replacement(engine, word)
    gone = instead and at_least(version, spans.partition("..")[0])
    advice = f"; instead: {instead}" if gone else ""
    return error(f"{what} (versions with it: {shown(spans)}){advice}", path, current=word.written)


def _replacement(engine: str, word: Word) -> str | None:
    known = replacements(engine)
    return known.get(str(word.flag)) or known.get(str(word.canonical))


def _uncertain(engine: str, version: str, what: str) -> str:
    before, after = neighbours(engine, version)
    if before and after:
        return f"{what} for certain: of {before} and {after} only one has it"
    return f"{what} for certain: the tables hold for {before or after}"


def _known_faults(engine: str, version: str, word: Word, path: str) -> Iterator[Result]:
    if word.short:
        text = f"`{word.written}` is an abbreviation: write `{word.flag}`"
        yield warning(text, path, current=word.written, proposed=word.flag)
    yield from _value_faults(engine, version, word, path)
    row = word.row or {}
    if state(engine, version, row.get("deprecated", "")) == "yes":
        instead = _replacement(engine, word)
        advice = f"; instead: {instead}" if instead else ""
        text = f"`{word.written}` is deprecated in {engine} {version}{advice}"
        yield warning(text, path, current=word.written)


def _value_faults(engine: str, version: str, word: Word, path: str) -> Iterator[Result]:
    expected = kind(engine, version, word.row or {})
    if expected == "flag":
        if word.joined:
            yield error(f"`{word.written}` takes no value", path, current="=".join(word.values))
        return
    if not word.values and expected[-1] not in "*?":
        yield error(f"`{word.written}` needs a value", path, current=word.written)
    if "." in word.written:
        return  # one key of a JSON value
    for value in word.values:
        yield from _one_value_faults(engine, version, word, value, path)


def _one_value_faults(
    engine: str, version: str, word: Word, value: str, path: str
) -> Iterator[Result]:
    expected = kind(engine, version, word.row or {}).rstrip("*?")
    if not value:
        yield error(f"`{word.written}` must not be empty", path)
    elif expected in _VALUES and not _reads(value, _VALUES[expected][0]):
        what = _VALUES[expected][1]
        yield error(f"`{word.written}` must be {what}; got '{value}'", path, current=value)
    elif expected == "size" and not _SIZE.fullmatch(value):
        text = f"`{word.written}` must be a number such as 8192 or 8k; got '{value}'"
        yield error(text, path, current=value)
    else:
        yield from _choice_faults(engine, version, word, value, path)


def _choice_faults(
    engine: str, version: str, word: Word, value: str, path: str
) -> Iterator[Result]:
    """A value outside the choices; vLLM takes the names of backends in any case."""
    rows = flag_table(engine)["flags"].get(word.canonical, {}).get("choices", {})
    fold = engine == "vllm" and "backend" in str(word.canonical)
    states = {_folded(x, fold=fold): state(engine, version, spans) for x, spans in rows.items()}
    allowed = [name for name in rows if states[_folded(name, fold=fold)] == "yes"]
    have = states.get(_folded(value, fold=fold), "no")
    if not allowed or have == "yes":
        return
    what = f"`{word.written}` of {engine} {version} must be one of {', '.join(sorted(allowed))}"
    near = get_close_matches(value, allowed, n=1)
    if have == "uncertain":
        yield warning(_uncertain(engine, version, f"{engine} {version} has no '{value}'"), path)
    else:
        proposed = near[0] if near else None
        yield error(f"{what}; got '{value}'", path, current=value, proposed=proposed)


def _folded(text: str, *, fold: bool) -> str:
    return text.lower().replace("-", "_") if fold else text


def _repeated(given: Sequence[Word], path: str) -> Iterator[Result]:
    seen: set[str] = set()
    for word in given:
        if word.canonical and word.canonical in seen and not (word.row or {}).get("repeats"):
            text = f"`{word.written}` stands twice; the engine takes the last"
            yield error(text, f"{path}[{word.index}]", current=word.written)
        seen.add(word.canonical or "")


def _canonical(engine: str, flag: str) -> str:
    name: str = flag_table(engine)["flags"].get(flag, {}).get("of", flag)
    return name


def _reads(value: str, read: Callable[[str], object]) -> bool:
    try:
        read(value)
    except ValueError:
        return False
    return True


def _variable_faults(
    engine: str, version: str, name: str, path: str, owned: Mapping[str, str]
) -> Iterator[Result]:
    if not is_variable(name):
        yield error(VARIABLE, path, current=name)
    elif name in owned:
        yield error(f"`{name}` is set by krm-fn: change {owned[name]} instead", path, current=name)
    elif _SECRET.fullmatch(name):
        yield error(
            f"`{name}` looks like a secret, and its value would stand in plain text: give it by "
            f"reference, `{name}: {{name: SECRET, key: KEY}}` in `secretEnv` beside `env`",
            path,
        )
    elif engine in TABLED and name.startswith(_PREFIXES[engine]):
        yield from _engine_variable_faults(engine, version, name, path)


def _engine_variable_faults(engine: str, version: str, name: str, path: str) -> Iterator[Result]:
    table = name_table(engine)["env"]
    if state(engine, version, table.get(name, "")) == "yes":
        return
    what = f"{engine} {version} does not read `{name}`"
    if name in table:
        instead = replacements(engine).get(name)
        advice = f"; instead: {instead}" if instead else ""
        what += f" (versions that do: {shown(table[name])}){advice}"
    elif near := get_close_matches(name, table, n=1, cutoff=0.8):
        what += f"; did you mean `{near[0]}`?"
    yield warning(what, path, current=name)

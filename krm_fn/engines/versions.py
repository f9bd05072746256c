"""What an engine version has: flags, variables, metrics, model architectures.

The tables (`tables/README.md`) hold for the versions they list: each one's own argument parser was
asked. A version between two listed ones has what both have; where they disagree it is uncertain.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from functools import cache
from importlib.resources import files
from typing import Any, Literal

from krm_fn.catalog.releases import is_release, release_key
from krm_fn.errors import Result, error, warning

State = Literal["yes", "no", "uncertain"]
Spans = str
"""`0.9.2..0.16.0 0.33.0..`: first and last listed version, an open end = still there."""


def newest(engine: str) -> str:
    """The newest version whose flags are known."""
    return known_versions(engine)[-1]


def known_versions(engine: str) -> tuple[str, ...]:
    """Listed versions, oldest first; () for an engine without tables (the mock)."""
    return tuple(flag_table(engine)["versions"]) if engine in TABLED else ()


def at_least(version: str, other: str) -> bool:
    """Whether `version` is `other` or newer.

    >>> at_least("0.5.13.post1", "0.5.13")
    True
    """
    return release_key(version) >= release_key(other)


def is_listed(engine: str, version: str) -> bool:
    return any(release_key(each) == release_key(version) for each in known_versions(engine))


def has_flag(engine: str, version: str, flag: str) -> bool:
    """Whether the version surely has the flag."""
    row = flag_table(engine)["flags"].get(flag)
    return row is not None and state(engine, version, row["in"]) == "yes"


def versions_with(engine: str, flag: str) -> str:
    """The listed versions that have a flag, for a person; "" where none has."""
    row = flag_table(engine)["flags"].get(flag, {})
    return shown(row.get("in", ""))


def has_env(engine: str, version: str, name: str) -> bool:
    return state(engine, version, name_table(engine)["env"].get(name, "")) == "yes"


def has_metric(engine: str, version: str, name: str) -> bool:
    """`name` as /metrics prints it: the client adds `_total` to counters that lack it."""
    metrics = name_table(engine)["metrics"]
    spellings = (name, name.removesuffix("_total"))
    return any(state(engine, version, metrics.get(each, "")) == "yes" for each in spellings)


def default(engine: str, version: str, flag: str) -> Any:
    """The parser's own default of a flag, where the table has one."""
    row = flag_table(engine)["flags"].get(flag, {})
    return next(iter(_present(engine, version, row.get("default", {}), json.loads)), None)


def choices(engine: str, version: str, flag: str) -> tuple[str, ...]:
    """The values that the version surely accepts; () where any is."""
    row = flag_table(engine)["flags"].get(flag, {})
    return tuple(_present(engine, version, row.get("choices", {}), str))


def state(engine: str, version: str, spans: Spans) -> State:
    """Whether a version has what `spans` says, by its neighbours if it is not listed.

    Newer than all: as the newest; but what no listed version has may have come since.
    Older than all: what the oldest lacks is uncertain.
    """
    before, after = neighbours(engine, version)
    within = {listed_in(engine, each, spans) for each in (before, after) if each}
    if within == {True, False}:
        return "uncertain"
    if within == {True}:
        return "yes"
    known_to_end = before is not None and (after is not None or bool(spans))
    return "no" if known_to_end else "uncertain"


@cache
def neighbours(engine: str, version: str) -> tuple[str | None, str | None]:
    """The listed versions around this one; itself twice if it is listed."""
    key = release_key(version)
    listed = known_versions(engine)
    before = [each for each in listed if release_key(each) <= key]
    after = [each for each in listed if release_key(each) >= key]
    return (before[-1] if before else None), (after[0] if after else None)


def listed_in(engine: str, version: str, spans: Spans) -> bool:
    """Whether a listed version lies in the spans."""
    order = _order(engine)
    place = order[version]
    for span in spans.split():
        first, _, last = span.partition("..")
        if order[first] <= place and (not last or place <= order[last]):
            return True
    return False


def architectures_in(engine: str, version: str, section: str) -> frozenset[str]:
    """The architectures that a section of the engine's LoRA table has for a version."""
    rows: dict[str, Spans] = _table(f"{engine}-lora.json")[section]
    return frozenset(name for name, spans in rows.items() if state(engine, version, spans) == "yes")


def version_faults(engine: str, version: str, path: str) -> tuple[Result, ...]:
    """A version that is no release name, too old for the tables, or newer than they know."""
    if not is_release(version) or (engine in TABLED and not _is_full(version)):
        text = f'must be a full release such as "{newest(engine)}"; got "{version}"'
        return (error(text, path, current=version),)
    if engine not in TABLED or is_listed(engine, version):
        return ()
    before, after = neighbours(engine, version)
    if before is None:
        text = f"{engine} is supported from {after} on"
        return (error(text, path, current=version, proposed=newest(engine)),)
    if after is None:
        text = f"{engine} {version} is newer than the tables, which end at {before}: its flags are "
        return (warning(text + "taken to be the same", path, current=version),)
    return ()


def _is_full(version: str) -> bool:
    """Whether an image can have it as its tag: 0.9 is a line of releases."""
    return version.partition("+")[0].count(".") >= 2  # major, minor, patch


def architecture_faults(
    engine: str, version: str, architectures: Sequence[str], path: str
) -> tuple[Result, ...]:
    """Refuses a model whose architecture the version does not have.

    An architecture that no listed version registers may still run through the engine's
    Transformers backend, so it is a warning.
    """
    table = name_table(engine)["architectures"]
    states = [state(engine, version, table.get(name, "")) for name in architectures]
    if not architectures or "yes" in states:
        return ()
    known = [name for name in architectures if name in table]
    if not known:
        return (_unknown_architecture(engine, version, architectures[0], path),)
    return tuple(_absence(engine, version, known[0], table[known[0]], path))


def _unknown_architecture(engine: str, version: str, name: str, path: str) -> Result:
    near = get_close_matches(name, name_table(engine)["architectures"], n=1, cutoff=0.8)
    hint = f" (nearest: {near[0]})" if near else ""
    return warning(
        f"architecture {name} is in no model registry of {engine} up to {newest(engine)}{hint}; "
        f"{version} can serve it only if its Transformers backend does",
        path,
        current=name,
    )


def _absence(engine: str, version: str, name: str, spans: Spans, path: str) -> Iterator[Result]:
    if state(engine, version, spans) == "uncertain":
        before, after = neighbours(engine, version)
        yield warning(
            f"architecture {name} is not in both {engine} {before} and {after}, so it is uncertain "
            f"for {version}",
            path,
            current=name,
        )
        return
    yield error(
        f"{engine} {version} does not have the architecture {name}; versions with it: "
        f"{shown(spans)}",
        path,
        current=name,
        proposed=_nearest_with(engine, version, spans),
    )


def _nearest_with(engine: str, version: str, spans: Spans) -> str:
    """The first newer listed version that has it, else the last older one."""
    having = [each for each in known_versions(engine) if listed_in(engine, each, spans)]
    newer = [each for each in having if at_least(each, version)]
    return newer[0] if newer else having[-1]


def shown(spans: Spans) -> str:
    """Spans for a person: `0.9.2 to 0.16.0, 0.33.0 and newer`."""
    pairs = (span.partition("..") for span in spans.split())
    return ", ".join(
        f"{first} to {last}" if last else f"{first} and newer" for first, _, last in pairs
    )


def _present(engine: str, version: str, rows: Mapping[str, Spans], read: Any) -> Iterator[Any]:
    return (read(key) for key, spans in rows.items() if state(engine, version, spans) == "yes")


@cache
def _order(engine: str) -> dict[str, int]:
    return {version: place for place, version in enumerate(known_versions(engine))}


TABLED = ("vllm", "sglang")


@cache
def flag_table(engine: str) -> dict[str, Any]:
    return _table(f"{engine}-flags.json")


@cache
def name_table(engine: str) -> dict[str, Any]:
    return _table(f"{engine}-names.json")


@cache
def replacements(engine: str) -> dict[str, str]:
    """What to write instead of a removed flag, variable or metric."""
    found: dict[str, str] = _table("replacements.json").get(engine, {})
    return found


def _table(name: str) -> dict[str, Any]:
    text = (files("krm_fn.engines") / "tables" / name).read_text(encoding="utf-8")
    table: dict[str, Any] = json.loads(text)
    return table

"""The one reader and the one writer of YAML.

The reader sees what kubectl and kyaml see, not what YAML 1.1 says: `on`, `22:22` and dates are
strings, `0644` is 420, keys are strings. Duplicate keys, aliases and tags of other languages are
faults. The writer quotes whatever some reader might take for a number, a boolean or a null.
"""

import math
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode
from yaml.resolver import Resolver

from krm_fn.errors import ConfigError, Result, error

_BaseLoader: Any = getattr(yaml, "CBaseLoader", yaml.BaseLoader)
_BaseDumper: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)

_CORE = "tag:yaml.org,2002:"
_TEXT = _CORE + "str"
_YAML11: Any = Resolver()
_PLAIN, _QUOTED = "plain", "quoted"  # our own tags of scalars that state none
_INT = re.compile(r"[-+]?(?:0[xX][0-9a-fA-F]+|0[oO]?[0-7]+|0[bB][01]+|0|[1-9][0-9]*)")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_CONSTANTS: dict[str, Any] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **dict.fromkeys((".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF"), float("inf")),
    **dict.fromkeys(("-.inf", "-.Inf", "-.INF"), float("-inf")),
    **dict.fromkeys((".nan", ".NaN", ".NAN"), float("nan")),
}
_LOOKS_NUMERIC = re.compile(r"[-+._\d][-+._:\da-fA-FxXoO]*|[yYnN]")
_NOT_PLAIN = re.compile(r"$|[\s,\[\]{}#&*!|>'%@`]|[-?:](?:\s|$)|.*(?::\s|\s#|:$|\s$)")
_OTHER_BREAKS = re.compile("[\\r\\x85\\u2028\\u2029\\ufeff]")
_DOCUMENT_MARK = re.compile(r"^(?:---|\.\.\.)(?=\s|$)", re.MULTILINE)
_WIDTH = 2**30  # never fold; the C emitter needs a finite number


@dataclass(frozen=True, slots=True)
class Place:
    """The line of a key or list entry, and how its value is written there: `0.10` is 0.1."""

    line: int
    text: str | None  # None for a mapping or a list


class _Loader(_BaseLoader):  # type: ignore[misc]
    """Composes nodes only; `_value` gives scalars their types."""

    def resolve(self, kind: type[Node], _value: str | None, implicit: Any) -> str:
        if kind is ScalarNode:
            return _PLAIN if implicit[0] else _QUOTED
        return _CORE + ("map" if kind is MappingNode else "seq")


class _Dumper(_BaseDumper):  # type: ignore[misc]
    """Kubernetes' habits: no aliases, double quotes where quotes are needed, `|` for lines."""

    def ignore_aliases(self, _data: Any) -> bool:
        return True

    def resolve(self, kind: type[Node], value: Any, implicit: Any) -> str:
        if kind is ScalarNode:  # asked twice for each scalar, and most texts come again
            return _yaml11_tag(value) if implicit[0] else _TEXT
        return str(super().resolve(kind, value, implicit))


def load(text: str, *, source: str = "", line: int = 1, aliases: bool = False) -> Any:
    """The value of one YAML document (JSON is YAML); all faults at once as a ConfigError.

    `source` names the text in messages, `line` is the number of its first line there.
    """
    try:
        node = composed(text)
    except yaml.YAMLError as fault:
        raise ConfigError([error(_syntax_fault(fault, source, line))]) from None
    faults = [] if aliases else list(_aliases(text))
    cycles = list(_cycles(node, ())) if node and "*" in text else []
    faults += cycles
    value = _value(node, faults) if node and not cycles else None
    if faults:
        raise ConfigError(_in_source(fault, source, line) for fault in faults)
    return value


def composed(text: str) -> Node | None:
    """The tree of nodes of one document, each with its place in the text."""
    node: Node | None = yaml.compose(text, Loader=_Loader)
    return node


def load_all(text: str, *, source: str = "") -> tuple[Any, ...]:
    """The values of a stream of documents; empty ones and those of comments only are left out."""
    return tuple(load(part, source=source, line=line) for line, part in documents(text))


def documents(text: str) -> Iterator[tuple[int, str]]:
    """(first line, text) of each document of a stream; not parsed, so a bad one spoils no other.

    YAML forbids `---` at the start of a line inside a scalar, so splitting lines is exact.
    """
    text = text.removeprefix("\ufeff")
    marks = [match.start() for match in _DOCUMENT_MARK.finditer(text)]
    line = 1
    for start, end in zip([0, *marks], [*marks, len(text)], strict=True):
        part = _DOCUMENT_MARK.sub("   ", text[start:end], count=1)
        if any(row.strip() and row.lstrip()[0] not in "#%" for row in part.split("\n")):
            yield line, part
        line += text.count("\n", start, end)


def place(text: str, path: Sequence[str | int], *, line: int = 1) -> Place | None:
    """Where the value at `path` is written in `text`; None if it is not there.

    Used when an error is reported, so that a message can name a line and quote the scalar as given.
    """
    node, at = composed(text), 0
    for step in path:
        found = next((child for child in _children(node) if child[0] == step), None)
        _, node, at = found or (step, None, 0)
    if node is None:
        return None
    return Place(line=at + line, text=node.value if isinstance(node, ScalarNode) else None)


def dump(value: Any) -> str:
    """Block-style YAML of one document, keys in the order given, lists at their parent's column."""
    text: str = yaml.dump(
        value,
        Dumper=_Dumper,
        sort_keys=False,
        default_flow_style=False,
        allow_unicode=True,
        width=_WIDTH,
    )
    return text.removesuffix("...\n") if text.endswith("\n...\n") else text


def dump_all(values: Iterable[Any]) -> str:
    """Several documents of one file, `---` between them."""
    return "---\n".join(map(dump, values))


def _value(node: Node, faults: list[Result]) -> Any:
    if isinstance(node, ScalarNode):
        return _scalar(node, faults)
    if isinstance(node, SequenceNode):
        return [_value(item, faults) for item in node.value]
    mapping: dict[str, Any] = {}
    for key_node, value_node in node.value:
        key = key_node.value
        if not isinstance(key_node, ScalarNode):
            faults.append(_fault(key_node, "a key must be a string"))
        elif key in mapping:
            faults.append(_fault(key_node, f"key `{key}` stands twice in one mapping"))
        else:
            mapping[key] = _value(value_node, faults)
    return mapping


def _scalar(node: ScalarNode, faults: list[Result]) -> Any:
    tag, text = node.tag, node.value
    if tag in (_QUOTED, _TEXT, _CORE + "timestamp"):
        return text
    if tag == _PLAIN or tag.startswith(_CORE):
        return _plain(text)
    faults.append(_fault(node, f"tag `{tag}` is not supported"))
    return text


def _plain(text: str) -> Any:
    """The type of an unquoted scalar, as goyaml v3 decides it."""
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    if text[0] not in "+-.0123456789":
        return text
    digits = text if text[0] == "." else text.replace("_", "")
    whole = _int(digits) if len(digits) < 80 and _INT.fullmatch(digits) else None
    if whole is not None and -(2**63) <= whole < 2**64:
        return whole
    number = float(digits) if _FLOAT.fullmatch(digits) else math.inf
    return text if math.isinf(number) else number  # Go takes what is out of range for a string


def _int(digits: str) -> int:
    """`0644` and `0o644` are octal, as for Go."""
    number = digits.lstrip("+-")
    octal = number[:1] == "0" and number[1:].isdigit()
    value = int(number, 8 if octal else 0)
    return -value if digits.startswith("-") else value


def _children(node: Node | None) -> Iterator[tuple[str | int, Node, int]]:
    """(key or index, value, line of the key or of the entry)."""
    if isinstance(node, MappingNode):
        for key, value in node.value:
            yield key.value, value, key.start_mark.line
    elif isinstance(node, SequenceNode):
        for index, value in enumerate(node.value):
            yield index, value, value.start_mark.line


def _aliases(text: str) -> Iterator[Result]:
    if "*" in text:  # the second parse is rarely needed
        for event in yaml.parse(text, Loader=_Loader):
            if isinstance(event, yaml.AliasEvent):
                yield _fault(event, f"alias `*{event.anchor}` is not supported: repeat the value")


def _cycles(node: Node, above: tuple[Node, ...]) -> Iterator[Result]:
    """Aliases to what they stand in, which have no value."""
    if any(node is each for each in above):
        yield _fault(node, "an alias stands inside of what it repeats")
        return
    parts = node.value if isinstance(node, SequenceNode | MappingNode) else ()
    for part in parts:
        for child in part if isinstance(part, tuple) else (part,):
            yield from _cycles(child, (*above, node))


def _fault(at: Any, message: str) -> Result:
    return error(message, tags={"line": str(at.start_mark.line)})


def _in_source(fault: Result, source: str, line: int) -> Result:
    where = f"{source} line {int(fault.tags['line']) + line}".strip()
    return error(f"{where}: {fault.message}")


def _syntax_fault(fault: yaml.YAMLError, source: str, line: int) -> str:
    mark = getattr(fault, "problem_mark", None)
    where = f"{source} line {mark.line + line}" if mark else source
    problem = getattr(fault, "problem", None) or str(fault).split("\n", maxsplit=1)[0]
    return f"{where.strip() or 'input'}: this is not YAML: {problem}"


def _text_node(dumper: Any, text: str) -> ScalarNode:
    node: ScalarNode = dumper.represent_scalar(_TEXT, text, style=_style(text))
    return node


@lru_cache(maxsize=4096)
def _style(text: str) -> str | None:
    """Double quotes where quotes are needed, single ones around these, `|` for lines."""
    if _OTHER_BREAKS.search(text):
        return '"'
    if "\n" in text:
        return "|"
    if '"' in text or "\\" in text:
        return None  # the emitter chooses single quotes if it must
    ambiguous = _LOOKS_NUMERIC.fullmatch(text) or _yaml11_tag(text) != _TEXT
    return '"' if ambiguous or _NOT_PLAIN.match(text) else None


@lru_cache(maxsize=4096)
def _yaml11_tag(text: str) -> str:
    return str(_YAML11.resolve(ScalarNode, text, (True, False)))


_Dumper.add_representer(str, _text_node)
_Dumper.add_multi_representer(str, lambda dumper, text: _text_node(dumper, str(text)))

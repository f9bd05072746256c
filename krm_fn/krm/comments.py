"""Comments of a text, put into a newer text of the same object.

kpt does this for what comes from a function; the command line writes files itself. A comment
belongs to the key or list entry above or beside which it stands; entries are known by their name.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from krm_fn.krm.yaml import composed

Path = tuple[str | int | tuple[str, str], ...]
_BESIDE = re.compile(r"[\s:,]*(#.*)")


@dataclass(frozen=True)
class _Outline:
    """Where the keys and entries of a text stand."""

    paths: dict[int, Path] = field(default_factory=dict)  # by line, the outermost that starts there
    ends: dict[int, int] = field(default_factory=dict)  # by line, the column behind the last node
    inside: set[int] = field(default_factory=set)  # lines within a scalar, where `#` is text


@dataclass(frozen=True)
class _Comments:
    above: dict[Path, list[str]] = field(default_factory=dict)
    beside: dict[Path, str] = field(default_factory=dict)
    below: list[str] = field(default_factory=list)  # behind the last key


def commented(text: str, old: str) -> str:
    """`text` with the comments of `old`; those of keys that are gone go with them."""
    if "#" not in old:
        return text
    comments, outline, lines = _comments(old), _outline(text), []
    for number, line in enumerate(text.removesuffix("\n").split("\n")):
        path = outline.paths.get(number, ())
        column = " " * (len(line) - len(line.lstrip()))
        lines += [column + comment for comment in comments.above.get(path, ())]
        lines.append(f"{line} {comments.beside[path]}" if path in comments.beside else line)
    return "\n".join([*lines, *comments.below]) + "\n"


def _comments(text: str) -> _Comments:
    outline, comments = _outline(text), _Comments()
    pending: list[str] = []
    for number, line in enumerate(text.split("\n")):
        path = outline.paths.get(number)
        if path is None:
            is_comment = number not in outline.inside and line.lstrip().startswith("#")
            pending += [line.strip()] if is_comment else []
            continue
        if pending:
            comments.above[path], pending = pending, []
        if found := _BESIDE.fullmatch(line, outline.ends.get(number, 0)):
            comments.beside[path] = found[1].rstrip()
    comments.below.extend(pending)
    return comments


def _outline(text: str) -> _Outline:
    outline = _Outline()
    for path, node in _nodes(composed(text), ()):
        start, end = node.start_mark, node.end_mark
        if path:
            outline.paths.setdefault(start.line, path)
        if isinstance(node, ScalarNode) and end.line > start.line:
            outline.inside.update(range(start.line + 1, end.line + (end.column > 0)))
        elif isinstance(node, ScalarNode) or getattr(node, "flow_style", False):
            outline.ends[end.line] = max(end.column, outline.ends.get(end.line, 0))
    return outline


def _nodes(node: Node | None, path: Path) -> Iterator[tuple[Path, Node]]:
    """All nodes in the order of the text; those that start a line's key or entry with its path."""
    if isinstance(node, MappingNode):
        for key, value in node.value:
            yield (*path, key.value), key
            yield (), value
            yield from _nodes(value, (*path, key.value))
    elif isinstance(node, SequenceNode):
        for index, entry in enumerate(node.value):
            inner = (*path, _entry(entry, index))
            yield inner, entry
            yield from _nodes(entry, inner)


def _entry(node: Node, index: int) -> int | tuple[str, str]:
    """The name of an entry that has one, else its position."""
    keys = node.value if isinstance(node, MappingNode) else ()
    names = (value.value for key, value in keys if key.value == "name")
    return next((("name", name) for name in names if isinstance(name, str)), index)

"""ResourceList in, ResourceList out.

Foreign items are slices of the input text and leave as they came, byte for byte: a parse and a
dump would change quotes, numbers such as `0644` and comments. What no orchestrator sends (JSON,
flow style, a bare stream of documents) is read too, through the parser.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from krm_fn.errors import ConfigError, Result, error
from krm_fn.krm import yaml
from krm_fn.krm.item import Item, item_of, item_of_text
from krm_fn.krm.results import wire

API_VERSIONS = ("config.kubernetes.io/v1", "config.kubernetes.io/v1beta1")
_KEYS = {"apiVersion", "kind", "items", "functionConfig", "results"}
_TOP_LEVEL = re.compile(r"\n(?=[^\s#-])")
_DASH = re.compile(r"^( *)-(?=[ \n])", re.MULTILINE)
_NEXT_DASH = re.compile(r"\n(?=-[ \n])")
_INDENT = re.compile(r"^( *)(?=[^\s#])", re.MULTILINE)
_EMPTY = re.compile(r"\s*(?:\[\s*\]|\{\s*\}|null|~)?\s*")


@dataclass(frozen=True, kw_only=True)
class ResourceList:
    items: tuple[Item, ...] = ()
    function_config: Item | None = None
    results: tuple[Result, ...] = ()
    api_version: str = API_VERSIONS[0]


def parse(text: str) -> ResourceList:
    """The ResourceList in `text`; ConfigError if there is none."""
    text = text.removeprefix("\ufeff")
    if not text.strip():
        raise ConfigError([error("stdin is empty: it must hold a ResourceList; see --help")])
    return _sliced(text) or _parsed(text)


def serialise(resources: ResourceList) -> str:
    """The text for stdout."""
    head = {"apiVersion": resources.api_version, "kind": "ResourceList"}
    items = "items:\n" + "".join(item.raw for item in resources.items)
    results = {"results": [wire(result) for result in resources.results]}
    return (
        yaml.dump(head)
        + (items if resources.items else "items: []\n")
        + (yaml.dump(results) if resources.results else "")
    )


class _Block(NamedTuple):
    """A key of the list: the rest of its line, the lines below, the number of the first of them."""

    inline: str = ""
    lines: str = ""
    line: int = 1


def _sliced(text: str) -> ResourceList | None:
    """The list by its lines, as kyaml writes it; None if the text has any other shape."""
    blocks = _blocks(text)
    if blocks is None or _scalar(blocks.get("kind")) != "ResourceList":
        return None
    items = _entries(blocks.get("items", _Block()))
    config = _config(blocks.get("functionConfig", _Block()))
    if items is None or config is None:
        return None
    return ResourceList(
        items=items,
        function_config=config[0] if config else None,
        api_version=_supported(_scalar(blocks.get("apiVersion"))),
    )


def _blocks(text: str) -> dict[str, _Block] | None:
    text = "\n" + (text.replace("---", "", 1) if text.startswith("---\n") else text)
    if "\n---" in text:
        return None
    starts = [match.end() for match in _TOP_LEVEL.finditer(text)]
    blocks: dict[str, _Block] = {}
    for start, end in zip(starts, [*starts[1:], len(text)], strict=True):
        first, _, lines = text[start:end].partition("\n")
        key, colon, inline = first.partition(":")
        if not colon or key not in _KEYS or key in blocks:
            return None
        blocks[key] = _Block(inline.split(" #")[0].strip(), lines, text.count("\n", 0, start) + 1)
    return blocks


def _entries(block: _Block) -> tuple[Item, ...] | None:
    """The items of a block sequence, cut before each dash in the column of the first."""
    first = _DASH.search(block.lines)
    if first is None or block.inline:
        return () if _EMPTY.fullmatch(block.inline + block.lines) else None
    lines = _outdented(block.lines[first.start() :], len(first[1]))
    line = block.line + block.lines.count("\n", 0, first.start())
    items = tuple(_cut(lines, line))
    return items if all(map(_is_object, items)) else None


def _cut(lines: str, line: int) -> Iterator[Item]:
    lines = lines if lines.endswith("\n") else lines + "\n"
    ends = [match.end() for match in _NEXT_DASH.finditer(lines)]
    for start, end in zip([0, *ends], [*ends, len(lines)], strict=True):
        yield Item(raw=lines[start:end], line=line)
        line += lines.count("\n", start, end)


def _config(block: _Block) -> tuple[Item, ...] | None:
    """None or one item in a tuple; None in place of the tuple if it is not in block style."""
    first = _INDENT.search(block.lines)
    if first is None or block.inline:
        return () if _EMPTY.fullmatch(block.inline + block.lines) else None
    text = _outdented(block.lines, len(first[1]))
    item = item_of_text(text, line=block.line)
    return (item,) if _is_object(item) else None


def _is_object(item: Item) -> bool:
    try:
        return bool(item.header)
    except ConfigError:
        return False  # the parser will say what is wrong


def _outdented(lines: str, columns: int) -> str:
    return re.sub(rf"^ {{{columns}}}", "", lines, flags=re.MULTILINE) if columns else lines


def _scalar(block: _Block | None) -> str | None:
    return block.inline.strip("\"'") if block and not block.lines.strip() else None


def _parsed(text: str) -> ResourceList:
    """Any other shape: JSON or flow style, one `*List`, or a stream of documents."""
    parts = list(yaml.documents(text))
    if len(parts) == 1:
        document = yaml.load(text, source="input")
        if isinstance(document, dict) and document.get("kind") == "ResourceList":
            return _of_list(document)
    return ResourceList(items=tuple(item for part in parts for item in _of_part(*part)))


def _of_list(document: dict[str, Any]) -> ResourceList:
    config = document.get("functionConfig")
    return ResourceList(
        items=_of_objects(document.get("items")),
        function_config=_of_object(config, "functionConfig") if config else None,
        api_version=_supported(document.get("apiVersion")),
    )


def _of_part(line: int, text: str) -> tuple[Item, ...]:
    document = yaml.load(text, source="input", line=line, aliases=True)
    if isinstance(document, dict) and str(document.get("kind")).endswith("List"):
        return _of_objects(document.get("items"))
    if not isinstance(document, dict):
        raise ConfigError([error(f"input line {line}: must be an object; got {document!r}")])
    return (item_of_text(text, line=line),)


def _of_objects(objects: Any) -> tuple[Item, ...]:
    if not isinstance(objects or [], list):
        raise ConfigError([error(f"must be a list; got {type(objects).__name__}", "items")])
    return tuple(_of_object(each, f"items[{i}]") for i, each in enumerate(objects or []))


def _of_object(value: Any, what: str) -> Item:
    if not isinstance(value, dict):
        raise ConfigError([error(f"must be an object; got {value!r}", what)])
    return item_of(value)


def _supported(version: Any) -> str:
    """v1 if none is stated, as kustomize has it."""
    if version is not None and version not in API_VERSIONS:
        allowed = '" or "'.join(API_VERSIONS)
        message = f'must be "{allowed}"; got "{version}"'
        raise ConfigError([error(message, "apiVersion", current=version)])
    return str(version or API_VERSIONS[0])

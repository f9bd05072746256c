"""pydantic's errors in our words: field path, what is allowed, what was given, what to do."""

import difflib
from collections.abc import Callable, Iterator, Mapping
from typing import Annotated, Any

from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from krm_fn.api import fields
from krm_fn.errors import Result, error

Path = tuple[str | int, ...]
Written = Callable[[Path], str | None]
"""How the value at a path stands in the document; None = not known."""
Say = Callable[[ErrorDetails, str], str]
"""A message of a fault and of what was given, in words."""
BRANCHES = ("str", "Gpu", "[key]")
"""Parts of pydantic's paths that name a branch of `gpu: text | row`, or the key itself."""


def unknown_text(_: Path) -> None:
    return None


def place(fault: ErrorDetails) -> Path:
    """The keys of the faulty value; a rule about several fields names the one to change."""
    keys = tuple(part for part in fault["loc"] if part not in BRANCHES)
    return (*keys, fault["ctx"]["field"]) if "field" in fault.get("ctx", {}) else keys


def shown(value: Any) -> str:
    """A value for a message: text in quotes, the rest as YAML has it, cut when long."""
    names = {True: "true", False: "false", None: "null"}
    plain = names[value] if value is None or isinstance(value, bool) else str(value)
    text = f'"{value}"' if isinstance(value, str) else plain
    if isinstance(value, dict | list):
        text = "a map" if isinstance(value, dict) else "a list"
    return text if len(text) <= 80 else text[:77] + '..."'


def near(name: str, known: list[str]) -> str:
    """` (did you mean "x"?)`, or nothing when no name is near."""
    lower = {x.lower(): x for x in known}
    found = difflib.get_close_matches(name.lower(), lower, n=1, cutoff=0.6)
    return f' (did you mean "{lower[found[0]]}"?)' if found else ""


def one_of(names: Any) -> str:
    return ", ".join(f'"{name}"' for name in names)


def path_text(path: Path) -> str:
    """`spec.variants.vllm.extraArgs[2]`; other keys stand in brackets."""
    text = ""
    for part in path:
        plain = isinstance(part, str) and not {".", " ", "/"} & {*part}
        text += f".{part}" if plain else f"[{part}]"
    return text.lstrip(".")


def _text(fault: ErrorDetails, model: type[BaseModel], written: Written) -> str:
    """Text was expected: what the field takes, or that a number needs quotes."""
    given, path = fault["input"], place(fault)
    refused = _refusal(model, path, shown(given).strip('"'))
    if refused or isinstance(given, bool) or not isinstance(given, int | float):
        return refused or f"must be text; got {shown(given)}"
    text = written(path) or str(given)
    return f'must be text; YAML read {text} as a number: put it in quotes, "{text}"'


def _refusal(model: type[BaseModel], path: Path, text: str) -> str | None:
    """What a field with a rule of its own would say of the same value as text."""
    owner, name = _model_at(model, path[:-1]), str(path[-1])
    field = next((f for n, f in owner.model_fields.items() if name in (n, f.alias)), None)
    if field is None:
        return None
    rules: Any = (field.annotation, *field.metadata)
    stated: Any = Annotated[rules] if field.metadata else field.annotation
    try:
        TypeAdapter(stated).validate_python(text)
    except ValidationError as fault:
        own = [detail for detail in fault.errors() if detail["type"] == "value_error"]
        return str(own[0]["ctx"]["error"]) if own else None
    return None


def _given(fault: ErrorDetails, written: Written) -> str:
    """The value for a message; a number as its author wrote it: YAML reads `1e5` as 100000.0."""
    value = fault["input"]
    if isinstance(value, bool) or not isinstance(value, int | float):
        return shown(value)
    return written(place(fault)) or shown(value)


def _map(fault: ErrorDetails, model: type[BaseModel]) -> str:
    """The first keys of the map that was expected."""
    keys = _fields_at(model, place(fault))
    more = ", ..." if len(keys) > FEW else ""
    return f"must be a map ({', '.join(keys[:FEW])}{more}); got {shown(fault['input'])}"


def _whole_number(fault: ErrorDetails, given: str) -> str:
    return f"must be a whole number; got {given}{_plainly(fault['input'])}"


def _plainly(value: Any) -> str:
    """How a whole number is written that YAML does not read as one."""
    if isinstance(value, str) and value.strip().isdigit():
        return f": remove the quotes, {value}"
    whole = isinstance(value, float) and value.is_integer()
    return f": write {int(value)}" if whole else ""


def _bound(limit: float) -> str:
    """1000000 and 0.5, not 1e+06."""
    return f"{limit:.0f}" if limit == int(limit) else f"{limit:g}"


def _limit(word: str, key: str) -> Say:
    return lambda fault, given: f"must be {word} {_bound(fault['ctx'][key])}; got {given}"


PATTERNS: Mapping[str, str] = {
    fields.KUBERNETES_NAME: "a name of lower-case letters, digits, - and .",
    fields.SERVICE_NAME: (
        "a name of at most 40 lower-case letters, digits and -, starting with a letter, such as "
        "qwen3-8b"
    ),
    fields.COMMIT: "a full commit of 40 hexadecimal digits (krm-fn resolve finds it)",
    fields.URI: '"hub", pvc://claim/path or /path in the container',
    fields.DIGEST: "sha256: and 64 hexadecimal digits",
    fields.HTTP: "an address such as http://prometheus.monitoring.svc:9090",
    fields.ADAPTER_NAME: "letters, digits, -, . and _, such as sql-lora",
    fields.ADAPTER_ID: "an id on the Hub such as org/sql-lora, or /path in the container",
    fields.LABEL_KEY: (
        "a label: at most 63 letters, digits, -, _ and ., perhaps after a domain and /, such as "
        "nvidia.com/gpu.product"
    ),
    fields.LABEL_VALUE: "a label's value: at most 63 letters, digits, -, _ and .",
    fields.IMAGE: "an image such as registry.example.com/vllm/vllm-openai:v0.33.0",
    fields.REGISTRY: "a registry without a scheme, such as registry.example.com:5000/mirror",
    fields.ONE_WORD: "one word without spaces",
    fields.DRIVER: 'a driver version in quotes, such as "580"',
}
WORDS: Mapping[str, str] = {
    "qps": "requestsPerSecond",
    "rps": "requestsPerSecond",
    "users": "concurrency",
    "tp": "tensorParallelSize",
    "tolerations": "taints",
    "contextlength": "maxModelLen",
    "maxlen": "maxModelLen",
    "gpus": "gpusPerNode",
    "tag": "version",
    "name": "id",
}
"""Words of other tools and what they are called here."""
FEW, COMMON = 5, 4
MESSAGES: Mapping[str, Say] = {
    "missing": lambda *_: "is required",
    "int_type": _whole_number,
    "int_from_float": _whole_number,
    "float_type": lambda _, given: f"must be a number; got {given}",
    "bool_type": lambda _, given: f"must be true or false, without quotes; got {given}",
    "dict_type": lambda _, given: f"must be a map; got {given}",
    "tuple_type": lambda _, given: f"must be a list; got {given}",
    "greater_than": _limit("greater than", "gt"),
    "greater_than_equal": _limit("at least", "ge"),
    "less_than": _limit("less than", "lt"),
    "less_than_equal": _limit("at most", "le"),
    "string_pattern_mismatch": lambda f, given: (
        f"must be {PATTERNS.get(f['ctx']['pattern'], f['ctx']['pattern'])}; got {given}"
    ),
    "string_too_long": lambda f, _: (
        f"must have at most {f['ctx']['max_length']} characters; got {len(f['input'])}"
    ),
    "string_too_short": lambda *_: "must not be empty",
    "value_error": lambda f, _: str(f["ctx"]["error"]),
}


def _literal(fault: ErrorDetails) -> str:
    allowed = [part.strip().strip("'") for part in _expected(fault)]
    hint = near(fault["input"], allowed) if isinstance(fault["input"], str) else ""
    many = "must be one of " if len(allowed) > 1 else "must be "
    return f"{many}{one_of(allowed)}; got {shown(fault['input'])}{hint}"


def _expected(fault: ErrorDetails) -> list[str]:
    return str(fault["ctx"]["expected"]).replace(" or ", ", ").split(", ")


def _unknown_field(fault: ErrorDetails, model: type[BaseModel]) -> Result:
    path = place(fault)
    known = _fields_at(model, path[:-1])
    name = str(path[-1])
    word = WORDS.get(name.lower(), name)
    hint = f' (did you mean "{word}"?)' if word in known else near(name, known)
    hint = hint or _elsewhere(model, word)
    return error(
        f"unknown field{hint}; allowed are {', '.join(known)}", path_text(path), current=name
    )


def _elsewhere(model: type[BaseModel], word: str) -> str:
    """Where a field of this name, or nearly, stands: the outermost; nothing for a common word."""
    paths = {path[-1].lower(): path_text(path) for path in sorted(_paths(model), key=len)[::-1]}
    known = paths if len(word) > COMMON else {}
    found = difflib.get_close_matches(word.lower(), known, n=1, cutoff=0.85)
    return f" (did you mean `{paths[found[0]]}`?)" if found else ""


def _paths(model: type[BaseModel], above: Path = ()) -> Iterator[tuple[str, ...]]:
    """Every field of a document but those of inline rows, outer ones first."""
    for name, field in model.model_fields.items():
        path = (*map(str, above), field.alias or name)
        yield path
        inner = _model_in(field.annotation)
        if inner and inner.__name__ not in BRANCHES:
            is_map = "dict" in str(field.annotation)
            yield from _paths(inner, (*path, "NAME") if is_map else path)


def _fields_at(model: type[BaseModel], path: Path) -> list[str]:
    """The field names allowed at a path."""
    return [f.alias or n for n, f in _model_at(model, path).model_fields.items()]


def _model_at(model: type[BaseModel], path: Path) -> type[BaseModel]:
    """The model at a path; walks aliases, maps and unions of models."""
    found = model
    for part in path:
        known = {(f.alias or n): f.annotation for n, f in found.model_fields.items()}
        found = _model_in(known.get(str(part))) or found
    return found


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    inner = (_model_in(arg) for arg in getattr(annotation, "__args__", ()))
    return next((model for model in inner if model), None)


def results(
    fault: ValidationError,
    model: type[BaseModel],
    written: Written = unknown_text,
    *,
    missing: bool = True,
) -> Iterator[Result]:
    """One Result per fault; the branches of a union (`gpu: text or row`) give one.

    Without `missing`, required fields that are absent are not faults: they were taken out.
    """
    for detail in _without_union_branches(fault.errors()):
        if detail["type"] == "missing" and not missing:
            continue
        if detail["type"] == "extra_forbidden":
            yield _unknown_field(detail, model)
            continue
        text = _message(detail, model, written)
        yield error(text, path_text(place(detail)), current=_plain(detail["input"]))


def _message(detail: ErrorDetails, model: type[BaseModel], written: Written) -> str:
    if detail["type"] == "literal_error":
        return _literal(detail)
    if detail["type"] == "string_type":
        return _text(detail, model, written)
    if detail["type"] in ("model_type", "model_attributes_type"):
        return _map(detail, model)
    known = MESSAGES.get(detail["type"])
    return known(detail, _given(detail, written)) if known else detail["msg"]


def _plain(value: Any) -> Any:
    return value if isinstance(value, str | int | float | bool) else None


def _without_union_branches(faults: list[ErrorDetails]) -> list[ErrorDetails]:
    """Of `gpu: text | row` keep the branch that the input looks like."""
    kept = []
    for fault in faults:
        branch = next((part for part in fault["loc"] if part in BRANCHES), None)
        if branch == "str" and isinstance(fault["input"], dict):
            continue
        if branch == "Gpu" and not isinstance(fault["input"], dict) and fault["loc"][-1] == "Gpu":
            continue
        kept.append(fault)
    return kept

"""pydantic's errors in our words: field path, what is allowed, what was given, what to do."""

import difflib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from krm_fn.api import v1alpha1
from krm_fn.errors import Result, error

Path = tuple[str | int, ...]


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
    """`spec.variants.vllm.extraArgs[2]`; keys with dots stand in brackets."""
    text = ""
    for part in path:
        plain = isinstance(part, str) and "." not in part
        text += f".{part}" if plain else f"[{part}]"
    return text.lstrip(".")


def _number_or_text(fault: ErrorDetails) -> str:
    given = fault["input"]
    if isinstance(given, bool) or not isinstance(given, int | float):
        return f"must be text; got {shown(given)}"
    return f'must be text; YAML read {given} as a number: put it in quotes, "{given}"'


def _whole_number(fault: ErrorDetails) -> str:
    given = fault["input"]
    quoted = isinstance(given, str) and given.strip().isdigit()
    hint = f": remove the quotes, {given}" if quoted else ""
    return f"must be a whole number; got {shown(given)}{hint}"


def _limit(word: str, key: str) -> Callable[[ErrorDetails], str]:
    return lambda fault: f"must be {word} {fault['ctx'][key]:g}; got {shown(fault['input'])}"


PATTERNS: Mapping[str, str] = {
    v1alpha1.KUBERNETES_NAME: "lower-case letters, digits, - and ., such as hf-token",
    v1alpha1.SERVICE_NAME: (
        "a name of at most 40 lower-case letters, digits and -, starting with a letter"
    ),
    v1alpha1.COMMIT: "a full commit of 40 hexadecimal digits (krm-fn resolve finds it)",
    v1alpha1.URI: '"hub", pvc://claim/path, s3://..., oci://... or /path',
    v1alpha1.DIGEST: "sha256: and 64 hexadecimal digits",
    v1alpha1.HTTP: "an address such as http://prometheus.monitoring.svc:9090",
    v1alpha1.DRIVER: 'a driver version in quotes, such as "580"',
}
MESSAGES: Mapping[str, Callable[[ErrorDetails], str]] = {
    "missing": lambda _: "is required",
    "string_type": _number_or_text,
    "int_type": _whole_number,
    "int_from_float": _whole_number,
    "float_type": lambda f: f"must be a number; got {shown(f['input'])}",
    "bool_type": lambda f: f"must be true or false, without quotes; got {shown(f['input'])}",
    "dict_type": lambda f: f"must be a map; got {shown(f['input'])}",
    "tuple_type": lambda f: f"must be a list; got {shown(f['input'])}",
    "model_type": lambda f: f"must be a map; got {shown(f['input'])}",
    "model_attributes_type": lambda f: f"must be a map; got {shown(f['input'])}",
    "greater_than": _limit("greater than", "gt"),
    "greater_than_equal": _limit("at least", "ge"),
    "less_than": _limit("less than", "lt"),
    "less_than_equal": _limit("at most", "le"),
    "string_pattern_mismatch": lambda f: (
        f"must be {PATTERNS.get(f['ctx']['pattern'], f['ctx']['pattern'])}; got {shown(f['input'])}"
    ),
    "string_too_long": lambda f: (
        f"must have at most {f['ctx']['max_length']} characters; got {len(f['input'])}"
    ),
    "string_too_short": lambda _: "must not be empty",
    "value_error": lambda f: str(f["ctx"]["error"]),
}


def _literal(fault: ErrorDetails) -> str:
    allowed = [part.strip().strip("'") for part in _expected(fault)]
    hint = near(fault["input"], allowed) if isinstance(fault["input"], str) else ""
    many = "must be one of " if len(allowed) > 1 else "must be "
    return f"{many}{one_of(allowed)}; got {shown(fault['input'])}{hint}"


def _expected(fault: ErrorDetails) -> list[str]:
    return str(fault["ctx"]["expected"]).replace(" or ", ", ").split(", ")


def _unknown_field(fault: ErrorDetails, model: type[BaseModel]) -> Result:
    known = _fields_at(model, fault["loc"][:-1])
    name = str(fault["loc"][-1])
    hint = near(name, known)
    return error(
        f"unknown field{hint}; allowed are {', '.join(known)}",
        path_text(fault["loc"]),
        current=name,
    )


def _fields_at(model: type[BaseModel], path: Path) -> list[str]:
    """The field names allowed at a path; walks aliases, maps and unions of models."""
    found = model
    for part in path:
        fields = {(f.alias or n): f.annotation for n, f in found.model_fields.items()}
        found = _model_in(fields.get(str(part))) or found
    return [f.alias or n for n, f in found.model_fields.items()]


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    inner = (_model_in(arg) for arg in getattr(annotation, "__args__", ()))
    return next((model for model in inner if model), None)


def results(
    fault: ValidationError, model: type[BaseModel], *, missing: bool = True
) -> Iterator[Result]:
    """One Result per fault; the branches of a union (`gpu: text or row`) give one.

    Without `missing`, required fields that are absent are not faults: they were taken out.
    """
    for detail in _without_union_branches(fault.errors()):
        if detail["type"] == "missing" and not missing:
            continue
        path = tuple(part for part in detail["loc"] if part not in ("str", "Gpu"))
        detail["loc"] = path
        if detail["type"] == "extra_forbidden":
            yield _unknown_field(detail, model)
            continue
        own = "field" in detail.get("ctx", {})
        where = (*path, detail["ctx"]["field"]) if own else path
        yield error(_message(detail), path_text(where), current=_plain(detail["input"]))


def _message(detail: ErrorDetails) -> str:
    if detail["type"] == "literal_error":
        return _literal(detail)
    known = MESSAGES.get(detail["type"])
    return known(detail) if known else detail["msg"]


def _plain(value: Any) -> Any:
    return value if isinstance(value, str | int | float | bool) else None


def _without_union_branches(faults: list[ErrorDetails]) -> list[ErrorDetails]:
    """Of `gpu: text | row` keep the branch that the input looks like."""
    kept = []
    for fault in faults:
        branch = next((part for part in fault["loc"] if part in ("str", "Gpu")), None)
        if branch == "str" and isinstance(fault["input"], dict):
            continue
        if branch == "Gpu" and not isinstance(fault["input"], dict) and fault["loc"][-1] == "Gpu":
            continue
        kept.append(fault)
    return kept

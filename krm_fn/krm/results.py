"""Results on the wire, and the lines of stderr for those who never see the wire.

kpt shows severity, resource, field and message; kustomize drops all Results, so there every error
and warning must stand on stderr.
"""

import json
from collections.abc import Iterable, Sequence
from typing import Any

from krm_fn.errors import Result

_FEW = 5  # names in one message


def wire(result: Result) -> dict[str, Any]:
    """One entry of `results`: one line of message, severity always stated, values as strings."""
    field = {
        "path": result.field_path,
        "currentValue": _text(result.current),
        "proposedValue": _text(result.proposed),
    }
    entry = {
        "message": " ".join(result.message.split()),
        "severity": result.severity,
        "resourceRef": _stated(result.resource or {}),
        "field": _stated(field),
        "file": _stated(result.file or {}),
        "tags": {key: str(value) for key, value in result.tags.items()},
    }
    return {key: value for key, value in entry.items() if value}


def has_errors(results: Iterable[Result]) -> bool:
    return any(result.severity == "error" for result in results)


def stderr_lines(results: Iterable[Result], *, warnings: bool) -> tuple[str, ...]:
    """Errors always; warnings where the orchestrator shows no Results (kustomize)."""
    wanted = ("error", "warning") if warnings else ("error",)
    return tuple(_line(result) for result in results if result.severity in wanted)


def few(names: Sequence[str]) -> str:
    """The first names of a list that may be long."""
    more = f" and {len(names) - _FEW} more" if len(names) > _FEW else ""
    return ", ".join(names[:_FEW]) + more


def _line(result: Result) -> str:
    path = (result.file or {}).get("path")
    return f"{result.line} ({path})" if path and path not in result.message else result.line


def _stated(fields: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in fields.items() if value is not None}


def _text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False, default=str)

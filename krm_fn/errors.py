"""Faults are values: every one carries where it is, what is allowed, what was given, what to do.

This room is below all others. It formats one line per fault and nothing else.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Literal

Severity = Literal["error", "warning", "info"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Result:
    """One finding about the input or the output, as `results` of a ResourceList has it.

    `field_path` is dotted (`spec.gpuPool.gpu`). `current` is what was given, `proposed` what would
    work. `resource` refers to an object (`apiVersion`, `kind`, `name`, `namespace`); `file` to
    `path` and `index` in the package.
    """

    severity: Severity
    message: str
    field_path: str | None = None
    current: Any = None
    proposed: Any = None
    resource: dict[str, str] | None = None
    file: dict[str, Any] | None = None
    tags: dict[str, str] = field(default_factory=dict)

    @property
    def line(self) -> str:
        """`error LLMService/qwen3-8b spec.gpuPool.gpu: must be ...`, always one line."""
        kind, name = (self.resource or {}).get("kind"), (self.resource or {}).get("name")
        subject = "/".join(filter(None, (kind, name)))
        where = " ".join(filter(None, (subject, self.field_path)))
        text = " ".join(self.message.split())
        return f"{self.severity}: {where}: {text}" if where else f"{self.severity}: {text}"


class KrmFnError(Exception):
    """Something the user can mend; carries all Results of one run."""

    def __init__(self, results: Iterable[Result]) -> None:
        self.results = tuple(results)
        super().__init__("\n".join(result.line for result in self.results))


class ConfigError(KrmFnError):
    """The input cannot be understood: unknown keys, wrong types, names that do not exist."""


class PlanError(KrmFnError):
    """The input is understood and cannot work, for example because the model does not fit."""


def error(message: str, field_path: str | None = None, **more: Any) -> Result:
    return Result(severity="error", message=message, field_path=field_path, **more)


def warning(message: str, field_path: str | None = None, **more: Any) -> Result:
    return Result(severity="warning", message=message, field_path=field_path, **more)


def info(message: str, field_path: str | None = None, **more: Any) -> Result:
    return Result(severity="info", message=message, field_path=field_path, **more)


def has_errors(results: Iterable[Result]) -> bool:
    return any(result.severity == "error" for result in results)

"""A fact that may be missing, and what is to be said about it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from krm_fn.api.faults import near, one_of
from krm_fn.errors import Result, error
from krm_fn.function.intake import Intake, Key


@dataclass(frozen=True, kw_only=True)
class Found:
    """A fact if there is one, and what is to be said about it."""

    value: Any = None
    results: tuple[Result, ...] = ()


def no_such(kind: str, name: str, known: Mapping[Key, Any], field: str, given: Intake) -> Result:
    path = f"spec.{field}"
    if given.alone:
        inline = "gpuPool" if kind == "GPUPool" else "model.config"
        return error(
            f'refers to {kind} "{name}", but a kustomize generator sees only its own config: state '
            f"`spec.{inline}` inline, or patch it in with a Component over a directory in "
            "`generators:`, or run the function under `transformers:`, where it sees all resources",
            path,
            current=name,
        )
    names = list(dict.fromkeys(key[1] for key in known))
    have = f"; there are {one_of(names)}" if names else "; there is none"
    way = "; `krm-fn resolve MODEL` writes one" if kind == "ModelCard" else ""
    message = f'no {kind} "{name}" in the package{have}{near(name, names)}{way}'
    return error(message, path, current=name)

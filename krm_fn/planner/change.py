"""One change of a service that may make it work, and what came of it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from krm_fn.planner.plan import Plan

Changed = Mapping[str, Any]
"""Dotted paths below `spec` to values."""


@dataclass(frozen=True, slots=True)
class Change:
    """A change of the functionConfig, to be tried."""

    paths: Changed
    because: str


@dataclass(frozen=True, slots=True)
class Trial:
    """A change that works, perhaps with what it brings with it, and its plans."""

    paths: Changed
    plans: tuple[Plan, ...]


Try = Callable[[Changed], Trial | None]
"""Reads, asks and plans the service with a change in it; None where that does not work."""

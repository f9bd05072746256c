"""One change of a service that may make it work."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from krm_fn.planner.plan import Question


@dataclass(frozen=True, slots=True)
class Change:
    """A change of the functionConfig and of the question that it means."""

    paths: dict[str, Any]
    apply: Callable[[Question], Question]
    because: str

"""One number of the memory plan with its formula, range and source, as `explain` prints it."""

from dataclasses import dataclass
from typing import Literal

from krm_fn.units import MIB, gib

Unit = Literal["bytes", "blocks", "tokens", "requests"]


@dataclass(frozen=True, kw_only=True, slots=True)
class MemoryTerm:
    """One term: `field` as in the plan's JSON, after a dot the part of it; `formula` with its
    numbers; the range that its calibration leaves; where it stands.
    """

    field: str
    amount: float
    formula: str
    source: str = ""
    spread: int = 0
    unit: Unit = "bytes"

    @property
    def low(self) -> float:
        return max(0, self.amount - self.spread) if self.amount >= 0 else self.amount - self.spread

    @property
    def high(self) -> float:
        return self.amount + self.spread

    @property
    def text(self) -> str:
        """The amount for a person."""
        if self.unit == "bytes":
            return gib(self.amount) if abs(self.amount) >= 10 * MIB else f"{count(self.amount)} B"
        return f"{self.amount:,.10g} {self.unit}"


def count(number: float) -> str:
    """Whole numbers in groups of three, so that a formula can be checked by hand."""
    return f"{number:,.0f}" if number == int(number) else f"{number:,g}"


def logs(number: int) -> str:
    """How many measurements stand behind a figure."""
    return {0: "no log", 1: "1 log"}.get(number, f"{number} logs")

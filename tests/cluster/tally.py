"""What a run did with the cluster, counted where it happens, for the table at its end."""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

COUNTS: Counter[str] = Counter()
SECONDS: Counter[str] = Counter()
"""Of each file of tests, set-up and clean-up included."""
ROWS = (
    "objects applied",
    "applies rejected",
    "nodes simulated",
    "pods found on the nodes of their pool",
    "pods found elsewhere",
    "requests served",
    "requests lost",
    "failures injected",
    "failures recovered from",
)


def applied(done: int, *, rejected: bool) -> None:
    COUNTS["objects applied"] += done
    COUNTS["applies rejected"] += rejected


def placed(found: Mapping[str, int], pools: Mapping[str, Any] | set[str]) -> None:
    """Pods by the pool of their node, and the pools on which they belong."""
    right = sum(count for name, count in found.items() if name in pools)
    COUNTS["pods found on the nodes of their pool"] += right
    COUNTS["pods found elsewhere"] += sum(found.values()) - right


def answered(found: Any) -> None:
    """What client.py said of a load or of one answer."""
    if not isinstance(found, dict):
        return
    one = int("body" in found or found.get("done") is True)
    COUNTS["requests served"] += found.get("served", one)
    COUNTS["requests lost"] += found.get("lost", 0)


def table() -> Iterator[str]:
    """Nothing where no test reached a cluster."""
    if not COUNTS:
        return
    for row in ROWS:
        yield f"{COUNTS[row]:>9,}  {row}"
    for name, seconds in SECONDS.items():
        yield f"{seconds:>7.0f} s  {name}"

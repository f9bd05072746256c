"""Calibrated constants of the speed model: one row per engine and range of versions.

Fitted once over all models of the measured rows, never per model. A constant multiplies one term
of `performance.py`; each docstring there has the formula. Source: performance-model.md 5.
"""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class SpeedConstants:
    """Constants of one engine for versions in [`since`, `until`).

    Factors on ideal times: `weights`, `cache`, `compute`, `exchange` (bytes of all-reduces),
    `interference` (prefill inside decode steps), `prefill`, `prefill_moe` (1/MFU of a prompt).
    Seconds: `layer`, `moe_layer` per layer and step; `all_reduce` each, 2 per layer, and
    `all_reduce_pcie` more without NVLink; `sequence` per running sequence; `step` per step;
    `prefill_layer` per layer and MoE layer of a prompt. `waiting` = share of the other users'
    prefills that a prompt waits for. `rows` = measured rows of the fit, `spread` = median
    |predicted / measured - 1| of (itl, ttft) for models that were left out of the fit.
    """

    engine: str
    since: tuple[int, ...] = ()
    until: tuple[int, ...] | None = None
    weights: float
    cache: float
    compute: float = 0.0
    layer: float
    moe_layer: float
    all_reduce: float
    all_reduce_pcie: float
    exchange: float
    sequence: float
    step: float = 0.0
    interference: float
    prefill: float
    prefill_moe: float
    prefill_layer: float
    waiting: float
    rows: int
    spread: tuple[float, float]
    source: str


_ALL = "performance-model.md 5, column 'rows here': vLLM and SGLang, closed loop"

CONSTANTS = (
    SpeedConstants(
        engine="vllm",
        until=(0, 8),
        weights=1.13,
        cache=1.14,
        layer=51e-6,
        moe_layer=50e-6,
        all_reduce=8.9e-6,
        all_reduce_pcie=1e-6,
        exchange=7.1,
        sequence=15e-6,
        step=2.4e-3,
        interference=0.90,
        prefill=1 / 0.35,
        prefill_moe=2 / 0.35,
        prefill_layer=0.76e-3,
        waiting=0.2,
        rows=1004,
        spread=(0.15, 0.35),
        source=_ALL,
    ),
    SpeedConstants(
        engine="vllm",
        since=(0, 8),
        weights=1.13,
        cache=1.14,
        layer=51e-6,
        moe_layer=50e-6,
        all_reduce=8.9e-6,
        all_reduce_pcie=1e-6,
        exchange=7.1,
        sequence=15e-6,
        interference=0.90,
        prefill=1 / 0.35,
        prefill_moe=2 / 0.35,
        prefill_layer=0.76e-3,
        waiting=0.2,
        rows=1004,
        spread=(0.15, 0.35),
        source=_ALL,
    ),
    SpeedConstants(
        engine="sglang",
        weights=1.13,
        cache=1.14,
        layer=51e-6,
        moe_layer=50e-6,
        all_reduce=8.9e-6,
        all_reduce_pcie=1e-6,
        exchange=7.1,
        sequence=15e-6,
        interference=0.90,
        prefill=1 / 0.35,
        prefill_moe=2 / 0.35,
        prefill_layer=0.76e-3 * 3.6,
        waiting=0.2,
        rows=1004,
        spread=(0.15, 0.48),
        source=_ALL,
    ),
)


def speed_constants(engine: str, version: str) -> tuple[SpeedConstants, bool]:
    """The row of an engine version, and whether it was fitted on that engine.

    An engine without rows gets the first engine's newest row: the physics is the same, the
    interval wider.
    """
    number = _numbers(version)
    own = [row for row in CONSTANTS if row.engine == engine]
    rows = own or [row for row in CONSTANTS if row.engine == CONSTANTS[0].engine]
    fitting = [r for r in rows if r.since <= number and (r.until is None or number < r.until)]
    if not number:  # a nightly build is newer than any row
        return rows[-1], bool(own)
    return (fitting or rows)[-1], bool(own)


def _numbers(version: str) -> tuple[int, ...]:
    """`0.19.1rc1` -> (0, 19, 1); digits of each part up to the first part without any."""
    numbers: list[int] = []
    for part in version.lstrip("v").split("."):
        digits = part[: len(part) - len(part.lstrip("0123456789"))]
        if not digits:
            break
        numbers.append(int(digits))
    return tuple(numbers)

"""Calibrated constants of the speed model: one row per engine and range of versions.

A constant multiplies one term of `performance.py`, whose docstrings have the formulas. The form is
that of performance-model.md 5. Fitted once over all models, never per model: non-negative least
squares on the relative error, reweighted towards its absolute value, model families weighted
1/sqrt(rows). That favours low figures, so the ttft terms are raised by 4 % (median predicted /
measured 0.92 -> 0.96). What describes GPU and model is shared by the engines; what describes a
scheduler is the engine's own.
"""

from dataclasses import dataclass, replace


@dataclass(frozen=True, kw_only=True, slots=True)
class SpeedConstants:
    """Constants of one engine for versions in [`since`, `until`).

    Factors on ideal times: `weights`, `cache` (1/share of the bandwidth), `exchange` (bytes of
    all-reduces), `interference` (other users' prefills inside decode steps), `prefill`,
    `prefill_moe` (1/MFU of a prompt), `waiting` (other users' prompts before one's own).
    Seconds per step: `layer`, `moe_layer`, `sparse_layer` (indexer of sparse attention; one family
    of models) per layer, `all_reduce` for each of two per layer, `all_reduce_pcie` more without
    NVLink, `sequence` per running sequence, `step`.
    Seconds per prompt: `prefill_layer`, `prefill_moe_layer`, `waiting_layer` per other user.
    `boards` = product labels of those with measured rows (perf-measured.csv). `rows` = measured
    rows of the fit, `spread` = median |predicted / measured - 1| of (itl, ttft) for model families
    left out of the fit.
    """

    engine: str
    since: tuple[int, ...] = ()
    until: tuple[int, ...] | None = None
    weights: float
    cache: float
    layer: float
    moe_layer: float
    sparse_layer: float
    all_reduce: float
    all_reduce_pcie: float
    exchange: float
    sequence: float
    step: float
    interference: float
    prefill: float
    prefill_moe: float
    prefill_layer: float
    prefill_moe_layer: float
    waiting: float
    waiting_layer: float
    boards: tuple[str, ...]
    rows: int
    spread: tuple[float, float]
    source: str


_SERVERS = (
    "NVIDIA-A100-SXM4-40GB",
    "NVIDIA-A100-SXM4-80GB",
    "NVIDIA-H100-80GB-HBM3",
    "NVIDIA-H200",
    "NVIDIA-B200",
    "NVIDIA-B300-SXM6-AC",
)
_CARDS = (
    "NVIDIA-A800-SXM4-80GB",
    "NVIDIA-A40",
    "NVIDIA-H20-3e",
    "NVIDIA-L4",
    "NVIDIA-GeForce-RTX-4090",
    "NVIDIA-GeForce-RTX-5090",
    "NVIDIA-RTX-6000-Ada-Generation",
    "NVIDIA-RTX-A6000",
    "Tesla-V100-PCIE-32GB",
    "Tesla-V100S-PCIE-32GB",
)
_VLLM = SpeedConstants(
    engine="vllm",
    since=(0, 8),
    weights=1.09,
    cache=1.0,
    layer=59e-6,
    moe_layer=47e-6,
    sparse_layer=99e-6,
    all_reduce=4.1e-6,
    all_reduce_pcie=10e-6,
    exchange=7.0,
    sequence=20e-6,
    step=0.0,
    interference=1.9,
    prefill=2.4,
    prefill_moe=9.3,
    prefill_layer=0.65e-3,
    prefill_moe_layer=0.2e-3,
    waiting=0.13,
    waiting_layer=23e-6,
    boards=(*_SERVERS, *_CARDS),
    rows=708,
    spread=(0.08, 0.23),
    source="perf-measured.csv: closed loop within the KV cache, NVIDIA, 8 model families",
)
CONSTANTS = (
    replace(_VLLM, since=(), until=(0, 8), step=2.8e-3),
    _VLLM,
    replace(
        _VLLM,
        engine="sglang",
        since=(),
        interference=0.79,
        prefill_layer=0.31e-3,
        prefill_moe_layer=3.3e-3,
        waiting=1.18,
        boards=_SERVERS,
        rows=351,
        spread=(0.28, 0.28),
    ),
)


def speed_constants(engine: str, version: str) -> tuple[SpeedConstants, bool]:
    """The row of an engine version, and whether it was fitted on that engine.

    An engine without rows gets those of the first: the physics is the same, the interval wider. A
    version without a number (a nightly build) is newer than any row.
    """
    number = _numbers(version)
    own = [row for row in CONSTANTS if row.engine == engine]
    rows = own or [row for row in CONSTANTS if row.engine == CONSTANTS[0].engine]
    fitting = [r for r in rows if r.since <= number and (r.until is None or number < r.until)]
    return (fitting if fitting and number else rows)[-1], bool(own)


def _numbers(version: str) -> tuple[int, ...]:
    """`v0.19.1rc1` -> (0, 19, 1); digits of each part up to the first part without any."""
    numbers: list[int] = []
    for part in version.lstrip("v").split("."):
        digits = part[: len(part) - len(part.lstrip("0123456789"))]
        if not digits:
            break
        numbers.append(int(digits))
    return tuple(numbers)

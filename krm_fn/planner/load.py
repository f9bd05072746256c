"""How much one replica carries, how many replicas a load needs, and what a mock should imitate."""

from dataclasses import dataclass
from math import ceil
from typing import Literal

from krm_fn.planner.performance import estimate_at
from krm_fn.planner.plan import (
    Estimate,
    MemoryBudget,
    Parallelism,
    Question,
    Serving,
    Workload,
)
from krm_fn.planner.speed import Speed, speed
from krm_fn.units import milliseconds

Limit = Literal["ttft", "itl", "kv", "max_num_seqs"]

UTILISATION = 0.75
"""Planned share of a replica's rate: 0.7 to 0.8 leaves room for bursts (performance-model.md 5)."""

PERCENTILE_FACTORS = {  # (ttft, itl): percentile / mean below saturation
    "mean": (1.0, 1.0),
    "p50": (0.91, 0.99),
    "p90": (1.59, 1.20),
    "p95": (1.86, 1.26),
    "p99": (2.5, 1.4),
}
"""Log-normal with the measured p99/mean of 2.5 (TTFT) and 1.4 (ITL), performance-model.md 6:
sigma 0.434 and 0.149, percentile/mean = exp(z sigma - sigma^2/2)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Load:
    """The most that one replica carries within the objectives.

    `concurrency` = C*, 0 when even one request misses an objective; then `unmet` says which, with
    the numbers, and `estimate` is that of one request. `limit` = what ends it.
    """

    concurrency: int
    requests_per_second: float
    estimate: Estimate
    limit: Limit
    unmet: str | None = None

    @property
    def meets_objectives(self) -> bool:
        return self.unmet is None


@dataclass(frozen=True, kw_only=True, slots=True)
class MockLatencies:
    """What llm-d-inference-sim is told: plain seconds.

    A prompt takes `prefill_overhead_seconds` + tokens x `prefill_seconds_per_token`, a token
    `itl_seconds` when alone; at `max_num_seqs` requests all are `time_factor_under_load` times
    longer.
    """

    prefill_overhead_seconds: float
    prefill_seconds_per_token: float
    itl_seconds: float
    time_factor_under_load: float


def replica_load(
    question: Question, parallelism: Parallelism, serving: Serving, memory: MemoryBudget
) -> Load:
    """The largest concurrency that meets the objectives within KV cache and max_num_seqs.

    TTFT and ITL only grow with the concurrency, so C* is found by bisection.
    """
    s = speed(question, parallelism, serving, memory)
    alone = estimate_at(s, 1)
    missed = _missed(s.workload, alone)
    if missed:
        text = _unmet(s, alone, missed)
        return Load(concurrency=0, requests_per_second=0, estimate=alone, limit=missed, unmet=text)
    most, limit = _largest(s)
    best = estimate_at(s, most)
    return Load(
        concurrency=most,
        requests_per_second=best.requests_per_second_per_replica,
        estimate=best,
        limit=limit,
    )


def replicas_for(workload: Workload, load: Load) -> int:
    """ceil(rate / (u X(C*))) or ceil(concurrency / C*); 1 without a stated load.

    A load whose objectives cannot be met counts as one request per replica.
    """
    if workload.requests_per_second:
        rate = load.requests_per_second or load.estimate.requests_per_second_per_replica
        return max(1, ceil(workload.requests_per_second / (UTILISATION * rate) - 1e-9))
    if workload.concurrency:
        return max(1, ceil(workload.concurrency / max(1, load.concurrency)))
    return 1


def mock_latencies(
    question: Question, parallelism: Parallelism, serving: Serving, memory: MemoryBudget
) -> MockLatencies:
    """Latencies of the planned engine for a mock; the factor is ITL at capacity over ITL alone."""
    s = speed(question, parallelism, serving, memory)
    alone, full = estimate_at(s, 1), estimate_at(s, s.safe)
    prompt = alone.prefill_seconds_per_token * s.new_tokens
    grown = full.itl_seconds / alone.itl_seconds if alone.itl_seconds else 1.0
    return MockLatencies(
        prefill_overhead_seconds=max(0.0, alone.ttft_seconds - prompt),
        prefill_seconds_per_token=alone.prefill_seconds_per_token,
        itl_seconds=alone.itl_seconds,
        time_factor_under_load=max(1.0, grown),
    )


def objective_values(workload: Workload, at: Estimate) -> tuple[float, float]:
    """(TTFT, ITL) at the percentile of the objectives."""
    ttft, itl = PERCENTILE_FACTORS[workload.percentile]
    return at.ttft_seconds * ttft, at.itl_seconds * itl


def _missed(workload: Workload, at: Estimate) -> Literal["ttft", "itl"] | None:
    ttft, itl = objective_values(workload, at)
    if workload.ttft_seconds is not None and ttft > workload.ttft_seconds:
        return "ttft"
    if workload.itl_seconds is not None and itl > workload.itl_seconds:
        return "itl"
    return None


def _largest(s: Speed) -> tuple[int, Limit]:
    """The largest concurrency within the objectives, and what the next one would miss."""
    missed = _missed(s.workload, estimate_at(s, s.safe))
    if missed is None:
        return s.safe, "kv" if s.capacity_bound == "kv" else "max_num_seqs"
    low, high = 1, s.safe
    while high - low > 1:
        middle = (low + high) // 2
        now = _missed(s.workload, estimate_at(s, middle))
        if now is None:
            low = middle
        else:
            high, missed = middle, now
    return low, missed


def _unmet(s: Speed, alone: Estimate, missed: Literal["ttft", "itl"]) -> str:
    """Which objective one request alone misses, by how much, and whether any engine could."""
    ttft, itl = objective_values(s.workload, alone)
    value, wanted = (
        (ttft, s.workload.ttft_seconds) if missed == "ttft" else (itl, s.workload.itl_seconds)
    )
    text = (
        f"one request alone needs {milliseconds(value)} ({missed}, {s.workload.percentile}) on "
        f"{s.layout}, the objective is {milliseconds(wanted or 0)}"
    )
    if missed == "itl":
        text += f"; the memory and compute bound is {milliseconds(alone.itl_floor_seconds)}"
    return text

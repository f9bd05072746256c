"""What one replica carries within the objectives, and how many replicas a load needs."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from speed_cases import LLAMA_3_8B, LLAMA_70B_FP8, TP, memory, question, serving

from krm_fn.planner.load import (
    PERCENTILE_FACTORS,
    UTILISATION,
    mock_latencies,
    objective_values,
    replica_load,
    replicas_for,
)
from krm_fn.planner.performance import estimate


def load(q, layout=TP[1], seats=256):
    return replica_load(q, layout, serving(seats), memory())


def test_without_objectives_memory_or_the_batch_limit_ends_the_load():
    """327,680 tokens / 1280 = 256 requests."""
    full = load(question(), seats=1024)
    assert (full.concurrency, full.limit) == (256, "kv")
    seats = load(question(), seats=64)
    assert (seats.concurrency, seats.limit) == (64, "max_num_seqs")


@pytest.mark.parametrize("percentile", sorted(PERCENTILE_FACTORS))
def test_one_more_user_than_c_star_misses_the_objective(percentile):
    q = question(LLAMA_70B_FP8, itl_seconds=0.02, percentile=percentile)
    found = load(q, TP[4])
    assert found.limit == "itl"
    inside, outside = (
        estimate(q, TP[4], serving(), memory(), n)
        for n in (found.concurrency, found.concurrency + 1)
    )
    assert (
        objective_values(q.workload, inside)[1] <= 0.02 < objective_values(q.workload, outside)[1]
    )
    assert found.requests_per_second == inside.requests_per_second_per_replica


def test_a_stricter_percentile_carries_less():
    counts = [
        load(question(ttft_seconds=0.5, percentile=p)).concurrency
        for p in ("mean", "p90", "p95", "p99")
    ]
    assert counts == sorted(counts, reverse=True)
    assert counts[0] > counts[-1]


def test_an_objective_that_one_request_misses_is_named_with_its_numbers():
    found = load(question(LLAMA_70B_FP8, itl_seconds=0.005), TP[2])
    assert found.concurrency == 0
    assert not found.meets_objectives
    assert found.limit == "itl"
    assert "the objective is 5 ms" in found.unmet
    assert "TP 2" in found.unmet
    assert "bound is 10.6 ms" in found.unmet  # (68.5 + 2.1 GB) / 2 / 3.35 TB/s and KV
    slow = load(question(LLAMA_70B_FP8, ttft_seconds=0.1, input_tokens=16000), TP[2])
    assert slow.limit == "ttft"
    assert "100 ms" in slow.unmet


def test_replicas_for_a_rate_leave_a_quarter_free():
    found = load(question(), seats=64)
    rate = found.requests_per_second
    assert UTILISATION == 0.75
    for wanted, replicas in ((0.1, 1), (0.75, 1), (0.76, 2), (7.5, 10)):
        q = question(requests_per_second=wanted * rate)
        assert replicas_for(q.workload, found) == replicas


def test_replicas_for_a_concurrency():
    found = load(question(), seats=64)
    assert replicas_for(question(concurrency=64).workload, found) == 1
    assert replicas_for(question(concurrency=65).workload, found) == 2
    assert replicas_for(question().workload, found) == 1


def test_replicas_where_objectives_cannot_be_met_count_one_request_each():
    found = load(question(itl_seconds=1e-4))
    assert replicas_for(question(concurrency=3).workload, found) == 3
    assert replicas_for(question(requests_per_second=1.0).workload, found) > 1


@given(st.floats(0.02, 5), st.floats(0.005, 0.2), st.integers(16, 8000))
def test_c_star_meets_every_objective(ttft, itl, inputs):
    q = question(LLAMA_3_8B, ttft_seconds=ttft, itl_seconds=itl, input_tokens=inputs)
    found = load(q)
    if found.meets_objectives:
        assert found.estimate.ttft_seconds <= ttft
        assert found.estimate.itl_seconds <= itl
    else:
        assert found.concurrency == 0


@given(st.floats(0.1, 500), st.integers(16, 4000))
def test_the_planned_replicas_carry_the_rate(rate, inputs):
    q = question(requests_per_second=rate, input_tokens=inputs)
    found = load(q)
    replicas = replicas_for(q.workload, found)
    assert replicas * UTILISATION * found.requests_per_second >= rate * (1 - 1e-6)


def test_a_mock_takes_as_long_as_the_engine():
    q = question(input_tokens=2000)
    mock = mock_latencies(q, TP[1], serving(64), memory())
    alone, full = (estimate(q, TP[1], serving(64), memory(), n) for n in (1, 64))
    prefill = mock.prefill_overhead_seconds + 2000 * mock.prefill_seconds_per_token
    assert prefill == pytest.approx(alone.ttft_seconds)
    assert mock.itl_seconds == alone.itl_seconds
    assert mock.itl_seconds * mock.time_factor_under_load == pytest.approx(full.itl_seconds)


def test_a_mock_of_an_embedding_model_decodes_nothing():
    q = question(replace(LLAMA_3_8B, task="embed"))
    mock = mock_latencies(q, TP[1], serving(), memory())
    assert mock.itl_seconds == 0
    assert mock.time_factor_under_load == 1

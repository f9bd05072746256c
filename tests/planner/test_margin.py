"""A margin smaller than the uncertainty is left where nothing is pinned, and said where it is."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from memory_cases import GEMMA_3_12B, LLAMA_3_8B, QWEN3_30B, QWEN35_27B, question, tp

from krm_fn.planner import memory
from krm_fn.planner.capacity import plan
from krm_fn.planner.margin import margin_results
from krm_fn.planner.plan import Stated, Workload
from krm_fn.planner.serving import fitted, least_context
from krm_fn.units import GIB

CONFIGS = (LLAMA_3_8B, GEMMA_3_12B, QWEN3_30B, QWEN35_27B)
VERSIONS = {"vllm": "0.33.0", "sglang": "0.5.23"}


def asked(config, engine, gib, tokens=1280, **stated):
    found = question(config, engine, VERSIONS[engine], memory_gib=gib)
    load = Workload(input_tokens=tokens - 256, output_tokens=256)
    return replace(found, workload=load, stated=Stated(**stated))


cases = st.builds(
    asked, st.sampled_from(CONFIGS), st.sampled_from(list(VERSIONS)), st.floats(16, 90)
)


@given(cases, st.sampled_from([1, 2, 4]))
@settings(deadline=None, max_examples=60)
def test_unpinned_settings_leave_the_margin_or_nothing_smaller_does(found, size):
    """Tight only if the least context, prefill and batch would be tight as well."""
    fit = fitted(found, tp(size))
    if not fit.memory.tight:
        return
    least = replace(
        fit.serving,
        max_model_len=least_context(found),
        max_num_seqs=min(8, fit.serving.max_num_seqs),
        max_num_batched_tokens=min(2048, fit.serving.max_num_batched_tokens),
    )
    smallest = memory.memory_budget(found, tp(size), least)

    assert smallest.margin_bytes < smallest.uncertainty_bytes


@given(cases)
@settings(deadline=None, max_examples=40)
def test_the_context_is_never_below_four_requests_for_the_margin(found):
    serving = fitted(found, tp(1)).serving

    assert serving.max_model_len >= least_context(found)
    assert serving.max_num_seqs >= 1


@given(cases, st.integers(1, 200))
@settings(deadline=None, max_examples=40)
def test_stated_values_stay(found, seats):
    pinned = replace(found, stated=Stated(max_model_len=6000, max_num_seqs=seats))
    serving = fitted(pinned, tp(1)).serving

    assert (serving.max_model_len, serving.max_num_seqs) == (6000, seats)


def test_a_smaller_setting_says_why():
    """Two requests of 2048 tokens would fit, and leave less than is uncertain."""
    fit = fitted(asked(QWEN3_30B, "sglang", 67.75, tokens=300), tp(1))
    said = [r.field for r in fit.reasons if "can be off" in r.because]

    assert said == ["serving.maxModelLen"]
    assert fit.serving.max_model_len < 2048
    assert not fit.memory.tight


@pytest.mark.parametrize(
    ("stated", "field"),
    [
        ({"tensor": 1, "pipeline": 1}, "spec.serving.tensorParallelSize"),
        ({"tensor": 1, "pipeline": 1, "max_model_len": 8192}, "spec.serving.maxModelLen"),
        ({"tensor": 1, "pipeline": 1, "memory_fraction": 0.92}, "spec.serving.memoryFraction"),
    ],
)
def test_a_tight_plan_is_warned_of_with_its_field(stated, field):
    """The smallest GPU that still takes Llama 3 8B: it fits by less than the plan is known."""
    plans = ((q, plan(q)) for q in (asked(LLAMA_3_8B, "vllm", 17 + x / 32, **stated)
                                    for x in range(160)))  # fmt: skip
    tight, found = next((q, p) for q, p in plans if p.feasible)
    (said,) = margin_results(tight, found)

    assert found.memory.margin_bytes < found.memory.uncertainty_bytes < GIB
    assert (said.severity, said.field_path) == ("warning", field)


def test_a_layout_with_a_margin_is_preferred():
    """Where one GPU would be tight, two are taken."""
    sizes = [17 + x / 32 for x in range(160)]
    one = next(
        gib for gib in sizes if plan(asked(LLAMA_3_8B, "vllm", gib, tensor=1, pipeline=1)).feasible
    )
    free = plan(asked(LLAMA_3_8B, "vllm", one))

    assert free.parallelism.tensor == 2
    assert not free.memory.tight

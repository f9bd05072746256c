"""The memory budget against published logs, its laws, and what must not fit."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from memory_cases import (
    DEEPSEEK_R1,
    DEEPSEEK_V2_LITE,
    ENGINES,
    GEMMA_3_12B,
    GEMMA_7B,
    GPT_OSS_20B,
    LLAMA_3_8B,
    LLAMA_3_70B,
    LLAMA_405B,
    MIXTRAL_8X7B,
    PHI_4,
    QWEN3_8B,
    QWEN3_30B,
    QWEN3_32B,
    QWEN25_3B,
    QWEN25_7B,
    QWEN35_27B,
    question,
    serving,
    tp,
)

from krm_fn.catalog.gpus import gpu
from krm_fn.planner import memory
from krm_fn.planner.limits import batch_limits
from krm_fn.planner.memory_pool import held
from krm_fn.planner.memory_terms import memory_terms
from krm_fn.units import GIB

H100 = 79.19
VERSIONS = ("0.5.4", "0.8.5", "0.11.0", "0.19.0", "0.24.0", "0.28.0", "0.33.0")


def budget(config, layout=None, length=8192, version="0.19.0", engine="vllm", **more):
    asked = question(config, engine, version, memory_gib=H100)
    return memory.memory_budget(asked, layout or tp(1), serving(length, **more))


@pytest.mark.parametrize(
    ("config", "layout", "weights", "activation", "non_torch"),
    [
        (LLAMA_3_8B, tp(1), 14.99, 1.89, 0.25),
        (LLAMA_3_8B, tp(2), 7.51, 1.89, 2.07),
        (LLAMA_3_8B, tp(4), 3.77, 1.89, 2.13),
        (QWEN25_7B, tp(1), 14.25, 2.21, 0.24),
        (QWEN25_7B, tp(2), 7.12, 2.21, 2.06),
        (QWEN3_8B, tp(1), 15.27, 2.21, 0.25),
        (GEMMA_7B, tp(1), 15.91, 3.63, 0.25),
        (QWEN3_30B, tp(1), 56.88, 2.68, 0.27),
    ],
)
def test_terms_of_0_19_on_h100(config, layout, weights, activation, non_torch):
    """llm-d-planner's accuracy report for vLLM 0.19.0, H100, 0.95, GiB per GPU."""
    found = budget(config, layout)

    assert found.weights_bytes / GIB == pytest.approx(weights, abs=0.04)
    assert found.activation_bytes / GIB == pytest.approx(activation, abs=0.02)
    assert found.non_torch_bytes / GIB == pytest.approx(non_torch, abs=0.06)


@pytest.mark.parametrize(
    ("config", "more", "kv", "tokens"),
    [
        (LLAMA_3_8B, {}, 58.11, 476_016),
        (LLAMA_3_8B, {"length": 32_768}, 58.11, 476_016),
        (LLAMA_3_8B, {"kv_cache_dtype": "fp8"}, 58.11, 952_032),
        (QWEN25_7B, {}, 58.53, 1_096_000),
        (QWEN25_7B, {"kv_cache_dtype": "fp8"}, 58.53, 2_192_000),
        (GEMMA_7B, {}, 55.44, 129_760),
        (QWEN3_30B, {}, 15.41, 168_288),
    ],
)
def test_kv_cache_of_0_19_on_h100(config, more, kv, tokens):
    found = budget(config, **more)

    assert found.kv_cache_bytes / GIB == pytest.approx(kv, abs=0.03)
    assert found.kv_cache_tokens == pytest.approx(tokens, rel=2e-3)


@pytest.mark.parametrize(
    ("config", "layout", "length", "kv"),
    [
        (LLAMA_3_8B, tp(1), 16000, 51.38),
        (QWEN3_32B, tp(1), 16000, 4.45),
        (QWEN3_32B, tp(2), 16000, 34.49),
    ],
)
def test_kv_cache_of_0_11_on_h100(config, layout, length, kv):
    """llm-d-planner's empirical results: H100 of 79.18 GiB, fraction 0.9."""
    asked = question(config, version="0.11.0", memory_gib=79.18)
    found = memory.memory_budget(asked, layout, serving(length, fraction=0.9))

    assert found.kv_cache_bytes / GIB == pytest.approx(kv, abs=0.08)


@pytest.mark.parametrize(
    ("config", "layout", "expected"),
    [(MIXTRAL_8X7B, tp(2), 1.21), (DEEPSEEK_V2_LITE, tp(1), 1.93), (PHI_4, tp(1), 1.52)],
)
def test_activations_of_0_19_by_architecture(config, layout, expected):
    """The same report; experts keep the buffers of their kernel."""
    assert budget(config, layout).activation_bytes / GIB == pytest.approx(expected, abs=0.03)


def test_stages_of_a_pipeline_have_no_sampler_but_the_last():
    """1.05 to 1.10 GiB of activations on the first stages of Llama 8B, 0.07 GiB outside PyTorch."""
    asked = question(LLAMA_3_8B, memory_gib=H100)
    terms = held(asked, tp(1, pipeline=4), serving()).terms

    assert pytest.approx([x.activation / GIB for x in terms], abs=0.06) == [1.05, 1.05, 1.05, 1.89]
    assert pytest.approx([x.weights / GIB for x in terms], abs=0.03) == [4.26, 3.28, 3.28, 4.26]
    assert terms[0].non_torch / GIB == pytest.approx(0.07, abs=0.01)


def test_the_rank_with_the_smallest_pool_is_shown():
    asked = question(LLAMA_3_8B, memory_gib=H100)
    layout = tp(1, pipeline=4)
    pools = held(asked, layout, serving()).pools(8192)
    found = memory.memory_budget(asked, layout, serving())

    assert found.kv_cache_blocks == min(pool.blocks for pool in pools)


@pytest.mark.parametrize("version", VERSIONS)
def test_the_budget_adds_up(version):
    """What is left of the budget beside the cache are the graphs that newer versions subtract."""
    found = budget(QWEN3_30B, version=version)
    spent = found.weights_bytes + found.activation_bytes + found.non_torch_bytes
    rest = found.budget_bytes - spent - found.kv_cache_bytes
    charged = version in ("0.24.0", "0.28.0", "0.33.0")

    assert rest == (int(found.cuda_graph_bytes * 0.9) if charged else 0)


def test_activations_before_0_17_sort_in_the_sampler():
    """vllm-0208: 5.56 GiB for a vocabulary of 151,936 and 1024 sequences."""
    found = budget(QWEN3_8B, version="0.11.0")

    assert found.activation_bytes / GIB == pytest.approx(5.6, abs=0.1)


@pytest.mark.parametrize(
    ("version", "board", "expected"),
    [
        ("0.6.6", "h100", (None, 256)),
        ("0.8.5", "h100", (8192, 1024)),
        ("0.8.5", "NVIDIA-A100-SXM4-80GB", (8192, 1024)),
        ("0.11.0", "NVIDIA-A100-SXM4-80GB", (2048, 256)),
        ("0.19.0", "NVIDIA-L40S", (2048, 256)),
        ("0.24.0", "NVIDIA-B200", (8192, 1024)),
        ("0.33.0", "NVIDIA-B200", (16384, 1024)),
        ("0.33.0", "NVIDIA-GB10", (2048, 256)),
        ("0.33.0", "h200", (8192, 1024)),
    ],
)
def test_batch_limits_without_a_flag(version, board, expected):
    card = gpu(board)

    assert batch_limits(ENGINES["vllm"](version), card, card.memory_bytes) == expected


def test_default_fractions():
    assert ENGINES["vllm"]("0.19.0").memory_fraction == 0.9
    assert ENGINES["vllm"]("0.20.0").memory_fraction == 0.92


def test_a_fraction_is_bounded_by_what_is_free_at_the_start():
    """78.68 of 79.19 GiB at TP1, 77.2 to 77.7 at TP2."""
    asked = question(LLAMA_3_8B, memory_gib=H100)

    assert memory.memory_fraction_limit(asked, tp(1)) == pytest.approx(78.68 / H100, abs=1e-3)
    assert memory.memory_fraction_limit(asked, tp(2)) == pytest.approx(77.44 / H100, abs=4e-3)
    assert memory.memory_budget(asked, tp(1), serving(fraction=0.999)).margin_bytes < 0


@pytest.mark.parametrize(("layout", "fraction", "fits"), [(1, 0.95, 0), (2, 0.95, 0), (2, 0.9, 1)])
def test_gpt_oss_runs_out_after_its_cache_is_allocated(layout, fraction, fits):
    """vllm-0042, -0043: out of memory at the sampler's warm-up; vllm-0044 at 0.9 ran."""
    found = budget(GPT_OSS_20B, tp(layout), fraction=fraction)

    assert found.kv_cache_bytes > 50 * GIB
    assert found.fits == bool(fits)


@pytest.mark.parametrize(
    ("config", "board", "size"),
    [
        (LLAMA_405B, "h100", 8),
        (LLAMA_3_70B, "NVIDIA-GeForce-RTX-4090", 1),
        (DEEPSEEK_R1, "h100", 8),
    ],
)
@pytest.mark.parametrize(("engine", "version"), [("vllm", "0.33.0"), ("sglang", "0.5.23")])
def test_what_cannot_fit_has_a_negative_cache_and_raises_nothing(
    config, board, size, engine, version
):
    asked = question(config, engine, version, board)
    found = memory.memory_budget(asked, tp(size), serving(fraction=0.9))

    assert found.kv_cache_bytes < 0
    assert not found.fits
    assert memory.max_model_len(asked, tp(size), serving(fraction=0.9)) == 0


@pytest.mark.parametrize("config", [LLAMA_3_8B, GEMMA_3_12B, QWEN35_27B, GPT_OSS_20B])
@pytest.mark.parametrize(
    ("engine", "version"), [("vllm", v) for v in VERSIONS] + [("sglang", "0.5.23")]
)
def test_the_longest_context_fits_and_one_token_more_does_not(config, engine, version):
    asked = question(config, engine, version, "NVIDIA-A100-SXM4-80GB", memory_gib=70)
    longest = memory.max_model_len(asked, tp(2), serving(fraction=0.6), concurrency=2.0)
    found = [
        memory.kv_concurrency(asked, tp(2), serving(n, fraction=0.6), n)
        for n in (longest, longest + 1)
    ]

    assert found[0] >= 2
    assert found[1] < 2 or longest == asked.shape.max_position_embeddings


def test_the_null_block_is_not_a_requests():
    """From 0.30 one request must fit beside the null block."""
    asked = question(LLAMA_3_8B, version="0.33.0")
    found = memory.memory_budget(asked, tp(1), serving())
    usable = memory.kv_concurrency(asked, tp(1), serving(), 8192)

    assert usable == (found.kv_cache_blocks - 1) / 512


@given(gib=st.floats(20, 190), more=st.floats(0, 20), size=st.sampled_from([1, 2, 4, 8]))
@settings(max_examples=40, deadline=None)
def test_more_memory_never_holds_less(gib, more, size):
    for config in (LLAMA_3_8B, GEMMA_3_12B, QWEN35_27B):
        for engine, version in (("vllm", "0.33.0"), ("sglang", "0.5.23")):
            held = [
                memory.max_concurrency(
                    question(config, engine, version, "h200", memory_gib=total), tp(size), serving()
                )
                for total in (gib, gib + more)
            ]

            assert held[0] <= held[1] + 1e-9


def test_more_gpus_never_hold_less_of_a_dense_model():
    asked = question(LLAMA_3_70B, version="0.33.0")
    held = [memory.max_concurrency(asked, tp(n), serving()) for n in (1, 2, 4, 8)]

    assert all(few <= many for few, many in pairwise(held))


@pytest.mark.parametrize(
    ("version", "board", "size", "config", "more", "expected"),
    [
        ("0.4.3", "h100", 8, LLAMA_3_8B, {}, 0.81),
        ("0.4.9", "h100", 1, LLAMA_3_8B, {}, 0.874),
        ("0.5.23", "h100", 1, QWEN25_3B, {"enforce_eager": True}, 0.836),
    ],
)
def test_sglangs_own_fraction(version, board, size, config, more, expected):
    """0.836 is sglang-0001: reserve for prefill graphs, none for decode."""
    asked = question(config, "sglang", version, board)
    found = memory.automatic_fraction(asked, tp(size), serving(fraction=0, **more))

    assert found == pytest.approx(expected, abs=2e-3)


def test_sglangs_pool_is_what_its_log_says():
    """sglang-0001: Qwen2.5-3B on H100, 0.836: 59.86 GiB, 1,743,556 tokens."""
    asked = question(QWEN25_3B, "sglang", "0.5.23", memory_gib=79.19)
    found = memory.memory_budget(asked, tp(1), serving(fraction=0.836, enforce_eager=True))

    assert found.kv_cache_bytes / GIB == pytest.approx(59.86, rel=5e-3)
    assert found.kv_cache_tokens == pytest.approx(1_743_556, rel=5e-3)


@pytest.mark.parametrize(("engine", "version"), [("vllm", "0.33.0"), ("sglang", "0.5.23")])
def test_terms_are_explained_with_range_and_source(engine, version):
    asked = question(QWEN3_30B, engine, version)
    found = memory.memory_budget(asked, tp(2), serving())
    terms = {term.field: term for term in memory_terms(asked, tp(2), serving())}

    assert terms["weights_bytes"].amount == found.weights_bytes
    assert terms["kv_cache_bytes"].amount == found.kv_cache_bytes
    assert all(term.formula for term in terms.values())
    assert all(term.low <= term.amount <= term.high for term in terms.values())
    assert found.uncertainty_bytes > 0


@pytest.mark.parametrize("engine", ENGINES)
def test_every_measured_row_has_a_source(engine):
    newest = {"vllm": "0.33.0", "sglang": "0.5.23"}[engine]
    limits = ENGINES[engine](newest)
    rows = (*limits.context, *limits.non_torch, *limits.activation, *limits.graphs)

    assert all(row.source and row.measurements >= 0 for row in rows)

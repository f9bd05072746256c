"""The KV cache: bytes per token and layer, blocks, groups and pools, held against the engines."""

import json
from pathlib import Path

import asking
import pytest
from hypothesis import given
from hypothesis import strategies as st
from memory_cases import (
    DEEPSEEK_R1,
    GEMMA_3_12B,
    GEMMA_7B,
    GPT_OSS_20B,
    LLAMA_2_7B,
    LLAMA_3_8B,
    LLAMA_3_70B,
    LLAMA_405B,
    MISTRAL_7B,
    QWEN3_30B,
    QWEN35_27B,
    question,
    serving,
    tp,
)
from oracle.cases import config
from oracle.planned import parameter_bytes, planned, rotary_bytes

from krm_fn.catalog.models import model_card
from krm_fn.planner.cache_spec import CacheSpec
from krm_fn.planner.cache_tokens import concurrency, token_pool
from krm_fn.planner.kv_cache import bytes_per_token, cache_specs
from krm_fn.planner.memory import request_blocks
from krm_fn.planner.memory_pool import held
from krm_fn.units import GIB

WEIGHTS = 3e-3
"""DeepSeek V4 keeps its hyper-connections in 32 bits; the rest is within 0.02 %."""
ORACLE = json.loads((Path(__file__).parents[1] / "data/vllm-kv-oracle.json").read_text())


def per_token(config, tensor=1, engine="vllm", version="0.33.0", **more):
    asked = question(config, engine, version)
    specs = cache_specs(asked.shape, tp(tensor), serving(**more), asked.engine)
    return bytes_per_token(specs)


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (LLAMA_2_7B, 524_288),
        (LLAMA_3_8B, 131_072),
        (LLAMA_3_70B, 327_680),
        (LLAMA_405B, 516_096),
        (MISTRAL_7B, 131_072),
        (GEMMA_7B, 458_752),
        (DEEPSEEK_R1, 70_272),
    ],
)
def test_bytes_of_one_token_in_16_bits(config, expected):
    assert expected == per_token(config)


def test_4096_tokens_of_llama_2_7b_are_exactly_2_gib():
    assert 4096 * per_token(LLAMA_2_7B) == 2 * GIB


def test_fp8_is_half_of_16_bits_and_float32_twice():
    assert per_token(LLAMA_3_8B, kv_cache_dtype="fp8") == 65_536
    assert per_token(LLAMA_3_8B, dtype="float32") == 262_144


def test_a_32_bit_checkpoint_is_cached_in_16_bits_unless_stated():
    """The dtype the model runs in (vllm/config/model.py:_resolve_auto_dtype)."""
    stored = LLAMA_3_8B | {"torch_dtype": "float32"}

    assert per_token(stored) == 131_072
    assert per_token(stored, dtype="float32") == 262_144


def test_vllms_falcon_pays_no_heed_to_the_kv_dtype():
    falcon = model_card("tiiuae/falcon-40b-instruct").config

    assert per_token(falcon, kv_cache_dtype="fp8") == per_token(falcon)
    assert per_token(falcon, engine="sglang", version="0.5.23", kv_cache_dtype="fp8") == (
        per_token(falcon) / 2
    )


def test_compressed_entries_are_fp8_unless_stated():
    model = model_card("deepseek-ai/DeepSeek-V4-Flash").config

    assert per_token(model) == per_token(model, kv_cache_dtype="fp8")


def test_kv_heads_are_split_and_replicated_when_there_are_more_gpus_than_heads():
    assert [131_072 // n for n in (1, 2, 8, 8)] == [per_token(LLAMA_3_8B, n) for n in (1, 2, 8, 16)]


def test_latent_attention_is_the_same_on_every_gpu():
    assert per_token(DEEPSEEK_R1) == per_token(DEEPSEEK_R1, 8)


def test_sparse_attention_adds_its_indexer_and_has_an_fp8_layout_of_its_own():
    sparse = DEEPSEEK_R1 | {
        "architectures": ["DeepseekV32ForCausalLM"],
        "model_type": "deepseek_v32",
        "index_n_heads": 64,
        "index_head_dim": 128,
        "index_topk": 2048,
    }

    assert per_token(sparse) == 61 * (1152 + 132)
    assert per_token(sparse, kv_cache_dtype="fp8") == 61 * (656 + 132)


def test_a_hybrid_of_0_19_is_cut_up_as_its_log_says():
    """vllm-0160: Qwen3.5-27B, TP4, 7.0 GiB: 784-token blocks, 585 of them, 114,464 tokens, 13.0."""
    asked = question(QWEN35_27B, version="0.19.0")
    blocks = held(asked, tp(4), serving()).blocks

    assert {784} == {group.block_size for group in blocks.groups}
    assert {802_816} == {group.page_bytes for group in blocks.groups}
    assert [len(group.layers) for group in blocks.groups] == [16] * 4
    count = int(7.0 * GIB) // blocks.block_bytes(0, 64)
    assert count == 585
    assert count // 4 * blocks.block_size == 114_464
    assert count / blocks.request_blocks(32_768) == 13.0


@pytest.mark.parametrize(
    ("config", "length", "batched", "expected"),
    [
        (GEMMA_3_12B, 8192, 8192, 512 + 5 * 513),
        (GEMMA_3_12B, 131072, 2048, 8192 + 5 * (192 + 1)),
        (GPT_OSS_20B, 8192, 8192, 512 + 513),
    ],
)
def test_windows_keep_the_tokens_of_the_batch_too(config, length, batched, expected):
    """0.19: ceil(min(window - 1 + batch, length) / 16) + 1 per group; nothing saved at 8192."""
    asked = question(config, version="0.19.0")

    assert expected == request_blocks(asked, tp(1), serving(batched=batched), length)


def test_without_hybrid_groups_windows_count_in_full():
    asked = question(GPT_OSS_20B, hybrid=False)
    blocks = held(asked, tp(1), serving()).blocks

    assert len(blocks.groups) == 1
    assert blocks.block_bytes(0, 24) == 24 * 16 * 2048


def test_stages_hold_their_own_layers_of_each_group():
    blocks = held(question(GEMMA_3_12B), tp(1), serving()).blocks
    whole, half = blocks.block_bytes(0, 48), blocks.block_bytes(0, 24)

    assert whole == 2 * half


def configuration(case):
    """Of the file, else the catalogue's."""
    return ORACLE["configs"].get(case["model"]) or config(case["model"])


def name(case):
    words = (case["model"], f"tp{case['tp']}", case["kv_cache_dtype"], case["max_model_len"])
    return "-".join(str(word) for word in words)


@pytest.mark.parametrize("case", ORACLE["cases"], ids=name)
def test_blocks_concurrency_and_weights_are_vllms_own(case):
    """It keeps no rotary tables where transformers' own code runs."""
    asked = case | {"config": configuration(case)}
    mine = planned(asked)

    assert case["num_blocks"] == mine.num_blocks
    assert case["max_concurrency"] == pytest.approx(mine.max_concurrency, abs=2e-4)
    assert case["rotary_bytes"] in (0, rotary_bytes(asked))
    assert case["weight_bytes"] == pytest.approx(parameter_bytes(asked), rel=WEIGHTS)


def test_sglang_counts_whole_heads_with_attention_data_parallelism():
    """sglang-0066: Qwen3-30B-A3B at TP4 with DP4 attention stores all four heads, 98,304 B."""
    asked = question(QWEN3_30B, "sglang", "0.5.23")
    layout = tp(4, attention_data=4)

    assert bytes_per_token(cache_specs(asked.shape, layout, serving(), asked.engine)) == 98_304


FULL = CacheSpec(kind="full", token_bytes=1000)
WINDOW = CacheSpec(kind="window", token_bytes=500, reach=100)
STATE = CacheSpec(kind="state", state_bytes=10_000)


def test_a_window_pool_is_four_fifths_of_the_full_one():
    rules = question(LLAMA_3_8B, "sglang", "0.5.23").engine.cache
    pool = token_pool(1_400_000, ((FULL,), (WINDOW,), (WINDOW,)), rules, 1)

    assert (pool.tokens, pool.window_tokens) == (777, 621)
    assert pool.kv_bytes <= 1_400_000


def test_states_take_nine_nineteenths_and_three_slots_a_request():
    rules = question(LLAMA_3_8B, "sglang", "0.5.23").engine.cache
    layers = ((FULL,), (STATE,))
    pool = token_pool(1_900_000, layers, rules, 1)

    assert pool.state_slots == 89
    assert pool.tokens == (1_900_000 - 90 * 10_000) // 1000
    assert concurrency(pool, 10, layers, rules) == 89 / 3


@given(available=st.integers(0, 10**11), length=st.integers(1, 262_144))
def test_a_longer_request_never_needs_fewer_blocks(available, length):
    for model in (LLAMA_3_8B, GEMMA_3_12B, QWEN35_27B):
        blocks = held(question(model), tp(1), serving()).blocks

        assert blocks.request_blocks(length) <= blocks.request_blocks(length + available % 999)


@pytest.mark.parametrize("gpu", ["NVIDIA-H100-80GB-HBM3", "NVIDIA-L4"])
def test_sglang_serves_a_model_of_states_alone(gpu):
    """No attention, so no cell per token: slots of states bound the batch (0.5.20 and newer)."""
    found = asking.plan("tiiuae/falcon-mamba-7b-instruct", gpu, variants={"sglang": {}})
    slot = 64 * 311_296

    assert found.feasible
    assert found.memory.kv_cache_bytes % slot == 0
    assert found.memory.max_concurrency == found.memory.kv_cache_bytes // slot / 3

"""What a service asks of an engine beside the model: its memory, by numbers worked out by hand."""

from dataclasses import replace

import pytest
from memory_cases import GEMMA_3_12B, GPT_OSS_20B, LLAMA_3_8B, QWEN35_27B, question, serving, tp

from krm_fn.catalog import models
from krm_fn.planner.cache_spec import CacheSpec
from krm_fn.planner.cache_tokens import Batch, concurrency, token_pool, window_cap
from krm_fn.planner.extras import Extras, adapted
from krm_fn.planner.loading import loaded
from krm_fn.planner.memory import memory_budget
from krm_fn.planner.memory_pool import held
from krm_fn.planner.memory_terms import memory_terms
from krm_fn.planner.weights import checkpoint_bytes

FULL = CacheSpec(kind="full", token_bytes=1000)
WINDOW = CacheSpec(kind="window", token_bytes=500, reach=100)
STATE = CacheSpec(kind="state", state_bytes=10_000)
QWEN3_VL_8B = models.model_card("Qwen/Qwen3-VL-8B-Instruct").config


def asking(config, engine="vllm", version="0.33.0", total=None, **extras):
    """A question with extras, as `function/questions.py` puts it."""
    wanted = Extras(**extras)
    plain = question(config, engine, version)
    limits = adapted(plain.engine, wanted)
    return loaded(replace(plain, extras=wanted, engine=limits, checkpoint_bytes=total))


def without_prefixes(config, engine, version):
    return asking(config, engine, version, prefix_caching=False)


def test_text_only_leaves_the_encoder_out():
    """576,388,336 parameters x 2 B, in one tensor of whole 1 MiB blocks: 1,153,433,600 B.

    vLLM 0.32's own classes hold 17,534,247,392 B with the encoder and 16,381,470,720 B with
    language_model_only, 1,152,776,672 B less (tools/engine/vllm_kv_oracle.py --text-only).
    """
    plain = memory_budget(asking(QWEN3_VL_8B), tp(1), serving())
    text = memory_budget(asking(QWEN3_VL_8B, text_only=True), tp(1), serving())

    assert plain.weights_bytes - text.weights_bytes == 1_153_433_600
    assert plain.kv_cache_bytes < text.kv_cache_bytes


def test_text_only_downloads_the_encoder_all_the_same():
    plain, text = asking(QWEN3_VL_8B), asking(QWEN3_VL_8B, text_only=True)

    assert checkpoint_bytes(plain) == checkpoint_bytes(text)


def test_text_only_takes_the_encoder_off_the_known_size_of_the_files():
    """Files of 17,534,247,392 B hold 2 x 576,388,336 B of encoder."""
    total = 17_534_247_392
    asked = asking(QWEN3_VL_8B, total=total, text_only=True)

    assert asked.checkpoint_bytes == total - 2 * 576_388_336
    assert checkpoint_bytes(asked) == total


def test_text_only_is_explained():
    asked = asking(QWEN3_VL_8B, text_only=True)
    lines = memory_terms(asked, tp(1), serving())

    assert [x.amount for x in lines if x.field == "weights_bytes.encoder"] == [0]


def test_a_model_without_an_encoder_is_as_it_was():
    asked = asking(LLAMA_3_8B, text_only=True)

    assert asked == asking(LLAMA_3_8B, text_only=True, limits=())
    assert asked.unloaded_bytes == 0


def test_vllm_keeps_one_state_a_request_without_prefix_caching():
    """Qwen3.5-27B: 3 groups of states; 1 block each instead of 2 with aligned prefixes."""
    plain = held(asking(QWEN35_27B), tp(4), serving()).blocks
    without = held(without_prefixes(QWEN35_27B, "vllm", "0.33.0"), tp(4), serving()).blocks

    assert plain.request_blocks(8192) - without.request_blocks(8192) == 3


def test_sglang_keeps_as_many_states_as_requests_run_without_prefix_caching():
    """(1,900,000 - (20 + 1) x 10,000) / 1000 = 1,690 tokens; 20 requests of one slot each."""
    rules = without_prefixes(LLAMA_3_8B, "sglang", "0.5.23").engine.cache
    layers, batch = ((FULL,), (STATE,)), Batch(requests=20)
    pool = token_pool(1_900_000, layers, rules, 1, batch)

    assert (pool.state_slots, pool.tokens) == (20, 1690)
    assert concurrency(pool, 10, layers, rules) == 20


def test_sglang_sizes_windows_by_requests_from_0_5_14_on():
    """4 x (100 + 128 + 1 + 1) + 2 x 50 + 1 = 1,021 tokens of windows, 2 x 500 B each;
    (2,000,000 - 1,021,000) / 1000 = 979 tokens.
    """
    rules = without_prefixes(LLAMA_3_8B, "sglang", "0.5.14").engine.cache
    layers, batch = ((FULL,), (WINDOW,), (WINDOW,)), Batch(requests=4, prefill_tokens=50)
    pool = token_pool(2_000_000, layers, rules, 1, batch)

    assert window_cap(layers, rules, 1, batch) == 1021
    assert (pool.tokens, pool.window_tokens) == (979, 1021)


@pytest.mark.parametrize("version", ["0.5.10", "0.5.13.post1"])
def test_older_sglang_keeps_the_share_of_windows(version):
    rules = without_prefixes(LLAMA_3_8B, "sglang", version).engine.cache

    assert window_cap(((FULL,), (WINDOW,)), rules, 1, Batch(requests=4)) is None


@pytest.mark.parametrize("config", [LLAMA_3_8B, GEMMA_3_12B, GPT_OSS_20B])
def test_prefix_caching_takes_no_memory_of_vllms_attention(config):
    """Blocks are shared, not copied."""
    plain = memory_budget(asking(config), tp(1), serving())

    assert plain == memory_budget(without_prefixes(config, "vllm", "0.33.0"), tp(1), serving())

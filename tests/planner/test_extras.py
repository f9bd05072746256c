"""What a service asks of an engine beside the model: its memory, by numbers worked out by hand."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from memory_cases import (
    DEEPSEEK_R1,
    GEMMA_3_12B,
    GPT_OSS_20B,
    LLAMA_3_8B,
    LLAMA_3_70B,
    QWEN3_30B,
    QWEN35_27B,
    dense,
    question,
    serving,
    tp,
)

from krm_fn.catalog import models
from krm_fn.catalog.architecture import model_shape
from krm_fn.engines import ENGINES
from krm_fn.planner.adapters import WHOLE, adapter_bytes, host_bytes, lora_bytes, slot_width
from krm_fn.planner.cache_spec import CacheSpec
from krm_fn.planner.cache_tokens import Batch, concurrency, token_pool, window_cap
from krm_fn.planner.extras import Extras, Lora, LoraRules, Offload, adapted
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


def with_adapters(config, engine="vllm", version="0.32.0", slots=2, rank=16, adapters=()):
    rules = ENGINES[engine].lora(version, model_shape(config))
    lora = Lora(max_loras=slots, max_rank=rank, adapters=adapters, rules=rules)
    return asking(config, engine, version, lora=lora)


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
    """Qwen3.5-27B: 3 groups of states; 1 block each instead of 2 with aligned prefixes.

    vLLM 0.32's own planning for Qwen3-Next-80B at TP4 and 32,768 tokens: 5983 blocks / (121 + 3) =
    48.25 requests without prefix caching, / (121 + 6) = 47.11 with it (vllm_kv_oracle.py).
    """
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


TINY = dense("Llama", 256, 512, 2, 4, 2, 1024, 512, head_dim=64)
TINY_QWEN3 = TINY | {"architectures": ["Qwen3ForCausalLM"], "model_type": "qwen3"}
TINY_MOE = TINY | {
    "architectures": ["Qwen3MoeForCausalLM"],
    "model_type": "qwen3_moe",
    "num_experts": 4,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 128,
    "decoder_sparse_step": 1,
    "norm_topk_prob": True,
    "mlp_only_layers": [],
}


@pytest.mark.parametrize(
    ("config", "size"),
    [
        (TINY, 688_128),
        (TINY_QWEN3, 688_128),
        (TINY_QWEN3 | {"tie_word_embeddings": True}, 688_128),
        (TINY_MOE, 1_016_320),
    ],
)
def test_slots_are_what_vllm_allocates(config, size):
    """The sum of lora_a_stacked and lora_b_stacked over the modules of a running vLLM 0.32 (CPU)
    with --max-loras 2 --max-lora-rank 16: qkv 81,920, o 32,768, gate and up 98,304, down 49,152 B a
    layer, embedding and head 81,920 each; with experts 294,912 and router 16,640 instead.
    """
    assert lora_bytes(with_adapters(config), tp(1), serving(), 0, 2) == size


def test_an_adapter_of_llama_3_8b_has_as_many_parameters_as_peft_prints():
    """41,943,040 trainable parameters at rank 16, all linear layers."""
    shape = model_shape(LLAMA_3_8B)

    assert 16 * slot_width(shape, LoraRules(), WHOLE, 0, 32) == 41_943_040


def test_tensor_parallelism_splits_one_half_of_each_slot():
    """Llama 3 70B, a layer at TP8: q 8192 + 1024, k and v 8192 + 128 each, o 1024 + 8192, gate and
    up 8192 + 3584 each, down 3584 + 8192 = 70,400; 80 layers; 8 slots of rank 64 in 16 bit.
    """
    asked = with_adapters(LLAMA_3_70B, "sglang", "0.5.23", slots=7, rank=64)

    assert lora_bytes(asked, tp(8), serving(), 0, 80) == 8 * 64 * 80 * 70_400 * 2


def test_slots_are_a_part_of_the_weights():
    """As both engines print them: they are made while the model is loaded."""
    plain, asked = asking(LLAMA_3_8B, version="0.32.0"), with_adapters(LLAMA_3_8B)
    found = memory_budget(asked, tp(1), serving())
    size = lora_bytes(asked, tp(1), serving(), 0, 32)

    assert found.weights_bytes == memory_budget(plain, tp(1), serving()).weights_bytes + size
    assert found.lora_bytes == size


@pytest.mark.parametrize(
    ("engine", "version", "config"),
    [
        ("vllm", "0.33.0", DEEPSEEK_R1),
        ("vllm", "0.11.0", QWEN3_30B),
        ("vllm", "0.19.0", GPT_OSS_20B),
        ("sglang", "0.5.23", QWEN3_30B),
    ],
)
@pytest.mark.parametrize("layout", [tp(1), tp(2), tp(2, pipeline=2)], ids=str)
def test_the_explained_parts_come_to_the_weights(engine, version, config, layout):
    asked = with_adapters(config, engine, version)
    lines = memory_terms(asked, layout, serving())
    parts = [line.amount for line in lines if line.field.startswith("weights_bytes.")]

    assert sum(parts) == memory_budget(asked, layout, serving()).weights_bytes


def test_experts_have_adapters_from_vllm_0_11_1_on():
    """Qwen3-30B-A3B, a layer: 128 experts x (3 x 2048 + 3 x 768) of 1,081,344."""
    old = with_adapters(QWEN3_30B, version="0.11.0").extras.lora.rules
    new = with_adapters(QWEN3_30B, version="0.11.2").extras.lora.rules
    shape = model_shape(QWEN3_30B)
    wider = slot_width(shape, new, WHOLE, 1, 2) - slot_width(shape, old, WHOLE, 1, 2)

    assert wider == 128 * (3 * 2048 + 3 * 768)


def test_older_vllm_keeps_256_tokens_more():
    """2 ends x 2 slots x 256 x (rank 16 + the hidden size) x 2 B."""
    old, new = (
        lora_bytes(with_adapters(LLAMA_3_8B, version=version), tp(1), serving(), 0, 32)
        for version in ("0.10.2", "0.12.0")
    )

    assert old - new == 2 * 2 * 256 * (16 + 4096) * 2


def test_each_worker_holds_every_adapter_whole():
    """3 adapters on 4 GPUs = 12 copies of rank 16 x 2,621,440 + 2 x (128,256 + 4096), 16 bit."""
    asked = with_adapters(
        LLAMA_3_8B, slots=2, adapters=(("a", "o/a"), ("b", "o/b"), ("c", "/adapters/c"))
    )
    one = 16 * (2_621_440 + 2 * (128_256 + 4096)) * 2

    assert adapter_bytes(asked, serving(), asked.extras.lora) == one
    assert host_bytes(asked, tp(4), serving()) == 12 * one


@given(rank=st.sampled_from((8, 16, 64)), slots=st.integers(1, 8), size=st.sampled_from((1, 2, 4)))
def test_more_slots_never_leave_more_cache(rank, slots, size):
    for engine, version in (("vllm", "0.33.0"), ("sglang", "0.5.23")):
        few = with_adapters(QWEN3_30B, engine, version, slots=slots, rank=rank)
        many = with_adapters(QWEN3_30B, engine, version, slots=slots + 1, rank=rank)
        left = [memory_budget(asked, tp(size), serving()).kv_cache_bytes for asked in (few, many)]

        assert left[0] > left[1]


@pytest.mark.parametrize(
    ("version", "same"), [("0.19.0", False), ("0.21.0", False), ("0.22.0", True), ("0.33.0", True)]
)
def test_a_connector_made_windows_count_in_full(version, same):
    """Gemma 3: 40 of 48 layers have windows; the hybrid manager was off with a connector."""
    offload = Offload(size_bytes=1, rules=ENGINES["vllm"].offload(version, "nvidia"))
    plain = memory_budget(asking(GEMMA_3_12B, version=version), tp(1), serving(length=65536))
    asked = asking(GEMMA_3_12B, version=version, offload=offload)
    with_it = memory_budget(asked, tp(1), serving(length=65536))

    assert (plain.max_concurrency == with_it.max_concurrency) is same
    assert with_it.max_concurrency <= plain.max_concurrency

"""What a service asks of an engine beside the model: its memory, by numbers worked out by hand."""

from dataclasses import replace

import pytest
from asking import plan
from hypothesis import given, settings
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
from krm_fn.function.draft_facts import as_llama
from krm_fn.planner.adapters import WHOLE, adapter_bytes, host_bytes, lora_bytes, slot_width
from krm_fn.planner.cache_spec import CacheSpec
from krm_fn.planner.cache_tokens import Batch, concurrency, token_pool, window_cap
from krm_fn.planner.drafts import draft_bytes
from krm_fn.planner.extras import Draft, Extras, Lora, LoraRules, Offload, adapted
from krm_fn.planner.kv_cache import bytes_per_token
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

TINY_VL = {
    "architectures": ["Qwen3VLForConditionalGeneration"],
    "model_type": "qwen3_vl",
    "text_config": TINY | {"model_type": "qwen3_vl_text"},
    "tie_word_embeddings": False,
    "vision_config": {"depth": 2, "hidden_size": 128, "intermediate_size": 256, "num_heads": 2},
}


@pytest.mark.parametrize(
    ("config", "size"),
    [
        (TINY, 688_128),
        (TINY_QWEN3, 688_128),
        (TINY_QWEN3 | {"tie_word_embeddings": True}, 688_128),
        (TINY_MOE, 1_016_320),
        (TINY_VL, 688_128),
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


@settings(deadline=None, max_examples=20)
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


MIMO = dense("MiMo", 256, 512, 2, 4, 2, 1024, 512, head_dim=64, num_nextn_predict_layers=1)
EAGLE3_8B = dense(
    "LlamaForCausalLMEagle3", 4096, 14336, 1, 32, 8, 128256, 2048, draft_vocab_size=32000
)
TINY_EAGLE3 = TINY | {"num_hidden_layers": 1, "draft_vocab_size": 512}
TINY_DRAFT = dense("Llama", 128, 256, 3, 2, 1, 1024, 512, head_dim=64)
QWEN3_NEXT = models.model_card("Qwen/Qwen3-Next-80B-A3B-Instruct").config
LLAMA_1B = models.model_card("meta-llama/Llama-3.2-1B-Instruct").config


def drafting(config, method, engine="vllm", version="0.33.0", tokens=3, small=None):
    shape = model_shape(config)
    rules = ENGINES[engine].draft(version, method, shape)
    read = as_llama(small) if method == "eagle3" else small
    draft = Draft(
        method=method,
        tokens=tokens,
        layers=(shape.mtp_layers or rules.layers) if method == "mtp" else 0,
        shape=model_shape(read) if small else None,
        rules=rules,
    )
    return asking(config, engine, version, draft=draft)


def cell(asked, layout):
    return bytes_per_token(held(asked, layout, serving()).specs)


def test_a_draft_layer_is_the_last_one_again_with_a_projection():
    """Q and o 256 x 256, k and v 128 x 256, gate, up and down 256 x 512, biases 512, norms 2 + 3 of
    256, projection 512 x 256; 16 bit.
    """
    layer = 2 * 256 * 256 + 2 * 128 * 256 + 3 * 256 * 512 + 5 * 256 + 512 * 256
    biases = 512 if model_shape(MIMO).layers[-1].mixer.qkv_bias else 0
    asked = drafting(MIMO, "mtp")

    assert draft_bytes(asked, tp(1), serving()) == 2 * (layer + biases)


def test_the_draft_layer_of_deepseek_r1_is_as_large_as_published():
    """11.5 billion parameters without the embedding and head that it shares (README of
    DeepSeek-V3); here in 16 bit.
    """
    size = draft_bytes(drafting(DEEPSEEK_R1, "mtp"), tp(1), serving())

    assert size == pytest.approx(2 * 11.5e9, rel=0.02)


def test_a_draft_layer_keeps_a_cache_like_the_last_one():
    """62 x 576 x 2 B for DeepSeek R1, on both engines."""
    for engine, version in (("vllm", "0.33.0"), ("sglang", "0.5.23")):
        assert cell(drafting(DEEPSEEK_R1, "mtp", engine, version), tp(8)) == 62 * 576 * 2


def test_older_vllm_keeps_the_head_of_a_draft_layer():
    """129,280 tokens x 7168 x 2 B over 8 GPUs; shared from 0.16 on."""
    old, new = (
        draft_bytes(drafting(DEEPSEEK_R1, "mtp", version=version), tp(8), serving())
        for version in ("0.15.1", "0.16.0")
    )

    assert old - new == 129_280 // 8 * 7168 * 2


def test_a_head_of_eagle_3_is_as_large_as_its_files():
    """EAGLE3-LLaMA3.1-Instruct-8B, 850 MB: qkv 8192 x 6144, o 4096 x 4096, MLP 3 x 4096 x 14,336,
    three states joined 12,288 x 4096, head 32,000 x 4096, four norms; the embedding is the model's.
    """
    asked = drafting(LLAMA_3_8B, "eagle3", small=EAGLE3_8B)
    matrices = 8192 * 6144 + 4096 * 4096 + 3 * 4096 * 14336 + 12288 * 4096 + 32000 * 4096

    assert draft_bytes(asked, tp(1), serving()) == 2 * (matrices + 4 * 4096)
    assert cell(asked, tp(1)) == 33 * 4096


def test_a_draft_model_is_loaded_whole_beside_the_model():
    """Llama 3.2 1B: 1,235,814,400 parameters in 16 bit, its rotary table 131,072 x 64 x 2 B, the
    embedding in whole 2 MiB blocks; 16 layers of 8 heads x 128 x 2 B.
    """
    asked = drafting(LLAMA_3_8B, "draft", small=LLAMA_1B)
    size = draft_bytes(asked, tp(1), serving())

    assert 0 <= size - 2 * 1_235_814_400 - 131_072 * 64 * 2 < 2 * 2**20
    assert cell(asked, tp(1)) == 32 * 4096 + 16 * 2048


def test_sglang_gives_a_draft_the_cells_of_the_model():
    """Cell x (1 + 16 / 32)."""
    asked = drafting(LLAMA_3_8B, "draft", "sglang", "0.5.23", small=LLAMA_1B)

    assert cell(asked, tp(1)) == 48 * 4096


@pytest.mark.parametrize(
    ("method", "small", "page"),
    [("eagle3", TINY_EAGLE3, 3 * 65_536), ("draft", TINY_DRAFT, 229_376)],
)
def test_the_pages_with_a_draft_are_vllms_own(method, small, page):
    """A running vLLM 0.32 on a CPU (blocks of 128 tokens): one group of 3 layers of 65,536 B with a
    head of EAGLE 3; one of 229,376 B with three layers of one head beside two of two.
    """
    blocks = held(drafting(TINY, method, version="0.32.0", small=small), tp(1), serving()).blocks

    assert len(blocks.groups) == 1
    assert blocks.block_bytes(0, 2) * 128 // blocks.block_size == page


def test_states_are_kept_for_each_drafted_token():
    """Qwen3-Next with 2 drafted tokens: 3 groups of states x 2 more; convolution of 8,192 channels
    over 4 GPUs, 2 positions more in 16 bit.
    """
    plain, drafts = asking(QWEN3_NEXT), drafting(QWEN3_NEXT, "mtp", tokens=2)
    layouts = [held(asked, tp(4), serving()) for asked in (plain, drafts)]
    states = [next(s for x in found.specs for s in x if s.kind == "state") for found in layouts]
    blocks = [
        sum(x.blocks.group_blocks(g, 8192) for g in x.blocks.groups if g.spec.kind == "state")
        for x in layouts
    ]

    assert states[1].state_bytes - states[0].state_bytes == 8192 // 4 * 2 * 2
    assert blocks[1] - blocks[0] == 3 * 2


def test_graphs_are_captured_for_all_tokens_of_a_request():
    """2 x 32 sequences x (1 + 3) tokens from vLLM 0.14 on."""
    settings = serving(seqs=32)
    sizes = {
        version: memory_budget(
            drafting(LLAMA_3_8B, "ngram", version=version), tp(1), settings
        ).cuda_graph_bytes
        / memory_budget(asking(LLAMA_3_8B, version=version), tp(1), settings).cuda_graph_bytes
        for version in ("0.13.0", "0.14.0", "0.33.0")
    }

    assert sizes == {
        "0.13.0": 1,
        "0.14.0": pytest.approx(4, rel=1e-6),
        "0.33.0": pytest.approx(4, rel=1e-6),
    }


@settings(deadline=None, max_examples=12)
@given(method=st.sampled_from(("mtp", "eagle3", "draft")), size=st.sampled_from((1, 2)))
def test_a_draft_never_leaves_more_tokens(method, size):
    target = MIMO if method == "mtp" else LLAMA_3_8B
    small = {"mtp": None, "eagle3": EAGLE3_8B, "draft": LLAMA_1B}[method]
    found = [
        memory_budget(asked, tp(size), serving(seqs=64))
        for asked in (asking(target), drafting(target, method, small=small))
    ]
    lines = memory_terms(drafting(target, method, small=small), tp(size), serving(seqs=64))
    parts = [line.amount for line in lines if line.field.startswith("weights_bytes.")]

    assert found[0].kv_cache_tokens > found[1].kv_cache_tokens
    assert sum(parts) == found[1].weights_bytes


def test_fewer_slots_and_no_drafts_are_ways_out():
    """On 24 GB neither 64 slots of rank 64 fit beside Llama 3 8B nor another 8B that drafts."""
    model, pool = "meta-llama/Llama-3.1-8B-Instruct", {"gpusPerNode": 1}
    adapters = [{"name": "tone", "id": "someone/tone"}]
    drafts = {"method": "draft", "model": {"id": model}}
    asked = (
        {"lora": {"adapters": adapters, "maxLoras": 64, "maxRank": 64}},
        {"speculative": drafts},
    )
    found = [
        way.change
        for serving in asked
        for way in plan(model, "NVIDIA-L4", pool=pool, serving=serving).alternatives
    ]

    assert {"serving.lora.maxLoras": 1} in found
    assert {"serving.speculative": None} in found

"""Weights against published totals, hand arithmetic, and what engines printed at start."""

import json
import statistics
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from krm_fn.catalog.architecture import model_shape
from krm_fn.catalog.gpus import gpu
from krm_fn.catalog.models import model_card
from krm_fn.catalog.shape import Quantization
from krm_fn.engines.vllm_memory import limits
from krm_fn.planner import weights
from krm_fn.planner.limits import expert_kernel, expert_width, rotary_factor
from krm_fn.planner.patterns import Patterns
from krm_fn.planner.plan import Parallelism
from krm_fn.planner.state_tensors import mamba2
from krm_fn.planner.storage import allocated, parts
from krm_fn.planner.stored import stored_layers
from krm_fn.planner.weights import (
    Split,
    active_parameters,
    draft_bytes,
    file_bytes,
    local_size,
    parameters,
    rope_bytes,
    split,
    stage_sizes,
    tensors,
    weights_bytes,
)
from krm_fn.units import GIB, MIB

ONE = Parallelism()


def shape(name: str):
    return model_card(name).shape


PUBLISHED = {
    "meta-llama/Llama-2-7b-chat-hf": 6_738_415_616,
    "meta-llama/Llama-3.1-8B-Instruct": 8_030_261_248,
    "meta-llama/Llama-3.3-70B-Instruct": 70_553_706_496,
    "meta-llama/Llama-3.1-405B-Instruct": 405_853_388_800,
    "mistralai/Mistral-7B-v0.1": 7_241_732_096,
    "google/gemma-7b-it": 8_537_680_896,
    "deepseek-ai/DeepSeek-V2-Lite-Chat": 15_706_484_224,
    "deepseek-ai/DeepSeek-R1": 671_026_419_200,
    "openai/gpt-oss-120b": 116_829_156_672,
    "nvidia/NVIDIA-Nemotron-Nano-9B-v2": 8_888_227_328,
    "ai21labs/AI21-Jamba-Mini-1.6": 51_570_323_328,
    "BAAI/bge-m3": 567_754_752,
    "Qwen/Qwen2.5-VL-7B-Instruct": 8_292_166_656,
}


@pytest.mark.parametrize(("name", "total"), PUBLISHED.items(), ids=PUBLISHED)
def test_parameters_equal_the_published_total(name, total):
    assert parameters(shape(name)) == total


ACTIVE = {
    "mistralai/Mixtral-8x7B-v0.1": 12.9e9,
    "Qwen/Qwen3-235B-A22B": 22.2e9,
    "openai/gpt-oss-120b": 5.7e9,
    "deepseek-ai/DeepSeek-R1": 37.6e9,
}


@pytest.mark.parametrize(("name", "active"), ACTIVE.items(), ids=ACTIVE)
def test_active_parameters_have_only_the_experts_of_a_token(name, active):
    assert active_parameters(shape(name)) == pytest.approx(active, rel=0.01)


def test_tensors_add_up_and_know_their_layer():
    found = tensors(shape("Qwen/Qwen3-0.6B"))

    assert sum(tensor.parameters for tensor in found) == 596_049_920
    assert found[0].name == "embed_tokens"
    assert {tensor.layer for tensor in found} == {None, *range(28)}


def test_one_gpu_holds_two_bytes_a_parameter_and_the_rope_table():
    """Llama-3-8B: 14.96 GiB, of which 131072 x 128 x 2 bytes are 32 MiB of rotary table."""
    (bytes_,) = weights_bytes(shape("meta-llama/Llama-3.1-8B-Instruct"), ONE)

    assert rope_bytes(shape("meta-llama/Llama-3.1-8B-Instruct")) == 32 * MIB
    assert bytes_ == 2 * 8_030_261_248 + 32 * MIB


def test_fp32_checkpoint_is_served_in_16_bit_unless_stated():
    bert = shape("BAAI/bge-base-en-v1.5")

    assert file_bytes(bert) == 4 * 109_482_240
    assert weights_bytes(bert, ONE)[0] == pytest.approx(2 * 109_482_240, rel=0.01)
    assert weights_bytes(bert, ONE, dtype="float32")[0] == pytest.approx(4 * 109_482_240, rel=0.01)


def attention_and_rest(kv_heads: int, tensor: int) -> int:
    """Bytes per GPU of a one-layer model; only K and V depend on `kv_heads`."""
    config = {
        "architectures": ["LlamaForCausalLM"],
        "hidden_size": 1024,
        "intermediate_size": 1024,
        "num_hidden_layers": 1,
        "num_attention_heads": 16,
        "num_key_value_heads": kv_heads,
        "vocab_size": 1024,
        "max_position_embeddings": 128,
    }
    return weights_bytes(model_shape(config), Parallelism(tensor=tensor))[0]


def test_k_and_v_are_copied_when_there_are_more_gpus_than_kv_heads():
    """One KV head of 64: 2 x 64 x 1024 x 2 bytes on every GPU, at TP 2 as at TP 8."""
    with_two, with_eight = attention_and_rest(1, 2), attention_and_rest(1, 8)
    rest = 2 * (2 * 1024 * 1024 + 3 * 1024 * 1024 + 2 * 1024 * 1024)  # q o, mlp, vocabulary
    fixed = 2 * 3 * 1024 + 2 * 128 * 64 + 2 * 2 * 64 * 1024

    assert with_two == rest // 2 + fixed
    assert with_eight == rest // 8 + fixed


def test_vocabulary_is_padded_to_64():
    config = {
        "architectures": ["LlamaForCausalLM"],
        "hidden_size": 64,
        "intermediate_size": 64,
        "num_hidden_layers": 1,
        "num_attention_heads": 1,
        "num_key_value_heads": 1,
        "max_position_embeddings": 64,
    }
    odd, even = (
        weights_bytes(model_shape(config | {"vocab_size": rows}), ONE) for rows in (65, 128)
    )

    assert odd == even


STAGES = {(32, 4): (8, 8, 8, 8), (61, 2): (31, 30), (80, 3): (27, 27, 26), (10, 4): (2, 3, 3, 2)}


@pytest.mark.parametrize(("split", "sizes"), STAGES.items(), ids=str)
def test_left_over_layers_go_before_the_last_stage(split, sizes):
    assert stage_sizes(*split) == sizes
    assert sum(sizes) == split[0]


def test_first_and_last_stage_hold_embedding_and_head():
    """Llama-3.1-8B at PP 4: 3.25 GiB of layers, 0.98 more at both ends, 0.03 of rotary table."""
    stages = weights_bytes(shape("meta-llama/Llama-3.1-8B-Instruct"), Parallelism(pipeline=4))

    assert [round(stage / GIB, 2) for stage in stages] == [4.26, 3.28, 3.28, 4.26]


def test_tied_head_is_copied_to_the_last_stage():
    whole, split = (
        weights_bytes(shape("Qwen/Qwen3-0.6B"), Parallelism(pipeline=stages)) for stages in (1, 2)
    )
    embedding = 151_936 * 1024 * 2
    again = embedding + rope_bytes(shape("Qwen/Qwen3-0.6B"))

    assert sum(split) == pytest.approx(sum(whole) + again, rel=0.002)


def test_expert_parallelism_keeps_the_total_and_attention_dp_copies_attention():
    moe = shape("Qwen/Qwen3-30B-A3B")
    sharded = weights_bytes(moe, Parallelism(tensor=4))[0]
    spread = weights_bytes(moe, Parallelism(tensor=4, expert=4))[0]
    copied = weights_bytes(moe, Parallelism(tensor=4, attention_data=4))[0]

    assert spread == pytest.approx(sharded, rel=0.01)
    attention = 48 * (2 * 4096 * 2048 + 2 * 512 * 2048)
    assert copied - sharded == pytest.approx(1.5 * (attention + 151_936 * 2048), rel=0.01)


def test_vllm_spreads_experts_over_data_parallel_ranks():
    moe = shape("Qwen/Qwen3-30B-A3B")
    copies = weights_bytes(moe, Parallelism(data=4))[0]
    group = weights_bytes(
        moe, Parallelism(data=4), by=split(Parallelism(data=4), experts_span_data=True)
    )[0]

    assert group < 0.4 * copies


def test_mla_latent_projections_are_on_every_gpu():
    alone, eight = (
        weights_bytes(shape("deepseek-ai/DeepSeek-R1"), Parallelism(tensor=tensor))[0]
        for tensor in (1, 8)
    )

    latent = 61 * (1536 + 576) * 7168  # FP8: a byte each

    assert eight == pytest.approx(alone / 8 + 7 / 8 * latent, rel=0.005)


def test_mamba2_keeps_its_only_group_on_every_gpu():
    """granite-4.0-h-tiny: B and C of 1 x 128, each 1536 wide and with 4 taps and an offset."""
    mixer = next(x.mixer for x in shape("ibm-granite/granite-4.0-h-tiny").layers if x.mixer)
    group = [t for t in mamba2(mixer, 1536) if t.shard == "kv_heads"]

    assert sum(t.parameters for t in group) == 256 * (1536 + 4 + 1)
    assert {local_size(t, Split(attention=4))[0] == t.rows for t in group} == {True}


def test_kimi_fills_the_shards_of_its_experts_from_0_27_on():
    """moe_intermediate_size 1024 over 8 GPUs is 128, which becomes 256."""
    widths = [expert_width(limits(v), "KimiLinearForCausalLM") for v in ("0.26.0", "0.27.0")]
    kimi, eight = shape("moonshotai/Kimi-Linear-48B-A3B-Instruct"), Parallelism(tensor=8)
    plain, filled = (
        weights_bytes(kimi, eight, by=split(eight, least_expert=width))[0] for width in widths
    )

    assert widths == [0, 256]
    experts = 26 * 256 * 3 * 2304 * 128 * 2
    assert filled - plain == pytest.approx(experts, rel=0.001)


@pytest.mark.parametrize(
    ("model", "version", "times"),
    [
        ("Qwen2_5_VLForConditionalGeneration", "0.33.0", 4),
        ("Qwen3_5ForConditionalGeneration", "0.31.0", 4),
        ("Qwen3_5ForConditionalGeneration", "0.32.0", 1),
        ("LlamaForCausalLM", "0.33.0", 1),
    ],
)
def test_rotary_tables_of_videos_are_longer(model, version, times):
    assert rotary_factor(limits(version), model) == times


def test_metas_fp8_keeps_attention_and_the_outer_layers():
    """Without the list of what is kept; 56.77 GiB on each of 8 (vllm-0200, vllm-0201)."""
    config = model_card("meta-llama/Llama-3.1-405B-Instruct-FP8").config
    plain = config | {"quantization_config": {"quant_method": "fbgemm_fp8"}}
    (size,) = weights_bytes(model_shape(plain), Parallelism(tensor=8))

    assert size / GIB == pytest.approx(56.77, abs=0.01)


def linear(**layout) -> tuple[int, int, int]:
    return parts(4096, 4096, Quantization(method="x", **layout), 2)


def test_layouts_by_hand():
    assert parts(4096, 4096, None, 2) == (33_554_432, 0, 0)
    assert linear(bits=8, scale_bytes=4) == (16_777_216, 4096 * 4, 0)
    assert linear(bits=8, block=(128, 128), scale_bytes=4) == (16_777_216, 32 * 32 * 4, 0)
    assert linear(bits=4, group_size=128, zero_points=True) == (
        8_388_608, 4096 * 32 * 2, 4096 * 32 // 2,
    )  # fmt: skip
    assert linear(bits=4, group_size=16, scale_bytes=1) == (8_388_608, 4096 * 256, 0)


def test_what_a_checkpoint_leaves_out_stays_16_bit():
    """A w4a16 Llama-3.1-8B: 2 x 525 M of vocabulary in 16 bit, 6.98 B in 4 bit and scales."""
    total = file_bytes(shape("RedHatAI/Meta-Llama-3.1-8B-Instruct-quantized.w4a16"))
    linears = 6_979_321_856

    assert total == pytest.approx(
        2 * (8_030_261_248 - linears) + linears / 2 + 2 * linears / 128, rel=1e-3
    )


NAMES = {
    ("lm_head", "lm_head"): True,
    ("gate", "layers.3.mlp.gate_proj"): False,
    ("model.layers.3.mlp", "layers.3.mlp.up_proj"): True,
    ("model.layers.3.mlp", "layers.33.mlp.up_proj"): False,
    ("model.layers.0.self_attn*", "layers.0.self_attn.q_proj"): True,
    ("*self_attn*", "layers.0.self_attn.q_proj"): True,
    ("re:.*self_attn.*", "layers.0.self_attn.q_proj"): True,
    ("re:.*mlp\\.(gate|up|gate_up|down)_proj.*", "layers.1.mlp.experts.0.up_proj"): False,
    ("model.layers.*.self_attn", "layers.7.self_attn.q_proj"): False,
    ("layers.0.ffn.experts", "layers.0.mlp.experts.0.up_proj"): True,
    ("backbone.layers.1.mixer.in_proj", "layers.1.mixer.in_proj"): True,
}


@pytest.mark.parametrize(("case", "expected"), NAMES.items(), ids=str)
def test_patterns_name_modules(case, expected):
    pattern, name = case

    assert Patterns((pattern,)).match(name) is expected


def test_on_the_fly_quantisation_halves_the_linear_layers():
    llama = shape("meta-llama/Llama-3.1-8B-Instruct")
    half = weights_bytes(llama, ONE, quantization="fp8")[0]
    quarter = weights_bytes(llama, ONE, quantization="bitsandbytes")[0]

    assert half == pytest.approx(8.46 * GIB, rel=0.01)
    assert quarter == pytest.approx(5.6 * GIB, rel=0.02)


def test_a_method_that_cannot_quantise_while_loading_is_refused():
    with pytest.raises(ValueError, match="bitsandbytes"):
        weights_bytes(shape("Qwen/Qwen3-8B"), ONE, quantization="awq")


def test_a_quantised_checkpoint_keeps_its_layout():
    awq = shape("Qwen/Qwen3-8B-AWQ")

    assert weights_bytes(awq, ONE, quantization="fp8") == weights_bytes(awq, ONE)


def test_stated_file_size_wins_over_the_shape():
    llama = shape("meta-llama/Llama-3.1-8B-Instruct")
    scaled = weights_bytes(llama, ONE, total_bytes=int(1.1 * file_bytes(llama)))[0]

    assert scaled == pytest.approx(1.1 * 2 * 8_030_261_248 + 32 * MIB, rel=1e-4)


def test_draft_layers_in_the_files_are_not_loaded():
    """DeepSeek-R1's files hold 685 B parameters, 14 B of them a draft layer."""
    r1 = shape("deepseek-ai/DeepSeek-R1")
    files = file_bytes(r1) + draft_bytes(r1)

    assert weights_bytes(r1, ONE, total_bytes=files) == weights_bytes(r1, ONE)
    assert draft_bytes(r1) == pytest.approx(11.6e9, rel=0.05)


ALLOCATIONS = {135 * MIB: 136 * MIB, 136 * MIB: 136 * MIB, 25 * MIB // 2: 25 * MIB // 2, 100: 100}


@pytest.mark.parametrize(
    ("board", "version", "adapters", "tile"),
    [
        ("h100", "0.33.0", False, (64, 1)),
        ("h100", "0.33.0", True, (128, 256)),
        ("b200", "0.26.0", False, (256, 256)),
        ("b200", "0.27.0", False, (128, 256)),
        ("l40s", "0.33.0", False, (128, 256)),
    ],
    ids=["triton", "adapters-need-marlin", "trtllm", "trtllm-0.27", "ada-has-marlin"],
)
def test_mxfp4_experts_fill_tiles_of_their_kernel(board, version, adapters, tile):
    card = gpu(board)
    rows = limits(version)
    kernel = expert_kernel(rows, "GptOssForCausalLM", card, card.memory_bytes, adapters=adapters)

    assert (kernel.width, kernel.hidden) == tile


@pytest.mark.parametrize(("size", "taken"), ALLOCATIONS.items(), ids=str)
def test_small_rests_of_a_segment_are_not_split_off(size, taken):
    assert allocated(size) == taken


@given(tensor=st.sampled_from([1, 2, 4, 8]), pipeline=st.integers(1, 4))
def test_more_gpus_never_hold_more(tensor, pipeline):
    llama = shape("meta-llama/Llama-3.1-8B-Instruct")
    few = max(weights_bytes(llama, Parallelism(tensor=tensor, pipeline=pipeline)))
    many = max(weights_bytes(llama, Parallelism(tensor=2 * tensor, pipeline=pipeline)))

    assert many < few


DATA = json.loads((Path(__file__).parents[1] / "data/weights-measured.json").read_text("utf-8"))


def created(of, layout: Parallelism) -> int:
    """Bytes of the parameters alone, as vLLM's classes create them."""
    kinds, order, first, last = stored_layers(of, of.quantization)
    pairs = (*first, *last, *(pair for kind in order for pair in kinds[kind]))
    return sum(sum(weights.part_bytes(pair, weights.split(layout), 2)) for pair in pairs)


@pytest.mark.parametrize("case", DATA["created"], ids=lambda case: case["model"])
def test_parameters_per_gpu_equal_what_vllm_creates(case):
    """VLLM's own classes on the meta device; what is left are vision tables and routing offsets."""
    computed = created(shape(case["model"]), Parallelism(tensor=case["tensor"]))

    assert computed == pytest.approx(case["bytes"], rel=1e-3)


# rows whose columns do not say what was loaded; counted in the median all the same
NOT_SAID = {
    "vllm-0272": "two GPUs stated, the whole model on one",
    "vllm-0248": "parallelism not stated",
    "sglang-0057": "weights copied by an old ROCm build",
    "sglang-0007": "quantisation not stated",
    "sglang-0008": "quantisation not stated",
    "sglang-0061": "quantisation not stated",
    "vllm-0292": "checkpoint of a mixed quantisation, not stated which",
}


def error(row: dict) -> float:
    """Computed over printed bytes of the fullest GPU, minus one."""
    sglang, data = row["engine"] == "sglang", row.get("data", 1)
    layout = Parallelism(
        tensor=row["tensor"],
        pipeline=row["pipeline"],
        expert=row.get("expert", 1),
        data=1 if sglang else data,
        attention_data=data if sglang else 1,
    )
    of = model_shape(DATA["configs"][row["config"]])
    return (
        max(weights_bytes(of, layout, by=split(layout, experts_span_data=not sglang)))
        / GIB
        / row["gib"]
        - 1
    )


def test_weights_equal_what_engines_printed():
    """Median within half a percent over all rows, four in five of those that say all within 3 %."""
    errors = {row["id"]: abs(error(row)) for row in DATA["rows"]}
    clear = sorted(size for name, size in errors.items() if name not in NOT_SAID)

    assert len(errors) >= 90
    assert statistics.median(errors.values()) <= 0.005
    assert clear[int(0.8 * len(clear))] <= 0.03


def test_dense_models_on_h100_are_exact():
    """Qwen2.5-32B at TP 4: 135 MiB matrices take 136; without the allocator 0.8 % are missing."""
    exact = {"vllm-0115": 0.001, "vllm-0159": 0.001, "vllm-0170": 0.001}

    assert all(abs(error(row)) < exact[row["id"]] for row in DATA["rows"] if row["id"] in exact)

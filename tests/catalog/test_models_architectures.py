"""config.json -> ModelShape: families against transformers, key names, refusals, quantisation."""

import json
from pathlib import Path

import pytest
from oracle.planned import NOT_THE_CHECKPOINT, counted_otherwise

from krm_fn.catalog.architecture import model_shape
from krm_fn.catalog.models import model_card
from krm_fn.catalog.shape import Attention, Mla, Moe, StateSpace
from krm_fn.planner.weights import parameters, parameters_by_class

ORACLE = json.loads((Path(__file__).parents[1] / "data/param-count.json").read_text("utf-8"))
COMPARED = [k for k in ORACLE["catalogue"] if not k.startswith(NOT_THE_CHECKPOINT)]


@pytest.mark.parametrize("name", ORACLE["families"])
def test_family_counts_what_transformers_builds(name):
    case = ORACLE["families"][name]

    assert counted_otherwise(model_shape(case["config"]), case["total"]) == 0


@pytest.mark.parametrize("name", COMPARED)
def test_catalogue_row_counts_what_transformers_builds(name):
    card = model_card(name).model_copy(update={"task": None})

    assert counted_otherwise(card.shape, ORACLE["catalogue"][name]["total"]) == 0


@pytest.mark.parametrize("name", ["Qwen/Qwen3-8B", "openai/gpt-oss-20b", "deepseek-ai/DeepSeek-R1"])
def test_classes_equal_those_of_the_oracle(name):
    mine, theirs = (
        parameters_by_class(model_card(name).shape),
        ORACLE["catalogue"][name]["by_class"],
    )

    assert mine["embedding"] == theirs["embedding"]
    assert mine["lm_head"] == theirs["lm_head"]
    assert mine.get("experts", 0) == theirs.get("experts", 0)
    assert mine.get("attention", 0) + mine.get("mla", 0) == theirs["attention"]


LLAMA = {
    "architectures": ["LlamaForCausalLM"],
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "vocab_size": 128256,
    "max_position_embeddings": 8192,
}


def test_unknown_architecture_is_read_by_its_keys_and_says_so():
    shape = model_shape(LLAMA | {"architectures": ["NewForCausalLM"]})

    assert parameters(shape) == 8_030_261_248
    assert "NewForCausalLM" in shape.unknown[0]


def test_unknown_architecture_with_foreign_layers_is_refused():
    with pytest.raises(ValueError, match=r"NewForCausalLM.*mamba_d_state"):
        model_shape(LLAMA | {"architectures": ["NewForCausalLM"], "mamba_d_state": 128})


def test_all_missing_keys_are_named_at_once():
    with pytest.raises(ValueError, match="hidden_size") as caught:
        model_shape({"architectures": ["LlamaForCausalLM"], "num_hidden_layers": 2})

    for key in (
        "num_attention_heads",
        "intermediate_size",
        "vocab_size",
        "max_position_embeddings",
    ):
        assert f"`{key}`" in str(caught.value)


def test_hybrid_without_its_pattern_is_refused():
    keys = LLAMA | {"architectures": ["NemotronHForCausalLM"]}
    with pytest.raises(ValueError, match="hybrid_override_pattern"):
        model_shape(keys)


def test_structural_keys_that_nothing_read_are_named():
    shape = model_shape(LLAMA | {"num_memory_slots": 64})

    assert shape.unknown == ("num_memory_slots: not understood",)


def test_other_names_of_the_same_thing():
    shape = model_shape(
        {
            "architectures": ["GPT2LMHeadModel"],
            "n_embd": 768,
            "n_layer": 12,
            "n_head": 12,
            "n_positions": 1024,
            "vocab_size": 50257,
        }
    )

    assert parameters(shape) == 124_439_808
    assert shape.position_embeddings == 1024


def mixers(name: str) -> list:
    return [layer.mixer for layer in model_card(name).shape.layers]


def test_sliding_and_full_layers_alternate():
    windows = [mixer.window for mixer in mixers("openai/gpt-oss-20b")]

    assert windows == [128, None] * 12


def test_gemma3_has_one_full_layer_in_six():
    windows = [mixer.window for mixer in mixers("google/gemma-3-27b-it")]

    assert windows[:6] == [1024] * 5 + [None]
    assert windows.count(None) == 10


def test_gemma4_full_layers_are_wider_and_use_k_as_v():
    full = next(m for m in mixers("google/gemma-4-26B-A4B-it") if m.window is None)

    assert (full.head_dim, full.num_kv_heads, full.k_eq_v) == (512, 2, True)


def test_llama4_attends_in_chunks_but_every_fourth_layer():
    chunks = [mixer.chunk for mixer in mixers("meta-llama/Llama-4-Scout-17B-16E-Instruct")]

    assert chunks[:4] == [8192, 8192, 8192, None]


def test_qwen_without_use_sliding_window_is_full():
    config = {"sliding_window": 32768, "use_sliding_window": False, "max_window_layers": 28}
    shape = model_shape(LLAMA | {"architectures": ["Qwen2ForCausalLM"]} | config)

    assert {mixer.window for mixer in shape.attention_layers} == {None}


def test_qwen3_next_has_three_states_to_one_attention():
    kinds = [type(mixer) for mixer in mixers("Qwen/Qwen3-Next-80B-A3B-Instruct")]

    assert kinds[:4] == [StateSpace, StateSpace, StateSpace, Attention]


def test_nemotron_h_layers_are_single_blocks():
    shape = model_card("nvidia/NVIDIA-Nemotron-3-Nano-30B-A3B-BF16").shape

    assert all((layer.mixer is None) != (layer.ffn is None) for layer in shape.layers)
    assert sum(isinstance(layer.mixer, Attention) for layer in shape.layers) == 6


def test_falcon_h1_has_both_mixers_in_a_layer():
    shape = model_shape(ORACLE["families"]["falconh1"]["config"])

    assert isinstance(shape.layers[0].mixer, Attention)
    assert isinstance(shape.layers[0].parallel, StateSpace)


def test_glm52_shares_the_indexer_of_an_earlier_layer():
    shared = [mixer.index_shared for mixer in mixers("zai-org/GLM-5.2-FP8")]

    assert shared[:7] == [False, False, False, True, True, True, False]


def test_deepseek_v4_compresses_the_cache():
    ratios = [mixer.compress_ratio for mixer in mixers("deepseek-ai/DeepSeek-V4-Flash")]

    assert ratios[:4] == [0, 0, 4, 128]
    assert all(isinstance(mixer, Mla) for mixer in mixers("deepseek-ai/DeepSeek-V4-Flash"))


def test_first_layers_of_deepseek_are_dense():
    layers = model_card("deepseek-ai/DeepSeek-R1").shape.layers

    assert [isinstance(layer.ffn, Moe) for layer in layers[:4]] == [False, False, False, True]


def test_yarn_keeps_a_table_of_the_stretched_context():
    config = {
        "rope_scaling": {"type": "yarn", "factor": 4, "original_max_position_embeddings": 32768}
    }
    shape = model_shape(LLAMA | config)

    assert shape.rope_caches == ((131072, 128),)


def test_a_linear_scaling_makes_the_table_of_full_layers_longer():
    """gemma-3-12b: 8 x 131,072 positions beside those of the windows; 23.31 GiB in vllm-0010."""
    shape = model_card("google/gemma-3-12b-it").shape

    assert shape.rope_caches == ((1_048_576, 256), (131_072, 256))


def test_tables_of_gemma4_and_of_an_indexer():
    """Full layers of Gemma 4 rotate heads of 512; DeepSeek V3.2's indexer has its own table."""
    gemma, sparse = (
        model_card(name).shape.rope_caches
        for name in ("google/gemma-4-26B-A4B-it", "deepseek-ai/DeepSeek-V3.2")
    )

    assert gemma == ((262_144, 256), (262_144, 512))
    assert sparse == ((163_840, 64), (163_840, 64))

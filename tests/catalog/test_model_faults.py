"""A config.json may hold anything: every key that is wrong is named, and nothing else escapes."""

import contextlib
import copy
import time
from typing import Any

import asking
import pytest
from configs import RUBBISH, paths
from hypothesis import given, settings
from hypothesis import strategies as st

from krm_fn.catalog.architecture import model_shape
from krm_fn.catalog.architectures.faults import ModelConfigError
from krm_fn.catalog.models import model_card, model_ids

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
SIZES = [key for key in LLAMA if key != "architectures"]


def faults(config: dict[str, Any]) -> dict[str | None, str]:
    with pytest.raises(ModelConfigError) as caught:
        model_shape(config)
    return dict(caught.value.faults)


@pytest.mark.parametrize("key", SIZES)
@pytest.mark.parametrize("value", [0, -1, 1.5, True, "many", [], {}, float("nan"), 10**12])
def test_a_size_is_a_whole_number_above_zero(key, value):
    """One fault, of the key alone."""
    assert list(faults(LLAMA | {key: value})) == [key]


def test_all_wrong_sizes_are_named_at_once():
    assert set(faults(LLAMA | dict.fromkeys(SIZES, 0))) == set(SIZES)


def test_json_may_write_a_whole_number_with_a_point():
    assert model_shape(LLAMA | {"hidden_size": 4096.0}) == model_shape(LLAMA)


def test_a_number_in_quotes_is_told_to_lose_them():
    text = faults(LLAMA | {"vocab_size": "128256"})["vocab_size"]

    assert text.endswith('got "128256": remove the quotes, 128256')


def test_a_key_is_named_where_it_stands():
    """In the text part, under the name that the file uses."""
    inner = {k: v for k, v in LLAMA.items() if k != "hidden_size"} | {"n_embd": 0}
    config = {"architectures": ["Mistral3ForConditionalGeneration"], "text_config": inner}

    assert list(faults(config)) == ["text_config.n_embd"]


JAMBA = {
    "architectures": ["JambaForCausalLM"],
    "attn_layer_period": 8,
    "attn_layer_offset": 4,
    "mamba_d_state": 16,
    "mamba_d_conv": 4,
    "mamba_expand": 2,
}
CASES = [
    ({"num_attention_heads": 33}, "num_attention_heads", "must divide hidden_size 4096"),
    ({"num_key_value_heads": 64}, "num_key_value_heads", "must be at most the number of query"),
    ({"layer_types": ["full_attention"]}, "layer_types", "must name each of the 32 layers; got 1"),
    ({"layer_types": ["new"] * 32}, "layer_types", "must be of full_attention, sliding_"),
    ({"num_hidden_layers": 10**9}, "num_hidden_layers", "must be a whole number of at most 1024"),
    ({"torch_dtype": "float99"}, "torch_dtype", "must be one of bfloat16"),
    ({**JAMBA, "attn_layer_period": 0}, "attn_layer_period", "must be a whole number of at least"),
    ({"quantization_config": "gptq"}, "quantization_config", 'must be a map; got "gptq"'),
    (
        {"quantization_config": {"quant_method": "compressed-tensors", "config_groups": 3}},
        "quantization_config.config_groups",
        "must be a map; got 3",
    ),
    ({"vision_config": 5}, "vision_config", "must be a map; got 5"),
    ({"architectures": "LlamaForCausalLM"}, "architectures", "must be a list"),
]


@pytest.mark.parametrize(
    ("change", "key", "text"), CASES, ids=[str(case[0])[:50] for case in CASES]
)
def test_what_no_model_has_is_named_at_its_key(change, key, text):
    found = faults(LLAMA | change)

    assert list(found) == [key]
    assert found[key].startswith(text)


def test_heads_need_not_divide_a_width_that_has_a_head_size():
    assert model_shape(
        LLAMA | {"num_attention_heads": 33, "head_dim": 128, "num_key_value_heads": 3}
    )


@st.composite
def damaged(draw: st.DrawFn) -> dict[str, Any]:
    """A catalogued config.json in which up to three values are something else."""
    card = model_card(draw(st.sampled_from(model_ids())))
    found = copy.deepcopy(card.config)
    for _ in range(draw(st.integers(1, 3))):
        *above, last = draw(st.sampled_from(paths(found)))
        inner: Any = found
        for key in above:
            inner = inner[key]
        inner[last] = copy.deepcopy(draw(RUBBISH))  # it may be damaged next
    return found


@settings(max_examples=150, derandomize=True)
@given(damaged())
def test_whatever_a_file_holds_is_read_or_refused(config):
    """No other exception."""
    with contextlib.suppress(ModelConfigError):
        model_shape(config)


@settings(max_examples=40, derandomize=True, deadline=None)
@given(damaged())
def test_whatever_a_file_holds_is_planned_or_refused_soon(config):
    """By the whole function; seconds of this process, of which the alternatives take the most."""
    start = time.process_time()
    asking.answer(asking.config("org/own", pool={"gpusPerNode": 8}, model_spec={"config": config}))

    assert time.process_time() - start < 5

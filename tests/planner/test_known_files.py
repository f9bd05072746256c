"""Inline configs that say less than the files of a catalogued id hold, or something else."""

import pytest
from asking import config, messages, plan, question

from krm_fn.catalog.models import model_card, model_ids
from krm_fn.planner.weights import draft_bytes, file_bytes
from krm_fn.units import GIB

NVFP4 = "Inferact/Qwen3.8-27B-NVFP4"
RTX_5090 = "NVIDIA-GeForce-RTX-5090"
WITH_TOTALS = [name for name in model_ids() if model_card(name).safetensors]


def inline(name=NVFP4, **changes):
    """The model with its own config in line; None takes a key out."""
    given = model_card(name).config | changes
    return {"config": {key: value for key, value in given.items() if value is not None}}


@pytest.mark.parametrize("name", WITH_TOTALS)
def test_the_shape_explains_the_bytes_of_the_files(name):
    """What is left of 26 to 56 GB are the headers of the files."""
    card = model_card(name)
    counted = file_bytes(card.shape) + draft_bytes(card.shape)

    assert counted == pytest.approx(card.safetensors.total_bytes, rel=2e-4)


@pytest.mark.parametrize(
    ("name", "gib"),
    [
        pytest.param("Qwen/Qwen3.8-27B-FP8", 14.28, id="vllm-0190"),
        pytest.param(NVFP4, 12.02, id="vllm-0191"),
    ],
)
def test_weights_of_two_rtx_5090(name, gib):
    pool, spec = {"gpusPerNode": 2}, {"tensorParallelSize": 2, "kvCacheDtype": "fp8"}
    variants = {"vllm": {"version": "0.26.1"}}
    found = plan(name, RTX_5090, serving=spec, pool=pool, variants=variants)

    assert found.memory.weights_bytes / GIB == pytest.approx(gib, rel=0.01)


def test_a_layout_that_the_files_contradict_is_that_of_the_catalogue():
    """All of it in 4 bits would be 19 GB; the files hold 26."""
    spec = {"quant_method": "modelopt", "quant_algo": "NVFP4", "ignore": ["lm_head"]}
    given = inline(quantization_config=spec)
    found = question(NVFP4, RTX_5090, model_spec=given)

    assert found.shape.quantization == model_card(NVFP4).shape.quantization


def test_a_layout_that_the_files_confirm_is_taken_as_it_is_stated():
    own = model_card("Qwen/Qwen3.8-27B-FP8").config["quantization_config"] | {"fmt": "e4m3"}
    given = inline("Qwen/Qwen3.8-27B-FP8", quantization_config=own)

    assert not _said("Qwen/Qwen3.8-27B-FP8", given, "taken from the catalogue")


def test_states_without_a_dtype_have_that_of_the_catalogue():
    """In 16 bits a block would hold 800 tokens, and the cache twice as many."""
    text = dict(model_card(NVFP4).config["text_config"])
    text.pop("mamba_ssm_dtype")
    spec = {"kvCacheDtype": "fp8", "maxNumSeqs": 8}
    of = {"model_spec": inline(text_config=text), "serving": spec}
    found = plan(NVFP4, RTX_5090, variants={"vllm": {"version": "0.26.1"}}, **of)

    assert found.memory.block_size == 1568


def test_a_config_that_decides_no_shape_is_completed():
    """vllm-0017: without its vocab_size, and planned within 2 % all the same."""
    name = "Qwen/Qwen3-8B"
    given = inline(name, vocab_size=None)

    assert question(name, model_spec=given).shape == model_card(name).shape
    assert _said(name, given, "lacks what decides the shape")


def test_a_config_of_another_model_is_not_completed():
    given = inline("Qwen/Qwen3-8B", vocab_size=None)

    assert messages(config("me/my-own", model_spec=given))


@pytest.mark.parametrize(
    ("name", "changes", "said"),
    [
        ("me/my-own", {}, True),
        ("me/my-own", {"sliding_window": 0}, False),
        ("mistralai/Mistral-7B-Instruct-v0.3", {}, False),
    ],
    ids=["absent", "none-by-name", "catalogued"],
)
def test_a_window_that_an_engine_takes_unasked_is_said(name, changes, said):
    """A Mistral config without the key has 4096 in transformers; null and 0 have none."""
    given = model_card("mistralai/Mistral-7B-Instruct-v0.3").config | changes
    found = question(name, model_spec={"config": given})

    assert {layer.mixer.window for layer in found.shape.layers} == {None}
    assert bool(_said(name, {"config": given}, "has no sliding_window")) == said


def _said(name, given, text):
    return [m for m in messages(config(name, model_spec=given), severity="warning") if text in m]

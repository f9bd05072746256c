"""Every row of the model catalogue loads, has a source, and adds up to its parameters."""

import importlib.resources
import re

import pytest
import yaml
from pydantic import ValidationError

from krm_fn.catalog import models
from krm_fn.catalog.models import ModelCard, model_card, model_ids, near_models
from krm_fn.planner.weights import parameters

CARDS = [card for name in model_ids() if (card := model_card(name))]
TEXT = importlib.resources.files("krm_fn.catalog").joinpath("models.yaml").read_text("utf-8")

DEPLOYED = (
    "Qwen/Qwen3-8B",
    "Qwen/Qwen3-0.6B",
    "Qwen/Qwen3-32B-AWQ",
    "Qwen/Qwen3-30B-A3B",
    "Qwen/Qwen3-235B-A22B-FP8",
    "Qwen/Qwen3-Next-80B-A3B-Instruct",
    "Qwen/Qwen2.5-VL-7B-Instruct",
    "Qwen/Qwen3-Embedding-8B",
    "meta-llama/Llama-3.1-8B-Instruct",
    "meta-llama/Llama-3.3-70B-Instruct",
    "RedHatAI/Llama-3.3-70B-Instruct-FP8-dynamic",
    "openai/gpt-oss-20b",
    "openai/gpt-oss-120b",
    "deepseek-ai/DeepSeek-R1",
    "deepseek-ai/DeepSeek-V3.2",
    "moonshotai/Kimi-K2-Thinking",
    "mistralai/Mixtral-8x7B-Instruct-v0.1",
    "nvidia/NVIDIA-Nemotron-Nano-9B-v2",
    "zai-org/GLM-4.6",
    "MiniMaxAI/MiniMax-M2",
    "BAAI/bge-m3",
    "intfloat/e5-mistral-7b-instruct",
)


def test_every_row_is_found_by_slicing_the_text():
    """Slicing must find what a full parse of the file finds, in the same order."""
    parsed = yaml.load(TEXT, Loader=yaml.CSafeLoader)

    assert [row["id"] for row in parsed] == list(model_ids())
    assert len(CARDS) == len(set(model_ids())) >= 100


@pytest.mark.parametrize("name", DEPLOYED)
def test_what_people_deploy_is_there(name):
    assert model_card(name)


@pytest.mark.parametrize("card", CARDS, ids=lambda card: card.id)
def test_row_adds_up_to_its_parameters(card):
    """Exactly, or within half a percent where the row says why."""
    counted = parameters(model_card(card.id).shape if card.task is None else _causal(card))

    assert card.source
    if counted != card.parameters:
        assert card.notes
        assert abs(counted / card.parameters - 1) <= 0.005


def _causal(card: ModelCard):
    """Published totals of causal embedding models follow their config.json."""
    return card.model_copy(update={"task": None}).shape


@pytest.mark.parametrize("card", CARDS, ids=lambda card: card.id)
def test_row_is_understood(card):
    """Nothing is left over, but encoders that a note says are not counted."""
    shape = card.shape

    assert shape.vocab_size > 0
    assert shape.max_position_embeddings >= 512
    assert not shape.unknown or (card.notes and "not counted" in card.notes)


def test_the_quickstart_model_is_not_gated():
    assert not model_card("Qwen/Qwen3-8B").gated
    assert model_card("meta-llama/Llama-3.1-8B-Instruct").gated


def test_a_causal_embedding_model_loads_no_head():
    shape = model_card("Qwen/Qwen3-Embedding-8B").shape

    assert shape.task == "embed"
    assert parameters(shape) == 7_567_295_488


def test_capital_letters_suggest_and_do_not_match():
    assert model_card("qwen/qwen3-8b") is None
    assert near_models("qwen/qwen3-8b")[0] == "Qwen/Qwen3-8B"
    assert near_models("Llama-3.3-70B-Instruct")[0] == "meta-llama/Llama-3.3-70B-Instruct"
    assert near_models("nobody/nothing-like-it") == ()


def test_only_the_wanted_row_is_parsed(monkeypatch):
    seen = []
    monkeypatch.setattr(models.yaml, "load", lambda text, **_: seen.append(text) or [{}])
    models.model_card.cache_clear()
    with pytest.raises(ValidationError):
        model_card("Qwen/Qwen3-8B")
    models.model_card.cache_clear()

    assert len(re.findall("^- id:", seen[0], re.MULTILINE)) == 1


def test_a_card_reports_all_its_faults():
    with pytest.raises(ValidationError) as caught:
        ModelCard.model_validate(
            {"id": "a/b", "config": {}, "revision": "main", "parameters": -1, "colour": "red"}
        )

    assert {error["loc"][0] for error in caught.value.errors()} == {
        "revision",
        "parameters",
        "colour",
        "source",
    }


def _yarn(card):
    text = card.config.get("text_config", card.config)
    scaling = text.get("rope_scaling") or text.get("rope_parameters") or {}
    return text, scaling if scaling.get("type", scaling.get("rope_type")) == "yarn" else {}


@pytest.mark.parametrize("card", [card for card in CARDS if _yarn(card)[1]], ids=lambda c: c.id)
def test_a_stretched_context_is_the_original_one_times_the_factor(card):
    """Kimi K2 0905: 4096 x 64 = 262,144; with the 32 of the first release the table is half."""
    text, scaling = _yarn(card)
    length = scaling["original_max_position_embeddings"] * scaling["factor"]

    assert length == text["max_position_embeddings"]

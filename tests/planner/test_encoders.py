"""Models that embed: their length, and prompts that are read whole."""

import pytest
from asking import QWEN, plan, plans

from krm_fn.catalog.models import model_card

L4 = "NVIDIA-L4"


@pytest.mark.parametrize(
    ("name", "longest"),
    [
        ("BAAI/bge-m3", 8192),
        ("intfloat/multilingual-e5-large", 512),
        ("BAAI/bge-large-en-v1.5", 512),
        ("Alibaba-NLP/gte-modernbert-base", 8192),
    ],
)
def test_usable_positions(name, longest):
    """RoBERTa's positions start behind the padding id: 8194 and 514 of the config hold two less."""
    shape = model_card(name).shape

    assert (shape.max_position_embeddings, shape.causal) == (longest, False)


@pytest.mark.parametrize(
    ("name", "version", "tokens"),
    [
        ("BAAI/bge-m3", "0.33.0", 8192),
        ("google/embeddinggemma-300m", "0.33.0", 2048),
        ("Qwen/Qwen3-Embedding-0.6B", "0.33.0", 2048),
        ("Qwen/Qwen3-Embedding-0.6B", "0.9.2", 8192),
    ],
)
def test_a_step_holds_a_prompt_that_is_read_whole(name, version, tokens):
    """Encoders are read in one step, before vLLM 0.10.1 whatever pools."""
    found = plan(name, L4, variants={"vllm": {"version": version}}).serving

    assert found.max_num_batched_tokens == tokens
    assert tokens == 2048 or found.max_model_len <= tokens


def test_a_step_holds_a_token_of_each_request_under_vllm():
    vllm, sglang = (each.serving for each in plans(QWEN, serving={"maxNumSeqs": 16000}))

    assert vllm.max_num_batched_tokens == 16000
    assert sglang.max_num_batched_tokens == 8192

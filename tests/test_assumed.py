"""What is assumed where nothing is stated fits the model, and what is stated oddly is told."""

import pytest
from asking import answer, config, messages, plan, question

BGE, L4 = "BAAI/bge-large-en-v1.5", "NVIDIA-L4"


def lengths(model: str = BGE, **spec: object) -> tuple[int, int, int]:
    """Prompt, answer and context of the plan."""
    work = question(model, gpu=L4, **spec).workload
    return work.input_tokens, work.output_tokens, plan(model, gpu=L4, **spec).serving.max_model_len


def test_prompts_of_an_embedding_model_are_as_long_as_it_reads():
    """512 tokens, not 1024, and an answer needs none of them."""
    prompt, _, context = lengths()

    assert (prompt, context) == (512, 512)


def test_a_stated_load_alone_assumes_the_same_prompts():
    assert lengths(workload={"concurrency": 8})[0] == 512


def test_a_stated_context_leaves_room_for_the_answer():
    """A fifth of it, as 256 of 1280."""
    assert lengths("Qwen/Qwen3-8B", serving={"maxModelLen": 1000})[:2] == (800, 200)


def test_a_stated_answer_is_kept():
    spec = {"serving": {"maxModelLen": 1000}, "workload": {"outputTokens": 900}}

    assert lengths("Qwen/Qwen3-8B", **spec)[:2] == (100, 900)


def test_stated_prompts_are_never_cut():
    found = messages(config(BGE, L4, workload={"inputTokens": 1024}))

    assert found == ["spec.workload.inputTokens: 1024 must be at most 512, the model's own context"]


def test_what_was_assumed_is_told():
    (told,) = (m for m in messages(config(BGE, L4), severity="info") if "workload" in m)

    assert "planned for requests of 512 input tokens on one replica" in told


@pytest.mark.parametrize(("memory", "told"), [("500Gi", 1), ("40Gi", 1), ("79Gi", 0), ("75Gi", 0)])
def test_memory_that_is_not_that_of_the_board_is_told(memory, told):
    """H100: 79.2 GiB; ECC and drivers take a little, nothing adds."""
    found = messages(config(pool={"gpuMemory": memory}), severity="warning")

    assert len([m for m in found if "gpuMemory" in m]) == told


def test_a_row_of_ones_own_has_the_memory_that_it_states():
    own = {"name": "Board", "memory": "500Gi", "bandwidth": "1TB/s", "source": "me"}
    pool = {"gpu": own | {"computeCapability": "9.0", "flops": {"bf16": 100}}, "gpuMemory": "5Gi"}

    assert not [r for r in answer(config(pool=pool))[1] if "is far from" in r.message]

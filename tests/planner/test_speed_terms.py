"""What `explain` prints of speed can be recomputed: parts come to their whole, in range."""

import pytest
from asking import plan, question

from krm_fn.planner.speed import speed
from krm_fn.planner.speed_terms import speed_terms

CASES = (
    ("Qwen/Qwen3-8B", "NVIDIA-L40S", {"concurrency": 16}),
    ("Qwen/Qwen3-30B-A3B", "NVIDIA-H100-80GB-HBM3", {"concurrency": 64, "inputTokens": 3000}),
    ("deepseek-ai/DeepSeek-R1", "NVIDIA-H200", {"requestsPerSecond": 2.0}),
    ("Qwen/Qwen3-8B", "NVIDIA-L4", {"concurrency": 5000}),
    ("Qwen/Qwen3-Embedding-8B", "NVIDIA-L40S", {"concurrency": 16}),
)
each_case = pytest.mark.parametrize(("model", "gpu", "workload"), CASES)


def terms(model, gpu, workload):
    given = {"workload": workload, "pool": {"gpusPerNode": 8}}
    asked, found = question(model, gpu, **given), plan(model, gpu, **given)
    known = speed(asked, found.parallelism, found.serving, found.memory)
    lines = tuple(speed_terms(asked, known, found.estimate))
    return found.estimate, {line.field: line for line in lines}


def parts(lines, of):
    return sum(x.amount for name, x in lines.items() if name.startswith(f"{of}.") and of != name)


@each_case
def test_parts_come_to_ttft_and_itl(model, gpu, workload):
    """But the floor, which is another sum, and the queue, which stands in the formula."""
    estimate, lines = terms(model, gpu, workload)
    floor = lines["itl.floor"].amount if "itl.floor" in lines else 0.0
    step = parts(lines, "itl") - floor

    assert estimate.ttft_seconds >= parts(lines, "ttft") * 0.999
    assert estimate.itl_seconds == pytest.approx(max(floor, step))


def test_without_a_queue_the_parts_are_the_whole():
    estimate, lines = terms(*CASES[0])

    assert estimate.ttft_seconds == pytest.approx(parts(lines, "ttft"))


@each_case
def test_every_line_has_a_formula_with_numbers_and_a_source(model, gpu, workload):
    _, lines = terms(model, gpu, workload)

    for line in lines.values():
        assert any(character.isdigit() for character in line.formula) or line.field == "itl"
        assert line.source


@each_case
def test_predictions_have_a_range_with_the_figure_in_it(model, gpu, workload):
    _, lines = terms(model, gpu, workload)

    for name in {"ttft", "itl", "requests per second"} & set(lines):
        low, high = lines[name].interval

        assert low < 1 < high
        assert " to " in lines[name].range


def test_an_embedding_model_has_no_tokens_to_wait_for():
    _, lines = terms(*CASES[-1])

    assert not [name for name in lines if name.startswith("itl")]
    assert "tokens per second per GPU" not in lines

"""Which layout and how many replicas a service gets, and why it gets none."""

import pytest
from asking import LLAMA, QWEN, plan, plans

from krm_fn.planner.plan import Parallelism

L4, L40S, H100 = "NVIDIA-L4", "NVIDIA-L40S", "NVIDIA-H100-80GB-HBM3"
LOAD = {"inputTokens": 2048, "outputTokens": 512}


def lines(found):
    return [f"{result.field_path}: {result.message}" for result in found.results]


def because(found, field):
    return next(reason.because for reason in found.reasons if reason.field == field)


@pytest.mark.parametrize(
    ("model", "gpu", "layout"),
    [
        (QWEN, L40S, Parallelism()),
        (LLAMA, H100, Parallelism(tensor=2)),
        (LLAMA, "NVIDIA-B200", Parallelism()),
    ],
)
def test_the_smallest_layout_that_fits(model, gpu, layout):
    """Without a load nothing asks for more GPUs."""
    assert plan(model, gpu).parallelism == layout


def test_all_engines_get_one_layout():
    """So that a change of the variant does not change the GPUs of a replica."""
    assert len({each.parallelism for each in plans(LLAMA, H100)}) == 1


@pytest.mark.parametrize("rate", [1.0, 10.0, 40.0])
def test_more_load_takes_more_gpus(rate):
    """Replicas x rate x 0.75 carry the load, and one replica fewer does not."""
    found = plan(QWEN, H100, pool={"nodes": 8}, workload={**LOAD, "requestsPerSecond": rate})
    alone = plan(QWEN, H100, workload=LOAD, serving={"tensorParallelSize": 1}).estimate
    carried = 0.75 * alone.requests_per_second_per_replica

    assert found.parallelism == Parallelism()
    assert (found.replicas - 1) * carried < rate <= found.replicas * carried


@pytest.mark.parametrize(
    ("share", "pool", "most"),
    [(8, {}, 8), (3, {"share": 3}, 3), (16, {"nodes": 2}, 16)],
)
def test_the_maximum_is_what_the_share_holds(share, pool, most):
    """One replica a GPU."""
    assert plan(QWEN, H100, pool=pool).max_replicas == most


def test_a_node_that_cannot_be_filled_holds_fewer():
    """Two nodes of 6 GPUs hold two replicas of 4, not three."""
    found = plan(QWEN, H100, pool={"gpusPerNode": 6, "nodes": 2}, serving={"tensorParallelSize": 4})

    assert found.max_replicas == 2


def test_a_stated_maximum_stays():
    """Where the share holds more."""
    assert plan(QWEN, H100, scaling={"maxReplicas": 3}).max_replicas == 3


def test_a_stated_minimum_is_planned():
    """The minimum runs at all times, so its GPUs count."""
    found = plan(QWEN, H100, scaling={"minReplicas": 3})

    assert (found.replicas, because(found, "replicas")) == (3, "the stated minimum")


def test_a_maximum_chooses_larger_replicas():
    """At most two replicas, and a load that needs more than two of one GPU."""
    work = {**LOAD, "requestsPerSecond": 30}
    free = plan(QWEN, H100, workload=work)
    bound = plan(QWEN, H100, workload=work, scaling={"maxReplicas": 2})

    assert free.replicas > 2
    assert (bound.feasible, bound.replicas <= 2) == (True, True)
    assert bound.gpus_per_replica > free.gpus_per_replica


@pytest.mark.parametrize(
    ("spec", "field", "words"),
    [
        (
            {"scaling": {"owner": "none", "replicas": 9}},
            "spec.scaling.replicas",
            "asks for 9 replicas of 1 GPU = 9 GPUs; the service may use 8 on nodes of 8",
        ),
        ({"scaling": {"minReplicas": 9}}, "spec.scaling.minReplicas", "asks for 9 replicas"),
        ({"scaling": {"maxReplicas": 9}}, "spec.scaling.maxReplicas", "asks for 9 replicas"),
        (
            {"workload": {**LOAD, "requestsPerSecond": 2000}},
            "spec.workload",
            "the stated load needs",
        ),
        (
            {"workload": {"objectives": {"itl": "1ms"}}},
            "spec.workload.objectives",
            "vllm 0.33.0: one request alone needs",
        ),
        (
            {"serving": {"tensorParallelSize": 16}},
            "spec.serving.tensorParallelSize",
            "a replica of 16 GPUs needs one node with as many; a node of the share has 8",
        ),
        (
            {"serving": {"expertParallelSize": 2}},
            "spec.serving.expertParallelSize",
            "the model has no experts to spread",
        ),
        (
            {"pool": {"gpusPerNode": 1, "nodes": 1}, "serving": {"memoryFraction": 0.2}},
            "spec.gpuPool",
            "does not fit on NVIDIA-H100-80GB-HBM3",
        ),
    ],
)
def test_refusals_say_the_field(spec, field, words):
    """One line, at the field that a user can change."""
    found = plan(QWEN, H100, **spec)
    (line,) = lines(found)

    assert not found.feasible
    assert line.startswith(f"{field}: ")
    assert words in line


def test_what_does_not_fit_is_shown_with_its_memory():
    """The nearest layout, so that the figures can be read."""
    found = plan(LLAMA, L4, pool={"gpusPerNode": 1})

    assert (found.feasible, found.memory.weights_bytes > 100 * 2**30) == (False, True)
    assert found.estimate is None


def test_a_layout_that_is_not_legal_has_figures_too():
    """Attention data parallelism beyond the tensor size cannot be counted and is left out."""
    stated = {"tensorParallelSize": 2, "attentionDataParallelSize": 4}
    found = plan("deepseek-ai/DeepSeek-R1", H100, serving=stated, variants={"sglang": {}})

    assert found.parallelism == Parallelism(tensor=2)
    (line,) = lines(found)
    assert line.startswith("spec.serving.attentionDataParallelSize: attention data size 4 must")

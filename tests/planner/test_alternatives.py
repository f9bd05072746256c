"""Changes that are offered for a service that cannot work: which, in what order, how many."""

import pytest
from asking import LLAMA, QWEN, answer, config, plan, plans

L4, L40S, H100 = "NVIDIA-L4", "NVIDIA-L40S", "NVIDIA-H100-80GB-HBM3"


def changes(found):
    return [alternative.change for alternative in found.alternatives]


def test_what_works_is_offered_nothing():
    """Alternatives are for refusals."""
    assert plan(QWEN, L40S).alternatives == ()


def test_a_context_is_cut_to_what_every_engine_holds():
    """Not to the least possible, and not to what one engine alone holds."""
    spec = {"serving": {"maxModelLen": 40960}, "pool": {"gpusPerNode": 1}}
    (first, *_) = changes(plans(QWEN, L4, **spec)[0])
    cut = first["serving.maxModelLen"]
    shorter = plans(QWEN, L4, **spec | {"serving": {"maxModelLen": cut}})
    longer = plans(QWEN, L4, **spec | {"serving": {"maxModelLen": cut + 2048}})

    assert all(each.feasible for each in shorter)
    assert not all(each.feasible for each in longer)


@pytest.mark.parametrize("size", [3, 16])
def test_other_tensor_sizes(size):
    """All that are legal, because a stated size has a reason that we do not know."""
    found = plan(QWEN, H100, serving={"tensorParallelSize": size})
    sizes = [change["serving.tensorParallelSize"] for change in changes(found)]

    assert sizes == [1, 2, 4, 8]


def test_a_larger_pool_is_offered_once():
    """Nodes with 2 GPUs suffice, so 4 and 8 are noise."""
    offered = changes(plan(QWEN, L4, serving={"maxModelLen": 40960}, pool={"gpusPerNode": 1}))

    assert [c for c in offered if "gpuPool.gpusPerNode" in c] == [{"gpuPool.gpusPerNode": 2}]


def test_a_stated_share_grows_with_the_pool():
    """More nodes alone would change nothing for the service."""
    pool = {"gpusPerNode": 1, "nodes": 1, "share": 1}
    offered = changes(plan(QWEN, L40S, pool=pool, scaling={"owner": "none", "replicas": 2}))

    assert {"gpuPool.nodes": 2, "gpuPool.share": 2} in offered


def test_load_that_the_share_carries():
    """Two digits, rounded down, and it works."""
    pool = {"gpusPerNode": 1}
    work = {"inputTokens": 2048, "outputTokens": 512, "requestsPerSecond": 50}
    (rate,) = (
        change["workload.requestsPerSecond"]
        for change in changes(plan(QWEN, L40S, pool=pool, workload=work))
        if set(change) == {"workload.requestsPerSecond"}
    )

    assert plan(QWEN, L40S, pool=pool, workload=work | {"requestsPerSecond": rate}).feasible
    more = work | {"requestsPerSecond": rate * 1.2}
    assert not plan(QWEN, L40S, pool=pool, workload=more).feasible


def test_objectives_that_are_reached():
    """Both objectives where both are missed, in one change."""
    found = plan(QWEN, L40S, workload={"objectives": {"ttft": "1ms", "itl": "1ms"}})
    (reached,) = (c for c in changes(found) if "workload.objectives.ttft" in c)

    assert set(reached) == {"workload.objectives.ttft", "workload.objectives.itl"}


def test_replicas_that_the_share_holds():
    """The nearest number below the stated one."""
    offered = changes(plan(QWEN, L40S, pool={"gpusPerNode": 4}, scaling={"maxReplicas": 6}))

    assert offered[0] == {"scaling.maxReplicas": 4}


def test_a_pair_is_offered_where_no_single_change_works():
    """Half the weights are still too much for the card; no pair contains what works alone."""
    offered = changes(plan(LLAMA, L4, pool={"gpusPerNode": 1}))
    singles = [change for change in offered if len(change) == 1]
    pairs = [change for change in offered if len(change) == 2]

    assert (len(offered), len(pairs)) == (3, 1)
    assert not any(one.items() <= pair.items() for one in singles for pair in pairs)


def test_no_more_than_five():
    """A reader wants a choice, not a catalogue."""
    assert len(plan(QWEN, L4, serving={"maxModelLen": 40960}).alternatives) <= 5


def test_slices_are_exchanged_for_larger_ones_and_whole_boards():
    """`mig` goes where a board is whole."""
    found = changes(plan(QWEN, "NVIDIA-A100-SXM4-40GB", pool={"mig": {"profile": "1g.5gb"}}))
    larger = {"gpuPool.gpu": "NVIDIA-A100-SXM4-40GB", "gpuPool.mig.profile": "3g.20gb"}

    assert larger in found
    assert {"gpuPool.gpu": L4, "gpuPool.mig": None} in found


def test_a_shared_gpu_is_exchanged_for_one_of_its_own():
    (first, *_) = changes(plan(QWEN, L4, pool={"shared": {"replicas": 4}}))

    assert first == {"gpuPool.gpu": L4, "gpuPool.shared": None}


def test_a_change_brings_the_cache_that_its_replicas_need():
    """Nodes with room for two replicas cannot share a claim that one node mounts."""
    spec = {"storage": {"cache": "claim"}, "serving": {"tensorParallelSize": 2}}
    found = changes(plan("Qwen/Qwen3-0.6B", L4, pool={"gpusPerNode": 1, "nodes": 2}, **spec))

    assert {"serving.tensorParallelSize": 1, "storage.cache": "ephemeral"} in found


def test_a_pool_that_services_share_is_changed_in_its_own_document():
    pool = {"apiVersion": "krm-fn.dev/v1alpha1", "kind": "GPUPool", "metadata": {"name": "small"}}
    pool |= {"spec": {"gpu": L4, "gpusPerNode": 1}}
    service = config(LLAMA)
    service["spec"] = {"model": service["spec"]["model"], "gpuPoolRef": {"name": "small"}}

    _, said = answer(service, pool)

    assert any("1. GPUPool/small spec." in result.message for result in said)


GPT_OSS, ONE = "openai/gpt-oss-20b", {"gpusPerNode": 1}


def test_what_comes_beside_the_budget_is_named_and_a_smaller_fraction_offered():
    """The cache would fit; expert kernels of vLLM take memory after it was sized."""
    found = plan(GPT_OSS, L4, pool=ONE)
    (said,) = found.results
    first = changes(found)[0]

    assert said.field_path == "spec.variants.vllm.memoryFraction"
    assert "expert kernels 2.5 GiB, for which 1.1 GiB is missing" in said.message
    assert list(first) == ["variants.vllm.memoryFraction"]
    assert plan(GPT_OSS, L4, pool=ONE, variants={"vllm": {"memoryFraction": 0.84}}).feasible


def test_a_fraction_of_one_variant_keeps_the_others():
    """Where no variant was stated, naming one alone would drop them."""
    first = changes(plans(GPT_OSS, L4, pool=ONE)[0])[0]

    assert first["variants.sglang"] == first["variants.mock"] == {}


def test_a_fraction_is_changed_where_it_stands():
    found = plan(GPT_OSS, L4, pool=ONE, serving={"memoryFraction": 0.98})

    assert changes(found)[0] == {"serving.memoryFraction": 0.84}


@pytest.mark.parametrize("field", ["maxNumSeqs", "maxNumBatchedTokens"])
def test_a_limit_that_takes_all_memory_is_lowered(field):
    offered = changes(plan(QWEN, H100, pool=ONE, serving={field: 10**6}))

    assert [c for c in offered if list(c) == [f"serving.{field}"]]


def test_sizes_that_only_together_are_wrong_are_given_up_together():
    """Neither another tensor size nor no experts alone works on two GPUs of a dense model."""
    sizes = {"tensorParallelSize": 3, "expertParallelSize": 4}
    offered = changes(plan(QWEN, H100, pool={"gpusPerNode": 2}, serving=sizes))

    assert dict.fromkeys((f"serving.{size}" for size in sizes), None) in offered


def test_where_nothing_works_the_fields_are_named():
    """Other GPUs were tried, so they are not what is advised."""
    document = config(
        LLAMA,
        L4,
        pool={"gpusPerNode": 1},
        serving={"maxModelLen": 131072, "maxNumSeqs": 8},
        variants={"vllm": {"memoryFraction": 0.05}},
    )
    _, said = answer(document)
    (told,) = (result.message for result in said if result.severity == "info")

    assert told.startswith("no change of one field or of two")
    assert "another GPU" not in told

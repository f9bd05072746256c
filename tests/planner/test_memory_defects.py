"""Defects of other planners and charts that concern memory, one test each.

Numbers are those of the regression list of the project: `defect` of the list that all five studied
systems share, `mistake` of vllm-wizard's formulas. Each test fails if the defect were here.
"""

import pytest
from asking import LLAMA, QWEN, answer, config, container, messages, objects, one, plan
from memory_cases import (
    DEEPSEEK_V2_LITE,
    GEMMA_7B,
    LLAMA_2_7B,
    LLAMA_3_8B,
    LLAMA_3_70B,
    LLAMA_405B,
    MISTRAL_7B,
    QWEN25_7B,
    serving,
    tp,
)
from memory_cases import question as asked

from krm_fn.catalog.architecture import model_shape
from krm_fn.catalog.gpus import gpu
from krm_fn.planner import memory
from krm_fn.planner.kv_cache import bytes_per_token, cache_specs
from krm_fn.planner.layouts import conflicts, legal
from krm_fn.planner.weights import parameters
from krm_fn.units import GIB, quantity_bytes

H100, A100, RTX_4090 = "NVIDIA-H100-80GB-HBM3", "NVIDIA-A100-SXM4-80GB", "NVIDIA-GeForce-RTX-4090"
LLAMA_8B = "meta-llama/Llama-3.1-8B-Instruct"
ALONE = {"gpusPerNode": 1}


def token_bytes(shape_config, layout):
    query = asked(shape_config)
    return bytes_per_token(cache_specs(query.shape, layout, serving(), query.engine))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("dtype", "bf16"),
        ("kvCacheDtype", "fp8_e4m3fn"),
        ("kvCacheDtype", "int8"),
        ("quantization", "int8"),
    ],
)
def test_defect_04_names_that_the_engine_does_not_know_are_refused(field, value):
    """The wizard sized a cache for `fp8_e4m3fn`, with which vLLM does not start."""
    given = config(QWEN, serving={field: value}, variants={"vllm": {}})

    assert any(field in message for message in messages(given))


@pytest.mark.parametrize(("size", "weights"), [(8, 94.5), (4, 189.0)])
def test_defect_06_weights_are_compared_with_one_gpu(size, weights):
    """Weights / TP against VRAM x TP: the wizard said that 405B fits on eight GPUs of 80 GB."""
    found = memory.memory_budget(asked(LLAMA_405B, board=A100), tp(size), serving(8192))

    assert found.total_bytes < 80 * GIB
    assert found.weights_bytes / GIB == pytest.approx(weights, rel=0.01)
    assert not found.fits


def test_defect_06_the_smallest_gpu_of_a_node_is_not_averaged_away():
    """Memory of a pool is that of one GPU, whatever their number."""
    few, many = (
        memory.memory_budget(asked(LLAMA_3_8B), tp(size), serving()).total_bytes for size in (1, 8)
    )

    assert few == many == gpu(H100).memory_bytes


@pytest.mark.parametrize("size", [3, 5, 6, 7])
def test_defect_07_a_tensor_size_divides_the_heads(size):
    """70B on three H100 got TP 3; it has 64 heads."""
    query = asked(LLAMA_3_70B)

    assert f"tensor size {size} must divide the 64 attention heads" in conflicts(query, tp(size))
    assert size not in {layout.tensor for layout in legal(query)}


def test_defect_07_a_stated_one_is_refused_with_its_field():
    said = messages(config(LLAMA, serving={"tensorParallelSize": 3}, variants={"vllm": {}}))

    assert (
        "spec.serving.tensorParallelSize: tensor size 3 must divide the 64 attention heads" in said
    )


def test_defect_08_no_negative_context_is_emitted():
    """70B on one GPU of 24 GB got `--max-model-len -44838`."""
    emitted, said = answer(config(LLAMA, RTX_4090, pool=ALONE, variants={"vllm": {}}))

    assert emitted == []
    assert any("does not fit" in result.message for result in said)
    assert memory.max_model_len(asked(LLAMA_3_70B, board=RTX_4090), tp(1), serving()) == 0


@pytest.mark.parametrize("length", [0, -44838])
def test_defect_08_a_stated_context_is_positive(length):
    assert messages(config(QWEN, serving={"maxModelLen": length}))


@pytest.mark.parametrize("size", [1, 4])
def test_defect_16_the_limit_of_gpus_is_the_layout(size):
    found = container(objects("vllm", LLAMA_8B, serving={"tensorParallelSize": size}))

    assert found["resources"]["limits"]["nvidia.com/gpu"] == str(size)
    assert f"--tensor-parallel-size={size}" in found["args"]


def volumes(found):
    pod = one("Deployment", found)["spec"]["template"]["spec"]
    return {volume["name"]: volume for volume in pod["volumes"]}


def test_defect_17_gpus_that_talk_to_each_other_have_shared_memory():
    """Without it NCCL has the 64 MiB of the runtime. It counts as memory of the pod."""
    found = objects("vllm", LLAMA_8B, serving={"tensorParallelSize": 4})
    mounts = {m["mountPath"]: m["name"] for m in container(found)["volumeMounts"]}
    shared = volumes(found)[mounts["/dev/shm"]]["emptyDir"]
    requested = container(found)["resources"]["requests"]["memory"]

    assert shared["medium"] == "Memory"
    assert GIB <= quantity_bytes(shared["sizeLimit"]) < quantity_bytes(requested)


def test_defect_18_a_big_model_has_a_volume_of_its_size():
    """An emptyDir counts against the node's disk, and the kubelet evicts the pod."""
    found = objects("vllm", LLAMA, serving={"tensorParallelSize": 4})
    weights = volumes(found)["weights"]
    claim = weights["ephemeral"]["volumeClaimTemplate"]["spec"]

    assert "emptyDir" not in weights
    assert quantity_bytes(claim["resources"]["requests"]["storage"]) > 2 * 70.55e9


def test_defect_19_the_startup_budget_follows_from_the_weights():
    """16 GB and 141 GB, downloaded at 100 MB/s and read at 500, do not load in the same 130 s."""
    assert startup_seconds(LLAMA_8B) > 16.06e9 / 100e6 + 16.06e9 / 500e6
    assert startup_seconds(LLAMA) > 141.1e9 / 100e6 + 141.1e9 / 500e6


def startup_seconds(name):
    probe = container(objects("vllm", name, serving={"tensorParallelSize": 4}))["startupProbe"]
    return probe["periodSeconds"] * probe["failureThreshold"]


def test_defect_29_replicas_do_not_exceed_the_pool():
    """Eight pods of two GPUs on eight GPUs stay Pending for ever."""
    spec = {"serving": {"tensorParallelSize": 2}, "scaling": {"owner": "none", "replicas": 8}}
    (said,) = messages(config(LLAMA_8B, pool={"gpusPerNode": 8}, variants={"vllm": {}}, **spec))

    assert "8 replicas of 2 GPUs = 16 GPUs; the service may use 8" in said


@pytest.mark.parametrize(("size", "bytes_of_a_token"), [(8, 40_960), (16, 40_960), (4, 81_920)])
def test_mistake_02_kv_heads_are_copied_where_there_are_fewer_than_gpus(size, bytes_of_a_token):
    """8 KV heads x 128 x 2 x 80 layers x 2 B, of which a GPU never has less than one head."""
    assert token_bytes(LLAMA_3_70B, tp(size)) == bytes_of_a_token


def test_mistake_05_a_16_bit_checkpoint_is_not_served_as_awq():
    """`--quantization awq` needs quantised files; only what works while loading is offered."""
    found = plan(LLAMA, "NVIDIA-L40S", pool=ALONE)
    offered = {each.change.get("serving.quantization") for each in found.alternatives}

    assert messages(config(LLAMA_8B, serving={"quantization": "awq"}, variants={"vllm": {}}))
    assert offered <= {None, "fp8", "bitsandbytes"}


def test_mistake_06_the_manifest_has_the_fraction_that_was_planned_with():
    """The report had 0.90 and the command 0.88."""
    found = plan(LLAMA_8B)
    flags = dict(arg.split("=") for arg in container(objects("vllm", LLAMA_8B))["args"][1:])
    stated = float(flags["--gpu-memory-utilization"])

    assert found.memory.budget_bytes == pytest.approx(stated * found.memory.total_bytes, abs=1)


def test_mistake_07_a_stated_memory_wins_over_the_catalogue():
    """`--vram-gb 80` was ignored where the name was known."""
    found = plan(LLAMA_8B, A100, pool={"gpuMemory": "48Gi"})

    assert found.memory.total_bytes == 48 * GIB


@pytest.mark.parametrize("board", [RTX_4090, H100])
def test_mistake_08_a_stated_fraction_is_not_raised(board):
    """0.6 became 0.88 on consumer boards."""
    found = plan("Qwen/Qwen3-0.6B", board, serving={"memoryFraction": 0.6})
    memory_of = found.memory

    assert memory_of.budget_bytes == pytest.approx(0.6 * memory_of.total_bytes, abs=1)


@pytest.mark.parametrize(
    ("label", "gib"),
    [
        ("NVIDIA-A100-SXM4-80GB", 80),
        ("NVIDIA-A40", 48),
        ("NVIDIA-H100-NVL", 94),
        ("NVIDIA-GH200-480GB", 96),
        ("NVIDIA-RTX-A6000", 48),
    ],
)
def test_mistake_09_boards_are_matched_by_their_whole_label(label, gib):
    """By parts of a name the A100-80 had 40 GB, the A40 16 and the GH200 141."""
    assert 0.9 * gib < gpu(label).memory_bytes / GIB <= gib


@pytest.mark.parametrize(
    ("shape", "billions"), [(DEEPSEEK_V2_LITE, 15.7), (QWEN25_7B, 7.62)], ids=["v2-lite", "qwen"]
)
def test_mistake_10_parameters_are_those_of_the_config(shape, billions):
    """By a part of its name DeepSeek-V2-Lite had 236 billion."""
    assert parameters(model_shape(shape)) / 1e9 == pytest.approx(billions, rel=0.005)


@pytest.mark.parametrize(
    ("shape", "bytes_of_a_token"),
    [
        (LLAMA_2_7B, 524_288),
        (LLAMA_3_8B, 131_072),
        (LLAMA_3_70B, 327_680),
        (LLAMA_405B, 516_096),
        (MISTRAL_7B, 131_072),
        (GEMMA_7B, 458_752),
    ],
    ids=["llama-2-7b", "llama-3-8b", "llama-3-70b", "llama-405b", "mistral-7b", "gemma-7b"],
)
def test_mistakes_11_and_12_heads_and_their_size_are_those_of_the_config(shape, bytes_of_a_token):
    """405B was given 128 KV heads (8,257,536 B a token), Gemma heads of 3072 / 16 = 192."""
    assert token_bytes(shape, tp(1)) == bytes_of_a_token


@pytest.mark.parametrize(
    ("shape", "billions"),
    [
        (LLAMA_2_7B, 6.7384),
        (LLAMA_3_8B, 8.0303),
        (LLAMA_3_70B, 70.5537),
        (LLAMA_405B, 405.8534),
        (MISTRAL_7B, 7.2417),
        (GEMMA_7B, 8.5377),
    ],
    ids=["llama-2-7b", "llama-3-8b", "llama-3-70b", "llama-405b", "mistral-7b", "gemma-7b"],
)
def test_mistake_13_parameters_have_three_feed_forward_matrices(shape, billions):
    """Two matrices and as many KV heads as heads: 11 to 21 % too few."""
    assert parameters(model_shape(shape)) / 1e9 == pytest.approx(billions, abs=5e-5)

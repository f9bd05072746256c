"""What a service asks for beside the model, as it stands in the manifests."""

import json

import pytest
from configs import document

from krm_fn import krm
from krm_fn.function import OWNER, generate
from krm_fn.krm import ResourceList
from krm_fn.units import GIB, quantity_bytes

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def objects(serving, variant="vllm", **spec):
    """The flat objects of one variant of Llama 3.1 8B on one L40S."""
    config = document(
        {
            "model": {"id": "meta-llama/Llama-3.1-8B-Instruct"},
            "gpuPool": {"gpu": "NVIDIA-L40S", "gpusPerNode": 1},
            "serving": serving,
            "variants": {variant: {}},
        }
        | spec
    )
    items = krm.file_items("config.yaml", krm.dump(config))
    answer = generate(ResourceList(items=items), mode="flat")
    return [item.object for item in answer.items if OWNER in item.annotations]


def of_kind(kind, found):
    return next(each for each in found if each["kind"] == kind)


def pod(found):
    return of_kind("Deployment", found)["spec"]["template"]["spec"]


def memory(found):
    return quantity_bytes(pod(found)["containers"][0]["resources"]["requests"]["memory"])


def shared_memory(found):
    sizes = (each.get("emptyDir", {}) for each in pod(found)["volumes"])
    return quantity_bytes(next(x["sizeLimit"] for x in sizes if x.get("medium") == "Memory"))


@pytest.mark.parametrize(("variant", "shared"), [("vllm", 64), ("sglang", 0)])
def test_an_offloaded_cache_is_in_the_memory_of_the_pod(variant, shared):
    """64 GiB more memory; vLLM 0.33 keeps it in /dev/shm, SGLang in its own."""
    plain, held = objects({}, variant), objects({"kvOffload": {"size": "64Gi"}}, variant)

    assert memory(held) - memory(plain) == 64 * GIB
    assert shared_memory(held) - shared_memory(plain) == shared * GIB


def test_adapters_are_in_the_memory_of_the_pod():
    """8 adapters of rank 64: 8 x 64 x (2,621,440 + 2 x 132,352) x 2 B = 2.8 GiB, in whole GiB."""
    plain, held = objects({}), objects({"lora": {"maxLoras": 8, "maxRank": 64}})

    assert memory(held) - memory(plain) == 3 * GIB


def test_a_prefetch_fetches_adapters_and_drafts_too():
    """Engines that stay off the Hub would not find them."""
    found = objects(
        {
            "lora": {"adapters": [{"name": "sql", "id": "org/sql"}]},
            "speculative": {
                "method": "draft",
                "model": {"id": "meta-llama/Llama-3.2-1B-Instruct", "revision": COMMIT},
            },
        },
        storage={"storageClass": "fast", "accessMode": "ReadWriteMany"},
    )
    container = of_kind("Job", found)["spec"]["template"]["spec"]["containers"][0]

    assert container["args"][-2:] == ["org/sql", f"meta-llama/Llama-3.2-1B-Instruct@{COMMIT}"]


def test_the_mock_serves_adapters_by_their_names():
    lora = {"adapters": [{"name": "sql", "id": "org/sql"}, {"name": "tone", "id": "org/tone"}]}
    data = of_kind("ConfigMap", objects({"lora": lora}, "mock"))["data"]
    names = json.loads(data["config.json"])["lora-modules"]

    assert [json.loads(name) for name in names] == [{"name": "sql"}, {"name": "tone"}]

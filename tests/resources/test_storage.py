from dataclasses import replace

from samples import CLAIM, EPHEMERAL, MOCK_SERVER, SHARED, VLLM_SERVER

from krm_fn.resources.metadata import Identity
from krm_fn.resources.storage import (
    Cache,
    WeightsClaim,
    claim,
    mounts,
    node_cache_bytes,
    volume_mounts,
    volumes,
)

SELF = Identity(name="qwen")


def by_name(server, cache=CLAIM, weights=None):
    return {each.name: each for each in mounts(SELF, server, cache, weights)}


def test_every_written_folder_is_a_volume():
    assert list(by_name(VLLM_SERVER)) == ["dshm", "weights", "cache", "home", "tmp"]


def test_shared_memory_is_memory_of_a_stated_size():
    mount = by_name(VLLM_SERVER)["dshm"]

    assert mount.path == "/dev/shm"
    assert mount.source == {"emptyDir": {"medium": "Memory", "sizeLimit": "8Gi"}}


def test_claim_has_the_stated_class_or_none():
    assert claim(SELF, SHARED)["spec"] == {
        "accessModes": ["ReadWriteMany"],
        "storageClassName": "fast",
        "resources": {"requests": {"storage": "100Gi"}},
    }
    assert "storageClassName" not in claim(SELF, replace(CLAIM, storage_class=None))["spec"]


def test_ephemeral_cache_is_a_claim_of_the_pod():
    source = by_name(VLLM_SERVER, EPHEMERAL)["weights"].source

    assert source["ephemeral"]["volumeClaimTemplate"]["spec"]["storageClassName"] == "fast"


def test_cache_on_the_node_is_limited():
    assert by_name(VLLM_SERVER, Cache())["weights"].source == {"emptyDir": {"sizeLimit": "50Gi"}}
    assert node_cache_bytes(VLLM_SERVER, Cache()) == 50 * 2**30
    assert node_cache_bytes(VLLM_SERVER, CLAIM) == 0


def test_weights_on_a_claim_are_read_only_and_not_for_the_mock():
    weights = WeightsClaim(name="models", path="/weights", sub_path="qwen")
    mount = by_name(VLLM_SERVER, weights=weights)["weights"]

    assert volume_mounts((mount,)) == [
        {"name": "weights", "mountPath": "/weights", "subPath": "qwen", "readOnly": True}
    ]
    assert "weights" not in by_name(MOCK_SERVER, weights=weights)


def test_no_mounts_are_no_lists():
    assert volumes(()) is None
    assert volume_mounts(()) is None


def test_files_are_mounted_read_only():
    mount = by_name(MOCK_SERVER)["config"]

    assert (mount.path, mount.read_only) == ("/etc/krm-fn", True)
    assert mount.source == {"configMap": {"name": "qwen-config"}}

"""Among the pools of all platforms each pod finds its own."""

from collections.abc import Iterator

import pytest
from kube import Kube, eventually, namespace, node_names, rendered, without
from placing import SELECTOR, h100, placed, pools_of, running, service, unschedulable
from pools import H100, POOLS, nodes

pytestmark = pytest.mark.usefixtures("kwok")


@pytest.fixture(scope="module")
def all_pools(cluster: Kube) -> Iterator[None]:
    with nodes(cluster, *POOLS.values()):
        yield


CASES: dict[str, dict[str, object]] = {
    "gfd-h100": h100(2),
    "gfd-l40s": {"gpu": "NVIDIA-L40S", "gpusPerNode": 4, "nodes": 2},
    "gfd-mig": {"gpu": f"{H100}-MIG-3g.40gb", "gpusPerNode": 16},
    "gke-l4-spot": {"gpu": "l4", "gpusPerNode": 2, "nodes": 2, "platform": "gke", "spot": True},
    "gke-l4": {
        "gpu": "l4",
        "gpusPerNode": 2,
        "nodes": 2,
        "platform": "gke",
        "nodePool": "l4",
    },
    "eks-l4": {
        "gpu": "l4",
        "gpusPerNode": 4,
        "nodes": 2,
        "platform": "eks",
        "nodePool": "gpu-l4",
    },
    "karpenter-l40s-spot": {
        "gpu": "l40s",
        "gpusPerNode": 4,
        "nodes": 2,
        "platform": "karpenter",
        "spot": True,
    },
    "aks-a100": {
        "gpu": "NVIDIA-A100-80GB-PCIe",
        "gpusPerNode": 1,
        "nodes": 3,
        "platform": "aks",
        "nodePool": "a100",
    },
    "nodepool-gpu": {
        "gpu": "NVIDIA-GeForce-RTX-4090",
        "gpusPerNode": 2,
        "nodes": 2,
        "platform": "nodepool",
        "nodePool": "gpu",
    },
}


@pytest.mark.parametrize("name", CASES)
def test_the_maximum_fits_its_pool_and_one_more_does_not(cluster, all_pools, name):
    """Every replica lands on the pool that the config names, none elsewhere, and all GPUs count."""
    with namespace(cluster.kubectl, "krm-fn-test-place") as kube:
        most = placed(kube, service(**CASES[name]))
        eventually(lambda: len(running(kube)) == most, 90, saying=f"{most} pods")
        found = pools_of(cluster, running(kube), name)
        kube("scale", "deployment/qwen3-8b", f"--replicas={most + 1}")
        messages = eventually(lambda: unschedulable(kube), 30)

    assert found == {name: most}
    assert len(messages) == 1
    assert "Insufficient nvidia.com/gpu" in messages[0] or "affinity/selector" in messages[0]


def test_cpu_pods_stay_off_gpu_nodes(cluster, all_pools):
    """The mock tolerates nothing and selects nothing: it goes to nodes without GPUs."""
    with namespace(cluster.kubectl, "krm-fn-test-mock") as kube:
        objects = rendered(service(**CASES["gfd-h100"]))[0].rendering.flat["mock"]
        kube.apply(without(objects, "HorizontalPodAutoscaler"))
        kube("scale", "deployment/qwen3-8b", "--replicas=12")
        eventually(lambda: len(node_names(kube.items("pods", SELECTOR))) == 12, 60)
        found = pools_of(cluster, kube.items("pods", SELECTOR), "cpu", "real")

    assert set(found) <= {"cpu", "real"}
    assert sum(found.values()) == 12

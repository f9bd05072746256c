"""What nodes say of themselves becomes the GPUPool that finds them again."""

import pytest

from krm_fn.catalog import platforms
from krm_fn.cli.detect import named
from krm_fn.lookup.pools import findings, pools, spec

H100 = "NVIDIA-H100-80GB-HBM3"
TAINT = {"key": "nvidia.com/gpu", "value": "present", "effect": "NoSchedule"}


def node(name: str, labels: dict[str, str], *taints: dict, gpus: int = 8, **status: str) -> dict:
    allocatable = {"cpu": "191500m", "memory": "2113462272Ki", "ephemeral-storage": "1Ti"}
    if gpus:
        allocatable["nvidia.com/gpu"] = str(gpus)
    return {
        "metadata": {"name": name, "labels": {"kubernetes.io/arch": "amd64", **labels}},
        "spec": {"taints": list(taints)},
        "status": {
            "allocatable": {**allocatable, **status},
            "conditions": [{"type": "Ready", "status": "True"}],
        },
    }


def gfd(product: str = H100) -> dict[str, str]:
    return {"nvidia.com/gpu.product": product}


def specs(*nodes: dict) -> list[dict]:
    return [spec(pool) for pool in pools(nodes)]


def said(*nodes: dict) -> list[str]:
    return [result.line for pool in pools(nodes) for result in findings(pool)]


def test_nodes_that_are_alike_are_one_pool():
    """Names and zones differ in every pool; what pods can use does not."""
    found = specs(node("a", gfd(), TAINT), node("b", gfd(), TAINT), node("c", {}, gpus=0))

    assert found == [
        {
            "gpu": H100,
            "gpusPerNode": 8,
            "nodes": 2,
            "node": {"cpu": "191", "memory": "2015Gi", "ephemeralStorage": "1024Gi"},
        }
    ]


def test_the_smallest_node_of_a_pool_bounds_its_pods():
    """Allocatable memory differs by a little between boots."""
    smaller = node("b", gfd(), memory="2000Gi")

    assert specs(node("a", gfd()), smaller)[0]["node"]["memory"] == "2000Gi"


PLATFORMS = [
    (
        {
            "cloud.google.com/gke-accelerator": "nvidia-l4",
            "cloud.google.com/gke-nodepool": "l4",
            "cloud.google.com/gke-spot": "true",
        },
        {"gpu": "NVIDIA-L4", "platform": "gke", "nodePool": "l4", "spot": True},
    ),
    (
        {
            "karpenter.k8s.aws/instance-gpu-name": "a100",
            "karpenter.k8s.aws/instance-family": "p4de",
            "karpenter.sh/capacity-type": "spot",
        },
        {"gpu": "NVIDIA-A100-SXM4-80GB", "platform": "karpenter", "spot": True},
    ),
    (
        {"eks.amazonaws.com/nodegroup": "big", **gfd()},
        {"gpu": H100, "platform": "eks", "nodePool": "big"},
    ),
    (
        {"kubernetes.azure.com/agentpool": "h100", **gfd()},
        {"gpu": H100, "platform": "aks", "nodePool": "h100"},
    ),
    ({"nodepool": "gpu", **gfd()}, {"gpu": H100, "nodePool": "gpu"}),
]


@pytest.mark.parametrize(
    ("labels", "wanted"), PLATFORMS, ids=["gke", "karpenter", "eks", "aks", "gfd"]
)
def test_each_platform_is_known_by_its_own_labels(labels, wanted):
    """GPU, platform, pool and spot are read from what the platform writes on its nodes."""
    (found,) = specs(node("a", labels))

    assert found == {**wanted, "gpusPerNode": 8, "nodes": 1, "node": found["node"]}


def test_a_pool_that_others_would_be_taken_for_is_told_apart():
    """Karpenter's GPU name stands on spot and on-demand nodes; the capacity type tells them."""
    labels = {"karpenter.k8s.aws/instance-gpu-name": "l40s"}
    cheap = node("a", {**labels, "karpenter.sh/capacity-type": "spot"})
    stable = node("b", {**labels, "karpenter.sh/capacity-type": "on-demand"})
    found = specs(cheap, stable)

    assert found[0]["spot"] is True
    assert found[1]["nodeSelector"] == {"karpenter.sh/capacity-type": "on-demand"}


def test_the_pool_selects_the_nodes_it_was_found_on():
    """Detected and planned, the labels are those of the nodes, and of no other."""
    nodes = [node(f"n{i}", labels) for i, (labels, _) in enumerate(PLATFORMS)]
    for pool in pools(nodes):
        assert pool.row
        at = platforms.Placement(
            platform=pool.platform,
            gpu=pool.row,
            node_pool=pool.node_pool,
            spot=pool.spot,
            node_selector=pool.selector,
        )
        wanted = platforms.node_selector(at)
        chosen = [n for n in nodes if wanted.items() <= n["metadata"]["labels"].items()]

        assert chosen == list(pool.nodes)


def test_usual_taints_are_left_out_and_others_are_stated():
    """A taint that the platform's tolerations do not bear has to be in the pool."""
    other = {"key": "team", "value": "search", "effect": "NoSchedule"}
    found = specs(node("a", gfd(), TAINT), node("b", gfd(), TAINT, other))

    assert [each.get("taints") for each in found] == [None, [TAINT, other]]


def test_a_passing_state_is_no_taint():
    """`not-ready` goes away by itself; the pool says that the node was counted."""
    away = node("a", gfd(), {"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"})
    away["status"]["conditions"] = [{"type": "Ready", "status": "False"}]

    assert "taints" not in specs(away)[0]
    assert said(away) == ["info: spec.nodes: counted although it takes no pods now: a"]


def test_slices_of_a_mixed_strategy_are_counted_by_their_profile():
    """The board keeps its name; the resource is that of the slice."""
    found = specs(node("a", gfd(), gpus=0, **{"nvidia.com/mig-1g.10gb": "56"}))

    assert found[0]["mig"] == {"profile": "1g.10gb", "strategy": "mixed"}
    assert found[0]["gpusPerNode"] == 56


def test_time_slices_are_stated_and_warned_of():
    """A shared GPU's memory is not divided, which a plan must know."""
    labels = {**gfd(f"{H100}-SHARED"), "nvidia.com/gpu.replicas": "4"}

    assert specs(node("a", labels))[0]["shared"] == {"replicas": 4}
    assert "time-sliced" in said(node("a", labels))[0]


def test_a_gpu_without_a_name_is_asked_for():
    """A count alone plans nothing."""
    found = specs(node("a", {"nodepool": "gpu"}))

    assert "gpu" not in found[0]
    assert said(node("a", {"nodepool": "gpu"})) == [
        "warning: spec.gpu: no label of a names the GPU: state it"
    ]


def test_an_unknown_gpu_is_named_with_its_nearest():
    """The label is kept, so that a row can be written for it."""
    (text,) = said(node("a", gfd("NVIDIA-H100-80GB-HBM4")))

    assert "not in the catalogue" in text
    assert H100 in text


def test_the_oldest_driver_of_a_pool_counts():
    """An image must run on all its nodes."""
    labels = [{**gfd(), "nvidia.com/cuda.driver-version.major": v} for v in ("580", "570")]

    assert specs(*(node(f"n{i}", each) for i, each in enumerate(labels)))[0]["driver"] == "570"


def test_documents_have_names_of_their_own():
    """Two pools of one GPU do not collide; spot is in the name."""
    wanted = [{"gpu": "NVIDIA-L4"}, {"gpu": "NVIDIA-L4"}, {"nodePool": "a-spot", "spot": True}]
    found = [document["metadata"]["name"] for document in named(wanted)]

    assert found == ["nvidia-l4", "nvidia-l4-2", "a-spot"]

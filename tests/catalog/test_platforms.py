"""Selectors and tolerations of each platform; what is stated wins."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from krm_fn.catalog.gpus import gpu, gpu_names, mig_slice
from krm_fn.catalog.platforms import (
    Placement,
    node_selector,
    placement_faults,
    platform,
    platform_names,
    tolerations,
)

GPU_TAINT = {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}
ARCH = {"kubernetes.io/arch": "amd64"}


def at(name, card="h100", **more):
    return Placement(platform=name, gpu=gpu(card), **more)


def test_platforms_of_the_design():
    names = ("gfd", "gke", "eks", "karpenter", "aks", "nodepool", "custom")
    assert platform_names() == names
    assert all(platform(name).source for name in names)


@pytest.mark.parametrize(
    ("placement", "selector"),
    [
        (at("gfd"), {"nvidia.com/gpu.product": "NVIDIA-H100-80GB-HBM3"}),
        (at("gfd", "mi300x"), {"amd.com/gpu.product-name": "AMD_Instinct_MI300X_OAM"}),
        (
            at("gke", node_pool="a", spot=True),
            {
                "cloud.google.com/gke-accelerator": "nvidia-h100-80gb",
                "cloud.google.com/gke-nodepool": "a",
                "cloud.google.com/gke-spot": "true",
            },
        ),
        (at("eks"), {"nvidia.com/gpu.product": "NVIDIA-H100-80GB-HBM3"}),
        (
            at("eks", node_pool="a", spot=True),
            {"eks.amazonaws.com/nodegroup": "a", "eks.amazonaws.com/capacityType": "SPOT"},
        ),
        (
            at("karpenter", "a100-40gb", spot=True),
            {
                "karpenter.k8s.aws/instance-gpu-name": "a100",
                "karpenter.k8s.aws/instance-family": "p4d",
                "karpenter.sh/capacity-type": "spot",
            },
        ),
        (at("aks"), {"accelerator": "nvidia"}),
        (at("aks", node_pool="a"), {"kubernetes.azure.com/agentpool": "a"}),
        (at("nodepool", node_pool="a"), {"nodepool": "a"}),
        (at("custom", node_selector={"x": "y"}), {"x": "y"}),
    ],
)
def test_selector(placement, selector):
    assert node_selector(placement) == selector | ARCH


def test_grace_boards_select_arm_and_tolerate_its_taint_on_gke():
    placement = at("gke", "gb200")
    assert node_selector(placement)["kubernetes.io/arch"] == "arm64"
    assert tolerations(placement)[1] == {
        "key": "kubernetes.io/arch",
        "operator": "Equal",
        "value": "arm64",
        "effect": "NoSchedule",
    }


def test_slices_and_sharing():
    part = mig_slice(gpu("a100"), "1g.10gb")
    gke = node_selector(Placement(platform="gke", gpu=part))
    assert gke["cloud.google.com/gke-gpu-partition-size"] == "1g.10gb"
    assert gke["cloud.google.com/gke-accelerator"] == "nvidia-a100-80gb"
    gfd = node_selector(Placement(platform="gfd", gpu=part))
    assert gfd["nvidia.com/gpu.product"] == "NVIDIA-A100-SXM4-80GB-MIG-1g.10gb"
    shared = node_selector(at("gke", "NVIDIA-L4-SHARED"))
    assert shared["cloud.google.com/gke-gpu-sharing-strategy"] == "time-sharing"


def test_usual_taint_is_tolerated_by_key():
    assert tolerations(at("gfd")) == (GPU_TAINT,)
    assert tolerations(at("gfd", "mi300x"))[0]["key"] == "amd.com/gpu"


def test_stated_taints_replace_the_usual_and_spot_adds_its_own():
    stated = ({"key": "team", "value": "ml", "effect": "NoExecute"}, {"key": "any", "value": None})
    assert tolerations(at("gke", taints=stated, spot=True)) == (
        {"key": "team", "operator": "Equal", "value": "ml", "effect": "NoExecute"},
        {"key": "any", "operator": "Exists"},
        {
            "key": "cloud.google.com/gke-spot",
            "operator": "Equal",
            "value": "true",
            "effect": "NoSchedule",
        },
    )
    assert tolerations(at("gfd", taints=())) == ()


@pytest.mark.parametrize(
    ("placement", "severity", "words"),
    [
        (at("gke", "a10"), "error", "no name of NVIDIA-A10 on gke"),
        (at("karpenter", "gb200"), "error", "no name of NVIDIA-GB200"),
        (at("gke", "mi300x"), "error", "no name of AMD"),
        (at("nodepool"), "error", "must be stated"),
        (at("aks"), "warning", "AKS labels no GPU product"),
        (at("eks"), "warning", "managed node group"),
        (at("custom"), "warning", "no label selects"),
        (at("gfd", spot=True), "warning", "no label for spot"),
    ],
)
def test_faults(placement, severity, words):
    (fault,) = placement_faults(placement)
    assert fault.severity == severity
    assert words in fault.message


@pytest.mark.parametrize("name", ["gke", "eks", "karpenter", "aks", "nodepool"])
def test_a_pool_is_selector_enough(name):
    assert placement_faults(at(name, "a10", node_pool="a", spot=name != "nodepool")) == ()


@given(
    st.sampled_from(["gfd", "gke", "eks", "karpenter", "aks", "nodepool", "custom"]),
    st.sampled_from(gpu_names()),
    st.none() | st.just("pool"),
    st.booleans(),
    st.dictionaries(st.sampled_from(["a", "kubernetes.io/arch", "nodepool"]), st.just("stated")),
)
def test_stated_labels_win_and_everything_is_text(name, card, node_pool, spot, stated):
    placement = at(name, card, node_pool=node_pool, spot=spot, node_selector=stated)
    selector = node_selector(placement)
    assert stated.items() <= selector.items()
    assert all(isinstance(value, str) for value in selector.values())
    assert len({tuple(each.items()) for each in tolerations(placement)}) == len(
        tolerations(placement)
    )

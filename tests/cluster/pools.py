"""Simulated GPU nodes, as the platforms label and taint them; kwok plays their kubelet."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

import tally
from kube import Kube, Manifest, eventually, stream

MARK = "krm-fn-test/pool"
GPU_TAINT: Manifest = {"key": "nvidia.com/gpu", "value": "present", "effect": "NoSchedule"}


@dataclass(frozen=True, kw_only=True)
class Pool:
    """Nodes of one kind. `gpus` = devices of `resource` on each; 0 = a CPU node."""

    name: str
    labels: Mapping[str, str]
    taints: tuple[Manifest, ...] = (GPU_TAINT,)
    gpus: int = 8
    nodes: int = 2
    resource: str = "nvidia.com/gpu"
    cpu: str = "192"
    memory: str = "2000Gi"
    extra: Mapping[str, str] = field(default_factory=dict)


def node(pool: Pool, index: int) -> Manifest:
    """One node, ready as soon as kwok has seen it.

    Without `kubernetes.io/os`, which daemon sets such as kube-proxy's select: their pods would be
    half of what the control plane works on when there are a thousand nodes.
    """
    name = f"krm-fn-test-{pool.name}-{index}"
    gpus = {pool.resource: str(pool.gpus)} if pool.gpus else {}
    resources = {
        "cpu": pool.cpu,
        "memory": pool.memory,
        "ephemeral-storage": "4Ti",
        "pods": "110",
        **gpus,
        **pool.extra,
    }
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": name,
            "annotations": {"kwok.x-k8s.io/node": "fake"},
            "labels": {
                "type": "kwok",
                MARK: pool.name,
                "kubernetes.io/arch": "amd64",
                "kubernetes.io/hostname": name,
                "topology.kubernetes.io/zone": f"zone-{index % 3 + 1}",
                **pool.labels,
            },
        },
        "spec": {"taints": list(pool.taints)},
        "status": {"allocatable": resources, "capacity": dict(resources)},
    }


@contextmanager
def nodes(cluster: Kube, *pools: Pool) -> Iterator[None]:
    """The nodes of the pools, ready; gone afterwards."""
    wanted = [node(pool, index) for pool in pools for index in range(pool.nodes)]
    selector = f"{MARK} in ({','.join(pool.name for pool in pools)})"
    try:
        cluster("create", "-f", "-", stdin=stream(wanted), timeout=300)
        for state in (ready, admitted):
            eventually(
                lambda state=state: len(state(cluster, selector)) == len(wanted),
                60 + len(wanted) / 2,
                every=5,
                saying=f"{state.__name__} nodes",
            )
        tally.COUNTS["nodes simulated"] += len(wanted)
        yield
    finally:
        cluster("delete", "node", "-l", selector, "--wait=false", timeout=300)


def ready(cluster: Kube, selector: str) -> list[str]:
    state = '.status.conditions[?(@.type=="Ready")].status'
    return [line for line in columns(cluster, selector, state) if line.endswith(" True")]


def admitted(cluster: Kube, selector: str) -> list[str]:
    """Those without the taint of new nodes, once it has been taken from all.

    The node controller does it too, but for five nodes in a second.
    """
    cluster.attempt("taint", "node", "-l", selector, "node.kubernetes.io/not-ready-")
    lines = columns(cluster, selector, ".spec.taints[*].key")
    return [line for line in lines if "node.kubernetes.io" not in line]


def columns(cluster: Kube, selector: str, path: str) -> list[str]:
    """`NAME VALUE` of each node."""
    line = f'{{range .items[*]}}{{.metadata.name}} {{{path}}}{{"\\n"}}{{end}}'
    return cluster("get", "node", "-l", selector, "-o", f"jsonpath={line}").splitlines()


def gfd(product: str, **more: str) -> dict[str, str]:
    return {"nvidia.com/gpu.present": "true", "nvidia.com/gpu.product": product, **more}


SPOT_GKE: Manifest = {
    "key": "cloud.google.com/gke-spot",
    "value": "true",
    "effect": "NoSchedule",
}
SPOT_AKS: Manifest = {
    "key": "kubernetes.azure.com/scalesetpriority",
    "value": "spot",
    "effect": "NoSchedule",
}
SKU: Manifest = {"key": "sku", "value": "gpu", "effect": "NoSchedule"}
H100 = "NVIDIA-H100-80GB-HBM3"

POOLS = {
    each.name: each
    for each in (
        Pool(name="gfd-h100", labels=gfd(H100)),
        Pool(name="gfd-l40s", labels=gfd("NVIDIA-L40S"), gpus=4),
        Pool(name="gfd-mig", labels=gfd(f"{H100}-MIG-3g.40gb"), gpus=16, nodes=1),
        Pool(
            name="gke-l4",
            labels={
                "cloud.google.com/gke-accelerator": "nvidia-l4",
                "cloud.google.com/gke-nodepool": "l4",
            },
            gpus=2,
        ),
        Pool(
            name="gke-l4-spot",
            labels={
                "cloud.google.com/gke-accelerator": "nvidia-l4",
                "cloud.google.com/gke-nodepool": "l4-spot",
                "cloud.google.com/gke-spot": "true",
            },
            taints=(GPU_TAINT, SPOT_GKE),
            gpus=2,
        ),
        Pool(
            name="eks-l4",
            labels=gfd("NVIDIA-L4", **{"eks.amazonaws.com/nodegroup": "gpu-l4"}),
            gpus=4,
        ),
        Pool(
            name="karpenter-l40s",
            labels={
                "karpenter.k8s.aws/instance-gpu-name": "l40s",
                "karpenter.k8s.aws/instance-family": "g6e",
                "karpenter.sh/capacity-type": "on-demand",
            },
            gpus=4,
        ),
        Pool(
            name="karpenter-l40s-spot",
            labels={
                "karpenter.k8s.aws/instance-gpu-name": "l40s",
                "karpenter.k8s.aws/instance-family": "g6e",
                "karpenter.sh/capacity-type": "spot",
            },
            gpus=4,
        ),
        Pool(
            name="aks-a100",
            labels={"kubernetes.azure.com/agentpool": "a100", "accelerator": "nvidia"},
            taints=(SKU,),
            gpus=1,
            nodes=3,
        ),
        Pool(
            name="aks-spot",
            labels={
                "kubernetes.azure.com/agentpool": "a100spot",
                "kubernetes.azure.com/scalesetpriority": "spot",
                "accelerator": "nvidia",
            },
            taints=(SKU, SPOT_AKS),
            gpus=1,
        ),
        Pool(name="nodepool-gpu", labels={"nodepool": "gpu"}, gpus=2),
        Pool(name="cpu", labels={}, taints=(), gpus=0, cpu="8", memory="32Gi"),
    )
}
"""All at once, so that each service has to find its own among them."""

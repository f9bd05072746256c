"""A service on a simulated pool: its config, its pods, and where they are."""

import tally
from kube import Kube, Manifest, changed, config, node_names, only, rendered, without
from pools import H100, MARK

SELECTOR = "app.kubernetes.io/name=qwen3-8b"


def service(model: str = "Qwen/Qwen3-8B", **pool: object) -> Manifest:
    """A service of many users, so that its maximum is the whole pool; weights on the node."""
    document = changed(
        config(),
        model={"id": model},
        gpuPool=pool,
        storage={"cache": "none"},
        variants={"mock": {}, "vllm": {"version": "0.33.0"}},
    )
    document["metadata"]["name"] = "qwen3-8b"
    return document


def h100(count: int, per_node: int = 8) -> dict[str, object]:
    return {"gpu": H100, "gpusPerNode": per_node, "nodes": count}


def placed(kube: Kube, document: Manifest, variant: str = "vllm") -> int:
    """Apply it without its autoscaler, as many replicas as the plan allows; their number."""
    (one,) = rendered(document)
    objects = one.rendering.flat[variant]
    most = int(only(objects, "HorizontalPodAutoscaler")["spec"]["maxReplicas"])
    kube.apply(without(objects, "HorizontalPodAutoscaler"))
    kube("scale", "deployment/qwen3-8b", f"--replicas={most}")
    return most


def running(kube: Kube) -> list[Manifest]:
    return [pod for pod in kube.items("pods", SELECTOR) if pod["status"]["phase"] == "Running"]


def pools_of(cluster: Kube, pods: list[Manifest], *wanted: str) -> dict[str, int]:
    """Pool -> how many of the pods are on it; *wanted* = where they belong, for the tally."""
    labels = {
        each["metadata"]["name"]: each["metadata"]["labels"].get(MARK, "real")
        for each in cluster.items("nodes")
    }
    found: dict[str, int] = {}
    for name in node_names(pods):
        found[labels[name]] = found.get(labels[name], 0) + 1
    tally.placed(found, {*wanted})
    return found


def unschedulable(kube: Kube) -> list[str]:
    """What the scheduler says of pods that it finds no node for."""
    return [
        condition["message"]
        for pod in kube.items("pods", SELECTOR)
        for condition in pod["status"].get("conditions", ())
        if condition["type"] == "PodScheduled" and condition["status"] == "False"
    ]

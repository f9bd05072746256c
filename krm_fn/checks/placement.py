"""Every GPU pod has the pool's selector and tolerations; a CPU server stays off its nodes.

A Job without GPUs may go there, as one that fetches weights does, but then completely.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from krm_fn.checks.base import Check, Context
from krm_fn.checks.pods import Pod
from krm_fn.checks.reading import dig, is_gpu, listing, mapping
from krm_fn.errors import Result
from krm_fn.krm.item import Manifest

_JOBS = ("Job", "CronJob")
_GPU_LABELS = (
    "cloud.google.com/gke-accelerator",
    "gpu.nvidia.com/",
    "karpenter.k8s.aws/instance-gpu-",
    "k8s.amazonaws.com/accelerator",
    "nvidia.com/",
    "amd.com/gpu",
)


def _rule(context: Context) -> Iterator[Result]:
    for pod in context.pods:
        if pod.gpus or _is_job_there(pod):
            selector, tolerations = _wanted(pod, context)
            yield from _selected(pod, selector)
            yield from _tolerated(pod, tolerations)
        elif pod.kind not in _JOBS:
            yield from _kept_off(pod)


def _is_job_there(pod: Pod) -> bool:
    """A Job that selects or tolerates GPU nodes."""
    tolerated = (dig(one, "key") for one in listing(pod.spec.node, "tolerations"))
    selected = any(key.startswith(_GPU_LABELS) for key in mapping(pod.spec.node, "nodeSelector"))
    return pod.kind in _JOBS and (selected or any(is_gpu(str(key)) for key in tolerated))


def _wanted(pod: Pod, context: Context) -> tuple[Manifest, list[Any]]:
    """What the pool wants; where that is unknown, what other GPU pods of the service have."""
    if context.pool:
        return dict(context.pool.node_selector), list(context.pool.tolerations)
    service = pod.labels.get("app.kubernetes.io/name", "")
    peers = (
        x for x in context.pods if x.gpus and x.labels.get("app.kubernetes.io/name") == service
    )
    first = next(peers, pod).spec.node
    return mapping(first, "nodeSelector"), listing(first, "tolerations")


def _selected(pod: Pod, selector: Manifest) -> Iterator[Result]:
    stated = mapping(pod.spec.node, "nodeSelector")
    affinity = str(mapping(pod.spec.node, "affinity", "nodeAffinity"))
    for key, value in selector.items():
        if stated.get(key) != value and f"'{key}'" not in affinity:
            message = f'must have {key}: "{value}", as all GPU pods of the pool'
            yield pod.spec.fault(message, "nodeSelector", current=stated.get(key), proposed=value)


def _tolerated(pod: Pod, tolerations: Sequence[Any]) -> Iterator[Result]:
    stated = listing(pod.spec.node, "tolerations")
    for wanted in tolerations:
        if not any(_covers(one, wanted) for one in stated):
            message = f"must tolerate {dig(wanted, 'key')} as all GPU pods do"
            yield pod.spec.fault(message, "tolerations", proposed=wanted)


def _covers(stated: Any, wanted: Any) -> bool:
    if not isinstance(stated, dict) or not isinstance(wanted, dict):
        return False
    exists = stated.get("operator") == "Exists"
    key = stated.get("key") == wanted.get("key") or (exists and not stated.get("key"))
    value = exists or stated.get("value") == wanted.get("value")
    return bool(key and value) and stated.get("effect") in (None, wanted.get("effect"))


def _kept_off(pod: Pod) -> Iterator[Result]:
    for key in mapping(pod.spec.node, "nodeSelector"):
        if key.startswith(_GPU_LABELS):
            yield pod.spec.fault(f"must not select {key}: the pod asks for no GPU", "nodeSelector")
    for index, one in enumerate(listing(pod.spec.node, "tolerations")):
        key = dig(one, "key")
        if is_gpu(str(key)):
            message = f"must not tolerate {key}: the pod asks for no GPU"
            yield pod.spec.fault(message, f"tolerations[{index}]")


CHECK = Check(name="placement", defects=(30,), rule=_rule)

"""The GPU pools of a cluster, from what its nodes say: labels, taints, capacity, allocatable."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from krm_fn.catalog import gpus, platforms
from krm_fn.catalog.rows import Gpu
from krm_fn.errors import Result, info, warning
from krm_fn.units import GIB, quantity_bytes, quantity_cores

Node = Mapping[str, Any]
PRODUCT = {"nvidia": "nvidia.com/gpu.product", "amd": "amd.com/gpu.product-name"}
DEVICES = ("nvidia.com/gpu", "amd.com/gpu")
SLICES = "nvidia.com/mig-"
REPLICAS = "nvidia.com/gpu.replicas"
DRIVERS = ("nvidia.com/cuda.driver-version.major", "nvidia.com/cuda.driver.major")
OWNERS = (  # platform -> the label that only it sets; the first that a node has
    ("gke", "cloud.google.com/gke-accelerator"),
    ("karpenter", "karpenter.k8s.aws/instance-gpu-name"),
    ("eks", "eks.amazonaws.com/nodegroup"),
    ("aks", "kubernetes.azure.com/agentpool"),
    ("gfd", PRODUCT["nvidia"]),
    ("gfd", PRODUCT["amd"]),
    ("nodepool", "nodepool"),
)
TELLING = (  # what tells pools apart that one platform's own selector does not
    "karpenter.sh/capacity-type",
    "eks.amazonaws.com/capacityType",
    "cloud.google.com/gke-provisioning",
    "nodepool",
    "node.kubernetes.io/instance-type",
)
PASSING = ("node.kubernetes.io/", "node.cloudprovider.kubernetes.io/", "ToBeDeletedByCluster")
"""Taints of a state that passes, such as `not-ready`."""


@dataclass(frozen=True, kw_only=True)
class Pool:
    """Nodes that are alike. `gpu` = the name for the functionConfig, None = not to be told.

    `devices` is the number of `resource` that one node offers; `taints` those that stay.
    """

    platform: str
    gpu: str | None
    resource: str
    devices: int
    node_pool: str | None = None
    spot: bool = False
    taints: tuple[tuple[str, str | None, str], ...] = ()
    replicas: int = 1
    driver: str | None = None
    selector: Mapping[str, str] = field(default_factory=dict)
    nodes: tuple[Node, ...] = ()

    @property
    def key(self) -> tuple[Any, ...]:
        """Equal for nodes of one pool."""
        kind = (self.platform, self.gpu, self.resource, self.devices)
        return (*kind, self.node_pool, self.spot, self.taints, self.replicas, _telling(self.nodes))

    @property
    def row(self) -> Gpu | None:
        """The catalogue's, if it has one."""
        return gpus.gpu(self.gpu) if self.gpu else None


def pools(nodes: Sequence[Node]) -> tuple[Pool, ...]:
    """One Pool per kind of GPU node, in the order of their names; CPU nodes are left out."""
    kinds: dict[tuple[Any, ...], list[Pool]] = defaultdict(list)
    for node in sorted(nodes, key=_name):
        if one := _pool(node):
            kinds[one.key].append(one)
    found = [_joined(members) for members in kinds.values()]
    return tuple(_told_apart(one, nodes) for one in found)


def _joined(members: Sequence[Pool]) -> Pool:
    drivers = [member.driver for member in members if member.driver]
    all_nodes = tuple(node for member in members for node in member.nodes)
    return replace(members[0], nodes=all_nodes, driver=min(drivers, key=int, default=None))


def _pool(node: Node) -> Pool | None:
    """The pool of one node, None without GPUs."""
    offered = [(name, count) for name, count in _devices(node) if count]
    if not offered:
        return None
    resource, devices = offered[0]
    labels = _labels(node)
    platform = next((name for name, label in OWNERS if label in labels), "custom")
    row = platforms.platform(platform)
    return Pool(
        platform=platform,
        gpu=_gpu_name(platform, labels),
        resource=resource,
        devices=devices,
        node_pool=labels.get(row.pool),
        spot=bool(row.spot) and all(labels.get(key) == value for key, value in row.spot.items()),
        taints=_taints(node, row),
        replicas=int(labels.get(REPLICAS, "1")),
        driver=next((labels[key] for key in DRIVERS if key in labels), None),
        nodes=(node,),
    )


def _devices(node: Node) -> Iterator[tuple[str, int]]:
    """Resources of GPUs and of their slices, and how many may be asked for."""
    allocatable = node.get("status", {}).get("allocatable", {})
    for name, count in sorted(allocatable.items()):
        if name in DEVICES or name.startswith(SLICES):
            yield name, int(count)


def _gpu_name(platform: str, labels: Mapping[str, str]) -> str | None:
    """The product label, else the platform's own name of the GPU, looked up in the catalogue."""
    for label in PRODUCT.values():
        if label in labels:
            return labels[label]
    if platform in ("gke", "karpenter"):
        named = platforms.platform(platform)
        wanted = {key: labels.get(label) for label, key in (named.product | named.optional).items()}
        return next(_named(wanted), None)
    return None


def _named(wanted: Mapping[str, str | None]) -> Iterator[str]:
    for name in gpus.gpu_names():
        row = gpus.gpu(name)
        if row and all(row.labels.get(key) in (value, None) for key, value in wanted.items()):
            first = next(iter(wanted))
            if row.labels.get(first) == wanted[first]:
                yield name


def _taints(node: Node, row: platforms.Platform) -> tuple[tuple[str, str | None, str], ...]:
    """Taints that stay, if the platform's usual tolerations do not bear all of them."""
    stated = [
        (taint["key"], taint.get("value") or None, taint["effect"])
        for taint in node.get("spec", {}).get("taints") or ()
        if not taint["key"].startswith(PASSING)
    ]
    spot = {row.spot_taint["key"]} if row.spot_taint else set()
    usual = {*row.gpu_taints, *row.amd_taints, *spot}
    is_usual = all(key in usual and effect == "NoSchedule" for key, _, effect in stated)
    return () if is_usual else tuple(stated)


def _told_apart(pool: Pool, nodes: Sequence[Node]) -> Pool:
    """With a label more, if the platform's selector also takes GPU nodes of another pool."""
    own = {_name(node) for node in pool.nodes}
    others = [_labels(each) for each in nodes if _name(each) not in own and any(_devices(each))]
    if not any(_matches(_selector(pool), labels) for labels in others):
        return pool
    for label in TELLING:
        values = {_labels(node).get(label) for node in pool.nodes}
        value = values.pop()
        if value and not values and not any(each.get(label) == value for each in others):
            return replace(pool, selector={label: value})
    return pool


def _selector(pool: Pool) -> dict[str, str]:
    """What our pods would select; without a known GPU only the pool's name."""
    row = pool.row
    if row is None:
        return {platforms.platform(pool.platform).pool: pool.node_pool or ""}
    at = platforms.Placement(
        platform=pool.platform, gpu=row, node_pool=pool.node_pool, spot=pool.spot
    )
    return platforms.node_selector(at)


def _matches(selector: Mapping[str, str], labels: Mapping[str, str]) -> bool:
    return all(labels.get(key) == value for key, value in selector.items())


def _telling(nodes: Sequence[Node]) -> tuple[str | None, ...]:
    return tuple(_labels(nodes[0]).get(label) for label in TELLING[:-1])


def spec(pool: Pool) -> dict[str, Any]:
    """`spec` of a GPUPool; what is the default is left out."""
    row, sliced = platforms.platform(pool.platform), pool.resource.startswith(SLICES)
    stated = {
        "gpu": pool.gpu,
        "gpusPerNode": pool.devices,
        "nodes": len(pool.nodes),
        "platform": pool.platform if pool.platform != "gfd" else None,
        "nodePool": pool.node_pool,
        "nodeSelector": dict(pool.selector) or None,
        "taints": [_taint(*each) for each in pool.taints] or None,
        "spot": (pool.spot and bool(row.spot)) or None,
        "node": _least(pool.nodes),
        "mig": {"profile": pool.resource.removeprefix(SLICES), "strategy": "mixed"}
        if sliced
        else None,
        "shared": {"replicas": pool.replicas} if pool.replicas > 1 else None,
        "driver": pool.driver,
    }
    return {key: value for key, value in stated.items() if value is not None}


def _taint(key: str, value: str | None, effect: str) -> dict[str, str]:
    return {"key": key, **({"value": value} if value else {}), "effect": effect}


def _least(nodes: Sequence[Node]) -> dict[str, str]:
    """What every node of the pool can give to pods: whole cores and GiB, rounded down."""
    given = [node["status"]["allocatable"] for node in nodes]
    found = {"cpu": str(int(min(quantity_cores(each["cpu"]) for each in given)))}
    for key, name in (("memory", "memory"), ("ephemeral-storage", "ephemeralStorage")):
        sizes = [quantity_bytes(each[key]) for each in given if key in each]
        if sizes:
            found[name] = f"{min(sizes) // GIB}Gi"
    return found


def findings(pool: Pool) -> Iterator[Result]:
    """What a reader has to add, or should know."""
    names = ", ".join(_name(node) for node in pool.nodes[:3])
    at = f"{names}{' and more' if len(pool.nodes) > 3 else ''}"
    if pool.gpu is None:
        yield warning(f"no label of {at} names the GPU: state it", "spec.gpu")
    elif pool.row is None:
        near = gpus.near_names(pool.gpu)
        hint = f"; the nearest is {near[0]}" if near else ""
        text = f"{pool.gpu} of {at} is not in the catalogue: state a row inline{hint}"
        yield warning(text, "spec.gpu", current=pool.gpu)
    if pool.gpu and "-SHARED" in pool.gpu:
        yield warning(f"the GPUs of {at} are time-sliced: their memory is not divided", "spec.gpu")
    away = [_name(node) for node in pool.nodes if not _takes_pods(node)]
    if away:
        yield info(f"counted although it takes no pods now: {', '.join(away)}", "spec.nodes")


def _takes_pods(node: Node) -> bool:
    conditions = node.get("status", {}).get("conditions") or ()
    is_ready = any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)
    return is_ready and not node.get("spec", {}).get("unschedulable")


def _labels(node: Node) -> dict[str, str]:
    return dict(node["metadata"].get("labels") or {})


def _name(node: Node) -> str:
    return str(node["metadata"]["name"])

"""Requests are stated, within limits, and count the memory that volumes take."""

from collections.abc import Iterator

from krm_fn.checks.base import Check, Context
from krm_fn.checks.pods import Container
from krm_fn.checks.reading import amount, dig, mapping
from krm_fn.checks.view import Spot
from krm_fn.errors import Result
from krm_fn.units import gib


def _rule(context: Context) -> Iterator[Result]:
    for container in context.containers:
        resources = container.at("resources")
        yield from _quantities(resources)
        yield from _stated(container, resources)
        yield from _in_memory(container, resources)
        yield from _on_disk(container, resources)


def _quantities(resources: Spot) -> Iterator[Result]:
    requests, limits = (mapping(resources.node, key) for key in ("requests", "limits"))
    for key, row in (("requests", requests), ("limits", limits)):
        for name, quantity in row.items():
            if amount(name, quantity) is None:
                message = f'must be a quantity; is "{quantity}"'
                yield resources.fault(message, f"{key}[{name}]", current=quantity)
    for name in requests.keys() & limits.keys():
        asked, most = amount(name, requests[name]), amount(name, limits[name])
        if asked is not None and most is not None and asked > most:
            message = f"must be at most the limit, {limits[name]}; is {requests[name]}"
            yield resources.fault(message, f"requests[{name}]", current=requests[name])


def _stated(container: Container, resources: Spot) -> Iterator[Result]:
    requests = mapping(resources.node, "requests")
    wanted = ("cpu", "memory", "ephemeral-storage") if container.gpus else ("cpu", "memory")
    for name in wanted:
        if name not in requests and name not in mapping(resources.node, "limits"):
            yield resources.fault(f"must state {name}, or the pod is placed blindly", "requests")


def _in_memory(container: Container, resources: Spot) -> Iterator[Result]:
    volumes = container.pod.volumes.values()
    sizes = [x.node["emptyDir"].get("sizeLimit") for x in volumes if _is_memory(x)]
    taken = sum(amount("memory", size) or 0 for size in sizes)
    for key in ("requests", "limits"):
        stated = mapping(resources.node, key).get("memory")
        if stated is not None and container.gpus and (amount("memory", stated) or 0) <= taken:
            message = f"must count the {gib(taken)} of volumes in memory; is {stated}"
            yield resources.fault(message, f"{key}[memory]", current=stated)


def _on_disk(container: Container, resources: Spot) -> Iterator[Result]:
    """The kubelet evicts a pod whose emptyDirs outgrow its limit."""
    stated = mapping(resources.node, "limits").get("ephemeral-storage")
    disks = [x for x in container.pod.volumes.values() if not _is_memory(x)]
    sizes = [dig(volume.node, "emptyDir", "sizeLimit") for volume in disks]
    taken = sum(amount("memory", size) or 0 for size in sizes)
    if stated is not None and (amount("memory", stated) or 0) < taken:
        message = f"must count the {gib(taken)} of emptyDir volumes; is {stated}"
        yield resources.fault(message, "limits[ephemeral-storage]", current=stated)


def _is_memory(volume: Spot) -> bool:
    return bool(dig(volume.node, "emptyDir", "medium") == "Memory")


CHECK = Check(name="resources", defects=(), rule=_rule)

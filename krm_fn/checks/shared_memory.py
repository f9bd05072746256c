"""An engine on several GPUs has a /dev/shm in memory, of the planned size."""

from collections.abc import Iterator

from krm_fn.checks.base import Check, Context
from krm_fn.checks.pods import Container
from krm_fn.checks.reading import amount, mapping
from krm_fn.errors import Result
from krm_fn.units import quantity


def _rule(context: Context) -> Iterator[Result]:
    for container in context.containers:
        volume = container.volume("/dev/shm")  # noqa: S108 - a path in the pod
        source = mapping(volume.node, "emptyDir") if volume else {}
        if source.get("medium") == "Memory":
            yield from _size(container, source, context)
        elif container.gpus > 1:
            message = f"must mount an emptyDir of medium Memory at /dev/shm: {container.gpus} GPUs"
            yield container.fault(message, "volumeMounts", proposed={"medium": "Memory"})


def _size(container: Container, source: dict[str, object], context: Context) -> Iterator[Result]:
    wanted = context.server.shared_memory_bytes if context.server else 0
    limit = source.get("sizeLimit")
    size = amount("memory", limit)
    name = str((container.volume("/dev/shm") or container).value("name"))  # noqa: S108
    volume = container.pod.volumes[name]
    if size is None:
        message = "must be a quantity: memory without a limit is the node's"
        yield volume.fault(message, "emptyDir", "sizeLimit", current=limit)
    elif container in context.servers and size < wanted:
        message = f"must be at least {quantity(wanted)}; is {limit}"
        yield volume.fault(
            message, "emptyDir", "sizeLimit", current=limit, proposed=quantity(wanted)
        )


CHECK = Check(name="shared_memory", defects=(17,), rule=_rule)

"""A pod asks for exactly the planned GPUs, once, in requests as in limits; a mock for none."""

from collections.abc import Iterator

from krm_fn.checks.base import Check, Context
from krm_fn.checks.pods import Container, Pod
from krm_fn.checks.reading import dig, is_gpu, mapping
from krm_fn.errors import Result

_CPU_IMAGES = ("inference-sim", "-cpu")


def _rule(context: Context) -> Iterator[Result]:
    for container in context.containers:
        yield from _pairs(container)
    for container in context.servers:
        yield from _planned(container, context)
    for pod in context.pods:
        yield from _node(pod, context)


def _pairs(container: Container) -> Iterator[Result]:
    requests, limits = (mapping(container.node, "resources", x) for x in ("requests", "limits"))
    for name in dict.fromkeys((*requests, *limits)):
        requested, limit = (str(row.get(name, "absent")) for row in (requests, limits))
        if is_gpu(name) and (name not in limits or (requested != limit and name in requests)):
            message = f"must be the limit too, {limit}; is {requested}"
            at = f"requests[{name}]"
            yield container.fault(message, "resources", at, current=requested, proposed=limit)


def _planned(container: Container, context: Context) -> Iterator[Result]:
    image = str(container.value("image"))
    planned = _pod_gpus(container.pod, context)
    if container.gpus and any(part in image for part in _CPU_IMAGES):
        yield container.fault("must not ask for a GPU: the image does not use one", "resources")
    elif planned is not None and container.gpus != planned:
        message = f"must ask for the {planned} GPUs of the plan; asks for {container.gpus}"
        at = ("resources", "limits")
        yield container.fault(message, *at, current=container.gpus, proposed=planned)


def _pod_gpus(pod: Pod, context: Context) -> int | None:
    """What one pod should have; a group of pods shares the plan's GPUs evenly."""
    size = dig(pod.owner, "spec", "leaderWorkerTemplate", "size")
    total = context.server.gpus if context.server else None
    if total is None and context.plan:
        total = context.plan.gpus_per_replica
    return total // size if total is not None and isinstance(size, int) and size else total


def _node(pod: Pod, context: Context) -> Iterator[Result]:
    if context.pool and pod.gpus > context.pool.gpus_per_node:
        most = context.pool.gpus_per_node
        yield pod.spec.fault(f"must fit on a node, which has {most} GPUs; asks for {pod.gpus}")
    names = {
        name
        for container in pod.containers
        for key in ("requests", "limits")
        for name in mapping(container.node, "resources", key)
        if is_gpu(name)
    }
    if context.pool and names - {context.pool.resource}:
        other = ", ".join(sorted(names - {context.pool.resource}))
        yield pod.spec.fault(
            f"must ask for {context.pool.resource}, as the pool has; asks for {other}"
        )


CHECK = Check(name="gpus", defects=(16,), rule=_rule)

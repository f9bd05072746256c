"""A rollout can finish: in time, with the GPUs and the claims that there are."""

from collections.abc import Iterator

from krm_fn.checks.base import Check, Context
from krm_fn.checks.pods import Pod
from krm_fn.checks.reading import dig, listing, share
from krm_fn.checks.view import Spot
from krm_fn.errors import Result

_DEADLINE = 600  # Kubernetes' default


def _rule(context: Context) -> Iterator[Result]:
    for pod in context.pods:
        if pod.kind == "Deployment":
            spec = Spot(pod.owner, "", pod.owner).at("spec")
            yield from _deadline(spec, pod)
            yield from _surge(spec, pod, context)
            yield from _claims(spec, pod, context)


def _deadline(spec: Spot, pod: Pod) -> Iterator[Result]:
    budget = max((container.startup_seconds for container in pod.containers), default=0)
    stated = spec.value("progressDeadlineSeconds", _DEADLINE)
    if isinstance(stated, int) and stated <= budget:
        message = f"must be more than the startup budget, {budget} s; is {stated} s"
        yield spec.fault(
            message, "progressDeadlineSeconds", current=stated, proposed=budget * 3 // 2
        )


def _recreates(spec: Spot) -> bool:
    return bool(dig(spec.node, "strategy", "type") == "Recreate")


def _surge(spec: Spot, pod: Pod, context: Context) -> Iterator[Result]:
    rolling = spec.at("strategy", "rollingUpdate")
    replicas = context.ceiling(pod.owner)
    surge = share(rolling.value("maxSurge", "25%"), replicas)
    if _recreates(spec) and rolling.node:
        yield rolling.fault("must be absent with type Recreate")
    if _recreates(spec) or not pod.gpus:
        return
    most = context.pool.replicas(pod.gpus) if context.pool and pod.gpus else None
    if most is not None and surge and replicas + surge > most:
        message = f"must be 0: {replicas} replicas and {surge} more exceed the pool's {most}"
        yield rolling.fault(message, "maxSurge", current=surge, proposed=0)
    if not surge and rolling.value("maxUnavailable") in (0, "0%"):
        yield rolling.fault("must be at least 1 when maxSurge is 0", "maxUnavailable", proposed=1)


def _claims(spec: Spot, pod: Pod, context: Context) -> Iterator[Result]:
    for volume in pod.volumes.values():
        name = dig(volume.node, "persistentVolumeClaim", "claimName")
        claim = context.find("PersistentVolumeClaim", name, pod.namespace)
        modes = listing(claim.node, "spec", "accessModes") if claim else ()
        if not any(mode in modes for mode in ("ReadWriteOnce", "ReadWriteOncePod")):
            continue
        if not _recreates(spec):
            message = f"must be Recreate: the new pod cannot mount {name} beside the old one"
            yield spec.fault(message, "strategy", "type", proposed="Recreate")
        replicas = context.ceiling(pod.owner)
        if replicas > 1:
            message = f"must be ReadWriteMany or a claim per pod: {replicas} replicas share {name}"
            yield volume.fault(message, "persistentVolumeClaim", current=list(modes))


CHECK = Check(name="rollout", defects=(19, 29), rule=_rule)

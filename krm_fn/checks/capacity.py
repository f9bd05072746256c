"""The GPUs of all pods at their largest number are in the pool; more would be Pending for ever."""

from collections.abc import Iterator

from krm_fn.checks.base import Check, Context, Pool
from krm_fn.checks.pods import Pod
from krm_fn.checks.reading import dig
from krm_fn.checks.view import Spot
from krm_fn.errors import Result


def _rule(context: Context) -> Iterator[Result]:
    pods = [pod for pod in context.pods if pod.gpus]
    if context.pool is None:
        return
    for pod in pods:
        yield from _replicas(pod, context, context.pool)
    total = sum(pod.gpus * _count(pod, context) for pod in pods)
    if len(pods) > 1 and total > context.pool.share:
        message = f"must ask for at most {context.pool.share} GPUs together; ask for {total}"
        yield pods[-1].spec.fault(message, current=total, proposed=context.pool.share)


def _replicas(pod: Pod, context: Context, pool: Pool) -> Iterator[Result]:
    most, count = pool.replicas(pod.gpus), _count(pod, context)
    if pod.gpus <= pool.gpus_per_node and count > most:
        scaler = next((x for x in context.autoscalers if x.high == count), None)
        spot, key = (
            (scaler, scaler.keys[1]) if scaler else (Spot(pod.owner, "spec", {}), "replicas")
        )
        message = (
            f"must be at most {most}: {count} x {pod.gpus} GPUs exceed the pool's {pool.share}"
        )
        yield spot.fault(message, key, current=count, proposed=most)


def _count(pod: Pod, context: Context) -> int:
    """Pods of this template at once. A LeaderWorkerSet's leader counts one, workers the rest."""
    size = dig(pod.owner, "spec", "leaderWorkerTemplate", "size")
    if isinstance(size, int):
        workers = (
            size - 1 if dig(pod.owner, "spec", "leaderWorkerTemplate", "leaderTemplate") else size
        )
        leader = "leaderTemplate" in pod.spec.path
        return context.ceiling(pod.owner) * (1 if leader else workers)
    parallel = dig(pod.owner, "spec", "parallelism")
    return parallel if isinstance(parallel, int) else context.ceiling(pod.owner)


CHECK = Check(name="capacity", defects=(12, 29), rule=_rule)

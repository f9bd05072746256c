"""Memory of the node that a service locks, against what its GPUs may take of a node."""

from collections.abc import Iterable, Iterator

from krm_fn.errors import Result, error
from krm_fn.function.facts import Facts
from krm_fn.function.launches import node_shape, pinned_bytes
from krm_fn.function.questions import question
from krm_fn.planner import host
from krm_fn.planner.plan import Plan
from krm_fn.units import gib


def memory_faults(facts: Facts, plans: Iterable[Plan]) -> Iterator[Result]:
    """More pinned memory than the GPUs' share of the node has."""
    node = node_shape(facts)
    if node.memory_bytes is None:
        return
    for variant, plan in zip(facts.modelled, plans, strict=True):
        gpus = plan.gpus_per_replica
        pinned = pinned_bytes(question(facts, variant), plan)
        working = host.LEAST_BYTES * (1 + gpus) + variant.engine.shared_memory.bytes(gpus)
        share = host.memory_share(gpus, node.memory_bytes, node)
        if pinned and working + pinned > share:
            yield error(
                f"is too little for {variant.engine.name}: it locks {gib(pinned)} for adapters and "
                f"an offloaded KV cache beside {gib(working)} to work with, and {plan.parallelism} "
                f"may take {gib(share)} of a node",
                "spec.gpuPool.node.memory",
                current=facts.pool.node.memory,
            )

"""Memory of the node that a service asks for, against what its GPUs may take of a node."""

from collections.abc import Iterable, Iterator

from krm_fn.errors import Result, error, warning
from krm_fn.function.facts import Facts
from krm_fn.function.launches import node_shape, pinned_bytes, shared_bytes
from krm_fn.function.questions import question
from krm_fn.function.variant_facts import VariantFacts
from krm_fn.planner import host
from krm_fn.planner.plan import Plan, Question
from krm_fn.units import gib


def memory_faults(facts: Facts, plans: Iterable[Plan]) -> Iterator[Result]:
    """More than the node has, and a second level of the cache that is no larger than the first."""
    for variant, plan in zip(facts.modelled, plans, strict=True):
        asked = question(facts, variant)
        yield from _node_faults(facts, variant, plan, asked)
        yield from _offload_faults(plan, asked)


def _node_faults(
    facts: Facts, variant: VariantFacts, plan: Plan, asked: Question
) -> Iterator[Result]:
    node, gpus = node_shape(facts), plan.gpus_per_replica
    base = variant.engine.shared_memory.bytes(gpus)
    working = host.LEAST_BYTES * (1 + gpus) + base
    held = pinned_bytes(asked, plan) + shared_bytes(variant, plan, asked) - base
    if node.memory_bytes is None or not held:
        return
    share = host.memory_share(gpus, node.memory_bytes, node)
    if working + held > share:
        yield error(
            f"is too little for {variant.engine.name}: it holds {gib(held)} of adapters and "
            f"offloaded KV cache beside {gib(working)} to work with, and {plan.parallelism} may "
            f"take {gib(share)} of a node",
            "spec.gpuPool.node.memory",
            current=facts.pool.node.memory,
        )


def _offload_faults(plan: Plan, asked: Question) -> Iterator[Result]:
    """A part in the node's memory that is smaller than that of the GPUs."""
    offload = asked.extras.offload
    if offload is None or offload.rules.smaller is None:
        return
    cache = plan.memory.kv_cache_bytes * plan.gpus_per_replica
    if offload.size_bytes <= cache:
        say, verb = (
            (error, "must be larger than")
            if offload.rules.smaller == "error"
            else (warning, "adds little to")
        )
        yield say(
            f"{verb} the {gib(cache)} of KV cache on the GPUs of a pod under {plan.engine} "
            f"{plan.engine_version}: it keeps a copy of them first",
            "spec.serving.kvOffload.size",
        )

"""What a service needs of its node beside the GPUs, against what its GPUs may take of a node."""

import math
from collections.abc import Iterable, Iterator

from krm_fn.errors import Result, error, warning
from krm_fn.function.facts import Facts
from krm_fn.function.launches import node_shape, pinned_bytes, shared_bytes
from krm_fn.function.questions import question
from krm_fn.function.variant_facts import VariantFacts
from krm_fn.function.weights import disk_bytes
from krm_fn.planner import host
from krm_fn.planner.plan import Plan, Question
from krm_fn.units import GIB, gib

NODE = "spec.gpuPool.node"


def host_faults(facts: Facts, plans: Iterable[Plan]) -> Iterator[Result]:
    """More than the node has, and a second level of the cache that is no larger than the first."""
    for variant, plan in zip(facts.modelled, plans, strict=True):
        asked = question(facts, variant)
        if variant in facts.planned:  # a mock alone runs on any node
            yield from _cpu_faults(facts, plan)
            yield from _memory_faults(facts, variant, plan, asked)
            yield from _disk_faults(facts, plan, asked)
        yield from _offload_faults(plan, asked)


def _cpu_faults(facts: Facts, plan: Plan) -> Iterator[Result]:
    node, gpus = node_shape(facts), plan.gpus_per_replica
    if node.cpu_cores is None or host.cpu_cores(gpus, node):
        return
    part = host.node_part(gpus, node)
    yield error(
        f"is too little: {plan.parallelism} may take {part * node.cpu_cores:.2g} cores of a node, "
        f"and a pod needs {host.LEAST_CORES:g}; got {facts.pool.node.cpu}: "
        f"{_nodes(host.LEAST_CORES / part, ' CPU')}",
        f"{NODE}.cpu",
        current=facts.pool.node.cpu,
    )


def _memory_faults(
    facts: Facts, variant: VariantFacts, plan: Plan, asked: Question
) -> Iterator[Result]:
    """What is in /dev/shm and what the engine locks are counted in a pod's memory."""
    node, gpus = node_shape(facts), plan.gpus_per_replica
    if node.memory_bytes is None:
        return
    base = variant.engine.shared_memory.bytes(gpus)
    working = host.LEAST_BYTES * (1 + gpus) + base
    held = pinned_bytes(asked, plan) + shared_bytes(variant, plan, asked) - base
    share = host.memory_share(gpus, node.memory_bytes, node)
    if working + held <= share:
        return
    extra = f"{gib(held)} of adapters and offloaded KV cache beside " if held else ""
    say = error if held or share <= base else warning
    yield say(
        f"is too little for {variant.engine.name}: it needs {extra}{gib(working)} to work with "
        f"({gib(base)} of them /dev/shm), and {plan.parallelism} may take {gib(share)} of a node; "
        f"got {facts.pool.node.memory}: {_nodes(_size(working + held, gpus, node), 'Gi')}",
        f"{NODE}.memory",
        current=facts.pool.node.memory,
    )


def _disk_faults(facts: Facts, plan: Plan, asked: Question) -> Iterator[Result]:
    """Folders of the pod that are on the node's disk; the kubelet evicts what outgrows it."""
    node, gpus = node_shape(facts), plan.gpus_per_replica
    if node.ephemeral_bytes is None:
        return
    weights = disk_bytes(facts, plan, asked)
    needed = host.KERNEL_CACHE_BYTES + weights
    share = host.disk_share(gpus, node.ephemeral_bytes, node)
    if needed <= share:
        return
    kept = f" and {gib(weights)} of weights (`storage.cache: none`)" if weights else ""
    yield error(
        f"is too little: a pod keeps {gib(host.KERNEL_CACHE_BYTES)} of compiled kernels{kept} on "
        f"the node's disk, and {plan.parallelism} may take {gib(share)} of it; got "
        f"{facts.pool.node.ephemeral_storage}: {_nodes(_size(needed, gpus, node), 'Gi')}",
        f"{NODE}.ephemeralStorage",
        current=facts.pool.node.ephemeral_storage,
    )


def _size(needed: int, gpus: int, node: host.NodeShape) -> float:
    """GiB of a node of which so many GPUs may take `needed`; shares are whole GiB."""
    return math.ceil(needed / GIB) / host.node_part(gpus, node)


def _nodes(size: float, unit: str) -> str:
    return f"choose nodes of {math.ceil(size)}{unit} or more, or leave it out if it is not known"


def _offload_faults(plan: Plan, asked: Question) -> Iterator[Result]:
    """A part in the node's memory that is smaller than that of the GPUs."""
    offload = asked.extras.offload
    if offload is None or offload.rules.smaller is None:
        return
    on_gpus = plan.memory.kv_cache_bytes * plan.gpus_per_replica
    if offload.size_bytes <= on_gpus:
        say, verb = (
            (error, "must be larger than")
            if offload.rules.smaller == "error"
            else (warning, "adds little to")
        )
        yield say(
            f"{verb} the {gib(on_gpus)} of KV cache on the GPUs of a pod under {plan.engine} "
            f"{plan.engine_version}: it keeps a copy of them first",
            "spec.serving.kvOffload.size",
        )

"""What a replica needs of its node beside the GPUs: CPU, memory, disk, time to start and to stop.

Inputs are the plan and the node as stated; where no node is stated the answer is modest.
"""

import math
from dataclasses import dataclass

from krm_fn.units import GIB

MIN_STARTUP_SECONDS = 900
COMPILE_SECONDS = 60.0
"""torch.compile of a cold start: vLLM logs print 20 to 70 s for 8B to 70B models (estimated)."""
CAPTURE_SECONDS_PER_LAYER = 0.5
"""Graph capture of 51 sizes: about 15 s at 32 layers, 40 s at 80 (vLLM logs, estimated)."""
LEAST_BYTES = 4 * GIB
"""Working memory of the server, and of each GPU's worker."""
KERNEL_CACHE_BYTES = 10 * GIB
"""Room for compiled kernels on the disk of a pod."""
LEAST_CORES = 0.5
"""The step of a CPU request, and so the least one."""
NODE_SHARE = 0.9
"""Part of a node's allocatable that one full set of its GPUs may take; daemons use the rest."""
ANSWER_FACTOR = 4
"""The longest planned answer is four mean ones, as the shortest context holds four requests."""


@dataclass(frozen=True, kw_only=True, slots=True)
class NodeShape:
    """Allocatable of one node; None = not stated. `gpus` are shared evenly."""

    cpu_cores: float | None
    memory_bytes: int | None
    ephemeral_bytes: int | None
    gpus: int


@dataclass(frozen=True, kw_only=True, slots=True)
class HostNeeds:
    """Requests of one pod. `memory_limit_bytes` only where the node is known."""

    cpu_cores: float
    memory_bytes: int
    memory_limit_bytes: int | None
    ephemeral_bytes: int
    shared_memory_bytes: int
    startup_seconds: int
    shutdown_seconds: int
    pre_stop_seconds: int


@dataclass(frozen=True, kw_only=True, slots=True)
class SharedMemory:
    """`/dev/shm` of an engine: `base` + `per_gpu` bytes x GPUs of the pod; `source` says whence."""

    base_bytes: int
    per_gpu_bytes: int
    source: str

    def bytes(self, gpus: int) -> int:
        return self.base_bytes + self.per_gpu_bytes * gpus


@dataclass(frozen=True, kw_only=True, slots=True)
class Storage:
    """Rates in bytes per second."""

    download_bytes: float
    read_bytes: float


def startup_seconds(
    checkpoint_bytes: int, layers: int, storage: Storage, *, eager: bool = False
) -> int:
    """2 x (download + read + compile + graph capture), at least 15 minutes, in steps of 30 s."""
    load = checkpoint_bytes / storage.download_bytes + checkpoint_bytes / storage.read_bytes
    warm = 0.0 if eager else COMPILE_SECONDS + CAPTURE_SECONDS_PER_LAYER * layers
    return max(MIN_STARTUP_SECONDS, math.ceil(2 * (load + warm) / 30) * 30)


def shutdown_seconds(output_tokens: int, itl_seconds: float, ttft_seconds: float) -> int:
    """Time for the longest planned answer to end: TTFT + 4 x output x ITL, 30 s to 15 min."""
    longest = ttft_seconds + ANSWER_FACTOR * output_tokens * itl_seconds
    return min(900, max(30, math.ceil(longest / 10) * 10))


def cpu_cores(gpus: int, node: NodeShape) -> float:
    """2 + 2 per GPU (API server, engine core, a worker per GPU); at most the GPUs' share.

    vLLM asks for at least 2 + GPUs cores (docs/configuration/optimization.md, 0.19).
    """
    modest = 2.0 + 2.0 * gpus
    if node.cpu_cores is None:
        return modest
    share = node_part(gpus, node) * node.cpu_cores
    return math.floor(min(max(modest, share / 2), share) / LEAST_CORES) * LEAST_CORES


def node_part(gpus: int, node: NodeShape) -> float:
    """Of a node's allocatable, what so many of its GPUs may take."""
    return NODE_SHARE * gpus / node.gpus


def memory_bytes(
    gpus: int, shared_memory: int, node: NodeShape, pinned: int = 0
) -> tuple[int, int | None]:
    """Request and limit. The request is 4 GiB + 4 GiB per GPU worker + shared memory + `pinned`,
    what the engine locks there: adapters and an offloaded KV cache.

    Weights are mapped files, whose page cache the kernel takes back; the limit is the GPUs' share
    of the node, so that the cache may use what is there.
    """
    modest = LEAST_BYTES * (1 + gpus) + shared_memory + pinned
    if node.memory_bytes is None:
        return modest, None
    share = memory_share(gpus, node.memory_bytes, node)
    return min(modest, share), share


def memory_share(gpus: int, memory: int, node: NodeShape) -> int:
    """Of a node's memory, what so many of its GPUs may take."""
    return int(memory * node_part(gpus, node)) // GIB * GIB


def ephemeral_bytes(wanted: int, gpus: int, node: NodeShape, taken: int = 0) -> int:
    """Disk for logs, compiled kernels and temporary files; beside what is `taken` at most the GPUs'
    share of the node.
    """
    if node.ephemeral_bytes is None:
        return wanted
    return max(0, min(wanted, disk_share(gpus, node.ephemeral_bytes, node) - taken))


def disk_share(gpus: int, disk: int, node: NodeShape) -> int:
    """Of a node's disk, what so many of its GPUs may take."""
    return int(disk * node_part(gpus, node)) // GIB * GIB

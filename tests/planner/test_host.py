"""What a pod asks of its node beside GPUs, and how long it may take to start and to stop."""

import pytest

from krm_fn.planner.host import (
    NodeShape,
    SharedMemory,
    Storage,
    cpu_cores,
    ephemeral_bytes,
    memory_bytes,
    shutdown_seconds,
    startup_seconds,
)

GIB = 2**30
UNKNOWN = NodeShape(cpu_cores=None, memory_bytes=None, ephemeral_bytes=None, gpus=8)
NODE = NodeShape(cpu_cores=96, memory_bytes=1000 * GIB, ephemeral_bytes=100 * GIB, gpus=8)
SMALL = NodeShape(cpu_cores=4, memory_bytes=16 * GIB, ephemeral_bytes=10 * GIB, gpus=1)
STORAGE = Storage(download_bytes=100e6, read_bytes=500e6)


@pytest.mark.parametrize(
    ("gpus", "node", "cores"),
    [
        (1, UNKNOWN, 4.0),
        (8, UNKNOWN, 18.0),
        (1, NODE, 5.0),  # half of 96 x 0.9 / 8 = 10.8, in steps of a half
        (8, NODE, 43.0),
        (1, SMALL, 3.5),  # never more than the share: 4 x 0.9 = 3.6
    ],
)
def test_cores(gpus, node, cores):
    """2 + 2 a GPU, half of the GPUs' share where that is more, at most the share."""
    assert cpu_cores(gpus, node) == cores


@pytest.mark.parametrize(
    ("gpus", "node", "request_gib", "limit_gib"),
    [
        (1, UNKNOWN, 12, None),
        (4, UNKNOWN, 24, None),
        (1, NODE, 12, 112),
        (8, NODE, 40, 900),
        (1, SMALL, 12, 14),
    ],
)
def test_memory(gpus, node, request_gib, limit_gib):
    """4 GiB + 4 a GPU + 4 of shared memory; a limit only where the node is known."""
    request, limit = memory_bytes(gpus, 4 * GIB, node)

    assert (request / GIB, limit and limit / GIB) == (request_gib, limit_gib)


def test_a_request_never_exceeds_the_limit():
    """A node with little memory gets the limit as the request."""
    tiny = NodeShape(cpu_cores=4, memory_bytes=8 * GIB, ephemeral_bytes=None, gpus=1)

    assert memory_bytes(1, 16 * GIB, tiny) == (7 * GIB, 7 * GIB)


@pytest.mark.parametrize(
    ("checkpoint", "layers", "eager", "seconds"),
    [
        (0, 32, False, 900),  # the least
        (140 * 10**9, 80, False, 3570),  # 2 x (1400 + 280 + 60 + 40) = 3560, in steps of 30
        (140 * 10**9, 80, True, 3360),  # nothing to compile or to capture
    ],
)
def test_startup(checkpoint, layers, eager, seconds):
    """Twice the download, the read, the compilation and the capture."""
    assert startup_seconds(checkpoint, layers, STORAGE, eager=eager) == seconds


@pytest.mark.parametrize(
    ("tokens", "itl", "ttft", "seconds"),
    [(10, 0.01, 0.1, 30), (256, 0.03, 1.0, 40), (4000, 0.1, 1.0, 900)],
)
def test_shutdown(tokens, itl, ttft, seconds):
    """Four mean answers, in steps of 10 s, from 30 s to 15 minutes."""
    assert shutdown_seconds(tokens, itl, ttft) == seconds


def test_disk_is_what_is_wanted_or_the_share():
    """90 % of 10 GiB is 9 GiB."""
    assert ephemeral_bytes(20 * GIB, 1, UNKNOWN) == 20 * GIB
    assert ephemeral_bytes(20 * GIB, 8, NODE) == 20 * GIB
    assert ephemeral_bytes(20 * GIB, 1, SMALL) == 9 * GIB


def test_shared_memory_grows_with_the_gpus():
    """A base and a part per GPU."""
    assert SharedMemory(base_bytes=2, per_gpu_bytes=3, source="").bytes(4) == 14

"""`krm-fn detect --nvml` on a real board, beside what CUDA's driver says of it."""

import ctypes
import sys
from importlib.util import find_spec

import pytest
import yaml
from programs import run

from krm_fn.catalog import gpus
from krm_fn.lookup import nvidia
from krm_fn.units import quantity_bytes


@pytest.fixture(scope="session")
def cuda(need) -> ctypes.CDLL:
    """The driver's library, as far as a total of memory needs it."""
    try:
        library = ctypes.CDLL("libcuda.so.1")
    except OSError:
        need("gpu", None, "this machine has no NVIDIA driver")
    need("gpu", find_spec("pynvml") and "pynvml", "install krm-fn[online]")
    assert library.cuInit(0) == 0
    return library


def cuda_total(library: ctypes.CDLL, index: int = 0) -> int:
    """Bytes of cuMemGetInfo in a context of that device: what an engine's fraction is of."""
    device, context = ctypes.c_int(), ctypes.c_void_p()
    free, total = ctypes.c_size_t(), ctypes.c_size_t()
    assert library.cuDeviceGet(ctypes.byref(device), index) == 0
    assert library.cuDevicePrimaryCtxRetain(ctypes.byref(context), device) == 0
    assert library.cuCtxPushCurrent_v2(context) == 0
    assert library.cuMemGetInfo_v2(ctypes.byref(free), ctypes.byref(total)) == 0
    library.cuDevicePrimaryCtxRelease_v2(device)
    return total.value


def test_derived_total_is_that_of_cuda(cuda):
    """NVML's total less what the driver keeps; the catalogue's figure within 0.2 %."""
    (board,) = nvidia.boards()
    measured = cuda_total(cuda)
    row = gpus.gpu(board.label)

    assert board.memory_bytes - board.reserved_bytes == pytest.approx(measured, rel=0.002)
    assert row is None or row.memory_bytes == pytest.approx(measured, rel=0.002)


def test_detect_prints_a_pool_that_a_service_can_use(cuda):
    """The product as feature discovery labels it, and the total as CUDA has it."""
    pool = yaml.safe_load(run(sys.executable, "-m", "krm_fn", "detect", "--nvml"))

    assert pool["kind"] == "GPUPool"
    assert pool["spec"]["gpu"].startswith(("NVIDIA-", "Tesla-"))
    stated = pool["spec"].get("gpuMemory")
    assert stated is None or quantity_bytes(stated) == pytest.approx(cuda_total(cuda), rel=0.002)

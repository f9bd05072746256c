"""The GPUs of this machine, as NVML (nvidia-ml-py) counts them."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from krm_fn.catalog import gpus
from krm_fn.errors import ConfigError, Result, error, info, warning
from krm_fn.units import MIB, gib


@dataclass(frozen=True, kw_only=True)
class Board:
    """One kind of board. `name` as NVML has it; `reserved_bytes` = what the driver keeps."""

    name: str
    memory_bytes: int
    reserved_bytes: int
    driver: str

    @property
    def label(self) -> str:
        """The name as GPU feature discovery writes it on the node."""
        return self.name.replace(" ", "-")

    @property
    def cuda_bytes(self) -> int:
        """The total that CUDA reports, which an engine's fraction is of: NVML's less the reserved.

        The catalogue's figure is measured and wins.
        """
        row = gpus.gpu(self.label)
        return row.memory_bytes if row else self.memory_bytes - self.reserved_bytes


def boards() -> Counter[Board]:
    """Kinds of boards and how many; ConfigError with the way out when NVML cannot be asked."""
    try:
        import pynvml  # noqa: PLC0415  # the extra krm-fn[online]
    except ImportError:
        message = "`pip install 'krm-fn[online]'` installs what detect --nvml needs"
        raise ConfigError([error(message)]) from None
    try:
        pynvml.nvmlInit()
        try:
            return Counter(_boards(pynvml))
        finally:
            pynvml.nvmlShutdown()
    except pynvml.NVMLError as fault:
        message = f"NVML does not answer: {fault}; run it where nvidia-smi works"
        raise ConfigError([error(message)]) from None


def _boards(nvml: Any) -> Iterator[Board]:
    driver = nvml.nvmlSystemGetDriverVersion()
    for index in range(nvml.nvmlDeviceGetCount()):
        handle = nvml.nvmlDeviceGetHandleByIndex(index)
        memory = nvml.nvmlDeviceGetMemoryInfo(handle, version=nvml.nvmlMemory_v2)
        yield Board(
            name=nvml.nvmlDeviceGetName(handle),
            memory_bytes=int(memory.total),
            reserved_bytes=int(memory.reserved),
            driver=str(driver),
        )


def spec(board: Board, count: int) -> dict[str, Any]:
    """`spec` of a GPUPool; a board that the catalogue lacks gets its memory stated."""
    is_known = gpus.gpu(board.label) is not None
    memory = None if is_known else f"{board.cuda_bytes // MIB}Mi"
    stated = {
        "gpu": board.label,
        "gpuMemory": memory,
        "gpusPerNode": count,
        "nodes": 1,
        "driver": board.driver.split(".")[0],
    }
    return {key: value for key, value in stated.items() if value is not None}


def findings(board: Board) -> Iterator[Result]:
    """CUDA's total beside NVML's, and where it is from."""
    source = "the catalogue" if gpus.gpu(board.label) else "NVML's less what the driver reserves"
    yield info(
        f"{board.name}: NVML counts {gib(board.memory_bytes)}, CUDA {gib(board.cuda_bytes)} "
        f"({source}); plans use CUDA's",
        "spec.gpu",
    )
    if gpus.gpu(board.label) is None:
        near = gpus.near_names(board.label)
        hint = f"; the nearest is {near[0]}" if near else ""
        message = f"{board.label} is not in the catalogue: state a row inline{hint}"
        yield warning(message, "spec.gpu", current=board.label)

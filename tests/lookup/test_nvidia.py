"""NVML counts what the board has, CUDA what an engine gets; the pool says which is which."""

from krm_fn.lookup.nvidia import Board, findings, spec
from krm_fn.units import GIB, MIB


def board(name: str, mebibytes: int, reserved: int = 512) -> Board:
    return Board(
        name=name,
        memory_bytes=mebibytes * MIB,
        reserved_bytes=reserved * MIB,
        driver="580.95.05",
    )


def test_a_known_board_is_named_as_nodes_name_it():
    """The catalogue has its totals; nothing is stated twice."""
    assert spec(board("NVIDIA H100 80GB HBM3", 81559), 8) == {
        "gpu": "NVIDIA-H100-80GB-HBM3",
        "gpusPerNode": 8,
        "nodes": 1,
        "driver": "580",
    }


def test_the_total_of_cuda_is_said_beside_that_of_nvml():
    """81559 MiB are 79.6 GiB; CUDA reports 79.2 GiB of them (catalogue)."""
    (result,) = findings(board("NVIDIA H100 80GB HBM3", 81559))

    assert "NVML counts 79.6 GiB, CUDA 79.2 GiB (the catalogue)" in result.message


def test_the_total_of_an_unknown_board_is_nvml_less_the_reserved():
    """24 GiB with 512 MiB reserved give CUDA 23.5 GiB."""
    found = board("NVIDIA RTX 9999", 24576)

    assert found.cuda_bytes == 23.5 * GIB
    assert spec(found, 2)["gpuMemory"] == "24064Mi"

"""Every row loads, is sane and can be found; slices and shared boards are derived."""

import csv
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from krm_fn.catalog.gpus import (
    gpu,
    gpu_fault,
    gpu_names,
    is_shared,
    mig_slice,
    near_names,
)
from krm_fn.units import GIB, quantity_bytes

ROWS = [row for name in gpu_names() if (row := gpu(name))]
FACTS = Path(__file__).parents[2].parent / "shared/data/gpu-facts.csv"


def test_every_listed_row_loads():
    assert len(ROWS) == len(gpu_names()) >= 49


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_row_is_sane(row):
    assert row.source
    assert 14 * GIB < row.memory_bytes < 300 * GIB
    assert 250e9 < row.bandwidth_bytes <= 8e12
    assert (row.link is not None) or (row.form in ("pcie", "integrated") and not row.bridge)
    assert row.capability >= (7, 0) or (row.vendor == "amd" and row.capability == (0, 0))
    assert row.flops.fp16
    assert all(re.fullmatch(r"\d+g\.\d+gb", profile) for profile in row.mig_profiles)
    if row.nvml_memory:
        assert 0.93 < row.memory_bytes / quantity_bytes(row.nvml_memory) <= 1


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_lower_precision_is_never_slower(row):
    rates = [rate for rate in (row.flops.bf16, row.flops.fp8, row.flops.fp4) if rate]
    assert rates == sorted(rates)


def test_aliases_are_unique_and_lower_case():
    names = [name for row in ROWS for name in row.aliases] + [row.name.lower() for row in ROWS]
    assert len(names) == len(set(names))
    assert all(name == name.lower() for name in names)


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("h100", "NVIDIA-H100-80GB-HBM3"),
        ("H100-80GB", "NVIDIA-H100-80GB-HBM3"),
        ("h100-sxm", "NVIDIA-H100-80GB-HBM3"),
        ("a100-80gb", "NVIDIA-A100-SXM4-80GB"),
        ("l4", "NVIDIA-L4"),
        ("rtx4090", "NVIDIA-GeForce-RTX-4090"),
        ("mi300x", "AMD_Instinct_MI300X_OAM"),
        ("nvidia-h200", "NVIDIA-H200"),
        ("NVIDIA-GB200", "NVIDIA-GB200"),
    ],
)
def test_names_people_type(name, label):
    assert gpu(name).name == label


def test_arm_boards():
    arm = {row.name for row in ROWS if row.cpu == "arm64"}
    grace = {"NVIDIA-GB200", "NVIDIA-GB300", "NVIDIA-GB10"}
    assert arm == grace | {"NVIDIA-GH200-480GB", "NVIDIA-GH200-144G-HBM3e"}


@pytest.mark.parametrize(
    ("name", "gib"),
    [  # totals that engines printed in public logs
        ("h100", 79.19),
        ("a100-40gb", 39.38),
        ("l40s", 44.42),
        ("rtx5090", 31.4),
        ("b200", 178.36),
        ("gb10", 121.69),
    ],
)
def test_memory_is_what_cuda_reports(name, gib):
    assert gpu(name).memory_bytes == int(gib * GIB)


@pytest.mark.parametrize(
    ("board", "profile", "printed_gib"),
    [  # `nvidia-smi mig -lgip`, MIG user guide
        ("a100-40gb", "1g.5gb", 4.75),
        ("a100-40gb", "3g.20gb", 19.62),
        ("a100-80gb", "1g.10gb", 9.62),
        ("h100", "1g.10gb", 9.62),
        ("h100", "3g.40gb", 39.25),
    ],
)
def test_slice_memory_is_a_little_below_the_printed(board, profile, printed_gib):
    memory = mig_slice(gpu(board), profile).memory_bytes / GIB
    assert printed_gib - 0.4 <= memory <= printed_gib


@pytest.mark.parametrize("row", [row for row in ROWS if row.mig_profiles], ids=lambda r: r.name)
def test_slices_share_a_board(row):
    for profile, count in row.mig_profiles.items():
        part = mig_slice(row, profile)
        assert part.memory_bytes * count <= row.memory_bytes
        assert part.bandwidth_bytes * count <= row.bandwidth_bytes * 1.001
        assert part.flops.fp16 * count <= row.flops.fp16 * 1.001
        assert part.link is None
        assert part.parent == row.name


def test_mig_label_as_feature_discovery_prints_it():
    part = gpu("NVIDIA-A100-SXM4-80GB-MIG-1g.10gb")
    assert part.name == "NVIDIA-A100-SXM4-80GB-MIG-1g.10gb"
    assert part.resource == "nvidia.com/gpu"


def test_mixed_slice_keeps_the_label_of_the_board():
    part = mig_slice(gpu("a100"), "1g.10gb", "mixed")
    assert part.name == "NVIDIA-A100-SXM4-80GB"
    assert part.resource == "nvidia.com/mig-1g.10gb"


def test_shared_label():
    row = gpu("NVIDIA-L4-SHARED")
    assert row.name == "NVIDIA-L4-SHARED"
    assert is_shared(row.name)
    assert not is_shared("NVIDIA-L4")
    assert row.memory_bytes == gpu("l4").memory_bytes


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("h1000", "did you mean"),
        ("NVIDIA-H100-SXM5-80GB", "NVIDIA-H100"),
        ("zzz", "an alias such as 'h100'"),
        ("NVIDIA-A100-SXM4-80GB-MIG-1g.12gb", "must be one of 1g.10gb"),
        ("NVIDIA-L4-MIG-1g.10gb", "has no MIG"),
    ],
)
def test_faults_say_what_to_write(name, words):
    assert gpu(name) is None
    fault = gpu_fault(name)
    assert fault.severity == "error"
    assert fault.current in name
    assert words in fault.message


@pytest.mark.parametrize(
    ("name", "first"),
    [
        ("nvidia h100", "NVIDIA-H100-80GB-HBM3"),
        ("NVIDIA H100 PCIe", "NVIDIA-H100-PCIe"),
        ("Tesla V100", "Tesla-V100-SXM2-16GB"),
        ("a100 80gb", "NVIDIA-A100-SXM4-80GB"),
    ],
)
def test_names_of_the_same_board_lead(name, first):
    """H100 is no H800, however little the letters differ."""
    found = near_names(name)
    number = first.split("-")[1]

    assert found[0] == first
    assert number in found[1]


def test_near_names_are_labels():
    assert near_names("h20")[0] == "NVIDIA-H20"


@given(st.text(max_size=30))
def test_any_text_is_answered(text):
    assert (gpu(text) is None) == (text.removesuffix("-SHARED").lower() not in known())
    gpu_fault(text)


def known():
    return {name for row in ROWS for name in row.aliases} | {row.name.lower() for row in ROWS}


@pytest.mark.skipif(not FACTS.exists(), reason="the table of facts is not beside the repository")
def test_rows_agree_with_the_facts():
    with FACTS.open(newline="") as file:
        facts = [row for row in csv.DictReader(file) if row["vendor"] in ("NVIDIA", "AMD")]
    assert {fact["gpu_product_label"] for fact in facts} == set(gpu_names())
    for fact in facts:
        row = gpu(fact["gpu_product_label"])
        half = 2 if row.name in ("MI250", "AMD_Instinct_MI250X") else 1  # one of two devices
        assert row.bandwidth_bytes * half == float(fact["hbm_bandwidth_gbs"]) * 1e9
        assert row.compute_capability == fact["compute_capability"]
        assert row.flops.fp8 == (
            float(fact["fp8_dense_tflops"]) if fact["fp8_dense_tflops"] else None
        )

"""Graphs that vLLM captures before it sizes the KV cache, and the memory that this takes."""

from dataclasses import replace

import pytest
from asking import plan
from memory_cases import LLAMA_3_8B, QWEN3_30B, QWEN35_27B, question, serving, tp

from krm_fn.catalog.models import model_card
from krm_fn.planner import memory
from krm_fn.planner.rehearsal import rehearsal
from krm_fn.units import MIB

RTX_5090, MI300X = "NVIDIA-GeForce-RTX-5090", "AMD_Instinct_MI300X_OAM"
QWEN36_27B = model_card("Qwen/Qwen3.6-27B").config


def pool(version="0.26.1", **more):
    """Of a Qwen hybrid of 27B with an fp8 cache, as vllm-0197 has it."""
    asked = question(QWEN36_27B, version=version, board=RTX_5090, memory_gib=31.4)
    settings = serving(32768, **{"seqs": 256, "batched": 2048, "kv_cache_dtype": "fp8"} | more)
    return memory.rehearsal_pool(asked, tp(1), settings)


def test_one_of_16_tensors_of_the_rehearsal_takes_784_mib():
    """vllm-0197: "Tried to allocate 784.00 MiB" = 256 blocks of 1568 tokens of one layer."""
    found = pool()

    assert found.terms.rehearsed * found.block_bytes // 16 == 784 * MIB
    assert found.block_size == 1568


@pytest.mark.parametrize("fraction", [0.80, 0.93])
def test_no_memory_fraction_changes_the_rehearsal(fraction):
    """vllm-0197: 47.06 MiB were free at both."""
    assert pool(fraction=fraction).rehearsal_bytes == pool().rehearsal_bytes


def test_without_graphs_there_is_no_rehearsal():
    """vllm-0193: the same start works with --enforce-eager."""
    assert pool(enforce_eager=True) is None


@pytest.mark.parametrize(
    ("version", "seqs", "blocks"),
    [
        ("0.17.0", 8, None),
        ("0.19.0", 8, 16),
        ("0.25.0", 8, 16),
        ("0.26.0", 8, 8),
        ("0.33.0", 8, 8),
        ("0.33.0", 1024, 512),
    ],
)
def test_blocks_of_the_rehearsal_by_version(version, seqs, blocks):
    found = pool(version, seqs=seqs)

    assert (found.terms.rehearsed if found else None) == blocks


@pytest.mark.parametrize(
    ("config", "version", "charged"),
    [
        (LLAMA_3_8B, "0.19.0", False),
        (LLAMA_3_8B, "0.22.0", True),
        (LLAMA_3_8B, "0.23.0", None),
        (LLAMA_3_8B, "0.28.0", None),
        (LLAMA_3_8B, "0.29.0", True),
        (QWEN3_30B, "0.24.0", True),
        (QWEN3_30B, "0.28.0", True),
        (QWEN35_27B, "0.28.0", True),
    ],
)
def test_the_second_runner_does_not_rehearse_until_0_29(config, version, charged):
    """Dense models from 0.25 on; what graphs take is then not charged to the budget."""
    found = rehearsal(question(config, version=version))

    assert (found.charged if found else None) == charged


@pytest.mark.parametrize(("version", "rehearsed"), [("0.25.0", False), ("0.26.0", True)])
def test_amd_is_not_rehearsed_until_0_26(version, rehearsed):
    asked = question(QWEN3_30B, version=version, board=MI300X)

    assert bool(rehearsal(asked)) == rehearsed


def test_quantised_models_kept_the_first_runner_until_0_24():
    quantised = LLAMA_3_8B | {"quantization_config": {"quant_method": "fp8"}}

    assert rehearsal(question(quantised, version="0.23.0"))
    assert not rehearsal(question(quantised, version="0.24.0"))


def test_the_largest_batch_that_can_be_rehearsed():
    asked = question(QWEN36_27B, version="0.26.1", board="NVIDIA-A100-SXM4-80GB", memory_gib=64)
    settings = serving(4096, seqs=1024, batched=8192, kv_cache_dtype="fp8")
    seats = memory.rehearsal_seats(asked, tp(1), settings)
    most, more = (
        memory.rehearsal_pool(asked, tp(1), replace(settings, max_num_seqs=int(seats) + extra))
        for extra in (0, 1)
    )

    assert most.rehearsal_bytes >= 0 > more.rehearsal_bytes


SMALL = "nvidia/Qwen3.6-27B-NVFP4"


def small(**more):
    spec = {"kvCacheDtype": "fp8", "maxModelLen": 4096} | more
    variants, alone = {"vllm": {"version": "0.26.0"}}, {"gpusPerNode": 1}
    return plan(SMALL, RTX_5090, serving=spec, variants=variants, pool=alone)


def test_a_batch_that_cannot_be_rehearsed_is_refused_with_what_can():
    found = small(maxNumSeqs=512)
    changes = {path for each in found.alternatives for path in each.change}

    assert not found.feasible
    assert {"serving.maxNumSeqs", "serving.enforceEager"} <= changes


def test_an_unstated_batch_is_one_that_can_be_rehearsed():
    found = small()

    assert found.feasible
    assert found.memory.margin_bytes >= found.memory.uncertainty_bytes

"""vLLM's memory rules by version: what is charged, how the cache is cut up, what was measured."""

from krm_fn.planner.limits import (
    Activation,
    Batch,
    CacheBlock,
    CacheRules,
    EngineLimits,
    Graphs,
    Overhead,
    Where,
)
from krm_fn.units import GIB, MIB


def _number(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".")[:3] if part.isdigit())


def limits(version: str) -> EngineLimits:
    """Memory and layout rules of a vLLM release."""
    at = _number(version)
    return EngineLimits(
        name="vllm",
        version=version,
        memory_basis="total",
        memory_fraction=0.92 if at >= (0, 20) else 0.9,
        block_size=16,
        kv_cache_dtypes=("auto", "bfloat16", "float16", "fp8", "fp8_e4m3", "fp8_e5m2"),
        cache=_cache(at),
        batches=_batches(at),
        activation=_activation(at),
        graphs=_graphs(at),
        context=CONTEXT,
        non_torch=NON_TORCH,
        sparse_kv_dtype="fp8_ds_mla",
    )


def _cache(at: tuple[int, ...]) -> CacheRules:
    return CacheRules(
        pool="blocks",
        printed="capacity" if at >= (0, 20, 1) else "groups" if at >= (0, 9) else "blocks",
        blocks=(CacheBlock(where=Where(min_major=9, max_major=9), kind="latent", tokens=64),),
        batches_in_flight=2 if at >= (0, 26) else 1,
        pipelined_batches=at >= (0, 33),
        null_block=at >= (0, 28),
        pads_pages=at >= (0, 22),
        state_mode="align" if at >= (0, 26) else "none",
        latent_align=128 if at >= (0, 28) else 64,
    )


def _batches(at: tuple[int, ...]) -> tuple[Batch, ...]:
    large = (
        Batch(
            where=Where(min_memory_bytes=160 * GIB), max_num_batched_tokens=16384, max_num_seqs=1024
        ),
    )
    small = (
        Batch(where=Where(names=("A100", "GB10")), max_num_batched_tokens=2048, max_num_seqs=256),
    )
    return (
        *(large if at >= (0, 28) else ()),
        *(small if at >= (0, 9) else ()),
        Batch(
            where=Where(min_memory_bytes=70 * GIB), max_num_batched_tokens=8192, max_num_seqs=1024
        ),
        Batch(where=Where(), max_num_batched_tokens=2048, max_num_seqs=256),
    )


def _activation(at: tuple[int, ...]) -> Activation:
    return Activation(
        sampler_copies=3.6 if at >= (0, 17) else 9.45,
        hidden_copies=6,
        constant_bytes=int(0.065 * GIB),
        expert_workspace=at >= (0, 17),
        spread=0.1,
        measurements=18,
        source="memory-measured.csv, 0.19.0 on H100",
        whole_prompt=at < (0, 8),
    )


def _graphs(at: tuple[int, ...]) -> Graphs:
    return Graphs(
        charged=at >= (0, 20),
        max_size=512,
        base_bytes=int(0.35 * GIB),
        layer_bytes=15 * MIB,
        expert_factor=1.5,
        estimate=0.85,
        spread_bytes=int(0.5 * GIB),
        measurements=18,
        source="memory-measured.csv, 0.19.0 on H100",
    )


CONTEXT = (
    Overhead(
        where=Where(min_tensor=2),
        bytes=int(1.75 * GIB),
        spread_bytes=int(0.25 * GIB),
        measurements=8,
        source="H100 0.19.0",
    ),
    Overhead(
        where=Where(),
        bytes=int(0.51 * GIB),
        spread_bytes=int(0.1 * GIB),
        measurements=16,
        source="H100 0.19.0",
    ),
)
NON_TORCH = (
    Overhead(
        where=Where(min_pipeline=2),
        bytes=int(0.07 * GIB),
        spread_bytes=int(0.1 * GIB),
        measurements=3,
        source="peers.md 5",
    ),
    Overhead(
        where=Where(min_tensor=2, min_memory_bytes=70 * GIB),
        bytes=int(2.08 * GIB),
        spread_bytes=int(0.1 * GIB),
        measurements=8,
        source="H100 0.19.0",
    ),
    Overhead(
        where=Where(min_memory_bytes=70 * GIB),
        bytes=int(0.25 * GIB),
        spread_bytes=int(0.1 * GIB),
        measurements=16,
        source="H100 0.19.0",
    ),
    Overhead(
        where=Where(),
        bytes=int(0.1 * GIB),
        spread_bytes=int(0.1 * GIB),
        measurements=5,
        source="small GPUs",
    ),
)

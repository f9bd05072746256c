"""SGLang's memory rules by version."""

from krm_fn.planner.limits import (
    Activation,
    CacheRules,
    EngineLimits,
    FreeFraction,
    Graphs,
    Overhead,
    Where,
)
from krm_fn.units import GIB, MIB

STEPS = (
    (20 * 1024, 2048, 8, 8),
    (35 * 1024, 4096, 48, 160),
    (60 * 1024, 4096, 32, 160),
    (160 * 1024, 8192, 256, 512),
    (1 << 40, 16384, 512, 512),
)


def limits(version: str) -> EngineLimits:
    """Memory and layout rules of an SGLang release."""
    return EngineLimits(
        name="sglang",
        version=version,
        memory_basis="free",
        memory_fraction=None,
        block_size=1,
        kv_cache_dtypes=("auto", "bfloat16", "fp8_e4m3", "fp8_e5m2"),
        attention_data_parallel=True,
        cache=CacheRules(pool="tokens"),
        free_fraction=FreeFraction(steps=STEPS),
        activation=Activation(
            sampler_copies=1,
            hidden_copies=6,
            constant_bytes=int(0.1 * GIB),
            expert_workspace=True,
            spread=0.3,
            measurements=0,
            source="by analogy with vLLM",
        ),
        graphs=Graphs(
            charged=False,
            max_size=512,
            base_bytes=int(0.5 * GIB),
            layer_bytes=20 * MIB,
            expert_factor=1.5,
            estimate=0.0,
            spread_bytes=int(0.5 * GIB),
            measurements=1,
            source="sglang-0001",
        ),
        context=(
            Overhead(
                where=Where(min_tensor=2),
                bytes=int(2 * GIB),
                spread_bytes=int(0.5 * GIB),
                measurements=3,
                source="memory-model.md 3",
            ),
            Overhead(
                where=Where(),
                bytes=int(0.6 * GIB),
                spread_bytes=int(0.2 * GIB),
                measurements=3,
                source="memory-model.md 3",
            ),
        ),
    )

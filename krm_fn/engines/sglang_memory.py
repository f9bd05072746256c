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
        activation_charged=False,
        activation=(
            Activation(
                where=Where(),
                sampler_copies=1.0,
                hidden_copies=3.0,
                constant_bytes=int(0.1 * GIB),
                expert_workspace=True,
                workspace_free=(),
                spread=0.3,
                measurements=0,
                source="by analogy with vLLM",
            ),
        ),
        graphs=(
            Graphs(
                where=Where(),
                charged=False,
                max_size=512,
                base_bytes=int(0.4 * GIB),
                layer_bytes=int(12.8 * MIB),
                expert_bytes=int(0.3 * GIB),
                estimate=0.0,
                spread_bytes=int(0.5 * GIB),
                measurements=1,
                source="sglang-0001",
            ),
        ),
        context=CONTEXT,
    )


CONTEXT = (
    Overhead(
        where=Where(vendor="amd"),
        bytes=int(4.4 * GIB),
        spread_bytes=int(0.5 * GIB),
        measurements=2,
        source="sglang-0007, sglang-0008",
    ),
    Overhead(
        where=Where(min_tensor=2),
        bytes=int(2.2 * GIB),
        spread_bytes=int(0.5 * GIB),
        measurements=3,
        source="sglang-0066, sglang-0069",
    ),
    Overhead(
        where=Where(),
        bytes=int(0.6 * GIB),
        spread_bytes=int(0.2 * GIB),
        measurements=2,
        source="sglang-0001",
    ),
)

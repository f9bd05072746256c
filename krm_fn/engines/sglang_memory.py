"""SGLang's memory rules by version: the pool, the automatic fraction, what was measured."""

from dataclasses import replace

from krm_fn.engines.since import Since, all_at, at, number
from krm_fn.planner.dtypes import HALVES
from krm_fn.planner.limits import (
    Activation,
    Batch,
    CacheBlock,
    CacheRules,
    EngineLimits,
    FreeFraction,
    Graphs,
    Overhead,
    Where,
)
from krm_fn.units import GIB, MIB

NO_LIMIT = float("inf")
ANY = Where()
MULTI = Where(min_tensor=2, min_memory_bytes=70 * GIB)

FREE_FRACTION = (
    Since(
        until=(0, 4, 4),
        value=FreeFraction(
            by_tensor=((16, 0.79), (8, 0.81), (4, 0.85), (2, 0.87), (1, 0.88)),
            source="sglang/srt/server_args.py, 0.4.3.post2",
        ),
    ),
    Since(
        since=(0, 4, 4),
        until=(0, 5, 1),
        value=FreeFraction(
            by_memory=(
                (35 * 1024, 2.8 * 1024, 1024 / 10),
                (90 * 1024, 9.5 * 1024, 1024 / 2),
                (160 * 1024, 12 * 1024, 1024 / 2),
                (NO_LIMIT, 32 * 1024, 0.0),
            ),
            attention_data_mib=4 * 1024,
            source="sglang/srt/server_args.py, 0.4.9.post6",
        ),
    ),
    Since(
        since=(0, 5, 1),
        until=(0, 5, 8),
        value=FreeFraction(
            graphs=(
                (20 * 1024, 8, 8),
                (35 * 1024, 24, 80),
                (60 * 1024, 32, 160),
                (160 * 1024, 256, 512),
                (NO_LIMIT, 512, 512),
            ),
            source="sglang/srt/server_args.py, 0.5.5",
        ),
    ),
    Since(
        since=(0, 5, 8),
        until=(0, 5, 20),
        value=FreeFraction(
            graphs=(
                (20 * 1024, 8, 8),
                (35 * 1024, 24, 80),
                (60 * 1024, 32, 160),
                (160 * 1024, 256, 512),
                (NO_LIMIT, 512, 512),
            ),
            prefill_graphs=True,
            source="sglang/srt/server_args.py, 0.5.10",
        ),
    ),
    Since(
        since=(0, 5, 20),
        value=FreeFraction(
            graphs=(
                (20 * 1024, 8, 8),
                (35 * 1024, 48, 160),
                (60 * 1024, 32, 160),
                (160 * 1024, 256, 512),
                (NO_LIMIT, 512, 512),
            ),
            prefill_graphs=True,
            source="sglang/srt/arg_groups/memory_hook.py, 0.5.23",
        ),
    ),
)

CACHE = CacheRules(
    pool="tokens",
    window_share=0.8,
    state_share=0.9,
    states_per_request=3,
    blocks=(
        CacheBlock(where=ANY, kind="sparse", tokens=64),
        CacheBlock(where=Where(min_major=10, max_major=10), kind="latent", tokens=64),
    ),
)
"""pool_configurator.py, kv_cache_configurator.py, overrides.py (0.5.23)."""

BATCHES = (
    Batch(where=Where(max_memory_bytes=20 * GIB), max_num_batched_tokens=2048, max_num_seqs=2048),
    Batch(where=Where(max_memory_bytes=60 * GIB), max_num_batched_tokens=4096, max_num_seqs=2048),
    Batch(where=Where(max_memory_bytes=160 * GIB), max_num_batched_tokens=8192, max_num_seqs=2048),
    Batch(where=ANY, max_num_batched_tokens=16384, max_num_seqs=2048),
)
"""Chunked prefill by memory, and the least number of running requests (0.5.23)."""

ACTIVATION = Activation(
    where=ANY,
    sampler_copies=1.0,
    hidden_copies=3.0,
    constant_bytes=100 * MIB,
    expert_workspace=True,
    workspace_free=(),
    spread=0.5,
    measurements=0,
    source="the forms of vLLM; SGLang does not print it",
)
GRAPHS = Graphs(
    where=ANY,
    max_size=512,
    base_bytes=int(0.4 * GIB),
    layer_bytes=int(12.8 * MIB),
    expert_bytes=int(0.3 * GIB),
    estimate=0.0,
    spread_bytes=1 * GIB,
    measurements=1,
    source="sglang-0001: 12.34 GiB free after the pool, 11.78 after the graphs",
)


def _row(where: Where, gib: float, spread: float, measurements: int, source: str) -> Overhead:
    return Overhead(
        where=where,
        bytes=int(gib * GIB),
        spread_bytes=int(spread * GIB),
        measurements=measurements,
        source=source,
    )


CONTEXT = (
    Since(value=_row(Where(vendor="amd"), 4.4, 0.5, 2, "sglang-0007, -0008: 283.53 GiB at load")),
    Since(value=_row(MULTI, 2.2, 0.7, 2, "sglang-0066, sglang-0069")),
    Since(value=_row(Where(min_tensor=2), 1.0, 0.4, 0, "estimated from H200")),
    Since(value=_row(Where(names=("GB10",)), 6.4, 2.0, 3, "sglang-0002..0004")),
    Since(value=_row(ANY, 0.55, 0.15, 1, "sglang-0001: 78.64 GiB at load on H100")),
)


KV_DTYPES = (
    Since(value="auto"),
    Since(value="fp8_e4m3"),
    Since(value="fp8_e5m2"),
    Since(since=(0, 5, 5), value="bfloat16"),
    Since(since=(0, 5, 5), value="bf16"),
    Since(since=(0, 5, 5), value="fp4_e2m1"),
)
"""sglang/srt/server_args.py, 0.4.9.post6, 0.5.5, 0.5.10."""


WINDOW_SLACK: tuple[Since[int | None], ...] = (
    Since(since=(0, 5, 14), value=128, source="pool_configurator.py:SWARequestCapPoolConfigurator"),
    Since(value=None, source="windows keep their share, pool_configurator.py, 0.5.13"),
)
"""Tokens beyond a window before it is evicted (SGLANG_SWA_EVICTION_INTERVAL)."""

_FIRST = ("MuseGlimmerForConditionalGeneration",)
_COSMOS = (*_FIRST, "Cosmos3ForConditionalGeneration", "Cosmos3EdgeForConditionalGeneration")
TEXT_ONLY: tuple[Since[tuple[str, ...]], ...] = (
    Since(since=(0, 5, 22), value=(*_COSMOS, "DeepseekV4ForCausalLM"), source="0.5.22, 0.5.23"),
    Since(since=(0, 5, 20), value=_COSMOS, source="0.5.20, 0.5.21"),
    Since(value=_FIRST, source="0.5.18, 0.5.19"),
)
"""sglang/srt/server_args.py:LANGUAGE_MODEL_ONLY_ARCHITECTURES."""

WHOLE_ENCODER = (
    Since(until=(0, 5, 6), value="", source="sglang/srt/server_args.py, 0.5.5 has no such flag"),
    Since(since=(0, 5, 6), value="--mm-enable-dp-encoder", source="server_args.py, 0.5.6-0.5.23"),
)

_QUANT = "sglang/srt/layers/quantization/*.py:get_supported_act_dtypes, 0.4.9-0.5.23"
QUANTISED: tuple[Since[tuple[tuple[str, ...], tuple[str, ...]]], ...] = (
    Since(value=(("bitsandbytes", "torchao"), (*HALVES, "float32")), source=_QUANT),
    Since(
        value=(
            (
                *("fp8", "w8a8_fp8", "fbgemm_fp8", "awq", "gptq", "modelopt", "quark", "mxfp4"),
                "compressed-tensors",
            ),
            HALVES,
        ),
        source=_QUANT,
    ),
)
"""sglang/srt/model_loader/loader.py:_get_quantization_config refuses other types."""


def limits(version: str) -> EngineLimits:
    """Memory and layout rules of an SGLang release."""
    release = number(version)
    return EngineLimits(
        name="sglang",
        version=version,
        memory_basis="free",
        memory_fraction=None,
        block_size=1,
        kv_cache_dtypes=all_at(KV_DTYPES, release),
        attention_data_parallel=True,
        activation_charged=False,
        cache=replace(CACHE, window_slack=at(WINDOW_SLACK, release)),
        batches=BATCHES,
        activation=(ACTIVATION,),
        graphs=(GRAPHS,),
        whole_encoder=at(WHOLE_ENCODER, release),
        context=all_at(CONTEXT, release),
        free_fraction=at(FREE_FRACTION, release),
        quantised_dtypes=all_at(QUANTISED, release),
        sparse_kv_dtype="fp8_ds_mla",
        text_only=at(TEXT_ONLY, release),
        whole_prompts="encoders",  # engines/sglang.py:_prefill_args
    )

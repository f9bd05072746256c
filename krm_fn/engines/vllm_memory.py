"""vLLM's memory rules by version: what is charged, how the cache is cut up, what was measured.

Rows hold from `since` up to, not including, `until`. Measured figures are those of
`memory-measured.csv` (row ids) and of llm-d-planner's accuracy report for 0.19.0 on H100; their
spread is the largest deviation from the figure among the rows.
"""

from dataclasses import replace

from krm_fn.engines.since import Since, all_at, at, number
from krm_fn.engines.vllm_calibration import ACTIVATION, CONTEXT, GRAPHS, NON_TORCH
from krm_fn.engines.vllm_dtypes import NO_FLOAT16, QUANTISED
from krm_fn.planner.limits import (
    MARLIN,
    Batch,
    CacheBlock,
    CacheRules,
    EngineLimits,
    ExpertKernel,
    Rehearsal,
    Unrehearsed,
    Where,
    WholePrompts,
)
from krm_fn.units import GIB

WHOLE_PROMPTS: tuple[Since[WholePrompts], ...] = (
    Since(
        until=(0, 10, 1),
        value="embedding models",
        source="engine/arg_utils.py, 0.9.2: no chunked prefill for pooling models",
    ),
    Since(
        since=(0, 10, 1),
        value="encoders",
        source="engine/arg_utils.py, 0.10.1: only for the last token's pooling; 0.33: "
        "ModelConfig.is_chunked_prefill_supported",
    ),
)
FRACTION = (
    Since(until=(0, 20), value=0.9, source="vllm/config/cache.py, 0.19.0"),
    Since(since=(0, 20), value=0.92, source="vllm/config/cache.py, 0.20.0"),
)

BLACKWELL = Where(min_major=10, max_major=10)
LARGE = Where(min_memory_bytes=70 * GIB)
ANY = Where()

BLOCKS = (
    Since(
        value=CacheBlock(where=ANY, kind="sparse", tokens=64),
        source="vllm/v1/attention/backends/mla/flashmla_sparse.py, 0.33",
    ),
    Since(
        until=(0, 14),
        value=CacheBlock(where=Where(min_major=9, max_major=9), kind="latent", tokens=64),
        source="vllm/platforms/cuda.py:check_and_update_config (FlashMLA), 0.9-0.13",
    ),
    Since(
        until=(0, 14),
        value=CacheBlock(where=BLACKWELL, kind="latent", tokens=128),
        source="vllm/platforms/cuda.py:check_and_update_config (CutlassMLA), 0.10-0.13",
    ),
    Since(
        since=(0, 14),
        value=CacheBlock(where=BLACKWELL, kind="latent", tokens=32),
        source="vllm/v1/attention/backends/mla/flashinfer_mla.py, 0.33",
    ),
)

_OLDEST = CacheRules(
    pool="blocks",
    fixed_dtypes=("FalconForCausalLM",),  # models/falcon.py gives its layers no cache_config (0.32)
    printed="blocks",
    batches_in_flight=1,
    null_block=False,
    pads_pages=False,
    hybrid=False,
    state_mode="none",
    latent_align=64,
    latent=False,
    alike_factor=0.0,
)
_V1 = replace(_OLDEST, printed="groups", hybrid=True, latent=True)
_STATES = (("NemotronH", "float32"),)
_CAPACITY = replace(_V1, printed="capacity", alike_factor=1.5, state_dtypes=_STATES)
_ALIGNED = replace(_CAPACITY, pads_pages=True, batches_in_flight=2, state_mode="align")
_WIDE = replace(_ALIGNED, latent_align=128)
_CHECKPOINTS = replace(_WIDE, null_block=True, checkpoint_kinds=("mamba2",))
CACHE = (
    Since(until=(0, 7, 1), value=_OLDEST, source="vllm/worker/cache_engine.py, 0.5.4-0.6.6"),
    Since(
        since=(0, 7, 1),
        until=(0, 9, 2),
        value=replace(_OLDEST, latent=True),
        source="vllm/v1/core/kv_cache_utils.py:unify_hybrid_kv_cache_specs, 0.8.5 and 0.9.0",
    ),
    Since(since=(0, 9, 2), until=(0, 12), value=_V1, source="kv_cache_utils.py, 0.10.2, 0.11.0"),
    Since(
        since=(0, 12),
        until=(0, 18),
        value=replace(_V1, alike_factor=1.25),
        source="kv_cache_utils.py, 0.13.0 and 0.16.0",
    ),
    Since(
        since=(0, 18),
        until=(0, 20),
        value=replace(_V1, alike_factor=1.5),
        source="kv_cache_utils.py, 0.19.0",
    ),
    Since(
        since=(0, 20),
        until=(0, 20, 1),
        value=replace(_V1, alike_factor=1.5, state_dtypes=_STATES),
        source="kv_cache_utils.py, models/config.py:NemotronHForCausalLMConfig, 0.20.0",
    ),
    Since(
        since=(0, 20, 1),
        until=(0, 22),
        value=_CAPACITY,
        source="kv_cache_utils.py:get_kv_cache_capacity (logs of 0.20.1; code of 0.24.0)",
    ),
    Since(
        since=(0, 22),
        until=(0, 26),
        value=replace(_CAPACITY, pads_pages=True),
        source="kv_cache_utils.py:unify_kv_cache_spec_page_size, 0.24.0",
    ),
    Since(
        since=(0, 26),
        until=(0, 28),
        value=_ALIGNED,
        source="kv_cache_interface.py, config/model.py:is_prefix_caching_supported, 0.26.0",
    ),
    Since(
        since=(0, 28),
        until=(0, 30),
        value=_WIDE,
        source="platforms/interface.py:_align_hybrid_block_size, 0.28.0",
    ),
    Since(
        since=(0, 30),
        until=(0, 32),
        value=replace(_WIDE, null_block=True),
        source="kv_cache_utils.py:get_kv_cache_configs, 0.30.0",
    ),
    Since(
        since=(0, 32),
        until=(0, 33),
        value=_CHECKPOINTS,
        source="mamba_mixer2.py:get_kv_cache_spec, 0.32.0",
    ),
    Since(
        since=(0, 33),
        value=replace(_CHECKPOINTS, pipelined_batches=True),
        source="kv_cache_planning.py, config/vllm.py:max_concurrent_batches, 0.33.0",
    ),
)

_SMALL = Batch(where=ANY, max_num_batched_tokens=2048, max_num_seqs=256)
_BIG = Batch(where=LARGE, max_num_batched_tokens=8192, max_num_seqs=1024)
_HUGE = Where(min_memory_bytes=160 * GIB)
BATCHES = (
    Since(
        until=(0, 8),
        value=Batch(where=ANY, max_num_batched_tokens=None, max_num_seqs=256),
        source="vllm/engine/arg_utils.py, 0.6.6: the context where it is longer than 2048",
    ),
    Since(
        since=(0, 28),
        value=Batch(where=_HUGE, max_num_batched_tokens=16384, max_num_seqs=1024),
        source="vllm/engine/arg_utils.py:get_batch_defaults, 0.28-0.33",
    ),
    Since(
        since=(0, 9),
        value=replace(_SMALL, where=Where(names=("A100", "GB10"))),
        source="vllm/engine/arg_utils.py, 0.11-0.33 (GB10: 0.33)",
    ),
    Since(since=(0, 8), value=_BIG, source="vllm/engine/arg_utils.py, 0.8.5-0.33"),
    Since(since=(0, 8), value=_SMALL, source="vllm/engine/arg_utils.py, 0.8.5-0.33"),
)

_PROFILED = "vllm/v1/worker/gpu_worker.py:determine_available_memory"
_REHEARSED = "gpu_model_runner.py:_init_minimal_kv_cache_for_profiling"
_NVIDIA = Where(vendor="nvidia")
REHEARSALS = (
    Since(
        since=(0, 18),
        until=(0, 20),
        value=Rehearsal(where=_NVIDIA, blocks="largest", charged=False),
        source=f"{_PROFILED}, not on AMD, only printed; {_REHEARSED}, 0.18.0, 0.19.0",
    ),
    Since(
        since=(0, 20),
        until=(0, 26),
        value=Rehearsal(where=_NVIDIA, blocks="largest", charged=True),
        source=f"{_PROFILED}: is_cuda, 0.21.0; {_REHEARSED}, 0.20.0-0.25.0",
    ),
    Since(
        since=(0, 26),
        value=Rehearsal(blocks="batch", charged=True),
        source=f"{_PROFILED}: is_cuda_alike; {_REHEARSED}: min(max_num_reqs, ...), 0.26.0-0.33.0",
    ),
)

_RUNNER = "vllm/config/vllm.py:DEFAULT_V2_MODEL_RUNNER_ARCHITECTURES"
_RUN_0_23 = ("LlamaForCausalLM", "MistralForCausalLM", "Qwen3ForCausalLM")
_RUN_0_24 = ("DeepseekV2ForCausalLM", "GraniteMoeForCausalLM", "Qwen2MoeForCausalLM")
_RUN_0_26 = (
    *_RUN_0_24,
    "InklingForCausalLM",
    "InklingForConditionalGeneration",
    "LongcatFlashNgramForCausalLM",
)
_RUN_0_27 = (*_RUN_0_26, "KimiK3ForConditionalGeneration")
UNREHEARSED = (
    Since(
        since=(0, 22),
        until=(0, 23),
        value=Unrehearsed(architectures=("Qwen3ForCausalLM",), plain=True),
        source=f"{_RUNNER}, 0.22.0; v1/worker/gpu/model_runner.py:profile_cudagraph_memory: 0",
    ),
    Since(
        since=(0, 23),
        until=(0, 24),
        value=Unrehearsed(architectures=_RUN_0_23, plain=True),
        source=f"{_RUNNER}, 0.23.0",
    ),
    Since(
        since=(0, 24),
        until=(0, 25),
        value=Unrehearsed(architectures=(*_RUN_0_23, *_RUN_0_24)),
        source=f"{_RUNNER}, 0.24.0",
    ),
    Since(
        since=(0, 25),
        until=(0, 26),
        value=Unrehearsed(architectures=_RUN_0_24, dense=True),
        source=f"{_RUNNER}, _is_default_v2_model_runner_model, 0.25.0",
    ),
    Since(
        since=(0, 26),
        until=(0, 27),
        value=Unrehearsed(architectures=_RUN_0_26, dense=True),
        source=f"{_RUNNER}, 0.26.0",
    ),
    Since(
        since=(0, 27),
        until=(0, 28),
        value=Unrehearsed(architectures=_RUN_0_27, dense=True),
        source=f"{_RUNNER}, 0.27.0",
    ),
    Since(
        since=(0, 28),
        until=(0, 29),
        value=Unrehearsed(architectures=(*_RUN_0_27, "DeepseekV4ForCausalLM"), dense=True),
        source=f"{_RUNNER}, 0.28.0; from 0.29.0 cudagraph_utils.py:profile_cudagraph_memory",
    ),
)
"""The second model runner, by default."""

_FILLED = "vllm/models/kimi_k3/nvidia/model.py:KimiMoE, 0.32; pull request 50928"
EXPERT_WIDTHS = (
    Since(since=(0, 27), value=("KimiLinear", 256), source=_FILLED),
    Since(since=(0, 27), value=("KimiK3", 256), source=_FILLED),
)

WHOLE_ENCODER = (
    Since(until=(0, 9, 1), value="", source="vllm/engine/arg_utils.py, 0.9.0 has no such flag"),
    Since(
        since=(0, 9, 1),
        until=(0, 10, 2),
        value="--enable-multimodal-encoder-data-parallel",
        source="vllm/engine/arg_utils.py, 0.9.1-0.10.1",
    ),
    Since(since=(0, 10, 2), value="--mm-encoder-tp-mode=data", source="arg_utils.py, 0.10.2-0.33"),
)

_MXFP4 = "vllm/model_executor/layers/quantization/mxfp4.py"
_ORACLE = "vllm/model_executor/layers/fused_moe/oracle/mxfp4.py"
_TRITON = ExpertKernel(
    where=Where(min_major=9, max_major=9, vendor="nvidia"),
    width=64,
    hidden=1,
    scale_rows=256,
    scale_groups=2,
    keeps_scales=True,
    wide_bias=True,
)
_TRITON_PACKED = replace(_TRITON, packed=64)
_TRTLLM = ExpertKernel(where=BLACKWELL, width=256, hidden=256, wide_bias=True)
EXPERT_KERNELS = (
    Since(
        since=(0, 11),
        until=(0, 17),
        value=_TRITON,
        source=f"{_MXFP4}:get_mxfp4_backend, 0.11-0.16, third_party/triton_kernels/tensor_details/"
        "layout_details/hopper_scale.py, 0.12; Marlin before, without triton_kernels",
    ),
    Since(
        since=(0, 17),
        until=(0, 25),
        value=_TRITON_PACKED,
        source=f"{_ORACLE}, 0.19; layout_details/hopper_value.py: SWIZZLE_ALIGN_K, 0.17.1",
    ),
    Since(
        since=(0, 25),
        until=(0, 29),
        value=replace(_TRITON_PACKED, keeps_scales=False),
        source=f"{_ORACLE}: del layer.w13_weight_scale, 0.25.0",
    ),
    Since(
        since=(0, 29),
        value=replace(_TRITON_PACKED, keeps_scales=False, scale_groups=4),
        source="quantization/utils/mxfp4_utils.py:_swizzle_mxfp4, 0.29.0",
    ),
    Since(since=(0, 11), until=(0, 27), value=_TRTLLM, source=f"{_MXFP4}, 0.11; {_ORACLE}, 0.26"),
    Since(since=(0, 27), value=replace(_TRTLLM, width=128), source=f"{_ORACLE}, 0.27.0"),
    Since(value=MARLIN, source=f"{_ORACLE}, 0.32: all other GPUs, and LoRA everywhere"),
)
"""Of gpt-oss. Checked against logs: Triton 13.47 (vllm-0204), 64.38 (-0205, -0295), 13.64 and 7.01
GiB (-0042, -0043); Marlin 13.72 (-0274), 17.22 (-0098), 65.97 (-0181).
"""

_VIDEO = "vllm/model_executor/layers/rotary_embedding/mrope.py:MRotaryEmbedding, 0.32"
_PRUNED = "qwen3_vl.py:mrope_positions_factor, 0.32: 1 without video pruning; pull request 44738: 4"
ROTARY_FACTORS = (
    Since(value=("Qwen2VL", 4), source=_VIDEO),
    Since(value=("Qwen2_5_VL", 4), source=_VIDEO),
    Since(until=(0, 32), value=("Qwen3VL", 4), source=_PRUNED),
    Since(until=(0, 32), value=("Qwen3_5", 4), source=_PRUNED),
)
"""M-RoPE counts the seconds of a video; its tables are longer than the text's."""

KV_DTYPES = (
    Since(value="auto"),
    Since(since=(0, 11), value="bfloat16"),
    Since(since=(0, 19), value="float16"),
    Since(value="fp8"),
    Since(value="fp8_e4m3"),
    Since(value="fp8_e5m2"),
    Since(since=(0, 9), value="fp8_inc"),
    Since(since=(0, 11, 1), value="fp8_ds_mla"),
    Since(since=(0, 20), value="int8_per_token_head"),
    Since(since=(0, 20), value="fp8_per_token_head"),
    Since(since=(0, 20), value="nvfp4"),
    Since(since=(0, 30), value="nvfp4_ds_mla"),
)
"""Those whose size is known here (vllm/config/cache.py:CacheDType, 0.10.2-0.33.0)."""


def limits(version: str) -> EngineLimits:
    """Memory and layout rules of a vLLM release."""
    release = number(version)
    cache = at(CACHE, release)
    return EngineLimits(
        name="vllm",
        version=version,
        memory_basis="total",
        memory_fraction=at(FRACTION, release),
        block_size=16,
        kv_cache_dtypes=all_at(KV_DTYPES, release),
        experts_span_data=True,
        expert_widths=all_at(EXPERT_WIDTHS, release),
        expert_kernels=all_at(EXPERT_KERNELS, release),
        rotary_factors=all_at(ROTARY_FACTORS, release),
        whole_prompts=at(WHOLE_PROMPTS, release),
        whole_encoder=at(WHOLE_ENCODER, release),
        seqs_at_most_batched=True,  # config/scheduler.py:verify_max_model_len (0.9-0.33)
        whole_kv_heads=("GptOssForCausalLM",),  # models/gpt_oss.py:OAIAttention (0.32)
        cache=replace(cache, blocks=all_at(BLOCKS, release)),
        batches=all_at(BATCHES, release),
        activation=all_at(ACTIVATION, release),
        graphs=GRAPHS,
        rehearsals=all_at(REHEARSALS, release),
        unrehearsed=all_at(UNREHEARSED, release),
        context=all_at(CONTEXT, release),
        non_torch=all_at(NON_TORCH, release),
        no_float16=at(NO_FLOAT16, release),
        quantised_dtypes=all_at(QUANTISED, release),
        sparse_kv_dtype="fp8_ds_mla" if release >= (0, 11, 1) else None,
    )

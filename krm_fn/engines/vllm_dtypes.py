"""Which types vLLM refuses to compute in: by model, and by quantisation."""

from krm_fn.engines.since import Since
from krm_fn.planner.dtypes import HALVES

_UNSTABLE = "_FLOAT16_NOT_SUPPORTED_MODELS"
NO_FLOAT16: tuple[Since[tuple[str, ...]], ...] = (
    Since(since=(0, 27), value=("gemma2", "gemma3", "gemma3_text", "glm4"), source="0.27.0-0.33.0"),
    Since(
        since=(0, 10, 2),
        value=("gemma2", "gemma3", "gemma3_text", "plamo2", "glm4"),
        source=f"vllm/config/model.py:{_UNSTABLE}, 0.10.2-0.26.0",
    ),
    Since(
        since=(0, 9, 1),
        value=("gemma2", "gemma3", "plamo2", "glm4"),
        source=f"vllm/config.py:{_UNSTABLE}, 0.9.1-0.10.1",
    ),
    Since(value=(), source="vllm/config.py:_get_and_verify_dtype, 0.9.0: no such list"),
)
"""Model types whose float16 is "numerically unstable"; `auto` takes float32 on GPUs before 8.0."""

Row = tuple[tuple[str, ...], tuple[str, ...]]
_QUANT = "vllm/model_executor/layers/quantization"
_ALL = (*HALVES, "float32")
QUANTISED: tuple[Since[Row], ...] = (
    Since(
        since=(0, 10, 1),
        value=(("compressed-tensors",), _ALL),
        source=f"{_QUANT}/compressed_tensors/compressed_tensors.py, 0.10.1-0.33.0",
    ),
    Since(
        value=(("bitsandbytes", "torchao"), _ALL), source="bitsandbytes.py, torchao.py, 0.9-0.33"
    ),
    Since(
        since=(0, 10, 1),
        value=(("mxfp4",), ("bfloat16",)),
        source=f"{_QUANT}/mxfp4.py, 0.10.1-0.33",
    ),
    Since(
        value=(
            ("fp8", "fbgemm_fp8", "awq", "gptq", "modelopt", "quark", "compressed-tensors"),
            HALVES,
        ),
        source=f"{_QUANT}/*.py:get_supported_act_dtypes, 0.9.0-0.33.0",
    ),
)
"""vllm/config/vllm.py:_get_quantization_config refuses other types."""

"""Types: what vLLM falls back to on GPUs without bfloat16, and what it refuses."""

import asking
import pytest

T4, H100 = "Tesla-T4", "NVIDIA-H100-80GB-HBM3"


@pytest.mark.parametrize(
    ("model", "version", "dtype"),
    [
        ("google/gemma-3-4b-it", "0.33.0", "float32"),
        ("google/gemma-2-2b-it", "0.33.0", "float32"),
        ("zai-org/GLM-4-9B-0414", "0.33.0", "float32"),
        ("google/gemma-3-1b-it", "0.10.2", "float32"),
        ("google/gemma-3-1b-it", "0.10.1", "float16"),
        ("Qwen/Qwen3-8B", "0.33.0", "float16"),
    ],
)
def test_vllm_on_a_gpu_without_bfloat16(model: str, version: str, dtype: str) -> None:
    """vllm/config/model.py:_resolve_auto_dtype: the first type that GPU and model allow."""
    variants = {"vllm": {"version": version}}
    plan = asking.plan(model, T4, pool={"gpusPerNode": 4}, variants=variants)

    assert plan.serving.dtype == dtype
    assert "serving.dtype" in [reason.field for reason in plan.reasons]


def test_float32_takes_twice_the_room() -> None:
    model, pool = "google/gemma-3-4b-it", {"gpusPerNode": 4}
    wide = asking.plan(model, T4, pool=pool, serving={"tensorParallelSize": 2})
    half = asking.plan(
        model, T4, pool=pool, variants={"sglang": {}}, serving={"tensorParallelSize": 2}
    )

    assert wide.memory.weights_bytes > 1.9 * half.memory.weights_bytes


def test_a_type_of_its_own_is_left_to_the_engine() -> None:
    assert asking.plan("google/gemma-3-4b-it", H100).serving.dtype == "auto"


@pytest.mark.parametrize("dtype", ["float16", "half"])
def test_float16_is_refused_at_its_field(dtype: str) -> None:
    said = asking.messages(
        asking.config("google/gemma-3-4b-it", T4, variants={"vllm": {}}, serving={"dtype": dtype})
    )

    assert len(said) == 1
    assert said[0].startswith('spec.serving.dtype: must be one of "float32", or be left out: vllm')


def test_a_quantised_model_that_the_gpu_leaves_no_type_for() -> None:
    """A T4 computes Gemma 3 in float32, which fp8 kernels do not."""
    said = asking.messages(
        asking.config(
            "google/gemma-3-4b-it", T4, variants={"vllm": {}}, serving={"quantization": "fp8"}
        )
    )

    assert [line.partition(":")[0] for line in said] == ["spec.gpuPool.gpu"]

"""`spec.serving`: engine settings that the user fixes."""

from typing import Literal

from pydantic import Field

from krm_fn.api.fields import Fraction, Positive, SecretRef, Spec, Texts


class Serving(Spec):
    """Engine settings that the user fixes; they are never changed."""

    dtype: Literal["auto", "half", "float16", "bfloat16", "float32"] | None = None
    quantization: str | None = None
    max_model_len: Positive | None = None
    tensor_parallel_size: Positive | None = None
    pipeline_parallel_size: Positive | None = None
    data_parallel_size: Positive | None = None
    attention_data_parallel_size: Positive | None = None
    expert_parallel_size: Positive | None = None
    max_num_seqs: Positive | None = None
    max_num_batched_tokens: Positive | None = None
    kv_cache_dtype: str | None = None
    memory_fraction: Fraction | None = None
    enforce_eager: bool | None = None
    extra_args: Texts = ()
    env: dict[str, str] = Field(default_factory=dict)
    secret_env: dict[str, SecretRef] = Field(default_factory=dict)

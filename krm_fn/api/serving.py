"""`spec.serving`: engine settings that the user fixes."""

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from krm_fn.api.fields import (
    ADAPTER_ID,
    ADAPTER_NAME,
    COMMIT,
    Fraction,
    Positive,
    Ref,
    SecretRef,
    Spec,
    Texts,
)
from krm_fn.catalog.rows import Quantity

Limit = Annotated[int, Field(ge=0)]


class Limits(Spec):
    """Items of each kind that one prompt may hold; None = as many as the engine takes."""

    image: Limit | None = None
    video: Limit | None = None
    audio: Limit | None = None


class Multimodal(Spec):
    """What a prompt may hold beside text; `textOnly` = the encoder is not even loaded."""

    text_only: bool = False
    limits: Limits = Limits()

    @model_validator(mode="after")
    def _one_way(self) -> "Multimodal":
        if self.text_only and self.limits != Limits():
            raise PydanticCustomError(
                "limits",
                "`limits` must not stand beside textOnly: true, which allows none; keep one",
                {"field": "limits"},
            )
        return self


class Adapter(Spec):
    """A LoRA adapter: what clients call it; its id on the Hub, or /path in the container."""

    name: Annotated[str, Field(pattern=ADAPTER_NAME)]
    id: Annotated[str, Field(min_length=1, pattern=ADAPTER_ID)]


class Lora(Spec):
    """Adapters beside the model: how many in one batch (None = all of them), of which rank."""

    max_loras: Positive | None = None
    max_rank: Positive = 16
    adapters: Annotated[tuple[Adapter, ...], Field(strict=False)] = ()


class DraftModel(Spec):
    """The model that drafts: its id on the Hub or /path in the container, and its config.json."""

    id: Annotated[str, Field(min_length=1)]
    revision: Annotated[str, Field(pattern=COMMIT)] | None = None
    config: dict[str, Any] | None = None
    card_ref: Ref | None = None


OWN_DRAFT = ("mtp", "ngram")
"""Methods that draft without another model."""


class Speculative(Spec):
    """Speculative decoding: who drafts, and how many tokens at once (None = as usual for it)."""

    method: Literal["mtp", "eagle3", "draft", "ngram"]
    tokens: Positive | None = None
    model: DraftModel | None = None

    @model_validator(mode="after")
    def _a_model_where_one_drafts(self) -> "Speculative":
        if (self.model is None) != (self.method in OWN_DRAFT):
            verb = "must not stand" if self.model else "must be stated"
            raise PydanticCustomError(
                "draft",
                "`model` {verb} with method: {method}",
                {"field": "model", "verb": verb, "method": self.method},
            )
        return self


class KvOffload(Spec):
    """A second level of the KV cache in the memory of the node: its size in one pod."""

    size: Quantity


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
    prefix_caching: bool | None = None
    multimodal: Multimodal = Multimodal()
    lora: Lora | None = None
    kv_offload: KvOffload | None = None
    speculative: Speculative | None = None
    extra_args: Texts = ()
    env: dict[str, str] = Field(default_factory=dict)
    secret_env: dict[str, SecretRef] = Field(default_factory=dict)

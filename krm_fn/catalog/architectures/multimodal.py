"""Multimodal architectures: the text family below, and how the encoder is counted.

An encoder whose config is absent is counted as the usual one of its family (`defaults`, what the
published sizes share), and the shape says so.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from krm_fn.catalog.architectures import vision
from krm_fn.catalog.architectures.vision import Json

Count = Callable[[Json, Json, int], int]


@dataclass(frozen=True, kw_only=True)
class Tower:
    """A multimodal architecture: its text family, and how its encoder is counted."""

    text: str
    count: Count | None = None
    defaults: Mapping[str, Any] = field(default_factory=dict)
    tokens: int = 0

    @property
    def whole(self) -> bool:
        """Whether every GPU has a copy of the encoder."""
        return self.count in WHOLE

    def parts(self, stated: Json) -> tuple[tuple[str, int], ...]:
        """What of the encoder is cut, and how many there are of it."""
        known = {**self.defaults, **stated}
        named = PARTS.get(self.count, {}) if self.count else {}
        found = (
            (what, next((known[k] for k in keys if k in known), 0)) for what, keys in named.items()
        )
        return tuple((what, int(number)) for what, number in found if number)


_QWEN2_VL = {
    "num_heads": 16,
    "embed_dim": 1280,
    "depth": 32,
    "mlp_ratio": 4,
    "patch_size": 14,
    "temporal_patch_size": 2,
    "spatial_merge_size": 2,
}
_QWEN2_5_VL = {
    "num_heads": 16,
    "hidden_size": 1280,
    "depth": 32,
    "intermediate_size": 3420,
    "patch_size": 14,
    "temporal_patch_size": 2,
    "spatial_merge_size": 2,
}
_QWEN3_VL = {
    "num_heads": 16,
    "hidden_size": 1152,
    "depth": 27,
    "intermediate_size": 4304,
    "patch_size": 16,
    "temporal_patch_size": 2,
    "spatial_merge_size": 2,
    "num_position_embeddings": 2304,
}
_DEEP = {"deepstack_visual_indexes": [8, 16, 24]}
_SIGLIP = {
    "num_attention_heads": 16,
    "hidden_size": 1152,
    "num_hidden_layers": 27,
    "intermediate_size": 4304,
    "patch_size": 14,
    "image_size": 896,
}
_CLIP = {
    "num_attention_heads": 16,
    "hidden_size": 1024,
    "num_hidden_layers": 24,
    "intermediate_size": 4096,
    "patch_size": 14,
    "image_size": 336,
}
_PIXTRAL = {
    "num_attention_heads": 16,
    "hidden_size": 1024,
    "num_hidden_layers": 24,
    "intermediate_size": 4096,
    "patch_size": 14,
}
_MLLAMA = {
    "hidden_size": 1280,
    "num_hidden_layers": 32,
    "num_global_layers": 8,
    "intermediate_size": 5120,
    "patch_size": 14,
    "image_size": 560,
    "max_num_tiles": 4,
    "vision_output_dim": 7680,
}
_LLAMA4 = {
    "num_attention_heads": 16,
    "hidden_size": 1408,
    "num_hidden_layers": 34,
    "intermediate_size": 5632,
    "patch_size": 14,
    "image_size": 336,
    "projector_input_dim": 4096,
    "projector_output_dim": 4096,
}
_GEMMA4 = {
    "hidden_size": 1152,
    "num_hidden_layers": 27,
    "intermediate_size": 4304,
    "num_attention_heads": 16,
    "head_dim": 72,
    "patch_size": 16,
}
_INTERNVIT = {
    "hidden_size": 1024,
    "num_hidden_layers": 24,
    "intermediate_size": 4096,
    "patch_size": 14,
    "image_size": 448,
}

_DOTS = {
    "num_attention_heads": 12,
    "embed_dim": 1536,
    "num_hidden_layers": 42,
    "intermediate_size": 4224,
    "patch_size": 14,
}

_VIT = {"heads": ("num_attention_heads",), "feed-forward size": ("intermediate_size",)}
_QWEN = {"heads": ("num_heads",), "feed-forward size": ("intermediate_size",)}
PARTS: Mapping[Count, Mapping[str, tuple[str, ...]]] = {
    vision.qwen2_vl: {"heads": ("num_heads",), "width": ("embed_dim",)},
    vision.qwen2_5_vl: _QWEN,
    vision.qwen3_vl: _QWEN,
    vision.siglip: _VIT,
    vision.llava: _VIT,
    vision.pixtral: _VIT,
    vision.llama4: _VIT,
    vision.dots: _VIT,
    vision.internvit: {"feed-forward size": ("intermediate_size",)},
    vision.moonvit: {
        "heads": ("vt_num_attention_heads", "num_attention_heads"),
        "feed-forward size": ("vt_intermediate_size", "intermediate_size"),
    },
}
"""What both engines cut in equal parts, and the keys that say how many there are of it: `divide`
and ColumnParallelLinear in vllm/model_executor/models/{qwen2_vl,qwen2_5_vl,qwen3_vl,siglip,clip,
pixtral,mllama4,dots_ocr,moonvit}.py (0.32), sglang/srt/layers/attention/vision.py (0.5.23).
InternViT's attention is on every GPU where its heads do not divide (intern_vit.py).
"""
WHOLE = (vision.gemma4,)
"""On every GPU: transformers' own class (vllm/model_executor/models/gemma4_mm.py, 0.32)."""

TOWERS: Mapping[str, Tower] = {
    "Qwen2VLForConditionalGeneration": Tower(
        text="Qwen2ForCausalLM", count=vision.qwen2_vl, defaults=_QWEN2_VL
    ),
    "Qwen2_5_VLForConditionalGeneration": Tower(
        text="Qwen2ForCausalLM", count=vision.qwen2_5_vl, defaults=_QWEN2_5_VL
    ),
    "Qwen3VLForConditionalGeneration": Tower(
        text="Qwen3ForCausalLM", count=vision.qwen3_vl, defaults=_QWEN3_VL | _DEEP
    ),
    "Qwen3VLMoeForConditionalGeneration": Tower(
        text="Qwen3MoeForCausalLM", count=vision.qwen3_vl, defaults=_QWEN3_VL | _DEEP
    ),
    "Qwen3OmniMoeForConditionalGeneration": Tower(text="Qwen3MoeForCausalLM"),
    "Qwen3_5ForConditionalGeneration": Tower(
        text="Qwen3_5ForCausalLM", count=vision.qwen3_vl, defaults=_QWEN3_VL
    ),
    "Qwen3_5MoeForConditionalGeneration": Tower(
        text="Qwen3_5MoeForCausalLM", count=vision.qwen3_vl, defaults=_QWEN3_VL
    ),
    "MllamaForConditionalGeneration": Tower(
        text="MllamaForCausalLM", count=vision.mllama, defaults=_MLLAMA
    ),
    "Llama4ForConditionalGeneration": Tower(
        text="Llama4ForCausalLM", count=vision.llama4, defaults=_LLAMA4
    ),
    "Gemma3ForConditionalGeneration": Tower(
        text="Gemma3ForCausalLM", count=vision.siglip, defaults=_SIGLIP
    ),
    "Gemma4ForConditionalGeneration": Tower(
        text="Gemma4ForCausalLM", count=vision.gemma4, defaults=_GEMMA4
    ),
    "Gemma4UnifiedForConditionalGeneration": Tower(text="Gemma4ForCausalLM"),
    "Mistral3ForConditionalGeneration": Tower(
        text="MistralForCausalLM", count=vision.pixtral, defaults=_PIXTRAL
    ),
    "LlavaForConditionalGeneration": Tower(
        text="LlamaForCausalLM", count=vision.llava, defaults=_CLIP
    ),
    "LlavaNextForConditionalGeneration": Tower(
        text="LlamaForCausalLM", count=vision.llava, defaults=_CLIP
    ),
    "KimiVLForConditionalGeneration": Tower(text="DeepseekV3ForCausalLM", count=vision.moonvit),
    "KimiK25ForConditionalGeneration": Tower(text="DeepseekV3ForCausalLM", count=vision.moonvit),
    "KimiK3ForConditionalGeneration": Tower(text="KimiLinearForCausalLM", count=vision.moonvit),
    "InternVLChatModel": Tower(
        text="Qwen2ForCausalLM", count=vision.internvit, defaults=_INTERNVIT | {"qkv_bias": True}
    ),
    "InternVLForConditionalGeneration": Tower(
        text="Qwen2ForCausalLM", count=vision.internvit, defaults=_INTERNVIT
    ),
    "MiniMaxM3SparseForConditionalGeneration": Tower(text="MiniMaxM3ForCausalLM"),
    "Glm4vMoeForConditionalGeneration": Tower(text="Glm4MoeForCausalLM"),
    "DotsOCRForCausalLM": Tower(text="Qwen2ForCausalLM", count=vision.dots, defaults=_DOTS),
    "Glm5NextForConditionalGeneration": Tower(text="Glm5NextForCausalLM"),
}

# model_type of a nested text config -> its architecture
TEXT_TYPES: Mapping[str, str] = {
    "llama": "LlamaForCausalLM",
    "mistral": "MistralForCausalLM",
    "ministral3": "Ministral3ForCausalLM",
    "mistral4": "Mistral4ForCausalLM",
    "qwen2": "Qwen2ForCausalLM",
    "qwen3": "Qwen3ForCausalLM",
    "qwen3_moe": "Qwen3MoeForCausalLM",
    "gemma2": "Gemma2ForCausalLM",
    "granite": "GraniteForCausalLM",
    "phi3": "Phi3ForCausalLM",
    "internlm2": "InternLM2ForCausalLM",
    "deepseek_v2": "DeepseekV2ForCausalLM",
    "deepseek_v3": "DeepseekV3ForCausalLM",
    "kimi_k2": "DeepseekV3ForCausalLM",
    "kimi_linear": "KimiLinearForCausalLM",
    "gpt_oss": "GptOssForCausalLM",
}

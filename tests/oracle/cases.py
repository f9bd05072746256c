"""Cases for vLLM's own planning: the catalogue at settings that are drawn, or stated.

The kinds of caches that are covered, and what a reduced config.json of the catalogue lacks for
vLLM's classes (keys from which no memory follows) are tables.
"""

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping
from functools import cache
from random import Random
from typing import Any

from oracle.planned import question

from krm_fn.catalog.architecture import model_shape
from krm_fn.catalog.models import model_card, model_ids
from krm_fn.catalog.shape import Attention, Mla, ModelShape
from krm_fn.planner.layouts import conflicts
from krm_fn.planner.plan import Parallelism

Case = dict[str, Any]


def _sections(*sizes: int) -> dict[str, Any]:
    """M-RoPE: how many dimensions go by time, height and width."""
    return {"rope_scaling": {"rope_type": "default", "mrope_section": list(sizes)}}


COMPLETIONS: Mapping[str, Mapping[str, Any]] = {
    "DeepseekV2ForCausalLM": {"n_group": 1, "topk_group": 1, "topk_method": "greedy"},
    "DeepseekV3ForCausalLM": {"topk_method": "noaux_tc"},
    "DeepseekV32ForCausalLM": {"topk_method": "noaux_tc"},
    "DeepseekV4ForCausalLM": {
        "compress_rope_theta": 160000,
        "hc_eps": 1e-6,
        "hidden_act": "silu",
        "hc_sinkhorn_iters": 20,
        "norm_topk_prob": True,
        "rms_norm_eps": 1e-6,
        "rope_theta": 10000,
        "routed_scaling_factor": 1.5,
        "scoring_func": "sqrtsoftplus",
        "swiglu_limit": 10.0,
        "topk_method": "noaux_tc",
    },
    "Dots1ForCausalLM": {"topk_method": "noaux_tc"},
    "Glm4MoeLiteForCausalLM": {"first_k_dense_replace": 1},
    "GlmMoeDsaForCausalLM": {"topk_method": "noaux_tc"},
    "HYV3ForCausalLM": {"expert_hidden_dim": 1536, "qk_norm": True, "route_norm": True},
    "KimiK25ForConditionalGeneration": {"topk_method": "noaux_tc"},
    "KimiLinearForCausalLM": {
        "max_position_embeddings": 1048576,
        "mla_use_nope": True,
        "moe_router_activation_func": "sigmoid",
        "num_expert_group": 1,
        "topk_group": 1,
    },
    "KimiVLForConditionalGeneration": {
        "n_group": 1,
        "q_lora_rank": None,
        "topk_group": 1,
        "topk_method": "noaux_tc",
    },
    "Lfm2ForCausalLM": {"conv_dim": 2048, "conv_dim_out": 2048, "block_dim": 2048},
    "LlavaNextForConditionalGeneration": {"sliding_window": None},
    "MiMoV2FlashForCausalLM": {
        "attention_value_scale": 0.707,
        "layernorm_epsilon": 1e-5,
        "n_group": 1,
        "norm_topk_prob": True,
        "scoring_func": "sigmoid",
        "sliding_window_size": 128,
        "swa_rope_theta": 10000,
        "topk_group": 1,
        "topk_method": "noaux_tc",
    },
    "MiniMaxM2ForCausalLM": {"scoring_func": "sigmoid"},
    "Mistral3ForConditionalGeneration": {"sliding_window": None},
    "MistralForCausalLM": {"sliding_window": None},
    "Qwen2VLForConditionalGeneration": _sections(16, 24, 24),
    "Qwen2_5_VLForConditionalGeneration": _sections(16, 24, 24),
    "Qwen3VLForConditionalGeneration": _sections(24, 20, 20),
    "Qwen3VLMoeForConditionalGeneration": {"norm_topk_prob": True} | _sections(24, 20, 20),
    "Qwen3_5ForConditionalGeneration": _sections(11, 11, 10),
    "Qwen3_5MoeForConditionalGeneration": _sections(11, 11, 10),
}
NOT_BUILT = (
    "DeciLMForCausalLM",  # code of the checkpoint, which is not at hand
    "DotsOCRForCausalLM",
    "InternLM2ForCausalLM",
    "InternVLChatModel",
    "MiMoForCausalLM",
    "MiniMaxText01ForCausalLM",
    "MllamaForConditionalGeneration",  # wants the files of its image processor
    "Qwen3OmniMoeForConditionalGeneration",
    "Step3p5ForCausalLM",  # unknown to this version, or to its transformers
    "Step3p7FlashForCausalLM",
)
"""Architectures that vLLM 0.32 cannot build from a config.json alone."""


def config(name: str) -> dict[str, Any]:
    """The catalogue's config.json with 16-bit weights and what vLLM's class reads besides."""
    stated = dict(model_card(name).config)  # type: ignore[union-attr]
    stated.pop("quantization_config", None)
    more = COMPLETIONS.get(stated["architectures"][0], {})
    if "text_config" in stated:
        text = {k: v for k, v in stated["text_config"].items() if k != "quantization_config"}
        return stated | {"text_config": dict(more) | text}
    return dict(more) | stated


def kind(shape: ModelShape) -> str:
    """The kinds of caches of a model, which decide how vLLM cuts it up."""
    mixers = [m for layer in shape.layers for m in (layer.mixer, layer.parallel) if m]
    return "+".join(sorted({_kind(mixer) for mixer in mixers}))


def _kind(mixer: Any) -> str:
    if isinstance(mixer, Attention):
        return "window" if mixer.window else "chunk" if mixer.chunk else "full"
    if isinstance(mixer, Mla):
        compressed = mixer.compress_ratio is not None
        return "compressed" if compressed else "sparse" if mixer.index_heads else "latent"
    return str(mixer.kind)


@cache
def models() -> Mapping[str, tuple[str, ...]]:
    """Kind -> the catalogue's models of it that vLLM can build."""
    found: dict[str, list[str]] = defaultdict(list)
    for name in model_ids():
        shape = model_card(name).shape  # type: ignore[union-attr]
        if shape.task == "generate" and shape.architecture not in NOT_BUILT:
            found[kind(shape)].append(name)
    return {key: tuple(names) for key, names in sorted(found.items())}


def case(name: str, **stated: Any) -> Case:
    """A case with what is stated; else vLLM's defaults for a server, 40 GB for the cache."""
    found = config(name)
    return {
        "model": name,
        "config": found,
        "tp": 1,
        "kv_cache_dtype": "auto",
        "dtype": "auto",
        "capability": "9.0",
        "max_model_len": min(8192, model_shape(found).max_position_embeddings),
        "max_num_batched_tokens": 8192,
        "prefix_caching": True,
        "stated_block_size": None,
        "available": 40_000_000_000,
    } | stated


def catalogue() -> list[Case]:
    """Each configuration of the catalogue once, on one GPU and on the most: short and long."""
    kept: dict[str, Case] = {}
    for name in (name for names in models().values() for name in names):
        kept.setdefault(json.dumps(config(name), sort_keys=True), case(name))
    return [one for plain in kept.values() for one in (plain, _other(plain))]


def _other(plain: Case) -> Case:
    shape = model_shape(plain["config"])
    return plain | {
        "tp": max(n for n in tensor_sizes(plain) if n <= 8),
        "kv_cache_dtype": "fp8",
        "max_model_len": min(131072, shape.max_position_embeddings),
        "max_num_batched_tokens": 2048,
        "prefix_caching": False,
        "available": 60_000_000_000,
    }


def drawn(seed: int, count: int) -> Iterator[Case]:
    """`count` cases, each kind of cache in its turn."""
    dice, kinds = Random(seed), models()
    for number in range(count):
        names = kinds[list(kinds)[number % len(kinds)]]
        yield _drawn(dice, dice.choice(names))


def _drawn(dice: Random, name: str) -> Case:
    plain = case(name)
    shape = model_shape(plain["config"])
    longest = shape.max_position_embeddings
    return plain | {
        "tp": dice.choice(tensor_sizes(plain)),
        "kv_cache_dtype": dice.choice(stated(shape, KV_DTYPES)),
        "dtype": dice.choice(stated(shape, DTYPES)),
        "max_model_len": min(longest, dice.randint(1, 64) * 2 ** dice.randint(8, 14)),
        "max_num_batched_tokens": dice.choice([2048, 4096, 5000, 8192, 16384]),
        "prefix_caching": dice.random() < 0.7,
        "stated_block_size": dice.choice(stated(shape, BLOCKS)),
        "available": dice.randint(10**9, 120 * 10**9),
    }


Choices = Mapping[str, tuple[Any, ...]]
ANY = "any"
KV_DTYPES: Choices = {
    ANY: ("auto", "auto", "fp8", "fp8", "bfloat16"),
    "full": ("auto", "fp8", "bfloat16", "int8_per_token_head", "fp8_per_token_head"),
    "compressed": ("auto", "fp8"),
}
DTYPES: Choices = {ANY: ("auto",), "full": ("auto", "auto", "auto", "float32")}
BLOCKS: Choices = {
    ANY: (None, None, None, 16, 32, 64, 128),
    "sparse": (None, 64),
    "compressed": (None,),
}
"""What kernels take on compute capability 9.0, by kind of cache: vllm/v1/attention/backends (0.32)
and models/deepseek_v4. Several times = drawn more often.
"""


def stated(shape: ModelShape, choices: Choices) -> tuple[Any, ...]:
    return choices.get(kind(shape), choices[ANY])


def tensor_sizes(plain: Case) -> list[int]:
    """Tensor sizes that the planner takes for legal."""
    asked = question(plain)
    return [n for n in (1, 2, 4, 8, 16) if not conflicts(asked, Parallelism(tensor=n))]

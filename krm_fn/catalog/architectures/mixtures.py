"""Decoder families with experts, and with latent attention.

Sources: the modeling files of transformers 5.19 and vllm/model_executor/models (0.32).
"""

from collections.abc import Mapping
from dataclasses import replace

from krm_fn.catalog.architectures import layer_types as types
from krm_fn.catalog.architectures import mixers
from krm_fn.catalog.architectures.config import Config
from krm_fn.catalog.architectures.family import Family, Mixer
from krm_fn.catalog.architectures.feed_forward import dense, experts
from krm_fn.catalog.architectures.mixers import attention

_AB = "attention_bias"

MIXTRAL = Family(types=types.windowed, mixer=attention(), feed_forward=experts())
QWEN2_MOE = Family(
    types=types.if_used,
    mixer=attention(qkv_bias="qkv_bias"),
    feed_forward=experts(shared_gate=True),
    defaults={"qkv_bias": True},
)
QWEN3_MOE = Family(
    types=types.if_used,
    mixer=attention(qkv_bias=_AB, o_bias=_AB, qk_norm=True),
    feed_forward=experts(),
)
LLAMA4 = Family(
    types=types.llama4,
    mixer=attention(qkv_bias=_AB, o_bias=_AB),
    feed_forward=experts(dense_size="intermediate_size_mlp"),
    defaults={"num_shared_experts": 1, "attention_chunk_size": 8192},
)
GPT_OSS = Family(
    types=types.every(2, "sliding_window_pattern"),
    mixer=attention(qkv_bias=_AB, o_bias=_AB, sinks=True),
    feed_forward=experts(bias=True, router_bias=True),
    ropes=(2,),  # in 32 bits
    defaults={"attention_bias": True, "sliding_window": 128},
)
GLM4_MOE = Family(
    types=types.full,
    mixer=attention(qkv_bias=_AB, qk_norm="use_qk_norm"),
    feed_forward=experts(router_float32=True, router_bias=True),
)
MINIMAX_M2 = Family(
    types=types.full,
    mixer=attention(qk_norm="use_qk_norm", whole_norm=True),
    feed_forward=experts(router_float32=True, router_bias="use_routing_bias"),
    defaults={"use_qk_norm": True, "use_routing_bias": True},
)
MINIMAX_M3 = Family(
    types=types.full,
    mixer=mixers.minimax_m3,
    feed_forward=experts(
        router_float32=True, router_bias="use_routing_bias", dense_size="dense_intermediate_size"
    ),
)
ERNIE_MOE = Family(
    types=types.full,
    mixer=attention(qkv_bias="use_bias", o_bias="use_bias"),
    feed_forward=experts(router_float32=True, router_bias=True, bias="use_bias"),
    tie=True,
)
ERNIE = Family(
    types=types.full,
    mixer=attention(qkv_bias="use_bias", o_bias="use_bias"),
    feed_forward=dense(bias="use_bias"),
    tie=True,
)
HUNYUAN = Family(
    types=types.full,
    mixer=attention(qkv_bias=_AB, o_bias=_AB, qk_norm="use_qk_norm"),
    feed_forward=dense(),
)
HUNYUAN_MOE = Family(
    types=types.full,
    mixer=attention(qkv_bias=_AB, o_bias=_AB, qk_norm="use_qk_norm"),
    feed_forward=experts(shared_of="intermediate_size"),
)
HY3 = Family(
    types=types.full,
    mixer=attention(qk_norm=True),
    feed_forward=experts(router_float32=True, router_bias=True),
)
DOTS1 = Family(
    types=types.if_used,
    mixer=attention(qkv_bias=_AB, o_bias=_AB, qk_norm=True),
    feed_forward=experts(router_bias=True),
)
MIMO_V2 = Family(
    types=types.binary_pattern,
    mixer=mixers.mimo_v2,
    ropes=(1, 1),
    feed_forward=experts(router_float32=True, router_bias=True),
)
STEP3P5 = Family(
    types=types.full,
    mixer=mixers.step3p5,
    feed_forward=experts(router_float32=True, router_bias=True),
)
GRANITE_MOE = Family(
    types=types.full, mixer=attention(qkv_bias=_AB, o_bias=_AB), feed_forward=experts(), tie=True
)
OLMOE = Family(
    types=types.full,
    mixer=attention(qkv_bias=_AB, o_bias=_AB, qk_norm=True, whole_norm=True),
    feed_forward=experts(),
)
PHIMOE = Family(
    types=types.windowed,
    mixer=attention(qkv_bias=_AB, o_bias=_AB),
    feed_forward=experts(),
    norms=4,
    final_norms=2,
    lm_head_bias="lm_head_bias",
)
DEEPSEEK = Family(types=types.full, mixer=attention(), feed_forward=experts())
BAILING_MOE = Family(
    types=types.full,
    mixer=attention(qkv_bias="use_qkv_bias", o_bias="use_bias", qk_norm="use_qk_norm"),
    feed_forward=experts(router_bias="moe_router_enable_expert_bias"),
)
DEEPSEEK_V2 = Family(types=types.full, mixer=mixers.mla, feed_forward=experts())
DEEPSEEK_V3 = Family(types=types.full, mixer=mixers.mla, feed_forward=experts(router_bias=True))
DEEPSEEK_V32 = replace(DEEPSEEK_V3, ropes=(1, 1))  # the indexer has a table of its own
GLM4_LITE = replace(
    DEEPSEEK_V3,
    feed_forward=experts(router_bias=True, router_float32=True),
    defaults={"first_k_dense_replace": 1},
)
MISTRAL4 = Family(types=types.full, mixer=mixers.mla, feed_forward=experts())
MINICPM3 = Family(types=types.full, mixer=mixers.mla, feed_forward=dense(), tie=True)


def _hyper_layer(config: Config, _: int) -> int:
    """Hyper-connections of DeepSeek V4, before attention and before the experts.

    mix = (2 + m) m; each has a mix x (m hidden) matrix, mix offsets, 3 scales; m = `hc_mult`.
    """
    m, hidden = config.number("hc_mult", 4), config.number("hidden_size")
    mix = (2 + m) * m
    return 2 * (mix * m * hidden + mix + 3)


def _hyper_head(config: Config) -> int:
    """The head's connection: m x (m hidden) + m + 1; and the token-to-expert tables."""
    m, hidden = config.number("hc_mult", 4), config.number("hidden_size")
    return m * m * hidden + m + 1


def _v4_ropes(config: Config) -> tuple[int, ...]:
    """One table for compressed entries, one for layers with the window alone; both in 32 bits."""
    ratios = (config.get("compress_ratios") or [1])[: config.number("num_hidden_layers")]
    return (2,) * len({ratio == 0 for ratio in ratios})


DEEPSEEK_V4 = Family(
    types=types.only(types.FULL),
    mixer=mixers.deepseek_v4,
    feed_forward=experts(router_bias=True),
    layer_other=_hyper_layer,
    ropes=_v4_ropes,
    other=_hyper_head,
)

_keyed = attention(qkv_bias=_AB, o_bias=_AB, qk_norm="use_qk_norm")


def _by_its_keys(config: Config, index: int, kind: str) -> Mixer:
    """Latent attention where the config has a latent, else attention with the biases it states."""
    return (mixers.mla if config.get("kv_lora_rank") else _keyed)(config, index, kind)


GENERIC = Family(types=types.windowed, mixer=_by_its_keys, feed_forward=experts(bias="mlp_bias"))

MIXTURES: Mapping[str, Family] = {
    "Ernie4_5ForCausalLM": ERNIE,
    "Ernie4_5_ForCausalLM": ERNIE,
    "HunYuanDenseV1ForCausalLM": HUNYUAN,
    "MixtralForCausalLM": MIXTRAL,
    "Qwen2MoeForCausalLM": QWEN2_MOE,
    "Qwen3MoeForCausalLM": QWEN3_MOE,
    "Llama4ForCausalLM": LLAMA4,
    "GptOssForCausalLM": GPT_OSS,
    "Glm4MoeForCausalLM": GLM4_MOE,
    "MiniMaxM2ForCausalLM": MINIMAX_M2,
    "MiniMaxM3ForCausalLM": MINIMAX_M3,
    "MiniMaxM3SparseForCausalLM": MINIMAX_M3,
    "Ernie4_5_MoeForCausalLM": ERNIE_MOE,
    "HunYuanMoEV1ForCausalLM": HUNYUAN_MOE,
    "HYV3ForCausalLM": HY3,
    "Dots1ForCausalLM": DOTS1,
    "MiMoV2FlashForCausalLM": MIMO_V2,
    "Step3p5ForCausalLM": STEP3P5,
    "Step3p7FlashForCausalLM": STEP3P5,
    "GraniteMoeForCausalLM": GRANITE_MOE,
    "GraniteMoeSharedForCausalLM": GRANITE_MOE,
    "OlmoeForCausalLM": OLMOE,
    "PhiMoEForCausalLM": PHIMOE,
    "DeepseekForCausalLM": DEEPSEEK,
    "BailingMoeForCausalLM": BAILING_MOE,
    "BailingMoeV2ForCausalLM": BAILING_MOE,
    "DeepseekV2ForCausalLM": DEEPSEEK_V2,
    "DeepseekV3ForCausalLM": DEEPSEEK_V3,
    "DeepseekV32ForCausalLM": DEEPSEEK_V32,
    "GlmMoeDsaForCausalLM": DEEPSEEK_V32,
    "Glm4MoeLiteForCausalLM": GLM4_LITE,
    "Mistral4ForCausalLM": MISTRAL4,
    "MiniCPM3ForCausalLM": MINICPM3,
    "DeepseekV4ForCausalLM": DEEPSEEK_V4,
}

"""Decoder families with softmax attention and dense feed-forward blocks.

Sources: the modeling files of transformers 5.19 and vllm/model_executor/models (0.32).
"""

from collections.abc import Mapping

from krm_fn.catalog.architectures import layer_types as types
from krm_fn.catalog.architectures import mixers
from krm_fn.catalog.architectures.config import Config
from krm_fn.catalog.architectures.family import Family
from krm_fn.catalog.architectures.feed_forward import dense, experts
from krm_fn.catalog.architectures.mixers import attention
from krm_fn.catalog.shape import Dense, Moe

_AB = "attention_bias"

LLAMA = Family(
    types=types.windowed,
    mixer=attention(qkv_bias=_AB, o_bias=_AB),
    feed_forward=dense(bias="mlp_bias"),
)
QWEN2 = Family(types=types.if_used, mixer=attention(qkv_bias=True), feed_forward=dense())
QWEN3 = Family(
    types=types.if_used,
    mixer=attention(qkv_bias=_AB, o_bias=_AB, qk_norm=True),
    feed_forward=dense(),
)
GEMMA = Family(
    types=types.full,
    mixer=attention(),
    feed_forward=dense(),
    tie=True,
    defaults={"head_dim": 256},
)
GEMMA2 = Family(
    types=types.alternating,
    mixer=attention(),
    feed_forward=dense(),
    norms=4,
    tie=True,
    defaults={"head_dim": 256, "sliding_window": 4096},
)
# transformers: configuration_gemma3.py; real files leave out what equals these
GEMMA3 = Family(
    types=types.every(6, "sliding_window_pattern"),
    mixer=attention(qk_norm=True),
    feed_forward=dense(),
    norms=4,
    tie=True,
    ropes=(1, 1),
    defaults={
        "vocab_size": 262208,
        "head_dim": 256,
        "num_attention_heads": 8,
        "num_key_value_heads": 4,
        "max_position_embeddings": 131072,
        "sliding_window": 4096,
    },
)


def _gemma4_layer(config: Config, _: int) -> int:
    """With experts three more norms and the router's two scales; per-layer inputs' gate, way back
    and norm.

    transformers 5.19: Gemma4TextDecoderLayer, Gemma4TextRouter.
    """
    hidden, width = config.number("hidden_size"), config.number("hidden_size_per_layer_input", 0)
    moe = 4 * hidden + config.number("num_experts", 0) if config.flag("enable_moe_block") else 0
    return moe + (2 * hidden * width + hidden if width else 0)


def _gemma4_ffn(config: Config, index: int) -> Dense | Moe | None:
    """Experts beside a dense block, or a dense one, twice as wide where the cache is shared."""
    if config.flag("enable_moe_block"):
        return experts(always=True, beside=True)(config, index)
    first = config.number("num_hidden_layers") - config.number("num_kv_shared_layers", 0)
    wide = config.flag("use_double_wide_mlp") and index >= first
    return Dense(intermediate_size=config.number("intermediate_size") * (2 if wide else 1))


GEMMA4 = Family(
    types=types.every(6, "sliding_window_pattern"),
    mixer=mixers.gemma4,
    feed_forward=_gemma4_ffn,
    norms=4,
    tie=True,
    ropes=(1, 2),  # full layers have heads twice as wide
    layer_other=_gemma4_layer,
    defaults={"vocab_size": 262144, "head_dim": 256, "sliding_window": 512},
)
PHI = Family(
    types=types.full,
    mixer=attention(qkv_bias=True, o_bias=True),
    feed_forward=dense(gated=False, bias=True, factor=4),
    final_norms=2,
    lm_head_bias=True,
)
GLM4 = Family(types=types.full, mixer=attention(qkv_bias=_AB), feed_forward=dense(), norms=4)
STARCODER2 = Family(
    types=types.windowed,
    mixer=attention(qkv_bias="use_bias", o_bias="use_bias"),
    feed_forward=dense(gated=False, bias="use_bias"),
    norms=4,
    final_norms=2,
    tie=True,
    defaults={"use_bias": True},
)
_BIASED = attention(qkv_bias=True, o_bias=True)
_PLAIN_FFN = dense(gated=False, bias=True, factor=4)
GPT_NEOX = Family(types=types.full, mixer=_BIASED, feed_forward=_PLAIN_FFN, norms=4, final_norms=2)
GPT2 = Family(
    types=types.full,
    mixer=_BIASED,
    feed_forward=_PLAIN_FFN,
    norms=4,
    final_norms=2,
    tie=True,
    positions=0,
)
OPT = Family(
    types=types.full,
    mixer=_BIASED,
    feed_forward=_PLAIN_FFN,
    norms=4,
    final_norms=2,
    tie=True,
    positions=2,
)
BLOOM = Family(
    types=types.full,
    mixer=_BIASED,
    feed_forward=_PLAIN_FFN,
    norms=4,
    final_norms=2,
    embedding_norms=2,
    tie=True,
    defaults={"max_position_embeddings": 2048},
)


def _falcon_layer(config: Config, _: int) -> int:
    """The second LayerNorm of the newer decoder (40B and later)."""
    two = config.flag("new_decoder_architecture") and config.get("num_ln_in_parallel_attn") != 1
    return 2 * config.number("hidden_size") if two else 0


FALCON = Family(
    types=types.full,
    mixer=attention(qkv_bias="bias", o_bias="bias"),
    feed_forward=dense(gated=False, bias="bias", factor=4),
    layer_other=_falcon_layer,
    norms=2,
    final_norms=2,
    tie=True,
    defaults={"max_position_embeddings": 2048},
)
COHERE = Family(
    types=types.full,
    mixer=attention(qkv_bias=_AB, o_bias=_AB, qk_norm="use_qk_norm", whole_norm=True),
    feed_forward=dense(),
    norms=1,
    tie=True,
)
COHERE2 = Family(
    types=types.every(4, "sliding_window_pattern"),
    mixer=attention(qkv_bias=_AB, o_bias=_AB),
    feed_forward=dense(),
    norms=1,
    tie=True,
)
_OLMO_ATTENTION = attention(qkv_bias=_AB, o_bias=_AB, qk_norm=True, whole_norm=True)
OLMO2 = Family(types=types.full, mixer=_OLMO_ATTENTION, feed_forward=dense())
OLMO3 = Family(
    types=types.every(4, "sliding_window_pattern"), mixer=_OLMO_ATTENTION, feed_forward=dense()
)
STABLELM = Family(
    types=types.full,
    mixer=attention(qkv_bias="use_qkv_bias"),
    feed_forward=dense(),
    norms=4,
    final_norms=2,
)
NEMOTRON4 = Family(
    types=types.full,
    mixer=attention(qkv_bias=_AB, o_bias=_AB),
    feed_forward=dense(gated=False, bias="mlp_bias"),
    norms=4,
    final_norms=2,
)
EXAONE4 = Family(types=types.exaone, mixer=attention(qk_norm=True), feed_forward=dense())
SEED = Family(
    types=types.full,
    mixer=attention(qkv_bias=_AB, o_bias="attention_out_bias"),
    feed_forward=dense(bias="mlp_bias"),
)
ARCEE = Family(
    types=types.full,
    mixer=attention(qkv_bias=_AB, o_bias=_AB),
    feed_forward=dense(gated=False, bias="mlp_bias"),
)
CHATGLM = Family(
    types=types.full,
    mixer=attention(qkv_bias="add_qkv_bias"),
    feed_forward=dense(bias="add_bias_linear"),
)
APERTUS = Family(
    types=types.full,
    mixer=attention(qkv_bias=_AB, o_bias=_AB, qk_norm=True),
    feed_forward=dense(gated=False, bias="mlp_bias"),
    layer_other=lambda _, __: 2,
)
MLLAMA = Family(
    types=types.cross,
    mixer=mixers.by_kind({types.CROSS: attention(qk_norm=True)}, attention()),
    feed_forward=dense(),
    other=lambda config: 8 * config.number("hidden_size"),  # rows of the image tokens
    defaults={"cross_attention_layers": [3, 8, 13, 18, 23, 28, 33, 38]},
)


def _nas_ffn(config: Config, index: int) -> Dense | None:
    """Nemotron-NAS: width = 2/3 x ffn_mult x hidden size, rounded up to a multiple of 256."""
    block = (config.get("block_configs") or [{}])[index].get("ffn", {})
    if block.get("no_op"):
        return None
    width = int(2 * float(block.get("ffn_mult", 0)) * config.number("hidden_size") / 3)
    return Dense(intermediate_size=-(-width // 256) * 256)


DECILM = Family(types=types.full, mixer=mixers.decilm, feed_forward=_nas_ffn)


DECODERS: Mapping[str, Family] = {
    "LlamaForCausalLM": LLAMA,
    "MistralForCausalLM": LLAMA,
    "Ministral3ForCausalLM": LLAMA,
    "MinistralForCausalLM": LLAMA,
    "Phi3ForCausalLM": LLAMA,
    "GraniteForCausalLM": LLAMA,
    "InternLM2ForCausalLM": LLAMA,
    "InternLM3ForCausalLM": LLAMA,
    "BaichuanForCausalLM": LLAMA,
    "AquilaForCausalLM": LLAMA,
    "MiniCPMForCausalLM": LLAMA,
    "SmolLM3ForCausalLM": LLAMA,
    "ExaoneForCausalLM": LLAMA,
    "Qwen2ForCausalLM": QWEN2,
    "MiMoForCausalLM": QWEN2,
    "Qwen3ForCausalLM": QWEN3,
    "GemmaForCausalLM": GEMMA,
    "Gemma2ForCausalLM": GEMMA2,
    "Gemma3ForCausalLM": GEMMA3,
    "Gemma4ForCausalLM": GEMMA4,
    "PhiForCausalLM": PHI,
    "GlmForCausalLM": SEED,
    "Glm4ForCausalLM": GLM4,
    "ChatGLMModel": CHATGLM,
    "ChatGLMForConditionalGeneration": CHATGLM,
    "Starcoder2ForCausalLM": STARCODER2,
    "GPTNeoXForCausalLM": GPT_NEOX,
    "GPT2LMHeadModel": GPT2,
    "GPTBigCodeForCausalLM": GPT2,
    "OPTForCausalLM": OPT,
    "BloomForCausalLM": BLOOM,
    "FalconForCausalLM": FALCON,
    "CohereForCausalLM": COHERE,
    "Cohere2ForCausalLM": COHERE2,
    "Olmo2ForCausalLM": OLMO2,
    "Olmo3ForCausalLM": OLMO3,
    "StableLmForCausalLM": STABLELM,
    "NemotronForCausalLM": NEMOTRON4,
    "DeciLMForCausalLM": DECILM,
    "Exaone4ForCausalLM": EXAONE4,
    "SeedOssForCausalLM": SEED,
    "ArceeForCausalLM": ARCEE,
    "ApertusForCausalLM": APERTUS,
    "MllamaForCausalLM": MLLAMA,
}

"""Pooling models: encoders with learned positions, and decoders without an output head."""

from collections.abc import Mapping
from dataclasses import replace

from krm_fn.catalog.architectures import decoders
from krm_fn.catalog.architectures import layer_types as types
from krm_fn.catalog.architectures.config import Config
from krm_fn.catalog.architectures.family import Family
from krm_fn.catalog.architectures.feed_forward import dense
from krm_fn.catalog.architectures.mixers import attention


def _types_and_pooler(config: Config) -> int:
    """Token-type embeddings, and the pooler's matrix and bias, of BERT."""
    hidden = config.number("hidden_size")
    return config.number("type_vocab_size", 0) * hidden + hidden * (hidden + 1)


def _classifier(config: Config) -> int:
    """XLM-R's classification head instead of a pooler: dense, then one row per label."""
    hidden, labels = config.number("hidden_size"), len(config.raw.get("id2label") or ()) or 1
    types_ = config.number("type_vocab_size", 0) * hidden
    return types_ + hidden * (hidden + 1) + labels * (hidden + 1)


BERT = Family(
    types=types.full,
    mixer=attention(qkv_bias=True, o_bias=True),
    feed_forward=dense(gated=False, bias=True),
    norms=4,
    final_norms=0,
    embedding_norms=2,
    lm_head=False,
    positions=0,
    other=_types_and_pooler,
    task="embed",
    causal=False,
    no_rope=True,
)
# fairseq counts positions from the padding id + 1 = 2 on
ROBERTA = replace(BERT, reserved=2, positions=2)


def _modernbert_layer(config: Config, index: int) -> int:
    """The first layer has no norm before its attention."""
    return -config.number("hidden_size") if index == 0 else 0


MODERNBERT = Family(
    types=types.every(3, "global_attn_every_n_layers"),
    mixer=attention(qkv_bias="attention_bias", o_bias="attention_bias"),
    feed_forward=dense(bias="mlp_bias"),
    embedding_norms=1,
    lm_head=False,
    layer_other=_modernbert_layer,
    task="embed",
    causal=False,
)
# Nomic and GTE ("NewModel"): BERT with rotary positions and a gated block
NOMIC = Family(
    types=types.full,
    mixer=attention(qkv_bias="qkv_proj_bias", o_bias="qkv_proj_bias"),
    feed_forward=dense(bias="mlp_fc1_bias"),
    norms=4,
    final_norms=0,
    embedding_norms=2,
    lm_head=False,
    other=lambda config: config.number("type_vocab_size", 0) * config.number("hidden_size"),
    task="embed",
    causal=False,
)
GTE = replace(NOMIC, mixer=attention(qkv_bias=True, o_bias=True), feed_forward=dense())


def headless(family: Family) -> Family:
    """A decoder that pools: the same layers, no output head."""
    return replace(family, lm_head=False, task="embed")


def _nv_latent(config: Config) -> int:
    """NV-Embed's latent attention: 512 latents, one cross-attention and one feed-forward block.

    Published modeling_nvembed.py: 8 cross heads of 4096, hidden 4096, latents 512 x 4096.
    """
    hidden = config.number("hidden_size")
    cross, block = 4 * 8 * hidden * hidden, 8 * hidden * hidden + 4 * hidden * hidden
    return 512 * hidden + cross + block + hidden * 17


ENCODERS: Mapping[str, Family] = {
    "BertModel": BERT,
    "BertForMaskedLM": BERT,
    "BertForSequenceClassification": replace(BERT, other=_classifier),
    "RobertaModel": ROBERTA,
    "RobertaForSequenceClassification": replace(ROBERTA, other=_classifier),
    "XLMRobertaModel": ROBERTA,
    "XLMRobertaForSequenceClassification": replace(ROBERTA, other=_classifier),
    "ModernBertModel": MODERNBERT,
    "ModernBertForMaskedLM": MODERNBERT,
    "ModernBertForSequenceClassification": MODERNBERT,
    "NomicBertModel": NOMIC,
    "NewModel": GTE,
    "NewForSequenceClassification": GTE,
    "GteModel": GTE,
    "MistralModel": headless(decoders.LLAMA),
    "LlamaModel": headless(decoders.LLAMA),
    "LlamaForSequenceClassification": headless(decoders.LLAMA),
    "Qwen2Model": headless(decoders.QWEN2),
    "Qwen2ForSequenceClassification": headless(decoders.QWEN2),
    "Qwen2ForRewardModel": headless(decoders.QWEN2),
    "Qwen3Model": headless(decoders.QWEN3),
    "Qwen3ForSequenceClassification": headless(decoders.QWEN3),
    "Gemma2Model": headless(decoders.GEMMA2),
    "Gemma3TextModel": headless(decoders.GEMMA3),
    "NVEmbedModel": replace(headless(decoders.LLAMA), other=_nv_latent, causal=False),
}

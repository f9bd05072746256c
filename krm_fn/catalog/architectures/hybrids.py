"""Families with state-space or linear-attention layers beside or instead of attention.

Sources: the modeling files of transformers 5.19 and vllm/model_executor/models (0.32).
"""

from collections.abc import Mapping

from krm_fn.catalog.architectures import layer_types as types
from krm_fn.catalog.architectures import mixers, states
from krm_fn.catalog.architectures.config import Config
from krm_fn.catalog.architectures.family import Family, FeedForwardOf, Mixer
from krm_fn.catalog.architectures.feed_forward import dense, experts, none
from krm_fn.catalog.architectures.mixers import attention
from krm_fn.catalog.shape import Dense, Moe

_AB = "attention_bias"


def _gated_delta(feed_forward: FeedForwardOf, *, gate: bool | str) -> Family:
    """Three gated-delta-net layers to one of gated full attention."""
    softmax = attention(qkv_bias=_AB, o_bias=_AB, qk_norm=True, output_gate=gate)
    return Family(
        types=types.every(4, "full_attention_interval", rest=types.LINEAR),
        mixer=mixers.by_kind({types.LINEAR: states.gdn}, softmax),
        feed_forward=feed_forward,
        defaults={
            "attn_output_gate": True,
            "head_dim": 256,
            "vocab_size": 248320,
            "partial_rotary_factor": 0.25,
        },
    )


QWEN3_NEXT = _gated_delta(experts(shared_gate=True), gate=True)
QWEN3_5 = _gated_delta(dense(), gate="attn_output_gate")
QWEN3_5_MOE = _gated_delta(experts(shared_gate=True), gate="attn_output_gate")


def _kind(config: Config, index: int) -> str:
    """The kind of a layer that is a single block (Nemotron-H)."""
    return types.letters(config)[index]


def _nemotron_ffn(config: Config, index: int) -> Dense | Moe | None:
    kind = _kind(config, index)
    if kind == types.DENSE:
        return dense(gated=False, bias="mlp_bias")(config, index)
    if kind == types.MOE:
        made = experts(gated=False, bias="mlp_bias", router_bias=True, always=True)
        return made(config, index)
    return None


def _nemotron_mixer(config: Config, index: int, kind: str) -> Mixer:
    table = {types.MAMBA: states.mamba2, types.FULL: attention(qkv_bias=_AB, o_bias=_AB)}
    return table.get(kind, mixers.nothing)(config, index, kind)


NEMOTRON_H = Family(
    types=types.letters,
    mixer=_nemotron_mixer,
    feed_forward=_nemotron_ffn,
    norms=1,
    no_rope=True,
)
JAMBA = Family(
    types=types.period_offset,
    mixer=mixers.by_kind({types.MAMBA: states.mamba1}, attention()),
    feed_forward=experts(),
    no_rope=True,
)
BAMBA = Family(
    types=types.attention_indices,
    mixer=mixers.by_kind({types.MAMBA: states.mamba2}, attention(qkv_bias=_AB, o_bias=_AB)),
    feed_forward=dense(),
)


def _granite4_ffn(config: Config, index: int) -> Moe | Dense:
    """A shared block in every layer, experts beside it where the model has any."""
    if config.number("num_experts", 0):
        return experts(always=True)(config, index)  # type: ignore[return-value]
    return Dense(intermediate_size=config.number("shared_intermediate_size"))


GRANITE4 = Family(
    types=types.attention_indices,
    mixer=mixers.by_kind({types.MAMBA: states.mamba2}, attention(qkv_bias=_AB, o_bias=_AB)),
    feed_forward=_granite4_ffn,
    tie=True,
    defaults={"mamba_d_head": "auto", "num_local_experts": 0},
)
FALCON_H1 = Family(
    types=types.only(types.FULL),
    mixer=attention(qkv_bias=_AB, o_bias=_AB),
    feed_forward=dense(bias="mlp_bias"),
    parallel=lambda config: states.mamba2(config, 0, types.MAMBA),
    defaults={"mamba_rms_norm": False},
)
KIMI_LINEAR = Family(
    types=types.kimi,
    mixer=mixers.by_kind({types.LINEAR: states.kda}, mixers.mla),
    feed_forward=experts(router_bias=True),
    no_rope=True,
)
MINIMAX_01 = Family(
    types=types.every(8, "attn_type_period", rest=types.LINEAR),
    mixer=mixers.by_kind({types.LINEAR: states.lightning}, attention()),
    feed_forward=experts(),
)
_LFM2_MIXER = mixers.by_kind({types.CONV: states.short_conv}, attention(qk_norm=True))


def _lfm2_width(config: Config, _: int) -> Dense:
    """LFM2 states the width before it is cut to 2/3 and rounded up to a multiple."""
    width = config.number("block_ff_dim", config.number("intermediate_size"))
    if config.get("block_auto_adjust_ff_dim", True):
        of, factor = config.number("block_multiple_of", 256), "block_ffn_dim_multiplier"
        width = int(float(config.get(factor, 1.0)) * int(2 * width / 3))
        width = -(-width // of) * of
    return Dense(intermediate_size=width)


LFM2 = Family(types=types.lfm2, mixer=_LFM2_MIXER, feed_forward=_lfm2_width, tie=True)
LFM2_MOE = Family(
    types=types.lfm2,
    mixer=_LFM2_MIXER,
    feed_forward=experts(router_bias="use_expert_bias"),
    tie=True,
)
MAMBA = Family(
    types=types.only(types.MAMBA),
    mixer=states.mamba1,
    feed_forward=none,
    norms=1,
    tie=True,
    no_rope=True,
    defaults={"max_position_embeddings": 2**20},
)
MAMBA2 = Family(
    types=types.only(types.MAMBA),
    mixer=states.mamba2,
    feed_forward=none,
    norms=1,
    no_rope=True,
    defaults={"max_position_embeddings": 2**20},
)

HYBRIDS: Mapping[str, Family] = {
    "Qwen3NextForCausalLM": QWEN3_NEXT,
    "Qwen3_5ForCausalLM": QWEN3_5,
    "Qwen3_5MoeForCausalLM": QWEN3_5_MOE,
    "NemotronHForCausalLM": NEMOTRON_H,
    "JambaForCausalLM": JAMBA,
    "BambaForCausalLM": BAMBA,
    "GraniteMoeHybridForCausalLM": GRANITE4,
    "FalconH1ForCausalLM": FALCON_H1,
    "KimiLinearForCausalLM": KIMI_LINEAR,
    "MiniMaxText01ForCausalLM": MINIMAX_01,
    "MiniMaxM1ForCausalLM": MINIMAX_01,
    "MiniMaxForCausalLM": MINIMAX_01,
    "Lfm2ForCausalLM": LFM2,
    "Lfm2MoeForCausalLM": LFM2_MOE,
    "MambaForCausalLM": MAMBA,
    "FalconMambaForCausalLM": MAMBA,
    "Mamba2ForCausalLM": MAMBA2,
}

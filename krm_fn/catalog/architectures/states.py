"""Mixers whose cache is a state of fixed size."""

from krm_fn.catalog.architectures.config import Config
from krm_fn.catalog.shape import StateSpace


def gdn(config: Config, _: int, __: str) -> StateSpace:
    """Gated delta net of Qwen3-Next and Qwen3.5."""
    return StateSpace(
        kind="gdn",
        num_k_heads=config.number("linear_num_key_heads"),
        num_v_heads=config.number("linear_num_value_heads"),
        k_head_dim=config.number("linear_key_head_dim"),
        v_head_dim=config.number("linear_value_head_dim"),
        conv_kernel=config.number("linear_conv_kernel_dim", 4),
        state_dtype=config.dtype("mamba_ssm_dtype"),
    )


def kda(config: Config, _: int, __: str) -> StateSpace:
    """Kimi delta attention: `linear_attn_config`, or its keys at the top."""
    own = config.get("linear_attn_config") or {}
    for flat, name in (
        ("linear_num_heads", "num_heads"),
        ("linear_head_dim", "head_dim"),
        ("linear_conv_kernel_dim", "short_conv_kernel_size"),
    ):
        own = {name: config.get(flat)} | own if config.get(flat) else own
    for name in ("num_heads", "head_dim", "short_conv_kernel_size"):
        if name not in own:
            config.missing[f"linear_attn_config.{name}"] = None
    heads, dim = int(own.get("num_heads", 0)), int(own.get("head_dim", 0))
    return StateSpace(
        kind="kda",
        num_k_heads=heads,
        num_v_heads=heads,
        k_head_dim=dim,
        v_head_dim=dim,
        conv_kernel=int(own.get("short_conv_kernel_size", 0)),
        state_dtype="float32",
        full_rank_gate=bool(own.get("use_full_rank_gate")),
    )


def lightning(config: Config, _: int, __: str) -> StateSpace:
    """MiniMax-01: linear attention with all heads, state head_dim x head_dim in fp32."""
    heads = config.number("num_attention_heads")
    dim = config.number("head_dim", config.number("hidden_size") // max(heads, 1))
    return StateSpace(
        kind="lightning",
        num_k_heads=heads,
        num_v_heads=heads,
        k_head_dim=dim,
        v_head_dim=dim,
        conv_kernel=0,
        state_dtype="float32",
    )


def short_conv(config: Config, _: int, __: str) -> StateSpace:
    """LFM2: a gated short convolution of the hidden size."""
    hidden = config.number("hidden_size")
    return StateSpace(
        kind="short_conv",
        num_k_heads=1,
        num_v_heads=1,
        k_head_dim=hidden,
        v_head_dim=hidden,
        conv_kernel=config.number("conv_L_cache", 3),
        conv_bias=config.flag("conv_bias"),
        proj_bias=config.flag("conv_bias"),
    )


def mamba1(config: Config, _: int, __: str) -> StateSpace:
    hidden = config.number("hidden_size")
    inner = config.number("mamba_expand", config.number("expand", 2)) * hidden
    rank = config.get("mamba_dt_rank", config.get("time_step_rank", "auto"))
    return StateSpace(
        kind="mamba1",
        num_k_heads=1,
        num_v_heads=config.number("intermediate_size", inner) if _pure(config) else inner,
        k_head_dim=config.number("mamba_d_state", config.number("state_size", 16)),
        v_head_dim=1,
        conv_kernel=config.number("mamba_d_conv", config.number("conv_kernel", 4)),
        conv_bias=bool(config.get("mamba_conv_bias", config.get("use_conv_bias", True))),
        proj_bias=bool(config.get("mamba_proj_bias", config.get("use_bias", False))),
        dt_rank=-(-hidden // 16) if rank == "auto" else int(rank),
        gated_norm=not _pure(config),
    )


def _pure(config: Config) -> bool:
    """A model of nothing but Mamba layers states their inner size as `intermediate_size`."""
    return not config.get("num_attention_heads")


def mamba2(config: Config, _: int, __: str) -> StateSpace:
    """Mamba-2 under the key names of Nemotron-H, Bamba, Granite 4, Falcon-H1, Zamba."""
    head = _head(config)
    heads = config.number("mamba_num_heads", config.number("mamba_n_heads", _heads(config, head)))
    return StateSpace(
        kind="mamba2",
        num_k_heads=config.number("mamba_n_groups", config.number("n_groups", 1)),
        num_v_heads=heads,
        k_head_dim=config.number("mamba_d_state", config.number("ssm_state_size", _state(config))),
        v_head_dim=head or _inner(config) // max(heads, 1),
        conv_kernel=config.number("mamba_d_conv", config.number("conv_kernel", 4)),
        state_dtype=config.dtype("mamba_ssm_cache_dtype"),
        conv_bias=bool(config.get("mamba_conv_bias", config.get("use_conv_bias", True))),
        proj_bias=bool(config.get("mamba_proj_bias", config.get("use_bias", False))),
        gated_norm=bool(config.get("mamba_rms_norm", True)),
    )


def _inner(config: Config) -> int:
    stated = config.get("mamba_d_ssm")
    expand = config.get("mamba_expand", config.get("expand", 2))
    return int(stated or expand * config.number("hidden_size"))


def _head(config: Config) -> int:
    """Size of a head; 0 where it follows from the inner size and the number of heads ("auto")."""
    stated = config.get("mamba_head_dim", config.get("mamba_d_head", "auto"))
    if stated != "auto":
        return int(stated)
    return config.number("head_dim", 64) if _pure(config) else 0


def _heads(config: Config, head: int) -> int:
    return config.number("num_heads", _inner(config) // head if head else 128)


def _state(config: Config) -> int:
    return config.number("state_size", 128)

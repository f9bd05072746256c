"""The tensors of state-space and linear-attention mixers."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

from krm_fn.catalog.shape import StateSpace
from krm_fn.planner.tensor import Tensor, linear, vector, with_bias


def gdn(mixer: StateSpace, hidden: int) -> Iterator[Tensor]:
    """Qwen3-Next's gated delta net: q, k, v, z, b, a projections, convolution, decay, output."""
    key = mixer.num_k_heads * mixer.k_head_dim
    value, heads = mixer.num_v_heads * mixer.v_head_dim, mixer.num_v_heads
    name = "linear_attn"
    yield linear("state", f"{name}.in_proj_qkv", 2 * key + value, hidden, "column")
    yield linear("state", f"{name}.in_proj_z", value, hidden, "column")
    yield Tensor(
        cls="state", name=f"{name}.in_proj_ba", rows=2 * heads, columns=hidden, shard="column"
    )
    yield vector("state", f"{name}.conv1d", (2 * key + value) * mixer.conv_kernel, "column")
    yield vector("state", f"{name}.A_log", heads, "column", itemsize=4)
    yield vector("state", f"{name}.dt_bias", heads, "column")
    yield vector("norm", f"{name}.norm", mixer.v_head_dim)
    yield linear("state", f"{name}.out_proj", hidden, value, "row")


def kda(mixer: StateSpace, hidden: int) -> Iterator[Tensor]:
    """Kimi delta attention: q, k, v with a float32 convolution each, low-rank decay and gate
    (vllm/models/kimi_k3/nvidia/kda.py, 0.32).
    """
    dim, heads, name = mixer.k_head_dim, mixer.num_k_heads, "self_attn"
    width = heads * dim
    for part in ("q_proj", "k_proj", "v_proj"):
        yield linear("state", f"{name}.{part}", width, hidden, "column")
    yield vector("state", f"{name}.conv1d", 3 * width * mixer.conv_kernel, "column", itemsize=4)
    yield linear("state", f"{name}.f_a_proj", dim, hidden, "replicated")
    yield linear("state", f"{name}.f_b_proj", width, dim, "column")
    yield linear("state", f"{name}.b_proj", heads, hidden, "column")
    if mixer.full_rank_gate:
        yield linear("state", f"{name}.g_proj", width, hidden, "column")
    else:
        yield linear("state", f"{name}.g_a_proj", dim, hidden, "replicated")
        yield linear("state", f"{name}.g_b_proj", width, dim, "column")
    yield vector("state", f"{name}.A_log", heads, "column", itemsize=4)
    yield vector("state", f"{name}.dt_bias", width, "column", itemsize=4)
    yield vector("norm", f"{name}.o_norm", dim)
    yield linear("state", f"{name}.o_proj", hidden, width, "row")


def mamba2(mixer: StateSpace, hidden: int) -> Iterator[Tensor]:
    """Mamba-2: in = 2 x inner + heads, and 2 x groups x state for B and C; a convolution over x, B
    and C; A in float32, D, dt. B and C are on every GPU where there is one group
    (vllm/model_executor/layers/mamba/mamba_mixer2.py, 0.32).
    """
    inner, heads = mixer.num_v_heads * mixer.v_head_dim, mixer.num_v_heads
    groups, name = mixer.num_k_heads, "mixer"
    mixed = 2 * groups * mixer.k_head_dim
    for rows, shard, ways in ((2 * inner + heads, "column", 0), (mixed, "kv_heads", groups)):
        into = linear("state", f"{name}.in_proj", rows, hidden, shard, ways)  # type: ignore[arg-type]
        yield from with_bias(into, mixer.proj_bias)
    taps = mixer.conv_kernel + (1 if mixer.conv_bias else 0)
    yield vector("state", f"{name}.conv1d", inner * taps, "column")
    yield replace(vector("state", f"{name}.conv1d", mixed * taps, "kv_heads"), heads=groups)
    yield vector("state", f"{name}.A_log", heads, "column", itemsize=4)
    yield vector("state", f"{name}.D_dt_bias", 2 * heads, "column")
    if mixer.gated_norm:
        yield vector("norm", f"{name}.norm", inner, "column")
    yield from with_bias(linear("state", f"{name}.out_proj", hidden, inner, "row"), mixer.proj_bias)


def mamba1(mixer: StateSpace, hidden: int) -> Iterator[Tensor]:
    """Mamba-1: in = 2 x inner; x -> dt rank + 2 x state; dt -> inner; A (inner x state,
    float32), D.
    """
    inner, state, rank, name = mixer.num_v_heads, mixer.k_head_dim, mixer.dt_rank, "mamba"
    yield from with_bias(
        linear("state", f"{name}.in_proj", 2 * inner, hidden, "column"), mixer.proj_bias
    )
    taps = mixer.conv_kernel + (1 if mixer.conv_bias else 0)
    yield vector("state", f"{name}.conv1d", inner * taps, "column")
    yield linear("state", f"{name}.x_proj", rank + 2 * state, inner, "row")
    yield linear("state", f"{name}.dt_proj", inner, rank, "column")
    yield vector("state", f"{name}.dt_bias", inner, "column")
    yield vector("state", f"{name}.A_log", inner * state, "column", itemsize=4)
    yield vector("state", f"{name}.D", inner, "column")
    if mixer.gated_norm:
        yield vector("norm", f"{name}.dt_b_c_norms", rank + 2 * state)
    yield from with_bias(linear("state", f"{name}.out_proj", hidden, inner, "row"), mixer.proj_bias)


def lightning(mixer: StateSpace, hidden: int) -> Iterator[Tensor]:
    """MiniMax-01's linear attention: q, k, v, an output gate, a norm of the inner size, output."""
    width, name = mixer.num_v_heads * mixer.v_head_dim, "self_attn"
    yield linear("state", f"{name}.qkv_proj", 3 * width, hidden, "column")
    yield linear("state", f"{name}.output_gate", width, hidden, "column")
    yield vector("norm", f"{name}.norm", width, "column")
    yield linear("state", f"{name}.out_proj", hidden, width, "row")


def short_conv(mixer: StateSpace, hidden: int) -> Iterator[Tensor]:
    """LFM2: in = 3 x hidden, a depthwise convolution, output."""
    yield from with_bias(
        linear("state", "conv.in_proj", 3 * hidden, hidden, "column"), mixer.proj_bias
    )
    taps = mixer.conv_kernel + (1 if mixer.conv_bias else 0)
    yield vector("state", "conv.conv", hidden * taps, "column")
    yield from with_bias(linear("state", "conv.out_proj", hidden, hidden, "row"), mixer.proj_bias)


STATES: Mapping[str, Callable[[StateSpace, int], Iterator[Tensor]]] = {
    "gdn": gdn,
    "kda": kda,
    "mamba1": mamba1,
    "mamba2": mamba2,
    "lightning": lightning,
    "short_conv": short_conv,
}

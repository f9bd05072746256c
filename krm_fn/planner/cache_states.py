"""The states of layers that keep no tokens: Mamba, gated delta nets, KDA, short convolutions."""

from krm_fn.catalog.shape import StateSpace
from krm_fn.planner.cache_spec import ELEMENT_BYTES, CacheSpec


def state_spec(
    mixer: StateSpace,
    tensor: int,
    model_size: float,
    state_size: float | None,
    *,
    checkpoint: bool,
    drafts: int = 0,
) -> CacheSpec:
    """Convolution and recurrent state of one request and layer, split over `tensor` GPUs.

    conv = channels / tp x (kernel - 1 + drafted tokens) in the model's dtype; recurrent state:
    gdn, kda: v_heads / tp x v_dim x k_dim; mamba2: heads / tp x head_dim x state_size;
    mamba1: intermediate / tp x state_size; lightning: heads / tp x dim x dim; short_conv: none.
    `state_size` = bytes per cell where the config states none. Source:
    vllm/model_executor/layers/mamba/mamba_utils.py:MambaStateShapeCalculator (0.33).
    """
    channels = conv_channels(mixer, tensor) // tensor
    kept = mixer.conv_kernel - 1 + drafts
    heads = 0 if mixer.kind == "short_conv" else mixer.num_v_heads // tensor
    cells = heads * mixer.v_head_dim * mixer.k_head_dim
    stated = ELEMENT_BYTES[mixer.state_dtype] if mixer.state_dtype else state_size
    size = stated or default_state(mixer.kind) or model_size
    parts = (
        f"{channels:,} channels x {kept} x {model_size:g} B" if channels * kept else "",
        f"{heads:,} x {mixer.v_head_dim} x {mixer.k_head_dim} x {size:g} B" if cells else "",
    )
    return CacheSpec(
        kind="state",
        state_bytes=int(channels * kept * model_size + cells * size),
        checkpoints=int(checkpoint),
        made=" + ".join(part for part in parts if part),
    )


def default_state(kind: str) -> float | None:
    """KDA keeps float32 states unless told otherwise (mamba_utils.py:kda_state_dtype, 0.33)."""
    return 4.0 if kind == "kda" else None


def conv_channels(mixer: StateSpace, tensor: int) -> int:
    """Channels of the causal convolution over all GPUs.

    gdn, kda: 2 x k_heads x k_dim + v_heads x v_dim; mamba2: intermediate + 2 x groups x state, the
    groups filled up to the GPUs; mamba1, short_conv: the inner size; lightning has none.
    """
    inner = mixer.num_v_heads * mixer.v_head_dim
    keys = mixer.num_k_heads * mixer.k_head_dim
    spare = 0 if mixer.num_k_heads % tensor == 0 else tensor - mixer.num_k_heads
    return {
        "gdn": inner + 2 * keys,
        "kda": inner + 2 * keys,
        "mamba2": inner + 2 * (mixer.num_k_heads + spare) * mixer.k_head_dim,
        "mamba1": inner,
        "short_conv": inner,
        "lightning": 0,
    }[mixer.kind]

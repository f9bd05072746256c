"""Feed-forward blocks: dense ones, experts, and which layer has which."""

from krm_fn.catalog.architectures.config import Config
from krm_fn.catalog.architectures.family import FeedForwardOf
from krm_fn.catalog.shape import Dense, Moe


def dense(
    *,
    gated: bool | str = True,
    bias: bool | str = False,
    size: str = "intermediate_size",
    factor: int = 0,
) -> FeedForwardOf:
    """One dense block in every layer; `factor` x hidden size where the size is not stated."""

    def block(config: Config, index: int) -> Dense:
        default = factor * config.number("hidden_size") if factor else None
        width = config.indexed(size, index, default)
        return Dense(intermediate_size=width, gated=config.flag(gated), bias=config.flag(bias))

    return block


def none(_: Config, __: int) -> None:
    return None


def _listed(config: Config, index: int) -> bool | None:
    """Where the file lists which layer has experts."""
    types, only_dense = config.get("mlp_layer_types"), config.get("mlp_only_layers")
    layers, freq = config.get("moe_layers"), config.get("moe_layer_freq")
    enum = config.get("moe_layers_enum")
    if types:
        return bool(types[index] == "sparse")
    if layers:
        return index in layers
    if enum:
        return str(index) in str(enum).split(",")
    if isinstance(freq, list):
        return bool(freq[index])
    return False if only_dense and index in only_dense else None


def _periodic(config: Config, index: int) -> bool:
    """Every n-th layer from a first one on; each architecture has its own name for n and first."""
    last = config.number("moe_layer_end_index", -1)
    first = max(
        config.number(key, 0)
        for key in ("first_k_dense_replace", "moe_layer_start_index", "num_dense_layers")
    )
    if index < first or (last >= 0 and index > last):
        return False
    for key in ("decoder_sparse_step", "interleave_moe_layer_step", "moe_layer_interval"):
        if config.get(key):
            return (index + 1) % config.number(key) == 0
    if config.get("expert_layer_period"):
        period, offset = config.number("expert_layer_period"), "expert_layer_offset"
        return index % period == config.number(offset, 1)
    return index % config.number("moe_layer_freq", 1) == 0


def has_experts(config: Config, index: int) -> bool:
    if not config.get("num_experts"):
        return False
    stated = _listed(config, index)
    return _periodic(config, index) if stated is None else stated


def _shared_size(config: Config, index: int, width: int) -> int:
    if config.get("shared_intermediate_size") is not None:
        return config.number("shared_intermediate_size", 0)
    return config.indexed("shared_experts", index, 0) * width


def _routed(config: Config, index: int) -> tuple[int, int]:
    """Experts of a layer, and how many of them a token goes to."""
    count, chosen = (config.indexed(key, index) for key in ("num_experts", "experts_per_token"))
    if chosen > count and config.understood("num_experts"):
        text = f"must be at most the number of experts, {count}; got {chosen}"
        config.refuse("experts_per_token", text)
    return count, chosen


def experts(
    *,
    gated: bool = True,
    bias: bool | str = False,
    router_bias: bool | str = False,
    router_float32: bool = False,
    shared_gate: bool = False,
    shared_of: str | None = None,
    always: bool = False,
    dense_size: str = "intermediate_size",
    beside: bool = False,
) -> FeedForwardOf:
    """Experts in the layers that the config says, a dense block in the others.

    `shared_of`: the key of the width of one shared expert where it is not the experts' own.
    `beside`: a dense block stands beside the experts in the same layer (Gemma 4).
    """
    plain = dense(gated=gated, bias=bias, size=dense_size)

    def block(config: Config, index: int) -> Dense | Moe:
        if not always and not has_experts(config, index):
            return plain(config, index)  # type: ignore[return-value]
        width = config.indexed("moe_intermediate_size", index)
        one = config.indexed(shared_of, index) if shared_of else width
        count, chosen = _routed(config, index)
        return Moe(
            num_experts=count,
            experts_per_token=chosen,
            intermediate_size=width,
            shared_intermediate_size=_shared_size(config, index, one),
            shared_gate=shared_gate,
            router_bias=config.flag(router_bias),
            router_float32=router_float32,
            gated=gated,
            bias=config.flag(bias),
            dense_intermediate_size=config.number("intermediate_size") if beside else 0,
            latent_size=config.optional("latent_size"),
        )

    return block

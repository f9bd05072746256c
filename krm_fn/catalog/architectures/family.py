"""The value that describes one family of architectures."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from krm_fn.catalog.architectures.config import Config
from krm_fn.catalog.shape import Attention, Dense, Mla, Moe, StateSpace

Mixer = Attention | Mla | StateSpace | None
MixerOf = Callable[[Config, int, str], Mixer]
FeedForwardOf = Callable[[Config, int], Dense | Moe | None]
TypesOf = Callable[[Config], list[str]]
ParallelOf = Callable[[Config], StateSpace]


def no_parameters(_: Config) -> int:
    return 0


@dataclass(frozen=True, kw_only=True)
class Family:
    """How the layers of an architecture follow from its config.json.

    `types` names the kind of each layer, `mixer` makes what mixes tokens in a layer of that kind,
    `feed_forward` what follows it. `norms` = norm vectors per layer (a LayerNorm with bias has
    two). `defaults` = what transformers' config class assumes for an absent key, where real files
    rely on it. `ropes` = width of each distinct rotary table, in 16-bit elements per rotated
    dimension of the first layer (2 = in 32 bits, or of heads twice as wide). `positions` = learned
    position embeddings: how many more than the context. `reserved` = positions of the config
    that no token has. `causal` False: every token sees all others.
    """

    types: TypesOf
    mixer: MixerOf
    feed_forward: FeedForwardOf
    norms: int = 2
    single_block: bool = False
    final_norms: int = 1
    embedding_norms: int = 0
    lm_head: bool = True
    lm_head_bias: bool | str = False
    tie: bool = False
    positions: int | None = None
    ropes: tuple[int, ...] | Callable[[Config], tuple[int, ...]] = (1,)
    no_rope: bool = False
    defaults: Mapping[str, Any] = field(default_factory=dict)
    parallel: ParallelOf | None = None
    layer_other: Callable[[Config, int], int] | None = None
    other: Callable[[Config], int] = no_parameters
    task: Literal["generate", "embed"] = "generate"
    reserved: int = 0
    causal: bool = True

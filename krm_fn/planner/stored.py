"""Which layout each tensor of a checkpoint has: its quantisation, what it leaves out, overrides."""

from functools import lru_cache

from krm_fn.catalog.shape import Layer, ModelShape, Quantization
from krm_fn.planner.patterns import Patterns
from krm_fn.planner.tensor import Tensor
from krm_fn.planner.tensors import first_tensors, last_tensors, layer_tensors

Stored = tuple[tuple[Tensor, Quantization | None], ...]

# quantisation of a 16-bit checkpoint while it is loaded, by the engines' own names
ON_THE_FLY = {
    "fp8": Quantization(method="fp8", bits=8, scale_bytes=4, activations="fp8"),
    "w8a8_fp8": Quantization(method="fp8", bits=8, scale_bytes=4, activations="fp8"),
    "bitsandbytes": Quantization(method="bitsandbytes", bits=4, group_size=64, scale_bytes=4),
}


def layout(shape: ModelShape, quantization: str | None = None) -> Quantization | None:
    """The checkpoint's own layout, else that of on-the-fly quantisation by an engine's name."""
    if shape.quantization or not quantization or quantization == "auto":
        return shape.quantization
    if quantization not in ON_THE_FLY:
        names = ", ".join(ON_THE_FLY)
        raise ValueError(
            f'a 16-bit checkpoint can be quantised while loading by {names}; got "{quantization}"'
        )
    return ON_THE_FLY[quantization]


def draft_layout(shape: ModelShape) -> Quantization | None:
    """That of draft (MTP) layers: as the rest, or 16 bit where it names them among what is kept."""
    chosen = shape.quantization
    if chosen is None or not chosen.kept:
        return chosen
    names = ("mtp.layers.0.mlp.up_proj", f"layers.{len(shape.layers)}.mlp.up_proj")
    return None if any(Patterns(chosen.kept).match(name) for name in names) else chosen


def quantised(tensor: Tensor, layout: Quantization) -> bool:
    """Only linear layers; an output head only where it is named; MXFP4 only the experts.

    vllm/model_executor/layers/quantization/mxfp4.py (0.32): linear layers stay 16 bit.
    """
    if tensor.cls == "lm_head" or not tensor.linear:
        return False
    return tensor.cls == "experts" or layout.method != "mxfp4"


@lru_cache(maxsize=128)
def stored_layers(
    shape: ModelShape, chosen: Quantization | None
) -> tuple[tuple[Stored, ...], tuple[int, ...], Stored, Stored]:
    """Kinds of layers with the layout of each tensor, the kind of each layer, and the two ends."""
    decide = _Decision(chosen)
    kinds: dict[Stored, int] = {}
    known: dict[tuple[Layer, int | None], int] = {}
    order = []
    for index, layer in enumerate(shape.layers):
        key = (layer, index if decide.by_layer else None)
        if key not in known:
            pairs = decide.pairs(layer_tensors(layer, shape.hidden_size), f"layers.{index}.")
            known[key] = kinds.setdefault(pairs, len(kinds))
        order.append(known[key])
    ends = (decide.pairs(x, "") for x in (first_tensors(shape), last_tensors(shape)))
    return tuple(kinds), tuple(order), *ends  # type: ignore[return-value]


class _Decision:
    """Which layout each module of a checkpoint has."""

    def __init__(self, chosen: Quantization | None) -> None:
        self._main = chosen
        self._kept = Patterns(chosen.kept) if chosen and chosen.kept else None
        overrides = chosen.overrides if chosen else ()
        groups: dict[Quantization, list[str]] = {}
        for pattern, other in overrides:
            groups.setdefault(other, []).append(pattern)
        self._overrides = [(Patterns(tuple(names)), other) for other, names in groups.items()]
        named = (*(chosen.kept if chosen else ()), *(pattern for pattern, _ in overrides))
        self.by_layer = any(character.isdigit() for name in named for character in name)

    def pairs(self, found: tuple[Tensor, ...], prefix: str) -> Stored:
        return tuple((tensor, self._of(tensor, prefix + tensor.name)) for tensor in found)

    def _of(self, tensor: Tensor, name: str) -> Quantization | None:
        if self._main is None or not tensor.linear:
            return None
        if self._kept and self._kept.match(name):
            return None
        for patterns, other in self._overrides:
            if patterns.match(name):
                return other
        return self._main if quantised(tensor, self._main) and self._main.bits < 16 else None

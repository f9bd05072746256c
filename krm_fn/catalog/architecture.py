"""A Hugging Face config.json -> ModelShape, one vocabulary for all architectures.

The files of `architectures/` say how each family is read. What the keys do not determine is an
error that lists all of them; what was read but not understood stands in `ModelShape.unknown`.
"""

from collections.abc import Mapping
from typing import Any, Literal

from krm_fn.catalog.architectures.config import Config, explained
from krm_fn.catalog.architectures.families import FAMILIES, GENERIC
from krm_fn.catalog.architectures.family import Family
from krm_fn.catalog.architectures.quantization import quantization
from krm_fn.catalog.shape import Attention, Layer, Mla, ModelShape

Json = Mapping[str, Any]


def model_shape(config: Json) -> ModelShape:
    """The shape of the model that this config.json describes.

    ValueError lists every missing key with what it is. An architecture that is not in the tables
    is read like Llama if its keys allow, and `unknown` says so.
    """
    name, family, remarks = _family(config)
    read = Config(config, family.defaults)
    shape = _shape(name, family, read, remarks)
    if read.missing:
        raise ValueError(f"config.json of {name} lacks {explained(read.missing)}")
    return shape


def _family(config: Json) -> tuple[str, Family, tuple[str, ...]]:
    name = str((config.get("architectures") or ["?"])[0])
    if name in FAMILIES:
        return name, FAMILIES[name], ()
    return name, GENERIC, (f'architectures: "{name}" is not known; read by its keys, like Llama',)


def _shape(name: str, family: Family, config: Config, remarks: tuple[str, ...]) -> ModelShape:
    layers = _layers(family, config)
    layout, fault = quantization(config.get("quantization_config"))
    longest = config.number("max_position_embeddings")
    return ModelShape(
        architecture=name,
        model_type=config.get("model_type"),
        hidden_size=config.number("hidden_size"),
        vocab_size=config.number("vocab_size"),
        layers=layers,
        max_position_embeddings=longest,
        dtype=_dtype(config),
        tie_word_embeddings=bool(config.get("tie_word_embeddings", family.tie)),
        rope_dims=_rope_dims(layers, config),
        position_embeddings=0 if family.positions is None else longest + family.positions,
        mtp_layers=config.number("mtp_layers", 0),
        quantization=layout,
        unknown=remarks + ((fault,) if fault else ()) + _left(config),
    )


def _left(config: Config) -> tuple[str, ...]:
    return tuple(f"{key}: not understood" for key in config.leftovers())


def _dtype(config: Config) -> str:
    text = str(config.get("dtype", "bfloat16")).removeprefix("torch.")
    return "bfloat16" if text == "auto" else text


def _layers(family: Family, config: Config) -> tuple[Layer, ...]:
    """Layers in order; equal ones are the same object."""
    made: dict[Layer, Layer] = {}
    found = (_layer(family, config, i, kind) for i, kind in enumerate(family.types(config)))
    return tuple(made.setdefault(layer, layer) for layer in found)


def _layer(family: Family, config: Config, index: int, kind: str) -> Layer:
    return Layer(
        mixer=family.mixer(config, index, kind),
        ffn=family.feed_forward(config, index),
        norms=family.norms,
        parallel=family.parallel(config) if family.parallel else None,
        other_parameters=family.layer_other(config, index) if family.layer_other else 0,
    )


def _rope_dims(layers: tuple[Layer, ...], config: Config) -> int:
    first = next((x.mixer for x in layers if isinstance(x.mixer, Attention | Mla)), None)
    if isinstance(first, Mla):
        return first.qk_rope_head_dim
    rope = config.get("rope_parameters") or {}
    partial = config.get("partial_rotary_factor", config.get("rotary_pct"))
    factor = float(partial or rope.get("partial_rotary_factor") or 1.0)
    stated = config.get("rotary_dim")
    return int(stated or (first.head_dim * factor if first else 0))


Task = Literal["generate", "embed"]

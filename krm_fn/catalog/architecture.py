"""A Hugging Face config.json -> ModelShape, one vocabulary for all architectures.

The files of `architectures/` say how each family is read. What the keys do not determine is an
error that lists all of them; what was read but not understood stands in `ModelShape.unknown`.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from krm_fn.catalog.architectures.config import Config
from krm_fn.catalog.architectures.decoders import DECODERS
from krm_fn.catalog.architectures.encoders import ENCODERS
from krm_fn.catalog.architectures.family import Family
from krm_fn.catalog.architectures.faults import TEXT_PARTS, Fault, ModelConfigError, sound
from krm_fn.catalog.architectures.hybrids import HYBRIDS
from krm_fn.catalog.architectures.mixtures import GENERIC, MIXTURES
from krm_fn.catalog.architectures.multimodal import TEXT_TYPES, TOWERS, Tower
from krm_fn.catalog.architectures.quantization import quantization
from krm_fn.catalog.shape import Attention, Layer, Mla, ModelShape, Quantization

Json = Mapping[str, Any]
ALL: Mapping[str, Family] = {**DECODERS, **MIXTURES, **HYBRIDS, **ENCODERS}
UNREADABLE = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError, re.error)
"""What reading a file raises that holds other things than it should: anyone may have written it."""
_FOREIGN = re.compile(r"mamba|ssm|linear_|conv_|rwkv|retention|time_step")


def model_shape(config: Json) -> ModelShape:
    """The shape of the model that this config.json describes.

    ModelConfigError has a line for every key that is wrong, and one for all that are missing. An
    architecture that is not in the tables is read by its keys, like Llama, where they allow it, and
    `unknown` says so.
    """
    raw, wrong = sound(config)
    known = _Known(raw)
    read = Config(raw, known.family.defaults)
    shape, unread = _read(known, read)
    faults = (*wrong, *read.faults(known.name)) or unread
    if shape is None or faults:
        raise ModelConfigError(faults)
    foreign = sorted(key for key in read.text if _FOREIGN.search(key))
    if foreign and not known.in_tables:
        raise ModelConfigError([(None, _foreign(known.name, foreign))])
    return shape


def _read(known: "_Known", read: Config) -> tuple[ModelShape | None, tuple[Fault, ...]]:
    """A shape, or why the family cannot make one of what the file says."""
    try:
        shape = _shape(known, read)
        hash(shape)  # a list where a number belongs
    except UNREADABLE as fault:
        told = f"config.json cannot be read as that of {known.name}: {_why(fault)}"
        return None, ((None, told),)
    return shape, ()


def _why(fault: Exception) -> str:
    """What Python says of it, which names a key or a value of the file."""
    return str(fault) if type(fault) is ValueError else f"{type(fault).__name__}, {fault}"


def _foreign(name: str, keys: list[str]) -> str:
    return (
        f'architecture "{name}" is not known, and its config.json names layers that are neither '
        f"attention nor experts: {', '.join(keys)}"
    )


class _Known:
    """What the tables know of the architecture that a config.json names."""

    def __init__(self, config: Json) -> None:
        self.name = str((config.get("architectures") or ["?"])[0])
        self.tower = TOWERS.get(self.name)
        text = _text_name(config, self.tower)
        self.family = ALL.get(text or self.name, GENERIC)
        self.in_tables = (text or self.name) in ALL
        self.has_vision = bool(config.get("vision_config"))

    def remarks(self) -> Iterator[str]:
        if not self.in_tables:
            yield f'architectures: "{self.name}" is not known; read by its keys, like Llama'
        if self.tower and not self.tower.count:
            yield "vision_config: this encoder is not counted in the weights"
        elif self.tower and not self.has_vision:
            yield "vision_config: absent; the encoder is counted as the family's usual one"


def _text_name(config: Json, tower: Tower | None) -> str | None:
    """The text architecture below a multimodal one: stated, by model_type, else the usual one."""
    if tower is None:
        return None
    inner: Json = next((config[k] for k in TEXT_PARTS if isinstance(config.get(k), Mapping)), {})
    stated = (inner.get("architectures") or [None])[0]
    by_type = TEXT_TYPES.get(str(inner.get("model_type")))
    return next((name for name in (stated, by_type) if name in ALL), tower.text)


def _shape(known: _Known, config: Config) -> ModelShape:
    family = known.family
    layers = _layers(family, config)
    layout, fault = _layout(config)
    longest = config.number("max_position_embeddings") - family.reserved
    return ModelShape(
        architecture=known.name,
        model_type=config.raw.get("model_type"),
        hidden_size=config.number("hidden_size"),
        vocab_size=config.number("vocab_size"),
        layers=layers,
        max_position_embeddings=longest,
        dtype=_dtype(config),
        tie_word_embeddings=_tied(family, config),
        rope_dims=_rope_dims(family, layers, config),
        rope_caches=_rope_caches(family, layers, config),
        position_embeddings=0 if family.positions is None else longest + family.positions,
        encoder_parameters=_encoder(known.tower, config),
        encoder_parts=_encoder_parts(known.tower, config),
        encoder_whole=bool(known.tower and known.tower.whole),
        mtp_layers=config.number("mtp_layers", 0),
        task=family.task,
        causal=family.causal and _is_causal(config),
        quantization=layout,
        lm_head=family.lm_head,
        lm_head_bias=config.flag(family.lm_head_bias),
        final_norms=family.final_norms,
        embedding_norms=family.embedding_norms,
        per_layer_input=config.number("hidden_size_per_layer_input", 0),
        per_layer_vocab=config.number("vocab_size_per_layer_input", 0),
        other_parameters=family.other(config),
        unknown=(*known.remarks(), *((fault,) if fault else ()), *_left(config)),
    )


def _layout(config: Config) -> tuple[Quantization | None, str | None]:
    """How weights are stored, or a remark; a layout that cannot be is a fault of its own key."""
    try:
        found, remark = quantization(_stored_as(config), config.get("expert_dtype"))
        for each in _layouts(found):
            _refuse_layout(each)
    except UNREADABLE as fault:
        config.wrong["quantization_config"] = f"cannot be read: {_why(fault)}"
        return None, None
    return found, remark


def _layouts(found: Quantization | None) -> tuple[Quantization, ...]:
    return (found, *(other for _, other in found.overrides)) if found else ()


def _refuse_layout(layout: Quantization) -> None:
    """Groups of nothing, and patterns that are none."""
    for size in (layout.group_size, *(layout.block or ())):
        if size is not None and size < 1:
            raise ValueError("groups and blocks must be of at least 1")
    for name in (*layout.kept, *(name for name, _ in layout.overrides)):
        re.compile(name.removeprefix("re:") if name.startswith("re:") else "")


def _is_causal(config: Config) -> bool:
    """What the config says of a decoder that was trained to embed (EmbeddingGemma, GTE-Qwen2)."""
    both = bool(config.get("use_bidirectional_attention", False))
    return bool(config.get("is_causal", True)) and not both


def _stored_as(config: Config) -> Json | None:
    """`quantization_config` of the whole model or of its text part (Kimi K2.5)."""
    top = config.raw.get("quantization_config") or config.raw.get("compression_config")
    inner = config.get("quantization_config")
    return top or inner  # type: ignore[no-any-return]


def _tied(family: Family, config: Config) -> bool:
    """The top level decides, as in transformers; then the text part, then the family."""
    top = config.raw.get("tie_word_embeddings")
    return bool(config.get("tie_word_embeddings", family.tie) if top is None else top)


def _left(config: Config) -> tuple[str, ...]:
    return tuple(f"{key}: not understood" for key in config.leftovers())


def _dtype(config: Config) -> str:
    text = config.dtype("dtype", "bfloat16")
    return "bfloat16" if text in (None, "auto") else str(text)


def _encoder(tower: Tower | None, config: Config) -> int:
    """Parameters of the vision tower and projector; 0 where it is not counted."""
    if tower is None or tower.count is None:
        return 0
    stated = config.raw.get("vision_config") or {}
    return tower.count({**tower.defaults, **stated}, config.raw, config.number("hidden_size"))


def _encoder_parts(tower: Tower | None, config: Config) -> tuple[tuple[str, int], ...]:
    return tower.parts(config.raw.get("vision_config") or {}) if tower else ()


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


def _rope_dims(family: Family, layers: tuple[Layer, ...], config: Config) -> int:
    """Rotated dimensions of a head."""
    first = next((x.mixer for x in layers if isinstance(x.mixer, Attention | Mla)), None)
    if family.no_rope or first is None:
        return 0
    if isinstance(first, Mla):
        return first.qk_rope_head_dim
    rope = config.get("rope_parameters") or {}
    partial = config.get("partial_rotary_factor", config.get("rotary_pct"))
    factor = float(partial or rope.get("partial_rotary_factor") or 1.0)
    return int(config.get("rotary_dim") or first.head_dim * factor)


def _rope_caches(
    family: Family, layers: tuple[Layer, ...], config: Config
) -> tuple[tuple[int, int], ...]:
    """(positions, dimensions) of each distinct table; the first one is stretched if one is."""
    dims = _rope_dims(family, layers, config)
    if not dims:
        return ()
    plain = config.number("max_position_embeddings", 0)
    stated = config.get("rope_scaling") or config.get("rope_parameters") or {}
    stretched = _positions(plain, stated.get("full_attention", stated))
    first, *others = family.ropes if isinstance(family.ropes, tuple) else family.ropes(config)
    return ((stretched, first * dims), *((plain, width * dims) for width in others))


def _positions(plain: int, scaling: Json) -> int:
    """Positions of a table: YaRN's are the original context times its factor, linear ones the
    context times theirs.

    vllm/model_executor/layers/rotary_embedding (0.32).
    """
    kind = str(scaling.get("rope_type", scaling.get("type", "")))
    factor = scaling.get("factor") or 1
    original = scaling.get("original_max_position_embeddings")
    stretched = {"yarn": original or plain, "linear": plain}
    return int(stretched[kind] * factor) if kind in stretched else plain

"""Which model a service means: inline facts win over a card, a card over the catalogue."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from krm_fn.api.v1alpha1 import LLMService, Model, Safetensors
from krm_fn.catalog import models
from krm_fn.catalog.architecture import model_shape
from krm_fn.catalog.architectures.faults import ModelConfigError
from krm_fn.catalog.shape import Layer, ModelShape, StateSpace
from krm_fn.errors import Result, error, warning
from krm_fn.function.found import Found, no_such
from krm_fn.function.intake import Intake, referred
from krm_fn.planner.weights import draft_bytes, file_bytes, parameters


@dataclass(frozen=True, kw_only=True)
class Card:
    """Facts of a model and where they come from."""

    config: Mapping[str, Any]
    shape: ModelShape
    safetensors: Safetensors | None
    revision: str | None
    gated: bool
    source: str


def card_of(service: LLMService, given: Intake, package_path: str | None) -> Found:
    """Inline facts win over a card, a card over the catalogue."""
    model = service.spec.model
    if model.config is not None:
        found = _with_default_window(_inline(model, model.config), model.id)
        return _with_known_layout(_with_known_size(found, model.id), model.id)
    if model.card_ref:
        return _referred(model, model.card_ref.name, given, package_path)
    return _catalogued(model)


def _referred(model: Model, name: str, given: Intake, package_path: str | None) -> Found:
    key = referred(given.cards, package_path, name)
    if key is None:
        fault = no_such("ModelCard", name, given.cards, "model.cardRef.name", given)
        return Found(results=(fault,))
    card = given.cards[key].spec
    found = _card(
        card.config,
        model.safetensors or card.safetensors,
        model.revision or card.revision,
        f"ModelCard {name}",
        gated=card.gated if model.gated is None else model.gated,
    )
    if card.id != model.id:
        told = warning(
            f"names the facts of {card.id} for {model.id}, and the plan follows them",
            "spec.model.cardRef.name",
        )
        found = replace(found, results=(*found.results, told))
    return _with_default_window(found, model.id)


def _catalogued(model: Model) -> Found:
    row = models.model_card(model.id)
    if row is None:
        return Found(results=(_unknown_model(model.id),))
    totals = Safetensors(**row.safetensors.model_dump()) if row.safetensors else None
    return _card(
        row.config,
        model.safetensors or totals,
        model.revision or row.revision,
        f"catalogue ({row.source})",
        gated=row.gated if model.gated is None else model.gated,
        shape=row.shape,
    )


def _inline(model: Model, config: Mapping[str, Any]) -> Found:
    """What an inline config says; what it lacks to say anything is what the catalogue has of it."""
    found = _card(config, model.safetensors, model.revision, "inline config", gated=model.gated)
    row = models.model_card(model.id)
    if found.value or row is None:
        return found
    whole = _completed(config, row.config)
    found = _card(whole, model.safetensors, model.revision, "inline config", gated=model.gated)
    told = warning(
        f"lacks what decides the shape of {model.id}: it is taken from the catalogue",
        "spec.model.config",
    )
    return replace(found, results=(*found.results, told)) if found.value else found


def _completed(config: Mapping[str, Any], known: Mapping[str, Any]) -> dict[str, Any]:
    """The config, with the keys it lacks from another one of the same model."""
    both = {
        key: _completed(config[key], value)
        for key, value in known.items()
        if _nested(config.get(key), value)
    }
    return {**known, **config, **both}


def _nested(one: object, other: object) -> bool:
    return isinstance(one, Mapping) and isinstance(other, Mapping)


def _card(
    config: Mapping[str, Any],
    safetensors: Safetensors | None,
    revision: str | None,
    source: str,
    *,
    gated: bool | None,
    shape: ModelShape | None = None,
) -> Found:
    """`shape` = what the catalogue says beyond the config, such as that a model only embeds."""
    try:
        shape = shape or model_shape(config)
    except ModelConfigError as fault:
        return Found(results=config_results(fault, "spec.model.config"))
    card = Card(
        config=config,
        shape=shape,
        safetensors=safetensors,
        revision=revision,
        gated=bool(gated),
        source=source,
    )
    return Found(value=card, results=tuple(_not_understood(shape)))


def config_results(fault: ModelConfigError, path: str) -> tuple[Result, ...]:
    """A line for every key that is wrong, at the key."""
    return tuple(error(text, ".".join(filter(None, (path, key)))) for key, text in fault.faults)


def _with_known_size(found: Found, name: str) -> Found:
    """A config of another model than its id is planned as it is given, and told."""
    card, row = found.value, models.model_card(name)
    if card is None or row is None:
        return found
    given, known = parameters(card.shape), parameters(row.shape)
    if abs(given / known - 1) <= OFF:
        return found
    told = warning(
        f"has the sizes of a model of {given:,} parameters, and {name} has {known:,}: the plan "
        "follows the config; without it the catalogue's facts are taken",
        "spec.model.config",
    )
    return replace(found, results=(*found.results, told))


def _with_known_layout(found: Found, name: str) -> Found:
    """A config without `quantization_config`, or with one that its files contradict, gets that of
    the catalogue: the files of an id are what they are. So do the rotary tables of one without
    `rope_scaling`, and the states of one without their dtype.
    """
    card, row = found.value, models.model_card(name)
    if card is None or row is None:
        return found
    card = _with_known_states(_with_known_tables(card, row), row)
    found = replace(found, value=card)
    why = _layout_unlike(card.shape, row)
    if not why or not row.shape.quantization:
        return found
    method = row.shape.quantization.method
    told = warning(
        f"has {why}, but the checkpoint {name} is stored as {method}: its layout "
        "is taken from the catalogue",
        "spec.model.config",
    )
    shape = replace(card.shape, quantization=row.shape.quantization)
    return Found(value=replace(card, shape=shape), results=(*found.results, told))


OFF = 0.02
"""How much of a checkpoint a wrong layout is off by at least; right ones are within 0.1 %."""


def _layout_unlike(shape: ModelShape, row: models.ModelCard) -> str:
    """What is wrong with the layout of an inline config against the catalogue; "" if nothing."""
    if not shape.quantization:
        return "no quantization_config"
    total = row.safetensors.total_bytes if row.safetensors else 0
    if not total or abs(_whole_bytes(row.shape) / total - 1) > OFF:
        return ""
    means = _whole_bytes(shape)
    if abs(means / total - 1) <= OFF:
        return ""
    return f"a quantization_config that means files of {means:,} bytes, not their {total:,}"


def _whole_bytes(shape: ModelShape) -> int:
    return file_bytes(shape) + draft_bytes(shape)


def _with_known_tables(card: Card, row: models.ModelCard) -> Card:
    text = card.config.get("text_config", card.config)
    tables = row.shape.rope_caches
    if "rope_scaling" in text or "rope_parameters" in text or tables == card.shape.rope_caches:
        return card
    return replace(card, shape=replace(card.shape, rope_caches=tables))


def _with_known_states(card: Card, row: models.ModelCard) -> Card:
    known = (x.mixer.state_dtype for x in row.shape.layers if isinstance(x.mixer, StateSpace))
    dtype = next(known, None)
    layers = tuple(_with_state(layer, dtype) for layer in card.shape.layers)
    return replace(card, shape=replace(card.shape, layers=layers)) if dtype else card


def _with_state(layer: Layer, dtype: str | None) -> Layer:
    mixer = layer.mixer
    if not isinstance(mixer, StateSpace) or mixer.state_dtype:
        return layer
    return replace(layer, mixer=replace(mixer, state_dtype=dtype))


def _not_understood(shape: ModelShape) -> Iterator[Result]:
    if shape.unknown:
        yield warning(
            f"not understood and left out of the plan: {'; '.join(shape.unknown)}",
            "spec.model.config",
        )


WINDOWED = ("MistralForCausalLM", "Mistral3ForConditionalGeneration")
"""transformers gives these a window of 4096 where config.json has no `sliding_window`, not even
null (models/mistral/configuration_mistral.py, 5.19).
"""


def _with_default_window(found: Found, name: str) -> Found:
    """Planned without one, which takes no less memory; published checkpoints say null."""
    card = found.value
    if card is None or models.model_card(name) or card.shape.architecture not in WINDOWED:
        return found
    if "sliding_window" in card.config.get("text_config", card.config):
        return found
    told = warning(
        "has no sliding_window: the cache is planned for the whole context, but engines take a "
        "window of 4096 tokens unless config.json says null",
        "spec.model.config",
    )
    return replace(found, results=(*found.results, told))


def _unknown_model(name: str) -> Result:
    close = models.near_models(name)
    hint = f" (did you mean {' or '.join(close)}?)" if close else ""
    return error(
        f'"{name}" is not in the catalogue{hint}: state `spec.model.config` with the model\'s '
        "config.json, or let `krm-fn resolve` write a ModelCard and state `spec.model.cardRef`",
        "spec.model.id",
        current=name,
        proposed=close[0] if close else None,
    )

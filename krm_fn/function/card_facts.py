"""Which model a service means: inline facts win over a card, a card over the catalogue."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from krm_fn.api.v1alpha1 import LLMService, Model, Safetensors
from krm_fn.catalog import models
from krm_fn.catalog.architecture import model_shape
from krm_fn.catalog.architectures.faults import ModelConfigError
from krm_fn.catalog.shape import ModelShape
from krm_fn.errors import Result, error, warning
from krm_fn.function.found import Found, no_such
from krm_fn.function.intake import Intake, referred


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
        return _with_known_layout(_inline(model, model.config), model.id)
    if model.card_ref:
        return _referred(model, model.card_ref.name, given, package_path)
    return _catalogued(model)


def _inline(model: Model, config: Mapping[str, Any]) -> Found:
    return _card(config, model.safetensors, model.revision, "inline config", gated=model.gated)


def _referred(model: Model, name: str, given: Intake, package_path: str | None) -> Found:
    key = referred(given.cards, package_path, name)
    if key is None:
        fault = no_such("ModelCard", name, given.cards, "model.cardRef.name", given)
        return Found(results=(fault,))
    card = given.cards[key].spec
    return _card(
        card.config,
        model.safetensors or card.safetensors,
        model.revision or card.revision,
        f"ModelCard {name}",
        gated=card.gated if model.gated is None else model.gated,
    )


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


def _with_known_layout(found: Found, name: str) -> Found:
    """A config without `quantization_config` gets that of the catalogue, if its checkpoint has one:
    the files of an id are what they are. So do the rotary tables of one without `rope_scaling`.
    """
    found = _with_known_tables(found, name)
    card, row = found.value, models.model_card(name)
    if card is None or card.shape.quantization or row is None or not row.shape.quantization:
        return found
    method = row.shape.quantization.method
    told = warning(
        f"has no quantization_config, but the checkpoint {name} is stored as {method}: its layout "
        "is taken from the catalogue",
        "spec.model.config",
    )
    shape = replace(card.shape, quantization=row.shape.quantization)
    return Found(value=replace(card, shape=shape), results=(*found.results, told))


def _with_known_tables(found: Found, name: str) -> Found:
    card, row = found.value, models.model_card(name)
    if card is None or row is None:
        return found
    text = card.config.get("text_config", card.config)
    tables = row.shape.rope_caches
    if "rope_scaling" in text or "rope_parameters" in text or tables == card.shape.rope_caches:
        return found
    shape = replace(card.shape, rope_caches=tables)
    return replace(found, value=replace(card, shape=shape))


def _not_understood(shape: ModelShape) -> Iterator[Result]:
    if shape.unknown:
        yield warning(
            f"not understood and left out of the plan: {'; '.join(shape.unknown)}",
            "spec.model.config",
        )


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

"""Which model drafts: inline facts win over a card, a card over the catalogue."""

from collections.abc import Mapping
from typing import Any

from krm_fn.api.serving import DraftModel
from krm_fn.api.v1alpha1 import LLMService
from krm_fn.catalog import models
from krm_fn.catalog.architecture import model_shape
from krm_fn.catalog.architectures.faults import ModelConfigError
from krm_fn.errors import Result, error
from krm_fn.function.card_facts import config_results
from krm_fn.function.found import Found, no_such
from krm_fn.function.intake import Intake, referred

AT = "spec.serving.speculative.model"


def draft_of(service: LLMService, given: Intake, package_path: str | None) -> Found:
    """The shape of the model that drafts; nothing where none does or none is needed."""
    stated = service.spec.serving.speculative
    if stated is None or stated.model is None:
        return Found()
    config, faults = _config(stated.model, given, package_path)
    if config is None:
        return Found(results=faults)
    try:
        read = as_llama(config) if stated.method == "eagle3" else config
        return Found(value=model_shape(read))
    except ModelConfigError as fault:
        return Found(results=config_results(fault, f"{AT}.config"))


def as_llama(config: Mapping[str, Any]) -> dict[str, Any]:
    """A head of EAGLE 3: layers like Llama's, an output head over its own vocabulary
    (vllm/model_executor/models/llama_eagle3.py, 0.33).
    """
    words = config.get("draft_vocab_size") or config.get("vocab_size")
    own = {"architectures": ["LlamaForCausalLM"], "tie_word_embeddings": False}
    return {**config, **own, **({"vocab_size": words} if words else {})}


def _config(
    model: DraftModel, given: Intake, package_path: str | None
) -> tuple[Mapping[str, Any] | None, tuple[Result, ...]]:
    if model.config is not None:
        return model.config, ()
    if model.card_ref:
        key = referred(given.cards, package_path, model.card_ref.name)
        field = "serving.speculative.model.cardRef.name"
        if key is None:
            return None, (no_such("ModelCard", model.card_ref.name, given.cards, field, given),)
        return given.cards[key].spec.config, ()
    row = models.model_card(model.id)
    if row is not None:
        return row.config, ()
    return None, (
        error(
            f'"{model.id}" is not in the catalogue: state `config` with its config.json, or '
            "`cardRef` with a ModelCard of the package",
            f"{AT}.id",
            current=model.id,
        ),
    )

"""What an engine version or a model cannot do of `spec.serving.speculative`."""

from collections.abc import Iterator

from krm_fn.api.serving import Speculative
from krm_fn.api.v1alpha1 import LLMService
from krm_fn.catalog.shape import ModelShape
from krm_fn.errors import Result, error
from krm_fn.function.variant_facts import VariantFacts

AT = "spec.serving.speculative"
LOCAL = "must be a /path in the container: the weights do not come from the Hub"


def model_faults(
    service: LLMService, shape: ModelShape, draft: ModelShape | None
) -> Iterator[Result]:
    """Faults of the draft and the model with each other, on any engine."""
    stated, model = service.spec.serving.speculative, service.spec.model
    if stated is None:
        return
    if shape.task == "embed":
        yield error(f"means nothing for {shape.architecture}, which generates no tokens", AT)
    local = model.uri != "hub" or model.id.startswith("/")
    if stated.model and local and not stated.model.id.startswith("/"):
        yield error(LOCAL + ", so the pods stay off it", f"{AT}.model.id", current=stated.model.id)
    if draft is not None:
        yield from _vocabulary_faults(stated, shape, draft)
    steps = shape.mtp_layers or 1
    if stated.method == "mtp" and stated.tokens and stated.tokens > steps and stated.tokens % steps:
        yield error(
            f"must be a multiple of the {steps} draft layers of {shape.architecture}",
            f"{AT}.tokens",
            current=stated.tokens,
        )


def _vocabulary_faults(
    stated: Speculative, shape: ModelShape, draft: ModelShape
) -> Iterator[Result]:
    """A draft must speak of the same tokens; a head of EAGLE 3 of some of them."""
    same = draft.vocab_size == shape.vocab_size
    fewer = stated.method == "eagle3" and draft.vocab_size <= shape.vocab_size
    if not (same or fewer):
        yield error(
            f"has a vocabulary of {draft.vocab_size} tokens, {shape.architecture} one of "
            f"{shape.vocab_size}: its drafts would be other words",
            f"{AT}.model",
        )


def draft_faults(service: LLMService, variant: VariantFacts, shape: ModelShape) -> Iterator[Result]:
    """Methods that the version does not have for this model."""
    serving, engine = service.spec.serving, variant.engine
    stated = serving.speculative
    if stated is None or engine.draft is None:
        return
    if engine.draft(variant.version, stated.method, shape) is None:
        yield error(
            f"{engine.name} {variant.version} cannot, or not in a way that is planned, draft for "
            f"{shape.architecture} by {stated.method}",
            f"{AT}.method",
            current=stated.method,
        )
    if serving.lora and stated.method != "ngram" and not engine.drafts_with_lora:
        text = f"{engine.name} drafts by ngram only where adapters are served; drop one of them"
        yield error(text, f"{AT}.method", current=stated.method)

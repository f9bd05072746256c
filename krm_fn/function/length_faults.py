"""Lengths and batches that contradict each other, the model or the engine."""

from collections.abc import Iterable, Iterator

from krm_fn.api.v1alpha1 import LLMService
from krm_fn.errors import Result, error
from krm_fn.function.card_facts import Card
from krm_fn.function.variant_facts import VariantFacts
from krm_fn.function.workloads import lengths, longest_request, reshaped
from krm_fn.planner.limits import reads_whole


def length_faults(
    service: LLMService, variants: Iterable[VariantFacts], card: Card
) -> Iterator[Result]:
    """A context beyond the model's, or one that the stated requests exceed."""
    serving, longest = service.spec.serving, card.shape.max_position_embeddings
    stated = serving.max_model_len
    if stated and stated > longest and not reshaped(service, variants):
        yield error(
            f"must be at most {longest}, the model's own context; got {stated}; a model that is "
            "stretched states its rope_scaling in `spec.model.config`",
            "spec.serving.maxModelLen",
            current=stated,
            proposed=longest,
        )
    yield from _request_faults(service, variants, card)


def _request_faults(
    service: LLMService, variants: Iterable[VariantFacts], card: Card
) -> Iterator[Result]:
    most = longest_request(service, variants, card.shape)
    prompt, answer = lengths(service, variants, card.shape)
    answer = answer if card.shape.task == "generate" else 0
    if most and prompt + answer > most:
        is_stated = most == service.spec.serving.max_model_len
        whose = "`spec.serving.maxModelLen`" if is_stated else "the model's own context"
        parts = f"inputTokens + outputTokens = {prompt} + {answer}" if answer else f"{prompt}"
        yield error(
            f"{parts} must be at most {most}, {whose}",
            "spec.workload.inputTokens",
            current=prompt,
        )


def batch_faults(
    service: LLMService, variants: Iterable[VariantFacts], card: Card
) -> Iterator[Result]:
    """Fewer tokens in a step than the engine accepts for the batch or the longest prompt."""
    tokens = service.spec.serving.max_num_batched_tokens
    for variant in variants:
        if tokens is None or variant.engine.limits is None:
            continue
        limits = variant.engine.limits(variant.version)
        about = f"{variant.engine.name} {variant.version}"
        seqs = service.spec.serving.max_num_seqs or 0
        if limits.seqs_at_most_batched and seqs > tokens:
            yield _too_few(tokens, seqs, f"{about} refuses a batch of more requests than tokens")
        longest = service.spec.serving.max_model_len or 0
        if reads_whole(limits, card.shape) and longest > tokens:
            yield _too_few(tokens, longest, f"{about} reads a prompt of this model in one step")


def _too_few(tokens: int, least: int, because: str) -> Result:
    return error(
        f"must be at least {least}; got {tokens}: {because}",
        "spec.serving.maxNumBatchedTokens",
        current=tokens,
        proposed=least,
    )

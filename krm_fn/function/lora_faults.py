"""What an engine version or a model cannot do of `spec.serving.lora`."""

from collections import Counter
from collections.abc import Iterator

from krm_fn.api.serving import Lora
from krm_fn.api.v1alpha1 import LLMService
from krm_fn.catalog.shape import ModelShape
from krm_fn.errors import Result, error, warning
from krm_fn.function.variant_facts import VariantFacts
from krm_fn.planner.extras import LoraRules

AT = "spec.serving.lora"


def adapter_faults(service: LLMService) -> Iterator[Result]:
    """Names that clients could not tell apart, and adapters that a pod off the Hub cannot get."""
    model, lora = service.spec.model, service.spec.serving.lora
    local = model.uri != "hub" or model.id.startswith("/")
    for index, adapter in enumerate(lora.adapters if lora else ()):
        names = Counter(each.name for each in lora.adapters) if lora else Counter[str]()
        if adapter.name == (model.served_name or model.id) or names[adapter.name] > 1:
            text = "must be a name of its own: clients ask for adapters and for the model by name"
            yield error(text, f"{AT}.adapters[{index}].name", current=adapter.name)
        if local and not adapter.id.startswith("/"):
            yield error(
                "must be a /path in the container: the weights do not come from the Hub, so the "
                "pods stay off it",
                f"{AT}.adapters[{index}].id",
                current=adapter.id,
            )


def lora_faults(lora: Lora, variant: VariantFacts, shape: ModelShape) -> Iterator[Result]:
    """Models, ranks and vocabularies that the version has no adapters for."""
    engine = f"{variant.engine.name} {variant.version}"
    rules = variant.engine.lora(variant.version, shape) if variant.engine.lora else None
    if rules is None:
        yield error(f"{engine} takes no adapters for {shape.architecture}; leave it out", AT)
        return
    yield from _size_faults(engine, lora, rules, shape)
    if shape.is_moe and not rules.experts:
        yield warning(
            f"{engine} has adapters of the attention of {shape.architecture} only, none of its "
            "experts: an adapter that has them is refused at the start",
            AT,
        )


def _size_faults(engine: str, lora: Lora, rules: LoraRules, shape: ModelShape) -> Iterator[Result]:
    if rules.ranks and lora.max_rank not in rules.ranks:
        larger = [rank for rank in rules.ranks if rank >= lora.max_rank]
        yield error(
            f"must be one of {', '.join(map(str, rules.ranks))} for {engine}; got {lora.max_rank}",
            f"{AT}.maxRank",
            current=lora.max_rank,
            proposed=larger[0] if larger else rules.ranks[-1],
        )
    if rules.ends and rules.most_vocab and shape.vocab_size > rules.most_vocab:
        yield error(
            f"{engine} takes adapters up to a vocabulary of {rules.most_vocab}; that of "
            f"{shape.architecture} is {shape.vocab_size}",
            AT,
        )

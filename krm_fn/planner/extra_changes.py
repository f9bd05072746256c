"""Less beside the model, so that it fits: fewer slots of adapters, no drafts."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from krm_fn.planner.change import Change
from krm_fn.planner.extras import undrafted
from krm_fn.planner.plan import Question


def extra_changes(question: Question) -> Iterator[Change]:
    """Fewer slots of adapters, or no drafts: no request is lost, some are slower."""
    lora, draft = question.extras.lora, question.extras.draft
    if lora and lora.max_loras > 1:
        yield Change(
            paths={"serving.lora.maxLoras": 1},
            apply=_with_one_adapter,
            because=f"one adapter in a batch instead of {lora.max_loras}",
        )
    if draft:
        yield Change(
            paths={"serving.speculative": None},
            apply=lambda q: replace(_with_extras(q, draft=None), engine=undrafted(q.engine)),
            because="no drafts: their weights and caches go to requests",
        )


def _with_one_adapter(question: Question) -> Question:
    lora = question.extras.lora  # of each engine, with its own rules
    return _with_extras(question, lora=replace(lora, max_loras=1)) if lora else question


def _with_extras(question: Question, **values: Any) -> Question:
    return replace(question, extras=replace(question.extras, **values))

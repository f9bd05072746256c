"""Less beside the model, so that it fits: fewer slots of adapters, no drafts."""

from collections.abc import Iterator

from krm_fn.planner.change import Change
from krm_fn.planner.plan import Question


def extra_changes(question: Question) -> Iterator[Change]:
    """Fewer slots of adapters, or no drafts: no request is lost, some are slower."""
    lora, draft = question.extras.lora, question.extras.draft
    if lora and lora.max_loras > 1:
        yield Change(
            {"serving.lora.maxLoras": 1}, f"one adapter in a batch instead of {lora.max_loras}"
        )
    if draft:
        yield Change(
            {"serving.speculative": None}, "no drafts: their weights and caches go to requests"
        )

"""Other settings than those stated, or than the engine's own: another batch, step or fraction."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from krm_fn.planner import layouts, memory
from krm_fn.planner.change import Change
from krm_fn.planner.plan import Question, Serving
from krm_fn.planner.serving import fitted

STEP = 0.01
"""Fractions are offered in whole hundredths, as people write them."""
FREED = (
    ("max_num_seqs", "maxNumSeqs", "sequences in one batch"),
    ("max_num_batched_tokens", "maxNumBatchedTokens", "tokens in one step"),
)


def setting_changes(questions: Sequence[Question]) -> Iterator[Change]:
    """What the planner would take instead of stated limits; then fractions that leave room."""
    for name, field, what in FREED:
        stated = getattr(questions[0].stated, name)
        found = min(_freed(question, name) for question in questions)
        if stated and 0 < found < stated:
            yield Change({f"serving.{field}": found}, f"{found} {what} fit")
    for question in questions:
        yield from _fraction_changes(question, alone=len(questions) == 1)


def _freed(question: Question, name: str) -> int:
    """The setting that the planner takes when it is not stated, on the layout with the most."""
    unstated: dict[str, Any] = {name: None}
    free = replace(question, stated=replace(question.stated, **unstated))
    found = (fitted(free, layout) for layout in layouts.legal(free))
    return max((getattr(fit.serving, name) for fit in found if fit.memory.fits), default=0)


def _fraction_changes(question: Question, *, alone: bool) -> Iterator[Change]:
    """A fraction that leaves room beside it, with the margin and without; the engine's own."""
    stated, engine = question.stated.memory_fraction, question.engine.name
    own = question.engine.memory_fraction
    for fraction in dict.fromkeys((*_fractions(question), *([own] if stated and own else []))):
        because = f"leaves {1 - fraction:.0%} of the memory beside the budget of {engine}"
        if fraction != stated:
            yield Change({f"variants.{question.variant}.memoryFraction": fraction}, because)
        if alone and stated and fraction != stated:
            yield Change({"serving.memoryFraction": fraction}, because)


def _fractions(question: Question) -> Iterator[float]:
    for layout in layouts.legal(question):
        fit = fitted(question, layout)
        terms = memory.fullest(question, layout, fit.serving)
        if terms.headroom < 0:
            for spare in (terms.uncertainty, 0):
                yield _lowered(fit.serving, terms.budget, spare - terms.headroom)


def _lowered(serving: Serving, budget: int, missing: int) -> float:
    """The fraction of the same memory with so many bytes less, in whole steps."""
    fraction = serving.memory_fraction * (1 - missing / budget)
    return max(STEP, round(math.floor(fraction / STEP + 1e-9) * STEP, 2))

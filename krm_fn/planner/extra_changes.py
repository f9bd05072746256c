"""Less beside the model, so that it fits: fewer slots of adapters, no drafts, a smaller start."""

from collections.abc import Iterator
from dataclasses import replace
from math import isfinite

from krm_fn.planner import layouts, memory
from krm_fn.planner.change import Change
from krm_fn.planner.plan import Parallelism, Question
from krm_fn.planner.serving import fitted


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


def rehearsal_changes(question: Question) -> Iterator[Change]:
    """A batch whose CUDA graphs can be rehearsed, or none of them: less throughput."""
    stated = question.stated
    if not stated.max_num_seqs or stated.enforce_eager:
        return
    free = replace(question, stated=replace(stated, max_num_seqs=None))
    found = (_seats(free, layout) for layout in layouts.legal(question))
    seats = max((size for size in found if isfinite(size)), default=stated.max_num_seqs)
    if seats < stated.max_num_seqs:
        because = "CUDA graphs are captured with so many sequences before the KV cache is sized"
        yield Change({"serving.maxNumSeqs": int(seats)}, because)
        yield Change({"serving.enforceEager": True}, "no CUDA graphs: each step takes longer")


def _seats(question: Question, layout: Parallelism) -> float:
    return memory.rehearsal_seats(question, layout, fitted(question, layout).serving)

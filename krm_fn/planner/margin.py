"""What is left of the memory against how well it is known: leave the margin, or say that it lacks.

A margin below the uncertainty of the calibrated terms is a start that may fail.
"""

from collections.abc import Iterator
from dataclasses import replace

from krm_fn.errors import Result, warning
from krm_fn.planner import memory
from krm_fn.planner.limits import reads_whole
from krm_fn.planner.plan import Parallelism, Plan, Question, Serving
from krm_fn.units import gib

LEAST_BATCHED_TOKENS, LEAST_BATCH = 2048, 8
"""What the planner goes down to for the margin; less costs more speed than the memory is worth."""
PINS = (
    ("max_model_len", "maxModelLen"),
    ("memory_fraction", "memoryFraction"),
    ("max_num_seqs", "maxNumSeqs"),
    ("max_num_batched_tokens", "maxNumBatchedTokens"),
    ("tensor", "tensorParallelSize"),
)


def with_margin(
    question: Question, layout: Parallelism, serving: Serving, least_context: int, step: int
) -> Serving:
    """The settings made smaller where that leaves the margin: context, then prefill, then batch.

    As they are where nothing that is not stated can leave it.
    """
    if not _tight(question, layout, serving):
        return serving
    found = serving
    if not question.stated.max_model_len and serving.max_model_len > least_context:
        found = _shorter(question, layout, serving, least_context, step)
    for smaller in _smaller(question, found):
        if not _tight(question, layout, smaller):
            return smaller
    return serving


def _tight(question: Question, layout: Parallelism, serving: Serving) -> bool:
    return memory.memory_budget(question, layout, serving).tight


def _shorter(
    question: Question, layout: Parallelism, serving: Serving, least: int, step: int
) -> Serving:
    """The longest context in whole steps that leaves the margin, else the least."""
    low, high = least // step, serving.max_model_len // step
    while low < high:
        middle = (low + high + 1) // 2
        if _tight(question, layout, replace(serving, max_model_len=middle * step)):
            high = middle - 1
        else:
            low = middle
    return replace(serving, max_model_len=max(least, low * step))


def _smaller(question: Question, serving: Serving) -> Iterator[Serving]:
    """The settings, then with half the prefill tokens and half the batch again and again."""
    yield serving
    stated, whole = question.stated, reads_whole(question.engine, question.shape)
    least = max(LEAST_BATCHED_TOKENS, 2 * serving.max_model_len if whole else 0)
    while not stated.max_num_batched_tokens and serving.max_num_batched_tokens > least:
        serving = replace(serving, max_num_batched_tokens=serving.max_num_batched_tokens // 2)
        yield serving
    while not stated.max_num_seqs and serving.max_num_seqs > LEAST_BATCH:
        half = max(LEAST_BATCH, serving.max_num_seqs // 16 * 8)
        serving = replace(serving, max_num_seqs=half)
        yield serving


def margin_results(question: Question, plan: Plan) -> tuple[Result, ...]:
    """A plan that works on paper but whose margin is smaller than its uncertainty."""
    found = plan.memory
    if not plan.feasible or not found.tight:
        return ()
    stated = (name for key, name in PINS if getattr(question.stated, key))
    pinned = next(stated, None)
    way = f"a smaller `serving.{pinned}`" if pinned else "a GPU with more memory"
    more = "" if plan.parallelism.gpus >= question.pool.most_gpus else ", more GPUs per replica"
    return (
        warning(
            f"{plan.engine} may not start: {gib(found.margin_bytes)} of GPU memory is left, less "
            f"than the {gib(found.uncertainty_bytes)} by which the plan can be off; {way}{more} "
            "or a KV cache of 8 bits leaves more",
            f"spec.serving.{pinned}" if pinned else "spec.gpuPool",
        ),
    )

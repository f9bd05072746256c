"""The settings an engine is started with: context, batch limits, fraction, dtypes.

Stated values are taken as they are; the rest follows from the KV cache of the layout.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from krm_fn.planner import memory
from krm_fn.planner.dtypes import automatic_dtype
from krm_fn.planner.extras import Draft
from krm_fn.planner.limits import reads_whole
from krm_fn.planner.margin import with_margin
from krm_fn.planner.memory_fraction import automatic_fraction
from krm_fn.planner.plan import MemoryBudget, Parallelism, Question, Reason, Serving
from krm_fn.units import GIB, gib

CONTEXT_FACTOR = 4
"""An unstated context is never below four mean requests (design decision 4)."""
CONTEXT_STEP = 1024
USUAL_BATCH, MOST_BATCH = 256, 1024
"""Sequences in one batch: 256 unless more are asked for, because the sampler's warm-up needs memory
for each (vllm-0042, vllm-0043); 1024 is the most that either engine chooses by itself."""
LONGEST_WHOLE_PROMPT = 8192
"""The context of today's encoders; activations grow with it where prompts are read whole."""
LARGE_GPU_BYTES = 70 * GIB

UNCOUNTED = (
    "what drafts gain is not counted, because it depends on the text: latencies are those without "
    "drafts, memory is that with them"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Fitted:
    """Settings and the memory they leave, with the reasons of what was decided here."""

    serving: Serving
    memory: MemoryBudget
    reasons: tuple[Reason, ...]


def fitted(question: Question, layout: Parallelism) -> Fitted:
    """The settings for one layout. Infeasible layouts get settings too; their memory says no."""
    serving = first_serving(question, layout)
    serving = replace(serving, max_model_len=_context(question, layout, serving))
    full = replace(serving, max_num_seqs=_batch(question, layout, serving))
    serving = with_margin(question, layout, full, least_context(question), CONTEXT_STEP)
    budget = memory.memory_budget(question, layout, serving)
    reasons = _reasons(question, serving, budget)
    return Fitted(serving=serving, memory=budget, reasons=_cut(full, reasons, budget))


def least_context(question: Question) -> int:
    """Tokens that an unstated context must hold: 4 x (input + output), at most the model's."""
    need = CONTEXT_FACTOR * (question.workload.input_tokens + question.workload.output_tokens)
    return min(need, question.shape.max_position_embeddings)


def first_serving(question: Question, layout: Parallelism) -> Serving:
    """Everything but context and batch, which need the memory left by the rest."""
    stated = question.stated
    least = least_context(question)
    seats = stated.max_num_seqs or _most_batch(question)
    base = Serving(
        max_model_len=stated.max_model_len or least,
        max_num_seqs=seats,
        max_num_batched_tokens=stated.max_num_batched_tokens or _batched_tokens(question),
        kv_cache_dtype=stated.kv_cache_dtype or "auto",
        memory_fraction=stated.memory_fraction or 0.0,
        dtype=stated.dtype or automatic_dtype(question.engine, question.shape, question.pool.gpu),
        quantization=stated.quantization,
        enforce_eager=stated.enforce_eager,
    )
    return (
        base
        if stated.memory_fraction
        else replace(base, memory_fraction=_fraction(question, layout, base))
    )


def _fraction(question: Question, layout: Parallelism, serving: Serving) -> float:
    """The engine version's own; pods that share a GPU in time take equal parts of it."""
    fraction = question.engine.memory_fraction or automatic_fraction(question, layout, serving)
    sharers = question.pool.sharers
    return fraction if sharers == 1 else int(fraction / sharers * 1000) / 1000


def _batched_tokens(question: Question) -> int:
    """Tokens a step may hold: 8192 on GPUs of 70 GiB and more, else 2048 (vLLM's own choice).

    More where the engine takes no batch of more requests, or reads whole prompts.
    """
    usual = 8192 if question.pool.gpu_memory_bytes >= LARGE_GPU_BYTES else 2048
    seats = question.stated.max_num_seqs if question.engine.seqs_at_most_batched else None
    return max(usual, seats or 0, _whole_prompt(question))


def _whole_prompt(question: Question) -> int:
    """The context where a prompt must be read in one step: all of it up to 8192 tokens; else 0."""
    if not reads_whole(question.engine, question.shape):
        return 0
    longest = min(question.shape.max_position_embeddings, LONGEST_WHOLE_PROMPT)
    return question.stated.max_model_len or max(least_context(question), longest)


def _context(question: Question, layout: Parallelism, serving: Serving) -> int:
    """Stated, or the largest in steps of 1024 of which two fit; never below four requests."""
    if question.stated.max_model_len:
        return question.stated.max_model_len
    most = question.shape.max_position_embeddings
    if reads_whole(question.engine, question.shape):
        most = min(most, serving.max_num_batched_tokens)
    least = least_context(question)
    held = memory.max_model_len(question, layout, serving, concurrency=2.0)
    largest = min(most, held)
    stepped = largest if largest == most else largest // CONTEXT_STEP * CONTEXT_STEP
    return max(least, stepped)


def _most_batch(question: Question) -> int:
    """The usual batch, or the stated users in steps of 8 where they are more."""
    users = -(-(question.workload.concurrency or 0) // 8) * 8
    return min(MOST_BATCH, max(USUAL_BATCH, users))


def _batch(question: Question, layout: Parallelism, serving: Serving) -> int:
    """Stated, or as many mean requests as the KV cache holds and graphs are rehearsed with, in
    steps of 8.
    """
    if question.stated.max_num_seqs:
        return question.stated.max_num_seqs
    mean = question.workload.input_tokens + question.workload.output_tokens
    held = int(memory.most_seats(question, layout, serving, mean))
    stepped = held // 8 * 8 if held >= 8 else held
    return min(_most_batch(question), max(1, stepped))


def _cut(full: Serving, reasons: tuple[Reason, ...], budget: MemoryBudget) -> tuple[Reason, ...]:
    """The reasons, with that of the margin where it made a setting smaller than in `full`."""
    before = {
        "serving.maxModelLen": full.max_model_len,
        "serving.maxNumSeqs": full.max_num_seqs,
        "serving.maxNumBatchedTokens": full.max_num_batched_tokens,
    }
    why = f"to leave the {gib(budget.uncertainty_bytes)} by which the memory can be off"
    return tuple(
        replace(r, because=f"{before[r.field]} would fit; smaller {why}")
        if before.get(r.field, r.value) != r.value
        else r
        for r in reasons
    )


def _reasons(question: Question, serving: Serving, budget: MemoryBudget) -> tuple[Reason, ...]:
    """Why each setting has its value: stated, else the rule that gave it."""
    stated, engine = question.stated, question.engine
    decided = (
        ("maxModelLen", stated.max_model_len, serving.max_model_len),
        ("maxNumSeqs", stated.max_num_seqs, serving.max_num_seqs),
        ("maxNumBatchedTokens", stated.max_num_batched_tokens, serving.max_num_batched_tokens),
        ("memoryFraction", stated.memory_fraction, serving.memory_fraction),
    )
    rules = (
        _because_of_length(question, serving, budget),
        _because_of_batch(question),
        _because_of_batched(question, serving),
        f"{engine.name} {engine.version}'s own, stated so that it stays",
    )
    found = tuple(
        Reason(field=f"serving.{field}", value=value, because=rule if given is None else "stated")
        for (field, given, value), rule in zip(decided, rules, strict=True)
    )
    draft = question.extras.draft
    return (*found, *_typed(question, serving), *([_drafted(draft)] if draft else []))


def _typed(question: Question, serving: Serving) -> Iterator[Reason]:
    """Why it computes in another type than the model's."""
    if not question.stated.dtype and serving.dtype != "auto":
        engine, shape, gpu = question.engine, question.shape, question.pool.gpu
        refused = f" and {engine.name} refuses float16 for {shape.model_type}"
        because = f"{gpu.name} has no bfloat16{refused if serving.dtype == 'float32' else ''}"
        yield Reason(field="serving.dtype", value=serving.dtype, because=because)


def _because_of_length(question: Question, serving: Serving, budget: MemoryBudget) -> str:
    if serving.max_model_len == question.shape.max_position_embeddings:
        return "the model's own limit, of which two requests fit"
    return f"the KV cache holds {budget.max_concurrency:.1f} requests of this length"


def _because_of_batch(question: Question) -> str:
    mean = question.workload.input_tokens + question.workload.output_tokens
    return f"requests of {mean} tokens that fit at once, at most {_most_batch(question)}"


def _because_of_batched(question: Question, serving: Serving) -> str:
    if serving.max_num_batched_tokens == _whole_prompt(question):
        return f"{question.engine.name} reads a prompt of this model in one step"
    if serving.max_num_batched_tokens == question.stated.max_num_seqs:
        return f"{question.engine.name} takes no more requests than tokens of one step"
    return "prefill tokens of one step for a GPU of this size"


def _drafted(draft: Draft) -> Reason:
    return Reason(
        field="serving.speculative",
        value=f"{draft.tokens} tokens by {draft.method}",
        because=UNCOUNTED,
    )

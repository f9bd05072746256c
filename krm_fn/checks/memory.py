"""The plan's memory adds up on one GPU, and its context is positive."""

from collections.abc import Iterator

from krm_fn.checks.base import Check, Context
from krm_fn.engines import ENGINES
from krm_fn.errors import Result, error
from krm_fn.planner.plan import Plan
from krm_fn.units import gib


def _rule(context: Context) -> Iterator[Result]:
    plan = context.plan
    if plan is None:
        return
    yield from _adds_up(plan)
    for name in ("max_model_len", "max_num_seqs", "max_num_batched_tokens"):
        value = getattr(plan.serving, name)
        if value <= 0:
            yield error(f"must be positive; is {value}", f"plan.serving.{name}", current=value)
    fraction = plan.serving.memory_fraction
    if not 0 < fraction < 1:
        message = f"must be between 0 and 1; is {fraction}"
        yield error(message, "plan.serving.memory_fraction", current=fraction)


def _adds_up(plan: Plan) -> Iterator[Result]:
    memory = plan.memory
    kept = memory.weights_bytes + memory.kv_cache_bytes
    passing = memory.activation_bytes + memory.non_torch_bytes
    sums = (
        (kept + passing if _holds_all(plan) else kept, memory.budget_bytes, "the budget"),
        (kept + passing, memory.total_bytes, "the GPU"),
        (memory.budget_bytes, memory.total_bytes, "the GPU"),
    )
    for used, limit, name in sums:
        if used > limit:
            message = f"must be in {name}, {gib(limit)} on each GPU; takes {gib(used)}"
            yield error(message, "plan.memory", current=used, proposed=limit)
    if not plan.feasible or not memory.fits:
        message = f"must hold one request of {plan.serving.max_model_len} tokens"
        yield error(message, "plan.memory.max_concurrency", current=memory.max_concurrency)


def _holds_all(plan: Plan) -> bool:
    """The budget of vLLM has the activations in it; that of SGLang weights and KV cache only."""
    engine = ENGINES.get(plan.engine)
    limits = engine.limits(plan.engine_version) if engine and engine.limits else None
    return limits is not None and limits.memory_basis == "total"


CHECK = Check(name="memory", defects=(6, 8), rule=_rule)

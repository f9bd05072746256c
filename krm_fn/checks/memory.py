"""The plan's memory adds up on one GPU, and its context is positive."""

from collections.abc import Iterator

from krm_fn.checks.base import Check, Context
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
            yield error(f"must be positive; is {value}", f"serving.{name}", current=value)
    fraction = plan.serving.memory_fraction
    if not 0 < fraction < 1:
        message = f"must be between 0 and 1; is {fraction}"
        yield error(message, "serving.memory_fraction", current=fraction)


def _adds_up(plan: Plan) -> Iterator[Result]:
    memory = plan.memory
    parts = memory.weights_bytes + memory.activation_bytes + memory.non_torch_bytes
    used = parts + memory.kv_cache_bytes
    if used > memory.budget_bytes:
        message = f"must hold weights, activations and KV cache, {gib(used)}, on each GPU"
        yield error(message, "memory.budget_bytes", current=memory.budget_bytes)
    if memory.budget_bytes > memory.total_bytes:
        message = f"must be at most the GPU's {gib(memory.total_bytes)}"
        yield error(message, "memory.budget_bytes", current=memory.budget_bytes)
    if not plan.feasible or not memory.fits:
        message = f"must hold one request of {plan.serving.max_model_len} tokens"
        yield error(message, "memory.max_concurrency", current=memory.max_concurrency)


CHECK = Check(name="memory", defects=(6, 8), rule=_rule)

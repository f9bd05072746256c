"""The argv says what the plan says: parallelism, context, batch limits, share of GPU memory."""

from collections.abc import Iterator

from krm_fn.checks.base import Check, Context
from krm_fn.checks.pods import Container
from krm_fn.errors import Result
from krm_fn.planner.plan import Plan

_FLAGS = {  # field of the plan -> the engines' names for it
    "tensor": ("--tensor-parallel-size", "--tp-size"),
    "pipeline": ("--pipeline-parallel-size", "--pp-size"),
    "max_model_len": ("--max-model-len", "--context-length"),
    "max_num_seqs": ("--max-num-seqs", "--max-running-requests"),
    "memory_fraction": ("--gpu-memory-utilization", "--mem-fraction-static"),
}
_ALWAYS = ("max_model_len", "max_num_seqs", "memory_fraction")


def _rule(context: Context) -> Iterator[Result]:
    for container in context.servers:
        if context.plan and container.gpus:
            yield from _flags(container, context.plan)


def _flags(container: Container, plan: Plan) -> Iterator[Result]:
    for field, names in _FLAGS.items():
        wanted = getattr(plan.serving, field, None) or getattr(plan.parallelism, field, None)
        flag = next((name for name in names if name in container.flags), None)
        if flag is None and (field in _ALWAYS or wanted not in (1, None)):
            yield container.fault(f"must state {' or '.join(names)}, planned {wanted}", "args")
        elif flag and not _equal(container.flags[flag], wanted):
            stated = container.flags[flag]
            message = f"must have {flag}={wanted} as planned; has {stated}"
            yield container.fault(message, "args", current=stated, proposed=wanted)


def _equal(stated: str, wanted: object) -> bool:
    try:
        return isinstance(wanted, (int, float)) and abs(float(stated) - wanted) < 1e-3
    except ValueError:
        return "$(" in stated


CHECK = Check(name="planned", defects=(16,), rule=_rule)

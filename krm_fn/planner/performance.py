"""Speed of one replica under a number of users, in closed form.

A closed loop of users, Little's law, and a queue beyond what fits. The times themselves stand in
`speed.py`.
"""

from krm_fn.planner.plan import (
    Bound,
    Estimate,
    MemoryBudget,
    Parallelism,
    Question,
    Serving,
)
from krm_fn.planner.speed import (
    Speed,
    itl_floor_seconds,
    itl_seconds,
    requests_per_second,
    speed,
    step_bounds,
    ttft_seconds,
)

_TTFT_INTERVAL, _ITL_INTERVAL = (0.6, 1.6), (0.75, 1.25)
_WIDE_TTFT_INTERVAL, _WIDE_ITL_INTERVAL = (0.5, 2.0), (0.6, 1.6)


def estimate(
    question: Question,
    parallelism: Parallelism,
    serving: Serving,
    memory: MemoryBudget,
    concurrency: int | None = None,
) -> Estimate:
    """Speed of one replica under `concurrency` users in a closed loop.

    None = what the workload asks of one replica: its concurrency, or what its rate needs, else as
    many as fit with complete answers.
    """
    s = speed(question, parallelism, serving, memory)
    users = concurrency or planned_concurrency(s, question.stated.replicas or 1)
    return estimate_at(s, users)


def estimate_at(s: Speed, concurrency: int) -> Estimate:
    """Users beyond the capacity wait: TTFT grows by (C - capacity) / X, throughput stays."""
    running = min(concurrency, s.capacity)
    rate = requests_per_second(s, running)
    queue = (concurrency - running) / rate
    outputs = 0 if s.embeds else s.workload.output_tokens
    return Estimate(
        ttft_seconds=ttft_seconds(s, running) + queue,
        itl_seconds=itl_seconds(s, running),
        output_tokens_per_second_per_gpu=rate * outputs / s.layout.gpus,
        requests_per_second_per_replica=rate,
        bound=s.capacity_bound if concurrency > s.capacity else _bound(s, running),
        concurrency=concurrency,
        ttft_interval=_WIDE_TTFT_INTERVAL if s.wide else _TTFT_INTERVAL,
        itl_interval=_WIDE_ITL_INTERVAL if s.wide else _ITL_INTERVAL,
        provenance=s.provenance,
        prefill_seconds_per_token=s.prompt_seconds / s.new_tokens,
        itl_floor_seconds=itl_floor_seconds(s, running),
    )


def planned_concurrency(s: Speed, replicas: int) -> int:
    """Users of one replica: stated, or the least number that gives the stated rate."""
    load = s.workload
    if load.concurrency:
        return max(1, -(-load.concurrency // replicas))
    if not load.requests_per_second:
        return s.safe
    return least_concurrency(s, load.requests_per_second / replicas)


def least_concurrency(s: Speed, rate: float) -> int:
    """Least concurrency at which a replica serves `rate` requests per second.

    One more than the capacity when none does: the queue grows without end.
    """
    low, high = 1, s.capacity + 1
    while low < high:
        middle = (low + high) // 2
        if requests_per_second(s, middle) < rate:
            low = middle + 1
        else:
            high = middle
    return low


def _bound(s: Speed, concurrency: float) -> Bound:
    """The larger of bytes and operations of one output token, its share of the prefill included."""
    batch = s.per_copy(concurrency)
    read, compute = step_bounds(s, batch)
    compute += batch * s.prefill_compute / max(1, s.workload.output_tokens)
    return "memory" if read >= compute and not s.embeds else "compute"

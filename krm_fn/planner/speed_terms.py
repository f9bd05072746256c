"""The speed of a plan term by term, with formula, numbers, range and source, for `explain`.

The formulas are those of `speed.py` and `roofline.py`; the figures of a line come to its amount.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from krm_fn.planner.memory_term import count
from krm_fn.planner.plan import Estimate, Question
from krm_fn.planner.roofline import cache_read_bytes, weights_read_bytes
from krm_fn.planner.speed import Speed, decode_seconds, exchange_seconds, step_bounds
from krm_fn.units import milliseconds

BOUND = "planner/roofline.py: bytes / bandwidth, operations / peak"
FITTED = "planner/speed.py, fitted"


@dataclass(frozen=True, kw_only=True, slots=True)
class SpeedTerm:
    """One figure: `part.of` below the figure it belongs to; seconds, or a rate with its `unit`."""

    field: str
    amount: float
    formula: str
    source: str
    interval: tuple[float, float] = (1.0, 1.0)
    unit: str = ""

    @property
    def text(self) -> str:
        return self._said(self.amount)

    @property
    def range(self) -> str:
        """`126 ms to 337 ms`, or nothing for what is exact."""
        low, high = (self._said(self.amount * factor) for factor in self.interval)
        return f"{low} to {high}" if self.interval != (1.0, 1.0) else ""

    def _said(self, amount: float) -> str:
        return f"{amount:.3g} {self.unit}" if self.unit else milliseconds(amount)


def speed_terms(question: Question, s: Speed, estimate: Estimate) -> Iterator[SpeedTerm]:
    """TTFT, ITL and throughput at the planned number of users, each after its parts."""
    running = min(estimate.concurrency, s.capacity)
    yield from _peak(question, s)
    yield from _ttft(s, estimate, running)
    if not s.embeds:
        yield from _itl(s, estimate, running)
    yield from _throughput(s, estimate, running)


def _peak(question: Question, s: Speed) -> Iterator[SpeedTerm]:
    """P: the operations of one prompt at the GPUs' peak."""
    w, new, rate = s.work.weights, s.new_tokens, s.rates
    load = s.workload
    attention = s.work.prefill_operations(load.input_tokens, load.input_tokens - new)
    gpus = s.layout.tensor * s.layout.pipeline
    matrices = [
        f"2 x {count(amount)} parameters x {count(new)} tokens / {_peta(peak)}"
        for amount, peak in ((w.packed_parameters, rate.packed), (w.plain_parameters, rate.plain))
        if amount
    ]
    total = f"{' + '.join(matrices)} + {attention:.4g} of attention / {_peta(rate.plain)}"
    yield SpeedTerm(
        field="prompt at peak",
        amount=s.prefill_compute,
        formula=f"({total}){_shared(gpus)}" if gpus > 1 else total,
        source=f"{BOUND}; {question.pool.gpu.source}",
    )


def _ttft(s: Speed, estimate: Estimate, running: float) -> Iterator[SpeedTerm]:
    yield _prompt(s)
    yield _overhead(s)
    yield _others_before(s, s.per_copy(running))
    queue = estimate.concurrency - running
    told = f" + {queue:g} users who wait for a place" if queue else ""
    yield SpeedTerm(
        field="ttft",
        amount=estimate.ttft_seconds,
        formula=f"max({milliseconds(s.ttft_floor)} that no engine beats, prompt + overhead + "
        f"others{told}), at {estimate.concurrency} requests at once",
        source=estimate.provenance,
        interval=estimate.ttft_interval,
    )


def _prompt(s: Speed) -> SpeedTerm:
    c, w = s.constants, s.work
    factor = c.prefill_moe if w.moe_layers else c.prefill
    read = weights_read_bytes(w, s.layout, s.new_tokens) / s.layout.pipeline
    return SpeedTerm(
        field="ttft.prompt",
        amount=s.prompt_seconds,
        formula=f"max({factor:g} x {milliseconds(s.prefill_compute)}, {c.weights:g} x "
        f"{count(int(read))} B of weights / {_bandwidth(s)})",
        source=FITTED,
    )


def _overhead(s: Speed) -> SpeedTerm:
    c, w = s.constants, s.work
    moe = f" + {w.moe_layers} of experts x {_micro(c.prefill_moe_layer)}" if w.moe_layers else ""
    return SpeedTerm(
        field="ttft.overhead",
        amount=s.overhead_seconds,
        formula=f"{w.layers} layers x {_micro(c.prefill_layer)}{moe}, whatever the length",
        source=FITTED,
    )


def _others_before(s: Speed, batch: float) -> SpeedTerm:
    c = s.constants
    peak, layers = milliseconds(s.prefill_compute), s.work.layers
    each = f"({c.waiting:g} x {peak} + {layers} x {_micro(c.waiting_layer)})"
    return SpeedTerm(
        field="ttft.others",
        amount=(batch - 1) * (s.prompt_seconds if s.embeds else s.waiting_seconds),
        formula=f"{count(batch - 1)} others before it x {'their prompts' if s.embeds else each}",
        source=FITTED,
    )


def _itl(s: Speed, estimate: Estimate, running: float) -> Iterator[SpeedTerm]:
    batch = s.per_copy(running)
    micro = max(1.0, batch / s.layout.pipeline)
    yield _weights(s, micro)
    yield _cache(s, micro)
    yield _launches(s, micro)
    if exchange_seconds(s, micro):
        yield _exchange(s, micro)
    yield _others_between(s, batch)
    read, compute = step_bounds(s, micro)
    yield SpeedTerm(
        field="itl.floor",
        amount=estimate.itl_floor_seconds,
        formula=f"max({milliseconds(read)} of reading, {milliseconds(compute)} of computing): no "
        "engine does better on this GPU",
        source=BOUND,
    )
    yield SpeedTerm(
        field="itl",
        amount=estimate.itl_seconds,
        formula=f"max(floor, {milliseconds(decode_seconds(s, batch))} of a step + others)",
        source=estimate.provenance,
        interval=estimate.itl_interval,
    )


def _weights(s: Speed, batch: float) -> SpeedTerm:
    read, w = weights_read_bytes(s.work, s.layout, batch), s.work
    part = f", {w.coverage(batch):.0%} of the experts" if w.experts else ""
    return SpeedTerm(
        field="itl.weights",
        amount=s.constants.weights * read / s.rates.memory,
        formula=f"{s.constants.weights:g} x {count(int(read))} B a GPU reads{part} / "
        f"{_bandwidth(s)}",
        source=f"{FITTED} on the GPU's bandwidth",
    )


def _cache(s: Speed, batch: float) -> SpeedTerm:
    read, load = cache_read_bytes(s.layout, batch, s.sequence_bytes), s.workload
    return SpeedTerm(
        field="itl.cache",
        amount=s.constants.cache * read / s.rates.memory,
        formula=f"{s.constants.cache:g} x {count(int(read))} B of {count(batch)} sequences of "
        f"{load.input_tokens} + {load.output_tokens} / 2 tokens / {_bandwidth(s)}",
        source=f"{FITTED} on the GPU's bandwidth",
    )


def _launches(s: Speed, batch: float) -> SpeedTerm:
    c, w = s.constants, s.work
    kinds = (
        (w.layers, c.layer, "layers"),
        (w.moe_layers, c.moe_layer, "of experts"),
        (w.sparse_layers, c.sparse_layer, "of sparse attention"),
    )
    layers = " + ".join(f"{n} {what} x {_micro(each)}" for n, each, what in kinds if n)
    return SpeedTerm(
        field="itl.launches",
        amount=sum(n * each for n, each, _ in kinds) + c.sequence * batch + c.step,
        formula=f"{layers} + {count(batch)} sequences x {_micro(c.sequence)} + {_micro(c.step)}",
        source=FITTED,
    )


def _exchange(s: Speed, batch: float) -> SpeedTerm:
    c, w = s.constants, s.work
    latency = c.all_reduce + (0.0 if s.rates.nvlink else c.all_reduce_pcie)
    return SpeedTerm(
        field="itl.exchange",
        amount=exchange_seconds(s, batch),
        formula=f"2 x {w.layers} layers x ({_micro(latency)} + {c.exchange:g} x 2 x "
        f"{count(batch)} x {w.hidden_size} x 2 B / {s.rates.link / 1e9:g} GB/s)",
        source=f"{FITTED} on the GPU's link",
    )


def _others_between(s: Speed, batch: float) -> SpeedTerm:
    c, outputs = s.constants, max(1, s.workload.output_tokens)
    return SpeedTerm(
        field="itl.others",
        amount=c.interference * (batch - 1) * s.prefill_compute / outputs,
        formula=f"{c.interference:g} x {count(batch - 1)} others' prompts of "
        f"{milliseconds(s.prefill_compute)} over {outputs} tokens",
        source=FITTED,
    )


def _throughput(s: Speed, estimate: Estimate, running: float) -> Iterator[SpeedTerm]:
    rate, outputs = estimate.requests_per_second_per_replica, s.workload.output_tokens
    ttft = estimate.ttft_seconds - (estimate.concurrency - running) / rate
    rest = 0.0 if s.embeds else estimate.itl_seconds * max(0, outputs - 1)
    interval = _rate_interval(estimate, ttft, rest)
    later = "" if s.embeds else f" + {milliseconds(estimate.itl_seconds)} x {max(0, outputs - 1)}"
    yield SpeedTerm(
        field="requests per second",
        amount=rate,
        formula=f"{running:g} requests at once / ({milliseconds(ttft)}{later}) per replica "
        f"(Little's law), bound by {estimate.bound}",
        source="planner/speed.py; range from those of ttft and itl",
        interval=interval,
        unit="requests/s",
    )
    if not s.embeds:
        yield SpeedTerm(
            field="tokens per second per GPU",
            amount=estimate.output_tokens_per_second_per_gpu,
            formula=f"{rate:.3g} requests/s x {outputs} tokens{_shared(s.layout.gpus)}",
            source="planner/speed.py; range as above",
            interval=interval,
            unit="tokens/s",
        )


def _rate_interval(estimate: Estimate, ttft: float, rest: float) -> tuple[float, float]:
    """Slowest and fastest request of the ranges, as factors on the rate."""
    whole = ttft + rest
    pairs = zip(estimate.ttft_interval, estimate.itl_interval, strict=True)
    fast, slow = (ttft * first + rest * later for first, later in pairs)
    return whole / slow, whole / fast


def _shared(gpus: int) -> str:
    return f" / {gpus} GPUs" if gpus > 1 else ""


def _bandwidth(s: Speed) -> str:
    return f"{s.rates.memory / 1e9:g} GB/s"


def _peta(rate: float) -> str:
    return f"{rate / 1e12:g} Top/s"


def _micro(seconds: float) -> str:
    return f"{seconds * 1e6:g} us"

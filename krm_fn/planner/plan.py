"""The values of the planner: the question it is asked and the plan that answers it.

Frozen. Bytes are per GPU unless a name says otherwise, times are seconds, lengths are tokens.
"""

from dataclasses import dataclass, field
from typing import Any, Literal

from krm_fn.catalog.rows import Gpu
from krm_fn.catalog.shape import ModelShape
from krm_fn.errors import Result
from krm_fn.planner.extras import NO_EXTRAS, Extras
from krm_fn.planner.limits import EngineLimits

Interconnect = Literal["nvlink", "pairs", "pcie"]
Bound = Literal["memory", "compute", "kv", "queue"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Parallelism:
    """GPUs of one replica: `tensor` x `pipeline`; `data` = whole copies of the engine in a replica.

    `expert` = GPUs that the routed experts are spread over (1 = sharded like everything else),
    `attention_data` = data-parallel attention inside the tensor-parallel group (SGLang).
    """

    tensor: int = 1
    pipeline: int = 1
    data: int = 1
    expert: int = 1
    attention_data: int = 1

    @property
    def gpus(self) -> int:
        return self.tensor * self.pipeline * self.data

    @property
    def attention_tensor(self) -> int:
        """GPUs that one sequence's attention is split over."""
        return self.tensor // self.attention_data

    def __str__(self) -> str:
        parts = (
            ("TP", self.tensor),
            ("PP", self.pipeline),
            ("DP", self.data),
            ("EP", self.expert),
            ("attention DP", self.attention_data),
        )
        shown = [f"{name} {size}" for name, size in parts if size > 1]
        return " x ".join(shown) or "one GPU"


@dataclass(frozen=True, kw_only=True, slots=True)
class Workload:
    """What clients send. At most one of `requests_per_second` and `concurrency` is stated."""

    input_tokens: int = 1024
    output_tokens: int = 256
    requests_per_second: float | None = None
    concurrency: int | None = None
    prefix_hit_rate: float = 0.0
    ttft_seconds: float | None = None
    itl_seconds: float | None = None
    percentile: Literal["mean", "p50", "p90", "p95", "p99"] = "mean"
    stated: bool = True


@dataclass(frozen=True, kw_only=True, slots=True)
class PoolShape:
    """The GPUs that a service may use. `share` = GPUs of the pool for this service.

    `sliced` = a "GPU" is a slice (MIG) or a time share of one; slices cannot be joined. `sharers` =
    pods on one GPU (time slicing): each sees all of its memory and may use its part.
    `share_stated` = a larger pool alone changes nothing for the service.
    """

    gpu: Gpu
    gpu_memory_bytes: int
    gpus_per_node: int
    nodes: int
    share: int
    interconnect: Interconnect
    sliced: bool = False
    sharers: int = 1
    share_stated: bool = False

    @property
    def most_gpus(self) -> int:
        """GPUs that one replica can have: those of a node, within the share; a slice is alone."""
        return 1 if self.sliced else min(self.gpus_per_node, self.share)

    def replicas(self, gpus: int) -> int:
        """How many pods of so many GPUs fit at once: each on one node, all within the share."""
        return min(self.share // gpus, self.nodes * (self.gpus_per_node // gpus))


@dataclass(frozen=True, kw_only=True, slots=True)
class Stated:
    """Values that the user fixed; None = the planner decides."""

    dtype: str | None = None
    quantization: str | None = None
    max_model_len: int | None = None
    tensor: int | None = None
    pipeline: int | None = None
    data: int | None = None
    attention_data: int | None = None
    expert: int | None = None
    max_num_seqs: int | None = None
    max_num_batched_tokens: int | None = None
    kv_cache_dtype: str | None = None
    memory_fraction: float | None = None
    enforce_eager: bool = False
    replicas: int | None = None
    min_replicas: int | None = None
    max_replicas: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Question:
    """One service on one engine version: everything the planner knows.

    `unloaded_bytes` = of the checkpoint's files, which no GPU holds and `checkpoint_bytes` has not.
    """

    service: str
    variant: str
    model_id: str
    shape: ModelShape
    pool: PoolShape
    workload: Workload
    stated: Stated
    engine: EngineLimits
    checkpoint_bytes: int | None = None
    checkpoint_bytes_by_dtype: tuple[tuple[str, int], ...] = ()
    extras: Extras = NO_EXTRAS
    unloaded_bytes: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Serving:
    """Settings that the engine is started with; decided, never left to an engine's default."""

    max_model_len: int
    max_num_seqs: int
    max_num_batched_tokens: int
    kv_cache_dtype: str = "auto"
    memory_fraction: float
    dtype: str = "auto"
    quantization: str | None = None
    enforce_eager: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class MemoryBudget:
    """Where one GPU's memory goes, of the rank with the smallest KV pool.

    `kv_cache_bytes` is the available KV memory as the engine prints it and may be negative when the
    weights alone exceed the budget; `kv_cache_tokens` and `max_concurrency` mean what the engine
    version prints. `uncertainty_bytes` = half-width of the range that calibrated terms leave.
    `margin_bytes` = the least of what is left: on the GPU with everything outside the budget, and
    in the KV cache beyond one request of the full context. Negative = the engine does not start.
    `lora_bytes`, `draft_bytes` = parts of the weights: slots of adapters, what drafts.
    """

    total_bytes: int
    budget_bytes: int
    weights_bytes: int
    activation_bytes: int
    non_torch_bytes: int
    cuda_graph_bytes: int
    kv_cache_bytes: int
    kv_cache_bytes_per_token: int
    kv_cache_blocks: int
    block_size: int
    kv_cache_tokens: int
    max_concurrency: float
    uncertainty_bytes: int = 0
    margin_bytes: int = 0
    lora_bytes: int = 0
    draft_bytes: int = 0

    @property
    def fits(self) -> bool:
        """Everything fits on the GPU, and at least one request of the full context."""
        return self.kv_cache_bytes > 0 and self.max_concurrency >= 1 and self.margin_bytes >= 0

    @property
    def tight(self) -> bool:
        """It fits by less than the calibrated terms are known."""
        return self.fits and self.margin_bytes < self.uncertainty_bytes


@dataclass(frozen=True, kw_only=True, slots=True)
class Estimate:
    """Predicted speed of one replica at its planned load, never better than the roofline.

    `interval` = factors (low, high) around each figure; `provenance` says measured, calibrated or
    estimated, and from what.
    """

    ttft_seconds: float
    itl_seconds: float
    output_tokens_per_second_per_gpu: float
    requests_per_second_per_replica: float
    bound: Bound
    concurrency: int
    ttft_interval: tuple[float, float] = (0.6, 1.6)
    itl_interval: tuple[float, float] = (0.75, 1.25)
    provenance: str = "estimated"
    prefill_seconds_per_token: float = 0.0
    itl_floor_seconds: float = 0.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Reason:
    """Why a field of the plan has its value."""

    field: str
    value: Any
    because: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Alternative:
    """A change of the functionConfig that was planned again and works.

    `change` maps dotted paths below `spec` to values, ready to paste.
    """

    change: dict[str, Any]
    gpus: int
    memory_margin_bytes: int
    because: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """The answer for one service and variant; infeasible plans carry memory and alternatives."""

    service: str
    variant: str
    engine: str
    engine_version: str
    feasible: bool
    parallelism: Parallelism
    replicas: int
    max_replicas: int
    memory: MemoryBudget
    serving: Serving
    estimate: Estimate | None
    reasons: tuple[Reason, ...] = ()
    alternatives: tuple[Alternative, ...] = ()
    results: tuple[Result, ...] = field(default=())

    @property
    def gpus_per_replica(self) -> int:
        return self.parallelism.gpus

"""The functionConfig, version v1alpha1: `LLMService`, `GPUPool`, `ModelCard` as users write them.

Frozen and strict; every field has its default here or in `serving.py` and nowhere else. `None` =
the planner decides.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic.alias_generators import to_camel
from pydantic_core import PydanticCustomError

from krm_fn.api.fields import (
    COMMIT,
    DIGEST,
    DRIVER,
    HTTP,
    IMAGE,
    ONE_WORD,
    REGISTRY,
    SERVICE_NAME,
    URI,
    Cores,
    Duration,
    Fraction,
    LabelKey,
    LabelValue,
    Name,
    PackagePath,
    Port,
    Positive,
    Ref,
    SecretRef,
    Spec,
    Texts,
)
from krm_fn.api.serving import Serving
from krm_fn.catalog.rows import Gpu, Quantity, Rate

GROUP_VERSION = "krm-fn.dev/v1alpha1"


class Safetensors(Spec):
    """Totals of the checkpoint's safetensors index; they win over the shape."""

    total_bytes: Positive
    by_dtype: dict[str, Positive] = Field(default_factory=dict)


class Model(Spec):
    """The model: its id on the Hub (or a path in the container), and its facts if given inline."""

    id: Annotated[str, Field(min_length=1, max_length=256, pattern=ONE_WORD)]
    revision: Annotated[str, Field(pattern=COMMIT)] | None = None
    served_name: Annotated[str, Field(pattern=ONE_WORD)] | None = None
    uri: Annotated[str, Field(pattern=URI)] = "hub"
    config: dict[str, Any] | None = None
    safetensors: Safetensors | None = None
    gated: bool | None = None
    card_ref: Ref | None = None
    token_secret_ref: SecretRef | None = None
    trust_remote_code: bool = False


class Taint(Spec):
    key: LabelKey
    value: LabelValue | None = None
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = None


class Node(Spec):
    """Allocatable per node, as `kubectl describe node` prints it."""

    cpu: Cores | None = None
    memory: Quantity | None = None
    ephemeral_storage: Quantity | None = None


class Mig(Spec):
    profile: str
    strategy: Literal["single", "mixed"] = "single"


class Shared(Spec):
    """Time slicing: how many pods one GPU is offered to."""

    replicas: Positive


Platform = Literal["gfd", "gke", "eks", "karpenter", "aks", "nodepool", "custom"]


class GpuPoolSpec(Spec):
    """GPUs of one kind: what the planner may use and how pods find them."""

    gpu: str | Gpu
    gpu_memory: Quantity | None = None
    gpus_per_node: Positive = 8
    nodes: Positive = 1
    share: Positive | None = None
    platform: Platform = "gfd"
    node_pool: LabelValue | None = None
    node_selector: dict[LabelKey, LabelValue] = Field(default_factory=dict)
    taints: Annotated[tuple[Taint, ...], Field(strict=False)] | None = None
    spot: bool = False
    node: Node = Node()
    interconnect: Literal["nvlink", "pairs", "pcie"] | None = None
    mig: Mig | None = None
    shared: Shared | None = None
    runtime_class_name: Name | None = None
    driver: Annotated[str, Field(pattern=DRIVER)] | None = None

    @model_validator(mode="after")
    def _share_is_in_the_pool(self) -> "GpuPoolSpec":
        total = self.gpus_per_node * self.nodes
        if self.share is not None and self.share > total:
            raise PydanticCustomError(
                "share",
                "`share` must be at most gpusPerNode x nodes = {total}; got {share}",
                {"total": total, "share": self.share, "field": "share"},
            )
        return self


class Objectives(Spec):
    ttft: Duration | None = None
    itl: Duration | None = None
    percentile: Literal["mean", "p50", "p90", "p95", "p99"] = "mean"


class WorkloadSpec(Spec):
    """What clients send; at most one of `requestsPerSecond` and `concurrency`."""

    model_config = ConfigDict(
        json_schema_extra={"not": {"required": ["requestsPerSecond", "concurrency"]}}
    )
    input_tokens: Positive = 1024
    output_tokens: Positive = 256
    requests_per_second: Annotated[float, Field(gt=0, le=1_000_000)] | None = None
    concurrency: Annotated[int, Field(gt=0, le=100_000_000)] | None = None
    prefix_hit_rate: Annotated[float, Field(ge=0, lt=1)] = 0
    objectives: Objectives = Objectives()

    @model_validator(mode="after")
    def _one_load(self) -> "WorkloadSpec":
        if self.requests_per_second is not None and self.concurrency is not None:
            raise PydanticCustomError(
                "load",
                "`requestsPerSecond` and `concurrency` must not be stated together; keep one",
                {"field": "concurrency"},
            )
        return self


class Variant(Spec):
    """One overlay. The key of the map is its name and, unless `engine` is stated, its engine."""

    engine: str | None = None
    version: str | None = None
    image: Annotated[str, Field(pattern=IMAGE)] | None = None
    digest: Annotated[str, Field(pattern=DIGEST)] | None = None
    allow_floating_tag: bool = False
    memory_fraction: Fraction | None = None
    kv_cache_dtype: str | None = None
    extra_args: Texts = ()
    env: dict[str, str] = Field(default_factory=dict)
    secret_env: dict[str, SecretRef] = Field(default_factory=dict)
    like: str | None = None
    metric: Literal["cpu", "engine"] = "cpu"


class ScalingSpec(Spec):
    """Who owns `replicas`; with `none` the number is `replicas` or the planned one."""

    owner: Literal["hpa", "keda", "none"] = "hpa"
    replicas: Positive | None = None
    min_replicas: Positive | None = None
    max_replicas: Positive | None = None
    metrics: Literal["prometheus-adapter", "gke", "keda"] = "prometheus-adapter"

    @model_validator(mode="after")
    def _one_owner(self) -> "ScalingSpec":
        if self.owner != "none" and self.replicas is not None:
            raise PydanticCustomError(
                "owner",
                "`replicas` must stand only with owner: none; with owner: {owner} state "
                "minReplicas and maxReplicas",
                {"owner": self.owner, "field": "replicas"},
            )
        for field in ("min_replicas", "max_replicas"):
            if self.owner == "none" and getattr(self, field) is not None:
                raise PydanticCustomError(
                    "owner",
                    "must not stand with owner: none, which scales nothing; state `replicas`",
                    {"field": to_camel(field)},
                )
        if (self.min_replicas or 0) > (self.max_replicas or 10**9):
            raise PydanticCustomError(
                "bounds",
                "`minReplicas` must be at most maxReplicas ({most}); got {least}",
                {"most": self.max_replicas, "least": self.min_replicas, "field": "minReplicas"},
            )
        return self


class StorageSpec(Spec):
    """Where weights are kept between starts, and how fast they arrive."""

    cache: Literal["auto", "claim", "ephemeral", "none"] = "auto"
    storage_class: Name | None = None
    access_mode: Literal["ReadWriteOnce", "ReadWriteMany", "ReadWriteOncePod"] | None = None
    size: Quantity | None = None
    prefetch: bool | None = None
    download_bandwidth: Rate = "100MB/s"
    read_bandwidth: Rate = "500MB/s"


class ServiceSpec(Spec):
    port: Port = 8000
    type: Literal["ClusterIP", "NodePort", "LoadBalancer"] = "ClusterIP"


class Peer(Spec):
    """Who may call: pods of a namespace (by its name label)."""

    namespace: Name


class AccessSpec(Spec):
    network_policy: bool = True
    from_: Annotated[tuple[Peer, ...], Field(strict=False, alias="from")] = ()


class MonitoringSpec(Spec):
    """`prometheus` is asked by KEDA; `namespace` is where scrapers run, let in by the policy."""

    pod_monitor: bool = False
    namespace: Name = "monitoring"
    prometheus: Annotated[str, Field(pattern=HTTP)] = (
        "http://prometheus-operated.monitoring.svc:9090"
    )


class SecuritySpec(Spec):
    """`runAsUser: null` leaves the uid to the cluster (OpenShift)."""

    profile: Literal["restricted", "baseline"] = "restricted"
    run_as_user: Annotated[int, Field(gt=0)] | None = 2000
    render_group: Annotated[int, Field(gt=0)] | None = None


class ImagesSpec(Spec):
    registry: Annotated[str, Field(pattern=REGISTRY)] | None = None
    pull_secrets: Annotated[tuple[Name, ...], Field(strict=False)] = ()


class OutputSpec(Spec):
    variant: str | None = None
    mode: Literal["auto", "flat", "tree", "validate"] = "auto"
    path: PackagePath = "."
    namespace_object: bool = False
    images: ImagesSpec = ImagesSpec()


class LLMServiceSpec(Spec):
    """The intent: this model, this workload, this GPU pool."""

    model_config = ConfigDict(
        json_schema_extra={"oneOf": [{"required": ["gpuPool"]}, {"required": ["gpuPoolRef"]}]}
    )
    model: Model
    gpu_pool: GpuPoolSpec | None = None
    gpu_pool_ref: Ref | None = None
    workload: WorkloadSpec | None = None
    serving: Serving = Serving()
    variants: dict[str, Variant] | None = None
    scaling: ScalingSpec = ScalingSpec()
    storage: StorageSpec = StorageSpec()
    service: ServiceSpec = ServiceSpec()
    access: AccessSpec = AccessSpec()
    monitoring: MonitoringSpec = MonitoringSpec()
    security: SecuritySpec = SecuritySpec()
    target: Literal["kubernetes"] = "kubernetes"
    output: OutputSpec = OutputSpec()

    @model_validator(mode="after")
    def _one_pool(self) -> "LLMServiceSpec":
        if (self.gpu_pool is None) == (self.gpu_pool_ref is None):
            raise PydanticCustomError(
                "pool",
                "must be stated, or `gpuPoolRef` instead of it; {given}",
                {"field": "gpuPool", "given": "both are" if self.gpu_pool else "neither is"},
            )
        return self


class Metadata(BaseModel):
    """Kubernetes metadata; labels and annotations are carried as they are."""

    model_config = ConfigDict(frozen=True, extra="allow", defer_build=True)
    name: Annotated[str, Field(pattern=SERVICE_NAME)]
    namespace: Name | None = None
    labels: dict[str, str] = Field(default_factory=dict)
    annotations: dict[str, str] = Field(default_factory=dict)


class LLMService(Spec):
    api_version: Literal["krm-fn.dev/v1alpha1"]
    kind: Literal["LLMService"]
    metadata: Metadata
    spec: LLMServiceSpec


class AnyMetadata(Metadata):
    name: Name


class GPUPool(Spec):
    """A pool that several services share; its spec is the inline form."""

    api_version: Literal["krm-fn.dev/v1alpha1"]
    kind: Literal["GPUPool"]
    metadata: AnyMetadata
    spec: GpuPoolSpec


class CardSpec(Spec):
    """Locked facts of a model, as `krm-fn resolve` writes them."""

    id: str
    config: dict[str, Any]
    safetensors: Safetensors | None = None
    revision: Annotated[str, Field(pattern=COMMIT)] | None = None
    gated: bool = False
    source: str | None = None


class ModelCard(Spec):
    api_version: Literal["krm-fn.dev/v1alpha1"]
    kind: Literal["ModelCard"]
    metadata: AnyMetadata
    spec: CardSpec

"""The whole input of a target, and its output: frozen values, filled in by `function`."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from krm_fn.engines.base import Server
from krm_fn.krm.item import Manifest
from krm_fn.krm.layout import Document
from krm_fn.planner.plan import Plan
from krm_fn.resources.access import Access
from krm_fn.resources.autoscaling import Scaling
from krm_fn.resources.pod import Images, Placement, Security
from krm_fn.resources.prefetch import Prefetch
from krm_fn.resources.service import ServiceType
from krm_fn.resources.storage import Cache, WeightsClaim
from krm_fn.resources.workload import Rollout


@dataclass(frozen=True, kw_only=True, slots=True)
class Service:
    """What is the same in all variants: name, port, who may call, where weights stay.

    `downloads_weights` = they come from outside the cluster, so pods with a cache need HTTPS.
    `weights` = a claim that holds them already. `cache` serves the variants that have a cache path.
    """

    name: str
    served_model_name: str
    namespace: str | None = None
    part_of: str | None = None
    port: int = 8000
    type: ServiceType = "ClusterIP"
    access: Access = field(default_factory=Access)
    security: Security = field(default_factory=Security)
    images: Images = field(default_factory=Images)
    cache: Cache = field(default_factory=Cache)
    weights: WeightsClaim | None = None
    downloads_weights: bool = True
    pod_monitor: bool = False
    namespace_object: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Variant:
    """One engine of the service and where, how many and how carefully its pods run.

    `only_base` = nobody asked for it: it is what the overlays stand on, and nothing more.
    `plan` is for targets that need its layout; None = no GPU plan (the mock). `prefetch` = what
    fills a shared cache before the engines start.
    """

    name: str
    server: Server
    plan: Plan | None = None
    placement: Placement = field(default_factory=Placement)
    scaling: Scaling = field(default_factory=Scaling)
    rollout: Rollout = field(default_factory=Rollout)
    prefetch: Prefetch | None = None
    only_base: bool = False


@dataclass(frozen=True, kw_only=True)
class Rendering:
    """Two shapes of one truth: final objects by variant, and the files that build to them.

    Paths of `tree` are relative to the service's folder; it is made only where it is asked for.
    """

    flat: Mapping[str, tuple[Manifest, ...]]
    files: Callable[[], tuple[Document, ...]]

    @cached_property
    def tree(self) -> tuple[Document, ...]:
        return self.files()


@dataclass(frozen=True, kw_only=True, slots=True)
class Target:
    name: str
    render: Callable[[Service, Sequence[Variant]], Rendering]

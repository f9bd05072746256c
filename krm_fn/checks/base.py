"""The values of this room: a Context says what is known, a Check what must hold."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from krm_fn.checks.autoscaler import SCALERS, Autoscaler, autoscaler
from krm_fn.checks.pods import Container, Pod, running
from krm_fn.checks.reading import dig, mapping, reference
from krm_fn.checks.view import Spot
from krm_fn.engines.base import Server
from krm_fn.errors import Result, Severity
from krm_fn.krm.item import Manifest
from krm_fn.planner.plan import Plan, PoolShape
from krm_fn.resources.metadata import MANAGED_BY
from krm_fn.resources.pod import Placement, Profile, toleration

_TEMPLATES: dict[str, tuple[tuple[str, ...], ...]] = {
    "CronJob": (("spec", "jobTemplate", "spec", "template"),),
    "DaemonSet": (("spec", "template"),),
    "Deployment": (("spec", "template"),),
    "Job": (("spec", "template"),),
    "LeaderWorkerSet": (
        ("spec", "leaderWorkerTemplate", "leaderTemplate"),
        ("spec", "leaderWorkerTemplate", "workerTemplate"),
    ),
    "Pod": ((),),
    "ReplicaSet": (("spec", "template"),),
    "StatefulSet": (("spec", "template"),),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Pool:
    """The GPUs that the objects may use, and what a pod needs to get on their nodes."""

    share: int
    gpus_per_node: int
    nodes: int
    resource: str = "nvidia.com/gpu"
    node_selector: tuple[tuple[str, str], ...] = ()
    tolerations: tuple[Manifest, ...] = ()

    def replicas(self, gpus: int) -> int:
        """How many pods of so many GPUs fit at once, each on one node."""
        return min(self.share // gpus, self.nodes * (self.gpus_per_node // gpus))


def pool(shape: PoolShape, placement: Placement) -> Pool:
    return Pool(
        share=shape.share,
        gpus_per_node=shape.gpus_per_node,
        nodes=shape.nodes,
        resource=placement.gpu_resource,
        node_selector=tuple(placement.node_selector.items()),
        tolerations=tuple(toleration(each) for each in placement.tolerations),
    )


@dataclass(frozen=True, kw_only=True)
class Context:
    """The final objects of one variant, and what is known beside them.

    All facts may be missing (`krm-fn validate DIR`); checks then hold what the objects imply.
    `external` = (kind, name) of objects that others provide; None = unknown, so that a missing one
    is a warning.
    """

    objects: tuple[Manifest, ...]
    plan: Plan | None = None
    server: Server | None = None
    pool: Pool | None = None
    profile: Profile = "restricted"
    floating_tags: bool = False
    external: frozenset[tuple[str, str]] | None = None

    @cached_property
    def pods(self) -> tuple[Pod, ...]:
        return tuple(pod for manifest in self.objects for pod in _pods(manifest))

    @cached_property
    def containers(self) -> tuple[Container, ...]:
        return tuple(container for pod in self.pods for container in pod.containers)

    @cached_property
    def servers(self) -> tuple[Container, ...]:
        """The engines: containers called `server`, or of an engine's image, that run for ever."""
        lasting = (one for one in self.containers if one.pod.kind not in ("Job", "CronJob"))
        return tuple(one for one in lasting if not one.init and _is_server(one))

    @cached_property
    def autoscalers(self) -> tuple[Autoscaler, ...]:
        return tuple(autoscaler(spot) for kind in SCALERS for spot in self.of(kind))

    @cached_property
    def _by_kind(self) -> dict[str, list[Spot]]:
        found: dict[str, list[Spot]] = {}
        for manifest in self.objects:
            found.setdefault(str(manifest.get("kind")), []).append(Spot(manifest, "", manifest))
        return found

    def of(self, kind: str) -> Sequence[Spot]:
        return self._by_kind.get(kind, ())

    def find(self, kind: str, name: Any, namespace: str | None) -> Spot | None:
        wanted = (name, namespace)
        return next((x for x in self.of(kind) if _name(x) == wanted), None)

    def absence(self, manifest: Manifest) -> Severity:
        """How bad it is that what an object needs is not in the set: others may provide it."""
        labels = mapping(manifest, "metadata", "labels")
        ours = labels.get("app.kubernetes.io/managed-by") == MANAGED_BY
        return "error" if ours or self.external is not None else "warning"

    def ceiling(self, owner: Manifest) -> int:
        """The largest number of replicas that a workload may reach; a group counts once."""
        facts = reference(owner)
        key = (facts.get("kind", ""), facts.get("namespace"), facts.get("name", ""))
        stated = dig(owner, "spec", "replicas")
        own = stated if isinstance(stated, int) else 1
        return max(
            (scaler.high for scaler in self.autoscalers if scaler.target == key), default=own
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Check:
    """A rule about our own output; `defects` = numbers of the regression list that it catches."""

    name: str
    defects: tuple[int, ...]
    rule: Callable[[Context], Iterable[Result]]


def _pods(manifest: Manifest) -> Iterator[Pod]:
    root = Spot(manifest, "", manifest)
    for path in _TEMPLATES.get(str(manifest.get("kind")), ()):
        template = root.at(*path) if path else root
        if template.node:
            yield Pod(manifest, template.at("spec"), template.at("metadata"))


def _is_server(container: Container) -> bool:
    return container.name == "server" or bool(running(container, None)[0])


def _name(spot: Spot) -> tuple[Any, Any]:
    metadata = mapping(spot.node, "metadata")
    return metadata.get("name"), metadata.get("namespace")

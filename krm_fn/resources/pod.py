"""The pod around the container: identity, security, placement, volumes."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from krm_fn.engines.base import Server
from krm_fn.krm.item import Manifest
from krm_fn.resources.metadata import Identity, compact, selector
from krm_fn.resources.storage import Mount, volumes

Profile = Literal["restricted", "baseline", "privileged"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Toleration:
    """A taint that the pods bear; without `value` whatever its value."""

    key: str
    value: str | None = None
    effect: str | None = "NoSchedule"


@dataclass(frozen=True, kw_only=True, slots=True)
class Placement:
    """Nodes that pods may run on. `spread` = even over zones, where there are several nodes."""

    node_selector: Mapping[str, str] = field(default_factory=dict)
    tolerations: tuple[Toleration, ...] = ()
    runtime_class_name: str | None = None
    gpu_resource: str = "nvidia.com/gpu"
    spread: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Security:
    """`run_as_user` None = the cluster assigns the uid (OpenShift); else the server's own is set.

    `profile` = the Pod Security level asked for; a server that runs as root gets no better than
    `baseline`.
    """

    run_as_user: int | None = 2000
    profile: Profile = "restricted"


@dataclass(frozen=True, kw_only=True, slots=True)
class Images:
    """Where images come from: a mirror's prefix, and the secrets to pull with."""

    registry: str | None = None
    pull_secrets: tuple[str, ...] = ()


def pod_spec(
    identity: Identity,
    *,
    server: Server,
    placement: Placement,
    security: Security,
    images: Images,
    container: Manifest,
    mounts: tuple[Mount, ...],
    init_container: Manifest | None = None,
) -> Manifest:
    """A pod that talks to no API server and gets nothing injected."""
    return compact(
        serviceAccountName=identity.name,
        automountServiceAccountToken=False,
        enableServiceLinks=False,
        terminationGracePeriodSeconds=server.grace_seconds,
        runtimeClassName=placement.runtime_class_name,
        imagePullSecrets=[{"name": name} for name in images.pull_secrets] or None,
        securityContext=security_context(server, security),
        nodeSelector=dict(placement.node_selector) or None,
        tolerations=[toleration(each) for each in placement.tolerations] or None,
        topologySpreadConstraints=[zone_spread(identity)] if placement.spread else None,
        initContainers=[init_container] if init_container else None,
        containers=[container],
        volumes=volumes(mounts),
    )


def security_context(server: Server, security: Security) -> Manifest:
    """`restricted` unless the server runs as root.

    The group of the volumes is the uid, so that a new claim can be written.
    """
    is_ours = server.user is not None and security.run_as_user is not None
    return compact(
        runAsNonRoot=None if runs_as_root(server, security) else True,
        runAsUser=server.user if is_ours else None,
        runAsGroup=server.group if is_ours else None,
        fsGroup=server.user if is_ours else None,
        fsGroupChangePolicy="OnRootMismatch" if is_ours else None,
        supplementalGroups=list(server.supplemental_groups) or None,
        seccompProfile={"type": "RuntimeDefault"},
    )


def runs_as_root(server: Server, security: Security) -> bool:
    """The image's own user is taken, unless the cluster assigns one."""
    return server.user is None and security.run_as_user is not None


def pod_security(server: Server, security: Security) -> Profile:
    """The strictest Pod Security level that the pods pass and the user asked for."""
    if security.profile == "restricted" and runs_as_root(server, security):
        return "baseline"
    return security.profile


def toleration(taint: Toleration) -> Manifest:
    return compact(
        key=taint.key,
        operator="Exists" if taint.value is None else "Equal",
        value=taint.value,
        effect=taint.effect,
    )


def zone_spread(identity: Identity) -> Manifest:
    """Even over zones if possible; over hosts would scatter small pods over the big nodes."""
    return {
        "maxSkew": 1,
        "topologyKey": "topology.kubernetes.io/zone",
        "whenUnsatisfiable": "ScheduleAnyway",
        "labelSelector": {"matchLabels": selector(identity)},
        "matchLabelKeys": ["pod-template-hash"],
    }

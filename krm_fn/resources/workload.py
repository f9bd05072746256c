"""The Deployment: one pod template and how a new one replaces it."""

from dataclasses import dataclass

from krm_fn.engines.base import Server
from krm_fn.krm.item import Manifest
from krm_fn.resources.config import config_annotations
from krm_fn.resources.container import NAME
from krm_fn.resources.metadata import Identity, compact, labels, metadata, selector

READY_SECONDS = 10
PULL_SECONDS = 900  # an engine image has 10 GB; the start-up budget begins after it


@dataclass(frozen=True, kw_only=True, slots=True)
class Rollout:
    """How new pods replace old ones. `recreate` = all old ones go first (a claim of one node)."""

    recreate: bool = False
    max_surge: int = 1
    max_unavailable: int = 0


def deployment(
    identity: Identity,
    *,
    server: Server,
    pod: Manifest,
    rollout: Rollout,
    replicas: int | None,
) -> Manifest:
    """`replicas` None = an autoscaler owns them, and no apply may reset its work."""
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": metadata(identity, version=server.version),
        "spec": compact(
            replicas=replicas,
            revisionHistoryLimit=3,
            progressDeadlineSeconds=progress_deadline_seconds(server),
            minReadySeconds=READY_SECONDS,
            strategy=strategy(rollout),
            selector={"matchLabels": selector(identity)},
            template={"metadata": template_metadata(identity, server), "spec": pod},
        ),
    }


def progress_deadline_seconds(server: Server) -> int:
    """Above pull, start-up budget and readiness; the API's 600 s fails every large model."""
    budget = server.startup.period_seconds * server.startup.failure_threshold
    return max(budget, server.startup_seconds) + PULL_SECONDS


def strategy(rollout: Rollout) -> Manifest:
    if rollout.recreate:
        return {"type": "Recreate"}
    steps = {"maxSurge": rollout.max_surge, "maxUnavailable": rollout.max_unavailable}
    return {"type": "RollingUpdate", "rollingUpdate": steps}


def template_metadata(identity: Identity, server: Server) -> Manifest:
    annotations = {"kubectl.kubernetes.io/default-container": NAME, **config_annotations(server)}
    return {
        "labels": labels(identity, server.version) | dict(server.pod_labels),
        "annotations": annotations,
    }

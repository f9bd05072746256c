"""The PodDisruptionBudget: a drain takes one pod at a time."""

from krm_fn.krm.item import Manifest
from krm_fn.resources.metadata import Identity, metadata, selector


def disruption_budget(identity: Identity) -> Manifest:
    """Pods that are not ready yet may always go, else a drain hangs on one that loads its model."""
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": metadata(identity),
        "spec": {
            "maxUnavailable": 1,
            "unhealthyPodEvictionPolicy": "AlwaysAllow",
            "selector": {"matchLabels": selector(identity)},
        },
    }

"""The PodMonitor of the Prometheus operator; only where it is switched on."""

from krm_fn.engines.base import Server
from krm_fn.krm.item import Manifest
from krm_fn.resources.container import PORT
from krm_fn.resources.metadata import Identity, metadata, selector


def pod_monitor(identity: Identity, server: Server) -> Manifest:
    return {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PodMonitor",
        "metadata": metadata(identity),
        "spec": {
            "selector": {"matchLabels": selector(identity)},
            "podMetricsEndpoints": [
                {"port": PORT, "path": server.metrics_path, "interval": "15s"},
            ],
        },
    }

"""The Service: a stable name in front of the ready pods."""

from typing import Literal

from krm_fn.krm.item import Manifest
from krm_fn.resources.container import PORT
from krm_fn.resources.metadata import Identity, metadata, selector

ServiceType = Literal["ClusterIP", "NodePort", "LoadBalancer"]


def service(identity: Identity, *, port: int, service_type: ServiceType) -> Manifest:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata(identity),
        "spec": {
            "type": service_type,
            "selector": selector(identity),
            "ports": [{"name": PORT, "port": port, "targetPort": PORT, "protocol": "TCP"}],
        },
    }

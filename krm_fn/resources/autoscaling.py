"""What owns the number of replicas: an HPA, or KEDA's ScaledObject."""

from dataclasses import dataclass
from typing import Literal

from krm_fn.engines.base import Metric, Server
from krm_fn.krm.item import Manifest
from krm_fn.resources.metadata import Identity, metadata

MIN_WINDOW_SECONDS, MAX_WINDOW_SECONDS = 300, 3600  # the API allows no more than an hour
CPU_PERCENT = 70
PROMETHEUS = "http://prometheus-operated.monitoring.svc:9090"

MetricsSource = Literal["prometheus-adapter", "gke", "keda", "cpu"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Scaling:
    """One owner of the replicas; `replicas` counts only for owner `none`.

    `metrics` names who serves the engine's gauges; `prometheus` is asked by KEDA alone.
    """

    owner: Literal["hpa", "keda", "none"] = "hpa"
    replicas: int = 1
    min_replicas: int = 1
    max_replicas: int = 1
    metrics: MetricsSource = "cpu"
    prometheus: str = PROMETHEUS


def autoscaler(identity: Identity, server: Server, scaling: Scaling) -> Manifest:
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": metadata(identity),
        "spec": {
            "scaleTargetRef": target(identity),
            "minReplicas": scaling.min_replicas,
            "maxReplicas": scaling.max_replicas,
            "metrics": metrics(server, scaling.metrics),
            "behavior": behavior(server),
        },
    }


def target(identity: Identity) -> Manifest:
    return {"apiVersion": "apps/v1", "kind": "Deployment", "name": identity.name}


def metrics(server: Server, source: MetricsSource) -> list[Manifest]:
    """The engine's gauges with the averages of the plan; CPU where there are none."""
    if source == "cpu" or not server.metrics:
        usage = {"type": "Utilization", "averageUtilization": CPU_PERCENT}
        return [{"type": "Resource", "resource": {"name": "cpu", "target": usage}}]
    return [pods_metric(metric, source) for metric in server.metrics]


def pods_metric(metric: Metric, source: MetricsSource) -> Manifest:
    average = {"type": "AverageValue", "averageValue": str(metric.target)}
    name = {"name": metric_name(metric.name, source)}
    return {"type": "Pods", "pods": {"metric": name, "target": average}}


def metric_name(name: str, source: MetricsSource) -> str:
    """As the metrics API serves it: the adapter's names have no colon, Google's have a prefix."""
    return f"prometheus.googleapis.com|{name}|gauge" if source == "gke" else name.replace(":", "_")


def behavior(server: Server) -> Manifest:
    """Up at once, one pod a minute; down only after a new pod could have started meanwhile."""
    window = window_seconds(server)
    return {
        "scaleUp": {
            "stabilizationWindowSeconds": 0,
            "policies": [{"type": "Pods", "value": 1, "periodSeconds": 60}],
        },
        "scaleDown": {
            "stabilizationWindowSeconds": window,
            "policies": [{"type": "Pods", "value": 1, "periodSeconds": MIN_WINDOW_SECONDS}],
        },
    }


def window_seconds(server: Server) -> int:
    return min(max(server.startup_seconds, MIN_WINDOW_SECONDS), MAX_WINDOW_SECONDS)


def scaled_object(identity: Identity, server: Server, scaling: Scaling, model: str) -> Manifest:
    """KEDA's form; KEDA makes the HPA itself. `model` = the served name in the engine's gauges."""
    return {
        "apiVersion": "keda.sh/v1alpha1",
        "kind": "ScaledObject",
        "metadata": metadata(identity),
        "spec": {
            "scaleTargetRef": target(identity),
            "minReplicaCount": scaling.min_replicas,
            "maxReplicaCount": scaling.max_replicas,
            "cooldownPeriod": window_seconds(server),
            "advanced": {"horizontalPodAutoscalerConfig": {"behavior": behavior(server)}},
            "triggers": triggers(server, scaling, series(identity, model)),
        },
    }


def series(identity: Identity, model: str) -> str:
    """Which series are the service's: Prometheus holds those of all namespaces."""
    labels = {"namespace": identity.namespace, "model_name": model}
    return ",".join(f'{name}="{value}"' for name, value in labels.items() if value)


def triggers(server: Server, scaling: Scaling, of: str) -> list[Manifest]:
    if not server.metrics:
        usage = {"value": str(CPU_PERCENT)}
        return [{"type": "cpu", "metricType": "Utilization", "metadata": usage}]
    return [trigger(metric, scaling.prometheus, of) for metric in server.metrics]


def trigger(metric: Metric, prometheus: str, of: str) -> Manifest:
    return {
        "type": "prometheus",
        "metricType": "AverageValue",
        "metadata": {
            "serverAddress": prometheus,
            "query": f"sum({metric.name}{{{of}}})",
            "threshold": str(metric.target),
        },
    }

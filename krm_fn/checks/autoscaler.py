"""HPAs and ScaledObjects in one vocabulary."""

from dataclasses import dataclass

from krm_fn.checks.reading import count, dig, mapping, reference
from krm_fn.checks.view import Spot
from krm_fn.krm.item import Manifest

SCALERS = {  # kind -> keys of minimum, maximum, triggers; defaults of the first two
    "HorizontalPodAutoscaler": ("minReplicas", "maxReplicas", "metrics", 1, 1),
    "ScaledObject": ("minReplicaCount", "maxReplicaCount", "triggers", 0, 100),
}


@dataclass(frozen=True)
class Autoscaler(Spot):
    """`target` = kind, namespace, name; `cpu` = it scales on CPU or memory."""

    target: tuple[str, str | None, str]
    low: int
    high: int
    cpu: bool
    keys: tuple[str, str]


def autoscaler(spot: Spot) -> Autoscaler:
    low, high, triggers, least, most = SCALERS[str(spot.value("kind"))]
    spec = spot.at("spec")
    target = mapping(spec.node, "scaleTargetRef")
    namespace = reference(spot.manifest).get("namespace")
    return Autoscaler(
        spot.manifest,
        spec.path,
        spec.node,
        target=(str(target.get("kind", "Deployment")), namespace, str(target.get("name"))),
        low=count(spec.node, low, least),
        high=count(spec.node, high, most),
        cpu=any(_is_cpu(trigger.node) for trigger in spec.each(triggers)),
        keys=(low, high),
    )


def _is_cpu(trigger: Manifest) -> bool:
    resources = (dig(trigger, key, "name") for key in ("resource", "containerResource"))
    return any(name in ("cpu", "memory") for name in (dig(trigger, "type"), *resources))

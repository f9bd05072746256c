"""Where manifests run: one file a target API, a Target value each, and the map of them.

May import resources and below, and `krm` for documents and YAML. Targets do not know each other.
"""

from collections.abc import Mapping

from krm_fn.targets import kubernetes
from krm_fn.targets.base import Rendering, Service, Target, Variant

TARGETS: Mapping[str, Target] = {each.name: each for each in (kubernetes.TARGET,)}

__all__ = ["TARGETS", "Rendering", "Service", "Target", "Variant"]

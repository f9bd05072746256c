"""A change of our ConfigMap rolls the pods that read it: its hash is on their template."""

from collections.abc import Iterator

from krm_fn.checks.base import Check, Context
from krm_fn.checks.pods import Pod
from krm_fn.checks.reading import dig, mapping
from krm_fn.errors import Result
from krm_fn.resources.config import ANNOTATION, config_annotations
from krm_fn.resources.metadata import MANAGED_BY


def _rule(context: Context) -> Iterator[Result]:
    for pod in context.pods:
        if _reads_ours(pod, context):
            yield from _marked(pod, context)


def _reads_ours(pod: Pod, context: Context) -> bool:
    names = (dig(volume.node, "configMap", "name") for volume in pod.volumes.values())
    found = (context.find("ConfigMap", name, pod.namespace) for name in names if name)
    labels = (mapping(config.node, "metadata", "labels") for config in found if config)
    return any(row.get("app.kubernetes.io/managed-by") == MANAGED_BY for row in labels)


def _marked(pod: Pod, context: Context) -> Iterator[Result]:
    stated = mapping(pod.metadata.node, "annotations").get(ANNOTATION)
    wanted = config_annotations(context.server).get(ANNOTATION) if context.server else stated
    if stated is None or stated != wanted:
        message = f"must have {ANNOTATION} with the hash of the ConfigMap, or pods keep the old one"
        yield pod.metadata.fault(message, "annotations", current=stated, proposed=wanted)


CHECK = Check(name="config", defects=(), rule=_rule)

"""Names and labels have the form and length that Kubernetes and its controllers need."""

import re
from collections.abc import Iterator
from typing import Any

from krm_fn.checks.base import Check, Context
from krm_fn.checks.pods import Pod
from krm_fn.checks.reading import mapping
from krm_fn.checks.view import Spot
from krm_fn.errors import Result

_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_LABEL_1035 = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_FORMS = {  # kind -> form, longest; pods of a StatefulSet carry a label <name>-<hash>
    "CronJob": (_LABEL, 52),
    "Deployment": (_LABEL, 63),
    "HorizontalPodAutoscaler": (_SUBDOMAIN, 253),
    "Job": (_LABEL, 63),
    "LeaderWorkerSet": (_LABEL_1035, 49),
    "Namespace": (_LABEL, 63),
    "Service": (_LABEL_1035, 63),
    "StatefulSet": (_LABEL, 52),
}
_PORT = re.compile(r"(?=.*[a-z])(?!.*--)[a-z0-9]([-a-z0-9]{0,13}[a-z0-9])?")
_KEY = re.compile(
    r"([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([-\w.]{0,61}[A-Za-z0-9])?", re.ASCII
)
_VALUE = re.compile(r"([A-Za-z0-9]([-\w.]{0,61}[A-Za-z0-9])?)?", re.ASCII)


def _rule(context: Context) -> Iterator[Result]:
    for manifest in context.objects:
        root = Spot(manifest, "", manifest)
        if not str(manifest.get("apiVersion")).startswith("rbac."):  # their names may hold anything
            yield from _name(root)
        yield from _metadata(root.at("metadata"))
    for pod in context.pods:
        yield from _metadata(pod.metadata)
        yield from _parts(pod)


def _name(root: Spot) -> Iterator[Result]:
    name = mapping(root.node, "metadata").get("name")
    form, longest = _FORMS.get(str(root.value("kind")), (_SUBDOMAIN, 253))
    if not form.fullmatch(str(name or "")):
        message = f'must be lower-case letters, digits and "-", a letter first; is "{name}"'
        yield root.fault(message, "metadata", "name", current=name)
    elif len(str(name)) > longest:
        message = f"must have at most {longest} characters; has {len(str(name))}"
        yield root.fault(message, "metadata", "name", current=name, proposed=str(name)[:longest])


def _metadata(metadata: Spot) -> Iterator[Result]:
    for key, value in mapping(metadata.node, "labels").items():
        if not (_KEY.fullmatch(key) and isinstance(value, str) and _VALUE.fullmatch(value)):
            message = f'must be a label of at most 63 letters, digits, "-", "_", "."; is {value!r}'
            yield metadata.fault(message, f"labels[{key}]", current=value)
    for key, value in mapping(metadata.node, "annotations").items():
        if not isinstance(value, str):
            yield metadata.fault(f"must be a string; is {value!r}", f"annotations[{key}]")


def _parts(pod: Pod) -> Iterator[Result]:
    spots = [(spot, _LABEL) for spot in (*pod.containers, *pod.spec.each("volumes"))]
    spots += [(port, _PORT) for one in pod.containers for port in one.each("ports")]
    for spot, form in spots:
        name: Any = spot.value("name")
        if (name is not None or form is _LABEL) and not _fits(form, name):
            yield spot.fault(f'must be a valid name; is "{name}"', "name", current=name)


def _fits(form: re.Pattern[str], name: Any) -> bool:
    return isinstance(name, str) and len(name) <= 63 and bool(form.fullmatch(name))


CHECK = Check(name="names", defects=(22,), rule=_rule)

"""One owner of `replicas`, that scales on a signal which moves with the load."""

from collections import Counter
from collections.abc import Iterator

from krm_fn.checks.autoscaler import Autoscaler
from krm_fn.checks.base import Check, Context
from krm_fn.checks.pods import Pod
from krm_fn.checks.reading import listing, mapping, reference
from krm_fn.errors import Result


def _rule(context: Context) -> Iterator[Result]:
    targets = Counter(scaler.target for scaler in context.autoscalers)
    for scaler in context.autoscalers:
        yield from _bounds(scaler)
        if targets[scaler.target] > 1:
            message = "must be the only autoscaler of its target; another one scales it too"
            yield scaler.fault(message, "scaleTargetRef")
        yield from _target(scaler, context)


def _bounds(scaler: Autoscaler) -> Iterator[Result]:
    if scaler.low > scaler.high:
        message = f"must be at most {scaler.keys[1]}, {scaler.high}; is {scaler.low}"
        yield scaler.fault(message, scaler.keys[0], current=scaler.low, proposed=scaler.high)
    if not listing(scaler.node, "metrics") and not listing(scaler.node, "triggers"):
        yield scaler.fault("must have a metric to scale on")


def _target(scaler: Autoscaler, context: Context) -> Iterator[Result]:
    kind, namespace, name = scaler.target
    found = context.find(kind, name, namespace)
    if found is None:
        message = f"must name an object of the set; there is no {kind}/{name}"
        yield scaler.fault(message, "scaleTargetRef", severity=context.absence(scaler.manifest))
        return
    if found.at("spec").value("replicas") is not None:
        message = "must be absent: the autoscaler owns it, and every apply would reset it"
        yield found.fault(message, "spec", "replicas", current=found.node["spec"]["replicas"])
    for pod in context.pods:
        if scaler.cpu and pod.owner is found.manifest:
            yield from _signal(scaler, pod)


def _signal(scaler: Autoscaler, pod: Pod) -> Iterator[Result]:
    if pod.gpus:
        message = "must not be CPU or memory: a GPU engine keeps both busy at any load"
        yield scaler.fault(message, "metrics")
    for container in pod.containers:
        stated = (mapping(container.node, "resources", key) for key in ("requests", "limits"))
        if not container.init and not any("cpu" in row for row in stated):
            name = reference(scaler.manifest).get("name")
            message = f"must request cpu: autoscaler {name} measures use against it"
            yield container.fault(message, "resources", "requests")


CHECK = Check(name="scaling", defects=(12,), rule=_rule)

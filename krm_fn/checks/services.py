"""A port that is offered has a listener, and one name."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

from krm_fn.checks.base import Check, Context
from krm_fn.checks.pods import Container, Pod
from krm_fn.checks.view import Spot
from krm_fn.errors import Result


def _rule(context: Context) -> Iterator[Result]:
    for service in context.of("Service"):
        yield from _service(service.at("spec"), context)
    for policy in context.of("NetworkPolicy"):
        yield from _policy(policy.at("spec"), context)
    for monitor in context.of("PodMonitor"):
        yield from _monitor(monitor.at("spec"), context)
    for pod in context.pods:
        yield from _unique(pod)
    for container in context.servers:
        yield from _listens(container)


def _service(spec: Spot, context: Context) -> Iterator[Result]:
    pods = _pods(spec.at("selector"), context)
    ports = list(spec.each("ports"))
    names = Counter(port.value("name") for port in ports)
    for port in ports:
        if names[port.value("name")] > 1:
            yield port.fault("must have a name of its own", "name", current=port.value("name"))
        target = port.value("targetPort", port.value("port"))
        yield from _listener(port, "targetPort", target, pods)


def _policy(spec: Spot, context: Context) -> Iterator[Result]:
    pods = _pods(spec.at("podSelector", "matchLabels"), context)
    for rule in spec.each("ingress"):
        for port in rule.each("ports"):
            yield from _listener(port, "port", port.value("port"), pods)


def _monitor(spec: Spot, context: Context) -> Iterator[Result]:
    pods = _pods(spec.at("selector", "matchLabels"), context)
    for endpoint in spec.each("podMetricsEndpoints"):
        yield from _listener(endpoint, "port", endpoint.value("port"), pods)


def _pods(selector: Spot, context: Context) -> list[Pod]:
    return [pod for pod in context.pods if pod.matches(selector.node)]


def _listener(port: Spot, key: str, target: Any, pods: list[Pod]) -> Iterator[Result]:
    if target is not None and pods and not any(target in _ports(pod) for pod in pods):
        yield port.fault(
            f'must be a port of the pods; they have no "{target}"', key, current=target
        )


def _ports(pod: Pod) -> set[Any]:
    ports = (port for container in pod.containers for port in container.each("ports"))
    return {port.value(key) for port in ports for key in ("name", "containerPort")} - {None}


def _unique(pod: Pod) -> Iterator[Result]:
    ports = [port for one in pod.containers if not one.init for port in one.each("ports")]
    for key in ("name", "containerPort"):
        count = Counter((x.value(key), x.value("protocol", "TCP")) for x in ports)
        for port in ports:
            value = port.value(key)
            if value is not None and count[(value, port.value("protocol", "TCP"))] > 1:
                yield port.fault("must be unique in the pod", key, current=value)


def _listens(container: Container) -> Iterator[Result]:
    told = container.flags.get("--port")
    ports = {str(port.value("containerPort")) for port in container.each("ports")}
    if told and ports and told not in ports and "$(" not in told:
        has = " and ".join(sorted(ports))
        yield container.fault(f"must have the port that --port={told} opens; has {has}", "ports")


CHECK = Check(name="services", defects=(26,), rule=_rule)

"""Views of pods: a template with its containers, a container with its argv, GPUs and mounts."""

import re
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from krm_fn.checks.reading import amount, count, is_gpu, listing, mapping, reference
from krm_fn.checks.view import Spot
from krm_fn.engines.base import Server
from krm_fn.krm.item import Manifest

_ENGINE_IMAGE = re.compile(r"(?:(vllm)-openai[a-z-]*|(sglang)):v(\d+\.\d+\.\d+(?:\.post\d+)?)")
_FLAG = re.compile(r"(--?[A-Za-z][\w.-]*)(?:=(.*))?", re.DOTALL)


@dataclass(frozen=True)
class Pod:
    """A pod template; `spec` and `metadata` lie in `owner`."""

    owner: Manifest
    spec: Spot
    metadata: Spot

    @property
    def kind(self) -> str:
        return str(self.owner.get("kind"))

    @property
    def namespace(self) -> str | None:
        return reference(self.owner).get("namespace")

    @property
    def labels(self) -> Manifest:
        return mapping(self.metadata.node, "labels")

    @cached_property
    def containers(self) -> "tuple[Container, ...]":
        return tuple(
            Container(spot.manifest, spot.path, spot.node, self, init=key == "initContainers")
            for key in ("initContainers", "containers")
            for spot in self.spec.each(key)
        )

    @cached_property
    def volumes(self) -> dict[str, Spot]:
        return {str(spot.value("name")): spot for spot in self.spec.each("volumes")}

    def matches(self, selector: Manifest) -> bool:
        """All labels of the selector are on the pod; an empty one, for all pods, is no match."""
        return bool(selector) and selector.items() <= self.labels.items()

    @cached_property
    def gpus(self) -> int:
        return sum(container.gpus for container in self.containers if not container.init)


@dataclass(frozen=True)
class Container(Spot):
    pod: Pod
    init: bool

    @property
    def name(self) -> str:
        return str(self.value("name"))

    @cached_property
    def argv(self) -> tuple[tuple[str, Any], ...]:
        """Each token of command and args, with the key it stands under."""
        keys = ("command", "args")
        return tuple((key, token) for key in keys for token in listing(self.node, key))

    @cached_property
    def flags(self) -> dict[str, str]:
        """`--flag=value` and `--flag value`; a flag alone has the value ""."""
        tokens = [str(token) for _, token in self.argv]
        found: dict[str, str] = {}
        for token, after in zip(tokens, [*tokens[1:], "--"], strict=False):
            if match := _FLAG.fullmatch(token):
                lone = "" if after.startswith("--") else after
                found[match[1]] = lone if match[2] is None else match[2]
        return found

    @cached_property
    def env(self) -> dict[str, Manifest]:
        return {str(spot.value("name")): spot.node for spot in self.each("env")}

    @cached_property
    def gpus(self) -> int:
        """GPUs asked for, in requests or in limits."""
        asked = (mapping(self.node, "resources", key).items() for key in ("requests", "limits"))
        return max(
            (int(amount(name, count) or 0) for row in asked for name, count in row if is_gpu(name)),
            default=0,
        )

    @property
    def startup_seconds(self) -> int:
        """How long the kubelet waits for the start; 0 without a startup probe."""
        probe = mapping(self.node, "startupProbe")
        waits = count(probe, "failureThreshold", 3) * count(probe, "periodSeconds", 10)
        return count(probe, "initialDelaySeconds", 0) + waits if probe else 0

    def mount(self, path: str) -> Spot | None:
        """The mount that holds a path: the one with the longest way to it."""
        holding = [
            spot
            for spot in self.each("volumeMounts")
            if f"{path}/".startswith(f"{str(spot.node.get('mountPath')).rstrip('/')}/")
        ]
        return max(holding, key=lambda spot: len(str(spot.node["mountPath"])), default=None)

    def volume(self, path: str) -> Spot | None:
        """The volume that holds a path."""
        mount = self.mount(path)
        return self.pod.volumes.get(str(mount.value("name"))) if mount else None


def running(container: Container, server: Server | None) -> tuple[str, str]:
    """Engine and version, as the server says or as the image is called; "" where unknown."""
    if server:
        return server.engine, server.version.removeprefix("v")
    match = _ENGINE_IMAGE.search(str(container.value("image")))
    return (match[1] or match[2], match[3]) if match else ("", "")

"""The Job that fills a shared cache once, so that engines start offline."""

import hashlib
import json
from dataclasses import dataclass, replace

from krm_fn.engines.base import Server
from krm_fn.krm.item import Manifest
from krm_fn.resources.access import network_policy
from krm_fn.resources.container import environment, security_context
from krm_fn.resources.metadata import Identity, compact, labels, metadata
from krm_fn.resources.storage import Cache, Mount, scratch, volume_mounts, weight_mounts

COMPONENT = "prefetch"
SHELL = ("/bin/sh", "-c")


@dataclass(frozen=True, kw_only=True, slots=True)
class Prefetch:
    """A download into the cache folder with the tools of the engine's image, which has a shell.

    `marker` = a file in the cache that says that the download of these very weights is complete.
    """

    command: tuple[str, ...]
    marker: str
    env: tuple[tuple[str, str], ...] = ()
    secret_env: tuple[tuple[str, str, str, bool], ...] = ()
    cpu: str = "1"
    memory: str = "4Gi"


def prefetch_identity(identity: Identity) -> Identity:
    """The Job's pods are not the Service's: another component."""
    return replace(identity, component=COMPONENT)


def prefetch_mounts(identity: Identity, server: Server, cache: Cache) -> tuple[Mount, ...]:
    return (*weight_mounts(identity, server, cache, None), *scratch(server))


def prefetch_policy(identity: Identity) -> Manifest:
    """Nobody calls the Job; it calls out."""
    own = prefetch_identity(identity)
    name = f"{identity.name}-{COMPONENT}"
    return network_policy(own, name=name, callers=(), port=None, downloads=True)


def prefetch_container(
    prefetch: Prefetch, server: Server, *, image: str, mounts: tuple[Mount, ...]
) -> Manifest:
    """The engine's image and folders with another command, and no device."""
    return compact(
        name=COMPONENT,
        image=image,
        imagePullPolicy="IfNotPresent",
        command=[*SHELL, '"$@" && touch "$0"', prefetch.marker],
        args=list(prefetch.command),
        env=environment(prefetch.env, (), prefetch.secret_env),
        resources={"requests": {"cpu": prefetch.cpu, "memory": prefetch.memory}},
        securityContext=security_context(server),
        terminationMessagePolicy="FallbackToLogsOnError",
        volumeMounts=volume_mounts(mounts),
    )


def waiting_container(
    prefetch: Prefetch, server: Server, *, image: str, mounts: tuple[Mount, ...]
) -> Manifest:
    """Holds an engine back until the weights are complete; it would crash without them."""
    return {
        "name": "wait-for-weights",
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "command": [*SHELL, 'until test -e "$0"; do sleep 5; done', prefetch.marker],
        "resources": {"requests": {"cpu": "100m", "memory": "64Mi"}},
        "securityContext": security_context(server),
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": volume_mounts(mounts),
    }


def prefetch_job(identity: Identity, *, pod: Manifest) -> Manifest:
    """`identity` = that of the engine. A Job cannot be changed, so another pod is another Job."""
    own = prefetch_identity(identity)
    digest = hashlib.sha256(json.dumps(pod, sort_keys=True).encode()).hexdigest()
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": metadata(own, name=f"{identity.name}-{COMPONENT}-{digest[:8]}"),
        "spec": {
            "backoffLimit": 4,
            "template": {
                "metadata": {"labels": labels(own)},
                "spec": pod | {"restartPolicy": "OnFailure"},
            },
        },
    }

"""The Job that fills a shared cache once, so that engines start offline."""

import hashlib
from dataclasses import dataclass, replace

from krm_fn.engines.base import Server
from krm_fn.krm.item import Manifest
from krm_fn.resources.access import network_policy
from krm_fn.resources.container import environment, security_context
from krm_fn.resources.metadata import Identity, compact, labels, metadata
from krm_fn.resources.storage import Cache, Mount, scratch, volume_mounts, weight_mounts

COMPONENT = "prefetch"


@dataclass(frozen=True, kw_only=True, slots=True)
class Prefetch:
    """A download into the cache folder with the tools of the engine's image.

    `memory_bytes` = what the download itself needs; there is no GPU in it.
    """

    command: tuple[str, ...]
    args: tuple[str, ...] = ()
    env: tuple[tuple[str, str], ...] = ()
    secret_env: tuple[tuple[str, str, str, bool], ...] = ()
    cpu: str = "1"
    memory: str = "2Gi"


def prefetch_identity(identity: Identity) -> Identity:
    """The Job's pods are not the Service's: another component."""
    return replace(identity, component=COMPONENT)


def prefetch_name(identity: Identity, prefetch: Prefetch, image: str) -> str:
    """A Job cannot be changed, so another download is another Job."""
    text = "\0".join((image, *prefetch.command, *prefetch.args))
    return f"{identity.name}-{COMPONENT}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"


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
        command=list(prefetch.command),
        args=list(prefetch.args) or None,
        env=environment(prefetch.env, (), prefetch.secret_env),
        resources={"requests": {"cpu": prefetch.cpu, "memory": prefetch.memory}},
        securityContext=security_context(server),
        terminationMessagePolicy="FallbackToLogsOnError",
        volumeMounts=volume_mounts(mounts),
    )


def prefetch_job(identity: Identity, *, name: str, pod: Manifest) -> Manifest:
    """`identity` = that of the engine; the Job's labels differ in the component."""
    own = prefetch_identity(identity)
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": metadata(own, name=name),
        "spec": {
            "backoffLimit": 4,
            "template": {
                "metadata": {"labels": labels(own)},
                "spec": pod | {"restartPolicy": "OnFailure"},
            },
        },
    }

"""Volumes: the claim, the weight cache, shared memory and every folder that the process writes."""

from dataclasses import dataclass, replace
from typing import Literal

from krm_fn.engines.base import Server
from krm_fn.krm.item import Manifest
from krm_fn.resources.metadata import Identity, compact, metadata
from krm_fn.units import quantity

SHARED = "ReadWriteMany"


@dataclass(frozen=True, kw_only=True, slots=True)
class Cache:
    """Where downloaded weights stay.

    `claim` outlives pods (`ReadWriteMany` = shared by all replicas), `ephemeral` is a volume of its
    own for every pod, `none` a folder of the node's disk.
    """

    kind: Literal["claim", "ephemeral", "none"] = "none"
    access_mode: str = "ReadWriteOnce"
    storage_class: str | None = None
    size_bytes: int = 0

    @property
    def is_shared(self) -> bool:
        return self.kind == "claim" and self.access_mode == SHARED


@dataclass(frozen=True, kw_only=True, slots=True)
class WeightsClaim:
    """A claim that exists already and holds the weights; mounted read-only at `path`."""

    name: str
    path: str
    sub_path: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Mount:
    """A volume and where the container sees it."""

    name: str
    path: str
    source: Manifest
    read_only: bool = False
    sub_path: str | None = None


def claim_name(identity: Identity) -> str:
    return f"{identity.name}-cache"


def config_name(identity: Identity) -> str:
    return f"{identity.name}-config"


# An engine may be taken away for a while; hundreds of gigabytes of weights are not loaded again.
# Argo CD, Flux and kpt live each have a word of their own for it; kubectl has none.
KEPT = {
    "argocd.argoproj.io/sync-options": "Prune=false,Delete=false",
    "client.lifecycle.config.k8s.io/deletion": "detach",
    "kustomize.toolkit.fluxcd.io/prune": "disabled",
}


def claim(identity: Identity, cache: Cache) -> Manifest:
    """The claim of the weight cache; a default storage class is left unnamed."""
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": metadata(identity, name=claim_name(identity), annotations=KEPT),
        "spec": _claim_spec(cache),
    }


def _claim_spec(cache: Cache) -> Manifest:
    return compact(
        accessModes=[cache.access_mode],
        storageClassName=cache.storage_class,
        resources={"requests": {"storage": quantity(cache.size_bytes)}},
    )


def mounts(
    identity: Identity, server: Server, cache: Cache, weights: WeightsClaim | None
) -> tuple[Mount, ...]:
    """All volumes of a server's pod, each with one source, in a fixed order."""
    return (
        *shared_memory(server),
        *weight_mounts(identity, server, cache, weights),
        *scratch(server),
        *configuration(identity, server),
    )


def shared_memory(server: Server) -> tuple[Mount, ...]:
    if not server.shared_memory_bytes:
        return ()
    source = {"medium": "Memory", "sizeLimit": quantity(server.shared_memory_bytes)}
    return (Mount(name="dshm", path="/dev/shm", source={"emptyDir": source}),)  # noqa: S108 - a mount


def weight_mounts(
    identity: Identity, server: Server, cache: Cache, weights: WeightsClaim | None
) -> tuple[Mount, ...]:
    """The cache if the server downloads, else the claim that holds the weights."""
    if weights and server.gpus:
        source = {"persistentVolumeClaim": {"claimName": weights.name, "readOnly": True}}
        mount = Mount(name="weights", path=weights.path, source=source, read_only=True)
        return (replace(mount, sub_path=weights.sub_path),)
    if server.cache_path is None:
        return ()
    source = _cache_source(identity, server, cache)
    return (Mount(name="weights", path=server.cache_path, source=source),)


def _cache_source(identity: Identity, server: Server, cache: Cache) -> Manifest:
    if cache.kind == "claim":
        return {"persistentVolumeClaim": {"claimName": claim_name(identity)}}
    if cache.kind == "ephemeral":
        template = {"spec": _claim_spec(cache)}
        return {"ephemeral": {"volumeClaimTemplate": template}}
    return {"emptyDir": _limited(node_cache_bytes(server, cache) or None)}


def node_cache_bytes(server: Server, cache: Cache) -> int:
    """What the cache takes of the node's disk: nothing when it is a volume."""
    if cache.kind != "none" or server.cache_path is None:
        return 0
    return cache.size_bytes or server.cache_bytes


def scratch(server: Server) -> tuple[Mount, ...]:
    """Folders that the process writes and nobody needs afterwards."""
    return tuple(
        Mount(name=name, path=path, source={"emptyDir": _limited(size)})
        for name, path, size in server.writable
    )


def _limited(size: int | None) -> Manifest:
    return compact(sizeLimit=quantity(size) if size else None)


def configuration(identity: Identity, server: Server) -> tuple[Mount, ...]:
    if not server.files:
        return ()
    source = {"configMap": {"name": config_name(identity)}}
    return (Mount(name="config", path=server.files_path, source=source, read_only=True),)


def volumes(mounts: tuple[Mount, ...]) -> list[Manifest] | None:
    return [{"name": mount.name, **mount.source} for mount in mounts] or None


def volume_mounts(mounts: tuple[Mount, ...]) -> list[Manifest] | None:
    return [
        compact(
            name=mount.name,
            mountPath=mount.path,
            subPath=mount.sub_path,
            readOnly=mount.read_only or None,
        )
        for mount in mounts
    ] or None

"""The container `server`: argv, environment, ports, needs, probes."""

from krm_fn.engines.base import Probe, Server
from krm_fn.krm.item import Manifest
from krm_fn.resources.metadata import compact
from krm_fn.resources.storage import Mount, volume_mounts
from krm_fn.units import quantity

NAME = "server"
PORT = "http"


def container(
    server: Server, *, image: str, resources: Manifest, mounts: tuple[Mount, ...]
) -> Manifest:
    """One engine process; no argument and no number is decided here."""
    return compact(
        name=NAME,
        image=image,
        imagePullPolicy="IfNotPresent",
        command=list(server.command) or None,
        args=list(server.args) or None,
        env=environment(server.env, server.field_env, server.secret_env),
        ports=[{"name": PORT, "containerPort": server.port, "protocol": "TCP"}],
        resources=resources,
        startupProbe=probe(server.startup),
        readinessProbe=probe(server.readiness),
        livenessProbe=probe(server.liveness),
        lifecycle=lifecycle(server),
        securityContext=security_context(server),
        terminationMessagePolicy="FallbackToLogsOnError",
        volumeMounts=volume_mounts(mounts),
    )


def image(name: str, registry: str | None) -> str:
    """The image at a mirror: its own registry, if it names one, gives way to `registry`.

    >>> image("ghcr.io/llm-d/sim:v1", "mirror.example/ai")
    'mirror.example/ai/llm-d/sim:v1'
    """
    if registry is None:
        return name
    first, slash, rest = name.partition("/")
    names_registry = bool(slash) and ("." in first or ":" in first or first == "localhost")
    return f"{registry.rstrip('/')}/{rest if names_registry else name}"


def environment(
    env: tuple[tuple[str, str], ...],
    field_env: tuple[tuple[str, str], ...] = (),
    secret_env: tuple[tuple[str, str, str, bool], ...] = (),
) -> list[Manifest] | None:
    """Values, fields of the pod, and keys of secrets; never a secret's value."""
    fields = [
        {"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}} for name, path in field_env
    ]
    secrets = [
        {"name": name, "valueFrom": {"secretKeyRef": _secret_key(secret, key, is_optional)}}
        for name, secret, key, is_optional in secret_env
    ]
    return [{"name": name, "value": value} for name, value in env] + fields + secrets or None


def _secret_key(secret: str, key: str, is_optional: bool) -> Manifest:  # noqa: FBT001 - Server's tuple
    return compact(name=secret, key=key, optional=True if is_optional else None)


def resources(server: Server, *, gpu_resource: str, node_cache_bytes: int = 0) -> Manifest:
    """Requests and limits. Devices are equal in both; CPU has no limit unless the server says so.

    `server.memory_bytes` has /dev/shm in it, which is memory of the pod.
    """
    disk = server.ephemeral_bytes + node_cache_bytes
    devices = {gpu_resource: str(server.gpus)} if server.gpus else {}
    same = compact(**{"ephemeral-storage": quantity(disk) if disk else None}) | devices
    requests = _needs(server.cpu_cores, server.memory_bytes) | same
    limits = _needs(server.cpu_limit_cores, server.memory_limit_bytes) | same
    return compact(requests=requests, limits=limits or None)


def _needs(cpu_cores: float | None, memory_bytes: int | None) -> Manifest:
    return compact(
        cpu=cores(cpu_cores) if cpu_cores else None,
        memory=quantity(memory_bytes) if memory_bytes else None,
    )


def cores(count: float) -> str:
    """`8`, `1500m`."""
    return str(int(count)) if count == int(count) else f"{round(count * 1000)}m"


def probe(question: Probe) -> Manifest:
    return {
        "httpGet": {"path": question.path, "port": PORT},
        "periodSeconds": question.period_seconds,
        "timeoutSeconds": question.timeout_seconds,
        "failureThreshold": question.failure_threshold,
    }


def lifecycle(server: Server) -> Manifest | None:
    """The wait until the endpoint is gone; the kubelet's own sleep needs no shell in the image."""
    if not server.pre_stop_seconds:
        return None
    return {"preStop": {"sleep": {"seconds": server.pre_stop_seconds}}}


def security_context(server: Server) -> Manifest:
    return compact(
        allowPrivilegeEscalation=False,
        readOnlyRootFilesystem=server.read_only_root or None,
        capabilities={"drop": ["ALL"]},
    )

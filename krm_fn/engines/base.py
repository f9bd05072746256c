"""The two values of this room: an Engine says what it can do, a Server what to run.

Kubernetes is not known here: a Server is a process with an image, an argv, ports, probes and needs.
"""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Probe:
    """An HTTP question to the server and how patient to be."""

    path: str
    period_seconds: int
    timeout_seconds: int
    failure_threshold: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Metric:
    """A gauge of the engine and the average per replica that the plan is made for.

    `name` as the engine prints it (`vllm:num_requests_waiting`).
    """

    name: str
    target: int
    because: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Server:
    """One process of an engine, as the plan wants it.

    `args` has one element per token. `env` is ordered pairs; `secret_env` maps a variable to the
    (secret, key, optional) that holds it. `writable` = (volume name, path, size in bytes or None)
    of folders the process writes. `user` None = the image's own user (root); `group` its group.
    `memory_bytes` and its limit have `shared_memory_bytes` in them.
    `shutdown_seconds` = how long the server may finish answers after SIGTERM; `pre_stop_seconds` =
    wait before SIGTERM so that the endpoint is gone. `files` = configuration files by name.
    """

    engine: str
    version: str
    image: str
    command: tuple[str, ...]
    args: tuple[str, ...]
    env: tuple[tuple[str, str], ...] = ()
    field_env: tuple[tuple[str, str], ...] = ()
    secret_env: tuple[tuple[str, str, str, bool], ...] = ()
    port: int = 8000
    startup: Probe
    readiness: Probe
    liveness: Probe
    metrics_path: str = "/metrics"
    metrics: tuple[Metric, ...] = ()
    gpus: int = 0
    user: int | None = None
    group: int | None = None
    supplemental_groups: tuple[int, ...] = ()
    read_only_root: bool = False
    writable: tuple[tuple[str, str, int | None], ...] = ()
    cache_path: str | None = None
    cache_bytes: int = 0
    shared_memory_bytes: int = 0
    cpu_cores: float = 1.0
    cpu_limit_cores: float | None = None
    memory_bytes: int = 0
    memory_limit_bytes: int | None = None
    ephemeral_bytes: int = 0
    pre_stop_seconds: int = 15
    shutdown_seconds: int = 30
    startup_seconds: int = 900
    files: tuple[tuple[str, str], ...] = ()
    files_path: str = "/etc/krm-fn"
    pod_labels: tuple[tuple[str, str], ...] = ()

    @property
    def grace_seconds(self) -> int:
        """PreStop + shutdown + a margin for the process to leave."""
        return self.pre_stop_seconds + self.shutdown_seconds + 15

"""What an engine is told when it is asked for its Server."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from krm_fn.catalog.shape import ModelShape
from krm_fn.engines.base import Metric, Probe, Server
from krm_fn.planner.extras import DraftRules, LoraRules, Method, OffloadRules
from krm_fn.planner.host import KERNEL_CACHE_BYTES, HostNeeds, SharedMemory
from krm_fn.planner.limits import EngineLimits
from krm_fn.planner.plan import Plan, Question


@dataclass(frozen=True, kw_only=True, slots=True)
class Token:
    """The secret that holds the Hub token. `optional` = the pod starts without it."""

    secret: str
    key: str
    optional: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Launch:
    """One engine start: the plan and everything about it that is no arithmetic.

    `model` = Hub id or path in the container. `local` = weights are in the container's file system
    (no download). `offline` = the Hub must not be asked. `user` None = the cluster chooses.
    `cache_bytes` = room that the weights take on the cache volume.
    """

    plan: Plan
    question: Question
    version: str
    image: str
    model: str
    served_name: str
    revision: str | None = None
    trust_remote_code: bool = False
    local: bool = False
    offline: bool = False
    token: Token | None = None
    extra_args: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    secret_env: tuple[tuple[str, Token], ...] = ()
    user: int | None = None
    user_stated: bool = False
    supplemental_groups: tuple[int, ...] = ()
    host: HostNeeds
    cache_bytes: int = 0

    @property
    def secrets(self) -> tuple[tuple[str, str, str, bool], ...]:
        """(variable, secret, key, optional) of the Hub's token and of what the user refers to."""
        token = (("HF_TOKEN", self.token),) if self.token else ()
        return (*_references(token), *self.own_secrets)

    @property
    def own_secrets(self) -> tuple[tuple[str, str, str, bool], ...]:
        """Those that the user refers to."""
        return _references(self.secret_env)


def _references(
    named: tuple[tuple[str, Token], ...],
) -> tuple[tuple[str, str, str, bool], ...]:
    return tuple((name, ref.secret, ref.key, ref.optional) for name, ref in named)


def gpu_server(
    launch: Launch,
    *,
    engine: str,
    command: tuple[str, ...],
    args: tuple[str, ...],
    env: tuple[tuple[str, str], ...],
    probes: tuple[Probe, Probe, Probe],
    metrics: tuple[Metric, ...],
    user: int | None,
    home: str,
) -> Server:
    """A server on GPUs: what does not depend on the engine comes from the launch.

    `probes` = startup, readiness, liveness. All that is written stands on volumes: weights, kernel
    caches, home, /tmp.
    """
    host = launch.host
    startup, readiness, liveness = probes
    return Server(
        engine=engine,
        version=launch.version,
        image=launch.image,
        command=command,
        args=args,
        env=env,
        secret_env=launch.secrets,
        startup=startup,
        readiness=readiness,
        liveness=liveness,
        metrics=metrics,
        gpus=launch.plan.gpus_per_replica,
        user=user,
        group=0 if user is not None else None,
        supplemental_groups=launch.supplemental_groups,
        writable=(
            ("cache", "/cache", KERNEL_CACHE_BYTES),
            ("home", home, None),
            ("tmp", "/tmp", None),  # noqa: S108  # a path in the container
        ),
        cache_path=None if launch.local else "/models",
        cache_bytes=launch.cache_bytes,
        shared_memory_bytes=host.shared_memory_bytes,
        cpu_cores=host.cpu_cores,
        memory_bytes=host.memory_bytes,
        memory_limit_bytes=host.memory_limit_bytes,
        ephemeral_bytes=host.ephemeral_bytes,
        pre_stop_seconds=host.pre_stop_seconds,
        shutdown_seconds=host.shutdown_seconds,
        startup_seconds=host.startup_seconds,
        pod_labels=(
            ("llm-d.ai/inference-serving", "true"),
            ("llm-d.ai/engine-type", engine),
            ("llm-d.ai/role", "both"),
        ),
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Engine:
    """An engine: its name, its newest version, its memory rules and its way to start.

    `planned` False = it has no GPU plan of its own (the mock). `restricted` = the Pod Security
    profile that its image allows without a stated uid. `owned` maps a flag that we set to the field
    that decides it, `needs` a field of `spec.serving` to the flag without which a version does not
    have it. `lora` = where a version keeps room for adapters of a model, None = it takes none;
    `offload` = how it keeps a KV cache in the memory of a node with GPUs of this vendor; `draft` =
    how it drafts by a method for a model, None = it does not.
    `image` = its repository, where the catalogue has no row.
    """

    name: str
    newest: str
    planned: bool
    limits: Callable[[str], EngineLimits] | None
    server: Callable[[Launch], Server]
    shared_memory: SharedMemory
    image: str | None = None
    restricted: bool = True
    owned: Mapping[str, str] = field(default_factory=dict)
    needs: Mapping[str, str] = field(default_factory=dict)
    lora: Callable[[str, ModelShape], LoraRules | None] | None = None
    offload: Callable[[str, str], OffloadRules] | None = None
    draft: Callable[[str, Method, ModelShape], DraftRules | None] | None = None
    drafts_with_lora: bool = True

    def default_image(self, version: str) -> str:
        return f"{self.image}:v{version}"


def load_metrics(launch: Launch, *, waiting: str, running: str) -> tuple[Metric, ...]:
    """Scale on requests that wait; and on requests that run, before the planned batch is full."""
    concurrency = launch.plan.estimate.concurrency if launch.plan.estimate else 1
    return (
        Metric(
            name=waiting,
            target=max(1, concurrency // 10),
            because="a tenth of the planned concurrency may wait",
        ),
        Metric(
            name=running,
            target=max(1, concurrency),
            because="the planned concurrency of one replica",
        ),
    )

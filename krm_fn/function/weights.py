"""Where weights come from and stay: the Hub, a claim, a path; caches, tokens and the prefetch."""

import hashlib
from collections.abc import Iterable, Iterator

from krm_fn.api.v1alpha1 import LLMService, StorageSpec
from krm_fn.engines import Server, Token
from krm_fn.errors import Result, error
from krm_fn.function.facts import Facts
from krm_fn.planner.adapters import file_bytes
from krm_fn.planner.plan import Plan, Question
from krm_fn.planner.weights import checkpoint_bytes
from krm_fn.resources.prefetch import Prefetch
from krm_fn.resources.storage import Cache, WeightsClaim
from krm_fn.units import GIB, coarse_bytes, gib, quantity, quantity_bytes

WEIGHTS_PATH = "/weights"
CACHE_STEPS = tuple(size * GIB for size in (10, 20, 50, 100, 150, 200, 300, 500, 750, 1000))
CACHE_FACTOR = 1.1
"""Weights and a tenth: tokenizer, partial downloads and file system overhead."""
DOWNLOAD = (
    "import sys, huggingface_hub as hub; "
    "hub.snapshot_download(sys.argv[1], revision=sys.argv[2] or None)"
)
"""Both engines' images have huggingface_hub; the name of its command changed over versions."""
DOWNLOADS = DOWNLOAD + (
    "; [hub.snapshot_download(name, revision=at or None) "
    "for name, _, at in (each.partition('@') for each in sys.argv[3:])]"
)


def downloads(service: LLMService) -> bool:
    return service.spec.model.uri == "hub" and not service.spec.model.id.startswith("/")


def weights_claim(service: LLMService) -> WeightsClaim | None:
    uri = service.spec.model.uri
    if not uri.startswith("pvc://"):
        return None
    name, _, path = uri.removeprefix("pvc://").partition("/")
    return WeightsClaim(name=name, path=WEIGHTS_PATH, sub_path=path or None)


def model_path(service: LLMService) -> str:
    """The Hub's id, or where the weights are mounted."""
    model = service.spec.model
    if model.uri.startswith("pvc://"):
        return WEIGHTS_PATH
    if model.uri.startswith("/"):
        return model.uri
    return model.id


def token(facts: Facts) -> Token | None:
    """The stated reference; the default one for a gated model of the Hub (design decision 6)."""
    model = facts.service.spec.model
    if model.token_secret_ref:
        return Token(secret=model.token_secret_ref.name, key=model.token_secret_ref.key)
    if facts.card.gated and model.uri == "hub":
        return Token(secret="hf-token", key="HF_TOKEN")  # noqa: S106  # names, not values
    return None


def cache_bytes(facts: Facts, question: Question) -> int:
    """Room for the weights in coarse steps, so that a claim need not grow with a revision."""
    size = facts.service.spec.storage.size
    if size:
        return quantity_bytes(size)
    return _room(question)


def _room(question: Question) -> int:
    return coarse_bytes(int(_files(question) * CACHE_FACTOR), CACHE_STEPS)


def _files(question: Question) -> int:
    return checkpoint_bytes(question) + file_bytes(question)


def disk_bytes(facts: Facts, plan: Plan, question: Question) -> int:
    """What the weights take of the node's disk: nothing where they have a volume."""
    on_disk = cache(facts.service.spec.storage, plan, 0).kind == "none"
    return cache_bytes(facts, question) if on_disk and downloads(facts.service) else 0


def size_faults(facts: Facts, question: Question) -> Iterator[Result]:
    """A stated cache that the download alone would fill."""
    storage = facts.service.spec.storage
    if not storage.size or storage.cache == "none" or not downloads(facts.service):
        return
    if quantity_bytes(storage.size) < _files(question):
        room = quantity(_room(question))
        yield error(
            f"does not hold the weights: the files are {gib(_files(question))}, got "
            f"'{storage.size}'; leave it out, or state {room}",
            "spec.storage.size",
            current=storage.size,
            proposed=room,
        )


def cache(storage: StorageSpec, plan: Plan, size: int) -> Cache:
    """`auto`: a claim where one replica is the maximum or a shared class is stated."""
    mode = storage.access_mode
    single = plan.max_replicas == 1
    kind = storage.cache
    if kind == "auto":
        kind = "claim" if single or mode == "ReadWriteMany" else "ephemeral"
    return Cache(
        kind=kind,
        access_mode=mode or "ReadWriteOnce",
        storage_class=storage.storage_class,
        size_bytes=size,
    )


def storage_faults(facts: Facts, plans: Iterable[Plan]) -> Iterator[Result]:
    """A claim that one node mounts, for more replicas than one."""
    most = max((plan.max_replicas for plan in plans), default=1)
    for plan in plans:
        found = cache(facts.service.spec.storage, plan, 0)
        if most > 1 and found.kind == "claim" and not found.is_shared:
            yield error(
                f"cannot be one claim of one node for {most} replicas: state `accessMode: "
                "ReadWriteMany` with a `storageClass` that has it, `cache: ephemeral` for a "
                "download per pod, or `scaling.maxReplicas: 1`",
                "spec.storage.cache",
                current=found.kind,
                proposed="ephemeral",
            )
            return


def needs_recreate(facts: Facts, plan: Plan) -> bool:
    storage = facts.service.spec.storage
    found = cache(storage, plan, 0)
    return downloads(facts.service) and found.kind == "claim" and not found.is_shared


def is_prefetched(service: LLMService, plan: Plan) -> bool:
    """A shared cache is filled once, by a Job, and the engines stay off the Hub."""
    storage = service.spec.storage
    shared = cache(storage, plan, 0).is_shared
    return downloads(service) and shared and storage.prefetch is not False


def hub_extras(facts: Facts) -> tuple[str, ...]:
    """Adapters and drafts of the Hub, `id` or `id@revision`; offline engines need them cached."""
    serving = facts.service.spec.serving
    drafting = serving.speculative.model if serving.speculative else None
    ids = [adapter.id for adapter in (serving.lora.adapters if serving.lora else ())]
    ids += ["@".join(filter(None, (drafting.id, drafting.revision)))] if drafting else []
    return tuple(dict.fromkeys(name for name in ids if not name.startswith("/")))


def prefetch(facts: Facts, server: Server) -> Prefetch:
    """The download with the engine's own image; the marker names the weights it is for."""
    model, revision = facts.service.spec.model.id, facts.card.revision or ""
    more = hub_extras(facts)
    wanted = " ".join((f"{model}@{revision}", *more))
    digest = hashlib.sha256(wanted.encode()).hexdigest()[:12]
    found = token(facts)
    return Prefetch(
        command=("python3", "-c", DOWNLOADS if more else DOWNLOAD, model, revision, *more),
        marker=f"{server.cache_path}/.complete-{digest}",
        env=tuple(pair for pair in server.env if pair[0] in ("HOME", "USER", "HF_HOME")),
        secret_env=(("HF_TOKEN", found.secret, found.key, found.optional),) if found else (),
    )

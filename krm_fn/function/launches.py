"""From a plan to the launch of an engine: paths, tokens, host needs."""

from collections.abc import Iterator

from krm_fn.api.v1alpha1 import LLMService
from krm_fn.engines import Launch, Token
from krm_fn.errors import Result, info, warning
from krm_fn.function.facts import Facts
from krm_fn.function.variant_facts import VariantFacts
from krm_fn.function.weights import cache_bytes, disk_bytes, is_prefetched, model_path, token
from krm_fn.planner import host
from krm_fn.planner.adapters import host_bytes
from krm_fn.planner.plan import Plan, Question
from krm_fn.planner.serving import UNCOUNTED
from krm_fn.planner.weights import checkpoint_bytes
from krm_fn.units import GIB, quantity_bytes, quantity_cores, rate_bytes

WORK_BYTES = 20 * GIB
"""Compiled kernels, logs and temporary files of one engine pod."""
SPOT_PRE_STOP, PRE_STOP = 5, 15
MOCK_DRAIN_SECONDS = 35
"""llm-d-inference-sim drains for 30 s at most and closes its server in 5 s (v0.10.2)."""


def launch(facts: Facts, variant: VariantFacts, plan: Plan, question: Question) -> Launch:
    """The Launch of one variant; the mock gets the plan of the variant that it is like."""
    service = facts.service
    model = service.spec.model
    own = (service.spec.serving, variant.spec) if variant.engine.planned else (variant.spec,)
    is_local = model.uri != "hub" or model.id.startswith("/")
    return Launch(
        plan=plan,
        question=question,
        version=variant.version,
        image=variant.image,
        model=model_path(service) if variant.engine.planned else model.id,
        served_name=model.served_name or model.id,
        revision=None if is_local else facts.card.revision,
        trust_remote_code=model.trust_remote_code,
        local=is_local,
        offline=is_prefetched(service, plan),
        token=None if is_prefetched(service, plan) else token(facts),
        extra_args=tuple(arg for stated in own for arg in stated.extra_args),
        env={name: value for stated in own for name, value in stated.env.items()},
        secret_env=tuple(
            (name, Token(secret=ref.name, key=ref.key))
            for stated in own
            for name, ref in stated.secret_env.items()
        ),
        user=service.spec.security.run_as_user,
        user_stated="run_as_user" in service.spec.security.model_fields_set,
        supplemental_groups=_groups(service),
        host=host_needs(facts, variant, plan, question),
        cache_bytes=cache_bytes(facts, question),
    )


def _groups(service: LLMService) -> tuple[int, ...]:
    group = service.spec.security.render_group
    return (group,) if group is not None else ()


def host_needs(
    facts: Facts, variant: VariantFacts, plan: Plan, question: Question
) -> host.HostNeeds:
    node, gpus = node_shape(facts), plan.gpus_per_replica
    shared = shared_bytes(variant, plan, question)
    pinned = pinned_bytes(question, plan) if variant.engine.planned else 0
    request, limit = host.memory_bytes(gpus, shared, node, _whole(pinned))
    on_disk = disk_bytes(facts, plan, question)
    return host.HostNeeds(
        cpu_cores=host.cpu_cores(gpus, node),
        memory_bytes=request,
        memory_limit_bytes=limit,
        ephemeral_bytes=host.ephemeral_bytes(WORK_BYTES, gpus, node, on_disk),
        shared_memory_bytes=shared,
        startup_seconds=_startup(facts, plan, question),
        shutdown_seconds=_drain(variant, plan, question),
        pre_stop_seconds=SPOT_PRE_STOP if facts.pool.spot and variant.engine.planned else PRE_STOP,
    )


def _startup(facts: Facts, plan: Plan, question: Question) -> int:
    storage = facts.service.spec.storage
    rates = host.Storage(
        download_bytes=rate_bytes(storage.download_bandwidth),
        read_bytes=rate_bytes(storage.read_bandwidth),
    )
    size, layers = checkpoint_bytes(question), len(question.shape.layers)
    return host.startup_seconds(size, layers, rates, eager=plan.serving.enforce_eager)


def pinned_bytes(question: Question, plan: Plan) -> int:
    """What a pod locks in the node's memory beside its working memory."""
    offload = question.extras.offload
    private = offload.size_bytes if offload and not offload.rules.shared else 0
    return host_bytes(question, plan.parallelism, plan.serving) + private


def shared_bytes(variant: VariantFacts, plan: Plan, question: Question) -> int:
    """`/dev/shm`: what the engine's processes talk through, and an offloaded KV cache in it."""
    offload = question.extras.offload if variant.engine.planned else None
    held = offload.size_bytes if offload and offload.rules.shared else 0
    return variant.engine.shared_memory.bytes(plan.gpus_per_replica) + _whole(held)


def _whole(size: int) -> int:
    """In whole GiB, so that a request reads well."""
    return -(-size // GIB) * GIB


def _drain(variant: VariantFacts, plan: Plan, question: Question) -> int:
    if not variant.engine.planned:
        return MOCK_DRAIN_SECONDS
    speed = plan.estimate
    itl, ttft = (speed.itl_seconds, speed.ttft_seconds) if speed else (0.0, 0.0)
    return host.shutdown_seconds(question.workload.output_tokens, itl, ttft)


def node_shape(facts: Facts) -> host.NodeShape:
    node = facts.pool.node
    return host.NodeShape(
        cpu_cores=quantity_cores(node.cpu) if node.cpu else None,
        memory_bytes=quantity_bytes(node.memory) if node.memory else None,
        ephemeral_bytes=quantity_bytes(node.ephemeral_storage) if node.ephemeral_storage else None,
        gpus=facts.pool.gpus_per_node,
    )


def launch_results(facts: Facts) -> Iterator[Result]:
    """What is to be said about weights, tokens and the node."""
    yield from _weight_results(facts)
    node = facts.pool.node
    if not (node.cpu and node.memory):
        yield info(
            "is not stated: CPU and memory requests are modest and memory has no limit; state what "
            "`kubectl describe node` prints as allocatable",
            "spec.gpuPool.node",
        )
    yield from _draft_results(facts)
    if facts.pool.spot:
        yield warning(
            "a spot node gives its pods some 25 seconds: answers that take longer are cut",
            "spec.gpuPool.spot",
        )


def _weight_results(facts: Facts) -> Iterator[Result]:
    """Of a model that comes from the Hub."""
    model = facts.service.spec.model
    if facts.card.gated and model.uri == "hub" and not model.token_secret_ref:
        yield warning(
            f"{model.id} is gated: its pods need a token; `kubectl create secret generic hf-token "
            "--from-literal=HF_TOKEN=...` in their namespace, after its terms are accepted",
            "spec.model.tokenSecretRef",
        )
    if model.uri == "hub" and not model.id.startswith("/") and not facts.card.revision:
        yield warning(
            "is not stated: a later push to the repository changes what a restarted pod loads; "
            f"`krm-fn resolve {model.id}` finds it",
            "spec.model.revision",
        )


def _draft_results(facts: Facts) -> Iterator[Result]:
    stated, at = facts.service.spec.serving.speculative, "spec.serving.speculative"
    if stated is None:
        return
    yield info(UNCOUNTED, at)
    if stated.model and not stated.model.id.startswith("/") and not stated.model.revision:
        yield warning(
            "is not stated: a later push to the repository changes which draft a restarted pod "
            "loads",
            f"{at}.model.revision",
        )

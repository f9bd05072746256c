"""From facts to the planner's questions: one per GPU variant."""

from collections.abc import Iterable
from typing import TypeVar

from krm_fn.api.v1alpha1 import GpuPoolSpec, LLMService
from krm_fn.catalog.rows import Gpu
from krm_fn.function.facts import Facts
from krm_fn.function.variant_facts import VariantFacts
from krm_fn.function.workloads import workload
from krm_fn.planner.extras import NO_LORA_RULES, Draft, DraftRules, Extras, Lora, Offload, adapted
from krm_fn.planner.loading import loaded
from krm_fn.planner.plan import Interconnect, PoolShape, Question, Stated
from krm_fn.planner.weights import file_bytes
from krm_fn.units import quantity_bytes

T = TypeVar("T")


def questions(facts: Facts) -> tuple[Question, ...]:
    return tuple(question(facts, variant) for variant in facts.modelled)


def question(facts: Facts, variant: VariantFacts) -> Question:
    assert variant.engine.limits is not None
    totals = facts.card.safetensors
    asked_for = extras(facts, variant)
    asked = Question(
        service=facts.service.metadata.name,
        variant=variant.name,
        model_id=facts.service.spec.model.id,
        shape=facts.card.shape,
        pool=pool_shape(facts.pool, facts.gpu),
        workload=workload(facts.service, facts.variants, facts.card.shape),
        stated=stated(facts.service, variant),
        engine=adapted(variant.engine.limits(variant.version), asked_for),
        checkpoint_bytes=totals.total_bytes if totals else None,
        checkpoint_bytes_by_dtype=tuple(totals.by_dtype.items()) if totals else (),
        extras=asked_for,
    )
    return loaded(asked)


def extras(facts: Facts, variant: VariantFacts) -> Extras:
    serving = facts.service.spec.serving
    multimodal = serving.multimodal
    return Extras(
        prefix_caching=serving.prefix_caching,
        lora=_lora(facts, variant) if serving.lora else None,
        offload=_offload(facts, variant),
        draft=_draft(facts, variant),
        text_only=multimodal.text_only,
        whole_encoder=_whole_encoder(facts, variant),
        limits=tuple(multimodal.limits.model_dump(exclude_none=True).items()),
    )


def _whole_encoder(facts: Facts, variant: VariantFacts) -> bool:
    """Whether the user's own flags put a copy of the encoder on every GPU."""
    assert variant.engine.limits is not None
    flag = variant.engine.limits(variant.version).whole_encoder
    stated = (*facts.service.spec.serving.extra_args, *variant.spec.extra_args)
    return bool(flag) and flag.replace("=", " ") in " ".join(stated).replace("=", " ")


def _lora(facts: Facts, variant: VariantFacts) -> Lora:
    """The slots of a variant, by the rules of its engine for this model."""
    stated, engine = facts.service.spec.serving.lora, variant.engine
    assert stated is not None
    assert engine.lora is not None
    return Lora(
        max_loras=stated.max_loras or max(1, len(stated.adapters)),
        max_rank=stated.max_rank,
        adapters=tuple((adapter.name, adapter.id) for adapter in stated.adapters),
        rules=engine.lora(variant.version, facts.card.shape) or NO_LORA_RULES,
    )


def _offload(facts: Facts, variant: VariantFacts) -> Offload | None:
    stated, engine = facts.service.spec.serving.kv_offload, variant.engine
    if stated is None or engine.offload is None:
        return None
    rules = engine.offload(variant.version, facts.gpu.vendor)
    return Offload(size_bytes=quantity_bytes(stated.size), rules=rules)


USUAL_DRAFTS = 3
"""Tokens that a draft model guesses unless stated: more are seldom accepted."""


def _draft(facts: Facts, variant: VariantFacts) -> Draft | None:
    """As many tokens as the model has draft layers, three from a model of its own."""
    stated, engine = facts.service.spec.serving.speculative, variant.engine
    if stated is None or engine.draft is None:
        return None
    shape = facts.card.shape
    rules = engine.draft(variant.version, stated.method, shape) or DraftRules()
    layers = (shape.mtp_layers or rules.layers) if stated.method == "mtp" else 0
    model = facts.service.spec.model
    own = None if model.uri != "hub" or model.id.startswith("/") else facts.card.revision
    return Draft(
        method=stated.method,
        tokens=stated.tokens or layers or USUAL_DRAFTS,
        layers=layers,
        shape=facts.draft,
        model=stated.model.id if stated.model else None,
        revision=stated.model.revision if stated.model else own if layers else None,
        file_bytes=file_bytes(facts.draft) if facts.draft else 0,
        rules=rules,
    )


def pool_shape(pool: GpuPoolSpec, gpu: Gpu) -> PoolShape:
    total = pool.gpus_per_node * pool.nodes
    memory = quantity_bytes(pool.gpu_memory) if pool.gpu_memory else gpu.memory_bytes
    return PoolShape(
        gpu=gpu,
        gpu_memory_bytes=memory,
        gpus_per_node=pool.gpus_per_node,
        nodes=pool.nodes,
        share=pool.share or total,
        interconnect=pool.interconnect or _usual_link(gpu),
        sliced=pool.shared is not None or gpu.mig is not None,
        sharers=pool.shared.replicas if pool.shared else 1,
        share_stated=pool.share is not None,
    )


def _usual_link(gpu: Gpu) -> Interconnect:
    return "nvlink" if gpu.form in ("sxm", "superchip") else "pcie"


def stated(service: LLMService, variant: VariantFacts) -> Stated:
    serving, scaling, own = service.spec.serving, service.spec.scaling, variant.spec
    return Stated(
        dtype=None if serving.dtype == "auto" else serving.dtype,
        quantization=serving.quantization,
        max_model_len=serving.max_model_len,
        tensor=serving.tensor_parallel_size,
        pipeline=serving.pipeline_parallel_size,
        data=serving.data_parallel_size,
        attention_data=serving.attention_data_parallel_size,
        expert=serving.expert_parallel_size,
        max_num_seqs=serving.max_num_seqs,
        max_num_batched_tokens=serving.max_num_batched_tokens,
        kv_cache_dtype=_first((own.kv_cache_dtype, serving.kv_cache_dtype)),
        memory_fraction=_first((own.memory_fraction, serving.memory_fraction)),
        enforce_eager=bool(serving.enforce_eager),
        replicas=scaling.replicas,
        min_replicas=scaling.min_replicas,
        max_replicas=scaling.max_replicas,
    )


def _first(values: Iterable[T | None]) -> T | None:
    return next((value for value in values if value is not None), None)

"""What an engine version or a model cannot do of `spec.serving` beyond the settings."""

from collections.abc import Iterable, Iterator
from typing import Any

from krm_fn.api.faults import one_of
from krm_fn.api.serving import Serving
from krm_fn.api.v1alpha1 import LLMService
from krm_fn.catalog.shape import ModelShape, StateSpace
from krm_fn.engines import versions
from krm_fn.errors import Result, error
from krm_fn.function.card_facts import Card
from krm_fn.function.draft_faults import draft_faults, model_faults
from krm_fn.function.lora_faults import adapter_faults, lora_faults
from krm_fn.function.variant_facts import VariantFacts
from krm_fn.planner.limits import EngineLimits

AT = "spec.serving"
ENCODERS = ("vision_config", "audio_config")


def extra_faults(
    service: LLMService,
    variants: Iterable[VariantFacts],
    card: Card,
    draft: ModelShape | None,
) -> Iterator[Result]:
    """Faults of each GPU variant, and of the model under any."""
    serving = service.spec.serving
    yield from _multimodal_faults(serving, card)
    yield from _prefix_faults(service)
    yield from adapter_faults(service)
    yield from model_faults(service, card.shape, draft)
    if serving.kv_offload and serving.prefix_caching is False:
        text = "keeps prefixes, and `prefixCaching: false` says to keep none; change one of them"
        yield error(text, f"{AT}.kvOffload")
    for variant in variants:
        if variant.engine.limits:
            yield from _flag_faults(serving, variant)
            limits = variant.engine.limits(variant.version)
            yield from _text_only_faults(serving, limits, card.shape)
            yield from _state_faults(serving, limits, card.shape)
            if serving.lora:
                yield from lora_faults(serving.lora, variant, card.shape)
            yield from draft_faults(service, variant, card.shape)
            if serving.kv_offload:
                yield from _offload_faults(variant, card.shape)


def _flag_faults(serving: Serving, variant: VariantFacts) -> Iterator[Result]:
    """Fields for which the version has no flag."""
    engine, version = variant.engine, variant.version
    for field, flag in engine.needs.items():
        if _stated(serving, field) and not versions.has_flag(engine.name, version, flag):
            having = versions.versions_with(engine.name, flag)
            yield error(
                f"needs `{flag}`, which {engine.name} {version} lacks or may lack (versions with "
                f"it: {having})",
                f"{AT}.{field}",
            )


def _offload_faults(variant: VariantFacts, shape: ModelShape) -> Iterator[Result]:
    """Kinds of caches that the version cannot keep in the node's memory."""
    engine = variant.engine
    kinds = engine.offload(variant.version, "").kinds if engine.offload else ()
    missing = sorted(kept_kinds(shape) - {*kinds})
    if missing:
        yield error(
            f"{engine.name} {variant.version} cannot, or not in a way that is planned, keep the "
            f"{' and '.join(missing)} caches of {shape.architecture} in the memory of the node",
            f"{AT}.kvOffload",
        )


def kept_kinds(shape: ModelShape) -> set[str]:
    """What the layers keep: everything, a window, a chunk, a state."""
    found = set()
    for layer in shape.layers:
        for mixer in (layer.mixer, layer.parallel):
            window, chunk = getattr(mixer, "window", None), getattr(mixer, "chunk", None)
            local = "window" if window else "chunk" if chunk else "full"
            if mixer is not None:
                found.add("state" if isinstance(mixer, StateSpace) else local)
    return found


def _stated(serving: Serving, field: str) -> Any:
    """The value at a path such as `multimodal.textOnly`, None where it has its default."""
    found: Any = serving.model_dump(by_alias=True, exclude_defaults=True)
    for key in field.split("."):
        found = (found or {}).get(key)
    return found


def _multimodal_faults(serving: Serving, card: Card) -> Iterator[Result]:
    """Encoders that a model does not have, or that it cannot do without."""
    asked, shape = serving.multimodal, card.shape
    field = "textOnly" if asked.text_only else "limits"
    limits = asked.limits.model_dump(exclude_none=True)
    if not (asked.text_only or limits):
        return
    if not shape.encoder_parameters and not any(card.config.get(key) for key in ENCODERS):
        yield error(
            f"means nothing for {shape.architecture}, which has no encoder of images, video or "
            "audio: leave it out",
            f"{AT}.multimodal.{field}",
        )
    elif asked.text_only and any(getattr(x.mixer, "cross", False) for x in shape.layers):
        text = f"cannot be: layers of {shape.architecture} attend to what its encoder gives them"
        yield error(text, f"{AT}.multimodal.textOnly")
    elif limits and not any(limits.values()):
        text = "allows nothing: state `textOnly: true`, which leaves the encoder out of the memory"
        yield error(text, f"{AT}.multimodal.limits")


def _text_only_faults(
    serving: Serving, limits: EngineLimits, shape: ModelShape
) -> Iterator[Result]:
    known = limits.text_only
    if serving.multimodal.text_only and known is not None and shape.architecture not in known:
        yield error(
            f"{limits.name} {limits.version} leaves the encoder out for {one_of(known)} only; "
            f"the model is {shape.architecture}",
            f"{AT}.multimodal.textOnly",
        )


def _prefix_faults(service: LLMService) -> Iterator[Result]:
    workload = service.spec.workload
    if service.spec.serving.prefix_caching is False and workload and workload.prefix_hit_rate:
        yield error(
            f"`workload.prefixHitRate` is {workload.prefix_hit_rate:g}, and nothing is hit without "
            "a prefix cache; change one of them",
            f"{AT}.prefixCaching",
        )


def _state_faults(serving: Serving, limits: EngineLimits, shape: ModelShape) -> Iterator[Result]:
    """States between tokens: not every version keeps them for prefixes; some need their number."""
    engine, cache = f"{limits.name} {limits.version}", limits.cache
    mixers = (mixer for layer in shape.layers for mixer in (layer.mixer, layer.parallel))
    states = any(isinstance(mixer, StateSpace) for mixer in mixers)
    windows = any(getattr(layer.mixer, "window", None) for layer in shape.layers)
    if serving.prefix_caching and states and cache.pool == "blocks" and cache.state_mode == "none":
        yield error(
            f"{engine} keeps no states of {shape.architecture} for prefixes by itself, and what "
            "they take when it is told to is not planned: leave it out, or take one that does",
            f"{AT}.prefixCaching",
        )
    by_requests = states or (windows and cache.window_slack is not None)
    unsized = by_requests and cache.pool == "tokens" and serving.max_num_seqs is None
    if serving.prefix_caching is False and unsized:
        yield error(
            f"must be stated with `prefixCaching: false`: {engine} then keeps the states and "
            f"windows of {shape.architecture} once for each of so many requests",
            f"{AT}.maxNumSeqs",
        )

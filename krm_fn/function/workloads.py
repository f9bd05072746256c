"""What clients send: as stated, and where it is not, the usual lengths as far as they fit."""

from collections.abc import Iterable, Iterator

from krm_fn.api.v1alpha1 import LLMService, WorkloadSpec
from krm_fn.catalog.shape import ModelShape
from krm_fn.errors import Result, info
from krm_fn.function.variant_facts import VariantFacts
from krm_fn.planner.plan import Workload
from krm_fn.units import duration_seconds

RESHAPES = (
    "--hf-overrides",
    "--rope-scaling",
    "--rope-theta",
    "--json-model-override-args",
    "--context-length",
    "--max-model-len",
)
"""Arguments that give a model another length than its config says."""


def reshaped(service: LLMService, variants: Iterable[VariantFacts]) -> bool:
    said = [*service.spec.serving.extra_args, *(a for v in variants for a in v.spec.extra_args)]
    return any(argument.startswith(RESHAPES) for argument in said)


def longest_request(
    service: LLMService, variants: Iterable[VariantFacts], shape: ModelShape
) -> int | None:
    """Tokens of the longest request that the stated context and the model allow, if known."""
    own = None if reshaped(service, variants) else shape.max_position_embeddings
    return min(filter(None, (service.spec.serving.max_model_len, own)), default=None)


def lengths(
    service: LLMService, variants: Iterable[VariantFacts], shape: ModelShape
) -> tuple[int, int]:
    """Tokens of a prompt and of its answer: stated, else 1024 and 256, less where the context is
    shorter. Models that embed answer nothing.
    """
    spec, most = service.spec.workload or WorkloadSpec(), longest_request(service, variants, shape)
    stated = spec.model_fields_set
    prompt, answer = spec.input_tokens, spec.output_tokens
    if most is None:
        return prompt, answer
    held = 0 if shape.task == "embed" else answer if "output_tokens" in stated else most // 5
    if "input_tokens" not in stated:
        prompt = max(1, min(prompt, most - held))
    if "output_tokens" not in stated and shape.task != "embed":
        answer = max(1, min(answer, most - prompt))
    return prompt, answer


def workload(service: LLMService, variants: Iterable[VariantFacts], shape: ModelShape) -> Workload:
    spec, (prompt, answer) = service.spec.workload, lengths(service, variants, shape)
    if spec is None:
        return Workload(stated=False, input_tokens=prompt, output_tokens=answer)
    goals = spec.objectives
    return Workload(
        input_tokens=prompt,
        output_tokens=answer,
        requests_per_second=spec.requests_per_second,
        concurrency=spec.concurrency,
        prefix_hit_rate=spec.prefix_hit_rate,
        ttft_seconds=duration_seconds(goals.ttft) if goals.ttft else None,
        itl_seconds=duration_seconds(goals.itl) if goals.itl else None,
        percentile=goals.percentile,
    )


def length_results(
    service: LLMService, variants: Iterable[VariantFacts], shape: ModelShape
) -> Iterator[Result]:
    """What was assumed where nothing is stated."""
    prompt, answer = lengths(service, variants, shape)
    asked = f"{prompt} input" + ("" if shape.task == "embed" else f" and {answer} output")
    spec = service.spec.workload
    if spec is None:
        fields = "inputTokens" if shape.task == "embed" else "inputTokens, outputTokens"
        yield info(
            f"no workload is stated: planned for requests of {asked} tokens on one replica; state "
            f"{fields} and concurrency or requestsPerSecond",
            "spec.workload",
        )
    elif (prompt, answer) != (spec.input_tokens, spec.output_tokens):
        yield info(
            f"is not stated in full: planned for requests of {asked} tokens, which the context "
            "holds; state inputTokens and outputTokens",
            "spec.workload",
        )

"""What is wrong with a user's `extraArgs` and `env`, said where they stand."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

from krm_fn.api.serving import Serving
from krm_fn.api.v1alpha1 import LLMService
from krm_fn.api.v1alpha1 import Variant as VariantSpec
from krm_fn.checks.argv import flag, token_faults
from krm_fn.checks.credentials import is_secret
from krm_fn.checks.env import misplaced
from krm_fn.engines import argv
from krm_fn.engines.launch import Engine
from krm_fn.engines.versions import TABLED
from krm_fn.errors import Result, error, has_errors
from krm_fn.function.variant_facts import VariantFacts

TOKEN = {"HF_TOKEN": "spec.model.tokenSecretRef"}
OURS = TOKEN | dict.fromkeys(
    ("HOME", "USER", "HF_HOME", "VLLM_CACHE_ROOT", "XDG_CACHE_HOME"), "spec.storage"
)
"""Variables of the folders that a pod mounts."""
DEVICES = "the device plugin gives a pod its GPUs, and `spec.gpuPool` says which"
HARMFUL = {
    **dict.fromkeys(
        (
            *("CUDA_VISIBLE_DEVICES", "NVIDIA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES"),
            *("ROCR_VISIBLE_DEVICES", "GPU_DEVICE_ORDINAL"),
        ),
        DEVICES,
    ),
    "VLLM_PORT": "vLLM counts its ports between processes from it; it is not that of the API",
}
"""What takes from an engine what the pod gives it (vllm/envs.py; NVIDIA's container toolkit)."""
_REFERENCE = re.compile(r"(?<!\$)\$\(([A-Za-z_][A-Za-z0-9_]*)\)")


def argument_faults(service: LLMService, variants: tuple[VariantFacts, ...]) -> Iterator[Result]:
    """Arguments and variables that a version does not have, that are ours, or that are secrets."""
    serving = service.spec.serving
    for variant in variants:
        at = f"spec.variants.{variant.name}"
        if variant.engine.planned:
            yield from _faults(variant, serving, "spec.serving")
            yield from _expansion_faults(serving, variant.spec, "spec.serving")
        yield from _faults(variant, variant.spec, at)
        yield from _expansion_faults(variant.spec, serving, at)


def _faults(variant: VariantFacts, stated: Serving | VariantSpec, path: str) -> Iterator[Result]:
    engine, version = variant.engine, variant.version
    args, at = stated.extra_args, f"{path}.extraArgs"
    yield from argv.argv_faults(engine.name, version, args, at, engine.owned)
    if engine.name not in TABLED:
        yield from _untabled_faults(engine, args, at)
    yield from _secret_arguments(args, at)
    for name, value in stated.env.items():
        yield from _variable_faults(variant, name, value, f"{path}.env")
    for name in stated.secret_env:
        yield from _reference_faults(name, stated.env, f"{path}.secretEnv.{name}")


def _variable_faults(variant: VariantFacts, name: str, value: str, path: str) -> Iterator[Result]:
    """What stops an engine, else what it would not read."""
    if message := misplaced(variant.image, name):
        yield error(message, f"{path}.{name}", current=value)
        return
    if name in HARMFUL:
        yield error(f"must be removed: {HARMFUL[name]}", f"{path}.{name}", current=value)
        return
    found = argv.env_faults(variant.engine.name, variant.version, {name: value}, path, OURS)
    yield from found
    if is_secret(name, value) and not has_errors(found):
        yield error(
            "looks like a secret, and would stand in plain text: give it by reference, "
            f"`{name}: {{name: SECRET, key: KEY}}` in `secretEnv` beside `env`",
            f"{path}.{name}",
        )


def _reference_faults(name: str, env: Mapping[str, str], path: str) -> Iterator[Result]:
    """A variable that comes from a Secret has a name of its own."""
    if not argv.is_variable(name):
        yield error(argv.VARIABLE, path, current=name)
    elif name in OURS:
        yield error(f"`{name}` is set by krm-fn: change {OURS[name]} instead", path, current=name)
    elif name in HARMFUL:
        yield error(f"must be removed: {HARMFUL[name]}", path, current=name)
    elif name in env:
        yield error(f"`{name}` stands in `env` too: keep one", path, current=name)


def _expansion_faults(
    stated: Serving | VariantSpec, other: Serving | VariantSpec, path: str
) -> Iterator[Result]:
    """`$(NAME)` of a variable that is not there, or not yet, stays as it is written."""
    before = {*OURS, *other.env, *other.secret_env}
    for name, value in stated.env.items():
        yield from _unknown(value, before, f"{path}.env.{name}", "that stands before it in `env`")
        before.add(name)
    known = {*before, *stated.secret_env}
    for index, text in enumerate(stated.extra_args):
        at = f"{path}.extraArgs[{index}]"
        yield from _unknown(text, known, at, "of `env` or `secretEnv` beside it")


def _unknown(text: str, known: Iterable[str], path: str, where: str) -> Iterator[Result]:
    for name in _REFERENCE.findall(text):
        if name not in known:
            message = f"`$({name})` must name a variable {where}; write `$$({name})` for the text"
            yield error(message, path, current=text)


def _untabled_faults(engine: Engine, args: Sequence[str], path: str) -> Iterator[Result]:
    """Of an engine without a table of flags: their form, ours among them, and what stands twice."""
    flags = [flag(text) for text in args]
    for index, (text, name) in enumerate(zip(args, flags, strict=True)):
        at = f"{path}[{index}]"
        for message in token_faults(text):
            yield error(message, at, current=text)
        if not text:
            yield error("must not be empty", at, current=text)
        if name and name in engine.owned:
            message = f"`{name}` is set by krm-fn: change {engine.owned[name]} instead"
            yield error(message, at, current=text)
    for name, count in Counter(name for name in flags if name).items():
        if count > 1:
            yield error(f"`{name}` must stand once; stands {count} times", path, current=name)


def _secret_arguments(args: Sequence[str], path: str) -> Iterator[Result]:
    """A secret behind its flag, in the same element or the next one."""
    for index, (text, after) in enumerate(zip(args, (*args[1:], "")[: len(args)], strict=True)):
        name, joint, value = text.partition("=")
        if text.startswith("-") and is_secret(name, value if joint else after):
            yield error(
                f"`{name}` would show a secret in plain text: write `{name}=$(NAME)` and give the "
                "variable by reference, `NAME: {name: SECRET, key: KEY}` in `secretEnv` beside "
                "`extraArgs`",
                f"{path}[{index}]",
            )

"""A variable has one name, one origin and a reader."""

import re
from collections.abc import Iterator

from krm_fn.checks.base import Check, Context
from krm_fn.checks.pods import Container
from krm_fn.checks.reading import mapping
from krm_fn.checks.view import Spot
from krm_fn.engines.base import Server
from krm_fn.errors import Result

_NAME = re.compile(r"[-._a-zA-Z][-._a-zA-Z0-9]*")
_ORIGINS = ("configMapKeyRef", "fieldRef", "resourceFieldRef", "secretKeyRef")
_UNREAD = {  # names that circulate and that no engine reads
    "VLLM_ARGS": "put the flags into args",
    "SGLANG_ARGS": "put the flags into args",
    "WORKER_MODEL_NAME": "put --served-model-name into args",
    "TRANSFORMERS_CACHE": "use HF_HOME",
    "VLLM_USE_V1": "V1 is the only engine",
}
_FOREIGN = {  # part of the image name -> prefixes of others; the first that fits
    "inference-sim": ("SGLANG_", "SGL_", "VLLM_", "HF_", "CUDA_", "NCCL_"),
    "sglang": ("VLLM_",),
    "vllm": ("SGLANG_", "SGL_"),
}


def _rule(context: Context) -> Iterator[Result]:
    for container in context.containers:
        seen: set[object] = set()
        for variable in container.each("env"):
            name = variable.value("name")
            if name in seen:
                yield variable.fault("must be stated once; the last one would win")
            seen.add(name)
            yield from _origin(variable)
    for container in context.servers:
        yield from _readers(container)
        if context.server:
            yield from _ours(container, context.server)


def _origin(variable: Spot) -> Iterator[Result]:
    name, value = variable.value("name"), variable.value("value")
    source = variable.node.get("valueFrom")
    origins = [key for key in _ORIGINS if mapping(variable.node, "valueFrom").get(key)]
    if not _NAME.fullmatch(str(name)):
        yield variable.fault(f'must have a name of letters, digits and _; has "{name}"', "name")
    if value is not None and source is not None:
        yield variable.fault("must have value or valueFrom, not both")
    if value is not None and not isinstance(value, str):
        message = f"must be a string; is the {type(value).__name__} {value}"
        yield variable.fault(message, "value", current=value, proposed=str(value))
    if source is not None and len(origins) != 1:
        has = " and ".join(origins) or "none"
        yield variable.fault(f"must have exactly one origin; has {has}", "valueFrom")


def _readers(container: Container) -> Iterator[Result]:
    image = str(container.value("image"))
    for variable in container.each("env"):
        message = misplaced(image, str(variable.value("name")))
        if message:
            yield variable.fault(message)


def misplaced(image: str, name: str) -> str | None:
    """Why a variable has no business in a container of this image, if it has none."""
    short = image.rpartition("/")[2]
    foreign = next((rows for owner, rows in _FOREIGN.items() if owner in short), ())
    if name in _UNREAD:
        return f"must be removed, nothing reads it: {_UNREAD[name]}"
    if name.startswith(foreign):
        return f"must be removed, it belongs to another engine than {short}"
    return None


def _ours(container: Container, server: Server) -> Iterator[Result]:
    """What another variant's merge left behind, or lost."""
    pairs = (*server.env, *server.field_env, *server.secret_env)
    wanted = [name for name, *_ in pairs]
    for variable in container.each("env"):
        if variable.value("name") not in wanted:
            yield variable.fault(f"must be removed, {server.engine} did not ask for it")
    for name in wanted:
        if name not in container.env:
            yield container.fault(f"must have {name}, which {server.engine} asks for", "env")


CHECK = Check(name="env", defects=(23,), rule=_rule)

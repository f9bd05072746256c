"""Folders that a process writes are on a volume when its root is read-only or not its own."""

from collections.abc import Iterator

from krm_fn.checks.base import Check, Context
from krm_fn.checks.pods import Container
from krm_fn.checks.reading import dig
from krm_fn.errors import Result

_FOLDERS = ("HOME", "TMPDIR", "_HOME", "_ROOT", "_CACHE", "_CACHE_DIR", "_CACHE_PATH")
_FILES = ("KUBECONFIG",)


def _rule(context: Context) -> Iterator[Result]:
    for container in context.servers:
        read_only = dig(container.node, "securityContext", "readOnlyRootFilesystem")
        user = dig(container.pod.spec.node, "securityContext", "runAsUser")
        if read_only or user:
            yield from _covered(container, context, read_only=bool(read_only))
    for container in context.containers:
        yield from _files(container)


def _covered(container: Container, context: Context, *, read_only: bool) -> Iterator[Result]:
    why = "the root is read-only" if read_only else "the user does not own the root"
    for path in dict.fromkeys(_paths(container, context, read_only=read_only)):
        mount = container.mount(path)
        if mount is None:
            yield container.fault(f"must mount a volume for {path}: {why}", "volumeMounts")
        elif mount.value("readOnly"):
            yield mount.fault(f"must not be read-only: the engine writes {path}", "readOnly")


def _paths(container: Container, context: Context, *, read_only: bool) -> Iterator[str]:
    if context.server:
        yield from (path for _, path, _ in context.server.writable)
    elif read_only and container.gpus:
        yield "/tmp"  # noqa: S108 - a path in the pod
    for name, variable in container.env.items():
        value = variable.get("value")
        if isinstance(value, str) and value.startswith("/") and name.endswith(_FOLDERS):
            yield value


def _files(container: Container) -> Iterator[Result]:
    for variable in container.each("env"):
        value = str(variable.value("value", ""))
        folders = {mount.value("mountPath") for mount in container.each("volumeMounts")}
        is_folder = value in folders or value.endswith(("/", "/serviceaccount"))
        if variable.value("name") in _FILES and is_folder:
            yield variable.fault(f"must be a file; {value} is a folder", "value", current=value)


CHECK = Check(name="writable", defects=(14, 33), rule=_rule)

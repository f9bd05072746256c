"""Pods satisfy the Pod Security profile and hold no token they do not need."""

from collections.abc import Iterator
from typing import Any

from krm_fn.checks.base import Check, Context
from krm_fn.checks.pods import Container, Pod
from krm_fn.checks.reading import dig, listing, mapping
from krm_fn.errors import Result

_HOST = ("hostNetwork", "hostPID", "hostIPC")
_SECCOMP = ("RuntimeDefault", "Localhost")
_ROOT_IMAGES = ("sglang",)  # no uid is documented for them: design 3.18


def _rule(context: Context) -> Iterator[Result]:
    for pod in context.pods:
        yield from _pod(pod, context)
    for container in context.containers:
        yield from _baseline(container)
        if context.profile == "restricted":
            yield from _restricted(container)
            if not _may_be_root(container, context):
                yield from _user(container)


def _pod(pod: Pod, context: Context) -> Iterator[Result]:
    for key in _HOST:
        if pod.spec.value(key):
            yield pod.spec.fault("must not be true", key, current=True, proposed=False)
    account = pod.spec.value("serviceAccountName", "default")
    bound = {str(x.get("name")) for x in _subjects(context)}
    if _mounts_token(pod, account, context) and account not in bound:
        message = "must be false: the pod does not call the API server"
        yield pod.spec.fault(message, "automountServiceAccountToken", proposed=False)


def _mounts_token(pod: Pod, account: Any, context: Context) -> bool:
    """What the pod says, else what its account says."""
    own = pod.spec.value("automountServiceAccountToken")
    found = context.find("ServiceAccount", account, pod.namespace)
    given = found.value("automountServiceAccountToken") if found else None
    return bool((given is not False) if own is None else own)


def _subjects(context: Context) -> Iterator[dict[str, Any]]:
    for kind in ("RoleBinding", "ClusterRoleBinding"):
        for binding in context.of(kind):
            yield from (x for x in listing(binding.node, "subjects") if isinstance(x, dict))


def _baseline(container: Container) -> Iterator[Result]:
    if dig(container.node, "securityContext", "privileged"):
        yield container.fault("must not be true", "securityContext", "privileged")
    added = set(map(str, listing(container.node, "securityContext", "capabilities", "add")))
    if added - {"NET_BIND_SERVICE"}:
        extra = ", ".join(sorted(added))
        yield container.fault(f"must not add {extra}", "securityContext", "capabilities", "add")
    for port in container.each("ports"):
        if port.value("hostPort"):
            yield port.fault("must not be set", "hostPort", current=port.node["hostPort"])


def _restricted(container: Container) -> Iterator[Result]:
    stated = container.at("securityContext")
    if stated.value("allowPrivilegeEscalation") is not False:
        yield stated.fault("must be false", "allowPrivilegeEscalation", proposed=False)
    if "ALL" not in listing(stated.node, "capabilities", "drop"):
        yield stated.fault("must drop ALL", "capabilities", "drop", proposed=["ALL"])
    if mapping(_effective(container, "seccompProfile")).get("type") not in _SECCOMP:
        proposed = {"type": "RuntimeDefault"}
        yield stated.fault("must be RuntimeDefault", "seccompProfile", proposed=proposed)


def _user(container: Container) -> Iterator[Result]:
    stated = container.at("securityContext")
    if _effective(container, "runAsNonRoot") is not True:
        yield stated.fault("must be true", "runAsNonRoot", proposed=True)
    if _effective(container, "runAsUser") == 0:
        yield stated.fault("must not be 0", "runAsUser", current=0)


def _effective(container: Container, key: str) -> Any:
    own = dig(container.node, "securityContext", key)
    return dig(container.pod.spec.node, "securityContext", key) if own is None else own


def _may_be_root(container: Container, context: Context) -> bool:
    if context.server:
        return context.server.user is None
    return any(part in str(container.value("image")) for part in _ROOT_IMAGES)


CHECK = Check(name="security", defects=(), rule=_rule)

"""A Role grants what its program needs, nothing that leads to secrets or to more rights."""

from collections.abc import Iterator

from krm_fn.checks.base import Check, Context
from krm_fn.checks.reading import dig, listing
from krm_fn.checks.view import Spot
from krm_fn.errors import Result

_ESCALATING = {"escalate", "bind", "impersonate"}
_POWERFUL = ("pods/exec", "pods/attach", "serviceaccounts/token", "nodes/proxy")


def _rule(context: Context) -> Iterator[Result]:
    for kind in ("Role", "ClusterRole"):
        for role in context.of(kind):
            for rule in role.each("rules"):
                yield from _rights(rule)
    for kind in ("RoleBinding", "ClusterRoleBinding"):
        for binding in context.of(kind):
            yield from _binding(binding, context)


def _rights(rule: Spot) -> Iterator[Result]:
    for key in ("verbs", "resources", "apiGroups"):
        if "*" in listing(rule.node, key):
            yield rule.fault('must name what is needed, not "*"', key, current=["*"])
    verbs = {str(verb) for verb in listing(rule.node, "verbs")}
    for verb in sorted(verbs & _ESCALATING):
        yield rule.fault(f"must not grant {verb}: it leads to more rights", "verbs")
    resources = listing(rule.node, "resources")
    if "secrets" in resources and not listing(rule.node, "resourceNames"):
        message = "must not grant secrets without resourceNames: it opens all of them"
        yield rule.fault(message, "resources", current="secrets")
    for resource in _POWERFUL:
        if resource in resources:
            yield rule.fault(f"must not grant {resource}", "resources", current=resource)


def _binding(binding: Spot, context: Context) -> Iterator[Result]:
    kind, name = (dig(binding.node, "roleRef", key) for key in ("kind", "name"))
    if name in ("cluster-admin", "admin", "edit"):
        yield binding.fault(f"must not bind {name}", "roleRef", "name", current=name)
    namespace = dig(binding.node, "metadata", "namespace")
    if kind == "Role" and not context.find("Role", name, namespace):
        message = f"must bind a Role of the set; there is no {name}"
        severity = context.absence(binding.manifest)
        yield binding.fault(message, "roleRef", "name", severity=severity)
    for subject in binding.each("subjects"):
        here = subject.value("namespace", namespace)
        if subject.value("kind") == "ServiceAccount" and not context.find(
            "ServiceAccount", subject.value("name"), here
        ):
            message = f"must be a ServiceAccount of the set; there is no {subject.value('name')}"
            yield subject.fault(message, "name", severity="warning")


CHECK = Check(name="rbac", defects=(13,), rule=_rule)

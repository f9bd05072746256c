"""Names and labels: the only place where they are made."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from krm_fn.krm.item import Manifest

MANAGED_BY = "krm-fn"


@dataclass(frozen=True, kw_only=True, slots=True)
class Identity:
    """The service that objects belong to, and their part in it."""

    name: str
    namespace: str | None = None
    part_of: str | None = None
    component: str = "model-server"


def compact(**fields: Any) -> Manifest:
    """The fields that are not None; 0, False and {} mean something and stay."""
    return {key: value for key, value in fields.items() if value is not None}


def selector(identity: Identity) -> dict[str, str]:
    """What selects the pods, for ever: a Deployment's selector cannot be changed."""
    return {
        "app.kubernetes.io/name": identity.name,
        "app.kubernetes.io/component": identity.component,
    }


def labels(identity: Identity, version: str | None = None) -> dict[str, str]:
    """The selector and what people filter by; `version` only where a process runs."""
    more = {
        "app.kubernetes.io/part-of": identity.part_of,
        "app.kubernetes.io/version": version,
        "app.kubernetes.io/managed-by": MANAGED_BY,
    }
    return selector(identity) | {key: value for key, value in more.items() if value}


def metadata(
    identity: Identity,
    *,
    name: str | None = None,
    version: str | None = None,
    annotations: Mapping[str, str] | None = None,
) -> Manifest:
    """Metadata of a namespaced object; `name` where it is not the service's."""
    return compact(
        name=name or identity.name,
        namespace=identity.namespace,
        labels=labels(identity, version),
        annotations=dict(annotations) if annotations else None,
    )

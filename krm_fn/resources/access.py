"""Who may talk to the pods and to whom they may: ServiceAccount, NetworkPolicy, Namespace."""

from dataclasses import dataclass

from krm_fn.krm.item import Manifest
from krm_fn.resources.metadata import MANAGED_BY, Identity, metadata, selector
from krm_fn.resources.pod import Profile

# The instance metadata of the clouds, which hands credentials to whoever asks.
METADATA_ADDRESSES = {"0.0.0.0/0": "169.254.169.254/32", "::/0": "fd00:ec2::254/128"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Access:
    """`namespaces` = who may call besides the service's own namespace."""

    network_policy: bool = True
    namespaces: tuple[str, ...] = ()


def service_account(identity: Identity) -> Manifest:
    """An account of its own, without rights and without a token."""
    return {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": metadata(identity),
        "automountServiceAccountToken": False,
    }


def network_policy(
    identity: Identity,
    *,
    callers: tuple[str, ...] | None,
    downloads: bool,
    port: int | None,
    name: str | None = None,
) -> Manifest:
    """Only the pods of `identity`. `callers` None = anyone who reaches the Service from outside.

    `port` None = the pods listen to nobody.

    Egress: DNS anywhere, and HTTPS except to the metadata addresses while something is downloaded.
    """
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": metadata(identity, name=name),
        "spec": {
            "podSelector": {"matchLabels": selector(identity)},
            "policyTypes": ["Ingress", "Egress"],
            "ingress": [] if port is None else [ingress(port, callers)],
            "egress": [dns(), *([https()] if downloads else [])],
        },
    }


def ingress(port: int, callers: tuple[str, ...] | None) -> Manifest:
    ports = {"ports": [{"protocol": "TCP", "port": port}]}
    if callers is None:
        return ports
    return {"from": [{"podSelector": {}}, *map(namespace_peer, callers)]} | ports


def namespace_peer(name: str) -> Manifest:
    return {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": name}}}


def dns() -> Manifest:
    return {"ports": [{"protocol": protocol, "port": 53} for protocol in ("UDP", "TCP")]}


def https() -> Manifest:
    blocks = [{"cidr": net, "except": [address]} for net, address in METADATA_ADDRESSES.items()]
    return {
        "to": [{"ipBlock": block} for block in blocks],
        "ports": [{"protocol": "TCP", "port": 443}],
    }


def namespace(name: str, profile: Profile) -> Manifest:
    """The Namespace with the Pod Security level that its pods pass."""
    levels = {
        f"pod-security.kubernetes.io/{mode}": profile for mode in ("enforce", "audit", "warn")
    }
    return {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": name, "labels": {"app.kubernetes.io/managed-by": MANAGED_BY} | levels},
    }

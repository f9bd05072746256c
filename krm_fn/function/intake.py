"""What a ResourceList asks of us: services, pools and cards, wherever they stand in it."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from krm_fn import api
from krm_fn.api.v1alpha1 import GPUPool, LLMService, ModelCard
from krm_fn.errors import Result
from krm_fn.krm import Item, Manifest, ResourceList, in_package

FUNCTION_INPUT = "ConfigMap"


@dataclass(frozen=True, kw_only=True)
class Request:
    """One service and where its files go. `faults` are those of its document."""

    service: LLMService | None
    document: Manifest
    package_path: str | None
    faults: tuple[Result, ...] = ()

    @property
    def name(self) -> str:
        return str((self.document.get("metadata") or {}).get("name") or "")

    @property
    def owner(self) -> str:
        return f"LLMService/{self.name}"


@dataclass(frozen=True, kw_only=True)
class Intake:
    """All requests of a list and what they may refer to; `hermetic` = a generator that sees only
    its own config, so that nothing can be referred to.
    """

    requests: tuple[Request, ...]
    pools: dict[str, GPUPool]
    cards: dict[str, ModelCard]
    alone: bool
    faults: tuple[Result, ...]


def intake(resources: ResourceList) -> Intake:
    """Every document of ours in the items and the functionConfig, each once."""
    documents = [(item, item.object) for item in _ours(resources)]
    requests = [_request(item, doc) for item, doc in documents if doc["kind"] == "LLMService"]
    requests += _from_config_map(resources.function_config, alone=not requests)
    others = [doc for _, doc in documents if doc["kind"] not in ("LLMService", "LLMPlan")]
    parsed = [api.value(doc) for doc in others]
    values = [value for value, _ in parsed]
    return Intake(
        requests=tuple(requests),
        pools={v.metadata.name: v for v in values if isinstance(v, GPUPool)},
        cards={v.metadata.name: v for v in values if isinstance(v, ModelCard)},
        alone=not in_package(resources) and len(resources.items) <= 1,
        faults=tuple(fault for _, faults in parsed for fault in faults),
    )


def _ours(resources: ResourceList) -> Iterator[Item]:
    """Items of our group, by place and name; the functionConfig is often one of them."""
    seen: set[Any] = set()
    config = resources.function_config
    for item in (*resources.items, *((config,) if config else ())):
        key = (item.package_path, item.path, item.kind, item.name)
        is_echo = item is config and any(key[2:] == known[2:] for known in seen)
        if item.api_version.startswith("krm-fn.dev/") and key not in seen and not is_echo:
            seen.add(key)
            yield item


def _request(item: Item, document: Manifest) -> Request:
    service, faults = api.parsed(document, LLMService)
    return Request(
        service=service, document=document, package_path=item.package_path, faults=faults
    )


def _from_config_map(config: Item | None, *, alone: bool) -> Iterable[Request]:
    """`kpt fn eval -- model=... gpu=...` sends a ConfigMap, and an empty one for no words."""
    if config is None or config.kind != FUNCTION_INPUT:
        return
    if not (config.object.get("data") or alone):
        return
    document, unread = api.service_document(config.object)
    service, faults = api.parsed(document, LLMService)
    yield Request(
        service=service,
        document=document,
        package_path=config.package_path,
        faults=(*unread, *faults),
    )

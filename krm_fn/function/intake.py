"""What a ResourceList asks of us: services, pools and cards, wherever they stand in it."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from krm_fn import api
from krm_fn.api.faults import Written
from krm_fn.api.v1alpha1 import GPUPool, LLMService, ModelCard
from krm_fn.errors import Result, error
from krm_fn.krm import Item, Manifest, ResourceList, in_package

FUNCTION_INPUT = "ConfigMap"
Key = tuple[str | None, str]
"""Package path and name; the path is of the host: compare it, never print it."""


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
    """All requests of a list and what they may refer to, by package and name.

    `alone` = a generator that sees only its own config, so that nothing can be referred to.
    """

    requests: tuple[Request, ...]
    pools: Mapping[Key, GPUPool]
    cards: Mapping[Key, ModelCard]
    alone: bool
    faults: tuple[Result, ...]


def referred(known: Mapping[Key, Any], package_path: str | None, name: str) -> Key | None:
    """The document that a name means: of the same package, else of any other."""
    own = (package_path, name)
    return own if own in known else next((key for key in known if key[1] == name), None)


def intake(resources: ResourceList) -> Intake:
    """Every document of ours in the items and the functionConfig, each once."""
    documents = [(item, item.object) for item in _ours(resources)]
    requests = [_request(item, doc) for item, doc in documents if item.kind == "LLMService"]
    requests += _from_config_map(resources.function_config, alone=not requests)
    others = [pair for pair in documents if pair[0].kind not in ("LLMService", "LLMPlan")]
    parsed = [(item.package_path, *api.value(doc, _written(item))) for item, doc in others]
    values = [(package, value) for package, value, _ in parsed]
    return Intake(
        requests=tuple(requests),
        pools={(p, v.metadata.name): v for p, v in values if isinstance(v, GPUPool)},
        cards={(p, v.metadata.name): v for p, v in values if isinstance(v, ModelCard)},
        alone=not in_package(resources) and len(resources.items) <= 1,
        faults=(
            *(fault for *_, faults in parsed for fault in faults),
            *_shared_names([item for item, _ in documents]),
        ),
    )


def _ours(resources: ResourceList) -> Iterator[Item]:
    """Items of our group, and the functionConfig, which is often one of them."""
    config = resources.function_config
    found = [item for item in resources.items if _is_ours(item)]
    yield from found
    known = {(item.kind, item.name) for item in found}
    if config and _is_ours(config) and (config.kind, config.name) not in known:
        yield config


def _is_ours(item: Item) -> bool:
    return item.api_version.startswith("krm-fn.dev/")


def _shared_names(items: Iterable[Item]) -> Iterator[Result]:
    """Documents of one package, kind and name: neither may win silently over the other."""
    named: dict[tuple[str | None, str, str | None], list[Item]] = defaultdict(list)
    for item in items:
        if item.kind != "LLMPlan":
            named[item.package_path, item.kind, item.name].append(item)
    for (_, kind, name), members in named.items():
        if len(members) > 1:
            places = ", ".join(sorted({item.path for item in members if item.path}))
            yield error(
                f"is the name of {len(members)} {kind} documents"
                f"{f' ({places})' if places else ''}: give each its own",
                "metadata.name",
                current=name,
                resource=api.reference(members[0].object),
            )


def _request(item: Item, document: Manifest) -> Request:
    service, faults = api.parsed(document, LLMService, _written(item))
    return Request(
        service=service, document=document, package_path=item.package_path, faults=faults
    )


def _written(item: Item) -> Written:
    """A value as its author wrote it."""

    def text(path: tuple[str | int, ...]) -> str | None:
        place = item.place(*path)
        return place.text if place else None

    return text


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

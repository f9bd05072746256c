"""ResourceList in, ResourceList out: the whole story.

Rule: no network, clock, environment or file but the catalogue's. Reading order: this file, then
intake, facts, questions, launches, compose, report.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

from krm_fn import krm
from krm_fn.errors import ConfigError
from krm_fn.function import report
from krm_fn.function.facts import Facts
from krm_fn.function.intake import Request, intake
from krm_fn.function.rendered import Rendered, render_services
from krm_fn.krm import Claim, Document, Reconciled, ResourceList

StatedMode = Literal["auto", "flat", "tree"]
OWNER = "krm-fn.dev/owner"
PLAN_FILE = "base/llmplan.yaml"

__all__ = ["OWNER", "PLAN_FILE", "generate", "validates"]


def generate(
    resources: ResourceList,
    *,
    mode: StatedMode = "auto",
    prune: bool = False,
) -> ResourceList:
    """The list with our objects in it; ConfigError or PlanError with every fault."""
    given = intake(resources)
    rendered = render_services(given, lambda facts: _emitted(resources, facts, mode))
    _refuse_shared_folders(rendered)
    claims = [_claim(resources, each, mode) for each in rendered]
    done = krm.reconcile(resources.items, claims, owner_key=OWNER, prune=prune)
    return _answer(resources, rendered, done)


def validates(resources: ResourceList) -> bool:
    """Whether the config asks for a verdict only: a kustomize validator must return no items."""
    config = resources.function_config
    if config is None or config.kind != "LLMService":
        return False
    output = (config.object.get("spec") or {}).get("output") or {}
    return bool(output.get("mode") == "validate")


def _shape(resources: ResourceList, facts: Facts, mode: StatedMode) -> krm.Mode:
    """Flat or tree: as the caller says, else the config, else by who sent the list."""
    own = facts.service.spec.output.mode
    stated = "auto" if own == "validate" else own
    return krm.mode(resources, stated if mode == "auto" else mode)


def _emitted(resources: ResourceList, facts: Facts, mode: StatedMode) -> tuple[str, ...]:
    """The variants whose objects leave the function."""
    if _shape(resources, facts, mode) == "flat":
        return (report.chosen_variant(facts),)
    return report.variant_names(facts)


def _claim(resources: ResourceList, each: Rendered, mode: StatedMode) -> Claim:
    """What this service wants to have in the list: files of a tree, or flat objects."""
    request, output = each.facts.request, each.facts.service.spec.output
    if _shape(resources, each.facts, mode) == "flat":
        documents = _flat(resources, each)
    else:
        documents = krm.below(output.path, each.rendering.tree)
    plan = _plan_document(each, documents)
    return Claim(
        owner=request.owner,
        documents=(*documents, *plan),
        package_path=request.package_path,
        recorded=_recorded(resources, request),
    )


def _flat(resources: ResourceList, each: Rendered) -> tuple[Document, ...]:
    """The objects of one variant; under kpt each needs a file, under kustomize none."""
    objects = each.rendering.flat[report.chosen_variant(each.facts)]
    if not krm.in_package(resources):
        return tuple(Document(None, manifest) for manifest in objects)
    files = tuple(Document(report.flat_file(manifest), manifest) for manifest in objects)
    return krm.below(each.facts.service.spec.output.path, files)


def _plan_document(each: Rendered, documents: Sequence[Document]) -> tuple[Document, ...]:
    """LLMPlan beside the manifests; kustomize output has no files and gets none."""
    if not any(document.path for document in documents):
        return ()
    hashes = krm.file_hashes(documents)
    manifest = report.plan_document(each.facts, each.planned.plans, hashes)
    path = each.facts.service.spec.output.path
    return krm.below(path, [Document(PLAN_FILE, manifest)])


def _recorded(resources: ResourceList, request: Request) -> dict[str, str]:
    """Hashes that the last run wrote; its plan is ours too, whatever it says."""
    for item in resources.items:
        mine = item.kind == "LLMPlan" and item.name == request.name
        if mine and item.package_path == request.package_path:
            files = (item.object.get("spec") or {}).get("files") or {}
            return {**files, **({item.path: ""} if item.path else {})}
    return {}


def _refuse_shared_folders(rendered: Sequence[Rendered]) -> None:
    """Two services cannot write to one folder; each is told a path of its own."""
    faults = report.shared_folders([each.facts for each in rendered])
    if faults:
        raise ConfigError(faults)


def _answer(
    resources: ResourceList, rendered: Sequence[Rendered], done: Reconciled
) -> ResourceList:
    """What was lost of somebody's edits comes first: kpt shows four results and cuts the rest."""
    said = (result for each in rendered for result in each.results)
    results = sorted((*done.results, *said), key=lambda result: result.severity == "info")
    return replace(resources, items=done.items, results=tuple(results))

"""The tree of a base and overlays: files of objects, and kustomizations with inline patches."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from krm_fn.krm import yaml
from krm_fn.krm.item import Manifest
from krm_fn.krm.layout import Document
from krm_fn.resources.metadata import compact
from krm_fn.targets.patches import patch, removal

Key = tuple[str, str, str]


def tree(base: Sequence[Manifest], flat: Mapping[str, Sequence[Manifest]]) -> tuple[Document, ...]:
    """`base/` has the objects of the base; an overlay what differs, or just its name."""
    documents = [*_folder("base", base, resources=(), patches=())]
    for name, objects in flat.items():
        documents += overlay(f"overlays/{name}", base, objects)
    return tuple(documents)


def overlay(folder: str, base: Sequence[Manifest], final: Sequence[Manifest]) -> Iterator[Document]:
    """New objects as files, changes as patches, and a deletion for what the variant lacks."""
    old, new = {_key(each): each for each in base}, {_key(each): each for each in final}
    added = [each for key, each in new.items() if key not in old]
    changed = [patch(old[key], each) for key, each in new.items() if key in old]
    removed = [removal(each) for key, each in old.items() if key not in new]
    patches = [each for each in changed if each] + removed
    yield from _folder(folder, added, resources=("../../base",), patches=patches)


def _folder(
    folder: str,
    objects: Sequence[Manifest],
    *,
    resources: Sequence[str],
    patches: Sequence[Manifest],
) -> Iterator[Document]:
    files = [file_name(each) for each in objects]
    yield Document(f"{folder}/kustomization.yaml", kustomization([*resources, *files], patches))
    for file, manifest in zip(files, objects, strict=True):
        yield Document(f"{folder}/{file}", manifest)


def kustomization(resources: Sequence[str], patches: Sequence[Manifest]) -> Manifest:
    """local-config, so that nothing applies it; kustomize wants no name."""
    return compact(
        apiVersion="kustomize.config.k8s.io/v1beta1",
        kind="Kustomization",
        metadata={"annotations": {"config.kubernetes.io/local-config": "true"}},
        resources=list(resources),
        patches=[{"patch": patch_text(each)} for each in patches] or None,
    )


def patch_text(manifest: Manifest) -> str:
    """YAML that kustomize may trim, as it does: a comment holds a last line break of content."""
    text, last = yaml.dump(manifest), last_value(manifest)
    return f"{text}# end" if isinstance(last, str) and last.endswith("\n") else text.rstrip()


def last_value(node: Any) -> Any:
    while isinstance(node, dict | list) and node:
        node = list(node.values())[-1] if isinstance(node, dict) else node[-1]
    return node


def file_name(manifest: Manifest) -> str:
    """`deployment.yaml`; a second part of a service has its component in it."""
    labels = manifest["metadata"]["labels"]
    kind = manifest["kind"].lower()
    component = labels.get("app.kubernetes.io/component", "model-server")
    return f"{kind}.yaml" if component == "model-server" else f"{kind}-{component}.yaml"


def _key(manifest: Manifest) -> Key:
    metadata = manifest["metadata"]
    return manifest["kind"], metadata.get("namespace", ""), metadata["name"]

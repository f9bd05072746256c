"""Trees on disk, and what the real `kubectl kustomize` makes of them."""

import subprocess
from pathlib import Path

from krm_fn.krm import dump, load_all


def written(documents, folder: Path) -> Path:
    """The documents as files, one each."""
    for document in documents:
        path = folder / document.path
        path.parent.mkdir(parents=True, exist_ok=True)
        assert not path.exists(), f"two documents for {document.path}"
        path.write_text(dump(document.manifest))
    return folder


def built(kubectl: str, folder: Path) -> dict:
    """The objects of a kustomization by kind and name."""
    done = subprocess.run(
        [kubectl, "kustomize", folder], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return by_name(load_all(done.stdout))


def by_name(manifests) -> dict:
    return {(each["kind"], each["metadata"]["name"]): each for each in manifests}

"""Running a program, writing what it reads, and reading the objects that it printed."""

import os
import subprocess
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from krm_fn import krm

ROOT = Path(__file__).parents[2]
OWNER = "krm-fn.dev/owner"
FLAT = Counter(
    [
        "ServiceAccount",
        "Service",
        "Deployment",
        "PodDisruptionBudget",
        "HorizontalPodAutoscaler",
        "NetworkPolicy",
    ]
)
"""The objects of a GPU variant of the quickstart; the mock has a ConfigMap more."""
MOCK = FLAT + Counter(["ConfigMap"])
BY_PATH = "exec: {path: krm-fn}\n"
IMAGE = "localhost/krm-fn:v0.1.0"
BY_IMAGE = f"container: {{image: {IMAGE}}}\n"


def attempt(
    *command: str | Path,
    cwd: Path | None = None,
    stdin: str = "",
    env: Mapping[str, str] | None = None,
) -> subprocess.CompletedProcess[str]:
    """What came of *command*, whatever its exit status; *env* is added to the environment."""
    return subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
        env={**os.environ, **(env or {})},
    )


def run(
    *command: str | Path,
    cwd: Path | None = None,
    stdin: str = "",
    env: Mapping[str, str] | None = None,
) -> str:
    """The standard output of *command*, which must succeed."""
    done = attempt(*command, cwd=cwd, stdin=stdin, env=env)
    assert done.returncode == 0, f"{' '.join(map(str, command))}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def objects(text: str) -> list[dict]:
    """The documents of a YAML stream."""
    return [document for document in yaml.safe_load_all(text) if document]


def kinds(text: str) -> Counter[str]:
    """How many objects of each kind a YAML stream has."""
    return Counter(document["kind"] for document in objects(text))


def identity(document: Mapping[str, Any]) -> tuple[str, str]:
    return document["kind"], document["metadata"]["name"]


def by_identity(text: str) -> dict[tuple[str, str], dict]:
    """The objects of a YAML stream by kind and name, which must be different."""
    found = objects(text)
    named = {identity(document): document for document in found}
    assert len(found) == len(named)
    return named


def service(name: str = "qwen3-8b", function: str | None = BY_PATH, **spec: Any) -> dict:
    """The quickstart's functionConfig under a name; a None in *spec* takes a field away."""
    document = yaml.safe_load((ROOT / "examples" / "quickstart" / "config.yaml").read_text())
    document["metadata"] = {
        "name": name,
        "annotations": {"config.kubernetes.io/local-config": "true"},
    }
    if function:
        document["metadata"]["annotations"]["config.kubernetes.io/function"] = function
    stated = {**document["spec"], **spec}
    document["spec"] = {key: value for key, value in stated.items() if value is not None}
    return document


def kustomization(**fields: Any) -> dict:
    return {"apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization", **fields}


def write(folder: Path, files: Mapping[str, str | dict]) -> Path:
    """Writes texts, and objects as YAML, into a folder."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content if isinstance(content, str) else krm.dump(content))
    return folder


def read(folder: Path) -> dict[str, str]:
    """The text of all files of a folder; Git's own are left out."""
    return {
        path.relative_to(folder).as_posix(): path.read_text()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and ".git" not in path.parts
    }

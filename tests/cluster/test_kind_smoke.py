"""What docs/kind.md promises: `make kind-smoke`, on the present cluster and on one of its own."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parent / "kind-smoke"


def smoke(**env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [SCRIPT],
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        check=False,
        timeout=400,
    )


def steps(text: str) -> list[str]:
    return re.findall(r"^ *\d+s  ([a-z/ ]+)", text, re.MULTILINE)


@pytest.mark.usefixtures("cluster")
def test_the_present_cluster_is_taken_and_left():
    """An answer comes through the Service; nothing stays behind."""
    done = smoke(KIND_SMOKE_CONTEXT="current")

    assert done.returncode == 0, done.stderr
    assert steps(done.stdout)[-3:] == ["deployment rolled out", "answer", "done"]
    assert '"content"' in done.stdout


def test_a_cluster_of_its_own_is_made_and_deleted(need, tmp_path):
    """From nothing to an answer; the kubeconfig of the user is not the one that changes."""
    kind = need("cluster", shutil.which("kind"), "no kind to make one with")
    done = smoke(KUBECONFIG=str(tmp_path / "kubeconfig"))
    left = subprocess.run([kind, "get", "clusters"], capture_output=True, text=True, check=True)

    assert done.returncode == 0, done.stderr
    assert steps(done.stdout)[0] == "cluster created"
    assert "image loaded" in steps(done.stdout)
    assert "krm-fn-smoke" not in left.stdout.split()


def test_a_missing_tool_is_named(tmp_path):
    """Before anything is made."""
    for tool in ("bash", "dirname"):
        (tmp_path / tool).symlink_to(shutil.which(tool))
    done = smoke(PATH=str(tmp_path))

    assert done.returncode == 2
    assert done.stderr == "kubectl is missing: https://kubernetes.io/docs/tasks/tools/\n"

"""The real programs, and the images that they run. `.ci/tools` makes them available."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from programs import IMAGE, ROOT, run

CACHE = Path(
    os.environ.get("KRM_FN_CACHE")
    or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "krm-fn"
)
SIM_IMAGE = "ghcr.io/llm-d/llm-d-inference-sim:v0.10.2"


def program(name: str) -> str | None:
    """Where *name* is, on the path or among what `.ci/tools` built."""
    return shutil.which(name) or shutil.which(name, path=str(CACHE / "bin"))


@pytest.fixture(scope="session")
def kustomize(need) -> str:
    """The standalone program, which alone can run exec functions."""
    return need("kustomize", program("kustomize"), "run .ci/tools")


@pytest.fixture(scope="session")
def kubectl(need) -> str:
    return need("kubectl", program("kubectl"), "install it")


@pytest.fixture(scope="session")
def kpt(need) -> str:
    return need("kpt", program("kpt"), "install it")


@pytest.fixture(scope="session")
def docker(need) -> str:
    """The client of a daemon that answers."""
    found = program("docker")
    answers = found and subprocess.run([found, "info"], capture_output=True, check=False)
    return need("docker", found if answers and not answers.returncode else None, "run .ci/tools")


@pytest.fixture(scope="session")
def image(docker: str) -> str:
    """The image of the function as the tree stands."""
    run(ROOT / ".ci" / "image")
    return IMAGE


@pytest.fixture(scope="session")
def sim_image(docker: str) -> str:
    """The image of the simulator that the mock overlay runs."""
    run(ROOT / ".ci" / "simulator")
    return SIM_IMAGE


@pytest.fixture(scope="session")
def krm_fn(need) -> str:
    """The command of the environment that runs the tests, for exec functions."""
    beside = Path(sys.executable).with_name("krm-fn")
    return need("krm-fn", str(beside) if beside.exists() else None, "run pip install -e .")

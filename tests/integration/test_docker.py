"""The image: small, as nobody, without a network, on a read-only file system."""

import json
from collections import Counter

import pytest
import yaml
from programs import FLAT, attempt, objects, run, service

from krm_fn import krm

ADDED_BYTES = 150_000_000
BASES = ("localhost/krm-fn-python-base:bookworm", "docker.io/library/python:3.13-slim")
LOCKED = (
    "--rm",
    "--interactive",
    "--network=none",
    "--read-only",
    "--cap-drop=ALL",
    "--security-opt=no-new-privileges",
)


@pytest.fixture
def resource_list() -> str:
    """What a kustomize generator sends."""
    document = service(function=None)
    header = {"apiVersion": "config.kubernetes.io/v1", "kind": "ResourceList"}
    return krm.dump({**header, "items": [document]}) + krm.dump({"functionConfig": document})


def inspected(docker: str, image: str) -> dict:
    done = attempt(docker, "image", "inspect", image)
    return json.loads(done.stdout)[0] if done.returncode == 0 else {}


@pytest.mark.parametrize("user", ["65534:65534", "nobody", "12345:12345", "0:0"])
def test_runs_as_anyone_with_nothing(docker, image, krm_fn, resource_list, user):
    """Kustomize and kpt pass `nobody`, OpenShift a number of its own; the output is the same."""
    text = run(docker, "run", *LOCKED, f"--user={user}", image, stdin=resource_list)
    items = yaml.safe_load(text)["items"]

    assert Counter(item["kind"] for item in items) == FLAT + Counter(["LLMService"])
    assert text == run(krm_fn, stdin=resource_list)


def test_is_nobody_by_itself(docker, image):
    assert inspected(docker, image)["Config"]["User"] == "65534:65534"


def test_environment_has_no_influence(docker, image, resource_list):
    """No variable of the caller reaches the interpreter or the planner."""
    env = ("--env=PYTHONPATH=/tmp", "--env=PYTHONSTARTUP=/x", "--env=PYTHONHOME=/x", "--env=LANG=C")
    plain = run(docker, "run", *LOCKED, image, stdin=resource_list)

    assert run(docker, "run", *LOCKED, *env, image, stdin=resource_list) == plain


def test_adds_little_to_its_base(docker, image):
    """The function, pydantic, PyYAML and byte code; the base is that of the build."""
    layers = inspected(docker, image)["RootFS"]["Layers"]
    bases = [inspected(docker, base) for base in BASES]
    (base, *_) = [
        b for b in bases if b and layers[: len(b["RootFS"]["Layers"])] == b["RootFS"]["Layers"]
    ]

    assert inspected(docker, image)["Size"] - base["Size"] <= ADDED_BYTES


def test_has_none_of_the_online_packages(docker, image):
    """What the function may not import is not there."""
    script = "import os; print(*sorted(os.listdir('/app')))"
    run_python = ("run", "--rm", "--network=none", "--entrypoint=python3", image, "-c", script)
    found = set(run(docker, *run_python).split())

    assert {"krm_fn", "pydantic", "yaml"} <= found
    assert not {"kubernetes", "huggingface_hub", "pynvml", "pip"} & found


def test_every_module_is_compiled(docker, image):
    """Nobody can write byte code, so it has to be there."""
    script = (
        "import pathlib, importlib.util as u; print(*[p for p in pathlib.Path('/app').rglob('*.py')"
        " if not pathlib.Path(u.cache_from_source(str(p))).exists()])"
    )
    run_python = ("run", "--rm", "--network=none", "--entrypoint=python3", image, "-c", script)

    assert run(docker, *run_python).split() == []


def test_has_the_command_line(docker, image):
    """`docker run -i IMAGE plan -` needs no installation; neither does --help, nor an input."""
    config = krm.dump(service(function=None))
    plans = json.loads(run(docker, "run", *LOCKED, image, "plan", "-", "-o", "json", stdin=config))

    assert [(plan["variant"], plan["feasible"]) for plan in plans] == [
        ("vllm", True),
        ("sglang", True),
    ]
    assert "usage: krm-fn" in run(docker, "run", *LOCKED, image, "--help")


def test_fault_comes_as_a_complete_list(docker, image):
    """Exit 1, the input unchanged and the fault as a Result and on stderr."""
    wrong = krm.dump(service(function=None, gpuPool={"gpu": "NVIDIA-L40Z"}))
    given = "apiVersion: config.kubernetes.io/v1\nkind: ResourceList\nitems:\n- " + "\n  ".join(
        wrong.splitlines()
    )
    done = attempt(docker, "run", *LOCKED, image, stdin=given + "\n")
    (answer,) = objects(done.stdout)

    assert done.returncode == 1
    assert answer["items"] == [yaml.safe_load(wrong)]
    assert [result["field"]["path"] for result in answer["results"]] == ["spec.gpuPool.gpu"]
    assert "error: LLMService/qwen3-8b spec.gpuPool.gpu: " in done.stderr

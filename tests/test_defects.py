"""The regression list of the systems that came before: every defect has a bad input.

Most are bad objects for a check (`tests/checks/bad/RULE-N-*.yaml`). What a check cannot see stands
in `tests/defects/N-*.yaml`: its first comment lines say what is wrong and what must be found.
"""

import json
import re
from pathlib import Path, PurePosixPath

import pytest
import schemas
import yaml

from krm_fn import krm
from krm_fn.cli import main
from krm_fn.errors import KrmFnError
from krm_fn.function import generate
from krm_fn.krm import ResourceList

ROOT = Path(__file__).parents[1]
FOLDER = Path(__file__).parent / "defects"
CHECKED = Path(__file__).parent / "checks" / "bad"
LAST = 35


def bad(number: int) -> Path:
    (only,) = FOLDER.glob(f"{number}-*.yaml")
    return only


def expected(file: Path) -> list[str]:
    return re.findall(r"^# (?:found: )?(.*)$", file.read_text(), re.MULTILINE)[1:]


def errors(file: Path) -> list[str]:
    """What the function says of a functionConfig."""
    try:
        items = krm.file_items("config.yaml", file.read_text())
        results = generate(ResourceList(items=items), mode="tree").results
    except KrmFnError as fault:
        results = fault.results
    return [result.line for result in results if result.severity == "error"]


def cycles(kustomizations: dict[str, list[str]]) -> list[str]:
    """Folders that include one which they lie in; `kustomizations` = folder -> its resources."""
    found = []
    for folder, resources in kustomizations.items():
        for resource in resources:
            target = PurePosixPath(_normal(f"{folder}/{resource}"))
            if target in PurePosixPath(folder).parents:
                found.append(f"{folder} includes {target}, which it lies in")
    return found


def _normal(path: str) -> str:
    parts: list[str] = []
    for part in path.split("/"):
        if part == "..":
            parts.pop()
        elif part != ".":
            parts.append(part)
    return "/".join(parts)


def tree(folder: Path) -> dict[str, list[str]]:
    """Of a committed output: folder -> its resources."""
    files = [*folder.glob("base/kustomization.yaml"), *folder.glob("overlays/*/kustomization.yaml")]
    return {
        file.parent.relative_to(folder).as_posix(): yaml.safe_load(file.read_text())["resources"]
        for file in files
    }


def test_every_defect_has_a_bad_input():
    """Its number stands in the name of the file."""
    numbers = {int(n) for f in CHECKED.glob("*.yaml") for n in re.findall(r"-(\d+)-", f.stem)}
    numbers |= {int(file.stem.partition("-")[0]) for file in FOLDER.glob("*.yaml")}

    assert set(range(1, LAST + 1)) - numbers == set()


def test_1_an_overlay_lies_beside_its_base():
    documents = yaml.safe_load_all(bad(1).read_text())
    path = "config.kubernetes.io/path"
    given = {
        str(PurePosixPath(each["metadata"]["annotations"][path]).parent): each["resources"]
        for each in documents
    }

    assert cycles(given) == expected(bad(1))


@pytest.mark.parametrize("folder", [ROOT, *sorted((ROOT / "examples").iterdir())], ids=str)
def test_1_no_example_has_a_cycle(folder):
    assert cycles(tree(folder)) == []


@pytest.mark.parametrize("number", [7, 35])
def test_a_config_is_refused(number):
    """No object is made of it."""
    assert errors(bad(number)) == expected(bad(number))


def test_15_a_field_that_the_api_lacks_is_found():
    """In every version of the API that is asked for."""
    found = {
        line.rpartition(" ")[0] for line in schemas.faults(yaml.safe_load(bad(15).read_text()))
    }

    assert found == set(expected(bad(15)))


@pytest.mark.parametrize("columns", ["20", "400"])
def test_27_machines_read_what_was_written(columns, monkeypatch, capsys):
    """One JSON document, whatever terminal there is and whatever the names look like."""
    monkeypatch.setenv("COLUMNS", columns)
    monkeypatch.setenv("FORCE_COLOR", "1")
    asked = yaml.safe_load(bad(27).read_text())
    code = main(["explain", str(bad(27)), "-o", "json"])
    (explained,) = json.loads(capsys.readouterr().out)

    assert (code, explained["service"]) == (0, "chat")

    main(["plan", str(bad(27)), "-o", "json"])
    (plan,) = json.loads(capsys.readouterr().out)

    assert (plan["service"], plan["feasible"]) == (asked["metadata"]["name"], True)


def test_27_names_reach_the_manifests_as_written():
    asked = yaml.safe_load(bad(27).read_text())["spec"]
    items = krm.file_items("config.yaml", bad(27).read_text())
    made = generate(ResourceList(items=items), mode="flat").items
    (pod,) = (i.object["spec"]["template"]["spec"] for i in made if i.kind == "Deployment")
    args = pod["containers"][0]["args"]

    assert f"--served-model-name={asked['model']['servedName']}" in args
    assert asked["variants"]["vllm"]["extraArgs"][0] in args

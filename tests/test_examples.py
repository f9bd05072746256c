"""Examples are goldens: input, expected output and documentation in one folder.

Every folder of `examples/` is rendered in place from its inputs and compared byte for byte; a
missing or an extra file is a difference. `pytest --update` rewrites and fails, so that the diff is
read. The output of `examples/quickstart` stands at the top of the repository.
"""

import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from krm_fn import krm
from krm_fn.cli import files
from krm_fn.errors import KrmFnError
from krm_fn.function import OWNER, generate
from krm_fn.krm import ResourceList

ROOT = Path(__file__).parent.parent
EXAMPLES = sorted(path for path in (ROOT / "examples").iterdir() if path.is_dir())
NAMES = [path.name for path in EXAMPLES]
Tree = Mapping[str, str]


def is_generated(text: str) -> bool:
    return OWNER in text


def tree(folder: Path) -> dict[str, str]:
    """All files but README, by their path."""
    return {
        path.relative_to(folder).as_posix(): path.read_text(encoding="utf-8")
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != "README.md"
    }


def output_folder(example: Path) -> Path:
    return ROOT if example.name == "quickstart" else example


def expected(example: Path) -> dict[str, str]:
    """What is committed: the generated files, and what the function said."""
    found = {path: text for path, text in tree(example).items() if is_generated(text)}
    for name in ("output.yaml", "errors.txt"):
        if (example / name).is_file():
            found[name] = (example / name).read_text(encoding="utf-8")
    if example.name == "quickstart":
        tops = (ROOT / "base", ROOT / "overlays")
        found |= {
            f"{top.name}/{p}": t for top in tops if top.is_dir() for p, t in tree(top).items()
        }
    return found


def actual(example: Path, workspace: Path) -> dict[str, str]:
    """What the function makes of the inputs: a tree, a flat stream, or errors."""
    inputs = copy_inputs(example, workspace)
    if (workspace / "kustomization.yaml").is_file():
        return {"output.yaml": flat_output(workspace)}
    try:
        render(workspace)
    except KrmFnError as fault:
        return {"errors.txt": "".join(f"{result.line}\n" for result in fault.results)}
    return {path: text for path, text in tree(workspace).items() if path not in inputs}


def copy_inputs(example: Path, workspace: Path) -> set[str]:
    golden = expected(example)
    names = {path for path in tree(example) if path not in golden}
    for name in names:
        (workspace / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(example / name, workspace / name)
    return names


def render(folder: Path) -> list[str]:
    """As `krm-fn render FOLDER`; the changes it made."""
    before = files.package(folder).items
    after = generate(ResourceList(items=before), mode="tree")
    return list(files.written(folder, before, after.items))


def flat_output(folder: Path) -> str:
    """As a kustomize generator: the config alone, no path."""
    (config,) = krm.file_items("config.yaml", (folder / "config.yaml").read_text(encoding="utf-8"))
    answer = generate(ResourceList(function_config=krm.item_of(config.object)))
    return krm.dump_all([item.object for item in answer.items])


def update(example: Path, new: Tree) -> list[str]:
    old, folder = expected(example), output_folder(example)
    for path in old.keys() - new.keys():
        (folder / path).unlink()
    changed = [path for path, text in new.items() if old.get(path) != text]
    for path in changed:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(new[path], encoding="utf-8")
    return [*changed, *(f"{path} (removed)" for path in old.keys() - new.keys())]


def test_there_are_examples() -> None:
    """Finding none is a failure, not a pass."""
    assert len(EXAMPLES) >= 11


@pytest.mark.parametrize("example", EXAMPLES, ids=NAMES)
def test_output_is_the_committed_one(
    example: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """The rendering equals the files in the folder, byte for byte."""
    new = actual(example, tmp_path)
    if request.config.getoption("--update"):
        changed = update(example, new)
        if changed:
            pytest.fail(f"rewritten, read the diff: {', '.join(changed)}")

    assert expected(example) == new


@pytest.mark.parametrize("example", EXAMPLES, ids=NAMES)
def test_a_second_rendering_changes_nothing(example: Path, tmp_path: Path) -> None:
    """The function is idempotent on its own output."""
    if (example / "errors.txt").is_file() or (example / "output.yaml").is_file():
        assert actual(example, tmp_path / "a") == actual(example, tmp_path / "b")
        return
    actual(example, tmp_path)

    assert render(tmp_path) == []


@pytest.mark.parametrize("example", EXAMPLES, ids=NAMES)
def test_every_example_has_a_readme(example: Path) -> None:
    """A reader is told what it shows."""
    assert (example / "README.md").is_file()


def objects(example: Path) -> Iterator[dict[str, object]]:
    for path, text in expected(example).items():
        if path.endswith(".yaml"):
            yield from krm.load_all(text)

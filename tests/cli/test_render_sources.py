"""What people wrote is never changed or removed, whichever way `render` is called."""

from pathlib import Path

import pytest
from configs import document

from krm_fn import krm
from krm_fn.cli import main

POOL = """apiVersion: krm-fn.dev/v1alpha1
kind: GPUPool
metadata: {name: pool}  # ours
spec: {gpu: l40s, gpusPerNode: 4}
"""
ALONE = {"model": {"id": "Qwen/Qwen3-8B"}, "gpuPool": {"gpu": "l40s", "gpusPerNode": 4}}
SHARED = {"model": {"id": "Qwen/Qwen3-8B"}, "gpuPoolRef": {"name": "pool"}}


def service(name: str, **spec: object) -> str:
    return krm.dump({**document(dict(spec)), "metadata": {"name": name}})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    files = {
        "a.yaml": service("a", **SHARED, output={"path": "a"}),
        "b.yaml": service("b", **ALONE, output={"path": "b"}),
        "pool.yaml": POOL,
        "notes.yaml": "x: [1,   2]\n",
        "mine.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: mine}\n",
    }
    for name, text in files.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    return tmp_path


def sources(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text(encoding="utf-8") for path in folder.glob("*.yaml")}


def rendered(*words: str | Path) -> int:
    return main(["render", *map(str, words)])


def test_a_file_in_its_folder_is_kept(folder, monkeypatch):
    """Twice, from inside: the folder is the package, and its files stay byte for byte."""
    before = sources(folder)
    monkeypatch.chdir(folder)

    assert [rendered("b.yaml"), rendered("b.yaml"), rendered("a.yaml", "-d", ".")] == [0, 0, 0]
    assert sources(folder) == before
    assert (folder / "a/base").is_dir()
    assert (folder / "b/base").is_dir()


@pytest.mark.parametrize("source", ["sub", "sub/c.yaml"])
def test_what_stands_where_we_write_is_kept(folder, source):
    """Configs of others in the folder named by `-d`, and the source outside it."""
    (folder / "sub").mkdir()
    (folder / "sub/c.yaml").write_text(service("c", **ALONE), encoding="utf-8")
    before = sources(folder), sources(folder / "sub")

    assert rendered(folder / source, "-d", folder) == 0
    assert (sources(folder), sources(folder / "sub")) == before
    assert (folder / "base").is_dir()


def test_prune_is_for_a_package_in_place(folder, capsys):
    """Who looks at one file does not know whose services are gone."""
    (folder / "sub").mkdir()
    assert rendered(folder / "b.yaml", "-d", folder / "sub", "--prune") == 1
    assert "--prune is for a folder that is rendered in place" in capsys.readouterr().err
    assert not list((folder / "sub").iterdir())


@pytest.mark.parametrize("text", ["replicas: 3  # of a chart\n", "a: [\n", "# nothing yet\n"])
def test_other_yaml_in_the_way_is_not_overwritten(folder, capsys, text):
    """Nothing at all is written then."""
    there = folder / "out/b/base/service.yaml"
    there.parent.mkdir(parents=True)
    there.write_text(text, encoding="utf-8")

    assert rendered(folder / "b.yaml", "-d", folder / "out") == 1
    assert '"b/base/service.yaml" holds no Kubernetes object' in capsys.readouterr().err
    assert there.read_text(encoding="utf-8") == text
    assert list(there.parent.iterdir()) == [there]


@pytest.mark.parametrize("source", ["nope.yaml", "nope/a.yaml", "/nonexistent"])
def test_a_source_that_is_not_there_is_no_folder(folder, source, capsys, monkeypatch):
    """Not even the folder in which it would stand."""
    before = sources(folder)
    monkeypatch.chdir(folder)

    assert rendered(source) == 1
    assert f'"{source}" is neither a file nor a folder' in capsys.readouterr().err
    assert sources(folder) == before
    assert not (folder / "a").exists()


def test_what_is_not_yaml_is_named_with_its_file(folder, capsys):
    (folder / "a.yaml").write_text("kind: LLMService\nmetadata: {name: x\nspec: krm-fn.dev/\n")

    assert rendered(folder) == 1
    assert "a.yaml line" in capsys.readouterr().err

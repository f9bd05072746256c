"""The function in the real kpt: files appear, follow the config, and leave others alone."""

import re
import sys
from collections import Counter
from pathlib import Path

import pytest
import yaml
from programs import (
    BY_PATH,
    FLAT,
    IMAGE,
    MOCK,
    OWNER,
    ROOT,
    attempt,
    kinds,
    read,
    run,
    service,
    write,
)

from krm_fn import krm

BASE = {
    "base/configmap.yaml",
    "base/deployment.yaml",
    "base/horizontalpodautoscaler.yaml",
    "base/kustomization.yaml",
    "base/llmplan.yaml",
    "base/networkpolicy.yaml",
    "base/poddisruptionbudget.yaml",
    "base/service.yaml",
    "base/serviceaccount.yaml",
}
OVERLAYS = {f"overlays/{name}/kustomization.yaml" for name in ("mock", "vllm", "sglang")}
MINE = """\
# mine, with a comment
apiVersion: v1
kind: ConfigMap
metadata: {name: mine, labels: {a: "b"}}
data:
  mode: 0644 # octal
  at: 2024-01-01T10:00:00Z
  base60: 22:22
  # between
  on: ~
  flow: [a, 'b', "c"]
  text: |
    items:
    - 0644
"""
"""What kpt itself leaves alone: it also folds long text and removes blank lines."""
VERBOSE = "--truncate-output=false"


def kptfile(*mutators: dict, name: str = "package") -> dict:
    return {
        "apiVersion": "kpt.dev/v1",
        "kind": "Kptfile",
        "metadata": {"name": name},
        "pipeline": {"mutators": list(mutators)},
    }


@pytest.fixture
def mutator(krm_fn):
    """The function as a program, with the config of the package."""
    return {"exec": krm_fn, "configPath": "config.yaml"}


@pytest.fixture
def attempted(kpt):
    """One `kpt fn render`, whatever came of it."""
    return lambda folder: attempt(kpt, "fn", "render", "--allow-exec", VERBOSE, folder)


@pytest.fixture
def rendered(attempted):
    """What one successful `kpt fn render` said."""

    def said(folder: Path) -> str:
        done = attempted(folder)
        assert done.returncode == 0, done.stderr
        return done.stderr

    return said


@pytest.fixture
def package(tmp_path, mutator):
    """A package with the quickstart's config and a file of the user."""
    return write(
        tmp_path,
        {"Kptfile": kptfile(mutator), "config.yaml": service(function=None), "mine.yaml": MINE},
    )


def git(folder: Path, *words: str) -> str:
    return run("git", "-C", folder, "-c", "user.name=t", "-c", "user.email=t@local", *words)


def committed(folder: Path) -> None:
    if not (folder / ".git").exists():
        git(folder, "init", "--quiet")
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", "state")


def changes(folder: Path) -> list[str]:
    return git(folder, "status", "--porcelain", "--untracked-files=all").splitlines()


def generated(folder: Path) -> set[str]:
    """The files that say whose they are."""
    files = {name: text for name, text in read(folder).items() if Path(name).name != "Kptfile"}
    return {name for name, text in files.items() if OWNER in text}


def changed(folder: Path, name: str = "config.yaml", **spec) -> None:
    write(folder, {name: service(function=None, **spec)})


# Rendering


def test_render_twice_leaves_a_clean_status(package, kpt, image):
    """The image writes the tree once; a second run has nothing to change."""
    write(package, {"Kptfile": kptfile({"image": IMAGE, "configPath": "config.yaml"})})
    env = {"KPT_FN_RUNTIME": "docker", "KRM_FN_RUNTIME": "docker"}
    committed(package)
    run(kpt, "fn", "render", package, env=env)
    first = changes(package)
    committed(package)
    run(kpt, "fn", "render", package, env=env)

    assert {f"?? {name}" for name in BASE | OVERLAYS} == set(first)
    assert changes(package) == []


def test_program_writes_what_the_image_writes(package, mutator, rendered, kpt, image):
    """It is one function, whichever way it is started."""
    rendered(package)
    by_program = read(package)
    for name in generated(package):
        (package / name).unlink()
    write(package, {"Kptfile": kptfile({"image": IMAGE, "configPath": "config.yaml"})})
    run(kpt, "fn", "render", package, env={"KPT_FN_RUNTIME": "docker"})

    assert read(package) == {**by_program, "Kptfile": (package / "Kptfile").read_text()}


def test_tree_has_base_and_overlays(package, rendered, kubectl):
    """Each overlay builds in plain kubectl without a flag, as Flux and `apply -k` do it."""
    rendered(package)
    built = {
        overlay.name: kinds(run(kubectl, "kustomize", overlay))
        for overlay in (package / "overlays").iterdir()
    }

    assert generated(package) == BASE | OVERLAYS
    assert built == {"mock": MOCK, "vllm": FLAT, "sglang": FLAT}
    assert kinds(run(kubectl, "kustomize", package / "base")) == MOCK


def test_results_are_shown_and_stderr_is_silent(package, rendered):
    """In kpt warnings are Results; stderr would say them a second time."""
    said = rendered(package)

    assert "[warning] krm-fn.dev/v1alpha1/LLMService/qwen3-8b spec.model.revision: " in said
    assert "Stderr:" not in said


def test_one_config_serves_kpt_and_kustomize(package, rendered):
    """The annotation for kustomize means nothing to kpt."""
    write(package, {"config.yaml": service(function=BY_PATH)})
    rendered(package)

    assert generated(package) == BASE | OVERLAYS


def test_flat_mode_writes_final_objects(package, rendered):
    """`output.mode: flat` is for `kpt live`: six objects of the variant and the plan."""
    changed(package, output={"mode": "flat"})
    rendered(package)
    written = {name: yaml.safe_load((package / name).read_text()) for name in generated(package)}
    applied = [document for document in written.values() if document["kind"] != "LLMPlan"]

    assert Counter(document["kind"] for document in applied) == FLAT
    assert len(written) == len(applied) + 1
    assert "overlays" not in {Path(name).parts[0] for name in written}


def test_flat_mode_twice_leaves_a_clean_status(package, rendered):
    changed(package, output={"mode": "flat"})
    rendered(package)
    committed(package)
    rendered(package)

    assert changes(package) == []


def test_flat_after_tree_removes_the_tree(package, rendered):
    """What the other mode wrote goes away, so that kpt live applies nothing twice."""
    rendered(package)
    changed(package, output={"mode": "flat"})
    rendered(package)

    assert not generated(package) & (OVERLAYS | {"base/kustomization.yaml"})


# What happens to files


def test_removed_variant_takes_its_files_with_it(package, rendered):
    """The overlay is gone and said to be; the file of the user has not changed by one byte."""
    rendered(package)
    changed(package, variants={"mock": {}, "vllm": {}})
    said = rendered(package)

    assert generated(package) == (BASE | OVERLAYS) - {"overlays/sglang/kustomization.yaml"}
    assert "overlays/sglang/kustomization.yaml" in said
    assert (package / "mine.yaml").read_text() == MINE


def test_files_of_others_stay_as_they_are(package, rendered):
    """Comments, octal numbers, times and flow maps survive every render."""
    others = {
        "list.yaml": MINE + "---\n" + MINE.replace("name: mine", "name: second"),
        "kustomization.yaml": "# own\nkind: Kustomization\nresources: [overlays/vllm]\n",
    }
    write(package, others)
    before = read(package)
    rendered(package)
    rendered(package)
    after = read(package)

    assert {name: after[name] for name in others} == others
    assert (after["mine.yaml"], after["Kptfile"]) == (MINE, before["Kptfile"])


def test_comments_in_generated_files_stay(package, rendered):
    """A note of the user in our file is no edit and is kept when the file changes."""
    rendered(package)
    file = package / "base" / "service.yaml"
    file.write_text(file.read_text().replace("spec:\n", "# port for the gateway\nspec:\n", 1))
    changed(package, service={"port": 9000})
    said = rendered(package)

    assert "# port for the gateway\nspec:\n" in file.read_text()
    assert "port: 9000" in file.read_text()
    assert "edited by hand" not in said


def test_edit_of_a_generated_file_is_reported(package, rendered):
    """It is overwritten, as the config is the truth, but not in silence."""
    rendered(package)
    file = package / "base" / "service.yaml"
    before = file.read_text()
    file.write_text(before.replace("port: 8000", "port: 80"))
    said = rendered(package)

    assert file.read_text() == before
    assert re.search(
        r"\[warning\].*`base/service.yaml` was edited by hand and is overwritten", said
    )


def test_file_of_someone_else_is_not_overwritten(package, attempted):
    """A file that stands in the way is named, and nothing is written."""
    write(package, {"base/service.yaml": MINE})
    before = read(package)
    done = attempted(package)

    assert done.returncode == 1
    assert "`base/service.yaml` holds ConfigMap/mine" in done.stderr
    assert read(package) == before


def test_renamed_service_takes_its_files_over(package, rendered):
    """No second copy under the new name, none left under the old."""
    rendered(package)
    write(package, {"config.yaml": service("other", function=None)})
    rendered(package)
    owners = {
        yaml.safe_load((package / name).read_text())["metadata"]["annotations"][OWNER]
        for name in generated(package)
    }

    assert generated(package) == BASE | OVERLAYS
    assert owners == {"LLMService/other"}


def test_subpackages_with_the_same_paths(package, mutator, rendered):
    """Kpt sends files of the subpackages along; equal paths in them are other files."""
    write(
        package,
        {
            "sub/Kptfile": kptfile(mutator, name="sub"),
            "sub/config.yaml": service("inner", function=None, service={"port": 9000}),
        },
    )
    rendered(package)
    first = read(package)
    rendered(package)
    outer = yaml.safe_load(first["base/service.yaml"])
    inner = yaml.safe_load(first["sub/base/service.yaml"])

    assert generated(package) == BASE | OVERLAYS | {f"sub/{name}" for name in BASE | OVERLAYS}
    assert (outer["metadata"]["name"], inner["metadata"]["name"]) == ("qwen3-8b", "inner")
    assert inner["spec"]["ports"][0]["port"] == 9000
    assert read(package) == first


def test_subpackage_without_a_function_of_its_own(package, rendered):
    """The pipeline of the parent renders the services of its children into their folders."""
    write(
        package,
        {
            "sub/Kptfile": kptfile(name="sub"),
            "sub/config.yaml": service("inner", function=None),
        },
    )
    rendered(package)

    assert generated(package) == BASE | OVERLAYS | {f"sub/{name}" for name in BASE | OVERLAYS}


def test_selectors_are_a_fence(package, mutator, rendered):
    """With selectors the function gets only files of its own, and still updates and removes."""
    fence = {"selectors": [{"annotations": {OWNER: "LLMService/qwen3-8b"}}]}
    write(package, {"Kptfile": kptfile({**mutator, **fence})})
    rendered(package)
    committed(package)
    rendered(package)
    unchanged = changes(package)
    changed(package, variants={"mock": {}, "vllm": {}})
    rendered(package)

    assert unchanged == []
    assert generated(package) == (BASE | OVERLAYS) - {"overlays/sglang/kustomization.yaml"}
    assert (package / "mine.yaml").read_text() == MINE


def test_services_of_one_package_share_a_pool(tmp_path, mutator, rendered, kubectl):
    """The example: one entry of the pipeline renders both, and knows what both take."""
    for file in (ROOT / "examples" / "shared-pool").iterdir():
        if file.suffix == ".yaml":
            write(tmp_path, {file.name: file.read_text()})
    write(tmp_path, {"Kptfile": kptfile({"exec": mutator["exec"]})})
    rendered(tmp_path)
    plans = {
        name: yaml.safe_load((tmp_path / name / "base" / "llmplan.yaml").read_text())
        for name in ("chat", "summaries")
    }

    assert {name: plan["kind"] for name, plan in plans.items()} == dict.fromkeys(plans, "LLMPlan")
    assert kinds(run(kubectl, "kustomize", tmp_path / "chat/overlays/vllm"))["Deployment"] == 1
    assert kinds(run(kubectl, "kustomize", tmp_path / "summaries/overlays/vllm")) == FLAT
    assert not (tmp_path / "summaries" / "overlays" / "sglang").exists()


def test_services_that_want_one_folder_are_told_to_share(package, attempted):
    """Both would write base/ and overlays/: the error proposes a path for each."""
    write(package, {"second.yaml": service("second", function=None)})
    before = read(package)
    done = attempted(package)

    assert done.returncode == 1
    assert "path: second" in done.stderr or '"second"' in done.stderr
    assert read(package) == before


def test_strings_that_look_like_numbers_survive(package, rendered, kubectl):
    """Through kpt's writer, kustomize's patches and back."""
    strings = {"A": "1e5", "B": "12e45", "C": "0o17", "D": "on", "E": "22:22", "F": "08"}
    changed(package, variants={"vllm": {"env": strings}, "mock": {"env": strings}})
    rendered(package)
    for variant in ("vllm", "mock"):
        text = run(kubectl, "kustomize", package / "overlays" / variant)
        (deployment,) = [d for d in yaml.safe_load_all(text) if d["kind"] == "Deployment"]
        (container,) = deployment["spec"]["template"]["spec"]["containers"]
        env = {entry["name"]: entry.get("value") for entry in container["env"]}
        assert strings.items() <= env.items()


def test_no_anchors_in_the_files(package, rendered):
    """Kpt writes a broken alias without a word."""
    rendered(package)

    assert not [n for n, text in read(package).items() if re.search(r"(?:^|\s)[&*]id\d+", text)]


# Faults


def test_broken_config_writes_nothing(package, rendered, attempted):
    """Every fault is shown at once, and the package stays as it was."""
    rendered(package)
    changed(
        package,
        gpuPool={"gpu": "NVIDIA-L40S", "gpusPerNode": 0},
        workload={"inputTokens": "many", "outputToken": 1},
    )
    before = read(package)
    done = attempted(package)
    fields = re.findall(r"\[error\] \S+/LLMService/qwen3-8b ([\w.]+): ", done.stderr)

    assert done.returncode == 1
    assert {
        "spec.gpuPool.gpusPerNode",
        "spec.workload.inputTokens",
        "spec.workload.outputToken",
    } == set(fields)
    assert read(package) == before


def test_bug_in_the_function_loses_no_file(package, krm_fn, attempted, rendered, tmp_path_factory):
    """An exception in the middle: rc 1, the traceback and a Result, no file touched."""
    rendered(package)
    program = tmp_path_factory.mktemp("broken") / "krm-fn"
    program.write_text(
        f"#!{sys.executable}\n"
        "import krm_fn.function, krm_fn.__main__\n"
        "krm_fn.function.render_services = lambda *given: [][0]\n"
        "raise SystemExit(krm_fn.__main__.main())\n"
    )
    program.chmod(0o755)
    write(package, {"Kptfile": kptfile({"exec": str(program), "configPath": "config.yaml"})})
    before = read(package)
    done = attempted(package)

    assert done.returncode == 1
    assert re.search(r"\[error\].* this is a bug in the function.* IndexError", done.stderr)
    assert "Traceback" in done.stderr
    assert read(package) == before


def test_broken_installation_loses_no_file(package, attempted, tmp_path_factory):
    """A damaged catalogue is found late or early; either way nothing is written."""
    broken = tmp_path_factory.mktemp("broken")
    run("cp", "-r", ROOT / "krm_fn", broken / "krm_fn")
    for row in (broken / "krm_fn" / "catalog").rglob("*.yaml"):
        row.write_text("- name: [\n")
    program = broken / "krm-fn"
    program.write_text(
        f"#!{sys.executable}\n"
        f"import sys; sys.path.insert(0, {str(broken)!r})\n"
        "from krm_fn.__main__ import main\n"
        "raise SystemExit(main())\n"
    )
    program.chmod(0o755)
    write(package, {"Kptfile": kptfile({"exec": str(program), "configPath": "config.yaml"})})
    before = read(package)
    done = attempted(package)

    assert done.returncode == 1
    assert "krm_fn" in done.stderr
    assert read(package) == before


# kpt fn eval and doc


def evaluated(kpt: str, folder: Path, *function: str) -> str:
    done = attempt(kpt, "fn", "eval", folder, VERBOSE, *function, env={"KPT_FN_RUNTIME": "docker"})
    assert done.returncode == 0, done.stderr
    return done.stderr


@pytest.fixture(params=["exec", "image"])
def function(request):
    """The function as options of `kpt fn eval`."""
    if request.param == "exec":
        return ("--exec", request.getfixturevalue("krm_fn"))
    return ("--image", request.getfixturevalue("image"))


def test_eval_renders_from_two_words(kpt, function, tmp_path):
    """`-- model=... gpu=...` in an empty folder writes the tree, and again changes nothing."""
    words = ("--", "model=Qwen/Qwen3-8B", "gpu=L4")
    evaluated(kpt, tmp_path, *function, *words)
    first = read(tmp_path)
    evaluated(kpt, tmp_path, *function, *words)

    assert set(first) == BASE | OVERLAYS
    assert read(tmp_path) == first


def test_eval_with_a_config(kpt, krm_fn, tmp_path):
    """A config outside the package; the package keeps what it has."""
    package = write(tmp_path / "package", {"mine.yaml": MINE})
    config = write(tmp_path, {"config.yaml": service(function=None)}) / "config.yaml"
    evaluated(kpt, package, "--exec", krm_fn, "--fn-config", str(config))

    assert set(read(package)) == BASE | OVERLAYS | {"mine.yaml"}
    assert (package / "mine.yaml").read_text() == MINE


def test_eval_of_a_package_with_configs(kpt, krm_fn, package):
    """Without a functionConfig the services of the package are rendered."""
    evaluated(kpt, package, "--exec", krm_fn)

    assert generated(package) == BASE | OVERLAYS


def test_eval_names_an_unknown_word(kpt, krm_fn, tmp_path):
    done = attempt(kpt, "fn", "eval", tmp_path, "--exec", krm_fn, "--", "modl=Qwen/Qwen3-8B")

    assert done.returncode == 1
    assert 'data.modl: unknown key (did you mean "model"?)' in done.stderr
    assert read(tmp_path) == {}


def test_doc_prints_the_help(kpt, image):
    """`kpt fn doc` starts the image with --help and nothing on stdin."""
    said = run(kpt, "fn", "doc", "--image", image, env={"KPT_FN_RUNTIME": "docker"})

    assert "The smallest functionConfig:" in said
    assert "kind: LLMService" in said


def test_help_needs_no_input(krm_fn):
    """The help is printed while stdin is empty, and its example is a config that renders."""
    said = run(krm_fn, "--help")
    example = said.partition("The smallest functionConfig:")[2].partition("krm-fn VERB")[0]
    config = "\n".join(line[2:] for line in example.splitlines())
    items = krm.dump({"apiVersion": "config.kubernetes.io/v1", "kind": "ResourceList"})
    answer = run(krm_fn, stdin=items + krm.dump({"functionConfig": yaml.safe_load(config)}))

    assert Counter(item["kind"] for item in yaml.safe_load(answer)["items"]) > FLAT

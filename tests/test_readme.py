"""Documentation holds: embedded blocks equal files and outputs, links exist, fields equal the code.

A comment `<!-- file: PATH -->` or `<!-- run: krm-fn ... -->` stands before a code block; `pytest
--update` fills the block.
"""

import contextlib
import io
import re
import shlex
from pathlib import Path

import pytest

from krm_fn import api, krm
from krm_fn.api.v1alpha1 import LLMService
from krm_fn.cli import main

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
PAGES += sorted((ROOT / "examples").glob("*/README.md"))
BLOCK = re.compile(r"(<!-- (file|run): (.+?) -->\n```\w*\n)(.*?)(```)", re.DOTALL)
LINK = re.compile(r"\]\((?!https?://|#)([^)#]+)")


def page_id(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def output(command: str) -> str:
    """What a person sees of a krm-fn command, stdout and stderr, at the top of the repository."""
    text = io.StringIO()
    program, *words = shlex.split(command)
    assert program == "krm-fn"
    with contextlib.redirect_stdout(text), contextlib.redirect_stderr(text):
        main(words)
    return text.getvalue()


def filled(text: str) -> str:
    def block(match: re.Match[str]) -> str:
        head, kind, what, _, end = match.groups()
        body = (ROOT / what).read_text(encoding="utf-8") if kind == "file" else output(what)
        return head + body.rstrip("\n") + "\n" + end

    return BLOCK.sub(block, text)


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_embedded_blocks_are_current(
    page: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    """Every embedded file and output is what it is today."""
    monkeypatch.chdir(ROOT)
    text = page.read_text(encoding="utf-8")
    new = filled(text)
    if request.config.getoption("--update") and new != text:
        page.write_text(new, encoding="utf-8")
        pytest.fail(f"rewritten, read the diff: {page_id(page)}")

    assert text == new


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_links_exist(page: Path) -> None:
    """Relative links lead to files of the repository."""
    links = LINK.findall(page.read_text(encoding="utf-8"))

    assert [link for link in links if not (page.parent / link).exists()] == []


def test_the_reference_lists_every_field_with_its_default() -> None:
    """docs/functionconfig.yaml is the code's own schema with its defaults."""
    document = krm.load((ROOT / "docs" / "functionconfig.yaml").read_text(encoding="utf-8"))
    service, faults = api.parsed(document, LLMService)
    smallest = {
        **document,
        "spec": {"model": {"id": document["spec"]["model"]["id"]}, "gpuPool": {"gpu": "h100"}},
    }
    bare, _ = api.parsed(smallest, LLMService)
    assert service
    assert bare

    stated = service.model_dump(by_alias=True)["spec"]
    default = bare.model_dump(by_alias=True)["spec"]
    for parent in (stated, default):  # the reference shows one of two ways, and all variants
        for key in ("variants", "gpuPoolRef", "workload"):
            parent.pop(key)
        parent["gpuPool"].pop("gpu")

    assert ((), default) == (faults, stated)


def test_the_reference_shows_all_keys() -> None:
    """No field is left out of the page."""
    document = krm.load((ROOT / "docs" / "functionconfig.yaml").read_text(encoding="utf-8"))
    shown = {key for key, _ in paths(document["spec"])}
    known = {key for key, _ in paths(schema_example())}

    assert known - shown == set()


def schema_example() -> dict[str, object]:
    service, _ = api.parsed(
        krm.load((ROOT / "docs" / "functionconfig.yaml").read_text(encoding="utf-8")), LLMService
    )
    assert service
    spec: dict[str, object] = service.model_dump(by_alias=True)["spec"]
    spec.pop("gpuPoolRef")
    variants = spec["variants"]
    assert isinstance(variants, dict)
    spec["variants"] = {"mock": {"like": 0, "metric": 0}, "vllm": variants["vllm"]}
    for key in ("like", "metric"):
        variants["vllm"].pop(key)
    return spec


def paths(node: object, at: str = "") -> list[tuple[str, object]]:
    if not isinstance(node, dict):
        return [(at, node)]
    return [(at, None), *(p for k, v in node.items() for p in paths(v, f"{at}.{k}"))]

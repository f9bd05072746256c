"""What a user reads when an input cannot work: every fault of one run, a line each.

Every folder of `tests/errors/` has a config.yaml, whose first line says what went wrong in it, and
an errors.txt, which is compared whole. `pytest --update` rewrites errors.txt and fails, so that the
diff is read.
"""

from pathlib import Path

import pytest

from krm_fn import krm
from krm_fn.errors import KrmFnError, Result, has_errors
from krm_fn.function import generate
from krm_fn.krm import ResourceList

CASES = sorted(path for path in (Path(__file__).parent / "errors").iterdir() if path.is_dir())
each_case = pytest.mark.parametrize("case", CASES, ids=[path.name for path in CASES])


def results(case: Path) -> tuple[Result, ...]:
    """What is said about the documents of a case; an exception that is no KrmFnError escapes."""
    text = (case / "config.yaml").read_text(encoding="utf-8")
    try:
        items = krm.file_items("config.yaml", text)
        return generate(ResourceList(items=items), mode="tree").results
    except KrmFnError as fault:
        return fault.results


def errors_file(case: Path) -> Path:
    return case / "errors.txt"


@each_case
def test_messages_are_the_committed_ones(case: Path, request: pytest.FixtureRequest) -> None:
    """All lines of one run equal errors.txt."""
    new, file = "".join(f"{result.line}\n" for result in results(case)), errors_file(case)
    old = file.read_text(encoding="utf-8") if file.is_file() else ""
    if request.config.getoption("--update") and old != new:
        file.write_text(new, encoding="utf-8")
        pytest.fail(f"rewritten, read the diff: {case.name}")

    assert old == new


@each_case
def test_a_case_is_refused(case: Path) -> None:
    """At least one line is an error: what only warns stands in the examples."""
    assert has_errors(results(case))


@each_case
def test_every_error_says_of_whom_and_where(case: Path) -> None:
    """A line without a resource or a field cannot be acted on."""
    errors = [result for result in results(case) if result.severity == "error"]

    assert [r.line for r in errors if not (r.field_path and (r.resource or {}).get("name"))] == []


@each_case
def test_no_message_is_said_twice(case: Path) -> None:
    """One fault, one line, also where two engines find it."""
    lines = [result.line for result in results(case)]

    assert sorted(set(lines)) == sorted(lines)


def test_one_case_collects_faults_of_every_room() -> None:
    """At least twelve in one run, so that a user mends all of them at once."""
    case = next(path for path in CASES if path.name == "everything-at-once")

    assert len([r for r in results(case) if r.severity == "error"]) >= 12

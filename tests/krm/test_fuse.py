"""Whatever goes wrong, the input comes back whole."""

import sys
from dataclasses import replace

import pytest

from krm_fn import krm
from krm_fn.errors import PlanError, error, info, warning

KEY = "toy.example/owner"
LIST = (
    "apiVersion: config.kubernetes.io/v1\nkind: ResourceList\nitems:\n"
    "- kind: X\n  a: 0644 # c\n"
    f"- kind: Y\n  metadata: {{annotations: {{{KEY}: Toy/a}}}}\n"
)
IN_PACKAGE = LIST + "- kind: Kptfile\n"


def run(text, transform, **more):
    return krm.run(text, transform, owner_key=KEY, **more)


def failing(fault):
    def transform(resources):
        raise fault

    return transform


def finding(*results):
    return lambda resources: replace(resources, items=resources.items[:1], results=results)


def test_good_run_writes_the_result():
    """Owned items may go, results are added, nobody is told on stderr."""
    outcome = run(LIST, finding(info("done")))

    assert outcome.text.startswith(
        LIST.split("- kind: Y", maxsplit=1)[0] + "results:\n- message: done\n"
    )
    assert (outcome.exit_code, outcome.stderr) == (0, ())


@pytest.mark.parametrize(
    "transform",
    [
        pytest.param(failing(PlanError([error("no", "spec.a")])), id="raised"),
        pytest.param(finding(error("no", "spec.a")), id="returned"),
    ],
)
def test_a_fault_gives_the_items_back_with_error_results(transform):
    """Byte for byte; the line is on stderr as well, since kustomize drops Results."""
    outcome = run(LIST, transform)

    assert outcome.text.startswith(LIST + "results:\n- message: ")
    assert krm.load(outcome.text)["results"] == [
        {"message": "no", "severity": "error", "field": {"path": "spec.a"}}
    ]
    assert (outcome.exit_code, outcome.stderr) == (1, ("error: spec.a: no",))


def test_any_other_exception_is_a_bug_with_its_traceback():
    """The items come back all the same."""
    outcome = run(LIST, failing(ZeroDivisionError("division\nby zero")))
    (result,) = krm.load(outcome.text)["results"]

    assert outcome.text.startswith(LIST)
    assert outcome.exit_code == 1
    assert result["message"] == (
        "this is a bug in the function, please report it: ZeroDivisionError: division by zero;"
        " nothing was changed"
    )
    assert outcome.stderr[0] == "Traceback (most recent call last):"
    assert outcome.stderr[-1] == f"error: {result['message']}"


def test_loss_of_a_foreign_item_is_refused():
    """Kpt would delete the file without a word."""
    outcome = run(LIST, lambda resources: replace(resources, items=resources.items[1:]))

    assert outcome.text.startswith(LIST)
    assert "items of others would be lost: X" in outcome.stderr[-1]


def test_change_of_a_foreign_item_is_refused():
    """One that comes out different is one that is lost."""

    def transform(resources):
        return replace(resources, items=tuple(krm.item_of(i.object) for i in resources.items))

    assert run(LIST, transform).exit_code == 1


def test_twin_items_count_twice():
    """Equal text in two items is no excuse for dropping one."""
    twins = LIST.replace("- kind: Y", "- kind: X\n  a: 0644 # c\n- kind: Y")

    assert run(twins, lambda resources: replace(resources, items=resources.items[1:])).exit_code


def test_validator_returns_no_items():
    """Kustomize refuses what comes back from one; its errors still show."""
    good = run(LIST, finding(warning("look")), validates=lambda _: True)
    bad = run(LIST, finding(error("no")), validates=lambda _: True)

    assert (good.exit_code, krm.load(good.text)["items"]) == (0, [])
    assert (bad.exit_code, krm.parse(bad.text).items) == (1, krm.parse(LIST).items)


@pytest.mark.parametrize(
    ("text", "lines"), [(LIST, ("warning: look",)), (IN_PACKAGE, ())], ids=["kustomize", "kpt"]
)
def test_warnings_are_on_stderr_where_nobody_shows_results(text, lines):
    """Kpt shows Results, and stderr too, so there it would be noise."""

    def transform(resources):
        return replace(resources, results=(warning("look"), info("fine")))

    assert run(text, transform).stderr == lines


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "stdin is empty: it must hold a ResourceList; see --help"),
        (b"\xff\xfe", "stdin is not UTF-8: byte 0 is 0xff"),
        (b"kind: ]", "input line 1: this is not YAML"),
    ],
)
def test_input_that_cannot_be_read_gives_an_empty_list_and_an_error(data, message):
    """Exit 1, so nobody takes the list for the result."""
    outcome = run(data, lambda resources: resources)

    assert outcome.exit_code == 1
    assert krm.load(outcome.text)["items"] == []
    assert message in outcome.stderr[0]


def test_line_ends_of_the_input_stay():
    """Bytes are decoded without translating line breaks."""
    text = LIST.replace("\n", "\r\n").encode()

    assert b"- kind: X\r\n  a: 0644 # c\r\n" in run(text, lambda r: r).text.encode()


def test_stray_prints_go_to_stderr(capsys):
    """A print of a library must not corrupt the list."""
    with krm.guarded_stdout() as stdout:
        sys.stdout.write("stray\n")
        stdout.write("list")
    sys.stdout.write("after\n")

    assert capsys.readouterr() == ("listafter\n", "stray\n")

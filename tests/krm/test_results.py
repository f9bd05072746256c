"""Results as kpt shows them, and as lines where nobody shows them."""

import pytest

from krm_fn import krm
from krm_fn.errors import error, info, warning


def test_a_message_is_one_line_and_severity_is_stated():
    """Kpt prints a missing severity as info and newlines as spaces."""
    assert krm.wire(error("a\n  b")) == {"message": "a b", "severity": "error"}


@pytest.mark.parametrize(
    ("value", "text"),
    [("x", "x"), (0.1, "0.1"), (True, "true"), (0, "0"), ({"a": ["é"]}, '{"a": ["é"]}')],
)
def test_values_are_strings(value, text):
    """Newer kpt reads strings there and nothing else."""
    wired = krm.wire(error("m", "spec.a", current=value, proposed=value))

    assert wired["field"] == {"path": "spec.a", "currentValue": text, "proposedValue": text}


def test_references_are_passed_on_without_what_is_unknown():
    """An absent key is absent, not null."""
    ref = {"apiVersion": "v1", "kind": "X", "name": "a", "namespace": None}
    wired = krm.wire(info("m", resource=ref, file={"path": "a.yaml"}, tags={"n": 1}))

    assert wired == {
        "message": "m",
        "severity": "info",
        "resourceRef": {"apiVersion": "v1", "kind": "X", "name": "a"},
        "file": {"path": "a.yaml"},
        "tags": {"n": "1"},
    }


def test_stderr_has_errors_and_on_request_warnings():
    """Infos are never worth a line; a file is named once."""
    file = {"path": "a.yaml"}
    results = [error("bad", "spec.a", file=file), warning("`a.yaml` is odd", file=file), info("ok")]

    assert krm.stderr_lines(results, warnings=False) == ("error: spec.a: bad (a.yaml)",)
    assert krm.stderr_lines(results, warnings=True)[1:] == ("warning: `a.yaml` is odd",)

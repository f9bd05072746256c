"""Every check has a bad input, finds exactly what that says, and is silent on the good sets."""

import pytest
from good_variants import FACTS, FOLDER, bad, good

from krm_fn.checks import CHECKS, faults

BAD = sorted((FOLDER / "bad").glob("*.yaml"))


def _rule(path):
    return path.stem.partition("-")[0]


@pytest.mark.parametrize("path", BAD, ids=lambda path: path.stem)
def test_bad_input_gives_its_findings(path):
    """All checks together find what the file says, and no more."""
    context, expected = bad(path)

    assert expected == [result.line for result in faults(context)]


@pytest.mark.parametrize("path", BAD, ids=lambda path: path.stem)
def test_bad_input_is_found_by_the_check_it_is_named_after(path):
    context, expected = bad(path)

    assert {result.line for result in CHECKS[_rule(path)].rule(context)} & set(expected)


def test_every_check_has_a_bad_input():
    assert set(CHECKS) == {_rule(path) for path in BAD}


@pytest.mark.parametrize("name", FACTS)
@pytest.mark.parametrize("facts", [True, False], ids=["facts", "objects alone"])
def test_good_sets_are_silent(name, facts):
    assert faults(good(name, facts=facts)) == ()


def test_every_finding_says_where_and_what_must_hold():
    """A resource or a field of the plan, a path that is not empty where it can be."""
    for path in BAD:
        for result in faults(bad(path)[0]):
            assert result.message.startswith(("must ", "must not "))
            assert result.resource or result.field_path

"""Comments of a file survive when the command line writes it anew."""

import pytest
import test_yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from krm_fn import krm
from krm_fn.errors import ConfigError
from krm_fn.krm.comments import commented


@pytest.mark.parametrize(
    ("old", "value", "text"),
    [
        pytest.param("# head\na: 1\n", {"a": 2}, "# head\na: 2\n", id="above the first key"),
        pytest.param(
            "a:\n  # one\n  # two\n  b: 1\n",
            {"a": {"x": 0, "b": 2}},
            "a:\n  x: 0\n  # one\n  # two\n  b: 2\n",
            id="above an inner key, indented anew",
        ),
        pytest.param("a: 1 # why\n", {"a": 2}, "a: 2 # why\n", id="beside a value"),
        pytest.param(
            "a: # why\n  b: 1\n", {"a": {"b": 2}}, "a: # why\n  b: 2\n", id="beside a key"
        ),
        pytest.param(
            "l:\n# b\n- name: x # c\n  v: 1\n- name: z\n",
            {"l": [{"name": "z"}, {"name": "x", "v": 2}]},
            "l:\n- name: z\n# b\n- name: x # c\n  v: 2\n",
            id="of an entry that moved",
        ),
        pytest.param("l:\n- a\n- b # b\n", {"l": ["c", "d"]}, "l:\n- c\n- d # b\n", id="by order"),
        pytest.param("l: [a, b] # all\n", {"l": ["c"]}, "l: # all\n- c\n", id="of a flow list"),
        pytest.param("a: 1\n# foot\n", {"a": 2}, "a: 2\n# foot\n", id="at the end"),
        pytest.param("# gone\na: 1\nb: 1 # too\n", {"c": 2}, "c: 2\n", id="of keys that are gone"),
        pytest.param(
            'a: "# no"\nb: |\n  # no\n  x # no\nc: x#no\n# yes\nd: 1\n',
            {"a": "one", "b": "t\n", "c": "z", "d": 2},
            "a: one\nb: |\n  t\nc: z\n# yes\nd: 2\n",
            id="not what only looks like one",
        ),
        pytest.param(
            "# x\na: |\n  1\n# y\nb: 1\n", {"a": "1\n", "b": "c\nd"}, None, id="around blocks"
        ),
    ],
)
def test_comment_goes_where_its_key_goes(old, value, text):
    """Above, beside, at the end; and the result says what it should."""
    result = commented(krm.dump(value), old)

    assert krm.load(result) == value
    assert result == (text or "# x\na: |\n  1\n# y\nb: |-\n  c\n  d\n")


def test_text_without_comments_is_not_touched():
    """Not even parsed."""
    assert commented("a: [", "b: 1") == "a: ["


@st.composite
def sprinkled(draw):
    """A text with comments in all sorts of places, some of them inside scalars."""
    lines = krm.dump(draw(MAPPINGS)).split("\n")
    comments = draw(st.lists(st.sampled_from(["", "# a", "  # b", "beside"]), max_size=len(lines)))
    mixed = []
    for line, comment in zip(lines, [*comments, *[""] * len(lines)], strict=False):
        mixed += [f"{line} # c"] if comment == "beside" else [comment, line] if comment else [line]
    return "\n".join(mixed)


MAPPINGS = st.dictionaries(test_yaml.STRINGS, test_yaml.VALUES, min_size=1, max_size=4)


@settings(deadline=None)
@given(MAPPINGS, sprinkled())
def test_comments_change_nothing_that_is_said(value, old):
    """Whatever the old text was, as long as it could be read."""
    try:
        krm.load(old)
    except ConfigError:
        return
    if isinstance(krm.load(old), dict):
        assert krm.load(commented(krm.dump(value), old)) == value


@settings(deadline=None)
@given(MAPPINGS)
def test_comments_of_a_text_come_back(value):
    """The same object with a comment above each of its keys is the same text again."""
    lines = krm.dump(value).split("\n")
    keys = {krm.place(krm.dump(value), (key,)).line for key in value}
    old = "\n".join(f"# {n}\n{line}" if n in keys else line for n, line in enumerate(lines, 1))

    assert commented(krm.dump(value), old) == old

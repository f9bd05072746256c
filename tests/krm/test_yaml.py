"""The reader sees what kubectl sees; the writer writes what every reader reads back."""

import json
import math
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from krm_fn.errors import ConfigError
from krm_fn.krm import Place, documents, dump, dump_all, load, load_all, place

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
WORDS = """y n Y no off true null ~ = << 1e5 12e45 0o17 0b1 0x1F 0644 08 22:22 1_000 .5 . - +1 .nan
2024-01-01 2024-01-01T10:00:00Z @a *a &a !a %a #a ?a |a >a `a {{x}} [x] a: a:b --- ... , : ? it's"""
LINES = ["", "a\nb", "a\n", "\n", "\n\na", "a\n\n", " a\nb", "a \nb", "\ta\n", "a\r\n", "...\n"]
OTHER = ["\u2028", "\x85", "\ufeff", "\x1b", '{"a":1}', "\\n", "a: b", "a #b"]
TRICKY = [*WORDS.split(), *LINES, *OTHER]
STRINGS = TEXTS | st.sampled_from(TRICKY)
VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-(2**63), 2**63), STRINGS)
    | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(STRINGS, inner, max_size=4),
    max_leaves=15,
)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("on", "on"),
        ("y", "y"),
        ("No", "No"),
        ("true", True),
        ("False", False),
        ("", None),
        ("~", None),
        ("null", None),
        ("42", 42),
        ("-7", -7),
        ("+7", 7),
        ("0", 0),
        ("0644", 420),
        ("0o17", 15),
        ("-0o17", -15),
        ("0x1F", 31),
        ("0b101", 5),
        ("1_000", 1000),
        ("08", 8.0),
        ("0.10", 0.1),
        ("1e3", 1000.0),
        (".5", 0.5),
        ("5.", 5.0),
        (".inf", math.inf),
        ("1e999", "1e999"),
        (".1_5", ".1_5"),
        ("1_0.5", 10.5),
        ("18446744073709551615", 2**64 - 1),
        ("18446744073709551616", 2.0**64),
        ("0xFFFFFFFFFFFFFFFFF", "0xFFFFFFFFFFFFFFFFF"),
        ("22:22", "22:22"),
        ("190:20:30", "190:20:30"),
        ("2024-01-01", "2024-01-01"),
        ("2024-01-01T10:00:00Z", "2024-01-01T10:00:00Z"),
        ("8Gi", "8Gi"),
        ("1.2.3", "1.2.3"),
        ("-x", "-x"),
        ("_1", "_1"),
        ("0x_1_F", 31),
        ('"1"', "1"),
        ("!!str 1", "1"),
        ('!!int "1"', 1),
    ],
)
def test_scalar_has_the_type_that_kubectl_gives_it(text, value):
    """YAML 1.2 with the leading-zero octals of Go; nothing of YAML 1.1."""
    loaded = load(f"a: {text}")["a"]

    assert (loaded, type(loaded)) == (value, type(value))


def test_keys_are_strings():
    """`on:` and `1:` stay what the author wrote."""
    assert load("on: 1\n1: 2\nnull: 3\n") == {"on": 1, "1": 2, "null": 3}


def test_json_is_read():
    """JSON is YAML, so one reader is enough."""
    value = {"a": [1, True, None, "x\n"], "b": {"c": 0.5}}

    assert value == load(json.dumps(value))


def test_all_faults_of_a_document_are_reported_with_their_lines():
    """A duplicate key, an unknown tag and a key that is no string are three lines."""
    with pytest.raises(ConfigError) as caught:
        load("a: 1\na: 2\nb: !secret x\n[c]: 3\n", source="x.yaml", line=11)

    assert [result.message for result in caught.value.results] == [
        "x.yaml line 12: key `a` stands twice in one mapping",
        "x.yaml line 13: tag `!secret` is not supported",
        "x.yaml line 14: a key must be a string",
    ]


def test_aliases_are_refused_unless_they_are_allowed():
    """Objects of ours must not share parts; foreign ones may."""
    text = "a: &x [1]\nb: *x\n"

    assert load(text, aliases=True) == {"a": [1], "b": [1]}
    with pytest.raises(ConfigError, match=r"line 2: alias `\*x` is not supported"):
        load(text)


@pytest.mark.parametrize(
    ("text", "line"), [("a: [1\nb: 2\n", 2), ("a: 1\n\tb: 2\n", 2), ("a: *b\n", 1)]
)
def test_bad_yaml_names_the_line(text, line):
    """A syntax error is one line with its place."""
    with pytest.raises(ConfigError, match=rf"^error: x line {line}: this is not YAML: ") as caught:
        load(text, source="x")

    assert len(str(caught.value).splitlines()) == 1


def test_control_characters_are_a_fault_not_a_crash():
    """The parser refuses them without a place."""
    with pytest.raises(ConfigError, match="this is not YAML"):
        load("a: \x01")


def test_place_tells_how_a_scalar_was_written():
    """`0.10` was a number: its text and line are needed to say that it must be quoted."""
    text = "spec:\n  versions:\n  - x\n  - 0.10\n"

    assert Place(line=4, text="0.10") == place(text, ("spec", "versions", 1))


def test_place_of_what_is_not_there_is_none():
    """Missing keys and steps into scalars have no place."""
    assert (place("a: 1", ("b",)), place("a: 1", ("a", "b"))) == (None, None)


def test_documents_are_split_without_being_parsed():
    """A bad document leaves the others readable; comments alone are no document."""
    text = "# only a comment\n---\na: 1\n---\nb: [\n--- {c: 2}\n---\ntext: |\n  ---\n...\n# end\n"

    assert list(documents(text))[:3] == [
        (2, "   \na: 1\n"),
        (4, "   \nb: [\n"),
        (6, "    {c: 2}\n"),
    ]
    assert load(list(documents(text))[3][1]) == {"text": "---\n"}


def test_a_stream_is_read_document_by_document():
    """Directives and end marks do not hurt."""
    assert load_all("%YAML 1.2\n---\na: 1\n...\n---\nb: 2\n") == ({"a": 1}, {"b": 2})


@pytest.mark.parametrize(
    "text", ["8Gi", "100m", "v1.2.3", "Qwen/Qwen3-8B", "--port", "-1m", "a,b", "a:b", "é", "it's"]
)
def test_harmless_strings_stay_plain(text):
    """Quotes where they are not needed would be noise."""
    assert dump([text]) == f"- {text}\n"


AMBIGUOUS = "1e5 12e45 0o17 0644 22:22 y N on off yes ~ null true 1 .5 2024-01-01 = << - . a: *x"


@pytest.mark.parametrize("text", [*AMBIGUOUS.split(), "", " a", "a: b", "a #b", "- a"])
def test_what_some_reader_takes_for_something_else_is_quoted(text):
    """Image tags, hashes and environment values are at risk."""
    assert dump([text]) == f'- "{text}"\n'


def test_quotes_and_backslashes_need_no_escapes():
    """JSON in an argument is readable."""
    assert dump(['{"a": 1}']) == """- '{"a": 1}'\n"""


def test_text_that_looks_like_the_end_of_a_document_stays():
    """The emitter ends a lone scalar with three dots; those of a text are no such mark."""
    assert dump({"a": ["x\n...\n"]}) == "a:\n- |\n  x\n  ...\n"
    assert dump("x") == "x\n"


def test_several_lines_are_a_literal_block():
    """Patches and configuration files are read by people."""
    assert dump({"a": "x\n\ny\n", "b": "x\ny"}) == "a: |\n  x\n\n  y\nb: |-\n  x\n  y\n"


def test_layout_is_that_of_kpt():
    """Lists at the column of their key, keys in the order given, no markers, no folding."""
    value = {"b": [{"x": 1, "a": []}], "a": {}, "long": "word " * 60 + "."}

    assert f"b:\n- x: 1\n  a: []\na: {{}}\nlong: {value['long']}\n" == dump(value)


def test_shared_objects_are_written_out():
    """The aliases that PyYAML would make of them are broken for kustomize."""
    labels = {"app": "x"}

    assert dump([labels, labels]) == "- app: x\n- app: x\n"


def test_documents_of_one_file_are_separated():
    """No marker at either end."""
    assert dump_all([{"a": 1}, {"b": 2}]) == "a: 1\n---\nb: 2\n"


@settings(deadline=None)
@given(VALUES)
def test_what_is_written_is_read_back(value):
    """Every value survives writer and reader."""
    assert value == load(dump(value))


@settings(deadline=None, max_examples=300)
@given(STRINGS)
def test_strings_survive_as_keys_and_values(text):
    """Whatever a string looks like, it is one for our reader."""
    assert {text: [text]} == load(dump({text: [text]}))


def test_without_libyaml_the_text_is_the_same():
    """PyYAML without its C part is slower and nothing else."""
    program = (
        "import json, sys, yaml\n"
        "del yaml.CBaseLoader, yaml.CSafeDumper\n"
        "from krm_fn import krm\n"
        "value = json.load(sys.stdin)\n"
        "assert krm.load(krm.dump(value)) == value\n"
        "sys.stdout.write(json.dumps(krm.dump(value)))"
    )
    value = {"texts": [text for text in TRICKY if text.isascii()], "n": [1, 0.5, None, True, {}]}
    done = subprocess.run(
        [sys.executable, "-c", program],
        input=json.dumps(value),
        capture_output=True,
        text=True,
        check=True,
    )

    assert json.loads(done.stdout) == dump(value)


@pytest.mark.parametrize("aliases", [True, False])
@pytest.mark.parametrize("text", ["a: &a [*a]\n", "a: &a\n  b: {c: [*a]}\n"])
def test_an_alias_inside_of_what_it_repeats_has_no_value(text, aliases):
    with pytest.raises(ConfigError, match="an alias stands inside of what it repeats"):
        load(text, aliases=aliases)


def test_an_alias_beside_what_it_repeats_has_its_value():
    assert load("a: &a [1]\nb: [*a, *a]\n", aliases=True)["b"] == [[1], [1]]

"""What comes in is understood; what is not ours goes out as it came."""

import json

import pytest

from krm_fn import krm
from krm_fn.errors import ConfigError, warning

# As kpt 1.0.0-beta.56 sends it.
FROM_KPT = """\
apiVersion: config.kubernetes.io/v1
kind: ResourceList
items:
- apiVersion: kpt.dev/v1
  kind: Kptfile
  metadata:
    name: p
    annotations:
      internal.config.kubernetes.io/path: 'Kptfile'
      internal.config.kubernetes.io/package-path: '/home/me/p'
- apiVersion: v1
  kind: ConfigMap
  metadata: {name: f, annotations: {internal.config.kubernetes.io/path: 'foreign.yaml'}}
  data:
    mode: 0644
    # a comment
    base60: 22:22
    at: 2024-01-01T10:00:00Z
    on: ~
    text: |
      items:
      - apiVersion: v1

      functionConfig:
    list: [a, {b: c}]
- # head comment
  apiVersion: toy.example/v1
  kind: Toy
  metadata:
    name: a # behind
    namespace: n
    annotations:
      internal.config.kubernetes.io/path: 'toy.yaml'
      internal.config.kubernetes.io/index: '0'
  spec:
    version: 0.10
functionConfig:
  # head comment
  apiVersion: toy.example/v1
  kind: Toy
  metadata:
    name: a # behind
    annotations:
      internal.config.kubernetes.io/index: '0'
  spec:
    version: 0.10
"""


def test_foreign_items_leave_byte_for_byte():
    """Octals, base 60, dates, comments, flow style, blank lines: nothing is parsed and dumped."""
    written = krm.serialise(krm.parse(FROM_KPT))

    assert written == FROM_KPT.split("functionConfig:\n  #", maxsplit=1)[0]


def test_items_have_their_identity_from_the_header():
    """The path is that of the annotation; the package path is part of it and not of its text."""
    kptfile, foreign, toy = krm.parse(FROM_KPT).items

    assert toy.identity == (None, "toy.yaml", "toy.example/v1", "Toy", "n", "a")
    assert kptfile.identity.package_path == "/home/me/p"
    assert [str(item.identity) for item in (kptfile, foreign, toy)] == [
        "Kptfile/p",
        "ConfigMap/f",
        "Toy/n/a",
    ]


def test_only_the_header_is_parsed_until_the_object_is_asked_for():
    """A large or even a faulty body of a foreign item costs nothing and hurts nobody."""
    text = "kind: ResourceList\nitems:\n- apiVersion: v1\n  kind: X\n  data: {a: 1, a: 2}\n"
    (item,) = krm.parse(text).items

    assert item.header == {"apiVersion": "v1", "kind": "X"}
    with pytest.raises(ConfigError, match="input line 5: key `a` stands twice"):
        _ = item.object


def test_objects_and_places_are_those_of_the_text():
    """The line is that of the whole input, the text that of the author."""
    resources = krm.parse(FROM_KPT)
    place = resources.function_config.place("spec", "version")

    assert resources.function_config.object["spec"] == {"version": 0.1}
    assert (place.text, FROM_KPT.split("\n")[place.line - 1]) == ("0.10", "    version: 0.10")
    assert resources.items[2].place("spec", "version").line == place.line - 10


def test_messages_name_the_file_of_an_item():
    """A person knows files, not lists."""
    text = FROM_KPT.replace("    version: 0.10", "    version: 1\n    version: 2", 1)

    with pytest.raises(ConfigError, match=r"toy.yaml, input line \d+: key `version` stands twice"):
        _ = krm.parse(text).items[2].object


def test_own_items_are_added_as_block_yaml():
    """An entry of ours looks like those of kpt."""
    item = krm.item_of({"kind": "X", "data": {"text": "a\n\nb\n", "list": [{"a": [1]}]}})

    assert krm.serialise(krm.ResourceList(items=(item,))) == (
        "apiVersion: config.kubernetes.io/v1\nkind: ResourceList\nitems:\n"
        "- kind: X\n  data:\n    text: |\n      a\n\n      b\n    list:\n    - a:\n      - 1\n"
    )


def test_results_stand_behind_the_items():
    """An empty list has no block sequence."""
    text = krm.serialise(krm.ResourceList(results=(warning("look", "spec.a"),)))

    assert text == (
        "apiVersion: config.kubernetes.io/v1\nkind: ResourceList\nitems: []\n"
        "results:\n- message: look\n  severity: warning\n  field:\n    path: spec.a\n"
    )


HEAD = "apiVersion: config.kubernetes.io/v1\nkind: ResourceList\n"
TOY = {"apiVersion": "toy.example/v1", "kind": "Toy", "metadata": {"name": "a"}}
CONFIG = "functionConfig:\n  apiVersion: toy.example/v1\n  kind: Toy\n  metadata: {name: a}\n"


@pytest.mark.parametrize(
    ("text", "items", "config"),
    [
        pytest.param(HEAD + CONFIG, 0, True, id="no items"),
        pytest.param(HEAD + "items: []\n" + CONFIG, 0, True, id="empty items"),
        pytest.param(HEAD + "items:\n" + CONFIG, 0, True, id="null items"),
        pytest.param(CONFIG + "items:\n- kind: X\n" + HEAD, 1, True, id="any order"),
        pytest.param(HEAD + "items:\n  - kind: X\n\n  - kind: Y\n", 2, False, id="indented items"),
        pytest.param(HEAD + "items:\n-\n  kind: X\n-   kind: Y\n", 2, False, id="wide dashes"),
        pytest.param(HEAD + "items:\n# c\n- kind: X\n# d\n- kind: Y", 2, False, id="comments"),
        pytest.param(HEAD + "functionConfig: {}\nitems: []\n", 0, False, id="empty config"),
        pytest.param("---\n" + HEAD + "items:\n- kind: X\n", 1, False, id="document mark"),
        pytest.param("\ufeff" + HEAD + "items:\n- kind: X\n", 1, False, id="byte order mark"),
        pytest.param(HEAD.replace("/v1", "/v1beta1") + CONFIG, 0, True, id="v1beta1"),
        pytest.param("kind: ResourceList\n" + CONFIG, 0, True, id="no apiVersion"),
        pytest.param('"kind": "ResourceList"\n' + CONFIG, 0, True, id="quoted keys"),
        pytest.param("kind: ResourceList # c\nitems: [{kind: X}]\n", 1, False, id="flow items"),
        pytest.param(
            json.dumps({"kind": "ResourceList", "items": [TOY, TOY], "functionConfig": TOY}),
            2,
            True,
            id="JSON",
        ),
        pytest.param(json.dumps({"kind": "List", "items": [TOY, TOY]}), 2, False, id="List"),
        pytest.param("kind: ConfigMapList\nitems:\n- kind: ConfigMap\n", 1, False, id="typed list"),
        pytest.param("# c\nkind: X\n---\n# d\nkind: Y\n---\n", 2, False, id="bare stream"),
        pytest.param(HEAD.replace("\n", "\r\n") + "items:\r\n- kind: X\r\n", 1, False, id="CRLF"),
    ],
)
def test_every_sensible_shape_is_read(text, items, config):
    """What the tools send, what older ones sent, and what a person pipes in."""
    resources = krm.parse(text)

    assert (len(resources.items), bool(resources.function_config)) == (items, config)
    assert [item.kind for item in krm.parse(krm.serialise(resources)).items] == [
        item.kind for item in resources.items
    ]


def test_indented_items_leave_in_the_first_column():
    """All items of the output must stand in one column; block scalars move along."""
    text = HEAD + "items:\n    - kind: X\n      text: |\n        a\n\n         b\n    - kind: Y\n"

    assert krm.serialise(krm.parse(text)) == (
        HEAD + "items:\n- kind: X\n  text: |\n    a\n\n     b\n- kind: Y\n"
    )


def test_a_bare_stream_keeps_its_text():
    """Quotes and comments of a file that was piped in stay."""
    assert krm.parse("# c\nkind: X\na: 0644\n---\nkind: Y\n").items[0].raw == (
        "- # c\n  kind: X\n  a: 0644\n"
    )


def test_version_of_the_input_is_that_of_the_output():
    """An older tool gets what it speaks."""
    text = HEAD.replace("/v1", "/v1beta1")

    assert krm.serialise(krm.parse(text)) == text + "items: []\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "stdin is empty"),
        (" \n", "stdin is empty"),
        (HEAD.replace("/v1", "/v2"), 'apiVersion: must be "config.kubernetes.io/v1" or'),
        (HEAD + "items: x\n", "items: must be a list; got str"),
        (HEAD + "items:\n- kind: X\n- a\n", r"items\[1\]: must be an object; got 'a'"),
        (HEAD + "functionConfig: x\n", r"functionConfig: must be an object"),
        ("just words\n", "input line 1: must be an object; got 'just words'"),
        (HEAD + "items:\n- kind: [\n", r"input line \d+: this is not YAML"),
        (HEAD + "items:\n- kind: X\n  metadata: {a: 1, a: 2}\n", "key `a` stands twice"),
    ],
)
def test_what_cannot_be_read_is_named(text, message):
    """One line with the place and what was expected."""
    with pytest.raises(ConfigError, match=message):
        krm.parse(text)


def test_an_unindented_scalar_does_not_cut_an_item():
    """Flow scalars may continue in column 0; the parser decides when the lines look odd."""
    text = HEAD + 'items:\n- kind: X\n  text: "a\n- b"\n- kind: Y\n'

    assert [item.kind for item in krm.parse(text).items] == ["X", "Y"]

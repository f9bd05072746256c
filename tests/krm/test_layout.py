"""Flat or tree, and where a file goes."""

import pytest

from krm_fn import krm
from krm_fn.errors import ConfigError

PATH, INDEX = "internal.config.kubernetes.io/path", "internal.config.kubernetes.io/index"
PACKAGE = "internal.config.kubernetes.io/package-path"


def item(kind="X", **annotations):
    return krm.item_of({"kind": kind, "metadata": {"annotations": annotations}})


FUNCTION_INPUT = krm.item_of({"kind": "ConfigMap", "metadata": {"name": "function-input"}})


@pytest.mark.parametrize(
    ("items", "config", "mode"),
    [
        pytest.param([item(**{INDEX: "0"})], item(), "flat", id="kustomize generator"),
        pytest.param([item(**{"kustomize.config.k8s.io/id": "x"})], item(), "flat", id="transform"),
        pytest.param([item(**{PATH: "a"})], item(**{PATH: "a"}), "tree", id="kpt render"),
        pytest.param([item(**{"config.kubernetes.io/path": "a"})], None, "tree", id="legacy path"),
        pytest.param([item("Kptfile")], item(), "tree", id="Kptfile"),
        pytest.param([], item(**{INDEX: "0"}), "tree", id="kpt with selectors"),
        pytest.param([], FUNCTION_INPUT, "tree", id="kpt fn eval with arguments"),
        pytest.param([], item(), "flat", id="nothing but a config"),
        pytest.param([], None, "flat", id="nothing"),
        pytest.param(
            [item(**{"kustomize.config.k8s.io/id": "x", PATH: "a"})],
            None,
            "flat",
            id="kustomize with stray path annotations",
        ),
    ],
)
def test_auto_mode_follows_who_sent_the_list(items, config, mode):
    """Only kpt and our command line can write files."""
    assert krm.mode(krm.ResourceList(items=tuple(items), function_config=config)) == mode


@pytest.mark.parametrize("stated", ["flat", "tree"])
def test_a_stated_mode_wins(stated):
    """Explicit input is never changed."""
    assert krm.mode(krm.ResourceList(items=(item("Kptfile"),)), stated) == stated


@pytest.mark.parametrize(
    ("folder", "path"),
    [(".", "base/a.yaml"), ("x", "x/base/a.yaml"), ("./x//y/", "x/y/base/a.yaml")],
)
def test_documents_move_below_a_folder(folder, path):
    """`output.path`; what has no file has none afterwards."""
    documents = krm.below(folder, [krm.Document("base/a.yaml", {}), krm.Document(None, {})])

    assert [document.path for document in documents] == [path, None]


@pytest.mark.parametrize("folder", ["/etc", "..", "a/../../b"])
def test_no_document_leaves_the_package(folder):
    """Kpt would fail later and with fewer words."""
    with pytest.raises(ConfigError, match="must be a folder inside the package"):
        krm.below(folder, [])


def test_placed_manifest_has_file_and_position():
    """And the package, if it is a subpackage; the given manifest is not touched."""
    manifest = {"apiVersion": "v1", "kind": "X", "spec": {}, "metadata": {"name": "a"}}
    placed = krm.placed(krm.Document("a.yaml", manifest), 1, "/p")

    assert placed["metadata"]["annotations"] == {PATH: "a.yaml", INDEX: "1", PACKAGE: "/p"}
    assert list(placed) == ["apiVersion", "kind", "metadata", "spec"]
    assert manifest["metadata"] == {"name": "a"}


def test_flat_manifest_has_no_annotations():
    """Kustomize would strip them, a person would not."""
    manifest = {"kind": "X"}

    assert krm.placed(krm.Document(None, manifest), 0, "/p") == manifest


FILE = "# head\nkind: X\nmetadata:\n  name: a\n---\n# only a comment\n---\nkind: Y\nb: [\n"


def test_a_file_gives_an_item_per_document():
    """Path and position are known without being in the text; a bad document is named by line."""
    first, second = krm.file_items("a/b.yaml", FILE)

    assert (first.path, first.annotations[INDEX], second.annotations[INDEX]) == (
        "a/b.yaml",
        "0",
        "1",
    )
    with pytest.raises(ConfigError, match=r"a/b.yaml line 10: this is not YAML"):
        _ = second.object


def test_file_text_is_the_items_in_order_without_transport_annotations():
    """What kpt would write for the same items."""
    manifests = [
        {"kind": "X", "metadata": {"name": "a", "annotations": {"b": "c"}}},
        {"kind": "Y", "metadata": {"name": "d"}},
        {"kind": "Z"},
    ]
    items = [
        krm.item_of(krm.placed(krm.Document("a.yaml", manifest), index))
        for index, manifest in enumerate(manifests)
    ]

    assert krm.file_text(reversed(items)) == krm.dump_all(manifests)


def test_update_identity_of_kpt_stays_in_the_file():
    """`kpt pkg update` needs it; it is no annotation of the transport."""
    kept = {"internal.kpt.dev/upstream-identifier": "apps|Deployment|default|x"}
    stated = {**kept, PATH: "a", "config.k8s.io/id": "1"}

    assert krm.file_form({"metadata": {"annotations": stated}}) == {
        "metadata": {"annotations": kept}
    }


def test_file_text_keeps_what_did_not_change_and_comments_of_what_did():
    """The command line does for its files what kpt does."""
    before = krm.file_items("a.yaml", "kind: X # c\na: 0644\n---\n# d\nkind: Z\nb: 1 # e\n")
    changed = krm.item_of(krm.placed(krm.Document("a.yaml", {"kind": "Z", "b": 2}), 1))

    assert krm.file_text([before[0], changed], before) == (
        "kind: X # c\na: 0644\n---\n# d\nkind: Z\nb: 2 # e\n"
    )


def test_text_of_an_item_is_that_of_its_file():
    """Blank lines, block scalars and comments come back."""
    text = "# c\nkind: X\n\ndata: |\n  a\n\n    b\n# foot\n"

    assert [item.text for item in krm.file_items("a", text)] == [text]

"""Own items follow what is wanted; those of others never move."""

from dataclasses import replace

import pytest

from krm_fn import krm
from krm_fn.errors import ConfigError

KEY = "toy.example/owner"
PATH, INDEX = "internal.config.kubernetes.io/path", "internal.config.kubernetes.io/index"
PACKAGE = "internal.config.kubernetes.io/package-path"


def thing(name, kind="X", **spec):
    manifest = {"apiVersion": "v1", "kind": kind, "metadata": {"name": name}}
    return {**manifest, "spec": spec} if spec else manifest


def claim(*documents, owner="Toy/a", **more):
    return krm.Claim(owner=owner, documents=[krm.Document(*d) for d in documents], **more)


def on_disk(path, manifest, owner="Toy/a", **annotations):
    """As kpt sends an object that was written before."""
    owned = {KEY: owner} if owner else {}
    where = {PATH: path, INDEX: "0", "config.k8s.io/id": "7", **annotations}
    return krm.item_of(krm.annotated(manifest, {**owned, **where}))


def reconciled(items, *claims, prune=False):
    return krm.reconcile(items, claims, owner_key=KEY, prune=prune)


def lines(result):
    return [r.line for r in result.results]


def test_new_objects_are_appended_with_owner_and_file():
    """Two objects of one file have their positions."""
    wanted = claim(("b.yaml", thing("a")), ("b.yaml", thing("b")))
    result = reconciled([on_disk("f.yaml", thing("f"), owner=None)], wanted)
    first, second = (item.annotations for item in result.items[1:])

    assert first == {KEY: "Toy/a", PATH: "b.yaml", INDEX: "0"}
    assert second == {KEY: "Toy/a", PATH: "b.yaml", INDEX: "1"}
    assert lines(result) == []


def test_flat_objects_carry_no_annotation_of_ours():
    """They go to the cluster, where nobody prunes by owner annotations."""
    (item,) = reconciled([], claim((None, thing("a")))).items

    assert item.object == thing("a")


def test_what_is_as_wanted_is_not_touched():
    """Comments, order and quotes of the file stay, because its text is passed on."""
    raw = (
        "- # mine\n  kind: X # here\n  apiVersion: v1\n  spec: {b: 'x', a: 1}\n  metadata:\n"
        f"    name: a\n    annotations: {{{KEY}: Toy/a, {PATH}: b.yaml, config.k8s.io/id: '7'}}\n"
    )
    item = krm.Item(raw=raw)

    assert reconciled([item], claim(("b.yaml", thing("a", a=1, b="x")))).items == (item,)


def test_changed_objects_keep_their_place_and_the_ids_by_which_kpt_restores_comments():
    """All annotations of the transport and the update identity are carried over."""
    ids = {
        "config.kubernetes.io/index": "0",
        "config.kubernetes.io/path": "b.yaml",
        "internal.config.kubernetes.io/seqindent": "wide",
        "internal.config.k8s.io/kpt-resource-id": "3",
        "internal.kpt.dev/upstream-identifier": "|X|default|a",
    }
    items = [on_disk("b.yaml", thing("a", n=1), **ids), on_disk("f.yaml", thing("f"), owner=None)]
    first, second = reconciled(items, claim(("b.yaml", thing("a", n=2)))).items

    assert first.object["spec"] == {"n": 2}
    assert first.annotations == items[0].annotations
    assert second is items[1]


def test_index_and_its_legacy_twin_move_together():
    """Two different values are an error for kpt."""
    item = on_disk("b.yaml", thing("b"), **{"config.kubernetes.io/index": "0"})
    wanted = claim(("b.yaml", thing("a")), ("b.yaml", thing("b")))
    annotations = reconciled([item], wanted).items[0].annotations

    assert (annotations[INDEX], annotations["config.kubernetes.io/index"]) == ("1", "1")


def test_base_and_patch_of_one_name_are_two_objects():
    """The path is part of the identity."""
    items = [on_disk("base/a.yaml", thing("a", n=1)), on_disk("over/a.yaml", thing("a", n=2))]
    wanted = claim(("base/a.yaml", thing("a", n=1)), ("over/a.yaml", thing("a", n=2)))

    assert reconciled(items, wanted).items == tuple(items)


def test_same_path_in_another_package_is_another_file():
    """A pipeline at the root sees the subpackages too."""
    items = [
        on_disk("b.yaml", thing("a", n=1), **{PACKAGE: "/p"}),
        on_disk("b.yaml", thing("a", n=1), owner=None, **{PACKAGE: "/p/sub"}),
    ]
    result = reconciled(items, claim(("b.yaml", thing("a", n=2)), package_path="/p"))

    assert [item.object["spec"]["n"] for item in result.items] == [2, 1]
    assert result.items[0].package_path == "/p"


def test_no_longer_wanted_objects_are_removed_with_an_info():
    """Kpt deletes a file that no item names."""
    items = [on_disk("b.yaml", thing("a")), on_disk("hpa.yaml", thing("h"))]
    result = reconciled(items, claim(("b.yaml", thing("a"))))

    assert result.items == (items[0],)
    assert lines(result) == ["info: `hpa.yaml` is removed (X/h): Toy/a needs it no more"]
    assert result.results[0].file == {"path": "hpa.yaml"}


def test_package_path_is_never_in_a_message():
    """It is a path of somebody's machine."""
    items = [
        on_disk("x.yaml", thing("a"), **{PACKAGE: "/home/me"}),
        on_disk("y.yaml", thing("a"), "Toy/old", **{PACKAGE: "/home/me"}),
        on_disk("b.yaml", thing("a"), None, **{PACKAGE: "/home/me"}),
    ]

    assert "/home/me" not in str(lines(reconciled(items, claim(package_path="/home/me"))))
    with pytest.raises(ConfigError) as caught:
        reconciled(items, claim(("b.yaml", thing("a")), package_path="/home/me"))
    assert "/home/me" not in str(caught.value)


def test_copy_that_names_us_as_owner_is_not_deleted():
    """We did not write that file, so it holds somebody's work."""
    copy = on_disk("mine/b.yaml", thing("a", n=9))
    wanted = [("b.yaml", thing("a"))]
    recorded = krm.file_hashes(krm.Document(*document) for document in wanted)
    result = reconciled([copy], claim(*wanted, recorded=recorded))

    assert copy in result.items
    assert lines(result) == [
        (
            "warning: `mine/b.yaml` names Toy/a as its owner, which did not write it and does not"
            " need it; it stays: remove the annotation `toy.example/owner` or the file"
        )
    ]


def test_file_with_the_record_is_removed_like_the_recorded_ones():
    """A file cannot hold its own hash; an empty one says that it is ours all the same."""
    result = reconciled([on_disk("plan.yaml", thing("p"))], claim(recorded={"plan.yaml": ""}))

    assert lines(result) == ["info: `plan.yaml` is removed (X/p): Toy/a needs it no more"]


@pytest.mark.parametrize(
    ("item", "message"),
    [
        pytest.param(
            on_disk("b.yaml", thing("u", "Y"), owner=None),
            "`b.yaml` holds Y/u, which was not generated by Toy/a: move one of the two",
            id="file",
        ),
        pytest.param(
            on_disk("b.yaml", thing("a"), owner=None),
            "`b.yaml` holds X/a, which was not generated by Toy/a: move one of the two",
            id="file and object",
        ),
        pytest.param(
            krm.item_of(thing("flat")),
            "X/flat is in the input and was not generated by Toy/a: rename one of the two",
            id="object without a file",
        ),
    ],
)
def test_clash_with_a_foreign_object_is_an_error(item, message):
    """The message names the file or the object; nothing is overwritten."""
    with pytest.raises(ConfigError) as caught:
        reconciled([item], claim(("b.yaml", thing("a")), (None, thing("flat"))))

    assert [r.message for r in caught.value.results] == [message]


def test_all_clashes_are_reported_at_once():
    """Also files that two owners want, and files of another owner."""
    items = [
        on_disk("b.yaml", thing("x"), owner=None),
        on_disk("c.yaml", thing("c"), owner="Toy/b"),
    ]
    with pytest.raises(ConfigError) as caught:
        reconciled(
            items,
            claim(("b.yaml", thing("a")), ("c.yaml", thing("c")), ("d.yaml", thing("d"))),
            claim(("d.yaml", thing("d")), owner="Toy/b"),
        )

    assert [r.message for r in caught.value.results] == [
        "`d.yaml` is wanted by Toy/a and Toy/b: give each its own folder",
        "`b.yaml` holds X/x, which was not generated by Toy/a: move one of the two",
        "`c.yaml` holds X/c, which belongs to Toy/b: move one of the two",
    ]


def test_foreign_object_of_the_same_name_in_another_file_is_no_clash():
    """It may be a patch of the user's own overlay."""
    items = [on_disk("mine/patch.yaml", thing("a"), owner=None)]

    assert len(reconciled(items, claim(("b.yaml", thing("a")))).items) == 2


WROTE = {"b.yaml": thing("a", n=1, list=[{"x": 1}])}
RECORDED = krm.file_hashes(krm.Document(*pair) for pair in WROTE.items())


def test_edited_file_is_overwritten_with_a_warning_that_names_the_fields():
    """The hash of the last writing tells an edit from a change of the plan."""
    edited = on_disk("b.yaml", thing("a", n=5, list=[{"x": 2}], extra=True))
    result = reconciled([edited], claim(*WROTE.items(), recorded=RECORDED))

    assert result.items[0].object["spec"] == {"n": 1, "list": [{"x": 1}]}
    assert lines(result) == [
        (
            "warning: `b.yaml` was edited by hand and is overwritten; it differs in spec.n,"
            " spec.list[0].x, spec.extra. Keep changes in an overlay of your own"
        )
    ]


@pytest.mark.parametrize(
    ("item", "wanted"),
    [
        pytest.param(on_disk("b.yaml", WROTE["b.yaml"]), thing("a", n=2), id="the plan changed"),
        pytest.param(
            krm.Item(
                raw=f"- kind: X # c\n  spec: {{list: [{{x: 1}}], n: 0x1}}\n  apiVersion: 'v1'\n"
                f"  metadata: {{name: a, annotations: {{{KEY}: Toy/a, {PATH}: b.yaml}}}}\n"
            ),
            thing("a", n=2),
            id="formatted by kpt or a person",
        ),
        pytest.param(on_disk("b.yaml", thing("a", n=3)), thing("a", n=3), id="edited as wanted"),
    ],
)
def test_no_warning_without_a_lost_edit(item, wanted):
    """Comments, order and quotes are no edit; nor is what comes out the same."""
    assert lines(reconciled([item], claim(("b.yaml", wanted), recorded=RECORDED))) == []


def test_without_a_record_edits_are_not_guessed():
    """A difference may come from the plan as well."""
    items = [on_disk("b.yaml", thing("a", n=5))]

    assert lines(reconciled(items, claim(*WROTE.items()))) == []


def test_removal_of_an_edited_file_is_a_warning():
    """Somebody's work goes with it."""
    result = reconciled([on_disk("b.yaml", thing("a", n=5))], claim(recorded=RECORDED))

    assert lines(result) == [
        "warning: `b.yaml` is removed (X/a) with edits made by hand: Toy/a needs it no more"
    ]


def test_object_whose_namespace_another_function_changed_is_still_the_same():
    """A namespace set later in the pipeline must not delete and re-create the file."""
    manifest = thing("a", n=1)
    item = on_disk("b.yaml", {**manifest, "metadata": {"name": "a", "namespace": "prod"}})
    result = reconciled([item], claim(("b.yaml", thing("a", n=2))))

    assert len(result.items) == 1
    assert result.items[0].annotations["config.k8s.io/id"] == "7"
    assert lines(result) == []


def test_namespace_set_by_another_function_is_no_edit():
    """`set-namespace` is part of most kpt pipelines; each render would warn."""
    namespaced = {**WROTE["b.yaml"], "metadata": {"name": "a", "namespace": "prod"}}
    items = [on_disk("b.yaml", namespaced)]
    result = reconciled(items, claim(*WROTE.items(), recorded=RECORDED))

    assert lines(result) == []
    assert result.items[0].namespace is None


def test_removal_of_one_object_of_a_file_is_no_edit():
    """The hash is that of the whole file."""
    wrote = [("b.yaml", thing("a")), ("b.yaml", thing("b"))]
    recorded = krm.file_hashes(krm.Document(*document) for document in wrote)
    items = [on_disk("b.yaml", thing("a")), on_disk("b.yaml", thing("b"), **{INDEX: "1"})]
    result = reconciled(items, claim(wrote[0], recorded=recorded))

    assert result.items == (items[0],)
    assert lines(result) == ["info: `b.yaml` is removed (X/b): Toy/a needs it no more"]


def test_files_of_an_owner_that_is_gone_are_reported_and_stay():
    """Its functionConfig may only be out of sight."""
    items = [on_disk(f"old/{n}.yaml", thing("a"), owner="Toy/old") for n in range(7)]
    result = reconciled(items, claim())

    assert result.items == tuple(items)
    assert lines(result) == [
        (
            "warning: Toy/old is gone, but 7 of its files stay: old/0.yaml, old/1.yaml, old/2.yaml,"
            " old/3.yaml, old/4.yaml and 2 more. Remove or prune"
        )
    ]


def test_files_of_an_owner_that_is_gone_are_removed_on_request():
    """`prune` is for the command line."""
    items = [on_disk("old/a.yaml", thing("a"), owner="Toy/old")]
    result = reconciled(items, claim(), prune=True)

    assert result.items == ()
    assert lines(result) == ["info: `old/a.yaml` is removed (X/a): Toy/old is gone"]


def test_renamed_owner_takes_over_the_files_that_it_writes():
    """Else a new name of the functionConfig would clash with its own files."""
    items = [on_disk("b.yaml", thing("a")), on_disk("c.yaml", thing("c"))]
    result = reconciled(items, claim(("b.yaml", thing("a")), owner="Toy/new"))

    assert [item.annotations[KEY] for item in result.items] == ["Toy/new", "Toy/a"]
    assert lines(result) == [
        "warning: Toy/new takes over from Toy/a, which is gone: b.yaml",
        "warning: Toy/a is gone, but 1 of its files stay: c.yaml. Remove or prune",
    ]


def test_leftovers_in_a_file_that_is_written_go():
    """Else two objects would have one position of one file, which kpt refuses."""
    items = [on_disk("b.yaml", thing("old", "Y"), owner="Toy/old")]
    result = reconciled(items, claim(("b.yaml", thing("a"))))

    assert [item.kind for item in result.items] == ["X"]
    assert lines(result) == ["info: `b.yaml` is removed (Y/old): Toy/old is gone"]


def test_twins_are_an_error():
    """Two configs of one name would write each other's files in turn."""
    with pytest.raises(ConfigError, match="Toy/a is defined 2 times in one package"):
        reconciled([], claim(), claim())


def test_owned_objects_without_a_file_are_never_dropped():
    """In kustomize they come from a committed base; a transformer passes everything on."""
    owned = krm.item_of(krm.annotated(thing("old"), {KEY: "Toy/a"}))

    assert reconciled([owned], claim((None, thing("a")))).items[0] is owned


def test_second_run_on_own_output_changes_nothing():
    """Not a byte."""
    wanted = claim(("b.yaml", thing("a", n=1)), ("b.yaml", thing("b")), ("k.yaml", {**thing("k")}))
    first = reconciled([], wanted)

    assert reconciled(first.items, wanted) == first


def test_hash_ignores_everything_but_what_the_file_says():
    """Order of keys, owner and transport; not the order of the objects."""
    one, other = thing("a", x=1, y=2), thing("b")
    turned = {key: one[key] for key in reversed(one)}
    hashes = krm.file_hashes([krm.Document("a", one), krm.Document("a", other)])

    assert hashes == krm.file_hashes([krm.Document("a", turned), krm.Document("a", other)])
    assert hashes != krm.file_hashes([krm.Document("a", other), krm.Document("a", one)])
    assert krm.file_hashes([krm.Document(None, one)]) == {}


def test_hash_is_that_of_the_written_file():
    """Hashes recorded before writing hold for what is read back."""
    documents = [krm.Document("b.yaml", thing("a", f=0.5, s="0644", t="a\nb\n", none=None))]
    wanted = claim(*((d.path, d.manifest) for d in documents))
    first = reconciled([], wanted)
    changed = replace(
        wanted, documents=[krm.Document("b.yaml", thing("a"))], recorded=krm.file_hashes(documents)
    )

    assert lines(reconciled(first.items, changed)) == []

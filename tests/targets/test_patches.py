"""Patches, tried on the real kustomize."""

from copy import deepcopy

import pytest
from builds import built
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from krm_fn.krm import dump
from krm_fn.targets.kustomize import kustomization
from krm_fn.targets.patches import patch, removal

TEXTS = st.sampled_from(["", "a", "1e3", "on", "null", "8", "~", "x: y", "two\nlines\n", "{}"])
NAMES = "abcdef"
QUANTITIES = st.sampled_from(["1", "2Gi", "500m"])


def keyed(key, element, pool=NAMES):
    """A list of elements with different keys, in any order."""
    keys = st.lists(st.sampled_from(pool), min_size=1, max_size=5, unique=True)
    return keys.flatmap(
        lambda names: st.tuples(*[_with(key, name, element) for name in names])
    ).map(list)


def _with(key, name, element):
    return element.map(lambda fields: {key: name, **deepcopy(fields)})


def some(required=None, **optional):
    return st.fixed_dictionaries(required or {}, optional=optional)


HANDLERS = st.one_of(
    some({"httpGet": some({"path": TEXTS, "port": st.just("http")}, scheme=TEXTS)}),
    some({"exec": some({"command": st.lists(TEXTS, min_size=1, max_size=3)})}),
    some({"tcpSocket": some({"port": st.integers(1, 9)})}),
)
PROBES = st.tuples(HANDLERS, some(periodSeconds=st.integers(1, 3))).map(lambda it: it[0] | it[1])
ENV = st.one_of(
    some({"value": TEXTS}),
    some({"valueFrom": some({"fieldRef": some({"fieldPath": TEXTS})})}),
    some({"valueFrom": some({"secretKeyRef": some({"name": TEXTS}, key=TEXTS)})}),
)
PORTS = st.lists(
    st.builds(
        lambda name, number, protocol: {
            "name": name,
            "containerPort": number,
            "protocol": protocol,
        },
        st.sampled_from(NAMES),
        st.integers(1, 3),
        st.sampled_from(["TCP", "UDP"]),
    ),
    min_size=1,
    max_size=4,
    unique_by=(lambda port: port["name"], lambda port: (port["containerPort"], port["protocol"])),
)
VOLUMES = st.one_of(
    some({"emptyDir": some(medium=st.just("Memory"), sizeLimit=QUANTITIES)}),
    some({"configMap": some({"name": TEXTS}, optional=st.booleans())}),
    some({"persistentVolumeClaim": some({"claimName": TEXTS})}),
)
NEEDS = st.dictionaries(st.sampled_from(["cpu", "memory", "nvidia.com/gpu"]), QUANTITIES)
CONTAINER = some(
    {"image": TEXTS},
    command=st.lists(TEXTS, min_size=1, max_size=3),
    args=st.lists(TEXTS, min_size=1, max_size=3),
    env=keyed("name", ENV),
    ports=PORTS,
    resources=some(requests=NEEDS, limits=NEEDS),
    startupProbe=PROBES,
    livenessProbe=PROBES,
    volumeMounts=keyed("mountPath", some({"name": TEXTS}, readOnly=st.booleans())),
)
SPREAD = st.lists(
    st.builds(
        lambda key, skew: {
            "topologyKey": key,
            "maxSkew": skew,
            "whenUnsatisfiable": "DoNotSchedule",
        },
        st.sampled_from(NAMES),
        st.integers(1, 2),
    ),
    min_size=1,
    max_size=3,
    unique_by=lambda it: it["topologyKey"],
)
TOLERATIONS = st.lists(some({"key": TEXTS}, operator=st.just("Exists")), min_size=1, max_size=3)
POD = some(
    {"containers": keyed("name", CONTAINER)},
    initContainers=keyed("name", CONTAINER, "xyz"),
    volumes=keyed("name", VOLUMES),
    imagePullSecrets=keyed("name", st.just({})),
    nodeSelector=st.dictionaries(st.sampled_from(NAMES), TEXTS, min_size=1),
    tolerations=TOLERATIONS,
    topologySpreadConstraints=SPREAD,
    securityContext=some(runAsUser=st.integers(0, 2), seccompProfile=some(type=TEXTS)),
)
STRATEGY = st.sampled_from(
    [
        {"type": "Recreate"},
        {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 0, "maxUnavailable": 1}},
        {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%"}},
    ]
)
SPEC = some(
    {"template": some({"spec": POD}, metadata=some(labels=NEEDS, annotations=NEEDS))},
    replicas=st.integers(0, 3),
    strategy=STRATEGY,
)


def deployment(name, spec):
    head = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}}
    return {**head, "spec": deepcopy(spec)}


def patched(kubectl, folder, pairs):
    """What kustomize makes of all bases and their patches, in one run."""
    (folder / "base.yaml").write_text("---\n".join(dump(base) for base, _ in pairs))
    patches = [each for each in (patch(*pair) for pair in pairs) if each]
    (folder / "kustomization.yaml").write_text(dump(kustomization(["base.yaml"], patches)))
    return built(kubectl, folder)


@pytest.mark.slow
@settings(
    max_examples=10,
    phases=[Phase.reuse, Phase.generate],  # shrinking takes minutes of kustomize
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(specs=st.lists(st.tuples(SPEC, SPEC), min_size=4, max_size=12))
def test_patch_turns_any_base_into_any_final(specs, kubectl, tmp_path_factory):
    """Random pairs: lists in their order, unions with one member, nothing left over."""
    pairs = [
        (deployment(f"d{index}", base), deployment(f"d{index}", final))
        for index, (base, final) in enumerate(specs)
    ]

    found = patched(kubectl, tmp_path_factory.mktemp("pairs"), pairs)

    for _, final in pairs:
        assert found["Deployment", final["metadata"]["name"]] == final


def test_equal_objects_need_no_patch():
    one = deployment("one", {"replicas": 1})

    assert patch(one, deepcopy(one)) is None


def test_true_is_not_one():
    """Python takes them for equal; YAML does not."""
    assert patch(deployment("x", {"a": 1}), deployment("x", {"a": True}))["spec"] == {"a": True}


def test_identity_is_stated_and_nothing_more():
    base, final = deployment("x", {"replicas": 1}), deployment("x", {"replicas": 2})
    for each in (base, final):
        each["metadata"] |= {"namespace": "ai", "labels": {"a": "b"}}

    assert patch(base, final) == {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "x", "namespace": "ai"},
        "spec": {"replicas": 2},
    }


@pytest.mark.parametrize(
    ("base", "final", "expected"),
    [
        (["a", "b"], ["a", "b", "c"], ["a", "b", "c"]),
        (["a", "b"], ["c", "a", "b"], ["c"]),
        (["a", "b"], ["b"], ["-a"]),
        (["a", "b"], ["b", "a"], ["b"]),
        (["a", "b", "c"], ["a", "x", "c"], ["a", "x", "-b"]),
    ],
    ids=["appended", "prepended", "removed", "reordered", "replaced in the middle"],
)
def test_keyed_lists_state_as_little_as_the_order_allows(base, final, expected):
    def container(names):
        return {"containers": [{"name": "server", "env": [{"name": name} for name in names]}]}

    (changed,) = patch(deployment("x", container(base)), deployment("x", container(final)))["spec"][
        "containers"
    ]

    assert [("-" if "$patch" in each else "") + each["name"] for each in changed["env"]] == expected


def test_probe_handlers_are_nulled_and_the_probe_is_stated_whole():
    def probe(**fields):
        return {"containers": [{"name": "server", "startupProbe": fields}]}

    base = probe(httpGet={"path": "/health"}, periodSeconds=1, failureThreshold=60)
    final = probe(exec={"command": ["ok"]}, periodSeconds=1)
    (changed,) = patch(deployment("x", base), deployment("x", final))["spec"]["containers"]

    assert changed["startupProbe"] == {
        "exec": {"command": ["ok"]},
        "periodSeconds": 1,
        "httpGet": None,
        "failureThreshold": None,
    }


def test_last_line_break_of_a_patch_is_kept(kubectl, tmp_path):
    """A configuration file often is the last value of its patch."""

    def config(text):
        head = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x"}}
        return {**head, "data": {"config.yaml": text}}

    final = config("port: 8001\nmodel: llama\n")

    assert patched(kubectl, tmp_path, [(config("port: 8000\n"), final)]) == {
        ("ConfigMap", "x"): final
    }


def test_removal_takes_an_object_out(kubectl, tmp_path):
    gone, stays = deployment("gone", {"replicas": 1}), deployment("stays", {"replicas": 1})
    (tmp_path / "base.yaml").write_text(f"{dump(gone)}---\n{dump(stays)}")
    (tmp_path / "kustomization.yaml").write_text(
        dump(kustomization(["base.yaml"], [removal(gone)]))
    )

    assert built(kubectl, tmp_path) == {("Deployment", "stays"): stays}

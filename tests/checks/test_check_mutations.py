"""Any one of these edits of a good set is found, wherever it is made and whatever else is there."""

from good_variants import good
from hypothesis import given
from hypothesis import strategies as st

from krm_fn.checks import faults

PROBES = ("startupProbe", "readinessProbe", "livenessProbe")


def _one(context, kind):
    return next(each for each in context.objects if each["kind"] == kind)


def _pod(context):
    return _one(context, "Deployment")["spec"]["template"]["spec"]


def _server(context):
    return _pod(context)["containers"][0]


def _element(draw, items):
    return items[draw(st.integers(0, len(items) - 1))]


def drop_a_handler(context, draw):
    del _server(context)[draw(st.sampled_from(PROBES))]["httpGet"]


def add_a_handler(context, draw):
    handler = draw(st.sampled_from(["tcpSocket", "grpc", "exec"]))
    _server(context)[draw(st.sampled_from(PROBES))][handler] = {"port": 8000}


def rename_a_port(context, draw):
    _server(context)["ports"][0]["name"] = draw(st.sampled_from(["api", "metrics", "web"]))


def move_the_port(context, draw):
    _server(context)["ports"][0]["containerPort"] = draw(st.integers(1024, 7999))


def join_two_tokens(context, draw):
    args = _server(context)["args"]
    flags = [i for i, token in enumerate(args) if token.startswith("--") and "=" in token]
    at = _element(draw, flags)
    args[at] = args[at].replace("=", " ", 1)


def empty_a_value(context, draw):
    args = _server(context)["args"]
    flags = [i for i, token in enumerate(args) if token.startswith("--") and "=" in token]
    at = _element(draw, flags)
    args[at] = args[at].partition("=")[0] + "="


def change_a_selector(context, draw):
    ways = {
        "Deployment": ("selector", "matchLabels"),
        "Service": ("selector",),
        "PodDisruptionBudget": ("selector", "matchLabels"),
        "NetworkPolicy": ("podSelector", "matchLabels"),
    }
    kind = draw(st.sampled_from(sorted(ways)))
    node = _one(context, kind)["spec"]
    for key in ways[kind]:
        node = node[key]
    node[draw(st.sampled_from(sorted(node)))] += draw(st.sampled_from(["x", "-2", "-vllm"]))


def drop_a_volume(context, draw):
    volumes = _pod(context)["volumes"]
    volumes.remove(_element(draw, volumes))


def drop_a_mount(context, draw):
    mounts = _server(context)["volumeMounts"]
    mounts.remove(_element(draw, mounts))


def drop_a_variable(context, draw):
    env = _server(context)["env"]
    env.remove(_element(draw, env))


def add_a_source(context, draw):
    _element(draw, _pod(context)["volumes"])["hostPath"] = {"path": "/"}


def change_the_gpus(context, draw):
    resources = _server(context)["resources"]
    where = draw(st.sampled_from([("requests",), ("limits",), ("requests", "limits")]))
    for key in where:
        resources[key]["nvidia.com/gpu"] = str(draw(st.sampled_from([0, 1, 3, 4, 8])))


def loosen_security(context, draw):
    pod = _pod(context)
    nodes = (pod["securityContext"], pod["containers"][0]["securityContext"])
    keys = ["runAsNonRoot", "fsGroup", "seccompProfile", "allowPrivilegeEscalation", "capabilities"]
    key = draw(st.sampled_from(keys))
    for node in nodes:
        node.pop(key, None)


def drop_a_field_of_the_pod(context, draw):
    keys = ["tolerations", "nodeSelector", "enableServiceLinks", "terminationGracePeriodSeconds"]
    del _pod(context)[draw(st.sampled_from(keys))]


def scale_too_far(context, draw):
    _one(context, "HorizontalPodAutoscaler")["spec"]["maxReplicas"] = draw(st.integers(5, 99))


def own_the_replicas_twice(context, draw):
    _one(context, "Deployment")["spec"]["replicas"] = draw(st.integers(0, 4))


def surge(context, draw):
    rolling = _one(context, "Deployment")["spec"]["strategy"]["rollingUpdate"]
    rolling["maxSurge"] = draw(st.sampled_from([1, 2, "25%", "100%"]))


def shorten_the_start(context, draw):
    probe = _server(context)["startupProbe"]
    probe[draw(st.sampled_from(["periodSeconds", "failureThreshold"]))] = draw(st.integers(1, 9))


def unpin_the_image(context, draw):
    tag = draw(st.sampled_from(["", ":latest", ":V 1", ":nightly"]))
    _server(context)["image"] = "vllm/vllm-openai" + tag


def state_a_token(context, draw):
    name = draw(st.sampled_from(["HF_TOKEN", "VLLM_API_KEY", "AWS_SECRET_ACCESS_KEY", "PASSWORD"]))
    value = draw(st.text("abcdef0123456789", min_size=8, max_size=40))
    _server(context)["env"].append({"name": name, "value": value})


def share_a_node(context, draw):
    pod = _pod(context)
    pod["volumes"][0]["emptyDir"] = _server(context)["resources"]["limits"]


EDITS = [edit for name, edit in list(globals().items()) if callable(edit) and name[0] != "_"]
EDITS = [edit for edit in EDITS if edit.__module__ == __name__]


@given(st.data())
def test_every_edit_is_found(data):
    edit = data.draw(st.sampled_from(EDITS))
    context = good()
    edit(context, data.draw)

    assert [x for x in faults(context) if x.severity == "error"], edit.__name__


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)


def _ways(node, way=()):
    items = node.items() if isinstance(node, dict) else enumerate(node)
    for key, value in items:
        yield (*way, key)
        if isinstance(value, (dict, list)):
            yield from _ways(value, (*way, key))


@given(st.data())
def test_junk_anywhere_raises_nothing(data):
    """`validate` meets manifests of every kind; a check must not stumble over one."""
    context = good(facts=data.draw(st.booleans()))
    manifest = data.draw(st.sampled_from(context.objects))
    *way, last = data.draw(st.sampled_from(list(_ways(manifest))))
    node = manifest
    for key in way:
        node = node[key]
    node[last] = data.draw(JUNK)

    faults(context)

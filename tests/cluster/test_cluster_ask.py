"""`krm-fn detect` and `validate --server`, with no more rights than docs/cluster.md gives."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from kube import EXAMPLES, ROOT, Kube, Manifest, config, flat, namespace, stream
from pools import H100, Pool, gfd, nodes

DETECT, VALIDATE = (
    yaml.safe_load(block)
    for block in re.findall(
        r"```yaml\n(.*?)```", (ROOT / "docs/cluster.md").read_text(encoding="utf-8"), re.DOTALL
    )
)
NAMESPACE = "krm-fn-test-ask"
ALICE, BOB = "alice", "bob"
VARIANTS = sorted(path for path in EXAMPLES.glob("*/overlays/*") if path.is_dir())


@pytest.fixture(scope="module")
def asked(cluster: Kube) -> Iterator[Kube]:
    """A namespace; alice may detect, bob may validate there, and neither may do more."""
    role = {**DETECT, "metadata": {"name": "krm-fn-test-detect"}}
    bound = binding("ClusterRoleBinding", "krm-fn-test-detect", "ClusterRole", ALICE)
    with namespace(cluster.kubectl, NAMESPACE, "baseline") as kube:
        try:
            cluster("apply", "-f", "-", stdin=stream([role, bound]))
            mine = binding("RoleBinding", VALIDATE["metadata"]["name"], "Role", BOB)
            accounts = [account(ALICE), account(BOB)]
            kube("apply", "-f", "-", stdin=stream([VALIDATE, mine, *accounts]))
            yield kube
        finally:
            cluster("delete", "-f", "-", stdin=stream([role, bound]))


def account(name: str) -> Manifest:
    return {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name}}


def binding(kind: str, role: str, role_kind: str, who: str) -> Manifest:
    group = "rbac.authorization.k8s.io"
    return {
        "apiVersion": f"{group}/v1",
        "kind": kind,
        "metadata": {"name": role},
        "roleRef": {"apiGroup": group, "kind": role_kind, "name": role},
        "subjects": [{"kind": "ServiceAccount", "name": who, "namespace": NAMESPACE}],
    }


def kubeconfig(kube: Kube, who: str, folder: Path) -> Path:
    """That of the cluster, with the account's token instead of the present user."""
    found = json.loads(kube("config", "view", "--minify", "--raw", "-o", "json"))
    token = kube("create", "token", who).strip()
    found["users"] = [{"name": who, "user": {"token": token}}]
    found["contexts"][0]["context"] |= {"user": who, "namespace": kube.namespace}
    path = folder / who
    path.write_text(json.dumps(found), encoding="utf-8")
    path.chmod(0o600)
    return path


def krm_fn(path: Path, *words: str | Path, stdin: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "krm_fn", *map(str, words)],
        env={**os.environ, "KUBECONFIG": str(path)},
        cwd=ROOT,
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def rights(kube: Kube, who: str) -> dict[str, set[str]]:
    """Resource -> verbs, beyond what every account has."""
    user = f"system:serviceaccount:{NAMESPACE}:{who}"
    table = kube("auth", "can-i", "--list", f"--as={user}", "--no-headers").splitlines()
    found = {line.split()[0]: set(re.findall(r"[a-z*]+", line.rsplit("[", 1)[1])) for line in table}
    return {key: value for key, value in found.items() if not key.startswith(("[", "self"))}


def listed(role: Manifest) -> dict[str, set[str]]:
    return {
        ".".join(filter(None, (resource, rule["apiGroups"][0]))): set(rule["verbs"])
        for rule in role["rules"]
        for resource in rule["resources"]
    }


@pytest.mark.parametrize(("who", "role"), [(ALICE, DETECT), (BOB, VALIDATE)])
def test_rights_are_those_of_the_page(asked, who, role):
    """Nothing else crept in, such as reading secrets."""
    assert rights(asked, who) == listed(role)


@pytest.mark.usefixtures("kwok")
def test_detect_needs_no_more_than_to_list_nodes(cluster, asked, tmp_path):
    """One pool a kind of node, with what the nodes have; it plans as it stands."""
    pools = (
        Pool(name="h100", labels=gfd(H100), nodes=2),
        Pool(name="l4", labels=gfd("NVIDIA-L4"), gpus=2, nodes=3),
        Pool(name="cpu", labels={}, taints=(), gpus=0, nodes=1),
    )
    with nodes(cluster, *pools):
        done = krm_fn(kubeconfig(asked, ALICE, tmp_path), "detect")
    found = {each["spec"]["gpu"]: each["spec"] for each in yaml.safe_load_all(done.stdout)}
    sizes = {gpu: (spec["nodes"], spec["gpusPerNode"]) for gpu, spec in found.items()}

    assert done.returncode == 0, done.stderr
    assert sizes == {H100: (2, 8), "NVIDIA-L4": (3, 2)}
    assert flat(service_on(found[H100]))["vllm"]


def service_on(pool: Manifest) -> Manifest:
    document = config()
    document["spec"]["gpuPool"] = pool
    return document


@pytest.mark.parametrize("path", VARIANTS, ids=lambda p: f"{p.parts[-3]}-{p.name}")
def test_the_api_server_would_take_every_example(asked, tmp_path, path):
    """Each variant of each example, by somebody who may apply there and no more."""
    text = asked("kustomize", str(path))
    objects = [each for each in yaml.safe_load_all(text) if each["kind"] != "Namespace"]
    for each in objects:
        each["metadata"].pop("namespace", None)
    done = krm_fn(
        kubeconfig(asked, BOB, tmp_path), "validate", "--server", "-", stdin=stream(objects)
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert asked.items("deployment") == []


def test_a_refusal_has_its_field(asked, tmp_path):
    """What the schema and the validation of the API server say, line by line."""
    text = asked("kustomize", str(ROOT / "overlays/mock"))
    broken = text.replace("replicas:", "replica:").replace("port: 8000", "port: 80000")
    done = krm_fn(kubeconfig(asked, BOB, tmp_path), "validate", "--server", "-", stdin=broken)

    assert done.returncode == 1
    assert "80000" in done.stdout
    assert "spec.ports[0].port" in done.stdout


@pytest.mark.parametrize(
    ("who", "words", "said"),
    [
        (BOB, ("detect",), "nodes cannot be listed: nodes is forbidden"),
        (ALICE, ("validate", "--server", "overlays/mock"), "is forbidden"),
    ],
)
def test_a_missing_right_is_named(asked, tmp_path, who, words, said):
    """As the API server names it, and no traceback."""
    done = krm_fn(kubeconfig(asked, who, tmp_path), *words)

    assert done.returncode == 1
    assert said in done.stdout + done.stderr
    assert "Traceback" not in done.stderr

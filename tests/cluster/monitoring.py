"""Prometheus and prometheus-adapter, with the scrape job and the rule of docs/autoscaling.md."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import yaml
from clients import IMAGE as CLIENT
from kube import ROOT, Kube, Manifest, eventually, namespace, stream

NAMESPACE = "krm-fn-test-monitoring"
PROMETHEUS = os.environ.get("KRM_FN_PROMETHEUS_IMAGE", "localhost/krm-fn-prometheus:bookworm")
ADAPTER = os.environ.get("KRM_FN_ADAPTER_IMAGE", "localhost/krm-fn-prometheus-adapter:v0.12.0")
API = "v1beta1.custom.metrics.k8s.io"
SCRAPE, RULES = re.findall(
    r"```yaml\n(.*?)```", (ROOT / "docs/autoscaling.md").read_text(encoding="utf-8"), re.DOTALL
)
INTERVAL = {"global": {"scrape_interval": "5s", "scrape_timeout": "4s"}}
DISCOVERY = (Path(__file__).parent / "discovery.py").read_text(encoding="utf-8")


def scraped() -> Manifest:
    """The job of the page; only who finds the pods differs."""
    config = yaml.safe_load(SCRAPE)
    (job,) = config["scrape_configs"]
    assert job.pop("kubernetes_sd_configs") == [{"role": "pod"}]
    job["http_sd_configs"] = [{"url": "http://127.0.0.1:8081/", "refresh_interval": "5s"}]
    return {**INTERVAL, **config}


def prometheus() -> list[Manifest]:
    args = [
        "--config.file=/etc/config/prometheus.yml",
        "--storage.tsdb.path=/tmp/data",
        "--web.listen-address=:9090",
    ]
    files = {"prometheus.yml": yaml.safe_dump(scraped()), "discovery.py": DISCOVERY}
    finder = container("discovery", CLIENT, ["/etc/config/discovery.py"])
    finder["command"] = ["python3"]
    return [
        config_map("prometheus", files),
        deployment("prometheus", listening("prometheus", PROMETHEUS, args, 9090), finder),
        service("prometheus", 9090, 9090),
    ]


def adapter() -> list[Manifest]:
    args = [
        f"--prometheus-url=http://prometheus.{NAMESPACE}.svc:9090",
        "--config=/etc/config/config.yaml",
        "--metrics-relist-interval=10s",
        "--secure-port=6443",
        "--cert-dir=/tmp/certificates",
    ]
    return [
        config_map("adapter", {"config.yaml": RULES}),
        deployment("adapter", listening("adapter", ADAPTER, args, 6443)),
        service("adapter", 443, 6443),
    ]


def config_map(name: str, data: dict[str, str]) -> Manifest:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


def service(name: str, port: int, target: int) -> Manifest:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name},
        "spec": {"selector": {"app": name}, "ports": [{"port": port, "targetPort": target}]},
    }


def container(name: str, image: str, args: list[str]) -> Manifest:
    return {
        "name": name,
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "args": args,
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [
            {"name": "config", "mountPath": "/etc/config"},
            {"name": "tmp", "mountPath": "/tmp"},
        ],
    }


def listening(name: str, image: str, args: list[str], port: int) -> Manifest:
    """Ready as soon as the port is open."""
    return {
        **container(name, image, args),
        "ports": [{"containerPort": port}],
        "readinessProbe": {"tcpSocket": {"port": port}, "periodSeconds": 2},
    }


def deployment(name: str, *containers: Manifest) -> Manifest:
    pod = {
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": 65532,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": list(containers),
        "volumes": [
            {"name": "config", "configMap": {"name": name}},
            {"name": "tmp", "emptyDir": {}},
        ],
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {
            "selector": {"matchLabels": {"app": name}},
            "template": {"metadata": {"labels": {"app": name}}, "spec": pod},
        },
    }


def cluster_objects() -> list[Manifest]:
    """What both may read, and that the API server asks the adapter."""
    account = {"kind": "ServiceAccount", "name": "default", "namespace": NAMESPACE}
    rbac, name = "rbac.authorization.k8s.io", NAMESPACE
    read = {"apiGroups": [""], "resources": ["pods", "namespaces"]}
    return [
        {
            "apiVersion": f"{rbac}/v1",
            "kind": "ClusterRole",
            "metadata": {"name": name},
            "rules": [{**read, "verbs": ["get", "list", "watch"]}],
        },
        binding(name, name, account),
        binding(f"{name}-delegator", "system:auth-delegator", account),
        {
            "apiVersion": f"{rbac}/v1",
            "kind": "RoleBinding",
            "metadata": {"name": name, "namespace": "kube-system"},
            "roleRef": {
                "apiGroup": rbac,
                "kind": "Role",
                "name": "extension-apiserver-authentication-reader",
            },
            "subjects": [account],
        },
        {
            "apiVersion": "apiregistration.k8s.io/v1",
            "kind": "APIService",
            "metadata": {"name": API, "labels": {"krm-fn-test": "monitoring"}},
            "spec": {
                "group": "custom.metrics.k8s.io",
                "version": "v1beta1",
                "service": {"name": "adapter", "namespace": NAMESPACE},
                "insecureSkipTLSVerify": True,
                "groupPriorityMinimum": 100,
                "versionPriority": 100,
            },
        },
    ]


def binding(name: str, role: str, account: Manifest) -> Manifest:
    group = "rbac.authorization.k8s.io"
    return {
        "apiVersion": f"{group}/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": name},
        "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": role},
        "subjects": [account],
    }


def is_foreign(cluster: Kube) -> bool:
    """Somebody else serves the custom metrics API of this cluster."""
    words = ("get", "apiservice", API, "--ignore-not-found", "--show-labels")
    found = cluster(*words)
    return bool(found) and "krm-fn-test=monitoring" not in found


@contextmanager
def monitoring(cluster: Kube) -> Iterator[Kube]:
    """Both, ready; gone afterwards, with the API.

    The adapter comes second: started together, it sometimes got 404 for as long as it ran, as
    from whoever answers to that name where the cluster's DNS does not know it yet.
    """
    system = Kube(cluster.kubectl, "kube-system")
    with namespace(cluster.kubectl, NAMESPACE) as kube:
        try:
            system("apply", "-f", "-", stdin=stream(cluster_objects()))
            for name, objects in (("prometheus", prometheus()), ("adapter", adapter())):
                kube("apply", "-f", "-", stdin=stream(objects))
                kube.rolled_out(name, 120)
            eventually(lambda: is_served(cluster), 60, saying="custom metrics API")
            yield kube
        finally:
            system("delete", "-f", "-", "--ignore-not-found", stdin=stream(cluster_objects()))


def scrapes(cluster: Kube) -> str:
    """What Prometheus says of its targets and the adapter of its work, for a failure."""
    kube = Kube(cluster.kubectl, NAMESPACE)
    proxied = f"/api/v1/namespaces/{NAMESPACE}/services/prometheus:9090/proxy/api/v1"
    asked = (
        ("get", "--raw", f"{proxied}/targets?state=active"),
        ("get", "--raw", f"{proxied}/query?query=vllm:num_requests_running"),
        ("logs", "deployment/adapter", "--tail=20"),
        ("logs", "deployment/prometheus", "-c", "prometheus", "--tail=10"),
        ("logs", "deployment/prometheus", "-c", "discovery", "--tail=10"),
    )
    found = (kube.attempt(*words) for words in asked)
    return "\n".join(f"{done.stdout}{done.stderr}" for done in found)


def is_served(cluster: Kube) -> bool:
    path = '{.status.conditions[?(@.type=="Available")].status}'
    return cluster("get", "apiservice", API, "-o", f"jsonpath={path}") == "True"

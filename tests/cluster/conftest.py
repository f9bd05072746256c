"""The cluster that KUBECONFIG names, whatever it is: kind, or one of a cloud.

Everything that a test makes stands in namespaces and nodes whose names begin with `krm-fn-test`,
and is deleted. `.ci/cluster` starts a cluster and loads the images that these tests run.
"""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import tally
from kube import Kube, namespace

PREFIX = "krm-fn-test"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All of this folder needs a cluster, and takes its time."""
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker(pytest.mark.cluster)
            item.add_marker(pytest.mark.slow)


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if "cluster" not in report.keywords:
        return
    tally.SECONDS[report.nodeid.partition("::")[0]] += report.duration
    if "failure" in report.keywords and report.when == "call":
        tally.COUNTS["failures injected"] += 1
        tally.COUNTS["failures recovered from"] += report.passed


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    lines = list(tally.table())
    if lines:
        terminalreporter.section("what was done with the cluster")
        terminalreporter.write_line("\n".join(lines))


@pytest.fixture(scope="session")
def kubectl(need) -> str:
    return need("kubectl", shutil.which("kubectl"), "install it")


@pytest.fixture(scope="session")
def cluster(kubectl: str, need) -> Kube:
    """The cluster itself, for what has no namespace; it must answer."""
    kube = Kube(kubectl, "default")
    answers = kube.attempt("get", "--raw=/readyz", "--request-timeout=10s").stdout
    need("cluster", answers, "the one that KUBECONFIG names does not answer")
    return kube


@pytest.fixture(scope="module")
def restricted(cluster: Kube) -> Iterator[Kube]:
    """A namespace that enforces the Pod Security level `restricted`."""
    with namespace(cluster.kubectl, f"{PREFIX}-restricted") as kube:
        yield kube


@pytest.fixture(scope="module")
def baseline(cluster: Kube) -> Iterator[Kube]:
    """A namespace that enforces the Pod Security level `baseline`."""
    with namespace(cluster.kubectl, f"{PREFIX}-baseline", "baseline") as kube:
        yield kube


@pytest.fixture(scope="session")
def kwok(cluster: Kube, need) -> None:
    """The program that plays the kubelet of simulated nodes."""
    words = ("get", "deployment", "-A", "-o", "jsonpath={.items[*].metadata.name}")
    found = [name for name in cluster(*words).split() if name.startswith("kwok")]
    need("kwok", found[0] if found else None, "install it (https://kwok.sigs.k8s.io)")

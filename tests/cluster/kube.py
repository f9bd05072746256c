"""kubectl, and our own manifests as the API server gets them."""

import json
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import tally
import yaml

from krm_fn import krm
from krm_fn.function.intake import intake
from krm_fn.function.rendered import Rendered, render_services
from krm_fn.krm import ResourceList

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
MANAGER = "krm-fn-test"
Manifest = dict[str, Any]


@dataclass(frozen=True)
class Kube:
    """kubectl on one namespace."""

    kubectl: str
    namespace: str

    def attempt(
        self,
        *words: str,
        stdin: str = "",
        timeout: float = 300,
        env: Mapping[str, str] | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """What came of `kubectl -n NAMESPACE WORDS`, whatever its exit status."""
        return subprocess.run(
            [self.kubectl, "-n", self.namespace, *words],
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
            timeout=timeout,
            env=dict(env) if env else None,
        )

    def __call__(self, *words: str, stdin: str = "", timeout: float = 300, **more: Any) -> str:
        """The standard output; the command must succeed."""
        done = self.attempt(*words, stdin=stdin, timeout=timeout, **more)
        assert done.returncode == 0, f"kubectl {' '.join(words)}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def json(self, *words: str) -> Any:
        return json.loads(self(*words, "-o", "json"))

    def items(self, kind: str, selector: str | None = None) -> list[Manifest]:
        words = ("-l", selector) if selector else ()
        return self.json("get", kind, *words)["items"]

    def apply(self, objects: Iterable[Manifest], *words: str) -> str:
        """Server-side, with strict field validation; a warning is a failure."""
        done = self.attempt(*APPLY, *words, "-f", "-", stdin=stream(objects))
        tally.applied(done.stdout.count("serverside-applied"), rejected=done.returncode != 0)
        assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
        assert "Warning" not in done.stderr, done.stderr
        return done.stdout

    def differences(self, objects: Iterable[Manifest]) -> str:
        """What an apply would change; empty if nothing."""
        words = ("diff", "--server-side", f"--field-manager={MANAGER}", "-f", "-")
        done = self.attempt(*words, stdin=stream(objects))
        assert done.returncode in (0, 1), done.stderr
        return done.stdout

    def rolled_out(self, name: str, seconds: int = 180) -> None:
        self(
            "rollout", "status", f"deployment/{name}", f"--timeout={seconds}s", timeout=seconds + 10
        )


APPLY = ("apply", "--server-side", "--validate=strict", f"--field-manager={MANAGER}")


def stream(objects: Iterable[Manifest]) -> str:
    return krm.dump_all(list(objects))


def eventually(
    question: Callable[[], Any],
    seconds: float,
    *,
    every: float = 1.0,
    saying: str | Callable[[], str] = "",
) -> Any:
    """The first answer that is true; a failure with the last one after *seconds*."""
    end = time.monotonic() + seconds
    while not (answer := question()):
        if time.monotonic() > end:
            told = saying() if callable(saying) else saying
            pytest.fail(f"not within {seconds} s: {told or repr(answer)}")
        time.sleep(every)
    return answer


def config(name: str = "quickstart", file: str = "config.yaml") -> Manifest:
    """The functionConfig of an example."""
    return yaml.safe_load((EXAMPLES / name / file).read_text(encoding="utf-8"))


def changed(document: Manifest, **spec: Any) -> Manifest:
    """The same service with other fields of its spec; None takes a field away."""
    found = deepcopy(document)
    stated = {**found["spec"], **spec}
    found["spec"] = {key: value for key, value in stated.items() if value is not None}
    return found


def rendered(*documents: Manifest) -> tuple[Rendered, ...]:
    items = tuple(krm.item_of(document) for document in documents)
    return render_services(intake(ResourceList(items=items)))


def flat(document: Manifest) -> Mapping[str, tuple[Manifest, ...]]:
    """The final objects of each variant; `kubectl kustomize overlays/X` gives the same ones."""
    (service,) = rendered(document)
    return service.rendering.flat


def moved(objects: Iterable[Manifest], namespace: str) -> list[Manifest]:
    """The objects in another namespace; a Namespace object becomes that one."""
    found = deepcopy(list(objects))
    for each in found:
        if each["kind"] == "Namespace":
            each["metadata"]["name"] = namespace
        elif "namespace" in each["metadata"]:
            each["metadata"]["namespace"] = namespace
    return found


def without(objects: Iterable[Manifest], *kinds: str) -> list[Manifest]:
    return [each for each in objects if each["kind"] not in kinds]


def only(objects: Iterable[Manifest], kind: str) -> Manifest:
    (found,) = [each for each in objects if each["kind"] == kind]
    return deepcopy(found)


def pod_of(deployment: Manifest, name: str = "alone") -> Manifest:
    """The pod that the Deployment would make, by itself."""
    template = deepcopy(deployment["spec"]["template"])
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {**template["metadata"], "name": name},
        "spec": template["spec"],
    }


def identity(manifest: Manifest) -> str:
    return f"{manifest['kind']}/{manifest['metadata']['name']}".lower()


@contextmanager
def namespace(kubectl: str, name: str, profile: str = "restricted") -> Iterator[Kube]:
    """A namespace that enforces a Pod Security level; gone afterwards, with all in it."""
    kube = Kube(kubectl, name)
    modes = ("enforce", "warn")
    labels = {f"pod-security.kubernetes.io/{mode}": profile for mode in modes}
    kube("delete", "namespace", name, "--ignore-not-found", "--timeout=180s")
    kube(
        "create",
        "-f",
        "-",
        stdin=stream(
            [
                {
                    "apiVersion": "v1",
                    "kind": "Namespace",
                    "metadata": {"name": name, "labels": labels},
                }
            ]
        ),
    )
    try:
        eventually(lambda: kube.attempt("get", "serviceaccount", "default").returncode == 0, 30)
        yield kube
    finally:
        kube("delete", "namespace", name, "--wait=false")  # first: from now on no pod comes back
        kube("delete", "--raw", f"/api/v1/namespaces/{name}/pods?gracePeriodSeconds=0")


def nothing_runs(kube: Kube) -> None:
    """A quota that lets no pod start: objects alone are looked at."""
    quota = {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": "no-pods"},
        "spec": {"hard": {"pods": "0"}},
    }
    kube("create", "-f", "-", stdin=stream([quota]))


def node_names(pods: Sequence[Manifest]) -> list[str]:
    """The nodes of the pods that have one."""
    return [pod["spec"]["nodeName"] for pod in pods if pod["spec"].get("nodeName")]

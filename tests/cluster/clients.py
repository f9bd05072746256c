"""Pods of the cluster from which tests ask: kube-proxy, DNS and policies are on the way."""

import json
import os
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import tally
from kube import Kube, Manifest, stream

IMAGE = os.environ.get("KRM_FN_CLIENT_IMAGE", "localhost/krm-fn-python-base:bookworm")
BACKGROUND = ThreadPoolExecutor()
SCRIPT = (Path(__file__).parent / "client.py").read_text(encoding="utf-8")


def pod(name: str, labels: dict[str, str] | None = None) -> Manifest:
    """Python that waits; it passes the Pod Security level `restricted`."""
    container = {
        "name": "python",
        "image": IMAGE,
        "imagePullPolicy": "IfNotPresent",
        "command": ["python3", "-c", "import time; time.sleep(86400)"],
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
        },
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": labels or {}},
        "spec": {
            "terminationGracePeriodSeconds": 1,
            "automountServiceAccountToken": False,
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": 65532,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [container],
        },
    }


def start(kube: Kube, name: str, labels: dict[str, str] | None = None) -> None:
    kube("create", "-f", "-", stdin=stream([pod(name, labels)]))
    kube("wait", "--for=condition=Ready", f"pod/{name}", "--timeout=60s")


def ask(kube: Kube, name: str, *words: str, seconds: float = 120) -> Any:
    """What client.py prints in that pod."""
    command = ("exec", "-i", name, "--", "python3", "-", *words)
    found = json.loads(kube(*command, stdin=SCRIPT, timeout=seconds))
    tally.answered(found)
    return found


def asking(kube: Kube, name: str, *words: str) -> Future[Any]:
    """The same in the background; `answer` waits for it."""
    return BACKGROUND.submit(ask, kube, name, *words, seconds=240)


def answer(asked: Future[Any], seconds: float = 180) -> Any:
    return asked.result(seconds)

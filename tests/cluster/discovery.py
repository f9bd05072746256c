"""Runs in a pod, on plain Python: Prometheus' Kubernetes discovery of pods, as HTTP discovery.

Debian's build of Prometheus has none of its own. The targets carry the labels that it would have
given them, so that the scrape job of docs/autoscaling.md is used as it stands.
"""

import http.server
import json
import re
import ssl
import urllib.request
from pathlib import Path

ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
API = "https://kubernetes.default.svc/api/v1/pods"
META = "__meta_kubernetes_"


def pods():
    context = ssl.create_default_context(cafile=str(ACCOUNT / "ca.crt"))
    headers = {"Authorization": f"Bearer {(ACCOUNT / 'token').read_text()}"}
    request = urllib.request.Request(API, headers=headers)
    with urllib.request.urlopen(request, context=context, timeout=10) as answer:
        return json.load(answer)["items"]


def targets(pod):
    """One target a named port of a pod that has an address."""
    meta, address = pod["metadata"], pod["status"].get("podIP")
    if not address:
        return
    labels = {
        f"{META}pod_label_{re.sub('[^a-zA-Z0-9_]', '_', key)}": value
        for key, value in meta.get("labels", {}).items()
    }
    for container in pod["spec"]["containers"]:
        for port in container.get("ports", ()):
            yield {
                "targets": [f"{address}:{port['containerPort']}"],
                "labels": {
                    **labels,
                    f"{META}namespace": meta["namespace"],
                    f"{META}pod_name": meta["name"],
                    f"{META}pod_container_port_name": port.get("name", ""),
                },
            }


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = json.dumps([each for pod in pods() for each in targets(pod)]).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(body)


if __name__ == "__main__":
    http.server.ThreadingHTTPServer(("127.0.0.1", 8081), Handler).serve_forever()

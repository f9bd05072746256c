"""Questions to the API server that the kubeconfig names; nothing is changed there."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any
from urllib.parse import quote

from krm_fn.errors import ConfigError, Result, error, info
from krm_fn.krm import Manifest, dump

MANAGER = "krm-fn-validate"
APPLY = {"Content-Type": "application/apply-patch+yaml", "Accept": "application/json"}
DRY_RUN = f"dryRun=All&force=true&fieldValidation=Strict&fieldManager={MANAGER}"
ONLINE = "`pip install 'krm-fn[online]'` installs what this needs"


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """A connection. `namespace` = that of the context; `kinds` = what discovery has answered."""

    client: Any
    namespace: str
    kinds: dict[tuple[str, str], tuple[str, bool] | None] = field(default_factory=dict)


def cluster(context: str | None = None) -> Cluster:
    """The cluster of the kubeconfig, or of the pod this runs in; ConfigError with the way out."""
    try:
        client = import_module("kubernetes.client")  # the extra krm-fn[online]
        config = import_module("kubernetes.config")
    except ImportError:
        raise ConfigError([error(ONLINE)]) from None
    try:
        config.load_config(context=context)
        namespace = _namespace(config, context)
    except (config.ConfigException, FileNotFoundError) as fault:
        message = f"no cluster is named: {fault}; set KUBECONFIG, or state --context"
        raise ConfigError([error(message)]) from None
    return Cluster(client=client.ApiClient(), namespace=namespace)


def _namespace(config: Any, context: str | None) -> str:
    try:
        contexts, current = config.list_kube_config_contexts()
    except config.ConfigException:
        return "default"
    chosen = next((each for each in contexts if each["name"] == context), current)
    return str(chosen["context"].get("namespace") or "default")


def nodes(of: Cluster) -> list[Manifest]:
    """All nodes as the API prints them; needs the right to list nodes."""
    status, answer = _answer(of, "GET", "/api/v1/nodes?limit=5000")
    if status != 200:
        message = f"the nodes cannot be listed: {answer.get('message', status)}"
        raise ConfigError([error(message)])
    return list(answer["items"])


def dry_run(of: Cluster, manifest: Manifest, file: str | None) -> Iterator[Result]:
    """What the API server says to a server-side apply that it does not carry out."""
    metadata = manifest.get("metadata", {})
    version, kind = str(manifest.get("apiVersion")), str(manifest.get("kind"))
    subject = {"apiVersion": version, "kind": kind, "name": str(metadata.get("name"))}
    more: dict[str, Any] = {"resource": subject, "file": {"path": file} if file else None}
    found = _kind(of, version, kind)
    if found is None:
        message = f"the cluster does not know {kind} of {version}"
        yield error(message, "kind", **more)
        return
    plural, is_namespaced = found
    namespace = metadata.get("namespace") or of.namespace
    path = _path(version, plural, namespace if is_namespaced else None, metadata["name"])
    status, answer = _answer(of, "PATCH", f"{path}?{DRY_RUN}", manifest)
    if status >= 300:
        yield from _faults(answer, more)


def missing_namespaces(of: Cluster, manifests: list[Manifest]) -> set[str]:
    """Namespaces that the manifests bring along and the cluster does not have yet."""
    brought = {str(m["metadata"]["name"]) for m in manifests if m.get("kind") == "Namespace"}
    return {name for name in brought if _answer(of, "GET", f"/api/v1/namespaces/{name}")[0] == 404}


def in_namespace(manifest: Manifest, missing: set[str], stand_in: str) -> Manifest:
    """An object of a namespace that is not there yet, moved to one that is."""
    metadata = manifest.get("metadata", {})
    if metadata.get("namespace") not in missing:
        return manifest
    return {**manifest, "metadata": {**metadata, "namespace": stand_in}}


def said_of_missing(missing: set[str], stand_in: str) -> Iterator[Result]:
    for name in sorted(missing):
        message = f'does not exist yet: its objects were tried in "{stand_in}" instead'
        subject = {"apiVersion": "v1", "kind": "Namespace", "name": name}
        yield info(message, resource=subject)


def _faults(answer: Mapping[str, Any], more: Mapping[str, Any]) -> Iterator[Result]:
    """One result a cause, each with its field; else the message as a whole."""
    causes = (answer.get("details") or {}).get("causes") or ()
    for cause in causes:
        yield error(str(cause.get("message")), cause.get("field") or None, **more)
    if not causes:
        yield error(str(answer.get("message", answer)), **more)


def _kind(of: Cluster, version: str, kind: str) -> tuple[str, bool] | None:
    """(plural, namespaced) of a kind, as discovery has it."""
    if (version, kind) not in of.kinds:
        root = "/api/" if "/" not in version else "/apis/"
        _, answer = _answer(of, "GET", root + version)
        of.kinds[version, kind] = next(
            (
                (each["name"], each["namespaced"])
                for each in answer.get("resources", ())
                if each["kind"] == kind and "/" not in each["name"]
            ),
            None,
        )
    return of.kinds[version, kind]


def _path(version: str, plural: str, namespace: str | None, name: str) -> str:
    root = f"/api/{version}" if "/" not in version else f"/apis/{version}"
    where = f"/namespaces/{quote(namespace)}" if namespace else ""
    return f"{root}{where}/{plural}/{quote(str(name))}"


def _answer(
    of: Cluster, method: str, path: str, body: Manifest | None = None
) -> tuple[int, dict[str, Any]]:
    """Status and body, whatever the status; ConfigError when nobody answers."""
    url = of.client.configuration.host + path
    headers = {"Accept": "application/json", **_authorization(of)}
    try:
        answer = of.client.rest_client.pool_manager.request(
            method,
            url,
            headers={**headers, **(APPLY if body else {})},
            body=dump(body).encode() if body else None,
            timeout=30.0,
            retries=2,
        )
    except (OSError, import_module("urllib3.exceptions").HTTPError) as fault:
        raise _unreachable(of, fault) from None
    return answer.status, _json(answer.data)


def _authorization(of: Cluster) -> dict[str, str]:
    """The token of the context, if it has one; client certificates are the connection's."""
    token = of.client.configuration.auth_settings().get("BearerToken")
    return {token["key"]: token["value"]} if token else {}


def _unreachable(of: Cluster, fault: Exception) -> ConfigError:
    reason = str(fault).strip().splitlines()[0][:200]
    return ConfigError([error(f"{of.client.configuration.host} does not answer: {reason}")])


def _json(data: bytes) -> dict[str, Any]:
    try:
        found = json.loads(data)
    except ValueError:
        return {"message": data.decode(errors="replace")[:300]}
    return found if isinstance(found, dict) else {"message": str(found)[:300]}

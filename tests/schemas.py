"""Strict schemas for manifests: core kinds by kubernetes-validate, custom kinds by tests/data/crds.

Unknown fields are faults, and so is a kind without a schema. `rule_faults` has what schemas do not
say: one handler in a probe, one source in a volume, unique names and ports, mounts that exist,
devices equal in requests and limits, selectors that match their template.
"""

import json
from collections.abc import Iterator
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match
from kubernetes_validate.utils import all_versions
from referencing import Registry, Resource

CRDS = Path(__file__).parent / "data" / "crds"
NEWEST = {version.rpartition(".")[0]: version for version in all_versions()}
VERSIONS = tuple(dict.fromkeys(("1.30", "1.34", list(NEWEST)[-1])))
PROBES = ("startupProbe", "readinessProbe", "livenessProbe")


def faults(manifest: dict[str, Any]) -> list[str]:
    """All that is wrong with one object, a line each."""
    name = f"{manifest['kind']}/{manifest['metadata'].get('name')}"
    found = [*schema_faults(manifest), *rule_faults(manifest)]
    return [f"{name} {fault}" for fault in found]


def schema_faults(manifest: dict[str, Any]) -> Iterator[str]:
    group = manifest["apiVersion"].rpartition("/")[0]
    is_custom = "." in group and not group.endswith(".k8s.io")
    for version in ("",) if is_custom else VERSIONS:
        validator = (
            _custom(manifest["apiVersion"], manifest["kind"])
            if is_custom
            else _core(version, manifest["apiVersion"], manifest["kind"])
        )
        for error in map(best_match, ([each] for each in validator.iter_errors(manifest))):
            path = ".".join(map(str, error.absolute_path))
            yield f"{path}: {error.message[:200]} {version}".rstrip()


@cache
def _definitions(version: str) -> tuple[Any, Registry]:
    packages = resources.files("kubernetes_validate") / "kubernetes-json-schema"
    folder = packages / f"v{NEWEST[version]}-local-strict"
    definitions = json.loads((folder / "_definitions.json").read_text())
    registry = Registry().with_resource(definitions["$id"], Resource.from_contents(definitions))
    return folder, registry


@cache
def _core(version: str, api_version: str, kind: str) -> Draft202012Validator:
    folder, registry = _definitions(version)
    group, _, api = api_version.rpartition("/")
    parts = filter(None, (kind.lower(), group.split(".")[0], api))
    schema = json.loads((folder / f"{'-'.join(parts)}.json").read_text())
    return Draft202012Validator(schema, registry=registry)


@cache
def _custom(api_version: str, kind: str) -> Draft202012Validator:
    group, _, version = api_version.rpartition("/")
    for file in CRDS.glob(f"{group}_*.yaml"):
        spec = yaml.safe_load(file.read_text())["spec"]
        if spec["names"]["kind"] == kind:
            (entry,) = (each for each in spec["versions"] if each["name"] == version)
            schema = _closed(entry["schema"]["openAPIV3Schema"])
            schema["properties"] |= {"apiVersion": {}, "kind": {}, "metadata": {}}
            return Draft202012Validator(schema)
    raise LookupError(f"no definition of {api_version} {kind} in {CRDS.name}")


def _closed(node: dict[str, Any]) -> dict[str, Any]:
    """A structural schema as JSON Schema that refuses unknown fields."""
    closed = dict(node)
    if "properties" in node:
        closed["properties"] = {key: _closed(each) for key, each in node["properties"].items()}
    for key in ("items", "additionalProperties"):
        if isinstance(node.get(key), dict):
            closed[key] = _closed(node[key])
    if node.get("type") == "object" and not node.get("x-kubernetes-preserve-unknown-fields"):
        closed.setdefault("additionalProperties", False)
    if node.get("x-kubernetes-int-or-string"):
        closed.pop("anyOf", None)
        closed["type"] = ["integer", "string"]
    return closed


def rule_faults(manifest: dict[str, Any]) -> Iterator[str]:
    spec = manifest.get("spec") or {}
    template = spec.get("template") or {}
    labels = (template.get("metadata") or {}).get("labels") or {}
    wanted = ((spec.get("selector") or {}).get("matchLabels") or {}) if template else {}
    if not wanted.items() <= labels.items():
        yield f"spec.selector: {wanted} does not match the template's {labels}"
    pod = template.get("spec") or {}
    names = [volume["name"] for volume in pod.get("volumes", ())]
    yield from _repeated("volumes", names)
    for volume in pod.get("volumes", ()):
        if len(volume) != 2:
            yield f"volume {volume['name']} needs one source, has {sorted(volume)}"
    for container in (*pod.get("initContainers", ()), *pod.get("containers", ())):
        yield from _container_faults(container, names)


def _container_faults(container: dict[str, Any], volumes: list[str]) -> Iterator[str]:
    for probe in (container[each] for each in PROBES if each in container):
        handlers = {"exec", "grpc", "httpGet", "tcpSocket"} & probe.keys()
        ports = {port["name"] for port in container.get("ports", ())}
        if len(handlers) != 1:
            yield f"a probe needs one handler, has {sorted(handlers)}"
        if "httpGet" in probe and probe["httpGet"]["port"] not in ports:
            yield f"a probe asks port {probe['httpGet']['port']}, which is not there"
    yield from _repeated("env", [each["name"] for each in container.get("env", ())])
    yield from _repeated("mountPath", [each["mountPath"] for each in container["volumeMounts"]])
    for mount in container["volumeMounts"]:
        if mount["name"] not in volumes:
            yield f"mount {mount['name']} has no volume"
    needs = container["resources"]
    for name, amount in needs["requests"].items():
        if "/" in name and needs["limits"].get(name) != amount:
            yield f"{name}: request and limit differ"


def _repeated(what: str, names: list[str]) -> Iterator[str]:
    if len(names) != len(set(names)):
        yield f"{what}: repeated in {names}"

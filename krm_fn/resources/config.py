"""The ConfigMap of a server's files, and the mark that rolls its pods when they change."""

import hashlib

from krm_fn.engines.base import Server
from krm_fn.krm.item import Manifest
from krm_fn.resources.metadata import Identity, metadata
from krm_fn.resources.storage import config_name

ANNOTATION = "krm-fn.dev/config-sha256"


def config_map(identity: Identity, server: Server) -> Manifest:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": metadata(identity, name=config_name(identity)),
        "data": dict(server.files),
    }


def config_annotations(server: Server) -> dict[str, str]:
    """The hash of the files; a plain ConfigMap name changes nothing in the pods by itself."""
    if not server.files:
        return {}
    text = "\0".join(part for file in sorted(server.files) for part in file)
    return {ANNOTATION: hashlib.sha256(text.encode()).hexdigest()}

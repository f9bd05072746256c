"""The engines: one file each. Flags, images, probes, metrics and memory rules by version.

Rule: an engine turns a Launch into a Server; it knows no Kubernetes. Siblings do not know each
other. A new engine is one file and one line in ENGINES.
"""

from collections.abc import Mapping

from krm_fn.engines import mock, sglang, vllm
from krm_fn.engines.base import Metric, Probe, Server
from krm_fn.engines.launch import Engine, Launch, Token

ENGINES: Mapping[str, Engine] = {e.name: e for e in (mock.ENGINE, vllm.ENGINE, sglang.ENGINE)}

__all__ = ["ENGINES", "Engine", "Launch", "Metric", "Probe", "Server", "Token"]

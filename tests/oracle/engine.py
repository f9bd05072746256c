"""The environment with vLLM for the CPU, and its answers."""

import json
import os
import subprocess
from collections.abc import Iterable, Mapping
from itertools import groupby
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
CACHE = Path(
    os.environ.get("KRM_FN_CACHE")
    or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "krm-fn"
)
VERSION = "0.32.0"
REMEDY = f"run .ci/engine, or set KRM_FN_ENGINE to a Python with vLLM {VERSION} for the CPU"


def engine_python() -> str | None:
    """The interpreter that KRM_FN_ENGINE names, else that of `.ci/engine`, with vLLM 0.32."""
    found = os.environ.get("KRM_FN_ENGINE") or str(CACHE / "vllm-cpu" / "bin" / "python")
    code = "from importlib.metadata import version; print(version('vllm'))"
    try:
        done = subprocess.run([found, "-c", code], capture_output=True, text=True, check=False)
    except OSError:
        return None
    return found if done.stdout.startswith(VERSION) else None


def plannings(python: str, cases: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """VLLM's planning of each case; one process for each run of equal compute capability."""
    found: list[dict[str, Any]] = []
    for capability, run in groupby(cases, key=lambda case: case["capability"]):
        found += _lines(python, "vllm_planning.py", run, "--capability", capability)
    return found


def counts(python: str, configs: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Parameters of each config.json by transformers."""
    return _lines(python, "parameter_counts.py", configs)


def _lines(
    python: str, program: str, asked: Iterable[Mapping[str, Any]], *options: str
) -> list[dict[str, Any]]:
    text = "\n".join(json.dumps(line) for line in asked)
    argv = [python, str(HERE / program), *options]
    done = subprocess.run(argv, input=text, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr[-4000:])
    return [json.loads(line) for line in done.stdout.splitlines()]

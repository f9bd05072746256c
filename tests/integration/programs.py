"""Running a program, and reading the objects that it printed."""

import subprocess
from collections import Counter
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]


def attempt(
    *command: str | Path, cwd: Path | None = None, stdin: str = ""
) -> subprocess.CompletedProcess[str]:
    """What came of *command*, whatever its exit status."""
    return subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )


def run(*command: str | Path, cwd: Path | None = None, stdin: str = "") -> str:
    """The standard output of *command*, which must succeed."""
    done = attempt(*command, cwd=cwd, stdin=stdin)
    assert done.returncode == 0, f"{' '.join(map(str, command))}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def objects(text: str) -> list[dict]:
    """The documents of a YAML stream."""
    return [document for document in yaml.safe_load_all(text) if document]


def kinds(text: str) -> Counter[str]:
    """How many objects of each kind a YAML stream has."""
    return Counter(document["kind"] for document in objects(text))

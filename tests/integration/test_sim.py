"""The simulator that the mock overlay runs, and the manifests that run it."""

import re

from programs import ROOT, attempt

HELP = ROOT / "tests" / "data" / "llm-d-inference-sim-v0.10.2-help.txt"


def without_random_default(text: str) -> str:
    """The help without the default seed, which is the current time."""
    return re.sub(r" \(default \d{15,}\)", "", text)


def test_help_of_the_simulator_is_the_recorded_one(docker, sim_image):
    """A flag that is checked against the recorded help is one that the program accepts."""
    done = attempt(docker, "run", "--rm", "--network", "none", sim_image, "--help")

    assert HELP.read_text() == without_random_default(done.stderr)

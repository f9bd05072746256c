"""What a test does when a program that it runs is missing.

It is skipped, and the summary says so, unless `KRM_FN_REQUIRE` names the program: then it fails.
`KRM_FN_REQUIRE` is a comma-separated list; CI names everything there.
"""

import os
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, Phase, settings

Need = Callable[[str, str | None, str], str]

SLOW_TO_DRAW = [HealthCheck.filter_too_much, HealthCheck.too_slow, HealthCheck.data_too_large]
for profile, examples in (("few", 8), ("many", 100)):
    settings.register_profile(
        profile,
        max_examples=examples,
        deadline=None,
        phases=[Phase.explicit, Phase.generate, Phase.shrink],
        suppress_health_check=SLOW_TO_DRAW,
    )
# a busy machine is no fault of the code
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update", action="store_true", help="rewrite goldens, and fail")


def required() -> list[str]:
    """The programs that must be there."""
    return [name for name in os.environ.get("KRM_FN_REQUIRE", "").split(",") if name]


def needed(name: str, found: str | None, remedy: str) -> str:
    """*found*, or the end of the test that asked for it."""
    if found:
        return found
    if name in required():
        pytest.fail(f"{name} is missing: {remedy}")
    pytest.skip(f"{name} is missing: {remedy}")


@pytest.fixture(scope="session")
def need() -> Need:
    return needed


def pytest_report_header() -> str:
    return (
        f"programs that must be there: {', '.join(required()) or 'none (KRM_FN_REQUIRE is unset)'}"
    )


def pytest_runtest_setup(item: pytest.Item) -> None:
    """A cluster is used only where somebody asked for it by name: it might be one that serves."""
    if not item.get_closest_marker("cluster"):
        return
    if "cluster" not in required():
        pytest.skip("cluster is not asked for: state KRM_FN_REQUIRE=cluster, and KUBECONFIG")
    needed("cluster", os.environ.get("KUBECONFIG"), "KUBECONFIG names none")

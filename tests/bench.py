"""What the function costs, beside what it cannot do without: Python, PyYAML, kustomize, Docker.

`make bench` prints a table. All commands of a block run in turn, round after round, so that a busy
machine slows them alike; read ratios, not milliseconds. CPU is that of a process and its children.
What is missing (kustomize, Docker, the image) is left out.
"""

import argparse
import compileall
import copy
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from krm_fn import krm

ROOT = Path(__file__).parents[1]
PYTHON = sys.executable
IMAGE = "localhost/krm-fn:v0.1.0"
LOCKED = ("--rm", "-i", "--network=none", "--user=nobody", "--security-opt=no-new-privileges")
QUICKSTART = yaml.safe_load((ROOT / "examples" / "quickstart" / "config.yaml").read_text())


@dataclass(frozen=True, kw_only=True)
class Command:
    """A line of the table; `beside` is the line that it is compared with, `aim` the limit."""

    name: str
    argv: Sequence[str]
    stdin: str = ""
    beside: str = ""
    aim: float | None = None


@dataclass(frozen=True)
class Cost:
    wall: float
    cpu: float


def cost(command: Command, folder: Path) -> Cost:
    """One run, which must succeed."""
    given = folder / "stdin"
    given.write_text(command.stdin)
    path = f"{Path(PYTHON).parent}:{os.environ['PATH']}"
    start = time.perf_counter()
    with given.open() as stdin, (folder / "stderr").open("w+") as stderr:
        process = subprocess.Popen(
            command.argv,
            stdin=stdin,
            stdout=subprocess.DEVNULL,
            stderr=stderr,
            env={**os.environ, "PATH": path},
        )
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        wall = time.perf_counter() - start
    if process.returncode:
        sys.exit(f"{command.name} failed\n{(folder / 'stderr').read_text()}")
    return Cost(wall, usage.ru_utime + usage.ru_stime)


def measured(commands: Sequence[Command], rounds: int, folder: Path) -> dict[str, list[Cost]]:
    """Costs by name; a first round, not counted, warms the caches."""
    costs: dict[str, list[Cost]] = {command.name: [] for command in commands}
    for number in range(rounds + 1):
        for command in commands:
            found = cost(command, folder)
            costs[command.name] += [found] if number else []
    return costs


def table(commands: Sequence[Command], costs: Mapping[str, Sequence[Cost]]) -> Iterator[str]:
    yield f"{'':40} {'wall ms: min':>12} {'median':>8} {'CPU':>8}   beside"
    for command in commands:
        walls = [c.wall * 1000 for c in costs[command.name]]
        cpu = min(c.cpu for c in costs[command.name]) * 1000
        line = f"{command.name:40} {min(walls):12.0f} {statistics.median(walls):8.0f} {cpu:8.0f}"
        if command.beside:
            ratio = statistics.median(walls) / statistics.median(
                c.wall * 1000 for c in costs[command.beside]
            )
            line += f"   {ratio:.2f} x {command.beside}"
            line += f", aim {command.aim}" if command.aim else ""
        yield line


def service(number: int, *, vary: bool, function: str | None = None) -> dict:
    """The quickstart's config under a name of its own; `vary`: with a load of its own as well."""
    document = copy.deepcopy(QUICKSTART)
    document["metadata"] = {"name": f"service-{number}", "annotations": {}}
    document["metadata"]["annotations"]["config.kubernetes.io/local-config"] = "true"
    if function:
        document["metadata"]["annotations"]["config.kubernetes.io/function"] = function
    if vary:
        document["spec"]["workload"]["inputTokens"] += number
    return document


def resource_list(services: Sequence[dict]) -> str:
    header = {"apiVersion": "config.kubernetes.io/v1", "kind": "ResourceList"}
    config = {"functionConfig": services[0]}
    return krm.dump({**header, "items": list(services)}) + krm.dump(config)


def start_up() -> Iterator[Command]:
    """A generator's list with one service, as kustomize sends it."""
    one = resource_list([service(0, vary=False)])
    yield Command(name="python -c pass", argv=(PYTHON, "-c", "pass"))
    yield Command(name="import yaml", argv=(PYTHON, "-c", "import yaml"))
    yield Command(
        name="import pydantic",
        argv=(PYTHON, "-c", "from pydantic import BaseModel"),
        beside="import yaml",
    )
    yield Command(
        name="function", argv=(PYTHON, "-m", "krm_fn"), stdin=one, beside="import yaml", aim=6
    )


def builds(folder: Path) -> Iterator[Command]:
    """A build with a function that does nothing, and with ours."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "krm-fn"
    cache = Path(os.environ.get("KRM_FN_CACHE") or cache)
    program = shutil.which("kustomize") or shutil.which("kustomize", path=str(cache / "bin"))
    if not program:
        return
    for name in ("cat", "krm-fn"):
        config = service(0, vary=False, function=f"exec: {{path: {name}}}\n")
        (folder / name).mkdir()
        (folder / name / "config.yaml").write_text(krm.dump(config))
        (folder / name / "kustomization.yaml").write_text("generators: [config.yaml]\n")
    build = (program, "build", "--enable-alpha-plugins", "--enable-exec")
    yield Command(name="kustomize, cat", argv=(*build, str(folder / "cat")))
    yield Command(
        name="kustomize, function",
        argv=(*build, str(folder / "krm-fn")),
        beside="kustomize, cat",
        aim=2,
    )


def containers() -> Iterator[Command]:
    """The same image, once with a program that does nothing."""
    docker = shutil.which("docker")
    asked = [docker or "false", "image", "inspect", IMAGE]
    if subprocess.run(asked, check=False, capture_output=True).returncode:
        return
    one = resource_list([service(0, vary=False)])
    run = (docker, "run", *LOCKED)
    yield Command(name="container, cat", argv=(*run, "--entrypoint=cat", IMAGE), stdin=one)
    yield Command(
        name="container, function",
        argv=(*run, IMAGE),
        stdin=one,
        beside="container, cat",
        aim=1.25,
    )


def growth(numbers: Sequence[int], folder: Path) -> Iterator[str]:
    """CPU, as the wall clock says more about the neighbours the longer a run takes."""
    for vary, title in ((True, "services, each with its own load"), (False, "services, all alike")):
        yield f"{title:40} {'CPU ms':>12} {'ms per service after the first':>32}, aim 5"
        first = 0.0
        for number in numbers:
            given = resource_list([_placed(service(n, vary=vary)) for n in range(number)])
            command = Command(name="growth", argv=(PYTHON, "-m", "krm_fn"), stdin=given)
            spent = min(cost(command, folder).cpu for _ in range(3 if number <= 10 else 1)) * 1000
            first = first or spent
            each = f"{(spent - first) / (number - numbers[0]):32.1f}" if number > numbers[0] else ""
            yield f"{number:40} {spent:12.0f} {each}"
        yield ""


def _placed(document: dict) -> dict:
    document["spec"]["output"] = {"path": document["metadata"]["name"]}
    return document


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--services", type=int, nargs="*", default=[1, 10, 100, 1000])
    options = parser.parse_args()
    compileall.compile_dir(ROOT / "krm_fn", quiet=1)  # as an installation has it
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for commands in (tuple(start_up()), tuple(builds(folder)), tuple(containers())):
            if commands:
                costs = measured(commands, options.rounds, folder)
                print(*table(commands, costs), "", sep="\n")  # noqa: T201
        for line in growth(options.services, folder):
            print(line, flush=True)  # noqa: T201


if __name__ == "__main__":
    main()

"""The simulator runs what the mock overlay says: arguments, environment, files, user, limits."""

import http.client
import json
import re
import statistics
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from itertools import count
from pathlib import Path

import pytest
import yaml
from programs import ROOT, attempt, by_identity, run, service, write

HELP = ROOT / "tests" / "data" / "llm-d-inference-sim-v0.10.2-help.txt"
NAME, MODEL = "qwen3-8b", "qwen"
CONFIG = service(
    function=None,
    model={"id": "Qwen/Qwen3-8B", "servedName": MODEL},
    variants={"mock": {}, "vllm": {}},
)
PATIENCE_SECONDS = 60
unique = count()


@dataclass(frozen=True)
class Answer:
    """A streamed answer: when each chunk with text came, in seconds after the request."""

    times: list[float] = field(default_factory=list)
    finish_reason: str | None = None
    prompt_tokens: int = 0

    @property
    def ttft(self) -> float:
        return self.times[0]

    @property
    def itl(self) -> float:
        return (self.times[-1] - self.times[0]) / (len(self.times) - 1)


@dataclass(frozen=True)
class Simulator:
    """A container that runs as the pod of `deployment` would."""

    docker: str
    container: str
    deployment: dict
    files: dict[str, str]

    @cached_property
    def port(self) -> int:
        published = run(self.docker, "port", self.container, "8000/tcp")
        return int(published.splitlines()[0].rpartition(":")[2])

    def connection(self) -> AbstractContextManager[http.client.HTTPConnection]:
        return closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_SECONDS))

    def get(self, path: str) -> tuple[int, str]:
        with self.connection() as connection:
            connection.request("GET", path)
            response = connection.getresponse()
            return response.status, response.read().decode()

    @contextmanager
    def posted(self, path: str, **body) -> Iterator[http.client.HTTPResponse]:
        headers = {"Content-Type": "application/json"}
        with self.connection() as connection:
            connection.request("POST", path, json.dumps({"model": MODEL, **body}), headers)
            with connection.getresponse() as response:
                yield response

    def post(self, path: str, **body) -> tuple[int, dict]:
        with self.posted(path, **body) as response:
            return response.status, json.loads(response.read())

    def tokens(self, input_tokens: int, output_tokens: int) -> Iterator[dict]:
        """The events of one streamed completion; each prompt is new, so that none is cached."""
        prompt = " ".join([f"prompt {next(unique)}", *["word"] * (input_tokens - 2)])
        body = {"prompt": prompt, "max_tokens": output_tokens, "ignore_eos": True, "stream": True}
        usage = {"stream_options": {"include_usage": True}}
        with self.posted("/v1/completions", **body, **usage) as response:
            assert response.status == 200, response.read()
            for line in response:
                if line.startswith(b"data: {"):
                    yield json.loads(line.removeprefix(b"data: "))

    def stream(self, input_tokens: int, output_tokens: int) -> Answer:
        start = time.perf_counter()
        times, reason, prompt_tokens = [], None, 0
        for event in self.tokens(input_tokens, output_tokens):
            for choice in event["choices"]:
                times += [time.perf_counter() - start] if choice.get("text") else []
                reason = choice.get("finish_reason") or reason
            prompt_tokens = (event.get("usage") or {}).get("prompt_tokens", prompt_tokens)
        return Answer(times, reason, prompt_tokens)

    def streams(self, number: int, input_tokens: int, output_tokens: int) -> list[Answer]:
        """Answers to requests that start together."""
        with ThreadPoolExecutor(number) as pool:
            return list(pool.map(lambda _: self.stream(input_tokens, output_tokens), range(number)))

    @property
    def logs(self) -> str:
        done = attempt(self.docker, "logs", self.container)
        return done.stdout + done.stderr


def server(deployment: dict) -> dict:
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    return container


def docker_options(deployment: dict, files: Path) -> list[str]:
    """The pod's settings in Docker's words; the pod's address is that of the container itself."""
    pod, container = deployment["spec"]["template"]["spec"], server(deployment)
    user = pod["securityContext"] | container["securityContext"]
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    options = [
        f"--user={user['runAsUser']}:{user['runAsGroup']}",
        f"--memory={container['resources']['limits']['memory'].removesuffix('i').lower()}",
        *[f"--cap-drop={name}" for name in user["capabilities"]["drop"]],
    ]
    options += ["--security-opt=no-new-privileges"] * (not user["allowPrivilegeEscalation"])
    options += ["--read-only"] * user["readOnlyRootFilesystem"]
    for entry in container["env"]:
        options.append(f"--env={entry['name']}={entry.get('value', '127.0.0.1')}")
    for mount in container["volumeMounts"]:
        if "emptyDir" in volumes[mount["name"]]:
            options.append(f"--tmpfs={mount['mountPath']}:mode=1777")
        else:
            options.append(f"--volume={files}:{mount['mountPath']}:ro")
    return options


@pytest.fixture(scope="module")
def tree(krm_fn, tmp_path_factory) -> Path:
    """A rendering with a served name of its own."""
    folder = tmp_path_factory.mktemp("tree")
    write(folder, {"config.yaml": CONFIG})
    run(krm_fn, "render", folder)
    return folder


@pytest.fixture(scope="module")
def objects(tree, kubectl) -> dict:
    return by_identity(run(kubectl, "kustomize", tree / "overlays" / "mock"))


@pytest.fixture
def start(docker, sim_image, objects, tmp_path):
    """Starts the simulator as the mock's Deployment does, and waits for its startup probe."""
    started = []

    def simulator() -> Simulator:
        deployment = objects["Deployment", NAME]
        files = objects["ConfigMap", f"{NAME}-config"]["data"]
        folder = write(tmp_path / "files", files)
        folder.chmod(0o755)
        container = run(
            *(docker, "run", "--detach", "--publish=127.0.0.1::8000"),
            *docker_options(deployment, folder),
            *(server(deployment)["image"], *server(deployment)["args"]),
        ).strip()
        started.append(container)
        found = Simulator(docker, container, deployment, files)
        answers(found, server(deployment)["startupProbe"])
        return found

    yield simulator
    for container in started:
        attempt(docker, "rm", "--force", "--volumes", container)


def answers(simulator: Simulator, probe: dict) -> None:
    """Returns when the probe succeeds, fails when its budget is spent."""
    for _ in range(probe["failureThreshold"] * probe["periodSeconds"] * 5):
        try:
            if simulator.get(probe["httpGet"]["path"])[0] == 200:
                return
        except (ConnectionError, http.client.HTTPException):
            pass
        time.sleep(0.2)
    pytest.fail(f"the startup probe gave up\n{simulator.logs}")


@pytest.fixture
def simulator(start):
    return start()


@pytest.fixture(scope="module")
def plan(tree) -> dict:
    """The plan of the variant that the mock imitates."""
    document = yaml.safe_load((tree / "base" / "llmplan.yaml").read_text())
    return document["spec"]["variants"]["vllm"]


def without_random_default(text: str) -> str:
    """The help without the default seed, which is the current time."""
    return re.sub(r" \(default \d{15,}\)", "", text)


def test_help_of_the_simulator_is_the_recorded_one(docker, sim_image):
    """A flag that is checked against the recorded help is one that the program accepts."""
    done = attempt(docker, "run", "--rm", "--network", "none", sim_image, "--help")

    assert HELP.read_text() == without_random_default(done.stderr)


def test_every_key_of_the_file_takes_effect(simulator):
    """Unknown keys are ignored without a word, so the settings it logs are held against ours."""
    logged = re.search(r'"Configuration:" =<\n(.*?)\n >', simulator.logs, re.DOTALL)
    effective = json.loads(logged[1])
    stated = json.loads(simulator.files["config.json"])

    assert len(stated) >= 10
    assert {key: seconds(effective[key]) for key in stated} == {
        key: seconds(value) for key, value in stated.items()
    }
    assert (effective["model"], effective["served-model-name"]) == ("Qwen/Qwen3-8B", [MODEL])


def seconds(value):
    """A duration as Go writes it, in seconds; other values as they are."""
    units = {"us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0}
    found = re.fullmatch(r"([\d.]+)(us|µs|ms|s)", value) if isinstance(value, str) else None
    return pytest.approx(float(found[1]) * units[found[2]]) if found else value


def test_probes_answer(simulator):
    """Each probe of the manifest asks for a path that is there."""
    container = server(simulator.deployment)
    paths = {
        name: simulator.get(container[name]["httpGet"]["path"])[0]
        for name in ("startupProbe", "readinessProbe", "livenessProbe")
    }

    assert paths == {"startupProbe": 200, "readinessProbe": 200, "livenessProbe": 200}


def test_model_has_our_name_and_context(simulator, plan):
    (model,) = json.loads(simulator.get("/v1/models")[1])["data"]

    assert (model["id"], model["max_model_len"]) == (MODEL, plan["serving"]["max_model_len"])


def test_chat_answers(simulator):
    status, answer = simulator.post(
        "/v1/chat/completions", messages=[{"role": "user", "content": "Hello"}], max_tokens=5
    )

    assert status == 200
    assert answer["choices"][0]["message"]["content"]
    assert 0 < answer["usage"]["completion_tokens"] <= 5


def test_longer_than_the_context_is_refused(simulator, plan):
    """The mock refuses what the engine would refuse."""
    too_many = plan["serving"]["max_model_len"] + 1
    status, answer = simulator.post("/v1/completions", prompt="word", max_tokens=too_many)

    assert status == 400, answer


def test_speed_is_that_of_the_plan(simulator, plan):
    """At the planned concurrency: the plan's time between tokens, and a first token like its own.

    The wait for a slot in the batch, which the plan adds to the first token, is not simulated.
    """
    workload = CONFIG["spec"]["workload"]
    found = simulator.streams(workload["concurrency"], workload["inputTokens"], 48)
    itl = statistics.median(answer.itl for answer in found)
    ttft = statistics.median(answer.ttft for answer in found)

    assert {answer.prompt_tokens for answer in found} == {workload["inputTokens"]}
    assert {len(answer.times) for answer in found} == {48}
    assert itl == pytest.approx(plan["estimate"]["itl_seconds"], rel=0.25)
    assert 0.5 <= ttft / plan["estimate"]["ttft_seconds"] <= 1.25


def test_metrics_of_the_autoscaler_are_exported(tree, kubectl, simulator):
    """The names that the vLLM overlay's HPA asks for, with requests running and waiting."""
    flat = by_identity(run(kubectl, "kustomize", tree / "overlays" / "vllm"))
    metrics = flat["HorizontalPodAutoscaler", NAME]["spec"]["metrics"]
    asked = {metric["pods"]["metric"]["name"].replace(":", "_") for metric in metrics}
    simulator.stream(16, 2)
    exported = {
        line.partition("{")[0].replace(":", "_")
        for line in simulator.get("/metrics")[1].splitlines()
        if f'model_name="{MODEL}"' in line
    }

    assert {"vllm_num_requests_waiting", "vllm_num_requests_running"} == asked
    assert asked <= exported


def test_termination_finishes_a_stream(simulator, plan):
    """After SIGTERM a planned answer comes to its end, within the grace that preStop leaves."""
    pod = simulator.deployment["spec"]["template"]["spec"]
    pre_stop = server(simulator.deployment)["lifecycle"]["preStop"]["sleep"]["seconds"]
    grace = pod["terminationGracePeriodSeconds"] - pre_stop
    output_tokens = CONFIG["spec"]["workload"]["outputTokens"]
    events = simulator.tokens(16, output_tokens)
    received = [next(events)]
    start = time.perf_counter()
    run(simulator.docker, "kill", "--signal=TERM", simulator.container)
    received += events
    code = run(simulator.docker, "wait", simulator.container).strip()
    choices = [choice for event in received for choice in event["choices"]]

    assert len([choice for choice in choices if choice.get("text")]) == output_tokens
    assert [c["finish_reason"] for c in choices if c.get("finish_reason")] == ["length"]
    assert code == "0"
    assert time.perf_counter() - start < grace

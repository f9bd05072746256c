"""The function in the real kustomize, standalone and inside kubectl.

kustomize reports success also where it ran nothing, so every test counts objects.
"""

import re
from collections import Counter
from pathlib import Path

import pytest
import yaml
from programs import (
    BY_IMAGE,
    BY_PATH,
    FLAT,
    MOCK,
    OWNER,
    ROOT,
    attempt,
    by_identity,
    kinds,
    kustomization,
    objects,
    run,
    service,
    write,
)

from krm_fn import krm

POOL = {
    "apiVersion": "krm-fn.dev/v1alpha1",
    "kind": "GPUPool",
    "metadata": {"name": "l40s", "annotations": {"config.kubernetes.io/local-config": "true"}},
    "spec": {"gpu": "NVIDIA-L40S", "gpusPerNode": 4},
}
CONFIG_MAP = {
    "apiVersion": "v1",
    "kind": "ConfigMap",
    "metadata": {"name": "mine"},
    "data": {"mode": "0644"},
}
STRINGS = {"A": "1e5", "B": "12e45", "C": "0o17", "D": "on", "E": "22:22", "F": "0x1F", "G": "08"}


@pytest.fixture
def build(kustomize, krm_fn):
    """Builds a folder with functions as programs; `krm-fn` is on the path."""

    def built(folder: Path, *flags: str):
        path = f"{Path(krm_fn).parent}:/usr/bin:/bin"
        allowed = ("--enable-alpha-plugins", "--enable-exec")
        return attempt(kustomize, "build", *allowed, *flags, folder, env={"PATH": path})

    return built


@pytest.fixture
def built(build):
    """The objects of a build that succeeds, as text."""

    def text(folder: Path) -> str:
        done = build(folder)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return text


@pytest.fixture(params=["kustomize", "kubectl"])
def build_image(request):
    """Builds a folder with functions as containers, by the one and by the other program."""
    program = request.getfixturevalue(request.param)
    verb = "build" if request.param == "kustomize" else "kustomize"
    return lambda folder: attempt(program, verb, "--enable-alpha-plugins", folder)


def generator(folder: Path, document: dict, **fields) -> Path:
    """A kustomization whose generator is *document*."""
    files = {
        "config.yaml": document,
        "kustomization.yaml": kustomization(generators=["config.yaml"], **fields),
    }
    return write(folder, files)


def deployment(text: str, name: str = "qwen3-8b") -> dict:
    return by_identity(text)["Deployment", name]


def container(text: str) -> dict:
    return deployment(text)["spec"]["template"]["spec"]["containers"][0]


# As a container and as a program


def test_image_generates_the_objects_of_one_variant(build_image, image, tmp_path):
    """One build starts one container and gives the six objects of the GPU variant."""
    done = build_image(generator(tmp_path, service(function=BY_IMAGE)))

    assert kinds(done.stdout) == FLAT, done.stderr


def test_image_shows_every_fault_of_a_config(build_image, image, tmp_path):
    """A container's faults reach the user of both programs, and nothing is printed."""
    wrong = service(function=BY_IMAGE, gpuPool={"gpu": "NVIDIA-L40Z", "gpusPerNode": 0}, modle={})
    done = build_image(generator(tmp_path, wrong))

    assert (done.returncode, done.stdout) == (1, "")
    for field in ("spec.gpuPool.gpusPerNode", "spec.modle"):
        assert f"error: LLMService/qwen3-8b {field}: " in done.stderr


@pytest.mark.parametrize("path", ["bin/krm-fn", "./bin/krm-fn", "krm-fn"])
def test_program_is_found_beside_the_kustomization_or_on_the_path(built, krm_fn, tmp_path, path):
    """A path is relative to the folder that lists the config, a bare name is looked up."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "krm-fn").symlink_to(krm_fn)
    text = built(generator(tmp_path, service(function=f"exec: {{path: {path}}}\n")))

    assert kinds(text) == FLAT


def test_program_and_image_give_the_same(built, build_image, image, tmp_path):
    """It is one function, whichever way it is started."""
    text = built(generator(tmp_path / "exec", service()))
    done = build_image(generator(tmp_path / "image", service(function=BY_IMAGE)))

    assert by_identity(text) == by_identity(done.stdout)


def test_program_without_enable_exec_is_silently_left_out(kustomize, tmp_path):
    """The program itself runs nothing and succeeds; the README warns of it."""
    done = attempt(
        kustomize, "build", "--enable-alpha-plugins", generator(tmp_path, service(function=BY_PATH))
    )

    assert (0, Counter()) == (done.returncode, kinds(done.stdout))


def test_a_build_without_plugins_says_so(kubectl, tmp_path):
    """Without the flag kubectl refuses."""
    done = attempt(kubectl, "kustomize", generator(tmp_path, service(function=BY_IMAGE)))

    assert done.returncode == 1
    assert "external plugins disabled" in done.stderr


def test_warnings_are_shown(build, tmp_path):
    """Results are dropped by kustomize, so warnings stand on stderr; notes do not."""
    done = build(generator(tmp_path, service()))

    assert kinds(done.stdout) == FLAT
    assert "warning: LLMService/qwen3-8b spec.model.revision: " in done.stderr
    assert "info: " not in done.stderr


# The config as a resource


def test_overlay_patches_the_config(built, tmp_path):
    """`generators: [folder]` builds the config first, so an overlay can patch one field of it."""
    patch = {**service(), "spec": {"output": {"variant": "sglang"}}}
    write(
        tmp_path,
        {
            "config/config.yaml": service(),
            "config/kustomization.yaml": kustomization(resources=["config.yaml"]),
            "prod/kustomization.yaml": kustomization(generators=["generator"]),
            "prod/generator/kustomization.yaml": kustomization(
                resources=["../../config"], patches=[{"patch": krm.dump(patch)}]
            ),
        },
    )
    text = built(tmp_path / "prod")

    assert kinds(text) == FLAT
    assert container(text)["image"].startswith("lmsysorg/sglang:")


def test_component_brings_the_pool_into_the_config(built, tmp_path):
    """One Component states the pool for every config that names it."""
    patch = [{"op": "add", "path": "/spec/gpuPool", "value": POOL["spec"]}]
    component = {
        **kustomization(patches=[{"target": {"kind": "LLMService"}, "patch": krm.dump(patch)}]),
        "apiVersion": "kustomize.config.k8s.io/v1alpha1",
        "kind": "Component",
    }
    write(
        tmp_path,
        {
            "pool/kustomization.yaml": component,
            "kustomization.yaml": kustomization(generators=["generator"]),
            "generator/config.yaml": service(gpuPool=None),
            "generator/kustomization.yaml": kustomization(
                resources=["config.yaml"], components=["../pool"]
            ),
        },
    )
    text = built(tmp_path)

    assert kinds(text) == FLAT
    selector = deployment(text)["spec"]["template"]["spec"]["nodeSelector"]
    assert selector["nvidia.com/gpu.product"] == "NVIDIA-L40S"


def test_component_may_hold_the_generator(built, tmp_path):
    """A Component adds the service to whatever includes it."""
    component = {
        **kustomization(generators=["config.yaml"]),
        "apiVersion": "kustomize.config.k8s.io/v1alpha1",
        "kind": "Component",
    }
    write(
        tmp_path,
        {
            "llm/config.yaml": service(),
            "llm/kustomization.yaml": component,
            "app/mine.yaml": CONFIG_MAP,
            "app/kustomization.yaml": kustomization(
                resources=["mine.yaml"], components=["../llm"], namespace="apps"
            ),
        },
    )
    text = built(tmp_path / "app")

    assert FLAT + Counter(["ConfigMap"]) == kinds(text)
    assert {"apps"} == {document["metadata"]["namespace"] for document in objects(text)}


def test_two_services_of_one_kustomization(built, tmp_path):
    """Flat objects of several configs stand beside each other."""
    write(
        tmp_path,
        {
            "one.yaml": service("one"),
            "two.yaml": service("two", output={"variant": "mock"}),
            "kustomization.yaml": kustomization(generators=["one.yaml", "two.yaml"]),
        },
    )

    assert kinds(built(tmp_path)) == FLAT + MOCK


# What kustomize does to the objects


def test_namespace_prefix_and_labels_reach_all_objects(built, tmp_path):
    """References follow: the autoscaler's target, the account, the ConfigMap of the volume."""
    config = service(output={"variant": "mock"})
    labels = [{"pairs": {"team": "search"}, "includeSelectors": False}]
    text = built(generator(tmp_path, config, namespace="llm", namePrefix="a-", labels=labels))
    found = by_identity(text)
    pod = found["Deployment", "a-qwen3-8b"]["spec"]["template"]["spec"]
    (config_volume,) = [v["configMap"] for v in pod["volumes"] if "configMap" in v]

    assert kinds(text) == MOCK
    assert {"llm"} == {document["metadata"]["namespace"] for document in found.values()}
    assert {"search"} == {document["metadata"]["labels"]["team"] for document in found.values()}
    assert ("ConfigMap", config_volume["name"]) in found
    assert ("ServiceAccount", pod["serviceAccountName"]) in found
    scaler = found["HorizontalPodAutoscaler", "a-qwen3-8b"]
    assert scaler["spec"]["scaleTargetRef"]["name"] == "a-qwen3-8b"


def test_image_and_patch_reach_the_deployment(built, tmp_path):
    """`images` and `patches` act on generated objects as on any other."""
    added = {"name": "server", "env": [{"name": "MINE", "value": "1e5"}]}
    patch = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "qwen3-8b"},
        "spec": {"template": {"spec": {"containers": [added]}}},
    }
    images = [{"name": "vllm/vllm-openai", "newName": "mirror.local/vllm", "newTag": "v9"}]
    before = container(built(generator(tmp_path, service())))
    text = built(
        generator(tmp_path, service(), images=images, patches=[{"patch": krm.dump(patch)}])
    )

    assert kinds(text) == FLAT
    assert container(text)["image"] == "mirror.local/vllm:v9"
    assert {"name": "MINE", "value": "1e5"} in container(text)["env"]
    assert container(text)["args"] == before["args"]


def test_labels_in_selectors_keep_the_objects_together(built, tmp_path):
    """Also the old `includeSelectors: true` leaves selectors that select the pods."""
    labels = [{"pairs": {"team": "search"}, "includeSelectors": True}]
    found = by_identity(built(generator(tmp_path, service(), labels=labels)))
    pod_labels = found["Deployment", "qwen3-8b"]["spec"]["template"]["metadata"]["labels"]
    selectors = [
        found["Service", "qwen3-8b"]["spec"]["selector"],
        found["Deployment", "qwen3-8b"]["spec"]["selector"]["matchLabels"],
        found["PodDisruptionBudget", "qwen3-8b"]["spec"]["selector"]["matchLabels"],
        found["NetworkPolicy", "qwen3-8b"]["spec"]["podSelector"]["matchLabels"],
    ]

    assert all(selector.items() <= pod_labels.items() for selector in selectors)
    assert all(selector["team"] == "search" for selector in selectors)


def test_an_object_of_the_same_name_is_an_error(build, tmp_path):
    """The user's Deployment is not merged with ours; kustomize names it."""
    mine = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "qwen3-8b"}}
    write(tmp_path, {"mine.yaml": mine})
    done = build(generator(tmp_path, service(), resources=["mine.yaml"]))

    assert (done.returncode, done.stdout) == (1, "")
    assert re.search(r'Kind:"Deployment".* Name:"qwen3-8b".* exists', done.stderr)


# As a transformer


def transformer(folder: Path, document: dict, **files: dict) -> Path:
    named = {f"{name}.yaml": content for name, content in files.items()}
    stated = kustomization(resources=[*named], transformers=["config.yaml"])
    return write(folder, {**named, "config.yaml": document, "kustomization.yaml": stated})


def test_transformer_adds_to_the_resources_of_the_user(built, tmp_path):
    """It returns what it was given, and its own objects."""
    text = built(transformer(tmp_path, service(), mine=CONFIG_MAP))

    assert FLAT + Counter(["ConfigMap"]) == kinds(text)
    assert by_identity(text)["ConfigMap", "mine"] == CONFIG_MAP


def test_transformer_sees_the_pool(built, tmp_path):
    """`gpuPoolRef` is found among the resources; kustomize leaves the local pool out afterwards."""
    config = service(gpuPool=None, gpuPoolRef={"name": "l40s"})
    text = built(transformer(tmp_path, config, pool=POOL, mine=CONFIG_MAP))

    assert FLAT + Counter(["ConfigMap"]) == kinds(text)
    selector = deployment(text)["spec"]["template"]["spec"]["nodeSelector"]
    assert selector["nvidia.com/gpu.product"] == "NVIDIA-L40S"


def test_generator_with_a_reference_names_three_ways_out(build, tmp_path):
    """A generator sees only its own config, so the pool must come another way."""
    config = service(gpuPool=None, gpuPoolRef={"name": "l40s"})
    write(tmp_path, {"pool.yaml": POOL})
    done = build(generator(tmp_path, config, resources=["pool.yaml"]))

    assert (done.returncode, done.stdout) == (1, "")
    for way in ("`spec.gpuPool` inline", "Component", "`transformers:`"):
        assert way in done.stderr


def test_transformer_refuses_to_replace_a_resource(build, tmp_path):
    """A clash names the object and whose it is."""
    mine = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "qwen3-8b"}}
    done = build(transformer(tmp_path, service(), mine=mine))

    assert (done.returncode, done.stdout) == (1, "")
    assert "error: Service/qwen3-8b is in the input and was not generated by" in done.stderr


# Faults


def test_every_fault_of_a_config_is_shown_at_once(build, tmp_path):
    """Four mistakes are four lines, each with its field."""
    wrong = service(
        gpuPool={"gpu": "NVIDIA-L40S", "gpusPerNode": 0},
        workload={"inputTokens": "many", "concurrency": 1, "outputToken": 1},
        service={"type": "External"},
    )
    done = build(generator(tmp_path, wrong))
    fields = re.findall(r"^error: LLMService/qwen3-8b ([\w.]+): ", done.stderr, re.MULTILINE)

    assert (done.returncode, done.stdout) == (1, "")
    assert {
        "spec.gpuPool.gpusPerNode",
        "spec.workload.inputTokens",
        "spec.workload.outputToken",
        "spec.service.type",
    } == set(fields)


def test_a_variant_that_is_not_there_names_the_choices(build, tmp_path):
    """It is an error, not an empty output."""
    done = build(generator(tmp_path, service(output={"variant": "tgi"})))

    assert (done.returncode, done.stdout) == (1, "")
    assert re.search(r'spec\.output\.variant: .*"mock", "vllm", "sglang"', done.stderr)


def test_what_cannot_work_is_refused_with_a_way_out(build, tmp_path):
    """An infeasible plan gives no manifest, but the memory and what would fit."""
    folder = ROOT / "examples" / "infeasible"
    document = yaml.safe_load((folder / "config.yaml").read_text())
    document["metadata"]["annotations"]["config.kubernetes.io/function"] = BY_PATH
    done = build(generator(tmp_path, document))

    assert (done.returncode, done.stdout) == (1, "")
    assert re.search(r"^error: LLMService/\S+ .*GiB", done.stderr, re.MULTILINE)


# Text


def test_strings_that_look_like_numbers_survive(built, tmp_path):
    """YAML 1.1 and 1.2 read none of them as something else."""
    variants = {"vllm": {"env": STRINGS}}
    text = built(generator(tmp_path, service(variants=variants)))
    env = {entry["name"]: entry.get("value") for entry in container(text)["env"]}

    assert STRINGS.items() <= env.items()


def test_no_anchors_in_the_output(built, tmp_path):
    """The list is cut into objects by kustomize, which cannot resolve aliases."""
    text = built(generator(tmp_path, service(output={"variant": "sglang"})))

    assert kinds(text) == FLAT
    assert not re.search(r"(?:^|[\s-])[&*]id\d+", text)


# The tree in plain kustomize, as Flux and `kubectl apply -k` build it

SERVICES = {
    "quickstart": service(),
    "namespace": {
        **service(security={"runAsUser": 1000}, variants={"mock": {}, "vllm": {}, "sglang": {}}),
        "metadata": {
            "name": "qwen",
            "namespace": "llm",
            "annotations": {
                "config.kubernetes.io/local-config": "true",
                "config.kubernetes.io/function": BY_PATH,
            },
        },
    },
    "claim": service(
        scaling={"maxReplicas": 1},
        monitoring={"podMonitor": True},
        variants={"vllm": {"env": STRINGS}, "mock": {}},
    ),
    "shared claim": service(storage={"storageClass": "nfs", "accessMode": "ReadWriteMany"}),
    "two GPUs a replica": service(
        serving={"tensorParallelSize": 2}, output={"path": "llm/prod"}, variants={"vllm": {}}
    ),
}


@pytest.mark.parametrize("name", SERVICES)
def test_overlay_equals_the_flat_objects(kubectl, krm_fn, built, tmp_path, name):
    """Object by object, after kustomize; only the owner, who owns files, is not in flat objects."""
    config = SERVICES[name]
    write(tmp_path, {"config.yaml": config})
    run(krm_fn, "render", tmp_path / "config.yaml", "-d", tmp_path / "tree")
    overlays = tmp_path / "tree" / config["spec"].get("output", {}).get("path", ".") / "overlays"
    variants = config["spec"].get("variants") or ["mock", "vllm", "sglang"]

    assert sorted(variants) == sorted(overlay.name for overlay in overlays.iterdir())
    for variant in variants:
        output = {**config["spec"].get("output", {}), "variant": variant}
        config = {**config, "spec": {**config["spec"], "output": output}}
        flat = by_identity(built(generator(tmp_path / variant, config)))
        tree = by_identity(run(kubectl, "kustomize", overlays / variant))
        assert flat == {key: without_owner(document) for key, document in tree.items()}


def without_owner(document: dict) -> dict:
    """The object as it is without the annotation of the files."""
    metadata = dict(document["metadata"])
    annotations = {k: v for k, v in metadata.pop("annotations", {}).items() if k != OWNER}
    return {
        **document,
        "metadata": metadata | ({"annotations": annotations} if annotations else {}),
    }

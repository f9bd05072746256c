"""What each verb says of files that are not what they should be: words and exit 1, no traceback."""

from pathlib import Path

import pytest

from krm_fn.cli import main

SERVICE = """\
apiVersion: krm-fn.dev/v1alpha1
kind: LLMService
metadata:
  name: chat
spec:
  model: {id: Qwen/Qwen3-8B}
  gpuPool: {gpu: NVIDIA-L4, gpusPerNode: 1}
"""
each_verb = pytest.mark.parametrize("verb", ["plan", "explain", "validate", "render"])


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def said(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str]:
    code = main(words)
    captured = capsys.readouterr()
    return code, captured.out + captured.err


@each_verb
def test_two_documents_of_one_name(here: Path, capsys, verb: str) -> None:
    (here / "config.yaml").write_text(f"{SERVICE}---\n{SERVICE}")
    code, text = said(capsys, verb, "config.yaml")

    assert code == 1
    assert "LLMService/chat metadata.name: is the name of 2 LLMService documents" in text
    assert [path.name for path in here.iterdir()] == ["config.yaml"]


@pytest.mark.parametrize("verb", ["plan", "explain"])
def test_names_of_different_folders_may_be_the_same(here: Path, capsys, verb: str) -> None:
    for folder in ("one", "two"):
        (here / folder).mkdir()
        (here / folder / "config.yaml").write_text(SERVICE)
    code, text = said(capsys, verb, "one/config.yaml", "two/config.yaml")

    assert code == 0
    assert text.count("chat vllm") == 2 or text.count("chat: Qwen/Qwen3-8B") == 4


@each_verb
@pytest.mark.parametrize(
    ("content", "word"),
    [
        (SERVICE.encode("utf-16"), "is not UTF-8"),
        (SERVICE.replace("LLMService", "LLMServise").encode(), 'did you mean "LLMService"'),
        (b"# nothing\n", "no "),
    ],
    ids=["utf-16", "kind", "empty"],
)
def test_files_without_a_service(here: Path, capsys, verb: str, content: bytes, word: str) -> None:
    (here / "config.yaml").write_bytes(content)
    code, text = said(capsys, verb, "config.yaml")

    assert code == 1
    assert word in text
    assert "Traceback" not in text


def test_a_byte_order_mark_is_no_fault(here: Path, capsys) -> None:
    (here / "config.yaml").write_bytes(SERVICE.encode("utf-8-sig"))

    assert said(capsys, "plan", "config.yaml")[0] == 0


def test_the_output_folder_is_a_folder(here: Path, capsys) -> None:
    (here / "config.yaml").write_text(SERVICE)
    code, text = said(capsys, "render", "config.yaml", "-d", "config.yaml")

    assert code == 1
    assert "is no folder" in text


def test_services_that_exceed_a_pool_together_are_told_by_plan(here: Path, capsys) -> None:
    pool = "apiVersion: krm-fn.dev/v1alpha1\nkind: GPUPool\nmetadata: {name: small}\n"
    pool += "spec: {gpu: NVIDIA-L4, gpusPerNode: 1}\n"
    service = SERVICE.replace(
        "gpuPool: {gpu: NVIDIA-L4, gpusPerNode: 1}", "gpuPoolRef: {name: small}"
    )
    second = service.replace("name: chat", "name: other")
    (here / "config.yaml").write_text(f"{pool}---\n{service}---\n{second}")
    code, text = said(capsys, "plan", "config.yaml")

    assert code == 1
    assert "the services need 2 GPUs together (chat 1, other 1); the pool has 1" in text


@pytest.mark.parametrize("mode", ["flat", "validate"])
def test_render_does_what_the_mode_says(here: Path, capsys, mode: str) -> None:
    (here / "config.yaml").write_text(f"{SERVICE}  output: {{mode: {mode}}}\n")
    code, text = said(capsys, "render", "config.yaml", "-d", "out dir")

    if mode == "validate":
        assert (code, (here / "out dir").exists()) == (1, False)
        assert "use `krm-fn validate`" in text
    else:
        assert (code, (here / "out dir" / "deployment.yaml").is_file()) == (0, True)
        assert not (here / "out dir" / "overlays").exists()
        assert "'out dir/deployment.yaml'" in text


def test_an_embedding_model_is_called_for_embeddings(here: Path, capsys) -> None:
    (here / "config.yaml").write_text(SERVICE.replace("Qwen/Qwen3-8B", "BAAI/bge-m3"))
    _, text = said(capsys, "render", "config.yaml", "-d", "out")

    assert "/v1/embeddings" in text

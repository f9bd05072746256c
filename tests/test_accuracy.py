"""The accuracy report: README and page agree, reasons are about rows, the sums are right."""

import json
import re

import accuracy

from krm_fn.cli import main


def test_readme_and_page_are_of_one_run():
    block = accuracy.MARKED.search(accuracy.README.read_text(encoding="utf-8"))
    page = accuracy.PAGE.read_text(encoding="utf-8")

    assert block
    short = re.search(r"\| all rows \| ([\d.]+) / ([\d.]+) \|", block[0])
    assert short
    assert f"| {short[1]} | {short[2]} |" in page[page.index("| weights |") :].split("\n")[0]


def test_reasons_are_about_measured_rows():
    known = {row["id"] for row in accuracy.rows()}

    assert set(accuracy.misses()) <= known
    assert {each["kind"] for each in accuracy.misses().values()} == {"row", "model", "engine"}


def test_errors_are_relative_to_what_was_measured():
    row = {"id": "x", "engine": "vllm"}
    items = [
        accuracy.Figure(row=row, term="weights", planned=p, measured=10.0)
        for p in (9.0, 10.0, 13.0)
    ]

    count, median, p90, bias = accuracy.summary(items)

    assert (count, round(median), round(p90), bias) == (3, 10, 30, 1.0)


def test_a_config_without_a_layout_gets_that_of_the_catalogued_checkpoint(tmp_path, capsys):
    """SGLang's log of Kimi K2.5 on eight MI355X: 160.63 GiB of KV cache."""
    row = next(r for r in accuracy.rows() if r["id"] == "sglang-0007")
    head = {"apiVersion": "krm-fn.dev/v1alpha1", "kind": "LLMService"}
    document = head | {"metadata": {"name": "kimi"}, "spec": row["spec"]}
    path = tmp_path / "kimi.yaml"
    path.write_text(json.dumps(document))

    main(["plan", str(path), "-o", "json"])

    memory = json.loads(capsys.readouterr().out)[0]["memory"]
    assert abs(memory["kv_cache_bytes"] / 2**30 / 160.63 - 1) < 0.02

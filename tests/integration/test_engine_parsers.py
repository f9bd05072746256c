"""The tables against the engines' own argument parsers.

The program that asks them, `tools/engine/check_argv.py`, stands in a folder `shared` beside the
repository or where KRM_FN_SHARED says. It fetches wheels with pip (hundreds of MB a version) into
~/.cache/engine-argv once.
"""

import json
import os
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from krm_fn.catalog import models
from krm_fn.engines import ENGINES, sglang_extras, vllm_extras
from krm_fn.engines.argv import argv_faults
from krm_fn.engines.versions import choices, flag_table, has_flag, is_listed
from krm_fn.engines.words import flags_of, kind
from krm_fn.planner.extras import Draft, DraftRules, Extras, Lora, Offload
from krm_fn.units import GIB

SHARED = Path(os.environ.get("KRM_FN_SHARED", Path(__file__).parents[3] / "shared"))
TOOL = SHARED / "tools/engine/check_argv.py"
VERSIONS = [("vllm", v) for v in ("0.9.2", "0.16.0", "0.20.0", "0.27.0", "0.33.0")]
VERSIONS += [("sglang", v) for v in ("0.4.9.post6", "0.5.5", "0.5.21", "0.5.23")]
MODEL = {"vllm": ["m"], "sglang": ["--model-path=m"]}
SAMPLES = {"int": "1", "float": "0.5", "size": "8192", "json": "{}"}
each_version = pytest.mark.parametrize(("engine", "version"), VERSIONS)
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not TOOL.exists(), reason=f"no {TOOL.name} in `shared` or KRM_FN_SHARED"),
]


def answers(engine, version, argvs, *options):
    """What the real parser says of each argv."""
    found = subprocess.run(
        [sys.executable, TOOL, engine, version, "--batch", "--method", "parser", *options],
        input=json.dumps(argvs),
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.returncode == 0, found.stdout + found.stderr
    return json.loads(found.stdout)


@cache
def real_flags(engine, version):
    (answer,) = answers(engine, version, [MODEL[engine]], "--list-flags")
    return set(answer["flags"]) - {"-h", "--help"}


def sample(engine, version, flag):
    """An argv that gives the flag a value it takes."""
    row = flag_table(engine)["flags"][flag]
    rows = flag_table(engine)["flags"][row.get("of", flag)]
    wanted = kind(engine, version, row)
    if wanted == "flag":
        return [flag]
    allowed = choices(engine, version, row.get("of", flag)) if rows.get("choices") else ()
    return [flag, allowed[0] if allowed else SAMPLES.get(wanted.rstrip("*?"), "x")]


@each_version
def test_the_version_is_listed_with_every_flag_of_its_parser(engine, version):
    assert is_listed(engine, version)
    assert real_flags(engine, version) <= set(flags_of(engine, version))


@each_version
def test_flags_beyond_the_printed_ones_are_accepted_too(engine, version):
    """Version 0.33 of vLLM hides `--no-enable-x`, and takes it."""
    hidden = sorted(set(flags_of(engine, version)) - real_flags(engine, version))
    argvs = [[*MODEL[engine], *sample(engine, version, flag)] for flag in hidden]
    refused = [
        argv
        for argv, answer in zip(argvs, answers(engine, version, argvs), strict=True)
        if not answer["accepted"]
    ]
    assert refused == []


@each_version
def test_what_we_pass_the_parser_passes(engine, version):
    """One value per flag; those that a parser refuses for their content are few and known."""
    flags = [flag for flag in flags_of(engine, version) if flag not in ("--model", "--model-path")]
    argvs = [[*MODEL[engine], *sample(engine, version, flag)] for flag in flags]
    given = list(zip(argvs, answers(engine, version, argvs), strict=True))
    assert [
        argv for argv, answer in given if answer["accepted"] and errors(engine, version, argv)
    ] == []
    unknown = [argv for argv, answer in given if "unrecognized" in answer.get("error", "")]
    assert unknown == []


BAD = {
    "vllm": [
        ["m", "--no-such-flag"],
        ["m", "--enforce-eager=true"],
        ["m", "--max-num-seqs=many"],
        ["m", "--max-num-seqs"],
        ["m", "--dtype=float8"],
        ["m", "--compilation-config={bad"],
        ["m", "-tp2"],
        ["m", "--gpu-memory-utilization=high"],
        ["m", "--max-num-seqs 8"],
        ["m", "stray"],
    ],
    "sglang": [
        ["--model-path=m", "--no-such-flag"],
        ["--model-path=m", "--enable-metrics=true"],
        ["--model-path=m", "--max-running-requests=many"],
        ["--model-path=m", "--max_running_requests=8"],
        ["--model-path=m", "--dtype=float8"],
        ["--model-path=m", "--mem-fraction-static=0.8x"],
        ["--model-path=m", "--attention-backend=FA3"],
        ["--model-path=m", "--gpu-memory-utilization=0.9"],
        ["--model-path=m", "stray"],
    ],
}
REMOVED = {
    "vllm": ["--swap-space=4", "--task=embed", "--shutdown-timeout=3", "--enable-reasoning"],
    "sglang": ["--cuda-graph-max-bs=8", "--enable-ep-moe", "--torchao-config=int4wo-128"],
}


@each_version
def test_what_the_parser_refuses_we_refuse(engine, version):
    argvs = BAD[engine]
    assert not any(answer["accepted"] for answer in answers(engine, version, argvs))
    assert [argv for argv in argvs if not errors(engine, version, argv)] == []


@each_version
def test_flags_that_came_and_went(engine, version):
    argvs = [[*MODEL[engine], flag] for flag in REMOVED[engine]]
    accepted = [answer["accepted"] for answer in answers(engine, version, argvs)]
    assert [not errors(engine, version, argv) for argv in argvs] == accepted


def errors(engine, version, argv):
    found = argv_faults(engine, version, argv, "args")
    return [fault.message for fault in found if fault.severity == "error"]


EXTRA_ARGS = {"vllm": vllm_extras.args, "sglang": sglang_extras.args}
LLAMA = models.model_card("meta-llama/Llama-3.1-8B-Instruct").shape
DEEPSEEK = models.model_card("deepseek-ai/DeepSeek-V3").shape


def extras_of(engine, version):
    """Everything that a version can be asked for beside the model."""
    able = ENGINES[engine]
    asked = [Extras(prefix_caching=True), Extras(prefix_caching=False)]
    asked.append(Extras(lora=Lora(max_loras=2, max_rank=32, adapters=(("sql", "org/sql"),))))
    for field, extras in (
        ("multimodal.textOnly", Extras(text_only=True)),
        ("multimodal.limits", Extras(limits=(("image", 4), ("video", 0)))),
        (
            "kvOffload",
            Extras(offload=Offload(size_bytes=64 * GIB, rules=able.offload(version, "nvidia"))),
        ),
    ):
        asked += [extras] if has_flag(engine, version, able.needs[field]) else []
    for method, shape, model in (
        ("mtp", DEEPSEEK, None),
        ("eagle3", LLAMA, "org/head"),
        ("draft", LLAMA, "org/small"),
        ("ngram", LLAMA, None),
    ):
        draft = Draft(method=method, tokens=1, model=model, rules=DraftRules())
        asked += [Extras(draft=draft)] if able.draft(version, method, shape) else []
    return asked


@each_version
def test_what_is_asked_for_beside_the_model_is_accepted(engine, version):
    """Flags of adapters, drafts, encoders, prefixes and an offloaded cache."""
    argvs = [[*MODEL[engine], *EXTRA_ARGS[engine](each)] for each in extras_of(engine, version)]
    given = zip(argvs, answers(engine, version, argvs), strict=True)

    assert [(argv, answer.get("error")) for argv, answer in given if not answer["accepted"]] == []

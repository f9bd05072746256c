"""How many parameters transformers' own class of a config.json has, by tensor class.

    ENGINE/bin/python parameter_counts.py < configs.jsonl > counts.jsonl

ENGINE is what `.ci/engine` makes. A line is a config.json; the answers, in the same order, are
`total` and `by_class`, or `error`. Tied weights count once. Built on PyTorch's meta device: nothing
is allocated. Draft layers, which transformers leaves out, are not counted.
"""

import json
import os
import re
import sys
from collections import Counter

os.environ.update(HF_HUB_OFFLINE="1", TRANSFORMERS_OFFLINE="1", TRANSFORMERS_VERBOSITY="error")

import torch
import transformers

CLASSES = (  # the first that matches the lower-case name
    ("vision", r"vision|visual|multi_modal_projector|mm_projector|image|audio"),
    ("lm_head", r"lm_head|embed_out"),
    ("embedding", r"embed|wte|wpe"),
    ("norm", r"norm|ln_"),
    ("router", r"\.gate\.|router"),
    ("shared_experts", r"shared_expert"),
    ("experts", r"\.experts\."),
    ("state", r"linear_attn|mamba|\.mixer\.|\.ssm"),
    ("attention", r"attn|attention|indexer"),
    ("mlp", r"mlp|feed_forward|ffn|proj|\.w[123]\."),
    ("other", r""),
)
SAME = {"kimi_k2": "deepseek_v3"}
"""Model types that are another's class."""


def model(stated):
    """The class that a model type has, without weights."""
    config = {k: v for k, v in stated.items() if k not in ("quantization_config", "auto_map")}
    kind = SAME.get(config["model_type"], config.pop("model_type"))
    config.pop("model_type", None)
    found = transformers.AutoConfig.for_model(kind, **config)
    multimodal = transformers.AutoModelForImageTextToText
    order = (transformers.AutoModelForCausalLM, multimodal, transformers.AutoModel)
    for auto in order[1:] + order[:1] if hasattr(found, "vision_config") else order:
        if type(found) in auto._model_mapping:
            with torch.device("meta"):
                return auto.from_config(found)
    raise ValueError(f"no class for {kind}")


def count(stated):
    built = model(stated)
    built.tie_weights()
    sizes = {id(p): (name, p.numel()) for name, p in built.named_parameters()}
    by_class = Counter()
    for name, size in sizes.values():
        found = next(cls for cls, pattern in CLASSES if re.search(pattern, name.lower()))
        by_class[found] += size
    return {"total": sum(by_class.values()), "by_class": dict(by_class.most_common())}


def told(stated):
    try:
        return count(stated)
    except Exception as fault:
        return {"error": f"{type(fault).__name__}: {fault}"}


for line in sys.stdin:
    print(json.dumps(told(json.loads(line))), flush=True)

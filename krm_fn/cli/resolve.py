"""Look a model up on the Hugging Face Hub and print a ModelCard.

Save it in the package and name it with `spec.model.cardRef`. Needs the network and the extra
`krm-fn[online]`; a gated model needs HF_TOKEN in the environment. `krm-fn plan` and `render` never
use the network.
"""

import argparse
import json
import sys
from typing import Any

from krm_fn import api, krm
from krm_fn.lookup.huggingface import HubModel, bytes_by_dtype, hub_model


def arguments(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("model", metavar="MODEL", help="an id such as Qwen/Qwen3-8B")
    verb.add_argument("--revision", help="a branch, tag or commit; the default is main")
    verb.add_argument("-o", "--output", choices=("yaml", "json"), default="yaml")


def run(options: argparse.Namespace) -> int:
    document = card(hub_model(options.model, options.revision))
    text = json.dumps(document, indent=2) + "\n" if options.output == "json" else krm.dump(document)
    sys.stdout.write(text)
    return 0


def card(found: HubModel) -> dict[str, Any]:
    """The ModelCard document; the config is kept as the Hub has it."""
    sizes = bytes_by_dtype(found.by_dtype)
    totals = {"safetensors": {"totalBytes": sum(sizes.values()), "byDtype": sizes}} if sizes else {}
    return {
        "apiVersion": api.GROUP_VERSION,
        "kind": "ModelCard",
        "metadata": {
            "name": api.service_name(found.id),
            "annotations": {"config.kubernetes.io/local-config": "true"},
        },
        "spec": {
            "id": found.id,
            "revision": found.revision,
            "gated": found.gated,
            **totals,
            "config": dict(found.config),
            "source": f"Hugging Face Hub, {found.id} at {found.revision}",
        },
    }

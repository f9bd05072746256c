"""SGLang's flags for what a service asks of it beside the model.

Facts: sglang/srt/server_args.py, 0.4.9 to 0.5.23.
"""

import json

from krm_fn.planner.extras import Extras

NEEDS = {
    "multimodal.textOnly": "--language-model-only",
    "multimodal.limits": "--limit-mm-data-per-request",
}
"""Fields of `spec.serving` and the flag without which a version does not have them."""


def args(extras: Extras) -> tuple[str, ...]:
    """One element per flag; nothing where nothing is asked for."""
    wanted = {
        "--disable-radix-cache": extras.prefix_caching is False,
        "--language-model-only": extras.text_only,
        f"--limit-mm-data-per-request={json.dumps(dict(extras.limits))}": extras.limits,
    }
    return tuple(flag for flag, on in wanted.items() if on)

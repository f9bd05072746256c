"""vLLM's flags for what a service asks of it beside the model.

Facts: vllm/engine/arg_utils.py, 0.9 to 0.33.
"""

import json

from krm_fn.planner.extras import Extras

NEEDS = {
    "multimodal.textOnly": "--language-model-only",
    "multimodal.limits": "--limit-mm-per-prompt",
}
"""Fields of `spec.serving` and the flag without which a version does not have them."""
PREFIX_CACHING = {
    True: ("--enable-prefix-caching",),
    False: ("--no-enable-prefix-caching",),
    None: (),
}


def args(extras: Extras) -> tuple[str, ...]:
    """One element per flag; nothing where nothing is asked for."""
    wanted = {
        "--language-model-only": extras.text_only,
        f"--limit-mm-per-prompt={json.dumps(dict(extras.limits))}": extras.limits,
    }
    return (*PREFIX_CACHING[extras.prefix_caching], *(flag for flag, on in wanted.items() if on))

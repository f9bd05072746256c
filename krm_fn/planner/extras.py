"""What a service asks of an engine beside the model and its cache, and what that changes.

The values; their effect on a question is worked out once, before it is planned.
"""

from dataclasses import dataclass, replace

from krm_fn.planner.limits import EngineLimits


@dataclass(frozen=True, kw_only=True, slots=True)
class Extras:
    """None = the engine's own. `limits` = (modality, items of it in a prompt)."""

    prefix_caching: bool | None = None
    text_only: bool = False
    limits: tuple[tuple[str, int], ...] = ()


NO_EXTRAS = Extras()


def adapted(engine: EngineLimits, extras: Extras) -> EngineLimits:
    """The rules of an engine that is asked for these extras.

    Without prefix caching a state is kept once per request: mamba_cache_mode "none"
    (vllm/config/cache.py, 0.33), and a pool of tokens has as many of them as requests run
    (sglang kv_cache_configurator.py:_handle_max_mamba_cache, 0.5.23; model_runner.py, 0.5.5).
    """
    if extras.prefix_caching is not False:
        return engine
    cache = replace(engine.cache, state_mode="none", by_requests=True, states_per_request=1)
    return replace(engine, cache=cache)

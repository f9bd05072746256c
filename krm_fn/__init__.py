"""krm_fn: this model, this workload, this GPU pool -> production Kubernetes manifests.

The rooms, from the edge inwards; each imports only those below it (pyproject.toml holds it):

    __main__   stdin -> function -> stdout
    cli        the other verbs: render, plan, explain, validate, schema, resolve
    function   ResourceList in, ResourceList out: the story; start reading in function/__init__.py
    lookup     online queries of the command line
    checks     rules about our own output
    targets    what a deployment API wants: base and overlays
    resources  one Kubernetes object a function
    engines    mock, vLLM, SGLang: flags, images, probes, memory rules by version
    planner    arithmetic: memory, layouts, speed, replicas
    api        the functionConfig
    catalog    GPUs, models, platforms, images: rows with a source
    krm        the wire: ResourceList, YAML, files, ownership
    errors     Results
    units      Gi and GB
"""

__version__ = "0.1.0"

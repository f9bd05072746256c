"""The command line: one file a verb, imported only when asked for.

Rule: machine output goes to stdout and nothing else does; progress, notes and faults go to stderr.
Exit 0 = done, 1 = the input cannot work, 2 = wrong usage.
"""

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module

from krm_fn import __version__
from krm_fn.errors import KrmFnError

VERBS: Mapping[str, str] = {
    "render": "write base/ and overlays/ for the services of a folder or file",
    "plan": "print the plan of each service and GPU variant",
    "explain": "print where every number of a plan comes from",
    "validate": "check configs, and rendered manifests, without writing anything",
    "schema": "print the JSON Schema of the functionConfig, for editors",
    "detect": "print a GPUPool for each kind of GPU node of the cluster",
    "resolve": "look a model up on the Hugging Face Hub and print a ModelCard",
}

EPILOG = """\
Without arguments krm-fn is a KRM function: a ResourceList on stdin, a ResourceList on stdout, for
`kustomize build --enable-alpha-plugins` and `kpt fn render`.

The smallest functionConfig:

  apiVersion: krm-fn.dev/v1alpha1
  kind: LLMService
  metadata:
    name: qwen3-8b
  spec:
    model:
      id: Qwen/Qwen3-8B
    gpuPool:
      gpu: NVIDIA-L4
      gpusPerNode: 1

krm-fn VERB --help explains a verb; krm-fn schema prints all fields.
"""


def main(argv: Sequence[str]) -> int:
    """Run one verb; faults become lines on stderr and exit 1."""
    parser = _parser(next((word for word in argv if word in VERBS), None))
    options = parser.parse_args(list(argv))
    if not options.verb:
        parser.print_help()
        return 0
    run: Callable[[argparse.Namespace], int] = options.run
    try:
        return run(options)
    except KrmFnError as fault:
        for result in fault.results:
            print(result.line, file=sys.stderr)
        return 1
    except BrokenPipeError:
        return 1
    except OSError as fault:
        print(f"error: {fault.filename}: {fault.strerror}", file=sys.stderr)
        return 1


def _parser(chosen: str | None) -> argparse.ArgumentParser:
    """The parser; only the chosen verb is imported, for its arguments."""
    parser = argparse.ArgumentParser(
        prog="krm-fn",
        description="Plan LLM serving on Kubernetes and emit the manifests.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"krm-fn {__version__}")
    verbs = parser.add_subparsers(dest="verb", metavar="VERB")
    for name, text in VERBS.items():
        module = import_module(f"krm_fn.cli.{name}") if name == chosen else None
        verb = verbs.add_parser(
            name,
            help=text,
            description=module.__doc__ if module else text,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        if module:
            module.arguments(verb)
            verb.set_defaults(run=module.run)
    return parser

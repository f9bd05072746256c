"""stdin -> function -> stdout, and the way to the command line; the only place of process state."""

import gc
import os
import sys


def main() -> int:
    """No arguments: the KRM function. Arguments: a verb of the command line."""
    # looking for plug-ins of pydantic reads the metadata of every installed package
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    if len(sys.argv) > 1 or sys.stdin.isatty():
        from krm_fn.cli import main as cli  # noqa: PLC0415  # the function needs none of it

        return cli(sys.argv[1:])
    gc.disable()  # a short life: what collecting costs is more than what it frees
    from krm_fn.function import OWNER, generate, validates  # noqa: PLC0415  # --help must not load it
    from krm_fn.krm import guarded_stdout, run  # noqa: PLC0415

    with guarded_stdout() as stdout:
        outcome = run(sys.stdin.buffer.read(), generate, owner_key=OWNER, validates=validates)
        for line in outcome.stderr:
            print(line, file=sys.stderr)  # noqa: T201  # kustomize drops Results, shows stderr
        stdout.write(outcome.text)
        stdout.flush()
    return outcome.exit_code


if __name__ == "__main__":
    sys.exit(main())

"""Print the JSON Schema of LLMService, GPUPool and ModelCard, for editors.

Save it and name it in the first line of a functionConfig:
# yaml-language-server: $schema=krm-fn.schema.json
"""

import argparse
import json

from krm_fn.api.schema import json_schema


def arguments(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("-o", "--output", choices=("json",), default="json")


def run(options: argparse.Namespace) -> int:
    del options
    print(json.dumps(json_schema(), indent=2))
    return 0

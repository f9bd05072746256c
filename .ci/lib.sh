# What the scripts of this folder share. Sourced, not run.
# shellcheck shell=bash disable=SC2034

root=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)
cache=${KRM_FN_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/krm-fn}

KUSTOMIZE=v5.8.1
SIMULATOR=v0.10.2
ADAPTER=v0.12.0
base_image=localhost/krm-fn-python-base:bookworm
function_image=localhost/krm-fn:v0.1.0
adapter_image=localhost/krm-fn-prometheus-adapter:$ADAPTER
prometheus_image=localhost/krm-fn-prometheus:bookworm
simulator_image=ghcr.io/llm-d/llm-d-inference-sim:$SIMULATOR

say() { printf '%s %s\n' "$(date +%H:%M:%S)" "$*" >&2; }
die() { say "error: $*"; exit 1; }

# have_image IMAGE: does Docker have it?
have_image() { docker image inspect "$1" >/dev/null 2>&1; }

# logged NAME COMMAND...: runs a command, shows what it printed only if it fails.
logged() {
  local log=$cache/$1.log
  shift
  mkdir -p "$cache"
  "$@" >"$log" 2>&1 </dev/null || { tail -n 30 "$log" >&2; die "\"$*\" failed; all of it is in $log"; }
}

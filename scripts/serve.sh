#!/usr/bin/env bash
# Serves the bundled demo model on http://127.0.0.1:8000 (builds first if needed) and prints a curl line to try.
#
#   scripts/serve.sh [options of `nativelm serve`]      e.g. scripts/serve.sh --port 9000 --model /path/to/a/model
source "$(dirname "$0")/common.sh"
case ${1:-} in -h | --help) usage ;; esac

[ -x "$install_folder/nativelm" ] || "$root/scripts/build.sh"
exec "$install_folder/nativelm" serve "$@"

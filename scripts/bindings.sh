#!/usr/bin/env bash
# Regenerates the bindings from native/include/nativelm.h. Options go to the generator: --check compares and writes nothing.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

case "${1:-}" in
    -h | --help) exec dotnet run -c Release --project tools/BindingGenerator -- --help ;;
esac
command -v castxml > /dev/null || {
    echo "castxml is missing; install it: apt-get install castxml gcc" >&2
    exit 2
}
exec dotnet run -c Release --project tools/BindingGenerator -- --root . "$@"

#!/usr/bin/env bash
# Replays one simulated world of scheduler and memory manager (tests/Simulation.Tests) and prints its settings, its last steps and how
# it ended. A failing simulation names the seed.
#
#   scripts/simulate-seed.sh SEED [--steps N]   N steps with faults before the world settles (default 2000)
source "$(dirname "$0")/common.sh"

seed='' steps=2000
while [ $# -gt 0 ]; do
    case $1 in
    -h | --help) usage ;;
    --steps) steps=${2:-} && shift ;;
    *) [ -z "$seed" ] || die "found a second seed '$1' (see --help)"; seed=$1 ;;
    esac
    shift
done
[[ $seed =~ ^[0-9]+$ && $steps =~ ^[0-9]+$ ]] || die "expected a seed and a number of steps, found '$seed' and '$steps' (see --help)"

cd "$root"
dotnet build tests/Simulation.Tests/Simulation.Tests.csproj -c Release -v quiet --nologo
NATIVELM_SIMULATION_SEED=$seed NATIVELM_SIMULATION_STEPS=$steps artifacts/dotnet/bin/Simulation.Tests/release/Simulation.Tests \
    --progress off --no-ansi --output Detailed --filter-method '*.A_named_seed_tells_its_story'

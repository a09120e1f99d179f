#!/usr/bin/env bash
# Holds every kernel of libnativelm_cuda.so to native/budget.tsv: one row per kernel, architecture and compiler with registers,
# stack, static shared memory and counts of the instructions that make it fast, read from the machine code by cuobjdump.
#
#   scripts/kernel-budget.sh NVCC LIBRARY            fails when a kernel grew, spilled, lost fast instructions or has no row
#   scripts/kernel-budget.sh --update NVCC LIBRARY   rewrites the rows of this compiler and the library's architectures
#
# Fails: registers or library bytes above the row by more than 5 % (library: 10 %), any stack or local memory (LDL, STL), another
# amount of static shared memory, fewer HMMA, LDSM, LDGSTS, 128-bit LDG or STG (sm_90a: HGMMA, UTMALDG) than in the row. Growth is
# not forbidden: --update writes it down, and the difference is reviewed like code. Rows of other compilers stay as they are.
source "$(dirname "$0")/common.sh"

update=false
case ${1:-} in
-h | --help) usage ;;
--update) update=true && shift ;;
esac
[ $# = 2 ] && [ -x "$1" ] && [ -e "$2" ] || die "expected an nvcc and a library, found: $* (see --help)"
nvcc=$1 library=$(readlink -f "$2")
tools=$(dirname "$(readlink -f "$nvcc")")
budget=$root/native/budget.tsv
compiler=nvcc-$(nvcc_version "$nvcc")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# Prints file, mangled kernel, architecture, registers, stack, shared.
resources() {
    "$tools/cuobjdump" --dump-resource-usage "$library" | awk -v OFS='\t' '
        $1 == "arch" { arch = $3 }
        $1 == "identifier" { n = split($3, part, "/"); file = part[n] }
        $1 == "Function" { name = $2; sub(/:$/, "", name) }
        $1 ~ /^REG:/ && name != "" {
            for (i = 1; i <= NF; i++) { split($i, pair, ":"); value[pair[1]] = pair[2] }
            print file, name, arch, value["REG"], value["STACK"] + value["LOCAL"], value["SHARED"]
            name = ""
        }'
}

# Prints mangled kernel, architecture and how often each instruction that matters occurs.
instructions() { # cubin named FILE.ARCHITECTURE.cubin
    local architecture=${1%.cubin}
    "$tools/nvdisasm" -ndf -c "$1" 2>/dev/null | awk -v OFS='\t' -v arch="${architecture##*.}" '
        function flush() {
            if (name != "") print name, arch, n["HMMA"] + 0, n["LDSM"] + 0, n["LDGSTS"] + 0, n["LDG128"] + 0, n["STG128"] + 0, n["HGMMA"] + 0, n["UTMALDG"] + 0, n["LDL"] + n["STL"]
            delete n
        }
        /^\.text\.[^ ]*:$/ { flush(); name = substr($1, 7, length($1) - 7) }
        $1 ~ /^\/\*[0-9a-f]+\*\/$/ {
            code = $2 ~ /^@/ ? $3 : $2
            split(code, part, ".")
            wide = code ~ /\.128(\.|$)/
            if (part[1] == "LDG" || part[1] == "STG") { if (wide) n[part[1] "128"]++ } else n[part[1]]++
        }
        END { flush() }'
}

resources >"$work/resources"
mapfile -t architectures < <(cut -f3 "$work/resources" | sort -u)
[ ${#architectures[@]} -gt 0 ] || die "$library holds no machine code for any GPU"
mkdir "$work/cubins"
(cd "$work/cubins" && "$tools/cuobjdump" -xelf all "$library" >/dev/null)
export -f instructions
export tools
find "$work/cubins" -name '*.cubin' -print0 | xargs -0 -P "$(nproc)" -I{} bash -c 'instructions {} >{}.counts'
cat "$work"/cubins/*.counts >"$work/instructions"

# Rows: file, kernel, architecture, compiler, registers, stack, shared, HMMA, LDSM, LDGSTS, LDG.128, STG.128, HGMMA, UTMALDG, local.
awk -F'\t' -v OFS='\t' -v compiler="$compiler" '
    NR == FNR { counts[$1 FS $2] = $3 FS $4 FS $5 FS $6 FS $7 FS $8 FS $9 FS $10; next }
    { print $1, $2, $3, compiler, $4, $5, $6, counts[$2 FS $3] }' "$work/instructions" "$work/resources" >"$work/mangled"
cut -f2 "$work/mangled" | "$tools/cu++filt" -p | sed -E 's/^void //; s/(<unnamed>|\(anonymous namespace\)):://g; s/nlm:://g; s/simt:://g; s/\((int|bool|unsigned int|nlm_[a-z_]*)\)//g; s/ //g' >"$work/names"
paste "$work/names" "$work/mangled" | awk -F'\t' -v OFS='\t' '{ kernel = $1; $1 = $2; $2 = kernel; for (i = 3; i < NF; i++) $i = $(i + 1); NF-- } 1' |
    LC_ALL=C sort >"$work/rows"
uncounted=$(awk -F'\t' 'NF < 15 { print $2; exit }' "$work/rows")
[ -z "$uncounted" ] || die "nvdisasm showed no instructions of $uncounted"
duplicate=$(cut -f1-3 "$work/rows" | uniq -d | head -1)
[ -z "$duplicate" ] || die "two kernels have one name: $duplicate"
printf 'library\t*\t%s\t%s\t%s\n' "$(IFS=,; echo "${architectures[*]}")" "$compiler" "$(stat -c %s "$library")" >>"$work/rows"

if $update; then
    {
        echo "# What the compiler made of each kernel (scripts/kernel-budget.sh). Counts are of instructions in the machine code; a library's number is its bytes."
        printf '# file\tkernel\tarchitecture\tcompiler\tregisters\tstack\tshared\tHMMA\tLDSM\tLDGSTS\tLDG128\tSTG128\tHGMMA\tUTMALDG\n'
        {
            cut -f1-14 "$work/rows"
            [ ! -e "$budget" ] || awk -F'\t' -v compiler="$compiler" 'NR == FNR { built[$3] = 1; next } !/^#/ && !($4 == compiler && $3 in built)' "$work/rows" "$budget"
        } | LC_ALL=C sort -t"$(printf '\t')" -k4,4 -k1,1 -k2,2 -k3,3
    } >"$work/budget"
    awk -F'\t' '$15 + $6 > 0 && $1 != "library" { print "error: " $2 " (" $1 ", " $3 ") uses local memory"; bad = 1 } END { exit bad }' "$work/rows" ||
        die "a spill is not a budget: nothing was written"
    cp "$work/budget" "$budget"
    echo "native/budget.tsv: $(($(wc -l <"$work/rows") - 1)) kernels of $compiler for ${architectures[*]}"
    exit 0
fi

awk -F'\t' -v compiler="$compiler" '
    function complain(text) { printf "%s (%s, %s): %s\n", $2, $1, $3, text; bad++ }
    FNR == 1 { file++ }
    file == 1 { if ($4 == compiler) row[$1 FS $2 FS $3] = $0; next }
    { built[$3] = 1; key = $1 FS $2 FS $3; seen[key] = 1; kernels += $1 != "library" }
    $1 != "library" && $6 > 0 { complain("uses " $6 " bytes of stack or local memory: registers spilled or an array is indexed at run time") }
    $1 != "library" && $15 > 0 { complain($15 " LDL or STL instructions: registers spilled") }
    !(key in row) { if ($1 != "library") complain("has no row"); next }
    {
        n = split(row[key], was, FS)
        if ($1 == "library") { if ($5 > was[5] * 1.10) complain("grew from " was[5] " to " $5 " bytes"); next }
        if ($5 > was[5] * 1.05) complain("registers grew from " was[5] " to " $5)
        if ($7 != was[7]) complain("static shared memory was " was[7] ", is " $7)
        split("x x x x x x x HMMA LDSM LDGSTS LDG.128 STG.128 HGMMA UTMALDG", what, " ")
        for (i = 8; i <= 14; i++) if ($i < was[i]) complain(what[i] " instructions fell from " was[i] " to " $i)
    }
    END {
        for (key in row) { split(row[key], was, FS); if (!(key in seen) && was[3] in built) { print was[2] " (" was[1] ", " was[3] "): has a row but is not in the library"; bad++ } }
        printf "%d kernels of %s, %d findings\n", kernels, compiler, bad
        exit bad > 0
    }' "$budget" "$work/rows" || die "the kernels do not keep native/budget.tsv; if that is wanted: scripts/build.sh --update-budget"

#!/usr/bin/env bash
# Runs every check that a change must pass. `./check.sh fmt clippy` runs these two steps alone.
# CI runs this script without arguments, and then `./check.sh fuzz`.
set -euo pipefail
cd "$(dirname "$0")"

fmt() { cargo fmt --all --check; }
clippy() { cargo clippy --workspace --all-targets --locked -- -D warnings; }
doc() { RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --document-private-items --locked; }
test() { cargo test --workspace --locked; }
# Prose, commits, layout, names, links and the map of the crates; each is a step of its own, too.
tidy() { cargo run --quiet --locked -p netduel-tidy -- "$@"; }
prose() { tidy prose; }
commits() { tidy commits; }
layout() { tidy layout; }
names() { tidy names; }
links() { tidy links; }
map() { tidy map; }
deny() {
    if ! command -v cargo-deny >/dev/null; then
        echo "skipped: dependency policy needs cargo-deny (cargo install --locked cargo-deny)"
        return
    fi
    cargo fetch --locked --quiet # cargo-deny also reads the crates of other systems, which a build here does not fetch.
    # Advisories need a database from the network (deny.toml).
    cargo deny --offline check bans licenses sources
}
typos() {
    if ! type -P typos >/dev/null; then # `command -v` would find this function.
        echo "skipped: spelling needs typos (pip install typos)"
        return
    fi
    command typos
}
# Fuzzes every target for FUZZ_SECONDS. No default step: cargo-fuzz compiles everything anew (fuzz/README.md).
fuzz() {
    if ! command -v cargo-fuzz >/dev/null; then
        echo "skipped: fuzzing needs cargo-fuzz (cargo install --locked cargo-fuzz)"
        return
    fi
    cargo fuzz build --sanitizer none
    local seeds target
    for seeds in fuzz/seeds/*; do
        target=${seeds##*/}
        mkdir -p "fuzz/corpus/$target"
        cargo fuzz run --sanitizer none "$target" "fuzz/corpus/$target" "$seeds" -- \
            -max_total_time="${FUZZ_SECONDS:-10}" -verbosity=0 -print_final_stats=1
    done
}
# The pure parts that conclude or guard; see `mutants`.
MUTATED=(
    client/stats.rs 'client/stats/**/*.rs'
    protocol/{clock,codec,game,lib,token,way_budget}.rs server/{admission,matchmaking,seat}.rs
    shown/{lib,json}.rs transport/io/rate_limit.rs
    link/emulator/impairment.rs link/emulator/schedule.rs
    reports/analysis/{capacity,memory_slope,ratios,repeats,sweep}.rs
    'reports/analysis/statistics*' 'reports/analysis/statistics/**/*.rs'
    'reports/analysis/verdict*' 'reports/analysis/verdict/**/*.rs'
    reports/plan/search.rs
)
# Mutates these parts, and reports which mutants their unit tests miss. No default step: it takes hours.
# MUTANTS='client/stats/*.rs reports/analysis/sweep.rs' mutates other files.
mutants() {
    local version=27.1.0 share_min=95 code=0 file caught missed
    if [ "$(cargo mutants --version 2>/dev/null)" != "cargo-mutants $version" ]; then
        echo "installing cargo-mutants $version"
        nice -n 19 cargo install --locked --version "=$version" cargo-mutants
    fi
    local -a files=("${MUTATED[@]}") flags=(--exclude '**/tests.rs' --timeout-multiplier 5 --minimum-test-timeout 30)
    [ -z "${MUTANTS:-}" ] || read -ra files <<<"$MUTANTS"
    for file in "${files[@]}"; do flags+=(--file "$file"); done
    mkdir -p target
    # Mutants are built in a copy with a folder of its own. In the folder of all builds, cargo would take a mutant for
    # a fresh build of the code.
    env -u CARGO_TARGET_DIR nice -n 19 cargo mutants --workspace --output target "${flags[@]}" -- --lib || code=$?
    # 2: some were missed. 3: some ran until the timeout, which counts as caught.
    [ $code -eq 0 ] || [ $code -eq 2 ] || [ $code -eq 3 ] || return $code
    local out=target/mutants.out known=.cargo/mutants-known.txt
    caught=$(cat $out/caught.txt $out/timeout.txt | wc -l)
    missed=$(wc -l <$out/missed.txt)
    nameless() { sed -E 's/:[0-9]+:[0-9]+:/:/' "$1" | sort -u; }
    echo "missed, with a reason in $known:"
    nameless $out/missed.txt | grep -Fxf <(grep -v '^#' $known) || true
    echo "missed, without a reason:"
    nameless $out/missed.txt | grep -vFxf <(grep -v '^#' $known) || true
    [ -n "${MUTANTS:-}" ] || {
        echo "in $known, but not missed:"
        grep -v '^#' $known | grep -vFxf <(nameless $out/missed.txt) || true
    }
    echo "mutants: $caught caught, $missed missed, $(wc -l <$out/unviable.txt) do not compile"
    [ $((caught * 100)) -ge $(((caught + missed) * share_min)) ] || {
        echo "fewer than $share_min % are caught"
        return 1
    }
}

steps=("$@")
[ ${#steps[@]} -gt 0 ] || steps=(fmt tidy typos clippy doc test deny)
for step in "${steps[@]}"; do
    echo "== $step"
    "$step"
done

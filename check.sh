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

steps=("$@")
[ ${#steps[@]} -gt 0 ] || steps=(fmt tidy typos clippy doc test deny)
for step in "${steps[@]}"; do
    echo "== $step"
    "$step"
done

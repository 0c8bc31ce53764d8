#!/usr/bin/env bash
# Everything a change must pass. `./check.sh fmt` runs one step alone; CI runs all of it, and `./check.sh fuzz`.
set -euo pipefail
cd "$(dirname "$0")"

fmt() { cargo fmt --all --check; }
clippy() { cargo clippy --workspace --all-targets --locked -- -D warnings; }
doc() { RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --document-private-items --locked; }
test() { cargo test --workspace --locked; }
names() { # A transport's library is named in its file and folder; peers/ measures the libraries themselves, and
    # reports/carrier.rs says what they are called; the server's fault tests attack with one.
    for library in quinn:quic rusty_enet:enet; do
        local name=${library%%:*} home=./transport/${library#*:}
        if grep -rn "$name" --include='*.rs' . | grep -Ev "^(\./target/|\./peers/|\./reports/carrier\.rs:|\./server/tests/faults/raw\.rs:|$home(\.rs:|/))"; then
            echo "only $home.rs and $home/ may name $name" >&2
            return 1
        fi
    done
}
deny() {
    if ! command -v cargo-deny >/dev/null; then
        echo "skipped: dependency policy needs cargo-deny (cargo install --locked cargo-deny)"
        return
    fi
    cargo fetch --locked --quiet # It looks at what other systems compile, too, and a build here fetches none of that.
    # Advisories need a database from the network: see deny.toml.
    cargo deny --offline check bans licenses sources
}
fuzz() { # Every target for a while. Not a step below: it compiles everything again, its own way (fuzz/README.md).
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

for step in "${@:-fmt names clippy doc test deny}"; do
    for one in $step; do
        echo "== $one"
        "$one"
    done
done

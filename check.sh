#!/usr/bin/env bash
# Everything a change must pass; CI calls this and nothing else. `./check.sh fmt` runs one step alone.
set -euo pipefail
cd "$(dirname "$0")"

fmt() { cargo fmt --all --check; }
clippy() { cargo clippy --workspace --all-targets --locked -- -D warnings; }
doc() { RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --document-private-items --locked; }
test() { cargo test --workspace --locked; }
names() { # A transport's library is named in its file and folder; peers/ measures the libraries themselves, and
    # reports/carrier.rs says what they are called.
    for library in quinn:quic rusty_enet:enet; do
        local name=${library%%:*} home=./transport/${library#*:}
        if grep -rn "$name" --include='*.rs' . | grep -Ev "^(\./target/|\./peers/|\./reports/carrier\.rs:|$home(\.rs:|/))"; then
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
    # Advisories need a database from the network: see deny.toml.
    cargo deny --offline check bans licenses sources
}

for step in "${@:-fmt names clippy doc test deny}"; do
    for one in $step; do
        echo "== $one"
        "$one"
    done
done

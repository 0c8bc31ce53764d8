#!/usr/bin/env bash
# Everything a change must pass; CI calls this and nothing else. `./check.sh fmt` runs one step alone.
set -euo pipefail
cd "$(dirname "$0")"

fmt() { cargo fmt --all --check; }
clippy() { cargo clippy --workspace --all-targets --locked -- -D warnings; }
doc() { RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --document-private-items --locked; }
test() { cargo test --workspace --locked; }
names() { # quinn is named in one file, and no other.
    if grep -rn "quinn" --include='*.rs' . | grep -v '^./target/' | grep -v '^./transport/quic.rs:'; then
        echo "only transport/quic.rs may name quinn" >&2
        return 1
    fi
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

#!/usr/bin/env bash
# Takes the README's screenshots (docs/images/*.png) on a virtual display. Needs Xvfb and software
# OpenGL (Debian: apt-get install xvfb libgl1-mesa-dri libxkbcommon-x11-0 libxcursor1 libxi6). The
# race also needs root or user namespaces for its link.
set -euo pipefail
cd "$(dirname "$0")/.."
images=docs/images
mkdir -p "$images"
cargo build --release -p netduel-client-egui
program="${CARGO_TARGET_DIR:-target}/release/netduel"
settings=$(mktemp -d)
trap 'rm -rf "$settings"' EXIT

# shot NAME SECONDS FLAGS...: takes one screenshot after SECONDS.
shot() {
    local name=$1 after=$2
    shift 2
    echo "== $name"
    xvfb-run --auto-servernum --server-args="-screen 0 1400x900x24" \
        "$program" --settings "$settings/$name.json" --screenshot "$images/$name.png" --after "${after}s" "$@"
}

shot play-dark 34 --play --autopilot --look dark --name you
shot play-light 34 --play --autopilot --look light --name you
shot race-wifi 34 --race --race-link wifi --look dark
# --small FILE takes a screenshot of a small window, for review and not for the README.
if [ "${1:-}" = --small ]; then
    images=$settings
    shot small 8 --play --autopilot --look light --size 480x700
    cp "$settings/small.png" "${2:?--small takes a file}"
fi
ls -l docs/images

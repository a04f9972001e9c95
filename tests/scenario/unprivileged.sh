#!/bin/sh
# Runs BUILD/weir in this process's place as nobody, without capabilities and with no_new_privs, on a root file system that is read-only. Usage: unprivileged.sh BUILD/weir ARGS...
# What the kernel or the user's rights forbid is left out, and said on stderr.
set -eu
program=$1; shift
say() { echo "unprivileged: $*" >&2; }

if [ "$(id -u)" != 0 ]; then
  say "run by an ordinary user: as that user, without a read-only root"
  exec setpriv --no-new-privs "$program" "$@"
fi
if [ "${WEIR_UNSHARED-}" = "" ] && unshare -m true 2>/dev/null; then
  WEIR_UNSHARED=yes exec unshare -m --propagation private "$0" "$program" "$@"
fi
if [ "${WEIR_UNSHARED-}" = yes ]; then
  mount --bind "$(dirname "$program")" /mnt # wherever it was built, nobody can read it there
  program=/mnt/$(basename "$program")
  while read -r _ at type _; do
    case $at:$type in /proc*|/sys*|*:devtmpfs|*:devpts) ;; *) mount -o remount,bind,ro "$at" 2>/dev/null || true ;; esac
  done </proc/self/mounts
  for at in / /tmp /dev/shm "$(dirname "$2")"; do ! touch "$at/weir-read-only" 2>/dev/null || say "$at is not read-only"; done
else
  say "no mount namespaces here: without a read-only root"
fi
unset WEIR_UNSHARED
exec setpriv --reuid=65534 --regid=65534 --clear-groups --inh-caps=-all --bounding-set=-all --no-new-privs "$program" "$@"

#!/bin/sh
# Debian's Alertmanager ($WEIR_ALERTMANAGER, of tests/tools/deps.sh) in this process's place. It reads its templates in /usr/share/prometheus/alertmanager, which is compiled in: where the
# package is only unpacked, it sees its own /usr/share over the machine's, in a mount namespace. Usage: alertmanager.sh ARGS...
set -eu
share=${WEIR_ALERTMANAGER%/bin/*}/share
[ ! -e /usr/share/prometheus/alertmanager/default.tmpl ] || exec "$WEIR_ALERTMANAGER" "$@"
root=-r
[ "$(id -u)" != 0 ] || root=
# shellcheck disable=SC2086,SC2016
exec unshare $root -m sh -c 'mount -t overlay overlay -o "lowerdir=$0:/usr/share" /usr/share && exec "$@"' "$share" "$WEIR_ALERTMANAGER" "$@"

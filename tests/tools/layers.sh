#!/bin/sh
# Who may include whom (docs/design/README.md, "Layers"). Prints each line that breaks a rule.
cd "$(dirname "$0")/../.." || exit 1
bad=$(mktemp); trap 'rm -f "$bad"' EXIT

# $1: files (find arguments), $2: pattern of allowed "..." includes; <weir/...> and system headers are judged by $3
check() {
  find $1 -name '*.[ch]' 2>/dev/null | while read -r f; do
    own=$(dirname "$f")
    grep -nE '^ *# *include' "$f" | while IFS= read -r line; do
      inc=$(printf '%s\n' "$line" | sed -E 's/.*include *([<"][^">]*[">]).*/\1/')
      case $inc in
        '"'*) name=${inc#\"}; name=${name%\"}
          printf '%s\n' "$name" | grep -qE "$2" && continue
          [ -f "$own/$name" ] && [ "${name#*/}" = "$name" ] && continue # a file of the same folder
          echo "$f:${line%%:*}: may not include $inc" ;;
        '<'*) printf '%s\n' "$inc" | grep -qE "$3" || echo "$f:${line%%:*}: may not include $inc" ;;
      esac
    done
  done >>"$bad"
}

libc='^<(assert|ctype|dirent|errno|fcntl|float|inttypes|limits|math|poll|signal|stdarg|stdatomic|stdbool|stddef|stdint|stdio|stdlib|string|strings|time|unistd|sys/(stat|types|socket|un|uio|time))\.h>$|^<weir/[a-z]+\.h>$'
crypto='^<(crypt|md5|sha1|sha2|sys/random)\.h>$' # libcrypt, libmd: for stages that check passwords
stream='^<(zlib|zstd|zstd_errors)\.h>$' # for the stages that compress what they have not whole, or keep
any='^<'
check include '^$' '^<(stdarg|stddef|stdint|stdio|string)\.h>$|^<weir/[a-z]+\.h>$'
check core '^(core|proto)/' "$any"
check plugins '^(core|plugins)/' "$any"
check pipelines '^(core|plugins|pipelines)/' "$any"
for d in receivers processors exporters connectors extensions plugins/template; do check $d '^plugins/kit/' "$libc|$crypto|$stream"; done
check plugins/kit '^plugins/kit/' "$libc"
# An instance belongs to one lane, so it needs no data of the thread; in what is loaded late that also breaks LeakSanitizer.
grep -rnE "_Thread_local|__thread" --include="*.[ch]" receivers processors exporters connectors extensions plugins/kit plugins/template |
  sed "s/$/ (stages have no thread-local data)/" >>"$bad"
if [ -s "$bad" ]; then cat "$bad"; echo "layers: $(wc -l <"$bad") lines break the layers"; exit 1; fi
echo "layers: ok"

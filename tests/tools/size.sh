#!/bin/sh
# No function over 80 lines, no file over 600 (conventions). Functions are told by our formatting: a line that begins in column 1 and ends with "{", up to "}" in column 1.
cd "$(dirname "$0")/../.." || exit 1
git ls-files -co --exclude-standard '*.c' '*.h' | sort -u | xargs awk '
  FNR == 1 { if (file) check_file(); file = FILENAME; inside = 0 }
  { lines = FNR }
  /^[a-z_].*\) \{$/ && !inside { inside = 1; start = FNR; name = $0 }
  /^[a-z_].*\) \{.*\}$/ { sizes[++n] = 1; inside = 0 }
  /^}/ && inside { len = FNR - start + 1; sizes[++n] = len; inside = 0
    if (len > 80) { sub(/ *\{$/, "", name); printf "%s:%d: %d lines: %s\n", FILENAME, start, len, name; bad++ } }
  function check_file() { if (lines > 600) { printf "%s: %d lines\n", file, lines; bad++ } }
  END { check_file()
    for (i = 2; i <= n; i++) { v = sizes[i]; for (j = i - 1; j > 0 && sizes[j] > v; j--) sizes[j + 1] = sizes[j]; sizes[j + 1] = v }
    printf "size: %d functions, median %d lines, 90 %% under %d\n", n, sizes[int((n + 1) / 2)], sizes[int(n * 0.9)]
    exit bad > 0 }'

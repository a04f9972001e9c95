/*
 * What senders put into trace_state. Whatever comes: members lie inside the text, and a text with a raised th parses again, has that th, keeps rv and the other members.
 */
#include <stdlib.h>
#include <string.h>

#include "plugins/kit/tracestate.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(int truth) {
  if (!truth) abort();
}

static void inside(struct weir_str s, const char *p, size_t n) { must(s.n > 0 && s.p >= p && s.p + s.n <= p + n); }

/* Of the members of `a` but for `ot`, all stand in `b`, or all but the last. */
static void kept(const struct kit_tracestate *a, const struct kit_tracestate *b) {
  uint32_t lost = 0;
  for (uint32_t i = 0; i < a->n; i++) {
    if (a->flags & KIT_TRACESTATE_OT && i == a->ot) continue;
    struct weir_str v = kit_tracestate_get(b, a->v[i].key);
    if (v.p)
      must(weir_str_eq(v, a->v[i].value));
    else
      lost++;
  }
  must(lost <= (a->n == KIT_TRACESTATE_MEMBERS));
}

static void raise_th(size_t n, const struct kit_tracestate *t, uint64_t th) {
  struct kit_tracestate again;
  char *out = malloc(n + KIT_TRACESTATE_TH_ROOM);
  must(out != NULL);
  size_t m = kit_tracestate_set_th(t, th, out);
  must(m <= n + KIT_TRACESTATE_TH_ROOM);
  if (!m) {
    must(t->flags & (KIT_TRACESTATE_TH | KIT_TRACESTATE_OT));
  } else {
    must(kit_tracestate_parse(out, m, &again) == 0 && !(again.flags & KIT_TRACESTATE_BAD_OT));
    must(again.flags & KIT_TRACESTATE_TH && again.th == th && again.ot == 0);
    must((again.flags & KIT_TRACESTATE_RV) == (t->flags & KIT_TRACESTATE_RV) && again.rv == t->rv);
    kept(t, &again);
  }
  free(out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  struct kit_tracestate t;
  char *p = malloc(size + 1); /* so that a read behind the end is seen */
  must(p != NULL);
  if (size) memcpy(p, data, size);
  if (kit_tracestate_parse(p, size, &t) == 0) {
    must(t.n <= KIT_TRACESTATE_MEMBERS && t.th < 1ull << 56 && t.rv < 1ull << 56);
    for (uint32_t i = 0; i < t.n; i++) {
      inside(t.v[i].key, p, size);
      inside(t.v[i].value, p, size);
    }
    raise_th(size, &t, 0);
    raise_th(size, &t, 0xfd70a400000000);
    raise_th(size, &t, (1ull << 56) - 1);
  }
  free(p);
  return 0;
}

/* A program as others see it: made, asked for its names, freed. */
#include "policy.h"

#include <stdlib.h>
#include <string.h>

#include "policy_internal.h"

struct ts_kept {
  struct ts_kept *next;
  _Alignas(max_align_t) char memory[];
};

void *ts_keep(struct ts_program *p, size_t n) {
  struct ts_kept *k = calloc(1, sizeof *k + n);
  if (!k) return NULL;
  k->next = p->kept;
  p->kept = k;
  return k->memory;
}

const char *ts_keep_text(struct ts_program *p, const char *text) {
  size_t n = strlen(text) + 1;
  char *copy = ts_keep(p, n);
  return copy ? memcpy(copy, text, n) : NULL;
}

void ts_program_free(struct ts_program *p) {
  if (!p) return;
  for (uint32_t i = 0; i < p->n_leaves; i++) ts_leaf_free(p, &p->leaves[i]);
  while (p->kept) {
    struct ts_kept *next = p->kept->next;
    free(p->kept);
    p->kept = next;
  }
  free(p);
}

int ts_program_new(const struct weir_host *host, struct weir_stage *stage, const struct ts_config *config, struct ts_program **ret, struct weir_error *err) {
  *ret = NULL;
  struct ts_program *p = calloc(1, sizeof *p);
  if (!p) return weir_fail(err, WEIR_E_NOMEM, "no memory for the policies");
  int rc = ts_compile(p, host, stage, config, err);
  if (rc)
    ts_program_free(p);
  else
    *ret = p;
  return rc;
}

uint32_t ts_program_words(const struct ts_program *p) { return p->words; }
uint32_t ts_program_policies(const struct ts_program *p) { return p->n_policies; }
const char *ts_program_name(const struct ts_program *p, uint32_t policy) { return p->policies[policy].name; }
const char *ts_program_type(const struct ts_program *p, uint32_t policy) { return ts_type_name((enum ts_type)p->policies[policy].type); }
const char *ts_leaf_text(const struct ts_program *p, uint16_t leaf) { return leaf < p->n_leaves ? p->leaves[leaf].text : ""; }

const char *ts_program_sub_name(const struct ts_program *p, uint32_t policy, uint16_t sub) {
  const struct ts_policy *q = &p->policies[policy];
  return q->type == TS_COMPOSITE && sub < q->n ? q->sub_names[sub] : "";
}

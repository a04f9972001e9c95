#include "core/nearest.h"

#include <string.h>
#include <strings.h>

#include "core/parse.h"

#define WORD_MAX 64 /* nobody mistypes more than that, and the distance costs the product of the lengths */

void nearest_init(struct nearest *n, const char *word) {
  size_t len = strlen(word);
  n->word = word;
  n->best = NULL;
  n->distance = len > WORD_MAX ? 0 : len < 4 ? 2 : len < 9 ? 3 : (int)(len / 3) + 1;
}

void nearest_offer(struct nearest *n, const char *candidate) {
  size_t a = strlen(n->word), b = strlen(candidate);
  if (a > WORD_MAX || b > WORD_MAX || a == 0) return;
  int d = strcasecmp(n->word, candidate) == 0 ? 0 : parse_distance(n->word, candidate);
  if (d >= n->distance || (size_t)d >= b) return;
  n->best = candidate;
  n->distance = d;
}

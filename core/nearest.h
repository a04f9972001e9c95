/*
 * core/nearest.h - "did you mean": the known word that is nearest to a mistyped one.
 *
 * Near means a Damerau-Levenshtein distance of at most 2 or a third of the word's length, less for words under 4 letters. [any]
 */
#ifndef CORE_NEAREST_H
#define CORE_NEAREST_H

struct nearest {
  const char *word;
  const char *best; /* borrowed from nearest_offer; NULL = nothing is near */
  int distance;     /* of best; what is offered must be nearer */
};

void nearest_init(struct nearest *, const char *word);
void nearest_offer(struct nearest *, const char *candidate);

#endif

// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// A random life of one mirror, and what was true at each moment of it. A life is a row of runs: a pass over rows that
// are known by a number (key, version), acknowledgements of all or some of the changes, and then a commit, a prepare
// that the other side confirms or refuses, a rollback, a merge, a reset, or just the end of the process. Beside it
// stands // the truth as plain arrays; each step notes at which position of the recording it began and ended.
#ifndef TESTS_FAULT_LIFE_H
#define TESTS_FAULT_LIFE_H

#include <stddef.h>
#include <stdint.h>

#include "diff/diff.h"

#define LIFE_STATES_MAX 512
#define LIFE_SETS_MAX 256

// What the mirror may be from position `begin` on, and must be (or something later) from `done` on.
struct life_state {
  size_t begin, done; // done SIZE_MAX: never
  size_t void_from;   // SIZE_MAX: never; else it was looked for there, and not found
  int missing;        // there is no mirror
  uint64_t generation;
  uint32_t *held; // version of each key, 0: no row
};

struct life_set {
  size_t begin, done, removed; // SIZE_MAX: not (yet)
  uint64_t digest, count;
};

struct life_note {
  size_t position;
  uint64_t generation;
};

struct life_shape {
  const char *name;
  size_t keys;
  enum { LIFE_KEY_INTEGER, LIFE_KEY_TEXT, LIFE_KEY_BOTH } key;
  size_t text_max; // 0: no column of text, all rows have the same length
  uint64_t memory_bytes;
};

struct life {
  uint64_t seed, drawn;
  char folder[160], mirror_path[192], set_path[192];
  const struct life_shape *shape;
  int keep;
  unsigned threads;
  struct dr_schema *schema;
  struct dr_mirror *mirror;
  uint32_t version; // the last one given to a row
  uint32_t *wanted, *taken, *held;
  uint64_t generation; // of the mirror
  uint64_t other;      // generation that the other side committed
  struct life_state states[LIFE_STATES_MAX];
  size_t state_count;
  struct life_set sets[LIFE_SETS_MAX];
  size_t set_count;
  struct life_note others[LIFE_STATES_MAX];
  size_t other_count;
  char wrong[400]; // "": nothing is; else what, and the life ends
};

// A life of its seed in `folder`, which is there and empty.
void life_init(struct life *life, uint64_t seed, const char *folder);
// One that goes on in another folder from `pre`, or from `post` (NULL: the same) if the other side committed that.
void life_follow(struct life *life, const struct life *from, const struct life_state *pre,
                 const struct life_state *post, uint64_t other, uint64_t seed, const char *folder);
void life_free(struct life *life);

// Opens the mirror and does `runs` random runs, then closes it. Errors end it; those are returned.
int32_t life_go(struct life *life, size_t runs, struct dray_error *error);
// Goes on in a new process after a life_go that failed or was stopped: whatever is found now must stay.
int32_t life_recover(struct life *life, struct dray_error *error);
// A life in which what the other side refused, acknowledged and prepared, is followed by nearly the same once more, of
// the same lengths, which is then committed.
int32_t life_refused(struct life *life, struct dray_error *error);
// Goes on until there is nothing left to send, and looks.
int32_t life_converge(struct life *life, struct dray_error *error);

// ---- looking ----

struct life_found {
  const struct life_state *pre, *post; // as it was found, and once a prepare was resolved
  uint64_t other;
};
// Opens what lies in `folder` after a stop at `position` and compares it with the truth. NULL, or what is wrong.
const char *life_check(struct life *life, const char *folder, size_t position, struct life_found *out);
// The same for the change set.
const char *life_check_set(struct life *life, const char *folder, size_t position);

#endif // TESTS_FAULT_LIFE_H

// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// What a process that runs the engine and the other side say to each other, over a pair of sockets. The one that runs
// asks, the other side answers; a question that is not answered is a place to be killed at.
#ifndef DRAY_ORACLE_WIRE_H
#define DRAY_ORACLE_WIRE_H

#include <stddef.h>
#include <stdint.h>

enum {
  ASK_OPENED = 1, // a: generation, b: prepared generation -> a: 1 commit what is prepared, 0 roll back
  ASK_RECOVER,    // what is to be acknowledged of the set that is still there -> seqs
  ASK_SET,        // a: changes of a new set -> nothing
  ASK_BATCH,      // rows of the set -> per row 1: accepted, 0: not (refused, or in doubt)
  ASK_COMMIT,     // a: generation that will be committed -> a: 1 do, 0 roll back (only where it was prepared)
  ASK_DONE        // a: changes said by the pass -> nothing
};

struct message {
  uint32_t kind, unused;
  uint64_t a, b, bytes;
  char *body; // owned by `wire`; valid until its next message is read
};
struct wire {
  int fd;
  char *in;
  size_t in_capacity;
  char *out; // the body that is put together
  size_t out_bytes, out_capacity;
};

void wire_free(struct wire *wire);  // closes it
void wire_begin(struct wire *wire); // an empty body
void wire_put(struct wire *wire, const void *bytes, size_t count);
void wire_put_u64(struct wire *wire, uint64_t value);
void wire_put_text(struct wire *wire, const char *text); // NULL allowed
// Sends what was put. 0: the other end is gone.
int wire_send(struct wire *wire, uint32_t kind, uint64_t a, uint64_t b);
int wire_receive(struct wire *wire, struct message *out);

// Reading a body from `*at` on.
uint64_t wire_get_u64(const struct message *message, size_t *at);
const char *wire_get_text(const struct message *message, size_t *at); // borrowed

#endif // DRAY_ORACLE_WIRE_H

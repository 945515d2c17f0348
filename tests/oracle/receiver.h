// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// The other side: a plain table that nothing but change sets writes to, and a ledger of what was sent and what became
// of it. Both outlive every run.
#ifndef DRAY_ORACLE_RECEIVER_H
#define DRAY_ORACLE_RECEIVER_H

#include "life.h"
#include "wire.h"

struct receiver {
  sqlite3 *db; // owned
  const struct life *life;
  size_t step;
  int whole_rows; // how updates are written: all that was said, or the changed columns alone
  uint32_t refuse_rate, doubt_rate, store_rate; // one in so many; 0: none. store: our own commit fails
  struct dice dice;
  uint64_t set_count;                              // changes of the set at hand
  uint64_t store_generation;                       // that we committed last, of those that were prepared
  uint64_t asked_generation, confirmed_generation; // of commits that were allowed; that were seen to be done
  uint64_t said, deferred;                         // by the last pass that came to its end
  int finished;
};

void receiver_open(struct receiver *receiver);
void receiver_close(struct receiver *receiver);
void receiver_begin(struct receiver *receiver, const struct life *life);
// Answers one question. Returns 0, or what is wrong with what was asked.
const char *receiver_answer(struct receiver *receiver, const struct message *question, struct wire *wire);
// Whether the table holds exactly what the source holds at the step (the rows that were read last), in its columns.
int receiver_equals_source(struct receiver *receiver, size_t step);
// Changes of the set at hand that are in doubt, or taken but not known to be in the mirror.
uint64_t receiver_open_count(struct receiver *receiver);

#endif // DRAY_ORACLE_RECEIVER_H

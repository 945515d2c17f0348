// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Gates before an account of the other side: points that refill, a hold that was asked for, and places for what is
// under way at once. All instances that name one key pass one gate; with a folder, those of all processes that share
// it.
#ifndef DR_PLUGIN_GATE_H
#define DR_PLUGIN_GATE_H

#include "dray/sdk/error.h"
#include "dray/sdk/text.h"

#define DR_GATE_PLACES_MAX 256 // that are counted over processes; more are a gate's without a bound
#define DR_GATE_HOLD_MS_MAX INT64_C(86400000)

struct dr_gate; // any thread
struct dr_gate_terms {
  struct dray_str key;
  const char *folder;  // where the processes meet, made when it is not there; NULL: this process alone
  double per_second;   // 0: no points are counted
  double capacity;     // of points
  uint32_t places_max; // 0: no bound
};

// The gate of a key and folder, with one more user; the same for all who name them. @errors LIMIT, OUT_OF_MEMORY, IO.
DRAY_NODISCARD int32_t dr_gate_get(const struct dr_gate_terms *terms, struct dr_gate **out, struct dray_error *error);
void dr_gate_put(struct dr_gate *gate);
// Waits for a hold to end, `amount` points and a place; first come, first served for points. `nested`: the caller
// already holds a place, at this gate or another, and might wait for itself. *out_place is to be left, -1: none was
// taken. @errors CANCELLED, IO.
DRAY_NODISCARD int32_t dr_gate_enter(struct dr_gate *gate, const struct dr_gate_terms *terms, double amount, int nested,
                                     int *out_place, struct dray_error *error);
// As dr_gate_enter without waiting: 1 when it is in, 0 when it would have to wait (or the gate's file fails, which
// dr_gate_enter then tells).
int dr_gate_try(struct dr_gate *gate, const struct dr_gate_terms *terms, double amount, int *out_place);
void dr_gate_leave(struct dr_gate *gate, int place); // -1: nothing happens
// Nobody enters before: the other side said so. At most DR_GATE_HOLD_MS_MAX. A failing file holds this process alone.
void dr_gate_hold(struct dr_gate *gate, int64_t duration_ms);
// The other side says that `available` points are left for all, and `settled` of those taken here are in that number.
// @errors CANCELLED, IO.
DRAY_NODISCARD int32_t dr_gate_tell(struct dr_gate *gate, const struct dr_gate_terms *terms, double available,
                                    double settled, struct dray_error *error);

// ---- between gate.c and gate_file.c ----

// What is known of a gate, as it stands in its file.
struct dr_gate_state {
  uint64_t boot;     // of the machine: times are of its monotonic clock; 0: never used
  double points;     // may be negative: taken in advance by those who wait for their time
  int64_t filled_ms; // when `points` was right
  // Points that were taken and not settled: since turned_ms, and for a while before it. What is older is forgotten:
  // its request has failed, or its process has ended.
  double under_way, under_way_before;
  int64_t turned_ms;
  int64_t held_until_ms;
};
struct dr_gate_file; // opaque; guarded by the gate's lock
DRAY_NODISCARD int32_t dr_gate_file_open(const char *folder, struct dray_str key, struct dr_gate_file **out,
                                         struct dray_error *error);
void dr_gate_file_close(struct dr_gate_file *file); // NULL is allowed; places are left
// Takes the file's lock and reads; of another boot, of nobody or not to be believed: zeroes. Every `begin` that worked
// is ended. @errors CANCELLED while another process has the lock, IO.
DRAY_NODISCARD int32_t dr_gate_file_begin(struct dr_gate_file *file, struct dr_gate_state *out,
                                          struct dray_error *error);
DRAY_NODISCARD int32_t dr_gate_file_end(struct dr_gate_file *file, const struct dr_gate_state *state,
                                        struct dray_error *error);
// One of `places_max` places that no process has: 0 .., -1: none is free. @errors IO.
DRAY_NODISCARD int32_t dr_gate_file_place(struct dr_gate_file *file, uint32_t places_max, int *out_place,
                                          struct dray_error *error);
void dr_gate_file_leave(struct dr_gate_file *file, int place);

#endif // DR_PLUGIN_GATE_H

// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// What a sync has reached, and the ways out when it cannot be believed: show, verify, reset, baseline, rebuild.
#ifndef DR_SYNC_STATE_H
#define DR_SYNC_STATE_H

#include "diff/diff.h"
#include "sync/run.h"

struct dr_state_view {
  int ingest;
  int mirror_exists;
  int32_t mirror_code; // DRAY_OK, or why the mirror is not believed
  char mirror_text[DRAY_ERROR_TEXT_MAX];
  struct dr_mirror_info mirror; // when mirror_code is DRAY_OK
  uint64_t generation;          // as the store knows it
  uint64_t checkpoint_bytes;
  char checkpoint[512]; // its beginning, when it is text
  char identity[DR_IDENTITY_BYTES];
  uint64_t rejected, parked, open_batches;
  char snapshot[64]; // the table that `diff: warehouse` keeps in the model's warehouse; "": none
};
// Reads every block of the mirror. Takes no lease: a running sync may show as it was a moment ago.
DRAY_NODISCARD int32_t dr_state_show(struct dr_session *session, const struct dr_sync *sync, struct dr_state_view *out,
                                     struct dray_error *error);

struct dr_state_comparison {
  int mirrored; // 0: the sync has no mirror, since its rows are not looked for again
  int compared; // 0: the other side cannot be read back, only the files were verified
  // Rows; `different` at most, where the pass deferred some. `others`: in the table only, which other syncs write too.
  // `unknown`: of the others, of which the mirror has the key and nothing else.
  uint64_t table_only, mirror_only, different, others, unknown;
  const char *sharer; // a sync that writes the same table, the project's; NULL: none
  // Some rows of each kind. op: DRAY_OP_INSERT in the table only, DELETE in the mirror only, UPDATE different, with the
  // mirror's values -> the table's.
  struct dr_sample *samples;
  size_t sample_count;
};
void dr_state_comparison_free(struct dr_state_comparison *comparison);
// Verifies the mirror's files and, for a warehouse, compares it with the table. `samples_max` of each kind. The caller
// frees what is written. @errors MIRROR_CORRUPT, MIRROR_MISSING, LOCKED.
DRAY_NODISCARD int32_t dr_state_verify(struct dr_session *session, const struct dr_sync *sync, size_t samples_max,
                                       struct dr_state_comparison *out, struct dray_error *error);
// Forgets mirror, checkpoint, ledger and rejected rows, and removes the snapshot of `diff: warehouse` and what a source
// keeps for the checkpoint. Into a warehouse
// the next run reads everything again and
// writes what differs from the table;
// to a destination it sends everything.
DRAY_NODISCARD int32_t dr_state_reset(struct dr_session *session, const struct dr_sync *sync, struct dray_error *error);
// Removes what syncing left at the source (slots), and first the checkpoint that stands on it, so that a kill in
// between leaves a sync that reads everything again, and a second call that removes the rest. Mirror and table stay.
// `out_json` gets what the source removed, [{"kind", "name"}]. A warehouse that cannot be reached is the error, after
// the source was cleaned by what the local store knows: `out_json` is written then as well. @errors the plugins' own,
// LOCKED.
DRAY_NODISCARD int32_t dr_state_drop(struct dr_session *session, const struct dr_sync *sync,
                                     struct dray_buffer *out_json, struct dray_error *error);
// Makes the mirror anew from the warehouse table. @errors CONFIG_VALUE for a destination, which cannot be read back.
DRAY_NODISCARD int32_t dr_state_rebuild(struct dr_session *session, const struct dr_sync *sync, uint64_t *out_rows,
                                        struct dray_error *error);

#endif // DR_SYNC_STATE_H

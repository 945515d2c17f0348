// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// The change set as a file: its records, and what a batch of changes keeps for their acknowledgement. Inside core/diff
// only.
#ifndef DR_DIFF_CHANGESET_H
#define DR_DIFF_CHANGESET_H

#include "diff/diff.h"
#include "diff/format.h"
#include "diff/rows.h"

#define DR_RECORD_BYTES 48u // before the bitmaps and rows of a record

enum { DR_RECORD_BEFORE = 1, DR_RECORD_ABSENT = 2, DR_RECORD_COLUMNS = 4 };

// One change or reject. Views into bytes that belong to somebody else.
struct dr_record {
  uint8_t op;    // DRAY_OP_* or DR_OP_REJECT
  uint8_t flags; // DR_RECORD_*
  int32_t code;
  uint64_t ordinal; // of the row in the input; for deletes of keys that did not come: UINT64_MAX
  uint64_t high, low, row_hash;
  struct dray_str changed; // one bit a field
  struct dray_str absent;  // likewise: fields that the input did not say; empty without DR_RECORD_ABSENT
  struct dray_str row;     // as the other side will hold it (deletes: holds it), in the set's schema
  struct dray_str before;  // updates: as it holds it, with DR_RECORD_BEFORE; or what is held of it under
                           // DR_KEEP_COLUMNS, u32 a slot, with DR_RECORD_COLUMNS; else empty
};
static inline size_t dr_changed_stride(size_t field_count) {
  return (field_count + 7) / 8;
}
DRAY_NODISCARD int32_t dr_record_put(struct dr_rows_out *rows, const struct dr_record *record,
                                     struct dray_error *error);
int dr_record_parse(struct dray_str bytes, size_t stride, struct dr_record *out); // 0: it does not parse

// Entries of the index: a record's number, and whether the pass turned it into a reject at its end.
#define DR_INDEX_REJECT (UINT64_C(1) << 63)

struct dr_held {
  uint64_t seed_id, key_print;
  struct dr_schema *schema; // one reference
  uint8_t *op;              // as in the set, whatever became of dr_changes.op
  struct dray_buffer rows;  // as they will be held; behind a row its `columns`
  uint64_t *ends;
  uint32_t *columns_bytes; // see struct dr_record, before; mostly 0
};
// Change `seq` as it is written; valid until the next call of the set. @errors
// MIRROR_CORRUPT, IO.
DRAY_NODISCARD int32_t dr_changeset_record(struct dr_changeset *set, uint64_t seq, struct dr_record *out,
                                           struct dray_error *error);
const struct dr_file_info *dr_changeset_info(const struct dr_changeset *set);
uint64_t dr_key_print(const struct dr_file_info *info);

#endif // DR_DIFF_CHANGESET_H

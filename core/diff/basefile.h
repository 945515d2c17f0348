// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// The base of a mirror: an immutable file of rows in the order of their key hashes. Inside core/diff only.
#ifndef DR_DIFF_BASEFILE_H
#define DR_DIFF_BASEFILE_H

#include "diff/format.h"

#define DR_ENTRY_BYTES 24u        // key hash (high, low), row hash
#define DR_ENTRIES_PER_BLOCK 128u // what one look-up reads when the entries do not fit into memory

struct dr_entry {
  uint64_t high, low; // the key's hash: entries are ordered by it
  uint64_t row_hash;
};

struct dr_base {
  char *path; // owned
  struct dr_in in;
  struct dr_file_info info;
  struct dr_footer footer;
  struct dr_rows_in rows;
  struct dray_buffer keys; // 16 bytes per block of entries: its first key
  struct dr_block block;   // the last block of entries that was used
  struct dr_entry run[DR_ENTRIES_PER_BLOCK]; // the same, for dr_base_entries
  uint64_t *entries;       // all of them, three words each, once they are held in memory; else NULL
  uint32_t *directory;     // into them by the top bits of the hash
  unsigned shift;
};
// Checks what must be right before anything is looked up: header, footer, the directories.
DRAY_NODISCARD int32_t dr_base_open(const char *folder, uint64_t number, struct dr_base **out,
                                    struct dray_error *error);
void dr_base_close(struct dr_base *base); // NULL allowed
static inline uint64_t dr_base_rows(const struct dr_base *base) {
  return base->footer.records;
}
// Holds the entries in memory when they need no more than memory_max.
DRAY_NODISCARD int32_t dr_base_hold(struct dr_base *base, uint64_t memory_max, struct dray_error *error);
// *out_number: of the row, UINT64_MAX when the key is not there. Looking up in the order of the keys is cheap.
DRAY_NODISCARD int32_t dr_base_find(struct dr_base *base, uint64_t high, uint64_t low, uint64_t *out_number,
                                    uint64_t *out_row_hash, struct dray_error *error);
DRAY_NODISCARD int32_t dr_base_entry(struct dr_base *base, uint64_t number, struct dr_entry *out,
                                     struct dray_error *error);
// The entries from number `first` on, as many as are at hand (at least one); valid until the next call of this base.
// The way to read them all. `first` < dr_base_rows.
DRAY_NODISCARD int32_t dr_base_entries(struct dr_base *base, uint64_t first, const struct dr_entry **out,
                                       size_t *out_count, struct dray_error *error);
// The row as it was encoded; valid until the next call.
DRAY_NODISCARD int32_t dr_base_row(struct dr_base *base, uint64_t number, struct dray_str *out,
                                   struct dray_error *error);
// Reads all of it and compares every sum.
DRAY_NODISCARD int32_t dr_base_verify(struct dr_base *base, struct dray_error *error);

// ---- writing one ----

struct dr_base_out {
  const char *folder; // borrowed
  char *path;         // owned
  int fd;
  struct dr_out out;
  struct dr_rows_out rows;
  struct dray_buffer entries; // waiting, then in `spilled`
  struct dr_out spilled;
  char *spilled_path;
  struct dr_entry last;
};
DRAY_NODISCARD int32_t dr_base_out_begin(struct dr_base_out *base, const char *folder, const struct dr_file_info *info,
                                         struct dray_error *error);
// Rows come in the order of their key hashes, each once.
DRAY_NODISCARD int32_t dr_base_out_add(struct dr_base_out *base, const struct dr_entry *entry, struct dray_str row,
                                       struct dray_error *error);
// Ends the file and makes it durable (not its name).
DRAY_NODISCARD int32_t dr_base_out_end(struct dr_base_out *base, struct dr_footer *out, uint64_t *out_bytes,
                                       struct dray_error *error);
void dr_base_out_free(struct dr_base_out *base); // the file stays

#endif // DR_DIFF_BASEFILE_H

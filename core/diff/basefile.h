// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// The base of a mirror: an immutable file of rows in the order of their key hashes. Inside core/diff only.
#ifndef DR_DIFF_BASEFILE_H
#define DR_DIFF_BASEFILE_H

#include "diff/bytes.h"
#include "diff/diff.h"
#include "diff/format.h"

#define DR_ENTRIES_PER_BLOCK 256u // what one look-up reads: 4 or 6 KiB
#define DR_ENTRY_BYTES_MAX 24u

struct dr_entry {
  uint64_t high, low; // the key's hash: entries are ordered by it
  uint64_t row_hash;
};

struct dr_base {
  char *path; // owned
  struct dr_in in;
  struct dr_file_info info;
  struct dr_footer footer;
  size_t entry_bytes;      // 16 or 24: a mixed key has no low half
  size_t key_bytes;        // 8 or 16
  int has_rows;            // payloads are kept; without them there are no blocks of rows
  struct dr_rows_in rows;  // payloads
  struct dray_buffer keys; // per block of entries: its first key
  struct dr_block block;   // the last block of entries that was looked into
};
// Checks what must be right before anything is looked up: header, footer, the directories.
DRAY_NODISCARD int32_t dr_base_open(const char *folder, uint64_t number, struct dr_base **out,
                                    struct dray_error *error);
void dr_base_close(struct dr_base *base); // NULL allowed
static inline uint64_t dr_base_rows(const struct dr_base *base) {
  return base->footer.records;
}
// *out_number: of the row, UINT64_MAX when the key is not there. One read of a block; none when the block was the last
// one looked into.
DRAY_NODISCARD int32_t dr_base_find(struct dr_base *base, uint64_t high, uint64_t low, uint64_t *out_number,
                                    uint64_t *out_row_hash, struct dray_error *error);
DRAY_NODISCARD int32_t dr_base_entry(struct dr_base *base, uint64_t number, struct dr_entry *out,
                                     struct dray_error *error);
// The block of entries that the key with the hash `high`, and any low half, or the next one, begins in.
uint64_t dr_base_block_of(const struct dr_base *base, uint64_t high);
// The payload of the row; valid until the next call.
DRAY_NODISCARD int32_t dr_base_row(struct dr_base *base, uint64_t number, struct dray_str *out,
                                   struct dray_error *error);
// Reads all of it and compares every sum.
DRAY_NODISCARD int32_t dr_base_verify(struct dr_base *base, struct dray_error *error);
// Whether files of this kind have blocks of rows at all: there is nothing to keep of a row whose hash is its key.
static inline int dr_base_keeps_rows(const struct dr_file_info *info) {
  return info->keep != DR_KEEP_KEY || !info->mixed;
}

// ---- going through the entries ----

// The way to read many: blocks of entries are read in large pieces and verified, sum and order, one by one as they are
// handed out. Each has its own memory, so that two threads may go through one base.
struct dr_sweep {
  const struct dr_base *base;
  uint8_t *window; // owned
  size_t window_capacity;
  uint64_t window_first, window_count; // blocks in it
  uint64_t verified;                   // the block handed out last, UINT64_MAX: none
  int sparse;                          // set after the init: few blocks are wanted, each is read alone
};
void dr_sweep_init(struct dr_sweep *sweep, const struct dr_base *base); // does not allocate
void dr_sweep_free(struct dr_sweep *sweep);
// The entries from number `first` on as they lie in the file, base->entry_bytes each, as many as are at hand (at least
// one); valid until the next call. `first` < dr_base_rows. @errors MIRROR_CORRUPT, IO, OUT_OF_MEMORY.
DRAY_NODISCARD int32_t dr_sweep_next(struct dr_sweep *sweep, uint64_t first, const uint8_t **out, size_t *out_count,
                                     struct dray_error *error);
static inline struct dr_entry dr_entry_at(const uint8_t *bytes, size_t entry_bytes) {
  if (entry_bytes == 16) return (struct dr_entry){dr_get_u64(bytes), 0, dr_get_u64(bytes + 8)};
  return (struct dr_entry){dr_get_u64(bytes), dr_get_u64(bytes + 8), dr_get_u64(bytes + 16)};
}

// ---- writing one ----

struct dr_base_out {
  int scratch;        // as in dr_mirror_options; may be set after the begin
  const char *folder; // borrowed
  char *path;         // owned
  int fd;
  size_t entry_bytes, key_bytes;
  int has_rows;
  uint64_t count; // entries so far
  struct dr_out out;
  struct dr_rows_out rows;
  struct dray_buffer entries; // waiting for their block; with rows: for the rows to be complete, and then in `spilled`
  struct dray_buffer keys;
  struct dr_out spilled;
  char *spilled_path;
  uint64_t entries_at; // where they begin when no rows stand before them
};
DRAY_NODISCARD int32_t dr_base_out_begin(struct dr_base_out *base, const char *folder, const struct dr_file_info *info,
                                         struct dray_error *error);
// Rows come in the order of their key hashes, each once.
DRAY_NODISCARD int32_t dr_base_out_add(struct dr_base_out *base, const struct dr_entry *entry, struct dray_str payload,
                                       struct dray_error *error);
// `count` entries as another base of the same kind has them; their payloads follow by dr_base_out_payload or _block.
DRAY_NODISCARD int32_t dr_base_out_run(struct dr_base_out *base, const uint8_t *entries, size_t count,
                                       struct dray_error *error);
DRAY_NODISCARD int32_t dr_base_out_payload(struct dr_base_out *base, struct dray_str payload, struct dray_error *error);
// All rows of a packed block, as they are stored.
DRAY_NODISCARD int32_t dr_base_out_block(struct dr_base_out *base, const struct dr_block *block,
                                         struct dray_error *error);
// Ends the file and makes it durable (not its name).
DRAY_NODISCARD int32_t dr_base_out_end(struct dr_base_out *base, struct dr_footer *out, uint64_t *out_bytes,
                                       struct dray_error *error);
void dr_base_out_free(struct dr_base_out *base); // the file stays

#endif // DR_DIFF_BASEFILE_H

// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// The journal of a mirror: frames appended since the base was made. Frames up to the last commit are the mirror, what
// stands behind it is a proposal. Inside core/diff only.
#ifndef DR_DIFF_JOURNAL_H
#define DR_DIFF_JOURNAL_H

#include "diff/format.h"

#define DR_FRAME_HEADER_BYTES 40u
#define DR_FRAME_BYTES_MAX (1u << 30)
#define DR_CHANGE_BYTES 32u // in an ack frame before each payload
#define DR_ACK_BYTES 8u     // in an ack frame before its changes

enum {
  DR_FRAME_SCHEMA = 1, // u32 id, JSON: rows of later frames are encoded under it
  DR_FRAME_ACK = 2,
  DR_FRAME_PREPARE = 3, // u64 generation
  DR_FRAME_COMMIT = 4,  // u64 generation
  DR_FRAME_KINDS
};

struct dr_journal {
  char *path; // owned
  int fd;
  struct dr_file_info info;
  uint64_t mark;    // offset of the mark: how much of the file is known to be durable
  uint64_t durable; // what it said, or what was synced since
  uint64_t frames;  // offset of the first frame
  uint64_t end;     // where the next frame goes
  uint64_t next;    // its number
  struct dray_buffer body;
};

// Makes an empty journal, durable but for its name.
DRAY_NODISCARD int32_t dr_journal_create(const char *folder, const struct dr_file_info *info, struct dray_error *error);
// Opens for reading and, unless `read_only`, for appending at `end`, which dr_journal_scan and dr_journal_cut set.
DRAY_NODISCARD int32_t dr_journal_open(const char *folder, uint64_t number, int read_only, struct dr_journal **out,
                                       struct dray_error *error);
void dr_journal_close(struct dr_journal *journal); // NULL allowed

struct dr_frame {
  uint32_t kind;
  uint64_t number, offset, end;
  uint64_t body_offset;
  struct dray_str body;
};
typedef int32_t dr_frame_visitor(void *ctx, const struct dr_frame *frame, struct dray_error *error);

struct dr_journal_tail {
  uint64_t settled;    // end of the last commit or prepare: what stands behind it is cut
  uint64_t next;       // number of the frame that goes there
  uint64_t torn;       // offset of the first frame that does not verify, 0: none
  uint64_t file_bytes; // the file's length
};
// Visits the frames from the start to `until` (UINT64_MAX: all). A frame that does not verify ends the scan when it is
// the torn tail of an interrupted write. @errors MIRROR_CORRUPT when it cannot be that: what stands there was durable
// once.
DRAY_NODISCARD int32_t dr_journal_scan(struct dr_journal *journal, uint64_t until, dr_frame_visitor *visit, void *ctx,
                                       struct dr_journal_tail *out, struct dray_error *error);
// Cuts the file behind what is settled, durably, and places the next frame there.
DRAY_NODISCARD int32_t dr_journal_cut(struct dr_journal *journal, uint64_t end, uint64_t next,
                                      struct dray_error *error);
// Appends a frame. *out_body: where its body begins in the file; may be NULL.
DRAY_NODISCARD int32_t dr_journal_append(struct dr_journal *journal, uint32_t kind, struct dray_str body,
                                         uint64_t *out_body, struct dray_error *error);
// The same for a frame of `len` bytes in all whose first DR_FRAME_HEADER_BYTES are still to be filled in: one write.
DRAY_NODISCARD int32_t dr_journal_append_frame(struct dr_journal *journal, uint32_t kind, char *frame, size_t len,
                                               uint64_t *out_body, struct dray_error *error);
// Makes everything appended so far durable, and notes that it is.
DRAY_NODISCARD int32_t dr_journal_sync(struct dr_journal *journal, struct dray_error *error);

// Takes back what stands behind `end`, though it may have been synced.
DRAY_NODISCARD int32_t dr_journal_take_back(struct dr_journal *journal, uint64_t end, uint64_t next,
                                            struct dray_error *error);

// One change of an ack frame.
struct dr_change {
  int op; // DRAY_OP_*
  uint64_t high, low, row_hash;
  uint64_t offset;         // of the payload within the body
  struct dray_str payload; // empty for deletes
};
struct dr_change_reader {
  struct dray_str body;
  uint64_t at;
  uint32_t left;
  uint32_t schema; // id under which the rows are encoded
};
// 0 when the body is too short.
int dr_change_reader_init(struct dr_change_reader *reader, struct dray_str body);
int dr_change_next(struct dr_change_reader *reader, struct dr_change *out); // call `left` times
// Writes the DR_CHANGE_BYTES that stand before the payload.
void dr_change_put(char *to, const struct dr_change *change);
// One change read back from the file, `bytes` long: 0 when it is not what dr_change_put wrote with these hashes.
int dr_change_is_true(const char *bytes, size_t len, uint64_t high, uint64_t low, uint64_t row_hash);

#endif // DR_DIFF_JOURNAL_H

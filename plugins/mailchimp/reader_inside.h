// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// What the files of a reader share: reader.c decides which pages there are, activity.c reads the records that are lists
// of rows.
#ifndef MAILCHIMP_READER_INSIDE_H
#define MAILCHIMP_READER_INSIDE_H

#include "reader.h"

#define MC_ACTIVITY_COLUMNS 10

// A page that is to be asked for.
struct mc_task {
  uint32_t parent;
  int32_t is_gap; // between two that did not meet
  uint64_t offset;
};

struct mc_reader {
  struct mc_client *client;
  const struct mc_stream *stream;
  int32_t incremental;
  int64_t start_us;            // DRAY_START_NONE, start_date, or an earlier one that it was begun with
  int32_t tombstones;          // who is in the archive is told as gone
  uint64_t page_size, overlap; // records; how many of them two pages share
  int64_t until_us;            // incremental: no later changes; 0: no end
  struct mc_parents parents;

  struct mc_task *waiting; // the last one is asked for next
  size_t waiting_count, waiting_capacity;
  struct mc_task asked[2 * DRAY_PAGES_AHEAD_MAX]; // of page n at n modulo their number
  uint64_t next_number;
  uint64_t under_way;
  int32_t tried; // how often the page was refused

  // The page that is read.
  struct mc_task current;
  uint64_t page_records;
  int32_t first_was_seen;
  int64_t greatest_us; // of its cursor
  int32_t failed;      // what `wanted` could not tell
  struct mc_seen seen;

  struct dray_buffer total, constant, deleted;
  struct dray_json_capture captures[1];
  struct dray_json_constant constants[2];
  const char *members[2];

  // By hand.
  struct dray_json *tree;
  const struct dray_json *email, *activity;
  ptrdiff_t columns[MC_ACTIVITY_COLUMNS];
};

// Notes a record of the current page; 1 when it was not given out before. Sets reader->failed.
int mc_reader_note(struct mc_reader *reader, struct dray_str id, struct dray_str at);
// dray_pages_terms.take.
DRAY_NODISCARD int32_t mc_activity_take(void *self, uint64_t number, const struct dray_api_answer *answer,
                                        struct dray_builder *builder, int32_t *out_more, struct dray_error *error);

#endif // MAILCHIMP_READER_INSIDE_H

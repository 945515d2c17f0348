// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// What a stream is read by: audiences, groups of interests, segments, campaigns; and the merge fields of audiences.
#ifndef MAILCHIMP_PARENTS_H
#define MAILCHIMP_PARENTS_H

#include "client.h"
#include "streams.h"

// Half of MC_OF_LIST_AND_ARCHIVE: what an audience shows, and its archive, whose members are rows or are gone. The two
// have cursors of their own, so that a change of include_archived takes the whole archive.
enum { MC_HALF_SHOWN = 0, MC_HALF_ARCHIVED = 1, MC_HALF_GONE = 2 };

// One thing that a stream is read by, with where its pages stand.
struct mc_parent {
  char first[40], second[40]; // ids, "" where there is none
  int32_t half;               // MC_HALF_*
  int64_t cursor_us;          // up to there it was read; INT64_MIN: nothing
  int32_t known;              // it was read before, whichever half of it
  int64_t since_us;           // from where on this read reads; INT64_MIN: from the beginning
  int64_t seen_us;            // the greatest value of the pages that were read so far
  uint64_t planned;           // the greatest offset that is to be asked for
  uint32_t open_count;        // pages that are still to be read
  int32_t gaps;               // pages between two others that are still to be read
};

struct mc_parents {
  struct mc_parent *items;
  size_t count, capacity;
};

// Asks for what the stream is read by; archive: of MC_OF_LIST_AND_ARCHIVE the half (MC_HALF_*) that stands behind the
// other. Free with mc_parents_free, also after a failure. @errors CONFIG_VALUE for an audience of list_ids that is not
// there, those of mc_get.
DRAY_NODISCARD int32_t mc_parents_load(struct mc_client *client, const struct mc_stream *stream, int32_t archive,
                                       struct mc_parents *out, struct dray_error *error);
void mc_parents_free(struct mc_parents *parents);

// The merge fields of the audiences as columns: merge_ and the tag in small letters; a tag that is of two types is
// text. `out` was initialised. @errors those of mc_get.
DRAY_NODISCARD int32_t mc_merge_fields_load(struct mc_client *client, struct dray_field_list *out,
                                            struct dray_error *error);
// The same of one audience's answer.
DRAY_NODISCARD int32_t mc_merge_fields_take(const struct dray_json *root, struct dray_field_list *out,
                                            struct dray_error *error);
// The column of a merge field's type.
struct dray_type mc_merge_type(struct dray_str type);
// Writes merge_tag; returns 0 when it does not fit.
int mc_merge_column(struct dray_str tag, char out[64]);

#endif // MAILCHIMP_PARENTS_H

// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// The streams, declared: what they are, where they are asked for, and how their pages follow each other.
#ifndef MAILCHIMP_STREAMS_H
#define MAILCHIMP_STREAMS_H

#include "dray/sdk.h"

// What a stream is read by, one after the other: each has pages of its own.
enum {
  MC_OF_ACCOUNT = 1,
  MC_OF_LIST,
  MC_OF_LIST_AND_ARCHIVE, // an audience's members, then its archived ones
  MC_OF_CATEGORY,         // of an audience's interests
  MC_OF_SEGMENT,
  MC_OF_CAMPAIGN // sent within email_activity_days
};
enum {
  MC_SORTED = 1,       // pages come by the cursor, ascending: each is a safe place
  MC_UNPAGED = 2,      // one answer has all
  MC_LOOKS_BACK = 4,   // incremental reads begin report_lookback_days earlier
  MC_FILTERED = 8,     // the other side cannot be asked for what is new: older records are passed over here
  MC_BY_HAND = 16,     // activities are lists inside of records
  MC_MERGE_FIELDS = 32 // the audiences' merge fields are columns
};

struct mc_stream {
  struct dray_stream_def def;
  int32_t of;           // MC_OF_*
  int32_t flags;        // MC_*
  const char *path;     // %1, %2: the ids of what it is read by
  const char *query;    // always; NULL: none
  const char *records;  // the array's name in the answer
  const char *since;    // the query for what is new; NULL: none
  const char *before;   // the query for an end; NULL: none
  const char *key;      // of a record, for those that come twice
  const char *constant; // the column that holds %1 or %2, where records lack it; NULL: none
  int32_t constant_of;  // 1 or 2
};

extern const struct mc_stream mc_streams[];
extern const size_t mc_stream_count;
const struct mc_stream *mc_stream_find(struct dray_str name); // NULL: none

#endif // MAILCHIMP_STREAMS_H

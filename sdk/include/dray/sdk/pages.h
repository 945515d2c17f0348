// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// A stream that is read page by page from a JSON API: requests go ahead of the rows, every page can be a checkpoint.
// How pages follow each other is the plugin's.
#ifndef DRAY_SDK_PAGES_H
#define DRAY_SDK_PAGES_H

#include "dray/sdk/api.h"
#include "dray/sdk/catalog.h"
#include "dray/stream.h"

#ifdef __cplusplus
extern "C" {
#endif

#define DRAY_PAGES_AHEAD_MAX 16

enum {
  DRAY_PAGE_ASK = 1,  // this is the request
  DRAY_PAGE_WAIT = 2, // it depends on a page that was not read yet
  DRAY_PAGE_END = 3   // there is no such page
};
enum {
  DRAY_PAGE_READ = 1, // read its rows
  DRAY_PAGE_SKIP = 2, // nothing of it is wanted; on to the next
  DRAY_PAGE_AGAIN = 3 // ask for it once more (`ask` is called again); the plugin has waited, or described it otherwise
};

// One request, written by `ask`. The buffers are the stream's and come empty.
struct dray_page_request {
  const char *method; // comes as "GET"
  uint32_t flags;     // DRAY_HTTP_*
  struct dray_buffer path, body;
};

// How a stream is read page by page. Pages are numbered from 0 in the order of their rows. Up to `ahead` of them are
// under way at once as far as `ask` can describe them early; a page whose request is in the page before it is asked for
// as soon as that one's body was read, so that it travels while its rows are written.
struct dray_pages_terms {
  const struct dray_api *api;               // outlives the stream
  struct dray_selection selection;          // taken over, also on failure
  uint64_t batch_rows_max, batch_bytes_max; // of the request
  uint32_t ahead;                           // 0: 1; at most DRAY_PAGES_AHEAD_MAX
  const char *records_path;                 // json.h; copied
  const char *only_with, *only_without;     // these as in dray_json_rows_options; `wanted` gets `self`
  const char *const *members;
  size_t member_count;
  int (*wanted)(void *self, const struct dray_str *values);
  int32_t empty_is_null;
  const struct dray_json_constant *constants; // outlive the stream
  size_t constant_count;
  struct dray_json_capture *captures; // outlive the stream: they are the plugin's, and hold the page's values in `done`
  size_t capture_count;
  const char *name; // for messages: "zendesk tickets"; copied

  void *self;                // the plugin's own; taken over, also on failure
  void (*free_self)(void *); // NULL: nothing to free

  // Describes page `number`; *out = DRAY_PAGE_*. May wait (pacing). Called in order of numbers, and again after AGAIN.
  DRAY_NODISCARD int32_t (*ask)(void *self, uint64_t number, struct dray_page_request *request, int32_t *out,
                                struct dray_error *error);
  // The page was answered, in order of numbers; *out comes as DRAY_PAGE_READ. NULL: a status of 400 and more fails with
  // dray_api_fail.
  DRAY_NODISCARD int32_t (*answered)(void *self, uint64_t number, const struct dray_api_answer *answer, int32_t *out,
                                     struct dray_error *error);
  // The page's answer is larger than the api takes (response_bytes_max); in order of numbers. *out comes as
  // DRAY_PAGE_AGAIN: it has been described smaller. NULL, or an error, which comes filled: the stream ends with that.
  DRAY_NODISCARD int32_t (*too_large)(void *self, uint64_t number, int32_t *out, struct dray_error *error);
  // Reads the page's records into the builder itself, for what json.h cannot say; every row is ended by it. *out_more =
  // 1 when the builder was full before all were read: it is called again for the rest. NULL: by records_path and the
  // selection's fields.
  DRAY_NODISCARD int32_t (*take)(void *self, uint64_t number, const struct dray_api_answer *answer,
                                 struct dray_builder *builder, int32_t *out_more, struct dray_error *error);
  // All of the page's records were read; the captures hold its values. Writes the state from which a later read goes on
  // after this page; nothing written: no safe place. Not called for a page that is skipped. record_count: as `take`
  // ended rows, or as there are records, those passed over included.
  DRAY_NODISCARD int32_t (*done)(void *self, uint64_t number, uint64_t record_count, struct dray_buffer *state,
                                 struct dray_error *error);
};

// Batches end with their page at the latest, so that every page can be a checkpoint; of a page that fails nothing is
// given out. A page that is no JSON is HTTP_CONTENT. Memory: the bodies of `ahead` answers at most, and the rows of one
// page. `terms` is zeroed, also after a failure. @errors CONFIG_VALUE (records_path, a capture's path), OUT_OF_MEMORY.
DRAY_NODISCARD int32_t dray_pages_open(struct dray_pages_terms *terms, struct dray_stream *out,
                                       struct dray_error *error);

#ifdef __cplusplus
}
#endif

#endif // DRAY_SDK_PAGES_H

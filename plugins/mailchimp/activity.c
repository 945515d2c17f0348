// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// email_activity: a record is a recipient with a list of what it did, and each of these becomes a row. A page is a
// thousand recipients at most, so it is read as a tree.
#include "reader_inside.h"

#define TREE_BYTES_MAX (64u << 20)

enum { CAMPAIGN_ID, LIST_ID, EMAIL_ID, EMAIL_ADDRESS, ACTION, TIMESTAMP, OCCURRENCE, TYPE, URL, IP };

static struct dray_str text_of(const struct dray_json *object, const char *name) {
  return dray_json_string(dray_json_get(object, name), "");
}

static int32_t put(const struct mc_reader *reader, struct dray_builder *builder, int column, struct dray_str text,
                   struct dray_error *error) {
  const ptrdiff_t at = reader->columns[column];
  if (at < 0) return DRAY_OK;
  if (text.len == 0) return dray_builder_null(builder, (size_t)at, error);
  struct dray_error why;
  dray_error_init(&why);
  const int32_t rc = dray_builder_text(builder, (size_t)at, text, &why);
  return rc == DRAY_OK ? DRAY_OK : dray_builder_misfit(builder, (size_t)at, &why, error);
}

// How many of the same kind in the same second the recipient did before this one.
static int64_t occurrence(const struct dray_json *list, const struct dray_json *activity) {
  int64_t count = 0;
  for (const struct dray_json *other = list->child; other != activity; other = other->next) {
    count += dray_str_equal(text_of(other, "action"), text_of(activity, "action")) &&
             dray_str_equal(text_of(other, "timestamp"), text_of(activity, "timestamp"));
  }
  return count;
}

static int32_t put_row(const struct mc_reader *reader, struct dray_builder *builder, struct dray_error *error) {
  static const struct {
    int column;
    const char *name;
    int of_activity;
  } texts[] = {{CAMPAIGN_ID, "campaign_id", 0},
               {LIST_ID, "list_id", 0},
               {EMAIL_ID, "email_id", 0},
               {EMAIL_ADDRESS, "email_address", 0},
               {ACTION, "action", 1},
               {TIMESTAMP, "timestamp", 1},
               {TYPE, "type", 1},
               {URL, "url", 1},
               {IP, "ip", 1}};
  for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
    const struct dray_json *from = texts[i].of_activity ? reader->activity : reader->email;
    DRAY_TRY(put(reader, builder, texts[i].column, text_of(from, texts[i].name), error));
  }
  const ptrdiff_t at = reader->columns[OCCURRENCE];
  if (at < 0) return DRAY_OK;
  const struct dray_json *list = dray_json_get(reader->email, "activity");
  return dray_builder_int64(builder, (size_t)at, occurrence(list, reader->activity), error);
}

static int32_t take_row(const struct mc_reader *reader, struct dray_builder *builder, int32_t *out_full,
                        struct dray_error *error) {
  DRAY_TRY(put_row(reader, builder, error));
  return dray_builder_end_row(builder, out_full, error);
}

static int32_t begin_page(struct mc_reader *reader, const struct dray_api_answer *answer, struct dray_error *error) {
  DRAY_TRY(dray_api_json(answer, TREE_BYTES_MAX, &reader->tree, error));
  const struct dray_json *emails = dray_json_get(reader->tree, reader->stream->records);
  const struct dray_json *total = dray_json_get(reader->tree, "total_items");
  dray_buffer_clear(&reader->total);
  reader->email = reader->activity = NULL;
  if (emails == NULL || emails->kind != DRAY_JSON_ARRAY) {
    return dray_fail(error, DRAY_E_HTTP_CONTENT, "email_activity: the answer has no emails");
  }
  if (total != NULL && total->kind == DRAY_JSON_NUMBER) {
    DRAY_TRY(dray_buffer_append(&reader->total, total->text.data, (size_t)total->text.len, error));
  }
  reader->email = emails->child;
  return DRAY_OK;
}

// Goes to the recipient's first activity, or on to the next recipient that has some and was not read before.
static void find_activity(struct mc_reader *reader) {
  while (reader->email != NULL && reader->activity == NULL) {
    const struct dray_json *list = dray_json_get(reader->email, "activity");
    const struct dray_str none = {NULL, 0};
    const int is_new = mc_reader_note(reader, text_of(reader->email, "email_id"), none);
    if (is_new && list != NULL && list->kind == DRAY_JSON_ARRAY) reader->activity = list->child;
    if (reader->activity == NULL) reader->email = reader->email->next;
  }
}

static void note_time(struct mc_reader *reader) {
  int64_t us = 0;
  const struct dray_str at = text_of(reader->activity, "timestamp");
  if (dray_parse_timestamp(at, &us, NULL) == DRAY_OK && us > reader->greatest_us) reader->greatest_us = us;
}

int32_t mc_activity_take(void *self, uint64_t number, const struct dray_api_answer *answer,
                         struct dray_builder *builder, int32_t *out_more, struct dray_error *error) {
  struct mc_reader *reader = self;
  int32_t full = 0;
  (void)number;
  if (reader->tree == NULL) {
    DRAY_TRY(begin_page(reader, answer, error));
    find_activity(reader);
  }
  while (reader->email != NULL && !full) {
    note_time(reader);
    DRAY_TRY(take_row(reader, builder, &full, error));
    reader->activity = reader->activity->next;
    if (reader->activity == NULL) {
      reader->email = reader->email->next;
      find_activity(reader);
    }
  }
  *out_more = reader->email != NULL;
  if (*out_more) return DRAY_OK;
  dray_json_free(reader->tree);
  reader->tree = NULL;
  return DRAY_OK;
}

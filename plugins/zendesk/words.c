// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// What Zendesk says of a request or a row that it did not take. Its errors have many shapes: `error` is a code, a
// sentence or an object of title and message; `description` and `message` say more; `details` is a text, or lists by
// field.
#include <stdio.h>

#include "client.h"

struct words {
  char *out;
  size_t len;
};

static void put(struct words *words, const char *separator, struct dray_str text) {
  if (text.len == 0) return;
  const char *before = words->len > 0 ? separator : "";
  const size_t room = ZENDESK_WORDS_BYTES_MAX - words->len;
  const size_t need = strlen(before) + (size_t)text.len;
  size_t take = need <= room ? (size_t)text.len : 0;
  if (need > room && room > strlen(before) + 4) { // cut at a UTF-8 border
    take = room - strlen(before);
    while (take > 0 && ((unsigned char)text.data[take] & 0xC0) == 0x80) take--;
  }
  if (take == 0) return;
  memcpy(words->out + words->len, before, strlen(before));
  memcpy(words->out + words->len + strlen(before), text.data, take);
  words->len += strlen(before) + take;
  words->out[words->len] = '\0';
}

static void put_string(struct words *words, const char *separator, const struct dray_json *value) {
  if (value != NULL && value->kind == DRAY_JSON_STRING) put(words, separator, value->text);
}

// {"email": [{"description": "...", "error": "..."}], ...}
static void put_details(struct words *words, const struct dray_json *details) {
  if (details == NULL) return;
  put_string(words, ": ", details);
  if (details->kind != DRAY_JSON_OBJECT) return;
  for (const struct dray_json *field = details->child; field != NULL; field = field->next) {
    const struct dray_json *item = field->kind == DRAY_JSON_ARRAY ? field->child : field;
    for (; item != NULL; item = field->kind == DRAY_JSON_ARRAY ? item->next : NULL) {
      const struct dray_json *said = item->kind == DRAY_JSON_OBJECT ? dray_json_get(item, "description") : item;
      if (said == NULL || said->kind != DRAY_JSON_STRING) continue;
      put(words, "; ", field->name);
      put(words, ": ", said->text);
    }
  }
}

static void collect(const struct dray_json *object, struct words *words) {
  const struct dray_json *error = dray_json_get(object, "error");
  put_string(words, ": ", error);
  put_string(words, ": ", dray_json_get(error, "title"));
  put_string(words, ": ", dray_json_get(error, "message"));
  put_string(words, ": ", dray_json_get(object, "description"));
  put_string(words, ": ", dray_json_get(object, "error_description"));
  put_string(words, ": ", dray_json_get(object, "message"));
  put_details(words, dray_json_get(object, "details"));
  const struct dray_json *errors = dray_json_get(object, "errors");
  put_string(words, ": ", errors);
  for (const struct dray_json *item = errors != NULL ? errors->child : NULL; item != NULL; item = item->next) {
    put_string(words, "; ", item);
    put_string(words, "; ", dray_json_get(item, "title"));
    put_string(words, ": ", dray_json_get(item, "detail"));
  }
}

void zendesk_words_of(const struct dray_json *object, char *out) {
  struct words words = {out, 0};
  out[0] = '\0';
  if (object != NULL && object->kind == DRAY_JSON_OBJECT) collect(object, &words);
}

void zendesk_words(const struct dray_api_answer *answer, char *out) {
  struct dray_json *root = NULL;
  struct dray_error why;
  dray_error_init(&why);
  out[0] = '\0';
  if (dray_json_parse(dray_buffer_view(&answer->body), 1u << 20, &root, &why) != DRAY_OK) return;
  zendesk_words_of(root, out);
  dray_json_free(root);
}

int zendesk_lacks_scope(const struct dray_api_answer *answer) {
  char words[ZENDESK_WORDS_BYTES_MAX + 1];
  zendesk_words(answer, words);
  return answer->status == 403 && strstr(words, "scope") != NULL;
}

int32_t zendesk_fail(const struct dray_api_answer *answer, const char *doing, struct dray_error *error) {
  char words[ZENDESK_WORDS_BYTES_MAX + 1];
  zendesk_words(answer, words);
  const int32_t rc = dray_api_fail(answer, doing, words[0] != '\0' ? words : NULL, error);
  if (answer->status == 409) {
    return dray_fail(error, DRAY_E_BUSY, "%s: 409: %s", doing, words[0] != '\0' ? words : "a conflict");
  }
  return rc;
}

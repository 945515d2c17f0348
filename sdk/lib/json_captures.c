// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Values beside the records of a document. Every path is followed on its own, by how many of its containers are open: a
// page has a few such values and hundreds of records, which never come here.
#include <stdio.h>
#include <stdlib.h>

#include "json_rows_inside.h"

// ---- making ----

static int32_t refuse(const char *path, const char *why, struct dray_error *error) {
  return dray_fail(error, DRAY_E_CONFIG_VALUE, "the path '%.200s' beside the records %s", path, why);
}

// Whether the path leads to, into or around what another one names. `name` has room for a name of the path.
static int meet(const struct dray_json_watch *watch, const struct dray_json_step *others, size_t other_count,
                char *name) {
  for (size_t i = 0; i < watch->step_count && i < other_count; i++) {
    const size_t len = dray_json_step_name(&watch->steps[i], name);
    if (others[i].kind != DRAY_JSON_STEP_NAME) return 0; // an array, which names do not lead into
    if (!dray_json_step_is(&others[i], dray_str_make(name, len))) return 0;
  }
  return 1;
}

static int32_t check_watch(const struct dray_json_rows *rows, const struct dray_json_watch *watch,
                           struct dray_error *error) {
  const char *path = watch->capture->path;
  char *name = malloc(strlen(path) + 1);
  if (name == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for a JSON reader");
  int32_t rc = DRAY_OK;
  if (meet(watch, rows->steps, rows->step_count, name)) rc = refuse(path, "leads into them or around them", error);
  for (const struct dray_json_watch *other = rows->watches; rc == DRAY_OK && other != watch; other++) {
    if (meet(watch, other->steps, other->step_count, name)) rc = refuse(path, "meets another one", error);
  }
  free(name);
  return rc;
}

static int32_t make_watch(struct dray_json_capture *capture, struct dray_json_watch *out, struct dray_error *error) {
  const char *path = capture->path;
  out->capture = capture;
  out->steps = calloc(strlen(path) + 1, sizeof(*out->steps)); // more than any path has
  if (out->steps == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for a JSON reader");
  for (const char *at = path;; out->step_count++) {
    struct dray_json_step *step = &out->steps[out->step_count];
    DRAY_TRY(dray_json_step_next(path, &at, step, error));
    if (step->kind == DRAY_JSON_STEP_END) break;
    if (step->kind != DRAY_JSON_STEP_NAME) return refuse(path, "has more than names", error);
  }
  return out->step_count > 0 ? DRAY_OK : refuse(path, "is empty", error);
}

int32_t dray_json_captures_make(struct dray_json_rows *rows, struct dray_json_capture *captures, size_t capture_count,
                                struct dray_error *error) {
  rows->taken = DRAY_JSON_NOTHING_TAKEN;
  if (capture_count == 0) return DRAY_OK;
  if (rows->lines) return refuse(captures[0].path, "is not for JSON Lines, where every line is a record", error);
  rows->watches = calloc(capture_count, sizeof(*rows->watches));
  if (rows->watches == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for a JSON reader");
  for (size_t i = 0; i < capture_count; i++) {
    rows->watch_count++;
    DRAY_TRY(make_watch(&captures[i], &rows->watches[i], error));
    DRAY_TRY(check_watch(rows, &rows->watches[i], error));
  }
  dray_json_captures_forget(rows);
  return DRAY_OK;
}

void dray_json_captures_free(struct dray_json_rows *rows) {
  for (size_t i = 0; i < rows->watch_count; i++) free(rows->watches[i].steps);
  free(rows->watches);
  rows->watches = NULL;
  rows->watch_count = 0;
}

void dray_json_captures_forget(struct dray_json_rows *rows) {
  rows->taken = DRAY_JSON_NOTHING_TAKEN;
  for (size_t i = 0; i < rows->watch_count; i++) {
    struct dray_json_watch *watch = &rows->watches[i];
    watch->matched = 0;
    watch->hit = 0;
    watch->capture->found = 0;
    dray_buffer_clear(watch->capture->out);
  }
}

// ---- what comes ----

static int fail(struct dray_json_rows *rows, int32_t code, const char *path, const char *why) {
  char text[DRAY_ERROR_TEXT_MAX];
  (void)snprintf(text, sizeof(text), "%.200s: %.700s", path, why);
  return dray_json_rows_stop(rows, dray_json_rows_fail_here(rows, rows->error, code, text));
}

static int judge(struct dray_json_rows *rows, const struct dray_json_watch *watch, int32_t code) {
  return code == DRAY_OK || fail(rows, code, watch->capture->path, rows->bad.text);
}

static int check_text(struct dray_json_rows *rows, const struct dray_json_watch *watch, struct dray_str text,
                      int lone) {
  if (lone) {
    return fail(rows, DRAY_E_DATA_UTF8, watch->capture->path,
                "a \\u escape is one half of a surrogate pair without the other");
  }
  return dray_utf8_valid(text.data, text.len) ||
         fail(rows, DRAY_E_DATA_UTF8, watch->capture->path, "the text is not valid UTF-8");
}

// The watch that the value which begins now is for, NULL when it is for none. Every value takes back the hits.
static int claim(struct dray_json_rows *rows, int32_t kind, struct dray_json_watch **out) {
  *out = NULL;
  if (rows->depth == 0) dray_json_captures_forget(rows);
  for (size_t i = 0; i < rows->watch_count; i++) {
    struct dray_json_watch *watch = &rows->watches[i];
    if (!watch->hit) continue;
    watch->hit = 0;
    if (watch->matched + 1 < watch->step_count) {
      if (kind == DRAY_JSON_OBJECT) watch->matched++;
      continue;
    }
    if (watch->capture->found != 0) {
      return fail(rows, DRAY_E_DATA_JSON, watch->capture->path, "the member stands twice in one document");
    }
    watch->capture->found = kind;
    *out = watch;
  }
  return 1;
}

int dray_json_captures_key(struct dray_json_rows *rows, struct dray_str name, int lone) {
  if (rows->taken != DRAY_JSON_NOTHING_TAKEN) {
    const struct dray_json_watch *watch = &rows->watches[rows->taken];
    return check_text(rows, watch, name, lone) &&
           judge(rows, watch, dray_json_emit_key(&rows->taken_emitter, name, &rows->bad));
  }
  for (size_t i = 0; i < rows->watch_count; i++) {
    struct dray_json_watch *watch = &rows->watches[i];
    const int here = (size_t)rows->depth == watch->matched + 1;
    watch->hit = here && !lone && dray_json_step_is(&watch->steps[watch->matched], name);
  }
  return 1;
}

int dray_json_captures_scalar(struct dray_json_rows *rows, int32_t kind, struct dray_str text, int lone) {
  if (rows->taken != DRAY_JSON_NOTHING_TAKEN) {
    const struct dray_json_watch *watch = &rows->watches[rows->taken];
    if (kind != DRAY_JSON_STRING) {
      return judge(rows, watch, dray_json_emit_literal(&rows->taken_emitter, text, &rows->bad));
    }
    return check_text(rows, watch, text, lone) &&
           judge(rows, watch, dray_json_emit_string(&rows->taken_emitter, text, &rows->bad));
  }
  struct dray_json_watch *watch = NULL;
  if (!claim(rows, kind, &watch)) return 0;
  if (watch == NULL) return 1;
  if (kind == DRAY_JSON_STRING && !check_text(rows, watch, text, lone)) return 0;
  return judge(rows, watch, dray_buffer_append(watch->capture->out, text.data, (size_t)text.len, &rows->bad));
}

int dray_json_captures_open(struct dray_json_rows *rows, int32_t kind) {
  const char bracket = kind == DRAY_JSON_OBJECT ? '{' : '[';
  if (rows->taken != DRAY_JSON_NOTHING_TAKEN) {
    return judge(rows, &rows->watches[rows->taken], dray_json_emit_open(&rows->taken_emitter, bracket, &rows->bad));
  }
  struct dray_json_watch *watch = NULL;
  if (!claim(rows, kind, &watch)) return 0;
  if (watch == NULL) return 1;
  rows->taken = (size_t)(watch - rows->watches);
  rows->taken_depth = rows->depth + 1;
  rows->taken_emitter = (struct dray_json_emitter){.out = watch->capture->out};
  return judge(rows, watch, dray_json_emit_open(&rows->taken_emitter, bracket, &rows->bad));
}

int dray_json_captures_close(struct dray_json_rows *rows, char bracket) {
  if (rows->taken != DRAY_JSON_NOTHING_TAKEN) {
    const struct dray_json_watch *watch = &rows->watches[rows->taken];
    if (rows->depth == rows->taken_depth) rows->taken = DRAY_JSON_NOTHING_TAKEN;
    return judge(rows, watch, dray_json_emit_close(&rows->taken_emitter, bracket, &rows->bad));
  }
  for (size_t i = 0; i < rows->watch_count; i++) {
    struct dray_json_watch *watch = &rows->watches[i];
    if (watch->matched > 0 && (size_t)rows->depth == watch->matched + 1) watch->matched--;
  }
  return 1;
}

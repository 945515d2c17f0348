// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Reading and replacing the head. What was read is written out again and compared, so that nothing but the exact form
// that this file writes is ever believed.
#include "diff/head.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/file.h"
#include "diff/bytes.h"
#include "diff/format.h"

#define HEAD_BYTES_MAX 512
#define SUM_LINE "sum %016" PRIx64 "\n"
#define SUM_LINE_BYTES 21u

static size_t render(const struct dr_head *head, char *out) {
  int len = snprintf(out, HEAD_BYTES_MAX,
                     "dray mirror %u\nnumber %" PRIu64 "\ngeneration %" PRIu64 "\nbase_bytes %" PRIu64
                     "\nbase_digest %016" PRIx64 "\nseed_id %016" PRIx64 "\nschema %016" PRIx64 "\n",
                     DR_FORMAT_VERSION, head->number, head->generation, head->base_bytes, head->base_digest,
                     head->seed_id, head->schema);
  len += snprintf(out + len, HEAD_BYTES_MAX - (size_t)len, SUM_LINE, dr_sum(out, (size_t)len, 0));
  return (size_t)len;
}

static int32_t parse(const char *path, struct dray_str text, struct dr_head *out, struct dray_error *error) {
  char copy[HEAD_BYTES_MAX + 1], again[HEAD_BYTES_MAX];
  unsigned version = 0;
  struct dr_head head;
  memcpy(copy, text.data, (size_t)text.len);
  copy[text.len] = '\0';
  if (text.len < SUM_LINE_BYTES) return dr_corrupt(error, path, 0, "it has %llu bytes", (unsigned long long)text.len);
  const size_t summed = (size_t)text.len - SUM_LINE_BYTES;
  (void)snprintf(again, sizeof again, SUM_LINE, dr_sum(text.data, summed, 0));
  if (strcmp(copy + summed, again) != 0) return dr_corrupt(error, path, 0, "its checksum is wrong");
  const int fields = sscanf(copy,
                            "dray mirror %u number %" SCNu64 " generation %" SCNu64 " base_bytes %" SCNu64
                            " base_digest %" SCNx64 " seed_id %" SCNx64 " schema %" SCNx64,
                            &version, &head.number, &head.generation, &head.base_bytes, &head.base_digest,
                            &head.seed_id, &head.schema);
  if (fields >= 1 && version != DR_FORMAT_VERSION) {
    return dray_fail(error, DRAY_E_STATE_VERSION, "%s has format %u, this version of dray knows %u: " DR_WAYS_OUT, path,
                     version, DR_FORMAT_VERSION);
  }
  if (fields != 7) return dr_corrupt(error, path, 0, "it is not the head of a mirror");
  const size_t len = render(&head, again);
  if (len != text.len || memcmp(again, text.data, len) != 0) {
    return dr_corrupt(error, path, 0, "it is not in the form it is written in");
  }
  *out = head;
  return DRAY_OK;
}

int32_t dr_head_read(const char *folder, struct dr_head *out, struct dray_error *error) {
  char *path = dr_path_join(folder, DR_HEAD_NAME);
  if (path == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for the path of a mirror");
  struct dray_buffer text;
  dray_buffer_init(&text, 1u << 20);
  int32_t rc = DRAY_OK;
  if (!dr_file_exists(path)) {
    rc = dray_fail(error, DRAY_E_MIRROR_MISSING, "there is no mirror in %s", folder);
  } else {
    rc = dr_file_read(path, 1u << 19, &text, error);
    if (rc == DRAY_E_LIMIT || (rc == DRAY_OK && (text.len == 0 || text.len >= HEAD_BYTES_MAX))) {
      rc = dr_corrupt(error, path, 0, "it has %zu bytes", text.len);
    } else if (rc == DRAY_OK) {
      rc = parse(path, dray_buffer_view(&text), out, error);
    }
  }
  dray_buffer_free(&text);
  free(path);
  return rc;
}

int32_t dr_head_replace(const char *folder, const struct dr_head *head, struct dray_error *error) {
  char text[HEAD_BYTES_MAX];
  const size_t len = render(head, text);
  char *path = dr_path_join(folder, DR_HEAD_NAME);
  if (path == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for the path of a mirror");
  const int32_t rc = dr_file_replace(path, dray_str_make(text, len), error);
  free(path);
  return rc;
}

// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// The entry point of the probe, its setting and its files.
#include "probe.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct settings {
  char *path;
};

static const struct dray_setting table[] = {{.name = "path",
                                             .kind = DRAY_SETTING_STRING,
                                             .required = 1,
                                             .offset = offsetof(struct settings, path),
                                             .description = "the folder of the script"}};

int32_t probe_spec(struct dray_str *out_json, struct dray_error *error) {
  (void)error;
  *out_json =
      dray_str_of("{\"type\":\"object\",\"properties\":{\"path\":{\"type\":\"string\"}},\"required\":[\"path\"],"
                  "\"additionalProperties\":false}");
  return DRAY_OK;
}

int32_t probe_init(struct probe *probe, const struct dray_host *host, struct dray_str config_json,
                   struct dray_error *error) {
  struct settings settings = {NULL};
  dray_buffer_init(&probe->document, PROBE_FILE_BYTES_MAX);
  DRAY_TRY(dray_services_init(&probe->services, host, error));
  DRAY_TRY(dray_config_bind(table, 1, config_json, &settings, error));
  probe->path = settings.path;
  return DRAY_OK;
}

void probe_free(struct probe *probe) {
  free(probe->path);
  dray_buffer_free(&probe->document);
}

int32_t probe_read(const struct probe *probe, const char *name, struct dray_buffer *out, struct dray_error *error) {
  char path[4096];
  char chunk[4096];
  (void)snprintf(path, sizeof(path), "%s/%s", probe->path, name);
  const int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return DRAY_OK;
  int32_t rc = DRAY_OK;
  for (;;) {
    const ssize_t n = read(fd, chunk, sizeof(chunk));
    if (n <= 0) break;
    rc = dray_buffer_append(out, chunk, (size_t)n, error);
    if (rc != DRAY_OK) break;
  }
  (void)close(fd);
  return rc;
}

int32_t probe_append(const struct probe *probe, const char *name, struct dray_str text, struct dray_error *error) {
  char path[4096];
  (void)snprintf(path, sizeof(path), "%s/%s", probe->path, name);
  const int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  const ssize_t n = fd >= 0 ? write(fd, text.data, text.len) : -1;
  if (fd >= 0) (void)close(fd);
  return n == (ssize_t)text.len ? DRAY_OK : dray_fail(error, DRAY_E_IO, "%s: %s", path, strerror(errno));
}

int32_t probe_script(const struct probe *probe, struct dray_json **out, struct dray_error *error) {
  struct dray_buffer text;
  dray_buffer_init(&text, PROBE_FILE_BYTES_MAX);
  int32_t rc = probe_read(probe, "script.json", &text, error);
  if (rc == DRAY_OK) rc = dray_json_parse(dray_buffer_view(&text), PROBE_FILE_BYTES_MAX, out, error);
  dray_buffer_free(&text);
  return rc;
}

int64_t probe_number(const struct dray_json *script, const char *name, int64_t otherwise) {
  const struct dray_json *value = dray_json_get(script, name);
  return value != NULL && value->kind == DRAY_JSON_NUMBER ? strtoll(value->text.data, NULL, 10) : otherwise;
}

int32_t dray_plugin_entry_v1(const struct dray_host *host, struct dray_plugin *out, struct dray_error *error) {
  (void)host;
  (void)error;
  out->abi_minor = DRAY_ABI_MINOR;
  out->name = dray_str_of("probe");
  out->version = dray_str_of("0.1.0");
  out->source = &probe_source;
  out->destination = &probe_destination;
  return DRAY_OK;
}

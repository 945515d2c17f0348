// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// probe PLUGIN_FOLDER CONFIG_JSON STREAM: loads a plugin with the real loader, reads one stream to its end through the
// real wrappers, and prints the number of rows. What test_out_of_tree.py does with a plugin that was built elsewhere.
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "dray/sdk/column.h"
#include "plugin/calls.h"

static struct dray_error error;

static int32_t read_all(struct dr_source_instance *source, const char *stream_name, int64_t *out_rows) {
  const struct dray_read_request request = {.struct_size = sizeof(request),
                                            .mode = DRAY_READ_FULL,
                                            .stream = dray_str_of(stream_name),
                                            .batch_bytes_max = 1 << 20,
                                            .batch_rows_max = 2};
  struct dray_stream stream;
  struct ArrowSchema schema;
  DRAY_TRY(dr_source_open(source, &request, &stream, &error));
  int32_t rc = dr_stream_schema(&stream, source->label, &schema, &error);
  const int has_schema = rc == DRAY_OK;
  int64_t rows = -1;
  *out_rows = 0;
  while (rc == DRAY_OK && rows != 0) {
    struct ArrowArray batch;
    struct dray_str position;
    rc = dr_stream_next(&stream, source->label, &schema, &batch, &rows, &error);
    if (rc != DRAY_OK) break;
    dray_array_release(&batch);
    *out_rows += rows;
    rc = dr_stream_state(&stream, source->label, &position, &error);
  }
  if (has_schema) dray_schema_release(&schema);
  dr_stream_close(&stream, source->label);
  return rc;
}

static int32_t use(const struct dr_plugin *plugin, struct dr_host *host, const char *config, const char *stream,
                   int64_t *out_rows) {
  struct dr_source_instance source;
  struct dray_str json;
  DRAY_TRY(dr_plugin_spec(plugin, DR_ROLE_SOURCE, &json, &error));
  DRAY_TRY(dr_source_create(plugin, host, "probe", dray_str_of(config), &source, &error));
  int32_t rc = dr_source_check(&source, &json, &error);
  if (rc == DRAY_OK) rc = dr_source_discover(&source, &json, &error);
  if (rc == DRAY_OK) rc = read_all(&source, stream, out_rows);
  dr_source_destroy(&source);
  return rc;
}

int main(int argc, char **argv) {
  struct dr_manifest manifest;
  struct dr_plugin *plugin = NULL;
  struct dr_host *host = NULL;
  int64_t rows = 0;
  const struct dr_host_options options = {.connection = "probe"};
  if (argc != 4) {
    (void)fprintf(stderr, "usage: probe PLUGIN_FOLDER CONFIG_JSON STREAM\n");
    return 2;
  }
  int32_t rc = dr_manifest_read(argv[1], &manifest, &error);
  if (rc == DRAY_OK) rc = dr_plugin_load(&manifest, &plugin, &error);
  if (rc == DRAY_OK) rc = dr_host_new(&options, &host, &error);
  if (rc == DRAY_OK) rc = use(plugin, host, argv[2], argv[3], &rows);
  dr_host_free(host);
  if (rc != DRAY_OK) {
    (void)fprintf(stderr, "%s: %s\n", dray_error_info(rc)->name, error.text);
    return 1;
  }
  (void)printf("%" PRId64 "\n", rows);
  return 0;
}

// Loads the plugin as a host does, reads with it, goes on from every position, and writes with it. The host here is the
// least that works: for what a real one checks, run `dray plugin test`.
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "dray/sdk.h"

#define EXPECT(condition)                                                                                              \
  do {                                                                                                                 \
    if (!(condition)) {                                                                                                \
      fprintf(stderr, "%s:%d: %s (last error: %s)\n", __FILE__, __LINE__, #condition, error.text);                     \
      exit(1);                                                                                                         \
    }                                                                                                                  \
  } while (0)
#define EXPECT_OK(call) EXPECT((call) == DRAY_OK)

static struct dray_error error;

// ---- the least of a host ----

static void log_write(void *ctx, uint32_t level, struct dray_str message) {
  (void)ctx, (void)level;
  fprintf(stderr, "plugin: %.*s\n", DRAY_STR_ARG(message));
}
static uint32_t not_cancelled(void *ctx) {
  (void)ctx;
  return 0;
}

static const void *find_service(void *ctx, uint32_t id) {
  static const struct dray_log_service log = {sizeof(log), DRAY_LOG_INFO, NULL, log_write};
  static const struct dray_cancel_service cancel = {sizeof(cancel), 0, NULL, not_cancelled};
  static const struct dray_clock_service clock = {.struct_size = sizeof(clock)};
  static const struct dray_http_service http = {.struct_size = sizeof(http)};
  static const struct dray_secrets_service secrets = {.struct_size = sizeof(secrets)};
  static const struct dray_state_service state = {.struct_size = sizeof(state)};
  static const struct dray_metrics_service metrics = {.struct_size = sizeof(metrics)};
  static const struct dray_random_service random = {.struct_size = sizeof(random)};
  const void *const services[] = {NULL, &log, &cancel, &clock, &http, &secrets, &state, &metrics, &random};
  (void)ctx;
  return id < sizeof(services) / sizeof(services[0]) ? services[id] : NULL;
}

static const struct dray_host host = {sizeof(host), DRAY_ABI_MINOR, NULL, find_service};

static struct dray_plugin load(const char *path) {
  void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  if (library == NULL) {
    fprintf(stderr, "%s\n", dlerror());
    exit(1);
  }
  dray_plugin_entry_fn *entry = NULL;
  void *symbol = dlsym(library, DRAY_PLUGIN_ENTRY_SYMBOL);
  memcpy(&entry, &symbol, sizeof(entry));
  EXPECT(entry != NULL);
  struct dray_plugin plugin = {.struct_size = sizeof(plugin)};
  EXPECT_OK(entry(&host, &plugin, &error));
  EXPECT(plugin.source != NULL && plugin.destination != NULL);
  return plugin;
}

// ---- reading ----

static const char *const lines[] = {
    "{\"id\":1,\"name\":\"Ada\",\"amount\":12.50,\"updated_at\":\"2024-02-29T12:00:00Z\"}\n",
    "{\"id\":2,\"name\":null,\"amount\":\"0.01\"}\n",
    "{\"id\":3,\"amount\":1e99}\n", // cannot be read: a row with a reason
    "{\"id\":4,\"name\":\"\\u00d6\"}"};

static void write_file(const char *path) {
  FILE *file = fopen(path, "w");
  EXPECT(file != NULL);
  for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) EXPECT(fputs(lines[i], file) >= 0);
  EXPECT(fclose(file) == 0);
}

static struct dray_stream open_at(const struct dray_plugin *plugin, struct dray_source *source, const char *state) {
  const struct dray_read_request request = {.struct_size = sizeof(request),
                                            .mode = DRAY_READ_FULL,
                                            .stream = dray_str_of("records"),
                                            .state = dray_str_of(state),
                                            .batch_bytes_max = 1 << 20,
                                            .batch_rows_max = 1};
  struct dray_stream stream = {.struct_size = sizeof(stream)};
  EXPECT_OK(plugin->source->open(source, &request, &stream, &error));
  return stream;
}

// Adds what the stream still has to `out`, as text; stops after `batches`. Writes the position reached.
static void read_some(struct dray_stream *stream, int batches, struct dray_buffer *out, char *state,
                      size_t state_bytes) {
  struct ArrowSchema schema;
  EXPECT_OK(stream->schema(stream, &schema, &error));
  for (; batches > 0; batches--) {
    struct ArrowArray batch = {0};
    struct dray_view view;
    EXPECT_OK(stream->next(stream, &batch, &error));
    if (batch.release == NULL) break;
    EXPECT_OK(dray_view_init(&view, &schema, &batch, &error));
    for (uint64_t row = 0; row < view.row_count; row++) {
      for (size_t i = 0; i < view.column_count; i++) {
        if (!dray_column_is_null(&view.columns[i], row))
          EXPECT_OK(dray_column_text(&view.columns[i], row, out, &error));
        EXPECT_OK(dray_buffer_append_str(out, "|", &error));
      }
      EXPECT_OK(dray_buffer_append_str(out, "\n", &error));
    }
    dray_view_free(&view);
    dray_array_release(&batch);
  }
  struct dray_str position = {NULL, 0};
  EXPECT_OK(stream->state(stream, &position, &error));
  (void)snprintf(state, state_bytes, "%.*s", DRAY_STR_ARG(position));
  dray_schema_release(&schema);
  stream->close(stream);
}

static void test_reading_goes_on_from_every_position(const struct dray_plugin *plugin, struct dray_source *source) {
  struct dray_buffer whole;
  char state[64];
  dray_buffer_init(&whole, 1 << 20);
  struct dray_stream stream = open_at(plugin, source, "");
  read_some(&stream, 100, &whole, state, sizeof(state));
  EXPECT(strstr(whole.data, "1|Ada|12.50|2024-02-29T12:00:00Z||\n") == whole.data);
  EXPECT(strstr(whole.data, "2||0.01|||\n") != NULL);
  EXPECT(strstr(whole.data, "\n3||||data_") != NULL); // the third keeps what could be read
  EXPECT(strstr(whole.data, "4|\xc3\x96||||\n") != NULL);
  for (int first = 0; first <= 4; first++) {
    struct dray_buffer parts;
    dray_buffer_init(&parts, 1 << 20);
    stream = open_at(plugin, source, "");
    read_some(&stream, first, &parts, state, sizeof(state));
    stream = open_at(plugin, source, state);
    read_some(&stream, 100, &parts, state, sizeof(state));
    EXPECT(parts.len == whole.len && memcmp(parts.data, whole.data, whole.len) == 0);
    dray_buffer_free(&parts);
  }
  dray_buffer_free(&whole);
}

// ---- writing ----

static void make_batch(struct ArrowSchema *schema, struct ArrowArray *batch) {
  static const struct dray_column_def columns[] = {{DRAY_COLUMN_ROW, {DRAY_TYPE_INT64, 0, 0}, 0},
                                                   {DRAY_COLUMN_OP, {DRAY_TYPE_INT64, 0, 0}, 0},
                                                   {"id", {DRAY_TYPE_INT64, 0, 0}, 0},
                                                   {"note", {DRAY_TYPE_STRING, 0, 0}, 1}};
  static const int64_t operations[] = {DRAY_OP_INSERT, DRAY_OP_DELETE, DRAY_OP_UPDATE};
  static char endless[400];
  struct dray_builder *builder = NULL;
  int32_t full = 0;
  memset(endless, 'x', sizeof(endless));
  EXPECT_OK(dray_schema_make(columns, 4, schema, &error));
  EXPECT_OK(dray_builder_new(schema, 10, 1 << 20, &builder, &error));
  for (int64_t row = 0; row < 3; row++) {
    EXPECT_OK(dray_builder_int64(builder, 0, 100 + row, &error));
    EXPECT_OK(dray_builder_int64(builder, 1, operations[row], &error));
    EXPECT_OK(dray_builder_int64(builder, 2, row, &error));
    if (row == 0) EXPECT_OK(dray_builder_bytes(builder, 3, dray_str_of("a \"b\""), &error));
    if (row == 2) EXPECT_OK(dray_builder_bytes(builder, 3, dray_str_make(endless, sizeof(endless)), &error));
    EXPECT_OK(dray_builder_end_row(builder, &full, &error));
  }
  EXPECT_OK(dray_builder_finish(builder, batch, &error));
  dray_builder_free(builder);
}

static void test_every_row_gets_its_receipt(const struct dray_plugin *plugin, const char *path) {
  char config[400];
  (void)snprintf(config, sizeof(config), "{\"path\":\"%s\",\"line_bytes\":300}", path);
  struct dray_destination *destination = NULL;
  struct ArrowSchema schema;
  struct ArrowArray batch;
  struct dray_receipt items[3];
  struct dray_receipts receipts = {.struct_size = sizeof(receipts), .items = items, .capacity = 3};
  const struct dray_batch_info info = {.struct_size = sizeof(info), .attempt = 1};
  EXPECT_OK(plugin->destination->create(&host, dray_str_of(config), &destination, &error));
  make_batch(&schema, &batch);
  const struct dray_write_plan plan = {
      .struct_size = sizeof(plan), .object = dray_str_of("changes"), .schema = &schema};
  EXPECT_OK(plugin->destination->begin(destination, &plan, &error));
  EXPECT_OK(plugin->destination->write(destination, &batch, &info, &receipts, &error));
  EXPECT(receipts.count == 3);
  EXPECT(items[0].row == 100 && items[0].status == DRAY_RECEIPT_APPLIED);
  EXPECT(items[1].row == 101 && items[1].status == DRAY_RECEIPT_APPLIED);
  EXPECT(items[2].row == 102 && items[2].status == DRAY_RECEIPT_REJECTED);
  EXPECT_OK(plugin->destination->end(destination, &error));
  plugin->destination->destroy(destination);
  dray_array_release(&batch);
  dray_schema_release(&schema);

  char text[512] = "";
  FILE *file = fopen(path, "r");
  EXPECT(file != NULL);
  EXPECT(fread(text, 1, sizeof(text) - 1, file) > 0);
  EXPECT(fclose(file) == 0);
  EXPECT(
      strcmp(text,
             "{\"op\":\"insert\",\"id\":0,\"note\":\"a \\\"b\\\"\"}\n{\"op\":\"delete\",\"id\":1,\"note\":null}\n") ==
      0);
}

int main(int argc, char **argv) {
  if (argc != 2) {
    fprintf(stderr, "usage: test_plugin PLUGIN.so\n");
    return 2;
  }
  char folder[] = "/tmp/plugin-test-XXXXXX";
  EXPECT(mkdtemp(folder) != NULL);
  char in[64], out[64], config[128];
  (void)snprintf(in, sizeof(in), "%s/in.jsonl", folder);
  (void)snprintf(out, sizeof(out), "%s/out.jsonl", folder);
  (void)snprintf(config, sizeof(config), "{\"path\":\"%s\"}", in);
  write_file(in);

  const struct dray_plugin plugin = load(argv[1]);
  struct dray_source *source = NULL;
  EXPECT(plugin.source->create(&host, dray_str_of("{\"paht\":\"x\"}"), &source, &error) == DRAY_E_CONFIG_UNKNOWN_KEY);
  EXPECT_OK(plugin.source->create(&host, dray_str_of(config), &source, &error));
  test_reading_goes_on_from_every_position(&plugin, source);
  plugin.source->destroy(source);
  test_every_row_gets_its_receipt(&plugin, out);

  (void)unlink(in);
  (void)unlink(out);
  (void)rmdir(folder);
  printf("ok\n");
  return 0;
}

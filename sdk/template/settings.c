// The settings, declared once: the JSON Schema for the host and the binding into a struct derive from this table.
#include "plugin.h"

#define SPEC_BYTES_MAX 65536

static const struct dray_setting table[] = {
    {.name = "path",
     // another file is another place: what was written here is not there
     .kind = DRAY_SETTING_STRING | DRAY_SETTING_PLACE,
     .required = 1,
     .offset = offsetof(struct settings, path),
     .description = "the JSON Lines file to read from or to append to"},
    {.name = "line_bytes",
     .kind = DRAY_SETTING_INT,
     .offset = offsetof(struct settings, line_bytes),
     .description = "the longest line that is read or written",
     .default_json = "1048576",
     .minimum = 64,
     .maximum = 16777216},
    // A secret would be {.name = "api_key", .kind = DRAY_SETTING_SECRET, ...} with an int32_t member that says whether it
    // was given; the value comes from dray_secret_get(&services, "api_key", ...) when it is needed.
};
#define TABLE_COUNT (sizeof(table) / sizeof(table[0]))

static struct dray_buffer spec; // lives as long as the process

int32_t settings_prepare(struct dray_error *error) {
  dray_buffer_free(&spec);
  dray_buffer_init(&spec, SPEC_BYTES_MAX);
  return dray_config_spec(table, TABLE_COUNT, &spec, error);
}

int32_t settings_spec(struct dray_str *out_json, struct dray_error *error) {
  (void)error;
  *out_json = dray_buffer_view(&spec);
  return DRAY_OK;
}

int32_t settings_bind(struct dray_str json, struct settings *out, struct dray_error *error) {
  *out = (struct settings){0};
  return dray_config_bind(table, TABLE_COUNT, json, out, error);
}

void settings_release(struct settings *settings) {
  dray_config_release(table, TABLE_COUNT, settings);
}

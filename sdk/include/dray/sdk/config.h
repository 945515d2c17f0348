// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Settings of a plugin, declared once as a table: the JSON Schema for `spec` and the binding into a
// struct both derive from it.
#ifndef DRAY_SDK_CONFIG_H
#define DRAY_SDK_CONFIG_H

#include <pthread.h>

#include "dray/host.h"
#include "dray/sdk/error.h"
#include "dray/sdk/text.h"

#ifdef __cplusplus
extern "C" {
#endif

enum {
  DRAY_SETTING_STRING = 1, // member: char *, owned by the bound struct
  DRAY_SETTING_INT = 2,    // member: int64_t
  DRAY_SETTING_FLOAT = 3,  // member: double
  DRAY_SETTING_BOOL = 4,   // member: int32_t
  DRAY_SETTING_SECRET = 5, // member: int32_t, 1 when given; the value comes from the secrets service
  DRAY_SETTING_JSON = 6,   // member: char *, the value's JSON text: lists, objects, anything
  // A bit beside the type: with another value it is another place that rows go to (host, database, account, list), the
  // schema's word "place". The host remembers it beside what it has sent, so that rows are not taken for delivered
  // where nothing was. Not of secrets. Hosts that do not know the word ignore it.
  DRAY_SETTING_PLACE = 256
};

struct dray_setting {
  const char *name;
  int32_t kind;               // DRAY_SETTING_*, one of the types, | DRAY_SETTING_PLACE
  int32_t required;           // 0 or 1
  size_t offset;              // offsetof the member in the bound struct
  const char *description;    // one line, shown by `dray plugin info`
  const char *default_json;   // JSON text of the default; NULL: none
  const char *const *choices; // NULL-terminated list of allowed strings; NULL: any
  double minimum, maximum;    // for INT and FLOAT; both 0: any
  const char *schema_json;    // for JSON: the JSON Schema of the value; NULL: {}
};

// Writes the JSON Schema of the table: what a role's `spec` hands over (keep it in static memory). @errors
// OUT_OF_MEMORY; PLUGIN_CONTRACT when a default_json or schema_json of the table is not JSON, or a default is not a
// value that its setting takes.
DRAY_NODISCARD int32_t dray_config_spec(const struct dray_setting *settings, size_t setting_count,
                                        struct dray_buffer *out, struct dray_error *error);
// The same, written once and kept for the life of the process: what a `spec` slot gives out. `kept` is static memory
// that begins as DRAY_KEPT_SPEC and belongs to one table. Any thread. *out_json is borrowed from it. @errors as above;
// the next call tries again.
struct dray_kept_spec {
  pthread_mutex_t lock;
  struct dray_buffer text;
};
#define DRAY_KEPT_SPEC                                                                                                 \
  {                                                                                                                    \
    PTHREAD_MUTEX_INITIALIZER, {                                                                                       \
      NULL, 0, 0, 0                                                                                                    \
    }                                                                                                                  \
  }
DRAY_NODISCARD int32_t dray_config_kept_spec(struct dray_kept_spec *kept, const struct dray_setting *settings,
                                             size_t setting_count, struct dray_str *out_json, struct dray_error *error);
// Binds a JSON object (settings, or a destination's options) into `target`, which was zeroed. Defaults are filled in;
// unknown names, wrong types and missing required settings are CONFIG_* errors with `field`. On failure everything
// bound so far is freed.
DRAY_NODISCARD int32_t dray_config_bind(const struct dray_setting *settings, size_t setting_count, struct dray_str json,
                                        void *target, struct dray_error *error);
// Frees the strings of a bound struct and zeroes its members.
void dray_config_release(const struct dray_setting *settings, size_t setting_count, void *target);

// ---- the nearest name, for "did you mean" ----

// Finds the offered name nearest to the wanted one by edit distance (a transposition counts as one, case does not
// count). Names longer than 64 bytes are never near. Everything is borrowed; nothing is allocated.
struct dray_nearest {
  struct dray_str wanted;
  const char *best; // NULL while none is near enough
  size_t distance;  // of best
  char hint[96];    // of dray_nearest_hint
};
void dray_nearest_init(struct dray_nearest *nearest, struct dray_str wanted);
void dray_nearest_offer(struct dray_nearest *nearest, const char *name);
// The tail of an error's sentence: `; did you mean "best"?`, or nothing while no name is near enough. Borrowed from
// *nearest, until the next call.
const char *dray_nearest_hint(struct dray_nearest *nearest);

#ifdef __cplusplus
}
#endif

#endif // DRAY_SDK_CONFIG_H

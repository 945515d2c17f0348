// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Plugins as the host knows them: found by manifest, checked, loaded, instantiated with services. Calls go through
// the wrappers here, which keep the board (who is being called, for the crash and hang messages) and
// check the contract on the way back.
#ifndef DR_PLUGIN_PLUGIN_H
#define DR_PLUGIN_PLUGIN_H

#include "dray/plugin.h"
#include "dray/sdk/error.h"
#include "dray/sdk/text.h"

// manifest.json beside the library:
//
//   {"name": "file", "version": "1.2.3", "summary": "...", "abi": {"major": 1, "minor": 0}, "library": "file.so",
//    "sha256": "<64 hex digits>", "roles": ["source", "destination", "warehouse"], "license": "...", "homepage": "..."}
//
// summary, license and homepage may be left out. abi.minor is the lowest minor of the host that the plugin works with.
// Members that begin with "$" or "x-" are the author's; any other unknown member is refused, unless abi.minor is newer
// than this host (which is then what is refused).
struct dr_manifest {
  char name[64];    // [a-z][a-z0-9_-]*
  char version[32]; // semantic version
  char summary[256];
  char license[64];
  uint32_t abi_major, abi_minor;
  int has_source, has_destination, has_warehouse;
  char sha256[65];    // lower case
  char folder[512];   // where the manifest is
  char library[1024]; // full path
  char homepage[256];
};

// Folders searched in order: those given (config `plugins:`), DRAY_PLUGIN_PATH (colon separated), the build or
// install's own. Each holds one folder a plugin, named as the plugin, or is itself a plugin's folder.
struct dr_plugin_paths {
  char **items; // owned
  size_t count;
};
DRAY_NODISCARD int32_t dr_plugin_paths_init(struct dr_plugin_paths *paths, const char *const *given, size_t given_count,
                                            struct dray_error *error);
void dr_plugin_paths_free(struct dr_plugin_paths *paths);
// Reads the manifest of a folder, of a path to a .so, or at a path to manifest.json. Runs no code of the plugin.
// @errors PLUGIN_MANIFEST names file and field, PLUGIN_MISSING when there is nothing at `path`.
DRAY_NODISCARD int32_t dr_manifest_read(const char *path, struct dr_manifest *out, struct dray_error *error);
// `name` is a plugin's name, or a path when it holds a slash. @errors PLUGIN_MISSING lists where it looked and the
// nearest name; PLUGIN_MANIFEST.
DRAY_NODISCARD int32_t dr_plugin_find(const struct dr_plugin_paths *paths, const char *name, struct dr_manifest *out,
                                      struct dray_error *error);
// What dr_plugin_find can find: every manifest in the paths, in their order and by name within a path; a name that an
// earlier path has already is left out. Unreadable ones are given with the folder's name, the error's text in `summary`
// and version "". The caller frees *out.
DRAY_NODISCARD int32_t dr_plugin_list(const struct dr_plugin_paths *paths, struct dr_manifest **out, size_t *out_count,
                                      struct dray_error *error);

// A loaded library. Never unloaded.
struct dr_plugin {
  struct dr_manifest manifest;
  struct dray_plugin table;         // roles point to the copies below
  struct dray_source_vtable source; // missing optional slots filled with defaults
  struct dray_destination_vtable destination;
  struct dray_warehouse_vtable warehouse;
};
// Permissions, digest, ABI, exports, dlopen, handshake, comparison with the manifest. @errors PLUGIN_*; each says the
// file, both versions and what to do.
DRAY_NODISCARD int32_t dr_plugin_load(const struct dr_manifest *manifest, struct dr_plugin **out,
                                      struct dray_error *error);

enum { DR_ROLE_SOURCE = 1, DR_ROLE_DESTINATION = 2, DR_ROLE_WAREHOUSE = 3 };
// The JSON Schema of a role's settings, checked to be a JSON object. Static memory of the plugin. @errors PLUGIN_ROLE
// when the plugin lacks the role, PLUGIN_CONTRACT, the plugin's own.
DRAY_NODISCARD int32_t dr_plugin_spec(const struct dr_plugin *plugin, int role, struct dray_str *out_json,
                                      struct dray_error *error);

// ---- the host as one instance sees it ----

struct dr_host_options {
  const char *connection; // name, for logs and messages; copied
  // How secrets and plugin-private state are reached; ctx is handed back. The buffer variants write the value. A NULL
  // `secret` knows no secret (CONFIG_MISSING); a NULL `state_get` finds nothing; a NULL `state_put` refuses (LIMIT), so
  // that nothing is lost unsaid. `shared`: 1 for what all connections of the project have in common, 0 for this one's.
  void *ctx;
  int32_t (*secret)(void *ctx, struct dray_str setting, struct dray_buffer *out, struct dray_error *error);
  int32_t (*state_get)(void *ctx, int shared, struct dray_str key, struct dray_buffer *out, struct dray_error *error);
  int32_t (*state_put)(void *ctx, int shared, struct dray_str key, struct dray_str value, struct dray_error *error);
  // Where the processes of a project meet: locks of the state service, budgets, rate keys. Made when it is first
  // needed; copied. NULL: nowhere, so that locks are refused (LIMIT) and budgets are this process's own.
  const char *shared_folder;
};
struct dr_host; // owns the services of one instance
DRAY_NODISCARD int32_t dr_host_new(const struct dr_host_options *options, struct dr_host **out,
                                   struct dray_error *error);
void dr_host_free(struct dr_host *host); // after the instance was destroyed; NULL allowed
const struct dray_host *dr_host_abi(const struct dr_host *host);
// Counters the plugin raised, as a JSON object.
DRAY_NODISCARD int32_t dr_host_metrics_json(const struct dr_host *host, struct dray_buffer *out,
                                            struct dray_error *error);

// ---- instances ----

struct dr_source_instance {
  const struct dr_plugin *plugin;
  struct dr_host *host;
  struct dray_source *self;
  char label[128]; // "plugin file (connection shop)"
};
struct dr_destination_instance {
  const struct dr_plugin *plugin;
  struct dr_host *host;
  struct dray_destination *self;
  char label[128];
  struct dray_buffer texts; // masked copies of the last receipts' texts; owned
};
struct dr_warehouse_instance {
  const struct dr_plugin *plugin;
  struct dr_host *host;
  struct dray_warehouse *self;
  char label[128];
};
// `host` is borrowed. @errors the plugin's own; PLUGIN_ROLE when it lacks the role.
DRAY_NODISCARD int32_t dr_source_create(const struct dr_plugin *plugin, struct dr_host *host, const char *connection,
                                        struct dray_str config_json, struct dr_source_instance *out,
                                        struct dray_error *error);
DRAY_NODISCARD int32_t dr_destination_create(const struct dr_plugin *plugin, struct dr_host *host,
                                             const char *connection, struct dray_str config_json,
                                             struct dr_destination_instance *out, struct dray_error *error);
DRAY_NODISCARD int32_t dr_warehouse_create(const struct dr_plugin *plugin, struct dr_host *host, const char *connection,
                                           struct dray_str config_json, struct dr_warehouse_instance *out,
                                           struct dray_error *error);
// Safe on a zeroed instance. The host is the caller's to free, afterwards.
void dr_source_destroy(struct dr_source_instance *instance);
void dr_destination_destroy(struct dr_destination_instance *instance);
void dr_warehouse_destroy(struct dr_warehouse_instance *instance);

// ---- calls: calls.h has one wrapper per slot, dr_source_*, dr_destination_*, dr_warehouse_*, dr_stream_* ----

#endif // DR_PLUGIN_PLUGIN_H

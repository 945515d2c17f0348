// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Loading a plugin: all checks that run none of its code, then dlopen and the handshake. A library that was loaded
// stays
// loaded until the process ends, so that no pointer into it ever dangles; asking for it again gives the same one.
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "plugin/call.h"
#include "plugin/handshake.h"
#include "plugin/trust.h"

struct loaded {
  struct loaded *next;
  struct dr_host *host; // what the entry point was given; kept because a plugin may keep it
  struct dr_plugin plugin;
};

static struct loaded *all_loaded;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static int32_t check_abi(const struct dr_manifest *manifest, struct dray_error *error) {
  if (manifest->abi_major != DRAY_ABI_MAJOR) {
    return dray_fail(
        error, DRAY_E_PLUGIN_ABI,
        "%s is built for plugin ABI %u.%u; this dray has ABI %d.%d: install a build of %s %s for ABI %d, or "
        "the dray that it was made for",
        manifest->library, manifest->abi_major, manifest->abi_minor, DRAY_ABI_MAJOR, DRAY_ABI_MINOR, manifest->name,
        manifest->version, DRAY_ABI_MAJOR);
  }
  if (manifest->abi_minor > DRAY_ABI_MINOR) {
    return dray_fail(
        error, DRAY_E_PLUGIN_ABI,
        "%s needs plugin ABI %u.%u; this dray has ABI %d.%d: install a newer dray, or an older version of %s "
        "than %s",
        manifest->library, manifest->abi_major, manifest->abi_minor, DRAY_ABI_MAJOR, DRAY_ABI_MINOR, manifest->name,
        manifest->version);
  }
  return DRAY_OK;
}

// Runs the library's constructors.
static int32_t open_library(const struct dr_manifest *manifest, dray_plugin_entry_fn **out, struct dray_error *error) {
  char label[128];
  (void)snprintf(label, sizeof(label), "loading plugin %s (constructor)", manifest->name);
  struct dr_call call;
  dr_call_enter(&call, label, NULL, error);
  void *handle = dlopen(manifest->library, RTLD_NOW | RTLD_LOCAL);
  const char *why = handle == NULL ? dlerror() : NULL;
  void *symbol = handle != NULL ? dlsym(handle, DRAY_PLUGIN_ENTRY_SYMBOL) : NULL;
  dr_call_leave(&call);
  if (handle == NULL) {
    return dray_fail(error, DRAY_E_PLUGIN_LOAD, "the plugin %s %s cannot be loaded: %s", manifest->name,
                     manifest->version, why != NULL ? why : manifest->library);
  }
  if (symbol == NULL) {
    return dray_fail(error, DRAY_E_PLUGIN_EXPORTS, "%s does not export %s", manifest->library,
                     DRAY_PLUGIN_ENTRY_SYMBOL);
  }
  memcpy(out, &symbol, sizeof(symbol)); // POSIX: a data pointer holds a function's address
  return DRAY_OK;
}

static int32_t enter_library(struct loaded *loaded, dray_plugin_entry_fn *entry, struct dray_error *error) {
  char label[128];
  (void)snprintf(label, sizeof(label), "plugin %s", loaded->plugin.manifest.name);
  struct dray_plugin given;
  memset(&given, 0, sizeof(given));
  given.struct_size = sizeof(given);
  struct dr_call call;
  dr_call_enter(&call, label, DRAY_PLUGIN_ENTRY_SYMBOL, error);
  const int32_t rc = dr_call_end(&call, entry(dr_host_abi(loaded->host), &given, &call.inner));
  if (rc != DRAY_OK) {
    (void)dray_error_prefix(error, "%s refused to start", loaded->plugin.manifest.library);
    return rc;
  }
  return dr_handshake(&loaded->plugin, &given, error);
}

static int32_t load(const struct dr_manifest *manifest, struct loaded *loaded, struct dray_error *error) {
  DRAY_TRY(dr_trust_permissions(manifest, error));
  DRAY_TRY(dr_trust_digest(manifest, error));
  DRAY_TRY(check_abi(manifest, error));
  DRAY_TRY(dr_trust_exports(manifest, error));
  const struct dr_host_options options = {.connection = manifest->name};
  DRAY_TRY(dr_host_new(&options, &loaded->host, error));
  dray_plugin_entry_fn *entry = NULL;
  DRAY_TRY(open_library(manifest, &entry, error));
  loaded->plugin.manifest = *manifest;
  return enter_library(loaded, entry, error);
}

static struct loaded *find_loaded(const struct dr_manifest *manifest) {
  for (struct loaded *at = all_loaded; at != NULL; at = at->next) {
    const struct dr_manifest *have = &at->plugin.manifest;
    if (strcmp(have->library, manifest->library) == 0 && strcmp(have->sha256, manifest->sha256) == 0) return at;
  }
  return NULL;
}

int32_t dr_plugin_load(const struct dr_manifest *manifest, struct dr_plugin **out, struct dray_error *error) {
  (void)pthread_mutex_lock(&lock);
  int32_t rc = DRAY_OK;
  struct loaded *loaded = find_loaded(manifest);
  if (loaded == NULL) {
    loaded = calloc(1, sizeof(*loaded));
    rc = loaded != NULL ? load(manifest, loaded, error)
                        : dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for the plugin %s", manifest->name);
    if (rc == DRAY_OK) {
      loaded->next = all_loaded;
      all_loaded = loaded;
    } else if (loaded != NULL) {
      dr_host_free(loaded->host);
      free(loaded);
    }
  }
  (void)pthread_mutex_unlock(&lock);
  if (rc == DRAY_OK) *out = &loaded->plugin;
  return rc;
}

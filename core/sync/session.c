// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// The instances of a session.
#include "sync/session.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/cancel.h"
#include "base/file.h"
#include "base/log.h"

#define SETTINGS_BYTES_MAX (1u << 20)
#define INTERRUPT_PERIOD_MS 100
#define PATH_BYTES_MAX 4096

struct beside { // a further instance of a destination
  struct dr_host *host;
  struct dr_destination_instance destination;
  int made;
};

struct opened {
  struct dr_session *session; // for the callbacks of the hosts
  size_t connection;
  const struct dr_plugin *plugin;
  struct dr_host *host;
  int has_source, has_destination, has_warehouse, warehouse_open;
  struct dr_source_instance source;
  struct dr_destination_instance destination;
  struct dr_warehouse_instance warehouse_instance;
  struct dr_warehouse warehouse;
  struct beside beside[DR_LANES_MAX - 1];
};

struct dr_session {
  struct dr_project *project;
  struct dr_store *store;
  struct dr_plugin_paths paths;
  struct opened *opened; // one per connection of the project
  char *state_folder;
  char *shared_folder; // in it: where the processes of the project meet (core/plugin/gate.h)
  struct dr_store
      *plugin_store;          // a connection of its own, since instances work on other threads; opened when first used
  pthread_mutex_t store_lock; // guards it
  pthread_mutex_t lock;       // guards the flags in `opened` against the watcher
  pthread_t watcher;
  int watching;
  pthread_cond_t ended;
  int ending; // guarded by `lock`
};

// ---- what the host of an instance calls back ----

static int32_t secret_of(void *ctx, struct dray_str setting, struct dray_buffer *out, struct dray_error *error) {
  const struct opened *opened = ctx;
  const struct dr_project *project = opened->session->project;
  const struct dr_connection *connection = &project->connections[opened->connection];
  return dr_secret_resolve(connection->settings, setting, project->folder, out, error);
}

static int32_t plugin_store(struct dr_session *session, struct dr_store **out, struct dray_error *error) {
  if (session->plugin_store == NULL) {
    DRAY_TRY(dr_store_open(session->state_folder, &session->plugin_store, error));
  }
  *out = session->plugin_store;
  return DRAY_OK;
}

// What connections share stands under the empty name, which none of them can have.
static const char *owner_of(const struct opened *opened, int shared) {
  return shared ? "" : opened->session->project->connections[opened->connection].name;
}

static int32_t state_of(void *ctx, int shared, struct dray_str key, struct dray_buffer *out, struct dray_error *error) {
  const struct opened *opened = ctx;
  struct dr_session *session = opened->session;
  (void)pthread_mutex_lock(&session->store_lock);
  struct dr_store *store = NULL;
  int32_t rc = plugin_store(session, &store, error);
  if (rc == DRAY_OK) {
    rc = dr_store_plugin_get(store, owner_of(opened, shared), key, out, error);
  }
  (void)pthread_mutex_unlock(&session->store_lock);
  return rc;
}

static int32_t state_to(void *ctx, int shared, struct dray_str key, struct dray_str value, struct dray_error *error) {
  const struct opened *opened = ctx;
  struct dr_session *session = opened->session;
  (void)pthread_mutex_lock(&session->store_lock);
  struct dr_store *store = NULL;
  int32_t rc = plugin_store(session, &store, error);
  if (rc == DRAY_OK) {
    rc = dr_store_plugin_put(store, owner_of(opened, shared), key, value, error);
  }
  (void)pthread_mutex_unlock(&session->store_lock);
  return rc;
}

// ---- the watcher: a database client that blocks outside the host's services is told to stop ----

static void interrupt_destinations(struct opened *opened) {
  if (opened->plugin->destination.interrupt == NULL) return;
  if (opened->has_destination) opened->plugin->destination.interrupt(opened->destination.self);
  for (size_t i = 0; i < DR_LANES_MAX - 1; i++) {
    if (opened->beside[i].made) opened->plugin->destination.interrupt(opened->beside[i].destination.self);
  }
}

static void interrupt_all(struct dr_session *session) {
  for (size_t i = 0; i < session->project->connection_count; i++) {
    struct opened *opened = &session->opened[i];
    if (opened->plugin == NULL) continue;
    if (opened->has_source && opened->plugin->source.interrupt != NULL) {
      opened->plugin->source.interrupt(opened->source.self);
    }
    interrupt_destinations(opened);
    if (opened->has_warehouse && opened->plugin->warehouse.interrupt != NULL) {
      opened->plugin->warehouse.interrupt(opened->warehouse_instance.self);
    }
  }
}

static void *watch(void *ctx) {
  struct dr_session *session = ctx;
  (void)pthread_mutex_lock(&session->lock);
  while (!session->ending) {
    struct timespec until;
    (void)clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += INTERRUPT_PERIOD_MS * 1000000L;
    if (until.tv_nsec >= 1000000000L) {
      until.tv_sec++;
      until.tv_nsec -= 1000000000L;
    }
    (void)pthread_cond_timedwait(&session->ended, &session->lock, &until); // the end is not waited for
    if (!session->ending && dr_cancelled()) interrupt_all(session);
  }
  (void)pthread_mutex_unlock(&session->lock);
  return NULL;
}

// ---- open and close ----

int32_t dr_session_open(struct dr_project *project, struct dr_session **out, struct dray_error *error) {
  if (chdir(project->folder) != 0) return dr_fail_errno(error, "enter", project->folder);
  struct dr_session *session = calloc(1, sizeof(*session));
  if (session == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for a session");
  session->project = project;
  (void)pthread_mutex_init(&session->lock, NULL);
  (void)pthread_cond_init(&session->ended, NULL);
  (void)pthread_mutex_init(&session->store_lock, NULL);
  int32_t rc = DRAY_OK;
  session->state_folder = dr_path_join(project->folder, ".dray");
  if (session->state_folder != NULL) session->shared_folder = dr_path_join(session->state_folder, "shared");
  session->opened = calloc(project->connection_count + 1, sizeof(*session->opened));
  if (session->opened == NULL || session->state_folder == NULL || session->shared_folder == NULL) {
    rc = dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for %zu connections", project->connection_count);
    goto done;
  }
  rc = dr_folder_make(session->state_folder, error);
  if (rc == DRAY_OK) rc = dr_store_open(session->state_folder, &session->store, error);
  if (rc == DRAY_OK) {
    rc = dr_plugin_paths_init(&session->paths, project->plugin_paths, project->plugin_path_count, error);
  }
  if (rc != DRAY_OK) goto done;
  if (pthread_create(&session->watcher, NULL, watch, session) != 0) {
    rc = dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no thread for the session's watcher");
    goto done;
  }
  session->watching = 1;
  *out = session;
done:
  if (rc != DRAY_OK) dr_session_close(session);
  return rc;
}

static void close_instances(struct dr_session *session) {
  for (size_t i = 0; i < session->project->connection_count; i++) {
    struct opened *opened = &session->opened[i];
    if (opened->has_source) dr_source_destroy(&opened->source);
    if (opened->has_destination) dr_destination_destroy(&opened->destination);
    if (opened->has_warehouse) dr_warehouse_destroy(&opened->warehouse_instance);
    for (size_t n = 0; n < DR_LANES_MAX - 1; n++) {
      if (opened->beside[n].made) dr_destination_destroy(&opened->beside[n].destination);
      dr_host_free(opened->beside[n].host);
    }
    dr_host_free(opened->host);
  }
}

void dr_session_close(struct dr_session *session) {
  if (session == NULL) return;
  (void)pthread_mutex_lock(&session->lock);
  session->ending = 1;
  (void)pthread_cond_signal(&session->ended);
  (void)pthread_mutex_unlock(&session->lock);
  if (session->watching) (void)pthread_join(session->watcher, NULL);
  if (session->opened != NULL) close_instances(session);
  free(session->opened);
  dr_plugin_paths_free(&session->paths);
  dr_store_close(session->plugin_store);
  dr_store_close(session->store);
  free(session->state_folder);
  free(session->shared_folder);
  (void)pthread_cond_destroy(&session->ended);
  (void)pthread_mutex_destroy(&session->lock);
  (void)pthread_mutex_destroy(&session->store_lock);
  free(session);
}

struct dr_project *dr_session_project(struct dr_session *session) {
  return session->project;
}

struct dr_store *dr_session_store(struct dr_session *session) {
  return session->store;
}

// ---- plugins and settings ----

int dr_plugin_has_role(const struct dr_plugin *plugin, int role) {
  switch (role) {
  case DR_ROLE_SOURCE:
    return plugin->table.source != NULL;
  case DR_ROLE_DESTINATION:
    return plugin->table.destination != NULL;
  default:
    return plugin->table.warehouse != NULL;
  }
}

// A plugin that is not there is a problem of the config, shown at its place, once.
static int32_t find_plugin(struct dr_session *session, const struct dr_connection *config, struct dr_manifest *out,
                           struct dray_error *error) {
  const int32_t rc = dr_plugin_find(&session->paths, config->plugin, out, error);
  if (rc != DRAY_E_PLUGIN_MISSING || error == NULL) return rc;
  const struct dray_error why = *error;
  DRAY_TRY(dr_project_problem(session->project, config->plugin_mark, (uint32_t)strlen(config->plugin),
                              DRAY_E_PLUGIN_MISSING, NULL, NULL, "%s", why.text));
  *error = why;
  return rc;
}

int32_t dr_session_plugin(struct dr_session *session, size_t connection, const struct dr_plugin **out,
                          struct dray_error *error) {
  struct opened *opened = &session->opened[connection];
  const struct dr_connection *config = &session->project->connections[connection];
  if (opened->plugin == NULL) {
    for (size_t i = 0; i < session->project->connection_count; i++) { // two connections may share a library
      if (session->opened[i].plugin != NULL && strcmp(session->project->connections[i].plugin, config->plugin) == 0) {
        opened->plugin = session->opened[i].plugin;
      }
    }
  }
  if (opened->plugin == NULL) {
    struct dr_manifest manifest;
    struct dr_plugin *plugin = NULL;
    DRAY_TRY(find_plugin(session, config, &manifest, error));
    DRAY_TRY(dr_plugin_load(&manifest, &plugin, error));
    opened->plugin = plugin;
  }
  *out = opened->plugin;
  return DRAY_OK;
}

static int32_t check_role_settings(struct dr_session *session, size_t connection, const struct dr_plugin *plugin,
                                   int role, struct dray_error *error) {
  const struct dr_connection *config = &session->project->connections[connection];
  struct dray_str spec;
  DRAY_TRY(dr_plugin_spec(plugin, role, &spec, error));
  const size_t before = session->project->problems.count;
  DRAY_TRY(dr_project_check_settings(session->project, config->settings, config->mark, spec, error));
  if (session->project->problems.count == before) return DRAY_OK;
  return dray_fail(error, session->project->problems.items[before].code, "the settings of connection %s are wrong: %s",
                   config->name, session->project->problems.items[before].what);
}

int32_t dr_session_check_settings(struct dr_session *session, size_t connection, struct dray_error *error) {
  const struct dr_plugin *plugin = NULL;
  DRAY_TRY(dr_session_plugin(session, connection, &plugin, error));
  // The roles of one plugin share their settings, or most of them; one role speaks for all.
  const int role = dr_plugin_has_role(plugin, DR_ROLE_WAREHOUSE) ? DR_ROLE_WAREHOUSE
                   : dr_plugin_has_role(plugin, DR_ROLE_SOURCE)  ? DR_ROLE_SOURCE
                                                                 : DR_ROLE_DESTINATION;
  return check_role_settings(session, connection, plugin, role, error);
}

static int32_t make_host(struct opened *opened, struct dr_host **out, struct dray_error *error) {
  const struct dr_host_options options = {
      .connection = opened->session->project->connections[opened->connection].name,
      .ctx = opened,
      .secret = secret_of,
      .state_get = state_of,
      .state_put = state_to,
      .shared_folder = opened->session->shared_folder,
  };
  return dr_host_new(&options, out, error);
}

// Everything an instance needs before `create`: plugin, checked settings as JSON, host (made when there is none).
static int32_t prepare(struct dr_session *session, size_t connection, int role, struct dr_host **host,
                       struct dray_buffer *settings, struct dray_error *error) {
  struct opened *opened = &session->opened[connection];
  const struct dr_connection *config = &session->project->connections[connection];
  const struct dr_plugin *plugin = NULL;
  DRAY_TRY(dr_session_plugin(session, connection, &plugin, error));
  if (!dr_plugin_has_role(plugin, role)) {
    return dray_fail(error, DRAY_E_PLUGIN_ROLE, "the plugin %s of connection %s is no %s", config->plugin, config->name,
                     role == DR_ROLE_SOURCE        ? "source"
                     : role == DR_ROLE_DESTINATION ? "destination"
                                                   : "warehouse");
  }
  DRAY_TRY(check_role_settings(session, connection, plugin, role, error));
  struct dray_str spec;
  DRAY_TRY(dr_plugin_spec(plugin, role, &spec, error));
  DRAY_TRY(dr_project_settings_json(config->settings, spec, settings, error));
  opened->session = session;
  opened->connection = connection;
  return *host != NULL ? DRAY_OK : make_host(opened, host, error);
}

static int *made_flag(struct opened *opened, int role) {
  switch (role) {
  case DR_ROLE_SOURCE:
    return &opened->has_source;
  case DR_ROLE_DESTINATION:
    return &opened->has_destination;
  default:
    return &opened->has_warehouse;
  }
}

static int32_t create(struct opened *opened, int role, const char *name, struct dray_str settings,
                      struct dray_error *error) {
  switch (role) {
  case DR_ROLE_SOURCE:
    return dr_source_create(opened->plugin, opened->host, name, settings, &opened->source, error);
  case DR_ROLE_DESTINATION:
    return dr_destination_create(opened->plugin, opened->host, name, settings, &opened->destination, error);
  default:
    return dr_warehouse_create(opened->plugin, opened->host, name, settings, &opened->warehouse_instance, error);
  }
}

// Makes the instance of a role unless it is there.
static int32_t instance(struct dr_session *session, size_t connection, int role, struct dray_error *error) {
  struct opened *opened = &session->opened[connection];
  int *made = made_flag(opened, role);
  if (*made) return DRAY_OK;
  struct dray_buffer settings;
  dray_buffer_init(&settings, SETTINGS_BYTES_MAX);
  int32_t rc = prepare(session, connection, role, &opened->host, &settings, error);
  if (rc == DRAY_OK) {
    const char *name = session->project->connections[connection].name;
    rc = create(opened, role, name, dray_buffer_view(&settings), error);
  }
  dray_buffer_free(&settings);
  if (rc != DRAY_OK) return rc;
  (void)pthread_mutex_lock(&session->lock); // the watcher looks at the flags
  *made = 1;
  (void)pthread_mutex_unlock(&session->lock);
  return DRAY_OK;
}

int32_t dr_session_source(struct dr_session *session, size_t connection, struct dr_source_instance **out,
                          struct dray_error *error) {
  DRAY_TRY(instance(session, connection, DR_ROLE_SOURCE, error));
  *out = &session->opened[connection].source;
  return DRAY_OK;
}

int32_t dr_session_destination(struct dr_session *session, size_t connection, struct dr_destination_instance **out,
                               struct dray_error *error) {
  DRAY_TRY(instance(session, connection, DR_ROLE_DESTINATION, error));
  *out = &session->opened[connection].destination;
  return DRAY_OK;
}

int32_t dr_session_destination_beside(struct dr_session *session, size_t connection, size_t number,
                                      struct dr_destination_instance **out, struct dray_error *error) {
  struct opened *opened = &session->opened[connection];
  struct beside *beside = &opened->beside[number - 1];
  const char *name = session->project->connections[connection].name;
  assert(number >= 1 && number < DR_LANES_MAX);
  if (!beside->made) {
    struct dray_buffer settings;
    dray_buffer_init(&settings, SETTINGS_BYTES_MAX);
    int32_t rc = prepare(session, connection, DR_ROLE_DESTINATION, &beside->host, &settings, error);
    if (rc == DRAY_OK) {
      rc = dr_destination_create(opened->plugin, beside->host, name, dray_buffer_view(&settings), &beside->destination,
                                 error);
    }
    dray_buffer_free(&settings);
    if (rc != DRAY_OK) return rc;
    (void)pthread_mutex_lock(&session->lock); // the watcher looks at it
    beside->made = 1;
    (void)pthread_mutex_unlock(&session->lock);
  }
  *out = &beside->destination;
  return DRAY_OK;
}

int32_t dr_session_warehouse_unopened(struct dr_session *session, size_t connection, struct dr_warehouse_instance **out,
                                      struct dray_error *error) {
  DRAY_TRY(instance(session, connection, DR_ROLE_WAREHOUSE, error));
  *out = &session->opened[connection].warehouse_instance;
  return DRAY_OK;
}

int32_t dr_session_warehouse(struct dr_session *session, size_t connection, struct dr_warehouse **out,
                             struct dr_warehouse_instance **out_instance, struct dray_error *error) {
  struct opened *opened = &session->opened[connection];
  struct dr_warehouse_instance *made = NULL;
  DRAY_TRY(dr_session_warehouse_unopened(session, connection, &made, error));
  if (!opened->warehouse_open) {
    DRAY_TRY(dr_warehouse_open(made, error));
    opened->warehouse.vtable = dr_warehouse_guarded();
    opened->warehouse.self = dr_warehouse_guarded_self(made);
    opened->warehouse.label = made->label;
    DRAY_TRY(dr_warehouse_bind(&opened->warehouse, error));
    opened->warehouse_open = 1;
  }
  *out = &opened->warehouse;
  if (out_instance != NULL) *out_instance = made;
  return DRAY_OK;
}

int32_t dr_session_sync_folder(struct dr_session *session, const char *sync, char **out, struct dray_error *error) {
  char path[PATH_BYTES_MAX];
  int n = snprintf(path, sizeof(path), "%s/syncs/", session->state_folder);
  for (const char *p = sync; *p != '\0' && n > 0 && (size_t)n + 4 < sizeof(path); p++) {
    const unsigned char c = (unsigned char)*p;
    const int plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
                      c == '-' || (c == '.' && p != sync);
    n += snprintf(path + n, sizeof(path) - (size_t)n, plain ? "%c" : "%%%02X", c);
  }
  DRAY_TRY(dr_folder_make(path, error));
  *out = dray_str_dup(dray_str_of(path));
  return *out != NULL ? DRAY_OK : dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for a path");
}

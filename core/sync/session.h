// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// A session: the loaded project with its store, and the plugin instances that one process has opened. Instances are
// made when
// first asked for and live until the session ends; a watcher interrupts them when the run is cancelled.
#ifndef DR_SYNC_SESSION_H
#define DR_SYNC_SESSION_H

#include "config/project.h"
#include "plugin/calls.h"
#include "store/store.h"
#include "warehouse/warehouse.h"

#define DR_LANES_MAX 16 // instances of one destination that work side by side

struct dr_session; // one thread at a time; must not cross a fork

// Borrows `project`, whose folder becomes the working directory. Makes .dray and opens the store in it. @errors of
// dr_store_open.
DRAY_NODISCARD int32_t dr_session_open(struct dr_project *project, struct dr_session **out, struct dray_error *error);
void dr_session_close(struct dr_session *session);
struct dr_project *dr_session_project(struct dr_session *session);
struct dr_store *dr_session_store(struct dr_session *session);

// The plugin of a connection, loaded once. @errors PLUGIN_*.
DRAY_NODISCARD int32_t dr_session_plugin(struct dr_session *session, size_t connection, const struct dr_plugin **out,
                                         struct dray_error *error);
// Checks the settings of a connection against the spec of `role`; problems are added to the project.
DRAY_NODISCARD int32_t dr_session_check_settings(struct dr_session *session, size_t connection,
                                                 struct dray_error *error);
// Instances of one role, made on first use. Borrowed: valid until the session is closed. @errors CONFIG_* when the
// settings are wrong (all problems are in the project), PLUGIN_ROLE, the plugin's own.
DRAY_NODISCARD int32_t dr_session_source(struct dr_session *session, size_t connection, struct dr_source_instance **out,
                                         struct dray_error *error);
DRAY_NODISCARD int32_t dr_session_destination(struct dr_session *session, size_t connection,
                                              struct dr_destination_instance **out, struct dray_error *error);
// A further instance beside it, with a host of its own, for a thread of its own; number 1 to DR_LANES_MAX - 1.
DRAY_NODISCARD int32_t dr_session_destination_beside(struct dr_session *session, size_t connection, size_t number,
                                                     struct dr_destination_instance **out, struct dray_error *error);
// Opened (connected) and bound to its dialect; `instance` may be NULL.
DRAY_NODISCARD int32_t dr_session_warehouse(struct dr_session *session, size_t connection, struct dr_warehouse **out,
                                            struct dr_warehouse_instance **instance, struct dray_error *error);
// An instance of a warehouse that is not connected: for its checks.
DRAY_NODISCARD int32_t dr_session_warehouse_unopened(struct dr_session *session, size_t connection,
                                                     struct dr_warehouse_instance **out, struct dray_error *error);
int dr_plugin_has_role(const struct dr_plugin *plugin, int role); // DR_ROLE_*
// FOLDER/.dray/syncs/NAME with every byte outside [A-Za-z0-9_.-] percent-encoded; made when it is not there. The
// caller frees *out.
DRAY_NODISCARD int32_t dr_session_sync_folder(struct dr_session *session, const char *sync, char **out,
                                              struct dray_error *error);

#endif // DR_SYNC_SESSION_H

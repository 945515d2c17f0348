// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Looking without moving: the checks of a connection, and what it offers.
#ifndef DR_SYNC_INSPECT_H
#define DR_SYNC_INSPECT_H

#include "sync/session.h"

#define DR_CHECK_FIX_BYTES_MAX 4096 // an address to open may be in it, with all that belongs to it

struct dr_check_item {
  char connection[128];
  char role[16]; // "source", "destination", "warehouse"
  char name[64]; // "reach", "login", ...
  int ok;
  int unused;   // about a stream or object that no sync of the project uses: it does not count
  int32_t code; // why it is not ok, DRAY_E_*; 0: not said
  char text[DRAY_ERROR_TEXT_MAX];
  char fix[DR_CHECK_FIX_BYTES_MAX];
};

// Runs the checks of the roles that the project's syncs and models use a connection in (all its roles when none
// does), one after another; a role whose checks could not be made at all is one failed item. The caller frees *out
// with free().
// @errors when the plugin cannot be loaded or the settings are wrong.
DRAY_NODISCARD int32_t dr_inspect_check(struct dr_session *session, size_t connection, struct dr_check_item **out,
                                        size_t *out_count, struct dray_error *error);
// Opens what a sync reads and decides its mapping, without reading a row: a wrong stream, SQL, key or mapped column is
// one failed item.
DRAY_NODISCARD int32_t dr_inspect_sync(struct dr_session *session, const struct dr_sync *sync,
                                       struct dr_check_item *out, struct dray_error *error);
// Appends {"connection","plugin","version","source":{...},"destination":{...},"warehouse":{...}}: the catalogues of
// the roles it has.
DRAY_NODISCARD int32_t dr_inspect_discover(struct dr_session *session, size_t connection, struct dray_buffer *out,
                                           struct dray_error *error);

#endif // DR_SYNC_INSPECT_H

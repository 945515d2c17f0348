// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// What the mirror of a sync was made for: plugin, connection and object or table by name, and the place that these
// names stand for, which are the settings that a plugin marks as such (`place` in dray/sdk/config.h).
#ifndef DR_SYNC_IDENTITY_H
#define DR_SYNC_IDENTITY_H

#include "sync/context.h"

// Settings, or a sync's options, beside the schema that says which of them are the place.
struct dr_identity_part {
  const struct dr_node *settings; // NULL: none are given
  struct dray_str schema;         // a JSON Schema; empty: none of them is
};

struct dr_identity {
  char text[DR_IDENTITY_BYTES]; // to be kept: "mailchimp/mail/members {"list_id":"abc"}"
  int moved;                    // 1: the same names stand for another place than the store has
  char was[160], is[160];       // moved: the first setting that is another: `list_id` "abc"
};

// Compares with what the store knows of the run's sync. A place that the store does not know, of a mirror that was made
// before it was asked for or before the plugin said which settings it is, is not another one. @errors STATE_IDENTITY:
// the names are others; PLUGIN_CONTRACT, OUT_OF_MEMORY.
DRAY_NODISCARD int32_t dr_identity_decide(const struct dr_context *run, const char *names,
                                          const struct dr_identity_part *parts, size_t part_count,
                                          struct dr_identity *out, struct dray_error *error);
// From now on the sync's mirror is of this place: in the run, and in the store unless nothing was ever kept there or
// it is the same; a plan tells the store only of one that moved.
DRAY_NODISCARD int32_t dr_identity_keep(struct dr_context *run, const struct dr_identity *identity,
                                        struct dray_error *error);
// The settings of the connection that `role` of the sync's `to` takes.
DRAY_NODISCARD int32_t dr_identity_connection(struct dr_context *run, int role, struct dr_identity_part *out,
                                              struct dray_error *error);

#endif // DR_SYNC_IDENTITY_H

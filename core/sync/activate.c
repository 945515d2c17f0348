// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Activate: rows of a model (or a stream) to a destination. Order of things: settle what earlier runs left open, read
// and compare, guard, send, wait for jobs.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/fault.h"
#include "base/file.h"
#include "sync/delivery.h"
#include "sync/identity.h"
#include "sync/match.h"
#include "sync/prefilter.h"

#define OPTIONS_BYTES_MAX (1u << 20)
#define POLL_IN_RUN_MS (10 * 60 * 1000)

struct activation {
  struct dr_destination_instance *destination;
  struct dr_object_facts object;
  struct dray_caps caps;
  struct dray_buffer options; // JSON
  struct dr_identity identity;
  struct dr_match match;
};

// ---- opening ----

static int32_t check_operations(const struct dr_context *run, const struct dray_caps *caps, struct dray_error *error) {
  static const struct {
    uint32_t op;
    const char *name;
  } names[] = {{DRAY_OP_INSERT, "insert"}, {DRAY_OP_UPDATE, "update"}, {DRAY_OP_DELETE, "delete"}};
  const uint32_t missing = dr_outgoing_operations(run->sync->mode) & ~caps->operations;
  for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
    if ((missing & names[i].op) == 0) continue;
    return dray_fail_field(error, DRAY_E_CONFIG_VALUE, "mode", "the object \"%s\" takes no %s, which this mode needs",
                           run->sync->object, names[i].name);
  }
  return DRAY_OK;
}

// What is deleted is found again by the match keys; a mirror that holds the key alone has no other field to show.
static int32_t check_kept(const struct dr_context *run, const struct activation *activation, int keep,
                          struct dray_error *error) {
  static const char *const names[] = {"row", "columns", "key"};
  const uint32_t wants = DRAY_CAPS_DELETE_NEEDS_ROW | DRAY_CAPS_UPDATE_NEEDS_BEFORE;
  if (keep == DR_KEEP_ROW || run->sync->mode != DR_MODE_MIRROR) return DRAY_OK;
  if ((activation->caps.flags & wants) != 0) {
    return dray_fail_field(error, DRAY_E_CONFIG_VALUE, "keep",
                           "the object \"%s\" needs rows as they were last sent, to take away what is gone, and with "
                           "`keep: %s` the mirror does not hold them: keep the row",
                           run->sync->object, names[keep]);
  }
  for (size_t i = 0; i < activation->match.count; i++) {
    if (dr_mapping_is_told(&run->mapping, activation->match.keys[i])) continue;
    return dray_fail_field(error, DRAY_E_CONFIG_VALUE, "keep",
                           "with `keep: %s` the mirror does not hold \"%s\", by which the object \"%s\" finds the row "
                           "that is to be removed: make it part of the key, or keep the row",
                           names[keep], activation->match.keys[i], run->sync->object);
  }
  return DRAY_OK;
}

static void name_receiver(const struct dr_context *run, char *out, size_t out_bytes) {
  const struct dr_connection *to = &dr_session_project(run->session)->connections[run->sync->to_connection];
  // The mirror of mode remove holds what was taken away, all others what is there.
  (void)snprintf(out, out_bytes, "%s/%s/%s%s", to->plugin, to->name, run->sync->object,
                 run->sync->mode == DR_MODE_REMOVE ? " (mode remove)" : "");
}

// By name, before anybody is asked anything.
static int32_t check_names(struct dr_context *run, struct dray_error *error) {
  char names[DR_IDENTITY_BYTES];
  struct dr_identity identity;
  name_receiver(run, names, sizeof(names));
  return dr_identity_decide(run, names, NULL, 0, &identity, error);
}

// The place that the names stand for. Another one has other rows, and nobody knows which: what the mirror holds was not
// delivered there, and is not there to be removed. A baseline says that it is, and may not while batches are open,
// which were for the place before.
static int32_t check_place(struct dr_context *run, struct activation *activation, struct dray_error *error) {
  char names[DR_IDENTITY_BYTES];
  struct dr_identity *identity = &activation->identity;
  const char *options = activation->object.options;
  struct dr_identity_part parts[2] = {{.settings = NULL}, {.settings = run->sync->to_options}};
  size_t open_count = 0;
  name_receiver(run, names, sizeof(names));
  DRAY_TRY(dr_identity_connection(run, DR_ROLE_DESTINATION, &parts[0], error));
  if (options != NULL) parts[1].schema = dray_str_of(options);
  DRAY_TRY(dr_identity_decide(run, names, parts, 2, identity, error));
  if (!identity->moved) return dr_identity_keep(run, identity, error);
  const int baseline = (run->options->flags & DR_RUN_BASELINE) != 0;
  if (baseline) {
    struct dr_batch_record *open = NULL;
    DRAY_TRY(dr_store_batches_open(run->store, run->sync->name, &open, &open_count, error));
    free(open);
  }
  if (baseline && open_count == 0) return DRAY_OK; // kept when it is done
  return dray_fail(
      error, DRAY_E_STATE_IDENTITY,
      "the rows of this sync were sent where there was %s, and the config now has %s: nobody knows what is "
      "there%s",
      identity->was, identity->is,
      baseline ? ", and batches are open that were sent to the place before"
               : "; `dray state baseline` says that it is the same");
}

static int32_t open_activation(struct dr_context *run, struct activation *activation, struct dray_error *error) {
  const struct dr_sync *sync = run->sync;
  DRAY_TRY(check_names(run, error));
  DRAY_TRY(dr_session_destination(run->session, sync->to_connection, &activation->destination, error));
  if (sync->to_options != NULL) {
    DRAY_TRY(dr_node_to_json(sync->to_options, &activation->options, error));
  } else {
    DRAY_TRY(dray_buffer_append_str(&activation->options, "{}", error));
  }
  struct dray_str catalog;
  // First, so that the catalogue may be of this object under these options alone: see dray/destination.h.
  activation->caps.struct_size = sizeof(activation->caps);
  DRAY_TRY(dr_destination_caps(activation->destination, dray_str_of(sync->object),
                               dray_buffer_view(&activation->options), &activation->caps, error));
  DRAY_TRY(dr_destination_discover(activation->destination, &catalog, error));
  DRAY_TRY(dr_catalog_object(catalog, sync->object, &run->arena, &activation->object, error));
  DRAY_TRY(check_place(run, activation, error));
  activation->object.dynamic = (activation->caps.flags & DRAY_CAPS_DYNAMIC_FIELDS) != 0;
  DRAY_TRY(check_operations(run, &activation->caps, error));
  DRAY_TRY(dr_context_read(run, dray_str_make(NULL, 0), 1, 0, &activation->object, error));
  if (run->mapping.key_count == 0) {
    return dray_fail(error, DRAY_E_SCHEMA_KEY, "the rows have no key: declare `key:` in the model or the sync");
  }
  DRAY_TRY(dr_match_choose(&run->mapping, &activation->object, sync->object, activation->caps.operations, &run->arena,
                           &activation->match, error));
  return check_kept(run, activation, run->sync->keep, error);
}

// A mirror that was made when a key was compared letter by letter names another key (mapping.h), and is not read.
static int32_t open_as_mapped(struct dr_context *run, int create, struct dray_error *error) {
  const int32_t rc = dr_context_mirror(run, create, error);
  if (rc != DRAY_E_MIRROR_SCHEMA || run->mapping.folded_count == 0) return rc;
  return dray_error_prefix(error, "the destination does not look at the case of letters in the key, and this mirror "
                                  "does, or is of another key");
}

// A baseline says what the destination holds, whatever became of the mirror: it is the way out that is told when a
// mirror does not verify or keeps something else than the config says, so one that does is made anew, as is one of
// another key or another place.
static int32_t open_for_baseline(struct dr_context *run, int moved, struct dray_error *error) {
  struct dr_mirror_info info;
  int32_t rc = moved ? DRAY_E_MIRROR_MISSING : dr_mirror_verify(run->mirror_folder, &info, error);
  if (rc == DRAY_OK && info.keep == run->sync->keep) rc = dr_context_mirror(run, 0, error);
  if (rc == DRAY_OK && run->mirror != NULL) return rc;
  const int is_of_no_use = rc == DRAY_E_MIRROR_CORRUPT || rc == DRAY_E_MIRROR_MISSING || rc == DRAY_E_STATE_VERSION ||
                           rc == DRAY_E_MIRROR_SCHEMA;
  if (rc != DRAY_OK && !is_of_no_use) return rc;
  DRAY_TRY(dr_mirror_reset(run->mirror_folder, error));
  return dr_context_mirror(run, 1, error);
}

// A missing mirror is an empty one only where nothing was ever sent.
static int32_t open_mirror(struct dr_context *run, int moved, struct dray_error *error) {
  const int baseline = (run->options->flags & DR_RUN_BASELINE) != 0;
  if (baseline && !dr_planning(run)) DRAY_TRY(dr_prefilter_forget(run, error));
  const int first = run->state.generation == 0 || (baseline && !dr_mirror_exists(run->mirror_folder));
  if (!first && !dr_mirror_exists(run->mirror_folder)) {
    return dray_fail(error, DRAY_E_MIRROR_MISSING, "%s is not there, although this sync has sent rows before",
                     run->mirror_folder);
  }
  DRAY_TRY(baseline && !dr_planning(run) ? open_for_baseline(run, moved, error) : open_as_mapped(run, first, error));
  struct dr_mirror_info info;
  dr_mirror_info(run->mirror, &info);
  if (info.prepared_generation != 0) DRAY_TRY(dr_mirror_rollback(run->mirror, error));
  if (!first || dr_planning(run)) return DRAY_OK;
  run->state.generation = 1; // from now on a missing mirror is a lost one
  return dr_store_sync_put(run->store, run->sync->name, &run->state, error);
}

// ---- recovery ----

// How long a run waits for jobs; what has not ended by then is asked for by the next run.
static int64_t poll_in_run_ms(void) {
  return dr_test_ms("DRAY_POLL_MS", POLL_IN_RUN_MS);
}

static struct dr_delivery_plan plan_of(const struct dr_context *run, const struct activation *activation,
                                       const struct dr_pass *pass) {
  return (struct dr_delivery_plan){
      .object = run->sync->object,
      .options_json = dray_buffer_view(&activation->options),
      .match_keys = activation->match.keys,
      .match_key_count = activation->match.count,
      .inserts = pass != NULL ? pass->inserts : 0,
      .updates = pass != NULL ? pass->updates : 0,
      .deletes = pass != NULL ? pass->deletes : 0,
  };
}

// Whatever ended the delivery.
static int32_t tell_pending(struct dr_delivery *delivery, int32_t rc, struct dray_error *error) {
  const int32_t told = dr_delivery_tell(delivery, rc == DRAY_OK ? error : NULL);
  return rc != DRAY_OK ? rc : told;
}

// Settles the open batches of one change set.
static int32_t recover_set(struct dr_context *run, struct activation *activation, struct dr_batch_record *open,
                           size_t count, const char *name, struct dray_error *error) {
  char *path = dr_path_join(run->folder, name);
  struct dr_changeset *set = NULL;
  struct dr_delivery delivery;
  const uint64_t kept_back = run->report->kept_back, unsent = run->report->unsent;
  memset(&delivery, 0, sizeof(delivery));
  if (path == NULL) return dray_fail(error, DRAY_E_OUT_OF_MEMORY, "no memory for a path");
  const struct dr_delivery_plan plan = plan_of(run, activation, NULL);
  int32_t rc = dr_changeset_open(path, &set, error);
  if (rc == DRAY_OK) {
    rc = dr_delivery_open(run, activation->destination, &activation->caps, set, path, &plan, NULL, &delivery, error);
  }
  for (size_t i = 0; rc == DRAY_OK && i < count; i++) {
    if (strcmp(open[i].changeset, name) == 0) rc = dr_delivery_resolve(&delivery, &open[i], poll_in_run_ms(), error);
  }
  if (rc == DRAY_OK) rc = dr_delivery_poll(&delivery, 0, poll_in_run_ms(), NULL, error);
  if (rc == DRAY_OK) rc = dr_delivery_end(&delivery, error);
  if (delivery.run != NULL) rc = tell_pending(&delivery, rc, error);
  dr_delivery_close(&delivery);
  dr_changeset_close(set);
  free(path);
  run->report->kept_back = kept_back; // they come again with this run's own changes
  run->report->unsent = unsent;
  return rc;
}

// Of a batch that a crash left in `sending` the mirror's generation says whether its acknowledgement was written. All
// of them are judged, durably, before the first is resolved: that moves the generation on. Batches that turn out to be
// settled leave the list.
static int32_t judge(struct dr_context *run, struct dr_batch_record *open, size_t *count, struct dray_error *error) {
  struct dr_mirror_info info;
  dr_mirror_info(run->mirror, &info);
  size_t left = 0;
  for (size_t i = 0; i < *count; i++) {
    if (open[i].state == DR_BATCH_SENDING) {
      open[i].state =
          open[i].mirror_frame != 0 && info.generation >= open[i].mirror_frame ? DR_BATCH_ACKED : DR_BATCH_IN_DOUBT;
      DRAY_TRY(dr_store_batch_update(run->store, &open[i], error));
    }
    if (open[i].state != DR_BATCH_ACKED) open[left++] = open[i];
  }
  run->report->recovered += *count - left;
  *count = left;
  (void)dr_fault_point("sync.judged");
  return DRAY_OK;
}

static int32_t recover(struct dr_context *run, struct activation *activation, struct dray_error *error) {
  struct dr_batch_record *open = NULL;
  size_t count = 0;
  if (dr_planning(run)) return DRAY_OK;
  DRAY_TRY(dr_store_batches_open(run->store, run->sync->name, &open, &count, error));
  int32_t rc = DRAY_OK;
  if (count > 0) rc = dr_context_state(run, DR_RUN_PLANNED, "recovering", error);
  if (rc == DRAY_OK) rc = judge(run, open, &count, error);
  for (size_t i = 0; rc == DRAY_OK && i < count; i++) {
    int earlier = 0;
    for (size_t j = 0; j < i; j++) earlier |= strcmp(open[j].changeset, open[i].changeset) == 0;
    if (!earlier) rc = recover_set(run, activation, open, count, open[i].changeset, error);
  }
  free(open);
  return rc != DRAY_OK ? rc : dr_pass_sweep(run, error);
}

// ---- the run ----

static int32_t acknowledge_all(struct dr_context *run, struct dr_pass *pass, struct dray_error *error) {
  struct dr_mirror_info info;
  const uint64_t count = dr_changeset_count(pass->set) - pass->withheld; // deletes are the last of a set
  DRAY_TRY(dr_mirror_ack_all(run->mirror, pass->set, count, error));
  dr_mirror_info(run->mirror, &info);
  return dr_mirror_commit(run->mirror, info.generation + 1, error);
}

static int32_t send(struct dr_context *run, struct activation *activation, struct dr_pass *pass,
                    struct dray_error *error) {
  const struct dr_delivery_plan plan = plan_of(run, activation, pass);
  uint64_t count = dr_changeset_count(pass->set);
  count -= pass->withheld; // deletes are the last of a set
  if (count == 0) return DRAY_OK;
  struct dr_delivery delivery;
  DRAY_TRY(dr_delivery_open(run, activation->destination, &activation->caps, pass->set, pass->path, &plan, NULL,
                            &delivery, error));
  int32_t rc = dr_waiting_load(run, &delivery.waiting, error);
  if (rc == DRAY_OK) rc = dr_lanes_send(&delivery, pass->path, &plan, count, poll_in_run_ms(), error);
  if (rc == DRAY_OK) rc = dr_delivery_poll(&delivery, 0, poll_in_run_ms(), NULL, error);
  if (rc == DRAY_OK) rc = dr_delivery_end(&delivery, error);
  rc = tell_pending(&delivery, rc, error);
  dr_delivery_close(&delivery);
  return rc;
}

static uint32_t flags_of(const struct dr_context *run) {
  const int removes = run->sync->mode == DR_MODE_MIRROR || run->sync->mode == DR_MODE_REMOVE;
  uint32_t flags = removes && !dr_prefilter_is_partial(run->prefilter) ? DR_DIFF_FULL : 0;
  if ((run->options->flags & DR_RUN_FULL) != 0) flags |= DR_DIFF_RESYNC;
  return flags;
}

static int32_t apply(struct dr_context *run, struct activation *activation, struct dr_pass *pass,
                     struct dray_error *error) {
  if ((run->options->flags & DR_RUN_BASELINE) != 0) {
    DRAY_TRY(acknowledge_all(run, pass, error));
    return dr_identity_keep(run, &activation->identity, error);
  }
  DRAY_TRY(dr_context_state(run, DR_RUN_APPLYING, "sending", error));
  DRAY_TRY(send(run, activation, pass, error));
  return dr_limit_end(run, error);
}

static int32_t activate(struct dr_context *run, struct activation *activation, struct dray_error *error) {
  DRAY_TRY(open_activation(run, activation, error));
  DRAY_TRY(open_mirror(run, activation->identity.moved, error));
  struct dr_mirror_info info;
  dr_mirror_info(run->mirror, &info);
  DRAY_TRY(check_kept(run, activation, info.keep, error));
  DRAY_TRY(dr_prefilter_open(run, error));
  DRAY_TRY(recover(run, activation, error));
  struct dr_pass pass = {0};
  DRAY_TRY(dr_context_state(run, DR_RUN_READING, "reading", error));
  const int64_t start = dr_monotonic_ms();
  DRAY_TRY(dr_prefilter_read(run, error));
  DRAY_TRY(dr_pass_run(run, flags_of(run), NULL, &pass, error));
  const int64_t read = dr_monotonic_ms();
  run->report->read_ms = read - start;
  dr_prefilter_tell(run, &pass);
  int32_t rc = dr_guard_and_samples(run, &pass, error);
  if (rc == DRAY_OK && !dr_planning(run)) rc = apply(run, activation, &pass, error);
  if (rc == DRAY_OK && !dr_planning(run)) rc = dr_prefilter_settle(run, &pass, error);
  run->report->apply_ms = dr_monotonic_ms() - read;
  dr_pass_close(&pass, dr_planning(run));
  if (dr_planning(run)) return rc;
  const int32_t swept = dr_pass_sweep(run, rc == DRAY_OK ? error : NULL);
  if (rc != DRAY_OK) return rc;
  DRAY_TRY(swept);
  DRAY_TRY(dr_context_state(run, DR_RUN_COMMITTING, "committing", error));
  (void)dr_fault_point("sync.activated");
  return dr_mirror_compact(run->mirror, error);
}

int32_t dr_activate(struct dr_context *run, struct dray_error *error) {
  struct activation activation;
  memset(&activation, 0, sizeof(activation));
  dray_buffer_init(&activation.options, OPTIONS_BYTES_MAX);
  const int32_t rc = activate(run, &activation, error);
  dray_buffer_free(&activation.options);
  dr_prefilter_close(run);
  if (run->mirror != NULL) {
    struct dr_mirror_info info;
    dr_mirror_info(run->mirror, &info);
    run->report->generation = info.generation;
  }
  return rc;
}

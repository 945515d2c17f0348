// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Upserts: up to 500 members a call, refused one by one.
//
// Whoever has left must not be brought back by a row that only wanted to set a name. A call that updates sends no
// status, and one that makes members says that those who are there are not to be touched: they are told, and sent once
// more as updates. So what is known to be there costs one call a batch, and consent is never guessed.
#include <stdio.h>

#include "writing.h"

struct round {
  uint64_t rows[MC_BATCH_ROWS_MAX];
  uint64_t count;
};

static const struct dray_json *error_of(const struct dray_json *errors, struct dray_str email) {
  for (const struct dray_json *one = errors != NULL ? errors->child : NULL; one != NULL; one = one->next) {
    if (mc_same_email(dray_json_string(dray_json_get(one, "email_address"), ""), email)) return one;
  }
  return NULL;
}

// As an update it lacks a status, since it is not there.
static int is_missing(const struct dray_json *refusal) {
  const struct dray_str field = dray_json_string(dray_json_get(refusal, "field"), "");
  const struct dray_str text = dray_json_string(dray_json_get(refusal, "error"), "");
  return dray_str_is(field, "status") || (text.len > 0 && strstr(text.data, "provided: status") != NULL);
}

static int exists(const struct dray_json *refusal) {
  return dray_str_is(dray_json_string(dray_json_get(refusal, "error_code"), ""), "ERROR_CONTACT_EXISTS");
}

// Mailchimp says that an address is not complete, and not that it takes an object alone.
static const char *hint_for(const struct mc_writing *writing, struct dray_str field) {
  for (size_t i = 0; i < writing->changes->view.column_count; i++) {
    const struct mc_column *is = &writing->columns[i];
    if (is->kind != MC_COLUMN_MERGE || is->merge != MC_MERGE_ADDRESS || !dray_str_is(field, is->name)) continue;
    if (writing->changes->view.columns[i].type.id == DRAY_TYPE_JSON) break;
    return "; an address is a JSON object, {\"addr1\": \"...\", \"city\": \"...\", \"state\": \"...\", \"zip\": "
           "\"...\"}";
  }
  return "";
}

static void refuse(struct mc_writing *writing, uint64_t row, const struct dray_json *refusal) {
  const struct dray_str text = dray_json_string(dray_json_get(refusal, "error"), "refused without a reason");
  const struct dray_str field = dray_json_string(dray_json_get(refusal, "field"), "");
  const struct dray_str why = dray_json_string(dray_json_get(refusal, "field_message"), "");
  char words[MC_WORDS_BYTES], one[MC_WORDS_BYTES / 2], other[MC_WORDS_BYTES / 4];
  (void)dray_text_excerpt(text, one, sizeof(one));
  (void)dray_text_excerpt(why, other, sizeof(other));
  const int more = field.len > 0 && field.len < 64 && other[0] != '\0' && strstr(one, other) == NULL;
  (void)snprintf(words, sizeof(words), "%s%s%s%s%s", one, more ? " (" : "", more ? field.data : "", more ? ": " : "",
                 more ? other : "");
  const size_t len = strlen(words);
  (void)snprintf(words + len, sizeof(words) - len, "%s%s", more ? ")" : "", hint_for(writing, field));
  mc_settle(writing, row, DRAY_RECEIPT_REJECTED, DRAY_E_DATA_REJECTED, words);
}

// Where rows only update, nobody is made, and so nobody is subscribed who has not asked for it.
static void refuse_unknown(struct mc_writing *writing, uint64_t row) {
  mc_settle(writing, row, DRAY_RECEIPT_REJECTED, DRAY_E_DATA_REJECTED,
            "the audience has no such member, and mode update makes none");
}

static int64_t number_of(const struct dray_json *root, const char *name) {
  const struct dray_json *value = dray_json_get(root, name);
  int64_t number = 0;
  if (value == NULL || value->kind != DRAY_JSON_NUMBER) return 0;
  return dray_parse_int64(value->text, &number, NULL) == DRAY_OK ? number : 0;
}

// A row that the answer refuses: for the other kind of call, or for good.
static void settle_refused(struct mc_writing *writing, uint64_t row, const struct dray_json *refusal, int how,
                           int is_last, struct round *other) {
  if (how == MC_AS_NEW && exists(refusal)) {
    if (!writing->options->update_existing || (writing->operations & DRAY_OP_UPDATE) == 0) {
      mc_settle(writing, row, DRAY_RECEIPT_UNCHANGED, 0, NULL);
    } else if (!is_last) {
      other->rows[other->count++] = row;
    } else {
      refuse(writing, row, refusal);
    }
  } else if (how == MC_AS_OLD && is_missing(refusal) && (writing->operations & DRAY_OP_INSERT) == 0) {
    refuse_unknown(writing, row);
  } else if (how == MC_AS_OLD && !is_last && is_missing(refusal)) {
    other->rows[other->count++] = row;
  } else {
    refuse(writing, row, refusal);
  }
}

// A row that is to be there again, of a member that an update has left in the archive.
static int is_archived(const struct mc_writing *writing, uint64_t row, const struct dray_json *root) {
  const struct dray_json *updated = dray_json_get(root, "updated_members");
  if (dray_change_op(writing->changes, row) != DRAY_OP_INSERT) return 0;
  for (const struct dray_json *one = updated != NULL ? updated->child : NULL; one != NULL; one = one->next) {
    if (!mc_same_email(dray_json_string(dray_json_get(one, "email_address"), ""), mc_email(writing, row))) continue;
    return dray_str_is(dray_json_string(dray_json_get(one, "status"), ""), "archived");
  }
  return 0;
}

static void settle_all(struct mc_writing *writing, const struct round *round, const struct dray_json *root, int how,
                       int is_last, struct round *other) {
  const struct dray_json *errors = dray_json_get(root, "errors");
  const uint64_t error_count = errors != NULL ? errors->child_count : 0;
  const int64_t told = number_of(root, "total_created") + number_of(root, "total_updated") + (int64_t)error_count;
  const int complete = errors != NULL && errors->kind == DRAY_JSON_ARRAY && told == (int64_t)round->count;
  for (uint64_t i = 0; i < round->count; i++) {
    const uint64_t row = round->rows[i];
    const struct dray_json *refusal = error_count > 0 ? error_of(errors, mc_email(writing, row)) : NULL;
    if (refusal != NULL) {
      settle_refused(writing, row, refusal, how, is_last, other);
    } else if (complete && how == MC_AS_OLD && is_archived(writing, row, root)) {
      writing->partly[row] = 1;
      other->rows[other->count++] = row;
    } else if (complete) {
      mc_settle(writing, row, DRAY_RECEIPT_APPLIED, 0, NULL);
    } else {
      mc_settle(writing, row, DRAY_RECEIPT_UNKNOWN, DRAY_E_HTTP_CONTENT,
                "the answer does not account for every member that was sent");
    }
  }
}

static int32_t send_part(struct mc_writing *writing, const struct round *part, int how, int sync_tags, int is_last,
                         struct round *other, struct dray_error *error) {
  struct dray_json *root = NULL;
  if (part->count == 0) return DRAY_OK;
  dray_buffer_clear(writing->path);
  DRAY_TRY(dray_buffer_printf(writing->path, error, "/lists/%s%s", writing->options->list_id,
                              writing->options->skip_merge_validation ? "?skip_merge_validation=true" : ""));
  DRAY_TRY(mc_members_body(writing, part->rows, part->count, how, sync_tags, error));
  DRAY_TRY(mc_send(writing, "POST", part->rows, part->count, &root, error));
  if (root != NULL) settle_all(writing, part, root, how, is_last, other);
  dray_json_free(root);
  return DRAY_OK;
}

// Rows without tags would lose all of them in a call that says that tags are the whole.
static int32_t send_round(struct mc_writing *writing, const struct round *round, int how, int is_last,
                          struct round *other, struct dray_error *error) {
  struct round with = {.count = 0}, without = {.count = 0};
  other->count = 0;
  if (how != MC_AS_OLD || !writing->options->sync_tags) {
    return send_part(writing, round, how, 0, is_last, other, error);
  }
  for (uint64_t i = 0; i < round->count; i++) {
    struct round *part = mc_says_tags(writing, round->rows[i]) ? &with : &without;
    part->rows[part->count++] = round->rows[i];
  }
  DRAY_TRY(send_part(writing, &without, how, 0, is_last, other, error));
  return send_part(writing, &with, how, 1, is_last, other, error);
}

// The same for addresses that are the same.
static uint64_t hash_email(struct dray_str email) {
  uint64_t hash = UINT64_C(0xcbf29ce484222325);
  char folded[MC_FOLDED_BYTES];
  const size_t len = mc_fold_email(email, folded);
  for (size_t i = 0; i < len; i++) hash = (hash ^ (unsigned char)folded[i]) * UINT64_C(0x100000001b3);
  return hash;
}

// Refuses rows without an address, and all but the first of one address: an answer tells them by it.
static void refuse_hopeless(struct mc_writing *writing) {
  uint64_t hashes[MC_BATCH_ROWS_MAX];
  for (uint64_t row = 0; row < writing->row_count; row++) {
    const struct dray_str email = mc_email(writing, row);
    hashes[row] = hash_email(email);
    if (dray_change_op(writing->changes, row) == DRAY_OP_DELETE) continue;
    if (email.len == 0) {
      mc_settle(writing, row, DRAY_RECEIPT_REJECTED, DRAY_E_DATA_KEY_NULL, "the row has no email address");
      continue;
    }
    for (uint64_t other = 0; other < row; other++) {
      if (hashes[other] != hashes[row] || dray_change_op(writing->changes, other) == DRAY_OP_DELETE ||
          !mc_same_email(mc_email(writing, other), email)) {
        continue;
      }
      mc_settle(writing, row, DRAY_RECEIPT_REJECTED, DRAY_E_DATA_KEY_DUPLICATE,
                "another row has this address, but for the case of its letters");
      break;
    }
  }
}

static void note_left(struct mc_writing *writing, uint64_t row, const struct dray_json *member, void *ctx) {
  (void)ctx;
  writing->left[row] = dray_json_string(dray_json_get(member, "unsubscribe_reason"), "").len > 0;
}

// Who had unsubscribed before it was archived comes back like that; a batch's answer does not show it.
static int32_t bring_back(struct mc_writing *writing, const struct round *back, struct dray_error *error) {
  const struct mc_look_up look_up = {
      .fields = "unsubscribe_reason", .rows = back->rows, .row_count = back->count, .take = note_left};
  struct round asked = {.count = 0}, none;
  if (writing->options->never_resubscribe) DRAY_TRY(mc_look_up(writing, &look_up, error));
  for (uint64_t i = 0; i < back->count; i++) {
    if (!writing->settled[back->rows[i]]) asked.rows[asked.count++] = back->rows[i];
  }
  return send_round(writing, &asked, MC_AS_BACK, 1, &none, error);
}

static void note_unknown(struct mc_writing *writing, uint64_t row, const struct dray_json *member, void *ctx) {
  (void)ctx;
  if (member == NULL) refuse_unknown(writing, row);
}

// A call that updates is refused for those who are no members, as long as it has no status. So only rows that are sent
// with one have to be looked up before.
static int32_t look_for_unknown(struct mc_writing *writing, const struct round *old, struct dray_error *error) {
  uint64_t rows[MC_BATCH_ROWS_MAX];
  struct mc_look_up look_up = {.fields = "status", .rows = rows, .take = note_unknown};
  if ((writing->operations & DRAY_OP_INSERT) != 0) return DRAY_OK;
  for (uint64_t i = 0; i < old->count; i++) {
    if (mc_says_status(writing, old->rows[i], MC_AS_OLD)) rows[look_up.row_count++] = old->rows[i];
  }
  return mc_look_up(writing, &look_up, error);
}

static void drop_settled(const struct mc_writing *writing, struct round *round) {
  uint64_t kept = 0;
  for (uint64_t i = 0; i < round->count; i++) {
    if (!writing->settled[round->rows[i]]) round->rows[kept++] = round->rows[i];
  }
  round->count = kept;
}

int32_t mc_write_members(struct mc_writing *writing, struct dray_error *error) {
  struct round old = {.count = 0}, fresh = {.count = 0}, back = {.count = 0}, other, none;
  for (uint64_t row = 0; row < writing->row_count; row++) {
    const int64_t op = dray_change_op(writing->changes, row);
    if (op == DRAY_OP_UPDATE) old.rows[old.count++] = row;
    if (op == DRAY_OP_INSERT) fresh.rows[fresh.count++] = row;
  }
  // What nobody has to be asked for is told last: an error may still promise that nothing was applied.
  uint64_t hopeless = 0;
  refuse_hopeless(writing);
  hopeless = writing->settled_count;
  writing->settled_count = 0;
  drop_settled(writing, &old);
  drop_settled(writing, &fresh);
  DRAY_TRY(look_for_unknown(writing, &old, error));
  drop_settled(writing, &old);
  DRAY_TRY(send_round(writing, &old, MC_AS_OLD, 0, &other, error));
  if (other.count > 0) DRAY_TRY(send_round(writing, &other, MC_AS_NEW, 1, &none, error));
  DRAY_TRY(send_round(writing, &fresh, MC_AS_NEW, 0, &other, error));
  if (other.count > 0) DRAY_TRY(send_round(writing, &other, MC_AS_OLD, 1, &back, error));
  if (other.count > 0 && back.count > 0) DRAY_TRY(bring_back(writing, &back, error));
  writing->settled_count += hopeless;
  return DRAY_OK;
}

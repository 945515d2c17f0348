// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// The pace service: budgets of an account at the other side, at the gates that HTTP's rate keys use as well, under
// names of their own.
#include <math.h>
#include <stddef.h>
#include <string.h>

#include "plugin/gate.h"
#include "plugin/services.h"

#define PREFIX "pace:" // a rate key of the same name is another gate
#define KEY_BYTES_MAX (sizeof(PREFIX) - 1 + DRAY_PACE_KEY_BYTES_MAX)

struct asked {
  char key[KEY_BYTES_MAX];
  struct dr_gate_terms terms;
  struct dr_gate *gate;
};

static int32_t ask(const struct dr_host *host, struct dray_str key, double capacity, double per_second,
                   struct asked *out, struct dray_error *error) {
  if (key.len == 0 || key.len > DRAY_PACE_KEY_BYTES_MAX) {
    return dray_fail(error, DRAY_E_PLUGIN_CONTRACT, "the key of a budget has %llu bytes; 1 to %d are allowed",
                     (unsigned long long)key.len, DRAY_PACE_KEY_BYTES_MAX);
  }
  memcpy(out->key, PREFIX, sizeof(PREFIX) - 1);
  memcpy(out->key + sizeof(PREFIX) - 1, key.data, key.len);
  out->terms = (struct dr_gate_terms){.key = dray_str_make(out->key, sizeof(PREFIX) - 1 + key.len),
                                      .folder = host->shared_folder,
                                      .per_second = per_second,
                                      .capacity = capacity};
  return dr_gate_get(&out->terms, &out->gate, error);
}

static int32_t ask_by_terms(const struct dr_host *host, const struct dray_pace_terms *terms, struct asked *out,
                            struct dray_error *error) {
  if (terms->struct_size < sizeof(*terms)) {
    return dray_fail(error, DRAY_E_PLUGIN_CONTRACT, "the terms of a budget have a struct_size of %u",
                     terms->struct_size);
  }
  if (!(terms->capacity > 0 && isfinite(terms->capacity) && terms->per_second > 0 && isfinite(terms->per_second))) {
    return dray_fail(error, DRAY_E_PLUGIN_CONTRACT, "a budget of %g points and %g a second cannot be kept",
                     terms->capacity, terms->per_second);
  }
  return ask(host, terms->key, terms->capacity, terms->per_second, out, error);
}

static int32_t take(void *ctx, const struct dray_pace_terms *terms, double amount, struct dray_error *error) {
  struct asked asked;
  int place = -1;
  if (!(amount >= 0)) return dray_fail(error, DRAY_E_PLUGIN_CONTRACT, "%g points cannot be taken", amount);
  DRAY_TRY(ask_by_terms(ctx, terms, &asked, error));
  const int32_t code = dr_gate_enter(asked.gate, &asked.terms, amount, 0, &place, error);
  dr_gate_put(asked.gate);
  return code;
}

static int32_t tell(void *ctx, const struct dray_pace_terms *terms, double available, double settled,
                    struct dray_error *error) {
  struct asked asked;
  if (!isfinite(available) || !(settled >= 0)) {
    return dray_fail(error, DRAY_E_PLUGIN_CONTRACT, "%g points left and %g settled cannot be", available, settled);
  }
  DRAY_TRY(ask_by_terms(ctx, terms, &asked, error));
  const int32_t code = dr_gate_tell(asked.gate, &asked.terms, available, settled, error);
  dr_gate_put(asked.gate);
  return code;
}

static int32_t hold(void *ctx, struct dray_str key, int64_t duration_ms, struct dray_error *error) {
  struct asked asked;
  DRAY_TRY(ask(ctx, key, 0, 0, &asked, error));
  if (duration_ms > 0) dr_gate_hold(asked.gate, duration_ms);
  dr_gate_put(asked.gate);
  return DRAY_OK;
}

void dr_service_pace_init(struct dr_host *host) {
  host->pace = (struct dray_pace_service){sizeof(host->pace), 0, host, take, tell, hold};
}

// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// The commands that run things, as stand-ins: each prints its name, its arguments and its options.
#include "harness.h"

static int32_t say(struct dr_command_call *call) {
  dr_print(call->output, "%s", call->name);
  for (size_t i = 0; i < call->positional_count; i++) dr_print(call->output, " [%s]", call->positionals[i]);
  for (size_t i = 0; i < call->given_count; i++)
    dr_print(call->output, " %s=%s", call->given[i].option->name, call->given[i].value);
  dr_print(call->output, "\n");
  return 0;
}

int32_t cmd_check(struct dr_command_call *call) {
  return say(call);
}
int32_t cmd_diff(struct dr_command_call *call) {
  return say(call);
}
int32_t cmd_discover(struct dr_command_call *call) {
  return say(call);
}
int32_t cmd_plan(struct dr_command_call *call) {
  return say(call);
}
int32_t cmd_sync(struct dr_command_call *call) {
  return say(call);
}
int32_t cmd_status(struct dr_command_call *call) {
  return say(call);
}
int32_t cmd_rows(struct dr_command_call *call) {
  return say(call);
}
int32_t cmd_rows_retry(struct dr_command_call *call) {
  return say(call);
}
int32_t cmd_rows_resolve(struct dr_command_call *call) {
  return say(call);
}
int32_t cmd_state_show(struct dr_command_call *call) {
  return say(call);
}
int32_t cmd_state_verify(struct dr_command_call *call) {
  return say(call);
}
int32_t cmd_state_reset(struct dr_command_call *call) {
  return say(call);
}
int32_t cmd_state_baseline(struct dr_command_call *call) {
  return say(call);
}
int32_t cmd_state_rebuild(struct dr_command_call *call) {
  return say(call);
}
int32_t cmd_plugin_list(struct dr_command_call *call) {
  return say(call);
}
int32_t cmd_plugin_info(struct dr_command_call *call) {
  return say(call);
}
int32_t cmd_plugin_new(struct dr_command_call *call) {
  return say(call);
}
int32_t cmd_plugin_test(struct dr_command_call *call) {
  return say(call);
}

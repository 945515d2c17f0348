// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Between yaml.c and yaml_fault.c: the only two files that know libyaml.
#ifndef DR_CONFIG_YAML_H
#define DR_CONFIG_YAML_H

#include <yaml.h>

#include "config/inside.h"

// Looks for bytes that no YAML file may hold (invalid UTF-8, control characters); the first becomes a problem and
// *out_readable 0.
DRAY_NODISCARD int32_t dr_yaml_check_bytes(struct dr_project *project, uint32_t file, struct dray_str text,
                                           int *out_readable);
// Turns libyaml's failure into a problem that a person can act on. @errors OUT_OF_MEMORY.
DRAY_NODISCARD int32_t dr_yaml_fault(struct dr_project *project, uint32_t file, struct dray_str text,
                                     const yaml_parser_t *parser, struct dray_error *error);

#endif // DR_CONFIG_YAML_H

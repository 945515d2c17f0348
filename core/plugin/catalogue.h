// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// The JSON that plugins write of themselves (check results, streams, objects), checked for the shape that the headers
// promise. Used by calls_*.c.
#ifndef DR_PLUGIN_CATALOGUE_H
#define DR_PLUGIN_CATALOGUE_H

#include "plugin/call.h"

enum { DR_CATALOGUE_CHECK = 1, DR_CATALOGUE_STREAMS = 2, DR_CATALOGUE_OBJECTS = 3, DR_CATALOGUE_DROPPED = 4 };
// `json` came out of the call just ended. @errors PLUGIN_CONTRACT names the place and the rule, OUT_OF_MEMORY.
DRAY_NODISCARD int32_t dr_catalogue_check(const struct dr_call *call, int kind, struct dray_str json);

#endif // DR_PLUGIN_CATALOGUE_H

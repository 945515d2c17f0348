// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Where a stream begins when nothing of it was read before: a setting, start_date say. A state remembers the one that
// it was begun with. Who sets an earlier one later wants what lies before as well, which no state knows of: the stream
// is then read from its beginning. A later one changes nothing for what has been begun.
#ifndef DRAY_SDK_START_H
#define DRAY_SDK_START_H

#include "dray/sdk/services.h"

#ifdef __cplusplus
extern "C" {
#endif

#define DRAY_START_NONE INT64_MIN // µs since 1970: everything

// Before a state is read. `*start_us` is the setting's, and becomes the one to begin from and to remember: the state's
// where that is earlier. `*state` becomes empty, and a line of the log says so, when the setting is earlier. A state
// that remembers none (an older one) was begun with the setting, and what is no state is left to the plugin. @errors
// OUT_OF_MEMORY.
DRAY_NODISCARD int32_t dray_start_resume(const struct dray_services *services, const char *stream, int64_t *start_us,
                                         struct dray_str *state, struct dray_error *error);
// After a state was written: adds "start_date" to the JSON object with at least one member that `state` ends with.
// @errors LIMIT, OUT_OF_MEMORY.
DRAY_NODISCARD int32_t dray_start_remember(int64_t start_us, struct dray_buffer *state, struct dray_error *error);

#ifdef __cplusplus
}
#endif

#endif // DRAY_SDK_START_H

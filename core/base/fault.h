// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Named steps at which a test can make the process die or a system call fail. Costs one predictable
// branch when not armed. Armed by the environment DRAY_FAULT, e.g. "kill:sync.sending:3" (kill -9 at the third pass),
// "enospc:file.write:2", "eio:file.sync:1", "stop:NAME:1" (SIGSTOP). Honoured only when DRAY_TEST=1 is set as well.
#ifndef DR_BASE_FAULT_H
#define DR_BASE_FAULT_H

// Returns 0, or the errno the step must fail with. Does not return when the step is to be killed.
int dr_fault_point(const char *name);
// All step names passed so far by this process are appended to the file named by DRAY_FAULT_TRACE, one a line: how
// tests learn every step there is.

// Reads the environment again and starts counting anew: for a test's forked child that arms a fault of its own.
void dr_fault_reload(void);

#endif // DR_BASE_FAULT_H

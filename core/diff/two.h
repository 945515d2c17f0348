// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Work that falls into two halves, on two threads. Inside core/diff only.
#ifndef DR_DIFF_TWO_H
#define DR_DIFF_TWO_H

// Calls do_half(first) here and do_half(second) on a thread beside it, and returns when both have; one after the other
// when there is no thread to be had, or `second` is NULL or not to be done beside it (`threads` is 1).
void dr_in_two(unsigned threads, void (*do_half)(void *half), void *first, void *second);

#endif // DR_DIFF_TWO_H

/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Trace events of the kernel as a witness, in an instance of the tracer of our
 * own, which nobody else's tracing disturbs.
 *
 * Functions that can fail return a negative errno.
 */

#ifndef CONFORMANCE_TRACE_H
#define CONFORMANCE_TRACE_H

#include <stdbool.h>
#include <stdio.h>

bool trace_event_present(const char *event);
int trace_open(void);
int trace_event_enable(const char *event, const char *filter);
int trace_start(void);
int trace_stop(void);
FILE *trace_read(void);
void trace_close(void);

#endif /* CONFORMANCE_TRACE_H */

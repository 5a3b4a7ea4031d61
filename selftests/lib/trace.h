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

/**
 * struct trace - An instance of the tracer
 * @dir: its directory, empty while it is not open
 */
struct trace {
	char dir[80];
};

/* That of the tests, of which one at a time has it */
#define TRACE_NAME	"iio-dmabuf"

bool trace_event_present(const char *event);
int trace_open(struct trace *t, const char *name);
int trace_set(const struct trace *t, const char *file, const char *val);
int trace_event_enable(const struct trace *t, const char *event,
		       const char *filter);
int trace_start(const struct trace *t);
int trace_stop(const struct trace *t);
FILE *trace_read(const struct trace *t);
void trace_close(struct trace *t);

#endif /* CONFORMANCE_TRACE_H */

/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What userspace sees of transfers: their fences, and the polls of one command,
 * from the kernel's tracer. What is there of the tracer is used; without it
 * there are no marks.
 */

#ifndef MONITOR_MARKS_H
#define MONITOR_MARKS_H

#include <sys/types.h>

#include "record.h"
#include "trace.h"

/**
 * struct mark_pipe - An instance of the tracer, and what comes out of it
 * @trace: the instance
 * @fd: its trace_pipe, -1 while there is none
 * @line: the beginning of a line
 * @len: bytes in @line
 */
struct mark_pipe {
	struct trace trace;
	int fd;
	char line[4096];
	size_t len;
};

/**
 * struct marks - Where marks come from
 * @fences: all fences of the IIO core
 * @polls: system calls of the command
 * @group: the probes that @polls takes them from, empty while there are none
 * @contexts: contexts of the fences that have come into being
 * @nr_contexts: number of them
 * @lost: marks that the tracer has lost
 */
struct marks {
	struct mark_pipe fences;
	struct mark_pipe polls;
	char group[48];
	uint64_t *contexts;
	size_t nr_contexts;
	uint64_t lost;
};

#define MARKS_INIT	{ .fences.fd = -1, .polls.fd = -1 }

void marks_open_fences(struct marks *m);
void marks_open_polls(struct marks *m, pid_t pid);
void marks_read(struct marks *m, struct records *records);
void marks_close(struct marks *m);

#endif /* MONITOR_MARKS_H */

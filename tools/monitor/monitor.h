/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What all parts of the monitor share: how it ends, and how it says why.
 */

#ifndef MONITOR_MONITOR_H
#define MONITOR_MONITOR_H

#include <stdlib.h>

#include "macros.h"

/* Exit statuses of our own. Others are those of the command that was run. */
enum {
	EXIT_RECORDING = 122,	/* what is to be played is not whole */
	EXIT_LISTEN = 123,	/* the driver cannot be listened to */
	EXIT_OUTPUT = 124,	/* something could not be written */
	EXIT_MONITOR = 125,	/* anything else: usage, memory... */
	EXIT_CANNOT_RUN = 126,	/* the command cannot be run */
	EXIT_NOT_FOUND = 127,	/* the command does not exist */
};

void __printf(1, 2) say(const char *format, ...);
void *check_alloc(void *p);

/*
 * Make room in an array for one element more than there are: of room there is
 * for the next power of two, at least.
 */
#define grow(v, nr) do {						\
	if (!((nr) & ((nr) - 1)))					\
		(v) = check_alloc(realloc(v, 2 * ((nr) ?: 8) *		\
					     sizeof(*(v))));		\
} while (0)

#endif /* MONITOR_MONITOR_H */

// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "trace.h"

#define TRACING		"/sys/kernel/tracing"

/**
 * trace_set() - Write to a file of an instance
 * @t: the instance
 * @file: the file, what is in it is replaced
 * @val: what to write
 *
 * Return: 0, or a negative errno.
 */
int trace_set(const struct trace *t, const char *file, const char *val)
{
	char path[PATH_MAX];
	int fd, err = 0;

	snprintf(path, sizeof(path), "%s/%s", t->dir, file);
	fd = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC);
	if (fd < 0)
		return -errno;

	if (write(fd, val, strlen(val)) < 0)
		err = -errno;
	close(fd);

	return err;
}

/* Whether this kernel has @event, as "system/name", and lets us use it. */
bool trace_event_present(const char *event)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), TRACING "/events/%s", event);

	return !access(path, F_OK);
}

/**
 * trace_open() - Get an instance of the tracer, stopped and empty
 * @t: the instance; to be closed even on failure
 * @name: its name, of one that is there or not
 *
 * Return: 0, or a negative errno.
 */
int trace_open(struct trace *t, const char *name)
{
	int ret;

	snprintf(t->dir, sizeof(t->dir), TRACING "/instances/%s", name);
	if (mkdir(t->dir, 0700) && errno != EEXIST)
		return -errno;

	ret = trace_stop(t);
	if (!ret)
		ret = trace_set(t, "trace", "");
	/* The names of tasks would take probes in the scheduler. */
	if (!ret)
		ret = trace_set(t, "trace_options", "norecord-cmd");

	return ret;
}

/**
 * trace_event_enable() - Trace an event between trace_start() and trace_stop()
 * @t: the instance
 * @event: as "system/name"
 * @filter: which of them, see Documentation/trace/events.rst
 *
 * Return: 0, or a negative errno.
 */
int trace_event_enable(const struct trace *t, const char *event,
		       const char *filter)
{
	char file[128];
	int ret;

	snprintf(file, sizeof(file), "events/%s/filter", event);
	ret = trace_set(t, file, filter);
	if (ret)
		return ret;

	snprintf(file, sizeof(file), "events/%s/enable", event);

	return trace_set(t, file, "1");
}

int trace_start(const struct trace *t)
{
	return trace_set(t, "tracing_on", "1");
}

int trace_stop(const struct trace *t)
{
	return trace_set(t, "tracing_on", "0");
}

/* Return: the trace as text, for fclose(); NULL if there is none. */
FILE *trace_read(const struct trace *t)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/trace", t->dir);

	return fopen(path, "re");
}

/* One that is not open is fine. */
void trace_close(struct trace *t)
{
	if (!t->dir[0])
		return;

	trace_set(t, "events/enable", "0");
	rmdir(t->dir);
	t->dir[0] = '\0';
}

// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "trace.h"

#define TRACING		"/sys/kernel/tracing"
#define TRACING_OWN	TRACING "/instances/iio-dmabuf"

/* Write to a file of our own instance. */
static int trace_write(const char *file, const char *val)
{
	char path[PATH_MAX];
	int fd, err = 0;

	snprintf(path, sizeof(path), TRACING_OWN "/%s", file);
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
 *
 * Return: 0, or a negative errno.
 */
int trace_open(void)
{
	int ret;

	if (mkdir(TRACING_OWN, 0700) && errno != EEXIST)
		return -errno;

	ret = trace_stop();
	if (!ret)
		ret = trace_write("trace", "");
	/* The names of tasks would take probes in the scheduler. */
	if (!ret)
		ret = trace_write("trace_options", "norecord-cmd");

	return ret;
}

/**
 * trace_event_enable() - Trace an event between trace_start() and trace_stop()
 * @event: as "system/name"
 * @filter: which of them, see Documentation/trace/events.rst
 *
 * Return: 0, or a negative errno.
 */
int trace_event_enable(const char *event, const char *filter)
{
	char file[128];
	int ret;

	snprintf(file, sizeof(file), "events/%s/filter", event);
	ret = trace_write(file, filter);
	if (ret)
		return ret;

	snprintf(file, sizeof(file), "events/%s/enable", event);

	return trace_write(file, "1");
}

int trace_start(void)
{
	return trace_write("tracing_on", "1");
}

int trace_stop(void)
{
	return trace_write("tracing_on", "0");
}

/* Return: the trace as text, for fclose(); NULL if there is none. */
FILE *trace_read(void)
{
	return fopen(TRACING_OWN "/trace", "re");
}

/* Nothing if there is no instance. */
void trace_close(void)
{
	trace_write("events/enable", "0");
	rmdir(TRACING_OWN);
}

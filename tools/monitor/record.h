/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the monitor has seen, in memory, as lines of a recording, and as lines
 * for people. The format of recordings: Documentation/iio-dmabuf-monitor.rst.
 */

#ifndef MONITOR_RECORD_H
#define MONITOR_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "control.h"

/**
 * enum record_type - What a record is about
 * @RECORD_START: the monitor has begun to listen
 * @RECORD_INSTANCE: the name of an instance
 * @RECORD_EVENT: an event of the driver
 * @RECORD_OVERRUN: the kernel has had no room for an event (ENOBUFS)
 * @RECORD_FENCE_INIT: a fence of the IIO core came into being
 * @RECORD_FENCE_SIGNALED: it has signalled
 * @RECORD_ENQUEUE: a task has called ENQUEUE
 * @RECORD_POLL: a task has called poll() or the like
 * @RECORD_POLL_RETURN: that has returned
 * @RECORD_END: the monitor has ended
 */
enum record_type {
	RECORD_START,
	RECORD_INSTANCE,
	RECORD_EVENT,
	RECORD_OVERRUN,
	RECORD_FENCE_INIT,
	RECORD_FENCE_SIGNALED,
	RECORD_ENQUEUE,
	RECORD_POLL,
	RECORD_POLL_RETURN,
	RECORD_END,
};

/**
 * enum poll_call - System calls that wait for a descriptor
 * @POLL_CALL_POLL: poll()
 * @POLL_CALL_PPOLL: ppoll()
 * @POLL_CALL_EPOLL_WAIT: epoll_wait()
 * @POLL_CALL_EPOLL_PWAIT: epoll_pwait()
 * @NR_POLL_CALLS: number of them
 */
enum poll_call {
	POLL_CALL_POLL,
	POLL_CALL_PPOLL,
	POLL_CALL_EPOLL_WAIT,
	POLL_CALL_EPOLL_PWAIT,
	NR_POLL_CALLS,
};

/**
 * struct record - A line of a recording
 * @type: what is in it
 * @ns: CLOCK_MONOTONIC
 * @when: where it belongs among the others: @ns, but of an event never before
 *	the one that had the number before
 * @arrival: where it belongs among those of the same time
 * @event: of RECORD_EVENT, but for its ns
 * @instance: of RECORD_INSTANCE
 * @fence: of RECORD_FENCE_INIT and RECORD_FENCE_SIGNALED
 * @call: of RECORD_ENQUEUE, RECORD_POLL and RECORD_POLL_RETURN; fd is the
 *	DMABUF enqueued, the first descriptor polled, or the epoll instance
 * @end: of RECORD_END; seq is the number of the last event that there was, 0 if
 *	that is not known
 */
struct record {
	enum record_type type;
	uint64_t ns;
	uint64_t when;
	size_t arrival;
	union {
		struct control_event event;
		struct {
			uint32_t number;
			char name[DMA_LOOPBACK_NAME_LEN + 1];
		} instance;
		struct {
			int32_t pid;
			uint64_t context;
			uint64_t seqno;
		} fence;
		struct {
			int32_t pid;
			uint32_t call;
			int32_t fd;
			uint32_t nfds;
			int32_t ret;
		} call;
		struct {
			uint64_t seq;
		} end;
	};
};

/**
 * struct records - Records, in the order of time once they were sorted
 * @v: the records
 * @nr: number of them
 * @arrived: number of those that were ever added
 * @event_when: when the last event was
 */
struct records {
	struct record *v;
	size_t nr;
	size_t arrived;
	uint64_t event_when;
};

void records_add(struct records *records, const struct record *record);
void records_sort(struct records *records);
void records_drop(struct records *records, size_t nr);
void records_free(struct records *records);
int records_read(struct records *records, const char *path);

/**
 * struct names - Names of instances, those that there are now
 * @v: numbers and names
 * @nr: number of them
 */
struct names {
	struct {
		uint32_t number;
		char name[DMA_LOOPBACK_NAME_LEN + 1];
	} *v;
	size_t nr;
};

void names_set(struct names *names, uint32_t instance, const char *name);
const char *names_get(const struct names *names, uint32_t instance);
bool names_has(const struct names *names, uint32_t instance);
void names_free(struct names *names);

/**
 * struct filter - Which channels are wanted
 * @instance: name or number of the only instance, NULL for all
 * @channel: name of the only channel, NULL for both
 */
struct filter {
	const char *instance;
	const char *channel;
};

bool event_of_start(const struct control_event *e);
bool filter_matches(const struct filter *filter, struct control_addr addr,
		    const char *instance);

const char *result_name(uint32_t result);
const char *poll_call_name(uint32_t call);
uint64_t events_lost(uint64_t *last, const struct record *record);

void record_write_header(FILE *f);
void record_write(FILE *f, const struct record *record);
void record_print_header(FILE *f);
void record_print_lost(FILE *f, const struct record *record, uint64_t start,
		       uint64_t lost);
void record_print(FILE *f, const struct record *record, uint64_t start,
		  const char *instance);

#endif /* MONITOR_RECORD_H */

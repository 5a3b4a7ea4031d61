/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A script, see script.h, played on an instance of the loopback driver, and a
 * record of what was seen: by a program that has the descriptors, and by the
 * driver's event stream.
 */

#ifndef CONFORMANCE_PLAY_H
#define CONFORMANCE_PLAY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "control.h"
#include "dmabuf.h"
#include "iio.h"
#include "script.h"

/**
 * struct play_saw - What a program has seen of a transfer
 * @enqueue: what ENQUEUE has returned
 * @fence: sync file of it while it is pending, else -1
 * @over: everything below was looked at when it had to have ended
 * @status: of the sync file: 1 signalled, 0 pending, or a negative errno
 * @ns: when its fence signalled, CLOCK_MONOTONIC
 * @sync_file: what poll() said of the sync file
 * @dmabuf: what poll() said of the DMABUF
 * @epolls: how often epoll has told that the DMABUF is ready
 * @epolled: count of such reports, of all DMABUFs, when it told that first
 * @early: operation after which it was over before it could be, SCRIPT_NONE
 */
struct play_saw {
	int enqueue;
	int fence;
	bool over;
	int status;
	uint64_t ns;
	short sync_file;
	short dmabuf;
	unsigned int epolls;
	unsigned int epolled;
	unsigned int early;
};

/**
 * struct play_record - What was seen of a script
 * @s: the script
 * @saw: what a program has seen, of each transfer
 * @nr_enqueued: of how many
 * @fault_ids: the numbers that the driver gave the faults
 * @instance: the controller
 * @before: the channels before the script
 * @after: and afterwards
 * @faults_left: faults of the instance afterwards
 * @events: the event stream, of all controllers
 * @nr_events: number of them
 * @nr_stuck: how often a DMABUF was busy whose last submission had failed
 * @stopped: why the script was not played to its end, or ""
 * @stopped_at: at which operation
 */
struct play_record {
	const struct script *s;
	struct play_saw *saw;
	size_t nr_enqueued;
	uint32_t *fault_ids;
	uint32_t instance;
	struct control_chan before[SCRIPT_CHANS];
	struct control_chan after[SCRIPT_CHANS];
	unsigned int faults_left;
	struct control_event *events;
	size_t nr_events;
	unsigned int nr_stuck;
	char stopped[256];
	size_t stopped_at;
};

int play_script(struct play_record *r, const struct script *s,
		struct control *c, uint32_t instance,
		const struct iio_dut *const duts[SCRIPT_CHANS]);
struct play_record *play_copy(const struct play_record *r);
void play_free(struct play_record *r);

#endif /* CONFORMANCE_PLAY_H */

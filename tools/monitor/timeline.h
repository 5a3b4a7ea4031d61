/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the monitor has seen, as transfers, fences and polls, and as a picture.
 */

#ifndef MONITOR_TIMELINE_H
#define MONITOR_TIMELINE_H

#include "record.h"

/* No lane, no transfer, or no time */
#define NONE	SIZE_MAX
#define NEVER	UINT64_MAX

/**
 * enum outcome - What became of a transfer, the worse the later
 * @OUTCOME_OK: it has completed, as it should
 * @OUTCOME_OPEN: its end was not seen
 * @OUTCOME_FAULTED: it has completed in spite of a fault
 * @OUTCOME_TERMINATED: it was terminated
 * @OUTCOME_BAD: it has completed with an error or a residue, or was refused
 * @NR_OUTCOMES: number of them
 */
enum outcome {
	OUTCOME_OK,
	OUTCOME_OPEN,
	OUTCOME_FAULTED,
	OUTCOME_TERMINATED,
	OUTCOME_BAD,
	NR_OUTCOMES,
};

/**
 * struct transfer - All that is known of a transfer
 * @lane: its channel
 * @last: its last event of those that tell more than the ones before
 * @begin: when it was first heard of
 * @heard: when it was last heard of
 * @submitted: when it was submitted, NEVER if that was not seen; so with
 * @issued: issued,
 * @started: started,
 * @ended: completed or terminated
 * @end: where its bar ends
 * @outcome: what became of it
 * @terminated: that is how it ended
 * @faults: kinds of the faults that had an effect on it, as bits
 * @fence: its fence, NONE if that is not known
 */
struct transfer {
	size_t lane;
	struct control_event last;
	uint64_t begin;
	uint64_t heard;
	uint64_t submitted;
	uint64_t issued;
	uint64_t started;
	uint64_t ended;
	uint64_t end;
	enum outcome outcome;
	bool terminated;
	uint64_t faults;
	size_t fence;
};

/**
 * enum mark_type - What is marked on a bar or, of MARK_SYNCHRONIZED, in a lane
 * @MARK_PROGRESSED: the transfer has come to a halt
 * @MARK_FAULTED: a fault has had an effect
 * @MARK_AGAIN: it has ended once more
 * @MARK_SYNCHRONIZED: the channel was synchronized
 */
enum mark_type {
	MARK_PROGRESSED,
	MARK_FAULTED,
	MARK_AGAIN,
	MARK_SYNCHRONIZED,
};

/**
 * struct mark - A moment in the life of a transfer or a channel
 * @type: what has happened
 * @ns: when
 * @lane: the channel
 * @transfer: the transfer, NONE for none
 * @event: as the driver said it
 */
struct mark {
	enum mark_type type;
	uint64_t ns;
	size_t lane;
	size_t transfer;
	struct control_event event;
};

/**
 * struct fence - A fence of the IIO core
 * @context: its context, which belongs to one attachment
 * @seqno: its number in that
 * @pid: the task that made it
 * @init: when that was, NEVER if it was not seen
 * @signaled: when it signalled, NEVER if that was not seen
 * @lane: its channel, NONE if that is not known
 * @transfer: its transfer, likewise
 */
struct fence {
	uint64_t context;
	uint64_t seqno;
	int32_t pid;
	uint64_t init;
	uint64_t signaled;
	size_t lane;
	size_t transfer;
};

/**
 * struct wait - A call of poll() or the like
 * @pid: the task
 * @call: enum poll_call
 * @fd: what was polled
 * @nfds: how many descriptors
 * @begin: when it was called
 * @end: when it returned, NEVER if it did not
 * @ret: what it returned
 * @context: of the fences of the DMABUF that was polled, 0 if not known
 * @lane: the channel, NONE if not known
 */
struct wait {
	int32_t pid;
	uint32_t call;
	int32_t fd;
	uint32_t nfds;
	uint64_t begin;
	uint64_t end;
	int32_t ret;
	uint64_t context;
	size_t lane;
};

/**
 * struct gap - Events that were lost
 * @from: when the last one before came
 * @to: when the first one after came
 * @lost: how many
 */
struct gap {
	uint64_t from;
	uint64_t to;
	uint64_t lost;
};

/**
 * struct lane - A channel
 * @instance: name of the instance
 * @addr: its number, and enum dma_loopback_channel
 * @order: its transfers, by their numbers
 * @nr: number of them
 * @epoch: first transfer in @order since the driver was bound
 */
struct lane {
	char instance[DMA_LOOPBACK_NAME_LEN + 1];
	struct control_addr addr;
	size_t *order;
	size_t nr;
	size_t epoch;
};

/**
 * struct timeline - All of it
 * @lanes: the channels
 * @nr_lanes: number of them
 * @transfers: in the order in which they were first heard of
 * @nr_transfers: number of them
 * @marks: in the order of time
 * @nr_marks: number of them
 * @fences: in the order in which they were first heard of
 * @nr_fences: number of them
 * @waits: in the order in which they began
 * @nr_waits: number of them
 * @gaps: in the order of time
 * @nr_gaps: number of them
 * @start: when the monitor was started
 * @begin: when the first thing happened
 * @end: when the last thing happened
 * @nr_events: number of events
 * @lost: number of those that were lost
 */
struct timeline {
	struct lane *lanes;
	size_t nr_lanes;
	struct transfer *transfers;
	size_t nr_transfers;
	struct mark *marks;
	size_t nr_marks;
	struct fence *fences;
	size_t nr_fences;
	struct wait *waits;
	size_t nr_waits;
	struct gap *gaps;
	size_t nr_gaps;
	uint64_t start;
	uint64_t begin;
	uint64_t end;
	size_t nr_events;
	uint64_t lost;
};

/**
 * struct moment - When something happened
 * @when: the time
 * @nr: to what: its number in an array of struct timeline
 */
struct moment {
	uint64_t when;
	size_t nr;
};

void moments_sort(struct moment *moments, size_t nr);
void timeline_init(struct timeline *t, const struct records *records);
void timeline_free(struct timeline *t);

#endif /* MONITOR_TIMELINE_H */

// SPDX-License-Identifier: GPL-2.0
#include <stdlib.h>
#include <string.h>

#include "monitor.h"
#include "timeline.h"

/**
 * struct vote - How much speaks for a fence context belonging to a lane
 * @context: the context
 * @lane: the lane
 * @score: how much
 */
struct vote {
	uint64_t context;
	size_t lane;
	unsigned int score;
};

/**
 * struct dmabuf_fd - A descriptor that was enqueued
 * @pid: by which task
 * @fd: the descriptor
 * @context: context of the fences that this made, 0 as long as it has not
 */
struct dmabuf_fd {
	int32_t pid;
	int32_t fd;
	uint64_t context;
};

/**
 * struct scan - The state of going through the records
 * @t: what comes out
 * @names: names of instances, by now
 * @last_seq: number of the last event
 * @last: the last event
 * @last_when: when that was
 * @last_lane: its lane, NONE before the first one
 * @last_init: fence that has come into being since the last transfer was
 *	submitted
 * @votes: see struct vote
 * @nr_votes: number of them
 * @fds: see struct dmabuf_fd
 * @nr_fds: number of them
 */
struct scan {
	struct timeline *t;
	struct names names;
	uint64_t last_seq;
	struct control_event last;
	uint64_t last_when;
	size_t last_lane;
	size_t last_init;
	struct vote *votes;
	size_t nr_votes;
	struct dmabuf_fd *fds;
	size_t nr_fds;
};

/* --- transfers --- */

static size_t lane_find(struct scan *s, struct control_addr addr)
{
	const char *instance = names_get(&s->names, addr.instance);
	struct timeline *t = s->t;
	struct lane *lane;
	size_t i;

	/* A number may be used again, by an instance of another name. */
	for (i = 0; i < t->nr_lanes; i++) {
		lane = &t->lanes[i];
		if (lane->addr.instance == addr.instance &&
		    lane->addr.channel == addr.channel &&
		    !strcmp(lane->instance, instance))
			return i;
	}

	grow(t->lanes, t->nr_lanes);
	lane = &t->lanes[t->nr_lanes++];
	*lane = (struct lane){ .addr = addr };
	snprintf(lane->instance, sizeof(lane->instance), "%s", instance);

	return i;
}

static struct transfer *transfer_new(struct scan *s, size_t lane_nr, size_t at,
				     const struct record *r)
{
	struct timeline *t = s->t;
	struct lane *lane = &t->lanes[lane_nr];
	struct transfer *transfer;

	grow(lane->order, lane->nr);
	memmove(lane->order + at + 1, lane->order + at,
		(lane->nr - at) * sizeof(*lane->order));
	lane->order[at] = t->nr_transfers;
	lane->nr++;

	grow(t->transfers, t->nr_transfers);
	transfer = &t->transfers[t->nr_transfers++];
	*transfer = (struct transfer){
		.lane = lane_nr,
		.last = r->event,
		.begin = r->when,
		.submitted = NEVER,
		.issued = NEVER,
		.started = NEVER,
		.ended = NEVER,
		.fence = NONE,
	};

	return transfer;
}

/*
 * The transfer of an event. Numbers begin again when the driver is bound again,
 * which shows in one that is submitted twice, or behind a later one.
 */
static struct transfer *transfer_find(struct scan *s, size_t lane_nr,
				      const struct record *r)
{
	const struct control_event *e = &r->event;
	struct timeline *t = s->t;
	struct lane *lane = &t->lanes[lane_nr];
	struct transfer *transfer = NULL;
	size_t at;

	for (at = lane->nr; at > lane->epoch; at--) {
		transfer = &t->transfers[lane->order[at - 1]];
		if (transfer->last.transfer <= e->transfer)
			break;
	}
	if (e->type == DMA_LOOPBACK_EVENT_TYPE_SUBMITTED) {
		if (at < lane->nr ||
		    (at > lane->epoch &&
		     transfer->last.transfer == e->transfer &&
		     transfer->submitted != NEVER)) {
			lane->epoch = lane->nr;
			at = lane->nr;
		}
	}
	if (at > lane->epoch && transfer->last.transfer == e->transfer)
		return transfer;

	return transfer_new(s, lane_nr, at, r);
}

static void mark_add(struct timeline *t, enum mark_type type, size_t lane,
		     size_t transfer, const struct record *r)
{
	grow(t->marks, t->nr_marks);
	t->marks[t->nr_marks++] = (struct mark){
		.type = type,
		.ns = r->when,
		.lane = lane,
		.transfer = transfer,
		.event = r->event,
	};
}

/* After such a fault nothing more comes of the transfer. */
static bool fault_refuses(uint32_t kind)
{
	return kind == DMA_LOOPBACK_FAULT_KIND_PREP_REFUSED ||
	       kind == DMA_LOOPBACK_FAULT_KIND_SUBMIT_ERROR;
}

static void transfer_faulted(struct transfer *transfer, const struct record *r)
{
	const uint32_t kind = r->event.kind;

	if (kind < 64)
		transfer->faults |= 1ull << kind;
	if (fault_refuses(kind)) {
		transfer->ended = r->when;
		transfer->outcome = OUTCOME_BAD;
	} else if (transfer->outcome == OUTCOME_OK) {
		transfer->outcome = OUTCOME_FAULTED;
	}
}

static void transfer_ended(struct timeline *t, struct transfer *transfer,
			   const struct record *r)
{
	const struct control_event *e = &r->event;
	const bool terminated = e->type == DMA_LOOPBACK_EVENT_TYPE_TERMINATED;

	if (transfer->ended != NEVER) {
		mark_add(t, MARK_AGAIN, transfer->lane,
			 transfer - t->transfers, r);
		return;
	}

	transfer->ended = r->when;
	transfer->terminated = terminated;
	transfer->last = *e;
	if (terminated)
		transfer->outcome = OUTCOME_TERMINATED;
	else if (e->result != DMA_LOOPBACK_RESULT_NOERROR || e->residue)
		transfer->outcome = OUTCOME_BAD;
}

static void scan_event_of_transfer(struct scan *s, size_t lane,
				   const struct record *r)
{
	struct transfer *transfer = transfer_find(s, lane, r);
	const size_t nr = transfer - s->t->transfers;

	switch (r->event.type) {
	case DMA_LOOPBACK_EVENT_TYPE_SUBMITTED:
		transfer->submitted = r->when;
		break;
	case DMA_LOOPBACK_EVENT_TYPE_ISSUED:
		transfer->issued = r->when;
		break;
	case DMA_LOOPBACK_EVENT_TYPE_STARTED:
		transfer->started = r->when;
		break;
	case DMA_LOOPBACK_EVENT_TYPE_PROGRESSED:
		mark_add(s->t, MARK_PROGRESSED, lane, nr, r);
		break;
	case DMA_LOOPBACK_EVENT_TYPE_FAULTED:
		mark_add(s->t, MARK_FAULTED, lane, nr, r);
		transfer_faulted(transfer, r);
		break;
	case DMA_LOOPBACK_EVENT_TYPE_COMPLETED:
	case DMA_LOOPBACK_EVENT_TYPE_TERMINATED:
		transfer_ended(s->t, transfer, r);
		break;
	}
	if (transfer->ended == NEVER)
		transfer->last = r->event;
	transfer->heard = r->when;
}

/* --- fences and polls --- */

static void vote(struct scan *s, uint64_t context, size_t lane,
		 unsigned int score)
{
	size_t i;

	/* Contexts that are in use are recent ones. */
	for (i = s->nr_votes; i > 0; i--) {
		struct vote *v = &s->votes[i - 1];

		if (v->context == context && v->lane == lane) {
			v->score += score;
			return;
		}
	}

	grow(s->votes, s->nr_votes);
	s->votes[s->nr_votes++] = (struct vote){ context, lane, score };
}

static size_t elected(const struct scan *s, uint64_t context)
{
	unsigned int most = 0;
	size_t i, lane = NONE;

	for (i = s->nr_votes; i > 0; i--) {
		const struct vote *v = &s->votes[i - 1];

		if (v->context == context && v->score > most) {
			most = v->score;
			lane = v->lane;
		}
	}

	return lane;
}

static struct dmabuf_fd *fd_find(struct scan *s, int32_t pid, int32_t fd)
{
	size_t i;

	for (i = s->nr_fds; i > 0; i--) {
		if (s->fds[i - 1].pid == pid && s->fds[i - 1].fd == fd)
			return &s->fds[i - 1];
	}

	return NULL;
}

static void scan_enqueue(struct scan *s, const struct record *r)
{
	struct dmabuf_fd *fd = fd_find(s, r->call.pid, r->call.fd);

	if (!fd) {
		grow(s->fds, s->nr_fds);
		fd = &s->fds[s->nr_fds++];
		*fd = (struct dmabuf_fd){ r->call.pid, r->call.fd, 0 };
	}
	/* The next fence of this task tells. */
	fd->context = 0;
}

static struct fence *fence_new(struct timeline *t, const struct record *r)
{
	struct fence *fence;

	grow(t->fences, t->nr_fences);
	fence = &t->fences[t->nr_fences++];
	*fence = (struct fence){
		.context = r->fence.context,
		.seqno = r->fence.seqno,
		.pid = r->fence.pid,
		.init = NEVER,
		.signaled = NEVER,
		.lane = NONE,
		.transfer = NONE,
	};

	return fence;
}

static void scan_fence_init(struct scan *s, const struct record *r)
{
	struct fence *fence = fence_new(s->t, r);
	size_t i;

	fence->init = r->when;
	s->last_init = fence - s->t->fences;
	for (i = 0; i < s->nr_fds; i++) {
		if (s->fds[i].pid == r->fence.pid && !s->fds[i].context)
			s->fds[i].context = r->fence.context;
	}
}

/* Whether fences may signal next */
static bool event_ends(const struct control_event *e)
{
	switch (e->type) {
	case DMA_LOOPBACK_EVENT_TYPE_COMPLETED:
	case DMA_LOOPBACK_EVENT_TYPE_TERMINATED:
	case DMA_LOOPBACK_EVENT_TYPE_SYNCHRONIZED:
		return true;
	case DMA_LOOPBACK_EVENT_TYPE_FAULTED:
		return fault_refuses(e->kind);
	}

	return false;
}

static void scan_fence_signaled(struct scan *s, const struct record *r)
{
	struct timeline *t = s->t;
	struct fence *fence = NULL;
	size_t i;

	for (i = t->nr_fences; i > 0; i--) {
		fence = &t->fences[i - 1];
		if (fence->context == r->fence.context &&
		    fence->seqno == r->fence.seqno)
			break;
	}
	if (!i)
		fence = fence_new(t, r);
	fence->signaled = r->when;

	if (s->last_lane != NONE && event_ends(&s->last))
		vote(s, r->fence.context, s->last_lane, 1);
}

static void scan_poll(struct scan *s, const struct record *r)
{
	const struct dmabuf_fd *fd = NULL;
	struct timeline *t = s->t;

	if (r->call.nfds == 1 && (r->call.call == POLL_CALL_POLL ||
				  r->call.call == POLL_CALL_PPOLL))
		fd = fd_find(s, r->call.pid, r->call.fd);

	grow(t->waits, t->nr_waits);
	t->waits[t->nr_waits++] = (struct wait){
		.pid = r->call.pid,
		.call = r->call.call,
		.fd = r->call.fd,
		.nfds = r->call.nfds,
		.begin = r->when,
		.end = NEVER,
		.context = fd ? fd->context : 0,
		.lane = NONE,
	};
}

static void scan_poll_return(struct scan *s, const struct record *r)
{
	struct timeline *t = s->t;
	size_t i;

	for (i = t->nr_waits; i > 0; i--) {
		struct wait *w = &t->waits[i - 1];

		if (w->pid != r->call.pid)
			continue;

		/* That of another call was called before we looked. */
		if (w->call == r->call.call && w->end == NEVER) {
			w->end = r->when;
			w->ret = r->call.ret;
		}
		return;
	}
}

/* --- all of it --- */

static void scan_gap(struct scan *s, const struct record *r, uint64_t lost)
{
	struct timeline *t = s->t;

	t->lost += lost;
	grow(t->gaps, t->nr_gaps);
	t->gaps[t->nr_gaps++] = (struct gap){
		.from = s->last_when,
		.to = r->when,
		.lost = lost,
	};
}

static void scan_event(struct scan *s, const struct record *r)
{
	const struct control_event *e = &r->event;
	size_t lane = lane_find(s, e->addr);

	s->t->nr_events++;
	if (e->type == DMA_LOOPBACK_EVENT_TYPE_SYNCHRONIZED)
		mark_add(s->t, MARK_SYNCHRONIZED, lane, NONE, r);
	else if (event_of_start(e))
		mark_add(s->t, MARK_FAULTED, lane, NONE, r);
	else
		scan_event_of_transfer(s, lane, r);

	if (e->type == DMA_LOOPBACK_EVENT_TYPE_SUBMITTED &&
	    s->last_init != NONE) {
		vote(s, s->t->fences[s->last_init].context, lane, 2);
		s->last_init = NONE;
	}
	s->last = *e;
	s->last_when = r->when;
	s->last_lane = lane;
}

static void scan_record(struct scan *s, const struct record *r)
{
	const uint64_t lost = events_lost(&s->last_seq, r);
	struct timeline *t = s->t;

	if (lost)
		scan_gap(s, r, lost);

	switch (r->type) {
	case RECORD_START:
		t->start = r->ns;
		return;
	case RECORD_INSTANCE:
		names_set(&s->names, r->instance.number, r->instance.name);
		return;
	case RECORD_EVENT:
		scan_event(s, r);
		break;
	case RECORD_FENCE_INIT:
		scan_fence_init(s, r);
		break;
	case RECORD_FENCE_SIGNALED:
		scan_fence_signaled(s, r);
		break;
	case RECORD_ENQUEUE:
		scan_enqueue(s, r);
		break;
	case RECORD_POLL:
		scan_poll(s, r);
		break;
	case RECORD_POLL_RETURN:
		scan_poll_return(s, r);
		break;
	case RECORD_OVERRUN:
		return;
	case RECORD_END:
		if (!lost)
			return;
		break;
	}
	if (t->begin == NEVER)
		t->begin = r->when;
	t->end = r->when;
}

/* --- what belongs together --- */

static int compare_moments(const void *a, const void *b)
{
	const struct moment *x = a, *y = b;

	if (x->when != y->when)
		return x->when < y->when ? -1 : 1;

	return (x->nr > y->nr) - (x->nr < y->nr);
}

void moments_sort(struct moment *moments, size_t nr)
{
	qsort(moments, nr, sizeof(*moments), compare_moments);
}

/*
 * Fences signal in the order in which the transfers of their channel end, and
 * come into being before these are submitted. Transfers of read() and write()
 * have no fence.
 */
static void match_fences(struct timeline *t, size_t lane)
{
	struct moment *ends, *signals;
	size_t nr_ends = 0, nr_signals = 0, i, j;

	ends = check_alloc(calloc(t->nr_transfers + 1, sizeof(*ends)));
	for (i = 0; i < t->nr_transfers; i++) {
		if (t->transfers[i].lane == lane &&
		    t->transfers[i].ended != NEVER)
			ends[nr_ends++] = (struct moment){
				t->transfers[i].ended, i
			};
	}
	signals = check_alloc(calloc(t->nr_fences + 1, sizeof(*signals)));
	for (i = 0; i < t->nr_fences; i++) {
		if (t->fences[i].lane == lane && t->fences[i].signaled != NEVER)
			signals[nr_signals++] = (struct moment){
				t->fences[i].signaled, i
			};
	}
	moments_sort(ends, nr_ends);
	moments_sort(signals, nr_signals);

	for (i = 0, j = 0; i < nr_signals; i++) {
		struct fence *fence = &t->fences[signals[i].nr];

		while (j < nr_ends && fence->init != NEVER &&
		       t->transfers[ends[j].nr].submitted < fence->init)
			j++;
		if (j == nr_ends || ends[j].when > signals[i].when)
			continue;

		fence->transfer = ends[j].nr;
		t->transfers[ends[j++].nr].fence = signals[i].nr;
	}
	free(ends);
	free(signals);
}

/* Where the bar of a transfer ends whose end was not seen */
static uint64_t open_end(const struct timeline *t,
			 const struct transfer *transfer)
{
	size_t i;

	for (i = 0; i < t->nr_gaps; i++) {
		if (t->gaps[i].to > transfer->heard)
			return t->gaps[i].to;
	}

	return t->end;
}

/**
 * timeline_init() - Make transfers, fences and polls of records
 * @t: to be filled in
 * @records: sorted
 *
 * To which channel a fence belongs nobody says. All fences of a context belong
 * to one, and most of them come into being right before a transfer of it is
 * submitted, or signal right after one has ended: so each of these is a vote.
 */
void timeline_init(struct timeline *t, const struct records *records)
{
	struct scan s = {
		.t = t,
		.last_lane = NONE,
		.last_init = NONE,
	};
	size_t i;

	*t = (struct timeline){ .begin = NEVER };
	for (i = 0; i < records->nr; i++)
		scan_record(&s, &records->v[i]);

	for (i = 0; i < t->nr_transfers; i++) {
		struct transfer *transfer = &t->transfers[i];

		transfer->end = transfer->ended;
		if (transfer->ended == NEVER) {
			transfer->end = open_end(t, transfer);
			transfer->outcome = OUTCOME_OPEN;
		}
	}
	for (i = 0; i < t->nr_fences; i++)
		t->fences[i].lane = elected(&s, t->fences[i].context);
	for (i = 0; i < t->nr_waits; i++)
		t->waits[i].lane = elected(&s, t->waits[i].context);
	for (i = 0; i < t->nr_lanes; i++)
		match_fences(t, i);

	names_free(&s.names);
	free(s.votes);
	free(s.fds);
}

void timeline_free(struct timeline *t)
{
	size_t i;

	for (i = 0; i < t->nr_lanes; i++)
		free(t->lanes[i].order);
	free(t->lanes);
	free(t->transfers);
	free(t->marks);
	free(t->fences);
	free(t->waits);
	free(t->gaps);
	*t = (struct timeline){};
}

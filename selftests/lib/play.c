// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include "kselftest.h"

#include "file.h"
#include "play.h"
#include "suite.h"

/**
 * struct stage - What a script is played with
 * @r: the record
 * @c: connection that listens
 * @bufs: buffers of the channels
 * @dmabufs: DMABUFs
 * @last: index of the last transfer of each of them, or SCRIPT_NONE
 * @moved: bytes that a channel had moved when its buffer was last disabled
 * @refused: whether the last submission has failed, by channel and DMABUF
 * @epoll: epoll instance with all of them
 * @nr_epolls: how many reports there were
 * @at: index of the operation
 * @room: for how many events there is room
 */
struct stage {
	struct play_record *r;
	struct control *c;
	struct iio_buf bufs[SCRIPT_CHANS];
	struct dmabuf dmabufs[SCRIPT_DMABUFS];
	unsigned int last[SCRIPT_DMABUFS];
	uint64_t moved[SCRIPT_CHANS];
	bool refused[SCRIPT_CHANS][SCRIPT_DMABUFS];
	int epoll;
	unsigned int nr_epolls;
	size_t at;
	size_t room;
};

/* The script cannot go on. Return: false. */
static bool __printf(2, 3) stop(struct stage *st, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(st->r->stopped, sizeof(st->r->stopped), fmt, ap);
	va_end(ap);
	st->r->stopped_at = st->at;

	return false;
}

/* A call must succeed. */
static bool did(struct stage *st, int ret, const char *what)
{
	return ret >= 0 || stop(st, "%s: %s", what, errno_name(-ret));
}

/* The same for a request to the control interface. */
static bool controlled(struct stage *st, int ret, const char *what)
{
	return ret >= 0 || stop(st, "%s: %s: %s", what, errno_name(-ret),
				control_message(st->c));
}

static struct control_addr addr_of(const struct stage *st, unsigned int chan)
{
	return (struct control_addr){
		.instance = st->r->instance,
		.channel = chan,
	};
}

/* --- the stream --- */

static void event_keep(struct stage *st, const struct control_event *e)
{
	struct play_record *r = st->r;

	if (e->seq <= r->before[0].seq)
		return;

	if (r->nr_events == st->room) {
		st->room = st->room ? 2 * st->room : 1024;
		r->events = reallocarray(r->events, st->room,
					 sizeof(*r->events));
		if (!r->events)
			abort();
	}
	r->events[r->nr_events++] = *e;
}

/* Take the events that are there, before there are too many. */
static bool events_read(struct stage *st)
{
	struct control_event e;
	int ret;

	while (!(ret = control_event(st->c, &e, 0)))
		event_keep(st, &e);

	return ret == -ETIMEDOUT || controlled(st, ret, "the event stream");
}

/* Return: number of the last event that was taken. */
static uint64_t events_seq(const struct stage *st)
{
	const struct play_record *r = st->r;

	return r->nr_events ? r->events[r->nr_events - 1].seq :
			      r->before[0].seq;
}

/* Take all up to that number, which may be on their way. */
static bool events_read_until(struct stage *st, uint64_t seq)
{
	struct control_event e;
	int ret;

	while (events_seq(st) < seq) {
		ret = control_event(st->c, &e, DEADLINE_MS);
		if (ret)
			return controlled(st, ret, "the event stream");
		event_keep(st, &e);
	}

	return true;
}

/* --- what has ended --- */

/*
 * Take all that epoll has to tell, after waiting until @until is among it. What
 * was told stays in line, in its old place, until the call that finds nothing:
 * without that call the order would be lost when it is armed again.
 */
static bool epoll_read(struct stage *st, const struct play_saw *until)
{
	struct epoll_event events[SCRIPT_DMABUFS];
	struct play_saw *saw;
	int i, n;

	do {
		n = epoll_wait(st->epoll, events, SCRIPT_DMABUFS,
			       until && !until->epolls ? DEADLINE_MS : 0);
		if (n < 0)
			return did(st, -errno, "epoll_wait()");

		for (i = 0; i < n; i++) {
			saw = &st->r->saw[events[i].data.u32];
			st->nr_epolls++;
			if (!saw->epolls++)
				saw->epolled = st->nr_epolls;
		}
	} while (n);

	return true;
}

/* A transfer must have ended: look at it from all sides, for the last time. */
static bool look(struct stage *st, unsigned int index)
{
	const struct script_transfer *t = &st->r->s->transfers[index];
	struct play_saw *saw = &st->r->saw[index];
	struct fence_info info = {};
	int fd = st->dmabufs[t->dmabuf].fd;

	saw->over = true;
	if (saw->dmabuf != POLL_BOTH)
		saw->dmabuf = fd_poll(fd, POLLOUT, DEADLINE_MS) |
			      fd_poll(fd, POLLIN, DEADLINE_MS);
	if (saw->fence >= 0) {
		saw->sync_file = fd_poll(saw->fence, POLLIN, 0);
		if (!did(st, sync_file_info(saw->fence, &info),
			 "SYNC_IOC_FILE_INFO"))
			return false;

		saw->status = info.status;
		saw->ns = info.timestamp;
		close_fd(&saw->fence);
	}

	if (saw->dmabuf != POLL_BOTH)
		return stop(st, "the DMABUF of a transfer that has ended is not ready");

	return epoll_read(st, saw);
}

/* Wait until a DMABUF is free that the script knows to be. */
static bool look_before_reuse(struct stage *st, unsigned int dmabuf)
{
	unsigned int last = st->last[dmabuf];

	return last == SCRIPT_NONE || st->r->saw[last].over || look(st, last);
}

/* Whether a channel is where it must be */
static bool chan_settled(struct stage *st, unsigned int chan,
			 struct control_chan *now)
{
	const struct script_chan *must =
		&st->r->s->ops[st->at].settled[chan];

	if (control_chan_get(st->c, addr_of(st, chan), now))
		return false;

	return now->queued == must->queued &&
	       now->credit_transfers == must->transfers &&
	       now->credit_bytes == must->bytes &&
	       now->bytes - st->moved[chan] == must->moved;
}

static bool not_settled(struct stage *st, unsigned int chan,
			const struct control_chan *now)
{
	const struct script_chan *must =
		&st->r->s->ops[st->at].settled[chan];

	return stop(st, "%s has %u transfers queued, %llu transfers and %llu bytes released and %llu bytes moved, which should be %u, %llu, %llu and %llu by now",
		    control_channel_name(chan), now->queued,
		    (unsigned long long)now->credit_transfers,
		    (unsigned long long)now->credit_bytes,
		    (unsigned long long)(now->bytes - st->moved[chan]),
		    must->queued, (unsigned long long)must->transfers,
		    (unsigned long long)must->bytes,
		    (unsigned long long)must->moved);
}

static bool has_ended(const struct stage *st, unsigned int index)
{
	return st->r->s->transfers[index].ended <= st->at;
}

/*
 * One poll() of all that may be pending. Of transfers that must have ended the
 * answer may come a moment later, of the others it must be no.
 */
static bool poll_all(struct stage *st)
{
	struct pollfd pfds[2 * SCRIPT_DMABUFS] = {};
	const struct script_transfer *t;
	unsigned int d, chan;
	struct play_saw *saw;
	short wait;

	for (d = 0; d < SCRIPT_DMABUFS; d++) {
		saw = st->last[d] == SCRIPT_NONE ? NULL :
						   &st->r->saw[st->last[d]];
		pfds[2 * d].fd = -1;
		pfds[2 * d + 1].fd = -1;
		if (!saw || saw->over)
			continue;

		pfds[2 * d] = (struct pollfd){
			.fd = st->dmabufs[d].fd,
			.events = POLL_BOTH,
		};
		pfds[2 * d + 1] = (struct pollfd){
			.fd = saw->fence,
			.events = POLLIN,
		};
	}
	if (poll(pfds, 2 * SCRIPT_DMABUFS, 0) < 0)
		return did(st, -errno, "poll()");

	for (d = 0; d < SCRIPT_DMABUFS; d++) {
		if (pfds[2 * d].fd < 0)
			continue;

		t = &st->r->s->transfers[st->last[d]];
		saw = &st->r->saw[st->last[d]];
		if (has_ended(st, st->last[d])) {
			saw->dmabuf = pfds[2 * d].revents;
			if (!look(st, st->last[d]))
				return false;
			continue;
		}

		/* Others may read what is being sent. */
		chan = t->chan;
		wait = chan == DMA_LOOPBACK_CHANNEL_TX ? POLLIN : 0;
		if ((pfds[2 * d].revents != wait || pfds[2 * d + 1].revents ||
		     saw->epolls) && saw->early == SCRIPT_NONE)
			saw->early = st->at;
	}

	return true;
}

/* --- operations --- */

/* Events that may be on their way, fewer than the driver has room for */
#define EVENTS_BEHIND	1024

/* The driver waits for nobody. Where it is far ahead, wait for the events. */
static bool events_keep_up(struct stage *st, uint64_t seq)
{
	return events_read(st) &&
	       (seq - events_seq(st) < EVENTS_BEHIND ||
		events_read_until(st, seq));
}

static bool do_settle(struct stage *st)
{
	struct control_chan now = {};
	unsigned int d, chan;

	/* Usually this is all the waiting that there is to be done. */
	for (d = 0; d < SCRIPT_DMABUFS; d++) {
		if (st->last[d] != SCRIPT_NONE && has_ended(st, st->last[d]) &&
		    !st->r->saw[st->last[d]].over)
			fd_poll(st->dmabufs[d].fd, POLLOUT, DEADLINE_MS);
	}
	for (chan = 0; chan < SCRIPT_CHANS; chan++) {
		if (!wait_until(chan_settled(st, chan, &now)))
			return not_settled(st, chan, &now);
	}

	return epoll_read(st, NULL) && poll_all(st) &&
	       events_keep_up(st, now.seq);
}

/* ENQUEUE, also where the last submission has made the DMABUF unusable (B8) */
static int enqueue(struct stage *st, const struct script_transfer *t)
{
	const int buf = st->bufs[t->chan].fd, fd = st->dmabufs[t->dmabuf].fd;
	int ret;

	ret = iio_enqueue(buf, fd, t->len);
	if (ret != -EBUSY || !st->refused[t->chan][t->dmabuf])
		return ret;

	st->r->nr_stuck++;

	return iio_detach(buf, fd) ?: iio_attach(buf, fd) ?:
	       iio_enqueue(buf, fd, t->len);
}

static bool do_enqueue(struct stage *st, const struct script_op *op)
{
	const struct script_transfer *t = &st->r->s->transfers[op->transfer];
	struct play_saw *saw = &st->r->saw[op->transfer];
	int fd = st->dmabufs[t->dmabuf].fd;
	struct epoll_event arm = {
		.events = EPOLLOUT | EPOLLONESHOT,
		.data.u32 = op->transfer,
	};

	if (!look_before_reuse(st, t->dmabuf))
		return false;

	st->r->nr_enqueued = op->transfer + 1;
	saw->enqueue = enqueue(st, t);
	st->refused[t->chan][t->dmabuf] = t->end == SCRIPT_REFUSED;
	/* It may well say so. */
	if (saw->enqueue && t->end == SCRIPT_REFUSED) {
		saw->over = true;
		return true;
	}
	if (!did(st, saw->enqueue, "ENQUEUE"))
		return false;

	st->last[t->dmabuf] = op->transfer;
	if (t->witnessed) {
		saw->fence = dmabuf_export(fd, DMA_BUF_SYNC_RW);
		if (!did(st, saw->fence, "EXPORT_SYNC_FILE"))
			return false;
	}

	return !epoll_ctl(st->epoll, EPOLL_CTL_MOD, fd, &arm) ||
	       did(st, -errno, "EPOLL_CTL_MOD");
}

static bool do_fault_add(struct stage *st, const struct script_op *op)
{
	const struct script_fault *f = &st->r->s->faults[op->fault];
	const uint32_t with_bytes = SCRIPT_FAULT(READ_ERROR) |
				    SCRIPT_FAULT(WRITE_ERROR) |
				    SCRIPT_FAULT(ABORT) | SCRIPT_FAULT(SHORT) |
				    SCRIPT_FAULT(STALL) | SCRIPT_FAULT(SPLIT);
	const struct control_fault fault = {
		.addr = addr_of(st, f->chan),
		.kind = f->kind,
		.nth = op->nth,
		.with_bytes = with_bytes & 1u << f->kind,
		.bytes = f->bytes,
		.error = f->error,
		.delay = f->delay,
	};
	int id;

	id = control_fault_add(st->c, &fault);
	st->r->fault_ids[op->fault] = id;

	return controlled(st, id, "arming a fault");
}

/* What it has moved by then depends on who was faster. */
static bool do_disable(struct stage *st, const struct script_op *op)
{
	struct control_chan now = {};
	int ret;

	ret = iio_disable(st->bufs[op->chan].dut);
	if (!did(st, ret, "disabling the buffer"))
		return false;

	ret = control_chan_get(st->c, addr_of(st, op->chan), &now);
	st->moved[op->chan] = now.bytes;

	return controlled(st, ret, "looking at a channel");
}

static bool do_op(struct stage *st, const struct script_op *op)
{
	const struct iio_buf *buf = &st->bufs[op->chan];
	struct control_addr addr = addr_of(st, op->chan);
	int fd = st->dmabufs[op->dmabuf].fd;
	int ret;

	switch (op->what) {
	case SCRIPT_ENQUEUE:
		return do_enqueue(st, op);
	case SCRIPT_STEP:
		ret = control_step(st->c, addr, op->amount);
		return controlled(st, ret, "a step");
	case SCRIPT_STEP_BYTES:
		ret = control_step_bytes(st->c, addr, op->amount);
		return controlled(st, ret, "a step of bytes");
	case SCRIPT_FAULT_ADD:
		return do_fault_add(st, op);
	case SCRIPT_FAULT_DEL:
		ret = control_fault_del(st->c, addr.instance,
					st->r->fault_ids[op->fault]);
		return controlled(st, ret, "deleting a fault");
	case SCRIPT_ENABLE:
		return did(st, iio_enable(buf->dut), "enabling the buffer");
	case SCRIPT_DISABLE:
		return do_disable(st, op);
	case SCRIPT_ATTACH:
		return did(st, iio_attach(buf->fd, fd), "ATTACH");
	case SCRIPT_DETACH:
		return did(st, iio_detach(buf->fd, fd), "DETACH");
	case SCRIPT_SETTLE:
		return do_settle(st);
	}

	return false;
}

/* --- the script --- */

static void record_init(struct play_record *r, const struct script *s,
			uint32_t instance)
{
	size_t i;

	*r = (struct play_record){ .s = s, .instance = instance };
	r->saw = calloc(s->nr_transfers + 1, sizeof(*r->saw));
	r->fault_ids = calloc(s->nr_faults + 1, sizeof(*r->fault_ids));
	if (!r->saw || !r->fault_ids)
		abort();

	for (i = 0; i < s->nr_transfers; i++) {
		r->saw[i].fence = -1;
		r->saw[i].early = SCRIPT_NONE;
	}
}

static void stage_init(struct stage *st, struct play_record *r,
		       struct control *c)
{
	unsigned int chan, d;

	*st = (struct stage){ .r = r, .c = c, .epoll = -1 };
	for (chan = 0; chan < SCRIPT_CHANS; chan++)
		st->bufs[chan] = (struct iio_buf)IIO_BUF_INIT;
	for (d = 0; d < SCRIPT_DMABUFS; d++) {
		st->dmabufs[d] = (struct dmabuf)DMABUF_INIT;
		st->last[d] = SCRIPT_NONE;
	}
}

/* Open the buffers, and attach all DMABUFs to both. */
static int stage_open(struct stage *st,
		      const struct iio_dut *const duts[SCRIPT_CHANS])
{
	struct epoll_event disarmed = { .events = EPOLLONESHOT };
	unsigned int chan, d;
	int ret;

	for (chan = 0; chan < SCRIPT_CHANS; chan++) {
		ret = iio_buf_open(&st->bufs[chan], duts[chan]);
		if (ret)
			return ret;
	}

	st->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (st->epoll < 0)
		return -errno;

	for (d = 0; d < SCRIPT_DMABUFS; d++) {
		ret = dmabuf_alloc(&st->dmabufs[d], exporter_default(),
				   st->r->s->rules.size) ?:
		      iio_attach(st->bufs[0].fd, st->dmabufs[d].fd) ?:
		      iio_attach(st->bufs[1].fd, st->dmabufs[d].fd);
		if (ret)
			return ret;
		if (epoll_ctl(st->epoll, EPOLL_CTL_ADD, st->dmabufs[d].fd,
			      &disarmed))
			return -errno;
	}

	for (chan = 0; chan < SCRIPT_CHANS; chan++) {
		ret = control_chan_get(st->c, addr_of(st, chan),
				       &st->r->before[chan]);
		if (ret)
			return ret;
		st->moved[chan] = st->r->before[chan].bytes;
	}

	return 0;
}

static void stage_close(struct stage *st)
{
	unsigned int chan, d;
	size_t i;

	for (chan = 0; chan < SCRIPT_CHANS; chan++)
		iio_buf_close(&st->bufs[chan]);
	for (d = 0; d < SCRIPT_DMABUFS; d++)
		dmabuf_free(&st->dmabufs[d]);
	close_fd(&st->epoll);
	for (i = 0; i < st->r->nr_enqueued; i++)
		close_fd(&st->r->saw[i].fence);
}

/* How it looks when everything is done */
static bool look_back(struct stage *st)
{
	struct play_record *r = st->r;
	unsigned int chan;
	int ret;

	for (chan = 0; chan < SCRIPT_CHANS; chan++) {
		ret = control_chan_get(st->c, addr_of(st, chan),
				       &r->after[chan]);
		if (!controlled(st, ret, "looking at a channel"))
			return false;
		r->faults_left += r->after[chan].faults;
	}

	return events_read_until(st, r->after[SCRIPT_CHANS - 1].seq);
}

/**
 * play_script() - Play a script, and record what is seen
 * @r: record, to be freed with play_free() even on failure
 * @s: script, has to live as long as the record
 * @c: connection that listens
 * @instance: controller whose clock is step
 * @duts: its output and its input
 *
 * Where things do not come as the script has it is for others to find out; it
 * is played as far as that does not matter, and the record says how far.
 *
 * Return: 0, or a negative errno if it could not begin.
 */
int play_script(struct play_record *r, const struct script *s,
		struct control *c, uint32_t instance,
		const struct iio_dut *const duts[SCRIPT_CHANS])
{
	struct stage st;
	int ret;

	record_init(r, s, instance);
	stage_init(&st, r, c);
	ret = stage_open(&st, duts);
	if (!ret) {
		while (st.at < s->nr_ops && do_op(&st, &s->ops[st.at]))
			st.at++;
		look_back(&st);
		/* What a script that was stopped has armed */
		control_fault_del(c, instance, 0);
	}
	stage_close(&st);

	return ret;
}

/* Return: a record like @r, with room for one more event. */
struct play_record *play_copy(const struct play_record *r)
{
	struct play_record *copy = malloc(sizeof(*copy));

	if (!copy)
		abort();

	record_init(copy, r->s, r->instance);
	memcpy(copy->saw, r->saw, r->s->nr_transfers * sizeof(*r->saw));
	memcpy(copy->fault_ids, r->fault_ids,
	       r->s->nr_faults * sizeof(*r->fault_ids));
	copy->nr_enqueued = r->nr_enqueued;
	memcpy(copy->before, r->before, sizeof(r->before));
	memcpy(copy->after, r->after, sizeof(r->after));
	copy->faults_left = r->faults_left;
	copy->nr_events = r->nr_events;
	copy->events = calloc(r->nr_events + 1, sizeof(*r->events));
	if (!copy->events)
		abort();
	memcpy(copy->events, r->events, r->nr_events * sizeof(*r->events));

	return copy;
}

void play_free(struct play_record *r)
{
	free(r->saw);
	free(r->fault_ids);
	free(r->events);
}

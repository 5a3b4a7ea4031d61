// SPDX-License-Identifier: GPL-2.0
/*
 * What can go wrong below a buffer, and what a client sees of it: the faults of
 * the loopback driver, each in a transfer of an input and of an output, with
 * and without O_NONBLOCK on the buffer.
 *
 * The tests have an instance of the driver for themselves, whose clock moves
 * nothing unless it is told to. Two transfers are queued, the first one has the
 * fault, and they are brought to where it takes one more action to end the
 * first: all tests start from there.
 *
 * Each test ends with an audit: no fault, no transfer and no attachment is
 * left, and the buffer works.
 */

#include <endian.h>
#include <errno.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lib/blocked.h"
#include "lib/conformance.h"
#include "lib/control.h"
#include "lib/deadline.h"
#include "lib/file.h"
#include "lib/instance.h"

/* Where faults strike: neither at the end of a page nor of the transfer */
#define PART		4160
#define ALL		SIZE_MAX

/* What the driver passes on, and nobody else uses */
#define ERROR		ENODATA

/* Seed of the pattern that is in the DMABUFs before */
#define BEFORE		1

/* How a transfer ends */
enum outcome {
	DONE,
	/* With an error; which one is the kernel's choice. */
	FAILED,
	/* It has come that far before it was aborted, or after. */
	DONE_OR_FAILED,
};

/* What ends the first transfer when it is held */
enum ender {
	/* A step of the clock; it is in flight, and nothing has moved. */
	BY_STEP,
	/* To delete the fault; it is in flight, and the fault holds it. */
	BY_DELETION,
	/* To disable the buffer; likewise. */
	BY_DISABLE,
	/* To enable the buffer; it is queued. */
	BY_ENABLE,
	/* To enable it once more: the first time has failed. */
	BY_SECOND_ENABLE,
};

/**
 * struct situation - A fault, and what is to come of it
 * @name: part of the names of the tests
 * @reqs: requirements that it is about, which its tests cite among others
 * @armed: there is a fault in the first transfer
 * @fault: the fault
 * @no_vectors: the DMA controller does not take what DMABUFs need
 * @ends: what ends the first transfer
 * @refused: the DMA controller does not accept the first transfer
 * @enable: errno of the first enable
 * @first: how the first transfer ends
 * @next: how the one behind it ends
 * @moved: bytes of the first that are transferred
 * @hidden: defect for which it looks like a success
 * @stuck: defect for which nobody hears of it, nor can enqueue it again
 */
struct situation {
	const char *name;
	const char *reqs;
	bool armed;
	struct control_fault fault;
	bool no_vectors;
	enum ender ends;
	bool refused;
	int enable;
	enum outcome first;
	enum outcome next;
	size_t moved;
	const char *hidden;
	const char *stuck;
};

static const struct situation situations[] = {
	{
		.name = "no_fault",
		.reqs = "FEN-07",
		.moved = ALL,
	},
	{
		.name = "read_error",
		.reqs = "FEN-10",
		.armed = true,
		.fault = {
			.kind = DMA_LOOPBACK_FAULT_KIND_READ_ERROR,
			.with_bytes = true,
			.bytes = PART,
		},
		.first = FAILED,
		.moved = PART,
		.hidden = "B9",
	},
	{
		.name = "write_error",
		.reqs = "FEN-10",
		.armed = true,
		.fault = {
			.kind = DMA_LOOPBACK_FAULT_KIND_WRITE_ERROR,
			.with_bytes = true,
			.bytes = PART,
		},
		.first = FAILED,
		.moved = PART,
		.hidden = "B9",
	},
	{
		.name = "abort",
		.reqs = "FEN-10",
		.armed = true,
		.fault = {
			.kind = DMA_LOOPBACK_FAULT_KIND_ABORT,
			.with_bytes = true,
			.bytes = PART,
		},
		.first = FAILED,
		.moved = PART,
		.hidden = "B9",
	},
	{
		.name = "error_at_once",
		.reqs = "FEN-10",
		.armed = true,
		.fault = { .kind = DMA_LOOPBACK_FAULT_KIND_READ_ERROR },
		.first = FAILED,
		.hidden = "B9",
	},
	{
		.name = "short",
		.reqs = "DATA-11",
		.armed = true,
		.fault = {
			.kind = DMA_LOOPBACK_FAULT_KIND_SHORT,
			.with_bytes = true,
			.bytes = PART,
		},
		.first = FAILED,
		.moved = PART,
		.hidden = "B9",
	},
	{
		.name = "stall",
		.reqs = "FEN-12",
		.armed = true,
		.fault = {
			.kind = DMA_LOOPBACK_FAULT_KIND_STALL,
			.with_bytes = true,
			.bytes = PART,
		},
		.ends = BY_DELETION,
		.moved = ALL,
	},
	{
		.name = "stall_aborted",
		.reqs = "FEN-08",
		.armed = true,
		.fault = {
			.kind = DMA_LOOPBACK_FAULT_KIND_STALL,
			.with_bytes = true,
			.bytes = PART,
		},
		.ends = BY_DISABLE,
		.first = FAILED,
		.next = FAILED,
		.moved = PART,
	},
	{
		.name = "late",
		.reqs = "FEN-12",
		.armed = true,
		.fault = { .kind = DMA_LOOPBACK_FAULT_KIND_LATE },
		.ends = BY_DELETION,
		.moved = ALL,
	},
	{
		.name = "late_aborted",
		.reqs = "FEN-08",
		.armed = true,
		.fault = { .kind = DMA_LOOPBACK_FAULT_KIND_LATE },
		.ends = BY_DISABLE,
		.first = FAILED,
		.next = FAILED,
		.moved = ALL,
	},
	{
		.name = "late_by_itself",
		.reqs = "FEN-12",
		.armed = true,
		.fault = {
			.kind = DMA_LOOPBACK_FAULT_KIND_LATE,
			.delay = 20,
		},
		.moved = ALL,
	},
	{
		.name = "prep_refused",
		.reqs = "ENQ-11 ENQ-23 FEN-09",
		.armed = true,
		.fault = { .kind = DMA_LOOPBACK_FAULT_KIND_PREP_REFUSED },
		.ends = BY_ENABLE,
		.refused = true,
		.first = FAILED,
		.stuck = "B8",
	},
	{
		.name = "submit_error",
		.reqs = "ENQ-11 ENQ-23 FEN-09",
		.armed = true,
		.fault = {
			.kind = DMA_LOOPBACK_FAULT_KIND_SUBMIT_ERROR,
			.error = ERROR,
		},
		.ends = BY_ENABLE,
		.refused = true,
		.first = FAILED,
		.stuck = "B8",
	},
	{
		.name = "before_terminate",
		.reqs = "FEN-12",
		.armed = true,
		.fault = { .kind = DMA_LOOPBACK_FAULT_KIND_BEFORE_TERMINATE },
		.ends = BY_DISABLE,
		.first = DONE_OR_FAILED,
		.next = FAILED,
		.moved = ALL,
	},
	{
		.name = "after_terminate",
		.reqs = "FEN-12",
		.armed = true,
		.fault = { .kind = DMA_LOOPBACK_FAULT_KIND_AFTER_TERMINATE },
		.ends = BY_DISABLE,
		.first = DONE_OR_FAILED,
		.next = FAILED,
		.moved = ALL,
	},
	{
		.name = "split",
		.reqs = "DATA-01",
		.armed = true,
		.fault = {
			.kind = DMA_LOOPBACK_FAULT_KIND_SPLIT,
			.with_bytes = true,
			.bytes = 1000,
		},
		.moved = ALL,
	},
	{
		.name = "coalesce",
		.reqs = "DATA-01",
		.armed = true,
		.fault = { .kind = DMA_LOOPBACK_FAULT_KIND_COALESCE },
		.moved = ALL,
	},
	{
		.name = "no_vectors",
		.reqs = "DMAE-23 FEN-09",
		.no_vectors = true,
		.ends = BY_ENABLE,
		.refused = true,
		.first = FAILED,
		.next = FAILED,
		.stuck = "B8",
	},
	{
		.name = "enable_before",
		.reqs = "MODE-12",
		.armed = true,
		.fault = {
			.kind = DMA_LOOPBACK_FAULT_KIND_ENABLE_BEFORE,
			.error = ERROR,
		},
		.ends = BY_SECOND_ENABLE,
		.enable = ERROR,
		.moved = ALL,
	},
	{
		.name = "enable_after",
		.reqs = "LIF-24",
		.armed = true,
		.fault = {
			.kind = DMA_LOOPBACK_FAULT_KIND_ENABLE_AFTER,
			.error = ERROR,
		},
		.ends = BY_ENABLE,
		.enable = ERROR,
		.first = FAILED,
		.next = FAILED,
	},
};

/* --- instances of the driver --- */

/* To make one takes longer than a test, and so the tests share them. */
static struct instance instances[2];

static const struct {
	const char *name;
	const char *shape;
} wanted[ARRAY_SIZE(instances)] = {
	{ "fault", "clock=step source=counter sink=discard" },
	{ "fault-no-vectors",
	  "clock=step source=counter sink=discard vectors=0" },
};

static int make_instance(size_t i)
{
	return instance_make(&instances[i], wanted[i].name, wanted[i].shape);
}

static void remove_instances(void)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(instances); i++)
		instance_remove(wanted[i].name);
}

/* --- the stand --- */

#define NR_DMABUFS	2

/**
 * struct stand - A buffer and DMABUFs
 * @s: situation
 * @nonblock: O_NONBLOCK is set on the buffer
 * @temporary: the instance was made for this test alone
 * @control: connection to its control interface
 * @addr: channel of the buffer
 * @before: what the channel has done before the test
 * @struck: faults that must have had their effect when the test ends
 * @fault: id of the last fault
 * @dut: the buffer
 * @peer_dut: that of the other direction
 * @buf: @dut, open
 * @peer: @peer_dut, where a test opens it
 * @d: the DMABUFs, not attached; the first one is to have the fault
 * @fence: sync files of their transfers
 * @len: bytes of each transfer
 * @counting: @word is known
 * @word: what the counter comes to next, in words
 */
struct stand {
	const struct situation *s;
	bool nonblock;
	bool temporary;
	struct control control;
	struct control_addr addr;
	struct control_chan before;
	uint64_t struck;
	uint32_t fault;
	const struct iio_dut *dut;
	const struct iio_dut *peer_dut;
	struct iio_buf buf;
	struct iio_buf peer;
	struct dmabuf d[NR_DMABUFS];
	int fence[NR_DMABUFS];
	size_t len;
	bool counting;
	uint32_t word;
};

static void stand_init(struct stand *st, const struct situation *s, bool output,
		       bool nonblock)
{
	int i;

	*st = (struct stand){
		.s = s,
		.nonblock = nonblock,
		.control = CONTROL_INIT,
		.addr.channel = output ? DMA_LOOPBACK_CHANNEL_TX :
					 DMA_LOOPBACK_CHANNEL_RX,
		.buf = IIO_BUF_INIT,
		.peer = IIO_BUF_INIT,
	};
	for (i = 0; i < NR_DMABUFS; i++) {
		st->d[i] = (struct dmabuf)DMABUF_INIT;
		st->fence[i] = -1;
	}
}

/* Not one that is known to hold data back, which other tests are about. */
static const struct exporter *exporter(void)
{
	const struct exporter *e = exporter_default();

	return e && e->defect ? exporter_synced() ?: e : e;
}

/* Have a DMABUF with a pattern in it, while SYNC is nobody's business. */
static void alloc_filled(struct __test_metadata *_metadata, struct dmabuf *d)
{
	ASSERT_OK(dmabuf_alloc(d, exporter(), 4 * page_size()));
	ASSERT_OK(dmabuf_begin_cpu(d));
	pattern_fill(d->map, d->size, BEFORE);
	ASSERT_OK(dmabuf_end_cpu(d));
}

static struct control_chan chan_of(struct __test_metadata *_metadata,
				   struct stand *st, uint32_t channel)
{
	const struct control_addr addr = { st->addr.instance, channel };
	struct control_chan chan = {};

	EXPECT_OK(control_chan_get(&st->control, addr, &chan)) {
		TH_LOG("%s", control_message(&st->control));
	}

	return chan;
}

static void stand_setup(struct __test_metadata *_metadata, struct stand *st)
{
	const bool output = st->addr.channel == DMA_LOOPBACK_CHANNEL_TX;
	const struct instance *inst = &instances[st->s->no_vectors];
	int i;

	suite_print_reqs(_metadata->fixture->name, _metadata->name);
	printf("# SITUATION %s %s\n", st->s->name, st->s->reqs);

	/* A test that failed has removed what it may have broken. */
	st->temporary = strcmp(instance_get(inst->name, "live"), "1");
	if (st->temporary) {
		ASSERT_OK(make_instance(st->s->no_vectors));
	}
	st->addr.instance = inst->number;
	st->dut = output ? &inst->out : &inst->in;
	st->peer_dut = output ? &inst->in : &inst->out;

	ASSERT_OK(control_open(&st->control)) {
		TH_LOG("%s", control_message(&st->control));
	}
	/* One that was killed may have left some. */
	control_fault_del(&st->control, st->addr.instance, 0);
	st->before = chan_of(_metadata, st, st->addr.channel);

	ASSERT_OK(iio_buf_open(&st->buf, st->dut));
	ASSERT_OK(fd_set_nonblock(st->buf.fd, st->nonblock));
	for (i = 0; i < NR_DMABUFS; i++)
		alloc_filled(_metadata, &st->d[i]);
	st->len = st->d[0].size - page_size();
}

static uint32_t state_of(struct __test_metadata *_metadata, struct stand *st)
{
	return chan_of(_metadata, st, st->addr.channel).state;
}

/* Let the next transfers run, in which something may go wrong. */
static void step(struct __test_metadata *_metadata, struct stand *st,
		 uint32_t transfers)
{
	ASSERT_OK(control_step(&st->control, st->addr, transfers)) {
		TH_LOG("%s", control_message(&st->control));
	}
}

static void arm(struct __test_metadata *_metadata, struct stand *st,
		const struct control_fault *fault)
{
	struct control_fault f = *fault;
	int id;

	f.addr = st->addr;
	id = control_fault_add(&st->control, &f);
	ASSERT_LT(0, id) {
		TH_LOG("%s", control_message(&st->control));
	}
	st->fault = id;
}

static void enqueue(struct __test_metadata *_metadata, struct stand *st, int i)
{
	close_fd(&st->fence[i]);
	st->fence[i] = iio_enqueue_fence(&st->buf, &st->d[i], st->len);
	ASSERT_OK(st->fence[i]) {
		TH_LOG("ENQUEUE of DMABUF %d, and EXPORT_SYNC_FILE", i + 1);
	}
}

/*
 * ATTACH the DMABUFs. Return: false where the kernel has refused it, as it
 * should: the DMA controller cannot transfer any.
 */
static bool attached(struct __test_metadata *_metadata, struct stand *st)
{
	int i, ret;

	for (i = 0; i < NR_DMABUFS; i++) {
		ret = iio_attach(st->buf.fd, st->d[i].fd);
		if (ret && st->s->no_vectors)
			return false;
		ASSERT_OK(ret) {
			TH_LOG("ATTACH of DMABUF %d", i + 1);
		}
	}

	return true;
}

/* Enable the buffer for the first time. */
static void start(struct __test_metadata *_metadata, struct stand *st)
{
	ASSERT_ERRNO(iio_enable(st->dut), st->s->enable);
}

/*
 * Queue the two transfers, and bring the first to where one more action ends
 * it. Return: false if no DMABUF can be attached.
 */
static bool hold(struct __test_metadata *_metadata, struct stand *st)
{
	const struct situation *s = st->s;
	int i;

	if (!attached(_metadata, st))
		return false;

	for (i = 0; i < NR_DMABUFS; i++)
		enqueue(_metadata, st, i);
	if (s->armed)
		arm(_metadata, st, &s->fault);
	if (s->ends != BY_ENABLE)
		start(_metadata, st);
	if (s->ends == BY_STEP) {
		ASSERT_TRUE(wait_until(state_of(_metadata, st) ==
				       DMA_LOOPBACK_STATE_WAITING));
	}
	if (s->ends == BY_DELETION || s->ends == BY_DISABLE) {
		step(_metadata, st, NR_DMABUFS);
		ASSERT_TRUE(wait_until(state_of(_metadata, st) ==
				       DMA_LOOPBACK_STATE_HELD)) {
			TH_LOG("the transfer goes on, its fault does nothing");
		}
	}
	for (i = 0; i < NR_DMABUFS; i++) {
		ASSERT_EQ(0, sync_file_status(st->fence[i])) {
			TH_LOG("the fence of transfer %d has signalled, and nothing has ended",
			       i + 1);
		}
	}

	return true;
}

/* End the first transfer, and let that behind it run. */
static void let_go(struct __test_metadata *_metadata, struct stand *st)
{
	const struct situation *s = st->s;

	st->struck += s->armed;
	switch (s->ends) {
	case BY_STEP:
		step(_metadata, st, NR_DMABUFS);
		break;
	case BY_DELETION:
		ASSERT_OK(control_fault_del(&st->control, st->addr.instance,
					    st->fault));
		break;
	case BY_DISABLE:
		ASSERT_OK(iio_disable(st->dut));
		break;
	case BY_ENABLE:
		start(_metadata, st);
		if (s->next == DONE)
			step(_metadata, st, 1);
		break;
	case BY_SECOND_ENABLE:
		ASSERT_OK(iio_enable(st->dut));
		step(_metadata, st, NR_DMABUFS);
		break;
	}
}

/* Wait until both have ended, however. */
static void ended(struct __test_metadata *_metadata, struct stand *st)
{
	int i;

	for (i = 0; i < NR_DMABUFS; i++) {
		ASSERT_NE(0, sync_file_wait(st->fence[i])) {
			TH_LOG("the fence of transfer %d never signals", i + 1);
		}
	}
}

/* hold() and what follows from it */
static bool run(struct __test_metadata *_metadata, struct stand *st)
{
	if (!hold(_metadata, st))
		return false;

	let_go(_metadata, st);
	ended(_metadata, st);

	return true;
}

/* Have the buffer enabled, whatever the situation has left. */
static void go_on(struct __test_metadata *_metadata, struct stand *st)
{
	if (st->s->ends == BY_DISABLE || st->s->enable) {
		ASSERT_OK(iio_enable(st->dut));
	}
}

static void expect_outcome(struct __test_metadata *_metadata,
			   const struct stand *st, int i)
{
	const struct situation *s = st->s;
	const enum outcome outcome = i ? s->next : s->first;
	const int status = sync_file_wait(st->fence[i]);

	ASSERT_NE(0, status) {
		TH_LOG("the fence of transfer %d never signals", i + 1);
	}
	if (!i && s->hidden) {
		EXPECT_UNLESS(s->hidden, status < 0);
		return;
	}

	switch (outcome) {
	case DONE:
		EXPECT_EQ(1, status);
		break;
	case FAILED:
		EXPECT_GT(0, status);
		break;
	case DONE_OR_FAILED:
		break;
	}
}

/* What was moved of a transfer is right, and nothing else was. */
static void expect_data(struct __test_metadata *_metadata, struct stand *st,
			int i, size_t moved)
{
	const bool output = st->addr.channel == DMA_LOOPBACK_CHANNEL_TX;
	const uint64_t dir = output ? DMA_BUF_SYNC_WRITE : DMA_BUF_SYNC_READ;
	struct dmabuf *d = &st->d[i];
	uint8_t *expected;
	uint32_t word;
	size_t at, n;

	expected = malloc(d->size);
	ASSERT_NE(NULL, expected);
	pattern_fill(expected, d->size, BEFORE);
	n = moved < st->len ? moved : st->len;

	ASSERT_OK(dmabuf_sync(d->fd, DMA_BUF_SYNC_START | dir));
	for (at = 0; !output && at < n; at += sizeof(word), st->word++) {
		/* Where it begins is up to what has run before. */
		memcpy(&word, d->map, sizeof(word));
		if (!st->counting)
			st->word = le32toh(word);
		st->counting = true;
		word = htole32(st->word);
		memcpy(expected + at, &word, sizeof(word));
	}
	for (at = 0; at < d->size && d->map[at] == expected[at]; at++)
		;
	EXPECT_EQ(d->size, at) {
		TH_LOG("transfer %d of %zu bytes, %zu of them moved: byte %zu is wrong",
		       i + 1, st->len, n, at);
	}
	ASSERT_OK(dmabuf_sync(d->fd, DMA_BUF_SYNC_END | dir));
	free(expected);
}

/* --- the audit --- */

/* Once more, with new descriptors: the buffer works. */
static void expect_usable(struct __test_metadata *_metadata, struct stand *st)
{
	int fence;

	EXPECT_OK(iio_buf_open(&st->buf, st->dut));
	EXPECT_OK(iio_attach(st->buf.fd, st->d[0].fd));
	EXPECT_OK(iio_enable(st->dut));
	fence = iio_enqueue_fence(&st->buf, &st->d[0], st->len);
	EXPECT_OK(fence);
	EXPECT_OK(control_step(&st->control, st->addr, 1));
	EXPECT_OK(fence_result(fence)) {
		TH_LOG("after all that the buffer does not work any more");
	}
	iio_buf_close(&st->buf);
}

static void expect_nothing_left(struct __test_metadata *_metadata,
				struct stand *st)
{
	static const uint32_t channels[] = {
		DMA_LOOPBACK_CHANNEL_TX, DMA_LOOPBACK_CHANNEL_RX,
	};
	struct control_chan chan;
	size_t i;

	for (i = 0; i < NR_DMABUFS; i++) {
		if (st->fence[i] >= 0) {
			EXPECT_NE(0, sync_file_status(st->fence[i])) {
				TH_LOG("transfer %zu has never ended", i + 1);
			}
		}
	}

	for (i = 0; i < ARRAY_SIZE(channels); i++) {
		chan = chan_of(_metadata, st, channels[i]);
		EXPECT_EQ(0, chan.queued);
		EXPECT_EQ(0, chan.faults);
		if (st->struck && channels[i] == st->addr.channel) {
			EXPECT_EQ(st->struck,
				  chan.faulted - st->before.faulted) {
				TH_LOG("the fault has not struck, or another one has");
			}
		}
	}

	for (i = 0; i < NR_DMABUFS; i++) {
		EXPECT_OK(dmabuf_wait_refs(st->d[i].fd, st->d[i].refs)) {
			TH_LOG("somebody still has DMABUF %zu", i + 1);
		}
		EXPECT_GE(0, dmabuf_attachments(st->d[i].fd, NULL, 0)) {
			TH_LOG("DMABUF %zu is still attached", i + 1);
		}
	}
}

/* Have what is queued on a disabled buffer end: nothing else does that (B4). */
static void stand_quiesce(struct __test_metadata *_metadata, struct iio_buf *b)
{
	if (!b->dut)
		return;

	EXPECT_OK(iio_disable(b->dut));
	EXPECT_OK(iio_enable(b->dut));
	EXPECT_OK(iio_disable(b->dut));
}

static void stand_teardown(struct __test_metadata *_metadata, struct stand *st)
{
	const char *name = wanted[st->s->no_vectors].name;
	bool audit = st->buf.dut && _metadata->exit_code != KSFT_FAIL;
	int i;

	if (audit) {
		stand_quiesce(_metadata, &st->buf);
		stand_quiesce(_metadata, &st->peer);
	}
	iio_buf_close(&st->buf);
	iio_buf_close(&st->peer);
	if (audit)
		expect_nothing_left(_metadata, st);
	if (audit && !st->s->no_vectors)
		expect_usable(_metadata, st);

	for (i = 0; i < NR_DMABUFS; i++) {
		close_fd(&st->fence[i]);
		dmabuf_free(&st->d[i]);
	}
	control_close(&st->control);
	if (st->temporary || _metadata->exit_code == KSFT_FAIL)
		instance_remove(name);
	dut_teardown(_metadata);
}

/* --- the matrix: each situation, input and output, O_NONBLOCK or not --- */

/**
 * struct cell - A cell of the matrix
 * @name: of the variant
 * @s: situation
 * @output: the transfers are those of the output
 * @nonblock: O_NONBLOCK is set on the buffer
 */
struct cell {
	char name[64];
	const struct situation *s;
	bool output;
	bool nonblock;
};

/**
 * struct timed_call - An ENQUEUE that tells when it has returned
 * @call: the ENQUEUE
 * @returned: when it has returned, now_ns()
 */
struct timed_call {
	struct enqueue_call call;
	uint64_t returned;
};

FIXTURE(fault) {
	struct stand st;
	struct blocked thread;
	struct timed_call call;
	struct status_watch watch;
};

FIXTURE_VARIANT(fault) {
	struct cell cell;
};

FIXTURE_SETUP(fault)
{
	stand_init(&self->st, variant->cell.s, variant->cell.output,
		   variant->cell.nonblock);
	stand_setup(_metadata, &self->st);
}

FIXTURE_TEARDOWN(fault)
{
	stand_teardown(_metadata, &self->st);
}

TEST_REQ(fault, attach, "ATT-01", "DMAE-23")
{
	struct stand *st = &self->st;
	int ret;

	ret = iio_attach(st->buf.fd, st->d[0].fd);
	if (st->s->no_vectors) {
		EXPECT_UNLESS("B25", ret < 0);
	} else {
		EXPECT_OK(ret) {
			TH_LOG("ATTACH");
		}
	}
}

TEST_REQ(fault, enqueue, "ENQ-01", "ENQ-23")
{
	struct stand *st = &self->st;
	int ret;

	if (!attached(_metadata, st))
		return;

	if (st->s->armed)
		arm(_metadata, st, &st->s->fault);
	start(_metadata, st);
	ret = iio_enqueue(st->buf.fd, st->d[0].fd, st->len);
	if (st->s->refused) {
		EXPECT_UNLESS(st->s->stuck, ret < 0);
		EXPECT_EQ(POLL_BOTH, fd_poll(st->d[0].fd, POLL_BOTH, 0));
	} else {
		EXPECT_OK(ret) {
			TH_LOG("ENQUEUE of a transfer that has a fault in store");
		}
	}
}

TEST_REQ(fault, fence, "FEN-07", "FEN-08", "FEN-09", "FEN-10", "FEN-12",
	 "LIF-24", "DATA-11")
{
	struct stand *st = &self->st;

	if (!hold(_metadata, st))
		return;

	let_go(_metadata, st);
	expect_outcome(_metadata, st, 0);
}

TEST_REQ(fault, error_comes_with_the_signal, "FEN-23")
{
	struct stand *st = &self->st;
	int status;

	if (!hold(_metadata, st))
		return;

	self->watch.fence = st->fence[0];
	ASSERT_OK(blocked_start(&self->thread, watch_status, &self->watch));
	ASSERT_TRUE(wait_until(self->watch.looks));
	let_go(_metadata, st);
	status = blocked_join(&self->thread);
	EXPECT_NE(0, status);
	EXPECT_EQ(status, sync_file_status(st->fence[0])) {
		TH_LOG("the fence has changed its mind after it had signalled");
	}
}

TEST_REQ(fault, sync_file_is_ready, "SFI-07")
{
	struct stand *st = &self->st;

	if (!hold(_metadata, st))
		return;

	EXPECT_EQ(0, fd_poll(st->fence[0], POLL_BOTH, 0));
	let_go(_metadata, st);
	EXPECT_EQ(POLLIN, fd_poll(st->fence[0], POLLIN, DEADLINE_MS));
	EXPECT_EQ(POLLIN, fd_poll(st->fence[0], POLL_BOTH, 0));
}

TEST_REQ(fault, sync_file_of_later_knows_nothing, "SFI-06")
{
	struct stand *st = &self->st;
	int fence;

	if (!run(_metadata, st))
		return;

	fence = dmabuf_export(st->d[0].fd, DMA_BUF_SYNC_RW);
	ASSERT_OK(fence);
	EXPECT_EQ(1, sync_file_status(fence));
	close(fence);
}

/* Return: what poll() has reported, or a negative errno. */
static int poll_for_out(void *arg)
{
	const struct dmabuf *d = arg;

	return fd_poll(d->fd, POLLOUT, DEADLINE_MS);
}

TEST_REQ(fault, poll, "POL-02", "POL-03", "POL-06")
{
	struct stand *st = &self->st;
	struct dmabuf *d = &st->d[0];

	if (!hold(_metadata, st))
		return;

	EXPECT_EQ(variant->cell.output ? POLLIN : 0,
		  fd_poll(d->fd, POLL_BOTH, 0));
	ASSERT_OK(blocked_start(&self->thread, poll_for_out, d));
	ASSERT_OK(blocked_wait(&self->thread, BLOCKED_POLL));
	let_go(_metadata, st);
	EXPECT_EQ(POLLOUT, blocked_join(&self->thread));

	/*
	 * The first poll() has left a callback for POLLIN behind, which comes
	 * after that for POLLOUT; until it has, POLLIN is withheld.
	 */
	EXPECT_EQ(POLLIN, fd_poll(d->fd, POLLIN, DEADLINE_MS));
	EXPECT_EQ(POLL_BOTH, fd_poll(d->fd, POLL_BOTH, 0));
}

static uint64_t sync_direction(const struct stand *st)
{
	return st->addr.channel == DMA_LOOPBACK_CHANNEL_TX ?
		DMA_BUF_SYNC_WRITE : DMA_BUF_SYNC_READ;
}

static int sync_begin(void *arg)
{
	const struct stand *st = arg;

	return dmabuf_sync(st->d[0].fd,
			   DMA_BUF_SYNC_START | sync_direction(st));
}

TEST_REQ(fault, sync, "SYN-02", "SYN-03", "SYN-04", "SYN-08")
{
	struct stand *st = &self->st;

	if (!hold(_metadata, st))
		return;

	ASSERT_OK(blocked_start(&self->thread, sync_begin, st));
	ASSERT_OK(blocked_wait(&self->thread, SYS_ioctl)) {
		TH_LOG("SYNC does not wait for the transfer");
	}
	let_go(_metadata, st);
	EXPECT_OK(blocked_join(&self->thread));
	EXPECT_OK(sync_begin(st));
	EXPECT_OK(dmabuf_sync(st->d[0].fd,
			      DMA_BUF_SYNC_END | sync_direction(st)));
}

TEST_REQ(fault, bytes, "DATA-01", "DATA-08", "DATA-09", "FEN-11")
{
	struct stand *st = &self->st;

	if (!run(_metadata, st))
		return;

	expect_data(_metadata, st, 0, st->s->moved);
	expect_data(_metadata, st, 1, st->s->next == DONE ? ALL : 0);
}

TEST_REQ(fault, next_transfer, "ENQ-16", "FEN-06", "FEN-07")
{
	struct stand *st = &self->st;

	if (!hold(_metadata, st))
		return;

	let_go(_metadata, st);
	expect_outcome(_metadata, st, 1);
	EXPECT_NE(0, sync_file_status(st->fence[0])) {
		TH_LOG("the second transfer has ended before the first");
	}
}

/* What came of another ENQUEUE of a DMABUF whose submission had failed */
static void expect_not_stuck(struct __test_metadata *_metadata,
			     const struct stand *st, int ret)
{
	if (st->s->no_vectors)
		EXPECT_UNLESS(st->s->stuck, ret != -EBUSY);
	else
		EXPECT_UNLESS(st->s->stuck, ret == 0);
}

/* Which buffer an ENQUEUE of the DMABUF waits on: see ENQ-21, and B1 */
static struct iio_buf *rival(struct __test_metadata *_metadata,
			     struct stand *st)
{
	if (st->addr.channel == DMA_LOOPBACK_CHANNEL_RX)
		return &st->buf;

	ASSERT_OK(iio_buf_open(&st->peer, st->peer_dut));
	ASSERT_OK(fd_set_nonblock(st->peer.fd, st->nonblock));

	return &st->peer;
}

/* The kernel gives up after 5 s: what takes as long was not woken. */
#define WAIT_NS		4000000000ull

static int enqueue_timed(void *arg)
{
	struct timed_call *c = arg;
	int ret;

	ret = enqueue_once(&c->call);
	c->returned = now_ns();

	return ret;
}

/*
 * A second ENQUEUE of the DMABUF: on an input it is another transfer there, and
 * what is sent from a DMABUF keeps others from receiving into it.
 */
TEST_REQ(fault, enqueue_while_busy, "ENQ-07", "ENQ-17", "ENQ-18", "ENQ-21",
	 "ENQ-22")
{
	struct stand *st = &self->st;
	struct iio_buf *b = rival(_metadata, st);
	struct fence_info info = {};
	uint64_t before;
	int ret;

	if (b != &st->buf) {
		ret = iio_attach(b->fd, st->d[0].fd);
		if (ret && st->s->no_vectors)
			return;
		ASSERT_OK(ret);
	}
	if (!hold(_metadata, st))
		return;

	self->call.call = (struct enqueue_call){ b->fd, st->d[0].fd, st->len };
	before = now_ns();
	if (st->nonblock) {
		EXPECT_ERRNO(enqueue_timed(&self->call), EBUSY);
		EXPECT_GT(WAIT_NS, self->call.returned - before) {
			TH_LOG("ENQUEUE waits in spite of O_NONBLOCK");
		}
		let_go(_metadata, st);
		ended(_metadata, st);
		return;
	}

	ASSERT_OK(blocked_start(&self->thread, enqueue_timed, &self->call));
	ASSERT_OK(blocked_wait(&self->thread, SYS_ioctl)) {
		TH_LOG("ENQUEUE does not wait for the transfer");
	}
	let_go(_metadata, st);
	ret = blocked_join(&self->thread);
	ended(_metadata, st);
	ASSERT_OK(sync_file_info(st->fence[0], &info));

	/* A machine this slow is no reason to fail: it gave up before. */
	if (info.timestamp - before >= WAIT_NS)
		return;
	EXPECT_GT(info.timestamp + WAIT_NS, self->call.returned) {
		TH_LOG("the end of the transfer does not end the wait for it");
	}
	if (b == &st->buf && st->s->stuck) {
		expect_not_stuck(_metadata, st, ret);
	} else {
		EXPECT_OK(ret) {
			TH_LOG("ENQUEUE that has waited for the transfer");
		}
	}
}

/* Run the DMABUF that had the fault once more, on its own. */
static void expect_again(struct __test_metadata *_metadata, struct stand *st)
{
	int ret;

	ret = iio_enqueue(st->buf.fd, st->d[0].fd, st->len);
	if (st->s->stuck) {
		expect_not_stuck(_metadata, st, ret);
	} else {
		EXPECT_OK(ret) {
			TH_LOG("ENQUEUE of a DMABUF whose transfer has ended");
		}
	}
	if (ret)
		return;

	close_fd(&st->fence[0]);
	st->fence[0] = dmabuf_export(st->d[0].fd, DMA_BUF_SYNC_RW);
	ASSERT_OK(st->fence[0]);
	step(_metadata, st, 1);
	EXPECT_EQ(1, sync_file_wait(st->fence[0]));
}

TEST_REQ(fault, enqueue_again, "ENQ-11", "ENQ-12", "ENQ-13", "LIF-24")
{
	struct stand *st = &self->st;

	if (!run(_metadata, st))
		return;

	go_on(_metadata, st);
	expect_again(_metadata, st);
}

TEST_REQ(fault, enqueue_after_restart, "ENQ-11", "ENQ-13", "LIF-05", "LIF-06")
{
	struct stand *st = &self->st;

	if (!run(_metadata, st))
		return;

	ASSERT_OK(iio_disable(st->dut));
	ASSERT_OK(iio_enable(st->dut));
	EXPECT_EQ(0, chan_of(_metadata, st, st->addr.channel).queued) {
		TH_LOG("what has ended has started again");
	}
	expect_again(_metadata, st);
}

TEST_REQ(fault, detach_while_pending, "DET-06", "DET-07", "LIF-27")
{
	struct stand *st = &self->st;

	if (!hold(_metadata, st))
		return;

	EXPECT_OK(iio_detach(st->buf.fd, st->d[0].fd));
	EXPECT_EQ(0, sync_file_status(st->fence[0]));
	let_go(_metadata, st);
	ended(_metadata, st);
	EXPECT_OK(dmabuf_wait_refs(st->d[0].fd, st->d[0].refs)) {
		TH_LOG("the transfer has ended, and somebody still has its DMABUF");
	}
	EXPECT_ERRNO(iio_enqueue(st->buf.fd, st->d[0].fd, st->len), EPERM);

	/* A new attachment has nothing to do with the old one. */
	if (st->s->no_vectors)
		return;
	go_on(_metadata, st);
	ASSERT_OK(iio_attach(st->buf.fd, st->d[0].fd));
	enqueue(_metadata, st, 0);
	step(_metadata, st, 1);
	EXPECT_EQ(1, sync_file_wait(st->fence[0]));
}

TEST_REQ(fault, no_descriptor_is_left, "DMAE-20")
{
	struct stand *st = &self->st;

	if (!run(_metadata, st))
		return;

	ASSERT_OK(iio_disable(st->dut));
	EXPECT_EQ(st->before.descriptors,
		  chan_of(_metadata, st, st->addr.channel).descriptors) {
		TH_LOG("descriptors of the DMA engine are left");
	}
}

/* --- what takes a certain fault, or a certain moment --- */

FIXTURE(stepped) {
	struct stand st;
};

FIXTURE_VARIANT(stepped) {
	struct cell cell;
};

FIXTURE_SETUP(stepped)
{
	stand_init(&self->st, variant->cell.s, variant->cell.output, false);
	stand_setup(_metadata, &self->st);
}

FIXTURE_TEARDOWN(stepped)
{
	stand_teardown(_metadata, &self->st);
}

static const struct cell input = { "input", &situations[0], false, false };
static const struct cell output = { "output", &situations[0], true, false };

/* Disable the buffer when all but the last unit of the first has moved. */
static void abort_late(struct __test_metadata *_metadata, struct stand *st)
{
	const uint32_t most = st->len - st->dut->align;
	uint64_t before;

	ASSERT_TRUE(hold(_metadata, st));
	before = chan_of(_metadata, st, st->addr.channel).bytes;
	ASSERT_OK(control_step_bytes(&st->control, st->addr, most));
	ASSERT_TRUE(wait_until(chan_of(_metadata, st, st->addr.channel).bytes ==
			       before + most));
	ASSERT_EQ(0, sync_file_status(st->fence[0]));
	ASSERT_OK(iio_disable(st->dut));
}

TEST_REQ(stepped, aborted_at_the_last_byte, "FEN-08", "DATA-10")
{
	struct stand *st = &self->st;
	int i;

	abort_late(_metadata, st);
	for (i = 0; i < NR_DMABUFS; i++) {
		EXPECT_GT(0, sync_file_wait(st->fence[i])) {
			TH_LOG("transfer %d was aborted, its fence %s", i + 1,
			       sync_file_status(st->fence[i]) ?
			       "tells of success" : "never signals");
		}
	}
}

TEST_REQ(stepped, aborted_says_so, "FEN-25")
{
	struct stand *st = &self->st;
	int i;

	abort_late(_metadata, st);
	for (i = 0; i < NR_DMABUFS; i++) {
		EXPECT_ERRNO(sync_file_wait(st->fence[i]), EINTR);
	}
}

#define ROUNDS		16

/* Two DMABUFs in flight, one of them done at a time and enqueued again */
TEST_REQ(stepped, completion_signals_its_fence, "FEN-20")
{
	struct stand *st = &self->st;
	int round, i, was;

	ASSERT_TRUE(hold(_metadata, st));
	for (round = 0; round < ROUNDS; round++) {
		i = round % NR_DMABUFS;
		step(_metadata, st, 1);
		ASSERT_EQ(1, sync_file_wait(st->fence[i]));
		ASSERT_EQ(0, sync_file_status(st->fence[!i])) {
			TH_LOG("one completion has signalled two fences");
		}

		was = st->fence[i];
		st->fence[i] = -1;
		enqueue(_metadata, st, i);
		ASSERT_EQ(1, sync_file_status(was));
		ASSERT_EQ(0, sync_file_status(st->fence[i])) {
			TH_LOG("the fence of a transfer has signalled with the one before it");
		}
		close(was);
	}
}

TEST_REQ(stepped, import_while_stalled, "SFI-20")
{
	static const struct control_fault stall = {
		.kind = DMA_LOOPBACK_FAULT_KIND_STALL,
		.with_bytes = true,
		.bytes = PART,
	};
	struct stand *st = &self->st;
	struct dmabuf gate;
	int other;

	/* A fence of somebody else's, which a disabled buffer holds back */
	ASSERT_OK(iio_buf_open(&st->peer, st->peer_dut));
	ASSERT_OK(dmabuf_alloc(&gate, exporter(), page_size()));
	ASSERT_OK(iio_attach(st->peer.fd, gate.fd));
	other = iio_enqueue_whole(&st->peer, &gate);
	ASSERT_OK(other);

	arm(_metadata, st, &stall);
	ASSERT_TRUE(hold(_metadata, st));
	step(_metadata, st, NR_DMABUFS);
	ASSERT_TRUE(wait_until(state_of(_metadata, st) ==
			       DMA_LOOPBACK_STATE_HELD));
	EXPECT_OK(dmabuf_import(st->d[0].fd, other, DMA_BUF_SYNC_WRITE));
	EXPECT_EQ(0, sync_file_status(st->fence[0]));

	ASSERT_OK(control_fault_del(&st->control, st->addr.instance,
				    st->fault));
	st->struck++;
	EXPECT_EQ(1, sync_file_wait(st->fence[0]));
	EXPECT_EQ(0, fd_poll(st->d[0].fd, POLLOUT, 0)) {
		TH_LOG("the DMABUF is ready, and the fence that was imported is pending");
	}
	ASSERT_OK(iio_enable(st->peer_dut));
	ASSERT_OK(iio_disable(st->peer_dut));
	EXPECT_GT(0, fence_result(other));
	EXPECT_EQ(POLLOUT, fd_poll(st->d[0].fd, POLLOUT, DEADLINE_MS));
	dmabuf_free(&gate);
}

/* With no DMABUF attached, that is, to read() or write() */
TEST_REQ(stepped, attach_after_failed_enable, "MODE-12")
{
	static const struct control_fault fails = {
		.kind = DMA_LOOPBACK_FAULT_KIND_ENABLE_BEFORE,
		.error = ERROR,
	};
	struct stand *st = &self->st;
	int ret;

	arm(_metadata, st, &fails);
	ASSERT_ERRNO(iio_enable(st->dut), ERROR);
	st->struck++;
	ret = iio_attach(st->buf.fd, st->d[0].fd);
	EXPECT_ERRNO(ret, OK, EBUSY);
	EXPECT_UNLESS("B14", ret == 0);

	/* At the latest when it was enabled and disabled. */
	ASSERT_OK(iio_enable(st->dut));
	ASSERT_OK(iio_disable(st->dut));
	if (ret) {
		EXPECT_OK(iio_attach(st->buf.fd, st->d[0].fd));
	}
}

/* --- the table becomes variants --- */

static void add_variant(struct __fixture_metadata *fixture,
			const struct cell *cell)
{
	struct __fixture_variant_metadata *m;

	m = calloc(1, sizeof(*m));
	if (!m)
		abort();
	m->name = cell->name;
	m->data = cell;
	__register_fixture_variant(fixture, m);
}

static void add_cell(const struct situation *s, bool is_output, bool nonblock)
{
	struct cell *cell;

	cell = calloc(1, sizeof(*cell));
	if (!cell)
		abort();
	cell->s = s;
	cell->output = is_output;
	cell->nonblock = nonblock;
	snprintf(cell->name, sizeof(cell->name), "%s_%s_%s",
		 is_output ? "output" : "input", s->name,
		 nonblock ? "nonblocking" : "blocking");
	add_variant(&_fault_fixture_object, cell);
}

static void add_variants(void)
{
	size_t i;

	for (i = 0; i < 4 * ARRAY_SIZE(situations); i++)
		add_cell(&situations[i / 4], i & 2, i & 1);
	add_variant(&_stepped_fixture_object, &input);
	add_variant(&_stepped_fixture_object, &output);
}

/* Whether the table is right about requirements, which make check asks for. */
static bool reqs_exist(void)
{
	char ids[64], *id, *rest;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(situations); i++) {
		snprintf(ids, sizeof(ids), "%s", situations[i].reqs);
		for (id = strtok_r(ids, " ", &rest); id;
		     id = strtok_r(NULL, " ", &rest)) {
			if (requirement_find(id))
				continue;

			fprintf(stderr, "%s: there is no requirement %s\n",
				situations[i].name, id);
			return false;
		}
	}

	return true;
}

/* Return: why nothing can be tested here, or NULL. */
static const char *unfit(struct control *c)
{
	const char *why = instance_unfit();
	struct control_chan chan;
	int ret;

	if (why)
		return why;

	if (!exporter())
		return "nothing to get DMABUFs from";

	ret = control_open(c);
	if (!ret)
		ret = control_chans(c, &chan, 1);
	if (ret == -EPERM)
		return "the control interface needs CAP_NET_ADMIN";

	return ret < 0 ? control_message(c) : NULL;
}

int main(int argc, char **argv)
{
	struct control control = CONTROL_INIT;
	const char *why;
	size_t i;
	int ret;

	if (reqs_wanted(argc, argv))
		return reqs_exist() ? print_all_reqs("") : KSFT_FAIL;

	add_variants();
	if (list_wanted(argc, argv))
		return test_harness_run(argc, argv);

	why = unfit(&control);
	if (why) {
		ksft_print_header();
		ksft_exit_skip("%s\n", why);
	}
	control_close(&control);

	/* What cannot be made here is for the tests to report. */
	for (i = 0; i < ARRAY_SIZE(instances); i++)
		make_instance(i);
	ret = test_harness_run(argc, argv);
	remove_instances();

	return ret;
}

// SPDX-License-Identifier: GPL-2.0
/*
 * The control interface of the loopback driver itself: that steps release what
 * they should, that requests which make no sense are refused and say why, that
 * events tell the truth, and that nothing a client does harms the kernel. These
 * are no requirements of the IIO DMABUF interface; on a machine without the
 * driver all of it is skipped.
 */

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include <linux/capability.h>
#include <linux/genetlink.h>
#include <linux/netlink.h>

#include "lib/bind.h"
#include "lib/conformance.h"
#include "lib/control.h"
#include "lib/file.h"
#include "lib/instance.h"
#include "lib/prng.h"
#include "lib/uevent.h"

#define NAME		"control-test"
#define OTHER_NAME	"control-test-2"

/* Each direction runs by itself, and only when it is told to. */
#define SHAPE		"clock=step source=counter sink=discard"

/* More than any test leaves or arms */
#define FAULTS_MAX	8

#define NR_DMABUFS	3

/**
 * struct lab - An instance, and a buffer of it
 * @c: connection to the control interface
 * @inst: the instance
 * @addr: channel of @buf
 * @buf: the buffer, disabled to begin with
 * @d: DMABUFs, attached
 * @fence: sync files of their transfers, -1 if there is none
 */
struct lab {
	struct control c;
	struct instance inst;
	struct control_addr addr;
	struct iio_buf buf;
	struct dmabuf d[NR_DMABUFS];
	int fence[NR_DMABUFS];
};

/* What is asked for makes sense; otherwise tell what the kernel said. */
#define ASSERT_GRANTED(_c, _call) ASSERT_OK(_call) {			\
	TH_LOG("%s", control_message(_c));				\
}

static void lab_open(struct __test_metadata *_metadata, struct lab *lab)
{
	size_t i;

	lab->addr.instance = lab->inst.number;
	ASSERT_OK(iio_buf_open(&lab->buf,
			       lab->addr.channel == DMA_LOOPBACK_CHANNEL_TX ?
			       &lab->inst.out : &lab->inst.in));
	for (i = 0; i < NR_DMABUFS; i++)
		ASSERT_OK(iio_attach(lab->buf.fd, lab->d[i].fd));
}

/* All but the instance */
static void lab_prepare(struct __test_metadata *_metadata, struct lab *lab,
			enum dma_loopback_channel channel)
{
	size_t i;

	lab->c = (struct control)CONTROL_INIT;
	lab->buf = (struct iio_buf)IIO_BUF_INIT;
	lab->addr.channel = channel;
	for (i = 0; i < NR_DMABUFS; i++) {
		lab->d[i] = (struct dmabuf)DMABUF_INIT;
		lab->fence[i] = -1;
	}

	ASSERT_GRANTED(&lab->c, control_open(&lab->c));
	for (i = 0; i < NR_DMABUFS; i++)
		ASSERT_OK(dmabuf_alloc(&lab->d[i], exporter_default(),
				       page_size()));
}

static void lab_setup(struct __test_metadata *_metadata, struct lab *lab,
		      enum dma_loopback_channel channel)
{
	lab_prepare(_metadata, lab, channel);
	ASSERT_OK(instance_make(&lab->inst, NAME, SHAPE));
	lab_open(_metadata, lab);
}

static void lab_close(struct lab *lab)
{
	size_t i;

	for (i = 0; i < NR_DMABUFS; i++)
		close_fd(&lab->fence[i]);
	iio_buf_close(&lab->buf);
}

static void lab_teardown(struct lab *lab)
{
	size_t i;

	lab_close(lab);
	for (i = 0; i < NR_DMABUFS; i++)
		dmabuf_free(&lab->d[i]);
	instance_remove(NAME);
	control_close(&lab->c);
}

static void lab_enqueue(struct __test_metadata *_metadata, struct lab *lab,
			size_t i)
{
	close_fd(&lab->fence[i]);
	lab->fence[i] = iio_enqueue_whole(&lab->buf, &lab->d[i]);
	ASSERT_OK(lab->fence[i]);
}

/* Enqueue the first @n DMABUFs and enable the buffer. */
static void lab_start(struct __test_metadata *_metadata, struct lab *lab,
		      size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		lab_enqueue(_metadata, lab, i);
	ASSERT_OK(iio_enable(lab->buf.dut));
}

static struct control_chan lab_chan(struct __test_metadata *_metadata,
				    struct lab *lab)
{
	struct control_chan chan = {};

	ASSERT_GRANTED(&lab->c, control_chan_get(&lab->c, lab->addr, &chan));

	return chan;
}

static bool chan_waits(struct lab *lab, unsigned int queued)
{
	struct control_chan chan;

	return !control_chan_get(&lab->c, lab->addr, &chan) &&
	       chan.state == DMA_LOOPBACK_STATE_WAITING &&
	       chan.queued == queued;
}

/* The engine has done what it may, and has @queued transfers left. */
static void expect_waiting(struct __test_metadata *_metadata, struct lab *lab,
			   unsigned int queued)
{
	const bool waits = wait_until(chan_waits(lab, queued));
	const struct control_chan chan = lab_chan(_metadata, lab);

	ASSERT_TRUE(waits) {
		TH_LOG("expected %u transfers to wait, there are %u in state %u",
		       queued, chan.queued, chan.state);
	}
}

static void expect_pending(struct __test_metadata *_metadata,
			   const struct lab *lab, size_t i)
{
	EXPECT_EQ(0, sync_file_status(lab->fence[i])) {
		TH_LOG("transfer %zu is not to have ended", i);
	}
}

static void expect_done(struct __test_metadata *_metadata,
			const struct lab *lab, size_t i)
{
	ASSERT_EQ(1, sync_file_wait(lab->fence[i])) {
		TH_LOG("transfer %zu", i);
	}
}

static void expect_aborted(struct __test_metadata *_metadata,
			   const struct lab *lab, size_t i)
{
	ASSERT_ERRNO(sync_file_wait(lab->fence[i]), EINTR) {
		TH_LOG("transfer %zu", i);
	}
}

/* The next event there is must be this one. */
static void expect_event(struct __test_metadata *_metadata, struct lab *lab,
			 enum dma_loopback_event_type type,
			 struct control_event *e)
{
	ASSERT_GRANTED(&lab->c, control_event(&lab->c, e, DEADLINE_MS));
	ASSERT_EQ(type, e->type) {
		TH_LOG("expected %s, got %s of instance %u %s",
		       control_event_name(type), control_event_name(e->type),
		       e->addr.instance, control_channel_name(e->addr.channel));
	}
	EXPECT_EQ(lab->addr.instance, e->addr.instance);
	EXPECT_EQ(lab->addr.channel, e->addr.channel);
}

static void wait_event(struct __test_metadata *_metadata, struct lab *lab,
		       enum dma_loopback_event_type type,
		       struct control_event *e)
{
	ASSERT_GRANTED(&lab->c,
		       control_event_wait(&lab->c, lab->addr, type, e));
}

static void expect_no_faults(struct __test_metadata *_metadata,
			     struct control *c)
{
	struct control_fault faults[FAULTS_MAX];
	int n;

	n = control_faults(c, faults, FAULTS_MAX);
	EXPECT_EQ(0, n) {
		TH_LOG("faults: %d%s%s", n, n > 0 ? ", the first one " : "",
		       n > 0 ? control_fault_name(faults[0].kind) : "");
	}
}

/* Return: the number of a fault that stalls the @nth transfer from now. */
static int stall(struct lab *lab, unsigned int nth)
{
	const struct control_fault fault = {
		.addr = lab->addr,
		.kind = DMA_LOOPBACK_FAULT_KIND_STALL,
		.nth = nth,
	};

	return control_fault_add(&lab->c, &fault);
}

/* --- a channel, and what is released of it --- */

FIXTURE(channel) {
	struct lab lab;
};

FIXTURE_VARIANT(channel) {
	enum dma_loopback_channel channel;
};

FIXTURE_VARIANT_ADD(channel, input) {
	.channel = DMA_LOOPBACK_CHANNEL_RX,
};

FIXTURE_VARIANT_ADD(channel, output) {
	.channel = DMA_LOOPBACK_CHANNEL_TX,
};

FIXTURE_SETUP(channel)
{
	lab_setup(_metadata, &self->lab, variant->channel);
}

FIXTURE_TEARDOWN(channel)
{
	lab_teardown(&self->lab);
}

TEST_F(channel, counters_tell_what_was_done)
{
	struct lab *lab = &self->lab;
	struct control_chan before, now;
	const size_t size = lab->d[0].size;

	before = lab_chan(_metadata, lab);
	EXPECT_STREQ(NAME, before.name);
	EXPECT_EQ(DMA_LOOPBACK_CLOCK_STEP, before.clock);
	EXPECT_EQ(DMA_LOOPBACK_STATE_IDLE, before.state);
	EXPECT_EQ(0, before.queued);
	EXPECT_EQ(0, before.faults);

	lab_start(_metadata, lab, 3);
	expect_waiting(_metadata, lab, 3);
	now = lab_chan(_metadata, lab);
	EXPECT_EQ(before.prepared + 3, now.prepared);
	EXPECT_EQ(before.submitted + 3, now.submitted);
	EXPECT_EQ(before.descriptors + 3, now.descriptors);
	EXPECT_EQ(before.completed, now.completed);
	EXPECT_EQ(before.bytes, now.bytes);

	ASSERT_GRANTED(&lab->c, control_step(&lab->c, lab->addr, 1));
	expect_waiting(_metadata, lab, 2);
	now = lab_chan(_metadata, lab);
	EXPECT_EQ(before.completed + 1, now.completed);
	EXPECT_EQ(before.terminated, now.terminated);
	EXPECT_EQ(before.bytes + size, now.bytes);

	ASSERT_OK(iio_disable(lab->buf.dut));
	now = lab_chan(_metadata, lab);
	EXPECT_EQ(DMA_LOOPBACK_STATE_IDLE, now.state);
	EXPECT_EQ(0, now.queued);
	EXPECT_EQ(before.descriptors, now.descriptors);
	EXPECT_EQ(before.completed + 1, now.completed);
	EXPECT_EQ(before.terminated + 2, now.terminated);
	EXPECT_EQ(before.bytes + size, now.bytes);
	EXPECT_EQ(before.faulted, now.faulted);
}

TEST_F(channel, dump_is_what_get_says)
{
	struct control_chan chans[64], chan;
	struct lab *lab = &self->lab;
	unsigned int found[2] = {};
	int i, n;

	lab_start(_metadata, lab, 1);
	expect_waiting(_metadata, lab, 1);
	n = control_chans(&lab->c, chans, ARRAY_SIZE(chans));
	ASSERT_LT(0, n);
	ASSERT_GE((int)ARRAY_SIZE(chans), n);
	for (i = 0; i < n; i++) {
		if (chans[i].addr.instance != lab->addr.instance)
			continue;

		ASSERT_GT(ARRAY_SIZE(found), chans[i].addr.channel);
		found[chans[i].addr.channel]++;
		EXPECT_STREQ(NAME, chans[i].name);
		ASSERT_OK(control_chan_get(&lab->c, chans[i].addr, &chan));
		EXPECT_EQ(chan.state, chans[i].state);
		EXPECT_EQ(chan.queued, chans[i].queued);
		EXPECT_EQ(chan.prepared, chans[i].prepared);
		EXPECT_EQ(chan.addr.channel == lab->addr.channel,
			  chans[i].queued == 1);
	}
	EXPECT_EQ(1, found[DMA_LOOPBACK_CHANNEL_TX]);
	EXPECT_EQ(1, found[DMA_LOOPBACK_CHANNEL_RX]);
}

TEST_F(channel, steps_release_transfers)
{
	struct lab *lab = &self->lab;

	lab_start(_metadata, lab, 3);
	expect_waiting(_metadata, lab, 3);
	expect_pending(_metadata, lab, 0);

	ASSERT_GRANTED(&lab->c, control_step(&lab->c, lab->addr, 2));
	expect_done(_metadata, lab, 0);
	expect_done(_metadata, lab, 1);
	expect_waiting(_metadata, lab, 1);
	expect_pending(_metadata, lab, 2);
	EXPECT_EQ(0, lab_chan(_metadata, lab).credit_transfers);

	ASSERT_GRANTED(&lab->c, control_step(&lab->c, lab->addr, 1));
	expect_done(_metadata, lab, 2);
}

TEST_F(channel, what_is_released_adds_up_and_waits)
{
	struct lab *lab = &self->lab;
	size_t i;

	lab_start(_metadata, lab, 0);
	ASSERT_GRANTED(&lab->c, control_step(&lab->c, lab->addr, 1));
	ASSERT_GRANTED(&lab->c, control_step(&lab->c, lab->addr, 1));
	EXPECT_EQ(2, lab_chan(_metadata, lab).credit_transfers);

	for (i = 0; i < 3; i++)
		lab_enqueue(_metadata, lab, i);
	expect_done(_metadata, lab, 0);
	expect_done(_metadata, lab, 1);
	expect_waiting(_metadata, lab, 1);
	expect_pending(_metadata, lab, 2);
}

TEST_F(channel, steps_release_bytes)
{
	struct lab *lab = &self->lab;
	const size_t size = lab->d[0].size, align = lab->buf.dut->align;
	struct control_event e;
	uint64_t before;

	before = lab_chan(_metadata, lab).bytes;
	ASSERT_GRANTED(&lab->c, control_listen(&lab->c, 0));
	lab_start(_metadata, lab, 1);
	wait_event(_metadata, lab, DMA_LOOPBACK_EVENT_TYPE_STARTED, &e);

	ASSERT_GRANTED(&lab->c, control_step_bytes(&lab->c, lab->addr, 64));
	expect_event(_metadata, lab, DMA_LOOPBACK_EVENT_TYPE_PROGRESSED, &e);
	EXPECT_EQ(64, e.bytes);
	EXPECT_EQ(before + 64, lab_chan(_metadata, lab).bytes);
	EXPECT_EQ(0, lab_chan(_metadata, lab).credit_bytes);
	expect_pending(_metadata, lab, 0);

	ASSERT_GRANTED(&lab->c, control_step_bytes(&lab->c, lab->addr,
						   size - 64 - align));
	expect_event(_metadata, lab, DMA_LOOPBACK_EVENT_TYPE_PROGRESSED, &e);
	EXPECT_EQ(size - align, e.bytes);
	expect_pending(_metadata, lab, 0);

	/* The last sample is what ends it, and nothing else. */
	ASSERT_GRANTED(&lab->c,
		       control_step_bytes(&lab->c, lab->addr, align));
	expect_event(_metadata, lab, DMA_LOOPBACK_EVENT_TYPE_COMPLETED, &e);
	EXPECT_EQ(size, e.bytes);
	EXPECT_EQ(0, e.residue);
	expect_done(_metadata, lab, 0);
	EXPECT_EQ(before + size, lab_chan(_metadata, lab).bytes);
}

TEST_F(channel, bytes_left_over_are_for_the_next_transfer)
{
	struct lab *lab = &self->lab;
	struct control_event e;

	ASSERT_GRANTED(&lab->c, control_listen(&lab->c, 0));
	lab_start(_metadata, lab, 2);
	ASSERT_GRANTED(&lab->c, control_step_bytes(&lab->c, lab->addr,
						   lab->d[0].size + 64));
	expect_done(_metadata, lab, 0);
	wait_event(_metadata, lab, DMA_LOOPBACK_EVENT_TYPE_PROGRESSED, &e);
	EXPECT_EQ(64, e.bytes);
	EXPECT_EQ(lab_chan(_metadata, lab).prepared, e.transfer);
	expect_pending(_metadata, lab, 1);
}

/* What is less than the controller can move is kept until there is more. */
TEST_F(channel, bytes_add_up_to_what_can_be_moved)
{
	struct lab *lab = &self->lab;
	const size_t align = lab->buf.dut->align;
	struct control_event e;

	ASSERT_LT(1, align);
	ASSERT_GRANTED(&lab->c, control_listen(&lab->c, 0));
	lab_start(_metadata, lab, 1);
	ASSERT_GRANTED(&lab->c,
		       control_step_bytes(&lab->c, lab->addr, align - 1));
	expect_waiting(_metadata, lab, 1);
	EXPECT_EQ(align - 1, lab_chan(_metadata, lab).credit_bytes);

	ASSERT_GRANTED(&lab->c, control_step_bytes(&lab->c, lab->addr, 1));
	wait_event(_metadata, lab, DMA_LOOPBACK_EVENT_TYPE_PROGRESSED, &e);
	EXPECT_EQ(align, e.bytes);
	EXPECT_EQ(0, lab_chan(_metadata, lab).credit_bytes);
}

TEST_F(channel, termination_drops_what_was_released)
{
	struct lab *lab = &self->lab;
	struct control_chan chan;

	lab_start(_metadata, lab, 0);
	ASSERT_GRANTED(&lab->c, control_step(&lab->c, lab->addr, 2));
	ASSERT_GRANTED(&lab->c, control_step_bytes(&lab->c, lab->addr, 8));
	chan = lab_chan(_metadata, lab);
	EXPECT_EQ(2, chan.credit_transfers);
	EXPECT_EQ(8, chan.credit_bytes);

	ASSERT_OK(iio_disable(lab->buf.dut));
	chan = lab_chan(_metadata, lab);
	EXPECT_EQ(0, chan.credit_transfers);
	EXPECT_EQ(0, chan.credit_bytes);

	lab_start(_metadata, lab, 1);
	expect_waiting(_metadata, lab, 1);
	expect_pending(_metadata, lab, 0);
	ASSERT_GRANTED(&lab->c, control_step(&lab->c, lab->addr, 1));
	expect_done(_metadata, lab, 0);
}

TEST_F(channel, disabling_needs_no_step)
{
	struct lab *lab = &self->lab;

	lab_start(_metadata, lab, 2);
	ASSERT_OK(iio_disable(lab->buf.dut));
	expect_aborted(_metadata, lab, 0);
	expect_aborted(_metadata, lab, 1);
}

TEST_F(channel, unbinding_the_iio_half_needs_no_step)
{
	struct lab *lab = &self->lab;
	struct binding b;

	ASSERT_OK(binding_of(&b, lab->buf.dut->parent));
	lab_start(_metadata, lab, 2);
	ASSERT_OK(binding_break(&b));
	expect_aborted(_metadata, lab, 0);
	expect_aborted(_metadata, lab, 1);
	EXPECT_EQ(0, lab_chan(_metadata, lab).queued);

	lab_close(lab);
	EXPECT_OK(binding_restore(&b));
}

TEST_F(channel, unbinding_the_dma_half_needs_no_step)
{
	struct lab *lab = &self->lab;
	struct control_chan chan;
	struct binding b;

	ASSERT_OK(binding_of_dma(&b, lab->buf.dut));
	lab_start(_metadata, lab, 2);
	ASSERT_OK(binding_break(&b));
	expect_aborted(_metadata, lab, 0);
	expect_aborted(_metadata, lab, 1);
	EXPECT_ERRNO(control_chan_get(&lab->c, lab->addr, &chan), ENOENT);

	lab_close(lab);
	EXPECT_OK(binding_restore(&b));
	EXPECT_OK(control_chan_get(&lab->c, lab->addr, &chan));
}

/* --- the way of a fault --- */

TEST_F(channel, fault_is_armed_bound_and_active)
{
	struct lab *lab = &self->lab;
	struct control_fault fault;
	uint64_t number;
	int id;

	number = lab_chan(_metadata, lab).prepared + 2;
	id = stall(lab, 2);
	ASSERT_LT(0, id);
	ASSERT_EQ(1, control_faults(&lab->c, &fault, 1));
	EXPECT_EQ(id, (int)fault.id);
	EXPECT_EQ(lab->addr.instance, fault.addr.instance);
	EXPECT_EQ(lab->addr.channel, fault.addr.channel);
	EXPECT_EQ(DMA_LOOPBACK_FAULT_KIND_STALL, fault.kind);
	EXPECT_EQ(2, fault.nth);
	EXPECT_EQ(number, fault.transfer);
	EXPECT_EQ(DMA_LOOPBACK_FAULT_STATE_ARMED, fault.state);
	EXPECT_EQ(1, lab_chan(_metadata, lab).faults);

	lab_start(_metadata, lab, 2);
	ASSERT_EQ(1, control_faults(&lab->c, &fault, 1));
	EXPECT_EQ(DMA_LOOPBACK_FAULT_STATE_BOUND, fault.state);

	ASSERT_GRANTED(&lab->c, control_step(&lab->c, lab->addr, 2));
	expect_done(_metadata, lab, 0);
	EXPECT_TRUE(wait_until(lab_chan(_metadata, lab).state ==
			       DMA_LOOPBACK_STATE_HELD));
	ASSERT_EQ(1, control_faults(&lab->c, &fault, 1));
	EXPECT_EQ(DMA_LOOPBACK_FAULT_STATE_ACTIVE, fault.state);
	expect_pending(_metadata, lab, 1);

	ASSERT_GRANTED(&lab->c, control_fault_del(&lab->c, lab->addr.instance,
						  id));
	expect_done(_metadata, lab, 1);
	expect_no_faults(_metadata, &lab->c);
	EXPECT_EQ(0, lab_chan(_metadata, lab).faults);
}

TEST_F(channel, transfer_has_one_fault_only)
{
	struct lab *lab = &self->lab;
	struct control_fault other = {
		.addr = lab->addr,
		.kind = DMA_LOOPBACK_FAULT_KIND_PREP_REFUSED,
		.nth = 2,
	};
	struct control_fault faults[2];

	ASSERT_LT(0, stall(lab, 2));
	EXPECT_ERRNO(stall(lab, 2), EEXIST);
	EXPECT_STRNE(strerror(EEXIST), control_message(&lab->c));
	EXPECT_ERRNO(control_fault_add(&lab->c, &other), EEXIST);

	/* The second transfer has become the next one. */
	lab_start(_metadata, lab, 1);
	EXPECT_ERRNO(stall(lab, 1), EEXIST);
	other.nth = 1;
	EXPECT_ERRNO(control_fault_add(&lab->c, &other), EEXIST);
	ASSERT_EQ(1, control_faults(&lab->c, faults, 2));
	EXPECT_EQ(DMA_LOOPBACK_FAULT_KIND_STALL, faults[0].kind);

	/* Starts of the peripheral are counted on their own. */
	other.kind = DMA_LOOPBACK_FAULT_KIND_ENABLE_BEFORE;
	EXPECT_LT(0, control_fault_add(&lab->c, &other));
	EXPECT_LT(0, stall(lab, 2));
	EXPECT_OK(control_fault_del(&lab->c, lab->addr.instance, 0));
	expect_no_faults(_metadata, &lab->c);
}

/* --- events --- */

TEST_F(channel, events_tell_the_life_of_a_transfer)
{
	struct lab *lab = &self->lab;
	const size_t size = lab->d[0].size;
	struct control_chan before;
	struct control_event e[5];
	uint64_t start;
	size_t i;

	before = lab_chan(_metadata, lab);
	ASSERT_GRANTED(&lab->c, control_listen(&lab->c, 0));
	start = now_ns();
	lab_start(_metadata, lab, 1);
	expect_event(_metadata, lab, DMA_LOOPBACK_EVENT_TYPE_SUBMITTED, &e[0]);
	expect_event(_metadata, lab, DMA_LOOPBACK_EVENT_TYPE_ISSUED, &e[1]);
	expect_event(_metadata, lab, DMA_LOOPBACK_EVENT_TYPE_STARTED, &e[2]);
	ASSERT_GRANTED(&lab->c, control_step_bytes(&lab->c, lab->addr, 64));
	expect_event(_metadata, lab, DMA_LOOPBACK_EVENT_TYPE_PROGRESSED, &e[3]);
	ASSERT_GRANTED(&lab->c, control_step(&lab->c, lab->addr, 1));
	expect_event(_metadata, lab, DMA_LOOPBACK_EVENT_TYPE_COMPLETED, &e[4]);

	for (i = 0; i < ARRAY_SIZE(e); i++) {
		EXPECT_EQ(before.seq + 1 + i, e[i].seq);
		EXPECT_EQ(before.prepared + 1, e[i].transfer);
		EXPECT_LT(0, e[i].cookie);
		EXPECT_EQ(e[0].cookie, e[i].cookie);
		EXPECT_EQ(size, e[i].length);
		EXPECT_LE(1, e[i].segments);
		EXPECT_LE(i ? e[i - 1].ns : start, e[i].ns);
		EXPECT_EQ(i < 3 ? 0 : i == 3 ? 64 : size, e[i].bytes);
		EXPECT_EQ(0, e[i].residue);
	}
	EXPECT_GE(now_ns(), e[4].ns);
	EXPECT_EQ(DMA_LOOPBACK_RESULT_NOERROR, e[4].result);
	EXPECT_EQ(e[4].seq, lab_chan(_metadata, lab).seq);
}

TEST_F(channel, events_tell_what_a_fault_did)
{
	struct lab *lab = &self->lab;
	const size_t size = lab->d[0].size;
	const struct control_fault fault = {
		.addr = lab->addr,
		.kind = DMA_LOOPBACK_FAULT_KIND_SHORT,
		.with_bytes = true,
		.bytes = 64,
	};
	struct control_event e;
	uint64_t number;
	int id;

	number = lab_chan(_metadata, lab).prepared + 1;
	id = control_fault_add(&lab->c, &fault);
	ASSERT_LT(0, id);
	ASSERT_GRANTED(&lab->c, control_listen(&lab->c, 0));
	lab_start(_metadata, lab, 1);
	ASSERT_GRANTED(&lab->c, control_step(&lab->c, lab->addr, 1));
	wait_event(_metadata, lab, DMA_LOOPBACK_EVENT_TYPE_STARTED, &e);
	expect_event(_metadata, lab, DMA_LOOPBACK_EVENT_TYPE_FAULTED, &e);
	EXPECT_EQ(number, e.transfer);
	EXPECT_EQ(id, (int)e.fault);
	EXPECT_EQ(DMA_LOOPBACK_FAULT_KIND_SHORT, e.kind);
	expect_event(_metadata, lab, DMA_LOOPBACK_EVENT_TYPE_COMPLETED, &e);
	EXPECT_EQ(number, e.transfer);
	EXPECT_EQ(64, e.bytes);
	EXPECT_EQ(size - 64, e.residue);
	EXPECT_EQ(DMA_LOOPBACK_RESULT_NOERROR, e.result);
	expect_no_faults(_metadata, &lab->c);
}

TEST_F(channel, events_tell_what_disabling_ended)
{
	struct lab *lab = &self->lab;
	struct control_event e;
	uint64_t last;
	size_t i;

	ASSERT_GRANTED(&lab->c, control_listen(&lab->c, 0));
	lab_start(_metadata, lab, 3);
	last = lab_chan(_metadata, lab).prepared;
	ASSERT_GRANTED(&lab->c, control_step_bytes(&lab->c, lab->addr, 64));
	wait_event(_metadata, lab, DMA_LOOPBACK_EVENT_TYPE_PROGRESSED, &e);

	ASSERT_OK(iio_disable(lab->buf.dut));
	for (i = 0; i < 3; i++) {
		expect_event(_metadata, lab, DMA_LOOPBACK_EVENT_TYPE_TERMINATED,
			     &e);
		EXPECT_EQ(last - 2 + i, e.transfer);
		EXPECT_EQ(i ? 0 : 64, e.bytes);
	}
	expect_event(_metadata, lab, DMA_LOOPBACK_EVENT_TYPE_SYNCHRONIZED, &e);
	EXPECT_EQ(0, e.transfer);
}

/* --- listeners --- */

/* Enqueue, let it run, wait for it. */
static void run_transfers(struct __test_metadata *_metadata, struct lab *lab,
			  unsigned int n)
{
	while (n--) {
		lab_enqueue(_metadata, lab, 0);
		ASSERT_GRANTED(&lab->c, control_step(&lab->c, lab->addr, 1));
		ASSERT_EQ(1, sync_file_wait(lab->fence[0]));
	}
}

FIXTURE(listener) {
	struct lab lab;
	struct control other;
};

FIXTURE_SETUP(listener)
{
	self->other = (struct control)CONTROL_INIT;
	lab_setup(_metadata, &self->lab, DMA_LOOPBACK_CHANNEL_RX);
	ASSERT_GRANTED(&self->other, control_open(&self->other));
	ASSERT_OK(iio_enable(self->lab.buf.dut));
}

FIXTURE_TEARDOWN(listener)
{
	control_close(&self->other);
	lab_teardown(&self->lab);
}

TEST_F(listener, all_get_the_same_events)
{
	struct lab *lab = &self->lab;
	const unsigned int n = 50;
	struct control_event a, b;
	uint64_t seq;

	seq = lab_chan(_metadata, lab).seq;
	ASSERT_GRANTED(&lab->c, control_listen(&lab->c, 0));
	ASSERT_GRANTED(&self->other, control_listen(&self->other, 0));
	run_transfers(_metadata, lab, n);

	do {
		ASSERT_OK(control_event(&lab->c, &a, DEADLINE_MS));
		ASSERT_OK(control_event(&self->other, &b, DEADLINE_MS));
		ASSERT_EQ(++seq, a.seq);
		ASSERT_EQ(a.seq, b.seq);
		ASSERT_EQ(a.ns, b.ns);
		ASSERT_EQ(a.type, b.type);
		ASSERT_EQ(a.transfer, b.transfer);
		ASSERT_EQ(a.bytes, b.bytes);
	} while (a.type != DMA_LOOPBACK_EVENT_TYPE_COMPLETED ||
		 a.transfer != lab_chan(_metadata, lab).prepared);
}

TEST_F(listener, that_comes_late_knows_what_it_missed)
{
	struct lab *lab = &self->lab;
	struct control_event e;
	uint64_t seq;

	seq = lab_chan(_metadata, lab).seq;
	run_transfers(_metadata, lab, 5);
	EXPECT_LE(seq + 5 * 4, lab_chan(_metadata, lab).seq);
	seq = lab_chan(_metadata, lab).seq;
	ASSERT_GRANTED(&lab->c, control_listen(&lab->c, 0));
	run_transfers(_metadata, lab, 1);
	ASSERT_OK(control_event(&lab->c, &e, DEADLINE_MS));
	EXPECT_EQ(seq + 1, e.seq);
}

/*
 * One listener has room for some events and does not read. Neither the
 * transfers nor the other listener may suffer from it, and with the numbers of
 * the events it finds out what it has lost.
 */
TEST_F(listener, that_does_not_read_loses_events_and_nobody_else)
{
	struct lab *lab = &self->lab;
	struct control_event e;
	uint64_t first, seq, lost = 0;
	unsigned int overruns = 0;
	int ret;

	first = lab_chan(_metadata, lab).seq + 1;
	ASSERT_GRANTED(&lab->c, control_listen(&lab->c, 1 << 20));
	ASSERT_GRANTED(&self->other, control_listen(&self->other, 1 << 14));
	run_transfers(_metadata, lab, 256);

	/* All went out: the one that reads has the last of them. */
	for (seq = first; seq <= lab_chan(_metadata, lab).seq; seq++) {
		ASSERT_GRANTED(&lab->c,
			       control_event(&lab->c, &e, DEADLINE_MS));
		ASSERT_EQ(seq, e.seq);
	}

	/* Now the other one reads. */
	seq = first;
	while ((ret = control_event(&self->other, &e, 0)) != -ETIMEDOUT) {
		if (ret == -ENOBUFS) {
			overruns++;
			continue;
		}
		ASSERT_OK(ret);
		ASSERT_LE(seq, e.seq);
		lost += e.seq - seq;
		seq = e.seq + 1;
	}
	EXPECT_EQ(1, overruns);
	EXPECT_LT(first, seq) {
		TH_LOG("what came before the loss is not to be lost");
	}

	/* From here on it misses nothing. */
	run_transfers(_metadata, lab, 2);
	ASSERT_GRANTED(&self->other,
		       control_event(&self->other, &e, DEADLINE_MS));
	ASSERT_LE(seq, e.seq);
	lost += e.seq - seq;
	EXPECT_LT(0, lost);
	for (seq = e.seq + 1; seq <= lab_chan(_metadata, lab).seq; seq++) {
		ASSERT_GRANTED(&self->other,
			       control_event(&self->other, &e, DEADLINE_MS));
		ASSERT_EQ(seq, e.seq);
	}
	TH_LOG("%llu events of %llu lost", (unsigned long long)lost,
	       (unsigned long long)(seq - first));
}

/* --- requests that are refused --- */

FIXTURE(request) {
	struct lab lab;
};

FIXTURE_SETUP(request)
{
	lab_setup(_metadata, &self->lab, DMA_LOOPBACK_CHANNEL_RX);
}

FIXTURE_TEARDOWN(request)
{
	lab_teardown(&self->lab);
}

/* Values of attributes, in place of numbers that only a test run has */
#define OURS		0xfffffffe	/* number of the instance */
#define NOBODYS		0xfffffffd	/* of one that is not there */

/**
 * struct bad_request - A command that must be refused
 * @what: is wrong with it
 * @named: attribute that the kernel's answer names, NULL if it is no single one
 * @err: errno; 0: EINVAL or ERANGE, whichever the kernel's policies take
 * @cmd: DMA_LOOPBACK_CMD_*
 * @attrs: attributes, up to the first one without a type
 */
struct bad_request {
	const char *what;
	const char *named;
	int err;
	uint8_t cmd;
	struct control_attr attrs[8];
};

static void expect_refused(struct __test_metadata *_metadata, struct lab *lab,
			   const struct bad_request *bad)
{
	struct control_attr attrs[ARRAY_SIZE(bad->attrs)];
	const char *message;
	char named[64];
	size_t n;
	int ret;

	for (n = 0; n < ARRAY_SIZE(attrs) && bad->attrs[n].type; n++) {
		attrs[n] = bad->attrs[n];
		if (attrs[n].value == OURS)
			attrs[n].value = lab->addr.instance;
	}

	ret = control_request(&lab->c, bad->cmd, attrs, n);
	message = control_message(&lab->c);
	EXPECT_ERRNO(ret, bad->err ?: EINVAL, bad->err ?: ERANGE) {
		TH_LOG("%s: expected %s: \"%s\"", bad->what,
		       bad->err ? errno_name(bad->err) : "EINVAL or ERANGE",
		       message);
	}

	snprintf(named, sizeof(named), "(attribute %s", bad->named ?: "");
	if (bad->named) {
		EXPECT_NE(NULL, strstr(message, named)) {
			TH_LOG("%s: \"%s\" does not name %s", bad->what,
			       message, bad->named);
		}
	} else if (ret < 0) {
		EXPECT_STRNE(strerror(-ret), message) {
			TH_LOG("%s: the kernel says no more than that",
			       bad->what);
		}
	}
}

static void expect_all_refused(struct __test_metadata *_metadata,
			       struct lab *lab, const struct bad_request *bad,
			       size_t nr_bad)
{
	struct control_chan chan;
	size_t i;

	for (i = 0; i < nr_bad; i++)
		expect_refused(_metadata, lab, &bad[i]);

	expect_no_faults(_metadata, &lab->c);
	chan = lab_chan(_metadata, lab);
	EXPECT_EQ(0, chan.faults);
	EXPECT_EQ(0, chan.credit_transfers);
	EXPECT_EQ(0, chan.credit_bytes);
}

#define CHAN(_attr)	DMA_LOOPBACK_A_CHAN_##_attr
#define STEP(_attr)	DMA_LOOPBACK_A_STEP_##_attr
#define FAULT(_attr)	DMA_LOOPBACK_A_FAULT_##_attr
#define KIND(_kind)	{ FAULT(KIND), DMA_LOOPBACK_FAULT_KIND_##_kind, 0 }

TEST_F(request, chan_get_wants_a_channel_that_exists)
{
	static const struct bad_request bad[] = {
		{
			.what = "no instance", .named = "instance is missing",
			.err = EINVAL, .cmd = DMA_LOOPBACK_CMD_CHAN_GET,
			.attrs = { { CHAN(CHANNEL), 0, 0 } },
		}, {
			.what = "no channel", .named = "channel is missing",
			.err = EINVAL, .cmd = DMA_LOOPBACK_CMD_CHAN_GET,
			.attrs = { { CHAN(INSTANCE), OURS, 0 } },
		}, {
			.what = "nobody's instance", .named = "instance",
			.err = ENOENT, .cmd = DMA_LOOPBACK_CMD_CHAN_GET,
			.attrs = { { CHAN(INSTANCE), NOBODYS, 0 },
				   { CHAN(CHANNEL), 0, 0 } },
		}, {
			.what = "channel 2", .named = "channel",
			.cmd = DMA_LOOPBACK_CMD_CHAN_GET,
			.attrs = { { CHAN(INSTANCE), OURS, 0 },
				   { CHAN(CHANNEL), 2, 0 } },
		}, {
			.what = "an attribute of the answer", .named = "clock",
			.err = EINVAL, .cmd = DMA_LOOPBACK_CMD_CHAN_GET,
			.attrs = { { CHAN(INSTANCE), OURS, 0 },
				   { CHAN(CHANNEL), 0, 0 },
				   { CHAN(CLOCK), 0, 0 } },
		},
	};

	expect_all_refused(_metadata, &self->lab, bad, ARRAY_SIZE(bad));
}

TEST_F(request, step_wants_transfers_or_bytes)
{
	static const struct bad_request bad[] = {
		{
			.what = "no instance", .named = "instance is missing",
			.err = EINVAL, .cmd = DMA_LOOPBACK_CMD_STEP,
			.attrs = { { STEP(CHANNEL), 1, 0 },
				   { STEP(TRANSFERS), 1, 0 } },
		}, {
			.what = "no channel", .named = "channel is missing",
			.err = EINVAL, .cmd = DMA_LOOPBACK_CMD_STEP,
			.attrs = { { STEP(INSTANCE), OURS, 0 },
				   { STEP(TRANSFERS), 1, 0 } },
		}, {
			.what = "nobody's instance", .named = "instance",
			.err = ENOENT, .cmd = DMA_LOOPBACK_CMD_STEP,
			.attrs = { { STEP(INSTANCE), NOBODYS, 0 },
				   { STEP(CHANNEL), 1, 0 },
				   { STEP(TRANSFERS), 1, 0 } },
		}, {
			.what = "channel 2", .named = "channel",
			.cmd = DMA_LOOPBACK_CMD_STEP,
			.attrs = { { STEP(INSTANCE), OURS, 0 },
				   { STEP(CHANNEL), 2, 0 },
				   { STEP(TRANSFERS), 1, 0 } },
		}, {
			.what = "neither transfers nor bytes",
			.err = EINVAL, .cmd = DMA_LOOPBACK_CMD_STEP,
			.attrs = { { STEP(INSTANCE), OURS, 0 },
				   { STEP(CHANNEL), 1, 0 } },
		}, {
			.what = "transfers and bytes",
			.err = EINVAL, .cmd = DMA_LOOPBACK_CMD_STEP,
			.attrs = { { STEP(INSTANCE), OURS, 0 },
				   { STEP(CHANNEL), 1, 0 },
				   { STEP(TRANSFERS), 1, 0 },
				   { STEP(BYTES), 8, 0 } },
		}, {
			.what = "no transfer", .named = "transfers",
			.cmd = DMA_LOOPBACK_CMD_STEP,
			.attrs = { { STEP(INSTANCE), OURS, 0 },
				   { STEP(CHANNEL), 1, 0 },
				   { STEP(TRANSFERS), 0, 0 } },
		}, {
			.what = "no bytes", .named = "bytes",
			.cmd = DMA_LOOPBACK_CMD_STEP,
			.attrs = { { STEP(INSTANCE), OURS, 0 },
				   { STEP(CHANNEL), 1, 0 },
				   { STEP(BYTES), 0, 0 } },
		}, {
			.what = "unknown attribute", .named = "100",
			.err = EINVAL, .cmd = DMA_LOOPBACK_CMD_STEP,
			.attrs = { { STEP(INSTANCE), OURS, 0 },
				   { STEP(CHANNEL), 1, 0 },
				   { STEP(TRANSFERS), 1, 0 }, { 100, 0, 0 } },
		}, {
			.what = "truncated attribute", .named = "transfers",
			.cmd = DMA_LOOPBACK_CMD_STEP,
			.attrs = { { STEP(INSTANCE), OURS, 0 },
				   { STEP(CHANNEL), 1, 0 },
				   { STEP(TRANSFERS), 1, 2 } },
		},
	};

	expect_all_refused(_metadata, &self->lab, bad, ARRAY_SIZE(bad));
}

TEST_F(request, step_wants_a_clock_that_steps)
{
	const struct bad_request bad = {
		.what = "free clock", .named = "instance",
		.err = EINVAL, .cmd = DMA_LOOPBACK_CMD_STEP,
		.attrs = { { STEP(INSTANCE), OURS, 0 }, { STEP(CHANNEL), 1, 0 },
			   { STEP(TRANSFERS), 1, 0 } },
	};
	struct lab *lab = &self->lab;

	lab_close(lab);
	ASSERT_OK(instance_make(&lab->inst, NAME, "clock=free"));
	lab->addr.instance = lab->inst.number;
	expect_all_refused(_metadata, lab, &bad, 1);
}

/* A fault of @_kind for the next transfer, but for what is said */
#define BAD_FAULT(_what, _named, _kind, ...) {				\
	.what = _what, .named = _named,					\
	.cmd = DMA_LOOPBACK_CMD_FAULT_ADD,				\
	.attrs = { { FAULT(INSTANCE), OURS, 0 },			\
		   { FAULT(CHANNEL), 1, 0 }, KIND(_kind), __VA_ARGS__ },\
}

TEST_F(request, fault_add_wants_what_its_kind_needs)
{
	static const struct bad_request bad[] = {
		{
			.what = "no instance", .named = "instance is missing",
			.err = EINVAL, .cmd = DMA_LOOPBACK_CMD_FAULT_ADD,
			.attrs = { { FAULT(CHANNEL), 1, 0 }, KIND(STALL) },
		}, {
			.what = "no channel", .named = "channel is missing",
			.err = EINVAL, .cmd = DMA_LOOPBACK_CMD_FAULT_ADD,
			.attrs = { { FAULT(INSTANCE), OURS, 0 }, KIND(STALL) },
		}, {
			.what = "no kind", .named = "kind is missing",
			.err = EINVAL, .cmd = DMA_LOOPBACK_CMD_FAULT_ADD,
			.attrs = { { FAULT(INSTANCE), OURS, 0 },
				   { FAULT(CHANNEL), 1, 0 } },
		}, {
			.what = "nobody's instance", .named = "instance",
			.err = ENOENT, .cmd = DMA_LOOPBACK_CMD_FAULT_ADD,
			.attrs = { { FAULT(INSTANCE), NOBODYS, 0 },
				   { FAULT(CHANNEL), 1, 0 }, KIND(STALL) },
		}, {
			.what = "channel 2", .named = "channel",
			.cmd = DMA_LOOPBACK_CMD_FAULT_ADD,
			.attrs = { { FAULT(INSTANCE), OURS, 0 },
				   { FAULT(CHANNEL), 2, 0 }, KIND(STALL) },
		}, {
			.what = "kind that there is not", .named = "kind",
			.cmd = DMA_LOOPBACK_CMD_FAULT_ADD,
			.attrs = { { FAULT(INSTANCE), OURS, 0 },
				   { FAULT(CHANNEL), 1, 0 },
				   { FAULT(KIND), 1000, 0 } },
		}, {
			.what = "largest kind", .named = "kind",
			.cmd = DMA_LOOPBACK_CMD_FAULT_ADD,
			.attrs = { { FAULT(INSTANCE), OURS, 0 },
				   { FAULT(CHANNEL), 1, 0 },
				   { FAULT(KIND), UINT32_MAX, 0 } },
		},
		BAD_FAULT("transfer 0 from now", "nth", STALL,
			  { FAULT(NTH), 0, 0 }),
		BAD_FAULT("short of what?", "bytes is missing", SHORT),
		BAD_FAULT("split how?", "bytes is missing", SPLIT),
		BAD_FAULT("split into nothing", "bytes", SPLIT,
			  { FAULT(BYTES), 0, 0 }),
		BAD_FAULT("split within samples", "bytes", SPLIT,
			  { FAULT(BYTES), 7, 0 }),
		BAD_FAULT("bytes of no transfer", "bytes", PREP_REFUSED,
			  { FAULT(BYTES), 64, 0 }),
		BAD_FAULT("bytes of a delay", "bytes", LATE,
			  { FAULT(BYTES), 64, 0 }),
		BAD_FAULT("delay of an error", "delay", READ_ERROR,
			  { FAULT(DELAY), 5, 0 }),
		BAD_FAULT("delay 0", "delay", LATE, { FAULT(DELAY), 0, 0 }),
		BAD_FAULT("errno of a result", "error", WRITE_ERROR,
			  { FAULT(ERROR), EIO, 0 }),
		BAD_FAULT("errno 0", "error", SUBMIT_ERROR,
			  { FAULT(ERROR), 0, 0 }),
		BAD_FAULT("no errno", "error", ENABLE_BEFORE,
			  { FAULT(ERROR), 4096, 0 }),
		BAD_FAULT("negative errno", "error", ENABLE_AFTER,
			  { FAULT(ERROR), -EIO, 0 }),
		BAD_FAULT("id of our own", "id", STALL, { FAULT(ID), 7, 0 }),
		BAD_FAULT("state of our own", "state", STALL,
			  { FAULT(STATE), 1, 0 }),
		BAD_FAULT("unknown attribute", "200", STALL, { 200, 1, 0 }),
		BAD_FAULT("truncated attribute", "nth", STALL,
			  { FAULT(NTH), 1, 1 }),
	};

	expect_all_refused(_metadata, &self->lab, bad, ARRAY_SIZE(bad));
}

/* They exist in a driver that was built for them only. */
TEST_F(request, misbehaving_kinds_are_off_by_default)
{
	static const uint32_t kinds[] = {
		DMA_LOOPBACK_FAULT_KIND_DOUBLE,
		DMA_LOOPBACK_FAULT_KIND_AFTER_SYNCHRONIZE,
		DMA_LOOPBACK_FAULT_KIND_REORDER,
		DMA_LOOPBACK_FAULT_KIND_WRONG_BYTES,
	};
	struct lab *lab = &self->lab;
	struct control_fault fault = { .addr = lab->addr };
	size_t i;
	int ret;

	for (i = 0; i < ARRAY_SIZE(kinds); i++) {
		fault.kind = kinds[i];
		ret = control_fault_add(&lab->c, &fault);
		if (ret > 0) {
			EXPECT_OK(control_fault_del(&lab->c, lab->addr.instance,
						    ret));
			continue;
		}
		EXPECT_ERRNO(ret, EOPNOTSUPP);
		EXPECT_NE(NULL, strstr(control_message(&lab->c),
				       "(attribute kind)")) {
			TH_LOG("%s: \"%s\"", control_fault_name(kinds[i]),
			       control_message(&lab->c));
		}
	}
	expect_no_faults(_metadata, &lab->c);
}

TEST_F(request, fault_del_wants_a_fault_that_exists)
{
	static const struct bad_request bad[] = {
		{
			.what = "no instance", .named = "instance is missing",
			.err = EINVAL, .cmd = DMA_LOOPBACK_CMD_FAULT_DEL,
		}, {
			.what = "nobody's instance", .named = "instance",
			.err = ENOENT, .cmd = DMA_LOOPBACK_CMD_FAULT_DEL,
			.attrs = { { FAULT(INSTANCE), NOBODYS, 0 } },
		}, {
			.what = "id that was never given", .named = "id",
			.err = ENOENT, .cmd = DMA_LOOPBACK_CMD_FAULT_DEL,
			.attrs = { { FAULT(INSTANCE), OURS, 0 },
				   { FAULT(ID), 1000000, 0 } },
		}, {
			.what = "id 0", .named = "id",
			.cmd = DMA_LOOPBACK_CMD_FAULT_DEL,
			.attrs = { { FAULT(INSTANCE), OURS, 0 },
				   { FAULT(ID), 0, 0 } },
		}, {
			.what = "by kind", .named = "kind",
			.err = EINVAL, .cmd = DMA_LOOPBACK_CMD_FAULT_DEL,
			.attrs = { { FAULT(INSTANCE), OURS, 0 }, KIND(STALL) },
		},
	};
	struct lab *lab = &self->lab;
	int id;

	expect_all_refused(_metadata, lab, bad, ARRAY_SIZE(bad));

	id = stall(lab, 1);
	ASSERT_LT(0, id);
	EXPECT_OK(control_fault_del(&lab->c, lab->addr.instance, id));
	EXPECT_ERRNO(control_fault_del(&lab->c, lab->addr.instance, id),
		     ENOENT);
	/* To delete all where there is none is no mistake. */
	EXPECT_OK(control_fault_del(&lab->c, lab->addr.instance, 0));
}

TEST_F(request, unknown_commands_are_refused)
{
	static const uint8_t cmds[] = {
		0, DMA_LOOPBACK_CMD_EVENT, DMA_LOOPBACK_CMD_MAX + 1, 255,
		/* There is a list only. */
		DMA_LOOPBACK_CMD_FAULT_GET,
	};
	struct lab *lab = &self->lab;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(cmds); i++) {
		EXPECT_ERRNO(control_request(&lab->c, cmds[i], NULL, 0),
			     EOPNOTSUPP) {
			TH_LOG("command %u", cmds[i]);
		}
	}
}

TEST_F(request, unknown_family_says_what_to_load)
{
	struct control c = CONTROL_INIT;

	EXPECT_ERRNO(control_open_family(&c, "no-loopback"), ENOENT);
	EXPECT_NE(NULL, strstr(control_message(&c),
			       "load the module no-loopback")) {
		TH_LOG("\"%s\"", control_message(&c));
	}
	control_close(&c);
}

/* Switch CAP_NET_ADMIN, which the process keeps in its permitted set. */
static void set_net_admin(struct __test_metadata *_metadata, bool on)
{
	struct __user_cap_header_struct hdr = {
		.version = _LINUX_CAPABILITY_VERSION_3,
	};
	struct __user_cap_data_struct data[2];
	const uint32_t bit = 1u << CAP_NET_ADMIN;

	ASSERT_EQ(0, syscall(SYS_capget, &hdr, data));
	data[0].effective &= ~bit;
	if (on)
		data[0].effective |= bit;
	ASSERT_EQ(0, syscall(SYS_capset, &hdr, data));
}

TEST_F(request, all_take_cap_net_admin)
{
	struct lab *lab = &self->lab;
	struct control mine = CONTROL_INIT;
	struct control_chan chan = {};
	struct control *c[2] = { &lab->c, &mine };
	struct control_fault fault = {
		.addr = lab->addr,
		.kind = DMA_LOOPBACK_FAULT_KIND_STALL,
	};
	size_t i;

	set_net_admin(_metadata, false);
	ASSERT_GRANTED(&mine, control_open(&mine));
	for (i = 0; i < ARRAY_SIZE(c); i++) {
		EXPECT_ERRNO(control_chan_get(c[i], lab->addr, &chan), EPERM);
		EXPECT_NE(NULL, strstr(control_message(c[i]),
				       "CAP_NET_ADMIN"));
		EXPECT_ERRNO(control_chans(c[i], &chan, 1), EPERM);
		EXPECT_ERRNO(control_step(c[i], lab->addr, 1), EPERM);
		EXPECT_ERRNO(control_step_bytes(c[i], lab->addr, 8), EPERM);
		EXPECT_ERRNO(control_fault_add(c[i], &fault), EPERM);
		EXPECT_ERRNO(control_faults(c[i], &fault, 1), EPERM);
		EXPECT_ERRNO(control_fault_del(c[i], lab->addr.instance, 0),
			     EPERM);
	}
	set_net_admin(_metadata, true);

	control_close(&mine);
	expect_no_faults(_metadata, &lab->c);
	EXPECT_EQ(0, lab_chan(_metadata, lab).credit_transfers);
	EXPECT_EQ(0, lab_chan(_metadata, lab).credit_bytes);
}

/* --- faults, and those who go --- */

TEST_F(request, faults_outlive_who_has_armed_them)
{
	struct lab *lab = &self->lab;
	struct control_fault faults[3];
	int status;
	pid_t pid;

	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		struct lab own = { .addr = lab->addr };

		if (control_open(&own.c) || stall(&own, 1) < 0 ||
		    stall(&own, 3) < 0)
			_exit(1);
		raise(SIGKILL);
		_exit(1);
	}
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	ASSERT_TRUE(WIFSIGNALED(status));

	ASSERT_EQ(2, control_faults(&lab->c, faults, ARRAY_SIZE(faults)));
	EXPECT_EQ(1, faults[0].nth);
	EXPECT_EQ(3, faults[1].nth);
	EXPECT_EQ(2, lab_chan(_metadata, lab).faults);
	EXPECT_OK(control_fault_del(&lab->c, lab->addr.instance, faults[0].id));
	ASSERT_EQ(1, control_faults(&lab->c, faults, ARRAY_SIZE(faults)));
	EXPECT_EQ(3, faults[0].nth);
	EXPECT_OK(control_fault_del(&lab->c, lab->addr.instance, 0));
	expect_no_faults(_metadata, &lab->c);
}

TEST_F(request, faults_go_with_their_instance)
{
	struct lab *lab = &self->lab;

	/* One waits, and one holds a transfer that is in flight. */
	ASSERT_LT(0, stall(lab, 1));
	ASSERT_LT(0, stall(lab, 2));
	lab_start(_metadata, lab, 1);
	ASSERT_GRANTED(&lab->c, control_step(&lab->c, lab->addr, 1));
	EXPECT_TRUE(wait_until(lab_chan(_metadata, lab).state ==
			       DMA_LOOPBACK_STATE_HELD));
	ASSERT_OK(instance_set(NAME, "live", "0"));
	expect_no_faults(_metadata, &lab->c);
	expect_aborted(_metadata, lab, 0);
	lab_close(lab);

	ASSERT_OK(instance_live(&lab->inst, NAME));
	lab_open(_metadata, lab);
	expect_no_faults(_metadata, &lab->c);
	ASSERT_LT(0, stall(lab, 1));
	ASSERT_OK(instance_remove(NAME));
	expect_no_faults(_metadata, &lab->c);
}

TEST_F(request, faults_go_with_their_driver)
{
	struct lab *lab = &self->lab;
	struct binding b;

	ASSERT_OK(binding_of_dma(&b, lab->buf.dut));
	ASSERT_LT(0, stall(lab, 1));
	ASSERT_LT(0, stall(lab, 2));
	lab_start(_metadata, lab, 1);
	ASSERT_OK(binding_break(&b));
	expect_no_faults(_metadata, &lab->c);
	expect_aborted(_metadata, lab, 0);

	lab_close(lab);
	ASSERT_OK(binding_restore(&b));
	expect_no_faults(_metadata, &lab->c);
	EXPECT_EQ(0, lab_chan(_metadata, lab).prepared);
}

/* --- devices that come and go --- */

FIXTURE(devices) {
	struct uevent u;
	struct instance inst;
};

FIXTURE_SETUP(devices)
{
	self->u = (struct uevent)UEVENT_INIT;
	ASSERT_OK(instance_make(&self->inst, NAME, ""));
	ASSERT_OK(uevent_open(&self->u));
}

FIXTURE_TEARDOWN(devices)
{
	uevent_close(&self->u);
	instance_remove(NAME);
}

/* Both devices of @inst, in whatever order */
static void expect_uevents(struct __test_metadata *_metadata, struct uevent *u,
			   const char *action, const struct instance *inst)
{
	const char *parent = strrchr(inst->in.parent, '/') + 1;
	bool in = false, out = false;
	const char *device;
	int i;

	for (i = 0; i < 2; i++) {
		ASSERT_OK(uevent_wait(u, action, "iio", parent)) {
			TH_LOG("%s of a device of %s", action, parent);
		}
		device = strrchr(u->devpath, '/');
		in |= !strcmp(device, strrchr(inst->in.dir, '/'));
		out |= !strcmp(device, strrchr(inst->out.dir, '/'));
	}
	EXPECT_TRUE(in);
	EXPECT_TRUE(out);
}

TEST_F(devices, are_announced_with_their_instance)
{
	ASSERT_OK(instance_set(NAME, "live", "0"));
	expect_uevents(_metadata, &self->u, "remove", &self->inst);
	ASSERT_OK(instance_live(&self->inst, NAME));
	expect_uevents(_metadata, &self->u, "add", &self->inst);
	ASSERT_OK(instance_remove(NAME));
	expect_uevents(_metadata, &self->u, "remove", &self->inst);
}

TEST_F(devices, are_announced_with_their_driver)
{
	struct binding b;

	ASSERT_OK(binding_of_dma(&b, &self->inst.in));
	ASSERT_OK(binding_break(&b));
	expect_uevents(_metadata, &self->u, "remove", &self->inst);
	ASSERT_OK(binding_restore(&b));
	/* They may have other numbers, but are two. */
	EXPECT_OK(uevent_wait(&self->u, "add", "iio",
			      strrchr(self->inst.in.parent, '/') + 1));
	EXPECT_OK(uevent_wait(&self->u, "add", "iio",
			      strrchr(self->inst.in.parent, '/') + 1));
}

/* --- messages as they are, right or wrong --- */

/* Most messages that one datagram gets, and room for each of them */
#define BATCH_MAX	8
#define MESSAGE_MAX	512
#define DATAGRAM_MAX	(BATCH_MAX * MESSAGE_MAX)

/* Return: a socket to generic netlink, or a negative errno. */
static int raw_open(void)
{
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_GENERIC);

	return fd < 0 ? -errno : fd;
}

/* Return: 0, or a negative errno. */
static int raw_send(int fd, const void *datagram, size_t len)
{
	const struct sockaddr_nl kernel = { .nl_family = AF_NETLINK };

	return sendto(fd, datagram, len, 0, (const struct sockaddr *)&kernel,
		      sizeof(kernel)) < 0 ? -errno : 0;
}

FIXTURE(dump) {
	struct control c;
	struct instance first;
	struct instance second;
	int fd;
};

FIXTURE_SETUP(dump)
{
	self->c = (struct control)CONTROL_INIT;
	self->fd = -1;
	ASSERT_GRANTED(&self->c, control_open(&self->c));
	ASSERT_OK(instance_make(&self->first, NAME, ""));
	ASSERT_OK(instance_make(&self->second, OTHER_NAME, ""));
	self->fd = raw_open();
	ASSERT_OK(self->fd);
}

FIXTURE_TEARDOWN(dump)
{
	close_fd(&self->fd);
	instance_remove(NAME);
	instance_remove(OTHER_NAME);
	control_close(&self->c);
}

static void arm_faults(struct __test_metadata *_metadata, struct control *c,
		       const struct instance *inst, unsigned int n)
{
	struct control_fault fault = {
		.addr = { inst->number, DMA_LOOPBACK_CHANNEL_TX },
		.kind = DMA_LOOPBACK_FAULT_KIND_STALL,
	};

	while (fault.nth++ < n)
		ASSERT_LT(0, control_fault_add(c, &fault)) {
			TH_LOG("fault %u: %s", fault.nth, control_message(c));
		}
}

TEST_F(dump, has_as_many_parts_as_it_takes)
{
	struct control_fault *faults;
	const int n = 500;
	int i;

	faults = calloc(n + 1, sizeof(*faults));
	ASSERT_NE(NULL, faults);
	arm_faults(_metadata, &self->c, &self->first, n);
	arm_faults(_metadata, &self->c, &self->second, 1);
	ASSERT_EQ(n + 1, control_faults(&self->c, faults, n + 1));
	for (i = 0; i < n; i++) {
		EXPECT_EQ(self->first.number, faults[i].addr.instance);
		EXPECT_EQ(i + 1, (int)faults[i].nth);
	}
	EXPECT_EQ(self->second.number, faults[n].addr.instance);
	free(faults);
}

/*
 * Between two parts of a dump an instance goes that it has not come to the end
 * of. Where to go on is anybody's guess: the client must be told to ask again.
 */
TEST_F(dump, is_marked_when_it_was_interrupted)
{
	struct {
		struct nlmsghdr nlh;
		struct genlmsghdr genl;
	} request = {
		.nlh.nlmsg_len = sizeof(request),
		.nlh.nlmsg_type = control_family_id(&self->c),
		.nlh.nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP,
		.genl.cmd = DMA_LOOPBACK_CMD_FAULT_GET,
		.genl.version = DMA_LOOPBACK_FAMILY_VERSION,
	};
	bool interrupted = false, done = false;
	const struct nlmsghdr *nlh;
	uint32_t buf[8192];
	ssize_t n;

	arm_faults(_metadata, &self->c, &self->first, 1000);
	arm_faults(_metadata, &self->c, &self->second, 1);
	ASSERT_OK(raw_send(self->fd, &request, sizeof(request)));
	n = recv(self->fd, buf, sizeof(buf), 0);
	ASSERT_LT(0, n);
	ASSERT_OK(instance_remove(NAME));

	while (!done) {
		n = recv(self->fd, buf, sizeof(buf), 0);
		ASSERT_LT(0, n);
		for (nlh = (void *)buf; NLMSG_OK(nlh, n);
		     nlh = NLMSG_NEXT(nlh, n)) {
			interrupted |= nlh->nlmsg_flags & NLM_F_DUMP_INTR;
			done |= nlh->nlmsg_type == NLMSG_DONE;
		}
	}
	EXPECT_TRUE(interrupted);
}

/**
 * struct fuzz - Random messages
 * @p: where they come from
 * @family: number of the family
 * @busy: instance on which transfers run
 * @idle: instance on which none run, which comes and goes
 * @fd: socket
 * @sent: messages sent
 * @granted: how many of them were said to be granted
 */
struct fuzz {
	struct prng p;
	uint16_t family;
	uint32_t busy;
	uint32_t idle;
	int fd;
	unsigned long sent;
	unsigned long granted;
};

/* In all requests */
#define A_INSTANCE	DMA_LOOPBACK_A_FAULT_INSTANCE

/* Append to a message what fits. */
static void put_bytes(struct nlmsghdr *nlh, const void *bytes, size_t len)
{
	if (nlh->nlmsg_len + NLMSG_ALIGN(len) > MESSAGE_MAX)
		return;

	memset((void *)nlh + nlh->nlmsg_len, 0, NLMSG_ALIGN(len));
	memcpy((void *)nlh + nlh->nlmsg_len, bytes, len);
	nlh->nlmsg_len += NLMSG_ALIGN(len);
}

static void put_attr(struct nlmsghdr *nlh, uint16_t type, const void *value,
		     uint16_t len)
{
	uint8_t buf[128] = {};
	struct nlattr attr = {
		.nla_type = type,
		.nla_len = sizeof(attr) + len,
	};

	memcpy(buf, &attr, sizeof(attr));
	memcpy(buf + sizeof(attr), value, len);
	put_bytes(nlh, buf, attr.nla_len);
}

static void put_u32(struct nlmsghdr *nlh, uint16_t type, uint32_t value)
{
	put_attr(nlh, type, &value, sizeof(value));
}

/* A number of the sort that breaks things */
static uint32_t odd_number(struct prng *p)
{
	switch (prng_below(p, 6)) {
	case 0:
		return 0;
	case 1:
		return prng_below(p, 32);
	case 2:
		return 1u << prng_below(p, 32);
	case 3:
		return -prng_below(p, 8);
	case 4:
		return prng_below(p, 8192);
	default:
		return prng_next(p);
	}
}

static uint32_t some_instance(struct fuzz *f)
{
	return prng_percent(&f->p, 70) ? f->busy : f->idle;
}

/* A message as a client would send it */
static void put_sensible(struct fuzz *f, struct nlmsghdr *nlh,
			 struct genlmsghdr *genl)
{
	struct prng *p = &f->p;

	genl->cmd = 1 + prng_below(p, DMA_LOOPBACK_CMD_MAX);
	if (genl->cmd == DMA_LOOPBACK_CMD_FAULT_GET || prng_percent(p, 5)) {
		nlh->nlmsg_flags |= NLM_F_DUMP;
		return;
	}

	put_u32(nlh, A_INSTANCE, some_instance(f));
	if (genl->cmd == DMA_LOOPBACK_CMD_FAULT_DEL) {
		if (prng_percent(p, 80))
			put_u32(nlh, DMA_LOOPBACK_A_FAULT_ID,
				1 + prng_below(p, 1000));
		return;
	}

	put_u32(nlh, genl->cmd == DMA_LOOPBACK_CMD_CHAN_GET ?
		DMA_LOOPBACK_A_CHAN_CHANNEL : DMA_LOOPBACK_A_STEP_CHANNEL,
		prng_below(p, 2));
	if (genl->cmd == DMA_LOOPBACK_CMD_STEP) {
		put_u32(nlh, prng_percent(p, 50) ?
			DMA_LOOPBACK_A_STEP_TRANSFERS :
			DMA_LOOPBACK_A_STEP_BYTES, 1 + odd_number(p) % 8192);
	} else if (genl->cmd == DMA_LOOPBACK_CMD_FAULT_ADD) {
		put_u32(nlh, DMA_LOOPBACK_A_FAULT_KIND,
			prng_below(p, DMA_LOOPBACK_FAULT_KIND_WRONG_BYTES + 1));
		put_u32(nlh, DMA_LOOPBACK_A_FAULT_NTH, 1 + prng_below(p, 16));
		if (prng_percent(p, 50))
			put_u32(nlh, DMA_LOOPBACK_A_FAULT_BYTES, odd_number(p));
		if (prng_percent(p, 10))
			put_u32(nlh, DMA_LOOPBACK_A_FAULT_ERROR, odd_number(p));
		if (prng_percent(p, 10))
			put_u32(nlh, DMA_LOOPBACK_A_FAULT_DELAY,
				prng_below(p, 5));
	}
}

/* Attributes of any type and size, some within others */
static void put_nonsense(struct fuzz *f, struct nlmsghdr *nlh,
			 struct genlmsghdr *genl)
{
	struct prng *p = &f->p;
	unsigned int i, n = prng_below(p, 10);
	struct nlattr nest;
	uint64_t bytes[8];
	uint16_t type;

	genl->cmd = prng_percent(p, 90) ?
		prng_below(p, DMA_LOOPBACK_CMD_MAX + 2) : prng_next(p);
	while (n--) {
		for (i = 0; i < ARRAY_SIZE(bytes); i++)
			bytes[i] = prng_next(p);
		type = prng_below(p, prng_percent(p, 90) ? 18 : 65536);
		if (prng_percent(p, 20)) {
			nest.nla_type = type | NLA_F_NESTED;
			nest.nla_len = odd_number(p);
			put_bytes(nlh, &nest, sizeof(nest));
		} else if (prng_percent(p, 50)) {
			put_u32(nlh, type, odd_number(p));
		} else {
			put_attr(nlh, type, bytes,
				 prng_below(p, sizeof(bytes) + 1));
		}
	}
}

/* Damage a message a little, beyond its header. */
static void damage(struct prng *p, struct nlmsghdr *nlh)
{
	uint8_t *payload = NLMSG_DATA(nlh);
	unsigned int n = 1 + prng_below(p, 4);
	uint32_t number;

	while (n--) {
		number = odd_number(p);
		switch (prng_below(p, 4)) {
		case 0:
			payload[prng_below(p, NLMSG_PAYLOAD(nlh, 0))] ^=
				1 << prng_below(p, 8);
			break;
		case 1:
			payload[prng_below(p, NLMSG_PAYLOAD(nlh, 0))] = number;
			break;
		case 2:
			put_bytes(nlh, &number, sizeof(number));
			break;
		case 3:
			nlh->nlmsg_flags ^= 1 << prng_below(p, 16);
			break;
		}
	}
}

/* Return: bytes of the message in @nlh. */
static size_t make_message(struct fuzz *f, struct nlmsghdr *nlh)
{
	struct prng *p = &f->p;
	struct genlmsghdr genl = {
		.version = DMA_LOOPBACK_FAMILY_VERSION,
	};
	size_t len;

	*nlh = (struct nlmsghdr){
		.nlmsg_len = NLMSG_HDRLEN,
		.nlmsg_type = f->family,
		.nlmsg_flags = NLM_F_REQUEST |
			(prng_percent(p, 50) ? NLM_F_ACK : 0),
		.nlmsg_seq = f->sent,
	};
	put_bytes(nlh, &genl, sizeof(genl));
	if (prng_percent(p, 60))
		put_sensible(f, nlh, &genl);
	else
		put_nonsense(f, nlh, &genl);
	memcpy(NLMSG_DATA(nlh), &genl, sizeof(genl));
	if (prng_percent(p, 50))
		damage(p, nlh);

	/* What it says of its length may be wrong as well. */
	len = nlh->nlmsg_len;
	if (prng_percent(p, 5))
		nlh->nlmsg_len = prng_percent(p, 50) ? odd_number(p) :
				 prng_below(p, len + 1);

	return len;
}

/*
 * Faults that the kernel's own defects make fatal on a channel in use (B8), or
 * that are fatal by themselves
 */
static bool may_be_armed(uint32_t kind)
{
	return kind < DMA_LOOPBACK_FAULT_KIND_PREP_REFUSED ||
	       kind == DMA_LOOPBACK_FAULT_KIND_SPLIT ||
	       kind == DMA_LOOPBACK_FAULT_KIND_COALESCE;
}

/* Return: the attribute at or behind @at that has a number, or NULL. */
static void *next_number(const struct nlmsghdr *nlh, size_t *at, uint16_t *type,
			 uint32_t *value)
{
	struct nlattr attr;
	void *found;

	while (*at + sizeof(attr) <= nlh->nlmsg_len) {
		found = (void *)nlh + *at;
		memcpy(&attr, found, sizeof(attr));
		if (attr.nla_len < sizeof(attr) ||
		    *at + attr.nla_len > nlh->nlmsg_len)
			break;

		*at += NLA_ALIGN(attr.nla_len);
		*type = attr.nla_type & NLA_TYPE_MASK;
		if (attr.nla_len < sizeof(attr) + sizeof(*value))
			continue;

		memcpy(value, found + sizeof(attr), sizeof(*value));
		return found + sizeof(attr);
	}

	return NULL;
}

/* Change a message that would do harm if it was granted. */
static void defuse_message(const struct fuzz *f, struct nlmsghdr *nlh)
{
	const size_t start = NLMSG_HDRLEN + GENL_HDRLEN;
	struct genlmsghdr *genl = NLMSG_DATA(nlh);
	uint32_t value;
	bool in_use = false;
	uint16_t type;
	size_t at;
	void *p;

	if (nlh->nlmsg_len < start)
		return;

	for (at = start; (p = next_number(nlh, &at, &type, &value)); ) {
		if (type != A_INSTANCE)
			continue;

		/* Others may have instances of their own. */
		if (value != f->busy && value < 65536)
			memcpy(p, &f->idle, sizeof(f->idle));
		in_use |= value == f->busy;
	}

	if (!in_use || genl->cmd != DMA_LOOPBACK_CMD_FAULT_ADD)
		return;

	for (at = start; (p = next_number(nlh, &at, &type, &value)); ) {
		if (type == DMA_LOOPBACK_A_FAULT_KIND && !may_be_armed(value)) {
			value = DMA_LOOPBACK_FAULT_KIND_LATE;
			memcpy(p, &value, sizeof(value));
		}
	}
}

/*
 * A wrong length makes the kernel find a message in the middle of another one,
 * which then must not be for another family.
 */
static void defuse(const struct fuzz *f, void *datagram, size_t len)
{
	struct nlmsghdr *nlh = datagram;
	size_t n;

	while (len >= NLMSG_HDRLEN) {
		if (nlh->nlmsg_len < NLMSG_HDRLEN || nlh->nlmsg_len > len)
			break;

		if (nlh->nlmsg_type >= NLMSG_MIN_TYPE)
			nlh->nlmsg_type = f->family;
		defuse_message(f, nlh);
		n = NLMSG_ALIGN(nlh->nlmsg_len);
		len -= n < len ? n : len;
		nlh = (void *)nlh + n;
	}
}

/* Read all there is: what a dump has to say must fit into the socket. */
static void read_answers(struct __test_metadata *_metadata, struct fuzz *f)
{
	const struct nlmsgerr *ack;
	const struct nlmsghdr *nlh;
	uint32_t buf[8192];
	ssize_t n;

	while ((n = recv(f->fd, buf, sizeof(buf), MSG_DONTWAIT)) >= 0 ||
	       errno == ENOBUFS) {
		for (nlh = (void *)buf; NLMSG_OK(nlh, n);
		     nlh = NLMSG_NEXT(nlh, n)) {
			ack = NLMSG_DATA(nlh);
			f->granted += nlh->nlmsg_type == NLMSG_ERROR &&
				      !ack->error;
		}
	}
	ASSERT_EQ(EAGAIN, errno);
}

/* One datagram of a message or several */
static void fuzz_send(struct __test_metadata *_metadata, struct fuzz *f)
{
	uint32_t datagram[DATAGRAM_MAX / sizeof(uint32_t)];
	unsigned int n = prng_percent(&f->p, 80) ? 1 :
			 1 + prng_below(&f->p, BATCH_MAX);
	size_t len = 0;
	int ret;

	for (; n--; f->sent++)
		len += make_message(f, (void *)datagram + len);
	if (prng_percent(&f->p, 5))
		len -= prng_below(&f->p, len);
	defuse(f, datagram, len);

	ret = raw_send(f->fd, datagram, len);
	ASSERT_ERRNO(ret, OK, ENOBUFS);
	read_answers(_metadata, f);
}

/**
 * struct traffic - Transfers of both directions, whatever becomes of them
 * @lab: the two channels
 * @c: connection
 * @stop: set by who wants it to end
 * @done: transfers that have ended
 * @error: 0, or the negative errno that ended it
 */
struct traffic {
	const struct lab *lab[2];
	struct control c;
	bool stop;
	unsigned long done;
	int error;
};

/* Let a transfer of @lab end, which faults may hold. Return: 0 or -errno. */
static int see_off(struct traffic *t, const struct lab *lab, int fence)
{
	uint64_t end = now_ms() + DEADLINE_MS;
	int ret = 0;

	while (!ret && !sync_file_status(fence)) {
		ret = control_step(&t->c, lab->addr, 1);
		if (!ret)
			ret = control_fault_del(&t->c, lab->addr.instance, 0);
		fd_poll(fence, POLLIN, 1);
		if (now_ms() > end)
			ret = -ETIMEDOUT;
	}

	return ret;
}

/* One round of a channel: transfers that end, or that @abort ends. */
static int run_round(struct traffic *t, const struct lab *lab, bool abort)
{
	int fence[NR_DMABUFS];
	size_t i, n = 0;
	int ret;

	ret = iio_enable(lab->buf.dut);
	while (!ret && n < NR_DMABUFS) {
		fence[n] = iio_enqueue_whole(&lab->buf, &lab->d[n]);
		ret = fence[n] < 0 ? fence[n] : 0;
		n += !ret;
	}
	if (!ret && abort)
		ret = iio_disable(lab->buf.dut);

	for (i = 0; i < n; i++) {
		if (!ret)
			ret = see_off(t, lab, fence[i]);
		close(fence[i]);
		t->done++;
	}

	return ret;
}

static void *run_traffic(void *arg)
{
	struct traffic *t = arg;
	unsigned long i;

	for (i = 0; !t->error && !__atomic_load_n(&t->stop, __ATOMIC_RELAXED);
	     i++)
		t->error = run_round(t, t->lab[i % 2], i % 15 == 14);

	return NULL;
}

FIXTURE(fuzz) {
	struct lab in;
	struct lab out;
	struct instance idle;
	struct traffic traffic;
	int fd;
};

FIXTURE_SETUP(fuzz)
{
	self->fd = -1;
	lab_setup(_metadata, &self->in, DMA_LOOPBACK_CHANNEL_RX);
	lab_prepare(_metadata, &self->out, DMA_LOOPBACK_CHANNEL_TX);
	self->out.inst = self->in.inst;
	lab_open(_metadata, &self->out);
	ASSERT_OK(instance_make(&self->idle, OTHER_NAME, SHAPE));

	self->traffic.lab[0] = &self->in;
	self->traffic.lab[1] = &self->out;
	ASSERT_GRANTED(&self->traffic.c, control_open(&self->traffic.c));
	self->fd = raw_open();
	ASSERT_OK(self->fd);
}

FIXTURE_TEARDOWN(fuzz)
{
	close_fd(&self->fd);
	control_close(&self->traffic.c);
	instance_remove(OTHER_NAME);
	lab_teardown(&self->out);
	lab_teardown(&self->in);
}

/*
 * Random messages while transfers run and an instance comes and goes. What the
 * kernel writes on its console tells whether it minded; here the interface must
 * work as before. IIO_CONTROL_MESSAGES says how many, IIO_DMABUF_SEED which.
 */
TEST_F_TIMEOUT(fuzz, random_messages_do_no_harm, 3600)
{
	const char *number = getenv("IIO_CONTROL_MESSAGES");
	const char *seed = getenv("IIO_DMABUF_SEED");
	unsigned long total = number ? strtoul(number, NULL, 0) : 10000;
	uint64_t start = now_ns();
	struct fuzz f = {
		.p.state = seed ? strtoull(seed, NULL, 0) : start,
		.family = control_family_id(&self->in.c),
		.busy = self->in.addr.instance,
		.idle = self->idle.number,
		.fd = self->fd,
	};
	struct control *c = &self->in.c;
	unsigned long next = 1000;
	pthread_t thread;

	TH_LOG("IIO_DMABUF_SEED=%llu", (unsigned long long)f.p.state);
	ASSERT_EQ(0, pthread_create(&thread, NULL, run_traffic,
				    &self->traffic));
	while (f.sent < total) {
		fuzz_send(_metadata, &f);
		if (f.sent < next)
			continue;

		next += 1000;
		ASSERT_OK(instance_make(&self->idle, OTHER_NAME, SHAPE));
		f.idle = self->idle.number;
	}
	__atomic_store_n(&self->traffic.stop, true, __ATOMIC_RELAXED);
	ASSERT_EQ(0, pthread_join(thread, NULL));
	TH_LOG("%lu messages in %llu ms, %lu granted, %lu transfers", f.sent,
	       (unsigned long long)(now_ns() - start) / 1000000, f.granted,
	       self->traffic.done);
	EXPECT_LT(0, f.granted);
	EXPECT_OK(self->traffic.error) {
		TH_LOG("%s", control_message(&self->traffic.c));
	}
	EXPECT_LT(0, self->traffic.done);

	EXPECT_OK(control_fault_del(c, f.idle, 0));
	EXPECT_OK(control_fault_del(c, f.busy, 0));
	expect_no_faults(_metadata, c);
	ASSERT_OK(iio_disable(self->in.buf.dut));
	EXPECT_EQ(0, lab_chan(_metadata, &self->in).credit_transfers);
	lab_start(_metadata, &self->in, 2);
	expect_waiting(_metadata, &self->in, 2);
	ASSERT_GRANTED(c, control_step(c, self->in.addr, 1));
	expect_done(_metadata, &self->in, 0);
	expect_pending(_metadata, &self->in, 1);
}

/* The harness has no teardown for a test that was killed. */
static void remove_instances(void)
{
	instance_remove(NAME);
	instance_remove(OTHER_NAME);
}

int main(int argc, char **argv)
{
	atexit(remove_instances);

	return instance_main(argc, argv, " -");
}

// SPDX-License-Identifier: GPL-2.0
/*
 * What fails at random, or one after the other: memory, by the kernel's fault
 * injection, and transfers, by the loopback driver's attributes for it. No
 * distribution's kernel has fault injection, so that run_kselftest.sh does not
 * run this program; "make kselftest LANE=kunit" does, on a kernel with it.
 */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "lib/conformance.h"
#include "lib/control.h"
#include "lib/file.h"
#include "lib/instance.h"
#include "lib/slab.h"
#include "lib/transfer.h"

#define NAME		"random-test"
#define DEBUGFS		"/sys/kernel/debug"

/* --- fail-nth --- */

/* Let the @n-th thing that this thread does, and that can, fail; 0: nothing. */
static void fail_nth(int fd, unsigned int n)
{
	char val[16];
	int len = snprintf(val, sizeof(val), "%u", n);

	if (pwrite(fd, val, len, 0) != len)
		abort();
}

/* Nothing fails any more. Return: whether something has. */
static bool fail_nth_was_hit(int fd)
{
	char val[16] = "";

	/* As many as there were too few */
	if (pread(fd, val, sizeof(val) - 1, 0) <= 0)
		abort();
	fail_nth(fd, 0);

	return !atoi(val);
}

/*
 * with_fail_nth() - A call with its @_n-th allocation, or attribute, failing
 * @_fd: fail-nth of this thread
 * @_n: which one
 * @_hit: set to whether there were so many
 * @_call: the call
 *
 * Return: what the call returned.
 */
#define with_fail_nth(_fd, _n, _hit, _call) ({				\
	long __nth_ret;							\
									\
	fail_nth(_fd, _n);						\
	__nth_ret = (_call);						\
	*(_hit) = fail_nth_was_hit(_fd);				\
	__nth_ret;							\
})

/* Set a number of a directory of fault injection, of the kernel's or ours. */
static int set_fault_attr(const char *dir, const char *attr, const char *val)
{
	char path[128];

	snprintf(path, sizeof(path), DEBUGFS "/%s/%s", dir, attr);

	return write_file(path, val);
}

/* --- a buffer --- */

/**
 * struct victim - A buffer of an instance of the loopback driver, and a DMABUF
 * @inst: the instance; each direction runs by itself
 * @control: its control interface, whose events are listened to
 * @addr: its channel behind the buffer
 * @chan: what that has done so far
 * @t: the buffer, and a DMABUF attached to it
 * @refs: references to the DMABUF before it was attached
 * @nth: fail-nth of this thread
 */
struct victim {
	struct instance inst;
	struct control control;
	struct control_addr addr;
	struct control_chan chan;
	struct transfer t;
	long refs;
	int nth;
};

/* Return: false if the test was marked as skipped. */
static bool victim_setup(struct __test_metadata *_metadata, struct victim *v,
			 bool output)
{
	suite_print_reqs(_metadata->fixture->name, _metadata->name);
	*v = (struct victim){ .t = TRANSFER_INIT, .control = CONTROL_INIT };

	v->nth = open("/proc/thread-self/fail-nth", O_RDWR | O_CLOEXEC);
	if (v->nth < 0)
		SKIP(return false,
		     "no fail-nth: needs a kernel with CONFIG_FAULT_INJECTION");
	/* Each failure would be told with a backtrace. */
	if (set_fault_attr("failslab", "verbose", "0"))
		SKIP(return false,
		     "no " DEBUGFS "/failslab: needs a kernel with CONFIG_FAILSLAB and CONFIG_FAULT_INJECTION_DEBUG_FS, and root");

	ASSERT_OK(instance_make(&v->inst, NAME, "source=counter sink=discard"));
	transfer_setup(_metadata, &v->t, output ? &v->inst.out : &v->inst.in,
		       exporter_default(), 1);
	v->refs = dmabuf_refs(v->t.d.fd);
	ASSERT_OK(iio_attach(v->t.buf.fd, v->t.d.fd));

	/* When whoever opened the buffer has done with it */
	ASSERT_OK(control_open(&v->control));
	v->addr.instance = v->inst.number;
	v->addr.channel = output ? DMA_LOOPBACK_CHANNEL_TX :
				   DMA_LOOPBACK_CHANNEL_RX;
	ASSERT_OK(control_chan_get(&v->control, v->addr, &v->chan));
	ASSERT_OK(control_listen(&v->control, 0));

	return true;
}

static void victim_teardown(struct __test_metadata *_metadata,
			    struct victim *v)
{
	transfer_teardown(&v->t);
	control_close(&v->control);
	instance_remove(NAME);
	set_fault_attr("failslab", "ignore-gfp-wait", "Y");
	close_fd(&v->nth);
	dut_teardown(_metadata);
}

static int enqueue(struct victim *v)
{
	return iio_enqueue(v->t.buf.fd, v->t.d.fd, v->t.len);
}

/*
 * The DMABUF is busy for ever where a failure was not reported (B8). It must be
 * unmapped before it is mapped again: the DMA API knows each page once.
 */
static void attach_again(struct __test_metadata *_metadata, struct victim *v)
{
	ASSERT_OK(iio_detach(v->t.buf.fd, v->t.d.fd));
	ASSERT_OK(dmabuf_wait_refs(v->t.d.fd, v->refs));
	ASSERT_OK(iio_attach(v->t.buf.fd, v->t.d.fd));
}

/* --- transfers that fail --- */

FIXTURE(random) {
	struct victim v;
};

FIXTURE_VARIANT(random) {
	bool output;
};

FIXTURE_VARIANT_ADD(random, in) {
	.output = false,
};

FIXTURE_VARIANT_ADD(random, out) {
	.output = true,
};

FIXTURE_SETUP(random)
{
	if (!victim_setup(_metadata, &self->v, variant->output))
		return;

	ASSERT_OK(iio_enable(self->v.t.buf.dut));
}

FIXTURE_TEARDOWN(random)
{
	victim_teardown(_metadata, &self->v);
}

/* What fault injection has made of a transfer that it has left alone */
#define FINE		-1

static bool is_refusal(int kind)
{
	return kind == DMA_LOOPBACK_FAULT_KIND_PREP_REFUSED ||
	       kind == DMA_LOOPBACK_FAULT_KIND_SUBMIT_ERROR;
}

/*
 * What has become of the transfer that was enqueued, from its events: FINE, or
 * an enum dma_loopback_fault_kind.
 */
static int outcome(struct __test_metadata *_metadata, struct victim *v)
{
	struct control_event e = {};
	int kind = FINE;

	while (!is_refusal(kind)) {
		ASSERT_OK(control_event(&v->control, &e, DEADLINE_MS)) {
			TH_LOG("%s", control_message(&v->control));
		}
		if (e.addr.instance != v->addr.instance)
			continue;

		EXPECT_EQ(v->addr.channel, e.addr.channel);
		if (e.type == DMA_LOOPBACK_EVENT_TYPE_FAULTED) {
			EXPECT_EQ(0, e.fault);
			kind = e.kind;
		}
		if (e.type == DMA_LOOPBACK_EVENT_TYPE_COMPLETED) {
			EXPECT_EQ(kind == FINE,
				  e.result == DMA_LOOPBACK_RESULT_NOERROR);
			break;
		}
	}

	return kind;
}

/* One transfer from ENQUEUE to its end. Return: see outcome(). */
static int one_transfer(struct __test_metadata *_metadata, struct victim *v)
{
	int kind, ret;

	ret = enqueue(v);
	kind = outcome(_metadata, v);
	EXPECT_TRUE(!ret || (is_refusal(kind) && transfer_refused(ret)));
	EXPECT_EQ(POLLOUT, fd_poll(v->t.d.fd, POLLOUT, DEADLINE_MS));
	if (is_refusal(kind))
		attach_again(_metadata, v);

	return kind;
}

/*
 * The n-th of what can fail in an ENQUEUE is made to fail, for all n: memory,
 * and what the driver adds to that.
 */
TEST_F(random, fail_nth_finds_prep_and_submit)
{
	unsigned int prep = 0, submit = 0, n;
	struct victim *v = &self->v;
	struct control_chan before, after;
	struct control_event e;
	bool hit;
	int ret;

	for (n = 1; ; n++) {
		ASSERT_OK(control_chan_get(&v->control, v->addr, &before));
		ret = with_fail_nth(v->nth, n, &hit, enqueue(v));
		ASSERT_OK(control_chan_get(&v->control, v->addr, &after));
		if (!hit)
			break;

		EXPECT_TRUE(!ret || transfer_refused(ret));
		EXPECT_EQ(POLLOUT, fd_poll(v->t.d.fd, POLLOUT, DEADLINE_MS));
		EXPECT_EQ(0, after.queued);
		attach_again(_metadata, v);
		if (after.faulted == before.faulted)
			continue;

		EXPECT_EQ(before.faulted + 1, after.faulted);
		ASSERT_OK(control_event_wait(&v->control, v->addr,
					     DMA_LOOPBACK_EVENT_TYPE_FAULTED,
					     &e));
		EXPECT_EQ(0, e.fault);
		EXPECT_EQ(after.prepared, e.transfer);
		if (e.kind == DMA_LOOPBACK_FAULT_KIND_PREP_REFUSED) {
			EXPECT_EQ(0, prep);
			prep = n;
		} else {
			EXPECT_EQ(DMA_LOOPBACK_FAULT_KIND_SUBMIT_ERROR, e.kind);
			EXPECT_EQ(0, submit);
			submit = n;
		}
	}
	printf("# %u failures, %u: prep, %u: submit\n", n - 1, prep, submit);

	EXPECT_LT(0, prep);
	EXPECT_LT(prep, submit);
	EXPECT_OK(ret);
	EXPECT_EQ(FINE, outcome(_metadata, v));
	ASSERT_OK(control_chan_get(&v->control, v->addr, &after));
	EXPECT_EQ(v->chan.completed + 1, after.completed);
}

/* Whatever becomes of the transfer: the next one has nothing to do with it. */
TEST_F(random, fault_goes_with_its_transfer)
{
	struct victim *v = &self->v;
	struct control_fault stall = {
		.addr = v->addr,
		.kind = DMA_LOOPBACK_FAULT_KIND_STALL,
	};
	struct control_chan before, after;
	unsigned int n;
	bool hit;

	for (n = 1; ; n++) {
		ASSERT_OK(control_chan_get(&v->control, v->addr, &before));
		if (!before.faults)
			ASSERT_LT(0, control_fault_add(&v->control, &stall));
		with_fail_nth(v->nth, n, &hit, enqueue(v));
		ASSERT_OK(control_chan_get(&v->control, v->addr, &after));
		if (!hit)
			break;

		EXPECT_EQ(after.prepared == before.prepared, after.faults);
		attach_again(_metadata, v);
	}

	EXPECT_LT(1, n);
	EXPECT_EQ(1, after.faults);
	EXPECT_TRUE(wait_until(!control_chan_get(&v->control, v->addr,
						 &after) &&
			       after.state == DMA_LOOPBACK_STATE_HELD));
	ASSERT_OK(control_fault_del(&v->control, v->addr.instance, 0));
	EXPECT_EQ(POLLOUT, fd_poll(v->t.d.fd, POLLOUT, DEADLINE_MS));
}

/**
 * struct rate - An attribute of the driver
 * @attr: its directory
 * @kind: what it does to a transfer, input and output
 */
struct rate {
	const char *attr;
	int kind[2];
};

static const struct rate rates[] = {
	{
		"fail_prep", {
			DMA_LOOPBACK_FAULT_KIND_PREP_REFUSED,
			DMA_LOOPBACK_FAULT_KIND_PREP_REFUSED,
		},
	}, {
		"fail_submit", {
			DMA_LOOPBACK_FAULT_KIND_SUBMIT_ERROR,
			DMA_LOOPBACK_FAULT_KIND_SUBMIT_ERROR,
		},
	}, {
		"fail_transfer", {
			DMA_LOOPBACK_FAULT_KIND_READ_ERROR,
			DMA_LOOPBACK_FAULT_KIND_WRITE_ERROR,
		},
	},
};

/* Set an attribute of the driver: of @probability, every @interval, @times. */
static void set_rate(struct __test_metadata *_metadata, struct victim *v,
		     const struct rate *r, const char *probability,
		     const char *interval, const char *times)
{
	char dir[64];

	snprintf(dir, sizeof(dir), "dmaengine/dma-loopback.%u/%s",
		 v->inst.number, r->attr);
	ASSERT_OK(set_fault_attr(dir, "verbose", "0"));
	ASSERT_OK(set_fault_attr(dir, "interval", interval));
	ASSERT_OK(set_fault_attr(dir, "times", times));
	ASSERT_OK(set_fault_attr(dir, "probability", probability));
}

TEST_F(random, interval_hits_each_third_transfer)
{
	struct victim *v = &self->v;
	const struct rate *r;
	int i;

	for (r = rates; r < rates + ARRAY_SIZE(rates); r++) {
		set_rate(_metadata, v, r, "100", "3", "-1");
		for (i = 1; i <= 9; i++) {
			EXPECT_EQ(i % 3 ? FINE : r->kind[variant->output],
				  one_transfer(_metadata, v)) {
				TH_LOG("transfer %d with %s", i, r->attr);
			}
		}
		set_rate(_metadata, v, r, "0", "1", "-1");
	}
	EXPECT_EQ(FINE, one_transfer(_metadata, v));
}

TEST_F(random, times_is_how_many_transfers_fail)
{
	struct victim *v = &self->v;
	struct control_chan chan;
	const struct rate *r;
	int i;

	for (r = rates; r < rates + ARRAY_SIZE(rates); r++) {
		set_rate(_metadata, v, r, "100", "1", "2");
		for (i = 1; i <= 4; i++) {
			EXPECT_EQ(i > 2 ? FINE : r->kind[variant->output],
				  one_transfer(_metadata, v)) {
				TH_LOG("transfer %d with %s", i, r->attr);
			}
		}
	}

	ASSERT_OK(control_chan_get(&v->control, v->addr, &chan));
	EXPECT_EQ(v->chan.faulted + 2 * ARRAY_SIZE(rates), chan.faulted);
	EXPECT_EQ(0, chan.queued);
}

/* --- memory --- */

FIXTURE(memory) {
	struct victim v;
	struct slab_watch slab;
};

FIXTURE_VARIANT(memory) {
	bool output;
};

FIXTURE_VARIANT_ADD(memory, in) {
	.output = false,
};

FIXTURE_VARIANT_ADD(memory, out) {
	.output = true,
};

FIXTURE_SETUP(memory)
{
	if (!victim_setup(_metadata, &self->v, variant->output))
		return;

	/* Those fail as well that may wait for memory, which is most. */
	ASSERT_OK(set_fault_attr("failslab", "ignore-gfp-wait", "N"));
}

FIXTURE_TEARDOWN(memory)
{
	victim_teardown(_metadata, &self->v);
}

/* Of a disabled buffer */
TEST_REQ(memory, enqueue_fails_and_leaves_nothing, "ENQ-26", "CONC-18")
{
	struct victim *v = &self->v;
	const int dmabuf = v->t.d.fd;
	long refs = dmabuf_refs(dmabuf);
	unsigned int n;
	bool hit;
	int ret;

	for (n = 1; ; n++) {
		ret = with_fail_nth(v->nth, n, &hit, enqueue(v));
		if (!hit)
			break;

		EXPECT_ERRNO(ret, ENOMEM);
		EXPECT_EQ(POLLOUT, fd_poll(dmabuf, POLLOUT, 0));
		EXPECT_EQ(refs, dmabuf_refs(dmabuf));
	}
	printf("# %u failures\n", n - 1);

	EXPECT_LT(1, n);
	ASSERT_OK(ret);
	v->t.fence = dmabuf_export(dmabuf, DMA_BUF_SYNC_RW);
	ASSERT_OK(iio_enable(v->t.buf.dut));
	EXPECT_EQ(1, sync_file_wait(v->t.fence));
}

/* The transfer starts at once, which takes memory too. */
TEST_REQ(memory, enqueue_tells_that_the_transfer_cannot_start, "ENQ-26")
{
	struct victim *v = &self->v;
	unsigned int n;
	bool hit;
	int ret;

	ASSERT_OK(iio_enable(v->t.buf.dut));
	for (n = 1; ; n++) {
		ret = with_fail_nth(v->nth, n, &hit, enqueue(v));
		EXPECT_EQ(POLLOUT, fd_poll(v->t.d.fd, POLLOUT, DEADLINE_MS));
		if (!hit)
			break;

		EXPECT_UNLESS("B8", transfer_refused(ret));
		if (!ret)
			attach_again(_metadata, v);
	}
	printf("# %u failures\n", n - 1);

	EXPECT_LT(1, n);
	EXPECT_OK(ret);
}

/* Enabling starts what was queued, and has nobody to tell but the fence. */
TEST_REQ(memory, fence_tells_that_the_transfer_cannot_start, "CONC-18")
{
	struct victim *v = &self->v;
	unsigned int n;
	bool hit;

	/* What may wait is of others, whose failure is that of enabling. */
	ASSERT_OK(set_fault_attr("failslab", "ignore-gfp-wait", "Y"));
	for (n = 1; ; n++) {
		transfer_hold(_metadata, &v->t);
		ASSERT_OK(with_fail_nth(v->nth, n, &hit,
					iio_enable(v->t.buf.dut)));
		if (!hit)
			break;

		/* Of the driver's attribute for submissions it is EIO. */
		EXPECT_ERRNO(fence_result(v->t.fence), ENOMEM, EIO);
		v->t.fence = -1;
		ASSERT_OK(iio_disable(v->t.buf.dut));
		attach_again(_metadata, v);
	}
	printf("# %u failures\n", n - 1);

	EXPECT_LT(1, n);
	EXPECT_EQ(1, sync_file_wait(v->t.fence));
}

/* Or goes well: the kernel's own checks of DMA can do without memory. */
TEST_REQ(memory, attach_fails_and_leaves_nothing, "ATT-19")
{
	struct victim *v = &self->v;
	unsigned int failed = 0, n;
	struct dmabuf d;
	long refs;
	bool hit;
	int ret;

	ASSERT_OK(dmabuf_alloc(&d, exporter_default(), v->t.len));
	refs = dmabuf_refs(d.fd);
	for (n = 1; ; n++) {
		ret = with_fail_nth(v->nth, n, &hit,
				    iio_attach(v->t.buf.fd, d.fd));
		if (!hit)
			break;

		EXPECT_ERRNO(ret, OK, ENOMEM);
		if (!ret)
			EXPECT_OK(iio_detach(v->t.buf.fd, d.fd));
		expect_no_trace(_metadata, &v->t.buf, d.fd, refs);
		failed += !!ret;
	}
	printf("# %u failures, %u of ATTACH\n", n - 1, failed);

	EXPECT_LT(0, failed);
	EXPECT_OK(ret);
	EXPECT_OK(iio_detach(v->t.buf.fd, d.fd));
	dmabuf_free(&d);
}

/*
 * All failures of ATTACH and the first @failures of ENQUEUE, with a new DMABUF,
 * whose first fence takes more memory than others.
 */
static void fail_all(struct __test_metadata *_metadata, struct victim *v,
		     unsigned int failures)
{
	struct dmabuf d;
	unsigned int n;
	bool hit = true;
	int ret;

	ASSERT_OK(dmabuf_alloc(&d, exporter_default(), v->t.len));
	for (n = 1; hit; n++) {
		ret = with_fail_nth(v->nth, n, &hit,
				    iio_attach(v->t.buf.fd, d.fd));
		if (hit && !ret)
			EXPECT_OK(iio_detach(v->t.buf.fd, d.fd));
	}
	for (n = 1; n <= failures; n++) {
		ASSERT_ERRNO(with_fail_nth(v->nth, n, &hit,
					   iio_enqueue(v->t.buf.fd, d.fd,
						       v->t.len)), ENOMEM);
	}
	EXPECT_OK(iio_detach(v->t.buf.fd, d.fd));
	dmabuf_free(&d);
}

TEST_REQ_WITHIN(memory, failures_leak_nothing, 600, "ENQ-26", "ATT-19")
{
	const unsigned int cycles = SLAB_CYCLES / SLAB_BATCHES;
	struct victim *v = &self->v;
	unsigned int failures, i, j;
	int fds = fd_count();
	bool hit = true;

	for (failures = 0; hit; failures++)
		with_fail_nth(v->nth, failures + 1, &hit, enqueue(v));
	failures--;

	/* Let the caches fill first. */
	for (i = 0; i < cycles; i++)
		fail_all(_metadata, v, failures);
	slab_start(&self->slab);
	for (i = 0; i < SLAB_BATCHES; i++) {
		for (j = 0; j < cycles; j++)
			fail_all(_metadata, v, failures);
		slab_batch(&self->slab, cycles);
	}

	EXPECT_EQ(fds, fd_count());
	EXPECT_TRUE(slab_steady(&self->slab, "failures of each kind"));
}

int main(int argc, char **argv)
{
	return instance_main(argc, argv, " -");
}

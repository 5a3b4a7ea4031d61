// SPDX-License-Identifier: GPL-2.0
/*
 * Fences: which one a transfer gives its DMABUF, what it tells of itself and of
 * the transfer, when it signals, and that it can be looked at for ever after.
 *
 * A transfer that is enqueued while the buffer is disabled stays pending until
 * the buffer is enabled: that is how the tests hold it. Where one side of a
 * loopback is enabled alone a transfer is in flight until somebody stops it.
 */

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/blocked.h"
#include "lib/conformance.h"
#include "lib/deadline.h"
#include "lib/trace.h"
#include "lib/transfer.h"

/* More than one, so that the first of a queue is not all there is */
#define DEPTH		4

/* Seeds of patterns */
#define POISON		1000
#define SENT		1

static struct fence_info info_of(struct __test_metadata *_metadata, int fence)
{
	struct fence_info info = {};

	ASSERT_OK(sync_file_info(fence, &info));

	return info;
}

/*
 * The fence must be the one that it was, with @status: one that is pending has
 * a number, one that has signalled the time of that.
 */
static void expect_fence(struct __test_metadata *_metadata, int fence,
			 const struct fence_info *was, int status)
{
	const struct fence_info info = info_of(_metadata, fence);

	EXPECT_EQ(status, info.status);
	EXPECT_EQ(status ? POLLIN : 0, fd_poll(fence, POLLIN, 0));
	EXPECT_EQ(was->num_fences, info.num_fences);
	if (was->status) {
		EXPECT_EQ(was->timestamp, info.timestamp);
	}
	if (!status) {
		EXPECT_STREQ(was->driver, info.driver);
		EXPECT_EQ(was->context, info.context);
		EXPECT_EQ(was->seqno, info.seqno);
	}
}

/* The sync file of @flags must have the one fence @of, and it is pending. */
static void expect_exported(struct __test_metadata *_metadata,
			    const struct transfer *t, uint32_t flags)
{
	const struct fence_info of = info_of(_metadata, t->fence);
	int fence;

	fence = dmabuf_export(t->d.fd, flags);
	ASSERT_OK(fence);
	EXPECT_EQ(0, sync_file_status(fence)) {
		TH_LOG("EXPORT_SYNC_FILE for %s does not give the pending fence",
		       flags == DMA_BUF_SYNC_READ ? "reading" : "writing");
	}
	EXPECT_EQ(1, of.num_fences);
	expect_fence(_metadata, fence, &of, 0);
	close(fence);
}

/* There must be no fence that @flags selects, or none that is pending. */
static void expect_none_exported(struct __test_metadata *_metadata,
				 const struct dmabuf *d, uint32_t flags)
{
	int fence;

	fence = dmabuf_export(d->fd, flags);
	ASSERT_OK(fence);
	EXPECT_EQ(1, sync_file_status(fence)) {
		TH_LOG("EXPORT_SYNC_FILE for %s gives a pending fence",
		       flags == DMA_BUF_SYNC_READ ? "reading" : "writing");
	}
	close(fence);
}

/* --- any buffer --- */

FIXTURE(fence) {
	struct transfer t;
	struct dmabuf other;
};

DUT_FIXTURE(fence, DUT_ANY);

FIXTURE_SETUP(fence)
{
	self->t = (struct transfer)TRANSFER_INIT;
	self->other = (struct dmabuf)DMABUF_INIT;

	if (!dut_setup(_metadata, &variant->v))
		return;

	transfer_setup_short(_metadata, &self->t, variant->v.dut,
			     variant->v.dut, variant->v.exporter);
	ASSERT_OK(dmabuf_alloc(&self->other, variant->v.exporter,
			       self->t.d.size));
}

FIXTURE_TEARDOWN(fence)
{
	transfer_teardown(&self->t);
	dmabuf_free(&self->other);
	dut_teardown(_metadata);
}

TEST_REQ(fence, tells_where_it_comes_from, "FEN-03")
{
	struct fence_info info;

	transfer_hold(_metadata, &self->t);
	info = info_of(_metadata, self->t.fence);
	EXPECT_EQ(1, info.num_fences);
	EXPECT_STREQ("iio", info.driver);
	EXPECT_STREQ("iio", info.timeline);
	transfer_finish(_metadata, &self->t);
}

#define SEQUENCE_ROUNDS	8

TEST_REQ(fence, numbers_grow_in_one_context, "FEN-05")
{
	struct fence_info last = {}, info;
	int round;

	for (round = 0; round < SEQUENCE_ROUNDS; round++) {
		transfer_hold(_metadata, &self->t);
		info = info_of(_metadata, self->t.fence);
		if (round) {
			EXPECT_EQ(last.context, info.context);
			EXPECT_LT(last.seqno, info.seqno);
		}
		last = info;
		transfer_finish(_metadata, &self->t);
	}
}

TEST_REQ(fence, success_carries_no_error, "FEN-07")
{
	int round;

	for (round = 0; round < 2; round++) {
		transfer_hold(_metadata, &self->t);
		ASSERT_OK(iio_enable(self->t.buf.dut));
		EXPECT_EQ(1, sync_file_wait(self->t.fence)) {
			TH_LOG("the fence of a transfer that was left alone says %s",
			       errno_name(-sync_file_status(self->t.fence)));
		}
		ASSERT_OK(iio_disable(self->t.buf.dut));

		/* One with an error perhaps, of which the next has nothing. */
		transfer_hold(_metadata, &self->t);
		ASSERT_OK(iio_enable(self->t.buf.dut));
		ASSERT_OK(iio_disable(self->t.buf.dut));
		ASSERT_NE(0, sync_file_wait(self->t.fence));
	}
}

/* Whether the abort or the transfer comes first is up to the device. */
TEST_REQ(fence, disable_ends_all, "FEN-12")
{
	struct dmabuf d[DEPTH];
	int fence[DEPTH];
	int i;

	for (i = 0; i < DEPTH; i++) {
		ASSERT_OK(dmabuf_alloc(&d[i], variant->v.exporter,
				       self->t.d.size));
		ASSERT_OK(iio_attach(self->t.buf.fd, d[i].fd));
	}
	for (i = 0; i < DEPTH; i++) {
		fence[i] = iio_enqueue_fence(&self->t.buf, &d[i], self->t.len);
		ASSERT_OK(fence[i]);
	}

	ASSERT_OK(iio_enable(self->t.buf.dut));
	ASSERT_OK(iio_disable(self->t.buf.dut));
	for (i = 0; i < DEPTH; i++) {
		ASSERT_NE(0, sync_file_wait(fence[i])) {
			TH_LOG("transfer %d of %d was started, the buffer is disabled, and the fence never signals",
			       i + 1, DEPTH);
		}
		close(fence[i]);
		dmabuf_free(&d[i]);
	}
}

/* Without its descriptor the buffer is as enabled as before. */
TEST_REQ(fence, signals_after_close, "FEN-12", "FEN-16")
{
	struct iio_buf *buf = &self->t.buf;
	struct fence_info info;

	transfer_hold(_metadata, &self->t);
	info = info_of(_metadata, self->t.fence);
	ASSERT_OK(iio_enable(buf->dut));
	ASSERT_EQ(0, close(buf->fd));
	buf->fd = -1;
	ASSERT_EQ(0, close(buf->dev_fd));
	buf->dev_fd = -1;
	dmabuf_free(&self->t.d);

	EXPECT_NE(0, sync_file_wait(self->t.fence)) {
		TH_LOG("the buffer was closed while it was enabled, and the fence never signals");
	}
	expect_fence(_metadata, self->t.fence, &info,
		     sync_file_status(self->t.fence));
}

TEST_REQ(fence, signals_at_the_time_it_says, "FEN-14")
{
	uint64_t before, after;
	struct fence_info info;

	transfer_hold(_metadata, &self->t);
	info = info_of(_metadata, self->t.fence);
	EXPECT_EQ(0, info.timestamp);

	before = now_ns();
	ASSERT_OK(iio_enable(self->t.buf.dut));
	ASSERT_EQ(1, sync_file_wait(self->t.fence));
	after = now_ns();

	info = info_of(_metadata, self->t.fence);
	EXPECT_LE(before, info.timestamp);
	EXPECT_GE(after, info.timestamp);
}

TEST_REQ(fence, stays_signalled, "FEN-15")
{
	struct fence_info was;
	int old;

	transfer_hold(_metadata, &self->t);
	transfer_finish(_metadata, &self->t);
	was = info_of(_metadata, self->t.fence);
	old = self->t.fence;
	self->t.fence = -1;

	transfer_hold(_metadata, &self->t);
	expect_fence(_metadata, old, &was, 1);
	transfer_finish(_metadata, &self->t);
	expect_fence(_metadata, old, &was, 1);
	close(old);
}

TEST_REQ(fence, outlives_what_it_is_about, "FEN-16")
{
	struct fence_info info;

	transfer_hold(_metadata, &self->t);
	info = info_of(_metadata, self->t.fence);

	ASSERT_OK(iio_detach(self->t.buf.fd, self->t.d.fd));
	expect_fence(_metadata, self->t.fence, &info, 0);
	dmabuf_free(&self->t.d);
	expect_fence(_metadata, self->t.fence, &info, 0);

	ASSERT_OK(iio_enable(self->t.buf.dut));
	ASSERT_EQ(1, sync_file_wait(self->t.fence));
	expect_fence(_metadata, self->t.fence, &info, 1);

	info = info_of(_metadata, self->t.fence);
	iio_buf_close(&self->t.buf);
	expect_fence(_metadata, self->t.fence, &info, 1);
}

TEST_REQ(fence, both_of_a_merge_are_kept, "FEN-22")
{
	int other, merged;

	ASSERT_OK(iio_attach(self->t.buf.fd, self->other.fd));
	transfer_hold(_metadata, &self->t);
	other = iio_enqueue_fence(&self->t.buf, &self->other, self->t.len);
	ASSERT_OK(other);

	merged = sync_file_merge(self->t.fence, other);
	ASSERT_OK(merged);
	EXPECT_EQ(2, info_of(_metadata, merged).num_fences);
	EXPECT_EQ(0, sync_file_status(merged));

	ASSERT_OK(iio_enable(self->t.buf.dut));
	EXPECT_EQ(1, sync_file_wait(merged));
	EXPECT_EQ(1, sync_file_status(self->t.fence));
	EXPECT_EQ(1, sync_file_status(other));
	close(merged);
	close(other);
}

TEST_REQ(fence, goes_to_the_one_dmabuf, "FEN-24")
{
	struct dmabuf unattached;

	ASSERT_OK(variant_alloc(&unattached, &variant->v));
	ASSERT_OK(iio_attach(self->t.buf.fd, self->other.fd));
	transfer_hold(_metadata, &self->t);

	EXPECT_EQ(POLL_BOTH, fd_poll(self->other.fd, POLL_BOTH, 0));
	expect_none_exported(_metadata, &self->other, DMA_BUF_SYNC_RW);
	EXPECT_EQ(POLL_BOTH, fd_poll(unattached.fd, POLL_BOTH, 0));
	expect_none_exported(_metadata, &unattached, DMA_BUF_SYNC_RW);

	transfer_finish(_metadata, &self->t);
	dmabuf_free(&unattached);
}

/* --- lengths that show whether a fence is early --- */

/* What the largest transfer takes at most, where the device is slow */
#define SLOW_NS		200000000
#define SIZE_MAX_EARLY	(1024 * 1024)

/*
 * The more there is to transfer the earlier is a fence that signals with the
 * first byte. Return: the length after @len, 0 if it was the last one.
 */
static size_t longer(size_t len, uint64_t took_ns)
{
	return took_ns < SLOW_NS && 2 * len <= SIZE_MAX_EARLY ? 2 * len : 0;
}

/* So many bytes are not those of the pattern by accident. */
#define UNIT		16

/*
 * Whether all of @buf was written since it had the pattern POISON. Looks from
 * the end, where a device writes last.
 */
static bool written(const uint8_t *buf, const uint8_t *poison, size_t len)
{
	size_t i;

	for (i = len - len % UNIT; i >= UNIT; i -= UNIT) {
		if (!memcmp(buf + i - UNIT, poison + i - UNIT, UNIT))
			return false;
	}

	return true;
}

/*
 * Attach, and hold a transfer of @len bytes. Return: false if that is more than
 * can be mapped, or than the device likes, where it may refuse.
 */
static bool held(struct __test_metadata *_metadata, struct transfer *t,
		 size_t len, bool may_refuse)
{
	int ret = iio_attach(t->buf.fd, t->d.fd);

	if (t->fence >= 0)
		close(t->fence);
	t->fence = -1;

	if (may_refuse && transfer_refused(ret))
		return false;
	ASSERT_OK(ret);

	t->fence = iio_enqueue_fence(&t->buf, &t->d, len);
	if (may_refuse && transfer_refused(t->fence))
		return false;
	ASSERT_OK(t->fence);

	return true;
}

/* Whether the device has refused a transfer that was held. */
static bool refused(int fence, bool may_refuse)
{
	return may_refuse && transfer_refused(sync_file_status(fence));
}

/* A pattern in memory of our own; freed by the caller. */
static uint8_t *pattern_alloc(size_t len, uint64_t seed)
{
	uint8_t *pattern = malloc(len);

	if (pattern)
		pattern_fill(pattern, len, seed);

	return pattern;
}

/* Fill while nothing is attached: the direction of SYNC is nobody's then. */
static void alloc_filled(struct __test_metadata *_metadata, struct dmabuf *d,
			 const struct exporter *e, size_t len, uint64_t seed)
{
	dmabuf_free(d);
	ASSERT_OK(dmabuf_alloc(d, e, len));
	ASSERT_OK(dmabuf_begin_cpu(d));
	pattern_fill(d->map, d->size, seed);
	ASSERT_OK(dmabuf_end_cpu(d));
}

/**
 * struct early_reader - A thread that uses the DMABUF as soon as it may
 * @d: DMABUF
 * @poison: what is in an input before
 * @len: bytes of the transfer
 * @signalled: when the fence had signalled
 */
struct early_reader {
	const struct dmabuf *d;
	const uint8_t *poison;
	size_t len;
	uint64_t signalled;
};

/* Return: 1 if all the data was there, 0 if not, or a negative errno. */
static int read_when_done(void *arg)
{
	struct early_reader *r = arg;
	int ret, end;

	if (fd_poll(r->d->fd, POLLIN, DEADLINE_MS) != POLLIN)
		return -ETIMEDOUT;
	r->signalled = now_ns();

	ret = dmabuf_sync(r->d->fd, DMA_BUF_SYNC_START | DMA_BUF_SYNC_READ);
	if (ret)
		return ret;
	ret = written(r->d->map, r->poison, r->len);
	end = dmabuf_sync(r->d->fd, DMA_BUF_SYNC_END | DMA_BUF_SYNC_READ);

	return end ?: ret;
}

/* Overwrite what was sent. Return: 1, or a negative errno. */
static int write_when_done(void *arg)
{
	struct early_reader *r = arg;
	int ret;

	if (fd_poll(r->d->fd, POLLOUT, DEADLINE_MS) != POLLOUT)
		return -ETIMEDOUT;
	r->signalled = now_ns();

	ret = dmabuf_sync(r->d->fd, DMA_BUF_SYNC_START | DMA_BUF_SYNC_WRITE);
	if (ret)
		return ret;
	/* What goes out last comes first. */
	memset(r->d->map + r->d->size / 2, 0, r->d->size / 2);
	memset(r->d->map, 0, r->d->size / 2);
	ret = dmabuf_sync(r->d->fd, DMA_BUF_SYNC_END | DMA_BUF_SYNC_WRITE);

	return ret ?: 1;
}

/* --- input buffers --- */

FIXTURE(fence_in) {
	struct transfer t;
	struct early_reader reader;
	struct blocked thread;
	uint8_t *poison;
};

DUT_FIXTURE(fence_in, DUT_INPUT);

FIXTURE_SETUP(fence_in)
{
	self->t = (struct transfer)TRANSFER_INIT;
	self->poison = NULL;

	if (!dut_setup(_metadata, &variant->v))
		return;

	transfer_setup(_metadata, &self->t, variant->v.dut,
		       variant->v.exporter, variant->v.dut->align);
	self->poison = pattern_alloc(SIZE_MAX_EARLY, POISON);
	ASSERT_NE(NULL, self->poison);
}

FIXTURE_TEARDOWN(fence_in)
{
	transfer_teardown(&self->t);
	free(self->poison);
	dut_teardown(_metadata);
}

TEST_REQ(fence_in, is_that_of_a_writer, "FEN-01")
{
	ASSERT_OK(iio_attach(self->t.buf.fd, self->t.d.fd));
	transfer_hold(_metadata, &self->t);
	expect_exported(_metadata, &self->t, DMA_BUF_SYNC_READ);
	expect_exported(_metadata, &self->t, DMA_BUF_SYNC_WRITE);
	transfer_finish(_metadata, &self->t);
}

/*
 * A submission that fails, with no need for fault injection: a length that the
 * device cannot transfer and that ENQUEUE did not refuse.
 */
TEST_REQ(fence_in, failed_submission_is_no_success, "FEN-09")
{
	const size_t len = self->t.len - 1;
	struct transfer *t = &self->t;
	int status;

	if (t->buf.dut->align == 1)
		SKIP(return, "%s takes any length: needs length_align_bytes above 1",
		     t->buf.dut->name);

	alloc_filled(_metadata, &t->d, variant->v.exporter, t->len, POISON);
	ASSERT_OK(iio_attach(t->buf.fd, t->d.fd));
	t->fence = iio_enqueue_fence(&t->buf, &t->d, len);
	ASSERT_ERRNO(t->fence, OK, EINVAL);
	if (t->fence < 0)
		SKIP(return, "%s refuses an unaligned length: needs a submission that fails",
		     t->buf.dut->name);

	ASSERT_OK(iio_enable(t->buf.dut));
	status = sync_file_wait(t->fence);
	ASSERT_NE(0, status);
	ASSERT_OK(dmabuf_sync(t->d.fd, DMA_BUF_SYNC_START | DMA_BUF_SYNC_READ));
	if (status == 1 && written(t->d.map, self->poison, len))
		SKIP(return, "%s transfers an unaligned length: needs a submission that fails",
		     t->buf.dut->name);
	EXPECT_GT(0, status) {
		TH_LOG("the fence tells of success, and the data was not written");
	}
	ASSERT_OK(dmabuf_sync(t->d.fd, DMA_BUF_SYNC_END | DMA_BUF_SYNC_READ));
}

TEST_REQ(fence_in, signals_when_data_is_there, "FEN-11")
{
	struct transfer *t = &self->t;
	const size_t first = t->len;
	uint64_t started = 0;
	size_t len;
	int ret;

	for (len = first; len;
	     len = longer(len, self->reader.signalled - started)) {
		alloc_filled(_metadata, &t->d, variant->v.exporter, len,
			     POISON);
		if (!held(_metadata, t, len, len > first))
			break;

		self->reader = (struct early_reader){
			.d = &t->d, .poison = self->poison, .len = len,
		};
		ASSERT_OK(blocked_start(&self->thread, read_when_done,
					&self->reader));
		ASSERT_OK(blocked_wait(&self->thread, BLOCKED_POLL));
		started = now_ns();
		ASSERT_OK(iio_enable(t->buf.dut));
		ret = blocked_join(&self->thread);
		ASSERT_OK(iio_disable(t->buf.dut));

		if (refused(t->fence, len > first))
			break;
		ASSERT_EQ(1, sync_file_status(t->fence));
		ASSERT_EQ(1, ret) {
			TH_LOG("the fence of %zu bytes signals before they are all there",
			       len);
		}
	}
}

/* --- output buffers --- */

FIXTURE(fence_out) {
	struct transfer t;
};

DUT_FIXTURE(fence_out, DUT_OUTPUT);

FIXTURE_SETUP(fence_out)
{
	self->t = (struct transfer)TRANSFER_INIT;

	if (!dut_setup(_metadata, &variant->v))
		return;

	transfer_setup_short(_metadata, &self->t, variant->v.dut,
			     variant->v.dut, variant->v.exporter);
}

FIXTURE_TEARDOWN(fence_out)
{
	transfer_teardown(&self->t);
	dut_teardown(_metadata);
}

TEST_REQ(fence_out, is_that_of_a_reader, "FEN-02")
{
	transfer_hold(_metadata, &self->t);
	expect_none_exported(_metadata, &self->t.d, DMA_BUF_SYNC_READ);
	expect_exported(_metadata, &self->t, DMA_BUF_SYNC_WRITE);
	transfer_finish(_metadata, &self->t);
}

/* --- what the kernel's tracer sees of fences --- */

#define TRACED		64

/* What happened to one fence, and when: the count of events before it */
struct traced_fence {
	unsigned int inits;
	unsigned int signals;
	unsigned int destroys;
	size_t signalled_at;
	size_t destroyed_at;
};

FIXTURE(fence_traced) {
	struct transfer t;
	struct trace trace;
	uint64_t context;
	uint64_t first;
	struct traced_fence fence[TRACED];
};

DUT_FIXTURE(fence_traced, DUT_ANY);

FIXTURE_SETUP(fence_traced)
{
	self->t = (struct transfer)TRANSFER_INIT;

	if (!dut_setup(_metadata, &variant->v))
		return;

	if (!trace_event_present("dma_fence/dma_fence_init"))
		SKIP(return,
		     "no trace events of dma_fence: needs CONFIG_TRACING, tracefs on /sys/kernel/tracing and root");

	ASSERT_OK(trace_open(&self->trace, TRACE_NAME));
	transfer_setup_short(_metadata, &self->t, variant->v.dut,
			     variant->v.dut, variant->v.exporter);
}

FIXTURE_TEARDOWN(fence_traced)
{
	transfer_teardown(&self->t);
	trace_close(&self->trace);
	dut_teardown(_metadata);
}

/* Read the trace. Return: how many of our fences are destroyed, by now. */
static unsigned int fences_read(FIXTURE_DATA(fence_traced) *self)
{
	unsigned int context, seqno, destroyed = 0;
	struct traced_fence *f;
	char line[512], event[32];
	const char *word;
	size_t at = 0;
	FILE *file;

	memset(self->fence, 0, sizeof(self->fence));
	file = trace_read(&self->trace);
	if (!file)
		return 0;

	while (fgets(line, sizeof(line), file)) {
		word = strstr(line, "dma_fence_");
		if (!word || sscanf(word, "dma_fence_%31[a-z_]: %*s %*s context=%u seqno=%u",
				    event, &context, &seqno) != 3)
			continue;

		if (context != (unsigned int)self->context ||
		    seqno - (unsigned int)self->first >= TRACED)
			continue;

		f = &self->fence[seqno - (unsigned int)self->first];
		at++;
		if (!strcmp(event, "init")) {
			f->inits++;
		} else if (!strcmp(event, "signaled")) {
			f->signals++;
			f->signalled_at = at;
		} else if (!strcmp(event, "destroy")) {
			f->destroys++;
			f->destroyed_at = at;
			destroyed++;
		}
	}
	fclose(file);

	return destroyed;
}

/* By the context: since Linux 6.17 "driver" is iio until they signal only. */
static void trace_fences_of(struct __test_metadata *_metadata,
			    const struct trace *trace, uint64_t context)
{
	static const char * const events[] = {
		"dma_fence/dma_fence_init", "dma_fence/dma_fence_signaled",
		"dma_fence/dma_fence_destroy",
	};
	char filter[32];
	size_t i;

	/* The tracer knows the lower half only. */
	snprintf(filter, sizeof(filter), "context == %u",
		 (unsigned int)context);
	for (i = 0; i < ARRAY_SIZE(events); i++) {
		ASSERT_OK(trace_event_enable(trace, events[i], filter));
	}
	ASSERT_OK(trace_start(trace));
}

/* One transfer that tells the context, and TRACED that are traced. */
static void run_traced(struct __test_metadata *_metadata,
		       FIXTURE_DATA(fence_traced) *self)
{
	struct transfer *t = &self->t;
	struct fence_info info;
	int i;

	transfer_hold(_metadata, t);
	info = info_of(_metadata, t->fence);
	self->context = info.context;
	self->first = info.seqno + 1;
	trace_fences_of(_metadata, &self->trace, info.context);

	ASSERT_OK(iio_enable(t->buf.dut));
	ASSERT_EQ(POLLOUT, fd_poll(t->d.fd, POLLOUT, DEADLINE_MS));
	for (i = 0; i < TRACED; i++) {
		ASSERT_OK(iio_enqueue(t->buf.fd, t->d.fd, t->len));
		ASSERT_EQ(POLLOUT, fd_poll(t->d.fd, POLLOUT, DEADLINE_MS)) {
			TH_LOG("transfer %d of %d never ended", i + 1, TRACED);
		}
	}
}

TEST_REQ(fence_traced, signal_once_and_in_order, "FEN-06", "FEN-19")
{
	const struct traced_fence *f = self->fence;
	int i;

	run_traced(_metadata, self);
	iio_buf_close(&self->t.buf);
	ASSERT_OK(trace_stop(&self->trace));
	fences_read(self);

	for (i = 0; i < TRACED; i++) {
		ASSERT_EQ(1, f[i].inits) {
			TH_LOG("the trace has no fence with number %d of this context",
			       i + 1);
		}
		ASSERT_EQ(1, f[i].signals) {
			TH_LOG("fence %d signalled %u times", i + 1,
			       f[i].signals);
		}
		ASSERT_TRUE(!i || f[i].signalled_at > f[i - 1].signalled_at) {
			TH_LOG("fence %d signalled before fence %d", i + 1, i);
		}
		ASSERT_TRUE(!f[i].destroys ||
			    f[i].destroyed_at > f[i].signalled_at) {
			TH_LOG("fence %d was freed before it signalled", i + 1);
		}
	}
}

TEST_REQ(fence_traced, are_freed, "FEN-18")
{
	unsigned int freed = 0;

	run_traced(_metadata, self);
	transfer_teardown(&self->t);

	/* The last references go in work items. */
	EXPECT_TRUE(wait_until((freed = fences_read(self)) >= TRACED)) {
		TH_LOG("of %d fences %u are freed when all is closed", TRACED,
		       freed);
	}
}

/* --- an output and an input buffer --- */

FIXTURE(fence_pair) {
	struct transfer out;
	struct transfer in;
};

DUT_FIXTURE(fence_pair, DUT_PAIR);

FIXTURE_SETUP(fence_pair)
{
	self->out = (struct transfer)TRANSFER_INIT;
	self->in = (struct transfer)TRANSFER_INIT;

	if (!dut_setup(_metadata, &variant->v))
		return;

	transfer_setup_short(_metadata, &self->out, variant->v.dut,
			     variant->v.peer, variant->v.exporter);
	transfer_setup_short(_metadata, &self->in, variant->v.peer,
			     variant->v.dut, variant->v.exporter);
}

FIXTURE_TEARDOWN(fence_pair)
{
	transfer_teardown(&self->out);
	transfer_teardown(&self->in);
	dut_teardown(_metadata);
}

TEST_REQ(fence_pair, buffers_have_contexts_of_their_own, "FEN-04")
{
	struct fence_info out, in;

	ASSERT_OK(iio_attach(self->in.buf.fd, self->out.d.fd));
	transfer_hold(_metadata, &self->out);
	out = info_of(_metadata, self->out.fence);
	transfer_finish(_metadata, &self->out);

	transfer_enqueue_dmabuf(_metadata, &self->in, &self->out.d);
	in = info_of(_metadata, self->in.fence);
	transfer_finish(_metadata, &self->in);

	EXPECT_NE(0, out.context);
	EXPECT_NE(out.context, in.context) {
		TH_LOG("two buffers number the fences of a DMABUF in one context");
	}
}

static void expect_merged(struct __test_metadata *_metadata,
			  struct transfer *first, struct transfer *second)
{
	int merged;

	transfer_hold(_metadata, first);
	transfer_hold(_metadata, second);
	merged = sync_file_merge(first->fence, second->fence);
	ASSERT_OK(merged);
	EXPECT_EQ(2, info_of(_metadata, merged).num_fences);
	EXPECT_EQ(0, sync_file_status(merged));

	transfer_finish(_metadata, first);
	EXPECT_EQ(0, sync_file_status(merged));
	EXPECT_EQ(0, fd_poll(merged, POLLIN, 0));
	transfer_finish(_metadata, second);
	EXPECT_EQ(1, sync_file_wait(merged));
	close(merged);
}

TEST_REQ(fence_pair, merge_waits_for_the_input, "FEN-22")
{
	expect_merged(_metadata, &self->out, &self->in);
}

TEST_REQ(fence_pair, merge_waits_for_the_output, "FEN-22")
{
	expect_merged(_metadata, &self->in, &self->out);
}

/* --- loopback --- */

FIXTURE(fence_loopback) {
	struct transfer out;
	struct transfer in;
	struct dmabuf more[DEPTH];
	int fence[DEPTH];
	struct early_reader writer;
	struct status_watch watch;
	struct blocked thread;
};

DUT_FIXTURE(fence_loopback, DUT_LOOPBACK);

FIXTURE_SETUP(fence_loopback)
{
	size_t unit;
	int i;

	self->out = (struct transfer)TRANSFER_INIT;
	self->in = (struct transfer)TRANSFER_INIT;
	for (i = 0; i < DEPTH; i++) {
		self->more[i] = (struct dmabuf)DMABUF_INIT;
		self->fence[i] = -1;
	}

	if (!dut_setup(_metadata, &variant->v))
		return;

	unit = iio_good_length(variant->v.dut, variant->v.peer);
	transfer_setup_attached(_metadata, &self->out, variant->v.dut,
				variant->v.exporter, unit);
	transfer_setup_attached(_metadata, &self->in, variant->v.peer,
				variant->v.exporter, unit);
}

FIXTURE_TEARDOWN(fence_loopback)
{
	int i;

	transfer_teardown(&self->out);
	transfer_teardown(&self->in);
	for (i = 0; i < DEPTH; i++) {
		dmabuf_free(&self->more[i]);
		if (self->fence[i] >= 0)
			close(self->fence[i]);
	}
	dut_teardown(_metadata);
}

/* Have one transfer in flight and some behind it, then disable the buffer. */
static void abort_running(struct __test_metadata *_metadata,
			  FIXTURE_DATA(fence_loopback) *self,
			  const struct transfer *t)
{
	int i;

	ASSERT_OK(iio_enable(t->buf.dut));
	for (i = 0; i < DEPTH; i++) {
		ASSERT_OK(dmabuf_alloc(&self->more[i], exporter_default(),
				       t->d.size));
		ASSERT_OK(iio_attach(t->buf.fd, self->more[i].fd));
		self->fence[i] = iio_enqueue_fence(&t->buf, &self->more[i],
						   t->len);
		ASSERT_OK(self->fence[i]);
	}

	for (i = 0; i < DEPTH; i++) {
		ASSERT_EQ(0, sync_file_status(self->fence[i]));
	}
	ASSERT_OK(iio_disable(t->buf.dut));
}

static void expect_abort_is_error(struct __test_metadata *_metadata,
				  FIXTURE_DATA(fence_loopback) *self,
				  const struct transfer *t)
{
	int i, status;

	abort_running(_metadata, self, t);
	for (i = 0; i < DEPTH; i++) {
		status = sync_file_wait(self->fence[i]);
		ASSERT_GT(0, status) {
			TH_LOG("the buffer is disabled, and the fence of transfer %d %s",
			       i + 1, status ? "tells of success" :
			       "never signals");
		}
	}
}

TEST_REQ(fence_loopback, aborted_output_has_error, "FEN-08", "FEN-12")
{
	expect_abort_is_error(_metadata, self, &self->out);
}

TEST_REQ(fence_loopback, aborted_input_has_error, "FEN-08", "FEN-12")
{
	expect_abort_is_error(_metadata, self, &self->in);
}

static void expect_abort_is_eintr(struct __test_metadata *_metadata,
				  FIXTURE_DATA(fence_loopback) *self,
				  const struct transfer *t)
{
	int i;

	abort_running(_metadata, self, t);
	for (i = 0; i < DEPTH; i++) {
		EXPECT_ERRNO(sync_file_wait(self->fence[i]), EINTR);
	}
}

TEST_REQ(fence_loopback, aborted_output_says_so, "FEN-25")
{
	expect_abort_is_eintr(_metadata, self, &self->out);
}

TEST_REQ(fence_loopback, aborted_input_says_so, "FEN-25")
{
	expect_abort_is_eintr(_metadata, self, &self->in);
}

TEST_REQ(fence_loopback, keeps_its_error, "FEN-15")
{
	struct transfer *out = &self->out, *in = &self->in;
	struct fence_info was;
	int old, status;

	ASSERT_OK(iio_enable(out->buf.dut));
	transfer_enqueue(_metadata, out);
	ASSERT_OK(iio_disable(out->buf.dut));
	status = sync_file_wait(out->fence);
	ASSERT_GT(0, status);
	was = info_of(_metadata, out->fence);
	old = out->fence;
	out->fence = -1;

	transfer_hold(_metadata, in);
	transfer_hold(_metadata, out);
	expect_fence(_metadata, old, &was, status);
	ASSERT_OK(iio_enable(in->buf.dut));
	transfer_finish(_metadata, out);
	expect_fence(_metadata, old, &was, status);
	close(old);
}

TEST_REQ(fence_loopback, disable_after_close_ends_it, "FEN-12")
{
	struct transfer *out = &self->out;

	ASSERT_OK(iio_enable(out->buf.dut));
	transfer_enqueue(_metadata, out);
	ASSERT_EQ(0, close(out->buf.fd));
	out->buf.fd = -1;
	ASSERT_EQ(0, close(out->buf.dev_fd));
	out->buf.dev_fd = -1;

	ASSERT_OK(iio_disable(out->buf.dut));
	EXPECT_NE(0, sync_file_wait(out->fence)) {
		TH_LOG("the buffer was closed and then disabled, and the fence never signals");
	}
}

/* Nobody takes what goes out: a success would be a lie. */
TEST_REQ(fence_loopback, failed_submission_is_no_success, "FEN-09")
{
	struct transfer *out = &self->out;
	int status;

	if (out->buf.dut->align == 1)
		SKIP(return, "%s takes any length: needs length_align_bytes above 1",
		     out->buf.dut->name);

	out->fence = iio_enqueue_fence(&out->buf, &out->d, out->len - 1);
	ASSERT_ERRNO(out->fence, OK, EINVAL);
	if (out->fence < 0)
		SKIP(return, "%s refuses an unaligned length: needs a submission that fails",
		     out->buf.dut->name);

	ASSERT_OK(iio_enable(out->buf.dut));
	status = sync_file_status(out->fence);
	if (!status)
		SKIP(return, "%s transfers an unaligned length: needs a submission that fails",
		     out->buf.dut->name);
	EXPECT_GT(0, status) {
		TH_LOG("the fence tells of success, and nothing was sent");
	}
}

TEST_REQ(fence_loopback, signals_when_data_was_read, "FEN-11")
{
	struct transfer *out = &self->out, *in = &self->in;
	const size_t first = out->len;
	uint64_t started = 0;
	uint8_t *sent;
	size_t len;

	sent = pattern_alloc(SIZE_MAX_EARLY, SENT);
	ASSERT_NE(NULL, sent);

	for (len = first; len;
	     len = longer(len, self->writer.signalled - started)) {
		alloc_filled(_metadata, &out->d, variant->v.exporter, len,
			     SENT);
		alloc_filled(_metadata, &in->d, variant->v.exporter, len,
			     POISON);
		if (!held(_metadata, in, len, len > first) ||
		    !held(_metadata, out, len, len > first))
			break;

		self->writer = (struct early_reader){ .d = &out->d };
		ASSERT_OK(blocked_start(&self->thread, write_when_done,
					&self->writer));
		ASSERT_OK(blocked_wait(&self->thread, BLOCKED_POLL));
		started = now_ns();
		ASSERT_OK(iio_enable(in->buf.dut));
		ASSERT_OK(iio_enable(out->buf.dut));
		if (refused(in->fence, len > first)) {
			ASSERT_OK(iio_disable(out->buf.dut));
		}
		ASSERT_EQ(1, blocked_join(&self->thread));
		if (refused(in->fence, len > first) ||
		    refused(out->fence, len > first))
			break;

		ASSERT_EQ(1, sync_file_wait(in->fence));
		ASSERT_OK(dmabuf_sync(in->d.fd, DMA_BUF_SYNC_START |
						DMA_BUF_SYNC_READ));
		EXPECT_EQ(0, memcmp(in->d.map, sent, len)) {
			TH_LOG("the fence of %zu bytes signals before they were read",
			       len);
		}
		ASSERT_OK(dmabuf_sync(in->d.fd, DMA_BUF_SYNC_END |
						DMA_BUF_SYNC_READ));
		ASSERT_OK(iio_disable(out->buf.dut));
		ASSERT_OK(iio_disable(in->buf.dut));
	}

	free(sent);
}

#define ERROR_ROUNDS	16

TEST_REQ(fence_loopback, error_comes_with_the_signal, "FEN-23")
{
	struct transfer *out = &self->out;
	int round;

	for (round = 0; round < ERROR_ROUNDS; round++) {
		ASSERT_OK(iio_enable(out->buf.dut));
		transfer_enqueue(_metadata, out);

		self->watch.fence = out->fence;
		atomic_store(&self->watch.looks, 0);
		ASSERT_OK(blocked_start(&self->thread, watch_status,
					&self->watch));
		ASSERT_TRUE(wait_until(self->watch.looks));

		ASSERT_OK(iio_disable(out->buf.dut));
		ASSERT_GT(0, blocked_join(&self->thread)) {
			TH_LOG("an aborted transfer looked like a success for a moment");
		}
	}
}

CONFORMANCE_MAIN

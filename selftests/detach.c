// SPDX-License-Identifier: GPL-2.0
/*
 * IIO_BUFFER_DMABUF_DETACH_IOCTL: what it ends, what it leaves alone, and what
 * becomes of a transfer that is under way.
 */

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include "lib/call.h"
#include "lib/conformance.h"
#include "lib/pair.h"

/* More than a list of one or two would show. */
#define MANY	6

/* --- DETACH of idle DMABUFs --- */

FIXTURE(detach) {
	struct iio_buf buf;
	struct dmabuf d;
	struct dmabuf other;
};

DUT_FIXTURE(detach, DUT_ANY);

FIXTURE_SETUP(detach)
{
	self->buf = (struct iio_buf)IIO_BUF_INIT;
	self->d = (struct dmabuf)DMABUF_INIT;
	self->other = (struct dmabuf)DMABUF_INIT;

	if (!dut_setup(_metadata, &variant->v))
		return;

	ASSERT_OK(iio_buf_open(&self->buf, variant->v.dut));
	ASSERT_OK(variant_alloc(&self->d, &variant->v));
	ASSERT_OK(variant_alloc(&self->other, &variant->v));
}

FIXTURE_TEARDOWN(detach)
{
	iio_buf_close(&self->buf);
	dmabuf_free(&self->d);
	dmabuf_free(&self->other);
	dut_teardown(_metadata);
}

TEST_REQ(detach, ends_attachment, "DET-01")
{
	ASSERT_OK(iio_attach(self->buf.fd, self->d.fd));
	EXPECT_OK(iio_detach(self->buf.fd, self->d.fd));
	EXPECT_ERRNO(iio_enqueue(self->buf.fd, self->d.fd, self->d.size),
		     EPERM);
}

TEST_REQ(detach, never_attached, "DET-02")
{
	EXPECT_ERRNO(iio_detach(self->buf.fd, self->d.fd), EPERM);

	ASSERT_OK(iio_attach(self->buf.fd, self->other.fd));
	EXPECT_ERRNO(iio_detach(self->buf.fd, self->d.fd), EPERM);
}

TEST_REQ(detach, bad_descriptor, "DET-03")
{
	int closed = dup(self->d.fd);

	ASSERT_LE(0, closed);
	close(closed);

	EXPECT_ERRNO(iio_detach(self->buf.fd, -1), EBADF);
	EXPECT_ERRNO(iio_detach(self->buf.fd, closed), EBADF);
}

TEST_REQ(detach, not_a_dmabuf, "DET-03")
{
	int memfd = memfd_for_udmabuf(page_size());

	ASSERT_LE(0, memfd);
	EXPECT_ERRNO(iio_detach(self->buf.fd, memfd), EINVAL);
	EXPECT_ERRNO(iio_detach(self->buf.fd, self->buf.fd), EINVAL);
	EXPECT_ERRNO(iio_detach(self->buf.fd, self->buf.dev_fd), EINVAL);
	close(memfd);
}

TEST_REQ(detach, twice, "DET-04")
{
	ASSERT_OK(iio_attach(self->buf.fd, self->d.fd));
	ASSERT_OK(iio_detach(self->buf.fd, self->d.fd));
	EXPECT_ERRNO(iio_detach(self->buf.fd, self->d.fd), EPERM);
}

TEST_REQ(detach, other_descriptor_of_same_dmabuf, "DET-05")
{
	int duplicate = dup(self->d.fd);

	ASSERT_LE(0, duplicate);
	ASSERT_OK(iio_attach(self->buf.fd, self->d.fd));
	EXPECT_OK(iio_detach(self->buf.fd, duplicate));
	EXPECT_ERRNO(iio_detach(self->buf.fd, self->d.fd), EPERM);
	close(duplicate);
}

TEST_REQ(detach, drops_reference, "DET-09")
{
	long refs = dmabuf_refs(self->d.fd);

	ASSERT_OK(iio_attach(self->buf.fd, self->d.fd));
	ASSERT_LT(refs, dmabuf_refs(self->d.fd));
	ASSERT_OK(iio_detach(self->buf.fd, self->d.fd));
	EXPECT_EQ(refs, dmabuf_refs(self->d.fd));
}

TEST_REQ(detach, leaves_idle_dmabuf_usable, "DET-10")
{
	int fence;

	ASSERT_OK(iio_attach(self->buf.fd, self->other.fd));
	ASSERT_OK(iio_attach(self->buf.fd, self->d.fd));
	ASSERT_OK(iio_detach(self->buf.fd, self->d.fd));

	fence = iio_enqueue_whole(&self->buf, &self->other);
	ASSERT_OK(fence);
	ASSERT_OK(iio_enable(self->buf.dut));
	EXPECT_OK(fence_result(fence));
}

TEST_REQ(detach, leaves_queued_dmabuf_queued, "DET-10")
{
	int fence;

	ASSERT_OK(iio_attach(self->buf.fd, self->d.fd));
	ASSERT_OK(iio_attach(self->buf.fd, self->other.fd));
	fence = iio_enqueue_whole(&self->buf, &self->other);
	ASSERT_OK(fence);

	ASSERT_OK(iio_detach(self->buf.fd, self->d.fd));
	EXPECT_EQ(0, sync_file_status(fence));
	ASSERT_OK(iio_enable(self->buf.dut));
	EXPECT_OK(fence_result(fence));
}

TEST_REQ(detach, any_order, "DET-11")
{
	static const unsigned int order[MANY] = { 3, 0, 5, 1, 4, 2 };
	struct dmabuf many[MANY];
	unsigned int i;

	for (i = 0; i < MANY; i++) {
		ASSERT_OK(variant_alloc(&many[i], &variant->v));
		ASSERT_OK(iio_attach(self->buf.fd, many[i].fd));
	}

	for (i = 0; i < MANY; i++) {
		EXPECT_OK(iio_detach(self->buf.fd, many[order[i]].fd));
		dmabuf_free(&many[order[i]]);
	}
}

TEST_REQ(detach, interleaved_with_attach, "DET-11")
{
	struct dmabuf many[MANY];
	int fences[MANY];
	unsigned int i;

	for (i = 0; i < MANY; i++) {
		ASSERT_OK(variant_alloc(&many[i], &variant->v));
		ASSERT_OK(iio_attach(self->buf.fd, many[i].fd));
		EXPECT_OK(iio_detach(self->buf.fd, many[i / 2].fd));
		EXPECT_OK(iio_attach(self->buf.fd, many[i / 2].fd));
	}

	for (i = 0; i < MANY; i++) {
		fences[i] = iio_enqueue_whole(&self->buf, &many[i]);
		EXPECT_OK(fences[i]);
	}
	ASSERT_OK(iio_enable(self->buf.dut));
	for (i = 0; i < MANY; i++) {
		ASSERT_OK(fence_result(fences[i]));
		dmabuf_free(&many[i]);
	}
}

TEST_REQ(detach, enabled_buffer_goes_on, "DET-13")
{
	ASSERT_OK(iio_attach(self->buf.fd, self->d.fd));
	ASSERT_OK(iio_attach(self->buf.fd, self->other.fd));
	ASSERT_OK(iio_enable(self->buf.dut));
	ASSERT_OK(fence_result(iio_enqueue_whole(&self->buf, &self->d)));

	EXPECT_OK(iio_detach(self->buf.fd, self->d.fd));
	ASSERT_OK(fence_result(iio_enqueue_whole(&self->buf, &self->other)));
	EXPECT_OK(fence_result(iio_enqueue_whole(&self->buf, &self->other)));
}

/* --- DETACH with a transfer under way, on any buffer --- */

/*
 * How far each transfer has come when its DMABUF is detached depends on the
 * device. What becomes of it must not.
 */
TEST_REQ(detach, transfers_are_completed, "DET-06")
{
	struct dmabuf many[MANY];
	long unattached = dmabuf_refs(self->d.fd);
	int fences[MANY];
	unsigned int i;

	for (i = 0; i < MANY; i++) {
		ASSERT_OK(variant_alloc(&many[i], &variant->v));
		ASSERT_OK(iio_attach(self->buf.fd, many[i].fd));
	}

	ASSERT_OK(iio_enable(self->buf.dut));
	for (i = 0; i < MANY; i++) {
		fences[i] = iio_enqueue_whole(&self->buf, &many[i]);
		ASSERT_OK(fences[i]);
		EXPECT_OK(iio_detach(self->buf.fd, many[i].fd));
	}

	for (i = 0; i < MANY; i++) {
		ASSERT_OK(fence_result(fences[i]));
		ASSERT_OK(dmabuf_wait_refs(many[i].fd, unattached));
		dmabuf_free(&many[i]);
	}
}

TEST_REQ(detach, queued_while_disabled, "DET-14")
{
	int fence;

	ASSERT_OK(iio_attach(self->buf.fd, self->d.fd));
	fence = iio_enqueue_whole(&self->buf, &self->d);
	ASSERT_OK(fence);
	EXPECT_OK(iio_detach(self->buf.fd, self->d.fd));

	ASSERT_OK(iio_enable(self->buf.dut));
	EXPECT_NE(0, sync_file_wait(fence)) {
		TH_LOG("the fence of the detached DMABUF never signals");
	}
	close(fence);
}

TEST_REQ(detach, memory_lives_as_long_as_transfer, "DET-06")
{
	long before = dmabuf_refs(self->d.fd), refs;
	int fence;

	ASSERT_OK(iio_attach(self->buf.fd, self->d.fd));
	fence = iio_enqueue_whole(&self->buf, &self->d);
	ASSERT_OK(fence);
	ASSERT_OK(iio_detach(self->buf.fd, self->d.fd));

	refs = dmabuf_refs(self->d.fd);
	EXPECT_TRUE(refs > before || sync_file_status(fence)) {
		TH_LOG("no reference to the DMABUF, but its fence is pending");
	}

	ASSERT_OK(iio_enable(self->buf.dut));
	EXPECT_NE(0, sync_file_wait(fence));
	EXPECT_OK(dmabuf_wait_refs(self->d.fd, before));
	close(fence);
}

TEST_REQ(detach, does_not_wait_for_transfer, "DET-15")
{
	pid_t detach;
	int fence;

	ASSERT_OK(iio_attach(self->buf.fd, self->d.fd));
	fence = iio_enqueue_whole(&self->buf, &self->d);
	ASSERT_OK(fence);

	detach = call_start(iio_detach, self->buf.fd, self->d.fd);
	EXPECT_FALSE(call_blocks(detach)) {
		TH_LOG("DETACH waits for a pending transfer");
	}

	ASSERT_OK(iio_enable(self->buf.dut));
	EXPECT_OK(call_result(detach));
	EXPECT_NE(0, sync_file_wait(fence));
	close(fence);
}

TEST_REQ(detach, attached_again_with_transfer_pending, "DET-07")
{
	int first;

	ASSERT_OK(iio_attach(self->buf.fd, self->d.fd));
	ASSERT_OK(iio_enable(self->buf.dut));
	first = iio_enqueue_whole(&self->buf, &self->d);
	ASSERT_OK(first);

	ASSERT_OK(iio_detach(self->buf.fd, self->d.fd));
	EXPECT_OK(iio_attach(self->buf.fd, self->d.fd));
	ASSERT_OK(fence_result(first));
	EXPECT_OK(fence_result(iio_enqueue_whole(&self->buf, &self->d)));
}

/* --- DETACH with a transfer in flight: nothing takes what goes out --- */

FIXTURE(detach_running) {
	struct iio_buf out;
	struct iio_buf in;
	struct dmabuf d;
	struct dmabuf sink;
};

DUT_FIXTURE(detach_running, DUT_LOOPBACK);

FIXTURE_SETUP(detach_running)
{
	self->out = (struct iio_buf)IIO_BUF_INIT;
	self->in = (struct iio_buf)IIO_BUF_INIT;
	self->d = (struct dmabuf)DMABUF_INIT;
	self->sink = (struct dmabuf)DMABUF_INIT;

	if (!dut_setup(_metadata, &variant->v))
		return;

	ASSERT_OK(iio_buf_open(&self->out, variant->v.dut));
	ASSERT_OK(iio_buf_open(&self->in, variant->v.peer));
	ASSERT_OK(variant_alloc(&self->d, &variant->v));
	ASSERT_OK(variant_alloc(&self->sink, &variant->v));
	ASSERT_OK(iio_attach(self->out.fd, self->d.fd));
	ASSERT_OK(iio_attach(self->in.fd, self->sink.fd));
	ASSERT_OK(iio_enable(self->out.dut));
}

FIXTURE_TEARDOWN(detach_running)
{
	iio_buf_close(&self->out);
	iio_buf_close(&self->in);
	dmabuf_free(&self->d);
	dmabuf_free(&self->sink);
	dut_teardown(_metadata);
}

TEST_REQ(detach_running, completes, "DET-06", "DET-15")
{
	int out, in;

	out = iio_enqueue_whole(&self->out, &self->d);
	ASSERT_OK(out);
	EXPECT_OK(iio_detach(self->out.fd, self->d.fd));
	EXPECT_EQ(0, sync_file_status(out));
	dmabuf_free(&self->d);

	in = iio_enqueue_whole(&self->in, &self->sink);
	ASSERT_OK(in);
	ASSERT_OK(iio_enable(self->in.dut));
	ASSERT_OK(fence_result(out));
	EXPECT_OK(fence_result(in));
}

TEST_REQ(detach_running, attached_again, "DET-07")
{
	int out, in;

	out = iio_enqueue_whole(&self->out, &self->d);
	ASSERT_OK(out);
	ASSERT_OK(iio_detach(self->out.fd, self->d.fd));
	EXPECT_OK(iio_attach(self->out.fd, self->d.fd));
	EXPECT_EQ(0, sync_file_status(out));

	in = iio_enqueue_whole(&self->in, &self->sink);
	ASSERT_OK(in);
	ASSERT_OK(iio_enable(self->in.dut));
	ASSERT_OK(fence_result(out));
	ASSERT_OK(fence_result(in));

	out = iio_enqueue_whole(&self->out, &self->d);
	ASSERT_OK(out);
	in = iio_enqueue_whole(&self->in, &self->sink);
	ASSERT_OK(in);
	EXPECT_OK(fence_result(out));
	EXPECT_OK(fence_result(in));
}

/* --- two buffers --- */

FIXTURE(detach_pair) {
	struct pair pair;
};

DUT_FIXTURE(detach_pair, DUT_PAIR);

FIXTURE_SETUP(detach_pair)
{
	self->pair = (struct pair)PAIR_INIT;
	if (dut_setup(_metadata, &variant->v))
		pair_setup(_metadata, &self->pair, &variant->v);
}

FIXTURE_TEARDOWN(detach_pair)
{
	pair_teardown(&self->pair);
	dut_teardown(_metadata);
}

TEST_REQ(detach_pair, leaves_other_buffer_alone, "DET-10")
{
	struct pair *pair = &self->pair;

	ASSERT_OK(iio_attach(pair->out.fd, pair->d.fd));
	ASSERT_OK(iio_attach(pair->in.fd, pair->d.fd));
	ASSERT_OK(iio_enable(pair->in.dut));

	EXPECT_OK(iio_detach(pair->out.fd, pair->d.fd));
	EXPECT_OK(fence_result(iio_enqueue_whole(&pair->in, &pair->d)));
	EXPECT_OK(iio_detach(pair->in.fd, pair->d.fd));
}

TEST_REQ(detach_pair, nonblocking_does_not_wait_for_lock, "DET-12")
{
	struct pair *pair = &self->pair;
	pid_t detach, enqueue;

	ASSERT_OK(iio_attach(pair->out.fd, pair->d.fd));
	enqueue = call_waiting_enqueue(&pair->in, &pair->gate, &pair->d);
	ASSERT_OK(enqueue);
	ASSERT_OK(fd_set_nonblock(pair->out.fd, true));
	detach = call_start(iio_detach, pair->out.fd, pair->d.fd);
	EXPECT_UNLESS("B7", !call_blocks(detach));

	call_kill(enqueue);
	EXPECT_ERRNO(call_result(detach), OK, EBUSY);
}

CONFORMANCE_MAIN

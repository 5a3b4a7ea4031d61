// SPDX-License-Identifier: GPL-2.0
/*
 * The device goes while clients still have it open: its driver is unbound, and
 * bound again, by sysfs. What is under way must end, what is open must stay
 * harmless, and the device that comes back must work.
 *
 * Others may depend on the devices of a board, so IIO_DMABUF_UNBIND=1 has to
 * allow it.
 */

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "lib/bind.h"
#include "lib/blocked.h"
#include "lib/conformance.h"
#include "lib/file.h"
#include "lib/fileio.h"
#include "lib/transfer.h"

/* How many DMABUFs are in use at once */
#define DEPTH		4

/* Find the driver of @dut; false if the test was marked as skipped. */
static bool binding_setup(struct __test_metadata *_metadata, struct binding *b,
			  const struct iio_dut *dut)
{
	int ret;

	*b = (struct binding){};
	if (!unbind_allowed())
		SKIP(return false,
		     "it takes devices away from their drivers for a moment: set IIO_DMABUF_UNBIND=1 to allow that");

	bindings_restore();
	/* The device that came back after the last test has a new number. */
	ASSERT_TRUE(wait_until(!iio_dut_refresh(dut))) {
		TH_LOG("%s is gone", dut->name);
	}

	ret = binding_of(b, dut->parent);
	if (ret == -ENODEV || ret == -EOPNOTSUPP || ret == -ENOENT)
		SKIP(return false,
		     "the parent of the IIO device has no driver that can be unbound by sysfs");
	ASSERT_OK(ret);

	return true;
}

FIXTURE(unbind) {
	struct transfer t;
	struct binding binding;
	struct binding dma;
	struct blocked call;
};

DUT_FIXTURE(unbind, DUT_ANY);

FIXTURE_SETUP(unbind)
{
	const struct iio_dut *dut = variant->v.dut;

	self->t = (struct transfer)TRANSFER_INIT;
	self->dma = (struct binding){};

	if (!dut_setup(_metadata, &variant->v))
		return;

	if (!binding_setup(_metadata, &self->binding, dut))
		return;

	transfer_setup(_metadata, &self->t, dut, variant->v.exporter,
		       iio_good_length(dut, dut));
}

FIXTURE_TEARDOWN(unbind)
{
	/* The descriptors first: they keep the number of the device. */
	transfer_teardown(&self->t);
	EXPECT_OK(binding_restore(&self->dma));
	EXPECT_OK(binding_restore(&self->binding));
	dut_teardown(_metadata);
}

static int unbind(FIXTURE_DATA(unbind) *self)
{
	return iio_unbind(&self->binding, self->t.buf.dut);
}

/* --- descriptors that are still open --- */

TEST_REQ(unbind, get_fd_fails, "FD-14")
{
	struct iio_buf *buf = &self->t.buf;

	ASSERT_OK(unbind(self));
	EXPECT_ERRNO(iio_get_fd(buf->dev_fd, buf->dut->index), ENODEV);
	close_fd(&buf->fd);
	EXPECT_ERRNO(iio_get_fd(buf->dev_fd, buf->dut->index), ENODEV);
}

TEST_REQ(unbind, attach_fails, "ATT-24")
{
	int ret;

	ASSERT_OK(unbind(self));
	ret = iio_attach(self->t.buf.fd, self->t.d.fd);
	EXPECT_UNLESS("B5", ret == -ENODEV);

	/* Whatever it was, it must not have gone half-way. */
	EXPECT_ERRNO(iio_detach(self->t.buf.fd, self->t.d.fd),
		     ret ? EPERM : OK, ENODEV);
}

/* Nothing can run the transfer any more: its fence must not wait for that. */
TEST_REQ(unbind, enqueue_leaves_nothing_pending, "ENQ-24")
{
	struct transfer *t = &self->t;

	ASSERT_OK(iio_attach(t->buf.fd, t->d.fd));
	ASSERT_OK(unbind(self));
	EXPECT_ERRNO(iio_enqueue(t->buf.fd, t->d.fd, t->len), ENODEV, OK);
	EXPECT_UNLESS("B5", fd_poll(t->d.fd, POLLOUT, patience_ms("B5")));
}

TEST_REQ(unbind, system_calls_are_safe, "LIF-16")
{
	struct transfer *t = &self->t;
	const struct iio_dut *dut = t->buf.dut;
	uint8_t data[4096] = {};
	int fd = t->buf.fd;

	ASSERT_OK(iio_attach(fd, t->d.fd));
	ASSERT_OK(unbind(self));

	EXPECT_ERRNO(fileio(dut, fd, data, sizeof(data)), ENODEV);
	EXPECT_OK(fd_set_nonblock(fd, true));
	EXPECT_ERRNO(fileio(dut, fd, data, sizeof(data)), ENODEV);

	EXPECT_ERRNO(iio_enqueue(fd, t->d.fd, 0), EINVAL, ENODEV);
	EXPECT_ERRNO(iio_enqueue(fd, -1, t->len), EBADF, ENODEV);
	EXPECT_ERRNO(iio_detach(fd, -1), EBADF, ENODEV);
	EXPECT_ERRNO(iio_detach(fd, t->d.fd), OK, ENODEV);
	EXPECT_ERRNO(iio_enqueue(fd, t->d.fd, t->len), EPERM, ENODEV);
	EXPECT_ERRNO(iio_get_fd(fd, 0), EINVAL, ENOTTY, ENODEV);
	EXPECT_EQ(MAP_FAILED, mmap(NULL, page_size(), PROT_READ, MAP_SHARED,
				   fd, 0));
}

/* A client that polls all the time */
struct poll_loop {
	int fd;
	bool stop;
};

static int poll_until_stopped(void *arg)
{
	struct poll_loop *loop = arg;
	int ret;

	do {
		ret = fd_poll(loop->fd, POLL_BOTH, 0);
	} while (ret >= 0 && !__atomic_load_n(&loop->stop, __ATOMIC_RELAXED));

	return ret;
}

TEST_REQ(unbind, poll_is_safe, "POL-17", "POL-18")
{
	static struct poll_loop loop;
	struct transfer *t = &self->t;

	loop.fd = t->buf.fd;
	ASSERT_OK(blocked_start(&self->call, poll_until_stopped, &loop));
	ASSERT_OK(unbind(self));
	/* What it reports is not laid down. */
	EXPECT_LE(0, fd_poll(t->buf.fd, POLL_BOTH, 0));
	__atomic_store_n(&loop.stop, true, __ATOMIC_RELAXED);

	EXPECT_LE(0, blocked_join(&self->call));
}

static int blocking_io(void *arg)
{
	const struct iio_buf *b = arg;
	static uint8_t data[4096];

	return fileio(b->dut, b->fd, data, sizeof(data));
}

/* In DMABUF mode nothing comes, and nothing is taken, by read() and write(). */
TEST_REQ(unbind, blocked_io_ends, "POL-18", "LIF-15")
{
	struct transfer *t = &self->t;
	bool blocks;

	ASSERT_OK(iio_attach(t->buf.fd, t->d.fd));
	ASSERT_OK(blocked_start(&self->call, blocking_io, &t->buf));
	/* It may just as well refuse to wait for the impossible. */
	blocks = !blocked_wait(&self->call,
			       t->buf.dut->output ? SYS_write : SYS_read);

	ASSERT_OK(unbind(self));
	if (blocks) {
		EXPECT_ERRNO(blocked_join(&self->call), ENODEV);
	} else {
		EXPECT_GT(0, blocked_join(&self->call));
	}
}

/* --- transfers --- */

TEST_REQ(unbind, transfers_end, "LIF-15")
{
	struct dmabuf many[DEPTH];
	struct transfer *t = &self->t;
	int fences[DEPTH];
	size_t i;

	for (i = 0; i < DEPTH; i++) {
		ASSERT_OK(variant_alloc(&many[i], &variant->v));
		ASSERT_OK(iio_attach(t->buf.fd, many[i].fd));
	}
	ASSERT_OK(iio_enable(t->buf.dut));
	for (i = 0; i < DEPTH; i++) {
		fences[i] = iio_enqueue_whole(&t->buf, &many[i]);
		ASSERT_OK(fences[i]);
	}
	ASSERT_OK(unbind(self));

	for (i = 0; i < DEPTH; i++) {
		EXPECT_NE(0, sync_file_wait(fences[i])) {
			TH_LOG("the fence of transfer %zu never signals", i);
		}
		close(fences[i]);
		dmabuf_free(&many[i]);
	}
}

/* A kernel that drops the transfer keeps the DMABUF, but is none the worse. */
TEST_REQ(unbind, queued_transfer_ends, "LIF-15")
{
	struct transfer *t = &self->t;

	ASSERT_OK(iio_attach(t->buf.fd, t->d.fd));
	transfer_hold(_metadata, t);
	ASSERT_OK(unbind(self));
	EXPECT_UNLESS("B4", fd_poll(t->fence, POLLIN, patience_ms("B4")));
}

/* --- close() --- */

/* A DMABUF with a past: its fences outlive the device. */
static void attach_and_transfer(struct __test_metadata *_metadata,
				struct transfer *t)
{
	ASSERT_OK(iio_attach(t->buf.fd, t->d.fd));
	transfer_hold(_metadata, t);
	transfer_finish(_metadata, t);
}

static void expect_same_fence(struct __test_metadata *_metadata, int fence,
			      const struct fence_info *before)
{
	struct fence_info now;

	ASSERT_OK(sync_file_info(fence, &now));
	EXPECT_EQ(before->status, now.status);
	EXPECT_EQ(before->num_fences, now.num_fences);
	EXPECT_EQ(before->timestamp, now.timestamp);
}

TEST_REQ(unbind, buffer_is_closed_first, "LIF-17", "FEN-16")
{
	struct transfer *t = &self->t;
	long refs = dmabuf_refs(t->d.fd);
	struct fence_info before;

	attach_and_transfer(_metadata, t);
	ASSERT_OK(sync_file_info(t->fence, &before));
	ASSERT_OK(unbind(self));
	expect_same_fence(_metadata, t->fence, &before);

	EXPECT_EQ(0, close(t->buf.fd));
	t->buf.fd = -1;
	EXPECT_OK(dmabuf_wait_refs(t->d.fd, refs)) {
		TH_LOG("the close() of the buffer left the DMABUF attached");
	}
	EXPECT_EQ(0, close(t->buf.dev_fd));
	t->buf.dev_fd = -1;
	dmabuf_free(&t->d);
	expect_same_fence(_metadata, t->fence, &before);
}

TEST_REQ(unbind, dmabuf_is_closed_first, "LIF-17", "FEN-16")
{
	struct transfer *t = &self->t;
	struct fence_info before;

	attach_and_transfer(_metadata, t);
	ASSERT_OK(sync_file_info(t->fence, &before));
	ASSERT_OK(unbind(self));
	dmabuf_free(&t->d);
	EXPECT_EQ(0, close(t->buf.dev_fd));
	t->buf.dev_fd = -1;
	EXPECT_EQ(0, close(t->buf.fd));
	t->buf.fd = -1;
	expect_same_fence(_metadata, t->fence, &before);
}

TEST_REQ(unbind, device_comes_back_beside_open_descriptors, "LIF-18")
{
	struct iio_buf old = self->t.buf;
	struct transfer *t = &self->t;

	ASSERT_OK(iio_attach(old.fd, t->d.fd));
	ASSERT_OK(unbind(self));
	t->buf = (struct iio_buf)IIO_BUF_INIT;
	EXPECT_OK(iio_rebind(&self->binding, variant->v.dut));

	/* With the same DMABUF, which the old buffer still has attached */
	EXPECT_OK(iio_buf_open(&t->buf, variant->v.dut));
	attach_and_transfer(_metadata, t);

	EXPECT_EQ(0, close(old.fd));
	EXPECT_EQ(0, close(old.dev_fd));
	ASSERT_OK(iio_enable(t->buf.dut));
	EXPECT_OK(fence_result(iio_enqueue_whole(&t->buf, &t->d)));
}

/* --- the DMA controller goes as well --- */

/* After the IIO device: a channel that is in use makes the kernel warn. */
TEST_REQ(unbind, dma_controller_goes_before_close, "LIF-19")
{
	struct transfer *t = &self->t;
	long refs = dmabuf_refs(t->d.fd);

	if (binding_of_dma(&self->dma, t->buf.dut))
		SKIP(return,
		     "the parent of the IIO device has no dma:NAME link to a DMA controller whose driver can be unbound by sysfs");

	attach_and_transfer(_metadata, t);
	ASSERT_OK(unbind(self));
	/* UARTs, cards and others would be left with a channel that is gone. */
	if (binding_in_use(&self->dma))
		SKIP(return, "the DMA controller has other users");
	ASSERT_OK(binding_break(&self->dma));

	EXPECT_EQ(0, close(t->buf.fd));
	t->buf.fd = -1;
	EXPECT_OK(dmabuf_wait_refs(t->d.fd, refs)) {
		TH_LOG("the close() of the buffer left the DMABUF attached");
	}
	close_fd(&t->buf.dev_fd);

	ASSERT_OK(binding_restore(&self->dma));
	ASSERT_OK(iio_rebind(&self->binding, variant->v.dut));
	t->buf = (struct iio_buf)IIO_BUF_INIT;
	ASSERT_OK(iio_buf_open(&t->buf, variant->v.dut));
	attach_and_transfer(_metadata, t);
}

/* --- while a client is at work --- */

/**
 * struct client - A client at work
 * @buf: enabled buffer
 * @d: DMABUF, not attached
 * @stop: the device is gone: one more round
 * @rounds: that went well
 * @timeout_ms: how long to wait for a fence
 */
struct client {
	const struct iio_buf *buf;
	const struct dmabuf *d;
	bool stop;
	unsigned int rounds;
	int timeout_ms;
};

/* Return: -ETIMEDOUT if the fence does not signal in time, or another errno. */
static int client_round(const struct client *c)
{
	int fence, ret;

	ret = iio_attach(c->buf->fd, c->d->fd);
	if (ret)
		return ret;

	fence = iio_enqueue_whole(c->buf, c->d);
	if (fence < 0)
		ret = fence;
	else if (fd_poll(fence, POLLIN, c->timeout_ms) != POLLIN)
		ret = -ETIMEDOUT;
	close_fd(&fence);
	iio_detach(c->buf->fd, c->d->fd);

	return ret;
}

static int client_work(void *arg)
{
	struct client *c = arg;
	bool last;
	int ret;

	do {
		last = __atomic_load_n(&c->stop, __ATOMIC_RELAXED);
		ret = client_round(c);
		if (!ret)
			__atomic_add_fetch(&c->rounds, 1, __ATOMIC_RELAXED);
	} while (!ret && !last);

	return ret;
}

/* Where in a round the device goes is up to chance. */
TEST_REQ(unbind, client_at_work_ends, "LIF-15", "LIF-16", "ENQ-24",
	 "CONC-16")
{
	static struct client c;
	struct transfer *t = &self->t;
	int ret;

	c = (struct client){
		.buf = &t->buf,
		.d = &t->d,
		.timeout_ms = patience_ms("B5"),
	};

	/* Attached once, it is enabled for DMABUFs and stays so. */
	ASSERT_OK(iio_attach(t->buf.fd, t->d.fd));
	ASSERT_OK(iio_enable(t->buf.dut));
	ASSERT_OK(iio_detach(t->buf.fd, t->d.fd));

	ASSERT_OK(blocked_start(&self->call, client_work, &c));
	ASSERT_TRUE(wait_until(__atomic_load_n(&c.rounds, __ATOMIC_RELAXED)));
	ASSERT_OK(unbind(self));
	__atomic_store_n(&c.stop, true, __ATOMIC_RELAXED);

	ret = blocked_join(&self->call);
	printf("# %u rounds, then %s\n", c.rounds, errno_name(-ret));
	EXPECT_ERRNO(ret, ENODEV, OK, ETIMEDOUT);
	EXPECT_UNLESS("B5", ret != -ETIMEDOUT);
}

/* --- a loopback pair: with transfers in flight --- */

FIXTURE(unbind_loopback) {
	struct transfer out;
	struct transfer in;
	struct binding binding;
	struct blocked call;
};

DUT_FIXTURE(unbind_loopback, DUT_LOOPBACK);

FIXTURE_SETUP(unbind_loopback)
{
	const struct iio_dut *out, *in;
	size_t unit;

	self->out = (struct transfer)TRANSFER_INIT;
	self->in = (struct transfer)TRANSFER_INIT;

	if (!dut_setup(_metadata, &variant->v))
		return;

	out = variant->v.dut;
	in = variant->v.peer;
	if (!binding_setup(_metadata, &self->binding, out) ||
	    !binding_setup(_metadata, &self->binding, in))
		return;

	unit = iio_good_length(out, in);
	transfer_setup(_metadata, &self->out, out, variant->v.exporter, unit);
	transfer_setup(_metadata, &self->in, in, variant->v.exporter, unit);
	ASSERT_OK(iio_attach(self->out.buf.fd, self->out.d.fd));
	ASSERT_OK(iio_attach(self->in.buf.fd, self->in.d.fd));
}

FIXTURE_TEARDOWN(unbind_loopback)
{
	transfer_teardown(&self->out);
	transfer_teardown(&self->in);
	EXPECT_OK(binding_restore(&self->binding));
	dut_teardown(_metadata);
}

static int poll_dmabuf(void *arg)
{
	const struct transfer *t = arg;

	return fd_poll(t->d.fd, POLLOUT, DEADLINE_MS);
}

/* Unbind under a transfer that waits for its peer, with a poll() for it. */
static void expect_end_in_flight(struct __test_metadata *_metadata,
				 FIXTURE_DATA(unbind_loopback) *self,
				 struct transfer *t)
{
	ASSERT_OK(iio_enable(t->buf.dut));
	transfer_enqueue(_metadata, t);
	ASSERT_EQ(0, sync_file_status(t->fence));
	ASSERT_OK(blocked_start(&self->call, poll_dmabuf, t));
	ASSERT_OK(blocked_wait(&self->call, BLOCKED_POLL));

	ASSERT_OK(binding_of(&self->binding, t->buf.dut->parent));
	ASSERT_OK(iio_unbind(&self->binding, t->buf.dut));
	EXPECT_GT(0, sync_file_wait(t->fence)) {
		TH_LOG("the transfer cannot have ended well");
	}
	EXPECT_EQ(POLLOUT, blocked_join(&self->call)) {
		TH_LOG("poll() on the DMABUF goes on");
	}
}

TEST_REQ(unbind_loopback, output_in_flight_ends, "LIF-15")
{
	expect_end_in_flight(_metadata, self, &self->out);
}

TEST_REQ(unbind_loopback, input_in_flight_ends, "LIF-15")
{
	expect_end_in_flight(_metadata, self, &self->in);
}

static int enqueue_again(void *arg)
{
	const struct transfer *t = arg;

	return iio_enqueue(t->buf.fd, t->d.fd, t->len);
}

/* It waits for the transfer in flight, and finds the device gone. */
TEST_REQ(unbind_loopback, waiting_enqueue_ends, "LIF-15", "ENQ-24")
{
	struct transfer *t = &self->in;
	int ret;

	ASSERT_OK(iio_enable(t->buf.dut));
	transfer_enqueue(_metadata, t);
	ASSERT_OK(blocked_start(&self->call, enqueue_again, t));
	ASSERT_OK(blocked_wait(&self->call, SYS_ioctl));

	ASSERT_OK(iio_unbind(&self->binding, t->buf.dut));
	EXPECT_GT(0, sync_file_wait(t->fence));
	ret = blocked_join(&self->call);
	EXPECT_ERRNO(ret, OK, ENODEV, EINTR, EBUSY);
	EXPECT_UNLESS("B5", fd_poll(t->d.fd, POLLOUT, patience_ms("B5")));
}

int main(int argc, char **argv)
{
	bindings_guard();

	return conformance_main(argc, argv);
}

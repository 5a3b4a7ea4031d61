// SPDX-License-Identifier: GPL-2.0
/*
 * CPU access: DMA_BUF_IOCTL_SYNC and mmap() on DMABUFs that a buffer uses.
 * When START waits, and for what, and that END does not; that the CPU and the
 * device see each other's data between the two.
 *
 * A transfer that is enqueued while the buffer is disabled stays pending until
 * the buffer is enabled: that is how the tests hold it. SYNC of an attached
 * DMABUF goes in the direction of the attachment wherever the test leaves a
 * choice, others make DMA-API debugging complain (D1).
 */

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/blocked.h"
#include "lib/conformance.h"
#include "lib/transfer.h"

/* The direction in which the CPU uses the DMABUFs of a buffer */
static uint64_t cpu_access(const struct transfer *t)
{
	return t->buf.dut->output ? DMA_BUF_SYNC_WRITE : DMA_BUF_SYNC_READ;
}

static int begin_cpu(const struct transfer *t, const struct dmabuf *d)
{
	return dmabuf_sync(d->fd, DMA_BUF_SYNC_START | cpu_access(t));
}

static int end_cpu(const struct transfer *t, const struct dmabuf *d)
{
	return dmabuf_sync(d->fd, DMA_BUF_SYNC_END | cpu_access(t));
}

/**
 * struct sync_call - A SYNC for a thread of its own
 * @fd: DMABUF
 * @flags: of the SYNC
 * @fence: sync file of the transfer
 * @status: how it stood with the transfer when SYNC returned
 * @thread: the thread
 */
struct sync_call {
	int fd;
	uint64_t flags;
	int fence;
	int status;
	struct blocked thread;
};

static int sync_call(void *arg)
{
	struct sync_call *call = arg;
	int ret;

	ret = dmabuf_sync(call->fd, call->flags);
	call->status = sync_file_status(call->fence);

	return ret;
}

static void sync_start(struct __test_metadata *_metadata,
		       struct sync_call *call, const struct transfer *t,
		       uint64_t flags)
{
	call->fd = t->d.fd;
	call->flags = flags;
	call->fence = t->fence;
	ASSERT_OK(blocked_start(&call->thread, sync_call, call));
}

/* Have a thread sleep in SYNC until the transfer is done. */
static void sync_start_waiting(struct __test_metadata *_metadata,
			       struct sync_call *call, const struct transfer *t,
			       uint64_t flags)
{
	sync_start(_metadata, call, t, flags);
	ASSERT_OK(blocked_wait(&call->thread, SYS_ioctl)) {
		TH_LOG("SYNC did not wait for the transfer, it returned %s",
		       errno_name(-call->thread.ret));
	}
}

/* A SYNC that must not wait for the pending transfer */
static void expect_sync_at_once(struct __test_metadata *_metadata,
				struct sync_call *call,
				const struct transfer *t, uint64_t flags)
{
	sync_start(_metadata, call, t, flags);
	EXPECT_OK(blocked_join(&call->thread)) {
		TH_LOG("SYNC failed, or waits for the transfer where it must not");
	}
	EXPECT_EQ(0, sync_file_status(t->fence));
}

/* A SYNC that must wait until the transfer is done */
static void expect_sync_waits(struct __test_metadata *_metadata,
			      struct sync_call *call, struct transfer *t,
			      uint64_t flags)
{
	sync_start_waiting(_metadata, call, t, flags);
	EXPECT_EQ(0, sync_file_status(t->fence));

	ASSERT_OK(iio_enable(t->buf.dut));
	EXPECT_OK(blocked_join(&call->thread));
	EXPECT_EQ(1, call->status) {
		TH_LOG("SYNC returned before the transfer was done");
	}
	EXPECT_OK(end_cpu(t, &t->d));
}

/* --- any buffer --- */

FIXTURE(sync) {
	struct transfer t;
	struct sync_call call;
};

DUT_FIXTURE(sync, DUT_ANY);

FIXTURE_SETUP(sync)
{
	self->t = (struct transfer)TRANSFER_INIT;

	if (!dut_setup(_metadata, &variant->v))
		return;

	transfer_setup_attached(_metadata, &self->t, variant->v.dut,
				variant->v.exporter, variant->v.dut->align);
}

FIXTURE_TEARDOWN(sync)
{
	transfer_teardown(&self->t);
	dut_teardown(_metadata);
}

TEST_REQ(sync, bad_arguments, "SYN-01")
{
	int fd = self->t.d.fd;
	void *nowhere;

	EXPECT_ERRNO(dmabuf_sync(fd, DMA_BUF_SYNC_START), EINVAL);
	EXPECT_ERRNO(dmabuf_sync(fd, DMA_BUF_SYNC_END), EINVAL);
	EXPECT_ERRNO(dmabuf_sync(fd, cpu_access(&self->t) |
				 (DMA_BUF_SYNC_VALID_FLAGS_MASK + 1)), EINVAL);
	EXPECT_ERRNO(dmabuf_sync(fd, cpu_access(&self->t) | 1ull << 63),
		     EINVAL);

	nowhere = mmap(NULL, page_size(), PROT_NONE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, nowhere);
	EXPECT_ERRNO(ioctl(fd, DMA_BUF_IOCTL_SYNC, nowhere) ? -errno : 0,
		     EFAULT);
	munmap(nowhere, page_size());
}

static int nr_signals = -1;

/* Tell the test, with SYNC still on the stack below. */
static void tell_signal(int sig)
{
	uint64_t one = 1;
	int err = errno;

	(void)sig;
	if (write(nr_signals, &one, sizeof(one)) < 0)
		_exit(KSFT_FAIL);
	errno = err;
}

/* Send a signal to the thread, wait until its handler runs. */
static void interrupt(struct __test_metadata *_metadata, struct sync_call *call)
{
	ASSERT_EQ(0, pthread_kill(call->thread.thread, SIGUSR1));
	ASSERT_EQ(POLLIN, fd_poll(nr_signals, POLLIN, DEADLINE_MS)) {
		TH_LOG("the signal did not get through to the thread that waits in SYNC");
	}
}

TEST_REQ(sync, signal_interrupts_start, "SYN-06")
{
	struct sigaction action = { .sa_handler = tell_signal }, old_action;

	nr_signals = eventfd(0, EFD_CLOEXEC);
	ASSERT_LE(0, nr_signals);
	ASSERT_EQ(0, sigaction(SIGUSR1, &action, &old_action));

	transfer_hold(_metadata, &self->t);
	sync_start_waiting(_metadata, &self->call, &self->t,
			   DMA_BUF_SYNC_START | cpu_access(&self->t));
	interrupt(_metadata, &self->call);
	EXPECT_ERRNO(blocked_join(&self->call.thread), EINTR);
	EXPECT_EQ(0, sync_file_status(self->t.fence));

	sigaction(SIGUSR1, &old_action, NULL);
	close(nr_signals);
}

TEST_REQ(sync, start_restarts_after_signal, "SYN-06")
{
	struct sigaction action = {
		.sa_handler = tell_signal,
		.sa_flags = SA_RESTART,
	}, old_action;

	nr_signals = eventfd(0, EFD_CLOEXEC);
	ASSERT_LE(0, nr_signals);
	ASSERT_EQ(0, sigaction(SIGUSR1, &action, &old_action));

	transfer_hold(_metadata, &self->t);
	sync_start_waiting(_metadata, &self->call, &self->t,
			   DMA_BUF_SYNC_START | cpu_access(&self->t));
	interrupt(_metadata, &self->call);
	EXPECT_OK(blocked_wait(&self->call.thread, SYS_ioctl));

	ASSERT_OK(iio_enable(self->t.buf.dut));
	EXPECT_OK(blocked_join(&self->call.thread));
	EXPECT_EQ(1, self->call.status);
	EXPECT_OK(end_cpu(&self->t, &self->t.d));

	sigaction(SIGUSR1, &old_action, NULL);
	close(nr_signals);
}

TEST_REQ(sync, waiter_can_be_killed, "SYN-06")
{
	int pidfd, status;
	pid_t child;

	transfer_hold(_metadata, &self->t);
	child = fork();
	ASSERT_LE(0, child);
	if (!child)
		_exit(begin_cpu(&self->t, &self->t.d) != 0);

	pidfd = syscall(SYS_pidfd_open, child, 0);
	ASSERT_LE(0, pidfd);
	EXPECT_OK(blocked_wait_pid(child, SYS_ioctl)) {
		TH_LOG("SYNC did not wait for the transfer");
	}

	ASSERT_EQ(0, kill(child, SIGKILL));
	EXPECT_EQ(POLLIN, fd_poll(pidfd, POLLIN, DEADLINE_MS)) {
		TH_LOG("a process that waits in SYNC does not die of SIGKILL");
	}
	EXPECT_EQ(0, sync_file_status(self->t.fence));
	close(pidfd);

	transfer_finish(_metadata, &self->t);
	ASSERT_EQ(child, waitpid(child, &status, 0));
	EXPECT_TRUE(WIFSIGNALED(status));
}

TEST_REQ(sync, end_does_not_wait, "SYN-07")
{
	ASSERT_OK(begin_cpu(&self->t, &self->t.d));
	transfer_hold(_metadata, &self->t);
	expect_sync_at_once(_metadata, &self->call, &self->t,
			    DMA_BUF_SYNC_END | cpu_access(&self->t));
}

/* Whether the abort or the transfer comes first is up to the device. */
TEST_REQ(sync, start_succeeds_after_disable, "SYN-08")
{
	transfer_hold(_metadata, &self->t);
	sync_start_waiting(_metadata, &self->call, &self->t,
			   DMA_BUF_SYNC_START | cpu_access(&self->t));

	ASSERT_OK(iio_enable(self->t.buf.dut));
	ASSERT_OK(iio_disable(self->t.buf.dut));
	EXPECT_OK(blocked_join(&self->call.thread));
	EXPECT_NE(0, self->call.status);
	EXPECT_OK(end_cpu(&self->t, &self->t.d));
}

/* It may wait as ever or refuse; what it must not do is lie. */
TEST_REQ(sync, nonblocking_start_is_no_early_success, "SYN-09")
{
	ASSERT_OK(fd_set_nonblock(self->t.d.fd, true));
	transfer_hold(_metadata, &self->t);
	sync_start(_metadata, &self->call, &self->t,
		   DMA_BUF_SYNC_START | cpu_access(&self->t));

	ASSERT_ERRNO(blocked_wait(&self->call.thread, SYS_ioctl), OK, EALREADY);
	ASSERT_OK(iio_enable(self->t.buf.dut));
	EXPECT_ERRNO(blocked_join(&self->call.thread), OK, EAGAIN, EBUSY);
	if (!self->call.thread.ret) {
		EXPECT_EQ(1, self->call.status) {
			TH_LOG("SYNC returned success before the transfer was done");
		}
	}
}

static int try_mmap(int fd, size_t len, size_t offset, int flags)
{
	void *map;

	map = mmap(NULL, len, PROT_READ | PROT_WRITE, flags, fd, offset);
	if (map == MAP_FAILED)
		return -errno;

	munmap(map, len);

	return 0;
}

TEST_REQ(sync, udmabuf_has_no_private_mapping, "SYN-18")
{
	struct dmabuf *d = &self->t.d;
	size_t size = d->size;
	int memfd, ret;

	dmabuf_free(d);
	memfd = memfd_for_udmabuf(size);
	ASSERT_LE(0, memfd);
	ret = dmabuf_from_memfd(d, memfd, 0, size);
	close(memfd);
	if (ret)
		SKIP(return, "no udmabuf: enable CONFIG_UDMABUF, make /dev/udmabuf accessible");

	EXPECT_OK(try_mmap(d->fd, size, 0, MAP_SHARED));
	EXPECT_ERRNO(try_mmap(d->fd, size, 0, MAP_PRIVATE), EINVAL);
}

/* --- input buffers --- */

FIXTURE(sync_input) {
	struct transfer t;
	struct sync_call call;
};

DUT_FIXTURE(sync_input, DUT_INPUT);

FIXTURE_SETUP(sync_input)
{
	self->t = (struct transfer)TRANSFER_INIT;

	if (!dut_setup(_metadata, &variant->v))
		return;

	transfer_setup_attached(_metadata, &self->t, variant->v.dut,
				variant->v.exporter, variant->v.dut->align);
}

FIXTURE_TEARDOWN(sync_input)
{
	transfer_teardown(&self->t);
	dut_teardown(_metadata);
}

TEST_REQ(sync_input, start_for_read_waits, "SYN-03")
{
	transfer_hold(_metadata, &self->t);
	expect_sync_waits(_metadata, &self->call, &self->t,
			  DMA_BUF_SYNC_START | DMA_BUF_SYNC_READ);
}

/* --- output buffers --- */

FIXTURE(sync_output) {
	struct transfer t;
	struct sync_call call;
};

DUT_FIXTURE(sync_output, DUT_OUTPUT);

FIXTURE_SETUP(sync_output)
{
	self->t = (struct transfer)TRANSFER_INIT;

	if (!dut_setup(_metadata, &variant->v))
		return;

	transfer_setup_attached(_metadata, &self->t, variant->v.dut,
				variant->v.exporter, variant->v.dut->align);
}

FIXTURE_TEARDOWN(sync_output)
{
	transfer_teardown(&self->t);
	dut_teardown(_metadata);
}

TEST_REQ(sync_output, start_for_write_waits, "SYN-04")
{
	transfer_hold(_metadata, &self->t);
	expect_sync_waits(_metadata, &self->call, &self->t,
			  DMA_BUF_SYNC_START | DMA_BUF_SYNC_WRITE);
}

TEST_REQ(sync_output, start_for_read_does_not_wait, "SYN-05")
{
	transfer_hold(_metadata, &self->t);
	expect_sync_at_once(_metadata, &self->call, &self->t,
			    DMA_BUF_SYNC_START | DMA_BUF_SYNC_READ);
	EXPECT_OK(dmabuf_sync(self->t.d.fd,
			      DMA_BUF_SYNC_END | DMA_BUF_SYNC_READ));
}

/* --- any buffer with DMABUFs of each exporter, not yet attached --- */

#define NR_THREADS	4

FIXTURE(sync_exporter) {
	struct transfer t;
	struct blocked thread[NR_THREADS];
};

DUT_FIXTURE(sync_exporter, DUT_ANY | DUT_EXPORTERS);

FIXTURE_SETUP(sync_exporter)
{
	self->t = (struct transfer)TRANSFER_INIT;

	if (!dut_setup(_metadata, &variant->v))
		return;

	transfer_setup(_metadata, &self->t, variant->v.dut,
		       variant->v.exporter, variant->v.dut->align);
}

FIXTURE_TEARDOWN(sync_exporter)
{
	transfer_teardown(&self->t);
	dut_teardown(_metadata);
}

static int begin_cpu_call(void *arg)
{
	const struct dmabuf *d = arg;

	return dmabuf_sync(d->fd, DMA_BUF_SYNC_START | DMA_BUF_SYNC_RW);
}

TEST_REQ(sync_exporter, idle_start_does_not_wait, "SYN-02")
{
	ASSERT_OK(blocked_start(&self->thread[0], begin_cpu_call, &self->t.d));
	EXPECT_OK(blocked_join(&self->thread[0]));
	EXPECT_OK(dmabuf_end_cpu(&self->t.d));
}

TEST_REQ(sync_exporter, end_before_any_start, "SYN-10")
{
	EXPECT_ERRNO(dmabuf_sync(self->t.d.fd, DMA_BUF_SYNC_END |
				 DMA_BUF_SYNC_RW), OK, EINVAL);

	EXPECT_OK(dmabuf_begin_cpu(&self->t.d));
	EXPECT_OK(dmabuf_end_cpu(&self->t.d));
}

TEST_REQ(sync_exporter, start_and_end_are_not_counted, "SYN-15")
{
	struct transfer *t = &self->t;
	int i;

	ASSERT_OK(iio_attach(t->buf.fd, t->d.fd));
	EXPECT_OK(begin_cpu(t, &t->d));
	EXPECT_OK(begin_cpu(t, &t->d));
	transfer_hold(_metadata, t);
	transfer_finish(_metadata, t);

	for (i = 0; i < 3; i++) {
		EXPECT_OK(end_cpu(t, &t->d));
	}
	transfer_hold(_metadata, t);
	transfer_finish(_metadata, t);

	EXPECT_OK(begin_cpu(t, &t->d));
	EXPECT_OK(end_cpu(t, &t->d));
}

#define SYNC_ROUNDS	256

static int sync_loop_call(void *arg)
{
	const struct transfer *t = arg;
	int i, ret = 0;

	for (i = 0; i < SYNC_ROUNDS && !ret; i++)
		ret = begin_cpu(t, &t->d) ?: end_cpu(t, &t->d);

	return ret;
}

TEST_REQ(sync_exporter, threads_start_together, "SYN-16")
{
	struct transfer *t = &self->t;
	int i;

	ASSERT_OK(iio_attach(t->buf.fd, t->d.fd));
	for (i = 0; i < NR_THREADS; i++) {
		ASSERT_OK(blocked_start(&self->thread[i], sync_loop_call, t));
	}
	for (i = 0; i < NR_THREADS; i++) {
		EXPECT_OK(blocked_join(&self->thread[i]));
	}

	transfer_hold(_metadata, t);
	transfer_finish(_metadata, t);
}

/* What libiio does with each block that it creates */
TEST_REQ(sync_exporter, start_attach_fill_end_enqueue, "SYN-17")
{
	struct transfer *t = &self->t;

	ASSERT_OK(begin_cpu(t, &t->d));
	ASSERT_OK(iio_attach(t->buf.fd, t->d.fd));
	memset(t->d.map, 0x55, t->d.size);
	ASSERT_OK(end_cpu(t, &t->d));

	ASSERT_OK(iio_enable(t->buf.dut));
	transfer_enqueue(_metadata, t);
	EXPECT_EQ(POLLOUT, fd_poll(t->d.fd, POLLOUT, DEADLINE_MS));
	EXPECT_OK(begin_cpu(t, &t->d));
	EXPECT_EQ(1, sync_file_status(t->fence));
	EXPECT_OK(end_cpu(t, &t->d));
}

/* A new mapping shows what the one from before all transfers shows. */
static void expect_mappable(struct __test_metadata *_metadata,
			    const struct transfer *t)
{
	const struct dmabuf *d = &t->d;
	void *map;

	map = mmap(NULL, d->size, PROT_READ | PROT_WRITE, MAP_SHARED, d->fd, 0);
	ASSERT_NE(MAP_FAILED, map) {
		TH_LOG("mmap() of the DMABUF failed with %s",
		       errno_name(errno));
	}
	EXPECT_OK(begin_cpu(t, d));
	EXPECT_EQ(0, memcmp(map, d->map, d->size));
	EXPECT_OK(end_cpu(t, d));
	munmap(map, d->size);
}

TEST_REQ(sync_exporter, mmap_at_any_time, "SYN-18")
{
	struct transfer *t = &self->t;
	int i;

	ASSERT_OK(dmabuf_begin_cpu(&t->d));
	pattern_fill(t->d.map, t->d.size, 1);
	ASSERT_OK(dmabuf_end_cpu(&t->d));
	expect_mappable(_metadata, t);

	ASSERT_OK(iio_attach(t->buf.fd, t->d.fd));
	expect_mappable(_metadata, t);

	for (i = 0; i < 2; i++) {
		transfer_hold(_metadata, t);
		EXPECT_OK(try_mmap(t->d.fd, t->d.size, 0, MAP_SHARED));
		transfer_finish(_metadata, t);
		expect_mappable(_metadata, t);
	}
}

TEST_REQ(sync_exporter, mmap_beyond_the_size, "SYN-18")
{
	const struct dmabuf *d = &self->t.d;

	EXPECT_OK(try_mmap(d->fd, d->size, 0, MAP_SHARED));
	EXPECT_ERRNO(try_mmap(d->fd, d->size + page_size(), 0, MAP_SHARED),
		     EINVAL);
	EXPECT_ERRNO(try_mmap(d->fd, page_size(), d->size, MAP_SHARED), EINVAL);
	EXPECT_ERRNO(try_mmap(d->fd, d->size, page_size(), MAP_SHARED), EINVAL);
}

/* --- an output buffer that feeds an input buffer --- */

FIXTURE(sync_loopback) {
	struct transfer out;
	struct transfer in;
	struct dmabuf between;
	struct sync_call call;
};

DUT_FIXTURE(sync_loopback, DUT_LOOPBACK);

FIXTURE_SETUP(sync_loopback)
{
	size_t unit;

	self->out = (struct transfer)TRANSFER_INIT;
	self->in = (struct transfer)TRANSFER_INIT;
	self->between = (struct dmabuf)DMABUF_INIT;

	if (!dut_setup(_metadata, &variant->v))
		return;

	unit = variant->v.dut->align * variant->v.peer->align;
	transfer_setup_attached(_metadata, &self->out, variant->v.dut,
				variant->v.exporter, unit);
	transfer_setup_attached(_metadata, &self->in, variant->v.peer,
				variant->v.exporter, unit);
}

FIXTURE_TEARDOWN(sync_loopback)
{
	transfer_teardown(&self->out);
	transfer_teardown(&self->in);
	dmabuf_free(&self->between);
	dut_teardown(_metadata);
}

/* The other side is disabled: what is enqueued runs, and does not end. */
static void expect_start_after_abort(struct __test_metadata *_metadata,
				     struct sync_call *call, struct transfer *t)
{
	ASSERT_OK(iio_enable(t->buf.dut));
	transfer_enqueue(_metadata, t);
	sync_start_waiting(_metadata, call, t,
			   DMA_BUF_SYNC_START | cpu_access(t));

	ASSERT_OK(iio_disable(t->buf.dut));
	EXPECT_OK(blocked_join(&call->thread)) {
		TH_LOG("SYNC failed, or waits for a transfer that was aborted");
	}
	EXPECT_GT(0, call->status);
	EXPECT_OK(end_cpu(t, &t->d));
}

TEST_REQ(sync_loopback, start_succeeds_after_aborted_output, "SYN-08")
{
	expect_start_after_abort(_metadata, &self->call, &self->out);
}

TEST_REQ(sync_loopback, start_succeeds_after_aborted_input, "SYN-08")
{
	expect_start_after_abort(_metadata, &self->call, &self->in);
}

static void fill(struct __test_metadata *_metadata, const struct transfer *out,
		 uint64_t seed)
{
	ASSERT_OK(begin_cpu(out, &out->d));
	pattern_fill(out->d.map, out->len, seed);
	ASSERT_OK(end_cpu(out, &out->d));
}

static void expect_filled(struct __test_metadata *_metadata,
			  const struct transfer *in, uint64_t seed)
{
	ptrdiff_t at;

	ASSERT_OK(begin_cpu(in, &in->d));
	at = pattern_mismatch(in->d.map, in->len, seed);
	EXPECT_EQ(-1, at) {
		TH_LOG("byte %td of %zu is not what was sent", at, in->len);
	}
	ASSERT_OK(end_cpu(in, &in->d));
}

#define COHERENCE_ROUNDS	4

/* What no device has written */
#define POISON			0xa5

TEST_REQ(sync_loopback, cpu_access_is_coherent, "SYN-11")
{
	int round;

	ASSERT_OK(iio_enable(self->out.buf.dut));
	ASSERT_OK(iio_enable(self->in.buf.dut));
	for (round = 1; round <= COHERENCE_ROUNDS; round++) {
		fill(_metadata, &self->out, round);
		transfer_enqueue(_metadata, &self->in);
		transfer_enqueue(_metadata, &self->out);
		ASSERT_EQ(1, sync_file_wait(self->out.fence));
		ASSERT_EQ(1, sync_file_wait(self->in.fence));
		expect_filled(_metadata, &self->in, round);
	}
}

TEST_REQ(sync_loopback, device_to_device_without_sync, "SYN-14")
{
	struct dmabuf *between = &self->between;
	bool stale;

	ASSERT_OK(dmabuf_alloc(between, variant->v.exporter,
			       self->in.d.size));
	ASSERT_OK(dmabuf_poison(between, POISON));
	ASSERT_OK(iio_attach(self->in.buf.fd, between->fd));
	ASSERT_OK(iio_attach(self->out.buf.fd, between->fd));
	fill(_metadata, &self->out, 1);

	ASSERT_OK(iio_enable(self->out.buf.dut));
	ASSERT_OK(iio_enable(self->in.buf.dut));
	transfer_enqueue_dmabuf(_metadata, &self->in, between);
	transfer_enqueue(_metadata, &self->out);
	ASSERT_EQ(1, sync_file_wait(self->in.fence));
	ASSERT_EQ(1, sync_file_wait(self->out.fence));

	transfer_enqueue(_metadata, &self->in);
	transfer_enqueue_dmabuf(_metadata, &self->out, between);
	ASSERT_EQ(1, sync_file_wait(self->in.fence));
	ASSERT_EQ(1, sync_file_wait(self->out.fence));

	/* What was sent is what the DMABUF held before, to the last byte. */
	ASSERT_OK(begin_cpu(&self->in, &self->in.d));
	stale = byte_mismatch(self->in.d.map, self->in.len, POISON) < 0;
	ASSERT_OK(end_cpu(&self->in, &self->in.d));
	if (stale)
		EXPECT_UNLESS("D4", !stale);
	else
		expect_filled(_metadata, &self->in, 1);
}

CONFORMANCE_MAIN

// SPDX-License-Identifier: GPL-2.0
/*
 * IIO_BUFFER_DMABUF_ENQUEUE_IOCTL: what it takes and what it refuses, what a
 * refusal leaves behind, when and in which order transfers run, and how it
 * waits for fences of others.
 *
 * A transfer that is queued while its buffer is disabled stays pending until
 * the test enables the buffer: most tests hold a transfer back that way. In a
 * loopback pair also one that runs is held back, until its peer runs as well.
 */

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/blocked.h"
#include "lib/conformance.h"
#include "lib/fdpass.h"
#include "lib/file.h"

/* How many DMABUFs show an order */
#define DEPTH		4

/* Seed of what is in a DMABUF that a device is to write */
#define POISON		1000

/* Seeds of what an output sends: SENT for the first DMABUF, and so on */
#define SENT		1

/**
 * struct waiter - A thread in a blocking ENQUEUE
 * @call: the thread
 * @fd: buffer
 * @dmabuf_fd: what it enqueues
 * @len: how much of it
 * @released: what it waits for has happened: running into EBUSY is final
 */
struct waiter {
	struct blocked call;
	int fd;
	int dmabuf_fd;
	size_t len;
	atomic_bool released;
};

/**
 * struct bench - A buffer and what to enqueue there
 * @buf: the buffer
 * @d: DMABUF, attached, full of POISON
 * @other: one more, not attached
 * @len: size of both, any driver can transfer it
 * @refs: references to @d before it was attached
 * @sync: sync file, free for use
 * @waiter: likewise
 */
struct bench {
	struct iio_buf buf;
	struct dmabuf d;
	struct dmabuf other;
	size_t len;
	long refs;
	int sync;
	struct waiter waiter;
};

/* Fill while nothing is attached: the direction of SYNC is nobody's then. */
static int dmabuf_fill(const struct dmabuf *d, uint64_t seed)
{
	int ret;

	ret = dmabuf_begin_cpu(d);
	if (ret)
		return ret;

	pattern_fill(d->map, d->size, seed);

	return dmabuf_end_cpu(d);
}

static int alloc_filled(struct dmabuf *d, const struct exporter *e, size_t len,
			uint64_t seed)
{
	return dmabuf_alloc(d, e, len) ?: dmabuf_fill(d, seed);
}

static void bench_setup(struct __test_metadata *_metadata, struct bench *b,
			const struct dut_variant *v)
{
	b->len = iio_good_length(v->dut, v->dut);

	ASSERT_OK(iio_buf_open(&b->buf, v->dut));
	ASSERT_OK(alloc_filled(&b->d, v->exporter, b->len, POISON));
	ASSERT_OK(alloc_filled(&b->other, v->exporter, b->len, POISON));
	b->refs = dmabuf_refs(b->d.fd);
	ASSERT_OK(iio_attach(b->buf.fd, b->d.fd));
}

static void bench_init(struct bench *b)
{
	b->buf = (struct iio_buf)IIO_BUF_INIT;
	b->d = (struct dmabuf)DMABUF_INIT;
	b->other = (struct dmabuf)DMABUF_INIT;
	b->sync = -1;
}

static void bench_teardown(struct bench *b)
{
	iio_buf_close(&b->buf);
	close_fd(&b->sync);
	dmabuf_free(&b->d);
	dmabuf_free(&b->other);
}

/* Return: revents of a DMABUF that becomes idle, 0 if it does not. */
static int dmabuf_wait_idle(const struct dmabuf *d)
{
	return fd_poll(d->fd, POLLOUT, DEADLINE_MS);
}

static int dmabuf_idle(const struct dmabuf *d)
{
	return fd_poll(d->fd, POLLOUT, 0);
}

/*
 * ENQUEUE what will not be done before the test wants it to, so that @sync is
 * the sync file of the pending transfer. It also keeps the fence alive, see B1.
 */
static int enqueue_held(const struct iio_buf *buf, const struct dmabuf *d,
			size_t len, int *sync)
{
	int ret = iio_enqueue_fence(buf, d, len);

	if (ret < 0)
		return ret;

	*sync = ret;

	return 0;
}

/* The references to @d must fall to @refs. */
static void expect_refs(struct __test_metadata *_metadata,
			const struct dmabuf *d, long refs)
{
	EXPECT_OK(dmabuf_wait_refs(d->fd, refs)) {
		TH_LOG("%ld references to the DMABUF, before it were %ld",
		       dmabuf_refs(d->fd), refs);
	}
}

static void on_signal(int sig)
{
	(void)sig;
}

/* A blocking ENQUEUE that gives up with ETIMEDOUT after DEADLINE_MS. */
static int enqueue_watched(int fd, int dmabuf_fd, size_t len)
{
	const struct itimerval off = {}, on = {
		.it_value.tv_sec = DEADLINE_MS / 1000,
		/* Once more, should the first one come before the ioctl. */
		.it_interval.tv_sec = 1,
	};
	const struct sigaction act = { .sa_handler = on_signal };
	struct sigaction old;
	int ret;

	sigaction(SIGALRM, &act, &old);
	setitimer(ITIMER_REAL, &on, NULL);
	ret = iio_enqueue(fd, dmabuf_fd, len);
	setitimer(ITIMER_REAL, &off, NULL);
	sigaction(SIGALRM, &old, NULL);

	return ret == -EINTR ? -ETIMEDOUT : ret;
}

/* --- a thread that waits --- */

static int waiter_enqueue(void *arg)
{
	struct waiter *w = arg;
	int ret;

	/* The wait is bounded, what the test does meanwhile is not. */
	do {
		ret = iio_enqueue(w->fd, w->dmabuf_fd, w->len);
	} while (ret == -EBUSY && !atomic_load(&w->released));

	return ret;
}

static int waiter_start(struct waiter *w, const struct iio_buf *buf,
			const struct dmabuf *d)
{
	w->fd = buf->fd;
	w->dmabuf_fd = d->fd;
	w->len = d->size;

	return blocked_start(&w->call, waiter_enqueue, w);
}

static void assert_waits(struct __test_metadata *_metadata,
			 const struct waiter *w)
{
	ASSERT_OK(blocked_wait(&w->call, SYS_ioctl)) {
		TH_LOG("ENQUEUE does not wait for the pending fence");
	}
}

/* Return: what ENQUEUE returned, -ETIMEDOUT if it does not. */
static int waiter_finish(struct waiter *w)
{
	atomic_store(&w->released, true);

	return blocked_join(&w->call);
}

/* --- any buffer --- */

FIXTURE(enqueue) {
	struct bench b;
};

DUT_FIXTURE(enqueue, DUT_ANY);

FIXTURE_SETUP(enqueue)
{
	bench_init(&self->b);
	if (dut_setup(_metadata, &variant->v))
		bench_setup(_metadata, &self->b, &variant->v);
}

FIXTURE_TEARDOWN(enqueue)
{
	bench_teardown(&self->b);
	dut_teardown(_metadata);
}

TEST_REQ(enqueue, returns_before_transfer, "ENQ-01")
{
	struct bench *b = &self->b;

	EXPECT_OK(enqueue_watched(b->buf.fd, b->d.fd, b->len));
	EXPECT_EQ(0, dmabuf_idle(&b->d));
}

TEST_REQ(enqueue, not_attached, "ENQ-02")
{
	struct bench *b = &self->b;

	EXPECT_ERRNO(iio_enqueue(b->buf.fd, b->other.fd, b->len), EPERM);
}

TEST_REQ(enqueue, detached, "ENQ-02", "ENQ-25")
{
	struct bench *b = &self->b;

	ASSERT_OK(iio_detach(b->buf.fd, b->d.fd));
	EXPECT_ERRNO(iio_enqueue(b->buf.fd, b->d.fd, b->len), EPERM);
}

TEST_REQ(enqueue, bad_descriptor, "ENQ-04")
{
	struct bench *b = &self->b;
	int closed;

	EXPECT_ERRNO(iio_enqueue(b->buf.fd, -1, b->len), EBADF);

	closed = dup(b->d.fd);
	ASSERT_GE(closed, 0);
	close(closed);
	EXPECT_ERRNO(iio_enqueue(b->buf.fd, closed, b->len), EBADF);
}

TEST_REQ(enqueue, not_a_dmabuf, "ENQ-04")
{
	struct bench *b = &self->b;
	int memfd;

	EXPECT_ERRNO(iio_enqueue(b->buf.fd, b->buf.fd, b->len), EINVAL);

	memfd = memfd_for_udmabuf(b->len);
	ASSERT_GE(memfd, 0);
	EXPECT_ERRNO(iio_enqueue(b->buf.fd, memfd, b->len), EINVAL);
	close(memfd);
}

TEST_REQ(enqueue, bytes_used_above_size, "ENQ-05")
{
	const uint64_t above[] = {
		self->b.d.size + 1,
		2 * self->b.d.size,
		/* whose low half is fine */
		(1ull << 32) + self->b.len,
		1ull << 63,
		UINT64_MAX,
	};
	struct bench *b = &self->b;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(above); i++) {
		/* Once accepted there is nothing to go on with. */
		ASSERT_ERRNO(iio_enqueue(b->buf.fd, b->d.fd, above[i]),
			     EINVAL) {
			TH_LOG("bytes_used %#llx, size %#zx",
			       (unsigned long long)above[i], b->d.size);
		}
	}
}

TEST_REQ(enqueue, bytes_used_is_size, "ENQ-05")
{
	struct bench *b = &self->b;

	/* The length is all of the DMABUF: only the limit can be in the way. */
	ASSERT_EQ(b->len, b->d.size);
	ASSERT_OK(enqueue_held(&b->buf, &b->d, b->d.size, &b->sync));
	ASSERT_OK(iio_enable(b->buf.dut));
	EXPECT_EQ(1, sync_file_wait(b->sync));
}

TEST_REQ(enqueue, already_queued, "ENQ-07")
{
	struct bench *b = &self->b;

	/* An input would wait for its own fence. */
	ASSERT_OK(fd_set_nonblock(b->buf.fd, true));

	ASSERT_OK(enqueue_held(&b->buf, &b->d, b->len, &b->sync));
	EXPECT_ERRNO(iio_enqueue(b->buf.fd, b->d.fd, b->len), EPERM, EBUSY);

	ASSERT_OK(iio_enable(b->buf.dut));
	EXPECT_EQ(1, sync_file_wait(b->sync));
	EXPECT_EQ(POLLOUT, dmabuf_wait_idle(&b->d));
}

TEST_REQ(enqueue, invalid_leaves_nothing, "ENQ-10")
{
	struct bench *b = &self->b;
	struct iio_dmabuf unknown_flag = {
		.fd = b->d.fd,
		.flags = 1u << 31,
		.bytes_used = b->len,
	};
	long refs = dmabuf_refs(b->other.fd);

	EXPECT_ERRNO(iio_enqueue_req(b->buf.fd, &unknown_flag), EINVAL);
	EXPECT_EQ(POLLOUT, dmabuf_idle(&b->d));

	EXPECT_ERRNO(iio_enqueue(b->buf.fd, b->d.fd, b->d.size + 1), EINVAL);
	EXPECT_EQ(POLLOUT, dmabuf_idle(&b->d));

	EXPECT_ERRNO(iio_enqueue(b->buf.fd, b->other.fd, b->len), EPERM);
	EXPECT_EQ(POLLOUT, dmabuf_idle(&b->other));
	expect_refs(_metadata, &b->other, refs);

	ASSERT_OK(iio_detach(b->buf.fd, b->d.fd));
	expect_refs(_metadata, &b->d, b->refs);
}

TEST_REQ(enqueue, refused_leaves_nothing, "ENQ-10")
{
	struct bench *b = &self->b;

	ASSERT_OK(fd_set_nonblock(b->buf.fd, true));

	ASSERT_OK(enqueue_held(&b->buf, &b->d, b->len, &b->sync));
	EXPECT_ERRNO(iio_enqueue(b->buf.fd, b->d.fd, b->len), EPERM, EBUSY);

	ASSERT_OK(iio_enable(b->buf.dut));
	EXPECT_EQ(1, sync_file_wait(b->sync));
	EXPECT_EQ(POLLOUT, dmabuf_wait_idle(&b->d));

	ASSERT_OK(iio_detach(b->buf.fd, b->d.fd));
	expect_refs(_metadata, &b->d, b->refs);
}

/*
 * LIM-06 is about many more. A slow converter does what it can in the time
 * given, but enough for a byte to wrap.
 */
#define AGAIN_MAX	1000
#define AGAIN_MIN	300
#define AGAIN_MS	5000

TEST_REQ(enqueue, again_after_completion, "ENQ-12")
{
	const uint64_t end = now_ms() + AGAIN_MS;
	struct bench *b = &self->b;
	const size_t len = iio_short_length(b->buf.dut);
	int i;

	ASSERT_OK(iio_enable(b->buf.dut));

	for (i = 0; i < AGAIN_MAX; i++) {
		ASSERT_OK(iio_enqueue(b->buf.fd, b->d.fd, len)) {
			TH_LOG("after %d transfers", i);
		}
		ASSERT_EQ(POLLOUT, dmabuf_wait_idle(&b->d)) {
			TH_LOG("transfer %d never completed", i);
		}
		if (i >= AGAIN_MIN && now_ms() > end)
			break;
	}
}

TEST_REQ(enqueue, again_after_disable, "ENQ-13")
{
	struct bench *b = &self->b;
	int status;

	ASSERT_OK(enqueue_held(&b->buf, &b->d, b->len, &b->sync));
	ASSERT_OK(iio_enable(b->buf.dut));
	ASSERT_OK(iio_disable(b->buf.dut));

	/* A fast device is done by now. */
	status = sync_file_wait(b->sync);
	ASSERT_TRUE(status == 1 || status == -EINTR) {
		TH_LOG("fence status %d after disable", status);
	}
	close(b->sync);
	b->sync = -1;

	ASSERT_OK(enqueue_held(&b->buf, &b->d, b->len, &b->sync));
	ASSERT_OK(iio_enable(b->buf.dut));
	EXPECT_EQ(1, sync_file_wait(b->sync));
}

TEST_REQ(enqueue, pending_while_disabled, "ENQ-14")
{
	struct bench *b = &self->b;

	ASSERT_OK(enqueue_held(&b->buf, &b->d, b->len, &b->sync));
	EXPECT_EQ(0, dmabuf_idle(&b->d));
	EXPECT_EQ(0, sync_file_status(b->sync));
	/* SYNC would wait for the transfer, hence without. */
	EXPECT_EQ(-1, pattern_mismatch(b->d.map, b->len, POISON));

	ASSERT_OK(iio_enable(b->buf.dut));
	EXPECT_EQ(1, sync_file_wait(b->sync));
	EXPECT_EQ(POLLOUT, dmabuf_wait_idle(&b->d));
}

/* Return: when the fence of a sync file signalled, 0 if that is not known. */
static uint64_t signal_time(int sync)
{
	struct fence_info info;

	return sync_file_info(sync, &info) ? 0 : info.timestamp;
}

TEST_REQ(enqueue, done_in_order, "ENQ-15")
{
	struct dmabuf d[DEPTH];
	struct bench *b = &self->b;
	int sync[DEPTH];
	int i;

	/* All of them before the first ENQUEUE, see B3. */
	for (i = 0; i < DEPTH; i++) {
		ASSERT_OK(dmabuf_alloc(&d[i], variant->v.exporter, b->len));
		ASSERT_OK(iio_attach(b->buf.fd, d[i].fd));
	}

	/* Neither by number of descriptor nor in order of ATTACH. */
	for (i = 0; i < DEPTH; i++) {
		ASSERT_OK(enqueue_held(&b->buf, &d[i ^ 1], b->len, &sync[i]));
	}

	ASSERT_OK(iio_enable(b->buf.dut));
	for (i = 0; i < DEPTH; i++) {
		EXPECT_EQ(1, sync_file_wait(sync[i]));
	}

	for (i = 1; i < DEPTH; i++) {
		EXPECT_LE(signal_time(sync[i - 1]), signal_time(sync[i])) {
			TH_LOG("transfer %d was done before transfer %d",
			       i, i - 1);
		}
	}

	for (i = 0; i < DEPTH; i++) {
		close(sync[i]);
		dmabuf_free(&d[i]);
	}
}

/* How often DETACH and ENQUEUE race */
#define RACE_ROUNDS	1000

struct detacher {
	pthread_barrier_t start;
	pthread_barrier_t end;
	int fd;
	int dmabuf_fd;
	int ret;
};

static void *detacher_run(void *arg)
{
	struct detacher *r = arg;
	int i;

	for (i = 0; i < RACE_ROUNDS; i++) {
		pthread_barrier_wait(&r->start);
		r->ret = iio_detach(r->fd, r->dmabuf_fd);
		pthread_barrier_wait(&r->end);
	}

	return NULL;
}

TEST_REQ(enqueue, races_with_detach, "ENQ-25")
{
	struct bench *b = &self->b;
	/* Outlives a test that gives up. */
	static struct detacher r;
	const size_t len = iio_short_length(b->buf.dut);
	pthread_t thread;
	int i, ret;

	r.fd = b->buf.fd;
	r.dmabuf_fd = b->other.fd;
	pthread_barrier_init(&r.start, NULL, 2);
	pthread_barrier_init(&r.end, NULL, 2);
	ASSERT_OK(iio_enable(b->buf.dut));
	ASSERT_EQ(0, pthread_create(&thread, NULL, detacher_run, &r));

	for (i = 0; i < RACE_ROUNDS; i++) {
		ASSERT_OK(iio_attach(b->buf.fd, b->other.fd));
		pthread_barrier_wait(&r.start);
		ret = iio_enqueue(b->buf.fd, b->other.fd, len);
		pthread_barrier_wait(&r.end);

		ASSERT_OK(r.ret);
		ASSERT_ERRNO(ret, 0, EPERM);
		ASSERT_EQ(POLLOUT, dmabuf_wait_idle(&b->other)) {
			TH_LOG("ENQUEUE that returned %s left a fence pending",
			       errno_name(-ret));
		}
		/* Would be an EBUSY of the next ATTACH. */
		ASSERT_ERRNO(iio_enqueue(b->buf.fd, b->other.fd, len), EPERM);
	}

	pthread_join(thread, NULL);
}

/*
 * The other process: it has the descriptors under numbers of its own, and at
 * the number that the DMABUF has in the parent there is something else.
 */
static int enqueue_received(const struct bench *b, int sock)
{
	int ret, fds[2];

	if (dup2(sock, b->d.fd) < 0)
		return -errno;
	close(b->buf.fd);

	ret = receive_fds(sock, fds, ARRAY_SIZE(fds));
	if (ret)
		return ret;

	return iio_enqueue(fds[0], fds[1], b->len);
}

TEST_REQ(enqueue, descriptor_of_caller, "ENQ-27")
{
	struct bench *b = &self->b;
	int fds[] = { b->buf.fd, b->d.fd };
	int sock[2], status;
	pid_t pid;

	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM, 0, sock));
	pid = fork();
	ASSERT_GE(pid, 0);
	if (!pid) {
		close(sock[0]);
		_exit(-enqueue_received(b, sock[1]));
	}
	close(sock[1]);

	EXPECT_OK(send_fds(sock[0], fds, ARRAY_SIZE(fds)));
	close(sock[0]);
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	ASSERT_TRUE(WIFEXITED(status));
	ASSERT_EQ(0, WEXITSTATUS(status)) {
		TH_LOG("ENQUEUE by the receiver of the descriptors: %s",
		       errno_name(WEXITSTATUS(status)));
	}

	/* It is the parent's DMABUF, and it outlives the child. */
	EXPECT_EQ(0, dmabuf_idle(&b->d));
	ASSERT_OK(iio_enable(b->buf.dut));
	EXPECT_EQ(POLLOUT, dmabuf_wait_idle(&b->d));
}

/* --- fences of others, on any buffer --- */

/*
 * Give @b->d a pending fence of another DMABUF. It is a transfer of the same
 * buffer, which any machine has, and the core is not to care.
 */
static void bench_conflict(struct __test_metadata *_metadata, struct bench *b,
			   uint32_t flags)
{
	ASSERT_OK(iio_attach(b->buf.fd, b->other.fd));
	ASSERT_OK(enqueue_held(&b->buf, &b->other, b->len, &b->sync));
	ASSERT_OK(dmabuf_import(b->d.fd, b->sync, flags));
}

static void bench_release(struct __test_metadata *_metadata, struct bench *b)
{
	ASSERT_OK(iio_enable(b->buf.dut));
	ASSERT_EQ(1, sync_file_wait(b->sync));
}

/* Return: how often this thread went to sleep by itself. */
static long sleeps(void)
{
	struct rusage usage = {};

	getrusage(RUSAGE_THREAD, &usage);

	return usage.ru_nvcsw;
}

#define NONBLOCKING_TRIES	5

TEST_REQ(enqueue, nonblocking_does_not_wait, "ENQ-17")
{
	struct bench *b = &self->b;
	int i, ret, slept = 0;
	long before;

	bench_conflict(_metadata, b, DMA_BUF_SYNC_WRITE);
	ASSERT_OK(fd_set_nonblock(b->buf.fd, true));

	/* One may sleep for a lock or for memory, but not each. */
	for (i = 0; i < NONBLOCKING_TRIES; i++) {
		before = sleeps();
		ret = iio_enqueue(b->buf.fd, b->d.fd, b->len);
		slept += before != sleeps();
		ASSERT_ERRNO(ret, EBUSY);
	}
	EXPECT_LT(slept, NONBLOCKING_TRIES) {
		TH_LOG("a non-blocking ENQUEUE sleeps");
	}

	bench_release(_metadata, b);
	EXPECT_OK(iio_enqueue(b->buf.fd, b->d.fd, b->len));
	EXPECT_EQ(POLLOUT, dmabuf_wait_idle(&b->d));
}

TEST_REQ(enqueue, blocking_waits, "ENQ-18")
{
	struct bench *b = &self->b;

	bench_conflict(_metadata, b, DMA_BUF_SYNC_WRITE);
	ASSERT_OK(waiter_start(&b->waiter, &b->buf, &b->d));
	assert_waits(_metadata, &b->waiter);

	bench_release(_metadata, b);
	EXPECT_OK(waiter_finish(&b->waiter));
	EXPECT_EQ(POLLOUT, dmabuf_wait_idle(&b->d));
}

TEST_REQ(enqueue, signal_ends_wait, "ENQ-20")
{
	const struct sigaction act = { .sa_handler = on_signal };
	struct bench *b = &self->b;

	sigaction(SIGUSR1, &act, NULL);

	bench_conflict(_metadata, b, DMA_BUF_SYNC_WRITE);
	ASSERT_OK(waiter_start(&b->waiter, &b->buf, &b->d));
	assert_waits(_metadata, &b->waiter);
	ASSERT_EQ(0, pthread_kill(b->waiter.call.thread, SIGUSR1));
	ASSERT_ERRNO(waiter_finish(&b->waiter), EINTR);

	bench_release(_metadata, b);
	EXPECT_OK(iio_enqueue(b->buf.fd, b->d.fd, b->len));
	EXPECT_EQ(POLLOUT, dmabuf_wait_idle(&b->d));
}

static sem_t handled;

static void post_handled(int sig)
{
	(void)sig;
	sem_post(&handled);
}

static int wait_handled(void)
{
	return wait_until(!sem_trywait(&handled)) ? 0 : -ETIMEDOUT;
}

TEST_REQ(enqueue, signal_restarts_wait, "ENQ-20")
{
	const struct sigaction act = {
		.sa_handler = post_handled,
		.sa_flags = SA_RESTART,
	};
	struct bench *b = &self->b;

	sem_init(&handled, 0, 0);
	sigaction(SIGUSR1, &act, NULL);

	bench_conflict(_metadata, b, DMA_BUF_SYNC_WRITE);
	ASSERT_OK(waiter_start(&b->waiter, &b->buf, &b->d));
	assert_waits(_metadata, &b->waiter);
	ASSERT_EQ(0, pthread_kill(b->waiter.call.thread, SIGUSR1));
	ASSERT_OK(wait_handled());
	assert_waits(_metadata, &b->waiter);

	bench_release(_metadata, b);
	EXPECT_OK(waiter_finish(&b->waiter));
	EXPECT_EQ(POLLOUT, dmabuf_wait_idle(&b->d));
}

TEST_REQ(enqueue, waits_for_writers, "ENQ-21")
{
	struct bench *b = &self->b;

	ASSERT_OK(fd_set_nonblock(b->buf.fd, true));
	bench_conflict(_metadata, b, DMA_BUF_SYNC_WRITE);
	EXPECT_ERRNO(iio_enqueue(b->buf.fd, b->d.fd, b->len), EBUSY);
	bench_release(_metadata, b);
}

/* --- input buffers --- */

FIXTURE(enqueue_in) {
	struct bench b;
};

DUT_FIXTURE(enqueue_in, DUT_INPUT);

FIXTURE_SETUP(enqueue_in)
{
	bench_init(&self->b);
	if (dut_setup(_metadata, &variant->v))
		bench_setup(_metadata, &self->b, &variant->v);
}

FIXTURE_TEARDOWN(enqueue_in)
{
	bench_teardown(&self->b);
	dut_teardown(_metadata);
}

TEST_REQ(enqueue_in, refused_keeps_fence, "ENQ-08")
{
	struct bench *b = &self->b;

	ASSERT_OK(fd_set_nonblock(b->buf.fd, true));

	ASSERT_OK(enqueue_held(&b->buf, &b->d, b->len, &b->sync));
	ASSERT_ERRNO(iio_enqueue(b->buf.fd, b->d.fd, b->len), EPERM, EBUSY);
	EXPECT_EQ(0, dmabuf_idle(&b->d));
	EXPECT_EQ(0, sync_file_status(b->sync));

	ASSERT_OK(iio_enable(b->buf.dut));
	EXPECT_EQ(1, sync_file_wait(b->sync));
	EXPECT_EQ(POLLOUT, dmabuf_wait_idle(&b->d));
}

TEST_REQ(enqueue_in, waits_for_readers, "ENQ-21")
{
	struct bench *b = &self->b;

	ASSERT_OK(fd_set_nonblock(b->buf.fd, true));
	bench_conflict(_metadata, b, DMA_BUF_SYNC_READ);
	EXPECT_ERRNO(iio_enqueue(b->buf.fd, b->d.fd, b->len), EBUSY);
	bench_release(_metadata, b);
}

/* So many bytes are not those of the pattern by accident. */
#define UNIT		16

/*
 * Return: the first UNIT bytes that still are as before, -1 if there are none.
 * A single byte may well be written with the value that it had.
 */
static ptrdiff_t unwritten(const uint8_t *buf, const uint8_t *before,
			   size_t len)
{
	size_t i;

	for (i = 0; i + UNIT <= len; i += UNIT) {
		if (!memcmp(buf + i, before + i, UNIT))
			return i;
	}

	return -1;
}

/* Return: the first byte that is not as before, -1 if all are. */
static ptrdiff_t written(const uint8_t *buf, const uint8_t *before, size_t len)
{
	size_t i;

	for (i = 0; i < len; i++) {
		if (buf[i] != before[i])
			return i;
	}

	return -1;
}

TEST_REQ(enqueue_in, bytes_used_below_size, "ENQ-28")
{
	struct dmabuf d = DMABUF_INIT;
	struct bench *b = &self->b;
	uint8_t *before;
	int ret;

	ASSERT_OK(alloc_filled(&d, variant->v.exporter, 2 * b->len, POISON));
	before = malloc(d.size);
	ASSERT_NE(NULL, before);
	pattern_fill(before, d.size, POISON);

	ASSERT_OK(iio_attach(b->buf.fd, d.fd));
	ret = enqueue_held(&b->buf, &d, b->len, &b->sync);
	ASSERT_ERRNO(ret, 0, EINVAL);
	if (!ret) {
		ASSERT_OK(iio_enable(b->buf.dut));
		ASSERT_EQ(1, sync_file_wait(b->sync));

		ASSERT_OK(dmabuf_sync(d.fd, DMA_BUF_SYNC_START |
					    DMA_BUF_SYNC_READ));
		EXPECT_EQ(-1, unwritten(d.map, before, b->len)) {
			TH_LOG("these bytes were not written");
		}
		EXPECT_EQ(-1, written(d.map + b->len, before + b->len,
				      d.size - b->len)) {
			TH_LOG("so far behind bytes_used a byte was written");
		}
		ASSERT_OK(dmabuf_sync(d.fd, DMA_BUF_SYNC_END |
					    DMA_BUF_SYNC_READ));
	}

	free(before);
	dmabuf_free(&d);
}

/* --- output buffers --- */

FIXTURE(enqueue_out) {
	struct bench b;
};

DUT_FIXTURE(enqueue_out, DUT_OUTPUT);

FIXTURE_SETUP(enqueue_out)
{
	bench_init(&self->b);
	if (dut_setup(_metadata, &variant->v))
		bench_setup(_metadata, &self->b, &variant->v);
}

FIXTURE_TEARDOWN(enqueue_out)
{
	bench_teardown(&self->b);
	dut_teardown(_metadata);
}

TEST_REQ(enqueue_out, refused_keeps_fence, "ENQ-08")
{
	struct bench *b = &self->b;

	ASSERT_OK(fd_set_nonblock(b->buf.fd, true));

	/* Without the sync file an affected kernel would free the fence. */
	ASSERT_OK(enqueue_held(&b->buf, &b->d, b->len, &b->sync));
	ASSERT_ERRNO(iio_enqueue(b->buf.fd, b->d.fd, b->len), EPERM, EBUSY);
	EXPECT_UNLESS("B1", dmabuf_idle(&b->d) == 0);
	EXPECT_EQ(0, sync_file_status(b->sync));

	ASSERT_OK(iio_enable(b->buf.dut));
	EXPECT_EQ(1, sync_file_wait(b->sync));
	EXPECT_EQ(POLLOUT, dmabuf_wait_idle(&b->d));
}

TEST_REQ(enqueue_out, does_not_wait_for_readers, "ENQ-21")
{
	struct bench *b = &self->b;

	ASSERT_OK(fd_set_nonblock(b->buf.fd, true));
	bench_conflict(_metadata, b, DMA_BUF_SYNC_READ);
	EXPECT_OK(iio_enqueue(b->buf.fd, b->d.fd, b->len));
	EXPECT_EQ(0, sync_file_status(b->sync));
	bench_release(_metadata, b);
	EXPECT_EQ(POLLOUT, dmabuf_wait_idle(&b->d));
}

/* --- lengths that the device does not like --- */

FIXTURE(enqueue_unaligned) {
	struct bench b;
};

DUT_FIXTURE(enqueue_unaligned, DUT_ANY);

FIXTURE_SETUP(enqueue_unaligned)
{
	bench_init(&self->b);
	if (!dut_setup(_metadata, &variant->v))
		return;

	if (variant->v.dut->align == 1)
		SKIP(return, "%s takes any length: needs length_align_bytes above 1",
		     variant->v.dut->name);

	bench_setup(_metadata, &self->b, &variant->v);
}

FIXTURE_TEARDOWN(enqueue_unaligned)
{
	bench_teardown(&self->b);
	dut_teardown(_metadata);
}

/*
 * Run a transfer that is one byte short of the alignment. Return: -EINVAL if
 * ENQUEUE refused it, else its fence status.
 */
static int bench_run_unaligned(struct __test_metadata *_metadata,
			       struct bench *b)
{
	int ret, status;

	ret = enqueue_held(&b->buf, &b->d, b->len - 1, &b->sync);
	ASSERT_ERRNO(ret, 0, EINVAL);
	if (ret)
		return ret;

	ASSERT_OK(iio_enable(b->buf.dut));
	status = sync_file_wait(b->sync);
	ASSERT_NE(0, status) {
		TH_LOG("the transfer neither ends nor fails");
	}

	return status;
}

TEST_REQ(enqueue_unaligned, ends, "ENQ-06")
{
	struct bench *b = &self->b;
	uint8_t *before;

	before = malloc(b->len);
	ASSERT_NE(NULL, before);
	pattern_fill(before, b->len, POISON);

	bench_run_unaligned(_metadata, b);
	EXPECT_EQ(POLLOUT, dmabuf_wait_idle(&b->d));

	/* SYNC of both directions is fine where nothing is attached. */
	ASSERT_OK(iio_detach(b->buf.fd, b->d.fd));
	ASSERT_OK(dmabuf_wait_refs(b->d.fd, b->refs));
	ASSERT_OK(dmabuf_begin_cpu(&b->d));
	EXPECT_EQ(before[b->len - 1], b->d.map[b->len - 1]) {
		TH_LOG("the byte behind bytes_used was written");
	}
	ASSERT_OK(dmabuf_end_cpu(&b->d));

	free(before);
}

/*
 * A submission that fails, with no need for fault injection: a length that the
 * device cannot transfer and that ENQUEUE did not refuse.
 */
static bool bench_fail_submission(struct __test_metadata *_metadata,
				  struct bench *b)
{
	int status = bench_run_unaligned(_metadata, b);

	if (b->sync >= 0 && status < 0)
		return true;

	SKIP(return false, "%s %s an unaligned length: needs a submission that fails",
	     b->buf.dut->name, status < 0 ? "refuses" : "transfers");
}

TEST_REQ(enqueue_unaligned, again_after_failed_submission, "ENQ-11")
{
	struct bench *b = &self->b;
	int ret;

	if (!bench_fail_submission(_metadata, b))
		return;

	/* Disabled and enabled is what the core's comment asks for. */
	ASSERT_OK(iio_disable(b->buf.dut));
	ret = iio_enqueue(b->buf.fd, b->d.fd, b->len);
	EXPECT_ERRNO(ret, OK, EBUSY);
	EXPECT_UNLESS("B8", ret == 0);

	ASSERT_OK(iio_enable(b->buf.dut));
	EXPECT_EQ(POLLOUT, dmabuf_wait_idle(&b->d));
}

TEST_REQ(enqueue_unaligned, failed_submission_is_reported, "ENQ-23")
{
	struct bench *b = &self->b;
	int ret;

	ASSERT_OK(iio_attach(b->buf.fd, b->other.fd));

	/* The fence has carried the error if this returns. */
	if (!bench_fail_submission(_metadata, b))
		return;

	/* The buffer is enabled now: this one is submitted by ENQUEUE. */
	ret = iio_enqueue(b->buf.fd, b->other.fd, b->len - 1);
	EXPECT_UNLESS("B8", ret < 0);
	EXPECT_EQ(POLLOUT, dmabuf_wait_idle(&b->other));
}

/* --- all buffers at once, for what takes long --- */

#define MAX_BENCHES	8

FIXTURE(enqueue_all) {
	struct bench bench[MAX_BENCHES];
	size_t nr;
};

FIXTURE_SETUP(enqueue_all)
{
	const struct dut_variant *v, *last = NULL;
	size_t i = 0;

	v = dut_variant_next(DUT_ANY, &i);
	if (!dut_setup(_metadata, v))
		return;

	for (; v && self->nr < MAX_BENCHES; v = dut_variant_next(DUT_ANY, &i)) {
		/* The node of a device opens only once. */
		if (last && !strcmp(last->dut->dir, v->dut->dir))
			continue;
		last = v;

		bench_init(&self->bench[self->nr++]);
		bench_setup(_metadata, &self->bench[self->nr - 1], v);
	}
}

FIXTURE_TEARDOWN(enqueue_all)
{
	size_t i;

	for (i = 0; i < self->nr; i++)
		bench_teardown(&self->bench[i]);
	dut_teardown(_metadata);
}

TEST_REQ(enqueue_all, blocking_gives_up, "ENQ-19")
{
	struct bench *b;

	for (b = self->bench; b < self->bench + self->nr; b++) {
		bench_conflict(_metadata, b, DMA_BUF_SYNC_WRITE);
		/* Not to try again. */
		atomic_store(&b->waiter.released, true);
		ASSERT_OK(waiter_start(&b->waiter, &b->buf, &b->d));
	}

	for (b = self->bench; b < self->bench + self->nr; b++) {
		EXPECT_ERRNO(waiter_finish(&b->waiter), EBUSY);
		bench_release(_metadata, b);
		EXPECT_OK(iio_enqueue(b->buf.fd, b->d.fd, b->len));
		EXPECT_EQ(POLLOUT, dmabuf_wait_idle(&b->d));
	}
}

/* --- two buffers --- */

FIXTURE(enqueue_pair) {
	struct bench out;
	struct bench in;
};

DUT_FIXTURE(enqueue_pair, DUT_PAIR);

FIXTURE_SETUP(enqueue_pair)
{
	struct dut_variant in;

	bench_init(&self->out);
	bench_init(&self->in);
	if (!dut_setup(_metadata, &variant->v))
		return;

	in = variant->v;
	in.dut = variant->v.peer;
	bench_setup(_metadata, &self->out, &variant->v);
	bench_setup(_metadata, &self->in, &in);
}

FIXTURE_TEARDOWN(enqueue_pair)
{
	bench_teardown(&self->out);
	bench_teardown(&self->in);
	dut_teardown(_metadata);
}

TEST_REQ(enqueue_pair, attached_to_other_buffer, "ENQ-03")
{
	struct bench *out = &self->out, *in = &self->in;

	EXPECT_ERRNO(iio_enqueue(out->buf.fd, in->d.fd, in->len), EPERM);
	EXPECT_ERRNO(iio_enqueue(in->buf.fd, out->d.fd, out->len), EPERM);
}

/*
 * A complete transfer of another buffer is the time in which a transfer that
 * was wrongly started would have been done as well.
 */
static void idle_while_other_runs(struct __test_metadata *_metadata,
				  struct bench *idle, struct bench *other)
{
	ASSERT_OK(enqueue_held(&idle->buf, &idle->d, idle->len, &idle->sync));

	ASSERT_OK(enqueue_held(&other->buf, &other->d, other->len,
			       &other->sync));
	ASSERT_OK(iio_enable(other->buf.dut));
	ASSERT_EQ(1, sync_file_wait(other->sync));

	EXPECT_EQ(0, sync_file_status(idle->sync)) {
		TH_LOG("%s is disabled and has done a transfer",
		       idle->buf.dut->name);
	}
	EXPECT_EQ(0, dmabuf_idle(&idle->d));
	EXPECT_EQ(-1, pattern_mismatch(idle->d.map, idle->len, POISON));

	ASSERT_OK(iio_enable(idle->buf.dut));
	EXPECT_EQ(1, sync_file_wait(idle->sync));
}

TEST_REQ(enqueue_pair, output_is_idle_while_disabled, "ENQ-14")
{
	idle_while_other_runs(_metadata, &self->out, &self->in);
}

TEST_REQ(enqueue_pair, input_is_idle_while_disabled, "ENQ-14")
{
	idle_while_other_runs(_metadata, &self->in, &self->out);
}

/* --- loopback --- */

FIXTURE(enqueue_loop) {
	struct iio_buf out;
	struct iio_buf in;
	struct dmabuf tx[DEPTH];
	struct dmabuf rx[DEPTH];
	size_t len;
	size_t slice;
	int sync;
	struct waiter waiter;
};

DUT_FIXTURE(enqueue_loop, DUT_LOOPBACK);

FIXTURE_SETUP(enqueue_loop)
{
	int i;

	self->out = (struct iio_buf)IIO_BUF_INIT;
	self->in = (struct iio_buf)IIO_BUF_INIT;
	self->sync = -1;
	for (i = 0; i < DEPTH; i++) {
		self->tx[i] = (struct dmabuf)DMABUF_INIT;
		self->rx[i] = (struct dmabuf)DMABUF_INIT;
	}

	if (!dut_setup(_metadata, &variant->v))
		return;

	self->len = iio_good_length(variant->v.dut, variant->v.peer);
	self->slice = iio_part_length(variant->v.dut, variant->v.peer, DEPTH);
	ASSERT_OK(iio_buf_open(&self->out, variant->v.dut));
	ASSERT_OK(iio_buf_open(&self->in, variant->v.peer));
}

FIXTURE_TEARDOWN(enqueue_loop)
{
	int i;

	iio_buf_close(&self->out);
	iio_buf_close(&self->in);
	close_fd(&self->sync);
	for (i = 0; i < DEPTH; i++) {
		dmabuf_free(&self->tx[i]);
		dmabuf_free(&self->rx[i]);
	}
	dut_teardown(_metadata);
}

/*
 * Allocate and attach @n DMABUFs of @len bytes, the first with pattern @seed,
 * the second with the next one...
 */
static void provide(struct __test_metadata *_metadata,
		    const struct iio_buf *buf, struct dmabuf *d, int n,
		    size_t len, uint64_t seed)
{
	int i;

	for (i = 0; i < n; i++) {
		ASSERT_OK(alloc_filled(&d[i], exporter_default(), len,
				       seed + i));
		ASSERT_OK(iio_attach(buf->fd, d[i].fd));
	}
}

static void enqueue_each(struct __test_metadata *_metadata,
			 const struct iio_buf *buf, const struct dmabuf *d,
			 int n, size_t len)
{
	int i;

	for (i = 0; i < n; i++) {
		ASSERT_OK(iio_enqueue(buf->fd, d[i].fd, len));
	}
}

/* The part of @d at @offset must be what @seed says, once it is there. */
static void expect_received(struct __test_metadata *_metadata,
			    const struct dmabuf *d, size_t offset, size_t len,
			    uint64_t seed)
{
	ASSERT_EQ(POLLOUT, dmabuf_wait_idle(d)) {
		TH_LOG("the input does not complete");
	}
	ASSERT_OK(dmabuf_sync(d->fd, DMA_BUF_SYNC_START | DMA_BUF_SYNC_READ));
	EXPECT_EQ(-1, pattern_mismatch(d->map + offset, len, seed)) {
		TH_LOG("%#zx bytes at %#zx are not those of output %d", len,
		       offset, (int)(seed - SENT));
	}
	ASSERT_OK(dmabuf_sync(d->fd, DMA_BUF_SYNC_END | DMA_BUF_SYNC_READ));
}

TEST_REQ(enqueue_loop, output_returns_before_transfer, "ENQ-01")
{
	provide(_metadata, &self->out, self->tx, 1, self->len, SENT);
	ASSERT_OK(iio_enable(self->out.dut));
	EXPECT_OK(enqueue_watched(self->out.fd, self->tx[0].fd, self->len));
	EXPECT_EQ(0, dmabuf_idle(&self->tx[0]));
}

TEST_REQ(enqueue_loop, input_returns_before_transfer, "ENQ-01")
{
	provide(_metadata, &self->in, self->rx, 1, self->len, POISON);
	ASSERT_OK(iio_enable(self->in.dut));
	EXPECT_OK(enqueue_watched(self->in.fd, self->rx[0].fd, self->len));
	EXPECT_EQ(0, dmabuf_idle(&self->rx[0]));
}

static void refused_while_running(struct __test_metadata *_metadata,
				  const struct iio_buf *buf,
				  const struct dmabuf *d, int *sync)
{
	ASSERT_OK(fd_set_nonblock(buf->fd, true));
	ASSERT_OK(iio_enable(buf->dut));
	ASSERT_OK(enqueue_held(buf, d, d->size, sync));
	EXPECT_ERRNO(iio_enqueue(buf->fd, d->fd, d->size), EPERM, EBUSY);
	EXPECT_EQ(0, sync_file_status(*sync));
}

TEST_REQ(enqueue_loop, output_already_running, "ENQ-07")
{
	provide(_metadata, &self->in, self->rx, 1, self->len, POISON);
	provide(_metadata, &self->out, self->tx, 1, self->len, SENT);
	refused_while_running(_metadata, &self->out, &self->tx[0],
			      &self->sync);

	enqueue_each(_metadata, &self->in, self->rx, 1, self->len);
	ASSERT_OK(iio_enable(self->in.dut));
	EXPECT_EQ(1, sync_file_wait(self->sync));
	expect_received(_metadata, &self->rx[0], 0, self->len, SENT);
}

TEST_REQ(enqueue_loop, input_already_running, "ENQ-07")
{
	provide(_metadata, &self->in, self->rx, 1, self->len, POISON);
	provide(_metadata, &self->out, self->tx, 1, self->len, SENT);
	refused_while_running(_metadata, &self->in, &self->rx[0],
			      &self->sync);

	enqueue_each(_metadata, &self->out, self->tx, 1, self->len);
	ASSERT_OK(iio_enable(self->out.dut));
	EXPECT_EQ(1, sync_file_wait(self->sync));
	expect_received(_metadata, &self->rx[0], 0, self->len, SENT);
}

static void abort_running(struct __test_metadata *_metadata,
			  const struct iio_buf *buf, const struct dmabuf *d,
			  int *sync)
{
	ASSERT_OK(iio_enable(buf->dut));
	ASSERT_OK(enqueue_held(buf, d, d->size, sync));
	ASSERT_OK(iio_disable(buf->dut));
	ASSERT_ERRNO(sync_file_wait(*sync), EINTR);
}

TEST_REQ(enqueue_loop, output_again_after_abort, "ENQ-13")
{
	provide(_metadata, &self->in, self->rx, 1, self->len, POISON);
	provide(_metadata, &self->out, self->tx, 1, self->len, SENT);
	abort_running(_metadata, &self->out, &self->tx[0], &self->sync);

	enqueue_each(_metadata, &self->out, self->tx, 1, self->len);
	enqueue_each(_metadata, &self->in, self->rx, 1, self->len);
	ASSERT_OK(iio_enable(self->in.dut));
	ASSERT_OK(iio_enable(self->out.dut));
	EXPECT_EQ(POLLOUT, dmabuf_wait_idle(&self->tx[0]));
	expect_received(_metadata, &self->rx[0], 0, self->len, SENT);
}

TEST_REQ(enqueue_loop, input_again_after_abort, "ENQ-13")
{
	provide(_metadata, &self->in, self->rx, 1, self->len, POISON);
	provide(_metadata, &self->out, self->tx, 1, self->len, SENT);
	abort_running(_metadata, &self->in, &self->rx[0], &self->sync);

	enqueue_each(_metadata, &self->out, self->tx, 1, self->len);
	enqueue_each(_metadata, &self->in, self->rx, 1, self->len);
	ASSERT_OK(iio_enable(self->in.dut));
	ASSERT_OK(iio_enable(self->out.dut));
	EXPECT_EQ(POLLOUT, dmabuf_wait_idle(&self->tx[0]));
	expect_received(_metadata, &self->rx[0], 0, self->len, SENT);
}

/*
 * Order: many DMABUFs on one side, a single one on the other. Two queues that
 * are both wrong in the same way would look right.
 */

static void expect_sent_in_order(struct __test_metadata *_metadata,
				 const struct dmabuf *rx, size_t len)
{
	int i;

	for (i = 0; i < DEPTH; i++)
		expect_received(_metadata, rx, i * len, len, SENT + i);
}

TEST_REQ(enqueue_loop, outputs_queued_while_disabled, "ENQ-15")
{
	provide(_metadata, &self->in, self->rx, 1, DEPTH * self->slice, POISON);
	provide(_metadata, &self->out, self->tx, DEPTH, self->slice, SENT);

	enqueue_each(_metadata, &self->in, self->rx, 1, DEPTH * self->slice);
	enqueue_each(_metadata, &self->out, self->tx, DEPTH, self->slice);
	ASSERT_OK(iio_enable(self->in.dut));
	ASSERT_OK(iio_enable(self->out.dut));

	expect_sent_in_order(_metadata, &self->rx[0], self->slice);
}

TEST_REQ(enqueue_loop, outputs_enqueued_while_enabled, "ENQ-16")
{
	provide(_metadata, &self->in, self->rx, 1, DEPTH * self->slice, POISON);
	provide(_metadata, &self->out, self->tx, DEPTH, self->slice, SENT);

	ASSERT_OK(iio_enable(self->out.dut));
	enqueue_each(_metadata, &self->out, self->tx, DEPTH, self->slice);
	enqueue_each(_metadata, &self->in, self->rx, 1, DEPTH * self->slice);
	ASSERT_OK(iio_enable(self->in.dut));

	expect_sent_in_order(_metadata, &self->rx[0], self->slice);
}

/* One long output, and a part of it for each input */
static void provide_slices(struct __test_metadata *_metadata,
			   const struct iio_buf *buf, struct dmabuf *d,
			   size_t len)
{
	int i;

	ASSERT_OK(dmabuf_alloc(d, exporter_default(), DEPTH * len));
	ASSERT_OK(dmabuf_begin_cpu(d));
	for (i = 0; i < DEPTH; i++)
		pattern_fill(d->map + i * len, len, SENT + i);
	ASSERT_OK(dmabuf_end_cpu(d));
	ASSERT_OK(iio_attach(buf->fd, d->fd));
}

static void expect_slices_in_order(struct __test_metadata *_metadata,
				   const struct dmabuf *rx, size_t len)
{
	int i;

	for (i = 0; i < DEPTH; i++)
		expect_received(_metadata, &rx[i], 0, len, SENT + i);
}

TEST_REQ(enqueue_loop, inputs_queued_while_disabled, "ENQ-15")
{
	provide_slices(_metadata, &self->out, &self->tx[0], self->slice);
	provide(_metadata, &self->in, self->rx, DEPTH, self->slice, POISON);

	enqueue_each(_metadata, &self->in, self->rx, DEPTH, self->slice);
	enqueue_each(_metadata, &self->out, self->tx, 1, DEPTH * self->slice);
	ASSERT_OK(iio_enable(self->in.dut));
	ASSERT_OK(iio_enable(self->out.dut));

	expect_slices_in_order(_metadata, self->rx, self->slice);
}

TEST_REQ(enqueue_loop, inputs_enqueued_while_enabled, "ENQ-16")
{
	provide_slices(_metadata, &self->out, &self->tx[0], self->slice);
	provide(_metadata, &self->in, self->rx, DEPTH, self->slice, POISON);

	ASSERT_OK(iio_enable(self->in.dut));
	enqueue_each(_metadata, &self->in, self->rx, DEPTH, self->slice);
	enqueue_each(_metadata, &self->out, self->tx, 1, DEPTH * self->slice);
	ASSERT_OK(iio_enable(self->out.dut));

	expect_slices_in_order(_metadata, self->rx, self->slice);
}

TEST_REQ(enqueue_loop, output_bytes_used_below_size, "ENQ-29")
{
	int ret;

	provide(_metadata, &self->in, self->rx, 1, 2 * self->slice, POISON);
	provide(_metadata, &self->out, &self->tx[0], 1, 2 * self->slice, SENT);
	provide(_metadata, &self->out, &self->tx[1], 1, self->slice, SENT + 1);

	ret = iio_enqueue(self->out.fd, self->tx[0].fd, self->slice);
	ASSERT_ERRNO(ret, 0, EINVAL);
	if (ret)
		return;

	enqueue_each(_metadata, &self->out, &self->tx[1], 1, self->slice);
	enqueue_each(_metadata, &self->in, self->rx, 1, 2 * self->slice);
	ASSERT_OK(iio_enable(self->in.dut));
	ASSERT_OK(iio_enable(self->out.dut));

	expect_received(_metadata, &self->rx[0], 0, self->slice, SENT);
	expect_received(_metadata, &self->rx[0], self->slice, self->slice,
			SENT + 1);
}

TEST_REQ(enqueue_loop, output_unaligned_is_exact, "ENQ-06")
{
	size_t part = self->len - 1;
	int ret;

	if (self->out.dut->align == 1)
		SKIP(return, "%s takes any length: needs length_align_bytes above 1",
		     self->out.dut->name);

	provide(_metadata, &self->in, self->rx, 1, self->len, POISON);
	provide(_metadata, &self->out, self->tx, 2, self->len, SENT);

	ret = enqueue_held(&self->out, &self->tx[0], part, &self->sync);
	ASSERT_ERRNO(ret, 0, EINVAL);
	if (ret)
		return;

	enqueue_each(_metadata, &self->in, self->rx, 1, self->len);
	ASSERT_OK(iio_enable(self->in.dut));
	ASSERT_OK(iio_enable(self->out.dut));
	ASSERT_EQ(POLLIN, fd_poll(self->sync, POLLIN, DEADLINE_MS));
	if (sync_file_status(self->sync) < 0)
		return;

	/* It was done: the next one goes on right behind it. */
	enqueue_each(_metadata, &self->out, &self->tx[1], 1, self->len);
	expect_received(_metadata, &self->rx[0], 0, part, SENT);
	expect_received(_metadata, &self->rx[0], part, 1, SENT + 1);
}

TEST_REQ(enqueue_loop, input_unaligned_is_exact, "ENQ-06")
{
	size_t part = self->len - 1;
	uint8_t *before;
	int ret;

	if (self->in.dut->align == 1)
		SKIP(return, "%s takes any length: needs length_align_bytes above 1",
		     self->in.dut->name);

	before = malloc(self->len);
	ASSERT_NE(NULL, before);
	pattern_fill(before, self->len, POISON);
	provide(_metadata, &self->in, self->rx, 1, self->len, POISON);
	provide(_metadata, &self->out, self->tx, 1, self->len, SENT);

	ret = enqueue_held(&self->in, &self->rx[0], part, &self->sync);
	ASSERT_ERRNO(ret, 0, EINVAL);
	if (!ret) {
		enqueue_each(_metadata, &self->out, self->tx, 1, self->len);
		ASSERT_OK(iio_enable(self->in.dut));
		ASSERT_OK(iio_enable(self->out.dut));
		ASSERT_EQ(POLLIN, fd_poll(self->sync, POLLIN, DEADLINE_MS));
		if (sync_file_status(self->sync) == 1) {
			expect_received(_metadata, &self->rx[0], 0, part,
					SENT);
			EXPECT_EQ(before[part], self->rx[0].map[part]) {
				TH_LOG("the byte behind bytes_used was written");
			}
		}
	}

	free(before);
}

/*
 * The fence that an output waits for is that of an input, which would take the
 * data of the output if that ran too early. It is to get those of another one.
 */
TEST_REQ(enqueue_loop, output_starts_after_wait, "ENQ-18")
{
	provide(_metadata, &self->in, self->rx, 2, self->len, POISON);
	provide(_metadata, &self->out, self->tx, 2, self->len, SENT);
	ASSERT_OK(iio_enable(self->in.dut));
	ASSERT_OK(iio_enable(self->out.dut));

	ASSERT_OK(enqueue_held(&self->in, &self->rx[0], self->len,
			       &self->sync));
	ASSERT_OK(dmabuf_import(self->tx[1].fd, self->sync,
				DMA_BUF_SYNC_WRITE));
	ASSERT_OK(waiter_start(&self->waiter, &self->out, &self->tx[1]));
	assert_waits(_metadata, &self->waiter);

	enqueue_each(_metadata, &self->out, &self->tx[0], 1, self->len);
	ASSERT_EQ(1, sync_file_wait(self->sync));
	EXPECT_OK(waiter_finish(&self->waiter));
	expect_received(_metadata, &self->rx[0], 0, self->len, SENT);

	enqueue_each(_metadata, &self->in, &self->rx[1], 1, self->len);
	expect_received(_metadata, &self->rx[1], 0, self->len, SENT + 1);
}

/* The same with input and output changed over */
TEST_REQ(enqueue_loop, input_starts_after_wait, "ENQ-18")
{
	provide(_metadata, &self->in, self->rx, 2, self->len, POISON);
	provide(_metadata, &self->out, self->tx, 2, self->len, SENT);
	ASSERT_OK(iio_enable(self->in.dut));
	ASSERT_OK(iio_enable(self->out.dut));

	ASSERT_OK(enqueue_held(&self->out, &self->tx[0], self->len,
			       &self->sync));
	ASSERT_OK(dmabuf_import(self->rx[1].fd, self->sync,
				DMA_BUF_SYNC_WRITE));
	ASSERT_OK(waiter_start(&self->waiter, &self->in, &self->rx[1]));
	assert_waits(_metadata, &self->waiter);

	enqueue_each(_metadata, &self->in, &self->rx[0], 1, self->len);
	ASSERT_EQ(1, sync_file_wait(self->sync));
	EXPECT_OK(waiter_finish(&self->waiter));
	expect_received(_metadata, &self->rx[0], 0, self->len, SENT);

	enqueue_each(_metadata, &self->out, &self->tx[1], 1, self->len);
	expect_received(_metadata, &self->rx[1], 0, self->len, SENT + 1);
}

TEST_REQ(enqueue_loop, failed_fence_is_no_conflict, "ENQ-22")
{
	provide(_metadata, &self->in, self->rx, 1, self->len, POISON);
	provide(_metadata, &self->out, self->tx, 2, self->len, SENT);
	ASSERT_OK(fd_set_nonblock(self->out.fd, true));
	ASSERT_OK(iio_enable(self->out.dut));

	/* Only a pending fence is imported. */
	ASSERT_OK(enqueue_held(&self->out, &self->tx[0], self->len,
			       &self->sync));
	ASSERT_OK(dmabuf_import(self->tx[1].fd, self->sync,
				DMA_BUF_SYNC_WRITE));
	ASSERT_OK(iio_disable(self->out.dut));
	ASSERT_ERRNO(sync_file_wait(self->sync), EINTR);

	EXPECT_OK(iio_enqueue(self->out.fd, self->tx[1].fd, self->len));
	enqueue_each(_metadata, &self->in, self->rx, 1, self->len);
	ASSERT_OK(iio_enable(self->in.dut));
	ASSERT_OK(iio_enable(self->out.dut));
	expect_received(_metadata, &self->rx[0], 0, self->len, SENT + 1);
}

CONFORMANCE_MAIN

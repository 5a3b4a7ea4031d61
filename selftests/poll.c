// SPDX-License-Identifier: GPL-2.0
/*
 * Readiness: poll(), select(), epoll and io_uring on a DMABUF tell when its
 * transfer is done; poll() on the buffer's own descriptor knows nothing of
 * DMABUFs.
 *
 * A transfer that is enqueued while the buffer is disabled stays pending until
 * the buffer is enabled: that is how the tests hold it. What must be ready is
 * given a deadline, and each event on its own, because the fence may still be
 * busy with the callback of an earlier poll() when it has signalled.
 */

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/select.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#ifdef HAVE_LIBURING
#include <liburing.h>
#endif

#include "lib/blocked.h"
#include "lib/conformance.h"
#include "lib/fileio.h"
#include "lib/deadline.h"
#include "lib/transfer.h"

/* A poll() for a thread of its own */
struct poll_call {
	int fd;
	short events;
	int timeout_ms;
};

static int poll_call(void *arg)
{
	struct poll_call *call = arg;

	return fd_poll(call->fd, call->events, call->timeout_ms);
}

/* Have a thread sleep in poll() until the DMABUF is ready. */
static void waiter_start(struct __test_metadata *_metadata,
			 struct blocked *waiter, struct poll_call *call)
{
	ASSERT_OK(blocked_start(waiter, poll_call, call));
	ASSERT_OK(blocked_wait(waiter, BLOCKED_POLL)) {
		TH_LOG("poll() did not wait for the transfer, it reported 0x%x",
		       waiter->ret);
	}
}

/* Return: wait status of a child, or -ETIMEDOUT after DEADLINE_MS. */
static int child_wait(pid_t pid)
{
	int pidfd, ready, status;

	if (pid < 0)
		return -ECHILD;

	pidfd = syscall(SYS_pidfd_open, pid, 0);
	ready = fd_poll(pidfd, POLLIN, DEADLINE_MS);
	close(pidfd);
	if (ready != POLLIN)
		kill(pid, SIGKILL);

	return waitpid(pid, &status, 0) == pid && ready == POLLIN ?
		status : -ETIMEDOUT;
}

/* --- a DMABUF on any buffer --- */

#define NR_POLLERS	6

FIXTURE(poll) {
	struct transfer t;
	struct dmabuf other;
	struct poll_call call[NR_POLLERS];
	struct blocked waiter[NR_POLLERS];
};

DUT_FIXTURE(poll, DUT_ANY);

FIXTURE_SETUP(poll)
{
	self->t = (struct transfer)TRANSFER_INIT;
	self->other = (struct dmabuf)DMABUF_INIT;

	if (!dut_setup(_metadata, &variant->v))
		return;

	transfer_setup_attached(_metadata, &self->t, variant->v.dut,
				variant->v.exporter, variant->v.dut->align);
}

FIXTURE_TEARDOWN(poll)
{
	transfer_teardown(&self->t);
	dmabuf_free(&self->other);
	dut_teardown(_metadata);
}

TEST_REQ(poll, idle_is_ready, "POL-01")
{
	EXPECT_EQ(POLL_BOTH, fd_poll(self->t.d.fd, POLL_BOTH, 0));

	ASSERT_OK(iio_enable(self->t.buf.dut));
	EXPECT_EQ(POLL_BOTH, fd_poll(self->t.d.fd, POLL_BOTH, 0));
	ASSERT_OK(iio_disable(self->t.buf.dut));

	ASSERT_OK(iio_detach(self->t.buf.fd, self->t.d.fd));
	EXPECT_EQ(POLL_BOTH, fd_poll(self->t.d.fd, POLL_BOTH, 0));
}

TEST_REQ(poll, writable_when_done, "POL-02")
{
	struct poll_call call = { self->t.d.fd, POLLOUT, DEADLINE_MS };

	self->call[0] = call;
	transfer_hold(_metadata, &self->t);
	EXPECT_EQ(0, fd_poll(self->t.d.fd, POLLOUT, 0));

	waiter_start(_metadata, &self->waiter[0], &self->call[0]);
	EXPECT_EQ(0, sync_file_status(self->t.fence));

	ASSERT_OK(iio_enable(self->t.buf.dut));
	EXPECT_EQ(POLLOUT, blocked_join(&self->waiter[0]));
	EXPECT_EQ(1, sync_file_status(self->t.fence));
}

/* Whether the abort or the transfer comes first is up to the device. */
TEST_REQ(poll, ended_by_disable_is_ready, "POL-06")
{
	transfer_hold(_metadata, &self->t);
	ASSERT_OK(iio_enable(self->t.buf.dut));
	ASSERT_OK(iio_disable(self->t.buf.dut));

	EXPECT_EQ(POLLOUT, fd_poll(self->t.d.fd, POLLOUT, DEADLINE_MS));
	EXPECT_EQ(POLLIN, fd_poll(self->t.d.fd, POLLIN, DEADLINE_MS));
	EXPECT_NE(0, sync_file_status(self->t.fence));
}

TEST_REQ(poll, readiness_is_a_level, "POL-07")
{
	int round, look;

	for (round = 0; round < 3; round++) {
		transfer_hold(_metadata, &self->t);
		for (look = 0; look < 3; look++) {
			EXPECT_EQ(0, fd_poll(self->t.d.fd, POLLOUT, 0));
		}

		transfer_finish(_metadata, &self->t);
		ASSERT_EQ(POLLIN, fd_poll(self->t.d.fd, POLLIN, DEADLINE_MS));
		ASSERT_EQ(POLLOUT, fd_poll(self->t.d.fd, POLLOUT, DEADLINE_MS));
		for (look = 0; look < 3; look++) {
			EXPECT_EQ(POLL_BOTH,
				  fd_poll(self->t.d.fd, POLL_BOTH, 0));
		}
	}
}

/* Return: the events that epoll reports, 0 on time-out, a negative errno. */
static int epoll_look(int epfd, int timeout_ms)
{
	struct epoll_event event;
	int ret;

	ret = epoll_wait(epfd, &event, 1, timeout_ms);
	if (ret < 0)
		return -errno;

	return ret ? (int)event.events : 0;
}

static int epoll_call(void *arg)
{
	return epoll_look(*(int *)arg, DEADLINE_MS);
}

/* Return: an epoll with the one descriptor in it, or a negative errno. */
static int epoll_on(int fd, uint32_t events)
{
	struct epoll_event event = { .events = events };
	int epfd, err;

	epfd = epoll_create1(EPOLL_CLOEXEC);
	if (epfd < 0)
		return -errno;

	if (!epoll_ctl(epfd, EPOLL_CTL_ADD, fd, &event))
		return epfd;

	err = -errno;
	close(epfd);

	return err;
}

#define EPOLL_ROUNDS	16

static void epoll_every_completion(struct __test_metadata *_metadata,
				   FIXTURE_DATA(poll) *self, uint32_t mode)
{
	static int epfd;
	int round;

	epfd = epoll_on(self->t.d.fd, EPOLLOUT | mode);
	ASSERT_LE(0, epfd);

	for (round = 0; round < EPOLL_ROUNDS; round++) {
		/* One that was seen pending, ... */
		transfer_hold(_metadata, &self->t);
		ASSERT_EQ(0, epoll_look(epfd, 0));
		transfer_finish(_metadata, &self->t);
		ASSERT_EQ(EPOLLOUT, epoll_look(epfd, DEADLINE_MS));

		/* one that came and went between two looks, ... */
		transfer_hold(_metadata, &self->t);
		transfer_finish(_metadata, &self->t);
		ASSERT_EQ(EPOLLOUT, epoll_look(epfd, DEADLINE_MS));

		/* and one that has a sleeper to wake. */
		transfer_hold(_metadata, &self->t);
		ASSERT_OK(blocked_start(&self->waiter[0], epoll_call, &epfd));
		ASSERT_OK(blocked_wait(&self->waiter[0], BLOCKED_EPOLL)) {
			TH_LOG("epoll_wait() did not wait for the transfer, it reported 0x%x",
			       self->waiter[0].ret);
		}
		transfer_finish(_metadata, &self->t);
		ASSERT_EQ(EPOLLOUT, blocked_join(&self->waiter[0]));
	}

	close(epfd);
}

TEST_REQ(poll, epoll_level_sees_every_completion, "POL-08")
{
	epoll_every_completion(_metadata, self, 0);
}

TEST_REQ(poll, epoll_edge_sees_every_completion, "POL-08")
{
	epoll_every_completion(_metadata, self, EPOLLET);
}

/* A process that sleeps in poll() and tells by its exit code what it saw */
static pid_t poller_fork(const struct poll_call *call)
{
	pid_t pid;

	pid = fork();
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		_exit(fd_poll(call->fd, call->events, call->timeout_ms) !=
		      call->events);
	}

	return pid;
}

TEST_REQ(poll, completion_wakes_all_pollers, "POL-09")
{
	struct poll_call call = { self->t.d.fd, POLLOUT, DEADLINE_MS };
	struct poll_call call_dup = call;
	pid_t child, child_dup;
	int i;

	call_dup.fd = dup(self->t.d.fd);
	ASSERT_LE(0, call_dup.fd);
	transfer_hold(_metadata, &self->t);

	child = poller_fork(&call);
	ASSERT_LT(0, child);
	child_dup = poller_fork(&call_dup);
	ASSERT_LT(0, child_dup);
	for (i = 0; i < NR_POLLERS; i++) {
		self->call[i] = i % 2 ? call_dup : call;
		waiter_start(_metadata, &self->waiter[i], &self->call[i]);
	}
	EXPECT_OK(blocked_wait_pid(child, BLOCKED_POLL));
	EXPECT_OK(blocked_wait_pid(child_dup, BLOCKED_POLL));

	ASSERT_OK(iio_enable(self->t.buf.dut));
	for (i = 0; i < NR_POLLERS; i++) {
		EXPECT_EQ(POLLOUT, blocked_join(&self->waiter[i]));
	}
	EXPECT_EQ(0, child_wait(child));
	EXPECT_EQ(0, child_wait(child_dup));
	close(call_dup.fd);
}

TEST_REQ(poll, close_under_a_poller, "POL-10")
{
	struct poll_call call = { self->t.d.fd, POLLOUT, DEADLINE_MS };

	self->call[0] = call;
	transfer_hold(_metadata, &self->t);
	waiter_start(_metadata, &self->waiter[0], &self->call[0]);

	dmabuf_free(&self->t.d);
	EXPECT_OK(blocked_wait(&self->waiter[0], BLOCKED_POLL));
	EXPECT_EQ(0, sync_file_status(self->t.fence));

	/* It wakes up and finds what now has its descriptor, or POLLNVAL. */
	ASSERT_OK(iio_enable(self->t.buf.dut));
	EXPECT_LT(0, blocked_join(&self->waiter[0])) {
		TH_LOG("the completion did not wake the poller");
	}
	EXPECT_EQ(1, sync_file_wait(self->t.fence));
}

/*
 * A memfd cannot be sealed against writing while a udmabuf has its pages: the
 * one sign of life that a DMABUF without descriptors and mappings gives.
 */
static int memfd_seal(int memfd)
{
	return fcntl(memfd, F_ADD_SEALS, F_SEAL_WRITE) ? -errno : 0;
}

TEST_REQ(poll, closed_dmabuf_lives_until_its_fence, "POL-10")
{
	struct transfer *t = &self->t;
	size_t size = t->d.size;
	int memfd;

	memfd = memfd_for_udmabuf(size);
	ASSERT_LE(0, memfd);

	dmabuf_free(&t->d);
	if (dmabuf_from_memfd(&t->d, memfd, 0, size)) {
		close(memfd);
		SKIP(return, "no udmabuf: enable CONFIG_UDMABUF, make /dev/udmabuf accessible");
	}

	ASSERT_OK(iio_attach(t->buf.fd, t->d.fd));
	transfer_hold(_metadata, t);
	ASSERT_OK(iio_detach(t->buf.fd, t->d.fd));
	dmabuf_free(&t->d);
	EXPECT_ERRNO(memfd_seal(memfd), EBUSY) {
		TH_LOG("the memory of the DMABUF was freed with its transfer pending");
	}

	transfer_finish(_metadata, t);
	EXPECT_TRUE(wait_until(!memfd_seal(memfd))) {
		TH_LOG("the DMABUF was not freed after its transfer");
	}
	close(memfd);
}

TEST_REQ(poll, no_events_asked_for_none_reported, "POL-13")
{
	EXPECT_EQ(0, fd_poll(self->t.d.fd, 0, 0));

	transfer_hold(_metadata, &self->t);
	EXPECT_EQ(0, fd_poll(self->t.d.fd, 0, 0));

	transfer_finish(_metadata, &self->t);
	EXPECT_EQ(0, fd_poll(self->t.d.fd, 0, 0));
}

/* What a client that can be cancelled waits for */
struct poll_pair {
	struct pollfd fds[2];
};

static int poll_pair_call(void *arg)
{
	struct poll_pair *pair = arg;

	return poll(pair->fds, 2, DEADLINE_MS);
}

TEST_REQ(poll, dmabuf_and_eventfd_wake_the_same_poller, "POL-14")
{
	static struct poll_pair pair;
	uint64_t one = 1;
	int event;

	event = eventfd(0, EFD_CLOEXEC);
	ASSERT_LE(0, event);
	pair.fds[0] = (struct pollfd){ self->t.d.fd, POLLOUT, 0 };
	pair.fds[1] = (struct pollfd){ event, POLLIN, 0 };
	transfer_hold(_metadata, &self->t);

	ASSERT_OK(blocked_start(&self->waiter[0], poll_pair_call, &pair));
	ASSERT_OK(blocked_wait(&self->waiter[0], BLOCKED_POLL));
	ASSERT_EQ(sizeof(one), write(event, &one, sizeof(one)));
	EXPECT_EQ(1, blocked_join(&self->waiter[0]));
	EXPECT_EQ(0, pair.fds[0].revents);
	EXPECT_EQ(POLLIN, pair.fds[1].revents);
	ASSERT_EQ(sizeof(one), read(event, &one, sizeof(one)));

	ASSERT_OK(blocked_start(&self->waiter[0], poll_pair_call, &pair));
	ASSERT_OK(blocked_wait(&self->waiter[0], BLOCKED_POLL));
	ASSERT_OK(iio_enable(self->t.buf.dut));
	EXPECT_EQ(1, blocked_join(&self->waiter[0]));
	EXPECT_EQ(POLLOUT, pair.fds[0].revents);
	EXPECT_EQ(0, pair.fds[1].revents);
	close(event);
}

/* The event of before is still to be fetched when the transfer is enqueued. */
TEST_REQ(poll, readiness_is_a_snapshot, "POL-20")
{
	int epfd;

	epfd = epoll_on(self->t.d.fd, EPOLLOUT);
	ASSERT_LE(0, epfd);
	EXPECT_EQ(POLLOUT, fd_poll(self->t.d.fd, POLLOUT, 0));

	transfer_hold(_metadata, &self->t);
	EXPECT_EQ(0, fd_poll(self->t.d.fd, POLLOUT, 0));
	EXPECT_EQ(0, epoll_look(epfd, 0));

	transfer_finish(_metadata, &self->t);
	EXPECT_EQ(POLLOUT, fd_poll(self->t.d.fd, POLLOUT, DEADLINE_MS));
	EXPECT_EQ(EPOLLOUT, epoll_look(epfd, DEADLINE_MS));
	close(epfd);
}

/* select() with the arguments and the result of fd_poll() */
static int fd_select(int fd, short events, int timeout_ms)
{
	struct timeval tv = { .tv_sec = timeout_ms / 1000 };
	fd_set in, out;

	FD_ZERO(&in);
	FD_ZERO(&out);
	if (events & POLLIN)
		FD_SET(fd, &in);
	if (events & POLLOUT)
		FD_SET(fd, &out);
	if (select(fd + 1, &in, &out, NULL, &tv) < 0)
		return -errno;

	return (FD_ISSET(fd, &in) ? POLLIN : 0) |
	       (FD_ISSET(fd, &out) ? POLLOUT : 0);
}

TEST_REQ(poll, select_agrees_with_poll, "POL-21")
{
	int fd = self->t.d.fd;

	EXPECT_EQ(POLL_BOTH, fd_select(fd, POLL_BOTH, 0));

	transfer_hold(_metadata, &self->t);
	EXPECT_EQ(0, fd_select(fd, POLLOUT, 0));
	EXPECT_EQ(fd_poll(fd, POLL_BOTH, 0), fd_select(fd, POLL_BOTH, 0));

	transfer_finish(_metadata, &self->t);
	EXPECT_EQ(POLLOUT, fd_select(fd, POLLOUT, DEADLINE_MS));
	EXPECT_EQ(POLLIN, fd_select(fd, POLLIN, DEADLINE_MS));
}

static int nr_signals;

static void count_signal(int sig)
{
	(void)sig;
	__atomic_add_fetch(&nr_signals, 1, __ATOMIC_RELAXED);
}

/* ppoll() with the arguments and the result of fd_poll(), and a mask */
static int fd_ppoll(int fd, short events, int timeout_ms, const sigset_t *mask)
{
	struct timespec ts = { .tv_sec = timeout_ms / 1000 };
	struct pollfd pfd = { .fd = fd, .events = events };
	int ret;

	ret = ppoll(&pfd, 1, &ts, mask);
	if (ret < 0)
		return -errno;

	return ret ? pfd.revents : 0;
}

TEST_REQ(poll, ppoll_takes_its_signal_mask, "POL-21")
{
	struct sigaction action = { .sa_handler = count_signal }, old_action;
	sigset_t blocked, old_mask;
	int fd = self->t.d.fd;

	sigemptyset(&blocked);
	sigaddset(&blocked, SIGUSR1);
	ASSERT_EQ(0, sigaction(SIGUSR1, &action, &old_action));
	ASSERT_EQ(0, pthread_sigmask(SIG_BLOCK, &blocked, &old_mask));

	transfer_hold(_metadata, &self->t);
	raise(SIGUSR1);
	EXPECT_EQ(0, fd_ppoll(fd, POLLOUT, 0, &blocked));
	EXPECT_EQ(0, nr_signals);

	EXPECT_ERRNO(fd_ppoll(fd, POLLOUT, DEADLINE_MS, &old_mask), EINTR);
	EXPECT_EQ(1, nr_signals);

	raise(SIGUSR1);
	transfer_finish(_metadata, &self->t);
	EXPECT_EQ(POLLOUT, fd_ppoll(fd, POLLOUT, DEADLINE_MS, &blocked));
	EXPECT_EQ(1, nr_signals);

	pthread_sigmask(SIG_SETMASK, &old_mask, NULL);
	sigaction(SIGUSR1, &old_action, NULL);
}

/* A second is far more than a poll() needs, and far less than the ENQUEUE. */
#define POLL_ZERO_MS	1000

struct poll_zero {
	int fd;
	int returned;
};

static int poll_zero_call(void *arg)
{
	struct poll_zero *zero = arg;
	uint64_t one = 1;
	int ret;

	ret = fd_poll(zero->fd, POLLOUT, 0);
	if (write(zero->returned, &one, sizeof(one)) != sizeof(one))
		return -errno;

	return ret;
}

TEST_REQ(poll, never_blocks_with_timeout_zero, "POL-05")
{
	static struct enqueue_call enqueue;
	static struct poll_zero zero;
	bool returned;

	ASSERT_OK(dmabuf_alloc(&self->other, variant->v.exporter,
			       self->t.d.size));
	ASSERT_OK(iio_attach(self->t.buf.fd, self->other.fd));
	transfer_hold(_metadata, &self->t);

	/* ENQUEUE of the other DMABUF waits for the transfer of the first. */
	ASSERT_OK(dmabuf_import(self->other.fd, self->t.fence,
				DMA_BUF_SYNC_WRITE));
	enqueue = (struct enqueue_call){
		self->t.buf.fd, self->other.fd, self->t.len,
	};
	ASSERT_OK(blocked_start(&self->waiter[0], enqueue_once, &enqueue));
	ASSERT_OK(blocked_wait(&self->waiter[0], SYS_ioctl));

	zero.fd = self->other.fd;
	zero.returned = eventfd(0, EFD_CLOEXEC);
	ASSERT_LE(0, zero.returned);
	ASSERT_OK(blocked_start(&self->waiter[1], poll_zero_call, &zero));
	returned = fd_poll(zero.returned, POLLIN, POLL_ZERO_MS) == POLLIN;
	EXPECT_UNLESS("B7", returned);

	ASSERT_OK(iio_enable(self->t.buf.dut));
	EXPECT_ERRNO(blocked_join(&self->waiter[0]), OK, EBUSY);
	EXPECT_LE(0, blocked_join(&self->waiter[1]));
	EXPECT_EQ(POLLOUT, fd_poll(self->other.fd, POLLOUT, DEADLINE_MS));
	close(zero.returned);
}

/* --- io_uring --- */

#ifdef HAVE_LIBURING

/* Return: false if the test was marked as skipped. */
static bool ring_setup(struct __test_metadata *_metadata,
		       struct io_uring *ring)
{
	int ret;

	ret = io_uring_queue_init(4, ring, 0);
	if (ret == -ENOSYS || ret == -EPERM)
		SKIP(return false,
		     "no io_uring: enable CONFIG_IO_URING, set sysctl kernel.io_uring_disabled to 0");
	ASSERT_OK(ret);

	return true;
}

/* Return: result of the next request that completes, or a negative errno. */
static int ring_result(struct io_uring *ring, uint64_t *id)
{
	struct __kernel_timespec ts = { .tv_sec = DEADLINE_MS / 1000 };
	struct io_uring_cqe *cqe;
	int ret;

	ret = io_uring_wait_cqe_timeout(ring, &cqe, &ts);
	if (ret)
		return ret;

	ret = cqe->res;
	*id = cqe->user_data;
	io_uring_cqe_seen(ring, cqe);

	return ret;
}

static bool ring_idle(struct io_uring *ring)
{
	struct io_uring_cqe *cqe;

	return io_uring_peek_cqe(ring, &cqe) == -EAGAIN;
}

static int ring_submit_poll(struct io_uring *ring, int fd, uint64_t id)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(ring);

	io_uring_prep_poll_add(sqe, fd, POLLOUT);
	sqe->user_data = id;

	return io_uring_submit(ring);
}

TEST_REQ(poll, io_uring_poll_completes, "POL-11")
{
	struct io_uring ring;
	uint64_t id = 0;

	if (!ring_setup(_metadata, &ring))
		return;

	transfer_hold(_metadata, &self->t);
	ASSERT_EQ(1, ring_submit_poll(&ring, self->t.d.fd, 1));
	EXPECT_TRUE(ring_idle(&ring)) {
		TH_LOG("IORING_OP_POLL_ADD completed with the transfer pending");
	}

	ASSERT_OK(iio_enable(self->t.buf.dut));
	EXPECT_EQ(POLLOUT, ring_result(&ring, &id));
	EXPECT_EQ(1, id);
	io_uring_queue_exit(&ring);
}

TEST_REQ(poll, io_uring_poll_can_be_cancelled, "POL-11")
{
	int res[3] = {}, i;
	struct io_uring_sqe *sqe;
	struct io_uring ring;
	uint64_t id = 0;

	if (!ring_setup(_metadata, &ring))
		return;

	transfer_hold(_metadata, &self->t);
	ASSERT_EQ(1, ring_submit_poll(&ring, self->t.d.fd, 1));
	ASSERT_TRUE(ring_idle(&ring));

	sqe = io_uring_get_sqe(&ring);
	io_uring_prep_poll_remove(sqe, 1);
	sqe->user_data = 2;
	ASSERT_EQ(1, io_uring_submit(&ring));

	/* The poll and its cancellation complete in any order. */
	for (i = 0; i < 2; i++) {
		int ret = ring_result(&ring, &id);

		ASSERT_TRUE(id == 1 || id == 2);
		res[id] = ret;
	}
	EXPECT_ERRNO(res[1], ECANCELED);
	EXPECT_OK(res[2]);

	EXPECT_EQ(0, fd_poll(self->t.d.fd, POLLOUT, 0));
	transfer_finish(_metadata, &self->t);
	EXPECT_EQ(POLLOUT, fd_poll(self->t.d.fd, POLLOUT, DEADLINE_MS));
	EXPECT_TRUE(ring_idle(&ring));
	io_uring_queue_exit(&ring);
}

TEST_REQ(poll, io_uring_has_no_buffer_commands, "POL-12")
{
	struct io_uring_sqe *sqe;
	struct io_uring ring;
	uint64_t id = 0;

	if (!ring_setup(_metadata, &ring))
		return;

	sqe = io_uring_get_sqe(&ring);
	io_uring_prep_rw(IORING_OP_URING_CMD, sqe, self->t.buf.fd, NULL, 0, 0);
	sqe->user_data = 1;
	ASSERT_EQ(1, io_uring_submit(&ring));
	EXPECT_ERRNO(ring_result(&ring, &id), EOPNOTSUPP);
	EXPECT_EQ(1, id);
	io_uring_queue_exit(&ring);
}

#else

#define NO_LIBURING	"built without liburing: install its headers and static library, rebuild"

TEST_REQ(poll, io_uring_poll_completes, "POL-11")
{
	SKIP(return, NO_LIBURING);
}

TEST_REQ(poll, io_uring_poll_can_be_cancelled, "POL-11")
{
	SKIP(return, NO_LIBURING);
}

TEST_REQ(poll, io_uring_has_no_buffer_commands, "POL-12")
{
	SKIP(return, NO_LIBURING);
}

#endif

/* --- the buffer's own descriptor --- */

TEST_REQ(poll, buffer_is_never_ready_in_dmabuf_mode, "POL-16", "POL-17")
{
	int fd = self->t.buf.fd;

	EXPECT_EQ(0, fd_poll(fd, POLL_BOTH, 0));

	transfer_hold(_metadata, &self->t);
	EXPECT_EQ(0, fd_poll(fd, POLL_BOTH, 0));

	ASSERT_OK(iio_enable(self->t.buf.dut));
	EXPECT_EQ(0, fd_poll(fd, POLL_BOTH, 0));
	ASSERT_EQ(1, sync_file_wait(self->t.fence));
	EXPECT_EQ(0, fd_poll(fd, POLL_BOTH, 0));

	ASSERT_OK(iio_disable(self->t.buf.dut));
	EXPECT_EQ(0, fd_poll(fd, POLL_BOTH, 0));
}

/* Poll until told to stop. */
struct poll_loop {
	int fd;
	bool stop;
};

static int poll_loop_call(void *arg)
{
	struct poll_loop *loop = arg;
	int ret;

	do {
		ret = fd_poll(loop->fd, POLL_BOTH, 0);
	} while (ret >= 0 && !__atomic_load_n(&loop->stop, __ATOMIC_RELAXED));

	return ret;
}

#define ATTACH_ROUNDS	64

TEST_REQ(poll, buffer_can_be_polled_at_any_time, "POL-17")
{
	static struct poll_loop loop;
	struct transfer *t = &self->t;
	int i;

	/* Without DMABUFs: what the last user, if any, has left behind */
	ASSERT_OK(iio_detach(t->buf.fd, t->d.fd));
	EXPECT_LE(0, fd_poll(t->buf.fd, POLL_BOTH, 0));

	loop.fd = t->buf.fd;
	ASSERT_OK(blocked_start(&self->waiter[0], poll_loop_call, &loop));
	for (i = 0; i < ATTACH_ROUNDS; i++) {
		EXPECT_OK(iio_attach(t->buf.fd, t->d.fd));
		EXPECT_OK(iio_enable(t->buf.dut));
		EXPECT_OK(iio_disable(t->buf.dut));
		EXPECT_OK(iio_detach(t->buf.fd, t->d.fd));
	}
	__atomic_store_n(&loop.stop, true, __ATOMIC_RELAXED);
	EXPECT_LE(0, blocked_join(&self->waiter[0]));
}

/* --- input buffers --- */

/**
 * struct shape - Length and watermark of a buffer, to put them back
 * @length: attribute of that name
 * @watermark: likewise
 */
struct shape {
	char length[16];
	char watermark[16];
};

static void shape_save(const struct iio_dut *dut, struct shape *s)
{
	iio_buf_attr_read(dut, "length", s->length, sizeof(s->length));
	iio_buf_attr_read(dut, "watermark", s->watermark, sizeof(s->watermark));
}

/* The buffer must be disabled. */
static void shape_restore(const struct iio_dut *dut, const struct shape *s)
{
	iio_buf_attr_write(dut, "length", s->length);
	iio_buf_attr_write(dut, "watermark", s->watermark);
}

static int buf_attr_set(const struct iio_dut *dut, const char *attr,
			unsigned int val)
{
	char str[16];

	snprintf(str, sizeof(str), "%u", val);

	return iio_buf_attr_write(dut, attr, str);
}

/* Return: the watermark, which many buffers do not let users choose, or 0. */
static unsigned int shape_set(const struct iio_dut *dut, unsigned int length,
			      unsigned int watermark)
{
	char val[16];
	int ret;

	if (buf_attr_set(dut, "length", length))
		return 0;

	ret = buf_attr_set(dut, "watermark", watermark);
	if (ret && ret != -EACCES)
		return 0;

	if (iio_buf_attr_read(dut, "watermark", val, sizeof(val)))
		return 0;

	return strtoul(val, NULL, 10);
}

/*
 * Bytes per scan, the unit of the watermark, or 0: in file I/O mode read() of
 * less fails with EINVAL, whether there is data or not.
 */
static size_t scan_size(int fd)
{
	uint8_t scan[1024];
	size_t n;

	if (fd_set_nonblock(fd, true))
		return 0;

	for (n = 1; n < sizeof(scan); n++) {
		if (read(fd, scan, n) >= 0 || errno != EINVAL)
			return n;
	}

	return 0;
}

FIXTURE(poll_input) {
	struct transfer t;
	struct shape shape;
};

DUT_FIXTURE(poll_input, DUT_INPUT);

FIXTURE_SETUP(poll_input)
{
	self->t = (struct transfer)TRANSFER_INIT;

	if (!dut_setup(_metadata, &variant->v))
		return;

	shape_save(variant->v.dut, &self->shape);
	transfer_setup_attached(_metadata, &self->t, variant->v.dut,
				variant->v.exporter, variant->v.dut->align);
}

FIXTURE_TEARDOWN(poll_input)
{
	iio_disable(variant->v.dut);
	shape_restore(variant->v.dut, &self->shape);
	transfer_teardown(&self->t);
	dut_teardown(_metadata);
}

TEST_REQ(poll_input, pending_is_not_readable, "POL-02", "POL-03")
{
	transfer_hold(_metadata, &self->t);
	EXPECT_EQ(0, fd_poll(self->t.d.fd, POLLIN, 0));
	EXPECT_EQ(0, fd_poll(self->t.d.fd, POLL_BOTH, 0));

	transfer_finish(_metadata, &self->t);
	EXPECT_EQ(POLLIN, fd_poll(self->t.d.fd, POLLIN, DEADLINE_MS));
}

TEST_REQ(poll_input, watermark_does_not_gate_dmabufs, "POL-15")
{
	const struct iio_dut *dut = self->t.buf.dut;
	unsigned int length = 1 << 20;

	/* Drivers may have a limit. */
	while (!shape_set(dut, length, length)) {
		length /= 2;
		ASSERT_LT(1, length);
	}

	transfer_hold(_metadata, &self->t);
	ASSERT_OK(iio_enable(dut));
	EXPECT_EQ(POLLIN, fd_poll(self->t.d.fd, POLLIN, DEADLINE_MS));
	EXPECT_EQ(POLLOUT, fd_poll(self->t.d.fd, POLLOUT, DEADLINE_MS));
}

TEST_REQ(poll_input, file_io_readable_at_watermark, "POL-19")
{
	const struct iio_buf *buf = &self->t.buf;
	unsigned int watermark;
	char available[24];
	size_t scan;

	ASSERT_OK(iio_detach(buf->fd, self->t.d.fd));
	watermark = shape_set(buf->dut, 1024, 512);
	ASSERT_LT(0, watermark);
	if (!fileio_enable(_metadata, buf, &self->t.d))
		return;

	ASSERT_EQ(POLLIN, fd_poll(buf->fd, POLLIN, DEADLINE_MS));
	ASSERT_OK(iio_buf_attr_read(buf->dut, "data_available", available,
				    sizeof(available)));
	scan = scan_size(buf->fd);
	ASSERT_LT(0, scan);
	EXPECT_LE(watermark * scan, strtoul(available, NULL, 10));
}

/* --- output buffers --- */

FIXTURE(poll_output) {
	struct transfer t;
};

DUT_FIXTURE(poll_output, DUT_OUTPUT);

FIXTURE_SETUP(poll_output)
{
	self->t = (struct transfer)TRANSFER_INIT;

	if (!dut_setup(_metadata, &variant->v))
		return;

	transfer_setup_attached(_metadata, &self->t, variant->v.dut,
				variant->v.exporter, variant->v.dut->align);
}

FIXTURE_TEARDOWN(poll_output)
{
	transfer_teardown(&self->t);
	dut_teardown(_metadata);
}

TEST_REQ(poll_output, pending_is_readable_only, "POL-02", "POL-03", "POL-04")
{
	transfer_hold(_metadata, &self->t);
	EXPECT_EQ(POLLIN, fd_poll(self->t.d.fd, POLLIN, 0));
	EXPECT_EQ(POLLIN, fd_poll(self->t.d.fd, POLL_BOTH, 0));
	EXPECT_EQ(0, fd_poll(self->t.d.fd, POLLOUT, 0));

	transfer_finish(_metadata, &self->t);
	EXPECT_EQ(POLLOUT, fd_poll(self->t.d.fd, POLLOUT, DEADLINE_MS));
}

/* --- an output buffer that feeds an input buffer --- */

FIXTURE(poll_loopback) {
	struct transfer out;
	struct transfer in;
	struct shape shape;
	size_t unit;
};

DUT_FIXTURE(poll_loopback, DUT_LOOPBACK);

FIXTURE_SETUP(poll_loopback)
{
	self->out = (struct transfer)TRANSFER_INIT;
	self->in = (struct transfer)TRANSFER_INIT;

	if (!dut_setup(_metadata, &variant->v))
		return;

	/* What both can transfer; a quarter of it is to be that, too. */
	self->unit = variant->v.dut->align * variant->v.peer->align;
	shape_save(variant->v.peer, &self->shape);
	transfer_setup_attached(_metadata, &self->out, variant->v.dut,
				variant->v.exporter, 4 * self->unit);
	transfer_setup_attached(_metadata, &self->in, variant->v.peer,
				variant->v.exporter, 4 * self->unit);
}

FIXTURE_TEARDOWN(poll_loopback)
{
	iio_disable(variant->v.peer);
	shape_restore(variant->v.peer, &self->shape);
	transfer_teardown(&self->out);
	transfer_teardown(&self->in);
	dut_teardown(_metadata);
}

TEST_REQ(poll_loopback, running_is_not_done, "POL-02", "POL-03")
{
	ASSERT_OK(iio_enable(self->out.buf.dut));
	transfer_enqueue(_metadata, &self->out);
	EXPECT_EQ(POLLIN, fd_poll(self->out.d.fd, POLL_BOTH, 0));
	ASSERT_OK(iio_disable(self->out.buf.dut));
	ASSERT_NE(0, sync_file_wait(self->out.fence));

	ASSERT_OK(iio_enable(self->in.buf.dut));
	transfer_enqueue(_metadata, &self->in);
	EXPECT_EQ(0, fd_poll(self->in.d.fd, POLL_BOTH, 0));

	transfer_enqueue(_metadata, &self->out);
	EXPECT_EQ(0, fd_poll(self->in.d.fd, POLL_BOTH, 0));
	ASSERT_OK(iio_enable(self->out.buf.dut));
	EXPECT_EQ(POLLIN, fd_poll(self->in.d.fd, POLLIN, DEADLINE_MS));
	EXPECT_EQ(POLLOUT, fd_poll(self->in.d.fd, POLLOUT, DEADLINE_MS));
	EXPECT_EQ(POLLOUT, fd_poll(self->out.d.fd, POLLOUT, DEADLINE_MS));
}

static void expect_aborted_ready(struct __test_metadata *_metadata,
				 struct transfer *t)
{
	ASSERT_OK(iio_enable(t->buf.dut));
	transfer_enqueue(_metadata, t);
	EXPECT_EQ(0, fd_poll(t->d.fd, POLLOUT, 0));

	ASSERT_OK(iio_disable(t->buf.dut));
	EXPECT_EQ(POLLOUT, fd_poll(t->d.fd, POLLOUT, DEADLINE_MS));
	EXPECT_EQ(POLLIN, fd_poll(t->d.fd, POLLIN, DEADLINE_MS));
	EXPECT_GT(0, sync_file_status(t->fence));
}

TEST_REQ(poll_loopback, aborted_output_is_ready_without_error, "POL-06")
{
	expect_aborted_ready(_metadata, &self->out);
}

TEST_REQ(poll_loopback, aborted_input_is_ready_without_error, "POL-06")
{
	expect_aborted_ready(_metadata, &self->in);
}

TEST_REQ(poll_loopback, file_io_not_readable_before_watermark, "POL-19")
{
	size_t whole = self->out.len, part, scan;
	const struct iio_buf *in = &self->in.buf;
	unsigned int length, watermark;

	ASSERT_OK(iio_detach(in->fd, self->in.d.fd));
	if (!fileio_enable(_metadata, in, &self->in.d))
		return;
	scan = scan_size(in->fd);
	ASSERT_LT(0, scan);
	ASSERT_OK(iio_disable(in->dut));
	ASSERT_OK(fd_set_nonblock(in->fd, false));

	length = whole / scan;
	watermark = shape_set(in->dut, length, length / 2);
	part = watermark * scan / 2;
	part -= part % self->unit;
	ASSERT_LT(0, part);
	if (!fileio_enable(_metadata, in, &self->in.d))
		return;
	EXPECT_EQ(0, fd_poll(in->fd, POLLIN, 0));

	ASSERT_OK(iio_enable(self->out.buf.dut));
	self->out.len = part;
	transfer_enqueue(_metadata, &self->out);
	ASSERT_EQ(1, sync_file_wait(self->out.fence));
	EXPECT_EQ(0, fd_poll(in->fd, POLLIN, 0));

	/* The rest of what fits in; nobody reads, so it may not end. */
	self->out.len = whole - part;
	transfer_enqueue(_metadata, &self->out);
	EXPECT_EQ(POLLIN, fd_poll(in->fd, POLLIN, DEADLINE_MS));
}

/* --- an output and an input buffer --- */

FIXTURE(poll_pair) {
	struct transfer out;
	struct transfer in;
};

DUT_FIXTURE(poll_pair, DUT_PAIR);

FIXTURE_SETUP(poll_pair)
{
	self->out = (struct transfer)TRANSFER_INIT;
	self->in = (struct transfer)TRANSFER_INIT;

	if (!dut_setup(_metadata, &variant->v))
		return;

	transfer_setup_attached(_metadata, &self->out, variant->v.dut,
				variant->v.exporter, variant->v.dut->align);
	transfer_setup_attached(_metadata, &self->in, variant->v.peer,
				variant->v.exporter, variant->v.peer->align);
}

FIXTURE_TEARDOWN(poll_pair)
{
	transfer_teardown(&self->out);
	transfer_teardown(&self->in);
	dut_teardown(_metadata);
}

/* @t is done, but whoever reads its DMABUF, here @reader, is not. */
static void expect_held_by_reader(struct __test_metadata *_metadata,
				  struct transfer *t, struct transfer *reader)
{
	transfer_hold(_metadata, reader);
	transfer_hold(_metadata, t);
	ASSERT_OK(dmabuf_import(t->d.fd, reader->fence, DMA_BUF_SYNC_READ));
	EXPECT_EQ(0, fd_poll(t->d.fd, POLLOUT, 0));

	transfer_finish(_metadata, t);
	EXPECT_EQ(POLLIN, fd_poll(t->d.fd, POLLIN, DEADLINE_MS));
	EXPECT_EQ(0, fd_poll(t->d.fd, POLLOUT, 0));

	transfer_finish(_metadata, reader);
	EXPECT_EQ(POLLOUT, fd_poll(t->d.fd, POLLOUT, DEADLINE_MS));
}

TEST_REQ(poll_pair, reader_holds_back_done_output, "POL-22")
{
	expect_held_by_reader(_metadata, &self->out, &self->in);
}

TEST_REQ(poll_pair, reader_holds_back_done_input, "POL-22")
{
	expect_held_by_reader(_metadata, &self->in, &self->out);
}

CONFORMANCE_MAIN

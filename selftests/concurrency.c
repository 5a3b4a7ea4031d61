// SPDX-License-Identifier: GPL-2.0
/*
 * Several at a time: threads whose calls meet, calls that meet the end of a
 * transfer, signals that come while a call waits, and who has to wait for whom.
 *
 * Which call comes first cannot be forced from user space. The races below are
 * run for a while with delays that sweep over the calls, print how often they
 * did meet, and check what must hold whoever wins. The suite does not fail
 * because nothing met. IIO_DMABUF_RACE_MS makes each race that long.
 */

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/blocked.h"
#include "lib/call.h"
#include "lib/conformance.h"
#include "lib/deadline.h"
#include "lib/file.h"
#include "lib/race.h"

/* How many transfers are under way when they are to be caught at their end */
#define DEPTH		4

/* Ages for a process to die in, and shorter than the wait of an ENQUEUE */
#define KILL_MS		4000

/* A transfer that may have been aborted: it must have ended in either way. */
static bool ended_well(int status)
{
	return status == 1 || status == -EINTR;
}

static bool dmabuf_done(const struct dmabuf *d)
{
	return fd_poll(d->fd, POLLOUT, DEADLINE_MS) == POLLOUT;
}

/* --- races on one buffer --- */

FIXTURE(race) {
	struct iio_buf buf;
	struct dmabuf d;
	struct dmabuf other;
	struct dmabuf many[DEPTH];
	long refs;
	int fence;
	unsigned int step;
	struct race race;
};

DUT_FIXTURE(race, DUT_ANY);

FIXTURE_SETUP(race)
{
	int i;

	self->buf = (struct iio_buf)IIO_BUF_INIT;
	self->d = (struct dmabuf)DMABUF_INIT;
	self->other = (struct dmabuf)DMABUF_INIT;
	for (i = 0; i < DEPTH; i++)
		self->many[i] = (struct dmabuf)DMABUF_INIT;
	self->fence = -1;

	if (!dut_setup(_metadata, &variant->v))
		return;

	ASSERT_OK(iio_buf_open(&self->buf, variant->v.dut));
	ASSERT_OK(variant_alloc(&self->d, &variant->v));
	ASSERT_OK(variant_alloc(&self->other, &variant->v));
	self->refs = dmabuf_refs(self->d.fd);
	ASSERT_OK(race_init(&self->race));
}

FIXTURE_TEARDOWN(race)
{
	int i;

	iio_buf_close(&self->buf);
	dmabuf_free(&self->d);
	dmabuf_free(&self->other);
	for (i = 0; i < DEPTH; i++)
		dmabuf_free(&self->many[i]);
	close_fd(&self->fence);
	dut_teardown(_metadata);
}

/* What the racers do; @arg is the fixture. */

static int race_attach(void *arg)
{
	FIXTURE_DATA(race) *self = arg;

	return iio_attach(self->buf.fd, self->d.fd);
}

static int race_detach(void *arg)
{
	FIXTURE_DATA(race) *self = arg;

	return iio_detach(self->buf.fd, self->d.fd);
}

static int race_enqueue(void *arg)
{
	FIXTURE_DATA(race) *self = arg;

	return iio_enqueue(self->buf.fd, self->d.fd, self->d.size);
}

static int race_enqueue_fence(void *arg)
{
	FIXTURE_DATA(race) *self = arg;

	self->fence = iio_enqueue_whole(&self->buf, &self->d);

	return self->fence < 0 ? self->fence : 0;
}

static int race_poll(void *arg)
{
	FIXTURE_DATA(race) *self = arg;
	int i, ret = 0;

	for (i = 0; i < 20 && ret >= 0; i++)
		ret = fd_poll(self->d.fd, POLLIN | POLLOUT, 0);

	return ret;
}

/* Enabled for a moment */
static int race_toggle(void *arg)
{
	FIXTURE_DATA(race) *self = arg;

	return iio_enable(self->buf.dut) ?: iio_disable(self->buf.dut);
}

static int race_close(void *arg)
{
	FIXTURE_DATA(race) *self = arg;

	return close(self->buf.fd) ? -errno : 0;
}

/* Add the same call for each CPU, or for two threads where there is one. */
static void race_add_all(struct __test_metadata *_metadata, struct race *r,
			 int (*call)(void *arg), void *arg)
{
	unsigned int i, nr = race_cpus();

	for (i = 0; i < nr || i < 2; i++) {
		ASSERT_OK(race_add(r, call, arg));
	}
}

/* Exactly one of the calls must succeed, the others must be refused. */
static void expect_one_winner(struct __test_metadata *_metadata,
			      const struct race *r, int refused,
			      int also_refused)
{
	unsigned int i, winners = 0;

	for (i = 0; i < r->nr; i++) {
		ASSERT_ERRNO(r->racer[i].ret, OK, refused, also_refused);
		winners += !r->racer[i].ret;
	}
	ASSERT_EQ(1, winners) {
		TH_LOG("of %u calls at the same time %u succeeded", r->nr,
		       winners);
	}
}

TEST_REQ(race, attach_succeeds_once, "CONC-01")
{
	race_add_all(_metadata, &self->race, race_attach, self);

	while (race_goes_on(&self->race)) {
		ASSERT_OK(race_round(&self->race));
		expect_one_winner(_metadata, &self->race, EBUSY, EBUSY);

		ASSERT_OK(iio_detach(self->buf.fd, self->d.fd));
		ASSERT_ERRNO(iio_detach(self->buf.fd, self->d.fd), EPERM);
		ASSERT_OK(dmabuf_wait_refs(self->d.fd, self->refs));
	}
	race_end(&self->race);
	EXPECT_EQ(self->refs, dmabuf_refs(self->d.fd));
}

TEST_REQ(race, enqueue_against_detach, "CONC-03")
{
	ASSERT_OK(iio_attach(self->buf.fd, self->other.fd));
	ASSERT_OK(iio_enable(self->buf.dut));
	ASSERT_OK(race_add(&self->race, race_enqueue, self));
	ASSERT_OK(race_add(&self->race, race_detach, self));

	while (race_goes_on(&self->race)) {
		ASSERT_OK(iio_attach(self->buf.fd, self->d.fd));
		ASSERT_OK(race_round(&self->race));
		ASSERT_ERRNO(self->race.racer[0].ret, OK, EPERM);
		ASSERT_OK(self->race.racer[1].ret);
		ASSERT_TRUE(dmabuf_done(&self->d)) {
			TH_LOG("the transfer was accepted, but its fence does not signal");
		}
	}
	race_end(&self->race);
	EXPECT_OK(dmabuf_wait_refs(self->d.fd, self->refs));
	EXPECT_EQ(self->refs, dmabuf_refs(self->d.fd));
}

TEST_REQ(race, enqueue_against_enable_and_disable, "CONC-04")
{
	int status;

	ASSERT_OK(iio_attach(self->buf.fd, self->d.fd));
	ASSERT_OK(race_add(&self->race, race_enqueue_fence, self));
	ASSERT_OK(race_add(&self->race, race_toggle, self));

	while (race_goes_on(&self->race)) {
		ASSERT_OK(race_round(&self->race));
		ASSERT_OK(self->race.racer[0].ret);
		ASSERT_OK(self->race.racer[1].ret);

		/* It came too late for the enable: give it another one. */
		if (!sync_file_status(self->fence)) {
			ASSERT_OK(race_toggle(self));
		}
		status = sync_file_wait(self->fence);
		ASSERT_TRUE(ended_well(status)) {
			TH_LOG("the transfer was accepted, but its fence says %d, expected 1 or -EINTR",
			       status);
		}
		close_fd(&self->fence);
	}
	race_end(&self->race);
}

static int (* const closed_under[])(void *arg) = {
	race_attach, race_detach, race_enqueue,
};

static int race_any(void *arg)
{
	FIXTURE_DATA(race) *self = arg;

	return closed_under[self->step](arg);
}

TEST_REQ(race, close_under_calls, "CONC-05")
{
	int ret;

	ASSERT_OK(race_add(&self->race, race_any, self));
	ASSERT_OK(race_add(&self->race, race_close, self));

	while (race_goes_on(&self->race)) {
		self->step = self->race.rounds % ARRAY_SIZE(closed_under);
		if (closed_under[self->step] != race_attach) {
			ASSERT_OK(iio_attach(self->buf.fd, self->d.fd));
		}

		ASSERT_OK(race_round(&self->race));
		ASSERT_ERRNO(self->race.racer[0].ret, OK, EBADF);
		ASSERT_OK(self->race.racer[1].ret);

		/* What was queued is aborted now, if it was not by close(). */
		ASSERT_OK(race_toggle(self));
		ASSERT_TRUE(dmabuf_done(&self->d)) {
			TH_LOG("the fence of a closed buffer does not signal");
		}
		ASSERT_OK(dmabuf_wait_refs(self->d.fd, self->refs)) {
			TH_LOG("the closed buffer keeps the DMABUF");
		}
		ASSERT_EQ(self->refs, dmabuf_refs(self->d.fd));

		ret = iio_get_fd(self->buf.dev_fd, self->buf.dut->index);
		ASSERT_OK(ret);
		self->buf.fd = ret;
	}
	race_end(&self->race);
}

/* Calls that may fail because of somebody else, but then without a trace */

TEST_REQ(race, nonblocking_enqueue_among_pollers, "CONC-07")
{
	unsigned int busy = 0, tries;
	int ret;

	ASSERT_OK(iio_attach(self->buf.fd, self->d.fd));
	ASSERT_OK(iio_enable(self->buf.dut));
	ASSERT_OK(fd_set_nonblock(self->buf.fd, true));
	ASSERT_OK(race_add(&self->race, race_enqueue, self));
	ASSERT_OK(race_add(&self->race, race_poll, self));

	while (race_goes_on(&self->race)) {
		ASSERT_OK(race_round(&self->race));
		ret = self->race.racer[0].ret;
		ASSERT_ERRNO(ret, OK, EBUSY);
		busy += ret == -EBUSY;

		/* Nobody polls any more. */
		for (tries = 0; ret && tries < 100; tries++)
			ret = race_enqueue(self);
		ASSERT_OK(ret) {
			TH_LOG("still refused after %u tries, with nothing pending and nobody polling",
			       tries);
		}
		ASSERT_TRUE(dmabuf_done(&self->d));
	}
	race_end(&self->race);
	TH_LOG("%u times EBUSY because of a poller", busy);
}

TEST_REQ(race, nonblocking_attach_among_pollers, "CONC-07")
{
	unsigned int busy = 0, tries;
	int ret;

	ASSERT_OK(fd_set_nonblock(self->buf.fd, true));
	ASSERT_OK(race_add(&self->race, race_attach, self));
	ASSERT_OK(race_add(&self->race, race_poll, self));

	while (race_goes_on(&self->race)) {
		ASSERT_OK(race_round(&self->race));
		ret = self->race.racer[0].ret;
		ASSERT_ERRNO(ret, OK, EBUSY);
		busy += ret == -EBUSY;

		for (tries = 0; ret && tries < 100; tries++)
			ret = race_attach(self);
		ASSERT_OK(ret) {
			TH_LOG("still refused after %u tries with nobody polling",
			       tries);
		}
		ASSERT_OK(race_detach(self));
	}
	race_end(&self->race);
	TH_LOG("%u times EBUSY because of a poller", busy);
	EXPECT_OK(dmabuf_wait_refs(self->d.fd, self->refs));
}

/* One call after the other on the DMABUF, and on the state of the buffer */
static int race_next_op(void *arg)
{
	FIXTURE_DATA(race) *self = arg;

	switch (self->step) {
	case 0:
		return race_attach(self);
	case 1:
		return race_enqueue(self);
	case 2:
		return iio_enable(self->buf.dut);
	case 3:
		return iio_disable(self->buf.dut);
	default:
		return race_detach(self);
	}
}

#define NR_OPS	5

/* Look at everything that can be looked at. */
static int race_look(void *arg)
{
	FIXTURE_DATA(race) *self = arg;
	static const char * const attrs[] = {
		"enable", "length", "watermark", "data_available",
	};
	char val[32];
	size_t i;
	int ret;

	for (i = 0; i < ARRAY_SIZE(attrs); i++) {
		ret = iio_buf_attr_read(self->buf.dut, attrs[i], val,
					sizeof(val));
		if (ret)
			return ret;
		if (strspn(val, "0123456789") != strlen(val))
			return -EBADMSG;
	}

	ret = fd_poll(self->buf.fd, POLLIN | POLLOUT, 0);
	if (ret < 0)
		return ret;
	ret = fd_poll(self->d.fd, POLLIN | POLLOUT, 0);

	return ret < 0 ? ret : 0;
}

TEST_REQ(race, looking_on, "CONC-13")
{
	ASSERT_OK(race_add(&self->race, race_next_op, self));
	ASSERT_OK(race_add(&self->race, race_look, self));

	while (race_goes_on(&self->race)) {
		self->step = (self->race.rounds - 1) % NR_OPS;
		ASSERT_OK(race_round(&self->race));
		ASSERT_OK(self->race.racer[0].ret);
		ASSERT_OK(self->race.racer[1].ret) {
			TH_LOG("reading an attribute or poll() failed next to another call");
		}
		if (self->step == NR_OPS - 1) {
			ASSERT_TRUE(dmabuf_done(&self->d));
		}
	}
	race_end(&self->race);
}

/* --- the end of a transfer --- */

/* Enable, and return how many nanoseconds later @fence has signalled. */
static uint64_t time_to_signal(struct __test_metadata *_metadata,
			       const struct iio_buf *buf, int fence)
{
	uint64_t start = now_ns();

	ASSERT_OK(iio_enable(buf->dut));
	ASSERT_EQ(1, sync_file_wait(fence));

	return now_ns() - start;
}

static void enqueue_many(struct __test_metadata *_metadata,
			 FIXTURE_DATA(race) *self, int fence[DEPTH])
{
	int i;

	for (i = 0; i < DEPTH; i++) {
		fence[i] = iio_enqueue_whole(&self->buf, &self->many[i]);
		ASSERT_OK(fence[i]);
	}
}

TEST_REQ(race, completion_against_disable, "CONC-14")
{
	int fence[DEPTH], status[DEPTH], i;
	uint64_t span, start;

	for (i = 0; i < DEPTH; i++) {
		ASSERT_OK(variant_alloc(&self->many[i], &variant->v));
		ASSERT_OK(iio_attach(self->buf.fd, self->many[i].fd));
	}
	enqueue_many(_metadata, self, fence);
	span = time_to_signal(_metadata, &self->buf, fence[DEPTH - 1]);
	ASSERT_OK(iio_disable(self->buf.dut));
	for (i = 0; i < DEPTH; i++)
		close_fd(&fence[i]);

	while (race_goes_on(&self->race)) {
		enqueue_many(_metadata, self, fence);
		start = now_ns();
		ASSERT_OK(iio_enable(self->buf.dut));
		spin_until(start + race_delay(&self->race, span));
		ASSERT_OK(iio_disable(self->buf.dut));

		for (i = 0; i < DEPTH; i++) {
			status[i] = sync_file_wait(fence[i]);
			ASSERT_TRUE(ended_well(status[i])) {
				TH_LOG("transfer %d ended with %d, expected 1 or -EINTR",
				       i, status[i]);
			}
		}
		self->race.met += status[0] != status[DEPTH - 1];

		/* Whatever was late to signal comes with the next one. */
		ASSERT_OK(race_toggle(self));
		for (i = 0; i < DEPTH; i++) {
			ASSERT_EQ(status[i], sync_file_status(fence[i])) {
				TH_LOG("the fence of transfer %d was signalled again",
				       i);
			}
			close_fd(&fence[i]);
		}
	}
	race_end(&self->race);
}

TEST_REQ(race, detach_as_transfer_completes, "CONC-17")
{
	uint64_t span, start;
	bool pending;

	ASSERT_OK(iio_attach(self->buf.fd, self->other.fd));
	ASSERT_OK(iio_attach(self->buf.fd, self->d.fd));
	ASSERT_OK(race_enqueue_fence(self));
	span = time_to_signal(_metadata, &self->buf, self->fence);
	close_fd(&self->fence);
	ASSERT_OK(iio_detach(self->buf.fd, self->d.fd));

	while (race_goes_on(&self->race)) {
		ASSERT_OK(iio_attach(self->buf.fd, self->d.fd));
		start = now_ns();
		ASSERT_OK(race_enqueue_fence(self));
		spin_until(start + race_delay(&self->race, span));
		pending = !sync_file_status(self->fence);
		ASSERT_OK(iio_detach(self->buf.fd, self->d.fd));
		self->race.met += pending && sync_file_status(self->fence);

		ASSERT_EQ(1, sync_file_wait(self->fence));
		close_fd(&self->fence);
		ASSERT_OK(dmabuf_wait_refs(self->d.fd, self->refs));
		ASSERT_EQ(self->refs, dmabuf_refs(self->d.fd)) {
			TH_LOG("a reference to the DMABUF was dropped twice");
		}
	}
	race_end(&self->race);
}

/* --- ENQUEUE of the same DMABUF, on inputs only: see B1 --- */

FIXTURE(race_input) {
	struct iio_buf buf;
	struct dmabuf d;
	struct race race;
};

DUT_FIXTURE(race_input, DUT_INPUT);

FIXTURE_SETUP(race_input)
{
	self->buf = (struct iio_buf)IIO_BUF_INIT;
	self->d = (struct dmabuf)DMABUF_INIT;

	if (!dut_setup(_metadata, &variant->v))
		return;

	ASSERT_OK(iio_buf_open(&self->buf, variant->v.dut));
	ASSERT_OK(variant_alloc(&self->d, &variant->v));
	ASSERT_OK(iio_attach(self->buf.fd, self->d.fd));
	ASSERT_OK(fd_set_nonblock(self->buf.fd, true));
	ASSERT_OK(race_init(&self->race));
}

FIXTURE_TEARDOWN(race_input)
{
	iio_buf_close(&self->buf);
	dmabuf_free(&self->d);
	dut_teardown(_metadata);
}

static int race_input_enqueue(void *arg)
{
	FIXTURE_DATA(race_input) *self = arg;

	return iio_enqueue(self->buf.fd, self->d.fd, self->d.size);
}

TEST_REQ(race_input, enqueue_succeeds_once, "CONC-02")
{
	long refs = dmabuf_refs(self->d.fd);

	race_add_all(_metadata, &self->race, race_input_enqueue, self);

	while (race_goes_on(&self->race)) {
		ASSERT_OK(race_round(&self->race));
		expect_one_winner(_metadata, &self->race, EPERM, EBUSY);
		ASSERT_EQ(0, fd_poll(self->d.fd, POLLOUT, 0)) {
			TH_LOG("the DMABUF is ready with its transfer pending");
		}

		ASSERT_OK(iio_enable(self->buf.dut));
		ASSERT_TRUE(dmabuf_done(&self->d));
		ASSERT_OK(iio_disable(self->buf.dut));
		ASSERT_EQ(POLLOUT, fd_poll(self->d.fd, POLLOUT, 0)) {
			TH_LOG("the DMABUF was queued more than once");
		}
	}
	race_end(&self->race);
	EXPECT_OK(dmabuf_wait_refs(self->d.fd, refs));
}

/* --- calls that wait --- */

FIXTURE(waiting) {
	struct iio_buf buf;
	struct dmabuf d;
	struct dmabuf gate;
	struct dmabuf other;
	int fence;
	struct blocked call;
	atomic_bool released;
};

DUT_FIXTURE(waiting, DUT_ANY);

FIXTURE_SETUP(waiting)
{
	self->buf = (struct iio_buf)IIO_BUF_INIT;
	self->d = (struct dmabuf)DMABUF_INIT;
	self->gate = (struct dmabuf)DMABUF_INIT;
	self->other = (struct dmabuf)DMABUF_INIT;
	self->fence = -1;

	if (!dut_setup(_metadata, &variant->v))
		return;

	ASSERT_OK(iio_buf_open(&self->buf, variant->v.dut));
	ASSERT_OK(variant_alloc(&self->d, &variant->v));
	ASSERT_OK(variant_alloc(&self->gate, &variant->v));
	ASSERT_OK(variant_alloc(&self->other, &variant->v));
}

FIXTURE_TEARDOWN(waiting)
{
	iio_buf_close(&self->buf);
	dmabuf_free(&self->d);
	dmabuf_free(&self->gate);
	dmabuf_free(&self->other);
	close_fd(&self->fence);
	dut_teardown(_metadata);
}

static int import_fence(int sync_file, int dmabuf_fd)
{
	return dmabuf_import(dmabuf_fd, sync_file, DMA_BUF_SYNC_READ);
}

TEST_REQ(waiting, enqueue_leaves_dmabuf_to_others, "CONC-08")
{
	pid_t enqueue, import;

	enqueue = call_waiting_enqueue(&self->buf, &self->gate, &self->d);
	ASSERT_OK(enqueue);
	self->fence = dmabuf_export(self->gate.fd, DMA_BUF_SYNC_RW);
	ASSERT_OK(self->fence);

	import = call_start(import_fence, self->fence, self->d.fd);
	EXPECT_UNLESS("B7", !call_blocks(import));

	call_kill(enqueue);
	EXPECT_OK(call_result(import));
}

/* The one that waits has made its call before O_NONBLOCK was set. */
TEST_REQ(waiting, nonblocking_enqueue_does_not, "CONC-15")
{
	pid_t enqueue, nonblocking;

	enqueue = call_waiting_enqueue(&self->buf, &self->gate, &self->d);
	ASSERT_OK(enqueue);

	ASSERT_OK(fd_set_nonblock(self->buf.fd, true));
	nonblocking = call_start(call_enqueue, self->buf.fd, self->d.fd);
	EXPECT_FALSE(call_blocks(nonblocking)) {
		TH_LOG("a non-blocking ENQUEUE waits next to a blocking one");
	}

	call_kill(enqueue);
	EXPECT_ERRNO(call_result(nonblocking), EBUSY);
	EXPECT_EQ(0, fd_poll(self->gate.fd, POLLOUT, 0));
}

static void on_signal(int sig)
{
	(void)sig;
}

static int waiting_enqueue(void *arg)
{
	FIXTURE_DATA(waiting) *self = arg;
	int ret;

	/* The wait is bounded, what the test does meanwhile is not. */
	do {
		ret = iio_enqueue(self->buf.fd, self->d.fd, self->d.size);
	} while (ret == -EBUSY && !atomic_load(&self->released));

	return ret;
}

/* How often a call is interrupted, more than it takes to see it fail */
#define NR_SIGNALS	10

TEST_REQ(waiting, restarted_enqueue_queues_once, "CONC-09")
{
	const struct sigaction act = {
		.sa_handler = on_signal, .sa_flags = SA_RESTART,
	};
	struct sigaction old;
	long refs;
	int i;

	ASSERT_EQ(0, sigaction(SIGUSR1, &act, &old));
	ASSERT_OK(iio_attach(self->buf.fd, self->d.fd));
	refs = dmabuf_refs(self->d.fd);
	ASSERT_OK(iio_add_pending_fence(&self->buf, &self->gate, &self->d,
					DMA_BUF_SYNC_WRITE));

	ASSERT_OK(blocked_start(&self->call, waiting_enqueue, self));
	for (i = 0; i < NR_SIGNALS; i++) {
		ASSERT_OK(blocked_wait(&self->call, SYS_ioctl)) {
			TH_LOG("after %d signals ENQUEUE returned %s", i,
			       errno_name(-self->call.ret));
		}
		pthread_kill(self->call.thread, SIGUSR1);
	}

	atomic_store(&self->released, true);
	ASSERT_OK(iio_enable(self->buf.dut));
	EXPECT_OK(blocked_join(&self->call));
	EXPECT_TRUE(dmabuf_done(&self->d));
	EXPECT_OK(dmabuf_wait_refs(self->d.fd, refs));

	/* There is nothing left of the calls that were interrupted. */
	EXPECT_OK(iio_enqueue(self->buf.fd, self->d.fd, self->d.size));
	EXPECT_TRUE(dmabuf_done(&self->d));
	sigaction(SIGUSR1, &old, NULL);
}

/* Start a call in a process of its own, which sleeps in system call @nr. */
static pid_t sleeper_start(int (*call)(int, int), int fd, int dmabuf_fd,
			   long nr)
{
	pid_t pid = call_start(call, fd, dmabuf_fd);
	int ret;

	if (pid < 0)
		return pid;

	ret = blocked_wait_pid(pid, nr);
	if (!ret)
		return pid;

	call_kill(pid);

	return ret;
}

/* SIGKILL must end the process long before what it waits for comes. */
static void expect_killed(struct __test_metadata *_metadata, pid_t pid)
{
	int pidfd, status = 0;

	pidfd = syscall(SYS_pidfd_open, pid, 0);
	ASSERT_LE(0, pidfd);
	kill(pid, SIGKILL);
	/* One that cannot be killed cannot be waited for either. */
	ASSERT_EQ(POLLIN, fd_poll(pidfd, POLLIN, KILL_MS)) {
		TH_LOG("the process goes on waiting after SIGKILL");
	}
	close(pidfd);
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_TRUE(WIFSIGNALED(status));
}

TEST_REQ(waiting, kill_ends_enqueue, "CONC-10")
{
	pid_t pid;

	pid = call_waiting_enqueue(&self->buf, &self->gate, &self->d);
	ASSERT_OK(pid) {
		TH_LOG("a blocking ENQUEUE does not wait, or not so that a signal ends it");
	}
	expect_killed(_metadata, pid);
	EXPECT_EQ(0, fd_poll(self->gate.fd, POLLOUT, 0));
}

/* In the direction of the buffer, see D1; either one waits. */
static int sync_start_output(int fd, int dmabuf_fd)
{
	(void)fd;

	return dmabuf_sync(dmabuf_fd, DMA_BUF_SYNC_START | DMA_BUF_SYNC_WRITE);
}

static int sync_start_input(int fd, int dmabuf_fd)
{
	(void)fd;

	return dmabuf_sync(dmabuf_fd, DMA_BUF_SYNC_START | DMA_BUF_SYNC_READ);
}

TEST_REQ(waiting, kill_ends_sync, "CONC-10")
{
	pid_t pid;

	ASSERT_OK(iio_attach(self->buf.fd, self->d.fd));
	self->fence = iio_enqueue_whole(&self->buf, &self->d);
	ASSERT_OK(self->fence);

	pid = sleeper_start(self->buf.dut->output ? sync_start_output :
			    sync_start_input, -1, self->d.fd, SYS_ioctl);
	ASSERT_OK(pid);
	expect_killed(_metadata, pid);
	EXPECT_EQ(0, sync_file_status(self->fence));
}

static int poll_forever(int fd, int dmabuf_fd)
{
	(void)fd;

	return fd_poll(dmabuf_fd, POLLOUT, -1);
}

TEST_REQ(waiting, kill_ends_poll, "CONC-10")
{
	pid_t pid;

	ASSERT_OK(iio_attach(self->buf.fd, self->d.fd));
	self->fence = iio_enqueue_whole(&self->buf, &self->d);
	ASSERT_OK(self->fence);

	pid = sleeper_start(poll_forever, -1, self->d.fd, BLOCKED_POLL);
	ASSERT_OK(pid);
	expect_killed(_metadata, pid);
	EXPECT_EQ(0, sync_file_status(self->fence));
}

static int read_page(int fd, int dmabuf_fd)
{
	char page[4096];

	(void)dmabuf_fd;

	return read(fd, page, sizeof(page)) < 0 ? -errno : 0;
}

static int write_page(int fd, int dmabuf_fd)
{
	char page[4096] = {};

	(void)dmabuf_fd;

	return write(fd, page, sizeof(page)) < 0 ? -errno : 0;
}

/* Nothing comes by read() or write() while there are DMABUFs. */
TEST_REQ(waiting, kill_ends_file_io, "CONC-10")
{
	bool output = self->buf.dut->output;
	pid_t pid;

	ASSERT_OK(iio_attach(self->buf.fd, self->d.fd));
	ASSERT_OK(iio_enable(self->buf.dut));
	pid = sleeper_start(output ? write_page : read_page, self->buf.fd, -1,
			    output ? SYS_write : SYS_read);
	/* It may be refused as well. */
	ASSERT_TRUE(pid > 0 || pid == -ESRCH);
	if (pid > 0)
		expect_killed(_metadata, pid);
}

/* --- two buffers --- */

/* One of the two threads that go crosswise */
struct crossing {
	const struct iio_buf *buf[2];
	const struct dmabuf *d[2];
	uint64_t end;
	unsigned int rounds;
	struct blocked call;
};

FIXTURE(crosswise) {
	struct iio_buf out;
	struct iio_buf in;
	struct dmabuf d[2];
	struct crossing crossing[2];
};

DUT_FIXTURE(crosswise, DUT_PAIR);

FIXTURE_SETUP(crosswise)
{
	int i;

	self->out = (struct iio_buf)IIO_BUF_INIT;
	self->in = (struct iio_buf)IIO_BUF_INIT;
	for (i = 0; i < 2; i++)
		self->d[i] = (struct dmabuf)DMABUF_INIT;

	if (!dut_setup(_metadata, &variant->v))
		return;

	ASSERT_OK(iio_buf_open(&self->out, variant->v.dut));
	ASSERT_OK(iio_buf_open(&self->in, variant->v.peer));
	for (i = 0; i < 2; i++) {
		ASSERT_OK(variant_alloc(&self->d[i], &variant->v));
		ASSERT_OK(iio_attach(self->out.fd, self->d[i].fd));
		ASSERT_OK(iio_attach(self->in.fd, self->d[i].fd));
	}
}

FIXTURE_TEARDOWN(crosswise)
{
	int i;

	iio_buf_close(&self->out);
	iio_buf_close(&self->in);
	for (i = 0; i < 2; i++)
		dmabuf_free(&self->d[i]);
	dut_teardown(_metadata);
}

/*
 * One DMABUF on one buffer, the other one on the other buffer, again and again.
 * Only this thread enqueues them there, and only after the last transfer.
 */
static int cross(void *arg)
{
	struct crossing *c = arg;
	int fence[2], i, ret;

	do {
		for (i = 0; i < 2; i++) {
			fence[i] = iio_enqueue_whole(c->buf[i], c->d[i]);
			/* The other thread may keep it busy for long. */
			if (fence[i] < 0 && fence[i] != -EBUSY)
				return fence[i];
		}
		for (i = 0; i < 2; i++) {
			ret = fence_result(fence[i]);
			if (ret && ret != -EBUSY)
				return ret;
		}
		c->rounds++;
	} while (now_ms() < c->end);

	return 0;
}

TEST_REQ(crosswise, both_threads_get_on, "CONC-11")
{
	struct crossing *c = self->crossing;
	int i;

	c[0].buf[0] = &self->out;
	c[0].buf[1] = &self->in;
	c[1].buf[0] = &self->in;
	c[1].buf[1] = &self->out;
	for (i = 0; i < 2; i++) {
		c[i].d[0] = &self->d[0];
		c[i].d[1] = &self->d[1];
		c[i].end = now_ms() + 100;
	}

	ASSERT_OK(iio_enable(self->out.dut));
	ASSERT_OK(iio_enable(self->in.dut));
	for (i = 0; i < 2; i++) {
		ASSERT_OK(blocked_start(&c[i].call, cross, &c[i]));
	}
	for (i = 0; i < 2; i++) {
		ASSERT_OK(blocked_join(&c[i].call)) {
			TH_LOG("thread %d is stuck or was refused after %u rounds",
			       i, c[i].rounds);
		}
		EXPECT_LT(0, c[i].rounds);
	}
	TH_LOG("%u and %u rounds", c[0].rounds, c[1].rounds);
}

/* --- a stream, on a loopback pair --- */

/* Transfers of each thread, or in a ring */
#define RING	4

FIXTURE(stream) {
	struct iio_buf out;
	struct iio_buf in;
	struct dmabuf tx[2 * RING];
	struct dmabuf rx[RING];
	size_t len;
	struct race race;
};

DUT_FIXTURE(stream, DUT_LOOPBACK);

FIXTURE_SETUP(stream)
{
	int i;

	self->out = (struct iio_buf)IIO_BUF_INIT;
	self->in = (struct iio_buf)IIO_BUF_INIT;
	for (i = 0; i < 2 * RING; i++)
		self->tx[i] = (struct dmabuf)DMABUF_INIT;
	for (i = 0; i < RING; i++)
		self->rx[i] = (struct dmabuf)DMABUF_INIT;

	if (!dut_setup(_metadata, &variant->v))
		return;

	self->len = iio_part_length(variant->v.dut, variant->v.peer, 2 * RING);
	ASSERT_OK(iio_buf_open(&self->out, variant->v.dut));
	ASSERT_OK(iio_buf_open(&self->in, variant->v.peer));
	ASSERT_OK(race_init(&self->race));
}

FIXTURE_TEARDOWN(stream)
{
	int i;

	iio_buf_close(&self->out);
	iio_buf_close(&self->in);
	for (i = 0; i < 2 * RING; i++)
		dmabuf_free(&self->tx[i]);
	for (i = 0; i < RING; i++)
		dmabuf_free(&self->rx[i]);
	dut_teardown(_metadata);
}

/* dmabuf_sync() that goes on after a signal */
static int dmabuf_cpu(const struct dmabuf *d, uint64_t flags)
{
	int ret;

	do {
		ret = dmabuf_sync(d->fd, flags);
	} while (ret == -EINTR);

	return ret;
}

static int send_pattern(const struct iio_buf *buf, const struct dmabuf *d,
			size_t len, uint64_t seed)
{
	int ret;

	ret = dmabuf_cpu(d, DMA_BUF_SYNC_START | DMA_BUF_SYNC_WRITE);
	if (ret)
		return ret;

	pattern_fill(d->map, len, seed);

	return dmabuf_cpu(d, DMA_BUF_SYNC_END | DMA_BUF_SYNC_WRITE) ?:
		iio_enqueue(buf->fd, d->fd, len);
}

/* Thread 0 has the first half of the outputs, thread 1 the second. */
static int send_half(FIXTURE_DATA(stream) *self, int half)
{
	int i, ret = 0;

	for (i = half * RING; i < (half + 1) * RING && !ret; i++)
		ret = iio_enqueue(self->out.fd, self->tx[i].fd, self->len);

	return ret;
}

static int send_first_half(void *arg)
{
	return send_half(arg, 0);
}

static int send_second_half(void *arg)
{
	return send_half(arg, 1);
}

static void receive_both_halves(struct __test_metadata *_metadata,
				FIXTURE_DATA(stream) *self)
{
	const struct dmabuf *rx = &self->rx[0];
	const uint8_t *bytes;
	int next[2] = {};
	int i, half;

	ASSERT_TRUE(dmabuf_done(rx)) {
		TH_LOG("what two threads send does not all arrive");
	}
	ASSERT_OK(dmabuf_cpu(rx, DMA_BUF_SYNC_START | DMA_BUF_SYNC_READ));
	for (i = 0; i < 2 * RING; i++) {
		bytes = rx->map + i * self->len;
		for (half = 0; half < 2; half++) {
			if (next[half] < RING &&
			    pattern_mismatch(bytes, self->len, half * RING +
					     next[half]) < 0)
				break;
		}
		ASSERT_LT(half, 2) {
			TH_LOG("transfer %d is not the next of either thread, after %d and %d",
			       i, next[0], next[1]);
		}
		next[half]++;
	}
	ASSERT_OK(dmabuf_cpu(rx, DMA_BUF_SYNC_END | DMA_BUF_SYNC_READ));
}

TEST_REQ(stream, two_threads_enqueue, "CONC-06")
{
	const struct dmabuf *rx = &self->rx[0];
	int i;

	for (i = 0; i < 2 * RING; i++) {
		ASSERT_OK(dmabuf_alloc(&self->tx[i], variant->v.exporter,
				       self->len));
		ASSERT_OK(dmabuf_begin_cpu(&self->tx[i]));
		pattern_fill(self->tx[i].map, self->len, i);
		ASSERT_OK(dmabuf_end_cpu(&self->tx[i]));
		ASSERT_OK(iio_attach(self->out.fd, self->tx[i].fd));
	}
	ASSERT_OK(dmabuf_alloc(&self->rx[0], variant->v.exporter,
			       2 * RING * self->len));
	ASSERT_OK(iio_attach(self->in.fd, rx->fd));
	ASSERT_OK(iio_enable(self->in.dut));
	ASSERT_OK(iio_enable(self->out.dut));
	ASSERT_OK(race_add(&self->race, send_first_half, self));
	ASSERT_OK(race_add(&self->race, send_second_half, self));

	while (race_goes_on(&self->race)) {
		ASSERT_OK(iio_enqueue(self->in.fd, rx->fd,
				      2 * RING * self->len));
		ASSERT_OK(race_round(&self->race));
		ASSERT_OK(self->race.racer[0].ret);
		ASSERT_OK(self->race.racer[1].ret);
		receive_both_halves(_metadata, self);
		for (i = 0; i < 2 * RING; i++) {
			ASSERT_TRUE(dmabuf_done(&self->tx[i]));
		}
	}
	race_end(&self->race);
}

static atomic_uint nr_alarms, nr_interrupted;

static void on_alarm(int sig)
{
	(void)sig;
	atomic_fetch_add(&nr_alarms, 1);
}

/* Like a client waits: poll() is not restarted. */
static bool wait_interrupted(const struct dmabuf *d)
{
	int ret;

	while ((ret = fd_poll(d->fd, POLLOUT, DEADLINE_MS)) == -EINTR)
		atomic_fetch_add(&nr_interrupted, 1);

	return ret == POLLOUT;
}

/* A signal in each millisecond, for at least that many of them */
#define STORM_MS	100
#define STORM_SIGNALS	20

TEST_REQ(stream, goes_on_in_a_storm_of_signals, "CONC-09")
{
	const struct itimerval off = {}, on = {
		.it_value.tv_usec = 1000, .it_interval.tv_usec = 1000,
	};
	const struct sigaction act = {
		.sa_handler = on_alarm, .sa_flags = SA_RESTART,
	};
	uint64_t seed, end = now_ms() + STORM_MS;
	struct sigaction old;
	ptrdiff_t wrong;
	int i;

	for (i = 0; i < RING; i++) {
		ASSERT_OK(dmabuf_alloc(&self->tx[i], variant->v.exporter,
				       self->len));
		ASSERT_OK(dmabuf_alloc(&self->rx[i], variant->v.exporter,
				       self->len));
		ASSERT_OK(iio_attach(self->out.fd, self->tx[i].fd));
		ASSERT_OK(iio_attach(self->in.fd, self->rx[i].fd));
	}
	ASSERT_OK(iio_enable(self->in.dut));
	ASSERT_OK(iio_enable(self->out.dut));

	/* SIGALRM is the harness's own, but not in the process of a test. */
	ASSERT_EQ(0, sigaction(SIGALRM, &act, &old));
	ASSERT_EQ(0, setitimer(ITIMER_REAL, &on, NULL));

	for (seed = 0; seed < RING; seed++) {
		ASSERT_OK(iio_enqueue(self->in.fd, self->rx[seed].fd,
				      self->len));
		ASSERT_OK(send_pattern(&self->out, &self->tx[seed], self->len,
				       seed));
	}
	for (seed = 0; now_ms() < end || nr_alarms < STORM_SIGNALS; seed++) {
		i = seed % RING;
		ASSERT_TRUE(wait_interrupted(&self->rx[i]));
		ASSERT_OK(dmabuf_cpu(&self->rx[i],
				     DMA_BUF_SYNC_START | DMA_BUF_SYNC_READ));
		wrong = pattern_mismatch(self->rx[i].map, self->len, seed);
		ASSERT_EQ(-1, wrong) {
			TH_LOG("transfer %u is not what was sent, from byte %d on",
			       (unsigned int)seed, (int)wrong);
		}
		ASSERT_OK(dmabuf_cpu(&self->rx[i],
				     DMA_BUF_SYNC_END | DMA_BUF_SYNC_READ));

		ASSERT_OK(iio_enqueue(self->in.fd, self->rx[i].fd, self->len));
		ASSERT_TRUE(wait_interrupted(&self->tx[i]));
		ASSERT_OK(send_pattern(&self->out, &self->tx[i], self->len,
				       seed + RING));
	}

	setitimer(ITIMER_REAL, &off, NULL);
	sigaction(SIGALRM, &old, NULL);
	TH_LOG("%u transfers, %u signals, %u interrupted calls of poll()",
	       (unsigned int)seed, nr_alarms, nr_interrupted);
}

CONFORMANCE_MAIN

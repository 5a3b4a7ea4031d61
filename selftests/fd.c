// SPDX-License-Identifier: GPL-2.0
/*
 * IIO_BUFFER_GET_FD_IOCTL and the descriptor that it gives: its flags, who may
 * have it, how long it lasts, and what it has to do with the device node.
 */

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "lib/blocked.h"
#include "lib/conformance.h"
#include "lib/file.h"
#include "lib/pair.h"

/* Return: a descriptor of the device node, or a negative errno. */
static int open_node(const char *chrdev, int flags)
{
	int fd = open(chrdev, flags);

	return fd < 0 ? -errno : fd;
}

/* The device node once more, with other flags; negative errno on failure. */
static int reopen_node(struct iio_buf *b, int flags)
{
	close_fd(&b->dev_fd);
	b->dev_fd = open_node(b->dut->chrdev, flags);

	return b->dev_fd;
}

/* GET_FD of a buffer whose descriptor was closed */
static int get_fd_again(struct iio_buf *b)
{
	b->fd = iio_get_fd(b->dev_fd, b->dut->index);

	return b->fd;
}

/* A buffer works: a DMABUF goes all the way. */
static void expect_transfer(struct __test_metadata *_metadata,
			    const struct iio_dut *dut, int fd,
			    const struct dmabuf *d)
{
	ASSERT_OK(iio_attach(fd, d->fd));
	EXPECT_OK(iio_enqueue(fd, d->fd, d->size));
	EXPECT_OK(iio_enable(dut));
	EXPECT_EQ(POLLOUT, fd_poll(d->fd, POLLOUT, DEADLINE_MS)) {
		TH_LOG("the transfer does not complete");
	}
	EXPECT_OK(iio_disable(dut));
	EXPECT_OK(iio_detach(fd, d->fd));
}

FIXTURE(fd) {
	struct iio_buf buf;
	struct dmabuf d;
};

DUT_FIXTURE(fd, DUT_ANY);

FIXTURE_SETUP(fd)
{
	const struct iio_dut *dut = variant->v.dut;

	self->buf = (struct iio_buf)IIO_BUF_INIT;
	self->d = (struct dmabuf)DMABUF_INIT;

	if (!dut_setup(_metadata, &variant->v))
		return;

	ASSERT_OK(iio_buf_open(&self->buf, dut));
	ASSERT_OK(variant_alloc(&self->d, &variant->v));
}

FIXTURE_TEARDOWN(fd)
{
	iio_buf_close(&self->buf);
	dmabuf_free(&self->d);
	dut_teardown(_metadata);
}

/* --- the descriptor --- */

static void expect_flags(struct __test_metadata *_metadata, int fd,
			 const char *device_flags)
{
	int flags = fcntl(fd, F_GETFL);

	EXPECT_EQ(O_RDWR, flags & O_ACCMODE) {
		TH_LOG("device node open with %s", device_flags);
	}
	EXPECT_EQ(0, flags & O_NONBLOCK) {
		TH_LOG("device node open with %s", device_flags);
	}
	EXPECT_EQ(FD_CLOEXEC, fcntl(fd, F_GETFD) & FD_CLOEXEC) {
		TH_LOG("device node open with %s", device_flags);
	}
}

TEST_REQ(fd, flags_do_not_depend_on_device, "FD-01")
{
	const struct {
		const char *name;
		int flags;
	} opens[] = {
		{ "O_RDWR", O_RDWR },
		{ "O_RDWR | O_CLOEXEC", O_RDWR | O_CLOEXEC },
		{ "O_RDWR | O_NONBLOCK", O_RDWR | O_NONBLOCK },
		{ "O_RDWR | O_APPEND", O_RDWR | O_APPEND },
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(opens); i++) {
		close_fd(&self->buf.fd);
		ASSERT_OK(reopen_node(&self->buf, opens[i].flags));
		ASSERT_OK(get_fd_again(&self->buf));

		expect_flags(_metadata, self->buf.fd, opens[i].name);
	}
}

/* Whether the kernel looks at the access mode is its own business. */
TEST_REQ(fd, of_read_only_device, "FD-17", "FD-01")
{
	close_fd(&self->buf.fd);
	ASSERT_OK(reopen_node(&self->buf, O_RDONLY | O_CLOEXEC));
	EXPECT_ERRNO(get_fd_again(&self->buf), OK, EACCES, EPERM, EBADF);
	if (self->buf.fd < 0)
		return;

	expect_flags(_metadata, self->buf.fd, "O_RDONLY");
	expect_transfer(_metadata, variant->v.dut, self->buf.fd, &self->d);
}

static int try_mmap(int fd, int prot, int flags)
{
	void *p = mmap(NULL, page_size(), prot, flags, fd, 0);

	if (p == MAP_FAILED)
		return -errno;
	munmap(p, page_size());

	return 0;
}

TEST_REQ(fd, mmap, "FD-13")
{
	const int fd = self->buf.fd;

	EXPECT_ERRNO(try_mmap(fd, PROT_READ, MAP_SHARED), ENODEV);
	EXPECT_ERRNO(try_mmap(fd, PROT_READ | PROT_WRITE, MAP_SHARED), ENODEV);
	EXPECT_ERRNO(try_mmap(fd, PROT_READ, MAP_PRIVATE), ENODEV);
}

/* --- one owner --- */

TEST_REQ(fd, busy_while_open, "FD-02")
{
	const struct iio_dut *dut = variant->v.dut;

	EXPECT_ERRNO(iio_get_fd(self->buf.dev_fd, dut->index), EBUSY);

	/* The descriptor counts, not who has asked for it. */
	ASSERT_OK(reopen_node(&self->buf, O_RDWR | O_CLOEXEC));
	EXPECT_ERRNO(iio_get_fd(self->buf.dev_fd, dut->index), EBUSY) {
		TH_LOG("through the device node, closed and opened again");
	}
}

TEST_REQ(fd, busy_while_duplicate_is_open, "FD-02", "FD-03")
{
	int dup_fd = dup(self->buf.fd);

	ASSERT_LE(0, dup_fd);
	close_fd(&self->buf.fd);
	EXPECT_ERRNO(iio_get_fd(self->buf.dev_fd, variant->v.dut->index),
		     EBUSY);

	close(dup_fd);
	EXPECT_OK(get_fd_again(&self->buf));
}

TEST_REQ(fd, available_after_close, "FD-03")
{
	int i;

	for (i = 0; i < 1000; i++) {
		close_fd(&self->buf.fd);
		ASSERT_OK(get_fd_again(&self->buf)) {
			TH_LOG("after close() number %d", i + 1);
		}
	}
}

TEST_REQ(fd, available_after_close_with_attachments, "FD-03")
{
	ASSERT_OK(iio_attach(self->buf.fd, self->d.fd));
	close_fd(&self->buf.fd);
	ASSERT_OK(get_fd_again(&self->buf));
	expect_transfer(_metadata, variant->v.dut, self->buf.fd, &self->d);
}

/**
 * struct racer - One of several threads that want the same buffer
 * @thread: the thread
 * @start: where all meet before each round
 * @finish: where all meet after each round
 * @stop: no further round
 * @dev_fd: device node
 * @index: buffer
 * @ret: what GET_FD said
 */
struct racer {
	pthread_t thread;
	pthread_barrier_t *start;
	pthread_barrier_t *finish;
	const bool *stop;
	int dev_fd;
	int index;
	int ret;
};

static void *racer_thread(void *arg)
{
	struct racer *r = arg;

	for (;;) {
		pthread_barrier_wait(r->start);
		if (*r->stop)
			return NULL;

		r->ret = iio_get_fd(r->dev_fd, r->index);
		pthread_barrier_wait(r->finish);
	}
}

#define NR_RACERS	8
#define NR_RACES	500

TEST_REQ(fd, parallel_get_fd, "FD-15")
{
	int i, round, won, busy, other = 0;
	pthread_barrier_t start, finish;
	struct racer racers[NR_RACERS];
	bool stop = false;

	close_fd(&self->buf.fd);
	pthread_barrier_init(&start, NULL, NR_RACERS + 1);
	pthread_barrier_init(&finish, NULL, NR_RACERS + 1);

	for (i = 0; i < NR_RACERS; i++) {
		racers[i] = (struct racer){
			.start = &start,
			.finish = &finish,
			.stop = &stop,
			.dev_fd = self->buf.dev_fd,
			.index = variant->v.dut->index,
		};
		ASSERT_EQ(0, pthread_create(&racers[i].thread, NULL,
					    racer_thread, &racers[i]));
	}

	for (round = 0; round < NR_RACES && !stop; round++) {
		pthread_barrier_wait(&start);
		pthread_barrier_wait(&finish);

		won = 0;
		busy = 0;
		for (i = 0; i < NR_RACERS; i++) {
			if (racers[i].ret >= 0) {
				won++;
				close(racers[i].ret);
			} else if (racers[i].ret == -EBUSY) {
				busy++;
			} else {
				other = -racers[i].ret;
			}
		}

		stop = won != 1 || busy != NR_RACERS - 1;
		EXPECT_FALSE(stop) {
			TH_LOG("of %d parallel GET_FD %d succeeded, %d failed with EBUSY%s%s",
			       NR_RACERS, won, busy,
			       other ? ", others with " : "",
			       other ? errno_name(other) : "");
		}
	}

	stop = true;
	pthread_barrier_wait(&start);
	for (i = 0; i < NR_RACERS; i++)
		pthread_join(racers[i].thread, NULL);
	pthread_barrier_destroy(&start);
	pthread_barrier_destroy(&finish);
}

/* --- GET_FD that fails --- */

static int nr_buffers(const struct iio_dut *dut)
{
	char attr[32], val[8];
	int n = 0;

	do {
		snprintf(attr, sizeof(attr), "buffer%d/enable", n++);
	} while (!iio_attr_read(dut, attr, val, sizeof(val)));

	return n - 1;
}

TEST_REQ(fd, index_out_of_range, "FD-04")
{
	int past = nr_buffers(variant->v.dut);
	int fds = fd_count();

	EXPECT_ERRNO(iio_get_fd(self->buf.dev_fd, past), ENODEV) {
		TH_LOG("index %d of a device with %d buffers", past, past);
	}
	EXPECT_ERRNO(iio_get_fd(self->buf.dev_fd, -1), ENODEV);
	EXPECT_ERRNO(iio_get_fd(self->buf.dev_fd, INT_MAX), ENODEV);
	EXPECT_ERRNO(iio_get_fd(self->buf.dev_fd, INT_MIN), ENODEV);

	EXPECT_EQ(fds, fd_count());
}

TEST_REQ(fd, result_cannot_be_written, "FD-06")
{
	int *arg, left, fds, ret;

	arg = mmap(NULL, page_size(), PROT_READ | PROT_WRITE,
		   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, arg);
	*arg = variant->v.dut->index;
	ASSERT_EQ(0, mprotect(arg, page_size(), PROT_READ));

	close_fd(&self->buf.fd);
	fds = fd_count();

	/* If the failed call leaves a descriptor open, it is the lowest one. */
	left = dup(self->buf.dev_fd);
	ASSERT_LE(0, left);
	close(left);

	ret = ioctl(self->buf.dev_fd, IIO_BUFFER_GET_FD_IOCTL, arg) ?
		-errno : 0;
	EXPECT_ERRNO(ret, EFAULT);
	EXPECT_EQ((int)variant->v.dut->index, *arg);
	munmap(arg, page_size());

	if (fcntl(left, F_GETFD) >= 0)
		close(left);
	EXPECT_EQ(fds, fd_count()) {
		TH_LOG("GET_FD that failed has left more than one file descriptor open");
	}

	EXPECT_OK(get_fd_again(&self->buf)) {
		TH_LOG("what GET_FD had left open is closed, but the buffer is still busy");
	}
}

TEST_REQ(fd, limit_of_open_files, "FD-09")
{
	int free_fd, arg = variant->v.dut->index, ret;
	struct rlimit limit, none_left;

	close_fd(&self->buf.fd);

	/* No descriptor below the lowest one that is free */
	free_fd = dup(self->buf.dev_fd);
	ASSERT_LE(0, free_fd);
	close(free_fd);
	ASSERT_EQ(0, getrlimit(RLIMIT_NOFILE, &limit));
	none_left = limit;
	none_left.rlim_cur = free_fd;
	ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &none_left));

	ret = ioctl(self->buf.dev_fd, IIO_BUFFER_GET_FD_IOCTL, &arg) ?
		-errno : 0;
	setrlimit(RLIMIT_NOFILE, &limit);

	EXPECT_ERRNO(ret, EMFILE);
	EXPECT_EQ((int)variant->v.dut->index, arg);

	EXPECT_OK(get_fd_again(&self->buf)) {
		TH_LOG("GET_FD after the one that failed for lack of descriptors");
	}
}

/* --- the device node --- */

TEST_REQ(fd, survives_device_close, "FD-08")
{
	close_fd(&self->buf.dev_fd);

	expect_transfer(_metadata, variant->v.dut, self->buf.fd, &self->d);
}

TEST_REQ(fd, attachments_survive_device_close, "FD-08")
{
	ASSERT_OK(iio_attach(self->buf.fd, self->d.fd));
	ASSERT_OK(iio_enqueue(self->buf.fd, self->d.fd, self->d.size));

	close_fd(&self->buf.dev_fd);
	EXPECT_EQ(0, fd_poll(self->d.fd, POLLOUT, 0)) {
		TH_LOG("close() of the device node has ended a queued transfer");
	}

	EXPECT_OK(iio_enable(variant->v.dut));
	EXPECT_EQ(POLLOUT, fd_poll(self->d.fd, POLLOUT, DEADLINE_MS)) {
		TH_LOG("the transfer does not complete");
	}
	EXPECT_OK(iio_detach(self->buf.fd, self->d.fd));
}

static int open_and_close_node(const struct iio_dut *dut)
{
	int fd = open_node(dut->chrdev, O_RDWR | O_CLOEXEC);

	if (fd < 0)
		return fd;
	close(fd);

	return 0;
}

TEST_REQ(fd, second_open_of_device_node, "FD-10")
{
	EXPECT_ERRNO(open_and_close_node(variant->v.dut), EBUSY) {
		TH_LOG("open() of a device node that is open, and the buffer too");
	}

	close_fd(&self->buf.fd);
	EXPECT_ERRNO(open_and_close_node(variant->v.dut), EBUSY) {
		TH_LOG("open() of a device node that is open");
	}
}

/* The device node in its old role, as the way to buffer 0 */
FIXTURE(fd_legacy) {
	struct iio_buf buf;
};

DUT_FIXTURE(fd_legacy, DUT_ANY);

FIXTURE_SETUP(fd_legacy)
{
	self->buf = (struct iio_buf)IIO_BUF_INIT;

	if (!dut_setup(_metadata, &variant->v))
		return;

	if (variant->v.dut->index)
		SKIP(return, "the device node stands for buffer 0: select a device whose buffer 0 accepts DMABUFs");

	ASSERT_OK(iio_buf_open(&self->buf, variant->v.dut));
	ASSERT_OK(fd_set_nonblock(self->buf.dev_fd, true));
}

FIXTURE_TEARDOWN(fd_legacy)
{
	iio_buf_close(&self->buf);
	dut_teardown(_metadata);
}

/*
 * One byte is less than a sample, for most devices: should the call get through
 * to the buffer, then not far enough for B2.
 */
static int read_byte(int fd)
{
	char byte;

	return read(fd, &byte, 1) < 0 ? -errno : 0;
}

static int write_byte(int fd)
{
	char byte = 0;

	return write(fd, &byte, 1) < 0 ? -errno : 0;
}

TEST_REQ(fd_legacy, read_and_write_busy, "FD-07")
{
	EXPECT_ERRNO(read_byte(self->buf.dev_fd), EBUSY);
	EXPECT_ERRNO(write_byte(self->buf.dev_fd), EBUSY);
}

/*
 * Make poll() of the buffer itself report something, without DMABUFs. That mode
 * is not entered as long as the kernel has not cleaned up behind DMABUFs of
 * before, which it does later; so try again, each time with more patience.
 */
static bool fileio_becomes_ready(const struct iio_buf *b)
{
	short events = b->dut->output ? POLLOUT : POLLIN;
	int patience;

	for (patience = 1; patience < DEADLINE_MS; patience *= 2) {
		if (iio_enable(b->dut))
			return false;
		if (fd_poll(b->fd, events, patience) == events)
			return true;
		iio_disable(b->dut);
	}

	return false;
}

TEST_REQ(fd_legacy, poll_reports_nothing, "FD-07")
{
	EXPECT_EQ(0, fd_poll(self->buf.dev_fd, POLLIN | POLLOUT, 0));

	if (!fileio_becomes_ready(&self->buf))
		TH_LOG("without DMABUFs, poll() of the buffer reports nothing either");

	EXPECT_EQ(0, fd_poll(self->buf.dev_fd, POLLIN | POLLOUT, 0)) {
		TH_LOG("poll() of the device node reports what is the buffer's");
	}

	EXPECT_OK(iio_disable(variant->v.dut));
	EXPECT_EQ(0, fd_poll(self->buf.dev_fd, POLLIN | POLLOUT, 0));
}

/* A device that has a node for other reasons than buffers */
FIXTURE(fd_no_buffer) {
	int dev_fd;
};

FIXTURE_SETUP(fd_no_buffer)
{
	const char *chrdev = iio_chrdev_without_buffer();

	self->dev_fd = -1;
	suite_print_reqs(_metadata->fixture->name, _metadata->name);

	if (!chrdev)
		SKIP(return, "no IIO device that has a node but no buffer: bind apds9300 to i2c-stub, for example");

	self->dev_fd = open_node(chrdev, O_RDWR | O_CLOEXEC);
	ASSERT_OK(self->dev_fd);
}

FIXTURE_TEARDOWN(fd_no_buffer)
{
	close(self->dev_fd);
	dut_teardown(_metadata);
}

TEST_REQ(fd_no_buffer, get_fd, "FD-05")
{
	EXPECT_ERRNO(iio_get_fd(self->dev_fd, 0), ENODEV);
}

/* --- two buffers --- */

FIXTURE(fd_pair) {
	struct pair pair;
};

DUT_FIXTURE(fd_pair, DUT_PAIR);

FIXTURE_SETUP(fd_pair)
{
	self->pair = (struct pair)PAIR_INIT;
	if (dut_setup(_metadata, &variant->v))
		pair_setup(_metadata, &self->pair, &variant->v);
}

FIXTURE_TEARDOWN(fd_pair)
{
	pair_teardown(&self->pair);
	dut_teardown(_metadata);
}

TEST_REQ(fd_pair, attachments_are_separate, "FD-12")
{
	struct pair *pair = &self->pair;

	ASSERT_OK(iio_attach(pair->out.fd, pair->d.fd));
	EXPECT_ERRNO(iio_enqueue_whole(&pair->in, &pair->d), EPERM);
	EXPECT_ERRNO(iio_detach(pair->in.fd, pair->d.fd), EPERM);

	EXPECT_OK(iio_attach(pair->in.fd, pair->d.fd));
	EXPECT_OK(iio_detach(pair->out.fd, pair->d.fd));
	EXPECT_OK(iio_detach(pair->in.fd, pair->d.fd));
}

TEST_REQ(fd_pair, one_works_while_other_is_open, "FD-12")
{
	struct pair *pair = &self->pair;

	ASSERT_OK(iio_attach(pair->out.fd, pair->gate.fd));
	ASSERT_OK(iio_enqueue(pair->out.fd, pair->gate.fd, pair->gate.size));

	expect_transfer(_metadata, variant->v.peer, pair->in.fd, &pair->d);

	EXPECT_EQ(0, fd_poll(pair->gate.fd, POLLOUT, 0)) {
		TH_LOG("the other buffer's transfer is not pending any more");
	}
}

TEST_REQ(fd_pair, one_outlives_the_other, "FD-12")
{
	struct pair *pair = &self->pair;

	ASSERT_OK(iio_attach(pair->out.fd, pair->gate.fd));
	ASSERT_OK(iio_attach(pair->in.fd, pair->gate.fd));
	close_fd(&pair->out.fd);

	EXPECT_OK(iio_detach(pair->in.fd, pair->gate.fd));
	expect_transfer(_metadata, variant->v.peer, pair->in.fd, &pair->d);
}

/* --- O_NONBLOCK --- */

static void wake_up(int sig)
{
	(void)sig;
}

/*
 * ENQUEUE, and a signal once it sleeps. Whether O_NONBLOCK is in force is seen
 * without a clock then: a call that waits ends with EINTR, another by itself.
 */
static int enqueue_or_interrupt(int fd, const struct dmabuf *d, size_t len)
{
	struct enqueue_call c = { .fd = fd, .dmabuf_fd = d->fd, .len = len };
	struct blocked b;
	int ret;

	ret = blocked_start(&b, enqueue_once, &c);
	if (ret)
		return ret;

	if (!blocked_wait(&b, SYS_ioctl))
		pthread_kill(b.thread, SIGUSR1);

	return blocked_join(&b);
}

/*
 * Make every ENQUEUE of @d wait: put the fence of a transfer of @gate, which
 * stays queued while the buffer is disabled, into it.
 */
static int hold_back(int fd, const struct dmabuf *gate, const struct dmabuf *d,
		     size_t len)
{
	int sync_file, ret;

	ret = iio_attach(fd, gate->fd) ?: iio_attach(fd, d->fd);
	ret = ret ?: iio_enqueue(fd, gate->fd, len);
	if (ret)
		return ret;

	sync_file = dmabuf_export(gate->fd, DMA_BUF_SYNC_RW);
	if (sync_file < 0)
		return sync_file;

	ret = dmabuf_import(d->fd, sync_file, DMA_BUF_SYNC_WRITE);
	close(sync_file);

	return ret;
}

FIXTURE(fd_nonblock) {
	struct iio_buf buf;
	struct dmabuf d;
	struct dmabuf gate;
	size_t len;
};

DUT_FIXTURE(fd_nonblock, DUT_ANY);

FIXTURE_SETUP(fd_nonblock)
{
	const struct sigaction action = { .sa_handler = wake_up };
	const struct iio_dut *dut = variant->v.dut;

	self->buf = (struct iio_buf)IIO_BUF_INIT;
	self->d = (struct dmabuf)DMABUF_INIT;
	self->gate = (struct dmabuf)DMABUF_INIT;

	if (!dut_setup(_metadata, &variant->v))
		return;

	self->len = iio_good_length(dut, dut);
	/* The process is the test's alone, so there is nothing to restore. */
	ASSERT_EQ(0, sigaction(SIGUSR1, &action, NULL));
	ASSERT_OK(iio_buf_open(&self->buf, dut));
	ASSERT_OK(dmabuf_alloc(&self->d, variant->v.exporter, self->len));
	ASSERT_OK(dmabuf_alloc(&self->gate, variant->v.exporter, self->len));
	ASSERT_OK(hold_back(self->buf.fd, &self->gate, &self->d, self->len));
}

FIXTURE_TEARDOWN(fd_nonblock)
{
	iio_buf_close(&self->buf);
	dmabuf_free(&self->d);
	dmabuf_free(&self->gate);
	dut_teardown(_metadata);
}

static void expect_blocking(struct __test_metadata *_metadata,
			    const FIXTURE_DATA(fd_nonblock) *self, int fd)
{
	EXPECT_ERRNO(enqueue_or_interrupt(fd, &self->d, self->len), EINTR) {
		TH_LOG("O_NONBLOCK is clear: ENQUEUE has to wait for the fence, until the signal");
	}
}

static void expect_nonblocking(struct __test_metadata *_metadata,
			       const FIXTURE_DATA(fd_nonblock) *self, int fd)
{
	EXPECT_ERRNO(enqueue_or_interrupt(fd, &self->d, self->len), EBUSY) {
		TH_LOG("O_NONBLOCK is set: ENQUEUE must not wait for the fence, until the signal");
	}
}

TEST_REQ(fd_nonblock, applies_to_following_enqueue, "FD-11")
{
	expect_blocking(_metadata, self, self->buf.fd);

	ASSERT_OK(fd_set_nonblock(self->buf.fd, true));
	expect_nonblocking(_metadata, self, self->buf.fd);

	ASSERT_OK(fd_set_nonblock(self->buf.fd, false));
	expect_blocking(_metadata, self, self->buf.fd);
}

TEST_REQ(fd_nonblock, applies_to_duplicates, "FD-11")
{
	int dup_fd = dup(self->buf.fd);

	ASSERT_LE(0, dup_fd);

	ASSERT_OK(fd_set_nonblock(self->buf.fd, true));
	expect_nonblocking(_metadata, self, dup_fd);

	ASSERT_OK(fd_set_nonblock(dup_fd, false));
	expect_blocking(_metadata, self, self->buf.fd);

	close(dup_fd);
}

CONFORMANCE_MAIN

// SPDX-License-Identifier: GPL-2.0
/*
 * A buffer has two ways to be used: file I/O mode, for read() and write(), and
 * DMABUF mode, which an attached DMABUF selects at the next enable. How to get
 * from one to the other, what of the one works in the other, and the sysfs
 * attributes that belong to both.
 *
 * A non-blocking read() of an input buffer is fatal in DMABUF mode where the
 * kernel has B2: the tests do it only where ATTACH has failed with EBUSY, which
 * is how to tell file I/O mode.
 */

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "lib/blocked.h"
#include "lib/conformance.h"
#include "lib/fileio.h"
#include "lib/instance.h"
#include "lib/transfer.h"

#define POISON		0xa5

/* A length that no buffer has by itself */
#define LONG_LENGTH	1048576

/* --- sysfs --- */

static int buf_attr_set(const struct iio_dut *dut, const char *attr,
			unsigned int val)
{
	char str[16];

	snprintf(str, sizeof(str), "%u", val);

	return iio_buf_attr_write(dut, attr, str);
}

/* Return: the value, or a negative errno. */
static long buf_attr_get(const struct iio_dut *dut, const char *attr)
{
	char val[24];
	int ret;

	ret = iio_buf_attr_read(dut, attr, val, sizeof(val));

	return ret ?: strtol(val, NULL, 10);
}

/* Whether the length of a disabled buffer can be set */
static bool length_is_writable(const struct iio_dut *dut)
{
	int ret = buf_attr_set(dut, "length", buf_attr_get(dut, "length"));

	return ret != -EACCES && ret != -ENOENT;
}

#define FIXED_LENGTH	"the length of the buffer cannot be changed"

typedef bool (*scan_element_fn)(const struct iio_dut *dut, const char *attr,
				void *arg);

/* Call @fn for each scan element. Return: how often it returned true. */
static unsigned int count_scan_elements(const struct iio_dut *dut,
					scan_element_fn fn, void *arg)
{
	unsigned int hits = 0;
	struct dirent *entry;
	char dir[96];
	size_t len;
	DIR *d;

	snprintf(dir, sizeof(dir), "%s/buffer%u", dut->dir, dut->index);
	d = opendir(dir);
	if (!d)
		return 0;

	while ((entry = readdir(d))) {
		len = strlen(entry->d_name);
		if (len > 3 && !strcmp(entry->d_name + len - 3, "_en"))
			hits += fn(dut, entry->d_name, arg);
	}
	closedir(d);

	return hits;
}

static bool scan_element_set(const struct iio_dut *dut, const char *attr,
			     void *arg)
{
	return !iio_buf_attr_write(dut, attr, arg);
}

static bool scan_element_is_on(const struct iio_dut *dut, const char *attr,
			       void *arg)
{
	(void)arg;

	return buf_attr_get(dut, attr) == 1;
}

static bool scan_element_is_output(const struct iio_dut *dut, const char *attr,
				   void *arg)
{
	(void)dut;
	(void)arg;

	return !strncmp(attr, "out_", 4);
}

#define MAX_SCAN_ELEMENTS	64

/* Note the bytes of a scan element that is on at its place in the scan. */
static bool scan_element_size(const struct iio_dut *dut, const char *attr,
			      void *arg)
{
	int stem = strlen(attr) - 3;
	unsigned int bits = 0, repeat = 1;
	size_t *sizes = arg;
	char name[300], type[32];
	const char *slash;
	long index;

	if (buf_attr_get(dut, attr) != 1)
		return false;

	snprintf(name, sizeof(name), "%.*s_index", stem, attr);
	index = buf_attr_get(dut, name);
	snprintf(name, sizeof(name), "%.*s_type", stem, attr);
	if (index < 0 || index >= MAX_SCAN_ELEMENTS ||
	    iio_buf_attr_read(dut, name, type, sizeof(type)))
		return false;

	slash = strchr(type, '/');
	if (!slash || sscanf(slash, "/%uX%u", &bits, &repeat) < 1)
		return false;

	sizes[index] = bits / 8 * repeat;

	return true;
}

/* Return: bytes of a scan, of the scan elements that are on. */
static size_t scan_bytes(const struct iio_dut *dut)
{
	size_t sizes[MAX_SCAN_ELEMENTS] = {}, bytes = 0, largest = 1, i;

	count_scan_elements(dut, scan_element_size, sizes);
	for (i = 0; i < MAX_SCAN_ELEMENTS; i++) {
		if (!sizes[i])
			continue;
		bytes += (sizes[i] - bytes % sizes[i]) % sizes[i] + sizes[i];
		if (sizes[i] > largest)
			largest = sizes[i];
	}

	return bytes + (largest - bytes % largest) % largest;
}

/* --- file I/O --- */

/*
 * Move some bytes in file I/O mode, by descriptor @fd. Non-blocking: where a
 * block is done that is not the next one, a blocking read() spins.
 */
static size_t fileio_some(struct __test_metadata *_metadata,
			  const struct iio_dut *dut, int fd, uint8_t *data,
			  size_t len)
{
	ssize_t n = -EAGAIN;

	ASSERT_OK(fd_set_nonblock(fd, true));
	EXPECT_TRUE(wait_until((n = fileio(dut, fd, data, len)) != -EAGAIN)) {
		TH_LOG("no progress in file I/O mode, it has stopped");
	}
	ASSERT_OK(fd_set_nonblock(fd, false));
	ASSERT_OK(n) {
		TH_LOG("%s() of %zu bytes in file I/O mode",
		       dut->output ? "write" : "read", len);
	}

	return n;
}

static void fileio_all(struct __test_metadata *_metadata,
		       const struct iio_dut *dut, int fd, uint8_t *data,
		       size_t len)
{
	size_t n;

	for (; len; len -= n, data += n) {
		n = fileio_some(_metadata, dut, fd, data, len);
		ASSERT_TRUE(n && n <= len) {
			TH_LOG("%s() of %zu bytes returned %zu",
			       dut->output ? "write" : "read", len, n);
		}
	}
}

/**
 * struct blocked_io - A read() or write() for a thread of its own
 * @dut: buffer, which of the two it is
 * @fd: descriptor
 * @len: bytes
 * @thread: the thread
 */
struct blocked_io {
	const struct iio_dut *dut;
	int fd;
	size_t len;
	struct blocked thread;
};

static int blocked_io(void *arg)
{
	struct blocked_io *io = arg;
	uint8_t data[4096] = {};

	return fileio(io->dut, io->fd, data, io->len);
}

static void nothing(int sig)
{
	(void)sig;
}

/**
 * blocked_io_start() - Start a read() or write() that has nothing to do
 * @_metadata: of the test
 * @io: set up here
 * @dut: buffer
 * @fd: descriptor of it, a blocking one
 * @len: bytes, up to 4096
 *
 * It is either seen to sleep, or has ended at once, without any data.
 */
static void blocked_io_start(struct __test_metadata *_metadata,
			     struct blocked_io *io, const struct iio_dut *dut,
			     int fd, size_t len)
{
	const struct sigaction sa = { .sa_handler = nothing };

	ASSERT_EQ(0, sigaction(SIGUSR1, &sa, NULL));
	*io = (struct blocked_io){ .dut = dut, .fd = fd, .len = len };
	ASSERT_OK(blocked_start(&io->thread, blocked_io, io));
	ASSERT_ERRNO(blocked_wait(&io->thread,
				  dut->output ? SYS_write : SYS_read),
		     OK, EALREADY);
}

static void blocked_io_interrupt(struct __test_metadata *_metadata,
				 struct blocked_io *io)
{
	int ret = pthread_kill(io->thread.thread, SIGUSR1);

	/* It may have ended before. */
	ASSERT_TRUE(!ret || ret == ESRCH);
	EXPECT_NE(-ETIMEDOUT, blocked_join(&io->thread)) {
		TH_LOG("a signal does not end the call");
	}
	EXPECT_GE(0, io->thread.ret) {
		TH_LOG("%d bytes were moved", io->thread.ret);
	}
}

/* --- any buffer --- */

FIXTURE(mode) {
	struct transfer t;
	size_t scan;
	size_t unit;
	size_t block;
	uint8_t *data;
};

DUT_FIXTURE(mode, DUT_ANY);

static size_t common_multiple(size_t a, size_t b)
{
	size_t n = a;

	while (n % b)
		n += a;

	return n;
}

/*
 * Open a buffer with a short length, unless that is fixed: in file I/O mode few
 * bytes then go all the way round.
 */
static void side_setup(struct __test_metadata *_metadata,
		       FIXTURE_DATA(mode) *self, const struct iio_dut *dut,
		       const struct exporter *e)
{
	size_t size;
	long length;

	self->t = (struct transfer)TRANSFER_INIT;
	self->data = NULL;
	ASSERT_OK(iio_buf_open(&self->t.buf, dut));

	self->scan = scan_bytes(dut);
	ASSERT_LT(0, self->scan);
	self->unit = common_multiple(dut->align, self->scan);
	ASSERT_ERRNO(buf_attr_set(dut, "length", 2 * dut->align),
		     OK, EACCES, ENOENT);
	length = buf_attr_get(dut, "length");
	ASSERT_LE(2, length);
	self->block = length / 2 * self->scan;

	size = 4 * self->unit > page_size() ? 4 * self->unit : page_size();
	ASSERT_OK(dmabuf_alloc(&self->t.d, e, size));
	self->t.len = self->t.d.size - self->t.d.size % self->unit;
	self->data = calloc(4, self->block);
	ASSERT_NE(NULL, self->data);
}

static void side_teardown(FIXTURE_DATA(mode) *self)
{
	const struct iio_dut *dut = self->t.buf.dut;

	free(self->data);
	if (dut) {
		iio_disable(dut);
		iio_buf_attr_write(dut, "length", dut->length);
		iio_buf_attr_write(dut, "watermark", dut->watermark);
	}
	transfer_teardown(&self->t);
}

FIXTURE_SETUP(mode)
{
	*self = (FIXTURE_DATA(mode)){ .t = TRANSFER_INIT };
	if (dut_setup(_metadata, &variant->v))
		side_setup(_metadata, self, variant->v.dut,
			   variant->v.exporter);
}

FIXTURE_TEARDOWN(mode)
{
	side_teardown(self);
	dut_teardown(_metadata);
}

/* More bytes in file I/O mode than the buffer holds */
static void file_io_goes_on(struct __test_metadata *_metadata,
			    FIXTURE_DATA(mode) *self, int fd)
{
	fileio_all(_metadata, self->t.buf.dut, fd, self->data,
		   4 * self->block);
}

static void dmabuf_transfer(struct __test_metadata *_metadata,
			    FIXTURE_DATA(mode) *self)
{
	transfer_hold(_metadata, &self->t);
	transfer_finish(_metadata, &self->t);
}

TEST_REQ(mode, file_io_without_dmabufs, "MODE-01")
{
	if (!fileio_enable(_metadata, &self->t.buf, &self->t.d))
		return;
	file_io_goes_on(_metadata, self, self->t.buf.fd);
}

TEST_REQ(mode, file_io_on_device_node, "MODE-01")
{
	if (self->t.buf.dut->index)
		SKIP(return, "read() and write() of the node are the first buffer's");

	if (!fileio_enable(_metadata, &self->t.buf, &self->t.d))
		return;
	close(self->t.buf.fd);
	self->t.buf.fd = -1;
	file_io_goes_on(_metadata, self, self->t.buf.dev_fd);
}

TEST_REQ(mode, dmabufs_after_file_io, "MODE-08")
{
	if (!fileio_enable(_metadata, &self->t.buf, &self->t.d))
		return;
	/* All of one block, and a part of the next one */
	fileio_all(_metadata, self->t.buf.dut, self->t.buf.fd, self->data,
		   self->block + self->scan);
	ASSERT_OK(iio_disable(self->t.buf.dut));

	ASSERT_OK(iio_attach(self->t.buf.fd, self->t.d.fd));
	dmabuf_transfer(_metadata, self);
}

TEST_REQ(mode, switches_back_and_forth, "MODE-09")
{
	unsigned int round;

	for (round = 0; round < 4; round++) {
		if (!fileio_enable(_metadata, &self->t.buf, &self->t.d))
			return;
		file_io_goes_on(_metadata, self, self->t.buf.fd);
		ASSERT_OK(iio_disable(self->t.buf.dut));

		ASSERT_OK(iio_attach(self->t.buf.fd, self->t.d.fd));
		dmabuf_transfer(_metadata, self);
		ASSERT_OK(iio_detach(self->t.buf.fd, self->t.d.fd));
	}
}

static void work_goes_on(const cpu_set_t *cpus)
{
	const struct sched_param param = { .sched_priority = 0 };

	sched_setscheduler(0, SCHED_OTHER, &param);
	sched_setaffinity(0, sizeof(*cpus), cpus);
}

/*
 * Keep the work items that are scheduled on this CPU from running until
 * work_goes_on(), which gives @cpus back: what is left to them has then not
 * been done. Return: 0, or a negative errno.
 */
static int hold_work_off(cpu_set_t *cpus)
{
	const struct sched_param param = { .sched_priority = 1 };
	cpu_set_t set;
	int ret;

	if (sched_getaffinity(0, sizeof(*cpus), cpus))
		return -errno;

	CPU_ZERO(&set);
	CPU_SET(sched_getcpu(), &set);
	if (!sched_setaffinity(0, sizeof(set), &set) &&
	    !sched_setscheduler(0, SCHED_FIFO, &param))
		return 0;

	ret = -errno;
	work_goes_on(cpus);

	return ret;
}

#define NO_HOLD	"work items cannot be held off, SCHED_FIFO needs CAP_SYS_NICE: %s"

TEST_REQ(mode, enable_right_after_detach, "MODE-23")
{
	const struct iio_buf *buf = &self->t.buf;
	cpu_set_t cpus;
	int ret;

	if (!fileio_enable(_metadata, buf, &self->t.d))
		return;
	ASSERT_OK(iio_disable(buf->dut));
	ASSERT_OK(iio_attach(buf->fd, self->t.d.fd));

	ret = hold_work_off(&cpus);
	if (ret)
		SKIP(return, NO_HOLD, errno_name(-ret));
	ret = iio_detach(buf->fd, self->t.d.fd) ?: iio_enable(buf->dut);
	work_goes_on(&cpus);
	ASSERT_OK(ret);

	ret = iio_attach(buf->fd, self->t.d.fd);
	ASSERT_ERRNO(ret, OK, EBUSY);
	EXPECT_UNLESS_RACE("B15", ret == -EBUSY && "in file I/O mode");
}

TEST_REQ(mode, enable_right_after_close, "MODE-23")
{
	struct iio_buf *buf = &self->t.buf;
	cpu_set_t cpus;
	int ret;

	if (!fileio_enable(_metadata, buf, &self->t.d))
		return;
	ASSERT_OK(iio_disable(buf->dut));
	ASSERT_OK(iio_attach(buf->fd, self->t.d.fd));

	ret = hold_work_off(&cpus);
	if (ret)
		SKIP(return, NO_HOLD, errno_name(-ret));
	close(buf->fd);
	ret = iio_enable(buf->dut);
	work_goes_on(&cpus);
	ASSERT_OK(ret);

	buf->fd = iio_get_fd(buf->dev_fd, buf->dut->index);
	ASSERT_OK(buf->fd);
	ret = iio_attach(buf->fd, self->t.d.fd);
	ASSERT_ERRNO(ret, OK, EBUSY);
	EXPECT_UNLESS_RACE("B15", ret == -EBUSY && "in file I/O mode");
}

TEST_REQ(mode, data_available_with_dmabufs, "MODE-31")
{
	const struct iio_dut *dut = self->t.buf.dut;

	/* So that there is something which must not be counted any more */
	if (!fileio_enable(_metadata, &self->t.buf, &self->t.d))
		return;
	ASSERT_TRUE(wait_until(buf_attr_get(dut, "data_available") > 0)) {
		TH_LOG("data_available stays 0 in file I/O mode");
	}
	ASSERT_OK(iio_disable(dut));

	ASSERT_OK(iio_attach(self->t.buf.fd, self->t.d.fd));
	EXPECT_EQ(0, buf_attr_get(dut, "data_available"));
	transfer_hold(_metadata, &self->t);
	EXPECT_EQ(0, buf_attr_get(dut, "data_available"));
	ASSERT_OK(iio_enable(dut));
	EXPECT_EQ(0, buf_attr_get(dut, "data_available"));
	ASSERT_EQ(1, sync_file_wait(self->t.fence));
	EXPECT_EQ(0, buf_attr_get(dut, "data_available"));
	ASSERT_OK(iio_disable(dut));
	EXPECT_EQ(0, buf_attr_get(dut, "data_available"));
}

/**
 * struct reader - Reads data_available again and again
 * @dut: of this buffer
 * @stop: until this is set
 * @reads: how often it has been read
 */
struct reader {
	const struct iio_dut *dut;
	bool stop;
	unsigned int reads;
};

static int read_data_available(void *arg)
{
	struct reader *r = arg;
	long ret = 0;

	while (ret >= 0 && !__atomic_load_n(&r->stop, __ATOMIC_ACQUIRE)) {
		ret = buf_attr_get(r->dut, "data_available");
		__atomic_fetch_add(&r->reads, 1, __ATOMIC_RELEASE);
	}

	return ret < 0 ? ret : 0;
}

TEST_REQ(mode, data_available_at_any_time, "MODE-07")
{
	struct reader r = { .dut = self->t.buf.dut };
	unsigned int round, before;
	struct blocked thread;

	ASSERT_OK(iio_attach(self->t.buf.fd, self->t.d.fd));
	ASSERT_OK(blocked_start(&thread, read_data_available, &r));
	for (round = 0; round < 8; round++) {
		before = __atomic_load_n(&r.reads, __ATOMIC_ACQUIRE);
		dmabuf_transfer(_metadata, self);
		ASSERT_OK(iio_detach(self->t.buf.fd, self->t.d.fd));
		ASSERT_OK(iio_attach(self->t.buf.fd, self->t.d.fd));
		ASSERT_TRUE(wait_until(__atomic_load_n(&r.reads,
						       __ATOMIC_ACQUIRE) !=
				       before ||
				       __atomic_load_n(&thread.done,
						       __ATOMIC_ACQUIRE)));
	}
	__atomic_store_n(&r.stop, true, __ATOMIC_RELEASE);
	EXPECT_OK(blocked_join(&thread)) {
		TH_LOG("data_available of a buffer with DMABUFs");
	}
}

/* The direction is looked at first: no B2. */
static void expect_wrong_direction(struct __test_metadata *_metadata,
				   FIXTURE_DATA(mode) *self)
{
	const struct iio_buf *buf = &self->t.buf;
	ssize_t ret;

	ASSERT_OK(fd_set_nonblock(buf->fd, true));
	ret = buf->dut->output ? read(buf->fd, self->data, self->block) :
				 write(buf->fd, self->data, self->block);
	EXPECT_ERRNO(ret < 0 ? -errno : ret, EPERM, EINVAL) {
		TH_LOG("%s buffer", buf->dut->output ? "read() of an output" :
						       "write() to an input");
	}
	ASSERT_OK(fd_set_nonblock(buf->fd, false));
}

TEST_REQ(mode, file_io_in_the_wrong_direction, "MODE-11")
{
	if (!fileio_enable(_metadata, &self->t.buf, &self->t.d))
		return;
	expect_wrong_direction(_metadata, self);
	ASSERT_OK(iio_disable(self->t.buf.dut));

	ASSERT_OK(iio_attach(self->t.buf.fd, self->t.d.fd));
	expect_wrong_direction(_metadata, self);
	ASSERT_OK(iio_enable(self->t.buf.dut));
	expect_wrong_direction(_metadata, self);
}

TEST_REQ(mode, file_io_of_part_of_a_scan, "MODE-26")
{
	const struct iio_buf *buf = &self->t.buf;
	size_t n, len = self->block;

	if (!fileio_enable(_metadata, buf, &self->t.d))
		return;
	ASSERT_OK(fd_set_nonblock(buf->fd, true));
	for (n = 1; n < self->scan; n++) {
		EXPECT_ERRNO(fileio(buf->dut, buf->fd, self->data, n),
			     EINVAL) {
			TH_LOG("%zu bytes where a scan is %zu", n, self->scan);
		}
	}

	/* Of an output, the part that is left over costs the count (B11). */
	if (!buf->dut->output && len > self->scan)
		len--;
	n = fileio_some(_metadata, buf->dut, buf->fd, self->data, len);
	EXPECT_TRUE(n && n % self->scan == 0) {
		TH_LOG("%zu bytes of %zu were moved, a scan is %zu", n, len,
		       self->scan);
	}
}

static void expect_length_locked(struct __test_metadata *_metadata,
				 const struct iio_dut *dut, const char *mode)
{
	long length = buf_attr_get(dut, "length");

	EXPECT_ERRNO(buf_attr_set(dut, "length", length + 2), EBUSY) {
		TH_LOG("length, enabled in %s mode", mode);
	}
	EXPECT_EQ(length, buf_attr_get(dut, "length"));
}

TEST_REQ(mode, length_is_locked_while_enabled, "MODE-13")
{
	const struct iio_dut *dut = self->t.buf.dut;

	if (!length_is_writable(dut))
		SKIP(return, FIXED_LENGTH);

	if (!fileio_enable(_metadata, &self->t.buf, &self->t.d))
		return;
	expect_length_locked(_metadata, dut, "file I/O");
	ASSERT_OK(iio_disable(dut));

	ASSERT_OK(iio_attach(self->t.buf.fd, self->t.d.fd));
	ASSERT_OK(iio_enable(dut));
	expect_length_locked(_metadata, dut, "DMABUF");
	ASSERT_OK(iio_disable(dut));

	EXPECT_OK(buf_attr_set(dut, "length", 4 * dut->align));
}

/* libiio sets it, and takes these errors for a watermark that is fixed. */
TEST_REQ(mode, watermark_is_fixed_or_writable, "MODE-27")
{
	const struct iio_dut *dut = self->t.buf.dut;
	long watermark = buf_attr_get(dut, "watermark");

	EXPECT_LT(0, watermark);
	EXPECT_ERRNO(buf_attr_set(dut, "watermark", watermark),
		     OK, EACCES, ENOENT);
	EXPECT_EQ(watermark, buf_attr_get(dut, "watermark"));
}

TEST_REQ(mode, length_takes_bytes, "MODE-14")
{
	static const unsigned int lengths[] = { 4096, 65536, LONG_LENGTH };
	const struct iio_dut *dut = self->t.buf.dut;
	size_t i;

	if (!length_is_writable(dut))
		SKIP(return, FIXED_LENGTH);

	for (i = 0; i < ARRAY_SIZE(lengths); i++) {
		EXPECT_OK(buf_attr_set(dut, "length", lengths[i])) {
			TH_LOG("length = %u", lengths[i]);
		}
		EXPECT_LT(0, buf_attr_get(dut, "length"));
	}
}

TEST_REQ(mode, length_too_small_to_work, "MODE-28")
{
	const struct iio_dut *dut = self->t.buf.dut;
	unsigned int length;

	if (!length_is_writable(dut))
		SKIP(return, FIXED_LENGTH);

	for (length = 0; length < 2; length++) {
		EXPECT_ERRNO(buf_attr_set(dut, "length", length), OK, EINVAL);
		EXPECT_LE(2, buf_attr_get(dut, "length")) {
			TH_LOG("after length = %u", length);
		}
		EXPECT_OK(iio_enable(dut));
		EXPECT_OK(iio_disable(dut));
	}
}

TEST_REQ(mode, detach_does_not_switch, "MODE-16")
{
	struct transfer *t = &self->t;

	ASSERT_OK(iio_attach(t->buf.fd, t->d.fd));
	ASSERT_OK(iio_enable(t->buf.dut));
	transfer_enqueue(_metadata, t);
	ASSERT_EQ(1, sync_file_wait(t->fence));
	ASSERT_OK(iio_detach(t->buf.fd, t->d.fd));

	EXPECT_EQ(0, fd_poll(t->buf.fd, POLLIN | POLLOUT, 0));
	ASSERT_OK(iio_attach(t->buf.fd, t->d.fd)) {
		TH_LOG("the buffer has left DMABUF mode without being disabled");
	}
	transfer_enqueue(_metadata, t);
	EXPECT_EQ(1, sync_file_wait(t->fence));
}

TEST_REQ(mode, enable_without_scan_elements, "MODE-17")
{
	const struct iio_dut *dut = self->t.buf.dut;

	ASSERT_OK(iio_attach(self->t.buf.fd, self->t.d.fd));
	transfer_hold(_metadata, &self->t);
	count_scan_elements(dut, scan_element_set, "0");
	if (count_scan_elements(dut, scan_element_is_on, NULL))
		SKIP(return, "the device has channels that cannot be switched off");

	EXPECT_ERRNO(iio_enable(dut), EINVAL);
	EXPECT_EQ(0, buf_attr_get(dut, "enable"));
	EXPECT_EQ(0, sync_file_status(self->t.fence));
	EXPECT_EQ(0, fd_poll(self->t.d.fd, POLLOUT, 0));

	count_scan_elements(dut, scan_element_set, "1");
	transfer_finish(_metadata, &self->t);
}

static bool scan_element_locked(const struct iio_dut *dut, const char *attr,
				void *arg)
{
	long before = buf_attr_get(dut, attr);

	(void)arg;

	return buf_attr_set(dut, attr, !before) == -EBUSY &&
	       buf_attr_get(dut, attr) == before;
}

static bool scan_element_any(const struct iio_dut *dut, const char *attr,
			     void *arg)
{
	(void)dut;
	(void)attr;
	(void)arg;

	return true;
}

TEST_REQ(mode, scan_elements_are_locked_while_enabled, "MODE-18")
{
	const struct iio_dut *dut = self->t.buf.dut;
	unsigned int nr = count_scan_elements(dut, scan_element_any, NULL);

	ASSERT_OK(iio_attach(self->t.buf.fd, self->t.d.fd));
	ASSERT_OK(iio_enable(dut));
	EXPECT_EQ(nr, count_scan_elements(dut, scan_element_locked, NULL)) {
		TH_LOG("of %u scan elements that many fail with EBUSY and stay",
		       nr);
	}
}

TEST_REQ(mode, length_align_bytes_is_a_power_of_two, "MODE-20")
{
	const struct iio_dut *dut = self->t.buf.dut;
	long align = buf_attr_get(dut, "length_align_bytes");

	ASSERT_LT(0, align);
	EXPECT_EQ(0, align & (align - 1)) {
		TH_LOG("length_align_bytes is %ld", align);
	}

	/* It does not depend on which channels are on. */
	count_scan_elements(dut, scan_element_set, "0");
	EXPECT_EQ(align, buf_attr_get(dut, "length_align_bytes"));
	count_scan_elements(dut, scan_element_set, "1");
}

TEST_REQ(mode, aligned_lengths_are_transferred, "MODE-29")
{
	struct transfer *t = &self->t;
	unsigned int n;

	ASSERT_OK(iio_attach(t->buf.fd, t->d.fd));
	for (n = 1; n <= 4; n++) {
		t->len = n * self->unit;
		transfer_hold(_metadata, t);
		ASSERT_OK(iio_enable(t->buf.dut));
		ASSERT_EQ(1, sync_file_wait(t->fence)) {
			TH_LOG("%zu bytes, length_align_bytes is %zu: %s",
			       t->len, t->buf.dut->align,
			       errno_name(-sync_file_status(t->fence)));
		}
		ASSERT_OK(iio_disable(t->buf.dut));
	}
}

TEST_REQ(mode, direction_is_what_it_says, "MODE-21")
{
	const struct iio_dut *dut = self->t.buf.dut;
	unsigned int outputs, nr;
	char val[16];

	ASSERT_OK(iio_buf_attr_read(dut, "direction", val, sizeof(val)));
	EXPECT_STREQ(dut->output ? "out" : "in", val);

	nr = count_scan_elements(dut, scan_element_any, NULL);
	outputs = count_scan_elements(dut, scan_element_is_output, NULL);
	EXPECT_EQ(dut->output ? nr : 0, outputs) {
		TH_LOG("so many of the %u scan elements are called out_*", nr);
	}

	/* An output transfer reads the DMABUF, others may do so, too. */
	ASSERT_OK(iio_attach(self->t.buf.fd, self->t.d.fd));
	transfer_hold(_metadata, &self->t);
	EXPECT_EQ(dut->output ? POLLIN : 0,
		  fd_poll(self->t.d.fd, POLLIN | POLLOUT, 0)) {
		TH_LOG("direction is \"%s\", the fence is not", val);
	}
	transfer_finish(_metadata, &self->t);
}

TEST_REQ(mode, enable_and_disable_again, "MODE-22")
{
	const struct iio_dut *dut = self->t.buf.dut;

	ASSERT_OK(iio_attach(self->t.buf.fd, self->t.d.fd));
	transfer_hold(_metadata, &self->t);
	EXPECT_OK(iio_disable(dut));
	EXPECT_EQ(0, sync_file_status(self->t.fence)) {
		TH_LOG("disabling a disabled buffer has ended the transfer");
	}

	ASSERT_OK(iio_enable(dut));
	EXPECT_OK(iio_enable(dut));
	EXPECT_EQ(1, buf_attr_get(dut, "enable"));
	EXPECT_EQ(1, sync_file_wait(self->t.fence));

	EXPECT_OK(iio_disable(dut));
	EXPECT_OK(iio_disable(dut));
	EXPECT_EQ(0, buf_attr_get(dut, "enable"));
}

/* read() or write() that waits in DMABUF mode, where it waits for nothing */
static void expect_interruptible(struct __test_metadata *_metadata,
				 FIXTURE_DATA(mode) *self, bool disable_first)
{
	struct transfer *t = &self->t;
	struct blocked_io io;

	ASSERT_OK(iio_attach(t->buf.fd, t->d.fd));
	ASSERT_OK(iio_enable(t->buf.dut));
	blocked_io_start(_metadata, &io, t->buf.dut, t->buf.fd, self->scan);

	/* What a transfer brings is not for it. */
	transfer_enqueue(_metadata, t);
	EXPECT_EQ(1, sync_file_wait(t->fence));
	if (disable_first) {
		ASSERT_OK(iio_disable(t->buf.dut));
	}
	blocked_io_interrupt(_metadata, &io);
}

TEST_REQ(mode, blocking_call_ends_by_signal, "MODE-05", "MODE-06")
{
	expect_interruptible(_metadata, self, false);
}

TEST_REQ(mode, blocking_call_ends_after_disable, "MODE-05", "MODE-06")
{
	expect_interruptible(_metadata, self, true);
}

/* --- input buffers --- */

#define FIXTURE_OF_MODE(name, which)					\
	FIXTURE(name) {							\
		FIXTURE_DATA(mode) mode;				\
	};								\
	DUT_FIXTURE(name, which);					\
	FIXTURE_SETUP(name)						\
	{								\
		memset(self, 0, sizeof(*self));				\
		self->mode.t = (struct transfer)TRANSFER_INIT;		\
		if (dut_setup(_metadata, &variant->v))			\
			side_setup(_metadata, &self->mode,		\
				   variant->v.dut, variant->v.exporter); \
	}								\
	FIXTURE_TEARDOWN(name)						\
	{								\
		side_teardown(&self->mode);				\
		dut_teardown(_metadata);				\
	}

FIXTURE_OF_MODE(mode_input, DUT_INPUT)

/*
 * Set @length, or what half of it the buffer takes, unless it is fixed, and the
 * watermark to it.
 */
static void set_length(struct __test_metadata *_metadata,
		       const struct iio_dut *dut, unsigned int length)
{
	while (length_is_writable(dut) &&
	       buf_attr_set(dut, "length", length)) {
		length /= 2;
		ASSERT_LT(0, length);
	}
	EXPECT_ERRNO(buf_attr_set(dut, "watermark",
				  buf_attr_get(dut, "length")),
		     OK, EACCES, ENOENT);
}

/*
 * Whether the last unit of a transfer is written: the signal may look like the
 * poison once, but not like another one the next time, again and again.
 */
static bool end_is_written(struct __test_metadata *_metadata,
			   FIXTURE_DATA(mode) *self, size_t len)
{
	const struct dmabuf *d = &self->t.d;
	bool written = false;
	uint8_t poison;

	self->t.len = len;
	for (poison = POISON; !written && poison < POISON + 4; poison++) {
		ASSERT_OK(dmabuf_poison(d, poison));
		dmabuf_transfer(_metadata, self);
		ASSERT_OK(dmabuf_begin_cpu(d));
		written = byte_mismatch(d->map + len - self->unit, self->unit,
					poison) >= 0;
		EXPECT_EQ(-1, byte_mismatch(d->map + len, d->size - len,
					    poison)) {
			TH_LOG("more than %zu bytes are written", len);
		}
		ASSERT_OK(dmabuf_end_cpu(d));
	}

	return written;
}

TEST_REQ(mode_input, length_does_not_limit_transfers, "MODE-15")
{
	FIXTURE_DATA(mode) *m = &self->mode;
	static const unsigned int lengths[] = { 2, LONG_LENGTH };
	size_t i, len = m->t.len - m->unit;

	ASSERT_OK(iio_attach(m->t.buf.fd, m->t.d.fd));
	for (i = 0; i < ARRAY_SIZE(lengths); i++) {
		set_length(_metadata, m->t.buf.dut, lengths[i]);
		EXPECT_TRUE(end_is_written(_metadata, m, len)) {
			TH_LOG("the end of %zu bytes is not written, length is %ld",
			       len, buf_attr_get(m->t.buf.dut, "length"));
		}
	}
}

/* --- output buffers --- */

FIXTURE_OF_MODE(mode_output, DUT_OUTPUT)

TEST_REQ(mode_output, nonblocking_write_with_dmabufs, "MODE-06")
{
	FIXTURE_DATA(mode) *m = &self->mode;
	const struct iio_buf *buf = &m->t.buf;

	ASSERT_OK(iio_attach(buf->fd, m->t.d.fd));
	ASSERT_OK(fd_set_nonblock(buf->fd, true));
	EXPECT_ERRNO(fileio(buf->dut, buf->fd, m->data, m->block),
		     EAGAIN, EBUSY) {
		TH_LOG("disabled, with a DMABUF attached");
	}
	ASSERT_OK(iio_enable(buf->dut));
	EXPECT_ERRNO(fileio(buf->dut, buf->fd, m->data, m->block),
		     EAGAIN, EBUSY) {
		TH_LOG("enabled in DMABUF mode");
	}
	ASSERT_OK(fd_set_nonblock(buf->fd, false));
}

/* --- an output buffer that feeds an input buffer --- */

FIXTURE(mode_loopback) {
	FIXTURE_DATA(mode) out;
	FIXTURE_DATA(mode) in;
	size_t len;
};

DUT_FIXTURE(mode_loopback, DUT_LOOPBACK);

FIXTURE_SETUP(mode_loopback)
{
	self->out = (FIXTURE_DATA(mode)){ .t = TRANSFER_INIT };
	self->in = (FIXTURE_DATA(mode)){ .t = TRANSFER_INIT };
	if (!dut_setup(_metadata, &variant->v))
		return;

	side_setup(_metadata, &self->out, variant->v.dut, variant->v.exporter);
	side_setup(_metadata, &self->in, variant->v.peer, variant->v.exporter);
	self->len = iio_good_length(variant->v.dut, variant->v.peer);
}

FIXTURE_TEARDOWN(mode_loopback)
{
	side_teardown(&self->out);
	side_teardown(&self->in);
	dut_teardown(_metadata);
}

/* One transfer of @len bytes, from end to end; nothing is enabled before. */
static void send_dmabuf(struct __test_metadata *_metadata,
			FIXTURE_DATA(mode_loopback) *self, uint64_t seed)
{
	struct transfer *out = &self->out.t, *in = &self->in.t;

	out->len = self->len;
	in->len = self->len;
	ASSERT_OK(dmabuf_begin_cpu(&out->d));
	pattern_fill(out->d.map, out->len, seed);
	ASSERT_OK(dmabuf_end_cpu(&out->d));
	ASSERT_OK(dmabuf_poison(&in->d, POISON));

	transfer_hold(_metadata, in);
	transfer_hold(_metadata, out);
	ASSERT_OK(iio_enable(out->buf.dut));
	/* Once more, with the transfer in flight */
	ASSERT_OK(iio_enable(out->buf.dut));
	EXPECT_EQ(0, sync_file_status(out->fence)) {
		TH_LOG("enabling an enabled buffer has ended the transfer");
	}
	ASSERT_OK(iio_enable(in->buf.dut));
	EXPECT_EQ(1, sync_file_wait(in->fence));
	EXPECT_EQ(1, sync_file_wait(out->fence));
	ASSERT_OK(iio_disable(out->buf.dut));
	ASSERT_OK(iio_disable(in->buf.dut));

	ASSERT_OK(dmabuf_begin_cpu(&in->d));
	EXPECT_EQ(-1, pattern_mismatch(in->d.map, in->len, seed)) {
		TH_LOG("not what was sent: %zu bytes, length is %ld and %ld",
		       in->len, buf_attr_get(out->buf.dut, "length"),
		       buf_attr_get(in->buf.dut, "length"));
	}
	ASSERT_OK(dmabuf_end_cpu(&in->d));
}

static void attach_both(struct __test_metadata *_metadata,
			FIXTURE_DATA(mode_loopback) *self)
{
	ASSERT_OK(iio_attach(self->out.t.buf.fd, self->out.t.d.fd));
	ASSERT_OK(iio_attach(self->in.t.buf.fd, self->in.t.d.fd));
}

TEST_REQ(mode_loopback, length_does_not_limit_transfers, "MODE-15")
{
	attach_both(_metadata, self);
	set_length(_metadata, self->out.t.buf.dut, 2);
	set_length(_metadata, self->in.t.buf.dut, LONG_LENGTH);
	send_dmabuf(_metadata, self, 1);

	set_length(_metadata, self->out.t.buf.dut, LONG_LENGTH);
	set_length(_metadata, self->in.t.buf.dut, 2);
	send_dmabuf(_metadata, self, 2);
}

TEST_REQ(mode_loopback, enable_again_in_flight, "MODE-22")
{
	attach_both(_metadata, self);
	send_dmabuf(_metadata, self, 3);
}

/* Of the two blocks that either end has in file I/O mode */
static size_t common_block(FIXTURE_DATA(mode_loopback) *self)
{
	return common_multiple(self->out.block, self->in.block);
}

/*
 * Send two blocks, and read the first @len bytes of what arrives. Return: false
 * if the test was marked as skipped.
 */
static bool send_file_io(struct __test_metadata *_metadata,
			 FIXTURE_DATA(mode_loopback) *self, uint8_t *received,
			 size_t len, uint64_t seed)
{
	const struct iio_buf *out = &self->out.t.buf, *in = &self->in.t.buf;
	uint8_t sent[2 * common_block(self)];
	size_t at;

	pattern_fill(sent, sizeof(sent), seed);
	if (!fileio_enable(_metadata, in, &self->in.t.d) ||
	    !fileio_enable(_metadata, out, &self->out.t.d))
		return false;
	/* Scan by scan, for there to be places within a block. */
	for (at = 0; at < sizeof(sent); at += self->out.scan)
		fileio_all(_metadata, out->dut, out->fd, sent + at,
			   self->out.scan);
	for (at = 0; at < len; at += self->in.scan)
		fileio_all(_metadata, in->dut, in->fd, received + at,
			   self->in.scan);
	ASSERT_OK(iio_disable(out->dut));
	ASSERT_OK(iio_disable(in->dut));

	return true;
}

TEST_REQ(mode_loopback, file_io_goes_from_end_to_end, "MODE-01")
{
	size_t block = common_block(self);
	uint8_t received[3 * block];

	if (!send_file_io(_metadata, self, received, 2 * block, 1))
		return;
	/* Which one comes first is for another test. */
	if (pattern_mismatch(received, 2 * block, 1) >= 0) {
		memcpy(received + 2 * block, received, block);
		memmove(received, received + block, 2 * block);
	}
	EXPECT_EQ(-1, pattern_mismatch(received, 2 * block, 1));
}

/*
 * A session that ends after one block of two: the next one must begin with the
 * first block again. What the last user has left is not known, so that two such
 * sessions are needed; after the second one the device is as it was.
 */
TEST_REQ(mode_loopback, file_io_starts_over, "MODE-25")
{
	size_t block = common_block(self);
	uint8_t received[2 * block];
	bool in_order[2];
	int i;

	for (i = 0; i < 2; i++) {
		if (!send_file_io(_metadata, self, received, 2 * block, i))
			return;
		in_order[i] = pattern_mismatch(received, 2 * block, i) < 0;
		if (!send_file_io(_metadata, self, received, block, 2))
			return;
	}
	EXPECT_UNLESS("B13", in_order[0] && in_order[1]);
}

/*
 * Two blocks, of which the memory for the second one is missing: what has been
 * taken of the first one must be told. It stays where it is, and is not
 * available, because nobody takes it from the output.
 */
TEST_REQ(mode_loopback, write_counts_what_it_takes, "MODE-24")
{
	const struct iio_buf *buf = &self->out.t.buf;
	const size_t block = self->out.block, scan = self->out.scan;
	size_t size = block + page_size() - 1;
	long before, after;
	uint8_t *map;
	ssize_t ret;

	size -= size % page_size();
	map = mmap(NULL, size + page_size(), PROT_READ | PROT_WRITE,
		   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, map);
	ASSERT_EQ(0, mprotect(map + size, page_size(), PROT_NONE));

	if (!fileio_enable(_metadata, buf, &self->out.t.d))
		return;
	ASSERT_OK(fd_set_nonblock(buf->fd, true));
	before = buf_attr_get(buf->dut, "data_available");
	ASSERT_LT(0, before);

	ret = write(buf->fd, map + size - block, block + scan);
	after = buf_attr_get(buf->dut, "data_available");
	EXPECT_UNLESS("B11", ret > 0 || after == before);
	EXPECT_GT((ssize_t)(block + scan), ret);

	ASSERT_OK(fd_set_nonblock(buf->fd, false));
	munmap(map, size + page_size());
}

/* --- a device that nobody has enabled yet --- */

#define INSTANCE	"mode-test"

FIXTURE(mode_fresh) {
	struct instance inst;
	const struct iio_dut *dut[2];
	int dev_fd[2];
	int fd[2];
};

FIXTURE_SETUP(mode_fresh)
{
	int i;

	for (i = 0; i < 2; i++) {
		self->dev_fd[i] = -1;
		self->fd[i] = -1;
	}
	suite_print_reqs(_metadata->fixture->name, _metadata->name);

	if (instance_unfit())
		SKIP(return, "needs a device that was never enabled: %s",
		     instance_unfit());

	ASSERT_OK(instance_make(&self->inst, INSTANCE, ""));
	self->dut[0] = &self->inst.in;
	self->dut[1] = &self->inst.out;
	for (i = 0; i < 2; i++) {
		self->dev_fd[i] = open(self->dut[i]->chrdev,
				       O_RDWR | O_CLOEXEC);
		ASSERT_LE(0, self->dev_fd[i]);
		self->fd[i] = iio_get_fd(self->dev_fd[i], 0);
		ASSERT_OK(self->fd[i]);
	}
}

FIXTURE_TEARDOWN(mode_fresh)
{
	int i;

	for (i = 0; i < 2; i++) {
		close(self->fd[i]);
		close(self->dev_fd[i]);
	}
	instance_remove(INSTANCE);
	dut_teardown(_metadata);
}

TEST_REQ(mode_fresh, file_io_before_the_first_enable, "MODE-10")
{
	struct blocked_io io;
	uint8_t data[64] = {};
	ssize_t n;
	int i;

	for (i = 0; i < 2; i++) {
		blocked_io_start(_metadata, &io, self->dut[i], self->fd[i],
				 sizeof(data));
		blocked_io_interrupt(_metadata, &io);

		ASSERT_OK(fd_set_nonblock(self->fd[i], true));
		n = fileio(self->dut[i], self->fd[i], data, sizeof(data));
		EXPECT_GE(0, n) {
			TH_LOG("%zd bytes were moved", n);
		}
		EXPECT_ERRNO(n, OK, EAGAIN, EINVAL) {
			TH_LOG("non-blocking, on the %s buffer",
			       i ? "output" : "input");
		}
	}
}

TEST_REQ(mode_fresh, data_available_before_the_first_enable, "MODE-07",
	 "MODE-31")
{
	EXPECT_EQ(0, buf_attr_get(self->dut[0], "data_available"));
	EXPECT_EQ(0, buf_attr_get(self->dut[1], "data_available"));
}

/* The harness has no teardown for a test that was killed. */
static void remove_fresh(void)
{
	instance_remove(INSTANCE);
}

int main(int argc, char **argv)
{
	atexit(remove_fresh);

	return conformance_main(argc, argv);
}

// SPDX-License-Identifier: GPL-2.0
/*
 * What the interface gives away, and what one user can do to another: no
 * addresses, nothing left of calls that failed, no access that was not asked
 * for, nobody held up.
 */

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>
#include <linux/dma-heap.h>
#include <linux/sync_file.h>

#include "lib/call.h"
#include "lib/conformance.h"
#include "lib/deadline.h"
#include "lib/pair.h"
#include "lib/slab.h"

FIXTURE(security) {
	struct iio_buf buf;
	struct dmabuf d;
	struct dmabuf other;
	int fence;
	struct slab_watch slab;
};

DUT_FIXTURE(security, DUT_ANY);

FIXTURE_SETUP(security)
{
	self->buf = (struct iio_buf)IIO_BUF_INIT;
	self->d = (struct dmabuf)DMABUF_INIT;
	self->other = (struct dmabuf)DMABUF_INIT;
	self->fence = -1;

	if (!dut_setup(_metadata, &variant->v))
		return;

	ASSERT_OK(iio_buf_open(&self->buf, variant->v.dut));
	ASSERT_OK(variant_alloc(&self->d, &variant->v));
	ASSERT_OK(variant_alloc(&self->other, &variant->v));
}

FIXTURE_TEARDOWN(security)
{
	iio_buf_close(&self->buf);
	dmabuf_free(&self->d);
	dmabuf_free(&self->other);
	if (self->fence >= 0)
		close(self->fence);
	dut_teardown(_metadata);
}

/* --- addresses --- */

/*
 * The kernel does not tell where the mapping of a DMABUF goes, but it does for
 * the memfd behind a udmabuf. Returns 0 if it hides that as well.
 */
static uint64_t physical_address(const struct dmabuf *d)
{
	const uint64_t present = 1ull << 63, frame = (1ull << 55) - 1;
	uint64_t entry = 0;
	void *map;
	int fd;

	/* Only a page that is there has an entry. */
	map = mmap(NULL, page_size(), PROT_READ | PROT_WRITE,
		   MAP_SHARED | MAP_POPULATE, d->memfd, 0);
	if (map == MAP_FAILED)
		return 0;

	fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	if (fd < 0 || pread(fd, &entry, sizeof(entry), (uintptr_t)map /
			    page_size() * sizeof(entry)) != sizeof(entry))
		entry = 0;
	if (fd >= 0)
		close(fd);
	munmap(map, page_size());

	return entry & present ? (entry & frame) * page_size() : 0;
}

/* Whether @text has @addr in it, in hexadecimal or decimal digits */
static bool tells_address(const char *text, uint64_t addr)
{
	char hex[24], dec[24];

	snprintf(hex, sizeof(hex), "%" PRIx64, addr);
	snprintf(dec, sizeof(dec), "%" PRIu64, addr);

	return strcasestr(text, hex) || strstr(text, dec);
}

static void expect_file_is_silent(struct __test_metadata *_metadata,
				  const char *path, uint64_t addr)
{
	char text[4096];
	ssize_t n;
	int fd;

	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return;

	n = read(fd, text, sizeof(text) - 1);
	close(fd);
	text[n > 0 ? n : 0] = '\0';
	EXPECT_FALSE(tells_address(text, addr)) {
		TH_LOG("%s has the physical address of a DMABUF, %#" PRIx64,
		       path, addr);
	}
}

static void expect_dir_is_silent(struct __test_metadata *_metadata,
				 const char *path, uint64_t addr)
{
	struct dirent *entry;
	char file[PATH_MAX];
	DIR *dir;

	dir = opendir(path);
	ASSERT_NE(NULL, dir);
	while ((entry = readdir(dir))) {
		if (entry->d_type != DT_REG)
			continue;
		snprintf(file, sizeof(file), "%s/%s", path, entry->d_name);
		expect_file_is_silent(_metadata, file, addr);
	}
	closedir(dir);
}

/* Look into the buffer's attributes and what the kernel says of descriptors. */
static void expect_silence(struct __test_metadata *_metadata,
			   FIXTURE_DATA(security) *self, uint64_t addr)
{
	const int fds[] = {
		self->buf.dev_fd, self->buf.fd, self->d.fd, self->fence,
	};
	char path[PATH_MAX];
	size_t i;

	snprintf(path, sizeof(path), "%s/buffer%u", self->buf.dut->dir,
		 self->buf.dut->index);
	expect_dir_is_silent(_metadata, path, addr);

	for (i = 0; i < ARRAY_SIZE(fds); i++) {
		snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fds[i]);
		expect_file_is_silent(_metadata, path, addr);
	}
}

TEST_REQ(security, no_address_in_files, "SEC-01")
{
	const struct exporter *e = exporter_find("udmabuf");
	uint64_t addr;

	if (!e->present())
		SKIP(return, "no udmabuf: enable CONFIG_UDMABUF, make /dev/udmabuf accessible");

	dmabuf_free(&self->d);
	ASSERT_OK(dmabuf_alloc(&self->d, e, self->other.size));

	addr = physical_address(&self->d);
	if (!addr)
		SKIP(return, "/proc/self/pagemap has no addresses: needs CONFIG_PROC_PAGE_MONITOR and CAP_SYS_ADMIN");

	ASSERT_OK(iio_attach(self->buf.fd, self->d.fd));
	self->fence = iio_enqueue_whole(&self->buf, &self->d);
	ASSERT_OK(self->fence);
	expect_silence(_metadata, self, addr);

	ASSERT_OK(iio_enable(self->buf.dut));
	ASSERT_EQ(1, sync_file_wait(self->fence));
	expect_silence(_metadata, self, addr);
}

TEST_REQ(security, no_address_from_ioctls, "SEC-01")
{
	struct iio_dmabuf req = { .fd = self->d.fd,
				  .bytes_used = self->d.size };
	const struct iio_dmabuf before = req;
	int fd = self->d.fd;

	ASSERT_EQ(0, ioctl(self->buf.fd, IIO_BUFFER_DMABUF_ATTACH_IOCTL, &fd));
	EXPECT_EQ(self->d.fd, fd);
	ASSERT_EQ(0, ioctl(self->buf.fd, IIO_BUFFER_DMABUF_ENQUEUE_IOCTL,
			   &req));
	EXPECT_EQ(0, memcmp(&before, &req, sizeof(req)));
	ASSERT_OK(iio_enable(self->buf.dut));
	ASSERT_EQ(POLLOUT, fd_poll(self->d.fd, POLLOUT, DEADLINE_MS));
	ASSERT_EQ(0, ioctl(self->buf.fd, IIO_BUFFER_DMABUF_DETACH_IOCTL, &fd));
	EXPECT_EQ(self->d.fd, fd);
}

/*
 * As many hexadecimal digits as a pointer has, with a letter among them, or a
 * number no counter has: devices are called by addresses, of fewer digits.
 */
static bool has_pointer(const char *s)
{
	size_t len, letters, i;

	for (; *s; s += len ?: 1) {
		len = strspn(s, "0123456789abcdefABCDEF");
		for (i = letters = 0; i < len; i++)
			letters += isalpha(s[i]) != 0;
		if ((letters && len >= 16) || len >= 18 ||
		    !strncasecmp(s, "0x", 2))
			return true;
	}

	return false;
}

/* What a sync file says must be names, counts and an errno. */
static void expect_no_pointers(struct __test_metadata *_metadata, int sync_file)
{
	struct sync_fence_info fence = {};
	struct sync_file_info info = {
		.num_fences = 1,
		.sync_fence_info = (uintptr_t)&fence,
	};

	ASSERT_EQ(0, ioctl(sync_file, SYNC_IOC_FILE_INFO, &info));
	EXPECT_FALSE(has_pointer(info.name)) {
		TH_LOG("name of the sync file: %.32s", info.name);
	}
	EXPECT_FALSE(has_pointer(fence.driver_name)) {
		TH_LOG("name of the driver: %.32s", fence.driver_name);
	}
	EXPECT_FALSE(has_pointer(fence.obj_name)) {
		TH_LOG("name of the timeline: %.32s", fence.obj_name);
	}
	EXPECT_TRUE(fence.status >= -4095 && fence.status <= 1) {
		TH_LOG("status of the fence: %d", fence.status);
	}
}

TEST_REQ(security, no_pointer_in_fences, "SEC-02")
{
	ASSERT_OK(iio_attach(self->buf.fd, self->d.fd));
	self->fence = iio_enqueue_whole(&self->buf, &self->d);
	ASSERT_OK(self->fence);
	expect_no_pointers(_metadata, self->fence);

	ASSERT_OK(iio_enable(self->buf.dut));
	ASSERT_OK(iio_disable(self->buf.dut));
	ASSERT_NE(0, sync_file_wait(self->fence));
	expect_no_pointers(_metadata, self->fence);
}

/* --- calls that fail --- */

/* How often each call fails */
#define NR_FAILURES	SLAB_CYCLES

/* Every way to fail; @d is attached to the buffer, @other is not. */
static int fail_in_every_way(FIXTURE_DATA(security) *self)
{
	const struct iio_dmabuf bad_flags = {
		.fd = self->d.fd, .flags = 1u << 31,
		.bytes_used = self->d.size,
	};
	const int fd = self->buf.fd, d = self->d.fd, other = self->other.fd;
	const int rets[] = {
		iio_attach(fd, -1),
		iio_attach(fd, fd),
		iio_attach(fd, d),
		ioctl(fd, IIO_BUFFER_DMABUF_ATTACH_IOCTL, NULL),
		iio_detach(fd, -1),
		iio_detach(fd, fd),
		iio_detach(fd, other),
		ioctl(fd, IIO_BUFFER_DMABUF_DETACH_IOCTL, NULL),
		iio_enqueue(fd, -1, self->d.size),
		iio_enqueue(fd, fd, self->d.size),
		iio_enqueue(fd, other, self->d.size),
		iio_enqueue(fd, d, 0),
		iio_enqueue(fd, d, self->d.size + 1),
		iio_enqueue_req(fd, &bad_flags),
		ioctl(fd, IIO_BUFFER_DMABUF_ENQUEUE_IOCTL, NULL),
		ioctl(fd, _IO('i', 0xff), NULL),
		iio_get_fd(self->buf.dev_fd, self->buf.dut->index),
		iio_get_fd(self->buf.dev_fd, -1),
		ioctl(self->buf.dev_fd, IIO_BUFFER_GET_FD_IOCTL, NULL),
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(rets); i++) {
		if (rets[i] >= 0)
			return i + 1;
	}

	return 0;
}

static void fail_often(struct __test_metadata *_metadata,
		       FIXTURE_DATA(security) *self, unsigned int times)
{
	int ret;

	for (; times; times--) {
		ret = fail_in_every_way(self);
		ASSERT_EQ(0, ret) {
			TH_LOG("call %d of fail_in_every_way() did not fail",
			       ret);
		}
	}
}

TEST_REQ(security, failures_leave_nothing_behind, "SEC-03")
{
	const unsigned int batch = NR_FAILURES / SLAB_BATCHES;
	long refs, refs_other;
	int fds, i;

	ASSERT_OK(iio_attach(self->buf.fd, self->d.fd));
	refs = dmabuf_refs(self->d.fd);
	refs_other = dmabuf_refs(self->other.fd);

	/* Let the caches fill first. */
	fail_often(_metadata, self, 100);
	fds = fd_count();
	slab_start(&self->slab);
	for (i = 0; i < SLAB_BATCHES; i++) {
		fail_often(_metadata, self, batch);
		slab_batch(&self->slab, batch);
	}

	EXPECT_EQ(fds, fd_count());
	EXPECT_OK(dmabuf_wait_refs(self->d.fd, refs));
	EXPECT_EQ(refs, dmabuf_refs(self->d.fd));
	EXPECT_EQ(refs_other, dmabuf_refs(self->other.fd));
	EXPECT_TRUE(slab_steady(&self->slab, "rounds of failing calls"));
}

/* --- access --- */

/* Return: a DMABUF of the system heap that its descriptor cannot write. */
static int read_only_dmabuf(size_t size)
{
	struct dma_heap_allocation_data req = {
		.len = size,
		.fd_flags = O_RDONLY | O_CLOEXEC,
	};
	int heap, ret;

	heap = open("/dev/dma_heap/system", O_RDWR | O_CLOEXEC);
	if (heap < 0)
		return -errno;

	ret = ioctl(heap, DMA_HEAP_IOCTL_ALLOC, &req) ? -errno : 0;
	close(heap);

	return ret ?: (int)req.fd;
}

TEST_REQ(security, read_only_dmabuf, "SEC-10")
{
	size_t size = self->d.size;
	int fd, ret;

	fd = read_only_dmabuf(size);
	if (fd == -ENOENT || fd == -EACCES)
		SKIP(return, "no system heap: enable CONFIG_DMABUF_HEAPS_SYSTEM, make /dev/dma_heap/system accessible");
	ASSERT_OK(fd);

	dmabuf_free(&self->d);
	self->d.fd = fd;
	self->d.size = size;
	ASSERT_EQ(O_RDONLY, fcntl(fd, F_GETFL) & O_ACCMODE);

	ret = iio_attach(self->buf.fd, fd);
	ASSERT_ERRNO(ret, OK, EACCES, EBADF, EPERM);
	if (ret)
		return;

	ASSERT_OK(iio_enable(self->buf.dut));
	self->fence = iio_enqueue_whole(&self->buf, &self->d);
	ASSERT_OK(self->fence);
	EXPECT_EQ(1, sync_file_wait(self->fence)) {
		TH_LOG("ATTACH accepted the DMABUF, but a transfer fails");
	}
}

FIXTURE(security_output) {
	struct iio_buf buf;
	struct dmabuf d;
};

DUT_FIXTURE(security_output, DUT_OUTPUT);

FIXTURE_SETUP(security_output)
{
	self->buf = (struct iio_buf)IIO_BUF_INIT;
	self->d = (struct dmabuf)DMABUF_INIT;

	if (!dut_setup(_metadata, &variant->v))
		return;

	ASSERT_OK(iio_buf_open(&self->buf, variant->v.dut));
	ASSERT_OK(variant_alloc(&self->d, &variant->v));
}

FIXTURE_TEARDOWN(security_output)
{
	iio_buf_close(&self->buf);
	dmabuf_free(&self->d);
	dut_teardown(_metadata);
}

TEST_REQ(security_output, read_only_open_sends_nothing, "SEC-09")
{
	bool refused;

	/* Again, but the device node read-only this time. */
	close(self->buf.fd);
	close(self->buf.dev_fd);
	self->buf.fd = -1;
	self->buf.dev_fd = open(self->buf.dut->chrdev, O_RDONLY | O_CLOEXEC);
	ASSERT_LE(0, self->buf.dev_fd);
	self->buf.fd = iio_get_fd(self->buf.dev_fd, self->buf.dut->index);
	refused = self->buf.fd < 0 ||
		  iio_attach(self->buf.fd, self->d.fd) ||
		  iio_enqueue(self->buf.fd, self->d.fd, self->d.size);
	EXPECT_UNLESS("B12", refused);
}

/* --- kernel workers --- */

FIXTURE(security_pair) {
	struct pair p;
	struct dmabuf unrelated;
};

DUT_FIXTURE(security_pair, DUT_PAIR);

FIXTURE_SETUP(security_pair)
{
	self->p = (struct pair)PAIR_INIT;
	self->unrelated = (struct dmabuf)DMABUF_INIT;

	if (!dut_setup(_metadata, &variant->v))
		return;

	pair_setup(_metadata, &self->p, &variant->v);
	ASSERT_OK(variant_alloc(&self->unrelated, &variant->v));
}

FIXTURE_TEARDOWN(security_pair)
{
	pair_teardown(&self->p);
	dmabuf_free(&self->unrelated);
	dut_teardown(_metadata);
}

/* Milliseconds, fewer than an ENQUEUE waits for */
#define WORKER_MS	4000

/* Whether the references to a DMABUF fall to @refs while an ENQUEUE waits */
static bool released_meanwhile(const struct dmabuf *d, long refs)
{
	const int patience = patience_ms("B7");
	uint64_t end = now_ms() + (patience < WORKER_MS ? patience : WORKER_MS);

	while (dmabuf_refs(d->fd) > refs && now_ms() < end)
		look_again();

	return dmabuf_refs(d->fd) <= refs;
}

/*
 * What is left to do after a transfer of a detached DMABUF is up to a worker of
 * the kernel. A blocking ENQUEUE of the same DMABUF on another buffer goes on
 * waiting for a fence meanwhile.
 */
TEST_REQ(security_pair, enqueue_holds_up_no_worker, "SEC-13")
{
	struct pair *p = &self->p;
	int fence, fence_unrelated;
	long refs, refs_unrelated;
	pid_t enqueue;

	ASSERT_OK(iio_attach(p->out.fd, p->d.fd));
	ASSERT_OK(iio_attach(p->out.fd, self->unrelated.fd));
	fence = iio_enqueue_whole(&p->out, &p->d);
	ASSERT_OK(fence);
	fence_unrelated = iio_enqueue_whole(&p->out, &self->unrelated);
	ASSERT_OK(fence_unrelated);
	enqueue = call_waiting_enqueue(&p->in, &p->gate, &p->d);
	ASSERT_OK(enqueue);
	ASSERT_OK(iio_detach(p->out.fd, p->d.fd));
	ASSERT_OK(iio_detach(p->out.fd, self->unrelated.fd));
	refs = dmabuf_refs(p->d.fd);
	refs_unrelated = dmabuf_refs(self->unrelated.fd);

	ASSERT_OK(iio_enable(p->out.dut));
	EXPECT_OK(fence_result(fence));
	EXPECT_OK(fence_result(fence_unrelated));
	EXPECT_OK(dmabuf_wait_refs(self->unrelated.fd, refs_unrelated - 1)) {
		TH_LOG("a DMABUF is not released because of an ENQUEUE of another one");
	}
	EXPECT_UNLESS("B7", released_meanwhile(&p->d, refs - 1));
	call_kill(enqueue);
}

CONFORMANCE_MAIN

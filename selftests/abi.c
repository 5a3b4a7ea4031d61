// SPDX-License-Identifier: GPL-2.0
/*
 * The binary interface of the DMABUF ioctls: numbers, layout of the structure,
 * what the kernel reads and writes in the caller's memory, and what it makes of
 * arguments that no program should pass.
 */

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/conformance.h"
#include "lib/file.h"

#define NR_GET_FD	0xc0046991
#define NR_ATTACH	0x40046992
#define NR_DETACH	0x40046993
#define NR_ENQUEUE	0x40106994

#define STRUCT_SIZE	16

static_assert(sizeof(struct iio_dmabuf) == STRUCT_SIZE,
	      "struct iio_dmabuf is not 16 bytes long");
static_assert(offsetof(struct iio_dmabuf, fd) == 0 &&
	      sizeof(((struct iio_dmabuf *)0)->fd) == 4,
	      "iio_dmabuf.fd is not 4 bytes at offset 0");
static_assert(offsetof(struct iio_dmabuf, flags) == 4 &&
	      sizeof(((struct iio_dmabuf *)0)->flags) == 4,
	      "iio_dmabuf.flags is not 4 bytes at offset 4");
static_assert(offsetof(struct iio_dmabuf, bytes_used) == 8 &&
	      sizeof(((struct iio_dmabuf *)0)->bytes_used) == 8,
	      "iio_dmabuf.bytes_used is not 8 bytes at offset 8");

static_assert(IIO_BUFFER_GET_FD_IOCTL == NR_GET_FD,
	      "IIO_BUFFER_GET_FD_IOCTL is not 0xc0046991");
static_assert(IIO_BUFFER_DMABUF_ATTACH_IOCTL == NR_ATTACH,
	      "IIO_BUFFER_DMABUF_ATTACH_IOCTL is not 0x40046992");
static_assert(IIO_BUFFER_DMABUF_DETACH_IOCTL == NR_DETACH,
	      "IIO_BUFFER_DMABUF_DETACH_IOCTL is not 0x40046993");
static_assert(IIO_BUFFER_DMABUF_ENQUEUE_IOCTL == NR_ENQUEUE,
	      "IIO_BUFFER_DMABUF_ENQUEUE_IOCTL is not 0x40106994");

FIXTURE(abi) {
	struct iio_buf buf;
	struct dmabuf d;
	size_t len;	/* of a transfer that any driver accepts */
	char *mem;	/* a page, with nothing mapped behind it */
};

DUT_FIXTURE(abi, DUT_ANY);

FIXTURE_SETUP(abi)
{
	size_t align;

	self->buf = (struct iio_buf)IIO_BUF_INIT;
	self->d = (struct dmabuf)DMABUF_INIT;

	if (!dut_setup(_metadata, &variant->v))
		return;

	align = variant->v.dut->align;
	self->len = (page_size() + align - 1) / align * align;

	ASSERT_OK(iio_buf_open(&self->buf, variant->v.dut));
	ASSERT_OK(dmabuf_alloc(&self->d, variant->v.exporter, self->len));

	self->mem = mmap(NULL, 2 * page_size(), PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, self->mem);
	ASSERT_EQ(0, munmap(self->mem + page_size(), page_size()));
}

FIXTURE_TEARDOWN(abi)
{
	munmap(self->mem, page_size());
	iio_buf_close(&self->buf);
	dmabuf_free(&self->d);
	dut_teardown(_metadata);
}

/* An ENQUEUE that succeeds where the DMABUF is attached. */
static struct iio_dmabuf enqueue_req(const FIXTURE_DATA(abi) *self)
{
	return (struct iio_dmabuf){
		.fd = self->d.fd,
		.bytes_used = self->len,
	};
}

/* The same as above, without help from the header. */
static void enqueue_bytes(char *bytes, uint32_t fd, uint32_t flags,
			  uint64_t bytes_used)
{
	memcpy(bytes, &fd, sizeof(fd));
	memcpy(bytes + 4, &flags, sizeof(flags));
	memcpy(bytes + 8, &bytes_used, sizeof(bytes_used));
}

static void release_fd(struct iio_buf *b)
{
	close(b->fd);
	b->fd = -1;
}

/* The buffer is disabled: had it taken a transfer, that would be pending. */
static void expect_nothing_queued(struct __test_metadata *_metadata,
				  const struct dmabuf *d)
{
	EXPECT_EQ(POLLOUT, fd_poll(d->fd, POLLOUT, 0)) {
		TH_LOG("the DMABUF has a pending fence: a call that must fail has queued it");
	}
}

/* DETACH works, so it was attached; and nothing else has kept a reference. */
static void expect_attachment_intact(struct __test_metadata *_metadata,
				     const FIXTURE_DATA(abi) *self,
				     long refs_before_attach)
{
	EXPECT_OK(iio_detach(self->buf.fd, self->d.fd));
	EXPECT_OK(dmabuf_wait_refs(self->d.fd, refs_before_attach)) {
		TH_LOG("the DMABUF is still in use after DETACH: %ld references, %ld before ATTACH",
		       dmabuf_refs(self->d.fd), refs_before_attach);
	}
}

static void expect_not_attached(struct __test_metadata *_metadata,
				const FIXTURE_DATA(abi) *self)
{
	EXPECT_ERRNO(iio_detach(self->buf.fd, self->d.fd), EPERM) {
		TH_LOG("an ATTACH that must fail has attached the DMABUF");
	}
}

static void expect_refused(struct __test_metadata *_metadata,
			   const FIXTURE_DATA(abi) *self,
			   const struct iio_dmabuf *req)
{
	/* To go on after an ENQUEUE that was accepted is dangerous: B1. */
	ASSERT_ERRNO(iio_enqueue_req(self->buf.fd, req), EINVAL) {
		TH_LOG("with flags %#x, bytes_used %#llx of a DMABUF of %#zx bytes",
		       req->flags, (unsigned long long)req->bytes_used,
		       self->d.size);
	}
	expect_nothing_queued(_metadata, &self->d);
}

/**
 * struct bad_pointer - Memory that the kernel cannot access
 * @what: for messages
 * @p: where
 */
struct bad_pointer {
	const char *what;
	void *p;
};

#define NR_BAD_POINTERS	4

static void bad_pointers(const FIXTURE_DATA(abi) *self,
			 struct bad_pointer *bad)
{
	bad[0] = (struct bad_pointer){ "NULL", NULL };
	bad[1] = (struct bad_pointer){ "an unmapped page",
				       self->mem + page_size() };
	bad[2] = (struct bad_pointer){ "a page with PROT_NONE", self->mem };
	bad[3] = (struct bad_pointer){ "a kernel address",
				       (void *)(UINTPTR_MAX & ~0xfffUL) };

	mprotect(self->mem, page_size(), PROT_NONE);
}

static void expect_faults(struct __test_metadata *_metadata,
			  const FIXTURE_DATA(abi) *self, int fd,
			  unsigned long request)
{
	struct bad_pointer bad[NR_BAD_POINTERS];
	int i, fds = fd_count();

	bad_pointers(self, bad);
	for (i = 0; i < NR_BAD_POINTERS; i++) {
		EXPECT_ERRNO(raw_ioctl(fd, request, bad[i].p), EFAULT) {
			TH_LOG("where the argument is %s", bad[i].what);
		}
	}

	EXPECT_EQ(fds, fd_count()) {
		TH_LOG("failed calls have opened or closed file descriptors");
	}
}

/* --- layout and numbers --- */

TEST_REQ(abi, kernel_knows_documented_numbers, "ABI-02")
{
	struct iio_dmabuf req = enqueue_req(self);
	int fd = variant->v.dut->index;

	release_fd(&self->buf);

	ASSERT_OK(raw_ioctl(self->buf.dev_fd, NR_GET_FD, &fd));
	self->buf.fd = fd;

	ASSERT_OK(raw_ioctl(fd, NR_ATTACH, &self->d.fd));
	EXPECT_OK(raw_ioctl(fd, NR_ENQUEUE, &req));
	EXPECT_OK(raw_ioctl(fd, NR_DETACH, &self->d.fd));
}

TEST_REQ(abi, kernel_knows_documented_struct, "ABI-01")
{
	/* Sixteen bytes and not one more */
	char *p = self->mem + page_size() - STRUCT_SIZE;

	ASSERT_OK(iio_attach(self->buf.fd, self->d.fd));

	enqueue_bytes(p, UINT32_MAX, 0, self->len);
	EXPECT_ERRNO(raw_ioctl(self->buf.fd, NR_ENQUEUE, p), EBADF) {
		TH_LOG("with -1 where fd is: bytes 0 to 3");
	}

	enqueue_bytes(p, self->d.fd, ~IIO_BUFFER_DMABUF_SUPPORTED_FLAGS,
		      self->len);
	ASSERT_ERRNO(raw_ioctl(self->buf.fd, NR_ENQUEUE, p), EINVAL) {
		TH_LOG("with unsupported flags where flags is: bytes 4 to 7");
	}

	enqueue_bytes(p, self->d.fd, 0, 0);
	ASSERT_ERRNO(raw_ioctl(self->buf.fd, NR_ENQUEUE, p), EINVAL) {
		TH_LOG("with 0 where bytes_used is: bytes 8 to 15");
	}

	enqueue_bytes(p, self->d.fd, 0, self->len);
	EXPECT_OK(raw_ioctl(self->buf.fd, NR_ENQUEUE, p)) {
		TH_LOG("with fd in bytes 0 to 3, flags in 4 to 7, bytes_used in 8 to 15");
	}
}

TEST_REQ(abi, success_is_zero, "ABI-18")
{
	struct iio_dmabuf req = enqueue_req(self);
	int fd = variant->v.dut->index;

	release_fd(&self->buf);

	EXPECT_EQ(0, raw_ioctl(self->buf.dev_fd, IIO_BUFFER_GET_FD_IOCTL,
			       &fd));
	self->buf.fd = fd;

	EXPECT_EQ(0, raw_ioctl(fd, IIO_BUFFER_DMABUF_ATTACH_IOCTL,
			       &self->d.fd));
	EXPECT_EQ(0, raw_ioctl(fd, IIO_BUFFER_DMABUF_ENQUEUE_IOCTL, &req));
	EXPECT_EQ(0, raw_ioctl(fd, IIO_BUFFER_DMABUF_DETACH_IOCTL,
			       &self->d.fd));
}

TEST_REQ(abi, unknown_ioctl, "ABI-11")
{
	const unsigned long requests[] = {
		_IO('i', 0x92), _IO('i', 0x93), _IO('i', 0x94),
		_IOR('i', 0x94, struct iio_dmabuf),
		_IOWR('i', 0x94, struct iio_dmabuf),
		_IOW('i', 0x94, uint64_t),
		_IOWR('i', 0x92, int), _IOWR('i', 0x93, int),
		_IOW('I', 0x92, int), _IOW('I', 0x93, int),
		_IOW('I', 0x94, struct iio_dmabuf),
		_IOW('i', 0x00, struct iio_dmabuf),
		_IOW('i', 0xff, struct iio_dmabuf),
	};
	const struct iio_dmabuf req = enqueue_req(self);
	struct iio_dmabuf arg[2] = { req, req };
	long refs = dmabuf_refs(self->d.fd);
	int fds = fd_count();
	size_t i;

	ASSERT_OK(iio_attach(self->buf.fd, self->d.fd));

	for (i = 0; i < ARRAY_SIZE(requests); i++) {
		ASSERT_ERRNO(raw_ioctl(self->buf.fd, requests[i], arg), EINVAL,
			     ENOTTY) {
			TH_LOG("number %#lx", requests[i]);
		}
		EXPECT_EQ(0, memcmp(&arg[0], &req, sizeof(req)) |
			     memcmp(&arg[1], &req, sizeof(req))) {
			TH_LOG("number %#lx has written to its argument",
			       requests[i]);
		}
		expect_nothing_queued(_metadata, &self->d);
	}

	EXPECT_EQ(fds, fd_count());
	expect_attachment_intact(_metadata, self, refs);
}

TEST_REQ(abi, dmabuf_ioctls_on_device_node, "ABI-12")
{
	struct iio_dmabuf req = enqueue_req(self);

	EXPECT_ERRNO(iio_attach(self->buf.dev_fd, self->d.fd), ENODEV);
	expect_not_attached(_metadata, self);

	ASSERT_OK(iio_attach(self->buf.fd, self->d.fd));
	EXPECT_ERRNO(iio_enqueue_req(self->buf.dev_fd, &req), ENODEV);
	expect_nothing_queued(_metadata, &self->d);
	EXPECT_ERRNO(iio_detach(self->buf.dev_fd, self->d.fd), ENODEV);
	EXPECT_OK(iio_detach(self->buf.fd, self->d.fd));
}

TEST_REQ(abi, get_fd_on_buffer, "ABI-13")
{
	int arg = variant->v.dut->index;
	int fds = fd_count();

	EXPECT_ERRNO(raw_ioctl(self->buf.fd, IIO_BUFFER_GET_FD_IOCTL, &arg),
		     EINVAL, ENOTTY);
	EXPECT_EQ((int)variant->v.dut->index, arg);
	EXPECT_EQ(fds, fd_count()) {
		TH_LOG("GET_FD on a buffer has opened something");
	}
}

/* --- values --- */

TEST_REQ(abi, unsupported_flags, "ABI-03")
{
	struct iio_dmabuf req = enqueue_req(self);
	long refs = dmabuf_refs(self->d.fd);
	unsigned int i;

	ASSERT_OK(iio_attach(self->buf.fd, self->d.fd));

	for (i = 0; i < 32; i++) {
		if (1U << i & IIO_BUFFER_DMABUF_SUPPORTED_FLAGS)
			continue;

		req.flags = 1U << i;
		expect_refused(_metadata, self, &req);
	}

	req.flags = UINT32_MAX;
	expect_refused(_metadata, self, &req);

	expect_attachment_intact(_metadata, self, refs);
}

TEST_REQ(abi, bytes_used_zero, "ABI-04")
{
	struct iio_dmabuf req = enqueue_req(self);
	long refs = dmabuf_refs(self->d.fd);

	req.bytes_used = 0;

	ASSERT_OK(iio_attach(self->buf.fd, self->d.fd));
	expect_refused(_metadata, self, &req);
	expect_attachment_intact(_metadata, self, refs);
}

TEST_REQ(abi, bytes_used_beyond_low_word, "ABI-05")
{
	struct iio_dmabuf req = enqueue_req(self);
	long refs = dmabuf_refs(self->d.fd);
	unsigned int i;

	ASSERT_OK(iio_attach(self->buf.fd, self->d.fd));

	for (i = 32; i < 64; i++) {
		req.bytes_used = 1ULL << i | self->len;
		expect_refused(_metadata, self, &req);
	}

	req.bytes_used = (uint64_t)UINT32_MAX << 32 | self->len;
	expect_refused(_metadata, self, &req);

	req.bytes_used = UINT64_MAX;
	expect_refused(_metadata, self, &req);

	expect_attachment_intact(_metadata, self, refs);
}

TEST_REQ(abi, fd_all_ones, "ABI-16")
{
	struct iio_dmabuf req = enqueue_req(self);

	req.fd = 0xffffffff;

	ASSERT_OK(iio_attach(self->buf.fd, self->d.fd));
	EXPECT_ERRNO(iio_enqueue_req(self->buf.fd, &req), EBADF);
}

TEST_REQ(abi, bytes_used_up_to_rounded_size, "ABI-17")
{
	size_t align = variant->v.dut->align;
	struct dmabuf d;

	/* Half a page less than what any driver accepts */
	ASSERT_OK(dmabuf_alloc(&d, variant->v.exporter,
			       self->len - page_size() / 2));
	ASSERT_OK(iio_attach(self->buf.fd, d.fd));

	ASSERT_ERRNO(iio_enqueue(self->buf.fd, d.fd, d.size + 1), EINVAL);
	ASSERT_ERRNO(iio_enqueue(self->buf.fd, d.fd,
				 (d.size / align + 1) * align), EINVAL);
	expect_nothing_queued(_metadata, &d);

	EXPECT_OK(iio_enqueue(self->buf.fd, d.fd, d.size / align * align)) {
		TH_LOG("a DMABUF of %zu bytes, says lseek(); %zu were asked of the exporter",
		       d.size, self->len - page_size() / 2);
	}

	dmabuf_free(&d);
}

/* --- the caller's memory --- */

TEST_REQ(abi, enqueue_leaves_struct_alone, "ABI-07")
{
	const struct iio_dmabuf req = enqueue_req(self);
	struct iio_dmabuf arg = req;

	/* Refused, then accepted */
	EXPECT_ERRNO(raw_ioctl(self->buf.fd, IIO_BUFFER_DMABUF_ENQUEUE_IOCTL,
			       &arg), EPERM);
	EXPECT_EQ(0, memcmp(&arg, &req, sizeof(req)));

	ASSERT_OK(iio_attach(self->buf.fd, self->d.fd));
	EXPECT_OK(raw_ioctl(self->buf.fd, IIO_BUFFER_DMABUF_ENQUEUE_IOCTL,
			    &arg));
	EXPECT_EQ(0, memcmp(&arg, &req, sizeof(req))) {
		TH_LOG("was fd %u, flags %#x, bytes_used %#llx", req.fd,
		       req.flags, (unsigned long long)req.bytes_used);
		TH_LOG("is fd %u, flags %#x, bytes_used %#llx", arg.fd,
		       arg.flags, (unsigned long long)arg.bytes_used);
	}
}

TEST_REQ(abi, enqueue_from_read_only_memory, "ABI-07")
{
	const struct iio_dmabuf req = enqueue_req(self);

	memcpy(self->mem, &req, sizeof(req));
	ASSERT_EQ(0, mprotect(self->mem, page_size(), PROT_READ));

	ASSERT_OK(iio_attach(self->buf.fd, self->d.fd));
	EXPECT_OK(raw_ioctl(self->buf.fd, IIO_BUFFER_DMABUF_ENQUEUE_IOCTL,
			    self->mem));
}

TEST_REQ(abi, get_fd_bad_pointer, "ABI-08")
{
	release_fd(&self->buf);

	expect_faults(_metadata, self, self->buf.dev_fd,
		      IIO_BUFFER_GET_FD_IOCTL);

	EXPECT_OK(self->buf.fd = iio_get_fd(self->buf.dev_fd,
					    variant->v.dut->index)) {
		TH_LOG("GET_FD after those that failed");
	}
}

TEST_REQ(abi, attach_bad_pointer, "ABI-08")
{
	expect_faults(_metadata, self, self->buf.fd,
		      IIO_BUFFER_DMABUF_ATTACH_IOCTL);
	expect_not_attached(_metadata, self);
}

TEST_REQ(abi, detach_bad_pointer, "ABI-08")
{
	long refs = dmabuf_refs(self->d.fd);

	ASSERT_OK(iio_attach(self->buf.fd, self->d.fd));
	expect_faults(_metadata, self, self->buf.fd,
		      IIO_BUFFER_DMABUF_DETACH_IOCTL);
	expect_attachment_intact(_metadata, self, refs);
}

TEST_REQ(abi, enqueue_bad_pointer, "ABI-08")
{
	long refs = dmabuf_refs(self->d.fd);

	ASSERT_OK(iio_attach(self->buf.fd, self->d.fd));
	expect_faults(_metadata, self, self->buf.fd,
		      IIO_BUFFER_DMABUF_ENQUEUE_IOCTL);
	expect_nothing_queued(_metadata, &self->d);
	expect_attachment_intact(_metadata, self, refs);
}

TEST_REQ(abi, enqueue_struct_reaches_unmapped_page, "ABI-09")
{
	const struct iio_dmabuf req = enqueue_req(self);
	long refs = dmabuf_refs(self->d.fd);
	size_t mapped;
	char *p;

	ASSERT_OK(iio_attach(self->buf.fd, self->d.fd));

	for (mapped = 1; mapped < sizeof(req); mapped++) {
		p = self->mem + page_size() - mapped;
		memcpy(p, &req, mapped);
		ASSERT_ERRNO(raw_ioctl(self->buf.fd,
				       IIO_BUFFER_DMABUF_ENQUEUE_IOCTL, p),
			     EFAULT) {
			TH_LOG("with %zu of 16 bytes mapped", mapped);
		}
		expect_nothing_queued(_metadata, &self->d);
	}

	expect_attachment_intact(_metadata, self, refs);
}

TEST_REQ(abi, attach_by_value, "ABI-10")
{
	EXPECT_ERRNO(raw_ioctl(self->buf.fd, IIO_BUFFER_DMABUF_ATTACH_IOCTL,
			       (void *)(intptr_t)self->d.fd), EFAULT);
	expect_not_attached(_metadata, self);
}

TEST_REQ(abi, detach_by_value, "ABI-10")
{
	long refs = dmabuf_refs(self->d.fd);

	ASSERT_OK(iio_attach(self->buf.fd, self->d.fd));
	EXPECT_ERRNO(raw_ioctl(self->buf.fd, IIO_BUFFER_DMABUF_DETACH_IOCTL,
			       (void *)(intptr_t)self->d.fd), EFAULT);
	expect_attachment_intact(_metadata, self, refs);
}

TEST_REQ(abi, get_fd_stores_descriptor, "ABI-14")
{
	int arg[3] = { 0x5a5a5a5a, variant->v.dut->index, 0x5a5a5a5a };
	int fds;

	release_fd(&self->buf);
	fds = fd_count();

	ASSERT_OK(raw_ioctl(self->buf.dev_fd, IIO_BUFFER_GET_FD_IOCTL,
			    &arg[1]));
	EXPECT_EQ(fds + 1, fd_count());
	EXPECT_EQ(0x5a5a5a5a, arg[0]) {
		TH_LOG("GET_FD has written before its argument");
	}
	EXPECT_EQ(0x5a5a5a5a, arg[2]) {
		TH_LOG("GET_FD has written behind its argument");
	}

	EXPECT_OK(iio_attach(arg[1], self->d.fd)) {
		TH_LOG("GET_FD has stored %d, which is not a buffer", arg[1]);
	}
	close(arg[1]);
}

TEST_REQ(abi, get_fd_failure_leaves_argument_alone, "ABI-14")
{
	int arg = variant->v.dut->index;

	/* The buffer is open. */
	EXPECT_ERRNO(raw_ioctl(self->buf.dev_fd, IIO_BUFFER_GET_FD_IOCTL, &arg),
		     EBUSY);
	EXPECT_EQ((int)variant->v.dut->index, arg) {
		TH_LOG("GET_FD that failed has written to its argument");
	}

	arg = INT_MAX;
	EXPECT_ERRNO(raw_ioctl(self->buf.dev_fd, IIO_BUFFER_GET_FD_IOCTL, &arg),
		     ENODEV);
	EXPECT_EQ(INT_MAX, arg) {
		TH_LOG("GET_FD that failed has written to its argument");
	}
}

TEST_REQ(abi, unaligned_arguments, "ABI-15")
{
	const struct iio_dmabuf req = enqueue_req(self);
	char *p = self->mem + 1;
	int fd = variant->v.dut->index;

	release_fd(&self->buf);

	memcpy(p, &fd, sizeof(fd));
	ASSERT_OK(raw_ioctl(self->buf.dev_fd, IIO_BUFFER_GET_FD_IOCTL, p));
	memcpy(&self->buf.fd, p, sizeof(self->buf.fd));

	memcpy(p, &self->d.fd, sizeof(self->d.fd));
	ASSERT_OK(raw_ioctl(self->buf.fd, IIO_BUFFER_DMABUF_ATTACH_IOCTL, p));

	memcpy(p, &req, sizeof(req));
	EXPECT_OK(raw_ioctl(self->buf.fd, IIO_BUFFER_DMABUF_ENQUEUE_IOCTL, p));

	memcpy(p, &self->d.fd, sizeof(self->d.fd));
	EXPECT_OK(raw_ioctl(self->buf.fd, IIO_BUFFER_DMABUF_DETACH_IOCTL, p));
}

/* --- 32-bit programs --- */

#define NR_IOCTL_32	54

/*
 * ioctl() as a 32-bit program calls it, which this program may be. A 64-bit one
 * can do so on x86, where the old system call instruction still stands for
 * 32-bit programs, whoever executes it. Arguments must lie below 4 GiB.
 *
 * Return: what the ioctl returned, or a negative errno.
 */
static int ioctl_32(int fd, unsigned long request, const void *arg)
{
#if defined(__x86_64__) && defined(__LP64__)
	long ret;

	asm volatile("int $0x80" : "=a" (ret)
		     : "a" (NR_IOCTL_32), "b" ((long)fd), "c" (request),
		       "d" (arg)
		     : "memory", "cc", "r8", "r9", "r10", "r11");

	return ret;
#elif __SIZEOF_POINTER__ == 4
	return raw_ioctl(fd, request, arg);
#else
	(void)fd;
	(void)request;
	(void)arg;

	return -ENOSYS;
#endif
}

/* A kernel without support for them kills what executes the instruction. */
static bool has_ioctl_32(void)
{
	int status;
	pid_t pid;

	pid = fork();
	if (!pid)
		_exit(ioctl_32(-1, NR_ATTACH, NULL) != -EBADF);

	return pid > 0 && waitpid(pid, &status, 0) == pid && !status;
}

/* Memory whose address a 32-bit program could have */
static void *low_page(void)
{
#ifdef MAP_32BIT
	const int flags = MAP_32BIT;
#else
	const int flags = 0;
#endif

	return mmap(NULL, page_size(), PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS | flags, -1, 0);
}

TEST_REQ(abi, same_results_for_32_bit_programs, "ABI-06")
{
	const int node = self->buf.dev_fd;
	struct iio_dmabuf *req;
	int *fd;

	if (!has_ioctl_32())
		SKIP(return, "no 32-bit system calls: needs CONFIG_COMPAT, on x86 CONFIG_IA32_EMULATION, elsewhere a 32-bit build of this program");

	req = low_page();
	ASSERT_NE(MAP_FAILED, req);
	fd = (int *)(req + 1);

	*fd = variant->v.dut->index;
	EXPECT_ERRNO(ioctl_32(node, NR_GET_FD, fd), EBUSY);
	release_fd(&self->buf);
	ASSERT_EQ(0, ioctl_32(node, NR_GET_FD, fd));
	self->buf.fd = *fd;

	*req = enqueue_req(self);
	EXPECT_ERRNO(ioctl_32(self->buf.fd, NR_ENQUEUE, req), EPERM);

	*fd = self->d.fd;
	EXPECT_EQ(0, ioctl_32(self->buf.fd, NR_ATTACH, fd));
	EXPECT_ERRNO(ioctl_32(self->buf.fd, NR_ATTACH, fd), EBUSY);

	/* Were it cut to 32 bits, it would be a length that fits. */
	req->bytes_used = 1ULL << 32 | self->len;
	ASSERT_ERRNO(ioctl_32(self->buf.fd, NR_ENQUEUE, req), EINVAL);
	req->bytes_used = self->len;
	EXPECT_EQ(0, ioctl_32(self->buf.fd, NR_ENQUEUE, req));
	EXPECT_EQ(0, fd_poll(self->d.fd, POLLOUT, 0)) {
		TH_LOG("ENQUEUE has returned 0, but nothing is queued");
	}

	EXPECT_EQ(0, ioctl_32(self->buf.fd, NR_DETACH, fd));
	EXPECT_ERRNO(ioctl_32(self->buf.fd, NR_DETACH, fd), EPERM);

	munmap(req, page_size());
}

CONFORMANCE_MAIN

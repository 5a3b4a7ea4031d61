// SPDX-License-Identifier: GPL-2.0
/*
 * IIO_BUFFER_DMABUF_ATTACH_IOCTL: what may be attached, how often, and what an
 * attachment alone does and does not do.
 */

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "lib/call.h"
#include "lib/conformance.h"
#include "lib/fdpass.h"
#include "lib/file.h"
#include "lib/pair.h"
#include "lib/trace.h"
#include "lib/transfer.h"

/* More than a list of one or two would show. */
#define MANY	8

static uint64_t fence_context(int fence)
{
	struct fence_info info = {};

	sync_file_info(fence, &info);

	return info.context;
}

/* The access to the memory that fits the direction of the attachment. */
static uint64_t sync_access(const struct iio_dut *dut)
{
	return dut->output ? DMA_BUF_SYNC_WRITE : DMA_BUF_SYNC_READ;
}

/* --- what the kernel tells of attachments --- */

/**
 * dma_channels() - The dmaengine channels of the parent of an IIO device
 * @dut: buffer of the IIO device
 * @device: count only channels of the DMA device with this name, or NULL
 *
 * Return: how many there are.
 */
static int dma_channels(const struct iio_dut *dut, const char *device)
{
	char dir[72], link[PATH_MAX], path[PATH_MAX];
	struct dirent *entry;
	int n = 0;
	DIR *d;

	snprintf(dir, sizeof(dir), "%s/..", dut->dir);
	d = opendir(dir);
	if (!d)
		return 0;

	while ((entry = readdir(d))) {
		if (strncmp(entry->d_name, "dma:", 4))
			continue;

		snprintf(link, sizeof(link), "%s/%s/device", dir,
			 entry->d_name);
		if (!realpath(link, path))
			continue;

		n += !device || !strcmp(strrchr(path, '/') + 1, device);
	}
	closedir(d);

	return n;
}

/* --- ATTACH on its own --- */

FIXTURE(attach) {
	struct iio_buf buf;
	struct dmabuf d;
	struct dmabuf other;
};

DUT_FIXTURE(attach, DUT_ANY);

FIXTURE_SETUP(attach)
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

FIXTURE_TEARDOWN(attach)
{
	iio_buf_close(&self->buf);
	dmabuf_free(&self->d);
	dmabuf_free(&self->other);
	dut_teardown(_metadata);
}

TEST_REQ(attach, bad_descriptor, "ATT-03")
{
	int closed = dup(self->d.fd);

	ASSERT_LE(0, closed);
	close(closed);

	EXPECT_ERRNO(iio_attach(self->buf.fd, -1), EBADF);
	EXPECT_ERRNO(iio_attach(self->buf.fd, closed), EBADF);
}

TEST_REQ(attach, not_a_dmabuf, "ATT-04")
{
	int memfd = memfd_for_udmabuf(page_size());
	int sync_file = dmabuf_export(self->d.fd, DMA_BUF_SYNC_RW);
	int sock = socket(AF_UNIX, SOCK_STREAM, 0);
	int pipe_fds[2];

	ASSERT_LE(0, memfd);
	ASSERT_LE(0, sync_file);
	ASSERT_LE(0, sock);
	ASSERT_EQ(0, pipe(pipe_fds));

	EXPECT_ERRNO(iio_attach(self->buf.fd, memfd), EINVAL);
	EXPECT_ERRNO(iio_attach(self->buf.fd, sync_file), EINVAL);
	EXPECT_ERRNO(iio_attach(self->buf.fd, sock), EINVAL);
	EXPECT_ERRNO(iio_attach(self->buf.fd, pipe_fds[0]), EINVAL);
	EXPECT_ERRNO(iio_attach(self->buf.fd, self->buf.fd), EINVAL);
	EXPECT_ERRNO(iio_attach(self->buf.fd, self->buf.dev_fd), EINVAL);

	close(memfd);
	close(sync_file);
	close(sock);
	close(pipe_fds[0]);
	close(pipe_fds[1]);
}

TEST_REQ(attach, twice, "ATT-05")
{
	ASSERT_OK(iio_attach(self->buf.fd, self->d.fd));
	EXPECT_ERRNO(iio_attach(self->buf.fd, self->d.fd), EBUSY);
}

TEST_REQ(attach, usable_after_refused_duplicate, "ATT-06")
{
	int fence;

	ASSERT_OK(iio_attach(self->buf.fd, self->d.fd));
	ASSERT_ERRNO(iio_attach(self->buf.fd, self->d.fd), EBUSY);

	fence = iio_enqueue_whole(&self->buf, &self->d);
	ASSERT_OK(fence);
	ASSERT_OK(iio_enable(self->buf.dut));
	EXPECT_OK(fence_result(fence));
}

/* Return: a copy of a descriptor that came through a socket. */
static int fd_received(int fd)
{
	int socks[2], ret, copy = -1;

	if (socketpair(AF_UNIX, SOCK_STREAM, 0, socks))
		return -errno;

	ret = send_fds(socks[0], &fd, 1) ?: receive_fds(socks[1], &copy, 1);
	close(socks[0]);
	close(socks[1]);

	return ret ?: copy;
}

TEST_REQ(attach, other_descriptor_of_same_dmabuf, "ATT-07")
{
	int duplicate = dup(self->d.fd);
	int received = fd_received(self->d.fd);

	ASSERT_LE(0, duplicate);
	ASSERT_LE(0, received);

	ASSERT_OK(iio_attach(self->buf.fd, self->d.fd));
	EXPECT_ERRNO(iio_attach(self->buf.fd, duplicate), EBUSY);
	EXPECT_ERRNO(iio_attach(self->buf.fd, received), EBUSY);

	close(duplicate);
	close(received);
}

TEST_REQ(attach, enabled_for_dmabufs, "ATT-10")
{
	ASSERT_OK(iio_attach(self->buf.fd, self->d.fd));
	ASSERT_OK(iio_enable(self->buf.dut));

	EXPECT_OK(iio_attach(self->buf.fd, self->other.fd));
	EXPECT_OK(fence_result(iio_enqueue_whole(&self->buf, &self->other)));
}

static int attach_while_enabled(const struct iio_buf *b, int dmabuf_fd)
{
	int ret = iio_enable(b->dut) ?: iio_attach(b->fd, dmabuf_fd);

	if (!ret) {
		iio_detach(b->fd, dmabuf_fd);
		iio_disable(b->dut);
	}

	return ret;
}

/*
 * Enable a buffer without DMABUFs, then ATTACH. As the kernel may forget the
 * DMABUFs of the last user from a work item, the buffer may come up for DMABUFs
 * and ATTACH succeed: then try again.
 */
static int attach_in_file_io_mode(const struct iio_buf *b, int dmabuf_fd)
{
	int ret;

	wait_until((ret = attach_while_enabled(b, dmabuf_fd)) != 0);

	return ret;
}

TEST_REQ(attach, enabled_for_file_io, "ATT-11")
{
	long refs = dmabuf_refs(self->d.fd);

	ASSERT_ERRNO(attach_in_file_io_mode(&self->buf, self->d.fd), EBUSY);

	EXPECT_EQ(refs, dmabuf_refs(self->d.fd));
	EXPECT_GE(0, dmabuf_attachments(self->d.fd, NULL, 0));
	EXPECT_ERRNO(iio_detach(self->buf.fd, self->d.fd), EPERM);

	EXPECT_OK(iio_disable(self->buf.dut));
	EXPECT_OK(iio_attach(self->buf.fd, self->d.fd));
}

TEST_REQ(attach, descriptor_closed, "ATT-14")
{
	struct dmabuf *d = &self->d;
	int fence, duplicate = dup(d->fd);

	ASSERT_LE(0, duplicate);
	ASSERT_OK(iio_attach(self->buf.fd, d->fd));
	close(d->fd);
	d->fd = duplicate;

	fence = iio_enqueue_whole(&self->buf, d);
	ASSERT_OK(fence);
	ASSERT_OK(iio_enable(self->buf.dut));
	EXPECT_OK(fence_result(fence));
}

TEST_REQ(attach, memory_outlives_its_owner, "ATT-14")
{
	int fence;

	ASSERT_OK(iio_attach(self->buf.fd, self->d.fd));
	fence = iio_enqueue_whole(&self->buf, &self->d);
	ASSERT_OK(fence);
	dmabuf_free(&self->d);

	ASSERT_OK(iio_enable(self->buf.dut));
	EXPECT_OK(fence_result(fence));
}

TEST_REQ(attach, adds_no_fence, "ATT-15")
{
	const struct iio_dut *dut = variant->v.dut;
	int fence;

	ASSERT_OK(iio_attach(self->buf.fd, self->d.fd));
	ASSERT_EQ(POLLIN | POLLOUT,
		  fd_poll(self->d.fd, POLLIN | POLLOUT, 0));

	EXPECT_OK(dmabuf_sync(self->d.fd,
			      DMA_BUF_SYNC_START | sync_access(dut)));
	EXPECT_OK(dmabuf_sync(self->d.fd,
			      DMA_BUF_SYNC_END | sync_access(dut)));

	fence = dmabuf_export(self->d.fd, DMA_BUF_SYNC_RW);
	ASSERT_OK(fence);
	EXPECT_EQ(1, sync_file_status(fence));
	close(fence);
}

TEST_REQ(attach, keeps_contents, "ATT-22")
{
	struct dmabuf *d = &self->d;

	ASSERT_OK(dmabuf_begin_cpu(d));
	pattern_fill(d->map, d->size, 1);
	ASSERT_OK(dmabuf_end_cpu(d));

	ASSERT_OK(iio_attach(self->buf.fd, d->fd));
	ASSERT_OK(iio_detach(self->buf.fd, d->fd));

	ASSERT_OK(dmabuf_begin_cpu(d));
	EXPECT_EQ(-1, pattern_mismatch(d->map, d->size, 1));
	ASSERT_OK(dmabuf_end_cpu(d));
}

TEST_REQ(attach, fence_context_per_dmabuf, "ATT-23")
{
	int fence, other;

	ASSERT_OK(iio_attach(self->buf.fd, self->d.fd));
	ASSERT_OK(iio_attach(self->buf.fd, self->other.fd));
	fence = iio_enqueue_whole(&self->buf, &self->d);
	ASSERT_OK(fence);
	other = iio_enqueue_whole(&self->buf, &self->other);
	ASSERT_OK(other);

	EXPECT_NE(0, fence_context(fence));
	EXPECT_NE(fence_context(fence), fence_context(other));

	ASSERT_OK(iio_enable(self->buf.dut));
	EXPECT_OK(fence_result(fence));
	EXPECT_OK(fence_result(other));
}

TEST_REQ(attach, fence_context_per_attachment, "ATT-23")
{
	uint64_t context;
	int first, fence;

	ASSERT_OK(iio_attach(self->buf.fd, self->d.fd));
	first = iio_enqueue_whole(&self->buf, &self->d);
	ASSERT_OK(first);
	context = fence_context(first);
	ASSERT_OK(iio_enable(self->buf.dut));
	ASSERT_EQ(1, sync_file_wait(first));
	ASSERT_OK(iio_disable(self->buf.dut));

	ASSERT_OK(iio_detach(self->buf.fd, self->d.fd));
	ASSERT_OK(iio_attach(self->buf.fd, self->d.fd));
	fence = iio_enqueue_whole(&self->buf, &self->d);
	ASSERT_OK(fence);
	EXPECT_NE(0, fence_context(fence));
	EXPECT_NE(context, fence_context(fence));
	ASSERT_OK(iio_enable(self->buf.dut));
	EXPECT_OK(fence_result(fence));
	close(first);
}

TEST_REQ(attach, released_by_close, "ATT-25")
{
	static const unsigned int order[MANY] = { 3, 0, 7, 1, 6, 2, 5, 4 };
	struct dmabuf many[MANY];
	unsigned int i;
	long refs;

	for (i = 0; i < MANY; i++) {
		ASSERT_OK(variant_alloc(&many[i], &variant->v));
	}
	refs = dmabuf_refs(many[0].fd);

	for (i = 0; i < MANY; i++) {
		ASSERT_OK(iio_attach(self->buf.fd, many[order[i]].fd));
		ASSERT_LT(refs, dmabuf_refs(many[order[i]].fd));
	}
	close(self->buf.fd);
	self->buf.fd = -1;

	for (i = 0; i < MANY; i++) {
		ASSERT_OK(dmabuf_wait_refs(many[i].fd, refs));
		EXPECT_GE(0, dmabuf_attachments(many[i].fd, NULL, 0));
		dmabuf_free(&many[i]);
	}
}

/* --- DMABUFs from different places --- */

FIXTURE(attach_from) {
	struct iio_buf buf;
};

DUT_FIXTURE(attach_from, DUT_ANY | DUT_EXPORTERS);

FIXTURE_SETUP(attach_from)
{
	self->buf = (struct iio_buf)IIO_BUF_INIT;

	if (!dut_setup(_metadata, &variant->v))
		return;

	ASSERT_OK(iio_buf_open(&self->buf, variant->v.dut));
}

FIXTURE_TEARDOWN(attach_from)
{
	iio_buf_close(&self->buf);
	dut_teardown(_metadata);
}

TEST_REQ(attach_from, one_page, "ATT-01")
{
	struct dmabuf d;

	ASSERT_OK(variant_alloc(&d, &variant->v));
	EXPECT_OK(iio_attach(self->buf.fd, d.fd));
	dmabuf_free(&d);
}

TEST_REQ(attach_from, many_pages, "ATT-01")
{
	struct dmabuf d;

	ASSERT_OK(dmabuf_alloc(&d, variant->v.exporter, 32 * page_size()));
	EXPECT_OK(iio_attach(self->buf.fd, d.fd));
	dmabuf_free(&d);
}

/* --- DMABUFs that cannot be attached --- */

/*
 * From some length on the DMA mapping may fail, because of the length of its
 * pieces or of all of them; on many machines it never does.
 */
TEST_REQ(attach, more_than_can_be_mapped, "ATT-19")
{
	struct dmabuf d;
	size_t size;
	long refs;
	int ret;

	for (size = 65536; size <= 64 << 20; size *= 4) {
		if (dmabuf_alloc(&d, variant->v.exporter, size))
			break;

		refs = dmabuf_refs(d.fd);
		ret = iio_attach(self->buf.fd, d.fd);
		EXPECT_ERRNO(ret, OK, EIO, ENOMEM, EINVAL, ENOSPC);
		if (ret)
			expect_no_trace(_metadata, &self->buf, d.fd, refs);
		else
			EXPECT_OK(iio_detach(self->buf.fd, d.fd));
		dmabuf_free(&d);
	}

	EXPECT_OK(iio_attach(self->buf.fd, self->d.fd));
}

#define CGROUP		"iio-dmabuf"
#define CGROUP_LIMIT	"8388608"
#define TOO_MUCH	(32 << 20)

static int cgroup_write(const char *dir, const char *file, const char *val)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/%s", dir, file);

	return write_file(path, val);
}

/* Make a cgroup with little memory in it; set @dir to where it is. */
static bool cgroup_setup(char *dir, size_t size)
{
	char line[512], root[256];
	bool found = false;
	FILE *f;

	f = fopen("/proc/mounts", "re");
	while (f && !found && fgets(line, sizeof(line), f))
		found = sscanf(line, "%*s %255s cgroup2", root) == 1 &&
			strstr(line, " cgroup2 ");
	if (f)
		fclose(f);
	if (!found)
		return false;

	cgroup_write(root, "cgroup.subtree_control", "+memory");
	snprintf(dir, size, "%s/" CGROUP, root);
	if (mkdir(dir, 0755) && errno != EEXIST)
		return false;
	if (!cgroup_write(dir, "memory.max", CGROUP_LIMIT))
		return true;

	rmdir(dir);

	return false;
}

/* Return: what ATTACH, tried @n times, says to a process in that cgroup. */
static int attach_in_cgroup(const char *dir, int fd, int dmabuf_fd, int n)
{
	int status, ret;
	pid_t child;

	child = fork();
	if (child < 0)
		return -errno;
	if (!child) {
		if (cgroup_write(dir, "cgroup.procs", "0"))
			_exit(EXDEV);
		do {
			ret = iio_attach(fd, dmabuf_fd);
		} while (--n && ret == -ENOMEM);
		_exit(-ret);
	}

	if (waitpid(child, &status, 0) != child || !WIFEXITED(status))
		return -ECHILD;

	return -WEXITSTATUS(status);
}

/* --- an exporter without memory --- */

FIXTURE(attach_no_memory) {
	struct iio_buf buf;
	char cgroup[300];
	int fd;
};

DUT_FIXTURE(attach_no_memory, DUT_ANY);

FIXTURE_SETUP(attach_no_memory)
{
	int drm;

	self->buf = (struct iio_buf)IIO_BUF_INIT;
	self->fd = -1;
	if (!dut_setup(_metadata, &variant->v))
		return;

	/* It has no memory for its DMABUF before somebody attaches it. */
	drm = vgem_open();
	if (drm < 0)
		SKIP(return, "no vgem: enable CONFIG_DRM_VGEM, load the module, run as root");
	self->fd = vgem_export(drm, TOO_MUCH);
	close(drm);
	ASSERT_OK(self->fd);

	if (!cgroup_setup(self->cgroup, sizeof(self->cgroup))) {
		self->cgroup[0] = '\0';
		SKIP(return, "no cgroup to limit memory: enable CONFIG_MEMCG, mount cgroup2, run as root");
	}
	ASSERT_OK(iio_buf_open(&self->buf, variant->v.dut));
}

FIXTURE_TEARDOWN(attach_no_memory)
{
	iio_buf_close(&self->buf);
	if (self->fd >= 0)
		close(self->fd);
	if (self->cgroup[0])
		wait_until(!rmdir(self->cgroup) || errno != EBUSY);
	dut_teardown(_metadata);
}

TEST_REQ(attach_no_memory, fails_and_leaves_nothing, "ATT-19")
{
	long refs = dmabuf_refs(self->fd);
	struct dmabuf d;
	int ret;

	EXPECT_ERRNO(attach_in_cgroup(self->cgroup, self->buf.fd, self->fd, 1),
		     ENOMEM);
	expect_no_trace(_metadata, &self->buf, self->fd, refs);

	ASSERT_OK(variant_alloc(&d, &variant->v));
	ret = iio_attach(self->buf.fd, d.fd);
	dmabuf_free(&d);
	EXPECT_OK(ret);
}

/* Return: how many records with @word in them the kernel has logged since. */
static int nr_logged(int kmsg, const char *word)
{
	char record[8192];
	ssize_t len;
	int n = 0;

	while ((len = read(kmsg, record, sizeof(record) - 1)) > 0 ||
	       (len < 0 && errno == EPIPE)) {
		record[len < 0 ? 0 : len] = '\0';
		n += !!strstr(record, word);
	}

	return n;
}

/* More than a rate limit lets pass at once, which is ten by default */
#define MANY_FAILURES	40

/* ATTACH, again and again, what is too long to be mapped, if anything is. */
static void attach_unmappable(const struct iio_buf *b,
			      const struct exporter *e)
{
	struct dmabuf d;
	int i;

	if (dmabuf_alloc(&d, e, 64 << 20))
		return;

	for (i = 0; i < MANY_FAILURES; i++) {
		if (!iio_attach(b->fd, d.fd))
			break;
	}
	dmabuf_free(&d);
}

TEST_REQ(attach_no_memory, failures_do_not_fill_the_log, "SEC-11")
{
	const char *device = strrchr(variant->v.dut->dir, '/') + 1;
	int kmsg, n;

	kmsg = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	if (kmsg < 0)
		SKIP(return, "/dev/kmsg cannot be read: run as root");
	lseek(kmsg, 0, SEEK_END);

	EXPECT_ERRNO(attach_in_cgroup(self->cgroup, self->buf.fd, self->fd,
				      MANY_FAILURES), ENOMEM);
	EXPECT_LT(nr_logged(kmsg, device), MANY_FAILURES);

	attach_unmappable(&self->buf, variant->v.exporter);
	n = nr_logged(kmsg, device);
	close(kmsg);
	/* Where all can be mapped the defect does not show. */
	if (n >= MANY_FAILURES)
		EXPECT_UNLESS("B24", n < MANY_FAILURES);
}

/* --- DMABUFs over the same memory --- */

FIXTURE(attach_alias) {
	struct iio_buf buf;
	struct dmabuf d;
	struct dmabuf alias;
	int memfd;
};

DUT_FIXTURE(attach_alias, DUT_ANY);

FIXTURE_SETUP(attach_alias)
{
	self->buf = (struct iio_buf)IIO_BUF_INIT;
	self->d = (struct dmabuf)DMABUF_INIT;
	self->alias = (struct dmabuf)DMABUF_INIT;

	if (!dut_setup(_metadata, &variant->v))
		return;

	if (access("/dev/udmabuf", R_OK | W_OK))
		SKIP(return,
		     "no /dev/udmabuf that can be opened: needs CONFIG_UDMABUF");

	self->memfd = memfd_for_udmabuf(page_size());
	ASSERT_OK(self->memfd);
	ASSERT_OK(dmabuf_from_memfd(&self->d, self->memfd, 0, page_size()));
	ASSERT_OK(dmabuf_from_memfd(&self->alias, self->memfd, 0, page_size()));
	ASSERT_OK(iio_buf_open(&self->buf, variant->v.dut));
}

FIXTURE_TEARDOWN(attach_alias)
{
	iio_buf_close(&self->buf);
	dmabuf_free(&self->d);
	dmabuf_free(&self->alias);
	close(self->memfd);
	dut_teardown(_metadata);
}

TEST_REQ(attach_alias, both, "ATT-08")
{
	EXPECT_OK(iio_attach(self->buf.fd, self->d.fd));
	EXPECT_OK(iio_attach(self->buf.fd, self->alias.fd));
}

/* --- the direction of the mapping --- */

#define MAP_EVENT	"dma/dma_map_sg"

/**
 * trace_directions() - The directions of the mappings that were traced
 * @t: the trace
 * @want: what they should be
 * @got: set to @want if they are, else to a wrong one
 *
 * Return: number of mappings.
 */
static int trace_directions(const struct trace *t, const char *want,
			    char got[32])
{
	char line[4096], dir[32];
	const char *word;
	int n = 0;
	FILE *f;

	f = trace_read(t);
	if (!f)
		return 0;

	while (fgets(line, sizeof(line), f)) {
		word = strstr(line, "dma_map_sg: ");
		if (!word || sscanf(word, "%*s %*s dir=%31s", dir) != 1)
			continue;

		if (!n++ || strcmp(dir, want))
			memcpy(got, dir, sizeof(dir));
	}
	fclose(f);

	return n;
}

FIXTURE(attach_traced) {
	struct trace trace;
	struct iio_buf buf;
	struct dmabuf d;
};

DUT_FIXTURE(attach_traced, DUT_ANY | DUT_EXPORTERS);

FIXTURE_SETUP(attach_traced)
{
	char filter[32];

	self->buf = (struct iio_buf)IIO_BUF_INIT;
	self->d = (struct dmabuf)DMABUF_INIT;

	if (!dut_setup(_metadata, &variant->v))
		return;

	if (!trace_event_present(MAP_EVENT))
		SKIP(return,
		     "no trace event dma_map_sg: needs Linux 6.12 with CONFIG_TRACING, tracefs on /sys/kernel/tracing and root");

	ASSERT_OK(trace_open(&self->trace, TRACE_NAME));
	snprintf(filter, sizeof(filter), "common_pid == %d", getpid());
	ASSERT_OK(trace_event_enable(&self->trace, MAP_EVENT, filter));

	ASSERT_OK(iio_buf_open(&self->buf, variant->v.dut));
	ASSERT_OK(variant_alloc(&self->d, &variant->v));
}

FIXTURE_TEARDOWN(attach_traced)
{
	iio_buf_close(&self->buf);
	dmabuf_free(&self->d);
	trace_close(&self->trace);
	dut_teardown(_metadata);
}

TEST_REQ(attach_traced, maps_in_direction_of_buffer, "ATT-20")
{
	const char *want = variant->v.dut->output ? "TO_DEVICE" : "FROM_DEVICE";
	char got[32] = "";

	ASSERT_OK(trace_start(&self->trace));
	ASSERT_OK(iio_attach(self->buf.fd, self->d.fd));
	ASSERT_OK(trace_stop(&self->trace));

	if (!trace_directions(&self->trace, want, got))
		SKIP(return,
		     "ATTACH called dma_map_sgtable() not at all: the exporter has its own way to map");
	EXPECT_STREQ(want, got);
}

/* --- the device of the mapping --- */

FIXTURE(attach_device) {
	struct iio_buf buf;
	struct dmabuf d;
};

DUT_FIXTURE(attach_device, DUT_ANY);

FIXTURE_SETUP(attach_device)
{
	self->buf = (struct iio_buf)IIO_BUF_INIT;
	self->d = (struct dmabuf)DMABUF_INIT;

	if (!dut_setup(_metadata, &variant->v))
		return;

	if (access(DMABUF_BUFINFO, R_OK))
		SKIP(return,
		     "no dma_buf/bufinfo in debugfs: needs CONFIG_DEBUG_FS, debugfs on /sys/kernel/debug and root");
	if (!dma_channels(variant->v.dut, NULL))
		SKIP(return,
		     "the parent of the IIO device has no dma:NAME links, its DMA device is not known");

	ASSERT_OK(iio_buf_open(&self->buf, variant->v.dut));
	ASSERT_OK(variant_alloc(&self->d, &variant->v));
}

FIXTURE_TEARDOWN(attach_device)
{
	iio_buf_close(&self->buf);
	dmabuf_free(&self->d);
	dut_teardown(_metadata);
}

TEST_REQ(attach_device, is_behind_the_dma_channel, "ATT-21")
{
	char name[128] = "";

	ASSERT_OK(iio_attach(self->buf.fd, self->d.fd));
	ASSERT_EQ(1, dmabuf_attachments(self->d.fd, name, sizeof(name)));
	EXPECT_LT(0, dma_channels(variant->v.dut, name)) {
		TH_LOG("mapped for %s, which has no DMA channel of the IIO device's parent",
		       name);
	}
}

/* --- two buffers --- */

FIXTURE(attach_pair) {
	struct pair pair;
};

DUT_FIXTURE(attach_pair, DUT_PAIR);

FIXTURE_SETUP(attach_pair)
{
	self->pair = (struct pair)PAIR_INIT;
	if (dut_setup(_metadata, &variant->v))
		pair_setup(_metadata, &self->pair, &variant->v);
}

FIXTURE_TEARDOWN(attach_pair)
{
	pair_teardown(&self->pair);
	dut_teardown(_metadata);
}

TEST_REQ(attach_pair, both, "ATT-09")
{
	struct pair *pair = &self->pair;

	ASSERT_OK(iio_attach(pair->out.fd, pair->d.fd));
	ASSERT_OK(iio_attach(pair->in.fd, pair->d.fd));
	ASSERT_OK(iio_enable(pair->in.dut));
	ASSERT_OK(iio_enable(pair->out.dut));

	EXPECT_OK(fence_result(iio_enqueue_whole(&pair->in, &pair->d)));
	EXPECT_OK(fence_result(iio_enqueue_whole(&pair->out, &pair->d)));
}

/* ATTACH to @out while @d has a fence that enabling @in signals. */
static void expect_no_wait(struct __test_metadata *_metadata,
			   const struct iio_buf *out, const struct iio_buf *in,
			   const struct dmabuf *d)
{
	pid_t attach = call_start(iio_attach, out->fd, d->fd);

	EXPECT_FALSE(call_blocks(attach)) {
		TH_LOG("ATTACH waits for a fence of the DMABUF");
	}
	EXPECT_EQ(0, fd_poll(d->fd, POLLOUT, 0));
	ASSERT_OK(iio_enable(in->dut));
	EXPECT_OK(call_result(attach));
}

TEST_REQ(attach_pair, does_not_wait_for_writer, "ATT-16")
{
	struct pair *pair = &self->pair;

	ASSERT_OK(iio_add_pending_fence(&pair->in, &pair->gate, &pair->d,
					DMA_BUF_SYNC_WRITE));
	expect_no_wait(_metadata, &pair->out, &pair->in, &pair->d);
}

TEST_REQ(attach_pair, does_not_wait_for_reader, "ATT-16")
{
	struct pair *pair = &self->pair;

	ASSERT_OK(iio_add_pending_fence(&pair->in, &pair->gate, &pair->d,
					DMA_BUF_SYNC_READ));
	expect_no_wait(_metadata, &pair->out, &pair->in, &pair->d);
}

TEST_REQ(attach_pair, interrupted_in_lock, "ATT-17")
{
	struct pair *pair = &self->pair;
	pid_t attach, enqueue;
	char state;

	enqueue = call_waiting_enqueue(&pair->in, &pair->gate, &pair->d);
	ASSERT_OK(enqueue);
	attach = call_start(iio_attach, pair->out.fd, pair->d.fd);
	state = call_blocks(attach);
	EXPECT_UNLESS("B7", state != 'D');

	call_interrupt(attach);
	if (state == 'S') {
		EXPECT_ERRNO(call_result(attach), EINTR);
		EXPECT_ERRNO(iio_detach(pair->out.fd, pair->d.fd), EPERM);
		call_kill(enqueue);
	} else {
		call_kill(enqueue);
		EXPECT_ERRNO(call_result(attach), OK, EINTR);
	}
}

TEST_REQ(attach_pair, nonblocking_does_not_wait_for_lock, "ATT-18")
{
	struct pair *pair = &self->pair;
	pid_t attach, enqueue;

	enqueue = call_waiting_enqueue(&pair->in, &pair->gate, &pair->d);
	ASSERT_OK(enqueue);
	ASSERT_OK(fd_set_nonblock(pair->out.fd, true));
	attach = call_start(iio_attach, pair->out.fd, pair->d.fd);
	EXPECT_UNLESS("B7", !call_blocks(attach));

	call_kill(enqueue);
	EXPECT_ERRNO(call_result(attach), OK, EBUSY);
}

/* --- a buffer that takes no DMABUFs --- */

FIXTURE(unsupported) {
	struct dmabuf d;
	int dev_fd;
	int fd;
};

FIXTURE_SETUP(unsupported)
{
	const struct iio_dut *dut = iio_buffer_without_dmabuf();

	suite_print_reqs(_metadata->fixture->name, _metadata->name);

	if (!dut)
		SKIP(return,
		     "no IIO buffer without DMABUF support: load a driver that has one, such as iio_dummy or max1363 on i2c-stub");

	ASSERT_OK(dmabuf_alloc(&self->d, exporter_default(), page_size()));
	self->dev_fd = open(dut->chrdev, O_RDWR | O_CLOEXEC);
	ASSERT_LE(0, self->dev_fd);
	self->fd = iio_get_fd(self->dev_fd, dut->index);
	ASSERT_OK(self->fd);
}

FIXTURE_TEARDOWN(unsupported)
{
	close(self->fd);
	close(self->dev_fd);
	dmabuf_free(&self->d);
	dut_teardown(_metadata);
}

TEST_REQ(unsupported, attach, "ATT-02")
{
	EXPECT_ERRNO(iio_attach(self->fd, self->d.fd), EPERM);
}

TEST_REQ(unsupported, detach, "DET-08")
{
	EXPECT_ERRNO(iio_detach(self->fd, self->d.fd), EPERM);
}

CONFORMANCE_MAIN

// SPDX-License-Identifier: GPL-2.0
/*
 * How many, how long, how often: numbers that a client may come up with, and
 * that an implementation must not be surprised by.
 */

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "lib/conformance.h"
#include "lib/deadline.h"
#include "lib/slab.h"

/* Attachments, and transfers that are queued at the same time */
#define NR_ATTACHED	1000
#define NR_QUEUED	256

/* The longest list that udmabuf makes unless it is told otherwise */
#define LONG_LIST	(64ul << 20)

/* Transfers one after the other, unless IIO_DMABUF_CYCLES says otherwise */
#define NR_CYCLES	2000

/* What a slow device may take for all of the above, in milliseconds */
#define PATIENCE_MS	5000

FIXTURE(limits) {
	struct iio_buf buf;
	struct dmabuf many[NR_QUEUED];
	struct dmabuf d;
	struct slab_watch slab;
};

DUT_FIXTURE(limits, DUT_ANY);

FIXTURE_SETUP(limits)
{
	int i;

	self->buf = (struct iio_buf)IIO_BUF_INIT;
	self->d = (struct dmabuf)DMABUF_INIT;
	for (i = 0; i < NR_QUEUED; i++)
		self->many[i] = (struct dmabuf)DMABUF_INIT;

	if (!dut_setup(_metadata, &variant->v))
		return;

	ASSERT_OK(iio_buf_open(&self->buf, variant->v.dut));
}

FIXTURE_TEARDOWN(limits)
{
	int i;

	iio_buf_close(&self->buf);
	dmabuf_free(&self->d);
	for (i = 0; i < NR_QUEUED; i++)
		dmabuf_free(&self->many[i]);
	dut_teardown(_metadata);
}

/* Attach DMABUFs that are nobody's from then on. */
static void attach_and_forget(struct __test_metadata *_metadata,
			      const struct iio_buf *buf,
			      const struct dut_variant *v, int nr)
{
	struct dmabuf d;
	int ret;

	for (; nr; nr--) {
		ASSERT_OK(variant_alloc(&d, v));
		ret = iio_attach(buf->fd, d.fd);
		dmabuf_free(&d);
		ASSERT_OK(ret) {
			TH_LOG("with %d attached", NR_ATTACHED - nr);
		}
	}
}

/* A slow device does some of them, which is enough; then disable() ends it. */
static int wait_for_most(const int fences[NR_QUEUED])
{
	const uint64_t end = now_ms() + PATIENCE_MS;
	int i;

	for (i = 0; i < NR_QUEUED; i++) {
		if (sync_file_wait(fences[i]) != 1 || now_ms() > end)
			return i + 1;
	}

	return i;
}

TEST_REQ(limits, many_attached_and_queued, "LIM-01")
{
	int fences[NR_QUEUED], i, status;

	for (i = 0; i < NR_QUEUED; i++) {
		ASSERT_OK(variant_alloc(&self->many[i], &variant->v));
		ASSERT_OK(iio_attach(self->buf.fd, self->many[i].fd)) {
			TH_LOG("with %d attached", i);
		}
	}
	attach_and_forget(_metadata, &self->buf, &variant->v,
			  NR_ATTACHED - NR_QUEUED);

	for (i = 0; i < NR_QUEUED; i++) {
		fences[i] = iio_enqueue_whole(&self->buf, &self->many[i]);
		ASSERT_OK(fences[i]) {
			TH_LOG("with %d queued", i);
		}
	}

	ASSERT_OK(iio_enable(self->buf.dut));
	ASSERT_EQ(1, sync_file_wait(fences[0]));
	TH_LOG("%d of %d transfers done", wait_for_most(fences), NR_QUEUED);
	ASSERT_OK(iio_disable(self->buf.dut));

	for (i = 0; i < NR_QUEUED; i++) {
		status = sync_file_wait(fences[i]);
		ASSERT_TRUE(status == 1 || status == -EINTR) {
			TH_LOG("the fence of transfer %d says %d", i, status);
		}
		close(fences[i]);
	}
}

TEST_REQ(limits, one_unit_of_alignment, "LIM-09")
{
	size_t unit = self->buf.dut->align;
	int fence;

	ASSERT_OK(variant_alloc(&self->d, &variant->v));
	ASSERT_OK(iio_attach(self->buf.fd, self->d.fd));
	ASSERT_OK(iio_enable(self->buf.dut));
	fence = iio_enqueue_fence(&self->buf, &self->d, unit);
	/* A frame may be longer. */
	ASSERT_ERRNO(fence, OK, EINVAL);
	if (fence >= 0) {
		EXPECT_OK(fence_result(fence)) {
			TH_LOG("a transfer of %zu bytes was accepted, but failed",
			       unit);
		}
	}
}

/* Return: memory that is free without swapping, or as much as there can be. */
static uint64_t available_memory(void)
{
	uint64_t kib = UINT64_MAX / 1024;
	char line[128];
	FILE *f;

	f = fopen("/proc/meminfo", "re");
	if (!f)
		return UINT64_MAX;

	while (fgets(line, sizeof(line), f)) {
		if (sscanf(line, "MemAvailable: %" SCNu64, &kib) == 1)
			break;
	}
	fclose(f);

	return kib * 1024;
}

/* Return: false if the test was marked as skipped. */
static bool long_list_alloc(struct __test_metadata *_metadata,
			    struct dmabuf *d)
{
	const struct exporter *e = exporter_find("udmabuf");
	int ret;

	if (!e->present())
		SKIP(return false,
		     "no udmabuf: enable CONFIG_UDMABUF, make /dev/udmabuf accessible");

	/* Not the last of it: a small board has to go on. */
	if (available_memory() < 2 * LONG_LIST)
		SKIP(return false, "less than %lu MiB of memory are available",
		     2 * LONG_LIST >> 20);

	ret = dmabuf_alloc(d, e, LONG_LIST);
	if (ret == -EINVAL)
		SKIP(return false,
		     "the parameter size_limit_mb of udmabuf is less than %lu",
		     LONG_LIST >> 20);
	if (ret == -ENOMEM)
		SKIP(return false, "no 64 MiB of memory for a udmabuf");
	ASSERT_OK(ret);

	return true;
}

TEST_REQ(limits, short_transfer_of_long_list, "LIM-05")
{
	size_t len = iio_good_length(self->buf.dut, self->buf.dut);
	int fence, ret;

	if (!long_list_alloc(_metadata, &self->d))
		return;

	ret = iio_attach(self->buf.fd, self->d.fd);
	/* The mapping or the device may have a limit of its own. */
	ASSERT_ERRNO(ret, OK, EINVAL, ENOMEM, EIO);
	if (ret)
		return;

	ASSERT_OK(iio_enable(self->buf.dut));
	fence = iio_enqueue_fence(&self->buf, &self->d, len);
	ASSERT_OK(fence) {
		TH_LOG("%zu bytes of a DMABUF of %zu", len, self->d.size);
	}
	EXPECT_OK(fence_result(fence)) {
		TH_LOG("%zu bytes of a DMABUF of %zu", len, self->d.size);
	}
}

/* --- memory --- */

static unsigned int nr_cycles(void)
{
	const char *env = getenv("IIO_DMABUF_CYCLES");

	return env ? strtoul(env, NULL, 0) : NR_CYCLES;
}

/* How many of the cycles go on at the same time */
#define RING	8

/*
 * As often as asked for; otherwise a slow device does fewer, as many as it can
 * in @patience_ms. Return: how many.
 */
static unsigned int cycle(struct __test_metadata *_metadata,
			  FIXTURE_DATA(limits) *self, unsigned int nr,
			  unsigned int patience_ms)
{
	const bool asked = getenv("IIO_DMABUF_CYCLES");
	const uint64_t end = now_ms() + patience_ms;
	const struct dmabuf *d;
	unsigned int i;

	for (i = 0; i < nr && (asked || now_ms() < end); i++) {
		d = &self->many[i % RING];
		ASSERT_EQ(POLLOUT, fd_poll(d->fd, POLLOUT, DEADLINE_MS)) {
			TH_LOG("transfer %u does not end", i - RING);
		}
		ASSERT_OK(iio_enqueue(self->buf.fd, d->fd, d->size));
	}
	for (d = self->many; d < self->many + RING; d++) {
		ASSERT_EQ(POLLOUT, fd_poll(d->fd, POLLOUT, DEADLINE_MS));
	}

	return i;
}

TEST_REQ_WITHIN(limits, cycles_leave_nothing_behind, 3600, "LIM-06")
{
	int fds, i;
	long refs;

	for (i = 0; i < RING; i++) {
		ASSERT_OK(variant_alloc(&self->many[i], &variant->v));
		ASSERT_OK(iio_attach(self->buf.fd, self->many[i].fd));
	}
	ASSERT_OK(iio_enable(self->buf.dut));
	refs = dmabuf_refs(self->many[0].fd);

	/* Let the caches fill first. */
	cycle(_metadata, self, 100, PATIENCE_MS / SLAB_BATCHES);
	fds = fd_count();
	slab_start(&self->slab);
	for (i = 0; i < SLAB_BATCHES; i++)
		slab_batch(&self->slab,
			   cycle(_metadata, self, nr_cycles() / SLAB_BATCHES,
				 PATIENCE_MS / SLAB_BATCHES));

	for (i = 0; i < RING; i++) {
		EXPECT_OK(dmabuf_wait_refs(self->many[i].fd, refs));
		EXPECT_EQ(refs, dmabuf_refs(self->many[i].fd));
	}
	EXPECT_EQ(fds, fd_count());
	EXPECT_TRUE(slab_steady(&self->slab, "transfers"));
}

/* --- a long list through a loopback pair --- */

FIXTURE(limits_loop) {
	struct iio_buf out;
	struct iio_buf in;
	struct dmabuf tx;
	struct dmabuf rx;
};

DUT_FIXTURE(limits_loop, DUT_LOOPBACK);

FIXTURE_SETUP(limits_loop)
{
	self->out = (struct iio_buf)IIO_BUF_INIT;
	self->in = (struct iio_buf)IIO_BUF_INIT;
	self->tx = (struct dmabuf)DMABUF_INIT;
	self->rx = (struct dmabuf)DMABUF_INIT;

	if (!dut_setup(_metadata, &variant->v))
		return;

	ASSERT_OK(iio_buf_open(&self->out, variant->v.dut));
	ASSERT_OK(iio_buf_open(&self->in, variant->v.peer));
}

FIXTURE_TEARDOWN(limits_loop)
{
	iio_buf_close(&self->out);
	iio_buf_close(&self->in);
	dmabuf_free(&self->tx);
	dmabuf_free(&self->rx);
	dut_teardown(_metadata);
}

/* The number of the page, at its beginning: the rest would take its time. */
static void number_pages(const struct dmabuf *d)
{
	uint64_t i;

	for (i = 0; i < d->size / page_size(); i++)
		memcpy(d->map + i * page_size(), &i, sizeof(i));
}

static ptrdiff_t wrong_page(const struct dmabuf *d)
{
	uint64_t i;

	for (i = 0; i < d->size / page_size(); i++) {
		if (memcmp(d->map + i * page_size(), &i, sizeof(i)))
			return i;
	}

	return -1;
}

static bool has_failed(int fence)
{
	return fence < 0 || sync_file_status(fence) < 0;
}

/*
 * Wait for the first of two transfers to end. If it, or ENQUEUE, has failed the
 * other one has nothing to wait for.
 */
static void release_peer_of_failed(FIXTURE_DATA(limits_loop) *self, int out,
				   int in)
{
	struct pollfd pfd[2] = {
		{ .fd = out, .events = POLLIN },
		{ .fd = in, .events = POLLIN },
	};

	if (out >= 0 && in >= 0)
		poll(pfd, 2, DEADLINE_MS);
	if (has_failed(out))
		iio_disable(self->in.dut);
	if (has_failed(in))
		iio_disable(self->out.dut);
}

TEST_REQ(limits_loop, long_list_arrives_whole_or_fails, "LIM-02")
{
	int out, in, ret_out, ret_in;

	if (loop_moves_within(DEADLINE_MS / 2, LONG_LIST) < LONG_LIST)
		SKIP(return, "the loopback pair takes too long for %lu MiB",
		     LONG_LIST >> 20);

	if (!long_list_alloc(_metadata, &self->tx) ||
	    !long_list_alloc(_metadata, &self->rx))
		return;

	ASSERT_OK(dmabuf_begin_cpu(&self->tx));
	number_pages(&self->tx);
	ASSERT_OK(dmabuf_end_cpu(&self->tx));
	ASSERT_ERRNO(iio_attach(self->out.fd, self->tx.fd), OK, ENOMEM, EINVAL,
		     EIO);
	ASSERT_ERRNO(iio_attach(self->in.fd, self->rx.fd), OK, ENOMEM, EINVAL,
		     EIO);

	in = iio_enqueue_whole(&self->in, &self->rx);
	ASSERT_ERRNO(in, OK, ENOMEM, EINVAL, EPERM);
	out = iio_enqueue_whole(&self->out, &self->tx);
	ASSERT_ERRNO(out, OK, ENOMEM, EINVAL, EPERM);
	ASSERT_OK(iio_enable(self->in.dut));
	ASSERT_OK(iio_enable(self->out.dut));

	release_peer_of_failed(self, out, in);
	ret_out = fence_result(out);
	ret_in = fence_result(in);
	TH_LOG("output: %s, input: %s", errno_name(-ret_out),
	       errno_name(-ret_in));
	ASSERT_NE(-ETIMEDOUT, ret_out);
	ASSERT_NE(-ETIMEDOUT, ret_in);
	if (ret_in)
		return;

	ASSERT_OK(ret_out);
	ASSERT_OK(dmabuf_sync(self->rx.fd,
			      DMA_BUF_SYNC_START | DMA_BUF_SYNC_READ));
	EXPECT_EQ(-1, wrong_page(&self->rx)) {
		TH_LOG("success, but page %td is not what was sent",
		       wrong_page(&self->rx));
	}
	ASSERT_OK(dmabuf_sync(self->rx.fd,
			      DMA_BUF_SYNC_END | DMA_BUF_SYNC_READ));
}

/* --- what a udmabuf can be made of --- */

FIXTURE(udmabuf) {
	struct dmabuf d;
	int memfd;
};

FIXTURE_SETUP(udmabuf)
{
	suite_print_reqs(_metadata->fixture->name, _metadata->name);
	self->d = (struct dmabuf)DMABUF_INIT;
	self->memfd = memfd_create("iio-dmabuf",
				   MFD_CLOEXEC | MFD_ALLOW_SEALING);
	ASSERT_LE(0, self->memfd);
	ASSERT_EQ(0, ftruncate(self->memfd, 2 * page_size()));
	if (access("/dev/udmabuf", R_OK | W_OK))
		SKIP(return, "no udmabuf: enable CONFIG_UDMABUF, make /dev/udmabuf accessible");
}

FIXTURE_TEARDOWN(udmabuf)
{
	dmabuf_free(&self->d);
	close(self->memfd);
	dut_teardown(_metadata);
}

static int seal(int memfd, int seals)
{
	return fcntl(memfd, F_ADD_SEALS, seals) ? -errno : 0;
}

TEST_REQ(udmabuf, needs_a_memfd_that_cannot_shrink, "LIM-10")
{
	EXPECT_ERRNO(dmabuf_from_memfd(&self->d, self->memfd, 0, page_size()),
		     EINVAL);

	ASSERT_OK(seal(self->memfd, F_SEAL_SHRINK));
	EXPECT_OK(dmabuf_from_memfd(&self->d, self->memfd, 0, page_size()));
}

TEST_REQ(udmabuf, needs_a_memfd_that_can_be_written, "LIM-10")
{
	ASSERT_OK(seal(self->memfd, F_SEAL_SHRINK | F_SEAL_WRITE));
	EXPECT_ERRNO(dmabuf_from_memfd(&self->d, self->memfd, 0, page_size()),
		     EINVAL);
}

TEST_REQ(udmabuf, needs_whole_pages, "LIM-10")
{
	ASSERT_OK(seal(self->memfd, F_SEAL_SHRINK));
	EXPECT_ERRNO(dmabuf_from_memfd(&self->d, self->memfd, 0,
				       page_size() - 1), EINVAL);
	EXPECT_ERRNO(dmabuf_from_memfd(&self->d, self->memfd, 1,
				       page_size()), EINVAL);
	EXPECT_ERRNO(dmabuf_from_memfd(&self->d, self->memfd, 0, 0), EINVAL);
}

CONFORMANCE_MAIN

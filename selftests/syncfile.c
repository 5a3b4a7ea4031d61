// SPDX-License-Identifier: GPL-2.0
/*
 * Sync files: DMA_BUF_IOCTL_EXPORT_SYNC_FILE and IMPORT_SYNC_FILE on DMABUFs
 * that a buffer uses, and the ioctls of what is exported. How explicit and
 * implicit synchronisation meet.
 *
 * A transfer that is enqueued while the buffer is disabled stays pending until
 * the buffer is enabled: that is how the tests hold a fence, their own as well
 * as one that is somebody else's for the DMABUF that it is imported into.
 */

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>
#include <linux/sync_file.h>

#include "lib/blocked.h"
#include "lib/call.h"
#include "lib/conformance.h"
#include "lib/deadline.h"
#include "lib/file.h"
#include "lib/transfer.h"

/* A flag that neither EXPORT nor IMPORT knows */
#define UNKNOWN_FLAG	(DMA_BUF_SYNC_RW + 1)

#define NR_THREADS	4

/* Status of what is exported now; a negative errno if that fails. */
static int exported_status(const struct dmabuf *d, uint32_t flags)
{
	int fence, status;

	fence = dmabuf_export(d->fd, flags);
	if (fence < 0)
		return fence;

	status = sync_file_status(fence);
	close(fence);

	return status;
}

/* --- any buffer --- */

/* A thread that sets deadlines until it is told to stop */
struct deadliner {
	struct blocked call;
	int fence;
	atomic_bool *stop;
	atomic_uint set;
};

FIXTURE(syncfile) {
	struct transfer t;
	struct dmabuf other;
	struct blocked thread;
	struct deadliner deadliner[NR_THREADS];
	atomic_bool stop;
};

DUT_FIXTURE(syncfile, DUT_ANY);

FIXTURE_SETUP(syncfile)
{
	self->t = (struct transfer)TRANSFER_INIT;
	self->other = (struct dmabuf)DMABUF_INIT;

	if (!dut_setup(_metadata, &variant->v))
		return;

	transfer_setup_short(_metadata, &self->t, variant->v.dut,
			     variant->v.dut, variant->v.exporter);
	ASSERT_OK(dmabuf_alloc(&self->other, variant->v.exporter,
			       self->t.d.size));
	ASSERT_OK(iio_attach(self->t.buf.fd, self->other.fd));
}

FIXTURE_TEARDOWN(syncfile)
{
	transfer_teardown(&self->t);
	dmabuf_free(&self->other);
	dut_teardown(_metadata);
}

/* Have a transfer of the other DMABUF pending. Return: its sync file. */
static int hold_other(struct __test_metadata *_metadata,
		      FIXTURE_DATA(syncfile) *self)
{
	int fence;

	fence = iio_enqueue_fence(&self->t.buf, &self->other, self->t.len);
	ASSERT_OK(fence);
	ASSERT_EQ(0, sync_file_status(fence));

	return fence;
}

TEST_REQ(syncfile, export_with_bad_flags, "SFI-01")
{
	int fd = self->t.d.fd;
	int fds = fd_count();

	EXPECT_ERRNO(dmabuf_export(fd, 0), EINVAL);
	EXPECT_ERRNO(dmabuf_export(fd, UNKNOWN_FLAG), EINVAL);
	EXPECT_ERRNO(dmabuf_export(fd, UNKNOWN_FLAG | DMA_BUF_SYNC_READ),
		     EINVAL);
	EXPECT_ERRNO(dmabuf_export(fd, 1u << 31 | DMA_BUF_SYNC_RW), EINVAL);
	EXPECT_EQ(fds, fd_count());
}

TEST_REQ(syncfile, export_to_bad_address, "SFI-01")
{
	struct dma_buf_export_sync_file *req;
	int fds = fd_count();

	req = mmap(NULL, page_size(), PROT_READ | PROT_WRITE,
		   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, (void *)req);
	req->flags = DMA_BUF_SYNC_RW;
	req->fd = -1;

	/* The descriptor has nowhere to go to. */
	ASSERT_EQ(0, mprotect(req, page_size(), PROT_READ));
	EXPECT_ERRNO(raw_ioctl(self->t.d.fd, DMA_BUF_IOCTL_EXPORT_SYNC_FILE,
			       req), EFAULT);
	EXPECT_EQ(-1, req->fd);
	ASSERT_EQ(0, mprotect(req, page_size(), PROT_NONE));
	EXPECT_ERRNO(raw_ioctl(self->t.d.fd, DMA_BUF_IOCTL_EXPORT_SYNC_FILE,
			       req), EFAULT);
	EXPECT_EQ(fds, fd_count()) {
		TH_LOG("a failed EXPORT leaves a descriptor open");
	}
	munmap(req, page_size());
}

TEST_REQ(syncfile, export_of_idle_has_signalled, "SFI-02")
{
	EXPECT_EQ(1, exported_status(&self->t.d, DMA_BUF_SYNC_READ));
	EXPECT_EQ(1, exported_status(&self->t.d, DMA_BUF_SYNC_WRITE));

	transfer_hold(_metadata, &self->t);
	transfer_finish(_metadata, &self->t);
	ASSERT_EQ(POLLIN, fd_poll(self->t.d.fd, POLLIN, DEADLINE_MS));
	ASSERT_EQ(POLLOUT, fd_poll(self->t.d.fd, POLLOUT, DEADLINE_MS));
	EXPECT_EQ(1, exported_status(&self->t.d, DMA_BUF_SYNC_READ));
	EXPECT_EQ(1, exported_status(&self->t.d, DMA_BUF_SYNC_WRITE));
}

TEST_REQ(syncfile, export_closes_on_exec, "SFI-03")
{
	int fence;

	fence = dmabuf_export(self->t.d.fd, DMA_BUF_SYNC_RW);
	ASSERT_OK(fence);
	EXPECT_EQ(FD_CLOEXEC, fcntl(fence, F_GETFD));
	close(fence);
}

TEST_REQ(syncfile, export_without_free_descriptors, "SFI-03")
{
	struct rlimit limit, none;
	int next;

	transfer_hold(_metadata, &self->t);

	next = dup(self->t.d.fd);
	ASSERT_LE(0, next);
	close(next);
	ASSERT_EQ(0, getrlimit(RLIMIT_NOFILE, &limit));
	none = limit;
	none.rlim_cur = next;
	ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &none));
	EXPECT_ERRNO(dmabuf_export(self->t.d.fd, DMA_BUF_SYNC_RW), EMFILE);
	ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &limit));

	EXPECT_EQ(0, exported_status(&self->t.d, DMA_BUF_SYNC_RW));
	transfer_finish(_metadata, &self->t);
}

TEST_REQ(syncfile, export_for_both_is_that_for_write, "SFI-04")
{
	struct fence_info both = {}, write = {};
	int fence;

	transfer_hold(_metadata, &self->t);

	fence = dmabuf_export(self->t.d.fd, DMA_BUF_SYNC_WRITE);
	ASSERT_OK(fence);
	ASSERT_OK(sync_file_info(fence, &write));
	close(fence);
	fence = dmabuf_export(self->t.d.fd, DMA_BUF_SYNC_RW);
	ASSERT_OK(fence);
	ASSERT_OK(sync_file_info(fence, &both));
	close(fence);

	EXPECT_EQ(0, both.status);
	EXPECT_EQ(write.status, both.status);
	EXPECT_EQ(write.num_fences, both.num_fences);
	EXPECT_EQ(write.context, both.context);
	EXPECT_EQ(write.seqno, both.seqno);
	transfer_finish(_metadata, &self->t);
}

TEST_REQ(syncfile, export_is_a_snapshot, "SFI-05")
{
	int idle, first;

	idle = dmabuf_export(self->t.d.fd, DMA_BUF_SYNC_RW);
	ASSERT_OK(idle);

	transfer_hold(_metadata, &self->t);
	EXPECT_EQ(1, sync_file_status(idle)) {
		TH_LOG("a sync file of the idle DMABUF has got the fence of a later ENQUEUE");
	}
	transfer_finish(_metadata, &self->t);
	first = dup(self->t.fence);
	ASSERT_LE(0, first);

	transfer_hold(_metadata, &self->t);
	EXPECT_EQ(1, sync_file_status(idle));
	EXPECT_EQ(1, sync_file_status(first));
	transfer_finish(_metadata, &self->t);
	close(first);
	close(idle);
}

static int poll_call(void *arg)
{
	return fd_poll(*(int *)arg, POLL_BOTH, DEADLINE_MS);
}

TEST_REQ(syncfile, readable_when_signalled, "SFI-07")
{
	int *fence = &self->t.fence;

	transfer_hold(_metadata, &self->t);
	EXPECT_EQ(0, fd_poll(*fence, POLL_BOTH, 0));
	ASSERT_OK(blocked_start(&self->thread, poll_call, fence));
	ASSERT_OK(blocked_wait(&self->thread, BLOCKED_POLL));
	EXPECT_EQ(0, sync_file_status(*fence));

	ASSERT_OK(iio_enable(self->t.buf.dut));
	EXPECT_EQ(POLLIN, blocked_join(&self->thread));
	EXPECT_EQ(1, sync_file_status(*fence));
	EXPECT_EQ(POLLIN, fd_poll(*fence, POLL_BOTH, 0));
}

/* Whether there is an error to report is up to the device. */
TEST_REQ(syncfile, readable_when_disabled, "SFI-07")
{
	transfer_hold(_metadata, &self->t);
	ASSERT_OK(iio_enable(self->t.buf.dut));
	ASSERT_OK(iio_disable(self->t.buf.dut));
	EXPECT_EQ(POLLIN, fd_poll(self->t.fence, POLL_BOTH, DEADLINE_MS));
	EXPECT_NE(0, sync_file_status(self->t.fence));
}

TEST_REQ(syncfile, info_counts_fences, "SFI-08")
{
	struct sync_fence_info fences[2] = {
		{ .status = 1 }, { .status = 1 },
	};
	struct sync_file_info req = {};
	int other, merged;

	transfer_hold(_metadata, &self->t);
	other = hold_other(_metadata, self);
	merged = sync_file_merge(self->t.fence, other);
	ASSERT_OK(merged);

	EXPECT_OK(raw_ioctl(merged, SYNC_IOC_FILE_INFO, &req));
	EXPECT_EQ(2, req.num_fences);
	EXPECT_EQ(0, req.status);

	req.sync_fence_info = (uintptr_t)fences;
	req.num_fences = 1;
	EXPECT_ERRNO(raw_ioctl(merged, SYNC_IOC_FILE_INFO, &req), EINVAL);
	req.num_fences = 2;
	EXPECT_OK(raw_ioctl(merged, SYNC_IOC_FILE_INFO, &req));
	EXPECT_EQ(2, req.num_fences);
	EXPECT_EQ(0, fences[0].status);
	EXPECT_EQ(0, fences[1].status);

	ASSERT_OK(iio_enable(self->t.buf.dut));
	EXPECT_EQ(1, sync_file_wait(merged));
	close(merged);
	close(other);
}

TEST_REQ(syncfile, info_with_bad_arguments, "SFI-08")
{
	struct sync_file_info flags = { .flags = 1 }, pad = { .pad = 1 };
	struct sync_fence_info fence = {};
	struct sync_file_info nowhere = { .num_fences = 1 };
	struct sync_file_info good = {
		.num_fences = 1,
		.sync_fence_info = (uintptr_t)&fence,
	};

	transfer_hold(_metadata, &self->t);
	EXPECT_ERRNO(raw_ioctl(self->t.fence, SYNC_IOC_FILE_INFO, &flags),
		     EINVAL);
	EXPECT_ERRNO(raw_ioctl(self->t.fence, SYNC_IOC_FILE_INFO, &pad),
		     EINVAL);
	EXPECT_ERRNO(raw_ioctl(self->t.fence, SYNC_IOC_FILE_INFO, &nowhere),
		     EFAULT);
	EXPECT_OK(raw_ioctl(self->t.fence, SYNC_IOC_FILE_INFO, &good));
	transfer_finish(_metadata, &self->t);
}

TEST_REQ(syncfile, import_of_something_else, "SFI-09")
{
	struct transfer *t = &self->t;

	EXPECT_ERRNO(dmabuf_import(t->d.fd, -1, DMA_BUF_SYNC_WRITE), EINVAL);
	EXPECT_ERRNO(dmabuf_import(t->d.fd, t->d.fd, DMA_BUF_SYNC_WRITE),
		     EINVAL);
	EXPECT_ERRNO(dmabuf_import(t->d.fd, t->buf.fd, DMA_BUF_SYNC_WRITE),
		     EINVAL);
	EXPECT_EQ(POLL_BOTH, fd_poll(t->d.fd, POLL_BOTH, 0));
}

TEST_REQ(syncfile, import_with_bad_flags, "SFI-09")
{
	int fd = self->other.fd, fence;

	transfer_hold(_metadata, &self->t);
	fence = self->t.fence;
	EXPECT_ERRNO(dmabuf_import(fd, fence, 0), EINVAL);
	EXPECT_ERRNO(dmabuf_import(fd, fence, UNKNOWN_FLAG), EINVAL);
	EXPECT_ERRNO(dmabuf_import(fd, fence,
				   UNKNOWN_FLAG | DMA_BUF_SYNC_WRITE), EINVAL);
	EXPECT_EQ(POLL_BOTH, fd_poll(fd, POLL_BOTH, 0)) {
		TH_LOG("a refused IMPORT has added the fence");
	}
	transfer_finish(_metadata, &self->t);
}

static void import_own(struct __test_metadata *_metadata, struct transfer *t,
		       uint32_t flags)
{
	int i;

	for (i = 0; i < 2; i++) {
		transfer_hold(_metadata, t);
		EXPECT_OK(dmabuf_import(t->d.fd, t->fence, flags));
		EXPECT_EQ(0, sync_file_status(t->fence));
		EXPECT_EQ(0, exported_status(&t->d, DMA_BUF_SYNC_RW)) {
			TH_LOG("IMPORT of a DMABUF's own fence has dropped it");
		}
		EXPECT_EQ(0, fd_poll(t->d.fd, POLLOUT, 0));

		transfer_finish(_metadata, t);
		EXPECT_EQ(POLLIN, fd_poll(t->d.fd, POLLIN, DEADLINE_MS));
		EXPECT_EQ(POLLOUT, fd_poll(t->d.fd, POLLOUT, DEADLINE_MS));
	}
}

TEST_REQ(syncfile, import_of_own_fence_as_reader, "SFI-14")
{
	import_own(_metadata, &self->t, DMA_BUF_SYNC_READ);
}

TEST_REQ(syncfile, import_of_own_fence_as_writer, "SFI-14")
{
	import_own(_metadata, &self->t, DMA_BUF_SYNC_WRITE);
}

static void set_deadlines(struct __test_metadata *_metadata, int fence)
{
	const uint64_t now = now_ns();

	EXPECT_OK(sync_file_set_deadline(fence, 0));
	EXPECT_OK(sync_file_set_deadline(fence, 1));
	EXPECT_OK(sync_file_set_deadline(fence, now));
	EXPECT_OK(sync_file_set_deadline(fence, now + 1000000000));
	EXPECT_OK(sync_file_set_deadline(fence, UINT64_MAX));
}

TEST_REQ(syncfile, deadline_is_a_hint, "SFI-15", "SFI-16")
{
	struct sync_set_deadline pad = { .deadline_ns = now_ns(), .pad = 1 };

	transfer_hold(_metadata, &self->t);
	set_deadlines(_metadata, self->t.fence);
	EXPECT_ERRNO(raw_ioctl(self->t.fence, SYNC_IOC_SET_DEADLINE, &pad),
		     EINVAL);
	EXPECT_EQ(0, sync_file_status(self->t.fence)) {
		TH_LOG("a deadline has ended a transfer that has not begun");
	}

	ASSERT_OK(iio_enable(self->t.buf.dut));
	EXPECT_EQ(1, sync_file_wait(self->t.fence));
	set_deadlines(_metadata, self->t.fence);
	EXPECT_EQ(1, sync_file_status(self->t.fence));
}

TEST_REQ(syncfile, deadline_of_a_merge, "SFI-15")
{
	int other, merged;

	transfer_hold(_metadata, &self->t);
	other = hold_other(_metadata, self);
	merged = sync_file_merge(self->t.fence, other);
	ASSERT_OK(merged);

	set_deadlines(_metadata, merged);
	EXPECT_EQ(0, sync_file_status(merged));
	ASSERT_OK(iio_enable(self->t.buf.dut));
	EXPECT_EQ(1, sync_file_wait(merged));
	close(merged);
	close(other);
}

static int set_deadlines_call(void *arg)
{
	struct deadliner *d = arg;
	int ret;

	do {
		ret = sync_file_set_deadline(d->fence, now_ns());
		atomic_fetch_add(&d->set, 1);
	} while (!ret && !atomic_load(d->stop));

	return ret;
}

TEST_REQ(syncfile, deadlines_from_many_threads, "SFI-17")
{
	struct deadliner *d = self->deadliner;
	int i;

	transfer_hold(_metadata, &self->t);
	for (i = 0; i < NR_THREADS; i++) {
		d[i].fence = self->t.fence;
		d[i].stop = &self->stop;
		ASSERT_OK(blocked_start(&d[i].call, set_deadlines_call, &d[i]));
	}
	for (i = 0; i < NR_THREADS; i++) {
		EXPECT_TRUE(wait_until(atomic_load(&d[i].set)));
	}
	EXPECT_EQ(0, sync_file_status(self->t.fence));

	ASSERT_OK(iio_enable(self->t.buf.dut));
	EXPECT_EQ(1, sync_file_wait(self->t.fence));
	atomic_store(&self->stop, true);
	for (i = 0; i < NR_THREADS; i++) {
		EXPECT_OK(blocked_join(&d[i].call));
	}
}

TEST_REQ(syncfile, merge_with_bad_arguments, "SFI-19")
{
	struct sync_merge_data flags = { .flags = 1 }, pad = { .pad = 1 };
	int fence, fds;

	transfer_hold(_metadata, &self->t);
	fence = self->t.fence;
	flags.fd2 = fence;
	pad.fd2 = fence;
	fds = fd_count();
	EXPECT_ERRNO(sync_file_merge(fence, -1), ENOENT);
	EXPECT_ERRNO(sync_file_merge(fence, self->t.d.fd), ENOENT);
	EXPECT_ERRNO(raw_ioctl(fence, SYNC_IOC_MERGE, &flags), EINVAL);
	EXPECT_ERRNO(raw_ioctl(fence, SYNC_IOC_MERGE, &pad), EINVAL);
	EXPECT_EQ(fds, fd_count()) {
		TH_LOG("a failed merge leaves a descriptor open");
	}
	transfer_finish(_metadata, &self->t);
}

/* The fence of the other DMABUF comes to one that is queued itself. */
TEST_REQ(syncfile, import_while_queued, "SFI-20")
{
	int other;

	transfer_hold(_metadata, &self->t);
	other = hold_other(_metadata, self);
	EXPECT_OK(dmabuf_import(self->t.d.fd, other, DMA_BUF_SYNC_WRITE));
	EXPECT_EQ(0, exported_status(&self->t.d, DMA_BUF_SYNC_READ));

	ASSERT_OK(iio_enable(self->t.buf.dut));
	EXPECT_EQ(1, sync_file_wait(self->t.fence));
	EXPECT_EQ(1, sync_file_wait(other));
	EXPECT_EQ(POLLOUT, fd_poll(self->t.d.fd, POLLOUT, DEADLINE_MS));
	close(other);
}

/* --- a DMABUF that another thread waits for --- */

FIXTURE(syncfile_contended) {
	struct iio_buf buf;
	struct dmabuf d;
	struct dmabuf gate;
};

DUT_FIXTURE(syncfile_contended, DUT_ANY);

FIXTURE_SETUP(syncfile_contended)
{
	self->buf = (struct iio_buf)IIO_BUF_INIT;
	self->d = (struct dmabuf)DMABUF_INIT;
	self->gate = (struct dmabuf)DMABUF_INIT;

	if (!dut_setup(_metadata, &variant->v))
		return;

	ASSERT_OK(iio_buf_open(&self->buf, variant->v.dut));
	ASSERT_OK(variant_alloc(&self->d, &variant->v));
	ASSERT_OK(variant_alloc(&self->gate, &variant->v));
}

FIXTURE_TEARDOWN(syncfile_contended)
{
	iio_buf_close(&self->buf);
	dmabuf_free(&self->d);
	dmabuf_free(&self->gate);
	dut_teardown(_metadata);
}

static int export_call(int dmabuf_fd, int unused)
{
	int fence = dmabuf_export(dmabuf_fd, DMA_BUF_SYNC_RW);

	(void)unused;

	return fence < 0 ? fence : 0;
}

static int import_call(int dmabuf_fd, int sync_file)
{
	return dmabuf_import(dmabuf_fd, sync_file, DMA_BUF_SYNC_READ);
}

TEST_REQ(syncfile_contended, others_are_not_stalled, "SFI-21")
{
	bool export_waits, import_waits;
	pid_t enqueue, export, import;
	int fence;

	fence = dmabuf_export(self->d.fd, DMA_BUF_SYNC_RW);
	ASSERT_OK(fence);
	enqueue = call_waiting_enqueue(&self->buf, &self->gate, &self->d);
	ASSERT_OK(enqueue);

	export = call_start(export_call, self->d.fd, -1);
	import = call_start(import_call, self->d.fd, fence);
	export_waits = call_blocks(export);
	import_waits = call_blocks(import);
	EXPECT_UNLESS("B7", !export_waits && !import_waits);

	call_kill(enqueue);
	EXPECT_OK(call_result(export));
	EXPECT_OK(call_result(import));
	close(fence);
}

/* --- an output and an input buffer --- */

/**
 * struct gated - A blocking ENQUEUE for a thread of its own
 * @call: the ENQUEUE
 * @gate: sync file that it waits for
 * @status: how it stood with @gate when ENQUEUE returned
 */
struct gated {
	struct enqueue_call call;
	int gate;
	int status;
};

FIXTURE(syncfile_pair) {
	struct transfer out;
	struct transfer in;
	struct dmabuf d;
	struct gated gated;
	struct blocked thread;
	int fence;
};

DUT_FIXTURE(syncfile_pair, DUT_PAIR);

FIXTURE_SETUP(syncfile_pair)
{
	self->out = (struct transfer)TRANSFER_INIT;
	self->in = (struct transfer)TRANSFER_INIT;
	self->d = (struct dmabuf)DMABUF_INIT;
	self->fence = -1;

	if (!dut_setup(_metadata, &variant->v))
		return;

	transfer_setup_short(_metadata, &self->out, variant->v.dut,
			     variant->v.peer, variant->v.exporter);
	transfer_setup_short(_metadata, &self->in, variant->v.peer,
			     variant->v.dut, variant->v.exporter);
	ASSERT_OK(dmabuf_alloc(&self->d, variant->v.exporter,
			       self->out.d.size));
}

FIXTURE_TEARDOWN(syncfile_pair)
{
	transfer_teardown(&self->out);
	transfer_teardown(&self->in);
	dmabuf_free(&self->d);
	if (self->fence >= 0)
		close(self->fence);
	dut_teardown(_metadata);
}

/* ENQUEUE of @t must wait for the imported fence of @foreign. */
static void expect_gated(struct __test_metadata *_metadata, struct transfer *t,
			 struct transfer *foreign, uint32_t flags)
{
	ASSERT_OK(fd_set_nonblock(t->buf.fd, true));
	transfer_hold(_metadata, foreign);
	ASSERT_OK(dmabuf_import(t->d.fd, foreign->fence, flags));
	EXPECT_ERRNO(iio_enqueue(t->buf.fd, t->d.fd, t->len), EBUSY);

	transfer_finish(_metadata, foreign);
	ASSERT_OK(fd_set_nonblock(t->buf.fd, false));
	transfer_hold(_metadata, t);
	transfer_finish(_metadata, t);
}

TEST_REQ(syncfile_pair, imported_writer_gates_output, "SFI-10")
{
	expect_gated(_metadata, &self->out, &self->in, DMA_BUF_SYNC_WRITE);
}

TEST_REQ(syncfile_pair, imported_writer_gates_input, "SFI-10")
{
	expect_gated(_metadata, &self->in, &self->out, DMA_BUF_SYNC_WRITE);
}

TEST_REQ(syncfile_pair, imported_reader_gates_input, "SFI-11")
{
	expect_gated(_metadata, &self->in, &self->out, DMA_BUF_SYNC_READ);
}

TEST_REQ(syncfile_pair, imported_reader_does_not_gate_output, "SFI-11")
{
	struct transfer *out = &self->out, *in = &self->in;

	ASSERT_OK(fd_set_nonblock(out->buf.fd, true));
	transfer_hold(_metadata, in);
	ASSERT_OK(dmabuf_import(out->d.fd, in->fence, DMA_BUF_SYNC_READ));

	/* What is exported holds the fence of the reader as well. */
	out->fence = iio_enqueue_fence(&out->buf, &out->d, out->len);
	ASSERT_OK(out->fence) {
		TH_LOG("ENQUEUE on an output waits for a reader");
	}
	ASSERT_OK(iio_enable(out->buf.dut));
	EXPECT_EQ(0, sync_file_status(in->fence));
	transfer_finish(_metadata, in);
	EXPECT_EQ(1, sync_file_wait(out->fence));
}

/* @d is gated by both fences, of which only the first signals. */
static void expect_gated_by_both(struct __test_metadata *_metadata,
				 FIXTURE_DATA(syncfile_pair) *self,
				 struct transfer *first,
				 struct transfer *second)
{
	const struct iio_buf *buf = &self->in.buf;
	int merged;

	ASSERT_OK(fd_set_nonblock(buf->fd, true));
	ASSERT_OK(iio_attach(buf->fd, self->d.fd));
	transfer_hold(_metadata, first);
	transfer_hold(_metadata, second);
	merged = sync_file_merge(first->fence, second->fence);
	ASSERT_OK(merged);
	ASSERT_OK(dmabuf_import(self->d.fd, merged, DMA_BUF_SYNC_WRITE));
	close(merged);

	EXPECT_ERRNO(iio_enqueue(buf->fd, self->d.fd, first->len), EBUSY);
	transfer_finish(_metadata, first);
	EXPECT_ERRNO(iio_enqueue(buf->fd, self->d.fd, first->len), EBUSY);
	transfer_finish(_metadata, second);

	ASSERT_OK(fd_set_nonblock(buf->fd, false));
	self->fence = iio_enqueue_fence(buf, &self->d, first->len);
	ASSERT_OK(self->fence);
	ASSERT_OK(iio_enable(buf->dut));
	EXPECT_EQ(1, sync_file_wait(self->fence));
}

TEST_REQ(syncfile_pair, merge_gates_until_the_input_is_done, "SFI-12")
{
	expect_gated_by_both(_metadata, self, &self->out, &self->in);
}

TEST_REQ(syncfile_pair, merge_gates_until_the_output_is_done, "SFI-12")
{
	expect_gated_by_both(_metadata, self, &self->in, &self->out);
}

static int enqueue_gated(void *arg)
{
	struct gated *g = arg;
	int ret;

	ret = enqueue_patiently(&g->call);
	g->status = sync_file_status(g->gate);

	return ret;
}

/* @second waits in its ENQUEUE until @first is done. */
static void expect_ordered(struct __test_metadata *_metadata,
			   FIXTURE_DATA(syncfile_pair) *self,
			   struct transfer *first, struct transfer *second)
{
	transfer_hold(_metadata, first);
	ASSERT_OK(dmabuf_import(second->d.fd, first->fence,
				DMA_BUF_SYNC_WRITE));
	ASSERT_OK(iio_enable(second->buf.dut));
	self->gated = (struct gated){
		.call = { second->buf.fd, second->d.fd, second->len },
		.gate = first->fence,
	};
	ASSERT_OK(blocked_start(&self->thread, enqueue_gated, &self->gated));
	ASSERT_OK(blocked_wait(&self->thread, SYS_ioctl)) {
		TH_LOG("ENQUEUE does not wait for the fence of the other buffer");
	}
	EXPECT_EQ(0, sync_file_status(first->fence));

	transfer_finish(_metadata, first);
	EXPECT_OK(blocked_join(&self->thread));
	EXPECT_EQ(1, self->gated.status) {
		TH_LOG("ENQUEUE returned before the transfer of the other buffer was done");
	}
	EXPECT_EQ(POLLOUT, fd_poll(second->d.fd, POLLOUT, DEADLINE_MS));
}

TEST_REQ(syncfile_pair, output_after_input, "SFI-13")
{
	expect_ordered(_metadata, self, &self->in, &self->out);
}

TEST_REQ(syncfile_pair, input_after_output, "SFI-13")
{
	expect_ordered(_metadata, self, &self->out, &self->in);
}

/* --- loopback --- */

FIXTURE(syncfile_loopback) {
	struct transfer out;
	struct transfer in;
};

DUT_FIXTURE(syncfile_loopback, DUT_LOOPBACK);

FIXTURE_SETUP(syncfile_loopback)
{
	size_t unit;

	self->out = (struct transfer)TRANSFER_INIT;
	self->in = (struct transfer)TRANSFER_INIT;

	if (!dut_setup(_metadata, &variant->v))
		return;

	unit = iio_good_length(variant->v.dut, variant->v.peer);
	transfer_setup_attached(_metadata, &self->out, variant->v.dut,
				variant->v.exporter, unit);
	transfer_setup_attached(_metadata, &self->in, variant->v.peer,
				variant->v.exporter, unit);
}

FIXTURE_TEARDOWN(syncfile_loopback)
{
	transfer_teardown(&self->out);
	transfer_teardown(&self->in);
	dut_teardown(_metadata);
}

static void expect_error_forgotten(struct __test_metadata *_metadata,
				   struct transfer *t)
{
	ASSERT_OK(iio_enable(t->buf.dut));
	transfer_enqueue(_metadata, t);
	ASSERT_EQ(0, sync_file_status(t->fence));
	ASSERT_OK(iio_disable(t->buf.dut));
	ASSERT_GT(0, sync_file_wait(t->fence));

	EXPECT_EQ(1, exported_status(&t->d, DMA_BUF_SYNC_READ));
	EXPECT_EQ(1, exported_status(&t->d, DMA_BUF_SYNC_WRITE));
	EXPECT_EQ(POLLIN, fd_poll(t->fence, POLL_BOTH, 0));
}

TEST_REQ(syncfile_loopback, export_after_aborted_output, "SFI-06")
{
	expect_error_forgotten(_metadata, &self->out);
}

TEST_REQ(syncfile_loopback, export_after_aborted_input, "SFI-06")
{
	expect_error_forgotten(_metadata, &self->in);
}

/* @running is in flight until @gate is enabled, whose fence is imported. */
static void import_in_flight(struct __test_metadata *_metadata,
			     struct transfer *running, struct transfer *gate)
{
	transfer_hold(_metadata, gate);
	ASSERT_OK(iio_enable(running->buf.dut));
	transfer_enqueue(_metadata, running);
	ASSERT_EQ(0, sync_file_status(running->fence));
	EXPECT_OK(dmabuf_import(running->d.fd, gate->fence,
				DMA_BUF_SYNC_WRITE));
	EXPECT_EQ(0, exported_status(&running->d, DMA_BUF_SYNC_READ));
	EXPECT_EQ(0, sync_file_status(running->fence));

	ASSERT_OK(iio_enable(gate->buf.dut));
	EXPECT_EQ(1, sync_file_wait(running->fence));
	EXPECT_EQ(1, sync_file_wait(gate->fence));
	EXPECT_EQ(POLLOUT, fd_poll(running->d.fd, POLLOUT, DEADLINE_MS));
}

TEST_REQ(syncfile_loopback, import_with_output_in_flight, "SFI-20")
{
	import_in_flight(_metadata, &self->out, &self->in);
}

TEST_REQ(syncfile_loopback, import_with_input_in_flight, "SFI-20")
{
	import_in_flight(_metadata, &self->in, &self->out);
}

CONFORMANCE_MAIN

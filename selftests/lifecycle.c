// SPDX-License-Identifier: GPL-2.0
/*
 * What enable, disable, close(), exit and the end of a descriptor, a mapping or
 * a process do to DMABUFs that are attached, queued or in flight, and that the
 * buffer is as good as new for whoever comes next.
 */

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/blocked.h"
#include "lib/call.h"
#include "lib/conformance.h"
#include "lib/fdpass.h"
#include "lib/file.h"
#include "lib/fileio.h"

/* How many DMABUFs are in use at once */
#define DEPTH		4

/* Seed of what is in a DMABUF that nobody has written to */
#define UNTOUCHED	1000

/* Seed of what an output sends */
#define SENT		1

/**
 * struct life - A buffer and its DMABUFs
 * @buf: the buffer
 * @d: DMABUFs, not attached, full of UNTOUCHED
 * @fence: sync files of their transfers, -1 where there is none
 * @refs: references to each DMABUF before it is attached
 */
struct life {
	struct iio_buf buf;
	struct dmabuf d[DEPTH];
	int fence[DEPTH];
	long refs;
};

static void life_init(struct life *l)
{
	size_t i;

	l->buf = (struct iio_buf)IIO_BUF_INIT;
	for (i = 0; i < DEPTH; i++) {
		l->d[i] = (struct dmabuf)DMABUF_INIT;
		l->fence[i] = -1;
	}
}

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

static void life_setup(struct __test_metadata *_metadata, struct life *l,
		       const struct iio_dut *dut, const struct dut_variant *v)
{
	size_t i;

	ASSERT_OK(iio_buf_open(&l->buf, dut));
	for (i = 0; i < DEPTH; i++) {
		ASSERT_OK(variant_alloc(&l->d[i], v));
		ASSERT_OK(dmabuf_fill(&l->d[i], UNTOUCHED));
	}
	l->refs = dmabuf_refs(l->d[0].fd);
}

static void life_teardown(struct life *l)
{
	size_t i;

	iio_buf_close(&l->buf);
	for (i = 0; i < DEPTH; i++) {
		close_fd(&l->fence[i]);
		dmabuf_free(&l->d[i]);
	}
}

static void attach_all(struct __test_metadata *_metadata, struct life *l)
{
	size_t i;

	for (i = 0; i < DEPTH; i++) {
		ASSERT_OK(iio_attach(l->buf.fd, l->d[i].fd));
	}
}

static void enqueue_nth(struct __test_metadata *_metadata, struct life *l,
			size_t i)
{
	close_fd(&l->fence[i]);
	l->fence[i] = iio_enqueue_whole(&l->buf, &l->d[i]);
	ASSERT_OK(l->fence[i]);
}

static void enqueue_all(struct __test_metadata *_metadata, struct life *l)
{
	size_t i;

	for (i = 0; i < DEPTH; i++)
		enqueue_nth(_metadata, l, i);
}

/* All transfers must have ended, well or not, once those under way have. */
static void expect_all_end(struct __test_metadata *_metadata, struct life *l)
{
	size_t i;

	for (i = 0; i < DEPTH; i++) {
		EXPECT_NE(0, sync_file_wait(l->fence[i])) {
			TH_LOG("the fence of transfer %zu never signals", i);
		}
	}
}

static void expect_refs(struct __test_metadata *_metadata,
			const struct dmabuf *d, long refs)
{
	EXPECT_OK(dmabuf_wait_refs(d->fd, refs)) {
		TH_LOG("%ld references to the DMABUF are left, there should be %ld",
		       dmabuf_refs(d->fd), refs);
	}
}

static int get_fd_again(struct iio_buf *b)
{
	b->fd = iio_get_fd(b->dev_fd, b->dut->index);

	return b->fd;
}

/* A whole transfer, on a disabled buffer without any */
static int transfer_once(const struct iio_buf *b, const struct dmabuf *d)
{
	int ret;

	ret = iio_attach(b->fd, d->fd);
	if (ret)
		return ret;

	return iio_enable(b->dut) ?:
	       fence_result(iio_enqueue_whole(b, d)) ?:
	       iio_disable(b->dut) ?:
	       iio_detach(b->fd, d->fd);
}

/* A DMABUF that is not attached still holds what it held from the start. */
static bool dmabuf_untouched(struct __test_metadata *_metadata,
			     const struct dmabuf *d)
{
	ptrdiff_t at;

	ASSERT_OK(dmabuf_begin_cpu(d));
	at = pattern_mismatch(d->map, d->size, UNTOUCHED);
	ASSERT_OK(dmabuf_end_cpu(d));

	return at < 0;
}

FIXTURE(lifecycle) {
	struct life l;
	struct blocked call;
};

DUT_FIXTURE(lifecycle, DUT_ANY);

FIXTURE_SETUP(lifecycle)
{
	life_init(&self->l);

	if (!dut_setup(_metadata, &variant->v))
		return;

	life_setup(_metadata, &self->l, variant->v.dut, &variant->v);
}

FIXTURE_TEARDOWN(lifecycle)
{
	life_teardown(&self->l);
	dut_teardown(_metadata);
}

/* --- enable and disable --- */

TEST_REQ(lifecycle, enable_starts_what_is_queued, "LIF-01")
{
	struct life *l = &self->l;
	const struct dmabuf *idle = &l->d[DEPTH - 1];
	size_t i;

	attach_all(_metadata, l);
	for (i = 0; i < DEPTH - 1; i++)
		enqueue_nth(_metadata, l, i);

	ASSERT_OK(iio_enable(l->buf.dut));
	for (i = 0; i < DEPTH - 1; i++) {
		EXPECT_EQ(1, sync_file_wait(l->fence[i])) {
			TH_LOG("transfer %zu of those that were queued", i);
		}
	}

	ASSERT_OK(iio_disable(l->buf.dut));
	ASSERT_OK(iio_detach(l->buf.fd, idle->fd));
	EXPECT_TRUE(dmabuf_untouched(_metadata, idle)) {
		TH_LOG("a DMABUF that was attached but not enqueued was written to");
	}
}

TEST_REQ(lifecycle, enable_with_nothing_queued, "LIF-02")
{
	struct life *l = &self->l;

	attach_all(_metadata, l);
	ASSERT_OK(iio_enable(l->buf.dut));
	EXPECT_OK(fence_result(iio_enqueue_whole(&l->buf, &l->d[0])));
}

TEST_REQ(lifecycle, disable_ends_transfers, "LIF-03")
{
	struct life *l = &self->l;
	size_t i;

	attach_all(_metadata, l);
	ASSERT_OK(iio_enable(l->buf.dut));
	enqueue_all(_metadata, l);
	ASSERT_OK(iio_disable(l->buf.dut));

	for (i = 0; i < DEPTH; i++) {
		EXPECT_NE(0, sync_file_status(l->fence[i])) {
			TH_LOG("transfer %zu is pending after the disable", i);
		}
		EXPECT_EQ(POLLOUT, fd_poll(l->d[i].fd, POLLOUT, 0));
	}
}

/* What a slow device may take for all of its cycles, in milliseconds */
#define PATIENCE_MS	5000

#define CYCLES	500

TEST_REQ(lifecycle, many_cycles, "LIF-06")
{
	struct life *l = &self->l;
	const uint64_t end = now_ms() + PATIENCE_MS;
	const struct dmabuf *d = &l->d[0];
	int i, ret;

	ASSERT_OK(iio_attach(l->buf.fd, d->fd));
	for (i = 0; i < CYCLES && now_ms() < end; i++) {
		enqueue_nth(_metadata, l, 0);
		ret = iio_enable(l->buf.dut) ?: iio_disable(l->buf.dut);
		ASSERT_OK(ret) {
			TH_LOG("cycle %d of enable and disable", i);
		}
		ASSERT_NE(0, sync_file_status(l->fence[0])) {
			TH_LOG("the transfer of cycle %d is pending after it",
			       i);
		}
	}
	TH_LOG("%d cycles", i);

	ASSERT_OK(iio_enable(l->buf.dut));
	EXPECT_OK(fence_result(iio_enqueue_whole(&l->buf, d)));
}

/* What children work on */
static const struct iio_dut *child_dut;
static const struct dmabuf *child_dmabuf;

/* How they and their parent tell each other that it is time */
static int child_go[2];

static int toggle_enable(int times, int unused)
{
	const uint64_t end = now_ms() + PATIENCE_MS;
	int i, ret = 0;

	(void)unused;
	for (i = 0; !ret && i < times && now_ms() < end; i++)
		ret = iio_disable(child_dut) ?: iio_enable(child_dut);

	return ret;
}

#define TOGGLES	100

/*
 * Which transfers the other process cuts off is up to chance. That all of them
 * end, and that the last ones, which nobody disturbs, end well, is not.
 */
TEST_REQ(lifecycle, enabled_and_disabled_by_others, "LIF-29")
{
	unsigned long done = 0, cut_off = 0;
	struct life *l = &self->l;
	int ret, status;
	pid_t pid;
	size_t i;

	attach_all(_metadata, l);
	ASSERT_OK(iio_enable(l->buf.dut));
	child_dut = l->buf.dut;
	pid = call_start(toggle_enable, TOGGLES, 0);
	ASSERT_LE(0, pid);

	enqueue_all(_metadata, l);
	for (i = 0; waitpid(pid, &status, WNOHANG) == 0; i = (i + 1) % DEPTH) {
		ret = sync_file_wait(l->fence[i]);
		ASSERT_NE(0, ret) {
			TH_LOG("after %lu transfers one does not end",
			       done + cut_off);
		}
		if (ret == 1)
			done++;
		else
			cut_off++;
		enqueue_nth(_metadata, l, i);
	}
	printf("# %lu transfers done, %lu cut off\n", done, cut_off);
	EXPECT_EQ(0, status) {
		TH_LOG("enable or disable of the other process failed");
	}

	expect_all_end(_metadata, l);
	EXPECT_OK(fence_result(iio_enqueue_whole(&l->buf, &l->d[0])));
}

/* --- references --- */

TEST_REQ(lifecycle, references_fall_after_transfer, "LIF-27")
{
	struct life *l = &self->l;
	long attached;

	ASSERT_OK(iio_attach(l->buf.fd, l->d[0].fd));
	attached = dmabuf_refs(l->d[0].fd);
	enqueue_nth(_metadata, l, 0);
	ASSERT_OK(iio_enable(l->buf.dut));
	ASSERT_EQ(1, sync_file_wait(l->fence[0]));
	expect_refs(_metadata, &l->d[0], attached);

	ASSERT_OK(iio_detach(l->buf.fd, l->d[0].fd));
	expect_refs(_metadata, &l->d[0], l->refs);
}

/* Whether the kernel has a DMABUF with that inode, -1 if it does not tell. */
static int dmabuf_exists(ino_t want)
{
	unsigned long ino;
	char line[256];
	int found = 0;
	FILE *f;

	f = fopen(DMABUF_BUFINFO, "re");
	if (!f)
		return -1;

	while (fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%*u %*x %*x %*u %*s %lu", &ino) == 1)
			found |= ino == want;
	}
	fclose(f);

	return found;
}

/* Let go of a DMABUF that is not attached any more: nobody else may have it. */
static void expect_destroyed(struct __test_metadata *_metadata,
			     struct dmabuf *d)
{
	struct stat st;

	ASSERT_EQ(0, fstat(d->fd, &st));
	ASSERT_EQ(1, dmabuf_exists(st.st_ino));
	dmabuf_free(d);
	EXPECT_TRUE(wait_until(!dmabuf_exists(st.st_ino))) {
		TH_LOG("the DMABUF is still in " DMABUF_BUFINFO " after the last close()");
	}
}

#define NO_BUFINFO	"no dma_buf/bufinfo in debugfs: needs CONFIG_DEBUG_FS, debugfs on /sys/kernel/debug and root"

TEST_REQ(lifecycle, dmabuf_is_destroyed_after_detach, "LIF-30")
{
	struct life *l = &self->l;

	if (access(DMABUF_BUFINFO, R_OK))
		SKIP(return, NO_BUFINFO);

	ASSERT_OK(transfer_once(&l->buf, &l->d[0]));
	expect_destroyed(_metadata, &l->d[0]);
}

TEST_REQ(lifecycle, dmabuf_is_destroyed_after_close, "LIF-30")
{
	struct life *l = &self->l;
	size_t i;

	if (access(DMABUF_BUFINFO, R_OK))
		SKIP(return, NO_BUFINFO);

	/* Done, or cut off by the disable */
	attach_all(_metadata, l);
	ASSERT_OK(iio_enable(l->buf.dut));
	enqueue_all(_metadata, l);
	ASSERT_OK(iio_disable(l->buf.dut));

	close_fd(&l->buf.fd);
	for (i = 0; i < DEPTH; i++)
		expect_destroyed(_metadata, &l->d[i]);
}

/* --- the end of a DMABUF's descriptor or mapping --- */

TEST_REQ(lifecycle, closed_dmabuf_is_transferred, "LIF-22")
{
	struct life *l = &self->l;

	attach_all(_metadata, l);
	enqueue_nth(_metadata, l, 0);
	dmabuf_free(&l->d[0]);
	ASSERT_OK(iio_enable(l->buf.dut));
	EXPECT_EQ(1, sync_file_wait(l->fence[0]));

	enqueue_nth(_metadata, l, 1);
	dmabuf_free(&l->d[1]);
	EXPECT_EQ(1, sync_file_wait(l->fence[1]));
}

static int dmabuf_unmap(struct dmabuf *d)
{
	int ret = munmap(d->map, d->size) ? -errno : 0;

	d->map = NULL;

	return ret;
}

static int dmabuf_map(struct dmabuf *d)
{
	void *map = mmap(NULL, d->size, PROT_READ | PROT_WRITE, MAP_SHARED,
			 d->fd, 0);

	if (map == MAP_FAILED)
		return -errno;

	d->map = map;

	return 0;
}

TEST_REQ(lifecycle, unmapped_dmabuf_is_transferred, "LIF-23")
{
	struct life *l = &self->l;

	attach_all(_metadata, l);
	enqueue_nth(_metadata, l, 0);
	EXPECT_OK(dmabuf_unmap(&l->d[0]));
	ASSERT_OK(iio_enable(l->buf.dut));
	EXPECT_EQ(1, sync_file_wait(l->fence[0]));

	enqueue_nth(_metadata, l, 1);
	EXPECT_OK(dmabuf_unmap(&l->d[1]));
	EXPECT_EQ(1, sync_file_wait(l->fence[1]));

	ASSERT_OK(iio_disable(l->buf.dut));
	ASSERT_OK(iio_detach(l->buf.fd, l->d[0].fd));
	ASSERT_OK(dmabuf_map(&l->d[0]));
	EXPECT_EQ(variant->v.dut->output,
		  dmabuf_untouched(_metadata, &l->d[0])) {
		TH_LOG("an output leaves the DMABUF as it is, an input does not");
	}
}

/* --- close() of the buffer --- */

TEST_REQ(lifecycle, closed_while_enabled, "LIF-07")
{
	struct life *l = &self->l;
	size_t i;

	attach_all(_metadata, l);
	ASSERT_OK(iio_enable(l->buf.dut));
	enqueue_all(_metadata, l);
	close_fd(&l->buf.fd);

	expect_all_end(_metadata, l);
	for (i = 0; i < DEPTH; i++)
		expect_refs(_metadata, &l->d[i], l->refs);

	ASSERT_OK(iio_disable(l->buf.dut));
	ASSERT_OK(get_fd_again(&l->buf));
	EXPECT_OK(transfer_once(&l->buf, &l->d[0]));
}

/* Enqueue one DMABUF, leave it queued and end the session. */
static void abandon_queued(struct __test_metadata *_metadata, struct life *l)
{
	ASSERT_OK(iio_attach(l->buf.fd, l->d[0].fd));
	enqueue_nth(_metadata, l, 0);
	ASSERT_EQ(0, sync_file_status(l->fence[0]));
	close_fd(&l->buf.fd);
}

/*
 * Where the kernel keeps the transfer, the enable and disable that follow make
 * it let go.
 */
TEST_REQ(lifecycle, closed_with_dmabuf_queued, "LIF-08")
{
	struct life *l = &self->l;

	abandon_queued(_metadata, l);
	EXPECT_UNLESS("B4", fd_poll(l->fence[0], POLLIN, patience_ms("B4")));

	ASSERT_OK(iio_enable(l->buf.dut));
	ASSERT_OK(iio_disable(l->buf.dut));
	EXPECT_NE(0, sync_file_wait(l->fence[0]));
	expect_refs(_metadata, &l->d[0], l->refs);
}

/* As soon as the references of the last session have fallen */
static bool file_io_works(const struct iio_buf *b, const struct dmabuf *d)
{
	return !fileio_try_enable(b, d) && !iio_disable(b->dut);
}

/* An enable would finish the old session's transfer: see that it is over. */
static bool file_io_comes(const struct life *l)
{
	if (!fd_poll(l->fence[0], POLLIN, patience_ms("B4")))
		return false;

	return wait_until(file_io_works(&l->buf, &l->d[1]));
}

TEST_REQ(lifecycle, file_io_after_close, "LIF-10")
{
	struct life *l = &self->l;

	/* Does it have file I/O at all? */
	if (!fileio_enable(_metadata, &l->buf, &l->d[1]))
		return;
	ASSERT_OK(iio_disable(l->buf.dut));

	abandon_queued(_metadata, l);
	ASSERT_OK(get_fd_again(&l->buf));
	EXPECT_UNLESS("B4", file_io_comes(l));
}

TEST_REQ(lifecycle, closed_under_an_enqueue, "LIF-14")
{
	static struct enqueue_call e;
	struct life *l = &self->l;

	/* It waits for a fence that the enable will signal, soon. */
	ASSERT_OK(iio_attach(l->buf.fd, l->d[0].fd));
	ASSERT_OK(iio_attach(l->buf.fd, l->d[1].fd));
	l->fence[1] = iio_enqueue_fence(&l->buf, &l->d[1],
					iio_short_length(l->buf.dut));
	ASSERT_OK(l->fence[1]);
	ASSERT_OK(dmabuf_import(l->d[0].fd, l->fence[1], DMA_BUF_SYNC_WRITE));
	e.fd = l->buf.fd;
	e.dmabuf_fd = l->d[0].fd;
	e.len = l->d[0].size;
	ASSERT_OK(blocked_start(&self->call, enqueue_once, &e));
	ASSERT_OK(blocked_wait(&self->call, SYS_ioctl));

	close_fd(&l->buf.fd);
	EXPECT_ERRNO(get_fd_again(&l->buf), EBUSY) {
		TH_LOG("the buffer is given away with an ENQUEUE in progress");
	}

	ASSERT_OK(iio_enable(l->buf.dut));
	/* Its patience may have come to an end before that. */
	EXPECT_ERRNO(blocked_join(&self->call), OK, EBUSY);
	EXPECT_OK(get_fd_again(&l->buf));
	expect_refs(_metadata, &l->d[0], l->refs);
	expect_refs(_metadata, &l->d[1], l->refs);

	ASSERT_OK(iio_disable(l->buf.dut));
	EXPECT_OK(transfer_once(&l->buf, &l->d[0]));
}

/* --- tear-down as libiio does it --- */

static void expect_clean_end(struct __test_metadata *_metadata, struct life *l)
{
	size_t i;

	for (i = 0; i < DEPTH; i++) {
		EXPECT_OK(iio_detach(l->buf.fd, l->d[i].fd));
		EXPECT_OK(dmabuf_unmap(&l->d[i]));
		EXPECT_EQ(0, close(l->d[i].fd));
		l->d[i].fd = -1;
	}
	EXPECT_EQ(0, close(l->buf.fd));
	l->buf.fd = -1;
	EXPECT_OK(iio_disable(l->buf.dut));
	EXPECT_OK(get_fd_again(&l->buf));
}

TEST_REQ(lifecycle, torn_down_idle, "LIF-25")
{
	struct life *l = &self->l;

	attach_all(_metadata, l);
	ASSERT_OK(iio_enable(l->buf.dut));
	expect_clean_end(_metadata, l);
}

TEST_REQ(lifecycle, torn_down_running, "LIF-25")
{
	struct life *l = &self->l;

	attach_all(_metadata, l);
	enqueue_all(_metadata, l);
	ASSERT_OK(iio_enable(l->buf.dut));
	expect_clean_end(_metadata, l);
	expect_all_end(_metadata, l);
}

TEST_REQ(lifecycle, stream_is_dequeued_and_detached, "LIF-26")
{
	struct life *l = &self->l;
	size_t i;

	attach_all(_metadata, l);
	enqueue_all(_metadata, l);
	ASSERT_OK(iio_enable(l->buf.dut));
	for (i = 0; i < DEPTH; i++) {
		ASSERT_EQ(POLLOUT, fd_poll(l->d[i].fd, POLLOUT, DEADLINE_MS));
		EXPECT_OK(iio_detach(l->buf.fd, l->d[i].fd));
		EXPECT_EQ(1, sync_file_status(l->fence[i]));
	}
}

/* --- processes --- */

/* In a child: a whole transfer, when the parent says so. */
static int transfer_when_told(int fd, int dmabuf_fd)
{
	const struct iio_buf b = { .dut = child_dut, .dev_fd = -1, .fd = fd };
	const struct dmabuf d = {
		.fd = dmabuf_fd,
		.size = lseek(dmabuf_fd, 0, SEEK_END),
	};
	char byte;

	if (read(child_go[0], &byte, 1) != 1)
		return -EPIPE;

	return transfer_once(&b, &d);
}

TEST_REQ(lifecycle, child_goes_on_after_close, "LIF-12")
{
	struct life *l = &self->l;
	pid_t child;

	child_dut = l->buf.dut;
	ASSERT_EQ(0, pipe(child_go));
	child = call_start(transfer_when_told, l->buf.fd, l->d[0].fd);
	ASSERT_LE(0, child);

	close_fd(&l->buf.fd);
	EXPECT_ERRNO(get_fd_again(&l->buf), EBUSY) {
		TH_LOG("the buffer is given away although a child has it open");
	}
	ASSERT_EQ(1, write(child_go[1], "", 1));
	EXPECT_OK(call_result(child));
	EXPECT_OK(get_fd_again(&l->buf));
}

/* Both use one descriptor, and what one attaches the other can enqueue. */
TEST_REQ(lifecycle, parent_goes_on_after_child, "LIF-12")
{
	struct life *l = &self->l;

	EXPECT_OK(call_result(call_start(iio_attach, l->buf.fd, l->d[0].fd)));
	ASSERT_OK(iio_enable(l->buf.dut));
	EXPECT_OK(fence_result(iio_enqueue_whole(&l->buf, &l->d[0])));
}

/* The sender is gone, and nobody has the descriptors but the socket. */
TEST_REQ(lifecycle, passed_through_a_socket, "LIF-13")
{
	struct life *l = &self->l;
	int fds[] = { l->buf.fd, l->d[0].fd };
	int sock[2], status;
	pid_t sender;

	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM, 0, sock));
	sender = fork();
	ASSERT_LE(0, sender);
	if (!sender)
		_exit(-(iio_attach(fds[0], fds[1]) ?:
			send_fds(sock[0], fds, ARRAY_SIZE(fds))));

	ASSERT_EQ(sender, waitpid(sender, &status, 0));
	ASSERT_EQ(0, status);
	close_fd(&l->buf.fd);
	dmabuf_free(&l->d[0]);
	EXPECT_ERRNO(get_fd_again(&l->buf), EBUSY);

	ASSERT_OK(receive_fds(sock[1], fds, ARRAY_SIZE(fds)));
	l->buf.fd = fds[0];
	l->d[0].fd = fds[1];
	l->d[0].size = lseek(fds[1], 0, SEEK_END);
	ASSERT_OK(iio_enable(l->buf.dut));
	EXPECT_OK(fence_result(iio_enqueue_whole(&l->buf, &l->d[0])));
	close(sock[0]);
	close(sock[1]);
}

/* How far a process comes before it is killed */
enum life_stage {
	LIFE_OPEN,
	LIFE_ATTACHED,
	LIFE_QUEUED,
	LIFE_ENABLED,
	LIFE_DONE,
	LIFE_DETACHED,
	NR_LIFE_STAGES
};

static const char * const life_stages[] = {
	[LIFE_OPEN] = "open",
	[LIFE_ATTACHED] = "with a DMABUF attached",
	[LIFE_QUEUED] = "with a DMABUF queued",
	[LIFE_ENABLED] = "enabled, with a transfer under way",
	[LIFE_DONE] = "with a transfer done",
	[LIFE_DETACHED] = "enabled, with nothing attached",
};

/* In a child, with a buffer of its own, until it is killed */
static int live_until(int last, int unused)
{
	const struct dmabuf *d = child_dmabuf;
	int ret, fence = -1;
	struct iio_buf b;

	(void)unused;
	ret = iio_buf_open(&b, child_dut);
	if (!ret && last >= LIFE_ATTACHED)
		ret = iio_attach(b.fd, d->fd);
	if (!ret && last >= LIFE_QUEUED) {
		fence = iio_enqueue_whole(&b, d);
		ret = fence < 0 ? fence : 0;
	}
	if (!ret && last >= LIFE_ENABLED)
		ret = iio_enable(b.dut);
	if (!ret && last >= LIFE_DONE)
		ret = fence_result(fence);
	if (!ret && last >= LIFE_DETACHED)
		ret = iio_detach(b.fd, d->fd);

	if (ret || write(child_go[1], "", 1) != 1)
		return ret ?: -EPIPE;

	for (;;)
		pause();
}

/* In a child: all that a client does, again and again, until it is killed */
static int live_for_ever(int unused, int unused_too)
{
	struct iio_buf b;
	int ret;

	(void)unused;
	(void)unused_too;
	ret = iio_buf_open(&b, child_dut);
	if (ret || write(child_go[1], "", 1) != 1)
		return ret ?: -EPIPE;

	while (!ret) {
		ret = transfer_once(&b, child_dmabuf);
		close(b.fd);
		if (!ret)
			ret = get_fd_again(&b) < 0 ? b.fd : 0;
	}

	return ret;
}

/*
 * Let a child use the buffer until it says so, and @us longer, and kill it: a
 * process that is dead leaves no trace, once the buffer was flushed.
 */
static void kill_user(struct __test_metadata *_metadata, struct life *l,
		      int (*user)(int, int), int arg, unsigned int us)
{
	pid_t child;
	char byte;

	ASSERT_EQ(0, pipe(child_go));
	child = call_start(user, arg, 0);
	ASSERT_LE(0, child);
	close_fd(&child_go[1]);
	if (read(child_go[0], &byte, 1) != 1) {
		ASSERT_OK(call_result(child)) {
			TH_LOG("the child came to an end by itself");
		}
	}
	spin_until(now_ns() + us * 1000ull);
	call_kill(child);
	close_fd(&child_go[0]);

	EXPECT_OK(iio_buf_open(&l->buf, child_dut));
	if (l->buf.dut) {
		expect_refs(_metadata, &l->d[0], l->refs);
		EXPECT_OK(transfer_once(&l->buf, &l->d[0]));
		iio_buf_close(&l->buf);
	}
}

TEST_REQ(lifecycle, killed_in_any_state, "LIF-11")
{
	struct life *l = &self->l;
	int stage;

	child_dut = l->buf.dut;
	child_dmabuf = &l->d[0];
	iio_buf_close(&l->buf);
	for (stage = LIFE_OPEN; stage < NR_LIFE_STAGES; stage++) {
		kill_user(_metadata, l, live_until, stage, 0);
		ASSERT_EQ(KSFT_PASS, _metadata->exit_code) {
			TH_LOG("killed %s", life_stages[stage]);
		}
	}
}

#define KILLS		12
#define KILL_WITHIN_US	4000

TEST_REQ(lifecycle, killed_at_any_time, "LIF-11")
{
	struct life *l = &self->l;
	unsigned int seed = 1;
	int i;

	child_dut = l->buf.dut;
	child_dmabuf = &l->d[0];
	iio_buf_close(&l->buf);
	for (i = 0; i < KILLS; i++) {
		kill_user(_metadata, l, live_for_ever, 0,
			  rand_r(&seed) % KILL_WITHIN_US);
		ASSERT_EQ(KSFT_PASS, _metadata->exit_code) {
			TH_LOG("after kill %d", i);
		}
	}
}

/* --- input buffers --- */

FIXTURE(lifecycle_input) {
	struct life l;
	uint8_t *copy;
};

DUT_FIXTURE(lifecycle_input, DUT_INPUT);

FIXTURE_SETUP(lifecycle_input)
{
	life_init(&self->l);
	self->copy = NULL;

	if (!dut_setup(_metadata, &variant->v))
		return;

	life_setup(_metadata, &self->l, variant->v.dut, &variant->v);
	self->copy = malloc(self->l.d[0].size * DEPTH);
	ASSERT_NE(NULL, self->copy);
}

FIXTURE_TEARDOWN(lifecycle_input)
{
	life_teardown(&self->l);
	free(self->copy);
	dut_teardown(_metadata);
}

#define SYNC_READ_START	(DMA_BUF_SYNC_START | DMA_BUF_SYNC_READ)
#define SYNC_READ_END	(DMA_BUF_SYNC_END | DMA_BUF_SYNC_READ)

/*
 * The last DMABUF is the proof that the device writes: by then it would have
 * gone on with what came before.
 */
TEST_REQ(lifecycle_input, nothing_is_written_after_disable, "LIF-04", "LIF-05")
{
	struct life *l = &self->l;
	struct dmabuf *last = &l->d[DEPTH - 1];
	size_t i, size = last->size;

	attach_all(_metadata, l);
	ASSERT_OK(iio_enable(l->buf.dut));
	for (i = 0; i < DEPTH - 1; i++)
		enqueue_nth(_metadata, l, i);
	ASSERT_OK(iio_disable(l->buf.dut));
	for (i = 0; i < DEPTH - 1; i++) {
		ASSERT_OK(dmabuf_sync(l->d[i].fd, SYNC_READ_START));
		memcpy(self->copy + i * size, l->d[i].map, size);
		ASSERT_OK(dmabuf_sync(l->d[i].fd, SYNC_READ_END));
	}

	ASSERT_OK(iio_enable(l->buf.dut));
	ASSERT_OK(fence_result(iio_enqueue_whole(&l->buf, last)));
	ASSERT_OK(iio_disable(l->buf.dut));
	ASSERT_OK(iio_detach(l->buf.fd, last->fd));
	ASSERT_FALSE(dmabuf_untouched(_metadata, last));

	for (i = 0; i < DEPTH - 1; i++) {
		ASSERT_OK(dmabuf_sync(l->d[i].fd, SYNC_READ_START));
		EXPECT_EQ(0, memcmp(self->copy + i * size, l->d[i].map, size)) {
			TH_LOG("DMABUF %zu, whose transfer the disable ended, was written to later",
			       i);
		}
		ASSERT_OK(dmabuf_sync(l->d[i].fd, SYNC_READ_END));
	}
}

/*
 * Nothing may be attached while a kernel still has the transfer (B3), but the
 * enable alone is enough to see it run.
 */
TEST_REQ(lifecycle_input, closed_session_is_not_written_to, "LIF-09")
{
	struct life *l = &self->l;

	abandon_queued(_metadata, l);
	fd_poll(l->fence[0], POLLIN, patience_ms("B4"));

	ASSERT_OK(get_fd_again(&l->buf));
	ASSERT_OK(iio_enable(l->buf.dut));
	if (sync_file_status(l->fence[0]) >= 0)
		sync_file_wait(l->fence[0]);
	ASSERT_OK(iio_disable(l->buf.dut));
	ASSERT_OK(transfer_once(&l->buf, &l->d[1]));
	ASSERT_FALSE(dmabuf_untouched(_metadata, &l->d[1]));
	EXPECT_UNLESS("B4", dmabuf_untouched(_metadata, &l->d[0]));
}

/* --- an output buffer that feeds an input buffer: transfers in flight --- */

FIXTURE(lifecycle_loopback) {
	struct life out;
	struct life in;
};

DUT_FIXTURE(lifecycle_loopback, DUT_LOOPBACK);

FIXTURE_SETUP(lifecycle_loopback)
{
	life_init(&self->out);
	life_init(&self->in);

	if (!dut_setup(_metadata, &variant->v))
		return;

	life_setup(_metadata, &self->out, variant->v.dut, &variant->v);
	life_setup(_metadata, &self->in, variant->v.peer, &variant->v);
	ASSERT_OK(dmabuf_fill(&self->out.d[0], SENT));
	attach_all(_metadata, &self->out);
	attach_all(_metadata, &self->in);
}

FIXTURE_TEARDOWN(lifecycle_loopback)
{
	life_teardown(&self->out);
	life_teardown(&self->in);
	dut_teardown(_metadata);
}

static void start_transfer(struct __test_metadata *_metadata, struct life *l,
			   size_t i)
{
	ASSERT_OK(iio_enable(l->buf.dut));
	enqueue_nth(_metadata, l, i);
}

/* Start a transfer that cannot end before the peer has one as well. */
static void put_in_flight(struct __test_metadata *_metadata, struct life *l)
{
	start_transfer(_metadata, l, 0);
	ASSERT_EQ(0, sync_file_status(l->fence[0]));
}

static void expect_received(struct __test_metadata *_metadata, struct life *in,
			    const struct dmabuf *d)
{
	ASSERT_OK(iio_detach(in->buf.fd, d->fd));
	ASSERT_OK(dmabuf_begin_cpu(d));
	EXPECT_EQ(-1, pattern_mismatch(d->map, d->size, SENT)) {
		TH_LOG("what came in is not what went out");
	}
	ASSERT_OK(dmabuf_end_cpu(d));
}

/* What is in flight, and what waits behind it */
static void expect_ended_by_disable(struct __test_metadata *_metadata,
				    struct life *l)
{
	size_t i;

	put_in_flight(_metadata, l);
	for (i = 1; i < DEPTH; i++)
		enqueue_nth(_metadata, l, i);
	ASSERT_OK(iio_disable(l->buf.dut));

	for (i = 0; i < DEPTH; i++) {
		EXPECT_GT(0, sync_file_status(l->fence[i])) {
			TH_LOG("transfer %zu of those that were in flight", i);
		}
		EXPECT_EQ(POLLOUT, fd_poll(l->d[i].fd, POLLOUT, 0));
	}
}

TEST_REQ(lifecycle_loopback, disable_ends_output_in_flight, "LIF-03")
{
	expect_ended_by_disable(_metadata, &self->out);
}

TEST_REQ(lifecycle_loopback, disable_ends_input_in_flight, "LIF-03")
{
	expect_ended_by_disable(_metadata, &self->in);
}

/* All that goes out must come in where it was asked for after the disable. */
TEST_REQ(lifecycle_loopback, ended_input_does_not_start_again, "LIF-04",
	 "LIF-05")
{
	struct life *in = &self->in, *out = &self->out;

	put_in_flight(_metadata, in);
	ASSERT_OK(iio_disable(in->buf.dut));
	start_transfer(_metadata, out, 0);
	start_transfer(_metadata, in, 1);
	ASSERT_EQ(1, sync_file_wait(in->fence[1]));
	ASSERT_EQ(1, sync_file_wait(out->fence[0]));

	expect_received(_metadata, in, &in->d[1]);
	ASSERT_OK(iio_detach(in->buf.fd, in->d[0].fd));
	EXPECT_TRUE(dmabuf_untouched(_metadata, &in->d[0])) {
		TH_LOG("the transfer that the disable ended has gone on");
	}
}

TEST_REQ(lifecycle_loopback, ended_output_does_not_start_again, "LIF-05")
{
	struct life *in = &self->in, *out = &self->out;

	/* The one that is ended would be the first to be sent. */
	start_transfer(_metadata, out, 1);
	ASSERT_OK(iio_disable(out->buf.dut));
	ASSERT_GT(0, sync_file_status(out->fence[1]));

	start_transfer(_metadata, out, 0);
	start_transfer(_metadata, in, 0);
	ASSERT_EQ(1, sync_file_wait(in->fence[0]));
	expect_received(_metadata, in, &in->d[0]);
}

/* The transfer in flight goes on or is cut off, but it ends. */
static void expect_end_after_close(struct __test_metadata *_metadata,
				   struct life *l, struct life *peer)
{
	put_in_flight(_metadata, l);
	close_fd(&l->buf.fd);
	start_transfer(_metadata, peer, 0);
	EXPECT_NE(0, sync_file_wait(l->fence[0]));
	expect_refs(_metadata, &l->d[0], l->refs);

	ASSERT_OK(iio_disable(l->buf.dut));
	ASSERT_OK(iio_disable(peer->buf.dut));
	EXPECT_OK(get_fd_again(&l->buf));
}

TEST_REQ(lifecycle_loopback, output_closed_in_flight, "LIF-07")
{
	expect_end_after_close(_metadata, &self->out, &self->in);
}

TEST_REQ(lifecycle_loopback, input_closed_in_flight, "LIF-07")
{
	expect_end_after_close(_metadata, &self->in, &self->out);
}

TEST_REQ(lifecycle_loopback, closed_output_is_sent, "LIF-22")
{
	struct life *in = &self->in, *out = &self->out;

	put_in_flight(_metadata, out);
	dmabuf_free(&out->d[0]);
	start_transfer(_metadata, in, 0);
	EXPECT_EQ(1, sync_file_wait(out->fence[0]));
	ASSERT_EQ(1, sync_file_wait(in->fence[0]));
	expect_received(_metadata, in, &in->d[0]);
}

TEST_REQ(lifecycle_loopback, unmapped_input_is_received, "LIF-23")
{
	struct life *in = &self->in, *out = &self->out;

	put_in_flight(_metadata, in);
	EXPECT_OK(dmabuf_unmap(&in->d[0]));
	start_transfer(_metadata, out, 0);
	ASSERT_EQ(1, sync_file_wait(in->fence[0]));

	ASSERT_OK(dmabuf_map(&in->d[0]));
	expect_received(_metadata, in, &in->d[0]);
}

CONFORMANCE_MAIN

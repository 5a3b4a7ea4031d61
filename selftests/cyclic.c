// SPDX-License-Identifier: GPL-2.0
/*
 * IIO_BUFFER_DMABUF_CYCLIC: a transfer that repeats until its output buffer is
 * disabled. A kernel may implement that or refuse it, at ENQUEUE or with the
 * fence; tests of what a repeating transfer does are skipped then.
 *
 * A loopback pair shows that it repeats: the input takes more than one period.
 * Other outputs show only that it does not end.
 */

#include <errno.h>
#include <poll.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "lib/blocked.h"
#include "lib/conformance.h"
#include "lib/transfer.h"

#define POISON	0xa5

/**
 * enum outcome - What becomes of a cyclic transfer
 * @REFUSED: ENQUEUE has failed, or the fence has an error
 * @ONCE: it has completed, as if it were not cyclic
 * @REPEATS: it goes on
 */
enum outcome {
	REFUSED,
	ONCE,
	REPEATS,
};

/**
 * struct cyclic - A cyclic transfer
 * @buf: output buffer
 * @d: DMABUF, attached to it
 * @fence: sync file of the transfer, -1 if there is none
 */
struct cyclic {
	struct iio_buf buf;
	struct dmabuf d;
	int fence;
};

#define CYCLIC_INIT	{ IIO_BUF_INIT, DMABUF_INIT, -1 }

static void cyclic_setup(struct __test_metadata *_metadata, struct cyclic *c,
			 const struct dut_variant *v, size_t size)
{
	ASSERT_OK(iio_buf_open(&c->buf, v->dut));
	ASSERT_OK(dmabuf_alloc(&c->d, v->exporter, size));
	ASSERT_OK(iio_attach(c->buf.fd, c->d.fd));
}

static void cyclic_teardown(struct cyclic *c)
{
	iio_buf_close(&c->buf);
	dmabuf_free(&c->d);
	if (c->fence >= 0)
		close(c->fence);
}

/* Return: a sync file of the transfer, or a negative errno. */
static int enqueue_cyclic(const struct iio_buf *b, const struct dmabuf *d,
			  size_t len)
{
	struct iio_dmabuf req = {
		.fd = d->fd,
		.flags = IIO_BUFFER_DMABUF_CYCLIC,
		.bytes_used = len,
	};

	return iio_enqueue_req(b->fd, &req) ?:
		dmabuf_export(d->fd, DMA_BUF_SYNC_RW);
}

/* Enqueue @len bytes on the disabled buffer, or return false: refused. */
static bool cyclic_enqueue(struct __test_metadata *_metadata, struct cyclic *c,
			   size_t len)
{
	c->fence = enqueue_cyclic(&c->buf, &c->d, len);
	ASSERT_ERRNO(c->fence, OK, EOPNOTSUPP, EINVAL);

	return c->fence >= 0;
}

/* What the fence says of a transfer that has had the time for more */
static enum outcome cyclic_outcome(const struct cyclic *c)
{
	int status = sync_file_status(c->fence);

	if (!status)
		return REPEATS;

	return status < 0 ? REFUSED : ONCE;
}

/*
 * Whether there is a repeating transfer to test. Not where it is refused, which
 * marks the test as skipped, and not where the kernel makes it an ordinary one
 * (B10).
 */
static bool cyclic_repeats(struct __test_metadata *_metadata,
			   enum outcome outcome)
{
	if (outcome == REFUSED)
		SKIP(return false, "cyclic transfers are refused");

	EXPECT_UNLESS("B10", outcome == REPEATS && "cyclic, or refused");

	return outcome == REPEATS;
}

/* Disable the output: the transfer ends, with an error. */
static void cyclic_stop(struct __test_metadata *_metadata, struct cyclic *c)
{
	ASSERT_OK(iio_disable(c->buf.dut));
	EXPECT_GT(0, sync_file_wait(c->fence)) {
		TH_LOG("the fence of a cyclic transfer after the disable: %d",
		       sync_file_status(c->fence));
	}
}

/* --- input buffers --- */

FIXTURE(cyclic_input) {
	struct transfer t;
};

DUT_FIXTURE(cyclic_input, DUT_INPUT);

FIXTURE_SETUP(cyclic_input)
{
	self->t = (struct transfer)TRANSFER_INIT;
	if (dut_setup(_metadata, &variant->v))
		transfer_setup(_metadata, &self->t, variant->v.dut,
			       variant->v.exporter, variant->v.dut->align);
}

FIXTURE_TEARDOWN(cyclic_input)
{
	transfer_teardown(&self->t);
	dut_teardown(_metadata);
}

TEST_REQ(cyclic_input, is_refused, "CYC-01")
{
	struct transfer *t = &self->t;

	/* Two mistakes, either of which may be seen first */
	EXPECT_ERRNO(enqueue_cyclic(&t->buf, &t->d, t->len), EINVAL, EPERM);

	ASSERT_OK(iio_attach(t->buf.fd, t->d.fd));
	EXPECT_ERRNO(enqueue_cyclic(&t->buf, &t->d, t->len), EINVAL);
	EXPECT_EQ(POLLOUT, fd_poll(t->d.fd, POLLOUT, 0)) {
		TH_LOG("the DMABUF has got a fence");
	}

	transfer_hold(_metadata, t);
	transfer_finish(_metadata, t);
}

/* --- output buffers --- */

FIXTURE(cyclic_output) {
	struct cyclic c;
	struct dmabuf other;
	size_t len;
};

DUT_FIXTURE(cyclic_output, DUT_OUTPUT);

/* An ordinary transfer; return how many milliseconds it has taken. */
static uint64_t transfer_once(struct __test_metadata *_metadata,
			      FIXTURE_DATA(cyclic_output) *self)
{
	uint64_t start = now_ms();
	int fence;

	fence = iio_enqueue_fence(&self->c.buf, &self->c.d, self->len);
	ASSERT_OK(fence);
	ASSERT_OK(iio_enable(self->c.buf.dut));
	ASSERT_OK(fence_result(fence));
	ASSERT_OK(iio_disable(self->c.buf.dut));

	return now_ms() - start;
}

/* For all tests: a cyclic transfer repeats, whatever is known of the kernel. */
static bool *b10_is_fixed;

static void __attribute__((constructor)) share_b10_is_fixed(void)
{
	b10_is_fixed = mmap(NULL, sizeof(*b10_is_fixed), PROT_READ | PROT_WRITE,
			    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (b10_is_fixed == MAP_FAILED)
		abort();
}

/*
 * Start a cyclic transfer and give it the time of several periods. A device
 * that is too slow for that is not found out, which does a good one no harm.
 * With B10 it must end, and whoever is slow is waited for; a kernel that should
 * have the defect and has not costs that time once.
 */
static enum outcome run(struct __test_metadata *_metadata,
			FIXTURE_DATA(cyclic_output) *self)
{
	const uint64_t period = transfer_once(_metadata, self);
	int patience = 4 * period + 10;
	enum outcome outcome;

	if (!cyclic_enqueue(_metadata, &self->c, self->len))
		return REFUSED;

	EXPECT_EQ(0, sync_file_status(self->c.fence)) {
		TH_LOG("the fence has signalled while the buffer is disabled");
	}
	ASSERT_OK(iio_enable(self->c.buf.dut));
	if (defect_is_known("B10") && !*b10_is_fixed &&
	    patience < DEADLINE_MS / 2)
		patience = DEADLINE_MS / 2;
	fd_poll(self->c.fence, POLLIN, patience);

	outcome = cyclic_outcome(&self->c);
	*b10_is_fixed |= outcome == REPEATS;

	return outcome;
}

FIXTURE_SETUP(cyclic_output)
{
	self->c = (struct cyclic)CYCLIC_INIT;
	self->other = (struct dmabuf)DMABUF_INIT;
	if (!dut_setup(_metadata, &variant->v))
		return;

	self->len = iio_good_length(variant->v.dut, variant->v.dut);
	cyclic_setup(_metadata, &self->c, &variant->v, self->len);
	ASSERT_OK(dmabuf_alloc(&self->other, variant->v.exporter, self->len));
	ASSERT_OK(iio_attach(self->c.buf.fd, self->other.fd));
}

FIXTURE_TEARDOWN(cyclic_output)
{
	cyclic_teardown(&self->c);
	dmabuf_free(&self->other);
	dut_teardown(_metadata);
}

TEST_REQ(cyclic_output, repeats_or_is_refused, "CYC-02")
{
	enum outcome outcome = run(_metadata, self);

	EXPECT_UNLESS("B10", outcome != ONCE && "cyclic, or refused");
}

TEST_REQ(cyclic_output, stops_with_an_error, "CYC-05")
{
	if (cyclic_repeats(_metadata, run(_metadata, self)))
		cyclic_stop(_metadata, &self->c);
}

static int sync_for_writing(void *arg)
{
	const struct dmabuf *d = arg;

	return dmabuf_sync(d->fd, DMA_BUF_SYNC_START | DMA_BUF_SYNC_WRITE);
}

static int sync_for_reading(void *arg)
{
	const struct dmabuf *d = arg;

	return dmabuf_sync(d->fd, DMA_BUF_SYNC_START | DMA_BUF_SYNC_READ);
}

TEST_REQ(cyclic_output, sync_for_writing_waits, "CYC-07")
{
	struct dmabuf *d = &self->c.d;
	struct blocked sync;

	if (!cyclic_repeats(_metadata, run(_metadata, self)))
		return;

	ASSERT_OK(blocked_start(&sync, sync_for_writing, d));
	EXPECT_OK(blocked_wait(&sync, SYS_ioctl)) {
		TH_LOG("SYNC does not wait for the cyclic transfer");
	}
	cyclic_stop(_metadata, &self->c);
	EXPECT_OK(blocked_join(&sync));
	EXPECT_OK(dmabuf_sync(d->fd, DMA_BUF_SYNC_END | DMA_BUF_SYNC_WRITE));
}

TEST_REQ(cyclic_output, sync_for_reading_does_not_wait, "CYC-07")
{
	struct dmabuf *d = &self->c.d;
	struct blocked sync;

	if (!cyclic_repeats(_metadata, run(_metadata, self)))
		return;

	ASSERT_OK(blocked_start(&sync, sync_for_reading, d));
	EXPECT_OK(blocked_join(&sync)) {
		TH_LOG("SYNC for reading fails, or waits for what only reads");
	}
	EXPECT_EQ(0, sync_file_status(self->c.fence));
	EXPECT_OK(dmabuf_sync(d->fd, DMA_BUF_SYNC_END | DMA_BUF_SYNC_READ));
	cyclic_stop(_metadata, &self->c);
}

/* What is enqueued behind a transfer that does not end: does that end? */
static void expect_no_fence_lost(struct __test_metadata *_metadata,
				 FIXTURE_DATA(cyclic_output) *self, int behind)
{
	int status;

	ASSERT_OK(iio_disable(self->c.buf.dut));
	EXPECT_NE(0, sync_file_wait(self->c.fence)) {
		TH_LOG("the fence of the cyclic transfer is pending for ever");
	}
	if (behind < 0)
		return;

	status = sync_file_wait(behind);
	close(behind);
	EXPECT_NE(0, status) {
		TH_LOG("the fence of the transfer behind the cyclic one is pending for ever");
	}
}

TEST_REQ(cyclic_output, plain_transfer_behind, "CYC-09")
{
	if (!cyclic_repeats(_metadata, run(_metadata, self)))
		return;

	expect_no_fence_lost(_metadata, self,
			     iio_enqueue_fence(&self->c.buf, &self->other,
					       self->len));
}

TEST_REQ(cyclic_output, cyclic_transfer_behind, "CYC-09")
{
	if (!cyclic_repeats(_metadata, run(_metadata, self)))
		return;

	expect_no_fence_lost(_metadata, self,
			     enqueue_cyclic(&self->c.buf, &self->other,
					    self->len));
}

TEST_REQ(cyclic_output, plain_transfer_afterwards, "CYC-12")
{
	bool by_fence;
	int fence;

	by_fence = run(_metadata, self) == REFUSED && self->c.fence >= 0;
	ASSERT_OK(iio_disable(self->c.buf.dut));
	EXPECT_EQ(POLLOUT, fd_poll(self->c.d.fd, POLLOUT, DEADLINE_MS)) {
		TH_LOG("the DMABUF of the cyclic transfer stays busy");
	}

	fence = iio_enqueue_fence(&self->c.buf, &self->c.d, self->len);
	if (by_fence) {
		EXPECT_UNLESS("B8", fence >= 0 && "enqueued again");
	} else {
		EXPECT_OK(fence);
	}
	if (fence < 0)
		return;

	ASSERT_OK(iio_enable(self->c.buf.dut));
	EXPECT_OK(fence_result(fence));
}

/* --- an output buffer that feeds an input buffer --- */

#define NR_RX	2

FIXTURE(cyclic_loopback) {
	struct cyclic c;
	struct iio_buf in;
	struct dmabuf rx[NR_RX];
	struct dmabuf other;
	size_t period;
	uint8_t *wanted;
};

DUT_FIXTURE(cyclic_loopback, DUT_LOOPBACK);

#define NR_PERIODS	4
#define SEED		7

FIXTURE_SETUP(cyclic_loopback)
{
	size_t i;

	self->c = (struct cyclic)CYCLIC_INIT;
	self->in = (struct iio_buf)IIO_BUF_INIT;
	self->other = (struct dmabuf)DMABUF_INIT;
	for (i = 0; i < NR_RX; i++)
		self->rx[i] = (struct dmabuf)DMABUF_INIT;
	self->wanted = NULL;
	if (!dut_setup(_metadata, &variant->v))
		return;

	self->period = iio_part_length(variant->v.dut, variant->v.peer,
				       NR_PERIODS);
	cyclic_setup(_metadata, &self->c, &variant->v, 2 * self->period);
	ASSERT_OK(dmabuf_begin_cpu(&self->c.d));
	pattern_fill(self->c.d.map, 2 * self->period, SEED);
	ASSERT_OK(dmabuf_end_cpu(&self->c.d));

	ASSERT_OK(iio_buf_open(&self->in, variant->v.peer));
	for (i = 0; i < NR_RX; i++) {
		ASSERT_OK(dmabuf_alloc(&self->rx[i], variant->v.exporter,
				       NR_PERIODS * self->period));
		ASSERT_OK(dmabuf_poison(&self->rx[i], POISON));
		ASSERT_OK(iio_attach(self->in.fd, self->rx[i].fd));
	}

	/* What comes: the first period of the DMABUF, again and again */
	self->wanted = malloc(2 * NR_PERIODS * self->period);
	ASSERT_NE(NULL, self->wanted);
	for (i = 0; i < 2 * NR_PERIODS; i++)
		pattern_fill(self->wanted + i * self->period, self->period,
			     SEED);
}

FIXTURE_TEARDOWN(cyclic_loopback)
{
	size_t i;

	cyclic_teardown(&self->c);
	iio_buf_close(&self->in);
	for (i = 0; i < NR_RX; i++)
		dmabuf_free(&self->rx[i]);
	dmabuf_free(&self->other);
	free(self->wanted);
	dut_teardown(_metadata);
}

static int receive(struct __test_metadata *_metadata,
		   FIXTURE_DATA(cyclic_loopback) *self, size_t i, size_t len)
{
	int fence;

	fence = iio_enqueue_fence(&self->in, &self->rx[i], len);
	ASSERT_OK(fence);

	return fence;
}

/* Wait until input transfer @rx is done, or the cyclic one has ended. */
static enum outcome wait_for(FIXTURE_DATA(cyclic_loopback) *self, int rx)
{
	struct pollfd pfd[2] = {
		{ .fd = rx, .events = POLLIN },
		{ .fd = self->c.fence, .events = POLLIN },
	};
	int received;

	poll(pfd, 2, DEADLINE_MS);
	received = sync_file_status(rx);
	close(rx);

	return received == 1 ? REPEATS : cyclic_outcome(&self->c);
}

/*
 * Start the cyclic transfer of one period, and receive @len bytes of it, which
 * is more than that. Return: whether it repeats.
 */
static bool start(struct __test_metadata *_metadata,
		  FIXTURE_DATA(cyclic_loopback) *self, size_t len)
{
	enum outcome outcome;
	int rx;

	if (!cyclic_enqueue(_metadata, &self->c, self->period))
		return cyclic_repeats(_metadata, REFUSED);

	rx = receive(_metadata, self, 0, len);
	ASSERT_OK(iio_enable(self->in.dut));
	ASSERT_OK(iio_enable(self->c.buf.dut));
	outcome = wait_for(self, rx);

	return cyclic_repeats(_metadata, outcome);
}

/* @len bytes of rx[@i] must be what comes from byte @from of the stream on. */
static void expect_received(struct __test_metadata *_metadata,
			    FIXTURE_DATA(cyclic_loopback) *self, size_t i,
			    size_t len, size_t from)
{
	const uint8_t *wanted = self->wanted + from % self->period;
	size_t at = 0;

	ASSERT_OK(dmabuf_sync(self->rx[i].fd,
			      DMA_BUF_SYNC_START | DMA_BUF_SYNC_READ));
	while (at < len && self->rx[i].map[at] == wanted[at])
		at++;
	EXPECT_EQ(len, at) {
		TH_LOG("byte %zu of the stream, the period of which is %zu, is not what was sent",
		       from + at, self->period);
	}
	ASSERT_OK(dmabuf_sync(self->rx[i].fd,
			      DMA_BUF_SYNC_END | DMA_BUF_SYNC_READ));
}

/* Receive @len bytes more. */
static void go_on(struct __test_metadata *_metadata,
		  FIXTURE_DATA(cyclic_loopback) *self, size_t len)
{
	EXPECT_EQ(REPEATS, wait_for(self, receive(_metadata, self, 1, len))) {
		TH_LOG("the cyclic transfer does not go on");
	}
}

TEST_REQ(cyclic_loopback, repeats_until_disabled, "CYC-03")
{
	size_t len = NR_PERIODS * self->period, i;

	if (!start(_metadata, self, len))
		return;

	expect_received(_metadata, self, 0, len, 0);
	for (i = 0; i < 3; i++) {
		go_on(_metadata, self, self->period);
		expect_received(_metadata, self, 1, self->period, 0);
	}
	cyclic_stop(_metadata, &self->c);
}

TEST_REQ(cyclic_loopback, no_period_signals_the_fence, "CYC-04")
{
	int rx, fence;

	if (!start(_metadata, self, NR_PERIODS * self->period))
		return;

	go_on(_metadata, self, NR_PERIODS * self->period);
	EXPECT_EQ(0, sync_file_status(self->c.fence));
	EXPECT_EQ(0, fd_poll(self->c.d.fd, POLLOUT, 0));
	fence = dmabuf_export(self->c.d.fd, DMA_BUF_SYNC_RW);
	ASSERT_OK(fence);
	EXPECT_EQ(0, sync_file_status(fence));
	cyclic_stop(_metadata, &self->c);
	EXPECT_GT(0, fence_result(fence));

	/* Nothing comes any more. */
	rx = receive(_metadata, self, 0, self->period);
	EXPECT_EQ(0, sync_file_status(rx));
	close(rx);
}

TEST_REQ(cyclic_loopback, does_not_start_again, "CYC-06")
{
	const size_t len = self->period;
	struct dmabuf *d = &self->other;
	int rx, tx;

	ASSERT_OK(dmabuf_alloc(d, variant->v.exporter, len));
	ASSERT_OK(iio_attach(self->c.buf.fd, d->fd));
	if (!start(_metadata, self, NR_PERIODS * len))
		return;

	cyclic_stop(_metadata, &self->c);
	rx = receive(_metadata, self, 1, len);
	ASSERT_OK(iio_enable(self->c.buf.dut));
	EXPECT_EQ(0, sync_file_status(rx));

	/* The next one is the next to come, from its first byte on. */
	ASSERT_OK(dmabuf_begin_cpu(d));
	pattern_fill(d->map, len, SEED + 1);
	ASSERT_OK(dmabuf_end_cpu(d));
	tx = iio_enqueue_fence(&self->c.buf, d, len);
	ASSERT_OK(tx);
	EXPECT_OK(fence_result(tx));
	EXPECT_OK(fence_result(rx));
	ASSERT_OK(dmabuf_begin_cpu(&self->rx[1]));
	EXPECT_EQ(-1, pattern_mismatch(self->rx[1].map, len, SEED + 1)) {
		TH_LOG("it is not the transfer after the cyclic one that is received");
	}
	ASSERT_OK(dmabuf_end_cpu(&self->rx[1]));
}

/* Give memory that was freed to somebody else, and see what goes out. */
static void expect_memory_kept(struct __test_metadata *_metadata,
			       FIXTURE_DATA(cyclic_loopback) *self,
			       const struct exporter *e)
{
	const size_t len = 2 * self->period;

	ASSERT_OK(dmabuf_alloc(&self->other, e, len));
	ASSERT_OK(dmabuf_poison(&self->other, POISON));

	/* A driver may end the transfer instead. */
	if (wait_for(self, receive(_metadata, self, 1, len)) == REPEATS)
		expect_received(_metadata, self, 1, len, 0);
	cyclic_stop(_metadata, &self->c);
}

TEST_REQ(cyclic_loopback, detached_while_it_repeats, "CYC-08")
{
	if (!start(_metadata, self, NR_PERIODS * self->period))
		return;

	ASSERT_OK(iio_detach(self->c.buf.fd, self->c.d.fd));
	dmabuf_free(&self->c.d);
	expect_memory_kept(_metadata, self, variant->v.exporter);
}

TEST_REQ(cyclic_loopback, buffer_closed_while_it_repeats, "CYC-08")
{
	if (!start(_metadata, self, NR_PERIODS * self->period))
		return;

	close(self->c.buf.fd);
	self->c.buf.fd = -1;
	dmabuf_free(&self->c.d);
	expect_memory_kept(_metadata, self, variant->v.exporter);
}

TEST_REQ(cyclic_loopback, keeps_its_references, "CYC-08")
{
	long attached = dmabuf_refs(self->c.d.fd);

	if (!start(_metadata, self, NR_PERIODS * self->period))
		return;

	ASSERT_OK(iio_detach(self->c.buf.fd, self->c.d.fd));
	go_on(_metadata, self, self->period);
	EXPECT_LE(attached, dmabuf_refs(self->c.d.fd)) {
		TH_LOG("DETACH has released a DMABUF that is being read");
	}
	cyclic_stop(_metadata, &self->c);
	EXPECT_OK(dmabuf_wait_refs(self->c.d.fd, attached - 1));
}

TEST_REQ(cyclic_loopback, repeats_without_a_seam, "CYC-10")
{
	const size_t len = 2 * self->period + self->period / 2;
	int next = receive(_metadata, self, 1, len);

	/* Which comes first is the order of the two. */
	if (!start(_metadata, self, len)) {
		close(next);
		return;
	}

	EXPECT_OK(fence_result(next));
	expect_received(_metadata, self, 1, len, 0);
	expect_received(_metadata, self, 0, len, len);
	cyclic_stop(_metadata, &self->c);
}

TEST_REQ(cyclic_loopback, repeats_bytes_used_only, "CYC-11")
{
	const size_t len = 2 * self->period;

	ASSERT_LT(self->period, self->c.d.size);
	if (!start(_metadata, self, len))
		return;

	expect_received(_metadata, self, 0, len, 0);
	cyclic_stop(_metadata, &self->c);
}

CONFORMANCE_MAIN

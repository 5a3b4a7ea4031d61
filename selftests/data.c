// SPDX-License-Identifier: GPL-2.0
/*
 * The bytes: all of them, in order, nowhere else. What an output buffer sends
 * is compared with what the input buffer of a loopback pair receives, for each
 * exporter; single buffers are checked for what they must leave alone.
 *
 * How much is transferred follows from what the pair and the DMA mapping can
 * do: devices may refuse long or scattered DMABUFs, and may be slow.
 */

#include <errno.h>
#include <poll.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/conformance.h"

/* What a transfer must not touch, and must replace, on an input buffer */
#define POISON		0xa5

/* What an output buffer must not send */
#define STALE		0x5a

/* Milliseconds that one transfer, and that one test, may need on the wire */
#define TRANSFER_MS	2000
#define TEST_MS		10000

/* --- one transfer from end to end --- */

static void expect_pattern(struct __test_metadata *_metadata,
			   const uint8_t *data, size_t len, uint64_t seed)
{
	ptrdiff_t at = pattern_mismatch(data, len, seed);

	EXPECT_EQ(-1, at) {
		TH_LOG("byte %td of %zu differs from what was sent", at, len);
	}
}

static void expect_byte(struct __test_metadata *_metadata,
			const struct dmabuf *d, size_t from, size_t to,
			uint8_t byte)
{
	ptrdiff_t at = byte_mismatch(d->map + from, to - from, byte);

	EXPECT_EQ(-1, at) {
		TH_LOG("byte %td, outside of the transfer, is 0x%02x",
		       at + (ptrdiff_t)from, d->map[from + at]);
	}
}

/*
 * Wait until both fences have signalled, or one of them with an error. Return:
 * whether they have.
 */
static bool wait_for_both(int a, int b)
{
	struct pollfd pfd[2] = {
		{ .fd = a, .events = POLLIN },
		{ .fd = b, .events = POLLIN },
	};
	int first, other;

	if (poll(pfd, 2, DEADLINE_MS) < 1)
		return false;

	first = pfd[0].revents ? a : b;
	other = pfd[0].revents ? b : a;

	return sync_file_status(first) != 1 ||
	       fd_poll(other, POLLIN, DEADLINE_MS) == POLLIN;
}

/**
 * struct ends - What goes from where to where
 * @out: output buffer
 * @tx: DMABUF that it sends, not attached
 * @in: input buffer
 * @rx: DMABUF that it fills, not attached
 */
struct ends {
	const struct iio_buf *out;
	const struct dmabuf *tx;
	const struct iio_buf *in;
	const struct dmabuf *rx;
};

static int attach_ends(const struct ends *e)
{
	int ret;

	ret = iio_attach(e->out->fd, e->tx->fd);
	if (ret)
		return ret;

	ret = iio_attach(e->in->fd, e->rx->fd);
	if (ret)
		iio_detach(e->out->fd, e->tx->fd);

	return ret;
}

static int detach_ends(const struct ends *e)
{
	return iio_detach(e->out->fd, e->tx->fd) ?:
	       iio_detach(e->in->fd, e->rx->fd);
}

static int fill(const struct dmabuf *d, size_t len, uint64_t seed)
{
	int ret;

	ret = dmabuf_sync(d->fd, DMA_BUF_SYNC_START | DMA_BUF_SYNC_WRITE);
	if (ret)
		return ret;

	pattern_fill(d->map, len, seed);

	return dmabuf_sync(d->fd, DMA_BUF_SYNC_END | DMA_BUF_SYNC_WRITE);
}

/*
 * Send @len bytes of what is attached, with both buffers disabled before and
 * after. Return: false if a device refuses, at ENQUEUE or with the fence, which
 * it may.
 */
static bool send_attached(struct __test_metadata *_metadata,
			  const struct ends *e, size_t len)
{
	bool answered = true;
	int in, out;

	in = iio_enqueue_fence(e->in, e->rx, len);
	out = iio_enqueue_fence(e->out, e->tx, len);

	ASSERT_OK(iio_enable(e->in->dut));
	ASSERT_OK(iio_enable(e->out->dut));
	if (in >= 0 && out >= 0)
		answered = wait_for_both(in, out);

	/* What has not ended by itself ends here, with EINTR. */
	ASSERT_OK(iio_disable(e->out->dut));
	ASSERT_OK(iio_disable(e->in->dut));
	ASSERT_TRUE(answered) {
		TH_LOG("%zu bytes did not get through within %d ms", len,
		       DEADLINE_MS);
	}

	in = fence_result(in);
	out = fence_result(out);
	if (transfer_refused(in) || transfer_refused(out))
		return false;

	EXPECT_OK(in) {
		TH_LOG("the input transfer of %zu bytes", len);
	}
	EXPECT_OK(out) {
		TH_LOG("the output transfer of %zu bytes", len);
	}

	return true;
}

/* send_attached(), with ATTACH before and DETACH after */
static bool send(struct __test_metadata *_metadata, const struct ends *e,
		 size_t len)
{
	bool sent;
	int ret;

	ret = attach_ends(e);
	if (transfer_refused(ret))
		return false;

	ASSERT_OK(ret);
	sent = send_attached(_metadata, e, len);
	ASSERT_OK(detach_ends(e));

	return sent;
}

static void expect_received(struct __test_metadata *_metadata,
			    const struct dmabuf *d, size_t len, uint64_t seed)
{
	ASSERT_OK(dmabuf_sync(d->fd, DMA_BUF_SYNC_START | DMA_BUF_SYNC_READ));
	expect_pattern(_metadata, d->map, len, seed);
	ASSERT_OK(dmabuf_sync(d->fd, DMA_BUF_SYNC_END | DMA_BUF_SYNC_READ));
}

/* Send a pattern, and look at what has come and what should not have. */
static bool round_trip(struct __test_metadata *_metadata, const struct ends *e,
		       size_t len, uint64_t seed)
{
	ASSERT_OK(fill(e->tx, len, seed));
	ASSERT_OK(dmabuf_poison(e->rx, POISON));

	if (!send(_metadata, e, len))
		return false;

	ASSERT_OK(dmabuf_begin_cpu(e->rx));
	expect_pattern(_metadata, e->rx->map, len, seed);
	if (len < e->rx->size)
		expect_byte(_metadata, e->rx, len, e->rx->size, POISON);
	ASSERT_OK(dmabuf_end_cpu(e->rx));

	return true;
}

/* Ends that each own a few DMABUFs */
#define DEPTH	8

/**
 * struct rig - A pair and its DMABUFs
 * @out: output buffer
 * @in: input buffer
 * @tx: DMABUFs for the output buffer
 * @rx: DMABUFs for the input buffer
 * @exporter: where they come from
 * @align: smallest length that both buffers take
 * @unit: a number of pages that both buffers take
 */
struct rig {
	struct iio_buf out;
	struct iio_buf in;
	struct dmabuf tx[DEPTH];
	struct dmabuf rx[DEPTH];
	const struct exporter *exporter;
	size_t align;
	size_t unit;
};

static void rig_init(struct rig *r)
{
	size_t i;

	r->out = (struct iio_buf)IIO_BUF_INIT;
	r->in = (struct iio_buf)IIO_BUF_INIT;
	for (i = 0; i < DEPTH; i++) {
		r->tx[i] = (struct dmabuf)DMABUF_INIT;
		r->rx[i] = (struct dmabuf)DMABUF_INIT;
	}
}

static void rig_setup(struct __test_metadata *_metadata, struct rig *r,
		      const struct dut_variant *v)
{
	r->exporter = v->exporter;
	r->unit = iio_good_length(v->dut, v->peer);
	r->align = iio_common_align(v->dut, v->peer);

	ASSERT_OK(iio_buf_open(&r->out, v->dut));
	ASSERT_OK(iio_buf_open(&r->in, v->peer));
}

/* Give the @n-th DMABUF of each end back, for others to have the memory. */
static int free_ends(struct rig *r, size_t n)
{
	int ret = dmabuf_free_idle(&r->tx[n]);

	if (!ret)
		return dmabuf_free_idle(&r->rx[n]);

	dmabuf_free(&r->rx[n]);

	return ret;
}

/* If one does not get idle in time, the others are not waited for. */
static void rig_teardown(struct rig *r)
{
	bool idle = true;
	size_t i;

	iio_buf_close(&r->out);
	iio_buf_close(&r->in);
	for (i = 0; i < DEPTH; i++) {
		idle = idle && !free_ends(r, i);
		dmabuf_free(&r->tx[i]);
		dmabuf_free(&r->rx[i]);
	}
}

static struct ends nth_ends(const struct rig *r, size_t n)
{
	return (struct ends){ &r->out, &r->tx[n], &r->in, &r->rx[n] };
}

/* Allocate the @n-th DMABUF of each end and try whether they can be attached */
static int alloc_ends(struct rig *r, size_t n, size_t size)
{
	const struct ends e = nth_ends(r, n);
	int ret;

	ret = dmabuf_alloc(&r->tx[n], r->exporter, size) ?:
	      dmabuf_alloc(&r->rx[n], r->exporter, size) ?:
	      attach_ends(&e);
	if (!ret)
		return detach_ends(&e);

	free_ends(r, n);

	return ret;
}

/* The same for the first ones, and try whether they can be transferred */
static int try_ends(struct __test_metadata *_metadata, struct rig *r,
		    size_t size)
{
	const struct ends e = nth_ends(r, 0);
	int ret;

	ret = alloc_ends(r, 0, size);
	if (ret || send(_metadata, &e, size))
		return ret;

	ASSERT_OK(free_ends(r, 0));

	return -EINVAL;
}

static size_t whole_units(const struct rig *r, size_t size)
{
	return size > r->unit ? size - size % r->unit : r->unit;
}

/*
 * Allocate one DMABUF of @size bytes for each end, or as much of it as there is
 * memory and the devices can do. Return: 0, or how the least was refused.
 */
static int get_ends(struct __test_metadata *_metadata, struct rig *r,
		    size_t size, struct ends *e)
{
	int ret;

	*e = nth_ends(r, 0);
	size = whole_units(r, loop_moves_within(TRANSFER_MS, size));
	while (transfer_refused(ret = try_ends(_metadata, r, size)) &&
	       size > r->unit)
		size = whole_units(r, size / 2);

	if (!transfer_refused(ret)) {
		ASSERT_OK(ret);
	}

	return ret;
}

/* The same; false if the test was skipped. */
static bool one_each(struct __test_metadata *_metadata, struct rig *r,
		     size_t size, struct ends *e)
{
	int ret = get_ends(_metadata, r, size, e);

	if (ret == -ENOMEM)
		SKIP_REST(return false, "not enough memory for two %s DMABUFs of %zu bytes",
			  r->exporter->name, r->unit);
	if (ret)
		SKIP_REST(return false, "the devices refuse %s DMABUFs of %zu bytes",
			  r->exporter->name, r->unit);

	return true;
}

/* --- exporters whose SYNC does not reach the devices --- */

/*
 * One transfer between DMABUFs that are attached before the CPU has written
 * what is to be sent: does one end show what it held before ATTACH? New memory
 * holds zeros. Devices that refuse the DMABUFs show nothing.
 */
static bool end_is_stale(struct __test_metadata *_metadata, struct rig *r,
			 const struct exporter *tx, const struct exporter *rx)
{
	const uint8_t old[] = { STALE, POISON, 0 };
	const struct ends e = nth_ends(r, 0);
	bool stale = false;
	int ret;

	ret = dmabuf_alloc(&r->tx[0], tx, r->unit) ?:
	      dmabuf_alloc(&r->rx[0], rx, r->unit);
	if (!ret) {
		ASSERT_OK(dmabuf_poison(e.tx, STALE));
		ASSERT_OK(dmabuf_poison(e.rx, POISON));
		ret = attach_ends(&e);
	}
	if (ret)
		goto out;

	ASSERT_OK(fill(e.tx, r->unit, 1));
	if (send_attached(_metadata, &e, r->unit)) {
		ASSERT_OK(dmabuf_begin_cpu(e.rx));
		stale = pattern_is_stale(e.rx->map, r->unit, 1, old,
					 ARRAY_SIZE(old));
		ASSERT_OK(dmabuf_end_cpu(e.rx));
	}
	ASSERT_OK(detach_ends(&e));
out:
	ASSERT_OK(free_ends(r, 0));

	return stale;
}

/*
 * The end of a test whose exporter is known not to bring data to and from
 * devices that bounce it, or whose DMA passes by the caches, where it indeed
 * does not and a better one does. Everywhere else this does nothing. Return:
 * whether the test may go on.
 */
static bool expect_synced(struct __test_metadata *_metadata, struct rig *r,
			  const struct exporter *e)
{
	const struct exporter *good = exporter_synced();
	bool fresh;

	if (!e->defect || (good && end_is_stale(_metadata, r, good, good)))
		return true;

	fresh = !end_is_stale(_metadata, r, e, good ?: e) &&
		!end_is_stale(_metadata, r, good ?: e, e);
	if (!fresh)
		EXPECT_UNLESS(e->defect, fresh);

	return fresh;
}

/* --- a pair, with the DMABUFs of each exporter --- */

FIXTURE(data) {
	struct rig r;
};

DUT_FIXTURE(data, DUT_LOOPBACK | DUT_EXPORTERS);

FIXTURE_SETUP(data)
{
	rig_init(&self->r);
	if (!dut_setup(_metadata, &variant->v))
		return;

	rig_setup(_metadata, &self->r, &variant->v);
	expect_synced(_metadata, &self->r, variant->v.exporter);
}

FIXTURE_TEARDOWN(data)
{
	rig_teardown(&self->r);
	dut_teardown(_metadata);
}

TEST_REQ(data, arrives_whole_and_in_order, "DATA-01", "DATA-02", "SHR-09")
{
	struct ends e;

	if (!one_each(_metadata, &self->r, 16 * self->r.unit, &e))
		return;

	if (!round_trip(_metadata, &e, e.rx->size, 1))
		SKIP_REST(return, "the devices refuse %zu bytes", e.rx->size);
}

/* Round trips of each length that fits; returns how many there were. */
static unsigned int try_sizes(struct __test_metadata *_metadata, struct rig *r,
			      const struct ends *e, const size_t *sizes,
			      size_t nr_sizes)
{
	unsigned int taken = 0;
	size_t i, len;

	for (i = 0; i < nr_sizes; i++) {
		/* Of a large alignment, the nearest length there is */
		len = sizes[i] > r->align ? sizes[i] - sizes[i] % r->align :
					    r->align;
		if (len <= e->rx->size)
			taken += round_trip(_metadata, e, len, i);
	}
	ASSERT_OK(free_ends(r, 0));

	return taken;
}

TEST_REQ(data, every_kind_of_size, "DATA-07")
{
	const size_t align = self->r.align, page = page_size();
	const size_t small[] = {
		1, page - align, page, page + align, 65536 - align, 65536,
		65536 + align,
	};
	const size_t large[] = { 1 << 20, 4 << 20 };
	unsigned int taken;
	struct ends e;

	if (!one_each(_metadata, &self->r, 65536 + self->r.unit, &e))
		return;

	taken = try_sizes(_metadata, &self->r, &e, small, ARRAY_SIZE(small));
	/* There may be no memory left, or it is in too many pieces. */
	if (!get_ends(_metadata, &self->r, 4 << 20, &e))
		taken += try_sizes(_metadata, &self->r, &e, large,
				   ARRAY_SIZE(large));
	EXPECT_LT(0, taken) {
		TH_LOG("the devices refused every length");
	}
}

/*
 * A DMABUF of single pages has an sg entry for each: every length around their
 * edges must end where it was asked to.
 */
TEST_REQ(data, ends_inside_an_sg_entry, "DATA-05")
{
	const size_t unit = self->r.unit, align = self->r.align;
	unsigned int taken = 0;
	struct ends e;
	size_t edge, len;

	if (!one_each(_metadata, &self->r, 4 * unit, &e))
		return;

	for (edge = unit; edge <= e.rx->size; edge += unit) {
		for (len = edge - align; len <= edge + align; len += align) {
			if (len && len <= e.rx->size)
				taken += round_trip(_metadata, &e, len, len);
		}
	}
	EXPECT_LT(0, taken) {
		TH_LOG("the devices refused every length");
	}
}

static void expect_done(struct __test_metadata *_metadata,
			const struct dmabuf *d)
{
	ASSERT_EQ(POLLOUT, fd_poll(d->fd, POLLOUT, DEADLINE_MS)) {
		TH_LOG("transfer did not complete within %d ms", DEADLINE_MS);
	}
}

/*
 * Attach @depth DMABUFs of @size bytes to each end, the first of which is there
 * and known to be good. Return: how many it became, fewer where memory, the DMA
 * mapping or what can be sent ends.
 */
static size_t attach_ring(struct __test_metadata *_metadata, struct rig *r,
			  size_t size, size_t depth)
{
	struct ends e = nth_ends(r, 0);
	size_t i;
	int ret;

	ASSERT_OK(attach_ends(&e));
	for (i = 1; i < depth; i++) {
		ret = alloc_ends(r, i, size);
		if (transfer_refused(ret))
			break;

		ASSERT_OK(ret);
		e = nth_ends(r, i);
		ASSERT_OK(attach_ends(&e));
		if (!send_attached(_metadata, &e, size)) {
			ASSERT_OK(detach_ends(&e));
			break;
		}
	}

	return i;
}

/*
 * @total bytes through a ring of up to @depth DMABUFs: the stream has no seam
 * between two of them.
 */
static void stream(struct __test_metadata *_metadata, struct rig *r,
		   size_t size, size_t total, size_t depth)
{
	size_t i, nr, blocks, sent = 0, received = 0;
	struct ends first;
	struct dmabuf *d;

	if (!expect_synced(_metadata, r, r->exporter) ||
	    !one_each(_metadata, r, size, &first))
		return;

	size = first.rx->size;
	nr = total / size > 4 ? total / size : 4;
	if (depth > nr)
		depth = nr;

	/* Each DMABUF once to try it, and all that is streamed */
	blocks = loop_moves_within(TEST_MS, (depth + nr) * size) / size;
	if (blocks < 3)
		SKIP_REST(return, "the devices are too slow for blocks of %zu bytes",
			  size);
	if (depth > blocks / 2)
		depth = blocks / 2;
	nr = blocks - depth;
	depth = attach_ring(_metadata, r, size, depth);

	for (i = 0; i < depth; i++) {
		ASSERT_OK(iio_enqueue(r->in.fd, r->rx[i].fd, size));
	}
	ASSERT_OK(iio_enable(r->in.dut));
	ASSERT_OK(iio_enable(r->out.dut));

	for (; received < nr; received++) {
		for (; sent < nr && sent < received + depth; sent++) {
			d = &r->tx[sent % depth];
			expect_done(_metadata, d);
			ASSERT_OK(fill(d, size, sent));
			ASSERT_OK(iio_enqueue(r->out.fd, d->fd, size));
		}

		d = &r->rx[received % depth];
		expect_done(_metadata, d);
		expect_received(_metadata, d, size, received);
		ASSERT_EQ(KSFT_PASS, _metadata->exit_code) {
			TH_LOG("in transfer %zu of %zu", received, nr);
		}
		ASSERT_OK(iio_enqueue(r->in.fd, d->fd, size));
	}
}

TEST_REQ(data, streams, "DATA-03")
{
	stream(_metadata, &self->r, 65536, 8 << 20, DEPTH);
}

TEST_REQ(data, output_memory_stays_as_it_was, "DATA-09")
{
	struct ends e;

	if (!one_each(_metadata, &self->r, 4 * self->r.unit, &e))
		return;

	if (!round_trip(_metadata, &e, e.tx->size, 9))
		SKIP_REST(return, "the devices refuse %zu bytes", e.tx->size);

	expect_received(_metadata, e.tx, e.tx->size, 9);
}

#define SYNC_ROUNDS	4

/* Attached for all of it, so that nothing but SYNC can move the data. */
TEST_REQ(data, cpu_access_reaches_the_devices, "SYN-11", "SYN-13")
{
	uint64_t round;
	struct ends e;

	if (!one_each(_metadata, &self->r, self->r.unit, &e))
		return;

	ASSERT_OK(attach_ends(&e));
	for (round = 1; round <= SYNC_ROUNDS; round++) {
		ASSERT_OK(fill(e.tx, e.tx->size, round));
		if (!send_attached(_metadata, &e, e.tx->size))
			SKIP_REST(return, "the devices refuse %zu bytes",
				  e.tx->size);
		expect_received(_metadata, e.rx, e.rx->size, round);
	}
}

/* What others have left in the memory must be gone before it is handed out. */
TEST_REQ(data, new_memory_reads_zero, "DATA-17")
{
	struct ends e;
	size_t len;

	if (!one_each(_metadata, &self->r, 4 * self->r.unit, &e))
		return;

	ASSERT_OK(dmabuf_poison(e.tx, POISON));
	ASSERT_OK(dmabuf_poison(e.rx, POISON));
	len = e.tx->size;
	/* The same memory, if the kernel has no better idea */
	ASSERT_OK(free_ends(&self->r, 0));
	if (alloc_ends(&self->r, 0, len))
		SKIP_REST(return, "%s DMABUFs cannot be had and mapped again here",
			  self->r.exporter->name);

	expect_byte(_metadata, e.tx, 0, e.tx->size, 0);
	len = self->r.align;
	ASSERT_OK(fill(e.tx, len, 17));
	if (!send(_metadata, &e, len))
		SKIP_REST(return, "the devices refuse %zu bytes", len);

	ASSERT_OK(dmabuf_begin_cpu(e.rx));
	expect_pattern(_metadata, e.rx->map, len, 17);
	expect_byte(_metadata, e.rx, len, e.rx->size, 0);
	ASSERT_OK(dmabuf_end_cpu(e.rx));
}

/*
 * Have a child map @d for itself and fill it with the pattern of @seed, or find
 * it there. Return: its wait status, 0 if all went well.
 */
static int in_other_process(const struct dmabuf *d, bool find, uint64_t seed)
{
	struct dmabuf own = *d;
	int status = -1;
	pid_t child;

	child = fork();
	if (child) {
		waitpid(child, &status, 0);
		return status;
	}

	own.map = mmap(NULL, d->size, PROT_READ | PROT_WRITE, MAP_SHARED, d->fd,
		       0);
	if (own.map == MAP_FAILED)
		_exit(1);
	if (!find)
		_exit(fill(&own, own.size, seed) != 0);

	if (dmabuf_sync(own.fd, DMA_BUF_SYNC_START | DMA_BUF_SYNC_READ))
		_exit(2);
	_exit(pattern_mismatch(own.map, own.size, seed) < 0 ? 0 : 3);
}

TEST_REQ(data, other_process_sees_the_same, "DATA-15")
{
	struct ends e;

	if (!one_each(_metadata, &self->r, self->r.unit, &e))
		return;

	ASSERT_OK(attach_ends(&e));
	ASSERT_EQ(0, in_other_process(e.tx, false, 15));
	if (!send_attached(_metadata, &e, e.tx->size))
		SKIP_REST(return, "the devices refuse %zu bytes", e.tx->size);

	EXPECT_EQ(0, in_other_process(e.rx, true, 15)) {
		TH_LOG("another process does not see what the input buffer received");
	}
	expect_received(_metadata, e.rx, e.rx->size, 15);
	expect_received(_metadata, e.tx, e.tx->size, 15);
}

/* --- a pair, with DMABUFs of the default exporter --- */

FIXTURE(data_pair) {
	struct rig r;
	int fence;
};

DUT_FIXTURE(data_pair, DUT_LOOPBACK);

FIXTURE_SETUP(data_pair)
{
	rig_init(&self->r);
	self->fence = -1;
	if (!dut_setup(_metadata, &variant->v))
		return;

	rig_setup(_metadata, &self->r, &variant->v);
}

FIXTURE_TEARDOWN(data_pair)
{
	rig_teardown(&self->r);
	if (self->fence >= 0)
		close(self->fence);
	dut_teardown(_metadata);
}

TEST_REQ(data_pair, streams_in_small_blocks, "DATA-03")
{
	stream(_metadata, &self->r, 4096, 8 << 20, DEPTH);
}

TEST_REQ(data_pair, streams_in_medium_blocks, "DATA-03")
{
	stream(_metadata, &self->r, 65536, 16 << 20, DEPTH);
}

TEST_REQ(data_pair, streams_in_large_blocks, "DATA-03")
{
	stream(_metadata, &self->r, 1 << 20, 32 << 20, DEPTH);
}

TEST_REQ(data_pair, streams_in_huge_blocks, "DATA-03", "DATA-07")
{
	stream(_metadata, &self->r, 16 << 20, 64 << 20, DEPTH);
}

TEST_REQ(data_pair, queue_of_one, "DATA-18")
{
	stream(_metadata, &self->r, 65536, 1 << 20, 1);
}

TEST_REQ(data_pair, queue_of_two, "DATA-18")
{
	stream(_metadata, &self->r, 65536, 1 << 20, 2);
}

TEST_REQ(data_pair, queue_of_many, "DATA-18")
{
	stream(_metadata, &self->r, 65536, 1 << 20, DEPTH);
}

/* Half of what the input asks for comes, and then nothing. */
TEST_REQ(data_pair, aborted_input_is_no_success, "DATA-10")
{
	struct rig *r = &self->r;
	struct ends e;
	size_t half;
	int ret;

	if (!one_each(_metadata, r, 2 * r->unit, &e))
		return;

	half = e.rx->size / 2 - e.rx->size / 2 % r->align;
	if (!half)
		SKIP_REST(return, "the devices refuse %zu bytes", 2 * r->align);

	ASSERT_OK(attach_ends(&e));
	ASSERT_OK(iio_enable(r->in.dut));
	ASSERT_OK(iio_enable(r->out.dut));
	self->fence = iio_enqueue_whole(e.in, e.rx);
	ASSERT_OK(self->fence);
	ret = fence_result(iio_enqueue_fence(e.out, e.tx, half));
	if (transfer_refused(ret))
		SKIP_REST(return, "the devices refuse %zu bytes", half);
	ASSERT_OK(ret);
	EXPECT_EQ(0, sync_file_status(self->fence)) {
		TH_LOG("the input transfer of %zu bytes ended when %zu were sent",
		       e.rx->size, half);
	}

	ASSERT_OK(iio_disable(r->in.dut));
	EXPECT_GT(0, sync_file_wait(self->fence)) {
		TH_LOG("half of the data is passed off as all of it");
	}
}

/* The input takes both transfers of the output in one. */
TEST_REQ(data_pair, later_cpu_writes_are_sent_later, "DATA-12")
{
	struct rig *r = &self->r;
	struct ends e;
	size_t half;
	int ret;

	if (!expect_synced(_metadata, r, r->exporter) ||
	    !one_each(_metadata, r, 2 * r->unit, &e))
		return;

	half = e.rx->size / 2;
	if (half % r->align)
		SKIP_REST(return, "the devices refuse %zu bytes", 2 * r->align);

	ASSERT_OK(attach_ends(&e));
	ASSERT_OK(fill(e.tx, half, 12));
	ASSERT_OK(iio_enable(r->in.dut));
	ASSERT_OK(iio_enable(r->out.dut));

	self->fence = iio_enqueue_whole(e.in, e.rx);
	ASSERT_OK(self->fence);
	ret = fence_result(iio_enqueue_fence(e.out, e.tx, half));
	if (transfer_refused(ret))
		SKIP_REST(return, "the devices refuse %zu bytes", half);
	ASSERT_OK(ret);
	ASSERT_OK(fill(e.tx, half, 13));
	ASSERT_OK(fence_result(iio_enqueue_fence(e.out, e.tx, half)));
	ret = fence_result(self->fence);
	self->fence = -1;
	ASSERT_OK(ret);

	ASSERT_OK(dmabuf_begin_cpu(e.rx));
	expect_pattern(_metadata, e.rx->map, half, 12);
	expect_pattern(_metadata, e.rx->map + half, half, 13);
	ASSERT_OK(dmabuf_end_cpu(e.rx));
}

TEST_REQ(data_pair, each_length_of_one_dmabuf, "DATA-14")
{
	struct rig *r = &self->r;
	unsigned int taken = 0;
	struct ends e;
	size_t i;

	if (!expect_synced(_metadata, r, r->exporter) ||
	    !one_each(_metadata, r, 4 * r->unit, &e))
		return;

	const size_t lengths[] = {
		e.rx->size, r->align, r->unit, r->unit + r->align, e.rx->size,
	};

	ASSERT_OK(attach_ends(&e));
	for (i = 0; i < ARRAY_SIZE(lengths); i++) {
		if (lengths[i] > e.rx->size)
			continue;
		ASSERT_OK(fill(e.tx, e.tx->size, i));
		ASSERT_OK(dmabuf_poison(e.rx, POISON));
		if (!send_attached(_metadata, &e, lengths[i])) {
			/* Or they stay busy (B8). */
			ASSERT_OK(detach_ends(&e));
			ASSERT_OK(attach_ends(&e));
			continue;
		}
		taken++;
		ASSERT_OK(dmabuf_begin_cpu(e.rx));
		expect_pattern(_metadata, e.rx->map, lengths[i], i);
		if (lengths[i] < e.rx->size)
			expect_byte(_metadata, e.rx, lengths[i], e.rx->size,
				    POISON);
		ASSERT_OK(dmabuf_end_cpu(e.rx));
	}
	EXPECT_LT(0, taken) {
		TH_LOG("the devices refused every length");
	}
}

/* --- the same bytes by read() and write() --- */

/* What goes through DMABUFs there, and what must come out of read() of it */
#define FILE_IO_SENT	65536
#define FILE_IO_READ	32768

#define WRITE_SIZE	4096

FIXTURE(data_layout) {
	struct rig r;
	char length[2][16];
	uint8_t *bytes;
	int fence;
};

DUT_FIXTURE(data_layout, DUT_LOOPBACK);

FIXTURE_SETUP(data_layout)
{
	const struct dut_variant *v = &variant->v;

	rig_init(&self->r);
	self->fence = -1;
	if (!dut_setup(_metadata, &variant->v))
		return;

	rig_setup(_metadata, &self->r, v);
	self->bytes = malloc(FILE_IO_SENT);
	ASSERT_NE(NULL, self->bytes);
	iio_buf_attr_read(v->dut, "length", self->length[0], 16);
	iio_buf_attr_read(v->peer, "length", self->length[1], 16);
	/* Scans, for blocks of less than what must come out */
	iio_buf_attr_write(v->dut, "length", "512");
	iio_buf_attr_write(v->peer, "length", "512");
	ASSERT_OK(fd_set_nonblock(self->r.out.fd, true));
	ASSERT_OK(fd_set_nonblock(self->r.in.fd, true));
}

FIXTURE_TEARDOWN(data_layout)
{
	iio_disable(variant->v.dut);
	iio_disable(variant->v.peer);
	iio_buf_attr_write(variant->v.dut, "length", self->length[0]);
	iio_buf_attr_write(variant->v.peer, "length", self->length[1]);
	rig_teardown(&self->r);
	if (self->fence >= 0)
		close(self->fence);
	free(self->bytes);
	dut_teardown(_metadata);
}

/*
 * Enable a buffer for read() or write(): ATTACH fails with EBUSY then. The
 * DMABUFs of an earlier user may keep it in DMABUF mode for a while.
 */
static int enable_file_io(const struct iio_buf *b, const struct dmabuf *d)
{
	int ret;

	ret = iio_enable(b->dut) ?: iio_attach(b->fd, d->fd);
	if (ret)
		return ret;

	iio_detach(b->fd, d->fd);
	iio_disable(b->dut);

	return 0;
}

static void expect_file_io(struct __test_metadata *_metadata,
			   const struct iio_buf *b, const struct dmabuf *d)
{
	int ret;

	wait_until((ret = enable_file_io(b, d)) != 0);
	ASSERT_ERRNO(ret, EBUSY) {
		TH_LOG("%s does not go back to file I/O mode", b->dut->name);
	}
}

static ssize_t read_some(int fd, uint8_t *to, size_t len)
{
	ssize_t n;

	wait_until((n = read(fd, to, len)) > 0 || errno != EAGAIN);

	return n < 0 ? -errno : n;
}

/* DMABUFs are sent, read() gets them, with the channels in @scan. */
static void expect_read(struct __test_metadata *_metadata, struct rig *r,
			uint8_t *bytes, const uint64_t *scan)
{
	const struct dmabuf *d = &r->tx[0];
	ssize_t n, got;

	iio_scan_set(r->out.dut, scan);
	iio_scan_set(r->in.dut, scan);
	expect_file_io(_metadata, &r->in, &r->rx[0]);
	ASSERT_OK(iio_attach(r->out.fd, d->fd));
	ASSERT_OK(fill(d, FILE_IO_SENT, *scan));
	ASSERT_OK(iio_enable(r->out.dut));
	ASSERT_OK(iio_enqueue(r->out.fd, d->fd, FILE_IO_SENT));

	for (got = 0; got < FILE_IO_READ; got += n) {
		n = read_some(r->in.fd, bytes + got, FILE_IO_SENT - got);
		ASSERT_LT(0, n) {
			TH_LOG("read() returned %s after %zd bytes",
			       errno_name(-n), got);
		}
	}
	expect_pattern(_metadata, bytes, got, *scan);

	ASSERT_OK(iio_disable(r->in.dut));
	ASSERT_OK(iio_disable(r->out.dut));
	ASSERT_OK(iio_detach(r->out.fd, d->fd));
}

TEST_REQ(data_layout, read_is_what_dmabufs_sent, "DATA-16")
{
	const uint64_t masks[] = { 1, UINT64_MAX };
	struct rig *r = &self->r;
	struct ends e;
	size_t i;

	if (!expect_synced(_metadata, r, r->exporter) ||
	    !one_each(_metadata, r, FILE_IO_SENT, &e))
		return;
	if (e.tx->size < FILE_IO_SENT)
		SKIP_REST(return, "the devices refuse %d bytes, or are too slow",
			  FILE_IO_SENT);

	for (i = 0; i < ARRAY_SIZE(masks); i++)
		expect_read(_metadata, r, self->bytes, &masks[i]);
}

/*
 * Write what the buffer takes of @size bytes; whether the DMABUF at the other
 * end is full.
 */
static bool write_some(int fd, const uint8_t *bytes, size_t size, size_t *done,
		       int fence)
{
	size_t len = size - *done < WRITE_SIZE ? size - *done : WRITE_SIZE;
	ssize_t n = 0;

	if (len)
		n = write(fd, bytes + *done, len);
	if (n > 0)
		*done += n;

	return sync_file_status(fence);
}

TEST_REQ(data_layout, dmabufs_receive_what_write_sent, "DATA-16")
{
	const uint64_t first = 1;
	struct rig *r = &self->r;
	size_t size, done = 0;
	struct ends e;

	if (!expect_synced(_metadata, r, r->exporter) ||
	    !one_each(_metadata, r, FILE_IO_READ, &e))
		return;

	/* More than is to come: what does not fill a block is not sent. */
	size = 2 * e.rx->size;
	free(self->bytes);
	self->bytes = malloc(size);
	ASSERT_NE(NULL, self->bytes);

	iio_scan_set(r->out.dut, &first);
	iio_scan_set(r->in.dut, &first);
	expect_file_io(_metadata, &r->out, &r->tx[0]);
	ASSERT_OK(iio_attach(r->in.fd, r->rx[0].fd));
	ASSERT_OK(iio_enable(r->in.dut));
	self->fence = iio_enqueue_whole(e.in, e.rx);
	ASSERT_OK(self->fence);

	pattern_fill(self->bytes, size, 16);
	ASSERT_TRUE(wait_until(write_some(r->out.fd, self->bytes, size, &done,
					  self->fence))) {
		TH_LOG("%zu bytes written do not fill a DMABUF of %zu", done,
		       e.rx->size);
	}
	ASSERT_EQ(1, sync_file_status(self->fence));
	expect_received(_metadata, e.rx, e.rx->size, 16);
}

/*
 * A udmabuf over the pages of a memfd in reverse order: physical order says
 * nothing about the order within the DMABUF. And a window with pages of the
 * same memfd before and behind it, which no transfer may touch.
 */
FIXTURE(pages) {
	struct rig r;
	struct dmabuf all;
	int memfd;
};

DUT_FIXTURE(pages, DUT_LOOPBACK);

#define NR_PAGES	16

FIXTURE_SETUP(pages)
{
	const struct exporter *udmabuf = exporter_find("udmabuf");
	const size_t size = NR_PAGES * page_size();

	rig_init(&self->r);
	self->all = (struct dmabuf)DMABUF_INIT;
	self->memfd = -1;

	if (!dut_setup(_metadata, &variant->v))
		return;

	if (!udmabuf->present())
		SKIP(return, "/dev/udmabuf cannot be opened: enable CONFIG_UDMABUF, run as root");

	rig_setup(_metadata, &self->r, &variant->v);
	expect_synced(_metadata, &self->r, udmabuf);
	self->memfd = memfd_for_udmabuf(size);
	ASSERT_LE(0, self->memfd);
	ASSERT_OK(dmabuf_from_memfd(&self->all, self->memfd, 0, size));
}

FIXTURE_TEARDOWN(pages)
{
	rig_teardown(&self->r);
	dmabuf_free(&self->all);
	if (self->memfd >= 0)
		close(self->memfd);
	dut_teardown(_metadata);
}

TEST_REQ(pages, follow_the_order_of_the_dmabuf, "DATA-04")
{
	const struct ends e = nth_ends(&self->r, 0);
	size_t reversed[NR_PAGES], i;

	for (i = 0; i < NR_PAGES; i++)
		reversed[i] = NR_PAGES - 1 - i;
	ASSERT_OK(dmabuf_from_pages(&self->r.tx[0], self->memfd, reversed,
				    NR_PAGES));
	if (dmabuf_alloc(&self->r.rx[0], variant->v.exporter,
			 NR_PAGES * page_size()))
		SKIP_REST(return, "%s DMABUFs of %d pages cannot be had here",
			  variant->v.exporter->name, NR_PAGES);

	if (!round_trip(_metadata, &e, e.tx->size, 4))
		SKIP_REST(return, "the devices refuse %d separate pages",
			  NR_PAGES);
}

TEST_REQ(pages, beside_the_dmabuf_stay_as_they_were, "DATA-08")
{
	const size_t first = 4 * page_size(), last = 12 * page_size();
	const struct ends e = nth_ends(&self->r, 0);

	ASSERT_OK(dmabuf_poison(&self->all, POISON));
	ASSERT_OK(dmabuf_from_memfd(&self->r.rx[0], self->memfd, first,
				    last - first));
	if (dmabuf_alloc(&self->r.tx[0], variant->v.exporter, last - first))
		SKIP_REST(return, "%s DMABUFs of %zu bytes cannot be had here",
			  variant->v.exporter->name, last - first);

	if (!round_trip(_metadata, &e, e.rx->size, 8))
		SKIP_REST(return, "the devices refuse %zu bytes", e.rx->size);

	ASSERT_OK(dmabuf_begin_cpu(&self->all));
	expect_byte(_metadata, &self->all, 0, first, POISON);
	expect_byte(_metadata, &self->all, last, self->all.size, POISON);
	ASSERT_OK(dmabuf_end_cpu(&self->all));
}

/* What udmabuf makes by default, and how many sg entries are worth trying */
#define UDMABUF_MOST	(64 << 20)
#define THOUSAND	1000

TEST_REQ(pages, by_the_thousand, "DATA-20")
{
	struct rig *r = &self->r;
	const struct ends e = nth_ends(r, 0);
	size_t size;
	int ret;

	r->exporter = exporter_find("udmabuf");
	for (size = whole_units(r, loop_moves_within(TEST_MS, UDMABUF_MOST));
	     size >= THOUSAND * page_size(); size = whole_units(r, size / 2)) {
		ret = alloc_ends(r, 0, size);
		if (!ret && round_trip(_metadata, &e, size, 20))
			return;

		if (!transfer_refused(ret)) {
			ASSERT_OK(ret);
		}
		ASSERT_OK(free_ends(r, 0));
	}

	SKIP_REST(return, "%d separate pages take too much memory or time, or the devices refuse them",
		  THOUSAND);
}

CONFORMANCE_MAIN

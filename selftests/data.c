// SPDX-License-Identifier: GPL-2.0
/*
 * The bytes: all of them, in order, nowhere else. What an output buffer sends
 * is compared with what the input buffer of a loopback pair receives, for each
 * exporter; single buffers are checked for what they must leave alone.
 */

#include <errno.h>
#include <poll.h>
#include <stdint.h>
#include <unistd.h>

#include "lib/conformance.h"

/* What a transfer must not touch, and must replace, on an input buffer */
#define POISON		0xa5

/* Smallest length that both buffers take. */
static size_t pair_align(const struct dut_variant *v)
{
	size_t align = v->dut->align;

	while (align % v->peer->align)
		align += v->dut->align;

	return align;
}

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

/* Wait until both fences have signalled, or one of them with an error. */
static void wait_for_both(int a, int b)
{
	struct pollfd pfd[2] = {
		{ .fd = a, .events = POLLIN },
		{ .fd = b, .events = POLLIN },
	};

	if (poll(pfd, 2, DEADLINE_MS) != 1)
		return;

	if (sync_file_status(pfd[0].revents ? a : b) == 1)
		fd_poll(pfd[0].revents ? b : a, POLLIN, DEADLINE_MS);
}

/* What hardware or its driver may say of a length or a scatter list */
static bool is_refusal(int ret)
{
	return ret == -EINVAL || ret == -ENOMEM;
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

/*
 * Send @len bytes, with both buffers disabled before and after. Return: false
 * if a device refuses, at ENQUEUE or with the fence, which it may.
 */
static bool send(struct __test_metadata *_metadata, const struct ends *e,
		 size_t len)
{
	int in, out;

	ASSERT_OK(iio_attach(e->out->fd, e->tx->fd));
	ASSERT_OK(iio_attach(e->in->fd, e->rx->fd));

	in = iio_enqueue_fence(e->in, e->rx, len);
	EXPECT_ERRNO(in, OK, EINVAL);
	out = iio_enqueue_fence(e->out, e->tx, len);
	EXPECT_ERRNO(out, OK, EINVAL);

	ASSERT_OK(iio_enable(e->in->dut));
	ASSERT_OK(iio_enable(e->out->dut));
	if (in >= 0 && out >= 0)
		wait_for_both(in, out);

	/* What has not ended by itself ends here, with EINTR. */
	ASSERT_OK(iio_disable(e->out->dut));
	ASSERT_OK(iio_disable(e->in->dut));
	in = fence_result(in);
	out = fence_result(out);

	ASSERT_OK(iio_detach(e->out->fd, e->tx->fd));
	ASSERT_OK(iio_detach(e->in->fd, e->rx->fd));
	if (is_refusal(in) || is_refusal(out))
		return false;

	EXPECT_OK(in) {
		TH_LOG("the input transfer of %zu bytes", len);
	}
	EXPECT_OK(out) {
		TH_LOG("the output transfer of %zu bytes", len);
	}

	return true;
}

/* Send a pattern, and look at what has come and what should not have. */
static bool round_trip(struct __test_metadata *_metadata, const struct ends *e,
		       size_t len, uint64_t seed)
{
	ASSERT_OK(dmabuf_begin_cpu(e->tx));
	pattern_fill(e->tx->map, len, seed);
	ASSERT_OK(dmabuf_end_cpu(e->tx));
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

/* A pair whose ends each own a few DMABUFs */
#define DEPTH	8

FIXTURE(data) {
	struct iio_buf out;
	struct iio_buf in;
	struct dmabuf tx[DEPTH];
	struct dmabuf rx[DEPTH];
	size_t align;
};

DUT_FIXTURE(data, DUT_LOOPBACK | DUT_EXPORTERS);

FIXTURE_SETUP(data)
{
	size_t i;

	self->out = (struct iio_buf)IIO_BUF_INIT;
	self->in = (struct iio_buf)IIO_BUF_INIT;
	for (i = 0; i < DEPTH; i++) {
		self->tx[i] = (struct dmabuf)DMABUF_INIT;
		self->rx[i] = (struct dmabuf)DMABUF_INIT;
	}

	if (!dut_setup(_metadata, &variant->v))
		return;

	self->align = pair_align(&variant->v);
	ASSERT_OK(iio_buf_open(&self->out, variant->v.dut));
	ASSERT_OK(iio_buf_open(&self->in, variant->v.peer));
}

FIXTURE_TEARDOWN(data)
{
	size_t i;

	iio_buf_close(&self->out);
	iio_buf_close(&self->in);
	for (i = 0; i < DEPTH; i++) {
		dmabuf_free(&self->tx[i]);
		dmabuf_free(&self->rx[i]);
	}
	dut_teardown(_metadata);
}

/* Allocate one DMABUF of @size bytes for each end. */
static struct ends one_each(struct __test_metadata *_metadata,
			    FIXTURE_DATA(data) *self,
			    const struct dut_variant *v, size_t size)
{
	const struct ends e = {
		&self->out, &self->tx[0], &self->in, &self->rx[0],
	};

	ASSERT_OK(dmabuf_alloc(&self->tx[0], v->exporter, size));
	ASSERT_OK(dmabuf_alloc(&self->rx[0], v->exporter, size));

	return e;
}

TEST_REQ(data, arrives_whole_and_in_order, "DATA-01", "DATA-02")
{
	const size_t len = 16 * iio_good_length(variant->v.dut,
						variant->v.peer);
	const struct ends e = one_each(_metadata, self, &variant->v, len);

	if (!round_trip(_metadata, &e, len, 1))
		SKIP(return, "the devices refuse %zu bytes", len);
}

TEST_REQ(data, every_kind_of_size, "DATA-07")
{
	const size_t align = self->align, page = page_size();
	const size_t sizes[] = {
		1, page - align, page, page + align, 65536 - align, 65536,
		65536 + align, 1 << 20, 16 << 20,
	};
	const struct ends e = one_each(_metadata, self, &variant->v, 16 << 20);
	unsigned int taken = 0;
	size_t i, len;

	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		/* Of a large alignment, the nearest length there is */
		len = sizes[i] > align ? sizes[i] - sizes[i] % align : align;
		if (len <= e.rx->size)
			taken += round_trip(_metadata, &e, len, i);
	}
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
	const size_t unit = iio_good_length(variant->v.dut, variant->v.peer);
	const struct ends e = one_each(_metadata, self, &variant->v, 4 * unit);
	unsigned int taken = 0;
	size_t edge, i;

	for (edge = unit; edge <= 3 * unit; edge += unit) {
		for (i = 0; i < 3; i++) {
			taken += round_trip(_metadata, &e,
					    edge - self->align +
					    i * self->align, edge + i);
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

/* @total bytes through a ring: the stream has no seam between two DMABUFs. */
static void stream(struct __test_metadata *_metadata,
		   FIXTURE_DATA(data) *self, const struct dut_variant *v,
		   size_t size, size_t total)
{
	const struct ends first = one_each(_metadata, self, v, size);
	const size_t nr = total / size;
	const size_t depth = nr < DEPTH ? nr : DEPTH;
	size_t i, sent = 0, received = 0;
	struct dmabuf *d;

	if (size % self->align || !send(_metadata, &first, size))
		SKIP(return, "the devices refuse %zu bytes", size);

	for (i = 0; i < depth; i++) {
		if (i) {
			ASSERT_OK(dmabuf_alloc(&self->tx[i], v->exporter,
					       size));
			ASSERT_OK(dmabuf_alloc(&self->rx[i], v->exporter,
					       size));
		}
		ASSERT_OK(iio_attach(self->out.fd, self->tx[i].fd));
		ASSERT_OK(iio_attach(self->in.fd, self->rx[i].fd));
	}

	for (i = 0; i < depth; i++) {
		ASSERT_OK(iio_enqueue(self->in.fd, self->rx[i].fd, size));
	}
	ASSERT_OK(iio_enable(self->in.dut));
	ASSERT_OK(iio_enable(self->out.dut));

	for (; received < nr; received++) {
		for (; sent < nr && sent < received + depth; sent++) {
			d = &self->tx[sent % depth];
			expect_done(_metadata, d);
			ASSERT_OK(dmabuf_sync(d->fd, DMA_BUF_SYNC_START |
						     DMA_BUF_SYNC_WRITE));
			pattern_fill(d->map, size, sent);
			ASSERT_OK(dmabuf_sync(d->fd, DMA_BUF_SYNC_END |
						     DMA_BUF_SYNC_WRITE));
			ASSERT_OK(iio_enqueue(self->out.fd, d->fd, size));
		}

		d = &self->rx[received % depth];
		expect_done(_metadata, d);
		ASSERT_OK(dmabuf_sync(d->fd, DMA_BUF_SYNC_START |
					     DMA_BUF_SYNC_READ));
		expect_pattern(_metadata, d->map, size, received);
		ASSERT_OK(dmabuf_sync(d->fd, DMA_BUF_SYNC_END |
					     DMA_BUF_SYNC_READ));
		ASSERT_EQ(KSFT_PASS, _metadata->exit_code) {
			TH_LOG("in transfer %zu of %zu", received, nr);
		}
		ASSERT_OK(iio_enqueue(self->in.fd, d->fd, size));
	}
}

TEST_REQ(data, streams_in_small_blocks, "DATA-03")
{
	stream(_metadata, self, &variant->v, 4096, 64 << 20);
}

TEST_REQ(data, streams_in_medium_blocks, "DATA-03")
{
	stream(_metadata, self, &variant->v, 65536, 64 << 20);
}

TEST_REQ(data, streams_in_large_blocks, "DATA-03")
{
	stream(_metadata, self, &variant->v, 1 << 20, 64 << 20);
}

TEST_REQ(data, streams_in_huge_blocks, "DATA-03")
{
	stream(_metadata, self, &variant->v, 16 << 20, 64 << 20);
}

TEST_REQ(data, output_memory_stays_as_it_was, "DATA-09")
{
	const size_t len = 4 * iio_good_length(variant->v.dut, variant->v.peer);
	const struct ends e = one_each(_metadata, self, &variant->v, len);

	if (!round_trip(_metadata, &e, len, 9))
		SKIP(return, "the devices refuse %zu bytes", len);

	ASSERT_OK(dmabuf_begin_cpu(e.tx));
	expect_pattern(_metadata, e.tx->map, len, 9);
	ASSERT_OK(dmabuf_end_cpu(e.tx));
}

/*
 * A udmabuf over the pages of a memfd in reverse order: physical order says
 * nothing about the order within the DMABUF. And a window with pages of the
 * same memfd before and behind it, which no transfer may touch.
 */
FIXTURE(pages) {
	struct iio_buf out;
	struct iio_buf in;
	struct dmabuf tx;
	struct dmabuf rx;
	struct dmabuf all;
	int memfd;
};

DUT_FIXTURE(pages, DUT_LOOPBACK);

#define NR_PAGES	16

FIXTURE_SETUP(pages)
{
	self->out = (struct iio_buf)IIO_BUF_INIT;
	self->in = (struct iio_buf)IIO_BUF_INIT;
	self->tx = (struct dmabuf)DMABUF_INIT;
	self->rx = (struct dmabuf)DMABUF_INIT;
	self->all = (struct dmabuf)DMABUF_INIT;
	self->memfd = -1;

	if (!dut_setup(_metadata, &variant->v))
		return;

	if (access("/dev/udmabuf", R_OK | W_OK))
		SKIP(return, "/dev/udmabuf cannot be opened: enable CONFIG_UDMABUF, run as root");

	ASSERT_OK(iio_buf_open(&self->out, variant->v.dut));
	ASSERT_OK(iio_buf_open(&self->in, variant->v.peer));
	self->memfd = memfd_for_udmabuf(NR_PAGES * page_size());
	ASSERT_LE(0, self->memfd);
	ASSERT_OK(dmabuf_from_memfd(&self->all, self->memfd, 0,
				    NR_PAGES * page_size()));
}

FIXTURE_TEARDOWN(pages)
{
	iio_buf_close(&self->out);
	iio_buf_close(&self->in);
	dmabuf_free(&self->tx);
	dmabuf_free(&self->rx);
	dmabuf_free(&self->all);
	if (self->memfd >= 0)
		close(self->memfd);
	dut_teardown(_metadata);
}

TEST_REQ(pages, follow_the_order_of_the_dmabuf, "DATA-04")
{
	const struct ends e = {
		&self->out, &self->tx, &self->in, &self->rx,
	};
	size_t reversed[NR_PAGES], i;

	for (i = 0; i < NR_PAGES; i++)
		reversed[i] = NR_PAGES - 1 - i;
	ASSERT_OK(dmabuf_from_pages(&self->tx, self->memfd, reversed,
				    NR_PAGES));
	ASSERT_OK(dmabuf_alloc(&self->rx, variant->v.exporter,
			       NR_PAGES * page_size()));

	if (!round_trip(_metadata, &e, self->tx.size, 4))
		SKIP(return, "the devices refuse %d separate pages", NR_PAGES);
}

TEST_REQ(pages, beside_the_dmabuf_stay_as_they_were, "DATA-08")
{
	const size_t first = 4 * page_size(), last = 12 * page_size();
	const struct ends e = {
		&self->out, &self->tx, &self->in, &self->rx,
	};

	ASSERT_OK(dmabuf_poison(&self->all, POISON));
	ASSERT_OK(dmabuf_from_memfd(&self->rx, self->memfd, first,
				    last - first));
	ASSERT_OK(dmabuf_alloc(&self->tx, variant->v.exporter, last - first));

	if (!round_trip(_metadata, &e, self->rx.size, 8))
		SKIP(return, "the devices refuse %zu bytes", self->rx.size);

	ASSERT_OK(dmabuf_begin_cpu(&self->all));
	expect_byte(_metadata, &self->all, 0, first, POISON);
	expect_byte(_metadata, &self->all, last, self->all.size, POISON);
	ASSERT_OK(dmabuf_end_cpu(&self->all));
}

CONFORMANCE_MAIN

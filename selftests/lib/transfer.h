/* SPDX-License-Identifier: GPL-2.0 */
/*
 * One transfer on one buffer, held back until the test lets it run. For
 * fixtures whose tests look at the DMABUF and its fence from all sides.
 */

#ifndef CONFORMANCE_TRANSFER_H
#define CONFORMANCE_TRANSFER_H

#include <unistd.h>

#include "conformance.h"

/**
 * struct transfer - A buffer and a DMABUF attached to it
 * @buf: the buffer
 * @d: the DMABUF
 * @len: what of it is transferred
 * @fence: sync file of the transfer, -1 if there is none
 */
struct transfer {
	struct iio_buf buf;
	struct dmabuf d;
	size_t len;
	int fence;
};

#define TRANSFER_INIT	{ IIO_BUF_INIT, DMABUF_INIT, 0, -1 }

/**
 * transfer_setup() - Open a buffer and allocate a DMABUF for it
 * @_metadata: of the test
 * @t: set up, not yet attached
 * @dut: the buffer
 * @e: where the DMABUF comes from
 * @unit: the length of the transfer is a multiple of this
 */
static inline void transfer_setup(struct __test_metadata *_metadata,
				  struct transfer *t, const struct iio_dut *dut,
				  const struct exporter *e, size_t unit)
{
	size_t size = unit > page_size() ? unit : page_size();

	ASSERT_OK(iio_buf_open(&t->buf, dut));
	ASSERT_OK(dmabuf_alloc(&t->d, e, size));
	t->len = t->d.size - t->d.size % unit;
}

/* transfer_setup() and ATTACH */
static inline void transfer_setup_attached(struct __test_metadata *_metadata,
					   struct transfer *t,
					   const struct iio_dut *dut,
					   const struct exporter *e,
					   size_t unit)
{
	transfer_setup(_metadata, t, dut, e, unit);
	ASSERT_OK(iio_attach(t->buf.fd, t->d.fd));
}

/**
 * transfer_setup_short() - transfer_setup_attached() where any length will do
 * @_metadata: of the test
 * @t: set up, and attached
 * @dut: the buffer
 * @peer: another buffer that can transfer as much, may be @dut
 * @e: where the DMABUF comes from
 *
 * A slow converter is soon done with it. Not for transfers that must not end
 * while nobody takes what they send: a FIFO might swallow them.
 */
static inline void transfer_setup_short(struct __test_metadata *_metadata,
					struct transfer *t,
					const struct iio_dut *dut,
					const struct iio_dut *peer,
					const struct exporter *e)
{
	transfer_setup_attached(_metadata, t, dut, e,
				iio_good_length(dut, peer));
	for (t->len = 64; t->len % dut->align || t->len % peer->align; )
		t->len += 64;
}

static inline void transfer_teardown(struct transfer *t)
{
	iio_buf_close(&t->buf);
	dmabuf_free(&t->d);
	if (t->fence >= 0)
		close(t->fence);
	t->fence = -1;
}

/*
 * Enqueue, and hold the fence: pending if the buffer is disabled, and for ever
 * readable, unlike the fences of a DMABUF.
 */
static inline void transfer_enqueue_dmabuf(struct __test_metadata *_metadata,
					   struct transfer *t,
					   const struct dmabuf *d)
{
	if (t->fence >= 0)
		close(t->fence);
	t->fence = -1;

	t->fence = iio_enqueue_fence(&t->buf, d, t->len);
	ASSERT_OK(t->fence);
}

static inline void transfer_enqueue(struct __test_metadata *_metadata,
				    struct transfer *t)
{
	transfer_enqueue_dmabuf(_metadata, t, &t->d);
}

/* Enqueue on the disabled buffer. */
static inline void transfer_hold(struct __test_metadata *_metadata,
				 struct transfer *t)
{
	transfer_enqueue(_metadata, t);
	ASSERT_EQ(0, sync_file_status(t->fence)) {
		TH_LOG("the fence has signalled while the buffer is disabled");
	}
}

/* Let a held transfer run, wait until it is done, disable again. */
static inline void transfer_finish(struct __test_metadata *_metadata,
				   struct transfer *t)
{
	ASSERT_OK(iio_enable(t->buf.dut));
	ASSERT_EQ(1, sync_file_wait(t->fence));
	ASSERT_OK(iio_disable(t->buf.dut));
}

/**
 * expect_no_trace() - A failed ATTACH leaves the DMABUF as it was
 * @_metadata: of the test
 * @b: the buffer, which must be usable
 * @dmabuf_fd: the DMABUF
 * @refs: what dmabuf_refs() said of it before
 */
static inline void expect_no_trace(struct __test_metadata *_metadata,
				   const struct iio_buf *b, int dmabuf_fd,
				   long refs)
{
	EXPECT_EQ(refs, dmabuf_refs(dmabuf_fd));
	EXPECT_GE(0, dmabuf_attachments(dmabuf_fd, NULL, 0));
	EXPECT_ERRNO(iio_enqueue(b->fd, dmabuf_fd, b->dut->align), EPERM);
	EXPECT_ERRNO(iio_detach(b->fd, dmabuf_fd), EPERM);
}

#endif /* CONFORMANCE_TRANSFER_H */

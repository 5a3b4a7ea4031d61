/* SPDX-License-Identifier: GPL-2.0 */
/*
 * An output and an input buffer of two devices, for fixtures whose tests have
 * one DMABUF, or a fence, meet both.
 */

#ifndef CONFORMANCE_PAIR_H
#define CONFORMANCE_PAIR_H

#include "conformance.h"

/**
 * struct pair - Two buffers and two DMABUFs, not yet attached
 * @out: output buffer
 * @in: input buffer
 * @d: a DMABUF that either can transfer whole
 * @gate: another one, for a fence that holds transfers of @d back
 */
struct pair {
	struct iio_buf out;
	struct iio_buf in;
	struct dmabuf d;
	struct dmabuf gate;
};

#define PAIR_INIT	{ IIO_BUF_INIT, IIO_BUF_INIT, DMABUF_INIT, DMABUF_INIT }

/**
 * pair_setup() - Open the buffers of a DUT_PAIR variant, allocate the DMABUFs
 * @_metadata: of the test
 * @p: initialized with PAIR_INIT
 * @v: the variant
 */
static inline void pair_setup(struct __test_metadata *_metadata,
			      struct pair *p, const struct dut_variant *v)
{
	ASSERT_OK(iio_buf_open(&p->out, v->dut));
	ASSERT_OK(iio_buf_open(&p->in, v->peer));
	ASSERT_OK(variant_alloc(&p->d, v));
	ASSERT_OK(variant_alloc(&p->gate, v));
}

static inline void pair_teardown(struct pair *p)
{
	iio_buf_close(&p->out);
	iio_buf_close(&p->in);
	dmabuf_free(&p->d);
	dmabuf_free(&p->gate);
}

#endif /* CONFORMANCE_PAIR_H */

/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The other way to use a buffer: file I/O mode, for read() and write(), which
 * a buffer without DMABUFs is enabled in.
 *
 * On kernels with B2 a non-blocking read() in any other mode is fatal: none
 * without having been here before.
 */

#ifndef CONFORMANCE_FILEIO_H
#define CONFORMANCE_FILEIO_H

#include "conformance.h"

/* Return: 0 in file I/O mode, -EAGAIN in DMABUF mode. */
static inline int fileio_try_enable(const struct iio_buf *buf,
				    const struct dmabuf *d)
{
	int ret;

	ret = iio_enable(buf->dut);
	if (ret)
		return ret;

	ret = iio_attach(buf->fd, d->fd);
	if (ret)
		return ret == -EBUSY ? 0 : ret;

	return iio_detach(buf->fd, d->fd) ?: iio_disable(buf->dut) ?: -EAGAIN;
}

/**
 * fileio_enable() - Enable a buffer for read() or write()
 * @_metadata: of the test
 * @buf: disabled buffer without DMABUFs; a blocking descriptor, others may get
 *	EBUSY in any mode
 * @d: DMABUF to try it with: in file I/O mode ATTACH fails with EBUSY
 *
 * References of earlier DMABUFs fall from a work item, and keep the buffer in
 * DMABUF mode until then.
 */
static inline void fileio_enable(struct __test_metadata *_metadata,
				 const struct iio_buf *buf,
				 const struct dmabuf *d)
{
	int ret;

	ASSERT_TRUE(wait_until((ret = fileio_try_enable(buf, d)) != -EAGAIN)) {
		TH_LOG("the buffer stays in DMABUF mode, an earlier DMABUF is still in use");
	}
	ASSERT_OK(ret);
}

#endif /* CONFORMANCE_FILEIO_H */

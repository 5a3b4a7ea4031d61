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

#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

#include "conformance.h"

/* One read() or write(), by direction. Return: bytes, or a negative errno. */
static inline ssize_t fileio(const struct iio_dut *dut, int fd, void *data,
			     size_t n)
{
	ssize_t ret = dut->output ? write(fd, data, n) : read(fd, data, n);

	return ret < 0 ? -errno : ret;
}

/**
 * struct fileio_known - What the tests of a program know of a buffer
 * @dut: the buffer
 * @works: it was seen in file I/O mode
 * @missing: it was waited for, and did not come
 */
struct fileio_known {
	const struct iio_dut *dut;
	bool works;
	bool missing;
};

#define FILEIO_MAX_KNOWN	64

static struct fileio_known *fileio_all_known;

/* Tests run in processes of their own. */
static inline void __attribute__((constructor)) fileio_share(void)
{
	void *map;

	map = mmap(NULL, FILEIO_MAX_KNOWN * sizeof(*fileio_all_known),
		   PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (map == MAP_FAILED)
		abort();

	fileio_all_known = map;
}

static inline struct fileio_known *fileio_known(const struct iio_dut *dut)
{
	struct fileio_known *known = fileio_all_known;

	while (known < fileio_all_known + FILEIO_MAX_KNOWN - 1 && known->dut &&
	       known->dut != dut)
		known++;
	known->dut = dut;

	return known;
}

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
 *
 * Return: false if the test was marked as skipped: the buffer was never seen in
 * file I/O mode.
 */
static inline bool fileio_enable(struct __test_metadata *_metadata,
				 const struct iio_buf *buf,
				 const struct dmabuf *d)
{
	struct fileio_known *known = fileio_known(buf->dut);
	int ret = -EAGAIN;

	if (!known->missing)
		wait_until((ret = fileio_try_enable(buf, d)) != -EAGAIN);

	if (ret == -EAGAIN && !known->works) {
		known->missing = true;
		SKIP(return false, "the buffer takes DMABUFs only");
	}
	ASSERT_NE(-EAGAIN, ret) {
		TH_LOG("the buffer stays in DMABUF mode, an earlier DMABUF is still in use");
	}
	ASSERT_OK(ret);
	known->works = true;

	return true;
}

#endif /* CONFORMANCE_FILEIO_H */

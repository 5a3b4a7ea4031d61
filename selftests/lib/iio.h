/* SPDX-License-Identifier: GPL-2.0 */
/*
 * IIO buffers under test: which there are, how to open them, and the ioctls of
 * the DMABUF interface, one function each.
 *
 * Functions that can fail return a negative errno.
 */

#ifndef CONFORMANCE_IIO_H
#define CONFORMANCE_IIO_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <linux/iio/buffer.h>

#include "dmabuf.h"

#define IIO_NAME_MAX	96

/**
 * enum iio_takes_dmabufs - Whether a buffer takes DMABUFs
 * @IIO_DMABUFS_UNTRIED: it was not tried, it is not to be tested
 * @IIO_DMABUFS_NO: ATTACH is not implemented
 * @IIO_DMABUFS_YES: it is, and what else is wrong is for the tests to find
 */
enum iio_takes_dmabufs {
	IIO_DMABUFS_UNTRIED,
	IIO_DMABUFS_NO,
	IIO_DMABUFS_YES,
};

/**
 * struct iio_dut - A buffer of an IIO device
 * @name: label or name of the device, with ".N" behind it for buffer N > 0
 * @dir: sysfs directory of the device
 * @chrdev: device node
 * @parent: sysfs directory of the parent device, without symbolic links
 * @index: number of the buffer
 * @output: direction
 * @takes_dmabufs: what came of trying, see enum iio_takes_dmabufs
 * @scan: which scan elements were on when it was found
 * @length: length when it was found
 * @watermark: watermark when it was found
 * @align: length_align_bytes, 1 where there is no such attribute
 */
struct iio_dut {
	char name[IIO_NAME_MAX];
	char dir[64];
	char chrdev[32];
	char parent[256];
	unsigned int index;
	bool output;
	enum iio_takes_dmabufs takes_dmabufs;
	uint64_t scan;
	char length[16];
	char watermark[16];
	size_t align;
};

/**
 * struct iio_buf - An open buffer
 * @dut: which one
 * @dev_fd: the device node
 * @fd: the buffer descriptor, what the ioctls go to
 */
struct iio_buf {
	const struct iio_dut *dut;
	int dev_fd;
	int fd;
};

#define IIO_BUF_INIT	{ .dev_fd = -1, .fd = -1 }

/* --- what is there --- */

int iio_discover(void);
const char *iio_discover_error(void);
void iio_restore(void);
int iio_dut_lookup(struct iio_dut *dut, const char *name);
int iio_dut_refresh(const struct iio_dut *dut);
const struct iio_dut *iio_dut_next(const struct iio_dut *prev);
const struct iio_dut *iio_loopback_out(void);
const struct iio_dut *iio_loopback_in(void);
const struct iio_dut *iio_buffer_without_dmabuf(void);
const char *iio_chrdev_without_buffer(void);

/* --- sysfs --- */

int iio_attr_read(const struct iio_dut *dut, const char *attr, char *val,
		  size_t size);
int iio_attr_write(const struct iio_dut *dut, const char *attr,
		   const char *val);
int iio_buf_attr_read(const struct iio_dut *dut, const char *attr, char *val,
		      size_t size);
int iio_buf_attr_write(const struct iio_dut *dut, const char *attr,
		       const char *val);
uint64_t iio_scan_set(const struct iio_dut *dut, const uint64_t *on);
int iio_enable(const struct iio_dut *dut);
int iio_disable(const struct iio_dut *dut);

/* --- descriptors and ioctls --- */

int iio_buf_open(struct iio_buf *b, const struct iio_dut *dut);
void iio_buf_close(struct iio_buf *b);

size_t iio_common_align(const struct iio_dut *a, const struct iio_dut *b);
size_t iio_good_length(const struct iio_dut *a, const struct iio_dut *b);
size_t iio_part_length(const struct iio_dut *a, const struct iio_dut *b,
		       size_t n);
size_t iio_short_length(const struct iio_dut *dut);
int iio_get_fd(int dev_fd, int index);
int iio_attach(int fd, int dmabuf_fd);
int iio_detach(int fd, int dmabuf_fd);
int iio_enqueue(int fd, int dmabuf_fd, uint64_t bytes_used);
int iio_enqueue_req(int fd, const struct iio_dmabuf *req);
int iio_enqueue_fence(const struct iio_buf *b, const struct dmabuf *d,
		      size_t len);
int iio_enqueue_whole(const struct iio_buf *b, const struct dmabuf *d);
bool transfer_refused(int ret);
int iio_add_pending_fence(const struct iio_buf *b, const struct dmabuf *gate,
			  const struct dmabuf *d, uint32_t flags);
int fd_set_nonblock(int fd, bool on);

#endif /* CONFORMANCE_IIO_H */

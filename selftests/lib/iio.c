// SPDX-License-Identifier: GPL-2.0
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "iio.h"

#define IIO_SYSFS	"/sys/bus/iio/devices"

#define MAX_DUTS	64

static struct iio_dut duts[MAX_DUTS];
static size_t nr_duts;
static const struct iio_dut *loopback_out, *loopback_in;
static char chrdev_without_buffer[32];
static char discover_error[256];

/* --- sysfs --- */

/* Read @dir/@attr as a string without its newline. */
static int attr_read(const char *dir, const char *attr, char *val, size_t size)
{
	char path[PATH_MAX];
	ssize_t n;
	int fd, err;

	snprintf(path, sizeof(path), "%s/%s", dir, attr);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;

	n = read(fd, val, size - 1);
	err = -errno;
	close(fd);
	if (n < 0)
		return err;

	val[n] = '\0';
	val[strcspn(val, "\n")] = '\0';

	return 0;
}

static int attr_write(const char *dir, const char *attr, const char *val)
{
	char path[PATH_MAX];
	int fd, err = 0;

	snprintf(path, sizeof(path), "%s/%s", dir, attr);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;

	if (write(fd, val, strlen(val)) < 0)
		err = -errno;
	close(fd);

	return err;
}

/* Attributes of the device */
int iio_attr_read(const struct iio_dut *dut, const char *attr, char *val,
		  size_t size)
{
	return attr_read(dut->dir, attr, val, size);
}

int iio_attr_write(const struct iio_dut *dut, const char *attr, const char *val)
{
	return attr_write(dut->dir, attr, val);
}

static void buffer_dir(const struct iio_dut *dut, char *dir, size_t size)
{
	snprintf(dir, size, "%s/buffer%u", dut->dir, dut->index);
}

/* Attributes of the buffer: enable, length, direction... */
int iio_buf_attr_read(const struct iio_dut *dut, const char *attr, char *val,
		      size_t size)
{
	char dir[96];

	buffer_dir(dut, dir, sizeof(dir));

	return attr_read(dir, attr, val, size);
}

int iio_buf_attr_write(const struct iio_dut *dut, const char *attr,
		       const char *val)
{
	char dir[96];

	buffer_dir(dut, dir, sizeof(dir));

	return attr_write(dir, attr, val);
}

int iio_enable(const struct iio_dut *dut)
{
	return iio_buf_attr_write(dut, "enable", "1");
}

int iio_disable(const struct iio_dut *dut)
{
	return iio_buf_attr_write(dut, "enable", "0");
}

/**
 * iio_scan_set() - Switch the scan elements of a buffer
 * @dut: buffer, disabled
 * @on: bits in the order of the directory: which shall be on; NULL to look only
 *
 * iio_buf_open() and the end of the program switch them all back.
 *
 * Return: which were on before.
 */
uint64_t iio_scan_set(const struct iio_dut *dut, const uint64_t *on)
{
	uint64_t before = 0, bit = 1;
	struct dirent *entry;
	char dir[96], val[8];
	size_t len;
	DIR *d;

	buffer_dir(dut, dir, sizeof(dir));
	d = opendir(dir);
	if (!d)
		return 0;

	while (bit && (entry = readdir(d))) {
		len = strlen(entry->d_name);
		if (len < 3 || strcmp(entry->d_name + len - 3, "_en"))
			continue;

		if (!attr_read(dir, entry->d_name, val, sizeof(val)) &&
		    val[0] == '1')
			before |= bit;

		/* Devices may couple channels or pin them, so no check. */
		if (on)
			attr_write(dir, entry->d_name, *on & bit ? "1" : "0");
		bit <<= 1;
	}
	closedir(d);

	return before;
}

/* --- descriptors and ioctls --- */

/* Return: the shortest length that suits the alignment of both buffers. */
size_t iio_common_align(const struct iio_dut *a, const struct iio_dut *b)
{
	size_t align = a->align;

	while (align % b->align)
		align += a->align;

	return align;
}

/* The same as a number of pages */
size_t iio_good_length(const struct iio_dut *a, const struct iio_dut *b)
{
	size_t len = page_size();

	while (len % iio_common_align(a, b))
		len += page_size();

	return len;
}

/**
 * iio_part_length() - Find a length several of which fit into a page
 * @a: a buffer
 * @b: another one, or the same
 * @n: how many
 *
 * So that many transfers of one side, each of another DMABUF, are one transfer
 * of the other side, which takes few segments.
 *
 * Return: length in bytes, iio_good_length() if the alignment allows no less.
 */
size_t iio_part_length(const struct iio_dut *a, const struct iio_dut *b,
		       size_t n)
{
	size_t len = iio_good_length(a, b) / n;

	len -= len % iio_common_align(a, b);

	return len ?: iio_good_length(a, b);
}

/* Where the length does not matter, a slow converter is soon done with it. */
size_t iio_short_length(const struct iio_dut *dut)
{
	return (64 + dut->align - 1) / dut->align * dut->align;
}

/* Return: the buffer descriptor, or a negative errno. */
int iio_get_fd(int dev_fd, int index)
{
	int fd = index;

	return ioctl(dev_fd, IIO_BUFFER_GET_FD_IOCTL, &fd) < 0 ? -errno : fd;
}

int iio_attach(int fd, int dmabuf_fd)
{
	return ioctl(fd, IIO_BUFFER_DMABUF_ATTACH_IOCTL, &dmabuf_fd) < 0 ?
		-errno : 0;
}

int iio_detach(int fd, int dmabuf_fd)
{
	return ioctl(fd, IIO_BUFFER_DMABUF_DETACH_IOCTL, &dmabuf_fd) < 0 ?
		-errno : 0;
}

int iio_enqueue_req(int fd, const struct iio_dmabuf *req)
{
	return ioctl(fd, IIO_BUFFER_DMABUF_ENQUEUE_IOCTL, req) < 0 ?
		-errno : 0;
}

int iio_enqueue(int fd, int dmabuf_fd, uint64_t bytes_used)
{
	struct iio_dmabuf req = { .fd = dmabuf_fd, .bytes_used = bytes_used };

	return iio_enqueue_req(fd, &req);
}

/**
 * iio_enqueue_fence() - ENQUEUE, and hold the fence
 * @b: buffer
 * @d: DMABUF, attached to @b
 * @len: bytes of it
 *
 * The sync file shows how the transfer ended, which the DMABUF does not, and
 * keeps the fence alive where the kernel does not (B1).
 *
 * Return: a sync file of the transfer, or a negative errno.
 */
int iio_enqueue_fence(const struct iio_buf *b, const struct dmabuf *d,
		      size_t len)
{
	int ret = iio_enqueue(b->fd, d->fd, len);

	return ret ?: dmabuf_export(d->fd, DMA_BUF_SYNC_RW);
}

/* iio_enqueue_fence() for all of @d */
int iio_enqueue_whole(const struct iio_buf *b, const struct dmabuf *d)
{
	return iio_enqueue_fence(b, d, d->size);
}

/**
 * transfer_refused() - Whether hardware may say that of a good transfer
 * @ret: what an allocation, ATTACH, ENQUEUE or the fence of a transfer came to
 *
 * The limits of a device, of its DMA mapping and of memory are no defects. They
 * show in ATTACH (EINVAL, ENOMEM, EIO: see dma_map_sgtable(); ENOSPC where
 * addresses have run out), and in ENQUEUE or the fence, which is all the same,
 * when the DMA engine is told of the length and the scatter list (EINVAL, or
 * ENOMEM where it runs out of descriptors).
 *
 * Return: false for success too.
 */
bool transfer_refused(int ret)
{
	return ret == -EINVAL || ret == -ENOMEM || ret == -EIO ||
	       ret == -ENOSPC;
}

/**
 * iio_add_pending_fence() - Give a DMABUF a fence that the test controls
 * @b: disabled buffer; enabling it signals the fence
 * @gate: DMABUF to transfer on @b, not attached yet
 * @d: DMABUF that gets the fence
 * @flags: DMA_BUF_SYNC_READ or DMA_BUF_SYNC_WRITE, what the fence stands for
 *
 * Return: 0, or a negative errno.
 */
int iio_add_pending_fence(const struct iio_buf *b, const struct dmabuf *gate,
			  const struct dmabuf *d, uint32_t flags)
{
	int fence, ret;

	ret = iio_attach(b->fd, gate->fd);
	if (ret)
		return ret;

	fence = iio_enqueue_whole(b, gate);
	if (fence < 0)
		return fence;

	ret = dmabuf_import(d->fd, fence, flags);
	close(fence);

	return ret;
}

int fd_set_nonblock(int fd, bool on)
{
	int flags = fcntl(fd, F_GETFL);

	if (flags < 0)
		return -errno;

	flags = on ? flags | O_NONBLOCK : flags & ~O_NONBLOCK;

	return fcntl(fd, F_SETFL, flags) ? -errno : 0;
}

/*
 * Start and abort what is queued: a kernel that keeps it otherwise hands it to
 * the next user (B4).
 */
static void flush_queue(const struct iio_dut *dut)
{
	iio_enable(dut);
	iio_disable(dut);
}

/**
 * iio_buf_open() - Open a buffer for a test
 * @b: set up on success, untouched (all -1) on failure
 * @dut: which one
 *
 * The buffer is disabled, nothing is queued and all its channels are on
 * afterwards, whatever a test that was killed has left.
 *
 * Return: 0, or a negative errno.
 */
int iio_buf_open(struct iio_buf *b, const struct iio_dut *dut)
{
	static const uint64_t all = UINT64_MAX;
	int dev_fd, fd, err;

	*b = (struct iio_buf)IIO_BUF_INIT;

	dev_fd = open(dut->chrdev, O_RDWR | O_CLOEXEC);
	if (dev_fd < 0)
		return -errno;

	fd = iio_get_fd(dev_fd, dut->index);
	if (fd < 0) {
		close(dev_fd);
		return fd;
	}

	err = iio_disable(dut);
	if (err) {
		close(fd);
		close(dev_fd);
		return err;
	}

	iio_scan_set(dut, &all);
	flush_queue(dut);

	b->dut = dut;
	b->dev_fd = dev_fd;
	b->fd = fd;

	return 0;
}

/* Leave a buffer disabled and empty. One that is not open is fine. */
void iio_buf_close(struct iio_buf *b)
{
	if (!b->dut)
		return;

	flush_queue(b->dut);

	if (b->fd >= 0)
		close(b->fd);
	if (b->dev_fd >= 0)
		close(b->dev_fd);

	*b = (struct iio_buf)IIO_BUF_INIT;
}

/* --- what is there --- */

/*
 * Try whether the buffer takes DMABUFs. ENODEV and ENOTTY come from kernels
 * without the interface, EPERM from buffers without it. A buffer that somebody
 * else uses, or that we may not open, is tested only if it was asked for.
 */
static void dut_try(struct iio_dut *dut, const struct exporter *e,
		    bool asked_for)
{
	struct dmabuf d;
	int dev_fd, fd, ret;

	dev_fd = open(dut->chrdev, O_RDWR | O_CLOEXEC);
	fd = dev_fd < 0 ? -errno : iio_get_fd(dev_fd, dut->index);
	if (fd == -ENODEV || fd == -ENOTTY) {
		dut->takes_dmabufs = IIO_DMABUFS_NO;
	} else if (fd < 0 && !asked_for) {
		printf("# %s is not tested: %s: %s\n", dut->name, dut->chrdev,
		       strerror(-fd));
	} else {
		dut->takes_dmabufs = IIO_DMABUFS_YES;
	}

	ret = fd < 0 ? fd : dmabuf_alloc(&d, e, page_size());
	if (!ret) {
		ret = iio_attach(fd, d.fd);
		if (!ret)
			iio_detach(fd, d.fd);
		if (ret == -EPERM || ret == -ENODEV || ret == -ENOTTY)
			dut->takes_dmabufs = IIO_DMABUFS_NO;
		dmabuf_free(&d);
	}

	if (fd >= 0)
		close(fd);
	if (dev_fd >= 0)
		close(dev_fd);
}

/* The device behind @dut->dir, which is a symbolic link, is in its parent's. */
static void parent_init(struct iio_dut *dut)
{
	char path[PATH_MAX];

	if (!realpath(dut->dir, path))
		return;

	*strrchr(path, '/') = '\0';
	snprintf(dut->parent, sizeof(dut->parent), "%.255s", path);
}

/*
 * Set up @dut as buffer @index of /sys/bus/iio/devices/@device, or return false
 * if there is no such buffer.
 */
static bool dut_init(struct iio_dut *dut, const char *device,
		     unsigned int index)
{
	char name[80], val[16];

	*dut = (struct iio_dut){ .index = index, .align = 1 };
	snprintf(dut->dir, sizeof(dut->dir), IIO_SYSFS "/%.24s", device);
	snprintf(dut->chrdev, sizeof(dut->chrdev), "/dev/%.24s", device);
	parent_init(dut);
	if (iio_buf_attr_read(dut, "enable", val, sizeof(val)))
		return false;

	if (iio_attr_read(dut, "label", name, sizeof(name)) &&
	    iio_attr_read(dut, "name", name, sizeof(name)))
		snprintf(name, sizeof(name), "%.24s", device);

	if (index)
		snprintf(dut->name, sizeof(dut->name), "%s.%u", name, index);
	else
		snprintf(dut->name, sizeof(dut->name), "%s", name);

	dut->output = !iio_buf_attr_read(dut, "direction", val, sizeof(val)) &&
		      !strcmp(val, "out");
	if (!iio_buf_attr_read(dut, "length_align_bytes", val, sizeof(val)))
		dut->align = strtoul(val, NULL, 0) ?: 1;

	dut->scan = iio_scan_set(dut, NULL);
	iio_buf_attr_read(dut, "length", dut->length, sizeof(dut->length));
	iio_buf_attr_read(dut, "watermark", dut->watermark,
			  sizeof(dut->watermark));

	return true;
}

/* Add the buffers of /sys/bus/iio/devices/@device. */
static void discover_device(const char *device)
{
	struct iio_dut dut;
	unsigned int i;

	for (i = 0; nr_duts < MAX_DUTS && dut_init(&dut, device, i); i++)
		duts[nr_duts++] = dut;

	/* Only buffers and events give a device a node. */
	if (!i && !access(dut.chrdev, F_OK))
		memcpy(chrdev_without_buffer, dut.chrdev, sizeof(dut.chrdev));
}

/* Whether @name, of @len bytes, means this device. */
static bool dut_is_called(const struct iio_dut *dut, const char *name,
			  size_t len)
{
	const char *device = strrchr(dut->dir, '/') + 1;
	char attr[80];

	if (strlen(dut->name) == len && !strncmp(dut->name, name, len))
		return true;

	if (strlen(device) == len && !strncmp(device, name, len))
		return true;

	return !iio_attr_read(dut, "name", attr, sizeof(attr)) &&
	       strlen(attr) == len && !strncmp(attr, name, len);
}

static struct iio_dut *dut_find(const char *name, size_t len)
{
	size_t i;

	for (i = 0; i < nr_duts; i++) {
		if (dut_is_called(&duts[i], name, len))
			return &duts[i];
	}

	return NULL;
}

/*
 * Try the buffers that are to be tested: all, or those of the comma-separated
 * @list. The others are left alone, they are not ours.
 */
static int try_devices(const char *list, const struct exporter *e)
{
	const char *name;
	size_t i, len;

	for (i = 0; !list && i < nr_duts; i++)
		dut_try(&duts[i], e, false);

	for (name = list; name && *name; name += len + (name[len] == ',')) {
		len = strcspn(name, ",");
		if (!dut_find(name, len)) {
			snprintf(discover_error, sizeof(discover_error),
				 "IIO_DMABUF_DEVICE: no buffer of a device with name or label '%.*s'",
				 (int)len, name);
			return -EINVAL;
		}

		for (i = 0; i < nr_duts; i++) {
			if (dut_is_called(&duts[i], name, len))
				dut_try(&duts[i], e, true);
		}
	}

	return 0;
}

/* IIO_DMABUF_LOOPBACK=OUT:IN: what goes out there comes in here. */
static int select_loopback(const char *pair)
{
	size_t len = strcspn(pair, ":");

	loopback_out = dut_find(pair, len);
	loopback_in = pair[len] ? dut_find(pair + len + 1,
					   strlen(pair + len + 1)) : NULL;
	if (!loopback_out || !loopback_in || !loopback_out->output ||
	    loopback_in->output || !strcmp(loopback_out->dir,
					   loopback_in->dir)) {
		snprintf(discover_error, sizeof(discover_error),
			 "IIO_DMABUF_LOOPBACK=%s is not OUT:IN, the names or labels of an output and an input device",
			 pair);
		return -EINVAL;
	}

	return 0;
}

/**
 * iio_discover() - Find the buffers of this machine
 *
 * To be called once, before anything that returns one.
 *
 * Return: 0; -EINVAL if the environment asks for what there is not, -ENODEV if
 * nothing can be tested here. iio_discover_error() then has the reason.
 */
int iio_discover(void)
{
	const char *list = getenv("IIO_DMABUF_DEVICE");
	const char *pair = getenv("IIO_DMABUF_LOOPBACK");
	const char *wanted = getenv("IIO_DMABUF_EXPORTER");
	const struct exporter *e = exporter_default();
	struct dirent **entries;
	int i, n, ret;

	if (wanted && !e) {
		snprintf(discover_error, sizeof(discover_error),
			 "IIO_DMABUF_EXPORTER=%s is none of system, udmabuf, hugetlb, cma and vgem",
			 wanted);
		return -EINVAL;
	}

	if (!e) {
		snprintf(discover_error, sizeof(discover_error),
			 "nothing to get DMABUFs from, /dev/dma_heap/system and /dev/udmabuf among others cannot be opened: not root, or not in this kernel");
		return -ENODEV;
	}

	n = scandir(IIO_SYSFS, &entries, NULL, versionsort);
	for (i = 0; i < n; i++) {
		if (!strncmp(entries[i]->d_name, "iio:device", 10))
			discover_device(entries[i]->d_name);
		free(entries[i]);
	}
	if (n >= 0)
		free(entries);

	ret = try_devices(list, e);
	if (ret)
		return ret;

	return pair ? select_loopback(pair) : 0;
}

/**
 * iio_dut_lookup() - Find a buffer that has come since iio_discover()
 * @dut: set up on success
 * @name: label or name of the device; its first buffer is meant
 *
 * Return: 0, or a negative errno.
 */
int iio_dut_lookup(struct iio_dut *dut, const char *name)
{
	struct dirent *entry;
	int ret = -ENODEV;
	DIR *dir;

	dir = opendir(IIO_SYSFS);
	if (!dir)
		return -errno;

	while (ret && (entry = readdir(dir))) {
		if (!strncmp(entry->d_name, "iio:device", 10) &&
		    dut_init(dut, entry->d_name, 0) &&
		    dut_is_called(dut, name, strlen(name)) &&
		    /* The node comes last when a device is registered. */
		    !access(dut->chrdev, F_OK))
			ret = 0;
	}
	closedir(dir);

	return ret;
}

static bool dut_is_same(const struct iio_dut *a, const struct iio_dut *b)
{
	return a->index == b->index && !strcmp(a->name, b->name) &&
	       !strcmp(a->parent, b->parent);
}

/**
 * iio_dut_refresh() - Find a buffer again whose device has come back
 * @dut: from iio_discover(); its directory and node are updated
 *
 * A device that its driver has registered anew may have another number.
 *
 * Return: 0; -ENODEV if there is no such device, at least not yet.
 */
int iio_dut_refresh(const struct iio_dut *dut)
{
	struct iio_dut *known = &duts[dut - duts], now;
	struct dirent *entry;
	int ret = -ENODEV;
	DIR *dir;

	dir = opendir(IIO_SYSFS);
	if (!dir)
		return -errno;

	while (ret && (entry = readdir(dir))) {
		if (!strncmp(entry->d_name, "iio:device", 10) &&
		    dut_init(&now, entry->d_name, known->index) &&
		    dut_is_same(&now, known) && !access(now.chrdev, F_OK))
			ret = 0;
	}
	closedir(dir);
	if (ret)
		return ret;

	memcpy(known->dir, now.dir, sizeof(known->dir));
	memcpy(known->chrdev, now.chrdev, sizeof(known->chrdev));

	return 0;
}

const char *iio_discover_error(void)
{
	return discover_error;
}

/* Walk the buffers that are to be tested; NULL starts and ends the walk. */
const struct iio_dut *iio_dut_next(const struct iio_dut *prev)
{
	size_t i = prev ? prev - duts + 1 : 0;

	for (; i < nr_duts; i++) {
		if (duts[i].takes_dmabufs == IIO_DMABUFS_YES)
			return &duts[i];
	}

	return NULL;
}

const struct iio_dut *iio_loopback_out(void)
{
	return loopback_out;
}

const struct iio_dut *iio_loopback_in(void)
{
	return loopback_in;
}

/*
 * Return: a buffer that does not take DMABUFs, NULL if there is none. Only here
 * devices are tried that nobody asked to be tested.
 */
const struct iio_dut *iio_buffer_without_dmabuf(void)
{
	size_t i;

	for (i = 0; i < nr_duts; i++) {
		if (duts[i].takes_dmabufs == IIO_DMABUFS_UNTRIED)
			dut_try(&duts[i], exporter_default(), false);
		if (duts[i].takes_dmabufs == IIO_DMABUFS_NO)
			return &duts[i];
	}

	return NULL;
}

/* Leave the buffers as they were found, but for being disabled. */
void iio_restore(void)
{
	const struct iio_dut *dut;

	for (dut = duts; dut < duts + nr_duts; dut++) {
		if (dut->takes_dmabufs != IIO_DMABUFS_YES &&
		    dut != loopback_out && dut != loopback_in)
			continue;

		/* It may have come back with another number, or not at all. */
		if (iio_dut_refresh(dut))
			continue;

		iio_disable(dut);
		iio_scan_set(dut, &dut->scan);
		iio_buf_attr_write(dut, "length", dut->length);
		iio_buf_attr_write(dut, "watermark", dut->watermark);
	}
}

/* Return: the node of an IIO device without buffers, NULL if there is none. */
const char *iio_chrdev_without_buffer(void)
{
	return chrdev_without_buffer[0] ? chrdev_without_buffer : NULL;
}

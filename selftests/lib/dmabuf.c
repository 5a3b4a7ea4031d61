// SPDX-License-Identifier: GPL-2.0
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <drm/drm.h>
#include <linux/dma-heap.h>
#include <linux/sync_file.h>
#include <linux/udmabuf.h>

#include "kselftest.h"

#include "dmabuf.h"
#include "file.h"

size_t page_size(void)
{
	return sysconf(_SC_PAGESIZE);
}

static size_t round_up(size_t size, size_t unit)
{
	return (size + unit - 1) / unit * unit;
}

/* ioctl() that returns a negative errno and restarts after a signal. */
static int xioctl(int fd, unsigned long request, void *arg)
{
	int ret;

	do {
		ret = raw_ioctl(fd, request, arg);
	} while (ret == -EINTR);

	return ret;
}

/* --- exporters --- */

/* The DMABUF is @d->fd: learn its size and map it, or give it back. */
static int dmabuf_adopt(struct dmabuf *d)
{
	off_t size = lseek(d->fd, 0, SEEK_END);
	int err;

	if (size <= 0) {
		err = size ? -errno : -EINVAL;
		goto err_close;
	}

	d->size = size;
	d->map = mmap(NULL, d->size, PROT_READ | PROT_WRITE, MAP_SHARED, d->fd,
		      0);
	if (d->map == MAP_FAILED) {
		err = -errno;
		d->map = NULL;
		goto err_close;
	}
	d->refs = dmabuf_refs(d->fd);

	return 0;

err_close:
	dmabuf_free(d);
	return err;
}

static int heap_alloc(const char *path, struct dmabuf *d, size_t size)
{
	struct dma_heap_allocation_data req = {
		.len = size,
		.fd_flags = O_RDWR | O_CLOEXEC,
	};
	int heap, ret;

	heap = open(path, O_RDWR | O_CLOEXEC);
	if (heap < 0)
		return -errno;

	ret = xioctl(heap, DMA_HEAP_IOCTL_ALLOC, &req);
	close(heap);
	if (ret < 0)
		return ret;

	d->fd = req.fd;

	return dmabuf_adopt(d);
}

#define SYSTEM_HEAP	"/dev/dma_heap/system"

static bool system_heap_present(void)
{
	return !access(SYSTEM_HEAP, R_OK | W_OK);
}

static int system_heap_alloc(struct dmabuf *d, size_t size)
{
	return heap_alloc(SYSTEM_HEAP, d, size);
}

/* The heap of contiguous memory, under the names that it goes by */
static const char *cma_heap(void)
{
	static const char * const heaps[] = {
		"/dev/dma_heap/default_cma_region", "/dev/dma_heap/linux,cma",
		"/dev/dma_heap/reserved", "/dev/dma_heap/default-pool",
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(heaps); i++) {
		if (!access(heaps[i], R_OK | W_OK))
			return heaps[i];
	}

	return NULL;
}

static bool cma_heap_present(void)
{
	return cma_heap();
}

static int cma_heap_alloc(struct dmabuf *d, size_t size)
{
	return heap_alloc(cma_heap(), d, size);
}

static int sealed_memfd(size_t size, unsigned int flags)
{
	int fd, err;

	fd = memfd_create("iio-dmabuf", MFD_CLOEXEC | MFD_ALLOW_SEALING |
					flags);
	if (fd < 0)
		return -errno;

	if (ftruncate(fd, size) || fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK)) {
		err = -errno;
		close(fd);
		return err;
	}

	return fd;
}

/**
 * memfd_for_udmabuf() - Create a memfd that udmabuf takes
 * @size: size in bytes
 *
 * Return: the descriptor, or a negative errno.
 */
int memfd_for_udmabuf(size_t size)
{
	return sealed_memfd(size, 0);
}

#define UDMABUF		"/dev/udmabuf"

/**
 * dmabuf_from_pages() - Make a DMABUF of memfd pages in any order
 * @d: set up on success; does not own @memfd
 * @memfd: from memfd_for_udmabuf()
 * @pages: index of the memfd page behind each page of the DMABUF
 * @nr_pages: number of pages
 *
 * Return: 0, or a negative errno.
 */
int dmabuf_from_pages(struct dmabuf *d, int memfd, const size_t *pages,
		      size_t nr_pages)
{
	struct udmabuf_create_list *list;
	int dev, ret;
	size_t i;

	list = calloc(1, sizeof(*list) + nr_pages * sizeof(list->list[0]));
	if (!list)
		return -ENOMEM;

	list->flags = UDMABUF_FLAGS_CLOEXEC;
	list->count = nr_pages;
	for (i = 0; i < nr_pages; i++) {
		list->list[i].memfd = memfd;
		list->list[i].offset = pages[i] * page_size();
		list->list[i].size = page_size();
	}

	dev = open(UDMABUF, O_RDWR | O_CLOEXEC);
	ret = dev < 0 ? -errno : xioctl(dev, UDMABUF_CREATE_LIST, list);
	if (dev >= 0)
		close(dev);
	free(list);
	if (ret < 0)
		return ret;

	d->fd = ret;
	d->memfd = -1;

	return dmabuf_adopt(d);
}

/**
 * dmabuf_from_memfd() - Make a DMABUF of a part of a memfd
 * @d: set up on success; does not own @memfd
 * @memfd: from memfd_for_udmabuf()
 * @offset: where the part starts, a multiple of the page size
 * @size: how long it is, a multiple of the page size
 *
 * Return: 0, or a negative errno.
 */
int dmabuf_from_memfd(struct dmabuf *d, int memfd, size_t offset, size_t size)
{
	struct udmabuf_create req = {
		.memfd = memfd,
		.flags = UDMABUF_FLAGS_CLOEXEC,
		.offset = offset,
		.size = size,
	};
	int dev, ret;

	dev = open(UDMABUF, O_RDWR | O_CLOEXEC);
	if (dev < 0)
		return -errno;

	ret = xioctl(dev, UDMABUF_CREATE, &req);
	close(dev);
	if (ret < 0)
		return ret;

	d->fd = ret;
	d->memfd = -1;

	return dmabuf_adopt(d);
}

static bool udmabuf_present(void)
{
	return !access(UDMABUF, R_OK | W_OK);
}

/* A DMABUF of the first @size bytes of @memfd, which it then owns. */
static int dmabuf_own_memfd(struct dmabuf *d, int memfd, size_t size)
{
	int ret;

	if (memfd < 0)
		return memfd;

	ret = dmabuf_from_memfd(d, memfd, 0, size);
	if (ret) {
		close(memfd);
		return ret;
	}

	d->memfd = memfd;

	return 0;
}

static int udmabuf_alloc(struct dmabuf *d, size_t size)
{
	size = round_up(size, page_size());

	return dmabuf_own_memfd(d, sealed_memfd(size, 0), size);
}

static size_t huge_page_size(void)
{
	size_t kib = 0;
	char line[128];
	FILE *f;

	f = fopen("/proc/meminfo", "re");
	while (f && fgets(line, sizeof(line), f)) {
		if (sscanf(line, "Hugepagesize: %zu kB", &kib) == 1)
			break;
	}
	if (f)
		fclose(f);

	return kib * 1024;
}

static int hugetlb_alloc(struct dmabuf *d, size_t size)
{
	size_t huge = huge_page_size();

	if (!huge)
		return -ENODEV;

	size = round_up(size, page_size());

	return dmabuf_own_memfd(d, sealed_memfd(round_up(size, huge),
						MFD_HUGETLB), size);
}

/* There must be huge pages, and a udmabuf that takes them. */
static bool hugetlb_present(void)
{
	struct dmabuf d = DMABUF_INIT;
	bool present;

	present = udmabuf_present() && !hugetlb_alloc(&d, page_size());
	dmabuf_free(&d);

	return present;
}

/* Return: a descriptor of the vgem device, or a negative errno. */
int vgem_open(void)
{
	char path[32], name[8];
	unsigned int i;
	int fd;

	for (i = 0; i < 16; i++) {
		struct drm_version version = {
			.name = name,
			.name_len = sizeof(name) - 1,
		};

		snprintf(path, sizeof(path), "/dev/dri/card%u", i);
		fd = open(path, O_RDWR | O_CLOEXEC);
		if (fd < 0)
			continue;

		memset(name, 0, sizeof(name));
		if (!xioctl(fd, DRM_IOCTL_VERSION, &version) &&
		    !strcmp(name, "vgem"))
			return fd;
		close(fd);
	}

	return -ENODEV;
}

static bool vgem_present(void)
{
	int drm = vgem_open();

	if (drm >= 0)
		close(drm);

	return drm >= 0;
}

/**
 * vgem_export() - Make a DMABUF whose memory does not exist before it is used
 * @drm: from vgem_open()
 * @size: at least this many bytes
 *
 * Return: its descriptor, or a negative errno.
 */
int vgem_export(int drm, size_t size)
{
	struct drm_mode_create_dumb create = {
		.width = page_size(),
		.height = round_up(size, page_size()) / page_size(),
		.bpp = 8,
	};
	struct drm_prime_handle prime = { .flags = DRM_CLOEXEC | DRM_RDWR };
	int ret;

	ret = xioctl(drm, DRM_IOCTL_MODE_CREATE_DUMB, &create);
	if (ret < 0)
		return ret;

	prime.handle = create.handle;
	ret = xioctl(drm, DRM_IOCTL_PRIME_HANDLE_TO_FD, &prime);

	return ret < 0 ? ret : prime.fd;
}

static int vgem_alloc(struct dmabuf *d, size_t size)
{
	int drm, ret;

	drm = vgem_open();
	if (drm < 0)
		return drm;

	/* The handle goes with the file, the DMABUF stays. */
	ret = vgem_export(drm, size);
	close(drm);
	if (ret < 0)
		return ret;

	d->fd = ret;

	return dmabuf_adopt(d);
}

const struct exporter exporters[] = {
	{ "system", NULL, system_heap_present, system_heap_alloc },
	{ "udmabuf", "D2", udmabuf_present, udmabuf_alloc },
	{ "hugetlb", "D2", hugetlb_present, hugetlb_alloc },
	{ "cma", NULL, cma_heap_present, cma_heap_alloc },
	{ "vgem", "D3", vgem_present, vgem_alloc },
};

const size_t nr_exporters = ARRAY_SIZE(exporters);

/* Return: the exporter of that name, NULL if there is none. */
const struct exporter *exporter_find(const char *name)
{
	size_t i;

	for (i = 0; i < nr_exporters; i++) {
		if (!strcmp(name, exporters[i].name))
			return &exporters[i];
	}

	return NULL;
}

/**
 * exporter_default() - The exporter for tests that do not care
 *
 * Return: the one that IIO_DMABUF_EXPORTER names, else the first that this
 * machine has, NULL if there is none.
 */
const struct exporter *exporter_default(void)
{
	const char *wanted = getenv("IIO_DMABUF_EXPORTER");
	size_t i;

	if (wanted)
		return exporter_find(wanted);

	for (i = 0; i < nr_exporters; i++) {
		if (exporters[i].present())
			return &exporters[i];
	}

	return NULL;
}

/* Return: an exporter whose SYNC reaches the devices, NULL if there is none. */
const struct exporter *exporter_synced(void)
{
	size_t i;

	for (i = 0; i < nr_exporters; i++) {
		if (!exporters[i].defect && exporters[i].present())
			return &exporters[i];
	}

	return NULL;
}

/**
 * dmabuf_alloc() - Allocate and map a DMABUF
 * @d: set up on success, free (fd -1) on failure
 * @e: where from
 * @size: at least this many bytes
 *
 * Return: 0, or a negative errno.
 */
int dmabuf_alloc(struct dmabuf *d, const struct exporter *e, size_t size)
{
	*d = (struct dmabuf)DMABUF_INIT;

	return e->alloc(d, size);
}

/* Does nothing to a DMABUF that is free, may be called twice. */
void dmabuf_free(struct dmabuf *d)
{
	if (d->map)
		munmap(d->map, d->size);
	if (d->fd >= 0)
		close(d->fd);
	if (d->memfd >= 0)
		close(d->memfd);

	*d = (struct dmabuf)DMABUF_INIT;
}

/**
 * dmabuf_free_idle() - Free a DMABUF when no device has it any more
 * @d: no longer attached, or attached to buffers that were closed; may be free
 *
 * The kernel lets go of what was transferred from a work item, until when the
 * memory cannot be had again: that matters where there is little of its kind.
 *
 * Return: 0, or -ETIMEDOUT if somebody still had it after DEADLINE_MS.
 */
int dmabuf_free_idle(struct dmabuf *d)
{
	int ret = d->fd < 0 ? 0 : dmabuf_wait_refs(d->fd, d->refs);

	dmabuf_free(d);

	return ret;
}

/* --- CPU access --- */

/* One DMA_BUF_IOCTL_SYNC, not restarted: 0 or a negative errno. */
int dmabuf_sync(int fd, uint64_t flags)
{
	struct dma_buf_sync sync = { .flags = flags };

	return ioctl(fd, DMA_BUF_IOCTL_SYNC, &sync) ? -errno : 0;
}

int dmabuf_begin_cpu(const struct dmabuf *d)
{
	struct dma_buf_sync sync = {
		.flags = DMA_BUF_SYNC_START | DMA_BUF_SYNC_RW,
	};

	return xioctl(d->fd, DMA_BUF_IOCTL_SYNC, &sync);
}

int dmabuf_end_cpu(const struct dmabuf *d)
{
	struct dma_buf_sync sync = {
		.flags = DMA_BUF_SYNC_END | DMA_BUF_SYNC_RW,
	};

	return xioctl(d->fd, DMA_BUF_IOCTL_SYNC, &sync);
}

/* Set every byte, within a CPU access. */
int dmabuf_poison(const struct dmabuf *d, uint8_t byte)
{
	int ret;

	ret = dmabuf_begin_cpu(d);
	if (ret)
		return ret;

	memset(d->map, byte, d->size);

	return dmabuf_end_cpu(d);
}

/* A word of the pattern: no two places or seeds are likely to agree. */
static uint64_t pattern_word(uint64_t seed, uint64_t index)
{
	uint64_t x = seed * 0x9e3779b97f4a7c15ull + index;

	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;

	return x ^ (x >> 31);
}

/**
 * pattern_fill() - Fill memory with a pattern that is different everywhere
 * @buf: memory
 * @len: bytes
 * @seed: which pattern
 */
void pattern_fill(uint8_t *buf, size_t len, uint64_t seed)
{
	uint64_t word;
	size_t i, n;

	for (i = 0; i < len; i += n) {
		word = pattern_word(seed, i / sizeof(word));
		n = len - i < sizeof(word) ? len - i : sizeof(word);
		memcpy(buf + i, &word, n);
	}
}

/* Return: the first byte that is not pattern_fill()'s, -1 if all are. */
ptrdiff_t pattern_mismatch(const uint8_t *buf, size_t len, uint64_t seed)
{
	uint64_t word;
	size_t i, j, n;

	for (i = 0; i < len; i += n) {
		word = pattern_word(seed, i / sizeof(word));
		n = len - i < sizeof(word) ? len - i : sizeof(word);
		if (!memcmp(buf + i, &word, n))
			continue;

		for (j = 0; buf[i + j] == ((uint8_t *)&word)[j]; j++)
			;
		return i + j;
	}

	return -1;
}

/* Return: the first byte that is not @byte, -1 if all are. */
ptrdiff_t byte_mismatch(const uint8_t *buf, size_t len, uint8_t byte)
{
	size_t i;

	/* All are the same as the one behind them: much faster than a loop */
	if (!len || (buf[0] == byte && !memcmp(buf, buf + 1, len - 1)))
		return -1;

	for (i = 0; buf[i] == byte; i++)
		;

	return i;
}

/* What caches and bounce pages hold back is a multiple of this. */
#define COHERENCE_UNIT	16

/**
 * pattern_is_stale() - Whether caches or bounce pages hold a pattern back
 * @buf: memory
 * @len: bytes
 * @seed: which pattern should be there
 * @old: what may have been there before, each byte of it
 * @nr_old: length of @old
 *
 * Bounce pages keep all that is not synced from arriving, caches what they have
 * not evicted. But each unit is of one kind or the other.
 *
 * Return: whether there are old units, and none but those and right ones.
 */
bool pattern_is_stale(const uint8_t *buf, size_t len, uint64_t seed,
		      const uint8_t *old, size_t nr_old)
{
	uint64_t unit[COHERENCE_UNIT / sizeof(uint64_t)];
	size_t i, j, n, stale = 0;

	for (i = 0; i < len; i += n) {
		n = len - i < sizeof(unit) ? len - i : sizeof(unit);
		for (j = 0; j < ARRAY_SIZE(unit); j++)
			unit[j] = pattern_word(seed, i / sizeof(*unit) + j);
		if (!memcmp(buf + i, unit, n))
			continue;

		for (j = 0; j < nr_old; j++) {
			if (byte_mismatch(buf + i, n, old[j]) < 0)
				break;
		}
		if (j == nr_old)
			return false;
		stale++;
	}

	return stale;
}

/* --- readiness and references --- */

/* Return: revents, 0 on time-out, or a negative errno. */
int fd_poll(int fd, short events, int timeout_ms)
{
	struct pollfd pfd = { .fd = fd, .events = events };
	int ret;

	ret = poll(&pfd, 1, timeout_ms);
	if (ret < 0)
		return -errno;

	return ret ? pfd.revents : 0;
}

/* Return: how many descriptors this process has open. */
int fd_count(void)
{
	struct dirent *entry;
	int count = 0;
	DIR *dir;

	dir = opendir("/proc/self/fd");
	if (!dir)
		return -errno;

	while ((entry = readdir(dir)))
		count += entry->d_name[0] != '.';
	closedir(dir);

	/* The directory itself was open too. */
	return count - 1;
}

/**
 * dmabuf_refs() - References to a DMABUF, from its fdinfo
 * @fd: a descriptor of it
 *
 * Descriptors and mappings count, and so does each attachment.
 *
 * Return: the number, or a negative errno.
 */
long dmabuf_refs(int fd)
{
	char path[64], line[128];
	long count = -ENOENT;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	f = fopen(path, "re");
	if (!f)
		return -errno;

	while (fgets(line, sizeof(line), f)) {
		if (sscanf(line, "count: %ld", &count) == 1)
			break;
	}
	fclose(f);

	return count;
}

/**
 * dmabuf_wait_refs() - Wait until a DMABUF has no more references than that
 * @fd: a descriptor of it
 * @refs: as counted by dmabuf_refs()
 *
 * The kernel drops the references of a transfer from a work item.
 *
 * Return: 0, or -ETIMEDOUT after DEADLINE_MS.
 */
int dmabuf_wait_refs(int fd, long refs)
{
	return wait_until(dmabuf_refs(fd) <= refs) ? 0 : -ETIMEDOUT;
}

/**
 * dmabuf_attachments() - For which devices a DMABUF is attached
 * @dmabuf_fd: descriptor of it
 * @name: set to the name of the last one, may be NULL
 * @size: size of @name
 *
 * Return: their number, -1 if this kernel does not tell.
 */
int dmabuf_attachments(int dmabuf_fd, char *name, size_t size)
{
	bool ours = false, devices = false;
	unsigned long ino;
	struct stat st;
	char line[256];
	int n = -1;
	FILE *f;

	f = fopen(DMABUF_BUFINFO, "re");
	if (!f || fstat(dmabuf_fd, &st))
		goto out;

	while (fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%*u %*x %*x %*u %*s %lu", &ino) == 1) {
			ours = ino == st.st_ino;
			devices = false;
		} else if (ours && strstr(line, "Attached Devices:")) {
			devices = true;
			n = 0;
		} else if (devices && line[0] == '\t') {
			n++;
			if (name)
				snprintf(name, size, "%.*s",
					 (int)strcspn(line + 1, "\n"),
					 line + 1);
		} else {
			devices = false;
		}
	}
out:
	if (f)
		fclose(f);

	return n;
}

/* --- sync files --- */

/* Return: a sync file of the fences that @flags selects, or an errno. */
int dmabuf_export(int fd, uint32_t flags)
{
	struct dma_buf_export_sync_file req = { .flags = flags, .fd = -1 };
	int ret;

	ret = xioctl(fd, DMA_BUF_IOCTL_EXPORT_SYNC_FILE, &req);

	return ret < 0 ? ret : req.fd;
}

int dmabuf_import(int fd, int sync_file, uint32_t flags)
{
	struct dma_buf_import_sync_file req = {
		.flags = flags,
		.fd = sync_file,
	};

	return xioctl(fd, DMA_BUF_IOCTL_IMPORT_SYNC_FILE, &req);
}

/**
 * sync_file_info() - What a sync file says about its first fence
 * @fd: sync file
 * @info: filled in; context and seqno are 0 for a fence that has no
 *	"driver-timeline<context>-<seqno>" name, or no longer
 *
 * Return: 0, or a negative errno.
 */
int sync_file_info(int fd, struct fence_info *info)
{
	struct sync_fence_info fences[8] = {};
	struct sync_file_info req = {
		.num_fences = ARRAY_SIZE(fences),
		.sync_fence_info = (uintptr_t)fences,
	};
	const char *digits;
	int ret;

	ret = xioctl(fd, SYNC_IOC_FILE_INFO, &req);
	if (ret < 0)
		return ret;

	*info = (struct fence_info){
		.status = req.status,
		.num_fences = req.num_fences,
		.timestamp = fences[0].timestamp_ns,
	};
	if (info->status)
		return 0;

	snprintf(info->driver, sizeof(info->driver), "%.31s",
		 fences[0].driver_name);
	snprintf(info->timeline, sizeof(info->timeline), "%.31s",
		 fences[0].obj_name);

	digits = strpbrk(req.name, "0123456789");
	if (digits)
		sscanf(digits, "%" SCNu64 "-%" SCNu64, &info->context,
		       &info->seqno);

	return 0;
}

/**
 * sync_file_status() - How it stands with the fences of a sync file
 * @fd: sync file
 *
 * Return: 1 signalled, 0 pending, or the negative errno that a fence carries. A
 * failure of the call itself looks like the latter.
 */
int sync_file_status(int fd)
{
	struct fence_info info;
	int ret;

	ret = sync_file_info(fd, &info);

	return ret ?: info.status;
}

/**
 * sync_file_wait() - Wait until the fences of a sync file have signalled
 * @fd: sync file
 *
 * Return: what sync_file_status() says then, 0 if they have not signalled
 * within DEADLINE_MS.
 */
int sync_file_wait(int fd)
{
	int ret;

	ret = fd_poll(fd, POLLIN, DEADLINE_MS);

	return ret < 0 ? ret : sync_file_status(fd);
}

/* Return: a sync file of the fences of both, or a negative errno. */
int sync_file_merge(int a, int b)
{
	struct sync_merge_data req = {
		.name = "merged",
		.fd2 = b,
		.fence = -1,
	};
	int ret;

	ret = xioctl(a, SYNC_IOC_MERGE, &req);

	return ret < 0 ? ret : req.fence;
}

/* Say when the fences had better have signalled, in ns of CLOCK_MONOTONIC. */
int sync_file_set_deadline(int fd, uint64_t ns)
{
	struct sync_set_deadline req = { .deadline_ns = ns };

	return xioctl(fd, SYNC_IOC_SET_DEADLINE, &req);
}

/**
 * fence_result() - How a transfer ended
 * @fd: sync file of it, exported while it was pending; closed here. A negative
 *	errno is passed on.
 *
 * Return: 0 if it went well, the negative errno that its fence carries, or
 * -ETIMEDOUT.
 */
int fence_result(int fd)
{
	int ret;

	if (fd < 0)
		return fd;

	ret = sync_file_wait(fd);
	close(fd);
	if (!ret)
		return -ETIMEDOUT;

	return ret < 0 ? ret : 0;
}

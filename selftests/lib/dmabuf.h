/* SPDX-License-Identifier: GPL-2.0 */
/*
 * DMABUFs and their fences, as a client sees them: exporters, CPU access,
 * readiness, sync files. Nothing in here knows about IIO.
 *
 * Functions that can fail return a negative errno.
 */

#ifndef CONFORMANCE_DMABUF_H
#define CONFORMANCE_DMABUF_H

#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <linux/dma-buf.h>

#include "deadline.h"

/**
 * struct dmabuf - A DMABUF and its mapping
 * @fd: descriptor, -1 when free
 * @memfd: memfd behind it where the exporter is udmabuf, otherwise -1
 * @size: size in bytes, as the kernel tells it
 * @map: read and write mapping of all of it
 * @refs: references to it that are ours, see dmabuf_refs()
 */
struct dmabuf {
	int fd;
	int memfd;
	size_t size;
	uint8_t *map;
	long refs;
};

#define DMABUF_INIT	{ .fd = -1, .memfd = -1 }

/**
 * struct exporter - Where DMABUFs come from
 * @name: short name, part of test names
 * @defect: of the known kernels, the one why SYNC does not reach the devices
 * @present: whether this machine has it
 * @alloc: allocate a DMABUF of at least @size bytes
 */
struct exporter {
	const char *name;
	const char *defect;
	bool (*present)(void);
	int (*alloc)(struct dmabuf *d, size_t size);
};

extern const struct exporter exporters[];
extern const size_t nr_exporters;

const struct exporter *exporter_default(void);
const struct exporter *exporter_find(const char *name);
const struct exporter *exporter_synced(void);
int vgem_open(void);
int vgem_export(int drm, size_t size);

size_t page_size(void);

int dmabuf_alloc(struct dmabuf *d, const struct exporter *e, size_t size);
int dmabuf_from_memfd(struct dmabuf *d, int memfd, size_t offset, size_t size);
int dmabuf_from_pages(struct dmabuf *d, int memfd, const size_t *pages,
		      size_t nr_pages);
int memfd_for_udmabuf(size_t size);
void dmabuf_free(struct dmabuf *d);
int dmabuf_free_idle(struct dmabuf *d);

int dmabuf_sync(int fd, uint64_t flags);
int dmabuf_begin_cpu(const struct dmabuf *d);
int dmabuf_end_cpu(const struct dmabuf *d);
int dmabuf_poison(const struct dmabuf *d, uint8_t byte);
void pattern_fill(uint8_t *buf, size_t len, uint64_t seed);
ptrdiff_t pattern_mismatch(const uint8_t *buf, size_t len, uint64_t seed);
ptrdiff_t byte_mismatch(const uint8_t *buf, size_t len, uint8_t byte);
bool pattern_is_stale(const uint8_t *buf, size_t len, uint64_t seed,
		      const uint8_t *old, size_t nr_old);

/* Tells of the attachments of all DMABUFs, if debugfs is mounted */
#define DMABUF_BUFINFO	"/sys/kernel/debug/dma_buf/bufinfo"

#define POLL_BOTH	(POLLIN | POLLOUT)

int fd_poll(int fd, short events, int timeout_ms);
int fd_count(void);
long dmabuf_refs(int fd);
int dmabuf_wait_refs(int fd, long refs);
int dmabuf_attachments(int dmabuf_fd, char *name, size_t size);

int dmabuf_export(int fd, uint32_t flags);
int dmabuf_import(int fd, int sync_file, uint32_t flags);

/**
 * struct fence_info - The one fence of a sync file
 * @status: 0 pending, 1 signalled, negative errno: signalled with an error
 * @num_fences: number of fences behind the sync file
 * @timestamp: when the first one signalled, in ns of CLOCK_MONOTONIC; 0 while
 *	it is pending
 * @driver: driver name of the first one
 * @timeline: timeline name of the first one
 * @context: fence context, from the timeline in the name of the sync file
 * @seqno: sequence number, likewise
 *
 * Since Linux 6.17 fences that have signalled have no names any more, and no
 * numbers therefore. What follows @timestamp is filled in while pending only.
 */
struct fence_info {
	int status;
	unsigned int num_fences;
	uint64_t timestamp;
	char driver[32];
	char timeline[32];
	uint64_t context;
	uint64_t seqno;
};

int sync_file_info(int fd, struct fence_info *info);
int sync_file_status(int fd);
int sync_file_wait(int fd);
int sync_file_merge(int a, int b);
int sync_file_set_deadline(int fd, uint64_t ns);
int fence_result(int fd);

#endif /* CONFORMANCE_DMABUF_H */

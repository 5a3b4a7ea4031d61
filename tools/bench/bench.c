// SPDX-License-Identifier: GPL-2.0
/*
 * How fast a loopback pair moves DMABUFs, next to memcpy() on the same memory.
 *
 * For each block size, rings of DMABUFs are kept enqueued on both sides. The
 * rates of one run say nothing about another machine; their ratio says how much
 * the DMABUF interface and the driver cost. Rounds of both kinds alternate, and
 * the median of the ratios counts, so that a noisy neighbour hits both.
 *
 * memcpy() is measured at its best: by the page, because some libcs use
 * non-temporal stores for large calls, and to an address that is not congruent
 * with the source, because emulators look translations up in a small table that
 * is indexed by the page number, and crawl where two pages take turns in it.
 * The physical pages of the DMABUFs may be congruent; there is nothing to be
 * done about that but to let the emulator grow its table in a round that does
 * not count.
 */

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "kselftest.h"

#include "iio.h"
#include "suite.h"

#define DEPTH	4
#define ROUNDS	7
#define TOTAL	(64ul << 20)
#define SKEW	(5ul << 12)

struct ring {
	struct iio_buf buf;
	struct dmabuf d[DEPTH];
};

static void die(const char *what, int ret)
{
	fprintf(stderr, "bench: %s: %s\n", what, errno_name(-ret));
	exit(1);
}

static void must(const char *what, int ret)
{
	if (ret < 0)
		die(what, ret);
}

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);

	return ts.tv_sec + ts.tv_nsec * 1e-9;
}

static void ring_open(struct ring *r, const struct iio_dut *dut, size_t size)
{
	size_t i;

	must(dut->name, iio_buf_open(&r->buf, dut));
	for (i = 0; i < DEPTH; i++) {
		must("allocate", dmabuf_alloc(&r->d[i], exporter_default(),
					      size + SKEW));
		must("ATTACH", iio_attach(r->buf.fd, r->d[i].fd));
		must("SYNC", dmabuf_poison(&r->d[i], i));
	}
}

static void ring_close(struct ring *r)
{
	size_t i;

	iio_buf_close(&r->buf);
	for (i = 0; i < DEPTH; i++)
		dmabuf_free(&r->d[i]);
}

static void ring_enqueue(struct ring *r, size_t i, size_t size)
{
	must("ENQUEUE", iio_enqueue(r->buf.fd, r->d[i % DEPTH].fd, size));
}

static void ring_wait(struct ring *r, size_t i)
{
	if (fd_poll(r->d[i % DEPTH].fd, POLLOUT, DEADLINE_MS) != POLLOUT)
		die("a transfer did not complete", -ETIMEDOUT);
}

/* Bytes per second from @out to @in */
static double transfer_rate(struct ring *out, struct ring *in, size_t size)
{
	const size_t nr = TOTAL / size;
	double start;
	size_t i;

	must("enable", iio_enable(in->buf.dut));
	must("enable", iio_enable(out->buf.dut));

	start = now();
	for (i = 0; i < DEPTH; i++) {
		ring_enqueue(in, i, size);
		ring_enqueue(out, i, size);
	}
	for (i = 0; i < nr; i++) {
		ring_wait(in, i);
		ring_wait(out, i);
		if (i + DEPTH < nr) {
			ring_enqueue(in, i, size);
			ring_enqueue(out, i, size);
		}
	}
	start = now() - start;

	must("disable", iio_disable(out->buf.dut));
	must("disable", iio_disable(in->buf.dut));

	return TOTAL / start;
}

/* Bytes per second that memcpy() moves, page by page */
static double memcpy_rate(struct ring *out, struct ring *in, size_t size)
{
	const size_t nr = TOTAL / size;
	double start;
	size_t i, at;

	start = now();
	for (i = 0; i < nr; i++) {
		const uint8_t *from = out->d[i % DEPTH].map;
		uint8_t *to = in->d[i % DEPTH].map + SKEW;

		for (at = 0; at < size; at += page_size())
			memcpy(to + at, from + at, page_size());
	}

	return TOTAL / (now() - start);
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double median(double *v)
{
	qsort(v, ROUNDS, sizeof(*v), compare);

	return v[ROUNDS / 2];
}

int main(void)
{
	static const size_t sizes[] = { 1 << 20, 2 << 20, 4 << 20 };
	double dma[ROUNDS], cpu[ROUNDS], ratio[ROUNDS], r, worst = 0;
	struct ring out, in;
	size_t s, i;

	must(iio_discover_error(), iio_discover());
	if (!iio_loopback_out())
		die("IIO_DMABUF_LOOPBACK=OUT:IN is not set", -ENODEV);

	printf("%8s %12s %12s %6s\n", "MiB/s", "DMABUF", "memcpy", "ratio");
	for (s = 0; s < ARRAY_SIZE(sizes); s++) {
		ring_open(&out, iio_loopback_out(), sizes[s]);
		ring_open(&in, iio_loopback_in(), sizes[s]);
		transfer_rate(&out, &in, sizes[s]);
		for (i = 0; i < ROUNDS; i++) {
			cpu[i] = memcpy_rate(&out, &in, sizes[s]);
			dma[i] = transfer_rate(&out, &in, sizes[s]);
			ratio[i] = dma[i] / cpu[i];
		}
		ring_close(&out);
		ring_close(&in);

		r = median(ratio);
		printf("%4zu MiB %12.0f %12.0f %6.2f\n", sizes[s] >> 20,
		       median(dma) / (1 << 20), median(cpu) / (1 << 20), r);
		worst = s && worst < r ? worst : r;
	}
	printf("ratio: %.2f\n", worst);

	return 0;
}

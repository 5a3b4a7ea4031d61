// SPDX-License-Identifier: GPL-2.0
/*
 * How fast a loopback pair moves DMABUFs, next to memcpy() on the same memory,
 * and while somebody listens to the events of the driver, next to when nobody
 * does.
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
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "kselftest.h"

#include "control.h"
#include "iio.h"
#include "suite.h"

#define DEPTH	4
#define ROUNDS	7
#define LISTENER_ROUNDS	(6 * ROUNDS + 1)
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

/**
 * struct listener - Somebody who takes all events of the driver
 * @control: connection
 * @thread: who reads
 * @stop: no more rounds
 * @events: how many came
 */
struct listener {
	struct control control;
	pthread_t thread;
	bool stop;
	uint64_t events;
};

static void *listen_thread(void *arg)
{
	struct listener *l = arg;
	struct control_event e;
	int ret;

	while (!__atomic_load_n(&l->stop, __ATOMIC_ACQUIRE)) {
		ret = control_event(&l->control, &e, 10);
		if (!ret)
			l->events++;
		else if (ret != -ETIMEDOUT && ret != -ENOBUFS)
			die("events", ret);
	}

	return NULL;
}

/* transfer_rate() with a listener. Return: bytes per second. */
static double listened_rate(struct ring *out, struct ring *in, size_t size,
			    uint64_t *events)
{
	struct listener l = { 0 };
	double rate;
	int ret;

	ret = control_open(&l.control) ?: control_listen(&l.control, 0);
	if (ret)
		die(control_message(&l.control), ret);
	must("listener", -pthread_create(&l.thread, NULL, listen_thread, &l));

	rate = transfer_rate(out, in, size);

	__atomic_store_n(&l.stop, true, __ATOMIC_RELEASE);
	pthread_join(l.thread, NULL);
	control_close(&l.control);
	*events = l.events;

	return rate;
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double median_of(double *v, size_t nr)
{
	qsort(v, nr, sizeof(*v), compare);

	return v[nr / 2];
}

static double median(double *v)
{
	return median_of(v, ROUNDS);
}

/*
 * Rounds with and without alternate, and which is first as well. Return: the
 * median of the ratios.
 */
static double bench_listener(size_t size)
{
	double alone[LISTENER_ROUNDS], ratio[LISTENER_ROUNDS];
	double listened[LISTENER_ROUNDS], r;
	struct ring out, in;
	uint64_t events;
	size_t i;

	ring_open(&out, iio_loopback_out(), size);
	ring_open(&in, iio_loopback_in(), size);
	transfer_rate(&out, &in, size);
	for (i = 0; i < LISTENER_ROUNDS; i++) {
		if (i % 2)
			alone[i] = transfer_rate(&out, &in, size);
		listened[i] = listened_rate(&out, &in, size, &events);
		if (!(i % 2))
			alone[i] = transfer_rate(&out, &in, size);
		ratio[i] = listened[i] / alone[i];
	}
	ring_close(&out);
	ring_close(&in);

	r = median_of(ratio, LISTENER_ROUNDS);
	printf("%4zu KiB %12.0f %12.0f %6.2f %8" PRIu64 "\n", size >> 10,
	       median_of(listened, LISTENER_ROUNDS) / (1 << 20),
	       median_of(alone, LISTENER_ROUNDS) / (1 << 20), r, events);

	return r;
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
	printf("ratio: %.2f\n\n", worst);

	printf("%8s %12s %12s %6s %8s\n", "MiB/s", "listener", "none", "ratio",
	       "events");
	/* For comparison; who listens to so many events needs a CPU for it. */
	bench_listener(64 << 10);
	for (s = 0; s < ARRAY_SIZE(sizes); s++) {
		r = bench_listener(sizes[s]);
		worst = s && worst < r ? worst : r;
	}
	printf("listener: %.2f\n", worst);

	return 0;
}

// SPDX-License-Identifier: GPL-2.0
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <unistd.h>

#include "loop.h"

/* The largest block to measure with, how long is slow, and how often to try */
#define PROBE_MOST	0x40000
#define PROBE_NS	15000000ull
#define PROBE_TRIES	4

/* Milliseconds after which a pair does not work: for the tests to find out */
#define PROBE_MS	5000

#define INPUT_ALONE	"the input of the loopback pair fills DMABUFs while the output is disabled: tests need a pair that holds back"
#define OUTPUT_ALONE	"the output of the loopback pair sends while the input is disabled: tests need a pair that holds back"

/**
 * struct trial - The loopback pair
 * @out: output buffer
 * @in: input buffer
 * @tx: what the output sends
 * @rx: what the input fills
 */
struct trial {
	struct iio_buf out;
	struct iio_buf in;
	struct dmabuf tx;
	struct dmabuf rx;
};

/* 0 if that could not be measured */
static uint64_t bytes_per_second;
static const char *unfit;

static void trial_free(struct trial *p)
{
	dmabuf_free(&p->tx);
	dmabuf_free(&p->rx);
}

/* Have DMABUFs of @len bytes or more attached. */
static int trial_attach(struct trial *p, size_t len)
{
	if (p->tx.fd >= 0 && p->tx.size >= len && p->rx.size >= len)
		return 0;

	if (p->tx.fd >= 0) {
		iio_detach(p->out.fd, p->tx.fd);
		iio_detach(p->in.fd, p->rx.fd);
	}
	trial_free(p);

	return dmabuf_alloc(&p->tx, exporter_default(), len) ?:
	       dmabuf_alloc(&p->rx, exporter_default(), len) ?:
	       iio_attach(p->out.fd, p->tx.fd) ?:
	       iio_attach(p->in.fd, p->rx.fd);
}

static void trial_stop(const struct trial *p)
{
	iio_disable(p->out.dut);
	iio_disable(p->in.dut);
}

static bool ends_within(int fence, unsigned int ms)
{
	return fd_poll(fence, POLLIN, ms) == POLLIN &&
	       sync_file_status(fence) == 1;
}

/* Return: nanoseconds that @len bytes take, 0 if they do not go through. */
static uint64_t trial_measure(struct trial *p, size_t len)
{
	int in = -1, out = -1;
	uint64_t start, ns = 0;

	if (!trial_attach(p, len)) {
		in = iio_enqueue_fence(&p->in, &p->rx, len);
		out = iio_enqueue_fence(&p->out, &p->tx, len);
	}
	if (in >= 0 && out >= 0 && !iio_enable(p->in.dut)) {
		start = now_ns();
		if (!iio_enable(p->out.dut) && ends_within(out, PROBE_MS) &&
		    ends_within(in, PROBE_MS))
			ns = now_ns() - start;
	}
	trial_stop(p);

	if (in >= 0)
		close(in);
	if (out >= 0)
		close(out);

	return ns;
}

/* Whether @len bytes of @b are transferred with the other side disabled. */
static bool runs_alone(const struct trial *p, const struct iio_buf *b,
		       const struct dmabuf *d, size_t len, unsigned int ms)
{
	bool ended = false;
	int fence;

	fence = iio_enqueue_fence(b, d, len);
	if (fence >= 0 && !iio_enable(b->dut))
		ended = ends_within(fence, ms);
	trial_stop(p);
	if (fence >= 0)
		close(fence);

	return ended;
}

/**
 * loop_probe() - Learn about the loopback pair, once
 * @out: output buffer
 * @in: input buffer
 *
 * What goes wrong in here is for the tests to find.
 */
void loop_probe(const struct iio_dut *out, const struct iio_dut *in)
{
	struct trial p = {
		IIO_BUF_INIT, IIO_BUF_INIT, DMABUF_INIT, DMABUF_INIT,
	};
	size_t len, unit = iio_good_length(out, in);
	unsigned int ms, tries;
	uint64_t rate, ns;

	if (iio_buf_open(&p.out, out) || iio_buf_open(&p.in, in))
		goto out;

	/* A busy machine makes a pair look slow, but never fast. */
	for (len = unit; len <= PROBE_MOST || len == unit; len *= 4) {
		tries = 0;
		do {
			ns = trial_measure(&p, len);
			rate = ns ? len * 1000000000ull / ns : 0;
			if (rate > bytes_per_second)
				bytes_per_second = rate;
		} while (ns >= PROBE_NS && ++tries < PROBE_TRIES);
		if (!ns || tries == PROBE_TRIES)
			break;
	}
	if (!bytes_per_second)
		goto out;

	printf("# %s to %s: %" PRIu64 " KiB/s\n", out->name, in->name,
	       bytes_per_second / 1024);

	/* More than the time that both sides together take for as much */
	ms = 2000 * unit / bytes_per_second + 20;
	if (trial_attach(&p, unit))
		goto out;
	if (runs_alone(&p, &p.in, &p.rx, unit, ms))
		unfit = INPUT_ALONE;
	else if (runs_alone(&p, &p.out, &p.tx, unit, ms))
		unfit = OUTPUT_ALONE;
out:
	iio_buf_close(&p.out);
	iio_buf_close(&p.in);
	trial_free(&p);
}

/* Return: why nothing can be tested on this pair, NULL if it can. */
const char *loop_unfit(void)
{
	return unfit;
}

/**
 * loop_moves_within() - How much a test can afford to transfer
 * @ms: time that it has
 * @most: what it would do on a fast device
 *
 * Return: bytes, @most at most; may be less than any buffer takes.
 */
size_t loop_moves_within(unsigned int ms, size_t most)
{
	uint64_t bytes = bytes_per_second * ms / 1000;

	return bytes_per_second && bytes < most ? bytes : most;
}

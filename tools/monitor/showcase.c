// SPDX-License-Identifier: GPL-2.0
/*
 * A run with a bit of everything, for the monitor to show: an input that brings
 * a counter and an output that discards, on the step clock, each with a queue
 * of transfers of which some stall, end short, fail, or are terminated.
 */

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control.h"
#include "iio.h"
#include "instance.h"
#include "suite.h"

#define NAME	"showcase"
#define SHAPE	"clock=step source=counter sink=discard"
#define DEPTH	4	/* transfers that are enqueued at once */
#define STEPS	9	/* transfers of each channel that are released */
#define LEN	65536

/**
 * struct side - A buffer and its queue
 * @name: for messages
 * @buf: the buffer
 * @addr: its channel
 * @d: DMABUFs, which are enqueued in turns
 */
struct side {
	const char *name;
	struct iio_buf buf;
	struct control_addr addr;
	struct dmabuf d[DEPTH];
};

static void must(const char *what, int ret)
{
	if (ret >= 0)
		return;

	fprintf(stderr, "showcase: %s: %s\n", what, errno_name(-ret));
	exit(1);
}

static void must_control(const struct control *c, const char *what, int ret)
{
	if (ret >= 0)
		return;

	fprintf(stderr, "showcase: %s: %s\n", what, control_message(c));
	exit(1);
}

static void side_open(struct side *s, const struct iio_dut *dut,
		      uint32_t instance, uint32_t channel)
{
	size_t i;

	s->name = dut->name;
	s->addr = (struct control_addr){ instance, channel };
	must(s->name, iio_buf_open(&s->buf, dut));
	for (i = 0; i < DEPTH; i++) {
		must("allocate", dmabuf_alloc(&s->d[i], exporter_default(),
					      LEN));
		must("ATTACH", iio_attach(s->buf.fd, s->d[i].fd));
	}
	must("enable", iio_enable(dut));
}

static void side_close(struct side *s)
{
	size_t i;

	must("disable", iio_disable(s->buf.dut));
	iio_buf_close(&s->buf);
	for (i = 0; i < DEPTH; i++)
		dmabuf_free(&s->d[i]);
}

static void arm(struct control *c, const struct side *s, uint32_t kind,
		uint32_t nth, uint32_t bytes)
{
	const struct control_fault fault = {
		.addr = s->addr,
		.kind = kind,
		.nth = nth,
		.with_bytes = true,
		.bytes = bytes,
	};

	must_control(c, control_fault_name(kind), control_fault_add(c, &fault));
}

static void enqueue(struct side *s, size_t i)
{
	must("ENQUEUE", iio_enqueue(s->buf.fd, s->d[i % DEPTH].fd, LEN));
}

/* Wait for transfer @i, whatever comes of it. */
static void wait_for(struct side *s, size_t i)
{
	if (fd_poll(s->d[i % DEPTH].fd, POLLOUT, DEADLINE_MS) != POLLOUT)
		must(s->name, -ETIMEDOUT);
}

/* Let a transfer stall, see that it does, and let it go on. */
static void let_stall(struct control *c, struct side *s, size_t i)
{
	struct control_event e;

	do {
		must_control(c, "stall",
			     control_event_wait(c, s->addr,
						DMA_LOOPBACK_EVENT_TYPE_FAULTED,
						&e));
	} while (e.kind != DMA_LOOPBACK_FAULT_KIND_STALL);
	if (fd_poll(s->d[i % DEPTH].fd, POLLOUT, 0))
		must("poll of what has stalled", -EPROTO);
	must_control(c, "fault-del",
		     control_fault_del(c, s->addr.instance, e.fault));
}

int main(void)
{
	struct control c = CONTROL_INIT;
	struct instance inst;
	struct side in, out;
	size_t i;

	must_control(&c, "open", control_open(&c));
	must_control(&c, "listen", control_listen(&c, 0));
	must("instance", instance_make(&inst, NAME, SHAPE));
	side_open(&in, &inst.in, inst.number, DMA_LOOPBACK_CHANNEL_RX);
	side_open(&out, &inst.out, inst.number, DMA_LOOPBACK_CHANNEL_TX);

	arm(&c, &in, DMA_LOOPBACK_FAULT_KIND_STALL, 3, LEN / 2);
	arm(&c, &in, DMA_LOOPBACK_FAULT_KIND_READ_ERROR, 5, LEN / 4);
	arm(&c, &in, DMA_LOOPBACK_FAULT_KIND_SHORT, 7, LEN / 2);
	arm(&c, &out, DMA_LOOPBACK_FAULT_KIND_STALL, 6, LEN / 4);

	for (i = 0; i < DEPTH; i++) {
		enqueue(&in, i);
		enqueue(&out, i);
	}
	for (i = 0; i < STEPS; i++) {
		must_control(&c, "step", control_step(&c, in.addr, 1));
		must_control(&c, "step", control_step(&c, out.addr, 1));
		if (i == 2)
			let_stall(&c, &in, i);
		wait_for(&in, i);
		if (i == 5)
			let_stall(&c, &out, i);
		wait_for(&out, i);
		enqueue(&in, i + DEPTH);
		enqueue(&out, i + DEPTH);
	}
	/* Half of the next one, and of the others nothing */
	must_control(&c, "step", control_step_bytes(&c, in.addr, LEN / 2));
	must_control(&c, "progressed",
		     control_event_wait(&c, in.addr,
					DMA_LOOPBACK_EVENT_TYPE_PROGRESSED,
					&(struct control_event){}));

	side_close(&in);
	side_close(&out);
	must("rmdir", instance_remove(NAME));
	control_close(&c);

	return 0;
}

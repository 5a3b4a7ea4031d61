// SPDX-License-Identifier: GPL-2.0
/*
 * Events of the loopback DMA controller: what has happened, in which order
 *
 * An event gets its number and its time where it happens, and waits in a ring
 * for a work item that sends it to whoever listens. Nothing waits for
 * listeners: they lose what does not fit into the ring or into their receive
 * buffer, learn it (ENOBUFS), and see from the numbers how much that was.
 */

#include <kunit/visibility.h>
#include <linux/build_bug.h>
#include <linux/cleanup.h>
#include <linux/err.h>
#include <linux/gfp.h>
#include <linux/kconfig.h>
#include <linux/ktime.h>
#include <linux/lockdep.h>
#include <linux/skbuff.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/types.h>
#include <linux/workqueue.h>
#include <net/genetlink.h>
#include <net/net_namespace.h>

#include "dma-loopback-core.h"
#include "dma-loopback-genl.h"

/* Events that can wait for the work item, a power of two */
#define DMA_LOOPBACK_EVENTS	4096

/* Events that are worth being sent; fewer wait until somebody flushes them. */
#define DMA_LOOPBACK_EVENTS_BATCH	512

/**
 * struct dma_loopback_event - One event
 * @seq: its number
 * @ns: when it happened, CLOCK_MONOTONIC
 * @instance: number of the controller
 * @channel: which of its channels
 * @type: what has happened
 * @transfer: number of the transfer, 0: none
 * @cookie: its cookie, 0: none
 * @segs: number of its hardware segments
 * @len: its length
 * @done: bytes moved
 * @result: how it ended
 * @kind: of the fault
 * @fault: number of the fault
 */
struct dma_loopback_event {
	u64 seq;
	u64 ns;
	u32 instance;
	enum dma_loopback_channel channel;
	enum dma_loopback_event_type type;
	u64 transfer;
	dma_cookie_t cookie;
	u32 segs;
	u64 len;
	u64 done;
	struct dmaengine_result result;
	enum dma_loopback_fault_kind kind;
	u32 fault;
};

/**
 * struct dma_loopback_events - Events on their way
 * @lock: protects all below
 * @seq: number of the last event
 * @lost: since the work item has last looked, an event did not fit
 * @head: counts events put into the ring
 * @tail: counts events taken out of it
 * @ring: the events
 * @work: sends them
 */
struct dma_loopback_events {
	spinlock_t lock;	/* see above */
	u64 seq;
	bool lost;
	unsigned int head;
	unsigned int tail;
	struct dma_loopback_event *ring;
	struct work_struct work;
};

static struct dma_loopback_events dma_loopback_events;

/**
 * dma_loopback_event() - Something has happened
 * @lc: channel, vc.lock must be held
 * @type: what
 * @desc: to which transfer, NULL if to none
 * @fault: by which fault, NULL if by none
 */
void dma_loopback_event(struct dma_loopback_chan *lc,
			enum dma_loopback_event_type type,
			const struct dma_loopback_desc *desc,
			const struct dma_loopback_fault *fault)
{
	struct dma_loopback_events *events = &dma_loopback_events;
	struct dma_loopback_event *e;
	unsigned int queued;

	lockdep_assert_held(&lc->vc.lock);

	guard(spinlock)(&events->lock);

	events->seq++;
	if (!genl_has_listeners(&dma_loopback_nl_family, &init_net,
				DMA_LOOPBACK_NLGRP_EVENTS))
		return;

	queued = events->head - events->tail;
	if (queued == DMA_LOOPBACK_EVENTS) {
		events->lost = true;
		return;
	}

	if (queued >= DMA_LOOPBACK_EVENTS_BATCH)
		queue_work(system_unbound_wq, &events->work);

	e = &events->ring[events->head++ % DMA_LOOPBACK_EVENTS];
	*e = (struct dma_loopback_event) {
		.seq = events->seq,
		.ns = ktime_get_ns(),
		.instance = dma_loopback_of(lc)->instance,
		.channel = dma_loopback_channel(lc),
		.type = type,
	};
	if (desc) {
		e->transfer = desc->number;
		e->cookie = desc->vd.tx.cookie;
		e->segs = desc->segs;
		e->len = desc->len;
		e->done = desc->done;
		e->result = desc->vd.tx_result;
	}
	if (fault) {
		e->transfer = fault->transfer;
		e->kind = fault->kind;
		e->fault = fault->id;
	}
}

/**
 * dma_loopback_event_flush() - Send what there is, nothing may follow soon
 */
void dma_loopback_event_flush(void)
{
	struct dma_loopback_events *events = &dma_loopback_events;
	bool waiting;

	scoped_guard(spinlock_irqsave, &events->lock)
		waiting = events->head != events->tail;

	if (waiting)
		queue_work(system_unbound_wq, &events->work);
}

/**
 * dma_loopback_event_seq() - How many events there have been
 *
 * Return: number of the last one.
 */
u64 dma_loopback_event_seq(void)
{
	guard(spinlock_irqsave)(&dma_loopback_events.lock);

	return dma_loopback_events.seq;
}
EXPORT_SYMBOL_IF_KUNIT(dma_loopback_event_seq);

#if IS_ENABLED(CONFIG_KUNIT)
/**
 * dma_loopback_event_group() - Where a listener in the kernel gets events from
 *
 * Return: number of the netlink multicast group.
 */
int dma_loopback_event_group(void)
{
	return dma_loopback_nl_family.mcgrp_offset + DMA_LOOPBACK_NLGRP_EVENTS;
}
EXPORT_SYMBOL_IF_KUNIT(dma_loopback_event_group);
#endif

static int dma_loopback_event_put(struct sk_buff *skb,
				  const struct dma_loopback_event *e)
{
	void *hdr;

	hdr = genlmsg_put(skb, 0, 0, &dma_loopback_nl_family, 0,
			  DMA_LOOPBACK_CMD_EVENT);
	if (!hdr)
		return -EMSGSIZE;

	if (nla_put_uint(skb, DMA_LOOPBACK_A_EVENT_SEQ, e->seq) ||
	    nla_put_uint(skb, DMA_LOOPBACK_A_EVENT_NS, e->ns) ||
	    nla_put_u32(skb, DMA_LOOPBACK_A_EVENT_INSTANCE, e->instance) ||
	    nla_put_u32(skb, DMA_LOOPBACK_A_EVENT_CHANNEL, e->channel) ||
	    nla_put_u32(skb, DMA_LOOPBACK_A_EVENT_TYPE, e->type) ||
	    nla_put_uint(skb, DMA_LOOPBACK_A_EVENT_TRANSFER, e->transfer))
		goto err_cancel;

	if (e->segs &&
	    (nla_put_s32(skb, DMA_LOOPBACK_A_EVENT_COOKIE, e->cookie) ||
	     nla_put_uint(skb, DMA_LOOPBACK_A_EVENT_LENGTH, e->len) ||
	     nla_put_u32(skb, DMA_LOOPBACK_A_EVENT_SEGMENTS, e->segs)))
		goto err_cancel;

	if (e->done &&
	    nla_put_uint(skb, DMA_LOOPBACK_A_EVENT_BYTES, e->done))
		goto err_cancel;

	if (e->type == DMA_LOOPBACK_EVENT_TYPE_COMPLETED &&
	    (nla_put_uint(skb, DMA_LOOPBACK_A_EVENT_RESIDUE,
			  e->result.residue) ||
	     nla_put_u32(skb, DMA_LOOPBACK_A_EVENT_RESULT, e->result.result)))
		goto err_cancel;

	if (e->type == DMA_LOOPBACK_EVENT_TYPE_FAULTED &&
	    (nla_put_u32(skb, DMA_LOOPBACK_A_EVENT_KIND, e->kind) ||
	     nla_put_u32(skb, DMA_LOOPBACK_A_EVENT_FAULT, e->fault)))
		goto err_cancel;

	genlmsg_end(skb, hdr);

	return 0;

err_cancel:
	genlmsg_cancel(skb, hdr);

	return -EMSGSIZE;
}

/* Send as many as one datagram holds. Return: how many were there. */
static unsigned int dma_loopback_event_send(struct dma_loopback_events *events)
{
	unsigned int head, tail, sent;
	struct sk_buff *skb;
	bool lost;

	scoped_guard(spinlock_irqsave, &events->lock) {
		head = events->head;
		tail = events->tail;
		lost = events->lost;
		events->lost = false;
	}
	if (head == tail && !lost)
		return 0;

	skb = genlmsg_new(GENLMSG_DEFAULT_SIZE, GFP_KERNEL);
	for (sent = tail; skb && sent != head; sent++) {
		if (dma_loopback_event_put(skb, &events->ring[sent %
							DMA_LOOPBACK_EVENTS]))
			break;
	}

	/* Nobody but this work item takes events out. */
	scoped_guard(spinlock_irqsave, &events->lock)
		events->tail = skb ? sent : head;

	if (skb && sent != tail)
		genlmsg_multicast(&dma_loopback_nl_family, skb, 0,
				  DMA_LOOPBACK_NLGRP_EVENTS, GFP_KERNEL);
	else
		nlmsg_free(skb);
	if (!skb || lost)
		genl_set_err(&dma_loopback_nl_family, &init_net, 0,
			     DMA_LOOPBACK_NLGRP_EVENTS, -ENOBUFS);

	return head - tail;
}

static void dma_loopback_event_work(struct work_struct *work)
{
	struct dma_loopback_events *events =
		container_of(work, struct dma_loopback_events, work);

	while (dma_loopback_event_send(events))
		;
}

/**
 * dma_loopback_event_init() - To be called before any other function here
 *
 * Return: 0, or -ENOMEM.
 */
int dma_loopback_event_init(void)
{
	struct dma_loopback_events *events = &dma_loopback_events;

	BUILD_BUG_ON_NOT_POWER_OF_2(DMA_LOOPBACK_EVENTS);

	spin_lock_init(&events->lock);
	INIT_WORK(&events->work, dma_loopback_event_work);
	events->ring = kvcalloc(DMA_LOOPBACK_EVENTS, sizeof(*events->ring),
				GFP_KERNEL);

	return events->ring ? 0 : -ENOMEM;
}

/**
 * dma_loopback_event_exit() - To be called when nothing can happen any more
 *
 * The netlink family must still be there.
 */
void dma_loopback_event_exit(void)
{
	cancel_work_sync(&dma_loopback_events.work);
	kvfree(dma_loopback_events.ring);
}

// SPDX-License-Identifier: GPL-2.0
/*
 * Loopback DMA controller, a dmaengine provider without hardware
 *
 * One controller has two slave channels, TX (memory to device) and RX (device
 * to memory), and behaves like the scatter-gather engine between a converter
 * and memory. What TX sends is what RX receives: there is no FIFO between the
 * two, bytes are copied once, from the memory of the oldest TX transfer to the
 * memory of the oldest RX transfer, and each side completes when its own bytes
 * are done. A counter can replace TX as the source of RX, and TX can be thrown
 * away, so that one direction runs alone.
 *
 * The point of it is to be an exact and boring peer: strictly in order, no byte
 * more or less than asked for, nothing that depends on timing. It exists to
 * test the clients of dmaengine, the IIO DMABUF interface first of all.
 */

#include <kunit/visibility.h>
#include <linux/align.h>
#include <linux/bits.h>
#include <linux/cleanup.h>
#include <linux/device.h>
#include <linux/dma-direct.h>
#include <linux/dma-map-ops.h>
#include <linux/dma-mapping.h>
#include <linux/dmaengine.h>
#include <linux/highmem.h>
#include <linux/jiffies.h>
#include <linux/ktime.h>
#include <linux/limits.h>
#include <linux/list.h>
#include <linux/lockdep.h>
#include <linux/math64.h>
#include <linux/minmax.h>
#include <linux/mmzone.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/overflow.h>
#include <linux/pfn.h>
#include <linux/platform_device.h>
#include <linux/scatterlist.h>
#include <linux/sched.h>
#include <linux/sizes.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/string.h>
#include <linux/unaligned.h>
#include <linux/workqueue.h>

#include "dma-loopback-core.h"

/* Most bytes that move between two looks at the channels */
#define DMA_LOOPBACK_BURST	SZ_256K

#define DMA_LOOPBACK_WIDTHS	\
	(BIT(DMA_SLAVE_BUSWIDTH_1_BYTE) | BIT(DMA_SLAVE_BUSWIDTH_2_BYTES) | \
	 BIT(DMA_SLAVE_BUSWIDTH_4_BYTES) | BIT(DMA_SLAVE_BUSWIDTH_8_BYTES) | \
	 BIT(DMA_SLAVE_BUSWIDTH_16_BYTES))

/*
 * A transfer with DMA_PREP_REPEAT goes on until one with DMA_PREP_LOAD_EOT
 * waits behind it, see include/linux/dmaengine.h. That is defined for
 * interleaved transfers; cyclic peripheral vectors are to be built on it.
 */
static bool dma_loopback_repeats(struct dma_loopback_chan *lc,
				 struct dma_loopback_desc *desc)
{
	struct virt_dma_desc *next;

	lockdep_assert_held(&lc->vc.lock);

	if (!(desc->vd.tx.flags & DMA_PREP_REPEAT))
		return false;

	next = vchan_next_desc(&lc->vc);

	return !next || !(next->tx.flags & DMA_PREP_LOAD_EOT);
}

/* Report that the channel has come to a halt, in the middle of a transfer. */
static void dma_loopback_halt(struct dma_loopback_chan *lc,
			      enum dma_loopback_state state)
{
	struct dma_loopback_desc *desc = lc->active;

	lockdep_assert_held(&lc->vc.lock);

	lc->state = state;
	if (desc && desc->done != desc->reported) {
		desc->reported = desc->done;
		dma_loopback_event(lc, DMA_LOOPBACK_EVENT_TYPE_PROGRESSED, desc,
				   NULL);
	}
}

/* vchan_cookie_complete(), but what came later may be complete. */
static void dma_loopback_cookie_complete(struct dma_loopback_chan *lc,
					 struct dma_loopback_desc *desc)
{
	lockdep_assert_held(&lc->vc.lock);

	if (desc->vd.tx.cookie - lc->vc.chan.completed_cookie > 0) {
		vchan_cookie_complete(&desc->vd);
		return;
	}

	list_add_tail(&desc->vd.node, &lc->vc.desc_completed);
	tasklet_schedule(&lc->vc.task);
}

/* Keep a transfer that completes for its other completion, if it has one. */
static void dma_loopback_keep_twin(struct dma_loopback_chan *lc,
				   struct dma_loopback_desc *desc)
{
	struct dma_loopback_desc *twin;

	lockdep_assert_held(&lc->vc.lock);

	if (lc->twin ||
	    !dma_loopback_fault_is(desc, DMA_LOOPBACK_FAULT_KIND_DOUBLE))
		return;

	twin = kmemdup(desc, sizeof(*desc), GFP_ATOMIC);
	if (!twin)
		return;

	dma_loopback_fault_strike(lc, desc->fault, desc);
	desc->fault->state = DMA_LOOPBACK_FAULT_STATE_ACTIVE;
	desc->fault->desc = twin;
	desc->fault = NULL;
	lc->descriptors++;
	lc->twin = twin;
}

/* Complete a transfer once more, if its fault was deleted. */
static void dma_loopback_complete_twin(struct dma_loopback_chan *lc)
{
	struct dma_loopback_desc *twin = lc->twin;

	lockdep_assert_held(&lc->vc.lock);

	if (!twin || twin->fault)
		return;

	lc->twin = NULL;
	lc->counters.completed++;
	dma_loopback_event(lc, DMA_LOOPBACK_EVENT_TYPE_COMPLETED, twin, NULL);
	dma_loopback_cookie_complete(lc, twin);
}

/* The callback is going to be called by the tasklet of virt-dma. */
static void dma_loopback_complete(struct dma_loopback_chan *lc,
				  struct dma_loopback_desc *desc)
{
	lockdep_assert_held(&lc->vc.lock);

	dma_loopback_keep_twin(lc, desc);
	dma_loopback_fault_drop(desc);
	lc->counters.completed++;
	dma_loopback_event(lc, DMA_LOOPBACK_EVENT_TYPE_COMPLETED, desc, NULL);
	dma_loopback_cookie_complete(lc, desc);
}

/* Complete what was only waiting for others, or for its fault to be deleted. */
static void dma_loopback_complete_withheld(struct dma_loopback_chan *lc)
{
	struct dma_loopback_desc *desc = lc->withheld;

	lockdep_assert_held(&lc->vc.lock);

	if (desc) {
		lc->withheld = NULL;
		dma_loopback_complete(lc, desc);
	}
}

/**
 * dma_loopback_arrive() - Is the transfer done that has come to its limit?
 * @lc: channel
 * @desc: its active transfer, whose bytes are moved as far as they will be
 *
 * Return: false if a fault holds it.
 */
static bool dma_loopback_arrive(struct dma_loopback_chan *lc,
				struct dma_loopback_desc *desc)
{
	lockdep_assert_held(&lc->vc.lock);

	if (dma_loopback_fault_holds(lc, desc))
		return false;

	if (!dma_loopback_fault_ends(desc) && dma_loopback_repeats(lc, desc)) {
		dma_loopback_halt(lc, DMA_LOOPBACK_STATE_RUNNING);
		desc->released = false;
		desc->done = 0;
		desc->reported = 0;
		desc->vec = 0;
		return true;
	}

	lc->active = NULL;
	dma_loopback_fault_result(lc, desc);
	if (dma_loopback_fault_is(desc, DMA_LOOPBACK_FAULT_KIND_REORDER) &&
	    !lc->withheld) {
		desc->fault->state = DMA_LOOPBACK_FAULT_STATE_ACTIVE;
		dma_loopback_fault_strike(lc, desc->fault, desc);
		lc->withheld = desc;
		return true;
	}

	dma_loopback_complete(lc, desc);
	dma_loopback_complete_withheld(lc);

	return true;
}

/* The oldest transfer, taken up if it was not yet */
static struct dma_loopback_desc *dma_loopback_take(struct dma_loopback_chan *lc)
{
	struct virt_dma_desc *vd;

	lockdep_assert_held(&lc->vc.lock);

	if (lc->active)
		return lc->active;

	vd = vchan_next_desc(&lc->vc);
	if (!vd)
		return NULL;

	list_del(&vd->node);
	lc->active = to_dma_loopback_desc(vd);
	dma_loopback_event(lc, DMA_LOOPBACK_EVENT_TYPE_STARTED, lc->active,
			   NULL);

	if (dma_loopback_fault_is(lc->active, DMA_LOOPBACK_FAULT_KIND_SPLIT) ||
	    dma_loopback_fault_is(lc->active,
				  DMA_LOOPBACK_FAULT_KIND_COALESCE)) {
		dma_loopback_fault_strike(lc, lc->active->fault, lc->active);
		dma_loopback_fault_drop(lc->active);
	}

	return lc->active;
}

/**
 * dma_loopback_credit() - How many bytes the step clock lets through now
 * @lc: channel
 * @desc: its active transfer, which has to move or to end
 *
 * A transfer that was released as a whole needs no released bytes.
 *
 * Return: bytes, SIZE_MAX where the transfer or the clock needs no release.
 */
static size_t dma_loopback_credit(struct dma_loopback_chan *lc,
				  struct dma_loopback_desc *desc)
{
	const struct dma_loopback_pdata *shape = &dma_loopback_of(lc)->shape;
	u64 end;

	lockdep_assert_held(&lc->vc.lock);

	if (shape->clock != DMA_LOOPBACK_CLOCK_STEP)
		return SIZE_MAX;

	if (!desc->released && lc->credit_transfers) {
		desc->released = true;
		lc->credit_transfers--;
	}
	if (desc->released)
		return SIZE_MAX;

	/* A fault may have stopped it at any byte. */
	end = round_down(desc->done + lc->credit_bytes, (u64)shape->align);

	return end > desc->done ? min_t(u64, end - desc->done, SIZE_MAX) : 0;
}

/**
 * struct dma_loopback_span - The next bytes of a channel
 * @desc: the transfer, for dma_loopback_advance() only: once vc.lock is
 *	released it may be terminated at any time
 * @addr: DMA address
 * @len: how many of them one hardware segment holds, and the clock lets through
 * @wrong: which of them is to be inverted, from @len on: none
 */
struct dma_loopback_span {
	struct dma_loopback_desc *desc;
	dma_addr_t addr;
	size_t len;
	size_t wrong;
};

/**
 * dma_loopback_next() - Where the next bytes of a channel are
 * @lc: channel
 * @span: where to put the answer
 *
 * Return: false if there is nothing to do.
 */
static bool dma_loopback_next(struct dma_loopback_chan *lc,
			      struct dma_loopback_span *span)
{
	struct dma_loopback_desc *desc;
	const struct dma_vec *vec;
	size_t limit, credit;

	guard(spinlock_irqsave)(&lc->vc.lock);

	if (lc->withheld && !lc->withheld->fault)
		dma_loopback_complete_withheld(lc);
	dma_loopback_complete_twin(lc);

	for (;;) {
		desc = dma_loopback_take(lc);
		if (!desc) {
			dma_loopback_halt(lc, DMA_LOOPBACK_STATE_IDLE);
			return false;
		}

		limit = dma_loopback_fault_limit(desc);
		credit = SIZE_MAX;
		/* What has not moved at all does not end without credit. */
		if (desc->done < limit || !desc->done)
			credit = dma_loopback_credit(lc, desc);
		if (!credit) {
			dma_loopback_halt(lc, DMA_LOOPBACK_STATE_WAITING);
			return false;
		}
		if (desc->done < limit)
			break;

		if (!dma_loopback_arrive(lc, desc)) {
			dma_loopback_halt(lc, DMA_LOOPBACK_STATE_HELD);
			return false;
		}
	}

	lc->state = DMA_LOOPBACK_STATE_RUNNING;
	vec = &desc->vecs[desc->vec];
	span->desc = desc;
	span->addr = vec->addr + desc->vec_done;
	span->len = min3(vec->len - desc->vec_done, limit - desc->done, credit);
	if (desc->seg_size)
		span->len = min(span->len, desc->seg_size -
				desc->vec_done % desc->seg_size);
	span->wrong = SIZE_MAX;
	if (dma_loopback_fault_is(desc, DMA_LOOPBACK_FAULT_KIND_WRONG_BYTES) &&
	    desc->fault->bytes >= desc->done)
		span->wrong = desc->fault->bytes - desc->done;

	return true;
}

/**
 * dma_loopback_advance() - Account for bytes that were moved
 * @lc: channel
 * @span: where they are, from dma_loopback_next()
 * @len: number of bytes
 *
 * Does nothing if the transfer was terminated in the meantime.
 */
static void dma_loopback_advance(struct dma_loopback_chan *lc,
				 const struct dma_loopback_span *span,
				 size_t len)
{
	struct dma_loopback_desc *desc = span->desc;

	guard(spinlock_irqsave)(&lc->vc.lock);

	if (lc->active != desc)
		return;

	lc->counters.bytes += len;
	if (!desc->released)
		lc->credit_bytes -= min_t(u64, lc->credit_bytes, len);
	if (span->wrong < len && desc->fault) {
		dma_loopback_fault_strike(lc, desc->fault, desc);
		dma_loopback_fault_drop(desc);
	}

	desc->done += len;
	desc->vec_done += len;
	if (desc->vec_done == desc->vecs[desc->vec].len) {
		desc->vec++;
		desc->vec_done = 0;
	}

	if (desc->done >= dma_loopback_fault_limit(desc) &&
	    !dma_loopback_arrive(lc, desc))
		dma_loopback_halt(lc, DMA_LOOPBACK_STATE_HELD);
}

/* The channel has transfers, but has to wait for something. */
static void dma_loopback_wait(struct dma_loopback_chan *lc)
{
	guard(spinlock_irqsave)(&lc->vc.lock);

	if (lc->active)
		dma_loopback_halt(lc, DMA_LOOPBACK_STATE_WAITING);
}

/* Prep has checked that there is memory behind each address. */
static void *dma_loopback_map(struct dma_loopback *dl, dma_addr_t addr,
			      size_t *len)
{
	phys_addr_t phys = dma_to_phys(dl->ddev.dev, addr);

	/* Without highmem what is contiguous for the device is for the CPU. */
	if (IS_ENABLED(CONFIG_HIGHMEM))
		*len = min(*len, PAGE_SIZE - offset_in_page(phys));

	return kmap_local_pfn(PHYS_PFN(phys)) + offset_in_page(phys);
}

static void dma_loopback_copy(struct dma_loopback *dl, dma_addr_t dst,
			      dma_addr_t src, size_t len)
{
	size_t n;
	void *to, *from;

	for (; len; len -= n, dst += n, src += n) {
		n = len;
		to = dma_loopback_map(dl, dst, &n);
		from = dma_loopback_map(dl, src, &n);
		/* Memory that overlaps itself gets what hardware would do. */
		memcpy(to, from, n);
		kunmap_local(from);
		kunmap_local(to);
	}
}

static void dma_loopback_count(struct dma_loopback *dl, dma_addr_t dst,
			       size_t len)
{
	u64 pos = dl->counter;
	size_t n, i;
	u8 *to;

	for (; len; len -= n, dst += n) {
		n = len;
		to = dma_loopback_map(dl, dst, &n);
		for (i = 0; i < n && (pos % 4 || n - i < 4); i++, pos++)
			to[i] = (u32)(pos / 4) >> (8 * (pos % 4));
		for (; n - i >= 4; i += 4, pos += 4)
			put_unaligned_le32(pos / 4, to + i);
		for (; i < n; i++, pos++)
			to[i] = (u32)(pos / 4) >> (8 * (pos % 4));
		kunmap_local(to);
	}

	dl->counter = pos;
}

static void dma_loopback_invert(struct dma_loopback *dl, dma_addr_t addr)
{
	size_t n = 1;
	u8 *byte;

	byte = dma_loopback_map(dl, addr, &n);
	*byte = ~*byte;
	kunmap_local(byte);
}

/**
 * dma_loopback_budget() - How many bytes the rate clock lets through now
 * @dl: controller
 * @pace: pacing state of the channel
 * @rate: current rate, bytes per second
 *
 * Return: bytes, in units of the alignment.
 */
static size_t dma_loopback_budget(struct dma_loopback *dl,
				  struct dma_loopback_pace *pace, u64 rate)
{
	u64 due;

	if (dl->shape.clock != DMA_LOOPBACK_CLOCK_RATE)
		return DMA_LOOPBACK_BURST;

	if (!pace->running || rate != pace->rate) {
		pace->running = true;
		pace->since = ktime_get();
		pace->rate = rate;
		pace->moved = 0;
	}

	due = mul_u64_u64_div_u64(ktime_to_ns(ktime_sub(ktime_get(),
							pace->since)),
				  rate, NSEC_PER_SEC);
	due -= min(due, pace->moved);

	return round_down(min_t(u64, due, DMA_LOOPBACK_BURST),
			  dl->shape.align);
}

static u64 dma_loopback_rate(struct dma_loopback *dl,
			     const struct dma_loopback_chan *lc)
{
	struct dma_loopback_link *link = dl->shape.link;

	return atomic64_read(lc == &dl->tx ? &link->tx_rate : &link->rx_rate);
}

/**
 * enum dma_loopback_outcome - What the engine should do after a burst
 *
 * In ascending order: of two channels, the greater one counts.
 *
 * @DMA_LOOPBACK_IDLE: nothing until somebody wakes it
 * @DMA_LOOPBACK_WAIT: look again when the clock has advanced
 * @DMA_LOOPBACK_MORE: go on at once
 */
enum dma_loopback_outcome {
	DMA_LOOPBACK_IDLE,
	DMA_LOOPBACK_WAIT,
	DMA_LOOPBACK_MORE,
};

/* After a burst that could not be: whether time alone helps */
static enum dma_loopback_outcome
dma_loopback_blocked(struct dma_loopback_chan *lc)
{
	guard(spinlock_irqsave)(&lc->vc.lock);

	return lc->active && dma_loopback_fault_ticks(lc->active) ?
		DMA_LOOPBACK_WAIT : DMA_LOOPBACK_IDLE;
}

/* One burst of a channel that runs alone: TX to nowhere, or counter to RX. */
static enum dma_loopback_outcome
dma_loopback_burst_alone(struct dma_loopback *dl, struct dma_loopback_chan *lc,
			 struct dma_loopback_pace *pace)
{
	struct dma_loopback_span span;
	size_t len, budget;

	if (!dma_loopback_next(lc, &span)) {
		pace->running = false;
		return dma_loopback_blocked(lc);
	}

	budget = dma_loopback_budget(dl, pace, dma_loopback_rate(dl, lc));
	if (!budget) {
		dma_loopback_wait(lc);
		return DMA_LOOPBACK_WAIT;
	}

	len = min(span.len, budget);
	if (lc->dir == DMA_DEV_TO_MEM) {
		dma_loopback_count(dl, span.addr, len);
		if (span.wrong < len)
			dma_loopback_invert(dl, span.addr + span.wrong);
	}

	pace->moved += len;
	dma_loopback_advance(lc, &span, len);

	return DMA_LOOPBACK_MORE;
}

/* One burst from the oldest TX transfer to the oldest RX transfer. */
static enum dma_loopback_outcome
dma_loopback_burst_pair(struct dma_loopback *dl)
{
	struct dma_loopback_span tx, rx;
	bool sends, receives;
	size_t len, budget;

	sends = dma_loopback_next(&dl->tx, &tx);
	receives = dma_loopback_next(&dl->rx, &rx);
	if (!sends || !receives) {
		dl->tx_pace.running = false;
		if (sends)
			dma_loopback_wait(&dl->tx);
		if (receives)
			dma_loopback_wait(&dl->rx);
		return max(dma_loopback_blocked(&dl->tx),
			   dma_loopback_blocked(&dl->rx));
	}

	budget = dma_loopback_budget(dl, &dl->tx_pace,
				     min(dma_loopback_rate(dl, &dl->tx),
					 dma_loopback_rate(dl, &dl->rx)));
	if (!budget) {
		dma_loopback_wait(&dl->tx);
		dma_loopback_wait(&dl->rx);
		return DMA_LOOPBACK_WAIT;
	}

	len = min3(tx.len, rx.len, budget);
	dma_loopback_copy(dl, rx.addr, tx.addr, len);
	if (tx.wrong < len)
		dma_loopback_invert(dl, rx.addr + tx.wrong);
	if (rx.wrong < len)
		dma_loopback_invert(dl, rx.addr + rx.wrong);

	dl->tx_pace.moved += len;
	dma_loopback_advance(&dl->tx, &tx, len);
	dma_loopback_advance(&dl->rx, &rx, len);

	return DMA_LOOPBACK_MORE;
}

/* No burst of a channel that has no peer */
static void dma_loopback_no_burst(struct dma_loopback_chan *lc)
{
	struct dma_loopback_span span;

	if (dma_loopback_next(lc, &span))
		dma_loopback_wait(lc);
}

static void dma_loopback_work(struct work_struct *work)
{
	struct dma_loopback *dl =
		container_of(work, struct dma_loopback, work.work);
	enum dma_loopback_outcome tx, rx;
	unsigned long flushed = jiffies;

	do {
		tx = DMA_LOOPBACK_IDLE;
		rx = DMA_LOOPBACK_IDLE;

		scoped_guard(mutex, &dl->burst_lock) {
			if (dl->shape.discard)
				tx = dma_loopback_burst_alone(dl, &dl->tx,
							      &dl->tx_pace);
			if (dl->shape.counter)
				rx = dma_loopback_burst_alone(dl, &dl->rx,
							      &dl->rx_pace);
			if (!dl->shape.discard && !dl->shape.counter)
				tx = dma_loopback_burst_pair(dl);
			if (dl->shape.discard && !dl->shape.counter)
				dma_loopback_no_burst(&dl->rx);
			if (!dl->shape.discard && dl->shape.counter)
				dma_loopback_no_burst(&dl->tx);
		}

		/*
		 * A tasklet that was scheduled from process context waits for
		 * ksoftirqd. An interrupt would have run it by now.
		 */
		local_bh_disable();
		local_bh_enable();

		if (time_after(jiffies, flushed)) {
			flushed = jiffies;
			dma_loopback_event_flush();
		}

		cond_resched();
	} while (max(tx, rx) == DMA_LOOPBACK_MORE);

	dma_loopback_event_flush();

	if (max(tx, rx) == DMA_LOOPBACK_WAIT)
		queue_delayed_work(dl->wq, &dl->work, 1);
}

/**
 * dma_loopback_kick() - Have the engine look at its channels
 * @dl: controller
 *
 * Does not sleep. To be called when something may have changed for the engine.
 */
void dma_loopback_kick(struct dma_loopback *dl)
{
	mod_delayed_work(dl->wq, &dl->work, 0);
}

/**
 * dma_loopback_step() - Have the step clock of a channel let more through
 * @lc: channel
 * @transfers: number of transfers to release
 * @bytes: number of bytes to release
 */
void dma_loopback_step(struct dma_loopback_chan *lc, u32 transfers, u32 bytes)
{
	scoped_guard(spinlock_irqsave, &lc->vc.lock) {
		lc->credit_transfers += transfers;
		lc->credit_bytes += bytes;
	}

	dma_loopback_kick(dma_loopback_of(lc));
}
EXPORT_SYMBOL_IF_KUNIT(dma_loopback_step);

/**
 * dma_loopback_prep() - Allocate a transfer and check what can be checked
 * @lc: channel
 * @nvecs: number of vectors the caller will fill in
 * @dir: direction the client asked for
 *
 * Does not sleep: the IIO DMABUF interface prepares within the signalling
 * section of a DMA fence.
 *
 * Return: the transfer, NULL if it is refused.
 */
static struct dma_loopback_desc *
dma_loopback_prep(struct dma_loopback_chan *lc, size_t nvecs,
		  enum dma_transfer_direction dir)
{
	struct dma_loopback_desc *desc;
	u64 number;

	if (dir != lc->dir || !nvecs)
		return NULL;

	desc = kzalloc(struct_size(desc, vecs, nvecs), GFP_NOWAIT);
	scoped_guard(spinlock_irqsave, &lc->vc.lock) {
		number = ++lc->counters.prepared;
		if (dma_loopback_fault_prep(lc, number, desc))
			goto refuse;
	}

	desc->number = number;
	desc->nvecs = nvecs;

	return desc;

refuse:
	kfree(desc);

	return NULL;
}

/* The engine reaches memory through the kernel's mapping of its page. */
static bool dma_loopback_reachable(struct dma_loopback *dl,
				   const struct dma_vec *vec)
{
	phys_addr_t phys = dma_to_phys(dl->ddev.dev, vec->addr);

	return pfn_valid(PHYS_PFN(phys)) &&
	       pfn_valid(PHYS_PFN(phys + vec->len - 1));
}

static void dma_loopback_free_desc(struct dma_loopback_chan *lc,
				   struct dma_loopback_desc *desc)
{
	scoped_guard(spinlock_irqsave, &lc->vc.lock) {
		dma_loopback_fault_drop(desc);
		lc->descriptors--;
	}
	kfree(desc);
}

static void dma_loopback_desc_free(struct virt_dma_desc *vd)
{
	dma_loopback_free_desc(to_dma_loopback_chan(vd->tx.chan),
			       to_dma_loopback_desc(vd));
}

/* One hardware segment for vectors that touch */
static void dma_loopback_coalesce(struct dma_loopback_desc *desc)
{
	struct dma_vec *last = desc->vecs;
	size_t i;

	for (i = 1; i < desc->nvecs; i++) {
		const struct dma_vec *vec = &desc->vecs[i];

		if (vec->addr == last->addr + last->len)
			last->len += vec->len;
		else
			*++last = *vec;
	}

	desc->nvecs = last - desc->vecs + 1;
}

static dma_cookie_t dma_loopback_tx_submit(struct dma_async_tx_descriptor *tx)
{
	struct virt_dma_desc *vd = container_of(tx, struct virt_dma_desc, tx);
	struct dma_loopback_chan *lc = to_dma_loopback_chan(tx->chan);
	struct dma_loopback_desc *desc = to_dma_loopback_desc(vd);
	dma_cookie_t cookie;
	int ret;

	scoped_guard(spinlock_irqsave, &lc->vc.lock) {
		ret = dma_loopback_fault_submit(lc, desc);
		if (!ret) {
			cookie = dma_cookie_assign(tx);
			list_move_tail(&vd->node, &lc->vc.desc_submitted);
			lc->counters.submitted++;
			dma_loopback_event(lc,
					   DMA_LOOPBACK_EVENT_TYPE_SUBMITTED,
					   desc, NULL);
			return cookie;
		}

		list_del(&vd->node);
	}

	/* The client has given it away, and cannot free it. */
	dma_loopback_desc_free(vd);

	return ret;
}

/* Hand a transfer with its vectors filled in to virt-dma, or refuse it. */
static struct dma_async_tx_descriptor *
dma_loopback_prep_done(struct dma_loopback_chan *lc,
		       struct dma_loopback_desc *desc, unsigned long flags)
{
	struct dma_loopback *dl = dma_loopback_of(lc);
	const struct dma_loopback_pdata *shape = &dl->shape;
	struct dma_async_tx_descriptor *tx;
	bool coalesce = false;
	size_t i;

	desc->seg_size = shape->max_seg_size;
	scoped_guard(spinlock_irqsave, &lc->vc.lock) {
		lc->descriptors++;
		dma_loopback_fault_bind(lc, desc);
		if (dma_loopback_fault_is(desc, DMA_LOOPBACK_FAULT_KIND_SPLIT))
			desc->seg_size = min_not_zero(desc->fault->bytes,
						      shape->max_seg_size);
		if (dma_loopback_fault_is(desc,
					  DMA_LOOPBACK_FAULT_KIND_COALESCE))
			coalesce = true;
	}

	for (i = 0; i < desc->nvecs; i++) {
		const struct dma_vec *vec = &desc->vecs[i];

		if (!vec->len || !dma_loopback_reachable(dl, vec) ||
		    !IS_ALIGNED(vec->addr | vec->len, shape->align) ||
		    check_add_overflow(desc->len, vec->len, &desc->len))
			goto refuse;
	}

	if (coalesce)
		dma_loopback_coalesce(desc);
	desc->segs = desc->nvecs;
	for (i = 0; desc->seg_size && i < desc->nvecs; i++)
		desc->segs += (desc->vecs[i].len - 1) / desc->seg_size;

	if (shape->max_segs && desc->segs > shape->max_segs)
		goto refuse;

	tx = vchan_tx_prep(&lc->vc, &desc->vd, flags);
	tx->tx_submit = dma_loopback_tx_submit;

	return tx;

refuse:
	dma_loopback_free_desc(lc, desc);

	return NULL;
}

static struct dma_async_tx_descriptor *
dma_loopback_prep_peripheral_dma_vec(struct dma_chan *chan,
				     const struct dma_vec *vecs, size_t nents,
				     enum dma_transfer_direction dir,
				     unsigned long flags)
{
	struct dma_loopback_chan *lc = to_dma_loopback_chan(chan);
	struct dma_loopback_desc *desc;

	desc = dma_loopback_prep(lc, nents, dir);
	if (!desc)
		return NULL;

	/* The client may free its array as soon as this returns. */
	memcpy(desc->vecs, vecs, nents * sizeof(*vecs));

	return dma_loopback_prep_done(lc, desc, flags);
}

static struct dma_async_tx_descriptor *
dma_loopback_prep_slave_sg(struct dma_chan *chan, struct scatterlist *sgl,
			   unsigned int sg_len, enum dma_transfer_direction dir,
			   unsigned long flags, void *context)
{
	struct dma_loopback_chan *lc = to_dma_loopback_chan(chan);
	struct dma_loopback_desc *desc;
	struct scatterlist *sg;
	unsigned int i;

	desc = dma_loopback_prep(lc, sg_len, dir);
	if (!desc)
		return NULL;

	for_each_sg(sgl, sg, sg_len, i) {
		desc->vecs[i].addr = sg_dma_address(sg);
		desc->vecs[i].len = sg_dma_len(sg);
	}

	return dma_loopback_prep_done(lc, desc, flags);
}

static int dma_loopback_config(struct dma_chan *chan,
			       struct dma_slave_config *config)
{
	struct dma_loopback_chan *lc = to_dma_loopback_chan(chan);
	enum dma_slave_buswidth width = lc->dir == DMA_MEM_TO_DEV ?
		config->dst_addr_width : config->src_addr_width;

	/* There is no bus: a width that the caps advertise is all there is. */
	if (width && (width > DMA_LOOPBACK_ALIGN_MAX ||
		      !(chan->device->dst_addr_widths & BIT(width))))
		return -EINVAL;

	return 0;
}

static void dma_loopback_issue_pending(struct dma_chan *chan)
{
	struct dma_loopback_chan *lc = to_dma_loopback_chan(chan);
	struct virt_dma_desc *vd;
	bool issued;

	scoped_guard(spinlock_irqsave, &lc->vc.lock) {
		list_for_each_entry(vd, &lc->vc.desc_submitted, node)
			dma_loopback_event(lc, DMA_LOOPBACK_EVENT_TYPE_ISSUED,
					   to_dma_loopback_desc(vd), NULL);
		issued = vchan_issue_pending(&lc->vc);
	}

	if (issued)
		dma_loopback_kick(to_dma_loopback(chan->device));
}

static enum dma_status dma_loopback_tx_status(struct dma_chan *chan,
					      dma_cookie_t cookie,
					      struct dma_tx_state *state)
{
	struct dma_loopback_chan *lc = to_dma_loopback_chan(chan);
	struct dma_loopback_desc *desc = NULL;
	struct virt_dma_desc *vd;
	enum dma_status status;
	unsigned long flags;

	spin_lock_irqsave(&lc->vc.lock, flags);

	status = dma_cookie_status(chan, cookie, state);
	if (status == DMA_COMPLETE)
		goto out;

	vd = vchan_find_desc(&lc->vc, cookie);
	if (lc->active && lc->active->vd.tx.cookie == cookie) {
		desc = lc->active;
	} else if (vd) {
		desc = to_dma_loopback_desc(vd);
	} else {
		list_for_each_entry(vd, &lc->vc.desc_submitted, node) {
			if (vd->tx.cookie == cookie)
				desc = to_dma_loopback_desc(vd);
		}
	}

	if (desc)
		dma_set_residue(state, min(desc->len - desc->done, U32_MAX));
out:
	spin_unlock_irqrestore(&lc->vc.lock, flags);

	return status;
}

/* Take a transfer that is on no list any more off the channel. */
static void dma_loopback_terminate(struct dma_loopback_chan *lc,
				   struct dma_loopback_desc *desc)
{
	const struct dma_loopback_fault *fault = desc->fault;
	struct list_head *list = &lc->vc.desc_terminated;

	lockdep_assert_held(&lc->vc.lock);

	if (fault && fault->state == DMA_LOOPBACK_FAULT_STATE_ACTIVE) {
		switch (fault->kind) {
		case DMA_LOOPBACK_FAULT_KIND_BEFORE_TERMINATE:
			dma_loopback_complete(lc, desc);
			return;
		case DMA_LOOPBACK_FAULT_KIND_AFTER_TERMINATE:
			list = &lc->late;
			break;
		case DMA_LOOPBACK_FAULT_KIND_AFTER_SYNCHRONIZE:
			list = &lc->stray;
			break;
		default:
			break;
		}
	}

	lc->counters.terminated++;
	dma_loopback_event(lc, DMA_LOOPBACK_EVENT_TYPE_TERMINATED, desc, NULL);
	dma_loopback_fault_drop(desc);
	list_add_tail(&desc->vd.node, list);
}

static void dma_loopback_terminate_list(struct dma_loopback_chan *lc,
					struct list_head *list)
{
	struct virt_dma_desc *vd, *next;

	list_for_each_entry_safe(vd, next, list, node) {
		list_del(&vd->node);
		dma_loopback_terminate(lc, to_dma_loopback_desc(vd));
	}
}

static int dma_loopback_terminate_all(struct dma_chan *chan)
{
	struct dma_loopback_chan *lc = to_dma_loopback_chan(chan);

	guard(spinlock_irqsave)(&lc->vc.lock);

	dma_loopback_complete_twin(lc);
	if (lc->twin) {
		dma_loopback_fault_drop(lc->twin);
		list_add_tail(&lc->twin->vd.node, &lc->vc.desc_terminated);
		lc->twin = NULL;
	}

	/*
	 * The engine may be in the middle of a copy from or to the active
	 * transfer: nothing is freed before device_synchronize().  Transfers
	 * that are complete stay so, their callbacks are not taken back.
	 */
	if (lc->withheld)
		dma_loopback_terminate(lc, lc->withheld);
	if (lc->active)
		dma_loopback_terminate(lc, lc->active);
	lc->withheld = NULL;
	lc->active = NULL;
	dma_loopback_terminate_list(lc, &lc->vc.desc_issued);
	dma_loopback_terminate_list(lc, &lc->vc.desc_submitted);

	lc->credit_transfers = 0;
	lc->credit_bytes = 0;
	lc->state = DMA_LOOPBACK_STATE_IDLE;

	return 0;
}

/* Complete what was terminated. */
static void dma_loopback_complete_list(struct dma_loopback_chan *lc,
				       struct list_head *list)
{
	struct virt_dma_desc *vd, *next;

	lockdep_assert_held(&lc->vc.lock);

	list_for_each_entry_safe(vd, next, list, node) {
		list_del(&vd->node);
		dma_loopback_complete(lc, to_dma_loopback_desc(vd));
	}
}

static void dma_loopback_synchronize(struct dma_chan *chan)
{
	struct dma_loopback_chan *lc = to_dma_loopback_chan(chan);
	struct dma_loopback *dl = to_dma_loopback(chan->device);

	/*
	 * Wait for the burst that may be using a terminated transfer, and for
	 * no more than that: the other channel may keep the engine busy.
	 */
	mutex_lock(&dl->burst_lock);
	mutex_unlock(&dl->burst_lock);

	scoped_guard(spinlock_irqsave, &lc->vc.lock)
		dma_loopback_complete_list(lc, &lc->late);

	vchan_synchronize(&lc->vc);

	scoped_guard(spinlock_irqsave, &lc->vc.lock) {
		dma_loopback_event(lc, DMA_LOOPBACK_EVENT_TYPE_SYNCHRONIZED,
				   NULL, NULL);
		dma_loopback_complete_list(lc, &lc->stray);
	}

	dma_loopback_event_flush();
}

static void dma_loopback_free_chan_resources(struct dma_chan *chan)
{
	struct dma_loopback_chan *lc = to_dma_loopback_chan(chan);

	dma_loopback_terminate_all(chan);
	scoped_guard(spinlock_irqsave, &lc->vc.lock)
		list_splice_tail_init(&lc->stray, &lc->vc.desc_terminated);
	dma_loopback_synchronize(chan);
	vchan_free_chan_resources(&lc->vc);
}

/**
 * dma_loopback_queued() - How many transfers have been submitted and not ended
 * @lc: channel, vc.lock must be held
 *
 * Return: their number.
 */
u32 dma_loopback_queued(struct dma_loopback_chan *lc)
{
	lockdep_assert_held(&lc->vc.lock);

	return !!lc->active + !!lc->withheld +
	       list_count_nodes(&lc->vc.desc_submitted) +
	       list_count_nodes(&lc->vc.desc_issued);
}

static bool dma_loopback_filter(struct dma_chan *chan, void *param)
{
	return chan == param;
}

static void dma_loopback_chan_init(struct dma_loopback *dl,
				   struct dma_loopback_chan *lc,
				   enum dma_transfer_direction dir)
{
	lc->dir = dir;
	lc->vc.desc_free = dma_loopback_desc_free;
	INIT_LIST_HEAD(&lc->late);
	INIT_LIST_HEAD(&lc->stray);
	INIT_LIST_HEAD(&lc->faults);
	vchan_init(&lc->vc, &dl->ddev);
}

static void dma_loopback_free(struct dma_loopback *dl)
{
	if (!dl)
		return;

	mutex_destroy(&dl->burst_lock);
	kfree(dl->shape.name);
	kfree(dl->shape.consumer);
	kfree(dl);
}

DEFINE_FREE(dma_loopback, struct dma_loopback *, dma_loopback_free(_T))

static void dma_loopback_release(struct dma_device *ddev)
{
	struct dma_loopback *dl = to_dma_loopback(ddev);

	/* A paced engine may be waiting for its clock without any transfer. */
	cancel_delayed_work_sync(&dl->work);
	destroy_workqueue(dl->wq);
	dma_loopback_free(dl);
}

static int dma_loopback_probe(struct platform_device *pdev)
{
	const struct dma_loopback_pdata *pdata = dev_get_platdata(&pdev->dev);
	struct device *dev = &pdev->dev;
	struct dma_device *ddev;
	int ret;

	if (!pdata)
		return dev_err_probe(dev, -ENODEV, "no platform data\n");

	/* dma_to_phys() inverts the direct mapping only. */
	if (device_iommu_mapped(dev) || get_dma_ops(dev))
		return dev_err_probe(dev, -ENODEV, "not mapped directly\n");

	ret = dma_set_mask_and_coherent(dev, DMA_BIT_MASK(64));
	if (ret)
		return dev_err_probe(dev, ret, "no 64-bit DMA mask\n");

#if defined(CONFIG_ARCH_HAS_SYNC_DMA_FOR_DEVICE) || \
	defined(CONFIG_ARCH_HAS_SYNC_DMA_FOR_CPU) || \
	defined(CONFIG_ARCH_HAS_SYNC_DMA_FOR_CPU_ALL)
	/* The engine is the CPU, nothing describes that to the platform. */
	dev->dma_coherent = true;
#endif

	/* Splitting is done here, clients need not know the limit. */
	dma_set_max_seg_size(dev, UINT_MAX);

	struct dma_loopback *dl __free(dma_loopback) =
		kzalloc(sizeof(*dl), GFP_KERNEL);
	if (!dl)
		return -ENOMEM;

	mutex_init(&dl->burst_lock);
	dl->shape = *pdata;
	dl->shape.consumer = kstrdup(pdata->consumer, GFP_KERNEL);
	dl->shape.name = kstrndup(pdata->name ?: dev_name(dev),
				  DMA_LOOPBACK_NAME_LEN, GFP_KERNEL);
	if (!dl->shape.consumer || !dl->shape.name)
		return -ENOMEM;
	dl->instance = pdev->id;
	INIT_DELAYED_WORK(&dl->work, dma_loopback_work);

	ddev = &dl->ddev;
	ddev->dev = dev;
	INIT_LIST_HEAD(&ddev->channels);
	dma_cap_set(DMA_SLAVE, ddev->cap_mask);
	dma_cap_set(DMA_PRIVATE, ddev->cap_mask);
	dma_cap_set(DMA_REPEAT, ddev->cap_mask);
	dma_cap_set(DMA_LOAD_EOT, ddev->cap_mask);
	ddev->directions = BIT(DMA_MEM_TO_DEV) | BIT(DMA_DEV_TO_MEM);
	/* Clients take the smallest width for the alignment of a transfer. */
	ddev->src_addr_widths = DMA_LOOPBACK_WIDTHS & ~(BIT(pdata->align) - 1);
	ddev->dst_addr_widths = ddev->src_addr_widths;
	ddev->residue_granularity = DMA_RESIDUE_GRANULARITY_BURST;
	if (!pdata->no_vectors)
		ddev->device_prep_peripheral_dma_vec =
			dma_loopback_prep_peripheral_dma_vec;
	ddev->device_prep_slave_sg = dma_loopback_prep_slave_sg;
	ddev->device_config = dma_loopback_config;
	ddev->device_issue_pending = dma_loopback_issue_pending;
	ddev->device_tx_status = dma_loopback_tx_status;
	ddev->device_terminate_all = dma_loopback_terminate_all;
	ddev->device_synchronize = dma_loopback_synchronize;
	ddev->device_free_chan_resources = dma_loopback_free_chan_resources;
	ddev->device_release = dma_loopback_release;

	dma_loopback_chan_init(dl, &dl->tx, DMA_MEM_TO_DEV);
	dma_loopback_chan_init(dl, &dl->rx, DMA_DEV_TO_MEM);

	dl->map[0] = (struct dma_slave_map) {
		.devname = dl->shape.consumer,
		.slave = DMA_LOOPBACK_CHAN_TX,
		.param = &dl->tx.vc.chan,
	};
	dl->map[1] = (struct dma_slave_map) {
		.devname = dl->shape.consumer,
		.slave = DMA_LOOPBACK_CHAN_RX,
		.param = &dl->rx.vc.chan,
	};
	ddev->filter.map = dl->map;
	ddev->filter.mapcnt = ARRAY_SIZE(dl->map);
	ddev->filter.fn = dma_loopback_filter;

	dl->wq = alloc_workqueue("%s", WQ_UNBOUND | WQ_HIGHPRI | WQ_MEM_RECLAIM,
				 1, dev_name(dev));
	if (!dl->wq)
		return -ENOMEM;

	ret = dma_async_device_register(ddev);
	if (ret) {
		destroy_workqueue(dl->wq);
		return dev_err_probe(dev, ret, "cannot register with dmaengine\n");
	}

	dma_loopback_fault_init(dl);
	dma_loopback_nl_add(dl);
	platform_set_drvdata(pdev, no_free_ptr(dl));

	return 0;
}

static void dma_loopback_remove(struct platform_device *pdev)
{
	struct dma_loopback *dl = platform_get_drvdata(pdev);

	dma_loopback_nl_del(dl);
	dl->shape.link->start = NULL;

	/* May free dl, by dma_loopback_release(). */
	dma_async_device_unregister(&dl->ddev);
}

static struct platform_driver dma_loopback_driver = {
	.driver = {
		.name = DMA_LOOPBACK_DRV_NAME,
		/* Who creates the device wants to know whether it works. */
		.probe_type = PROBE_FORCE_SYNCHRONOUS,
	},
	.probe = dma_loopback_probe,
	.remove = dma_loopback_remove,
};

static int __init dma_loopback_init(void)
{
	int ret;

	ret = dma_loopback_nl_init();
	if (ret)
		return ret;

	ret = dma_loopback_event_init();
	if (ret)
		goto err_nl;

	ret = platform_driver_register(&dma_loopback_driver);
	if (ret)
		goto err_event;

	return 0;

err_event:
	dma_loopback_event_exit();
err_nl:
	dma_loopback_nl_exit();

	return ret;
}
module_init(dma_loopback_init);

static void __exit dma_loopback_exit(void)
{
	platform_driver_unregister(&dma_loopback_driver);
	dma_loopback_event_exit();
	dma_loopback_nl_exit();
}
module_exit(dma_loopback_exit);

MODULE_DESCRIPTION("Loopback DMA controller for tests");
MODULE_LICENSE("GPL");
MODULE_ALIAS("platform:" DMA_LOOPBACK_DRV_NAME);
MODULE_INFO(test, "Y");

// SPDX-License-Identifier: GPL-2.0
/*
 * Faults of the loopback DMA controller: what is to go wrong, in which transfer
 *
 * A fault waits in the list of its channel until its transfer is prepared, goes
 * with that, and is gone once it has had its effect. Random faults, by the
 * rates of the kernel's fault-injection attributes, are on no list.
 */

#include <kunit/visibility.h>
#include <linux/cleanup.h>
#include <linux/dmaengine.h>
#include <linux/err.h>
#include <linux/fault-inject.h>
#include <linux/ktime.h>
#include <linux/limits.h>
#include <linux/list.h>
#include <linux/lockdep.h>
#include <linux/minmax.h>
#include <linux/slab.h>
#include <linux/spinlock.h>

#include "dma-loopback-core.h"

static bool dma_loopback_fault_of_start(enum dma_loopback_fault_kind kind)
{
	return kind == DMA_LOOPBACK_FAULT_KIND_ENABLE_BEFORE ||
	       kind == DMA_LOOPBACK_FAULT_KIND_ENABLE_AFTER;
}

/* The fault for transfer @number, or where @start is set for start @number */
static struct dma_loopback_fault *
dma_loopback_fault_find(struct dma_loopback_chan *lc, bool start, u64 number)
{
	struct dma_loopback_fault *fault;

	lockdep_assert_held(&lc->vc.lock);

	list_for_each_entry(fault, &lc->faults, node) {
		if (dma_loopback_fault_of_start(fault->kind) == start &&
		    fault->transfer == number)
			return fault;
	}

	return NULL;
}

static void dma_loopback_fault_free(struct dma_loopback_fault *fault)
{
	if (fault->desc)
		fault->desc->fault = NULL;
	list_del(&fault->node);
	kfree(fault);
}

/**
 * dma_loopback_fault_strike() - A fault has its effect, now
 * @lc: channel
 * @fault: fault
 * @desc: the transfer, NULL if there is none
 */
void dma_loopback_fault_strike(struct dma_loopback_chan *lc,
			       const struct dma_loopback_fault *fault,
			       const struct dma_loopback_desc *desc)
{
	lockdep_assert_held(&lc->vc.lock);

	lc->counters.faulted++;
	dma_loopback_event(lc, DMA_LOOPBACK_EVENT_TYPE_FAULTED, desc, fault);
	/* The engine may know nothing of it. */
	dma_loopback_event_flush();
}

/* A fault that is on no list, because it was not asked for */
static void dma_loopback_fault_random(struct dma_loopback_chan *lc,
				      enum dma_loopback_fault_kind kind,
				      u64 transfer,
				      const struct dma_loopback_desc *desc)
{
	const struct dma_loopback_fault fault = {
		.kind = kind,
		.transfer = transfer,
	};

	dma_loopback_fault_strike(lc, &fault, desc);
}

/**
 * dma_loopback_fault_prep() - Is this transfer not to be prepared?
 * @lc: channel, vc.lock must be held
 * @number: number of the transfer
 * @possible: it could be prepared otherwise
 *
 * Return: true if it is to be refused.
 */
bool dma_loopback_fault_prep(struct dma_loopback_chan *lc, u64 number,
			     bool possible)
{
	struct dma_loopback_fault *fault;

	fault = dma_loopback_fault_find(lc, false, number);
	if (fault && fault->kind == DMA_LOOPBACK_FAULT_KIND_PREP_REFUSED) {
		dma_loopback_fault_strike(lc, fault, NULL);
		dma_loopback_fault_free(fault);
		return true;
	}

	if (possible) {
		if (!should_fail(&dma_loopback_of(lc)->fail_prep, 1))
			return false;

		dma_loopback_fault_random(lc,
					  DMA_LOOPBACK_FAULT_KIND_PREP_REFUSED,
					  number, NULL);
	}

	if (fault)
		dma_loopback_fault_free(fault);

	return true;
}

/**
 * dma_loopback_fault_bind() - Find out what is to go wrong in a transfer
 * @lc: channel, vc.lock must be held
 * @desc: transfer, which is being prepared
 */
void dma_loopback_fault_bind(struct dma_loopback_chan *lc,
			     struct dma_loopback_desc *desc)
{
	desc->fault = dma_loopback_fault_find(lc, false, desc->number);
	if (desc->fault) {
		desc->fault->desc = desc;
		desc->fault->state = DMA_LOOPBACK_FAULT_STATE_BOUND;
	}
}

/**
 * dma_loopback_fault_drop() - Forget what was to go wrong in a transfer
 * @desc: transfer, with vc.lock of its channel held
 */
void dma_loopback_fault_drop(struct dma_loopback_desc *desc)
{
	if (desc->fault)
		dma_loopback_fault_free(desc->fault);
}

/**
 * dma_loopback_fault_submit() - Is this transfer not to be submitted?
 * @lc: channel, vc.lock must be held
 * @desc: transfer
 *
 * Return: 0, or the negative errno that it is to be refused with.
 */
int dma_loopback_fault_submit(struct dma_loopback_chan *lc,
			      struct dma_loopback_desc *desc)
{
	int error = EIO;

	if (dma_loopback_fault_is(desc, DMA_LOOPBACK_FAULT_KIND_SUBMIT_ERROR)) {
		error = desc->fault->error ?: EIO;
		dma_loopback_fault_strike(lc, desc->fault, desc);
	} else if (should_fail(&dma_loopback_of(lc)->fail_submit, 1)) {
		dma_loopback_fault_random(lc,
					  DMA_LOOPBACK_FAULT_KIND_SUBMIT_ERROR,
					  desc->number, desc);
	} else {
		return 0;
	}

	dma_loopback_fault_drop(desc);

	return -error;
}

/**
 * dma_loopback_fault_ends() - Does a fault end a transfer where it limits it?
 * @desc: transfer, with vc.lock of its channel held
 *
 * Return: true if the transfer ends, though it may not be complete.
 */
bool dma_loopback_fault_ends(const struct dma_loopback_desc *desc)
{
	if (!desc->fault)
		return false;

	switch (desc->fault->kind) {
	case DMA_LOOPBACK_FAULT_KIND_READ_ERROR:
	case DMA_LOOPBACK_FAULT_KIND_WRITE_ERROR:
	case DMA_LOOPBACK_FAULT_KIND_ABORT:
	case DMA_LOOPBACK_FAULT_KIND_SHORT:
		return true;
	default:
		return false;
	}
}

/**
 * dma_loopback_fault_limit() - How far a transfer gets
 * @desc: transfer, with vc.lock of its channel held
 *
 * Return: after how many bytes it ends, or is held.
 */
size_t dma_loopback_fault_limit(const struct dma_loopback_desc *desc)
{
	if (dma_loopback_fault_ends(desc) ||
	    dma_loopback_fault_is(desc, DMA_LOOPBACK_FAULT_KIND_STALL))
		return min(desc->fault->bytes, desc->len);

	return desc->len;
}

/**
 * dma_loopback_fault_holds() - Is a transfer held that has come to its limit?
 * @lc: channel, vc.lock must be held
 * @desc: transfer
 *
 * Return: true if it does not go on.
 */
bool dma_loopback_fault_holds(struct dma_loopback_chan *lc,
			      struct dma_loopback_desc *desc)
{
	struct dma_loopback_fault *fault = desc->fault;

	if (!fault)
		return false;

	switch (fault->kind) {
	case DMA_LOOPBACK_FAULT_KIND_STALL:
	case DMA_LOOPBACK_FAULT_KIND_LATE:
	case DMA_LOOPBACK_FAULT_KIND_BEFORE_TERMINATE:
	case DMA_LOOPBACK_FAULT_KIND_AFTER_TERMINATE:
	case DMA_LOOPBACK_FAULT_KIND_AFTER_SYNCHRONIZE:
		break;
	default:
		return false;
	}

	if (fault->state != DMA_LOOPBACK_FAULT_STATE_ACTIVE) {
		fault->state = DMA_LOOPBACK_FAULT_STATE_ACTIVE;
		fault->until = fault->delay ?
			ktime_add_ms(ktime_get(), fault->delay) : KTIME_MAX;
		dma_loopback_fault_strike(lc, fault, desc);
	}

	return ktime_before(ktime_get(), fault->until);
}

/**
 * dma_loopback_fault_ticks() - Is a transfer held, but not for ever?
 * @desc: transfer, with vc.lock of its channel held
 *
 * Return: true if it goes on by itself.
 */
bool dma_loopback_fault_ticks(const struct dma_loopback_desc *desc)
{
	return dma_loopback_fault_is(desc, DMA_LOOPBACK_FAULT_KIND_LATE) &&
	       desc->fault->state == DMA_LOOPBACK_FAULT_STATE_ACTIVE &&
	       desc->fault->until != KTIME_MAX;
}

/**
 * dma_loopback_fault_result() - What the client is told of a transfer's end
 * @lc: channel, vc.lock must be held
 * @desc: transfer, which ends
 */
void dma_loopback_fault_result(struct dma_loopback_chan *lc,
			       struct dma_loopback_desc *desc)
{
	struct dmaengine_result *result = &desc->vd.tx_result;
	enum dma_loopback_fault_kind kind;

	result->residue = min(desc->len - desc->done, U32_MAX);
	if (!desc->fault) {
		if (!should_fail(&dma_loopback_of(lc)->fail_transfer, 1))
			return;

		if (lc->dir == DMA_DEV_TO_MEM) {
			result->result = DMA_TRANS_READ_FAILED;
			kind = DMA_LOOPBACK_FAULT_KIND_READ_ERROR;
		} else {
			result->result = DMA_TRANS_WRITE_FAILED;
			kind = DMA_LOOPBACK_FAULT_KIND_WRITE_ERROR;
		}
		dma_loopback_fault_random(lc, kind, desc->number, desc);
		return;
	}

	switch (desc->fault->kind) {
	case DMA_LOOPBACK_FAULT_KIND_READ_ERROR:
		result->result = DMA_TRANS_READ_FAILED;
		break;
	case DMA_LOOPBACK_FAULT_KIND_WRITE_ERROR:
		result->result = DMA_TRANS_WRITE_FAILED;
		break;
	case DMA_LOOPBACK_FAULT_KIND_ABORT:
		result->result = DMA_TRANS_ABORTED;
		break;
	case DMA_LOOPBACK_FAULT_KIND_SHORT:
		break;
	default:
		return;
	}

	dma_loopback_fault_strike(lc, desc->fault, desc);
}

/**
 * dma_loopback_fault_start() - Is the peripheral to fail to start?
 * @link: signals
 * @dir: direction
 * @running: its DMA is running
 *
 * Return: 0, or the negative errno that it is to fail with.
 */
int dma_loopback_fault_start(struct dma_loopback_link *link,
			     enum dma_transfer_direction dir, bool running)
{
	enum dma_loopback_fault_kind kind = running ?
		DMA_LOOPBACK_FAULT_KIND_ENABLE_AFTER :
		DMA_LOOPBACK_FAULT_KIND_ENABLE_BEFORE;
	struct dma_loopback *dl = link->controller;
	struct dma_loopback_fault *fault;
	struct dma_loopback_chan *lc;
	int error;

	lc = dir == DMA_MEM_TO_DEV ? &dl->tx : &dl->rx;

	guard(spinlock_irqsave)(&lc->vc.lock);

	if (!running)
		lc->counters.starts++;

	fault = dma_loopback_fault_find(lc, true, lc->counters.starts);
	if (!fault || fault->kind != kind)
		return 0;

	error = fault->error ?: EIO;
	dma_loopback_fault_strike(lc, fault, NULL);
	dma_loopback_fault_free(fault);

	return -error;
}

/**
 * dma_loopback_fault_add() - Arm a fault
 * @lc: channel
 * @fault: fault, belongs to the channel after success
 *
 * Return: 0, or -EEXIST if there is one for this transfer.
 */
int dma_loopback_fault_add(struct dma_loopback_chan *lc,
			   struct dma_loopback_fault *fault)
{
	bool start = dma_loopback_fault_of_start(fault->kind);

	guard(spinlock_irqsave)(&lc->vc.lock);

	fault->transfer = fault->nth + (start ? lc->counters.starts :
						lc->counters.prepared);
	if (dma_loopback_fault_find(lc, start, fault->transfer))
		return -EEXIST;

	list_add_tail(&fault->node, &lc->faults);

	return 0;
}
EXPORT_SYMBOL_IF_KUNIT(dma_loopback_fault_add);

/**
 * dma_loopback_fault_del() - Delete a fault, or all of a channel
 * @lc: channel
 * @id: number of the fault, 0: all
 *
 * Return: whether there was one.
 */
bool dma_loopback_fault_del(struct dma_loopback_chan *lc, u32 id)
{
	struct dma_loopback_fault *fault, *next;
	bool found = false;

	scoped_guard(spinlock_irqsave, &lc->vc.lock) {
		list_for_each_entry_safe(fault, next, &lc->faults, node) {
			if (id && fault->id != id)
				continue;

			dma_loopback_fault_free(fault);
			found = true;
		}
	}

	/* What it has held goes on. */
	if (found)
		dma_loopback_kick(dma_loopback_of(lc));

	return found;
}
EXPORT_SYMBOL_IF_KUNIT(dma_loopback_fault_del);

/**
 * dma_loopback_fault_init() - Prepare a controller for faults
 * @dl: controller, registered with dmaengine
 */
void dma_loopback_fault_init(struct dma_loopback *dl)
{
	static DECLARE_FAULT_ATTR(none);
	struct dentry *dir = dmaengine_get_debugfs_root(&dl->ddev);

	dl->fail_prep = none;
	dl->fail_submit = none;
	dl->fail_transfer = none;
	fault_create_debugfs_attr("fail_prep", dir, &dl->fail_prep);
	fault_create_debugfs_attr("fail_submit", dir, &dl->fail_submit);
	fault_create_debugfs_attr("fail_transfer", dir, &dl->fail_transfer);

	dl->shape.link->controller = dl;
	dl->shape.link->start = dma_loopback_fault_start;
}

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

#include <linux/align.h>
#include <linux/bits.h>
#include <linux/cleanup.h>
#include <linux/device.h>
#include <linux/dma-direct.h>
#include <linux/dma-map-ops.h>
#include <linux/dma-mapping.h>
#include <linux/dmaengine.h>
#include <linux/highmem.h>
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

#include "virt-dma.h"
#include "dma-loopback.h"

/* Most bytes that move between two looks at the channels */
#define DMA_LOOPBACK_BURST	SZ_256K

#define DMA_LOOPBACK_WIDTHS	\
	(BIT(DMA_SLAVE_BUSWIDTH_1_BYTE) | BIT(DMA_SLAVE_BUSWIDTH_2_BYTES) | \
	 BIT(DMA_SLAVE_BUSWIDTH_4_BYTES) | BIT(DMA_SLAVE_BUSWIDTH_8_BYTES) | \
	 BIT(DMA_SLAVE_BUSWIDTH_16_BYTES))

/**
 * struct dma_loopback_desc - One transfer
 * @vd: virt-dma part
 * @len: bytes of the transfer
 * @done: bytes moved so far
 * @vec: index of the vector that is being moved
 * @vec_done: bytes of that vector moved so far
 * @nvecs: number of vectors
 * @vecs: copy of the caller's vectors, clipped to non-empty ones
 *
 * @done, @vec and @vec_done are written by the engine with vc.lock held.
 */
struct dma_loopback_desc {
	struct virt_dma_desc vd;
	size_t len;
	size_t done;
	size_t vec;
	size_t vec_done;
	size_t nvecs;
	struct dma_vec vecs[] __counted_by(nvecs);
};

/**
 * struct dma_loopback_chan - One channel
 * @vc: virt-dma part
 * @dir: the one direction of this channel
 * @active: transfer in progress, on no list; protected by vc.lock
 */
struct dma_loopback_chan {
	struct virt_dma_chan vc;
	enum dma_transfer_direction dir;
	struct dma_loopback_desc *active;
};

/**
 * struct dma_loopback_pace - Pacing of one stream
 * @running: bytes have been moving at @rate since @since
 * @since: when the stream started or changed its rate
 * @rate: bytes per second
 * @moved: bytes moved since @since
 */
struct dma_loopback_pace {
	bool running;
	ktime_t since;
	u64 rate;
	u64 moved;
};

/**
 * struct dma_loopback - One controller
 * @ddev: dmaengine part
 * @shape: what the platform data asked for
 * @tx: memory to device channel
 * @rx: device to memory channel
 * @map: lets @shape.consumer find the channels by name
 * @wq: runs @work; has a rescuer because fences wait for it
 * @work: the engine: everything that moves bytes runs here, and only here
 * @burst_lock: held by the engine while it moves bytes, from looking at the
 *	channels to accounting for what it moved; protects the fields below
 * @counter: position in the counter stream
 * @tx_pace: pacing of @tx, or of both channels while TX feeds RX
 * @rx_pace: pacing of @rx where the counter feeds it
 */
struct dma_loopback {
	struct dma_device ddev;
	struct dma_loopback_pdata shape;
	struct dma_loopback_chan tx;
	struct dma_loopback_chan rx;
	struct dma_slave_map map[2];
	struct workqueue_struct *wq;
	struct delayed_work work;
	struct mutex burst_lock;	/* moving bytes, see above */
	u64 counter;
	struct dma_loopback_pace tx_pace;
	struct dma_loopback_pace rx_pace;
};

static struct dma_loopback *to_dma_loopback(struct dma_device *ddev)
{
	return container_of(ddev, struct dma_loopback, ddev);
}

static struct dma_loopback_chan *to_dma_loopback_chan(struct dma_chan *chan)
{
	return container_of(chan, struct dma_loopback_chan, vc.chan);
}

static struct dma_loopback_desc *to_dma_loopback_desc(struct virt_dma_desc *vd)
{
	return container_of(vd, struct dma_loopback_desc, vd);
}

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

/**
 * dma_loopback_next() - Where the next bytes of a channel are
 * @lc: channel
 * @addr: set to the DMA address of the bytes
 * @len: set to how many of them one hardware segment holds
 *
 * Return: the transfer, for dma_loopback_advance() only: once vc.lock is
 * released it may be terminated at any time. NULL if there is nothing to do.
 */
static struct dma_loopback_desc *
dma_loopback_next(struct dma_loopback_chan *lc, dma_addr_t *addr, size_t *len)
{
	struct dma_loopback *dl = to_dma_loopback(lc->vc.chan.device);
	struct dma_loopback_desc *desc;
	struct virt_dma_desc *vd;
	const struct dma_vec *vec;
	unsigned long flags;

	spin_lock_irqsave(&lc->vc.lock, flags);

	if (!lc->active) {
		vd = vchan_next_desc(&lc->vc);
		if (vd) {
			list_del(&vd->node);
			lc->active = to_dma_loopback_desc(vd);
		}
	}

	desc = lc->active;
	if (desc) {
		vec = &desc->vecs[desc->vec];
		*addr = vec->addr + desc->vec_done;
		*len = vec->len - desc->vec_done;
		if (dl->shape.max_seg_size)
			*len = min(*len, dl->shape.max_seg_size -
				   desc->vec_done % dl->shape.max_seg_size);
	}

	spin_unlock_irqrestore(&lc->vc.lock, flags);

	return desc;
}

static void dma_loopback_advance_locked(struct dma_loopback_chan *lc,
					struct dma_loopback_desc *desc,
					size_t len)
{
	lockdep_assert_held(&lc->vc.lock);

	desc->done += len;
	desc->vec_done += len;
	if (desc->vec_done == desc->vecs[desc->vec].len) {
		desc->vec++;
		desc->vec_done = 0;
	}

	if (desc->done < desc->len)
		return;

	if (dma_loopback_repeats(lc, desc)) {
		desc->done = 0;
		desc->vec = 0;
		return;
	}

	lc->active = NULL;
	vchan_cookie_complete(&desc->vd);
}

/**
 * dma_loopback_advance() - Account for bytes that were moved
 * @lc: channel
 * @desc: transfer they belong to, as returned by dma_loopback_next()
 * @len: number of bytes
 *
 * Does nothing if the transfer was terminated in the meantime.
 */
static void dma_loopback_advance(struct dma_loopback_chan *lc,
				 struct dma_loopback_desc *desc, size_t len)
{
	unsigned long flags;

	spin_lock_irqsave(&lc->vc.lock, flags);
	if (lc->active == desc)
		dma_loopback_advance_locked(lc, desc, len);
	spin_unlock_irqrestore(&lc->vc.lock, flags);
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

/**
 * dma_loopback_budget() - How many bytes the clock lets through now
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

	if (dl->shape.clock == DMA_LOOPBACK_CLOCK_FREE)
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
 * enum dma_loopback_state - What the engine should do after a burst
 *
 * In ascending order: of two channels, the greater one counts.
 *
 * @DMA_LOOPBACK_IDLE: nothing before the next issue_pending
 * @DMA_LOOPBACK_WAIT: look again when the clock has advanced
 * @DMA_LOOPBACK_MORE: go on at once
 */
enum dma_loopback_state {
	DMA_LOOPBACK_IDLE,
	DMA_LOOPBACK_WAIT,
	DMA_LOOPBACK_MORE,
};

/* One burst of a channel that runs alone: TX to nowhere, or counter to RX. */
static enum dma_loopback_state
dma_loopback_burst_alone(struct dma_loopback *dl, struct dma_loopback_chan *lc,
			 struct dma_loopback_pace *pace)
{
	struct dma_loopback_desc *desc;
	dma_addr_t addr;
	size_t len, budget;

	desc = dma_loopback_next(lc, &addr, &len);
	if (!desc) {
		pace->running = false;
		return DMA_LOOPBACK_IDLE;
	}

	budget = dma_loopback_budget(dl, pace, dma_loopback_rate(dl, lc));
	if (!budget)
		return DMA_LOOPBACK_WAIT;

	len = min(len, budget);
	if (lc->dir == DMA_DEV_TO_MEM)
		dma_loopback_count(dl, addr, len);

	pace->moved += len;
	dma_loopback_advance(lc, desc, len);

	return DMA_LOOPBACK_MORE;
}

/* One burst from the oldest TX transfer to the oldest RX transfer. */
static enum dma_loopback_state
dma_loopback_burst_pair(struct dma_loopback *dl)
{
	struct dma_loopback_desc *tx, *rx;
	size_t tx_len, rx_len, len, budget;
	dma_addr_t src, dst;

	tx = dma_loopback_next(&dl->tx, &src, &tx_len);
	rx = dma_loopback_next(&dl->rx, &dst, &rx_len);
	if (!tx || !rx) {
		dl->tx_pace.running = false;
		return DMA_LOOPBACK_IDLE;
	}

	budget = dma_loopback_budget(dl, &dl->tx_pace,
				     min(dma_loopback_rate(dl, &dl->tx),
					 dma_loopback_rate(dl, &dl->rx)));
	if (!budget)
		return DMA_LOOPBACK_WAIT;

	len = min3(tx_len, rx_len, budget);
	dma_loopback_copy(dl, dst, src, len);

	dl->tx_pace.moved += len;
	dma_loopback_advance(&dl->tx, tx, len);
	dma_loopback_advance(&dl->rx, rx, len);

	return DMA_LOOPBACK_MORE;
}

static void dma_loopback_work(struct work_struct *work)
{
	struct dma_loopback *dl =
		container_of(work, struct dma_loopback, work.work);
	enum dma_loopback_state tx, rx;

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
		}

		/*
		 * A tasklet that was scheduled from process context waits for
		 * ksoftirqd. An interrupt would have run it by now.
		 */
		local_bh_disable();
		local_bh_enable();

		cond_resched();
	} while (max(tx, rx) == DMA_LOOPBACK_MORE);

	if (max(tx, rx) == DMA_LOOPBACK_WAIT)
		queue_delayed_work(dl->wq, &dl->work, 1);
}

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

	if (dir != lc->dir || !nvecs)
		return NULL;

	desc = kzalloc(struct_size(desc, vecs, nvecs),
		       GFP_NOWAIT);
	if (!desc)
		return NULL;

	desc->nvecs = nvecs;

	return desc;
}

/* The engine reaches memory through the kernel's mapping of its page. */
static bool dma_loopback_reachable(struct dma_loopback *dl,
				   const struct dma_vec *vec)
{
	phys_addr_t phys = dma_to_phys(dl->ddev.dev, vec->addr);

	return pfn_valid(PHYS_PFN(phys)) &&
	       pfn_valid(PHYS_PFN(phys + vec->len - 1));
}

/* Hand a transfer with its vectors filled in to virt-dma, or refuse it. */
static struct dma_async_tx_descriptor *
dma_loopback_prep_done(struct dma_loopback_chan *lc,
		       struct dma_loopback_desc *desc, unsigned long flags)
{
	struct dma_loopback *dl = to_dma_loopback(lc->vc.chan.device);
	const struct dma_loopback_pdata *shape = &dl->shape;
	size_t i, segs = 0;

	for (i = 0; i < desc->nvecs; i++) {
		const struct dma_vec *vec = &desc->vecs[i];

		if (!vec->len || !dma_loopback_reachable(dl, vec) ||
		    !IS_ALIGNED(vec->addr | vec->len, shape->align) ||
		    check_add_overflow(desc->len, vec->len, &desc->len))
			goto refuse;

		segs++;
		if (shape->max_seg_size)
			segs += (vec->len - 1) / shape->max_seg_size;
	}

	if (shape->max_segs && segs > shape->max_segs)
		goto refuse;

	return vchan_tx_prep(&lc->vc, &desc->vd, flags);

refuse:
	kfree(desc);

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

static void dma_loopback_desc_free(struct virt_dma_desc *vd)
{
	kfree(to_dma_loopback_desc(vd));
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
	struct dma_loopback *dl = to_dma_loopback(chan->device);
	unsigned long flags;
	bool issued;

	spin_lock_irqsave(&lc->vc.lock, flags);
	issued = vchan_issue_pending(&lc->vc);
	spin_unlock_irqrestore(&lc->vc.lock, flags);

	if (issued)
		mod_delayed_work(dl->wq, &dl->work, 0);
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

static int dma_loopback_terminate_all(struct dma_chan *chan)
{
	struct dma_loopback_chan *lc = to_dma_loopback_chan(chan);
	unsigned long flags;

	spin_lock_irqsave(&lc->vc.lock, flags);

	/*
	 * The engine may be in the middle of a copy from or to the active
	 * transfer: nothing is freed before device_synchronize().  Transfers
	 * that are complete stay so, their callbacks are not taken back.
	 */
	list_splice_tail_init(&lc->vc.desc_submitted, &lc->vc.desc_terminated);
	list_splice_tail_init(&lc->vc.desc_issued, &lc->vc.desc_terminated);
	if (lc->active) {
		vchan_terminate_vdesc(&lc->active->vd);
		lc->active = NULL;
	}

	spin_unlock_irqrestore(&lc->vc.lock, flags);

	return 0;
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

	vchan_synchronize(&lc->vc);
}

static void dma_loopback_free_chan_resources(struct dma_chan *chan)
{
	dma_loopback_terminate_all(chan);
	dma_loopback_synchronize(chan);
	vchan_free_chan_resources(&to_dma_loopback_chan(chan)->vc);
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
	vchan_init(&lc->vc, &dl->ddev);
}

static void dma_loopback_free(struct dma_loopback *dl)
{
	if (!dl)
		return;

	mutex_destroy(&dl->burst_lock);
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
	if (!dl->shape.consumer)
		return -ENOMEM;
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

	platform_set_drvdata(pdev, no_free_ptr(dl));

	return 0;
}

static void dma_loopback_remove(struct platform_device *pdev)
{
	struct dma_loopback *dl = platform_get_drvdata(pdev);

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
module_platform_driver(dma_loopback_driver);

MODULE_DESCRIPTION("Loopback DMA controller for tests");
MODULE_LICENSE("GPL");
MODULE_ALIAS("platform:" DMA_LOOPBACK_DRV_NAME);
MODULE_INFO(test, "Y");

/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the parts of the loopback DMA controller know of each other:
 *
 * core		the dmaengine provider and its engine
 * fault	what is to go wrong, and in which transfer
 * event	what has happened, in order, for whoever listens
 * netlink	the control interface, which is specified in
 *		Documentation/netlink/specs/dma_loopback.yaml
 */

#ifndef _DMA_LOOPBACK_CORE_H
#define _DMA_LOOPBACK_CORE_H

#include <linux/dmaengine.h>
#include <linux/fault-inject.h>
#include <linux/ktime.h>
#include <linux/list.h>
#include <linux/mutex.h>
#include <linux/types.h>
#include <linux/workqueue.h>

#include "virt-dma.h"
#include "dma-loopback.h"

struct dma_loopback_desc;

/**
 * struct dma_loopback_fault - Something that is to go wrong
 * @node: in the list of its channel
 * @id: number within the controller
 * @kind: what
 * @nth: which transfer from when the fault was added
 * @bytes: see the kinds
 * @has_bytes: @bytes was given
 * @error: see the kinds, 0 if it was not given
 * @delay: milliseconds, 0 if it was not given
 * @state: how far it is
 * @transfer: number of the transfer, of kinds that concern the start of the
 *	peripheral number of the start
 * @desc: the transfer, once it was prepared
 * @until: when to go on with what it holds
 *
 * Protected by vc.lock of the channel.
 */
struct dma_loopback_fault {
	struct list_head node;
	u32 id;
	enum dma_loopback_fault_kind kind;
	u32 nth;
	u32 bytes;
	bool has_bytes;
	u32 error;
	u32 delay;
	enum dma_loopback_fault_state state;
	u64 transfer;
	struct dma_loopback_desc *desc;
	ktime_t until;
};

/**
 * struct dma_loopback_desc - One transfer
 * @vd: virt-dma part
 * @number: counts the transfers of the channel as they are prepared
 * @fault: what is to go wrong in it, or NULL
 * @len: bytes of the transfer
 * @done: bytes moved so far
 * @reported: bytes of which the last event told
 * @seg_size: most bytes of a hardware segment, 0: no limit
 * @segs: number of hardware segments
 * @released: the step clock has released it as a whole
 * @vec: index of the vector that is being moved
 * @vec_done: bytes of that vector moved so far
 * @nvecs: number of vectors
 * @vecs: copy of the caller's vectors
 *
 * What changes is written with vc.lock held.
 */
struct dma_loopback_desc {
	struct virt_dma_desc vd;
	u64 number;
	struct dma_loopback_fault *fault;
	size_t len;
	size_t done;
	size_t reported;
	size_t seg_size;
	u32 segs;
	bool released;
	size_t vec;
	size_t vec_done;
	size_t nvecs;
	struct dma_vec vecs[] __counted_by(nvecs);
};

/**
 * struct dma_loopback_counters - What a channel has done since it was bound
 * @prepared: transfers that a client wanted to prepare
 * @submitted: transfers that have got a cookie
 * @completed: transfers that have completed
 * @terminated: transfers that were terminated
 * @faulted: faults that have had an effect
 * @bytes: bytes moved
 * @starts: starts of the peripheral
 */
struct dma_loopback_counters {
	u64 prepared;
	u64 submitted;
	u64 completed;
	u64 terminated;
	u64 faulted;
	u64 bytes;
	u64 starts;
};

/**
 * struct dma_loopback_chan - One channel
 * @vc: virt-dma part
 * @dir: the one direction of this channel
 * @active: transfer in progress, on no list
 * @withheld: transfer that has to wait for the next one to complete first, on
 *	no list
 * @twin: transfer that has completed and is to complete once more, on no list
 * @late: terminated transfers that complete before the synchronization ends
 * @stray: terminated transfers that complete after it
 * @faults: what is to go wrong
 * @descriptors: transfers that were prepared and are not freed
 * @counters: what was done
 * @credit_transfers: transfers that the step clock has released
 * @credit_bytes: bytes that it has released
 * @state: what the engine has last found
 *
 * Everything but @dir is protected by vc.lock.
 */
struct dma_loopback_chan {
	struct virt_dma_chan vc;
	enum dma_transfer_direction dir;
	struct dma_loopback_desc *active;
	struct dma_loopback_desc *withheld;
	struct dma_loopback_desc *twin;
	struct list_head late;
	struct list_head stray;
	struct list_head faults;
	u32 descriptors;
	struct dma_loopback_counters counters;
	u64 credit_transfers;
	u64 credit_bytes;
	enum dma_loopback_state state;
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
 * @node: in the list of controllers that the control interface knows
 * @instance: number of the controller in the control interface
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
 * @fault_id: number of the last fault, protected by the mutex of the
 *	list of controllers
 * @fail_prep: random faults, like DMA_LOOPBACK_FAULT_KIND_PREP_REFUSED
 * @fail_submit: random faults, like DMA_LOOPBACK_FAULT_KIND_SUBMIT_ERROR
 * @fail_transfer: random faults, like DMA_LOOPBACK_FAULT_KIND_READ_ERROR or,
 *	of TX, DMA_LOOPBACK_FAULT_KIND_WRITE_ERROR
 */
struct dma_loopback {
	struct dma_device ddev;
	struct list_head node;
	u32 instance;
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
	u32 fault_id;
	struct fault_attr fail_prep;
	struct fault_attr fail_submit;
	struct fault_attr fail_transfer;
};

static inline struct dma_loopback *to_dma_loopback(struct dma_device *ddev)
{
	return container_of(ddev, struct dma_loopback, ddev);
}

static inline struct dma_loopback_chan *
to_dma_loopback_chan(struct dma_chan *chan)
{
	return container_of(chan, struct dma_loopback_chan, vc.chan);
}

static inline struct dma_loopback_desc *
to_dma_loopback_desc(struct virt_dma_desc *vd)
{
	return container_of(vd, struct dma_loopback_desc, vd);
}

static inline struct dma_loopback *
dma_loopback_of(const struct dma_loopback_chan *lc)
{
	return to_dma_loopback(lc->vc.chan.device);
}

static inline enum dma_loopback_channel
dma_loopback_channel(const struct dma_loopback_chan *lc)
{
	return lc->dir == DMA_MEM_TO_DEV ? DMA_LOOPBACK_CHANNEL_TX :
					   DMA_LOOPBACK_CHANNEL_RX;
}

/* --- core --- */

void dma_loopback_kick(struct dma_loopback *dl);
void dma_loopback_step(struct dma_loopback_chan *lc, u32 transfers, u32 bytes);
u32 dma_loopback_queued(struct dma_loopback_chan *lc);

/* --- fault --- */

void dma_loopback_fault_init(struct dma_loopback *dl);
int dma_loopback_fault_add(struct dma_loopback_chan *lc,
			   struct dma_loopback_fault *fault);
bool dma_loopback_fault_del(struct dma_loopback_chan *lc, u32 id);
int dma_loopback_fault_start(struct dma_loopback_link *link,
			     enum dma_transfer_direction dir, bool running);

bool dma_loopback_fault_prep(struct dma_loopback_chan *lc, u64 number,
			     bool possible);
int dma_loopback_fault_submit(struct dma_loopback_chan *lc,
			      struct dma_loopback_desc *desc);
void dma_loopback_fault_bind(struct dma_loopback_chan *lc,
			     struct dma_loopback_desc *desc);
bool dma_loopback_fault_ends(const struct dma_loopback_desc *desc);
size_t dma_loopback_fault_limit(const struct dma_loopback_desc *desc);
bool dma_loopback_fault_holds(struct dma_loopback_chan *lc,
			      struct dma_loopback_desc *desc);
bool dma_loopback_fault_ticks(const struct dma_loopback_desc *desc);
void dma_loopback_fault_result(struct dma_loopback_chan *lc,
			       struct dma_loopback_desc *desc);
void dma_loopback_fault_strike(struct dma_loopback_chan *lc,
			       const struct dma_loopback_fault *fault,
			       const struct dma_loopback_desc *desc);
void dma_loopback_fault_drop(struct dma_loopback_desc *desc);

static inline bool dma_loopback_fault_is(const struct dma_loopback_desc *desc,
					 enum dma_loopback_fault_kind kind)
{
	return desc->fault && desc->fault->kind == kind;
}

/* --- event --- */

void dma_loopback_event(struct dma_loopback_chan *lc,
			enum dma_loopback_event_type type,
			const struct dma_loopback_desc *desc,
			const struct dma_loopback_fault *fault);
void dma_loopback_event_flush(void);
u64 dma_loopback_event_seq(void);
int dma_loopback_event_group(void);
int dma_loopback_event_init(void);
void dma_loopback_event_exit(void);

/* --- netlink --- */

int dma_loopback_nl_init(void);
void dma_loopback_nl_exit(void);
void dma_loopback_nl_add(struct dma_loopback *dl);
void dma_loopback_nl_del(struct dma_loopback *dl);

#endif /* _DMA_LOOPBACK_CORE_H */

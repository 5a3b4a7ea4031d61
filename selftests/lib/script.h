/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Scripts: what to do with two buffers of the loopback driver, an output and an
 * input whose clock is step, and what must come of it.
 *
 * A script follows from its rules alone. While it is written a model of the two
 * DMA channels goes along, and each operation is decided by what the model
 * knows to have happened, never by what a machine has been quick enough for.
 * The model runs the engine to where nothing moves any more, after each
 * operation; the driver gets there in its own time. Where both are sure to be
 * at the same point the script says so, SCRIPT_SETTLE, and there everything can
 * be compared.
 */

#ifndef CONFORMANCE_SCRIPT_H
#define CONFORMANCE_SCRIPT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* DMABUFs of a script, all of them attached to both buffers */
#define SCRIPT_DMABUFS	16

/* In the numbers of enum dma_loopback_channel */
#define SCRIPT_CHANS	2

/* For kinds of faults in script_rules.faults */
#define SCRIPT_FAULT(kind)	(1u << DMA_LOOPBACK_FAULT_KIND_##kind)

/* Those that a DMA engine that is as it should be may have */
#define SCRIPT_FAULTS							\
	(SCRIPT_FAULT(READ_ERROR) | SCRIPT_FAULT(WRITE_ERROR) |		\
	 SCRIPT_FAULT(ABORT) | SCRIPT_FAULT(SHORT) | SCRIPT_FAULT(STALL) | \
	 SCRIPT_FAULT(LATE) | SCRIPT_REFUSALS |				\
	 SCRIPT_FAULT(BEFORE_TERMINATE) | SCRIPT_FAULT(AFTER_TERMINATE) | \
	 SCRIPT_FAULT(SPLIT) | SCRIPT_FAULT(COALESCE))
#define SCRIPT_REFUSALS							\
	(SCRIPT_FAULT(PREP_REFUSED) | SCRIPT_FAULT(SUBMIT_ERROR))

/**
 * struct script_rules - What a script is to be like
 * @seed: everything that is left to chance follows from it
 * @transfers: how many to enqueue
 * @size: size of the DMABUFs
 * @faults: SCRIPT_FAULT() of the kinds to use
 * @loopback: what goes out comes in: no channel runs by itself
 * @restart: disable and enable buffers in between
 * @reuse: enqueue DMABUFs again whose submission has failed; otherwise they
 *	are attached anew before
 */
struct script_rules {
	uint64_t seed;
	unsigned int transfers;
	size_t size;
	uint32_t faults;
	bool loopback;
	bool restart;
	bool reuse;
};

/**
 * enum script_do - Kinds of operations
 * @SCRIPT_ENQUEUE: ENQUEUE @transfer
 * @SCRIPT_STEP: release @amount transfers of @chan
 * @SCRIPT_STEP_BYTES: release @amount bytes of @chan
 * @SCRIPT_FAULT_ADD: arm @fault
 * @SCRIPT_FAULT_DEL: delete @fault
 * @SCRIPT_ENABLE: enable the buffer of @chan
 * @SCRIPT_DISABLE: disable the buffer of @chan
 * @SCRIPT_ATTACH: attach @dmabuf to the buffer of @chan
 * @SCRIPT_DETACH: detach it
 * @SCRIPT_SETTLE: wait until both channels are where the model is
 */
enum script_do {
	SCRIPT_ENQUEUE,
	SCRIPT_STEP,
	SCRIPT_STEP_BYTES,
	SCRIPT_FAULT_ADD,
	SCRIPT_FAULT_DEL,
	SCRIPT_ENABLE,
	SCRIPT_DISABLE,
	SCRIPT_ATTACH,
	SCRIPT_DETACH,
	SCRIPT_SETTLE,
};

/**
 * struct script_chan - Where a channel must be when it has settled
 * @queued: transfers that have not ended
 * @transfers: released and not begun
 * @bytes: released and not moved
 * @moved: bytes moved since its buffer was last disabled
 */
struct script_chan {
	uint32_t queued;
	uint64_t transfers;
	uint64_t bytes;
	uint64_t moved;
};

/**
 * struct script_op - One operation, of @what is there only what it needs
 * @what: enum script_do
 * @chan: channel
 * @dmabuf: DMABUF
 * @transfer: index of the transfer
 * @fault: index of the fault
 * @nth: of a fault to arm, which transfer from then on
 * @amount: how much to release
 * @settled: where the channels must be, of SCRIPT_SETTLE
 */
struct script_op {
	enum script_do what;
	unsigned int chan;
	unsigned int dmabuf;
	unsigned int transfer;
	unsigned int fault;
	uint32_t nth;
	uint32_t amount;
	struct script_chan settled[SCRIPT_CHANS];
};

/**
 * enum script_end - How a transfer must end
 * @SCRIPT_REFUSED: it is never submitted
 * @SCRIPT_COMPLETED: it completes
 * @SCRIPT_TERMINATED: its buffer is disabled before it does
 * @SCRIPT_EITHER: its buffer is disabled while it may be completing
 */
enum script_end {
	SCRIPT_REFUSED,
	SCRIPT_COMPLETED,
	SCRIPT_TERMINATED,
	SCRIPT_EITHER,
};

/* No fault, or no operation */
#define SCRIPT_NONE	UINT32_MAX

/**
 * struct script_transfer - One transfer
 * @chan: channel
 * @dmabuf: DMABUF
 * @len: bytes
 * @number: counts the transfers of the channel as they are prepared, from 1
 * @fault: index of what goes wrong in it, or SCRIPT_NONE
 * @enqueued: index of the operation that enqueues it
 * @ended: index of the first operation after which it must have ended
 * @witnessed: nothing can end it before the script has gone on
 * @end: how it ends
 * @result: enum dma_loopback_result, if it completes
 * @moved: bytes that it moves, if it completes
 */
struct script_transfer {
	unsigned int chan;
	unsigned int dmabuf;
	uint32_t len;
	unsigned int number;
	unsigned int fault;
	unsigned int enqueued;
	unsigned int ended;
	bool witnessed;
	enum script_end end;
	uint32_t result;
	uint32_t moved;
};

/**
 * struct script_fault - One fault
 * @chan: channel
 * @kind: enum dma_loopback_fault_kind
 * @number: transfer that it is for, as in struct script_transfer
 * @bytes: see the kinds
 * @error: positive errno, 0 if it is not given
 * @delay: milliseconds, 0 if it is not given
 */
struct script_fault {
	unsigned int chan;
	uint32_t kind;
	unsigned int number;
	uint32_t bytes;
	uint32_t error;
	uint32_t delay;
};

/**
 * struct script - A script
 * @rules: that it follows
 * @ops: operations
 * @nr_ops: number of them
 * @transfers: transfers, in the order of ENQUEUE
 * @nr_transfers: number of them
 * @faults: faults, in the order in which they are armed
 * @nr_faults: number of them
 * @prepared: transfers that each channel prepares in all
 * @index: by channel and number, less one: index of the transfer
 */
struct script {
	struct script_rules rules;
	struct script_op *ops;
	size_t nr_ops;
	struct script_transfer *transfers;
	size_t nr_transfers;
	struct script_fault *faults;
	size_t nr_faults;
	unsigned int prepared[SCRIPT_CHANS];
	unsigned int *index[SCRIPT_CHANS];
};

struct script *script_random(const struct script_rules *rules);
struct script *script_reorder(const struct script_rules *rules,
			      unsigned int *victim);
struct script *script_double(const struct script_rules *rules,
			     unsigned int *victim);
void script_free(struct script *s);
uint64_t script_hash(const struct script *s);

#endif /* CONFORMANCE_SCRIPT_H */

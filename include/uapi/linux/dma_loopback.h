/* SPDX-License-Identifier: ((GPL-2.0 WITH Linux-syscall-note) OR BSD-3-Clause) */
/* Do not edit directly, auto-generated from: */
/*	Documentation/netlink/specs/dma_loopback.yaml */
/* YNL-GEN uapi header */

#ifndef _UAPI_LINUX_DMA_LOOPBACK_H
#define _UAPI_LINUX_DMA_LOOPBACK_H

#define DMA_LOOPBACK_FAMILY_NAME	"dma-loopback"
#define DMA_LOOPBACK_FAMILY_VERSION	1

#define DMA_LOOPBACK_NAME_LEN	64

/**
 * enum dma_loopback_channel - Channels of a controller.
 * @DMA_LOOPBACK_CHANNEL_TX: memory to device, an output
 * @DMA_LOOPBACK_CHANNEL_RX: device to memory, an input
 */
enum dma_loopback_channel {
	DMA_LOOPBACK_CHANNEL_TX,
	DMA_LOOPBACK_CHANNEL_RX,
};

/**
 * enum dma_loopback_clock - What decides when bytes move.
 * @DMA_LOOPBACK_CLOCK_FREE: as fast as the CPU copies
 * @DMA_LOOPBACK_CLOCK_RATE: at the rate of the peripheral
 * @DMA_LOOPBACK_CLOCK_STEP: as much as the step command has released
 */
enum dma_loopback_clock {
	DMA_LOOPBACK_CLOCK_FREE,
	DMA_LOOPBACK_CLOCK_RATE,
	DMA_LOOPBACK_CLOCK_STEP,
};

/**
 * enum dma_loopback_state - What a channel is doing.
 * @DMA_LOOPBACK_STATE_IDLE: no transfer is issued
 * @DMA_LOOPBACK_STATE_RUNNING: there are transfers, and nothing is known to
 *   hold them up
 * @DMA_LOOPBACK_STATE_WAITING: the oldest transfer waits, for a step, for the
 *   rate clock or for the other channel
 * @DMA_LOOPBACK_STATE_HELD: a fault holds the oldest transfer
 */
enum dma_loopback_state {
	DMA_LOOPBACK_STATE_IDLE,
	DMA_LOOPBACK_STATE_RUNNING,
	DMA_LOOPBACK_STATE_WAITING,
	DMA_LOOPBACK_STATE_HELD,
};

/**
 * enum dma_loopback_result - How a transfer ended, in the numbers of enum
 *   dmaengine_tx_result.
 */
enum dma_loopback_result {
	DMA_LOOPBACK_RESULT_NOERROR,
	DMA_LOOPBACK_RESULT_READ_FAILED,
	DMA_LOOPBACK_RESULT_WRITE_FAILED,
	DMA_LOOPBACK_RESULT_ABORTED,
};

/**
 * enum dma_loopback_fault_kind - What goes wrong. From double on a provider
 *   that does this is broken; these exist with CONFIG_DMA_LOOPBACK_MISBEHAVE
 *   only.
 * @DMA_LOOPBACK_FAULT_KIND_READ_ERROR: the transfer ends with
 *   DMA_TRANS_READ_FAILED after bytes (default 0)
 * @DMA_LOOPBACK_FAULT_KIND_WRITE_ERROR: the transfer ends with
 *   DMA_TRANS_WRITE_FAILED after bytes (default 0)
 * @DMA_LOOPBACK_FAULT_KIND_ABORT: the transfer ends with DMA_TRANS_ABORTED
 *   after bytes (default 0)
 * @DMA_LOOPBACK_FAULT_KIND_SHORT: the transfer ends well after bytes
 *   (required); what is left of it is the residue
 * @DMA_LOOPBACK_FAULT_KIND_STALL: the transfer stops after bytes (default 0)
 *   until the fault is deleted
 * @DMA_LOOPBACK_FAULT_KIND_LATE: all bytes move, but the transfer completes
 *   delay milliseconds later, or when the fault is deleted (without delay,
 *   only then)
 * @DMA_LOOPBACK_FAULT_KIND_PREP_REFUSED: the transfer cannot be prepared, the
 *   client gets no descriptor
 * @DMA_LOOPBACK_FAULT_KIND_SUBMIT_ERROR: the transfer cannot be submitted, the
 *   client gets error (EIO)
 * @DMA_LOOPBACK_FAULT_KIND_BEFORE_TERMINATE: all bytes move, but the transfer
 *   completes only when it is terminated, its callback comes with or after the
 *   termination
 * @DMA_LOOPBACK_FAULT_KIND_AFTER_TERMINATE: all bytes move, and the transfer
 *   is held; once terminated it completes nevertheless, before the end of the
 *   synchronization
 * @DMA_LOOPBACK_FAULT_KIND_SPLIT: the transfer is done in hardware segments of
 *   no more than bytes (required) each
 * @DMA_LOOPBACK_FAULT_KIND_COALESCE: vectors of the transfer that touch are
 *   one hardware segment
 * @DMA_LOOPBACK_FAULT_KIND_ENABLE_BEFORE: the peripheral fails to start, with
 *   error (EIO), before its DMA does
 * @DMA_LOOPBACK_FAULT_KIND_ENABLE_AFTER: the peripheral fails to start, with
 *   error (EIO), when its DMA runs
 * @DMA_LOOPBACK_FAULT_KIND_DOUBLE: the transfer completes, and once more when
 *   the fault is deleted, if the channel is not terminated before; one at a
 *   time
 * @DMA_LOOPBACK_FAULT_KIND_AFTER_SYNCHRONIZE: all bytes move, and the transfer
 *   is held; once terminated it completes nevertheless, after the
 *   synchronization
 * @DMA_LOOPBACK_FAULT_KIND_REORDER: the transfer completes after the next one
 *   of its channel; one at a time
 * @DMA_LOOPBACK_FAULT_KIND_WRONG_BYTES: the byte at position bytes (default 0)
 *   of an input transfer, or of what an output transfer sends, is inverted
 */
enum dma_loopback_fault_kind {
	DMA_LOOPBACK_FAULT_KIND_READ_ERROR,
	DMA_LOOPBACK_FAULT_KIND_WRITE_ERROR,
	DMA_LOOPBACK_FAULT_KIND_ABORT,
	DMA_LOOPBACK_FAULT_KIND_SHORT,
	DMA_LOOPBACK_FAULT_KIND_STALL,
	DMA_LOOPBACK_FAULT_KIND_LATE,
	DMA_LOOPBACK_FAULT_KIND_PREP_REFUSED,
	DMA_LOOPBACK_FAULT_KIND_SUBMIT_ERROR,
	DMA_LOOPBACK_FAULT_KIND_BEFORE_TERMINATE,
	DMA_LOOPBACK_FAULT_KIND_AFTER_TERMINATE,
	DMA_LOOPBACK_FAULT_KIND_SPLIT,
	DMA_LOOPBACK_FAULT_KIND_COALESCE,
	DMA_LOOPBACK_FAULT_KIND_ENABLE_BEFORE,
	DMA_LOOPBACK_FAULT_KIND_ENABLE_AFTER,
	DMA_LOOPBACK_FAULT_KIND_DOUBLE,
	DMA_LOOPBACK_FAULT_KIND_AFTER_SYNCHRONIZE,
	DMA_LOOPBACK_FAULT_KIND_REORDER,
	DMA_LOOPBACK_FAULT_KIND_WRONG_BYTES,
};

/**
 * enum dma_loopback_fault_state - How far a fault is.
 * @DMA_LOOPBACK_FAULT_STATE_ARMED: its transfer has not been prepared yet
 * @DMA_LOOPBACK_FAULT_STATE_BOUND: its transfer is under way, it has had no
 *   effect yet
 * @DMA_LOOPBACK_FAULT_STATE_ACTIVE: it holds its transfer
 */
enum dma_loopback_fault_state {
	DMA_LOOPBACK_FAULT_STATE_ARMED,
	DMA_LOOPBACK_FAULT_STATE_BOUND,
	DMA_LOOPBACK_FAULT_STATE_ACTIVE,
};

/**
 * enum dma_loopback_event_type - What happened to a transfer.
 * @DMA_LOOPBACK_EVENT_TYPE_SUBMITTED: it has a cookie
 * @DMA_LOOPBACK_EVENT_TYPE_ISSUED: it was handed to the engine
 * @DMA_LOOPBACK_EVENT_TYPE_STARTED: it is the oldest of its channel, and the
 *   engine has taken it up
 * @DMA_LOOPBACK_EVENT_TYPE_PROGRESSED: it has come to a halt after bytes,
 *   before it has ended
 * @DMA_LOOPBACK_EVENT_TYPE_COMPLETED: it has ended, with result and residue;
 *   its callback comes next
 * @DMA_LOOPBACK_EVENT_TYPE_FAULTED: a fault has an effect on it, now
 * @DMA_LOOPBACK_EVENT_TYPE_TERMINATED: it was taken off the channel, after
 *   bytes
 * @DMA_LOOPBACK_EVENT_TYPE_SYNCHRONIZED: the channel, not a transfer of it;
 *   callbacks of what was terminated or completed before have returned
 */
enum dma_loopback_event_type {
	DMA_LOOPBACK_EVENT_TYPE_SUBMITTED,
	DMA_LOOPBACK_EVENT_TYPE_ISSUED,
	DMA_LOOPBACK_EVENT_TYPE_STARTED,
	DMA_LOOPBACK_EVENT_TYPE_PROGRESSED,
	DMA_LOOPBACK_EVENT_TYPE_COMPLETED,
	DMA_LOOPBACK_EVENT_TYPE_FAULTED,
	DMA_LOOPBACK_EVENT_TYPE_TERMINATED,
	DMA_LOOPBACK_EVENT_TYPE_SYNCHRONIZED,
};

enum {
	DMA_LOOPBACK_A_CHAN_INSTANCE = 1,
	DMA_LOOPBACK_A_CHAN_NAME,
	DMA_LOOPBACK_A_CHAN_CHANNEL,
	DMA_LOOPBACK_A_CHAN_CLOCK,
	DMA_LOOPBACK_A_CHAN_STATE,
	DMA_LOOPBACK_A_CHAN_QUEUED,
	DMA_LOOPBACK_A_CHAN_DESCRIPTORS,
	DMA_LOOPBACK_A_CHAN_PREPARED,
	DMA_LOOPBACK_A_CHAN_SUBMITTED,
	DMA_LOOPBACK_A_CHAN_COMPLETED,
	DMA_LOOPBACK_A_CHAN_TERMINATED,
	DMA_LOOPBACK_A_CHAN_FAULTED,
	DMA_LOOPBACK_A_CHAN_BYTES,
	DMA_LOOPBACK_A_CHAN_CREDIT_TRANSFERS,
	DMA_LOOPBACK_A_CHAN_CREDIT_BYTES,
	DMA_LOOPBACK_A_CHAN_FAULTS,
	DMA_LOOPBACK_A_CHAN_SEQ,

	__DMA_LOOPBACK_A_CHAN_MAX,
	DMA_LOOPBACK_A_CHAN_MAX = (__DMA_LOOPBACK_A_CHAN_MAX - 1)
};

enum {
	DMA_LOOPBACK_A_STEP_INSTANCE = 1,
	DMA_LOOPBACK_A_STEP_CHANNEL,
	DMA_LOOPBACK_A_STEP_TRANSFERS,
	DMA_LOOPBACK_A_STEP_BYTES,

	__DMA_LOOPBACK_A_STEP_MAX,
	DMA_LOOPBACK_A_STEP_MAX = (__DMA_LOOPBACK_A_STEP_MAX - 1)
};

enum {
	DMA_LOOPBACK_A_FAULT_INSTANCE = 1,
	DMA_LOOPBACK_A_FAULT_CHANNEL,
	DMA_LOOPBACK_A_FAULT_ID,
	DMA_LOOPBACK_A_FAULT_KIND,
	DMA_LOOPBACK_A_FAULT_NTH,
	DMA_LOOPBACK_A_FAULT_BYTES,
	DMA_LOOPBACK_A_FAULT_ERROR,
	DMA_LOOPBACK_A_FAULT_DELAY,
	DMA_LOOPBACK_A_FAULT_STATE,
	DMA_LOOPBACK_A_FAULT_TRANSFER,

	__DMA_LOOPBACK_A_FAULT_MAX,
	DMA_LOOPBACK_A_FAULT_MAX = (__DMA_LOOPBACK_A_FAULT_MAX - 1)
};

enum {
	DMA_LOOPBACK_A_EVENT_SEQ = 1,
	DMA_LOOPBACK_A_EVENT_NS,
	DMA_LOOPBACK_A_EVENT_INSTANCE,
	DMA_LOOPBACK_A_EVENT_CHANNEL,
	DMA_LOOPBACK_A_EVENT_TYPE,
	DMA_LOOPBACK_A_EVENT_TRANSFER,
	DMA_LOOPBACK_A_EVENT_COOKIE,
	DMA_LOOPBACK_A_EVENT_LENGTH,
	DMA_LOOPBACK_A_EVENT_SEGMENTS,
	DMA_LOOPBACK_A_EVENT_BYTES,
	DMA_LOOPBACK_A_EVENT_RESIDUE,
	DMA_LOOPBACK_A_EVENT_RESULT,
	DMA_LOOPBACK_A_EVENT_KIND,
	DMA_LOOPBACK_A_EVENT_FAULT,

	__DMA_LOOPBACK_A_EVENT_MAX,
	DMA_LOOPBACK_A_EVENT_MAX = (__DMA_LOOPBACK_A_EVENT_MAX - 1)
};

enum {
	DMA_LOOPBACK_CMD_CHAN_GET = 1,
	DMA_LOOPBACK_CMD_STEP,
	DMA_LOOPBACK_CMD_FAULT_ADD,
	DMA_LOOPBACK_CMD_FAULT_GET,
	DMA_LOOPBACK_CMD_FAULT_DEL,
	DMA_LOOPBACK_CMD_EVENT,

	__DMA_LOOPBACK_CMD_MAX,
	DMA_LOOPBACK_CMD_MAX = (__DMA_LOOPBACK_CMD_MAX - 1)
};

#define DMA_LOOPBACK_MCGRP_EVENTS	"events"

#endif /* _UAPI_LINUX_DMA_LOOPBACK_H */

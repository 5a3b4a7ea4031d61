/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The loopback driver's control interface, a generic netlink family: its step
 * clock, faults, and the order of what its DMA controllers did. What each of
 * them means is in Documentation/netlink/specs/dma_loopback.yaml. Needs
 * CAP_NET_ADMIN. For programs that are linked with libmnl, see CONTROL_PROGS in
 * the Makefile.
 *
 * Functions that can fail return a negative errno, and control_message() has
 * what the kernel said about it.
 */

#ifndef CONFORMANCE_CONTROL_H
#define CONFORMANCE_CONTROL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* From this repository, or a kernel tree that has the driver */
#include <linux/dma_loopback.h>

/**
 * struct control - A connection to the control interface
 * @priv: of the implementation
 *
 * For one thread at a time. Not to be copied.
 */
struct control {
	struct control_priv *priv;
};

#define CONTROL_INIT	{ NULL }

/**
 * struct control_addr - Address of a channel
 * @instance: number of the controller, N in dma-loopback.N
 * @channel: enum dma_loopback_channel
 */
struct control_addr {
	uint32_t instance;
	uint32_t channel;
};

/**
 * struct control_chan - State and counters of a channel
 * @addr: which one
 * @name: name of the instance
 * @clock: enum dma_loopback_clock
 * @state: enum dma_loopback_state
 * @queued: transfers submitted that have not ended
 * @descriptors: transfers prepared that are not freed
 * @faults: faults on the list
 * @prepared: transfers that were to be prepared
 * @submitted: transfers that got a cookie
 * @completed: transfers that completed, with whatever result
 * @terminated: transfers that were terminated
 * @faulted: faults that had an effect
 * @bytes: bytes moved
 * @credit_transfers: transfers released and not yet completed
 * @credit_bytes: bytes released and not yet moved
 * @seq: number of the last event of the family
 */
struct control_chan {
	struct control_addr addr;
	char name[DMA_LOOPBACK_NAME_LEN + 1];
	uint32_t clock;
	uint32_t state;
	uint32_t queued;
	uint32_t descriptors;
	uint32_t faults;
	uint64_t prepared;
	uint64_t submitted;
	uint64_t completed;
	uint64_t terminated;
	uint64_t faulted;
	uint64_t bytes;
	uint64_t credit_transfers;
	uint64_t credit_bytes;
	uint64_t seq;
};

/**
 * struct control_fault - A fault, to be armed or from the list
 * @addr: its channel
 * @kind: enum dma_loopback_fault_kind
 * @nth: which transfer from now, 1 for the next one; 0 is the same
 * @with_bytes: @bytes counts, even if it is 0
 * @bytes: see the kinds
 * @error: positive errno, 0 for the one that the kind has by itself
 * @delay: milliseconds, 0 for none
 * @id: number of the fault, of the list only
 * @state: enum dma_loopback_fault_state, of the list only
 * @transfer: number of its transfer, of the list only
 */
struct control_fault {
	struct control_addr addr;
	uint32_t kind;
	uint32_t nth;
	bool with_bytes;
	uint32_t bytes;
	uint32_t error;
	uint32_t delay;
	uint32_t id;
	uint32_t state;
	uint64_t transfer;
};

/**
 * struct control_event - Something that happened to a transfer
 * @seq: number of the event, without gaps unless some were lost
 * @ns: CLOCK_MONOTONIC
 * @addr: its channel
 * @type: enum dma_loopback_event_type
 * @transfer: number of the transfer, 0 for none
 * @cookie: of the transfer, 0 if it has none
 * @length: bytes of the transfer
 * @segments: hardware segments of the transfer
 * @bytes: bytes moved so far
 * @residue: bytes that the client is told were not moved
 * @result: enum dma_loopback_result
 * @kind: enum dma_loopback_fault_kind
 * @fault: number of the fault, 0 for one of fault-injection
 *
 * What an event does not have is 0: events of which type have what is in the
 * specification.
 */
struct control_event {
	uint64_t seq;
	uint64_t ns;
	struct control_addr addr;
	uint32_t type;
	uint64_t transfer;
	int32_t cookie;
	uint64_t length;
	uint32_t segments;
	uint64_t bytes;
	uint64_t residue;
	uint32_t result;
	uint32_t kind;
	uint32_t fault;
};

/**
 * struct control_attr - An attribute of control_request()
 * @type: number of the attribute
 * @value: its value
 * @len: bytes of it that are sent, 0 for all four
 */
struct control_attr {
	uint16_t type;
	uint32_t value;
	uint16_t len;
};

int control_open(struct control *c);
int control_open_family(struct control *c, const char *family);
void control_close(struct control *c);
const char *control_message(const struct control *c);
uint16_t control_family_id(const struct control *c);

int control_chan_get(struct control *c, struct control_addr addr,
		     struct control_chan *chan);
int control_chans(struct control *c, struct control_chan *chans, size_t max);

int control_step(struct control *c, struct control_addr addr,
		 uint32_t transfers);
int control_step_bytes(struct control *c, struct control_addr addr,
		       uint32_t bytes);

int control_fault_add(struct control *c, const struct control_fault *fault);
int control_fault_del(struct control *c, uint32_t instance, uint32_t id);
int control_faults(struct control *c, struct control_fault *faults, size_t max);

int control_request(struct control *c, uint8_t cmd,
		    const struct control_attr *attrs, size_t nr_attrs);

int control_listen(struct control *c, int rcvbuf);
int control_events_fd(const struct control *c);
int control_event(struct control *c, struct control_event *e, int timeout_ms);
int control_event_wait(struct control *c, struct control_addr addr,
		       enum dma_loopback_event_type type,
		       struct control_event *e);

const char *control_event_name(uint32_t type);
const char *control_fault_name(uint32_t kind);
const char *control_channel_name(uint32_t channel);

#endif /* CONFORMANCE_CONTROL_H */

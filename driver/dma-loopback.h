/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Platform data of the loopback DMA controller: the whole contract between
 * the provider (dma-loopback) and whoever plays the peripheral on its channels
 * (iio-loopback). The two modules share no symbol, so that each of them can be
 * unbound and unloaded while the other one stays.
 */

#ifndef _DMA_LOOPBACK_H
#define _DMA_LOOPBACK_H

#include <linux/atomic.h>
#include <linux/dmaengine.h>
#include <linux/types.h>
#include <uapi/linux/dma_loopback.h>

#define DMA_LOOPBACK_DRV_NAME	"dma-loopback"

/* Channel names for dma_request_chan(), seen from the memory of the CPU */
#define DMA_LOOPBACK_CHAN_TX	"tx"	/* memory to device */
#define DMA_LOOPBACK_CHAN_RX	"rx"	/* device to memory */

/* What dmaengine's one-bit-per-width capability masks can express */
#define DMA_LOOPBACK_ALIGN_MAX	16

/**
 * struct dma_loopback_link - The signals between peripheral and DMA
 * @tx_rate: bytes per second that the peripheral takes from the TX channel
 * @rx_rate: bytes per second that the peripheral gives to the RX channel
 * @start: the peripheral asks it before it starts a stream, and once more when
 *	its DMA is running, whether that is to fail: 0, or a negative errno.
 *	Set by the controller while its driver is bound.
 * @controller: of the controller
 *
 * What request lines are between a real converter and its DMA controller.
 * The peripheral writes the rates, at any time; the controller reads them
 * where its clock is DMA_LOOPBACK_CLOCK_RATE. 0 stops a channel. While TX
 * feeds RX the slower of the two rates holds for both. Rates are below 2^40.
 */
struct dma_loopback_link {
	atomic64_t tx_rate;
	atomic64_t rx_rate;
	int (*start)(struct dma_loopback_link *link,
		     enum dma_transfer_direction dir, bool running);
	void *controller;
};

/**
 * struct dma_loopback_pdata - Shape of one loopback DMA controller
 * @name: name of the controller in its control interface, up to
 *	DMA_LOOPBACK_NAME_LEN bytes; NULL: that of its device
 * @consumer: name of the device that may request the channels
 * @link: signals, valid as long as the driver is bound
 * @clock: pacing
 * @counter: RX does not take what TX sends but a counter: a byte stream of
 *	little-endian 32-bit words 0, 1, 2... that starts when the driver binds
 *	and goes on from transfer to transfer
 * @discard: TX does not feed RX, its bytes are thrown away
 * @align: DMA addresses and lengths are multiples of this many bytes, a power
 *	of two up to DMA_LOOPBACK_ALIGN_MAX
 * @max_seg_size: most bytes that one hardware segment moves, 0: no limit;
 *	longer vectors are split
 * @max_segs: most hardware segments of one transfer, after splitting, 0: no
 *	limit; transfers that need more are refused
 * @no_vectors: there is no device_prep_peripheral_dma_vec()
 */
struct dma_loopback_pdata {
	const char *name;
	const char *consumer;
	struct dma_loopback_link *link;
	enum dma_loopback_clock clock;
	bool counter;
	bool discard;
	u32 align;
	u32 max_seg_size;
	u32 max_segs;
	bool no_vectors;
};

#endif /* _DMA_LOOPBACK_H */

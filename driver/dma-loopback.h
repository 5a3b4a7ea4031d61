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
#include <linux/types.h>

#define DMA_LOOPBACK_DRV_NAME	"dma-loopback"

/* Channel names for dma_request_chan(), seen from the memory of the CPU */
#define DMA_LOOPBACK_CHAN_TX	"tx"	/* memory to device */
#define DMA_LOOPBACK_CHAN_RX	"rx"	/* device to memory */

/* What dmaengine's one-bit-per-width capability masks can express */
#define DMA_LOOPBACK_ALIGN_MAX	16

/**
 * enum dma_loopback_clock - What decides how fast bytes move
 * @DMA_LOOPBACK_CLOCK_FREE: as fast as the CPU copies
 * @DMA_LOOPBACK_CLOCK_RATE: at the rate of struct dma_loopback_link
 */
enum dma_loopback_clock {
	DMA_LOOPBACK_CLOCK_FREE,
	DMA_LOOPBACK_CLOCK_RATE,
};

/**
 * struct dma_loopback_link - The pacing signals between peripheral and DMA
 * @tx_rate: bytes per second that the peripheral takes from the TX channel
 * @rx_rate: bytes per second that the peripheral gives to the RX channel
 *
 * What request lines are between a real converter and its DMA controller.
 * The peripheral writes the rates, at any time; the controller reads them
 * where its clock is DMA_LOOPBACK_CLOCK_RATE. 0 stops a channel. While TX
 * feeds RX the slower of the two rates holds for both. Rates are below 2^40.
 */
struct dma_loopback_link {
	atomic64_t tx_rate;
	atomic64_t rx_rate;
};

/**
 * struct dma_loopback_pdata - Shape of one loopback DMA controller
 * @consumer: name of the device that may request the channels
 * @link: pacing signals, valid as long as a channel is in use
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
 */
struct dma_loopback_pdata {
	const char *consumer;
	struct dma_loopback_link *link;
	enum dma_loopback_clock clock;
	bool counter;
	bool discard;
	u32 align;
	u32 max_seg_size;
	u32 max_segs;
};

#endif /* _DMA_LOOPBACK_H */

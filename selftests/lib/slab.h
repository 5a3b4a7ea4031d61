/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the kernel holds in its slab caches: leaks add up there, whatever it is
 * that leaks. Others use them too, so that only what grows all the time, and
 * as fast as a test goes on, is taken for a leak.
 */

#ifndef CONFORMANCE_SLAB_H
#define CONFORMANCE_SLAB_H

#include <stdbool.h>
#include <stddef.h>

/* In how many batches the cycles of a test are looked at */
#define SLAB_BATCHES	4

/*
 * Fewer cycles than that show nothing: for each cache the kernel keeps a few
 * hundred objects at hand, which count as used.
 */
#define SLAB_CYCLES	1200

/**
 * struct slab_watch - How slab caches grow from batch to batch
 * @cycles: of all batches so far
 * @err: why nothing is known, 0 otherwise
 * @nr: number of caches
 * @cache: those that the interface may allocate from: how many objects they
 *	had in use at the start, after the last batch and now, and whether each
 *	batch has added about one for each cycle
 */
struct slab_watch {
	unsigned int cycles;
	int err;
	size_t nr;
	struct {
		char name[32];
		long start;
		long before;
		long now;
		bool grows;
	} cache[256];
};

void slab_start(struct slab_watch *w);
void slab_batch(struct slab_watch *w, unsigned int cycles);
bool slab_steady(struct slab_watch *w, const char *what);

#endif /* CONFORMANCE_SLAB_H */

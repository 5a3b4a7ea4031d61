/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the kernel holds in its slab caches: leaks add up there, whatever it is
 * that leaks.
 *
 * Functions that can fail return a negative errno.
 */

#ifndef CONFORMANCE_SLAB_H
#define CONFORMANCE_SLAB_H

#include <stddef.h>

/**
 * struct slab_use - How many objects each slab cache holds
 * @nr: number of caches
 * @cache: the caches
 */
struct slab_use {
	size_t nr;
	struct {
		char name[32];
		long objects;
	} cache[512];
};

int slab_look(struct slab_use *use);
long slab_growth(const struct slab_use *before, char *name, size_t size);

#endif /* CONFORMANCE_SLAB_H */

// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kselftest.h"

#include "slab.h"

/**
 * slab_look() - Count the objects in all slab caches
 * @use: filled in
 *
 * Return: 0; -EACCES or -ENOENT where the kernel does not tell.
 */
int slab_look(struct slab_use *use)
{
	char line[512];
	FILE *f;

	f = fopen("/proc/slabinfo", "re");
	if (!f)
		return -errno;

	use->nr = 0;
	while (use->nr < ARRAY_SIZE(use->cache) &&
	       fgets(line, sizeof(line), f)) {
		/* The two lines of the heading have no number there. */
		if (sscanf(line, "%31s %ld", use->cache[use->nr].name,
			   &use->cache[use->nr].objects) == 2)
			use->nr++;
	}
	fclose(f);

	return use->nr ? 0 : -ENOENT;
}

static long objects_of(const struct slab_use *use, const char *name)
{
	size_t i;

	for (i = 0; i < use->nr; i++) {
		if (!strcmp(use->cache[i].name, name))
			return use->cache[i].objects;
	}

	return 0;
}

/**
 * slab_growth() - How much the cache has grown that has grown most
 * @before: from slab_look()
 * @name: set to the name of the cache
 * @size: size of @name
 *
 * The kernel frees some objects late and keeps a few hundred at hand.
 *
 * Return: number of objects, or a negative errno.
 */
long slab_growth(const struct slab_use *before, char *name, size_t size)
{
	long growth, most = 0;
	struct slab_use *now;
	size_t i;
	int ret;

	now = malloc(sizeof(*now));
	if (!now)
		return -ENOMEM;

	ret = slab_look(now);
	for (i = 0; !ret && i < now->nr; i++) {
		growth = now->cache[i].objects -
			 objects_of(before, now->cache[i].name);
		if (growth < most)
			continue;
		most = growth;
		snprintf(name, size, "%s", now->cache[i].name);
	}
	free(now);

	return ret ?: most;
}

// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "kselftest.h"

#include "deadline.h"
#include "slab.h"
#include "suite.h"

/* Not the caches of files and inodes, which anybody fills, nor reclaimable. */
static bool is_of_interest(const char *name)
{
	if (!strncmp(name, "kmalloc-", 8))
		return strncmp(name, "kmalloc-rcl-", 12);

	return strstr(name, "dma") || strstr(name, "iio") ||
	       strstr(name, "fence");
}

static void note(struct slab_watch *w, const char *name, long objects)
{
	size_t i;

	for (i = 0; i < w->nr && strcmp(w->cache[i].name, name); i++)
		;
	if (i == ARRAY_SIZE(w->cache))
		return;
	if (i == w->nr)
		snprintf(w->cache[w->nr++].name, sizeof(w->cache[0].name),
			 "%s", name);
	w->cache[i].now = objects;
}

static void look(struct slab_watch *w)
{
	char line[512], name[32];
	long objects;
	FILE *f;

	f = fopen("/proc/slabinfo", "re");
	if (!f) {
		w->err = -errno;
		return;
	}

	while (fgets(line, sizeof(line), f)) {
		/* The two lines of the heading have no number there. */
		if (sscanf(line, "%31s %ld", name, &objects) == 2 &&
		    is_of_interest(name))
			note(w, name, objects);
	}
	fclose(f);
	if (!w->nr)
		w->err = -ENOENT;
}

/* Look for the first time, when the caches have filled. */
void slab_start(struct slab_watch *w)
{
	size_t i;

	*w = (struct slab_watch){};
	look(w);
	for (i = 0; i < w->nr; i++) {
		w->cache[i].start = w->cache[i].now;
		w->cache[i].before = w->cache[i].now;
		w->cache[i].grows = true;
	}
}

/* Look again after @cycles more. */
void slab_batch(struct slab_watch *w, unsigned int cycles)
{
	const long leak = cycles / 2;
	size_t i;

	look(w);
	w->cycles += cycles;
	for (i = 0; i < w->nr; i++) {
		if (w->cache[i].now - w->cache[i].before <= leak)
			w->cache[i].grows = false;
		w->cache[i].before = w->cache[i].now;
	}
}

/* By how many objects cache @i has grown from the start until now. */
static long growth(struct slab_watch *w, size_t i)
{
	look(w);

	return w->cache[i].now - w->cache[i].start;
}

/* Wait until the kernel has freed what it frees late: a leak stays. */
static bool leaks(struct slab_watch *w, size_t i)
{
	const long leak = w->cycles / 2;

	return w->cache[i].grows && !wait_until(growth(w, i) <= leak);
}

/* The first cache that leaks, as slab_steady() says; NULL if none does. */
static const char *leaking_cache(struct slab_watch *w)
{
	size_t i;

	for (i = 0; i < w->nr; i++) {
		if (leaks(w, i))
			return w->cache[i].name;
	}

	return NULL;
}

/**
 * slab_steady() - Tell whether something leaks
 * @w: watched by slab_start() and slab_batch()
 * @what: what was done in each cycle, in the plural
 *
 * Return: false if a cache has grown by about one object for each cycle in each
 * batch, and goes on to hold them.
 */
bool slab_steady(struct slab_watch *w, const char *what)
{
	const char *leak = NULL;

	printf("# %u %s, ", w->cycles, what);
	if (w->err) {
		printf("memory not looked at, /proc/slabinfo: %s\n",
		       errno_name(-w->err));
	} else if (w->cycles < SLAB_CYCLES) {
		printf("too few cycles to tell whether memory leaks\n");
	} else {
		leak = leaking_cache(w);
		printf("slab caches compared: %s%s\n", leak ?: "steady",
		       leak ? " has grown as much" : "");
	}
	fflush(stdout);

	return !leak;
}

/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Numbers that look random and follow from a seed alone, the same on every
 * machine and with every C library: what has failed once can be run again.
 *
 * A counter that goes up by an odd constant, each of its values mixed by two
 * rounds of shift and multiply (the generator known as splitmix64). It visits
 * all 2^64 states, and neighbouring seeds give unrelated numbers.
 */

#ifndef CONFORMANCE_PRNG_H
#define CONFORMANCE_PRNG_H

#include <stdbool.h>
#include <stdint.h>

/* The state is the seed to begin with. */
struct prng {
	uint64_t state;
};

static inline uint64_t prng_next(struct prng *p)
{
	uint64_t x = p->state += 0x9e3779b97f4a7c15ull;

	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ull;
	x = (x ^ x >> 27) * 0x94d049bb133111ebull;

	return x ^ x >> 31;
}

/* Return: a number from 0 to @n - 1. */
static inline uint32_t prng_below(struct prng *p, uint32_t n)
{
	return (prng_next(p) >> 32) * n >> 32;
}

static inline bool prng_percent(struct prng *p, unsigned int percent)
{
	return prng_below(p, 100) < percent;
}

#endif /* CONFORMANCE_PRNG_H */

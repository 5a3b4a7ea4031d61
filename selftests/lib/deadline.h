/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Waiting for what the kernel does not wake anybody for.
 */

#ifndef CONFORMANCE_DEADLINE_H
#define CONFORMANCE_DEADLINE_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

/*
 * How long to wait for what must come, in milliseconds. Only a failure ever
 * takes that long; the slowest machine must not need it.
 */
#define DEADLINE_MS	20000

static inline uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);

	return ts.tv_sec * 1000000000ull + ts.tv_nsec;
}

static inline uint64_t now_ms(void)
{
	return now_ns() / 1000000;
}

/* For delays that are too short to sleep: until now_ns() is @end. */
static inline void spin_until(uint64_t end)
{
	while (now_ns() < end)
		;
}

/* Let others run between two looks at a condition; true, for wait_until(). */
static inline bool look_again(void)
{
	const struct timespec pause = { .tv_nsec = 1000000 };

	nanosleep(&pause, NULL);

	return true;
}

/**
 * wait_until() - Wait for a condition
 * @cond: expression, evaluated again and again until it is true
 *
 * Return: whether it became true within DEADLINE_MS.
 */
#define wait_until(cond) ({						\
	const uint64_t __end = now_ms() + DEADLINE_MS;			\
	bool __true;							\
									\
	do {								\
		__true = (cond);					\
	} while (!__true && now_ms() < __end && look_again());		\
	__true;								\
})

#endif /* CONFORMANCE_DEADLINE_H */

// SPDX-License-Identifier: GPL-2.0
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "deadline.h"
#include "dmabuf.h"
#include "race.h"

/* How long a race takes, unless IIO_DMABUF_RACE_MS says otherwise. */
#define RACE_MS		100

/* In how many steps the late one moves along the call of the others. */
#define RACE_STEPS	16

/* A call that takes longer than that was put to sleep. */
#define RACE_SPAN_NS	1000000

/* Return: how many CPUs there are for a race. */
unsigned int race_cpus(void)
{
	cpu_set_t set;
	int nr = 1;

	if (!sched_getaffinity(0, sizeof(set), &set))
		nr = CPU_COUNT(&set);

	return nr < RACE_MAX ? nr : RACE_MAX;
}

/* Keep this thread on one of the CPUs, the @n-th of those that there are. */
static void stay_on_cpu(unsigned int n)
{
	cpu_set_t set, one;
	int cpu;

	if (sched_getaffinity(0, sizeof(set), &set))
		return;

	n %= CPU_COUNT(&set);
	for (cpu = 0; !CPU_ISSET(cpu, &set) || n--; cpu++)
		;

	CPU_ZERO(&one);
	CPU_SET(cpu, &one);
	sched_setaffinity(0, sizeof(one), &one);
}

/**
 * race_init() - Prepare a race
 * @r: set up here, without any racers
 *
 * Return: 0, or a negative errno.
 */
int race_init(struct race *r)
{
	const char *env = getenv("IIO_DMABUF_RACE_MS");

	*r = (struct race){ .cpus = race_cpus() };
	r->deadline = now_ms() + (env ? strtoul(env, NULL, 0) : RACE_MS);

	r->go = eventfd(0, EFD_CLOEXEC | EFD_SEMAPHORE);
	r->done = eventfd(0, EFD_CLOEXEC);

	return r->go < 0 || r->done < 0 ? -EMFILE : 0;
}

/* Nobody starts before all are there: waking a thread takes its time. */
static void line_up(struct race *r)
{
	const unsigned int all = r->nr * r->rounds;

	__atomic_add_fetch(&r->waiting, 1, __ATOMIC_ACQ_REL);
	while (__atomic_load_n(&r->waiting, __ATOMIC_ACQUIRE) < all) {
		if (r->nr > r->cpus)
			sched_yield();
	}
}

static void *racer_thread(void *arg)
{
	struct racer *me = arg;
	struct race *r = me->race;
	uint64_t count;

	stay_on_cpu(me - r->racer);

	while (read(r->go, &count, sizeof(count)) == sizeof(count)) {
		if (__atomic_load_n(&r->stop, __ATOMIC_ACQUIRE))
			break;

		line_up(r);
		spin_until(now_ns() + me->delay);
		me->start = now_ns();
		me->ret = me->call(me->arg);
		me->end = now_ns();

		if (!__atomic_sub_fetch(&r->running, 1, __ATOMIC_ACQ_REL)) {
			count = 1;
			if (write(r->done, &count, sizeof(count)) < 0)
				break;
		}
	}

	return NULL;
}

/**
 * race_add() - Have one more call made in each round
 * @r: from race_init(), before its first round
 * @call: makes the call
 * @arg: argument of @call
 *
 * Return: 0, or a negative errno.
 */
int race_add(struct race *r, int (*call)(void *arg), void *arg)
{
	struct racer *racer = &r->racer[r->nr];

	if (r->nr == RACE_MAX)
		return -E2BIG;

	*racer = (struct racer){ .race = r, .call = call, .arg = arg };
	r->nr++;

	return -pthread_create(&racer->thread, NULL, racer_thread, racer);
}

/**
 * race_goes_on() - Whether there is another round
 * @r: from race_init()
 *
 * Time is what limits a race, but there is a first round on any machine.
 *
 * Return: whether to go on.
 */
bool race_goes_on(struct race *r)
{
	if (r->rounds && now_ms() >= r->deadline)
		return false;

	r->rounds++;

	return true;
}

/**
 * race_delay() - How late to be in this round
 * @r: from race_init()
 * @span: nanoseconds that the others take
 *
 * Return: nanoseconds; from round to round another part of @span.
 */
uint64_t race_delay(const struct race *r, uint64_t span)
{
	unsigned int step = r->rounds / (r->nr ?: 1) % RACE_STEPS;

	return span * step / RACE_STEPS;
}

static uint64_t racer_took(const struct racer *racer)
{
	uint64_t ns = racer->end - racer->start;

	return ns < RACE_SPAN_NS ? ns : RACE_SPAN_NS;
}

/* In turns each of the racers is late, by up to what another one took. */
static void set_delays(struct race *r)
{
	struct racer *late = &r->racer[r->rounds % r->nr];
	uint64_t span = 0;
	unsigned int i;

	for (i = 0; i < r->nr; i++) {
		r->racer[i].delay = 0;
		if (&r->racer[i] != late && racer_took(&r->racer[i]) > span)
			span = racer_took(&r->racer[i]);
	}
	late->delay = race_delay(r, span);
}

/* Whether at least two of the calls were under way at the same time. */
static bool racers_met(const struct race *r)
{
	const struct racer *a, *b;

	for (a = r->racer; a < r->racer + r->nr; a++) {
		for (b = r->racer; b < a; b++) {
			if (a->start < b->end && b->start < a->end)
				return true;
		}
	}

	return false;
}

/**
 * race_round() - Make the calls
 * @r: race_goes_on() was true
 *
 * Return: 0, or -ETIMEDOUT if one does not return within DEADLINE_MS.
 */
int race_round(struct race *r)
{
	uint64_t count = r->nr;

	set_delays(r);
	__atomic_store_n(&r->running, r->nr, __ATOMIC_RELEASE);
	if (write(r->go, &count, sizeof(count)) != sizeof(count))
		return -errno;

	if (fd_poll(r->done, POLLIN, DEADLINE_MS) != POLLIN)
		return -ETIMEDOUT;
	if (read(r->done, &count, sizeof(count)) != sizeof(count))
		return -errno;

	r->met += racers_met(r);

	return 0;
}

/* No more rounds: end the threads, and tell how good the race was. */
void race_end(struct race *r)
{
	uint64_t count = r->nr;
	unsigned int i;

	__atomic_store_n(&r->stop, true, __ATOMIC_RELEASE);
	if (count && write(r->go, &count, sizeof(count)) != sizeof(count))
		return;

	for (i = 0; i < r->nr; i++)
		pthread_join(r->racer[i].thread, NULL);
	close(r->go);
	close(r->done);

	printf("# window met %u of %u rounds\n", r->met, r->rounds);
	fflush(stdout);
}

/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Calls that meet: made by several threads at the same time, again and again,
 * one of them a little later in each round. Which one comes first is left to
 * chance, so a verdict must hold for every order.
 *
 * Functions that can fail return a negative errno.
 */

#ifndef CONFORMANCE_RACE_H
#define CONFORMANCE_RACE_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#define RACE_MAX	4

/**
 * struct racer - One of the calls
 * @race: the race that it is part of
 * @call: makes the call; must not use ASSERT_*() or EXPECT_*()
 * @arg: argument of @call
 * @thread: makes the calls of all rounds
 * @delay: how many nanoseconds it starts late in this round
 * @start: when it was made in the last round, in nanoseconds
 * @end: when it returned in the last round
 * @ret: what it returned in the last round
 */
struct racer {
	struct race *race;
	int (*call)(void *arg);
	void *arg;
	pthread_t thread;
	uint64_t delay;
	uint64_t start;
	uint64_t end;
	int ret;
};

/**
 * struct race - Calls to be made at the same time
 * @racer: the calls
 * @nr: how many there are
 * @cpus: how many CPUs they are spread over
 * @rounds: rounds so far
 * @met: rounds in which the calls, or what the test looks for, did meet
 * @deadline: when the last round starts, in milliseconds
 * @go: eventfd, one count for each racer starts a round
 * @done: eventfd, counts the rounds that have ended
 * @waiting: racers at the starting line, of this and of all former rounds
 * @running: racers that have not returned from this round
 * @stop: there is no other round
 *
 * Must live as long as the threads, that is until race_end().
 */
struct race {
	struct racer racer[RACE_MAX];
	unsigned int nr;
	unsigned int cpus;
	unsigned int rounds;
	unsigned int met;
	uint64_t deadline;
	int go;
	int done;
	unsigned int waiting;
	unsigned int running;
	bool stop;
};

int race_init(struct race *r);
int race_add(struct race *r, int (*call)(void *arg), void *arg);
bool race_goes_on(struct race *r);
int race_round(struct race *r);
void race_end(struct race *r);

unsigned int race_cpus(void);
uint64_t race_delay(const struct race *r, uint64_t span);

#endif /* CONFORMANCE_RACE_H */

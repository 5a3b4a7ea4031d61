// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "blocked.h"
#include "deadline.h"
#include "iio.h"

static void *blocked_thread(void *arg)
{
	struct blocked *b = arg;

	__atomic_store_n(&b->tid, syscall(SYS_gettid), __ATOMIC_RELEASE);
	b->ret = b->fn(b->arg);
	__atomic_store_n(&b->done, true, __ATOMIC_RELEASE);

	return NULL;
}

/**
 * blocked_start() - Make a call in a thread of its own
 * @b: set up here
 * @fn: makes the call
 * @arg: argument of @fn
 *
 * Return: 0, or a negative errno.
 */
int blocked_start(struct blocked *b, int (*fn)(void *arg), void *arg)
{
	*b = (struct blocked){ .fn = fn, .arg = arg };

	return -pthread_create(&b->thread, NULL, blocked_thread, b);
}

/* One line of /proc/@tid/@file; false if there is none. */
static bool proc_read(pid_t tid, const char *file, char *line, int size)
{
	char path[64];
	bool ok;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/%s", tid, file);
	f = fopen(path, "re");
	if (!f)
		return false;

	ok = fgets(line, size, f);
	fclose(f);

	return ok;
}

/* The state letter of a task: R, S, D, Z...; 0 if it is gone. */
static char task_state(pid_t tid)
{
	const char *end;
	char line[256];

	if (!proc_read(tid, "stat", line, sizeof(line)))
		return 0;

	/* The name before it may hold anything. */
	end = strrchr(line, ')');

	return end && end[1] ? end[2] : 0;
}

static bool task_sleeps_in(pid_t tid, long nr)
{
	char line[256], *end;
	long got;

	/* Not every architecture and configuration has this file. */
	if (!proc_read(tid, "syscall", line, sizeof(line)))
		return task_state(tid) == 'S';

	/* "running" while it is, "-1" for a sleep outside of system calls */
	got = strtol(line, &end, 10);

	return end != line && got == nr;
}

static bool task_ended(pid_t tid)
{
	char state = task_state(tid);

	return !state || state == 'Z' || state == 'X';
}

static bool thread_sleeps_in(const struct blocked *b, long nr)
{
	pid_t tid = __atomic_load_n(&b->tid, __ATOMIC_ACQUIRE);

	return tid && task_sleeps_in(tid, nr);
}

/**
 * blocked_wait_pid() - Wait until a process sleeps in a system call
 * @pid: process of one thread, or a thread of this process
 * @nr: number of the system call, SYS_ioctl for example
 *
 * Return: 0, -ESRCH if it has ended, or -ETIMEDOUT after DEADLINE_MS.
 */
int blocked_wait_pid(pid_t pid, long nr)
{
	bool sleeps = false, known;

	known = wait_until((sleeps = task_sleeps_in(pid, nr)) ||
			   task_ended(pid));
	if (!known)
		return -ETIMEDOUT;

	return sleeps ? 0 : -ESRCH;
}

/**
 * blocked_wait() - Wait until a call sleeps in the kernel
 * @b: from blocked_start()
 * @nr: number of the system call, SYS_ioctl for example
 *
 * Where the kernel does not tell in which system call a thread sleeps, any is
 * taken for it.
 *
 * Return: 0, -EALREADY if the call has returned instead, or -ETIMEDOUT after
 * DEADLINE_MS.
 */
int blocked_wait(const struct blocked *b, long nr)
{
	bool sleeps = false, known;

	known = wait_until((sleeps = thread_sleeps_in(b, nr)) ||
			   __atomic_load_n(&b->done, __ATOMIC_ACQUIRE));
	if (!known)
		return -ETIMEDOUT;

	return sleeps ? 0 : -EALREADY;
}

/**
 * blocked_join() - Wait until a call has returned
 * @b: from blocked_start(), not yet joined
 *
 * Return: what the function returned, or -ETIMEDOUT after DEADLINE_MS.
 */
int blocked_join(struct blocked *b)
{
	if (!wait_until(__atomic_load_n(&b->done, __ATOMIC_ACQUIRE)))
		return -ETIMEDOUT;

	pthread_join(b->thread, NULL);

	return b->ret;
}

/* For blocked_start(): one ENQUEUE, of a struct enqueue_call. */
int enqueue_once(void *arg)
{
	const struct enqueue_call *c = arg;

	return iio_enqueue(c->fd, c->dmabuf_fd, c->len);
}

/* An EBUSY that took that long was waited for. The kernel waits for seconds. */
#define WAITED_MS	1000

/**
 * enqueue_patiently() - For blocked_start(): ENQUEUE, however long it takes
 * @arg: a struct enqueue_call
 *
 * The kernel gives up after a while, which a slow device may need to be done
 * with what ENQUEUE waits for: try again then.
 *
 * Return: 0 or a negative errno; -EBUSY if ENQUEUE did not wait, or if it was
 * not even done after DEADLINE_MS.
 */
int enqueue_patiently(void *arg)
{
	const uint64_t end = now_ms() + DEADLINE_MS;
	uint64_t start;
	int ret;

	do {
		start = now_ms();
		ret = enqueue_once(arg);
	} while (ret == -EBUSY && now_ms() - start >= WAITED_MS &&
		 now_ms() < end);

	return ret;
}

/**
 * watch_status() - For blocked_start(): look at a fence all the time
 * @arg: a struct status_watch
 *
 * No wake-up is as fast.
 *
 * Return: the first status that is not "pending", 0 if it never changes.
 */
int watch_status(void *arg)
{
	const uint64_t end = now_ms() + DEADLINE_MS;
	struct status_watch *w = arg;
	int status;

	do {
		status = sync_file_status(w->fence);
		atomic_fetch_add(&w->looks, 1);
	} while (!status && now_ms() < end);

	return status;
}

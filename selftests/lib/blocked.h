/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Calls that wait: made in a thread of their own and seen, in /proc, to sleep
 * in the kernel. That a call waits is then a fact and not a matter of delays.
 *
 * Functions that can fail return a negative errno.
 */

#ifndef CONFORMANCE_BLOCKED_H
#define CONFORMANCE_BLOCKED_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <sys/types.h>

/* Number of the system call behind poll() */
#ifdef SYS_poll
#define BLOCKED_POLL	SYS_poll
#else
#define BLOCKED_POLL	SYS_ppoll
#endif

/* Number of the system call behind epoll_wait() */
#ifdef SYS_epoll_wait
#define BLOCKED_EPOLL	SYS_epoll_wait
#else
#define BLOCKED_EPOLL	SYS_epoll_pwait
#endif

/**
 * struct blocked - A call in a thread of its own
 * @fn: makes the call; must not use ASSERT_*() or EXPECT_*()
 * @arg: argument of @fn
 * @thread: the thread, for pthread_kill() for example
 * @tid: its id in /proc, 0 until it runs
 * @ret: what @fn returned, once @done
 * @done: @fn has returned
 *
 * Must live until blocked_join() has returned something else than -ETIMEDOUT.
 */
struct blocked {
	int (*fn)(void *arg);
	void *arg;
	pthread_t thread;
	pid_t tid;
	int ret;
	bool done;
};

int blocked_start(struct blocked *b, int (*fn)(void *arg), void *arg);
int blocked_wait(const struct blocked *b, long nr);
int blocked_wait_pid(pid_t pid, long nr);
int blocked_join(struct blocked *b);

/**
 * struct enqueue_call - Argument of the functions below, which ENQUEUE
 * @fd: buffer
 * @dmabuf_fd: DMABUF, attached
 * @len: bytes of it
 */
struct enqueue_call {
	int fd;
	int dmabuf_fd;
	size_t len;
};

int enqueue_once(void *arg);
int enqueue_patiently(void *arg);

/**
 * struct status_watch - Argument of watch_status()
 * @fence: sync file
 * @looks: how often it was looked at
 */
struct status_watch {
	int fence;
	atomic_uint looks;
};

int watch_status(void *arg);

#endif /* CONFORMANCE_BLOCKED_H */

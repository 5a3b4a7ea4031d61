// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "call.h"

static void interrupt(int sig)
{
	(void)sig;
}

/**
 * call_start() - Make a call in a process of its own
 * @call: the call; gets @fd and @dmabuf_fd, returns 0 or a negative errno
 * @fd: first argument, a buffer
 * @dmabuf_fd: second argument
 *
 * SIGUSR1 interrupts the call. The process dies with its parent.
 *
 * Return: the process, for call_result() or call_kill(); or a negative errno.
 */
pid_t call_start(int (*call)(int, int), int fd, int dmabuf_fd)
{
	const struct sigaction sa = { .sa_handler = interrupt };
	pid_t pid = fork();

	if (pid)
		return pid < 0 ? -errno : pid;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	sigaction(SIGUSR1, &sa, NULL);
	_exit(-call(fd, dmabuf_fd));
}

/**
 * call_result() - Wait for the end of a call
 * @pid: from call_start(), whose errno is passed on
 *
 * Return: 0, or the negative errno of the call; -ECANCELED if it was killed.
 */
int call_result(pid_t pid)
{
	int status;

	if (pid < 0)
		return pid;

	if (waitpid(pid, &status, 0) < 0)
		return -errno;

	return WIFEXITED(status) ? -WEXITSTATUS(status) : -ECANCELED;
}

/* Like a signal without SA_RESTART does. Nothing for a call that failed. */
void call_interrupt(pid_t pid)
{
	if (pid > 0)
		kill(pid, SIGUSR1);
}

void call_kill(pid_t pid)
{
	if (pid > 0)
		kill(pid, SIGKILL);
	call_result(pid);
}

/* State of a process as ps(1) shows it, and how often it went to sleep. */
static char call_state(pid_t pid, unsigned long *sleeps)
{
	char path[32], line[128], state = '?';
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/status", pid);
	f = fopen(path, "re");
	if (!f)
		return state;

	while (fgets(line, sizeof(line), f)) {
		if (sscanf(line, "State: %c", &state) == 1)
			continue;
		if (sscanf(line, "voluntary_ctxt_switches: %lu", sleeps) == 1)
			break;
	}
	fclose(f);

	return state;
}

/**
 * call_blocks() - Wait until a call has ended or blocks for good
 * @pid: from call_start()
 *
 * A sleep that goes on and on is not one for a page or a short-lived lock.
 *
 * Return: 0 if the call has ended, else 'S' or 'D', the state it blocks in.
 */
char call_blocks(pid_t pid)
{
	const struct timespec pause = { .tv_nsec = 10000000 };
	unsigned long sleeps = 0, before;
	unsigned int looks = 0;
	char state;

	while (looks < 20) {
		before = sleeps;
		state = call_state(pid, &sleeps);
		if (state == 'Z' || state == '?')
			return 0;

		if ((state == 'S' || state == 'D') && sleeps == before)
			looks++;
		else
			looks = 0;
		nanosleep(&pause, NULL);
	}

	return state;
}

/* For call_start(): ENQUEUE all of a DMABUF. */
int call_enqueue(int fd, int dmabuf_fd)
{
	return iio_enqueue(fd, dmabuf_fd, lseek(dmabuf_fd, 0, SEEK_END));
}

/**
 * call_waiting_enqueue() - A blocking ENQUEUE that waits for a fence
 * @b: disabled buffer
 * @gate: DMABUF whose pending transfer on @b is the fence, not attached yet
 * @d: DMABUF that is enqueued on @b, not attached yet
 *
 * It waits until it is killed or the kernel loses patience. Whether it keeps
 * the reservation lock of @d meanwhile is the kernel's business.
 *
 * Return: the process, or a negative errno.
 */
pid_t call_waiting_enqueue(const struct iio_buf *b, const struct dmabuf *gate,
			   const struct dmabuf *d)
{
	pid_t pid;
	int ret;

	ret = iio_attach(b->fd, d->fd);
	if (!ret)
		ret = iio_add_pending_fence(b, gate, d, DMA_BUF_SYNC_WRITE);
	if (ret)
		return ret;

	pid = call_start(call_enqueue, b->fd, d->fd);
	if (pid < 0 || call_blocks(pid) == 'S')
		return pid;

	call_kill(pid);

	return -EPROTO;
}

/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Calls that may block for good, even uninterruptibly: made in a process of
 * their own, which can be left behind where a thread could not.
 */

#ifndef CONFORMANCE_CALL_H
#define CONFORMANCE_CALL_H

#include <sys/types.h>

#include "dmabuf.h"
#include "iio.h"

pid_t call_start(int (*call)(int, int), int fd, int dmabuf_fd);
int call_result(pid_t pid);
void call_interrupt(pid_t pid);
void call_kill(pid_t pid);
char call_blocks(pid_t pid);
int call_enqueue(int fd, int dmabuf_fd);
pid_t call_waiting_enqueue(const struct iio_buf *b, const struct dmabuf *gate,
			   const struct dmabuf *d);

#endif /* CONFORMANCE_CALL_H */

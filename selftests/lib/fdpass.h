/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Descriptors that go through a socket to another process, SCM_RIGHTS.
 *
 * Functions that can fail return a negative errno.
 */

#ifndef CONFORMANCE_FDPASS_H
#define CONFORMANCE_FDPASS_H

#include <stddef.h>

/* Most descriptors at once */
#define FDPASS_MAX	2

int send_fds(int sock, const int *fds, size_t n);
int receive_fds(int sock, int *fds, size_t n);

#endif /* CONFORMANCE_FDPASS_H */

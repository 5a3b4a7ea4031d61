/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the kernel says when devices come and go. For programs that are linked
 * with libmnl, see CONTROL_PROGS in the Makefile.
 *
 * Functions that can fail return a negative errno.
 */

#ifndef CONFORMANCE_UEVENT_H
#define CONFORMANCE_UEVENT_H

#include <limits.h>

/**
 * struct uevent - Listener to the uevents of the kernel
 * @nl: its socket
 * @devpath: of the event that was waited for: the device below /sys
 */
struct uevent {
	struct mnl_socket *nl;
	char devpath[PATH_MAX];
};

#define UEVENT_INIT	{ NULL, "" }

int uevent_open(struct uevent *u);
void uevent_close(struct uevent *u);
int uevent_wait(struct uevent *u, const char *action, const char *subsystem,
		const char *device);

#endif /* CONFORMANCE_UEVENT_H */

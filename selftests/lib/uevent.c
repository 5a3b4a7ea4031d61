// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <libmnl/libmnl.h>

#include "deadline.h"
#include "uevent.h"

/* The kernel's own events; those of group 2 are udev's */
#define GROUP_KERNEL	1

/* More than the kernel lets the environment of an event be */
#define UEVENT_MAX	8192

/**
 * uevent_open() - Listen to what happens from now on
 * @u: the listener
 *
 * Return: 0, or a negative errno.
 */
int uevent_open(struct uevent *u)
{
	int err;

	u->nl = mnl_socket_open2(NETLINK_KOBJECT_UEVENT, SOCK_CLOEXEC);
	if (!u->nl)
		return -errno;

	if (!mnl_socket_bind(u->nl, GROUP_KERNEL, MNL_SOCKET_AUTOPID))
		return 0;

	err = -errno;
	uevent_close(u);

	return err;
}

/* One that is not open is fine. */
void uevent_close(struct uevent *u)
{
	if (u->nl)
		mnl_socket_close(u->nl);
	u->nl = NULL;
}

/* Return: the value of "KEY=value" in strings of @len bytes, NULL if none. */
static const char *value_of(const char *strings, size_t len, const char *key)
{
	const size_t n = strlen(key);
	const char *s;

	for (s = strings; s < strings + len; s += strlen(s) + 1) {
		if (!strncmp(s, key, n) && s[n] == '=')
			return s + n + 1;
	}

	return NULL;
}

static bool has_value(const char *strings, size_t len, const char *key,
		      const char *wanted)
{
	const char *value = value_of(strings, len, key);

	return value && !strcmp(value, wanted);
}

/* Whether @device is a directory in @devpath, or is where it leads */
static bool is_below(const char *devpath, const char *device)
{
	const size_t n = strlen(device);
	const char *s = devpath;

	while ((s = strchr(s, '/'))) {
		s++;
		if (!strncmp(s, device, n) && (!s[n] || s[n] == '/'))
			return true;
	}

	return false;
}

/**
 * uevent_wait() - Wait for an event, and drop those that come before it
 * @u: listener; its devpath is the device's on success
 * @action: "add", "remove"...
 * @subsystem: subsystem of the device, "iio" for example
 * @device: name of the device or of one above it, NULL for any
 *
 * Return: 0; -ETIMEDOUT if it has not come within DEADLINE_MS; -ENOBUFS if
 * events were lost; another negative errno.
 */
int uevent_wait(struct uevent *u, const char *action, const char *subsystem,
		const char *device)
{
	struct pollfd pfd = {
		.fd = mnl_socket_get_fd(u->nl),
		.events = POLLIN,
	};
	uint64_t end = now_ms() + DEADLINE_MS, now;
	char buf[UEVENT_MAX + 1];
	const char *devpath;
	ssize_t n;

	while ((now = now_ms()) < end) {
		if (poll(&pfd, 1, end - now) < 0)
			return -errno;
		if (!pfd.revents)
			break;

		n = mnl_socket_recvfrom(u->nl, buf, UEVENT_MAX);
		if (n < 0)
			return -errno;

		buf[n] = '\0';
		devpath = value_of(buf, n, "DEVPATH");
		if (!devpath || !has_value(buf, n, "ACTION", action) ||
		    !has_value(buf, n, "SUBSYSTEM", subsystem) ||
		    (device && !is_below(devpath, device)))
			continue;

		snprintf(u->devpath, sizeof(u->devpath), "%s", devpath);
		return 0;
	}

	return -ETIMEDOUT;
}

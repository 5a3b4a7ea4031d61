/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Descriptors and files of all kinds.
 */

#ifndef CONFORMANCE_FILE_H
#define CONFORMANCE_FILE_H

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

/* Close a descriptor that may not be there, which it then is not. */
static inline void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

/* Return: what the ioctl returned, or a negative errno. */
static inline int raw_ioctl(int fd, unsigned long request, const void *arg)
{
	int ret = ioctl(fd, request, arg);

	return ret < 0 ? -errno : ret;
}

/* Write a string to a file that is there. Return: 0, or a negative errno. */
static inline int write_file(const char *path, const char *val)
{
	int fd, ret;

	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;

	ret = write(fd, val, strlen(val)) < 0 ? -errno : 0;
	close(fd);

	return ret;
}

#endif /* CONFORMANCE_FILE_H */

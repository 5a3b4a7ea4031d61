// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "file.h"
#include "instance.h"

#define CONFIGFS	"/sys/kernel/config/iio-loopback"

/* Return: why no instance can be made here, NULL if one can. */
const char *instance_unfit(void)
{
	if (access(CONFIGFS, F_OK))
		return "no " CONFIGFS ": load iio-loopback and mount configfs";

	return access(CONFIGFS, W_OK) ? "not root" : NULL;
}

static void attr_path(char *path, size_t size, const char *name,
		      const char *attr)
{
	snprintf(path, size, CONFIGFS "/%s%s%s", name, attr ? "/" : "",
		 attr ?: "");
}

int instance_add(const char *name)
{
	char path[PATH_MAX];

	attr_path(path, sizeof(path), name, NULL);

	return mkdir(path, 0755) ? -errno : 0;
}

/* May be live. What is in flight is aborted. */
int instance_remove(const char *name)
{
	char path[PATH_MAX];

	attr_path(path, sizeof(path), name, NULL);

	return rmdir(path) ? -errno : 0;
}

int instance_set(const char *name, const char *attr, const char *val)
{
	char path[PATH_MAX];

	attr_path(path, sizeof(path), name, attr);

	return write_file(path, val);
}

/* Return: the value, in a buffer that the next call uses again. */
const char *instance_get(const char *name, const char *attr)
{
	static char val[64];
	char path[PATH_MAX];
	ssize_t n;
	int fd;

	attr_path(path, sizeof(path), name, attr);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return "cannot be opened";

	n = read(fd, val, sizeof(val) - 1);
	close(fd);
	val[n < 0 ? 0 : n] = '\0';
	val[strcspn(val, "\n")] = '\0';

	return val;
}

/**
 * instance_live() - Let an instance go live, and find its devices
 * @inst: set up on success
 * @name: name of the instance, which is there
 *
 * Return: 0, or a negative errno.
 */
int instance_live(struct instance *inst, const char *name)
{
	char label[sizeof(inst->name) + 8];
	int ret;

	snprintf(inst->name, sizeof(inst->name), "%s", name);
	ret = instance_set(name, "live", "1");
	if (ret)
		return ret;

	if (sscanf(instance_get(name, "dma_dev_name"), "dma-loopback.%u",
		   &inst->number) != 1)
		return -EPROTO;

	snprintf(label, sizeof(label), "%s-out", inst->name);
	ret = iio_dut_lookup(&inst->out, label);
	if (ret)
		return ret;

	snprintf(label, sizeof(label), "%s-in", inst->name);

	return iio_dut_lookup(&inst->in, label);
}

/**
 * instance_make() - Make an instance from nothing
 * @inst: set up on success, for instance_remove() at the end in any case
 * @name: name for it; one of that name, which a test that was killed may have
 *	left, is removed before
 * @attrs: its shape, as "clock=step source=counter"
 *
 * Return: 0, or a negative errno.
 */
int instance_make(struct instance *inst, const char *name, const char *attrs)
{
	const char *attr = attrs + strspn(attrs, " ");
	char pair[64], *val;
	size_t len;
	int ret;

	instance_remove(name);
	ret = instance_add(name);

	for (; !ret && *attr; attr += len + strspn(attr + len, " ")) {
		len = strcspn(attr, " ");
		snprintf(pair, sizeof(pair), "%.*s", (int)len, attr);
		val = strchr(pair, '=');
		if (!val)
			return -EINVAL;

		*val++ = '\0';
		ret = instance_set(name, pair, val);
		if (ret)
			printf("# %s: %s cannot be %s: %s\n", name, pair, val,
			       strerror(-ret));
	}

	return ret ?: instance_live(inst, name);
}

// SPDX-License-Identifier: GPL-2.0
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "bind.h"
#include "deadline.h"

/* Bindings that are broken, for the process whose tests are killed */
#define MAX_BROKEN	4

static struct binding *broken;

/* Others may depend on the devices of a board, so it has to be asked for. */
bool unbind_allowed(void)
{
	const char *env = getenv("IIO_DMABUF_UNBIND");

	return env && !strcmp(env, "1");
}

/**
 * binding_of() - Find the driver of a device
 * @b: set up on success
 * @device_dir: sysfs directory of the device
 *
 * Return: 0; -ENODEV if it has no driver, -EOPNOTSUPP if the driver does not
 * let itself be unbound.
 */
int binding_of(struct binding *b, const char *device_dir)
{
	char link[PATH_MAX + 16], unbind[PATH_MAX + 16];
	char path[PATH_MAX];

	*b = (struct binding){};

	if (!realpath(device_dir, path))
		return -errno;

	snprintf(b->device, sizeof(b->device), "%.255s",
		 strrchr(path, '/') + 1);
	snprintf(link, sizeof(link), "%s/driver", path);
	if (!realpath(link, b->driver))
		return -ENODEV;

	snprintf(unbind, sizeof(unbind), "%s/unbind", b->driver);

	return access(unbind, W_OK) ? -EOPNOTSUPP : 0;
}

/**
 * binding_of_dma() - Find the driver of a DMA controller behind a buffer
 * @b: set up on success
 * @dut: the buffer; its device must be there
 *
 * Return: 0; -ENOENT if the device has no dmaengine channel in sysfs, or what
 * binding_of() says of the controller.
 */
int binding_of_dma(struct binding *b, const struct iio_dut *dut)
{
	char device[PATH_MAX];
	struct dirent *entry;
	int ret = -ENOENT;
	DIR *dir;

	dir = opendir(dut->parent);
	if (!dir)
		return -errno;

	while (ret == -ENOENT && (entry = readdir(dir))) {
		if (strncmp(entry->d_name, "dma:", 4))
			continue;

		snprintf(device, sizeof(device), "%.255s/%s/device",
			 dut->parent, entry->d_name);
		ret = binding_of(b, device);
	}
	closedir(dir);

	return ret;
}

/**
 * binding_in_use() - Whether a DMA controller has clients
 * @b: of the controller, from binding_of_dma()
 *
 * Return: true also where sysfs does not tell.
 */
bool binding_in_use(const struct binding *b)
{
	char dir[PATH_MAX + NAME_MAX + 8], path[sizeof(dir) + NAME_MAX + 8];
	bool known = false, used = false;
	struct dirent *entry;
	long clients;
	FILE *f;
	DIR *d;

	snprintf(dir, sizeof(dir), "%s/%s/dma", b->driver, b->device);
	d = opendir(dir);
	if (!d)
		return true;

	while (!used && (entry = readdir(d))) {
		snprintf(path, sizeof(path), "%s/%s/in_use", dir,
			 entry->d_name);
		f = fopen(path, "re");
		if (!f)
			continue;
		known = true;
		used = fscanf(f, "%ld", &clients) != 1 || clients;
		fclose(f);
	}
	closedir(d);

	return used || !known;
}

static int driver_write(const struct binding *b, const char *attr)
{
	char path[PATH_MAX + 16];
	int fd, err = 0;

	snprintf(path, sizeof(path), "%s/%s", b->driver, attr);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;

	if (write(fd, b->device, strlen(b->device)) < 0)
		err = -errno;
	close(fd);

	return err;
}

/* The slot of a device; of "", one that is free. NULL if there is none. */
static struct binding *broken_slot(const char *device)
{
	struct binding *slot;

	for (slot = broken; slot && slot < broken + MAX_BROKEN; slot++) {
		if (!strcmp(slot->device, device))
			return slot;
	}

	return NULL;
}

/* Does nothing to a slot that does not exist. */
static void slot_free(struct binding *slot)
{
	if (slot)
		*slot = (struct binding){};
}

int binding_break(struct binding *b)
{
	struct binding *slot;
	int ret;

	slot = broken_slot(b->device) ?: broken_slot("");
	if (slot) {
		*slot = *b;
		slot->broken = true;
	}

	ret = driver_write(b, "unbind");
	if (ret)
		slot_free(slot);
	b->broken |= !ret;

	return ret;
}

/* Does nothing to a binding that was not broken, or was restored since. */
int binding_restore(struct binding *b)
{
	int ret;

	if (!b->broken)
		return 0;

	ret = driver_write(b, "bind");
	/* A device link may have brought it back already. */
	if (ret == -EBUSY)
		ret = 0;
	b->broken = ret;
	if (!ret)
		slot_free(broken_slot(b->device));

	return ret;
}

/* Restore what a test that was killed has left, DMA controllers first. */
void bindings_restore(void)
{
	struct binding *slot = broken ? broken + MAX_BROKEN : broken;

	while (slot != broken)
		binding_restore(--slot);
}

/* First thing in main(): whatever happens to a test, restore its bindings. */
void bindings_guard(void)
{
	void *map;

	map = mmap(NULL, MAX_BROKEN * sizeof(*broken), PROT_READ | PROT_WRITE,
		   MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (map == MAP_FAILED)
		return;

	broken = map;
	atexit(bindings_restore);
}

static bool dut_is_gone(const struct iio_dut *dut)
{
	return access(dut->dir, F_OK) && access(dut->chrdev, F_OK);
}

/**
 * iio_unbind() - Take the parent of an IIO device away from its driver
 * @b: of the parent, from binding_of()
 * @dut: buffer of the IIO device. Other IIO devices of the parent go, too.
 *
 * Return: 0 when the device is gone, or a negative errno.
 */
int iio_unbind(struct binding *b, const struct iio_dut *dut)
{
	int ret = binding_break(b);

	if (ret)
		return ret;

	return wait_until(dut_is_gone(dut)) ? 0 : -ETIMEDOUT;
}

/**
 * iio_rebind() - Give the parent of an IIO device back to its driver
 * @b: from iio_unbind()
 * @dut: updated
 *
 * Return: 0 when the device is there, or a negative errno.
 */
int iio_rebind(struct binding *b, const struct iio_dut *dut)
{
	int ret = binding_restore(b);

	if (ret)
		return ret;

	return wait_until(!iio_dut_refresh(dut)) ? 0 : -ETIMEDOUT;
}

/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Taking devices away from their drivers, and giving them back, by sysfs.
 *
 * Functions that can fail return a negative errno.
 */

#ifndef CONFORMANCE_BIND_H
#define CONFORMANCE_BIND_H

#include <limits.h>
#include <stdbool.h>

#include "iio.h"

/**
 * struct binding - A device and its driver
 * @driver: sysfs directory of the driver
 * @device: name of the device
 * @broken: binding_break() was successful
 */
struct binding {
	char driver[PATH_MAX];
	char device[NAME_MAX + 1];
	bool broken;
};

bool unbind_allowed(void);

int binding_of(struct binding *b, const char *device_dir);
int binding_of_dma(struct binding *b, const struct iio_dut *dut);
bool binding_in_use(const struct binding *b);
int binding_break(struct binding *b);
int binding_restore(struct binding *b);
void bindings_restore(void);
void bindings_guard(void);

int iio_unbind(struct binding *b, const struct iio_dut *dut);
int iio_rebind(struct binding *b, const struct iio_dut *dut);

#endif /* CONFORMANCE_BIND_H */

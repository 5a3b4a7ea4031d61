/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Instances of the loopback driver, made by the test itself in the shape that
 * it needs. See Documentation/iio/iio-loopback.rst for their attributes.
 *
 * Functions that can fail return a negative errno.
 */

#ifndef CONFORMANCE_INSTANCE_H
#define CONFORMANCE_INSTANCE_H

#include "iio.h"

/**
 * struct instance - An instance of the loopback driver
 * @name: its name
 * @number: of its DMA controller, N in dma-loopback.N
 * @out: its output buffer
 * @in: its input buffer
 *
 * All but the name are known while it is live.
 */
struct instance {
	char name[64];
	unsigned int number;
	struct iio_dut out;
	struct iio_dut in;
};

const char *instance_unfit(void);

int instance_add(const char *name);
int instance_remove(const char *name);
int instance_set(const char *name, const char *attr, const char *val);
const char *instance_get(const char *name, const char *attr);

int instance_live(struct instance *inst, const char *name);
int instance_make(struct instance *inst, const char *name, const char *attrs);

#endif /* CONFORMANCE_INSTANCE_H */

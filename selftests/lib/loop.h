/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the loopback pair can do: whether each side waits for the other, and how
 * fast it is. Found out once, before the tests.
 */

#ifndef CONFORMANCE_LOOP_H
#define CONFORMANCE_LOOP_H

#include <stddef.h>

#include "iio.h"

void loop_probe(const struct iio_dut *out, const struct iio_dut *in);
const char *loop_unfit(void);
size_t loop_moves_within(unsigned int ms, size_t most);

#endif /* CONFORMANCE_LOOP_H */

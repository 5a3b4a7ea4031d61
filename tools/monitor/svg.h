/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The picture. How to read it is in Documentation/iio-dmabuf-monitor.rst.
 */

#ifndef MONITOR_SVG_H
#define MONITOR_SVG_H

#include "timeline.h"

void svg_write(FILE *f, const struct timeline *t, const struct filter *filter);

#endif /* MONITOR_SVG_H */

/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Of kselftest.h, for what programs that are no tests are made of as well.
 */

#ifndef CONFORMANCE_MACROS_H
#define CONFORMANCE_MACROS_H

#define ARRAY_SIZE(arr)	(sizeof(arr) / sizeof((arr)[0]))
#define __printf(a, b)	__attribute__((format(	\
				printf, a, b)))

#endif /* CONFORMANCE_MACROS_H */

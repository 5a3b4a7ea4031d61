/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Whether all witnesses of a script agree, see play.h: the script, the driver's
 * event stream, and a program that has the descriptors.
 */

#ifndef CONFORMANCE_AGREE_H
#define CONFORMANCE_AGREE_H

#include <stdbool.h>
#include <stddef.h>

#include "play.h"

/* Disagreements that are kept */
#define AGREE_MAX	8

/**
 * struct disagreement - Something that cannot be
 * @what: what does not fit, in words
 * @transfer: index of the transfer it is about, or SCRIPT_NONE
 * @other: index of another one that has to do with it, or SCRIPT_NONE
 */
struct disagreement {
	char what[160];
	unsigned int transfer;
	unsigned int other;
};

/**
 * struct agreement - What came of the comparison
 * @nr: number of disagreements
 * @first: the first of them
 * @nr_errors: transfers that the DMA engine reported an error of
 * @nr_dropped: those of them whose fence tells of success (B9)
 */
struct agreement {
	unsigned int nr;
	struct disagreement first[AGREE_MAX];
	unsigned int nr_errors;
	unsigned int nr_dropped;
};

void agree(struct agreement *a, const struct play_record *r);
bool agree_names(const struct agreement *a, unsigned int transfer);
void agree_print(const struct agreement *a, const struct play_record *r);

#endif /* CONFORMANCE_AGREE_H */

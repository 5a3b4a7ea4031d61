/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The requirement catalogue and the known kernel defects, as tables.
 *
 * The definitions are generated from requirements.yaml by reqc.
 */
#ifndef REQUIREMENTS_H
#define REQUIREMENTS_H

#include <stdbool.h>
#include <stddef.h>

/**
 * struct requirement - one rule for a kernel and its drivers
 * @id:		GROUP-NN; keeps its meaning for ever
 * @level:	"MUST", "SHOULD" or "MAY"
 * @statement:	what a conforming kernel does, in full sentences
 * @authority:	where the rule comes from
 * @breaks:	which mistake usually breaks it
 * @capability:	the least that a test needs; "ANY": any buffer has it
 * @destructive: a test of it takes an affected kernel down, or leaves the
 *		device unusable
 * @defects:	ids of the defects that make a test fail, NULL terminated
 */
struct requirement {
	const char *id;
	const char *level;
	const char *statement;
	const char *authority;
	const char *breaks;
	const char *capability;
	bool destructive;
	const char * const *defects;
};

/**
 * struct defect - one known violation of requirements by the kernel
 * @id:		short name; keeps its meaning for ever
 * @title:	one line for a report
 * @reference:	where in the kernel it is
 * @first:	first release affected, as KERNEL_VERSION(a, b, 0)
 * @fixed:	first release not affected any more, 0 if there is none yet
 */
struct defect {
	const char *id;
	const char *title;
	const char *reference;
	unsigned int first;
	unsigned int fixed;
};

extern const struct requirement requirements[];
extern const size_t nr_requirements;

extern const struct defect defects[];
extern const size_t nr_defects;

/**
 * requirement_find() - look a requirement up
 * @id: its id
 *
 * Return: the requirement, or NULL if there is none with that id.
 */
const struct requirement *requirement_find(const char *id);

/**
 * defect_find() - look a defect up
 * @id: its id
 *
 * Return: the defect, or NULL if there is none with that id.
 */
const struct defect *defect_find(const char *id);

/**
 * defect_in_kernel() - is a kernel release known to have a defect?
 * @d: the defect
 * @version: the release, as KERNEL_VERSION(a, b, c)
 *
 * Return: whether @version lies in the range of affected releases. A vendor's
 * kernel may have the fix nevertheless.
 */
bool defect_in_kernel(const struct defect *d, unsigned int version);

#endif /* REQUIREMENTS_H */

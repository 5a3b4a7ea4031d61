// SPDX-License-Identifier: GPL-2.0
/*
 * In place of each program that speaks netlink, where it cannot be built.
 */

#include <string.h>

#include "kselftest.h"

int main(int argc, char **argv)
{
	/* No tests, so nothing that they check */
	if (argc == 2 && !strcmp(argv[1], "--reqs"))
		return KSFT_PASS;

	ksft_print_header();
	ksft_exit_skip("built without libmnl: install its headers and those of the loopback driver, rebuild\n");
}

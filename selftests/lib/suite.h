/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the tests of one program share and the harness does not know: which
 * buffers they run on, and which requirements they check.
 */

#ifndef CONFORMANCE_SUITE_H
#define CONFORMANCE_SUITE_H

#include <stddef.h>

#include "dmabuf.h"
#include "iio.h"

int suite_init(void);
void suite_probe(void);

/**
 * struct test_reqs - Which requirements a test checks
 * @fixture: name of its fixture
 * @test: name of the test
 * @ids: requirement ids, NULL terminated
 * @next: next registered test
 */
struct test_reqs {
	const char *fixture;
	const char *test;
	const char * const *ids;
	struct test_reqs *next;
};

void test_reqs_register(struct test_reqs *reqs);
const struct test_reqs *test_reqs_find(const char *fixture, const char *test);

/**
 * struct dut_variant - What one variant of a fixture runs on
 * @name: name of the variant
 * @dut: the buffer; of a pair the output one, or the one that runs by itself
 * @peer: of a pair the other one
 * @exporter: where the test gets its DMABUFs
 * @loopback: the pair is the one of IIO_DMABUF_LOOPBACK
 */
struct dut_variant {
	char name[2 * IIO_NAME_MAX + 32];
	const struct iio_dut *dut;
	const struct iio_dut *peer;
	const struct exporter *exporter;
	bool loopback;
};

/* Which variants a fixture has */
#define DUT_INPUT	0x01	/* each input buffer */
#define DUT_OUTPUT	0x02	/* each output buffer */
#define DUT_ANY		(DUT_INPUT | DUT_OUTPUT)
#define DUT_LOOPBACK	0x04	/* the pair of IIO_DMABUF_LOOPBACK */
#define DUT_PAIR	0x08	/* an output and an input of two devices */
#define DUT_EXPORTERS	0x10	/* each of the above with each exporter */
#define DUT_INPUTS	0x20	/* inputs of two devices */
#define DUT_OUTPUTS	0x40	/* outputs of two devices */

int variant_alloc(struct dmabuf *d, const struct dut_variant *v);
const struct dut_variant *dut_variant_next(unsigned int which, size_t *i);

const char *errno_name(int err);
unsigned int kernel_version(void);
void suite_print_reqs(const char *fixture, const char *test);
void suite_explain(const char *fixture, const char *test);
void suite_list_test(const char *fixture, const char *test,
		     const char *no_reqs);
int suite_print_list(void);

#endif /* CONFORMANCE_SUITE_H */

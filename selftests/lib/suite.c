// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <linux/version.h>

#include "kselftest.h"

#include "loop.h"
#include "requirements.h"
#include "suite.h"

static struct test_reqs *all_reqs;
static bool needs_loopback;

/* Find the buffers, once: what the variants of the fixtures are made of. */
static int discover_once(void)
{
	static bool done;
	static int ret;

	if (!done)
		ret = iio_discover();
	done = true;

	return ret;
}

/**
 * suite_init() - First thing in main()
 *
 * Return: 0 if there is something to test. Otherwise the exit code of the
 * program: wrong settings fail, a machine without such buffers is skipped.
 */
int suite_init(void)
{
	int ret = discover_once();

	if (!ret && iio_dut_next(NULL)) {
		/* Tests run in children, which do not come by there. */
		atexit(iio_restore);
		return 0;
	}

	ksft_print_header();
	if (ret == -EINVAL) {
		printf("Bail out! %s\n", iio_discover_error());
		return KSFT_FAIL;
	}

	ksft_exit_skip("%s\n", ret ? iio_discover_error() :
		       "no IIO buffer of this machine accepts DMABUFs");
}

/* Before the tests, when it is known which buffers they run on */
void suite_probe(void)
{
	if (needs_loopback)
		loop_probe(iio_loopback_out(), iio_loopback_in());
}

/* --- requirements --- */

void test_reqs_register(struct test_reqs *reqs)
{
	reqs->next = all_reqs;
	all_reqs = reqs;
}

const struct test_reqs *test_reqs_find(const char *fixture, const char *test)
{
	const struct test_reqs *reqs;

	for (reqs = all_reqs; reqs; reqs = reqs->next) {
		if (!strcmp(reqs->fixture, fixture) &&
		    !strcmp(reqs->test, test))
			return reqs;
	}

	return NULL;
}

/* Tell the reader of the log, man or tool, what the test checks. */
void suite_print_reqs(const char *fixture, const char *test)
{
	const struct test_reqs *reqs = test_reqs_find(fixture, test);
	size_t i;

	if (!reqs)
		return;

	printf("# REQ %s.%s", fixture, test);
	for (i = 0; reqs->ids[i]; i++)
		printf(" %s", reqs->ids[i]);
	printf("\n");
	fflush(stdout);
}

/* Print the requirements behind a test that failed. */
void suite_explain(const char *fixture, const char *test)
{
	const struct test_reqs *reqs = test_reqs_find(fixture, test);
	const struct requirement *r;
	size_t i;

	for (i = 0; reqs && reqs->ids[i]; i++) {
		r = requirement_find(reqs->ids[i]);
		if (!r)
			continue;

		printf("# %s (%s): %s [%s]\n", r->id, r->level, r->statement,
		       r->authority);
		printf("# usually broken by: %s\n", r->breaks);
	}
	fflush(stdout);
}

/* Lines of --reqs */
static char **list;
static size_t nr_list;

/*
 * Add "PROGRAM.FIXTURE.TEST ID ID..." to what suite_print_list() prints, with
 * @no_reqs in place of ids where there are none.
 */
void suite_list_test(const char *fixture, const char *test,
		     const char *no_reqs)
{
	const struct test_reqs *reqs = test_reqs_find(fixture, test);
	size_t i, size;
	FILE *f;

	list = reallocarray(list, nr_list + 1, sizeof(*list));
	f = list ? open_memstream(&list[nr_list], &size) : NULL;
	if (!f) {
		perror("--reqs");
		exit(KSFT_FAIL);
	}

	fprintf(f, "%s.%s.%s%s", program_invocation_short_name, fixture, test,
		reqs ? "" : no_reqs);
	for (i = 0; reqs && reqs->ids[i]; i++)
		fprintf(f, " %s", reqs->ids[i]);
	fclose(f);
	nr_list++;
}

static int compare_lines(const void *a, const void *b)
{
	return strcmp(*(char * const *)a, *(char * const *)b);
}

/* Return: exit code of the program. */
int suite_print_list(void)
{
	size_t i;

	if (nr_list)
		qsort(list, nr_list, sizeof(*list), compare_lines);
	for (i = 0; i < nr_list; i++)
		puts(list[i]);

	return fflush(stdout) || ferror(stdout) ? KSFT_FAIL : KSFT_PASS;
}

/* Return: the name of an errno, "success" for 0. */
const char *errno_name(int err)
{
	static char unknown[32];
	const char *name = NULL;

	if (!err)
		return "success";

#ifdef __GLIBC__
	name = strerrorname_np(err);
#endif
	if (name)
		return name;

	snprintf(unknown, sizeof(unknown), "errno %d", err);

	return unknown;
}

/* Return: the running kernel as KERNEL_VERSION() encodes it. */
unsigned int kernel_version(void)
{
	unsigned int major = 0, minor = 0, sub = 0;
	struct utsname uts;

	if (!uname(&uts))
		sscanf(uts.release, "%u.%u.%u", &major, &minor, &sub);

	return KERNEL_VERSION(major, minor, sub);
}

/* --- variants --- */

static struct dut_variant *variant_new(unsigned int which,
				       const struct iio_dut *dut,
				       const struct iio_dut *peer,
				       const struct exporter *e)
{
	bool name_it = which & DUT_EXPORTERS;
	struct dut_variant *v;

	v = calloc(1, sizeof(*v));
	if (!v) {
		perror("calloc");
		exit(KSFT_FAIL);
	}

	v->dut = dut;
	v->peer = peer;
	v->exporter = e;
	v->loopback = which & DUT_LOOPBACK;
	needs_loopback |= v->loopback;
	snprintf(v->name, sizeof(v->name), "%s%s%s%s%s", dut->name,
		 peer ? "+" : "", peer ? peer->name : "", name_it ? "+" : "",
		 name_it ? e->name : "");

	return v;
}

/* Walk the buffers of one direction, and @also after them. */
static const struct iio_dut *next_of(const struct iio_dut *prev, bool output,
				     const struct iio_dut *also)
{
	const struct iio_dut *dut = prev;

	if (also && prev == also)
		return NULL;

	while ((dut = iio_dut_next(dut))) {
		if (dut->output == output && dut != also)
			return dut;
	}

	return also;
}

/*
 * The first two buffers of different devices: the node of a device opens only
 * once, and only one of its buffers can be enabled.
 */
static bool first_pair(const struct iio_dut **dut, bool output,
		       const struct iio_dut **peer, bool peer_output,
		       const struct iio_dut *also)
{
	for (*dut = NULL; (*dut = next_of(*dut, output, NULL)); ) {
		for (*peer = NULL;
		     (*peer = next_of(*peer, peer_output, also)); ) {
			if (strcmp((*peer)->dir, (*dut)->dir))
				return true;
		}
	}

	return false;
}

/* Set the @n-th buffer or pair that @which asks for, or return false. */
static bool nth_dut(unsigned int which, size_t n, const struct iio_dut **dut,
		    const struct iio_dut **peer)
{
	*dut = NULL;
	*peer = NULL;

	if (which & DUT_PAIR)
		return n == 0 && first_pair(dut, true, peer, false, NULL);

	if (which & DUT_INPUTS)
		return n == 0 && first_pair(dut, false, peer, false,
					    iio_loopback_in());

	if (which & DUT_OUTPUTS)
		return n == 0 && first_pair(dut, true, peer, true,
					    iio_loopback_out());

	if (which & DUT_LOOPBACK) {
		*dut = iio_loopback_out();
		*peer = iio_loopback_in();
		return n == 0 && *dut && *peer;
	}

	while ((*dut = iio_dut_next(*dut))) {
		if (!(which & ((*dut)->output ? DUT_OUTPUT : DUT_INPUT)))
			continue;
		if (n-- == 0)
			return true;
	}

	return false;
}

/**
 * variant_alloc() - Allocate a DMABUF that the buffers can transfer whole
 * @d: set up on success
 * @v: the buffers, and where the DMABUF comes from
 *
 * Return: 0, or a negative errno.
 */
int variant_alloc(struct dmabuf *d, const struct dut_variant *v)
{
	return dmabuf_alloc(d, v->exporter,
			    iio_good_length(v->dut, v->peer ?: v->dut));
}

/**
 * dut_variant_next() - Walk the variants of a fixture
 * @which: DUT_* bits
 * @i: position, 0 to start with
 *
 * Return: the next variant, which lives as long as the program; NULL after the
 * last one.
 */
const struct dut_variant *dut_variant_next(unsigned int which, size_t *i)
{
	const struct iio_dut *dut, *peer;
	const struct exporter *e;
	size_t n;

	if (discover_once())
		return NULL;

	if (!(which & DUT_EXPORTERS))
		return nth_dut(which, (*i)++, &dut, &peer) ?
			variant_new(which, dut, peer, exporter_default()) :
			NULL;

	for (n = (*i)++; nth_dut(which, n / nr_exporters, &dut, &peer);
	     n = (*i)++) {
		e = &exporters[n % nr_exporters];
		if (e->present())
			return variant_new(which, dut, peer, e);
	}

	return NULL;
}

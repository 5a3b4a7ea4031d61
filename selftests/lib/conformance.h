/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What a conformance test is made of: the kselftest harness, requirement ids,
 * variants for the buffers of this machine, and expectations that speak of
 * errno names and of known kernel defects.
 *
 * A test looks like this:
 *
 *	TEST_REQ(enqueue, bytes_used_too_big, "ENQ-05")
 *	{
 *		EXPECT_ERRNO(iio_enqueue(self->buf.fd, self->d.fd,
 *					 self->d.size + 1), EINVAL);
 *	}
 *
 * To be included by the file with the tests only, because the harness header
 * defines functions.
 */

#ifndef CONFORMANCE_H
#define CONFORMANCE_H

#include <string.h>

#include "kselftest_harness.h"

#include "dmabuf.h"
#include "iio.h"
#include "instance.h"
#include "loop.h"
#include "requirements.h"
#include "suite.h"

/* Seconds until the harness kills a test: more than any deadline in it. */
#define TEST_REQ_TIMEOUT	(DEADLINE_MS / 1000 * 3)

/**
 * TEST_REQ() - Define a test, like TEST_F(), and say what it checks
 * @fixture_name: fixture
 * @test_name: behaviour that is tested
 * @...: ids of the requirements, from requirements.yaml
 */
#define TEST_REQ(fixture_name, test_name, ...)				\
	TEST_REQ_WITHIN(fixture_name, test_name, TEST_REQ_TIMEOUT, __VA_ARGS__)

/* TEST_REQ() that takes @seconds, because it was asked for many rounds. */
#define TEST_REQ_WITHIN(fixture_name, test_name, seconds, ...)		\
	static const char * const fixture_name##_##test_name##_ids[] = { \
		__VA_ARGS__, NULL					\
	};								\
	static struct test_reqs fixture_name##_##test_name##_reqs = {	\
		.fixture = #fixture_name,				\
		.test = #test_name,					\
		.ids = fixture_name##_##test_name##_ids,		\
	};								\
	static void __attribute__((constructor))			\
	fixture_name##_##test_name##_register(void)			\
	{								\
		test_reqs_register(&fixture_name##_##test_name##_reqs);	\
	}								\
	TEST_F_TIMEOUT(fixture_name, test_name, seconds)

/**
 * DUT_FIXTURE() - Give a fixture a variant for each buffer of this machine
 * @fixture_name: fixture, defined with FIXTURE() before
 * @which_: DUT_* bits
 *
 * In tests, variant->v is the struct dut_variant. FIXTURE_SETUP() must call
 * dut_setup() first, FIXTURE_TEARDOWN() must call dut_teardown() last.
 */
#define DUT_FIXTURE(fixture_name, which_)				\
	FIXTURE_VARIANT(fixture_name) {					\
		struct dut_variant v;					\
	};								\
	static struct dut_fixture fixture_name##_duts = {		\
		.fixture = &_##fixture_name##_fixture_object,		\
		.which = (which_),					\
	};								\
	static void __attribute__((constructor))			\
	fixture_name##_register_duts(void)				\
	{								\
		fixture_name##_duts.next = dut_fixtures;		\
		dut_fixtures = &fixture_name##_duts;			\
	}

/**
 * struct dut_fixture - A fixture that gets its variants from the machine
 * @fixture: the fixture
 * @which: DUT_* bits
 * @next: next one
 */
struct dut_fixture {
	struct __fixture_metadata *fixture;
	unsigned int which;
	struct dut_fixture *next;
};

static struct dut_fixture *dut_fixtures;

static inline void dut_register_variants(void)
{
	struct __fixture_variant_metadata *m;
	const struct dut_variant *v;
	struct dut_fixture *f;
	size_t i;

	for (f = dut_fixtures; f; f = f->next) {
		for (i = 0; (v = dut_variant_next(f->which, &i)); ) {
			m = calloc(1, sizeof(*m));
			if (!m)
				abort();
			m->name = v->name;
			m->data = v;
			__register_fixture_variant(f->fixture, m);
		}
	}
}

/**
 * dut_setup() - First thing in FIXTURE_SETUP(): is there something to test?
 * @_metadata: of the test
 * @variant: &variant->v
 *
 * Return: false if the test was marked as skipped, the set-up must then return.
 */
static inline bool dut_setup(struct __test_metadata *_metadata,
			     const struct dut_variant *variant)
{
	suite_print_reqs(_metadata->fixture->name, _metadata->name);

	if (!variant)
		SKIP(return false, "no buffer for this test on this machine");

	if (variant->loopback && loop_unfit())
		SKIP(return false, "%s", loop_unfit());

	return true;
}

/* Last thing in FIXTURE_TEARDOWN(): tell what a failed test was about. */
static inline void dut_teardown(struct __test_metadata *_metadata)
{
	if (_metadata->exit_code != KSFT_FAIL)
		return;

	/* It may name a known defect, which is not why the test failed. */
	_metadata->results->reason[0] = '\0';
	suite_explain(_metadata->fixture->name, _metadata->name);
}

/**
 * SKIP_REST() - Skip what is left of a test that has begun
 * @_statement: how to leave, usually return
 * @...: format and arguments of the reason
 *
 * As SKIP(), but what has failed before remains a failure.
 */
#define SKIP_REST(_statement, ...) do {					\
	if (_metadata->exit_code == KSFT_FAIL)				\
		_statement;						\
	else								\
		SKIP(_statement, __VA_ARGS__);				\
} while (0)

/* 0 or a positive number is success, else it is a negative errno. */
#define __EXPECT_ERRNO(_call, _call_str, _errs_str, _assert, ...) do {	\
	const int __errs[] = { __VA_ARGS__ };				\
	long __ret = (_call);						\
	int __got = __ret < 0 ? -__ret : 0;				\
	bool __hit = false;						\
	size_t __i;							\
									\
	for (__i = 0; __i < ARRAY_SIZE(__errs); __i++)			\
		__hit |= __errs[__i] == __got;				\
	if (!__hit) {							\
		__TH_LOG("%s: expected %s, got %s", _call_str,		\
			 _errs_str, errno_name(__got));			\
		_metadata->exit_code = KSFT_FAIL;			\
		_metadata->trigger = 1;					\
	}								\
} while (0); OPTIONAL_HANDLER(_assert)

/**
 * EXPECT_ERRNO() - A call must fail in one of the ways given
 * @_call: expression that is a negative errno on failure
 * @...: the errnos that are right, 0 for success
 */
#define EXPECT_ERRNO(_call, ...)					\
	__EXPECT_ERRNO(_call, #_call, #__VA_ARGS__, 0, __VA_ARGS__)
#define ASSERT_ERRNO(_call, ...)					\
	__EXPECT_ERRNO(_call, #_call, #__VA_ARGS__, 1, __VA_ARGS__)

#define OK		0
#define EXPECT_OK(_call)	__EXPECT_ERRNO(_call, #_call, "success", 0, OK)
#define ASSERT_OK(_call)	__EXPECT_ERRNO(_call, #_call, "success", 1, OK)

static inline bool defect_is_known(const char *id)
{
	const struct defect *d = defect_find(id);

	return d && defect_in_kernel(d, kernel_version());
}

/**
 * patience_ms() - How long to wait for what a known defect prevents
 * @id: id of the defect
 *
 * Return: milliseconds; DEADLINE_MS, but on kernels with the defect, where
 * EXPECT_UNLESS() takes the outcome for granted, just long enough to notice
 * that they do better.
 */
static inline int patience_ms(const char *id)
{
	return defect_is_known(id) ? 50 : DEADLINE_MS;
}

static inline void expect_rule(struct __test_metadata *_metadata,
			       const char *file, int line, const char *id,
			       bool holds, const char *rule)
{
	const struct defect *d = defect_find(id);
	bool known = defect_is_known(id);

	if (holds && !known)
		return;

	if (!known) {
		fprintf(TH_LOG_STREAM, "# %s:%d:%s:Expected %s\n", file, line,
			_metadata->name, rule);
		_metadata->exit_code = KSFT_FAIL;
		return;
	}

	/* A failure outranks the defect, and the defect its absence. */
	if (_metadata->exit_code == KSFT_FAIL ||
	    (holds && _metadata->exit_code == KSFT_XFAIL))
		return;

	_metadata->exit_code = holds ? KSFT_XPASS : KSFT_XFAIL;
	snprintf(_metadata->results->reason,
		 sizeof(_metadata->results->reason), "%s: %s", d->id, d->title);
}

/**
 * EXPECT_UNLESS() - A rule that a known defect of the kernel breaks
 * @_defect: id of the defect in requirements.yaml
 * @_rule: condition
 *
 * On kernels with the defect the test becomes XFAIL where the rule is broken
 * and XPASS where it holds after all. On others this is EXPECT_TRUE().
 */
#define EXPECT_UNLESS(_defect, _rule)					\
	expect_rule(_metadata, __FILE__, __LINE__, _defect, _rule, #_rule)

/**
 * EXPECT_UNLESS_RACE() - A rule that a known defect breaks now and then
 * @_defect: id of the defect in requirements.yaml
 * @_rule: condition
 *
 * As EXPECT_UNLESS(), but never XPASS: that a race was not lost this time does
 * not show that it cannot be.
 */
#define EXPECT_UNLESS_RACE(_defect, _rule)				\
	expect_rule(_metadata, __FILE__, __LINE__, _defect,		\
		    (_rule) && !defect_is_known(_defect), #_rule)

/* First thing in main(): before anything that needs a device */
static inline bool reqs_wanted(int argc, char **argv)
{
	return argc == 2 && !strcmp(argv[1], "--reqs");
}

/* Whether the harness will run nothing */
static inline bool list_wanted(int argc, char **argv)
{
	int i;

	for (i = 1; i < argc; i++) {
		if (!strcmp(argv[i], "-l") || !strcmp(argv[i], "-h"))
			return true;
	}

	return false;
}

/*
 * Print what each test of this program cites, all that the harness would run,
 * and @no_reqs for those that do not say what they check. Return: exit code.
 */
static inline int print_all_reqs(const char *no_reqs)
{
	const struct __fixture_metadata *f;
	const struct __test_metadata *t;

	for (f = __fixture_list; f; f = f->next) {
		for (t = f->tests; t; t = t->next)
			suite_list_test(f->name, t->name, no_reqs);
	}

	return suite_print_list();
}

static inline int conformance_main(int argc, char **argv)
{
	int ret;

	if (reqs_wanted(argc, argv))
		return print_all_reqs("");

	ret = suite_init();
	if (ret)
		return ret;

	dut_register_variants();
	if (!list_wanted(argc, argv))
		suite_probe();

	return test_harness_run(argc, argv);
}

/* main() where the tests make their devices; @no_reqs: see print_all_reqs() */
static inline int instance_main(int argc, char **argv, const char *no_reqs)
{
	if (reqs_wanted(argc, argv))
		return print_all_reqs(no_reqs);

	if (instance_unfit()) {
		ksft_print_header();
		ksft_exit_skip("%s\n", instance_unfit());
	}

	return test_harness_run(argc, argv);
}

/* Use once, in place of TEST_HARNESS_MAIN. */
#define CONFORMANCE_MAIN						\
	int main(int argc, char **argv)					\
	{								\
		return conformance_main(argc, argv);			\
	}

#endif /* CONFORMANCE_H */

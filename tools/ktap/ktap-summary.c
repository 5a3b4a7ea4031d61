// SPDX-License-Identifier: GPL-2.0
/*
 * ktap-summary - what a kselftest log says, on one screen
 *
 * Reads the output of run_kselftest.sh, in which each program's own KTAP is
 * prefixed with "# ", or of a single program:
 *
 *	1..2
 *	# selftests: iio: attach
 *	# 1..3
 *	# #  RUN           dmabuf.in.twice ...
 *	# # REQ dmabuf.in.twice ATT-05 ATT-06
 *	# # attach.c:42:twice:Expected 0 (0) == errno (16)
 *	# #          FAIL  dmabuf.in.twice
 *	# not ok 1 dmabuf.in.twice
 *	not ok 1 selftests: iio: attach # exit=1
 *
 * A log is not trusted to be complete: programs crash, and VMs die in the
 * middle of a line.  What was planned or started and has no result counts as
 * missing, and missing counts as failed.
 */

#define _GNU_SOURCE
#include <argp.h>
#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define ARRAY_SIZE(a)	(sizeof(a) / sizeof((a)[0]))

/* Diagnostic lines kept per test: the first ones tell the cause. */
#define MAX_DIAG	40

enum {
	EXIT_OK = 0,
	EXIT_FAILED = 1,
	EXIT_NO_RESULT = 2,
	EXIT_SKIPPED = 4,
};

enum result {
	PASS,
	FAIL,
	SKIP,
	XFAIL,
	XPASS,
	MISSING,
	NR_RESULTS,
};

static const char * const result_names[NR_RESULTS] = {
	"pass", "fail", "skip", "xfail", "xpass", "missing",
};

/**
 * struct strings - growing array of strings
 * @v:	the strings
 * @nr:	how many there are
 */
struct strings {
	char **v;
	size_t nr;
};

/**
 * struct test - one test, from its start to its result
 * @name:	"fixture.variant.test", or "(program)" for what goes wrong
 *		outside of any test
 * @result:	how it ended
 * @reason:	text behind the result's directive, may be empty
 * @diag:	lines that it printed
 * @reqs:	ids of the requirements that it checks
 */
struct test {
	char *name;
	enum result result;
	char *reason;
	struct strings diag;
	struct strings reqs;
};

/**
 * struct group - one program
 * @name:	"collection:program"
 * @tests:	those with a result, or known to have none
 * @nr_tests:	how many there are
 * @planned:	number of tests in its plan, -1 without a plan
 * @skip_all:	reason of a plan "1..0 # SKIP reason", or NULL
 * @unnamed:	tests of the plan that were never started
 */
struct group {
	char *name;
	struct test *tests;
	size_t nr_tests;
	long planned;
	char *skip_all;
	size_t unnamed;
};

/**
 * struct log - a log being read
 * @groups:	the programs, in the order of their start
 * @nr_groups:	how many there are
 * @planned:	sum of the runner's plans
 * @runner:	the log is run_kselftest.sh's, not a single program's
 * @open:	the last group has not ended
 * @running:	name of the test that was started and has no result, or NULL
 * @diag:	lines since that test started, or since the last result
 * @reqs:	requirements named since then
 * @results:	number of tests seen to start or to end
 * @vm_end:	what vmrun noted about the VM's end, or NULL
 */
struct log {
	struct group *groups;
	size_t nr_groups;
	long planned;
	bool runner;
	bool open;
	char *running;
	struct strings diag;
	struct strings reqs;
	size_t results;
	char *vm_end;
};

static bool strict;

static void *check_mem(void *p)
{
	if (!p) {
		fputs("ktap-summary: out of memory\n", stderr);
		exit(EXIT_NO_RESULT);
	}
	return p;
}

static char *copy(const char *s)
{
	return check_mem(strdup(s));
}

/* @s without the blanks around it. */
static char *copy_trimmed(const char *s, size_t len)
{
	while (len && isspace((unsigned char)s[len - 1]))
		len--;
	while (len && isspace((unsigned char)*s)) {
		s++;
		len--;
	}
	return check_mem(strndup(s, len));
}

static void strings_add(struct strings *s, const char *str)
{
	s->v = check_mem(reallocarray(s->v, s->nr + 1, sizeof(*s->v)));
	s->v[s->nr++] = copy(str);
}

static bool strings_has(const struct strings *s, const char *str)
{
	size_t i;

	for (i = 0; i < s->nr; i++)
		if (!strcmp(s->v[i], str))
			return true;
	return false;
}

static void strings_clear(struct strings *s)
{
	size_t i;

	for (i = 0; i < s->nr; i++)
		free(s->v[i]);
	free(s->v);
	*s = (struct strings){};
}

/* @s after @prefix, or NULL when it does not start with that. */
static const char *after(const char *s, const char *prefix)
{
	size_t len = strlen(prefix);

	return strncmp(s, prefix, len) ? NULL : s + len;
}

/* @s after the "# " of every level. */
static const char *strip_prefixes(const char *s)
{
	const char *rest;

	while ((rest = after(s, "# ")))
		s = rest;
	return strcmp(s, "#") ? s : "";
}

/* A plan, "1..N", perhaps with a directive: N, or -1. */
static long parse_plan(const char *s, const char **directive)
{
	const char *digits = after(s, "1..");
	char *end;
	long n;

	if (!digits || !isdigit((unsigned char)*digits))
		return -1;
	n = strtol(digits, &end, 10);
	*directive = end + strspn(end, " ");
	if (**directive && **directive != '#')
		return -1;
	return n;
}

/**
 * parse_result() - take a result line apart
 * @s:		the line, without prefixes
 * @name:	the test's name, empty when the line has none
 * @reason:	text behind the directive, or after the name without one
 *
 * The forms are those of kselftest.h: the number may be followed by the name,
 * by a directive, or by both.
 *
 * Return: the result, or -1 if this is no result line.
 */
static int parse_result(const char *s, char **name, char **reason)
{
	static const struct {
		const char *word;
		enum result result;
	} directives[] = {
		{ "SKIP", SKIP },
		{ "XFAIL", XFAIL },
		{ "TODO", XFAIL },
		{ "XPASS", XPASS },
		{ "error", FAIL },
	};
	const char *hash, *rest, *text;
	enum result result = PASS;
	size_t i, len;

	rest = after(s, "ok ");
	if (!rest) {
		rest = after(s, "not ok ");
		result = FAIL;
	}
	if (!rest || !isdigit((unsigned char)*rest))
		return -1;
	rest += strspn(rest, "0123456789");
	if (*rest && *rest != ' ')
		return -1;
	rest += strspn(rest, " ");
	rest = after(rest, "- ") ?: rest;

	hash = *rest == '#' ? rest : strstr(rest, " #");
	if (!hash) {
		*name = copy_trimmed(rest, strlen(rest));
		*reason = copy("");
		return result;
	}
	*name = copy_trimmed(rest, hash - rest);
	text = strchr(hash, '#') + 1;
	text += strspn(text, " ");
	for (i = 0; i < ARRAY_SIZE(directives); i++) {
		len = strlen(directives[i].word);
		if (strncasecmp(text, directives[i].word, len) ||
		    isalnum((unsigned char)text[len]))
			continue;
		result = directives[i].result;
		text += len;
		break;
	}
	*reason = copy_trimmed(text, strlen(text));
	return result;
}

static struct group *last_group(struct log *log)
{
	return &log->groups[log->nr_groups - 1];
}

/* What has been collected goes to this test. */
static void add_test(struct log *log, const char *name, enum result result,
		     const char *reason)
{
	struct group *group = last_group(log);
	struct test *test;

	group->tests = check_mem(reallocarray(group->tests,
					      group->nr_tests + 1,
					      sizeof(*group->tests)));
	test = &group->tests[group->nr_tests++];
	test->name = copy(name);
	test->result = result;
	test->reason = copy(reason);
	test->diag = log->diag;
	test->reqs = log->reqs;
	log->diag = (struct strings){};
	log->reqs = (struct strings){};
	free(log->running);
	log->running = NULL;
}

static size_t count(const struct group *group, enum result result)
{
	size_t i, n = 0;

	for (i = 0; i < group->nr_tests; i++)
		n += group->tests[i].result == result;
	return result == MISSING ? n + group->unnamed : n;
}

static void open_group(struct log *log, char *name)
{
	struct group *group;

	log->groups = check_mem(reallocarray(log->groups, log->nr_groups + 1,
					     sizeof(*log->groups)));
	group = &log->groups[log->nr_groups++];
	*group = (struct group){ .name = name, .planned = -1 };
	log->open = true;
	strings_clear(&log->diag);
	strings_clear(&log->reqs);
}

/**
 * close_group() - a program has ended, or the log has
 * @log:	the log
 * @result:	what the runner says of the program, MISSING if nothing
 * @reason:	"exit=1", "TIMEOUT 45 seconds", ...
 *
 * A program that fails although its tests did not fails as "(program)": it
 * crashed after its last test, or is a script without tests of its own.
 */
static void close_group(struct log *log, enum result result, const char *reason)
{
	struct group *group = last_group(log);

	if (log->running)
		add_test(log, log->running, MISSING, reason);
	/* A program that skips itself half-way skips the rest of its plan. */
	if (group->planned > (long)group->nr_tests && result != SKIP)
		group->unnamed = group->planned - group->nr_tests;

	if (group->skip_all && !group->nr_tests)
		add_test(log, "(program)", SKIP, group->skip_all);
	else if (!group->nr_tests && !group->unnamed)
		add_test(log, "(program)", result, reason);
	else if (result == FAIL && !count(group, FAIL) &&
		 !count(group, MISSING) && !count(group, XPASS))
		add_test(log, "(program)", FAIL, reason);
	else if (result == MISSING && log->runner && !count(group, MISSING))
		add_test(log, "(program)", MISSING, reason);

	strings_clear(&log->diag);
	strings_clear(&log->reqs);
	log->open = false;
}

static bool is_req_id(const char *s)
{
	if (!isupper((unsigned char)*s))
		return false;
	while (isupper((unsigned char)*s) || isdigit((unsigned char)*s))
		s++;
	if (*s++ != '-' || !isdigit((unsigned char)*s))
		return false;
	while (isalnum((unsigned char)*s))
		s++;
	return !*s;
}

/* "REQ name ID...": the name is for readers, the place in the log decides. */
static void parse_reqs(struct log *log, const char *s)
{
	char *words = copy(s), *save = NULL, *word;

	for (word = strtok_r(words, " \t,", &save); word;
	     word = strtok_r(NULL, " \t,", &save))
		if (is_req_id(word) && !strings_has(&log->reqs, word))
			strings_add(&log->reqs, word);
	free(words);
}

/* What the harness and kselftest.h print of their own accord. */
static bool is_noise(const struct log *log, const char *s)
{
	static const char * const starts[] = {
		"TAP version ", "KTAP version ", "Totals: pass:",
		"Planned tests != run tests ", "timeout set to ",
	};
	const char *rest;
	size_t i;

	s += strspn(s, " ");
	if (!*s)
		return true;
	for (i = 0; i < ARRAY_SIZE(starts); i++)
		if (after(s, starts[i]))
			return true;
	if (after(s, "Starting ") && strstr(s, " tests from "))
		return true;
	if ((after(s, "PASSED: ") || after(s, "FAILED: ")) &&
	    strstr(s, " tests passed."))
		return true;
	rest = after(s, "OK  ") ?: after(s, "FAIL  ");
	return rest && log->running && !strcmp(rest, log->running);
}

/* A line of the program itself, without the runner's prefix. */
static void program_line(struct log *log, const char *line)
{
	struct group *group = last_group(log);
	const char *directive, *rest, *text;
	char *name, *reason;
	int result;
	long n;

	n = parse_plan(line, &directive);
	if (n >= 0) {
		if (group->planned < 0)
			group->planned = n;
		if (!n && *directive && !group->skip_all) {
			rest = after(directive, "# SKIP") ?: directive + 1;
			group->skip_all = copy_trimmed(rest, strlen(rest));
		}
		return;
	}

	result = parse_result(line, &name, &reason);
	if (result >= 0) {
		log->results++;
		/* Another test's result: the one that ran got none. */
		if (log->running && *name && strcmp(name, log->running))
			add_test(log, log->running, MISSING, "");
		if (!*name && log->running)
			add_test(log, log->running, result, reason);
		else
			add_test(log, *name ? name : *reason ? reason : "?",
				 result, reason);
		free(name);
		free(reason);
		return;
	}

	text = strip_prefixes(line);
	rest = after(text, " RUN ");
	if (rest) {
		if (log->running)
			add_test(log, log->running, MISSING, "");
		log->results++;
		rest += strspn(rest, " ");
		log->running = copy_trimmed(rest, strcspn(rest, " "));
		/* What was printed between two tests is of neither. */
		strings_clear(&log->diag);
		return;
	}
	rest = after(text, "REQ ");
	if (rest)
		parse_reqs(log, rest);
	else if (!is_noise(log, text) && log->diag.nr < MAX_DIAG)
		strings_add(&log->diag, text);
}

/* "collection: program", up to a directive, becomes "collection:program". */
static char *program_name(const char *s)
{
	const char *end = strstr(s, " # ");
	char *name = copy_trimmed(s, end ? (size_t)(end - s) : strlen(s));
	char *colon = strstr(name, ": ");

	if (colon)
		memmove(colon + 1, colon + 2, strlen(colon + 2) + 1);
	return name;
}

static void runner_line(struct log *log, const char *line)
{
	char *name = NULL, *reason = NULL, *program;
	const char *directive, *rest;
	int result;
	long n;

	rest = after(line, "# selftests: ");
	if (rest) {
		if (log->open)
			close_group(log, MISSING, "");
		open_group(log, program_name(rest));
		return;
	}

	result = parse_result(line, &name, &reason);
	rest = result < 0 ? NULL : after(name, "selftests: ");
	if (rest) {
		program = program_name(rest);
		if (log->open && strcmp(last_group(log)->name, program))
			close_group(log, MISSING, "");
		if (!log->open)
			open_group(log, program);
		else
			free(program);
		log->results++;
		close_group(log, result, reason);
	} else if (log->open) {
		program_line(log, after(line, "# ") ?: line);
	} else {
		n = parse_plan(line, &directive);
		if (n > 0)
			log->planned += n;
	}
	if (result >= 0) {
		free(name);
		free(reason);
	}
}

static void log_line(struct log *log, const char *line)
{
	const char *rest = after(line, "# vm: ");

	if (rest) {
		if (after(rest, "died") || after(rest, "hung"))
			log->vm_end = copy(rest);
		return;
	}
	if (log->runner)
		runner_line(log, line);
	else
		program_line(log, line);
}

/* Read it all: only a runner's line tells whose plan the first one was. */
static struct strings read_lines(FILE *f, const char *path)
{
	struct strings lines = {};
	char *line = NULL;
	size_t i, j, size = 0;
	ssize_t len;

	while ((len = getline(&line, &size, f)) >= 0) {
		/* NUL and CR are a serial port's, not a test's. */
		for (i = j = 0; i < (size_t)len; i++)
			if (line[i] && !strchr("\r\n", line[i]))
				line[j++] = line[i];
		line[j] = '\0';
		strings_add(&lines, line);
	}
	free(line);
	if (ferror(f)) {
		fprintf(stderr, "ktap-summary: cannot read %s: %s\n", path,
			strerror(errno));
		exit(EXIT_NO_RESULT);
	}
	return lines;
}

static struct log parse(const struct strings *lines, const char *path)
{
	struct log log = {};
	size_t i, started;

	for (i = 0; i < lines->nr && !log.runner; i++)
		log.runner = after(lines->v[i], "# selftests: ") ||
			     strstr(lines->v[i], "ok 1 selftests: ");

	if (!log.runner)
		open_group(&log, copy(path));
	for (i = 0; i < lines->nr; i++)
		log_line(&log, lines->v[i]);

	if (!log.runner && !last_group(&log)->nr_tests && !log.running &&
	    last_group(&log)->planned < 0)
		log.nr_groups = 0;
	else if (log.open)
		close_group(&log, MISSING, log.vm_end ? "the VM ended" : "");

	started = log.nr_groups;
	if (log.runner && log.planned > (long)started) {
		open_group(&log, copy("(never started)"));
		last_group(&log)->unnamed = log.planned - started;
	}
	return log;
}

static size_t total(const struct log *log, enum result result)
{
	size_t i, n = 0;

	for (i = 0; i < log->nr_groups; i++)
		n += count(&log->groups[i], result);
	return n;
}

static void print_row(const char *name, int width, const size_t *n)
{
	size_t sum = 0;
	int i;

	for (i = 0; i < NR_RESULTS; i++)
		sum += n[i];
	printf("%-*s %7zu", width, name, sum);
	for (i = 0; i < NR_RESULTS; i++) {
		if (n[i])
			printf(" %7zu", n[i]);
		else
			printf(" %7s", "-");
	}
	putchar('\n');
}

static void print_table(const struct log *log)
{
	size_t n[NR_RESULTS], i, len;
	int r, width = strlen("program");

	for (i = 0; i < log->nr_groups; i++) {
		len = strlen(log->groups[i].name);
		if ((int)len > width)
			width = len;
	}

	printf("%-*s %7s", width, "program", "tests");
	for (r = 0; r < NR_RESULTS; r++)
		printf(" %7s", result_names[r]);
	putchar('\n');
	for (i = 0; i < log->nr_groups; i++) {
		for (r = 0; r < NR_RESULTS; r++)
			n[r] = count(&log->groups[i], r);
		print_row(log->groups[i].name, width, n);
	}
	for (r = 0; r < NR_RESULTS; r++)
		n[r] = total(log, r);
	print_row("total", width, n);
	if (strict && (n[SKIP] || n[XPASS]))
		puts("--strict: skip and xpass count as failed");
}

static bool is_failure(enum result result)
{
	if (result == SKIP || result == XPASS)
		return strict;
	return result == FAIL || result == MISSING;
}

static void print_failure(const struct group *group, const struct test *test)
{
	static const char * const what[NR_RESULTS] = {
		[FAIL] = "failed", [MISSING] = "no result", [SKIP] = "skipped",
		[XPASS] = "passed, but was expected to fail",
	};
	size_t i;

	printf("  %s %s: %s%s%s\n", group->name, test->name,
	       what[test->result], *test->reason ? ": " : "", test->reason);
	for (i = 0; i < test->diag.nr; i++)
		printf("      %s\n", test->diag.v[i]);
	if (i == MAX_DIAG)
		puts("      (and perhaps more, see the log)");
}

static void print_failures(const struct log *log)
{
	const struct group *group;
	bool title = false;
	size_t i, j;

	for (i = 0; i < log->nr_groups; i++) {
		group = &log->groups[i];
		for (j = 0; j < group->nr_tests; j++) {
			/* Skips have a list of their own. */
			if (!is_failure(group->tests[j].result) ||
			    group->tests[j].result == SKIP)
				continue;
			if (!title)
				puts("\nFailures:");
			title = true;
			print_failure(group, &group->tests[j]);
		}
		if (!group->unnamed)
			continue;
		if (!title)
			puts("\nFailures:");
		title = true;
		printf("  %s: %zu planned and never started\n", group->name,
		       group->unnamed);
	}
}

/* All tests of one result, those with the same reason together. */
static void print_by_reason(const struct log *log, enum result result,
			    const char *title)
{
	struct strings seen = {}, names = {};
	const struct test *test;
	const char *reason;
	size_t i, j, k;
	char *name;

	if (!total(log, result))
		return;
	printf("\n%s:\n", title);

	for (i = 0; i < log->nr_groups; i++)
		for (j = 0; j < log->groups[i].nr_tests; j++) {
			test = &log->groups[i].tests[j];
			if (test->result == result &&
			    !strings_has(&seen, test->reason))
				strings_add(&seen, test->reason);
		}

	for (k = 0; k < seen.nr; k++) {
		reason = seen.v[k];
		strings_clear(&names);
		for (i = 0; i < log->nr_groups; i++)
			for (j = 0; j < log->groups[i].nr_tests; j++) {
				test = &log->groups[i].tests[j];
				if (test->result != result ||
				    strcmp(test->reason, reason))
					continue;
				if (asprintf(&name, "%s %s",
					     log->groups[i].name,
					     test->name) < 0)
					name = check_mem(NULL);
				strings_add(&names, name);
				free(name);
			}
		printf("  %zu: %s\n", names.nr,
		       *reason ? reason : "(no reason given)");
		for (i = 0; i < names.nr; i++)
			printf("      %s\n", names.v[i]);
	}
	strings_clear(&names);
	strings_clear(&seen);
}

static int compare(const void *a, const void *b)
{
	return strcmp(*(char * const *)a, *(char * const *)b);
}

static void print_requirements(const struct log *log)
{
	struct strings touched = {}, passed = {};
	const struct test *test;
	size_t i, j, k;

	for (i = 0; i < log->nr_groups; i++)
		for (j = 0; j < log->groups[i].nr_tests; j++) {
			test = &log->groups[i].tests[j];
			for (k = 0; k < test->reqs.nr; k++) {
				if (!strings_has(&touched, test->reqs.v[k]))
					strings_add(&touched, test->reqs.v[k]);
				if ((test->result == PASS ||
				     test->result == XFAIL ||
				     test->result == XPASS) &&
				    !strings_has(&passed, test->reqs.v[k]))
					strings_add(&passed, test->reqs.v[k]);
			}
		}
	if (!touched.nr)
		return;

	printf("\nRequirements: %zu touched, %zu with a pass or an xfail\n",
	       touched.nr, passed.nr);
	if (passed.nr < touched.nr) {
		qsort(touched.v, touched.nr, sizeof(*touched.v), compare);
		printf("  without:");
		for (i = 0; i < touched.nr; i++)
			if (!strings_has(&passed, touched.v[i]))
				printf(" %s", touched.v[i]);
		putchar('\n');
	}
	strings_clear(&touched);
	strings_clear(&passed);
}

static int print_verdict(const struct log *log)
{
	size_t passed = 0, failed = 0, skipped, n;
	int r;

	for (r = 0; r < NR_RESULTS; r++) {
		n = total(log, r);
		if (is_failure(r))
			failed += n;
		else if (r != SKIP)
			passed += n;
	}
	skipped = strict ? 0 : total(log, SKIP);

	putchar('\n');
	if (log->vm_end)
		printf("The VM %s\n", log->vm_end);
	if (failed)
		printf("FAILED: %zu of %zu tests\n", failed,
		       passed + failed + skipped);
	else if (!passed)
		puts("SKIPPED: nothing was tested");
	else if (total(log, XFAIL))
		printf("PASSED, with %zu expected failures\n",
		       total(log, XFAIL));
	else
		puts("PASSED");

	printf("%zu passed, %zu failed", passed, failed);
	if (skipped)
		printf(", %zu skipped", skipped);
	putchar('\n');

	if (failed)
		return EXIT_FAILED;
	return passed ? EXIT_OK : EXIT_SKIPPED;
}

static error_t parse_opt(int key, char *arg, struct argp_state *state)
{
	const char **path = state->input;

	switch (key) {
	case 's':
		strict = true;
		return 0;
	case ARGP_KEY_ARG:
		if (*path)
			argp_error(state, "one FILE only, %s is too many", arg);
		*path = arg;
		return 0;
	}
	return ARGP_ERR_UNKNOWN;
}

static const struct argp_option options[] = {
	{ "strict", 's', NULL, 0, "Count skip and xpass as failed", 0 },
	{ 0 }
};

static const struct argp argp = {
	.options = options,
	.parser = parse_opt,
	.args_doc = "[FILE]",
	.doc = "Summarise the KTAP log of kselftests in FILE or on stdin.\v\n"
		"Exit status:\n"
		"  0  nothing failed\n"
		"  1  something failed or is missing\n"
		"  2  no result in the log, or no log\n"
		"  4  everything was skipped\n",
};

int main(int argc, char **argv)
{
	const char *path = NULL;
	struct strings lines;
	FILE *f = stdin;
	struct log log;

	argp_err_exit_status = EXIT_NO_RESULT;
	argp_parse(&argp, argc, argv, 0, NULL, &path);

	if (path && strcmp(path, "-")) {
		f = fopen(path, "r");
		if (!f) {
			fprintf(stderr, "ktap-summary: cannot read %s: %s\n",
				path, strerror(errno));
			return EXIT_NO_RESULT;
		}
	} else {
		path = "(stdin)";
	}

	lines = read_lines(f, path);
	log = parse(&lines, path);
	if (!log.results) {
		fprintf(stderr, "ktap-summary: no test result in %s%s%s%s\n",
			path, log.vm_end ? " (the VM " : "",
			log.vm_end ?: "", log.vm_end ? ")" : "");
		return EXIT_NO_RESULT;
	}

	print_table(&log);
	print_failures(&log);
	print_by_reason(&log, XFAIL, "Expected failures");
	if (!strict)
		print_by_reason(&log, XPASS, "Unexpected passes");
	print_by_reason(&log, SKIP, strict ? "Skipped, and so failed" : "Skipped");
	print_requirements(&log);
	return print_verdict(&log);
}

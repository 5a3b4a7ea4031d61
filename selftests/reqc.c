// SPDX-License-Identifier: GPL-2.0
/*
 * reqc - compile the requirement catalogue
 *
 * Checks requirements.yaml and writes it to stdout as the C tables that
 * lib/requirements.h declares. With --cited it checks instead that what the
 * tests cite and what the catalogue holds fit together. With --spec it writes
 * catalogue and tests as a page of reStructuredText, and with --explain what
 * there is about one requirement or defect.
 *
 * Every problem is one line on stderr; nothing goes to stdout if there is one.
 */
#define _GNU_SOURCE
#include <argp.h>
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <regex.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <yaml.h>

#define NOT_EMPTY "."
#define VERSION "[0-9]{1,2}[.][0-9]{1,2}"

#define WIDTH 80

/**
 * struct capability - What a test needs
 * @id: short name
 * @what: for readers
 */
struct capability {
	const char *id;
	const char *what;
};

static const struct capability capabilities[] = {
	{ "ANY", "any buffer that takes DMABUFs" },
	{ "IN", "an input buffer" },
	{ "OUT", "an output buffer" },
	{ "LB", "an output whose data arrives at an input" },
	{ "2DEV", "an output and an input buffer of two devices" },
	{ "NODB", "an IIO buffer that takes no DMABUFs" },
	{ "NOBUF", "an IIO device without buffers" },
	{ "SWS", "a fence that the test can signal" },
	{ "GATE", "a transfer that the test can hold in flight" },
	{ "FI", "a transfer that the test can make fail" },
	{ "UNB", "a device that may be unbound" },
	{ "MOD", "drivers that are modules" },
	{ "SWIO", "a kernel that bounces DMA: swiotlb=force" },
	{ "COMPAT", "a 64-bit kernel that runs 32-bit programs" },
	{ "DBG", "debugging facilities of the kernel" },
	{ "META", "nothing: it is not about a device" },
};

enum { T_GROUPS, T_DEFECTS, T_REQUIREMENTS, NR_T };

enum { G_ID, G_TITLE, G_DESCRIPTION, NR_G };

enum { D_ID, D_TITLE, D_FIRST, D_FIXED, D_REFERENCE, NR_D };

enum {
	R_ID, R_LEVEL, R_STATEMENT, R_AUTHORITY, R_CAPABILITY, R_DESTRUCTIVE,
	R_DEFECTS, R_WHY, R_BREAKS, R_HOW, R_UNTESTED, NR_R
};

struct key {
	const char *name;
	const char *pattern;	/* of a scalar; NULL: the value is a list */
	bool optional;
};

static const struct key top_keys[NR_T] = {
	[T_GROUPS]	= { .name = "groups" },
	[T_DEFECTS]	= { .name = "defects" },
	[T_REQUIREMENTS] = { .name = "requirements" },
};

static const struct key group_keys[NR_G] = {
	[G_ID]		= { .name = "id", .pattern = "^[A-Z]+$" },
	[G_TITLE]	= { .name = "title", .pattern = NOT_EMPTY },
	[G_DESCRIPTION]	= { .name = "description", .pattern = NOT_EMPTY },
};

static const struct key defect_keys[NR_D] = {
	[D_ID]		= { .name = "id", .pattern = "^[A-Z][0-9]+[a-z]?$" },
	[D_TITLE]	= { .name = "title", .pattern = NOT_EMPTY },
	[D_FIRST]	= { .name = "first", .pattern = "^" VERSION "$" },
	[D_FIXED]	= { .name = "fixed", .pattern = "^(" VERSION ")?$" },
	[D_REFERENCE]	= { .name = "reference", .pattern = NOT_EMPTY },
};

static const struct key requirement_keys[NR_R] = {
	[R_ID]		= { .name = "id", .pattern = "^[A-Z]+-[0-9]{2}$" },
	[R_LEVEL]	= { .name = "level", .pattern = "^(MUST|SHOULD|MAY)$" },
	[R_STATEMENT]	= { .name = "statement", .pattern = NOT_EMPTY },
	[R_AUTHORITY]	= { .name = "authority", .pattern = NOT_EMPTY },
	[R_CAPABILITY]	= { .name = "capability",
			    .pattern = NOT_EMPTY },
	[R_DESTRUCTIVE]	= { .name = "destructive",
			    .pattern = "^(true|false)$" },
	[R_DEFECTS]	= { .name = "defects" },
	[R_WHY]		= { .name = "why", .pattern = NOT_EMPTY },
	[R_BREAKS]	= { .name = "breaks", .pattern = NOT_EMPTY },
	[R_HOW]		= { .name = "how", .pattern = NOT_EMPTY,
			    .optional = true },
	[R_UNTESTED]	= { .name = "untested", .pattern = NOT_EMPTY,
			    .optional = true },
};

/**
 * struct test - One line of the list of tests
 * @program: which it is in
 * @name: FIXTURE.TEST, unique among all programs
 */
struct test {
	char *program;
	char *name;
};

/**
 * struct row - One mapping of the catalogue
 * @node: the mapping
 * @value: its values in the order of its keys, NULL where there is none
 * @tests: indices of the tests that cite the requirement
 * @nr_tests: how many
 */
struct row {
	yaml_node_t *node;
	yaml_node_t *value[NR_R];
	size_t *tests;
	size_t nr_tests;
};

struct table {
	struct row *rows;
	size_t nr;
};

static const char *catalogue;
static yaml_document_t doc;
static struct table tables[NR_T];
static struct test *tests;
static size_t nr_tests;
static unsigned int nr_errors;

#define complain(file, line, fmt, ...) do { \
	fprintf(stderr, "%s:%zu: " fmt "\n", file, line, ##__VA_ARGS__); \
	nr_errors++; \
} while (0)

#define complain_at(node, ...) \
	complain(catalogue, (node)->start_mark.line + 1, __VA_ARGS__)

static void *check_alloc(void *p)
{
	if (!p) {
		perror("reqc");
		exit(EXIT_FAILURE);
	}
	return p;
}

static bool matches(const char *s, const char *pattern)
{
	bool match;
	regex_t re;

	if (regcomp(&re, pattern, REG_EXTENDED | REG_NOSUB))
		abort();
	match = !regexec(&re, s, 0, NULL, 0);
	regfree(&re);

	return match;
}

static const char *text(const yaml_node_t *node)
{
	if (!node || node->type != YAML_SCALAR_NODE)
		return "";
	return (const char *)node->data.scalar.value;
}

static bool is_true(const yaml_node_t *node)
{
	return !strcmp(text(node), "true");
}

static size_t list_len(const yaml_node_t *list)
{
	if (!list)
		return 0;
	return list->data.sequence.items.top - list->data.sequence.items.start;
}

static yaml_node_t *list_item(const yaml_node_t *list, size_t i)
{
	return yaml_document_get_node(&doc, list->data.sequence.items.start[i]);
}

static bool value_ok(const struct key *key, const yaml_node_t *value)
{
	if (!key->pattern && value->type != YAML_SEQUENCE_NODE)
		complain_at(value, "%s is not a list", key->name);
	else if (key->pattern && value->type != YAML_SCALAR_NODE)
		complain_at(value, "%s is not a scalar", key->name);
	else if (key->pattern && !matches(text(value), key->pattern))
		complain_at(value, "bad %s '%s'", key->name, text(value));
	else
		return true;

	return false;
}

/* Only good values get into @values; the others stay NULL. */
static void read_mapping(const yaml_node_t *map, const struct key *keys,
			 size_t nr_keys, yaml_node_t **values)
{
	bool seen[NR_R] = { false };
	yaml_node_pair_t *pair;
	size_t i;

	if (map->type != YAML_MAPPING_NODE) {
		complain_at(map, "not a mapping");
		return;
	}

	for (pair = map->data.mapping.pairs.start;
	     pair < map->data.mapping.pairs.top; pair++) {
		yaml_node_t *name = yaml_document_get_node(&doc, pair->key);
		yaml_node_t *value = yaml_document_get_node(&doc, pair->value);

		for (i = 0; i < nr_keys; i++)
			if (!strcmp(text(name), keys[i].name))
				break;

		if (i == nr_keys) {
			complain_at(name, "unknown key '%s'", text(name));
			continue;
		}

		if (seen[i])
			complain_at(name, "key '%s' stands twice", text(name));
		seen[i] = true;

		if (value_ok(&keys[i], value))
			values[i] = value;
	}

	for (i = 0; i < nr_keys; i++)
		if (!seen[i] && !keys[i].optional)
			complain_at(map, "missing key '%s'", keys[i].name);
}

/* The id is the first key of all tables. */
static struct row *find(const struct table *table, const char *id)
{
	struct row *row;

	for (row = table->rows; row < table->rows + table->nr; row++)
		if (!strcmp(text(row->value[0]), id))
			return row;

	return NULL;
}

static void read_table(struct table *table, const yaml_node_t *list,
		       const struct key *keys, size_t nr_keys)
{
	size_t i;

	for (i = 0; i < list_len(list); i++) {
		struct row row = { .node = list_item(list, i) };

		read_mapping(row.node, keys, nr_keys, row.value);

		if (row.value[0] && find(table, text(row.value[0])))
			complain_at(row.value[0], "duplicate id '%s'",
				    text(row.value[0]));

		table->rows = check_alloc(reallocarray(table->rows,
						       table->nr + 1,
						       sizeof(row)));
		table->rows[table->nr++] = row;
	}
}

static void check_defects_known(const yaml_node_t *list)
{
	size_t i;

	for (i = 0; i < list_len(list); i++) {
		yaml_node_t *id = list_item(list, i);

		if (!find(&tables[T_DEFECTS], text(id)))
			complain_at(id, "unknown defect '%s'", text(id));
	}
}

static const struct capability *capability(const struct row *row)
{
	const char *id = text(row->value[R_CAPABILITY]);
	size_t i;

	for (i = 0; i < sizeof(capabilities) / sizeof(*capabilities); i++)
		if (!strcmp(capabilities[i].id, id))
			return &capabilities[i];

	return NULL;
}

static bool in_group(const struct row *row, const struct row *group)
{
	const char *id = text(row->value[R_ID]);
	const char *name = text(group->value[G_ID]);

	return !strncmp(id, name, strlen(name)) && id[strlen(name)] == '-';
}

static void check_group_known(const struct row *row)
{
	const struct table *groups = &tables[T_GROUPS];
	size_t i;

	if (!row->value[R_ID])
		return;

	for (i = 0; i < groups->nr; i++)
		if (in_group(row, &groups->rows[i]))
			return;

	complain_at(row->value[R_ID], "'%s' is of no known group",
		    text(row->value[R_ID]));
}

static void read_document(void)
{
	struct table *requirements = &tables[T_REQUIREMENTS];
	yaml_node_t *root = yaml_document_get_root_node(&doc);
	yaml_node_t *top[NR_T] = { NULL };
	size_t i;

	if (!root) {
		complain(catalogue, (size_t)1, "empty");
		return;
	}

	read_mapping(root, top_keys, NR_T, top);
	read_table(&tables[T_GROUPS], top[T_GROUPS], group_keys, NR_G);
	read_table(&tables[T_DEFECTS], top[T_DEFECTS], defect_keys, NR_D);
	read_table(requirements, top[T_REQUIREMENTS], requirement_keys, NR_R);

	for (i = 0; i < requirements->nr; i++) {
		const struct row *row = &requirements->rows[i];

		if (row->value[R_ID] && !row->value[R_HOW] &&
		    !row->value[R_UNTESTED])
			complain_at(row->node, "neither 'how' nor 'untested'");
		check_group_known(row);
		check_defects_known(row->value[R_DEFECTS]);
		if (row->value[R_CAPABILITY] && !capability(row))
			complain_at(row->value[R_CAPABILITY],
				    "bad capability '%s'",
				    text(row->value[R_CAPABILITY]));
	}
}

static FILE *open_file(const char *name)
{
	FILE *f = fopen(name, "r");

	if (!f) {
		fprintf(stderr, "reqc: %s: %s\n", name, strerror(errno));
		exit(EXIT_FAILURE);
	}
	return f;
}

static void read_catalogue(void)
{
	FILE *f = open_file(catalogue);
	yaml_parser_t parser;

	if (!yaml_parser_initialize(&parser))
		check_alloc(NULL);

	yaml_parser_set_input_file(&parser, f);
	if (yaml_parser_load(&parser, &doc))
		read_document();
	else
		complain(catalogue, parser.problem_mark.line + 1, "%s",
			 parser.problem ? parser.problem : "cannot be read");

	yaml_parser_delete(&parser);
	fclose(f);
}

static void print_string(const char *member, const yaml_node_t *node)
{
	const char *s;

	printf("\t\t.%s = \"", member);
	for (s = text(node); *s; s++) {
		if (*s == '"' || *s == '\\')
			printf("\\%c", *s);
		else if (*s < ' ' || *s > '~')
			printf("\\%03o", (unsigned char)*s);
		else
			putchar(*s);
	}
	puts("\",");
}

static void print_version(const char *member, const yaml_node_t *node)
{
	unsigned int major, minor;

	if (sscanf(text(node), "%u.%u", &major, &minor) == 2)
		printf("\t\t.%s = KERNEL_VERSION(%u, %u, 0),\n", member, major,
		       minor);
}

static void print_defect(const struct row *row)
{
	print_string("id", row->value[D_ID]);
	print_string("title", row->value[D_TITLE]);
	print_string("reference", row->value[D_REFERENCE]);
	print_version("first", row->value[D_FIRST]);
	print_version("fixed", row->value[D_FIXED]);
}

static void print_requirement(const struct row *row)
{
	const yaml_node_t *ids = row->value[R_DEFECTS];
	size_t i;

	print_string("id", row->value[R_ID]);
	print_string("level", row->value[R_LEVEL]);
	print_string("statement", row->value[R_STATEMENT]);
	print_string("authority", row->value[R_AUTHORITY]);
	print_string("breaks", row->value[R_BREAKS]);
	print_string("capability", row->value[R_CAPABILITY]);
	printf("\t\t.destructive = %s,\n", text(row->value[R_DESTRUCTIVE]));
	printf("\t\t.defects = (const char * const []){ ");
	for (i = 0; i < list_len(ids); i++)
		printf("\"%s\", ", text(list_item(ids, i)));
	puts("NULL },");
}

static void print_table(const char *name, const struct table *table,
			void (*print_row)(const struct row *row))
{
	size_t i;

	printf("\nconst struct %s %ss[] = {\n", name, name);
	for (i = 0; i < table->nr; i++) {
		puts("\t{");
		print_row(&table->rows[i]);
		puts("\t},");
	}
	printf("};\n\nconst size_t nr_%ss = %zu;\n\n", name, table->nr);

	printf("const struct %s *%s_find(const char *id)\n{\n", name, name);
	printf("\tsize_t i;\n\n\tfor (i = 0; i < nr_%ss; i++)\n", name);
	printf("\t\tif (!strcmp(%ss[i].id, id))\n", name);
	printf("\t\t\treturn &%ss[i];\n\n\treturn NULL;\n}\n", name);
}

static void print_catalogue(void)
{
	puts("/* Generated by reqc from requirements.yaml. Do not edit. */\n"
	     "#include <linux/version.h>\n"
	     "#include <string.h>\n\n"
	     "#include \"requirements.h\"");

	print_table("defect", &tables[T_DEFECTS], print_defect);
	print_table("requirement", &tables[T_REQUIREMENTS], print_requirement);

	puts("\n"
	     "bool defect_in_kernel(const struct defect *d,\n"
	     "\t\t      unsigned int version)\n"
	     "{\n"
	     "\tif (d->fixed && version >= d->fixed)\n"
	     "\t\treturn false;\n\n"
	     "\treturn version >= d->first;\n"
	     "}");
}

/* @name is PROGRAM.FIXTURE.TEST. */
static void add_test(const char *name, const char *file, size_t line)
{
	size_t program = strcspn(name, "."), i;
	struct test *test;

	if (!matches(name, "^[^.]+[.][^.]+[.][^.]+$")) {
		complain(file, line, "'%s' is not PROGRAM.FIXTURE.TEST", name);
		program = 0;
	}

	tests = check_alloc(reallocarray(tests, nr_tests + 1, sizeof(*tests)));
	test = &tests[nr_tests];
	test->program = check_alloc(strndup(name, program));
	test->name = check_alloc(strdup(program ? name + program + 1 : name));

	for (i = 0; i < nr_tests; i++)
		if (!strcmp(tests[i].name, test->name))
			complain(file, line,
				 "test '%s' stands twice, in %s and in %s",
				 test->name, tests[i].program, test->program);
	nr_tests++;
}

/* The last test of the list cites @id. */
static void add_citation(const char *id, const char *file, size_t line)
{
	const struct test *test = &tests[nr_tests - 1];
	struct row *row = find(&tables[T_REQUIREMENTS], id);

	if (!row) {
		complain(file, line, "test '%s' cites unknown id '%s'",
			 test->name, id);
		return;
	}

	row->tests = check_alloc(reallocarray(row->tests, row->nr_tests + 1,
					      sizeof(*row->tests)));
	row->tests[row->nr_tests++] = nr_tests - 1;
}

/*
 * Each line of the list is PROGRAM.FIXTURE.TEST and the requirements that it
 * cites, or "-" if it is about something else.
 */
static void read_tests(FILE *f, const char *name)
{
	char *line = NULL, *save, *word;
	size_t size = 0, nr_line;

	for (nr_line = 1; getline(&line, &size, f) > 0; nr_line++) {
		word = strtok_r(line, " \t\n", &save);
		if (!word)
			continue;
		add_test(word, name, nr_line);

		word = strtok_r(NULL, " \t\n", &save);
		if (!word)
			complain(name, nr_line, "test '%s' cites no id",
				 tests[nr_tests - 1].name);
		else if (!strcmp(word, "-"))
			continue;

		for (; word; word = strtok_r(NULL, " \t\n", &save))
			add_citation(word, name, nr_line);
	}

	if (ferror(f))
		complain(name, nr_line, "%s", strerror(errno));

	free(line);
}

/* --- pages of defects --- */

static int is_page(const struct dirent *entry)
{
	return matches(entry->d_name, "[.]rst$") &&
	       strcmp(entry->d_name, "index.rst");
}

/* Each defect has a page DIR/ID.rst, and each page a defect. */
static void check_pages(const char *dir)
{
	const struct table *defects = &tables[T_DEFECTS];
	struct dirent **pages;
	char *path;
	int i, nr;

	for (i = 0; i < (int)defects->nr; i++) {
		const struct row *row = &defects->rows[i];

		if (asprintf(&path, "%s/%s.rst", dir,
			     text(row->value[D_ID])) < 0)
			check_alloc(NULL);
		if (access(path, R_OK))
			complain_at(row->node, "defect '%s' has no page %s",
				    text(row->value[D_ID]), path);
		free(path);
	}

	nr = scandir(dir, &pages, is_page, alphasort);
	for (i = 0; i < nr; i++) {
		char *name = pages[i]->d_name;
		const char *id = strndupa(name, strlen(name) - 4);

		if (!find(defects, id)) {
			fprintf(stderr, "%s/%s: there is no defect '%s'\n",
				dir, name, id);
			nr_errors++;
		}
		free(pages[i]);
	}
	if (nr >= 0)
		free(pages);
}

static void check_citations(void)
{
	const struct table *table = &tables[T_REQUIREMENTS];
	size_t i, tested = 0, reason = 0;

	for (i = 0; i < table->nr; i++) {
		const struct row *row = &table->rows[i];

		if (row->nr_tests && row->value[R_UNTESTED])
			complain_at(row->value[R_UNTESTED],
				    "untested '%s' is tested by '%s'",
				    text(row->value[R_ID]),
				    tests[row->tests[0]].name);
		else if (row->nr_tests)
			tested++;
		else if (row->value[R_UNTESTED])
			reason++;
		else
			complain_at(row->node, "no test cites '%s'",
				    text(row->value[R_ID]));
	}

	if (nr_errors)
		return;

	printf("%zu requirements: %zu tested, %zu with a reason\n", table->nr,
	       tested, reason);
}

/* --- text for readers --- */

/**
 * struct para - A paragraph that is being printed
 * @first: indentation of its first line
 * @indent: indentation of the others
 * @column: where the next word goes
 * @started: there is a word
 * @rst: escape what reStructuredText would take for markup
 */
struct para {
	size_t first;
	size_t indent;
	size_t column;
	bool started;
	bool rst;
};

static size_t escaped(char *to, const char *word, size_t len)
{
	size_t i, n = 0;

	for (i = 0; i < len; i++) {
		if (strchr("\\*`|", word[i]) ||
		    (word[i] == '_' && (i + 1 == len || !isalnum(word[i + 1]))))
			to[n++] = '\\';
		to[n++] = word[i];
	}

	return n;
}

static void para_word(struct para *p, const char *word, size_t len)
{
	if (!p->started) {
		p->column = printf("%*s", (int)p->first, "");
	} else if (p->column + 1 + len > WIDTH) {
		putchar('\n');
		p->column = printf("%*s", (int)p->indent, "");
	} else {
		putchar(' ');
		p->column++;
	}

	p->column += printf("%.*s", (int)len, word);
	p->started = true;
}

/* Words that are markup, or that are none for sure */
static void para_raw(struct para *p, const char *s)
{
	size_t len;

	for (; *(s += strspn(s, "\n ")); s += len) {
		len = strcspn(s, "\n ");
		para_word(p, s, len);
	}
}

static void para_text(struct para *p, const char *s)
{
	size_t len;
	char *word;

	if (!p->rst) {
		para_raw(p, s);
		return;
	}

	word = check_alloc(malloc(2 * strlen(s) + 1));
	for (; *(s += strspn(s, "\n ")); s += len) {
		len = strcspn(s, "\n ");
		para_word(p, word, escaped(word, s, len));
	}
	free(word);
}

static void para_end(struct para *p)
{
	if (p->started)
		putchar('\n');
	p->started = false;
}

static void print_para(const char *s)
{
	struct para p = { .rst = true };

	para_text(&p, s);
	para_end(&p);
}

/* Return: static storage. */
static const char *kernels(const struct row *defect)
{
	static char s[64];
	const char *fixed = text(defect->value[D_FIXED]);

	if (*fixed)
		snprintf(s, sizeof(s), "from Linux %s on, fixed in %s",
			 text(defect->value[D_FIRST]), fixed);
	else
		snprintf(s, sizeof(s), "Linux %s and later",
			 text(defect->value[D_FIRST]));

	return s;
}

static void print_heading(const char *s, char underline)
{
	size_t len = strlen(s);

	printf("\n%s\n", s);
	while (len--)
		putchar(underline);
	puts("\n");
}

/* A field that reads well in a terminal and is a table when rendered. */
static void field_begin(struct para *p, const char *name)
{
	*p = (struct para){ .indent = 4, .rst = true };
	para_raw(p, name);
}

static void print_field(const char *name, const yaml_node_t *value)
{
	struct para p;

	if (!value)
		return;

	field_begin(&p, name);
	para_text(&p, text(value));
	para_end(&p);
}

static void print_tests(const struct row *row)
{
	const char *program = "", *end;
	const struct test *test, *next;
	char word[256];
	struct para p;
	size_t i;

	if (!row->nr_tests)
		return;

	field_begin(&p, ":Tests:");
	for (i = 0; i < row->nr_tests; i++) {
		test = &tests[row->tests[i]];
		if (strcmp(program, test->program)) {
			snprintf(word, sizeof(word), "%s:", test->program);
			para_text(&p, word);
		}
		program = test->program;

		end = "";
		if (i + 1 < row->nr_tests) {
			next = &tests[row->tests[i + 1]];
			end = strcmp(next->program, program) ? ";" : ",";
		}
		snprintf(word, sizeof(word), "``%s``%s", test->name, end);
		para_raw(&p, word);
	}
	para_end(&p);
}

static void print_defects_of(const struct row *row)
{
	const yaml_node_t *ids = row->value[R_DEFECTS];
	const struct row *defect;
	const char *id;
	struct para p;
	char s[128];
	size_t i;

	if (!list_len(ids))
		return;

	field_begin(&p, list_len(ids) > 1 ? ":Known defects:" :
		    ":Known defect:");
	for (i = 0; i < list_len(ids); i++) {
		id = text(list_item(ids, i));
		defect = find(&tables[T_DEFECTS], id);
		snprintf(s, sizeof(s), "`%s <defects/%s.rst>`__:", id, id);
		para_raw(&p, s);
		para_text(&p, text(defect->value[D_TITLE]));
		snprintf(s, sizeof(s), "(%s)%s", kernels(defect),
			 i + 1 < list_len(ids) ? "," : "");
		para_text(&p, s);
	}
	para_end(&p);
}

static void print_spec_row(const struct row *row)
{
	const char *needs = capability(row)->what;
	struct para p = { .rst = true };
	char level[16];

	print_heading(text(row->value[R_ID]), '-');

	snprintf(level, sizeof(level), "**%s**:", text(row->value[R_LEVEL]));
	para_raw(&p, level);
	para_text(&p, text(row->value[R_STATEMENT]));
	para_end(&p);
	putchar('\n');

	print_field(":Why:", row->value[R_WHY]);
	print_field(":Source:", row->value[R_AUTHORITY]);
	print_field(":Usually broken by:", row->value[R_BREAKS]);
	print_field(":How it is tested:", row->value[R_HOW]);
	field_begin(&p, ":Needs:");
	para_text(&p, needs);
	if (is_true(row->value[R_DESTRUCTIVE]))
		para_text(&p, "(destructive: a kernel that breaks the rule may go down or keep the device unusable)");
	para_end(&p);
	print_tests(row);
	print_field(":Not tested:", row->value[R_UNTESTED]);
	print_defects_of(row);
}

/* @level NULL: any */
static size_t count_rows(const struct row *group, const char *level)
{
	const struct table *table = &tables[T_REQUIREMENTS];
	size_t i, n = 0;

	for (i = 0; i < table->nr; i++) {
		const struct row *row = &table->rows[i];

		n += (!group || in_group(row, group)) &&
		     (!level || !strcmp(text(row->value[R_LEVEL]), level));
	}

	return n;
}

static size_t count_untested(const struct row *group)
{
	const struct table *table = &tables[T_REQUIREMENTS];
	size_t i, n = 0;

	for (i = 0; i < table->nr; i++)
		n += (!group || in_group(&table->rows[i], group)) &&
		     table->rows[i].value[R_UNTESTED];

	return n;
}

static void print_counts(const char *name, const struct row *group)
{
	printf("%-6s %6zu %6zu %6zu %6zu %8zu\n", name,
	       count_rows(group, "MUST"), count_rows(group, "SHOULD"),
	       count_rows(group, "MAY"), count_rows(group, NULL),
	       count_untested(group));
}

static void print_contents(void)
{
	static const char rule[] =
		"====== ====== ====== ====== ====== ========";
	const struct table *groups = &tables[T_GROUPS];
	size_t i;

	puts(".. contents:: Groups\n   :depth: 1\n   :local:\n");

	puts(rule);
	puts("Group    MUST SHOULD    MAY    all untested");
	puts(rule);
	for (i = 0; i < groups->nr; i++)
		if (count_rows(&groups->rows[i], NULL))
			print_counts(text(groups->rows[i].value[G_ID]),
				     &groups->rows[i]);
	print_counts("total", NULL);
	puts(rule);
}

static int compare_ids(const void *a, const void *b)
{
	const struct row *row_a = *(const struct row * const *)a;
	const struct row *row_b = *(const struct row * const *)b;

	return strcmp(text(row_a->value[R_ID]), text(row_b->value[R_ID]));
}

/* The requirements of a group, by number, wherever they stand. */
static void print_group(const struct row *group)
{
	const struct table *table = &tables[T_REQUIREMENTS];
	size_t i, n = 0, nr = count_rows(group, NULL);
	const struct row **rows;
	char heading[256];

	if (!nr)
		return;

	rows = check_alloc(calloc(nr, sizeof(*rows)));
	for (i = 0; i < table->nr; i++)
		if (in_group(&table->rows[i], group))
			rows[n++] = &table->rows[i];
	qsort(rows, nr, sizeof(*rows), compare_ids);

	snprintf(heading, sizeof(heading), "%s: %s", text(group->value[G_ID]),
		 text(group->value[G_TITLE]));
	print_heading(heading, '=');
	print_para(text(group->value[G_DESCRIPTION]));
	for (i = 0; i < nr; i++)
		print_spec_row(rows[i]);
	free(rows);
}

static void print_spec(void)
{
	const struct table *groups = &tables[T_GROUPS];
	size_t i;

	printf(".. %s-License-Identifier: GPL-2.0\n", "SPDX");
	puts(".. Generated from selftests/requirements.yaml and the tests by\n"
	     "   \"make spec\". Do not edit.\n\n"
	     "==================================\n"
	     "Requirements of the IIO DMABUF API\n"
	     "==================================\n");

	print_para("What a kernel and its drivers do for the DMABUF interface of Industrial I/O, rule by rule. A MUST is a rule whose violation breaks programs or other users of the DMABUF, a SHOULD one that a client can live without, and a MAY records what clients have to be ready for. An id keeps its meaning for ever.");
	putchar('\n');
	print_para("The source says where a rule comes from: UAPI is the userspace interface and its documentation, KD the kernel's own documentation, CODE the implementation, CONV a general convention of system calls, LIBIIO a client that relies on it, and M0 to M4 are design discussions on the mailing lists. One of these rules in a terminal:");
	puts("\n    make explain ID=ATT-05\n");

	print_contents();
	for (i = 0; i < groups->nr; i++)
		print_group(&groups->rows[i]);
}

/* --- one requirement or defect, for a terminal --- */

static void print_indented(const char *s)
{
	struct para p = { .first = 4, .indent = 4 };

	para_text(&p, s);
	para_end(&p);
}

static void explain(const char *heading, const yaml_node_t *value)
{
	if (!value)
		return;

	printf("\n%s\n", heading);
	print_indented(text(value));
}

static void explain_title(const char *id, const char *what)
{
	struct para p = {};

	para_text(&p, id);
	para_text(&p, what);
	para_end(&p);
}

static void explain_requirement(const struct row *row)
{
	const yaml_node_t *ids = row->value[R_DEFECTS];
	struct para p = {};
	char line[512];
	size_t i;

	snprintf(line, sizeof(line), "(%s)", text(row->value[R_LEVEL]));
	explain_title(text(row->value[R_ID]), line);
	putchar('\n');
	para_text(&p, text(row->value[R_STATEMENT]));
	para_end(&p);

	explain("Why it matters", row->value[R_WHY]);
	explain("Source", row->value[R_AUTHORITY]);
	explain("What usually breaks it", row->value[R_BREAKS]);
	explain("How it is tested", row->value[R_HOW]);
	puts("\nWhat a test needs");
	print_indented(capability(row)->what);
	if (is_true(row->value[R_DESTRUCTIVE]))
		print_indented("Destructive: a kernel that breaks the rule may go down or keep the device unusable.");
	explain("Why there is no test", row->value[R_UNTESTED]);

	if (row->nr_tests)
		puts("\nTests");
	for (i = 0; i < row->nr_tests; i++)
		printf("    %s: %s\n", tests[row->tests[i]].program,
		       tests[row->tests[i]].name);

	if (list_len(ids))
		puts("\nKnown defects");
	for (i = 0; i < list_len(ids); i++) {
		const char *id = text(list_item(ids, i));
		const struct row *defect = find(&tables[T_DEFECTS], id);

		snprintf(line, sizeof(line), "%s: %s (%s)", id,
			 text(defect->value[D_TITLE]), kernels(defect));
		print_indented(line);
	}
}

static bool has_defect(const struct row *row, const char *defect)
{
	const yaml_node_t *ids = row->value[R_DEFECTS];
	size_t i;

	for (i = 0; i < list_len(ids); i++)
		if (!strcmp(text(list_item(ids, i)), defect))
			return true;

	return false;
}

static void explain_defect(const struct row *defect)
{
	const struct table *table = &tables[T_REQUIREMENTS];
	const char *id = text(defect->value[D_ID]);
	bool heading = false;
	char *line;
	size_t i;

	explain_title(id, "(defect of the kernel)");
	putchar('\n');
	explain_title(text(defect->value[D_TITLE]), "");
	puts("\nKernels");
	print_indented(kernels(defect));
	explain("Where", defect->value[D_REFERENCE]);

	for (i = 0; i < table->nr; i++) {
		const struct row *row = &table->rows[i];

		if (!has_defect(row, id))
			continue;

		if (!heading)
			puts("\nRequirements that it breaks");
		heading = true;
		if (asprintf(&line, "%s: %s", text(row->value[R_ID]),
			     text(row->value[R_STATEMENT])) < 0)
			check_alloc(NULL);
		print_indented(line);
		free(line);
	}

	printf("\nMore\n    Documentation/defects/%s.rst\n", id);
}

static size_t min(size_t a, size_t b)
{
	return a < b ? a : b;
}

#define ID_MAX	32

/* How many letters have to be put in, taken out or replaced. */
static size_t distance(const char *a, const char *b)
{
	size_t i, j, previous, old, cost[ID_MAX + 1];
	size_t len = min(strlen(b), ID_MAX);

	for (j = 0; j <= len; j++)
		cost[j] = j;

	for (i = 0; a[i]; i++) {
		previous = cost[0]++;
		for (j = 1; j <= len; j++) {
			old = cost[j];
			previous += toupper(a[i]) != b[j - 1];
			cost[j] = min(min(old, cost[j - 1]) + 1, previous);
			previous = old;
		}
	}

	return cost[len];
}

#define NR_NEAREST	3

/* Insert @row into what is nearest to @id so far. */
static void add_nearest(const struct row *nearest[NR_NEAREST],
			const struct row *row, const char *id)
{
	size_t i = NR_NEAREST;

	while (i && (!nearest[i - 1] ||
		     distance(id, text(row->value[0])) <
		     distance(id, text(nearest[i - 1]->value[0])))) {
		if (i < NR_NEAREST)
			nearest[i] = nearest[i - 1];
		i--;
	}

	if (i < NR_NEAREST)
		nearest[i] = row;
}

static void complain_unknown(const char *id)
{
	static const int searched[] = { T_REQUIREMENTS, T_DEFECTS };
	const struct row *nearest[NR_NEAREST] = {};
	size_t i, j;

	for (i = 0; i < sizeof(searched) / sizeof(*searched); i++)
		for (j = 0; j < tables[searched[i]].nr; j++)
			add_nearest(nearest, &tables[searched[i]].rows[j], id);

	fprintf(stderr, "reqc: there is no '%s'", id);
	for (i = 0; i < NR_NEAREST && nearest[i]; i++)
		fprintf(stderr, "%s%s", i ? ", " : "; the nearest are ",
			text(nearest[i]->value[0]));
	fputc('\n', stderr);
	nr_errors++;
}

static const struct row *find_any_case(const struct table *table,
				       const char *id)
{
	size_t i;

	for (i = 0; i < table->nr; i++)
		if (!strcasecmp(text(table->rows[i].value[0]), id))
			return &table->rows[i];

	return NULL;
}

static void print_explanation(const char *id)
{
	const struct row *row;

	row = find_any_case(&tables[T_REQUIREMENTS], id);
	if (row) {
		explain_requirement(row);
		return;
	}

	row = find_any_case(&tables[T_DEFECTS], id);
	if (row)
		explain_defect(row);
	else
		complain_unknown(id);
}

static void free_all(void)
{
	size_t i;

	for (i = 0; i < tables[T_REQUIREMENTS].nr; i++)
		free(tables[T_REQUIREMENTS].rows[i].tests);
	for (i = 0; i < NR_T; i++)
		free(tables[i].rows);

	for (i = 0; i < nr_tests; i++) {
		free(tests[i].program);
		free(tests[i].name);
	}
	free(tests);

	yaml_document_delete(&doc);
}

enum mode { MODE_COMPILE, MODE_CITED, MODE_SPEC, MODE_EXPLAIN };

struct arguments {
	enum mode mode;
	const char *id;
	const char *list;
	const char *pages;
};

static error_t parse_arg(int key, char *arg, struct argp_state *state)
{
	struct arguments *args = state->input;

	switch (key) {
	case 'c':
		args->mode = MODE_CITED;
		return 0;
	case 's':
		args->mode = MODE_SPEC;
		return 0;
	case 'e':
		args->mode = MODE_EXPLAIN;
		args->id = arg;
		return 0;
	case 'p':
		args->pages = arg;
		return 0;
	case ARGP_KEY_ARG:
		if (!catalogue)
			catalogue = arg;
		else if (!args->list)
			args->list = arg;
		else
			argp_usage(state);
		return 0;
	case ARGP_KEY_END:
		if (!catalogue || (args->list && args->mode == MODE_COMPILE))
			argp_usage(state);
		return 0;
	}

	return ARGP_ERR_UNKNOWN;
}

static const struct argp_option options[] = {
	{ .name = "cited", .key = 'c',
	  .doc = "Check that tests and requirements fit together, instead" },
	{ .name = "pages", .key = 'p', .arg = "DIR",
	  .doc = "With --cited: where each defect has a page" },
	{ .name = "spec", .key = 's',
	  .doc = "Write the catalogue as reStructuredText, instead" },
	{ .name = "explain", .key = 'e', .arg = "ID",
	  .doc = "Print one requirement or defect, instead" },
	{ 0 }
};

static const struct argp argp = {
	.options = options,
	.parser = parse_arg,
	.args_doc = "CATALOGUE\n--cited [--pages DIR] CATALOGUE [LIST]\n"
		    "--spec CATALOGUE [LIST]\n--explain ID CATALOGUE [LIST]",
	.doc = "Compile the requirement catalogue to C tables on stdout.\vLIST is what the test programs print with --reqs. Without it --cited reads stdin, others do without tests.",
};

static void read_list(const struct arguments *args)
{
	FILE *f = stdin;

	if (args->list)
		f = open_file(args->list);
	else if (args->mode != MODE_CITED)
		return;

	read_tests(f, args->list ? args->list : "stdin");
	fclose(f);
}

int main(int argc, char **argv)
{
	struct arguments args = { .mode = MODE_COMPILE };

	argp_parse(&argp, argc, argv, 0, NULL, &args);

	read_catalogue();
	if (!nr_errors) {
		read_list(&args);
		if (args.mode == MODE_CITED && args.pages)
			check_pages(args.pages);
		/* Tests that cite wrongly do not hide what has no test. */
		if (args.mode == MODE_CITED)
			check_citations();
		else if (!nr_errors && args.mode == MODE_SPEC)
			print_spec();
		else if (!nr_errors && args.mode == MODE_EXPLAIN)
			print_explanation(args.id);
		else if (!nr_errors)
			print_catalogue();
	}
	free_all();

	if (fflush(stdout) || ferror(stdout))
		check_alloc(NULL);

	return nr_errors ? EXIT_FAILURE : EXIT_SUCCESS;
}

// SPDX-License-Identifier: GPL-2.0
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "monitor.h"
#include "record.h"

#define HEADER	"iio-dmabuf-recording version="
#define VERSION	1

/* --- what a line of each type has --- */

static const char * const result_names[] = {
	[DMA_LOOPBACK_RESULT_NOERROR] = "noerror",
	[DMA_LOOPBACK_RESULT_READ_FAILED] = "read-failed",
	[DMA_LOOPBACK_RESULT_WRITE_FAILED] = "write-failed",
	[DMA_LOOPBACK_RESULT_ABORTED] = "aborted",
};

static const char * const poll_call_names[NR_POLL_CALLS] = {
	[POLL_CALL_POLL] = "poll",
	[POLL_CALL_PPOLL] = "ppoll",
	[POLL_CALL_EPOLL_WAIT] = "epoll_wait",
	[POLL_CALL_EPOLL_PWAIT] = "epoll_pwait",
};

/* As the functions of control.h that give names do */
static const char unknown[] = "unknown";

const char *result_name(uint32_t result)
{
	return result < ARRAY_SIZE(result_names) ? result_names[result] :
						   unknown;
}

const char *poll_call_name(uint32_t call)
{
	return call < NR_POLL_CALLS ? poll_call_names[call] : unknown;
}

/**
 * struct field - A key of a line
 * @key: the key
 * @offset: of the value in struct record
 * @size: bytes of the value; 0 for a string, which is the rest of the line
 * @is_signed: the value may be negative
 * @name: names of the values, where they have names
 * @of: of RECORD_EVENT: the only type of event that has it; 0 is all
 */
struct field {
	const char *key;
	size_t offset;
	size_t size;
	bool is_signed;
	const char *(*name)(uint32_t value);
	enum dma_loopback_event_type of;
};

#define FIELD(_key, _member, ...) {					\
	.key = _key,							\
	.offset = offsetof(struct record, _member),			\
	.size = sizeof(((struct record *)NULL)->_member),		\
	__VA_ARGS__							\
}

#define TEXT_FIELD(_key, _member) {					\
	.key = _key,							\
	.offset = offsetof(struct record, _member),			\
}

#define COMPLETED	DMA_LOOPBACK_EVENT_TYPE_COMPLETED
#define FAULTED		DMA_LOOPBACK_EVENT_TYPE_FAULTED

static const struct field start_fields[] = {
	FIELD("ns", ns),
	{}
};

static const struct field instance_fields[] = {
	FIELD("ns", ns),
	FIELD("instance", instance.number),
	TEXT_FIELD("name", instance.name),
	{}
};

static const struct field event_fields[] = {
	FIELD("ns", ns),
	FIELD("seq", event.seq),
	FIELD("instance", event.addr.instance),
	FIELD("channel", event.addr.channel, .name = control_channel_name),
	FIELD("type", event.type, .name = control_event_name),
	FIELD("transfer", event.transfer),
	FIELD("cookie", event.cookie, .is_signed = true),
	FIELD("length", event.length),
	FIELD("segments", event.segments),
	FIELD("bytes", event.bytes),
	FIELD("residue", event.residue, .of = COMPLETED),
	FIELD("result", event.result, .name = result_name, .of = COMPLETED),
	FIELD("kind", event.kind, .name = control_fault_name, .of = FAULTED),
	FIELD("fault", event.fault, .of = FAULTED),
	{}
};

static const struct field fence_fields[] = {
	FIELD("ns", ns),
	FIELD("pid", fence.pid, .is_signed = true),
	FIELD("context", fence.context),
	FIELD("seqno", fence.seqno),
	{}
};

static const struct field enqueue_fields[] = {
	FIELD("ns", ns),
	FIELD("pid", call.pid, .is_signed = true),
	FIELD("fd", call.fd, .is_signed = true),
	{}
};

static const struct field poll_fields[] = {
	FIELD("ns", ns),
	FIELD("pid", call.pid, .is_signed = true),
	FIELD("call", call.call, .name = poll_call_name),
	FIELD("fd", call.fd, .is_signed = true),
	FIELD("nfds", call.nfds),
	{}
};

static const struct field poll_return_fields[] = {
	FIELD("ns", ns),
	FIELD("pid", call.pid, .is_signed = true),
	FIELD("call", call.call, .name = poll_call_name),
	FIELD("ret", call.ret, .is_signed = true),
	{}
};

static const struct field end_fields[] = {
	FIELD("ns", ns),
	FIELD("seq", end.seq),
	{}
};

static const struct {
	const char *name;
	const struct field *fields;
} types[] = {
	[RECORD_START] = { "start", start_fields },
	[RECORD_INSTANCE] = { "instance", instance_fields },
	[RECORD_EVENT] = { "event", event_fields },
	[RECORD_OVERRUN] = { "overrun", start_fields },
	[RECORD_FENCE_INIT] = { "fence-init", fence_fields },
	[RECORD_FENCE_SIGNALED] = { "fence-signaled", fence_fields },
	[RECORD_ENQUEUE] = { "enqueue", enqueue_fields },
	[RECORD_POLL] = { "poll", poll_fields },
	[RECORD_POLL_RETURN] = { "poll-return", poll_return_fields },
	[RECORD_END] = { "end", end_fields },
};

static bool has_field(const struct record *r, const struct field *field)
{
	return !field->of || field->of == r->event.type;
}

/* --- recordings: out --- */

static void write_value(FILE *f, const struct record *r,
			const struct field *field)
{
	const void *value = (const char *)r + field->offset;
	uint32_t u32;
	uint64_t u64;
	int32_t s32;

	if (!field->size) {
		fputs(value, f);
		return;
	}
	if (field->size == sizeof(u64)) {
		memcpy(&u64, value, sizeof(u64));
		fprintf(f, "%" PRIu64, u64);
		return;
	}

	memcpy(&u32, value, sizeof(u32));
	memcpy(&s32, value, sizeof(s32));
	if (field->name && strcmp(field->name(u32), unknown))
		fputs(field->name(u32), f);
	else if (field->is_signed)
		fprintf(f, "%" PRId32, s32);
	else
		fprintf(f, "%" PRIu32, u32);
}

void record_write_header(FILE *f)
{
	fprintf(f, HEADER "%d\n", VERSION);
}

void record_write(FILE *f, const struct record *r)
{
	const struct field *field;

	fputs(types[r->type].name, f);
	for (field = types[r->type].fields; field->key; field++) {
		if (!has_field(r, field))
			continue;

		fprintf(f, " %s=", field->key);
		write_value(f, r, field);
	}
	putc('\n', f);
}

/* --- recordings: in --- */

static bool number_parse(const char *text, bool is_signed, size_t size,
			 uint64_t *value)
{
	const int bits = 8 * size;
	intmax_t s;
	char *end;

	if (!isdigit((unsigned char)text[is_signed && *text == '-']))
		return false;

	errno = 0;
	if (!is_signed) {
		*value = strtoumax(text, &end, 10);
		return !errno && !*end && (bits == 64 || !(*value >> bits));
	}

	s = strtoimax(text, &end, 10);
	*value = s;

	return !errno && !*end && s >= INT32_MIN && s <= INT32_MAX;
}

static bool value_parse(struct record *r, const struct field *field,
			const char *text)
{
	void *to = (char *)r + field->offset;
	uint64_t value;
	uint32_t u32;

	if (!field->size) {
		if (strlen(text) > DMA_LOOPBACK_NAME_LEN)
			return false;
		memcpy(to, text, strlen(text) + 1);
		return true;
	}

	for (u32 = 0; field->name && strcmp(field->name(u32), unknown); u32++) {
		if (!strcmp(field->name(u32), text)) {
			memcpy(to, &u32, sizeof(u32));
			return true;
		}
	}
	if (!number_parse(text, field->is_signed, field->size, &value))
		return false;

	u32 = value;
	if (field->size == sizeof(value))
		memcpy(to, &value, sizeof(value));
	else
		memcpy(to, &u32, sizeof(u32));

	return true;
}

/* One word of a line, @line being what comes after it */
static char *next_word(char **line)
{
	char *word = *line;

	*line += strcspn(*line, " ");
	if (**line)
		*(*line)++ = '\0';

	return word;
}

/* Return: whether @line is one of a recording; if not @why says why. */
static bool record_parse(struct record *r, char *line, char *why, size_t size)
{
	const char *word = next_word(&line);
	const struct field *field;
	size_t i, len;

	for (i = 0; i < ARRAY_SIZE(types); i++) {
		if (!strcmp(types[i].name, word))
			break;
	}
	if (i == ARRAY_SIZE(types)) {
		snprintf(why, size, "there are no lines that begin with '%s'",
			 word);
		return false;
	}

	*r = (struct record){ .type = i };
	for (field = types[i].fields; field->key; field++) {
		if (!has_field(r, field))
			continue;

		word = field->size ? next_word(&line) : line;
		len = strlen(field->key);
		if (strncmp(word, field->key, len) || word[len] != '=') {
			snprintf(why, size, "%s= belongs where '%s' is",
				 field->key, word);
			return false;
		}
		if (!value_parse(r, field, word + len + 1)) {
			snprintf(why, size, "'%s' cannot be %s", word + len + 1,
				 field->key);
			return false;
		}
		if (!field->size)
			line += strlen(line);
	}
	if (*line)
		snprintf(why, size, "'%s' is too much", line);

	return !*line;
}

/* Return: whether there was a line, which then is without its newline. */
static bool read_line(FILE *f, char **line, size_t *size, bool *whole)
{
	ssize_t n = getline(line, size, f);

	if (n < 0)
		return false;

	*whole = (*line)[n - 1] == '\n' && strlen(*line) == (size_t)n;
	if (*whole)
		(*line)[n - 1] = '\0';

	return true;
}

static bool header_parse(const char *line, char *why, size_t size)
{
	uint64_t version;

	snprintf(why, size, "this is no recording");
	if (strncmp(line, HEADER, strlen(HEADER)) ||
	    !number_parse(line + strlen(HEADER), false, sizeof(version),
			  &version))
		return false;

	snprintf(why, size,
		 "a recording of version %" PRIu64 ", and only %d can be played",
		 version, VERSION);

	return version == VERSION;
}

static int read_lines(struct records *records, FILE *f, const char *path)
{
	bool whole, good = true, ended = false;
	char *line = NULL, why[256];
	unsigned long nr = 0;
	size_t size = 0;
	struct record r;

	while (good && read_line(f, &line, &size, &whole)) {
		nr++;
		if (!whole) {
			snprintf(why, sizeof(why),
				 "the line is cut off, or is no text");
			good = false;
		} else if (nr == 1) {
			good = header_parse(line, why, sizeof(why));
		} else {
			good = record_parse(&r, line, why, sizeof(why));
			if (good)
				records_add(records, &r);
			ended = good && r.type == RECORD_END;
		}
	}
	free(line);
	if (ferror(f)) {
		say("cannot read %s: %s", path, strerror(errno));
		return EXIT_MONITOR;
	}
	if (good && ended)
		return 0;

	if (good)
		snprintf(why, sizeof(why),
			 "the end is missing: what comes after this line was lost");
	say("%s:%lu: %s; see \"Recordings\" in Documentation/iio-dmabuf-monitor.rst",
	    path, nr, why);

	return EXIT_RECORDING;
}

/**
 * records_read() - Read a recording
 * @records: what it holds is added, up to where it is bad
 * @path: the file
 *
 * Return: 0, or the exit status if something is wrong, which was said.
 */
int records_read(struct records *records, const char *path)
{
	FILE *f = fopen(path, "re");
	int ret;

	if (!f) {
		say("cannot read %s: %s; name a recording", path,
		    strerror(errno));
		return EXIT_MONITOR;
	}
	ret = read_lines(records, f, path);
	fclose(f);

	return ret;
}

/* --- in memory --- */

void records_add(struct records *records, const struct record *record)
{
	struct record *r;

	grow(records->v, records->nr);
	r = &records->v[records->nr++];
	*r = *record;
	r->arrival = records->arrived++;
	r->when = r->ns;
	if (r->type != RECORD_EVENT)
		return;

	/* The driver's events are in order, whatever their times say. */
	if (r->when < records->event_when)
		r->when = records->event_when;
	records->event_when = r->when;
}

static int compare(const void *a, const void *b)
{
	const struct record *x = a, *y = b;

	if (x->when != y->when)
		return x->when < y->when ? -1 : 1;

	return (x->arrival > y->arrival) - (x->arrival < y->arrival);
}

void records_sort(struct records *records)
{
	if (records->nr)
		qsort(records->v, records->nr, sizeof(*records->v), compare);
}

/* Drop the first ones. */
void records_drop(struct records *records, size_t nr)
{
	if (!nr)
		return;

	records->nr -= nr;
	memmove(records->v, records->v + nr, records->nr * sizeof(*records->v));
}

void records_free(struct records *records)
{
	free(records->v);
	*records = (struct records){};
}

void names_set(struct names *names, uint32_t instance, const char *name)
{
	size_t i;
	char *c;

	for (i = 0; i < names->nr && names->v[i].number != instance; i++)
		;
	if (i == names->nr) {
		grow(names->v, names->nr);
		names->nr++;
	}
	names->v[i].number = instance;
	snprintf(names->v[i].name, sizeof(names->v[i].name), "%s", name);
	/* It may have anything in it that a file name may. */
	for (c = names->v[i].name; *c; c++) {
		if (!isprint((unsigned char)*c))
			*c = '?';
	}
}

/* Return: the name, good until the next call; its device if there is none. */
const char *names_get(const struct names *names, uint32_t instance)
{
	static char device[32];
	size_t i;

	for (i = 0; i < names->nr; i++) {
		if (names->v[i].number == instance)
			return names->v[i].name;
	}
	snprintf(device, sizeof(device), "dma-loopback.%" PRIu32, instance);

	return device;
}

bool names_has(const struct names *names, uint32_t instance)
{
	size_t i;

	for (i = 0; i < names->nr && names->v[i].number != instance; i++)
		;

	return i < names->nr;
}

void names_free(struct names *names)
{
	free(names->v);
	*names = (struct names){};
}

/* Such a fault counts starts of the peripheral, and hits no transfer. */
bool event_of_start(const struct control_event *e)
{
	return e->type == DMA_LOOPBACK_EVENT_TYPE_FAULTED &&
	       (e->kind == DMA_LOOPBACK_FAULT_KIND_ENABLE_BEFORE ||
		e->kind == DMA_LOOPBACK_FAULT_KIND_ENABLE_AFTER);
}

bool filter_matches(const struct filter *filter, struct control_addr addr,
		    const char *instance)
{
	char number[16];

	if (filter->channel &&
	    strcmp(filter->channel, control_channel_name(addr.channel)))
		return false;
	if (!filter->instance || !strcmp(filter->instance, instance))
		return true;

	snprintf(number, sizeof(number), "%" PRIu32, addr.instance);

	return !strcmp(filter->instance, number);
}

/**
 * events_lost() - How many events are missing before a record
 * @last: number of the last event, 0 if none has come
 * @record: an event, or the end
 *
 * Return: how many.
 */
uint64_t events_lost(uint64_t *last, const struct record *record)
{
	uint64_t seq, lost;

	if (record->type == RECORD_EVENT)
		seq = record->event.seq;
	else if (record->type == RECORD_END)
		seq = record->end.seq + 1;
	else
		return 0;

	/* A driver that was loaded again begins again. */
	lost = *last && seq > *last ? seq - *last - 1 : 0;
	*last = seq;

	return lost;
}

/* --- lines for people --- */

#define COLUMNS	"%12s  %-16s %-14s %8s %7s %20s %8s %-12s %s"

/* Print a line, without the blanks that empty columns leave at its end. */
static void __printf(2, 3) print_line(FILE *f, const char *format, ...)
{
	char line[256];
	va_list args;
	int len;

	va_start(args, format);
	len = vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	if (len >= (int)sizeof(line))
		len = sizeof(line) - 1;
	while (len && line[len - 1] == ' ')
		len--;
	fprintf(f, "%.*s\n", len, line);
}

void record_print_header(FILE *f)
{
	print_line(f, COLUMNS, "SECONDS", "CHANNEL", "EVENT", "TRANSFER",
		   "COOKIE", "BYTES/LENGTH", "RESIDUE", "RESULT", "FAULT");
}

static void print_event(FILE *f, const struct control_event *e,
			const char *time, const char *instance)
{
	char channel[DMA_LOOPBACK_NAME_LEN + 16];
	char transfer[24] = "", cookie[16] = "", bytes[48] = "";
	char residue[24] = "";
	const char *result = "", *fault = "";

	snprintf(channel, sizeof(channel), "%s/%s", instance,
		 control_channel_name(e->addr.channel));
	if (e->transfer && !event_of_start(e))
		snprintf(transfer, sizeof(transfer), "%" PRIu64, e->transfer);
	if (e->length)
		snprintf(bytes, sizeof(bytes), "%" PRIu64 "/%" PRIu64, e->bytes,
			 e->length);
	if (e->cookie)
		snprintf(cookie, sizeof(cookie), "%" PRId32, e->cookie);
	if (e->type == DMA_LOOPBACK_EVENT_TYPE_COMPLETED) {
		snprintf(residue, sizeof(residue), "%" PRIu64, e->residue);
		result = result_name(e->result);
	}
	if (e->type == DMA_LOOPBACK_EVENT_TYPE_FAULTED)
		fault = control_fault_name(e->kind);

	print_line(f, COLUMNS, time, channel, control_event_name(e->type),
		   transfer, cookie, bytes, residue, result, fault);
}

static void format_time(char time[32], const struct record *r, uint64_t start)
{
	snprintf(time, 32, "%.6f", (int64_t)(r->ns - start) / 1e9);
}

/* Print that @lost events are missing before a record. */
void record_print_lost(FILE *f, const struct record *r, uint64_t start,
		       uint64_t lost)
{
	char time[32];

	format_time(time, r, start);
	print_line(f, "%12s  %" PRIu64 " events lost", time, lost);
}

/**
 * record_print() - Print a line for people
 * @f: where to
 * @r: the record
 * @start: when time began
 * @instance: name of the instance, of an event
 *
 * Of what is not for people there is no line.
 */
void record_print(FILE *f, const struct record *r, uint64_t start,
		  const char *instance)
{
	char time[32];

	format_time(time, r, start);
	switch (r->type) {
	case RECORD_EVENT:
		print_event(f, &r->event, time, instance);
		break;
	case RECORD_OVERRUN:
		print_line(f, "%12s  overrun, events get lost", time);
		break;
	case RECORD_FENCE_INIT:
	case RECORD_FENCE_SIGNALED:
		print_line(f, "%12s  %-16s %-14s %" PRIu64 ":%" PRIu64, time,
			   "", types[r->type].name, r->fence.context,
			   r->fence.seqno);
		break;
	case RECORD_POLL:
		print_line(f, "%12s  %-16s %-14s %s of %d in task %d", time, "",
			   types[r->type].name, poll_call_name(r->call.call),
			   r->call.fd, r->call.pid);
		break;
	case RECORD_POLL_RETURN:
		print_line(f, "%12s  %-16s %-14s %s = %d in task %d", time, "",
			   types[r->type].name, poll_call_name(r->call.call),
			   r->call.ret, r->call.pid);
		break;
	case RECORD_START:
	case RECORD_INSTANCE:
	case RECORD_ENQUEUE:
	case RECORD_END:
		break;
	}
}

// SPDX-License-Identifier: GPL-2.0
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "monitor.h"
#include "svg.h"

/* Pixels */
#define MARGIN		12
#define RIGHT_MARGIN	40	/* half a label of the last tick */
#define HEAD_HEIGHT	46
#define CHAR_WIDTH	6.1	/* of a label, more or less */
#define ROW_HEIGHT	18
#define ROWS_HEIGHT	288	/* of all rows of a lane, if they are many */
#define MARKS_HEIGHT	16	/* of the row of fences, and that of polls */
#define LANE_GAP	8
#define AXIS_HEIGHT	34
#define CUT_WIDTH	56
#define TICK_DISTANCE	75
#define MIN_WIDTH	1000
#define MAX_WIDTH	4000
#define BAR_WIDTH	16	/* wanted for each transfer */

/* Of a lane; beyond that a bar stands for several transfers. */
#define MAX_BARS	2000
#define MAX_ROWS	(ROWS_HEIGHT / 3)

/* Pauses that are cut out of the axis of time */
#define MAX_CUTS	8

/* Bars, in the colours of their outcomes */
static const struct {
	const char *class;
	const char *text;
} outcomes[NR_OUTCOMES] = {
	[OUTCOME_OK] = { "ok", "completed" },
	[OUTCOME_OPEN] = { "open", "no end seen" },
	[OUTCOME_FAULTED] = { "faulted", "completed, after a fault" },
	[OUTCOME_TERMINATED] = { "terminated", "terminated" },
	[OUTCOME_BAD] = { "bad", "error, short or refused" },
};

/**
 * struct bar - A transfer in the picture, or some that follow each other
 * @begin: when the first one was first heard of
 * @started: when the first one was started, NEVER if none was
 * @end: when the last one ended
 * @outcome: the worst one
 * @first: the first transfer, in the order of its lane
 * @nr: number of transfers
 * @row: where it is
 * @next: where the next one of its row begins
 */
struct bar {
	uint64_t begin;
	uint64_t started;
	uint64_t end;
	enum outcome outcome;
	size_t first;
	size_t nr;
	size_t row;
	double next;
};

/**
 * struct strip - A lane in the picture
 * @shown: it is there
 * @bars: its bars, in the order in which they begin
 * @nr_bars: number of them
 * @nr_rows: rows of bars
 * @row_height: height of one
 * @y: top of the rows
 * @fences: top of the row of fences, 0 if there are none
 * @waits: top of the row of polls, likewise
 * @bottom: where it ends
 */
struct strip {
	bool shown;
	struct bar *bars;
	size_t nr_bars;
	size_t nr_rows;
	double row_height;
	double y;
	double fences;
	double waits;
	double bottom;
};

/**
 * struct span - A piece of the axis of time
 * @from: where it begins
 * @to: where it ends
 * @x: pixel at which it begins
 * @width: pixels
 * @cut: nothing happens in it, and it is shorter than it should be
 */
struct span {
	uint64_t from;
	uint64_t to;
	double x;
	double width;
	bool cut;
};

/**
 * struct picture - What is being drawn
 * @f: where to
 * @t: what
 * @strips: a strip for each lane, and one more for what has no lane
 * @rows: the row of each transfer
 * @times: when something happens
 * @nr_times: number of them
 * @spans: the axis of time
 * @nr_spans: number of them
 * @scale: pixels per nanosecond, where time is not cut
 * @left: where the axis begins
 * @right: where it ends
 * @bottom: where the lanes end
 * @together: most transfers that share a bar
 */
struct picture {
	FILE *f;
	const struct timeline *t;
	struct strip *strips;
	size_t *rows;
	uint64_t *times;
	size_t nr_times;
	struct span spans[2 * MAX_CUTS + 1];
	size_t nr_spans;
	double scale;
	double left;
	double right;
	double bottom;
	size_t together;
};

/* --- what is to be seen --- */

static bool shown(const struct picture *p, size_t lane)
{
	return p->strips[lane == NONE ? p->t->nr_lanes : lane].shown;
}

static struct strip *strip_of(const struct picture *p, size_t lane)
{
	return &p->strips[lane == NONE ? p->t->nr_lanes : lane];
}

static int compare_bars(const void *a, const void *b)
{
	const struct bar *x = a, *y = b;

	if (x->begin != y->begin)
		return x->begin < y->begin ? -1 : 1;

	return (x->first > y->first) - (x->first < y->first);
}

/* Make bars of the transfers of a lane, some of these together. */
static void make_bars(struct picture *p, size_t lane_nr, size_t together)
{
	const struct lane *lane = &p->t->lanes[lane_nr];
	struct strip *strip = &p->strips[lane_nr];
	struct bar *bar = NULL;
	size_t i;

	strip->nr_bars = 0;
	for (i = 0; i < lane->nr; i++) {
		const struct transfer *t = &p->t->transfers[lane->order[i]];

		if (i % together == 0) {
			bar = &strip->bars[strip->nr_bars++];
			*bar = (struct bar){
				.begin = t->begin,
				.started = NEVER,
				.first = i,
				.next = INFINITY,
			};
		}
		bar->nr++;
		if (t->begin < bar->begin)
			bar->begin = t->begin;
		if (t->started < bar->started)
			bar->started = t->started;
		if (t->end > bar->end)
			bar->end = t->end;
		if (t->outcome > bar->outcome)
			bar->outcome = t->outcome;
	}
	qsort(strip->bars, strip->nr_bars, sizeof(*bar), compare_bars);
}

/*
 * Put bars that overlap into different rows. Return: whether there are enough
 * rows.
 */
static bool make_rows(struct picture *p, size_t lane)
{
	struct strip *strip = &p->strips[lane];
	uint64_t ends[MAX_ROWS];
	size_t i, j, row;

	strip->nr_rows = 0;
	for (i = 0; i < strip->nr_bars; i++) {
		struct bar *bar = &strip->bars[i];

		for (row = 0; row < strip->nr_rows; row++) {
			if (ends[row] <= bar->begin)
				break;
		}
		if (row == MAX_ROWS)
			return false;
		if (row == strip->nr_rows)
			strip->nr_rows++;
		ends[row] = bar->end;
		bar->row = row;
		for (j = 0; j < bar->nr; j++)
			p->rows[p->t->lanes[lane].order[bar->first + j]] = row;
	}

	return true;
}

/* As few transfers to a bar as will do */
static void make_strip(struct picture *p, size_t lane)
{
	const size_t nr = p->t->lanes[lane].nr;
	struct strip *strip = &p->strips[lane];
	size_t together = (nr + MAX_BARS - 1) / MAX_BARS;

	strip->shown = true;
	strip->bars = check_alloc(calloc(nr + 1, sizeof(*strip->bars)));
	make_bars(p, lane, together);
	while (!make_rows(p, lane))
		make_bars(p, lane, ++together);
	if (p->together < together)
		p->together = together;

	strip->row_height = ROW_HEIGHT;
	if (strip->nr_rows * ROW_HEIGHT > ROWS_HEIGHT)
		strip->row_height = (double)ROWS_HEIGHT / strip->nr_rows;
}

/* --- the axis of time --- */

static void add_time(struct picture *p, uint64_t ns)
{
	if (ns == NEVER)
		return;

	grow(p->times, p->nr_times);
	p->times[p->nr_times++] = ns;
}

static int compare_times(const void *a, const void *b)
{
	const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

static void collect_times(struct picture *p)
{
	const struct timeline *t = p->t;
	size_t i, nr;

	for (i = 0; i < t->nr_transfers; i++) {
		if (!shown(p, t->transfers[i].lane))
			continue;
		add_time(p, t->transfers[i].begin);
		add_time(p, t->transfers[i].issued);
		add_time(p, t->transfers[i].started);
		add_time(p, t->transfers[i].end);
	}
	for (i = 0; i < t->nr_marks; i++) {
		if (shown(p, t->marks[i].lane))
			add_time(p, t->marks[i].ns);
	}
	for (i = 0; i < t->nr_fences; i++) {
		if (!shown(p, t->fences[i].lane))
			continue;
		add_time(p, t->fences[i].init);
		add_time(p, t->fences[i].signaled);
	}
	for (i = 0; i < t->nr_waits; i++) {
		if (!shown(p, t->waits[i].lane))
			continue;
		add_time(p, t->waits[i].begin);
		add_time(p, t->waits[i].end);
	}
	for (i = 0; i < t->nr_gaps; i++) {
		add_time(p, t->gaps[i].from);
		add_time(p, t->gaps[i].to);
	}
	if (!p->nr_times)
		return;

	qsort(p->times, p->nr_times, sizeof(*p->times), compare_times);
	for (i = 1, nr = 1; i < p->nr_times; i++) {
		if (p->times[i] != p->times[nr - 1])
			p->times[nr++] = p->times[i];
	}
	p->nr_times = nr;
}

/*
 * From which length on a pause is cut: while one takes a good part of the
 * picture and is much longer than most, the picture is better without it. NEVER
 * if there are none.
 */
static uint64_t longest_pause(const struct picture *p)
{
	const size_t nr = p->nr_times ? p->nr_times - 1 : 0;
	uint64_t *pauses, total, longest = NEVER;
	size_t i;

	pauses = check_alloc(calloc(nr + 1, sizeof(*pauses)));
	for (i = 0; i < nr; i++)
		pauses[i] = p->times[i + 1] - p->times[i];
	qsort(pauses, nr, sizeof(*pauses), compare_times);

	total = nr ? p->times[nr] - p->times[0] : 0;
	for (i = nr; i-- > 1 && nr - i <= MAX_CUTS; ) {
		if (pauses[i] < total / 10 ||
		    pauses[i] / 20 < (total - pauses[i]) / i)
			break;
		longest = pauses[i];
		total -= pauses[i];
	}
	free(pauses);

	return longest;
}

static void add_span(struct picture *p, uint64_t from, uint64_t to, bool cut)
{
	p->spans[p->nr_spans++] = (struct span){
		.from = from,
		.to = to,
		.width = CUT_WIDTH,
		.cut = cut,
	};
}

static void make_axis(struct picture *p)
{
	double width, ns = 0, x = p->left;
	size_t i, most = 0;
	uint64_t from, longest;

	for (i = 0; i < p->t->nr_lanes; i++) {
		if (shown(p, i) && most < p->t->lanes[i].nr)
			most = p->t->lanes[i].nr;
	}
	width = fmin(fmax(MIN_WIDTH, most * BAR_WIDTH), MAX_WIDTH);

	longest = longest_pause(p);
	from = p->nr_times ? p->times[0] : 0;
	for (i = 0; i + 1 < p->nr_times; i++) {
		if (p->times[i + 1] - p->times[i] < longest ||
		    p->nr_spans == 2 * MAX_CUTS)
			continue;
		add_span(p, from, p->times[i], false);
		add_span(p, p->times[i], p->times[i + 1], true);
		from = p->times[i + 1];
	}
	add_span(p, from, p->nr_times ? p->times[p->nr_times - 1] : 0, false);

	for (i = 0; i < p->nr_spans; i++) {
		if (!p->spans[i].cut)
			ns += p->spans[i].to - p->spans[i].from;
	}
	width -= CUT_WIDTH * (p->nr_spans / 2);
	p->scale = width / fmax(ns, 1);
	for (i = 0; i < p->nr_spans; i++) {
		struct span *span = &p->spans[i];

		if (ns <= 0)
			span->width = width;
		else if (!span->cut)
			span->width = (span->to - span->from) * p->scale;
		span->x = x;
		x += span->width;
	}
	p->right = x;
}

static double x_of(const struct picture *p, uint64_t ns)
{
	const struct span *span = p->spans;
	size_t i;

	for (i = 0; i + 1 < p->nr_spans && ns > span->to; i++)
		span++;
	if (ns <= span->from)
		return span->x;
	if (ns >= span->to)
		return span->x + span->width;

	return span->x + span->width * (ns - span->from) /
			 (span->to - span->from);
}

/* --- words --- */

static void put_text(FILE *f, const char *text)
{
	for (; *text; text++) {
		switch (*text) {
		case '&':
			fputs("&amp;", f);
			break;
		case '<':
			fputs("&lt;", f);
			break;
		case '>':
			fputs("&gt;", f);
			break;
		default:
			putc(*text, f);
		}
	}
}

static double seconds(const struct picture *p, uint64_t ns)
{
	return (int64_t)(ns - p->t->start) / 1e9;
}

/* "12.3 ms" */
static void put_duration(FILE *f, uint64_t ns)
{
	static const struct {
		uint64_t ns;
		const char *name;
	} units[] = {
		{ 1000000000, "s" }, { 1000000, "ms" }, { 1000, "µs" },
		{ 1, "ns" },
	};
	size_t i;

	for (i = 0; i + 1 < ARRAY_SIZE(units) && ns < units[i].ns; i++)
		;
	fprintf(f, "%.3g %s", (double)ns / units[i].ns, units[i].name);
}

static void put_channel(const struct picture *p, size_t lane_nr)
{
	const struct lane *lane = &p->t->lanes[lane_nr];

	put_text(p->f, lane->instance);
	fprintf(p->f, "/%s", control_channel_name(lane->addr.channel));
}

/* A line of a title: "started 0.123456789 s" */
static void put_time(const struct picture *p, const char *what, uint64_t ns)
{
	if (ns == NEVER)
		fprintf(p->f, "%s: not seen\n", what);
	else
		fprintf(p->f, "%s: %.9f s\n", what, seconds(p, ns));
}

static void put_faults(FILE *f, uint64_t faults)
{
	const char *comma = "faults: ";
	uint32_t kind;

	for (kind = 0; kind < 64; kind++) {
		if (!(faults & 1ull << kind))
			continue;
		fprintf(f, "%s%s", comma, control_fault_name(kind));
		comma = ", ";
	}
	if (faults)
		putc('\n', f);
}

static void put_fence(FILE *f, const struct fence *fence)
{
	fprintf(f, "fence %" PRIu64 ":%" PRIu64, fence->context, fence->seqno);
}

/* In a word, or the name of what has gone wrong */
static const char *outcome_word(const struct transfer *t)
{
	uint32_t kind;

	switch (t->outcome) {
	case OUTCOME_OK:
		return "completed";
	case OUTCOME_OPEN:
		return "no end seen";
	case OUTCOME_TERMINATED:
		return "terminated";
	case OUTCOME_BAD:
		if (t->last.result != DMA_LOOPBACK_RESULT_NOERROR)
			return result_name(t->last.result);
		if (t->last.residue)
			return "short";
		break;
	default:
		break;
	}
	for (kind = 0; kind < 63 && !(t->faults & 1ull << kind); kind++)
		;

	return control_fault_name(kind);
}

/* What its end was */
static const char *end_word(const struct transfer *t)
{
	if (t->terminated)
		return "terminated";

	return t->ended != NEVER &&
	       t->last.type != DMA_LOOPBACK_EVENT_TYPE_COMPLETED ?
	       "refused" : "completed";
}

static void title_transfer(const struct picture *p, const struct transfer *t)
{
	const struct control_event *e = &t->last;
	FILE *f = p->f;

	fprintf(f, "<title>transfer %" PRIu64 " of ", e->transfer);
	put_channel(p, t->lane);
	fprintf(f, ": %s\n", outcome_word(t));
	put_time(p, "submitted", t->submitted);
	put_time(p, "issued", t->issued);
	put_time(p, "started", t->started);
	put_time(p, end_word(t), t->ended);
	fprintf(f, "cookie: %" PRId32 "\nsegments: %" PRIu32 "\n", e->cookie,
		e->segments);
	fprintf(f, "bytes: %" PRIu64 " of %" PRIu64 "\n", e->bytes, e->length);
	if (e->type == DMA_LOOPBACK_EVENT_TYPE_COMPLETED)
		fprintf(f, "residue: %" PRIu64 "\nresult: %s\n", e->residue,
			result_name(e->result));
	put_faults(f, t->faults);
	if (t->fence != NONE) {
		put_fence(f, &p->t->fences[t->fence]);
		putc('\n', f);
	}
	fprintf(f, "last event: seq %" PRIu64 "</title>", e->seq);
}

static void title_bar(const struct picture *p, size_t lane_nr,
		      const struct bar *bar)
{
	const struct lane *lane = &p->t->lanes[lane_nr];
	const struct transfer *transfers = p->t->transfers;
	const size_t *order = lane->order + bar->first;
	size_t nr[NR_OUTCOMES] = {}, i;

	if (bar->nr == 1) {
		title_transfer(p, &transfers[*order]);
		return;
	}

	fprintf(p->f, "<title>transfers %" PRIu64 " to %" PRIu64 " of ",
		transfers[order[0]].last.transfer,
		transfers[order[bar->nr - 1]].last.transfer);
	put_channel(p, lane_nr);
	putc('\n', p->f);
	for (i = 0; i < bar->nr; i++)
		nr[transfers[order[i]].outcome]++;
	for (i = 0; i < NR_OUTCOMES; i++) {
		if (nr[i])
			fprintf(p->f, "%s: %zu\n", outcomes[i].text, nr[i]);
	}
	put_time(p, "from", bar->begin);
	put_time(p, "to", bar->end);
	fputs("</title>", p->f);
}

/* --- shapes --- */

static void put_rect(FILE *f, const char *class, double x, double y, double w,
		     double h)
{
	fprintf(f, "<rect class=\"%s\" x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\"/>",
		class, x, y, w, h);
}

static void put_line(FILE *f, const char *class, double x1, double y1,
		     double x2, double y2)
{
	fprintf(f, "<path class=\"%s\" d=\"M%.1f %.1fL%.1f %.1f\"/>", class, x1,
		y1, x2, y2);
}

static void put_arrow(FILE *f, const char *class, double x, double y)
{
	fprintf(f, "<path class=\"%s\" d=\"M%.1f %.1fl-7 -5l0 10z\"/>", class,
		x, y);
}

static void put_dot(FILE *f, double x, double y, double r)
{
	fprintf(f, "<circle class=\"signaled\" cx=\"%.1f\" cy=\"%.1f\" r=\"%.1f\"/>",
		x, y, r);
}

static void put_diamond(FILE *f, double x, double y, double r)
{
	fprintf(f, "<path class=\"fault\" d=\"M%.1f %.1fl%.1f %.1fl%.1f %.1fl%.1f %.1fz\"/>",
		x, y - r, r, r, -r, r, -r, -r);
}

static void put_cross(FILE *f, double x, double y, double r)
{
	put_line(f, "again", x - r, y - r, x + r, y + r);
	put_line(f, "again", x - r, y + r, x + r, y - r);
}

static void put_label(FILE *f, const char *class, double x, double y,
		      const char *text)
{
	fprintf(f, "<text class=\"%s\" x=\"%.1f\" y=\"%.1f\">", class, x, y);
	put_text(f, text);
	fputs("</text>", f);
}

/*
 * The number of the transfer, and what became of it if there is something to
 * say, in the bar or behind it, as far as there is room
 */
static void draw_bar_label(const struct picture *p, const struct transfer *t,
			   const struct bar *bar, double x, double w, double y)
{
	char number[32], text[96];
	double room = bar->next - x - w - 4;

	snprintf(number, sizeof(number), "%" PRIu64, t->last.transfer);
	snprintf(text, sizeof(text), "%s%s%s", number,
		 t->outcome == OUTCOME_OK ? "" : " ",
		 t->outcome == OUTCOME_OK ? "" : outcome_word(t));

	if (strlen(text) * CHAR_WIDTH + 4 <= w)
		put_label(p->f, "in", x + 3, y, text);
	else if (strlen(text) * CHAR_WIDTH + 8 <= room)
		put_label(p->f, "out", x + w + 4, y, text);
	else if (strlen(number) * CHAR_WIDTH + 4 <= w)
		put_label(p->f, "in", x + 3, y, number);
}

/* --- a lane --- */

static double row_y(const struct strip *strip, size_t row)
{
	return strip->y + row * strip->row_height;
}

/* Bars that are very low touch each other. */
static double bar_height(const struct strip *strip)
{
	return strip->row_height - fmin(4, strip->row_height / 4);
}

static void draw_bar(const struct picture *p, size_t lane_nr,
		     const struct bar *bar)
{
	const struct strip *strip = &p->strips[lane_nr];
	const size_t first = p->t->lanes[lane_nr].order[bar->first];
	const double x = x_of(p, bar->begin), h = bar_height(strip);
	const double w = fmax(x_of(p, bar->end) - x, 1);
	const double y = row_y(strip, bar->row);
	double run;

	fprintf(p->f, "<g class=\"bar %s\">", outcomes[bar->outcome].class);
	title_bar(p, lane_nr, bar);
	put_rect(p->f, "wait", x, y, w, h);
	if (bar->started != NEVER) {
		run = x_of(p, bar->started);
		put_rect(p->f, "run", run, y, fmax(x + w - run, 1), h);
	}
	put_rect(p->f, "hatch", x, y, w, h);
	if (strip->row_height >= ROW_HEIGHT && bar->nr == 1)
		draw_bar_label(p, &p->t->transfers[first], bar, x, w,
			       y + h - 3.5);
	fputs("</g>\n", p->f);
}

static void draw_bars(struct picture *p, size_t lane_nr)
{
	struct strip *strip = &p->strips[lane_nr];
	struct bar **last;
	size_t i;

	last = check_alloc(calloc(strip->nr_rows + 1, sizeof(*last)));
	for (i = 0; i < strip->nr_bars; i++) {
		struct bar *bar = &strip->bars[i];

		if (last[bar->row])
			last[bar->row]->next = x_of(p, bar->begin);
		last[bar->row] = bar;
	}
	free(last);
	for (i = 0; i < strip->nr_bars; i++)
		draw_bar(p, lane_nr, &strip->bars[i]);
}

static void title_mark(const struct picture *p, const struct mark *mark)
{
	const struct control_event *e = &mark->event;
	FILE *f = p->f;

	fprintf(f, "<title>%s", control_event_name(e->type));
	if (e->type == DMA_LOOPBACK_EVENT_TYPE_FAULTED)
		fprintf(f, ": %s (fault %" PRIu32 ")",
			control_fault_name(e->kind), e->fault);
	if (mark->type == MARK_AGAIN)
		fputs(" once more", f);
	fprintf(f, "\nat %.9f s\n", seconds(p, mark->ns));
	if (mark->transfer != NONE)
		fprintf(f, "transfer %" PRIu64 ", bytes: %" PRIu64 " of %"
			PRIu64 "\n", e->transfer, e->bytes, e->length);
	fprintf(f, "seq %" PRIu64 "</title>", e->seq);
}

static void draw_mark(const struct picture *p, const struct mark *mark)
{
	const struct strip *strip = &p->strips[mark->lane];
	const double x = x_of(p, mark->ns), h = bar_height(strip);
	const double r = fmin(5, fmax(2, h / 2));
	double y = strip->y;
	FILE *f = p->f;

	if (mark->transfer != NONE)
		y = row_y(strip, p->rows[mark->transfer]);

	fputs("<g>", f);
	title_mark(p, mark);
	switch (mark->type) {
	case MARK_PROGRESSED:
		put_line(f, "progressed", x, y, x, y + h);
		break;
	case MARK_FAULTED:
		put_diamond(f, x, y + h / 2, r);
		break;
	case MARK_AGAIN:
		put_cross(f, x, y + h / 2, r);
		break;
	case MARK_SYNCHRONIZED:
		put_line(f, "synchronized", x, y - 2, x,
			 fmax(row_y(strip, strip->nr_rows), y + ROW_HEIGHT));
		break;
	}
	fputs("</g>\n", f);
}

/* What cannot be told from the one before is left out. */
static void draw_marks(const struct picture *p, size_t lane)
{
	const struct mark *mark, *last[MARK_SYNCHRONIZED + 1] = {};
	size_t i;

	for (i = 0; i < p->t->nr_marks; i++) {
		mark = &p->t->marks[i];
		if (mark->lane != lane)
			continue;
		if (last[mark->type] &&
		    last[mark->type]->transfer == mark->transfer &&
		    x_of(p, mark->ns) - x_of(p, last[mark->type]->ns) < 1)
			continue;

		draw_mark(p, mark);
		last[mark->type] = mark;
	}
}

static void title_fences(const struct picture *p, const struct moment *moments,
			 size_t nr)
{
	const struct fence *fence = &p->t->fences[moments[0].nr];
	FILE *f = p->f;

	fputs("<title>", f);
	if (nr > 1) {
		fprintf(f, "%zu fences\n", nr);
		put_time(p, "from", moments[0].when);
		put_time(p, "to", moments[nr - 1].when);
	} else {
		put_fence(f, fence);
		putc('\n', f);
		put_time(p, "created", fence->init);
		put_time(p, "signaled", fence->signaled);
		if (fence->transfer != NONE)
			fprintf(f, "transfer %" PRIu64 "\n",
				p->t->transfers[fence->transfer].last.transfer);
		fprintf(f, "created by task %" PRId32, fence->pid);
	}
	fputs("</title>", f);
}

/* How many moments from here on are too close to each other to be told apart */
static size_t nr_together(const struct picture *p,
			  const struct moment *moments, size_t nr)
{
	const double x = x_of(p, moments[0].when);
	size_t i;

	for (i = 1; i < nr && x_of(p, moments[i].when) - x < 1.5; i++)
		;

	return i;
}

/* The fences of a lane, as they were created or as they signalled */
static void draw_fences(const struct picture *p, size_t lane, bool signaled)
{
	const double y = strip_of(p, lane)->fences + MARKS_HEIGHT / 2.0;
	const struct timeline *t = p->t;
	struct moment *moments;
	size_t i, nr = 0, n;
	uint64_t when;
	double x, r;

	moments = check_alloc(calloc(t->nr_fences + 1, sizeof(*moments)));
	for (i = 0; i < t->nr_fences; i++) {
		when = signaled ? t->fences[i].signaled : t->fences[i].init;
		if (t->fences[i].lane == lane && when != NEVER)
			moments[nr++] = (struct moment){ when, i };
	}
	moments_sort(moments, nr);

	for (i = 0; i < nr; i += n) {
		n = nr_together(p, moments + i, nr - i);
		x = x_of(p, moments[i].when);
		r = 4;
		/* Where they are dense, gaps are to be seen nevertheless. */
		if (i + n < nr)
			r = fmax((x_of(p, moments[i + n].when) - x) / 2, 1.5);
		fputs("<g>", p->f);
		title_fences(p, moments + i, n);
		if (signaled)
			put_dot(p->f, x, y, fmin(r, 4));
		else
			put_line(p->f, "init", x, y - 5, x, y + 5);
		fputs("</g>\n", p->f);
	}
	free(moments);
}

static void title_wait(const struct picture *p, const struct wait *w, size_t nr)
{
	FILE *f = p->f;

	fputs("<title>", f);
	if (nr > 1) {
		fprintf(f, "%zu calls that returned, the last one of them:\n",
			nr);
	}
	fputs(poll_call_name(w->call), f);
	fprintf(f, " of %" PRId32, w->fd);
	if (w->nfds > 1)
		fprintf(f, " and %" PRIu32 " more", w->nfds - 1);
	fprintf(f, " in task %" PRId32 "\n", w->pid);
	put_time(p, "called", w->begin);
	put_time(p, "returned", w->end);
	if (w->end != NEVER)
		fprintf(f, "it returned %" PRId32, w->ret);
	fputs("</title>", f);
}

/* Ready is filled, anything else is hollow. */
static void draw_wait(const struct picture *p, const struct wait *w, size_t nr)
{
	const double y = strip_of(p, w->lane)->waits + MARKS_HEIGHT / 2.0;
	const double x = x_of(p, w->begin);
	const double end = w->end == NEVER ? p->right : x_of(p, w->end);

	fputs("<g>", p->f);
	title_wait(p, w, nr);
	put_rect(p->f, "poll", x, y - 1.5, fmax(end - x, 1), 3);
	if (w->end != NEVER)
		put_arrow(p->f, w->ret > 0 ? "ready" : "unready", end, y);
	fputs("</g>\n", p->f);
}

/* Calls that are too short and too close are drawn as one. */
static void draw_waits(const struct picture *p, size_t lane)
{
	const struct wait *w, *last = NULL;
	double end, last_end = 0;
	size_t i, nr = 0;

	for (i = 0; i < p->t->nr_waits; i++) {
		w = &p->t->waits[i];
		if (w->lane != lane)
			continue;

		end = w->end == NEVER ? p->right : x_of(p, w->end);
		if (last && (end - last_end > 1.5 ||
			     end - x_of(p, w->begin) > 3)) {
			draw_wait(p, last, nr);
			nr = 0;
		}
		last = w;
		last_end = nr ? last_end : end;
		nr++;
	}
	if (last)
		draw_wait(p, last, nr);
}

static void draw_row_name(const struct picture *p, const char *what, double y)
{
	put_label(p->f, "row", MARGIN, y + MARKS_HEIGHT / 2.0 + 3.5, what);
}

static void draw_lane(struct picture *p, size_t lane)
{
	const struct strip *strip = strip_of(p, lane);

	if (lane != NONE) {
		draw_bars(p, lane);
		draw_marks(p, lane);
		fprintf(p->f, "<text class=\"name\" x=\"%d\" y=\"%.1f\">",
			MARGIN, strip->y + 12);
		put_channel(p, lane);
		fputs("</text>\n", p->f);
	}
	if (strip->fences > 0) {
		draw_row_name(p, lane == NONE ? "other fences" : "fences",
			      strip->fences);
		draw_fences(p, lane, false);
		draw_fences(p, lane, true);
	}
	if (strip->waits > 0) {
		draw_row_name(p, lane == NONE ? "other polls" : "polls",
			      strip->waits);
		draw_waits(p, lane);
	}
}

/* --- the rest --- */

/* A distance between ticks that is good to count by */
static uint64_t tick_step(double at_least)
{
	uint64_t step;

	for (step = 1; step < UINT64_MAX / 10; step *= 10) {
		if (step >= at_least)
			return step;
		if (2 * step >= at_least)
			return 2 * step;
		if (5 * step >= at_least)
			return 5 * step;
	}

	return step;
}

static void draw_tick(const struct picture *p, uint64_t ns, uint64_t step)
{
	const double x = x_of(p, ns), s = seconds(p, ns);
	const double end = seconds(p, p->t->end);
	int decimals = 9;
	char text[48];

	/* As many as the step has */
	for (; step % 10 == 0 && decimals > 0; step /= 10)
		decimals--;

	if (end >= 1)
		snprintf(text, sizeof(text), "%.*f s", decimals, s);
	else if (end >= 1e-3)
		snprintf(text, sizeof(text), "%.*f ms",
			 decimals > 3 ? decimals - 3 : 0, s * 1e3);
	else
		snprintf(text, sizeof(text), "%.*f µs",
			 decimals > 6 ? decimals - 6 : 0, s * 1e6);

	put_line(p->f, "grid", x, HEAD_HEIGHT, x, p->bottom + 4);
	put_label(p->f, "tick", x, p->bottom + 16, text);
	putc('\n', p->f);
}

static void draw_axis(const struct picture *p)
{
	const uint64_t step = tick_step(TICK_DISTANCE / p->scale);
	const uint64_t start = p->t->start;
	const struct span *span;
	uint64_t ns;
	double x;
	size_t i;

	for (i = 0; i < p->nr_spans; i++) {
		span = &p->spans[i];
		if (span->cut) {
			x = span->x + span->width / 2;
			put_rect(p->f, "cut", span->x, HEAD_HEIGHT, span->width,
				 p->bottom - HEAD_HEIGHT + 4);
			fprintf(p->f, "<text class=\"tick\" x=\"%.1f\" y=\"%.1f\">+",
				x, p->bottom + 30);
			put_duration(p->f, span->to - span->from);
			fputs("</text>\n", p->f);
			continue;
		}
		for (ns = start + (span->from - start + step - 1) / step * step;
		     ns >= span->from && ns <= span->to; ns += step)
			draw_tick(p, ns, step);
	}
}

static void draw_gaps(const struct picture *p)
{
	const struct gap *gap;
	char text[32];
	double x, w;
	size_t i;

	for (i = 0; i < p->t->nr_gaps; i++) {
		gap = &p->t->gaps[i];
		x = x_of(p, gap->from);
		w = fmax(x_of(p, gap->to) - x, 4);
		fprintf(p->f, "<g><title>%" PRIu64 " events lost\n", gap->lost);
		put_time(p, "after", gap->from);
		put_time(p, "before", gap->to);
		fputs("</title>", p->f);
		put_rect(p->f, "gap", x, HEAD_HEIGHT, w,
			 p->bottom - HEAD_HEIGHT);
		snprintf(text, sizeof(text), "%" PRIu64 " lost", gap->lost);
		put_label(p->f, "lost", x + w / 2, HEAD_HEIGHT - 3, text);
		fputs("</g>\n", p->f);
	}
}

static void draw_head(const struct picture *p)
{
	size_t nr[NR_OUTCOMES] = {}, lanes = 0, transfers = 0, i;
	const struct timeline *t = p->t;
	FILE *f = p->f;

	for (i = 0; i < t->nr_lanes; i++)
		lanes += shown(p, i);
	for (i = 0; i < t->nr_transfers; i++) {
		if (!shown(p, t->transfers[i].lane))
			continue;
		transfers++;
		nr[t->transfers[i].outcome]++;
	}

	fprintf(f, "<text class=\"head\" x=\"%d\" y=\"18\">IIO DMABUF transfers</text>\n",
		MARGIN);
	fprintf(f, "<text x=\"%d\" y=\"34\">%zu channels, %zu transfers",
		MARGIN, lanes, transfers);
	for (i = 0; i < NR_OUTCOMES; i++) {
		if (nr[i])
			fprintf(f, "%s%s: %zu", i ? "; " : ": ",
				outcomes[i].text, nr[i]);
	}
	fprintf(f, "; %zu events, %" PRIu64 " lost, in ", t->nr_events,
		t->lost);
	put_duration(f, t->begin == NEVER ? 0 : t->end - t->begin);
	if (p->together > 1)
		fprintf(f, "; bars stand for up to %zu transfers", p->together);
	fputs("</text>\n", f);
}

/* A name beside a sample: returns where the next one begins. */
static double legend_text(const struct picture *p, double x, double y,
			  const char *text)
{
	put_label(p->f, "row", x + 4, y + 9, text);
	putc('\n', p->f);

	return x + 4 + strlen(text) * CHAR_WIDTH + 18;
}

static void draw_legend(const struct picture *p)
{
	double x = MARGIN, y = p->bottom + AXIS_HEIGHT + 8;
	FILE *f = p->f;
	size_t i;

	for (i = 0; i < NR_OUTCOMES; i++) {
		fprintf(f, "<g class=\"bar %s\">", outcomes[i].class);
		put_rect(f, "wait", x, y, 30, 12);
		put_rect(f, "run", x + 12, y, 18, 12);
		put_rect(f, "hatch", x, y, 30, 12);
		fputs("</g>", f);
		x = legend_text(p, x + 30, y, outcomes[i].text);
	}
	legend_text(p, x, y, "faint: submitted, strong: started");

	x = MARGIN;
	y += 20;
	put_line(f, "progressed", x, y, x, y + 12);
	x = legend_text(p, x + 4, y, "progressed");
	put_diamond(f, x, y + 6, 5);
	x = legend_text(p, x + 6, y, "fault");
	put_cross(f, x, y + 6, 5);
	x = legend_text(p, x + 6, y, "ended once more");
	put_line(f, "synchronized", x, y, x, y + 12);
	x = legend_text(p, x + 4, y, "synchronized");
	put_line(f, "init", x, y + 1, x, y + 11);
	x = legend_text(p, x + 4, y, "fence created");
	put_dot(f, x, y + 6, 4);
	x = legend_text(p, x + 6, y, "fence signaled");
	put_rect(f, "poll", x, y + 4.5, 16, 3);
	put_arrow(f, "ready", x + 16, y + 6);
	x = legend_text(p, x + 18, y, "poll, ready");
	put_rect(f, "poll", x, y + 4.5, 16, 3);
	put_arrow(f, "unready", x + 16, y + 6);
	x = legend_text(p, x + 18, y, "not ready");
	put_rect(f, "gap", x, y, 20, 12);
	x = legend_text(p, x + 20, y, "events lost");
	put_rect(f, "cut", x, y, 20, 12);
	legend_text(p, x + 20, y, "pause, cut short");
}

static void put_style(FILE *f)
{
	fputs("<style>\n"
	      "text{font:10px sans-serif;fill:#222}\n"
	      ".head{font:bold 14px sans-serif}\n"
	      ".name{font:bold 11px sans-serif}\n"
	      ".tick,.lost{text-anchor:middle}\n"
	      ".row,.tick{fill:#555}\n"
	      ".bg{fill:#fff}\n"
	      ".lane{fill:#f3f4f6}\n"
	      ".grid{stroke:#d5d7da}\n"
	      ".wait{opacity:.35}\n"
	      ".ok .wait,.ok .run{fill:#2a7fc0}\n"
	      ".open .wait,.open .run{fill:#b9bec6}\n"
	      ".faulted .wait,.faulted .run{fill:#b05fa8}\n"
	      ".terminated .wait,.terminated .run{fill:#7d838c}\n"
	      ".bad .wait,.bad .run{fill:#d9541e}\n"
	      ".hatch{fill:none}\n"
	      ".open .hatch{stroke:#5d636c;stroke-dasharray:3 2}\n"
	      ".faulted .hatch{fill:url(#dots)}\n"
	      ".terminated .hatch{fill:url(#cross)}\n"
	      ".bad .hatch{fill:url(#stripes)}\n"
	      ".over{stroke:#fff;fill:none;stroke-width:1.5;opacity:.6}\n"
	      ".dot{fill:#fff;opacity:.7}\n"
	      ".in,.out{stroke:#fff;stroke-width:3px;paint-order:stroke;stroke-linejoin:round}\n"
	      ".progressed{stroke:#111;stroke-width:2}\n"
	      ".fault{fill:#ffd23f;stroke:#7a1d00}\n"
	      ".again{stroke:#c00000;stroke-width:2}\n"
	      ".synchronized{stroke:#111;stroke-dasharray:4 3}\n"
	      ".init{stroke:#0a8a5f}\n"
	      ".signaled{fill:#0a8a5f}\n"
	      ".poll{fill:#6b4fc0}\n"
	      ".ready{fill:#6b4fc0;stroke:#6b4fc0}\n"
	      ".unready{fill:#fff;stroke:#6b4fc0}\n"
	      ".gap{fill:url(#gap);stroke:#c00000;stroke-dasharray:2 2}\n"
	      ".thick{stroke:#c00000;stroke-width:2;opacity:.45}\n"
	      ".lost{fill:#c00000}\n"
	      ".cut{fill:url(#cut)}\n"
	      ".thin{stroke:#8a9099;opacity:.5}\n"
	      "@media (prefers-color-scheme: dark){\n"
	      "text{fill:#e4e6ea}\n"
	      ".row,.tick{fill:#a5abb5}\n"
	      ".bg{fill:#14161a}\n"
	      ".lane{fill:#1e2127}\n"
	      ".grid{stroke:#363b44}\n"
	      ".ok .wait,.ok .run{fill:#4ba3e3}\n"
	      ".open .wait,.open .run{fill:#565c66}\n"
	      ".open .hatch{stroke:#a5abb5}\n"
	      ".faulted .wait,.faulted .run{fill:#d087c8}\n"
	      ".terminated .wait,.terminated .run{fill:#a0a6b0}\n"
	      ".bad .wait,.bad .run{fill:#f2763f}\n"
	      ".over{stroke:#14161a}\n"
	      ".dot{fill:#14161a}\n"
	      ".in,.out{stroke:#14161a}\n"
	      ".progressed,.synchronized{stroke:#fff}\n"
	      ".init{stroke:#35c795}\n"
	      ".signaled{fill:#35c795}\n"
	      ".poll{fill:#a893f0}\n"
	      ".ready{fill:#a893f0;stroke:#a893f0}\n"
	      ".unready{fill:#14161a;stroke:#a893f0}\n"
	      ".again{stroke:#ff6b6b}\n"
	      ".gap{stroke:#ff6b6b}\n"
	      ".thick{stroke:#ff6b6b}\n"
	      ".lost{fill:#ff6b6b}\n"
	      "}\n"
	      "</style>\n"
	      "<defs>\n", f);
	fputs("<pattern id=\"stripes\" width=\"6\" height=\"6\" patternUnits=\"userSpaceOnUse\"><path class=\"over\" d=\"M-1 7L7 -1M-1 1L1 -1M5 7L7 5\"/></pattern>\n"
	      "<pattern id=\"cross\" width=\"5\" height=\"5\" patternUnits=\"userSpaceOnUse\"><path class=\"over\" d=\"M0 0L5 5M5 0L0 5\"/></pattern>\n"
	      "<pattern id=\"dots\" width=\"6\" height=\"6\" patternUnits=\"userSpaceOnUse\"><circle class=\"dot\" cx=\"2\" cy=\"2\" r=\"1.2\"/><circle class=\"dot\" cx=\"5\" cy=\"5\" r=\"1.2\"/></pattern>\n"
	      "<pattern id=\"gap\" width=\"8\" height=\"8\" patternUnits=\"userSpaceOnUse\"><path class=\"thick\" d=\"M-2 2L2 -2M-1 9L9 -1M6 10L10 6\"/></pattern>\n"
	      "<pattern id=\"cut\" width=\"6\" height=\"6\" patternUnits=\"userSpaceOnUse\"><path class=\"thin\" d=\"M0 6L6 0\"/></pattern>\n"
	      "</defs>\n", f);
}

/* --- all of it --- */

static void make_strips(struct picture *p, const struct filter *filter)
{
	const struct timeline *t = p->t;
	size_t i;

	p->rows = check_alloc(calloc(t->nr_transfers + 1, sizeof(*p->rows)));
	p->strips = check_alloc(calloc(t->nr_lanes + 1, sizeof(*p->strips)));
	for (i = 0; i < t->nr_lanes; i++) {
		if (filter_matches(filter, t->lanes[i].addr,
				   t->lanes[i].instance))
			make_strip(p, i);
	}
	p->strips[t->nr_lanes].shown = !filter->instance && !filter->channel;
	for (i = 0; i < t->nr_fences; i++)
		strip_of(p, t->fences[i].lane)->fences = 1;
	for (i = 0; i < t->nr_waits; i++)
		strip_of(p, t->waits[i].lane)->waits = 1;
}

static void layout_strips(struct picture *p)
{
	double y = HEAD_HEIGHT;
	struct strip *strip;
	size_t i;

	for (i = 0; i <= p->t->nr_lanes; i++) {
		strip = &p->strips[i];
		if (!strip->shown)
			continue;

		y += LANE_GAP;
		strip->y = y;
		y += fmax(strip->nr_rows * strip->row_height,
			  i < p->t->nr_lanes ? ROW_HEIGHT : 0);
		if (strip->fences > 0) {
			strip->fences = y;
			y += MARKS_HEIGHT;
		}
		if (strip->waits > 0) {
			strip->waits = y;
			y += MARKS_HEIGHT;
		}
		strip->bottom = y;
	}
	p->bottom = y;
}

/* Room for the names of the lanes, at the left */
static double names_width(const struct picture *p)
{
	size_t i, len, most = strlen("other fences");

	for (i = 0; i < p->t->nr_lanes; i++) {
		len = strlen(p->t->lanes[i].instance) + strlen("/rx ");
		if (shown(p, i) && len > most)
			most = len;
	}

	return 2 * MARGIN + most * (CHAR_WIDTH + 0.6);
}

/**
 * svg_write() - Draw a timeline
 * @f: where to; whether it could be written is for the caller to look at
 * @t: the timeline
 * @filter: which channels to show
 */
void svg_write(FILE *f, const struct timeline *t, const struct filter *filter)
{
	struct picture p = { .f = f, .t = t };
	double width, height;
	size_t i;

	make_strips(&p, filter);
	layout_strips(&p);
	p.left = names_width(&p);
	collect_times(&p);
	make_axis(&p);

	width = p.right + RIGHT_MARGIN;
	height = p.bottom + AXIS_HEIGHT + 48;
	fprintf(f, "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%.0f\" height=\"%.0f\" viewBox=\"0 0 %.0f %.0f\">\n",
		width, height, width, height);
	put_style(f);
	put_rect(f, "bg", 0, 0, width, height);
	for (i = 0; i <= t->nr_lanes; i++) {
		const struct strip *strip = &p.strips[i];

		if (strip->shown && strip->bottom > strip->y)
			put_rect(f, "lane", 0, strip->y - LANE_GAP / 4.0, width,
				 strip->bottom - strip->y + LANE_GAP / 2.0);
	}
	putc('\n', f);
	draw_head(&p);
	draw_axis(&p);
	for (i = 0; i < t->nr_lanes; i++) {
		if (p.strips[i].shown)
			draw_lane(&p, i);
	}
	if (p.strips[t->nr_lanes].shown)
		draw_lane(&p, NONE);
	draw_gaps(&p);
	draw_legend(&p);
	fputs("</svg>\n", f);

	for (i = 0; i < t->nr_lanes; i++)
		free(p.strips[i].bars);
	free(p.strips);
	free(p.rows);
	free(p.times);
}

// SPDX-License-Identifier: GPL-2.0
/*
 * iio-dmabuf-monitor - print, record and draw what the loopback driver does
 *
 * The driver tells in order what becomes of each transfer, the kernel's tracer
 * what userspace sees of it. Both have their times from CLOCK_MONOTONIC, and
 * are merged by these. See Documentation/iio-dmabuf-monitor.rst.
 */

#include <argp.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "deadline.h"
#include "file.h"
#include "marks.h"
#include "monitor.h"
#include "record.h"
#include "svg.h"
#include "timeline.h"

/* What the kernel keeps for us, more than 100000 events */
#define BUFFER_KIB	16384

/*
 * How long a record waits for earlier ones from elsewhere: the driver sends its
 * events from a work item.
 */
#define HOLD_MS		50

/* How long to wait for events that are still to come at the end */
#define DRAIN_MS	500

/**
 * struct monitor - All there is
 * @pending: records that wait for earlier ones
 * @kept: all records, for the picture
 * @names: names of instances, as far as was put out
 * @print: where to print, NULL if nowhere
 * @record: where to record, likewise
 * @svg: where to draw, likewise
 * @start: when time began
 * @last_seq: number of the last event that was put out
 * @nr_events: events that were put out, of those that are wanted
 * @status: how we end: the status of the command, or our own
 */
struct monitor {
	struct records pending;
	struct records kept;
	struct names names;
	FILE *print;
	FILE *record;
	FILE *svg;
	uint64_t start;
	uint64_t last_seq;
	unsigned long nr_events;
	int status;
};

/**
 * struct source - Where records come from, if not from a recording
 * @control: connection to the driver
 * @names: names of instances, as far as was received
 * @last_seq: number of the last event that was received
 * @signals: signalfd of what ends us, and of SIGCHLD
 * @pid: the command, 0 if there is none, or no more
 * @asked: it was asked to end
 */
struct source {
	struct control control;
	struct names names;
	uint64_t last_seq;
	int signals;
	pid_t pid;
	bool asked;
};

/* To be closed however we end */
static struct marks marks = MARKS_INIT;

static struct {
	const char *record;
	const char *play;
	const char *svg;
	struct filter filter;
	unsigned long count;
	unsigned long buffer;
	bool quiet;
	bool no_marks;
	char **command;
} args = {
	.buffer = BUFFER_KIB,
};

void say(const char *format, ...)
{
	va_list list;

	fputs("iio-dmabuf-monitor: ", stderr);
	va_start(list, format);
	vfprintf(stderr, format, list);
	va_end(list);
	putc('\n', stderr);
}

void *check_alloc(void *p)
{
	if (p)
		return p;

	say("out of memory");
	exit(EXIT_MONITOR);
}

/* --- what goes out --- */

static FILE *open_file(const char *path)
{
	FILE *f = fopen(path, "we");

	if (f)
		return f;

	say("cannot write %s: %s; name another file", path, strerror(errno));
	exit(EXIT_OUTPUT);
}

/* Once there is something to put out, before a command is started in vain */
static void open_outputs(struct monitor *m)
{
	if (args.record)
		m->record = open_file(args.record);
	if (args.svg)
		m->svg = open_file(args.svg);
	if (m->record)
		record_write_header(m->record);
	if (args.quiet)
		return;

	m->print = stdout;
	record_print_header(m->print);
}

/*
 * Give up what cannot be written any more, the rest goes on. To be called right
 * after something was written, while errno is of that.
 */
static void check_output(struct monitor *m, FILE **f, const char *path,
			 bool flush)
{
	if (!*f || (!ferror(*f) && (!flush || !fflush(*f))))
		return;

	say("cannot write %s: %s; it is not complete%s", path, strerror(errno),
	    errno == ENOSPC ? ": make room, or name another place" : "");
	if (*f != stdout)
		fclose(*f);
	*f = NULL;
	m->status = EXIT_OUTPUT;
}

static void close_output(struct monitor *m, FILE **f, const char *path)
{
	check_output(m, f, path, true);
	if (*f && fclose(*f)) {
		say("cannot write %s: %s; it may not be complete", path,
		    strerror(errno));
		m->status = EXIT_OUTPUT;
	}
	*f = NULL;
}

static const char stdout_name[] = "to standard output";

/* Nothing is kept back while we wait for more. */
static void flush_output(struct monitor *m)
{
	check_output(m, &m->record, args.record, true);
	check_output(m, &m->print, stdout_name, true);
}

/* Whether there is no more to do: all was seen, or there is no place for it */
static bool enough(const struct monitor *m)
{
	if (args.count && m->nr_events >= args.count)
		return true;

	return m->status == EXIT_OUTPUT && !m->print && !m->record && !m->svg;
}

static void print(struct monitor *m, const struct record *r, uint64_t lost)
{
	const struct filter *filter = &args.filter;
	const char *instance = NULL;
	bool wanted;

	/* To which channel fences and polls belong is not known yet. */
	wanted = !filter->instance && !filter->channel;
	if (r->type == RECORD_EVENT) {
		instance = names_get(&m->names, r->event.addr.instance);
		wanted = filter_matches(filter, r->event.addr, instance);
		m->nr_events += wanted;
	}
	if (!m->print)
		return;

	if (lost)
		record_print_lost(m->print, r, m->start, lost);
	if (wanted)
		record_print(m->print, r, m->start, instance);
	check_output(m, &m->print, stdout_name, false);
}

/* Put a record out. */
static void put_out(struct monitor *m, const struct record *r)
{
	const uint64_t lost = events_lost(&m->last_seq, r);

	if (r->type == RECORD_START)
		m->start = r->ns;
	else if (r->type == RECORD_INSTANCE)
		names_set(&m->names, r->instance.number, r->instance.name);

	print(m, r, lost);
	if (m->record) {
		record_write(m->record, r);
		check_output(m, &m->record, args.record, false);
	}
	if (m->svg)
		records_add(&m->kept, r);
}

/* Put out what was pending, as far as it is older than @until. */
static void put_out_pending(struct monitor *m, uint64_t until)
{
	struct record end = { .type = RECORD_END };
	size_t i;

	records_sort(&m->pending);
	for (i = 0; i < m->pending.nr && !enough(m); i++) {
		if (m->pending.v[i].when > until)
			break;
		put_out(m, &m->pending.v[i]);
		end.ns = m->pending.v[i].ns;
	}
	/* What goes on is none of a recording that was to be so long. */
	if (i && enough(m))
		put_out(m, &end);
	records_drop(&m->pending, i);
	flush_output(m);
}

static void draw(struct monitor *m)
{
	struct timeline t;

	if (!m->svg)
		return;

	records_sort(&m->kept);
	timeline_init(&t, &m->kept);
	svg_write(m->svg, &t, &args.filter);
	timeline_free(&t);
}

/* --- the command --- */

/* In the child: wait until somebody watches, and become the command. */
static void exec_command(int go, int report, const sigset_t *mask)
{
	char c;
	int err;

	if (read(go, &c, 1) != 1)
		_exit(EXIT_MONITOR);

	sigprocmask(SIG_SETMASK, mask, NULL);
	signal(SIGPIPE, SIG_DFL);
	execvp(args.command[0], args.command);
	err = errno;
	write(report, &err, sizeof(err));
	_exit(EXIT_NOT_FOUND);
}

/* Start the command. Return: 0, or the exit status if it cannot be. */
static int start_command(struct source *s, const sigset_t *mask)
{
	int go[2], report[2], err;
	ssize_t n;

	if (pipe2(go, O_CLOEXEC) || pipe2(report, O_CLOEXEC)) {
		say("pipe: %s", strerror(errno));
		return EXIT_MONITOR;
	}
	s->pid = fork();
	if (s->pid < 0) {
		s->pid = 0;
		say("fork: %s", strerror(errno));
		return EXIT_MONITOR;
	}
	if (!s->pid) {
		close(go[1]);
		exec_command(go[0], report[1], mask);
	}
	close(go[0]);
	close(report[1]);

	if (!args.no_marks)
		marks_open_polls(&marks, s->pid);
	write(go[1], "", 1);
	close(go[1]);
	/* The end of file comes with exec. */
	n = read(report[0], &err, sizeof(err));
	close(report[0]);
	if (n != sizeof(err))
		return 0;

	waitpid(s->pid, NULL, 0);
	s->pid = 0;
	say("cannot run %s: %s", args.command[0], strerror(err));

	return err == ENOENT ? EXIT_NOT_FOUND : EXIT_CANNOT_RUN;
}

/* Take its status over, if it has ended. */
static void reap_command(struct monitor *m, struct source *s)
{
	int status;

	if (!s->pid || waitpid(s->pid, &status, WNOHANG) != s->pid)
		return;

	s->pid = 0;
	if (!m->status)
		m->status = WIFSIGNALED(status) ? 128 + WTERMSIG(status) :
						  WEXITSTATUS(status);
}

/*
 * A signal has come. Return: whether that is the end. While there is a command
 * it is asked to end, which the terminal has done already if the signal is from
 * there. Who asks twice does not want to wait.
 */
static bool take_signal(struct monitor *m, struct source *s)
{
	struct signalfd_siginfo si;

	if (read(s->signals, &si, sizeof(si)) != sizeof(si))
		return false;

	if (si.ssi_signo == SIGCHLD) {
		reap_command(m, s);
		return !s->pid && args.command;
	}
	if (!s->pid)
		return true;

	if (s->asked)
		kill(s->pid, SIGKILL);
	else if (si.ssi_code != SI_KERNEL)
		kill(s->pid, si.ssi_signo);
	s->asked = true;

	return false;
}

/* --- what comes in --- */

/* Ask for the name of the instance of an event, if that could be a new one. */
static void ask_name(struct monitor *m, struct source *s,
		     const struct control_event *e)
{
	struct control_chan chan;
	struct record r = { .type = RECORD_INSTANCE, .ns = e->ns };

	if (names_has(&s->names, e->addr.instance) &&
	    (e->transfer != 1 || e->type != DMA_LOOPBACK_EVENT_TYPE_SUBMITTED))
		return;

	/* It may be gone already. */
	if (control_chan_get(&s->control, e->addr, &chan))
		return;

	if (names_has(&s->names, e->addr.instance) &&
	    !strcmp(names_get(&s->names, e->addr.instance), chan.name))
		return;

	names_set(&s->names, e->addr.instance, chan.name);
	r.instance.number = e->addr.instance;
	snprintf(r.instance.name, sizeof(r.instance.name), "%s",
		 names_get(&s->names, e->addr.instance));
	records_add(&m->pending, &r);
}

/*
 * Take an event, if one comes within that time. Return: 0, -ETIMEDOUT, or the
 * error that ends us.
 */
static int take_event(struct monitor *m, struct source *s, int timeout_ms)
{
	struct record r = { .type = RECORD_EVENT };
	int ret;

	ret = control_event(&s->control, &r.event, timeout_ms);
	if (!ret) {
		r.ns = r.event.ns;
		s->last_seq = r.event.seq;
		ask_name(m, s, &r.event);
		records_add(&m->pending, &r);
	} else if (ret == -ENOBUFS) {
		r = (struct record){ .type = RECORD_OVERRUN, .ns = now_ns() };
		records_add(&m->pending, &r);
		ret = 0;
	} else if (ret != -ETIMEDOUT) {
		say("%s", control_message(&s->control));
		m->status = EXIT_LISTEN;
	}

	return ret;
}

static int take_all(struct monitor *m, struct source *s)
{
	int ret;

	do {
		ret = take_event(m, s, 0);
	} while (!ret);
	marks_read(&marks, &m->pending);

	return ret == -ETIMEDOUT ? 0 : ret;
}

/*
 * Take what is still on its way, and say up to where that goes. The number of
 * the last event comes with any channel.
 */
static void take_rest(struct monitor *m, struct source *s)
{
	struct record r = { .type = RECORD_END };
	struct control_chan chan;

	if (control_chans(&s->control, &chan, 1) > 0)
		r.end.seq = chan.seq;
	while ((!r.end.seq || s->last_seq < r.end.seq) && !enough(m) &&
	       !take_event(m, s, DRAIN_MS))
		;
	take_all(m, s);
	/* Events go on to come while nobody waits for them any more. */
	if (r.end.seq && r.end.seq < s->last_seq)
		r.end.seq = s->last_seq;
	r.ns = now_ns();
	records_add(&m->pending, &r);
}

static int poll_all(const struct source *s, int timeout_ms)
{
	struct pollfd fds[] = {
		{ .fd = s->signals, .events = POLLIN },
		{ .fd = control_events_fd(&s->control), .events = POLLIN },
		{ .fd = marks.fences.fd, .events = POLLIN },
		{ .fd = marks.polls.fd, .events = POLLIN },
	};

	return poll(fds, ARRAY_SIZE(fds), timeout_ms);
}

/* Until a signal comes, the command has ended, or it is enough */
static void listen_until_end(struct monitor *m, struct source *s)
{
	uint64_t now;

	do {
		poll_all(s, m->pending.nr ? HOLD_MS : -1);
		now = now_ns();
		if (take_all(m, s))
			break;
		put_out_pending(m, now - HOLD_MS * 1000000ull);
	} while (!enough(m) && !take_signal(m, s));

	if (!enough(m) && m->status != EXIT_LISTEN)
		take_rest(m, s);
	put_out_pending(m, UINT64_MAX);
}

static void block_signals(struct source *s, sigset_t *old)
{
	sigset_t mask;

	sigemptyset(&mask);
	sigaddset(&mask, SIGINT);
	sigaddset(&mask, SIGTERM);
	sigaddset(&mask, SIGHUP);
	sigaddset(&mask, SIGCHLD);
	sigprocmask(SIG_BLOCK, &mask, old);
	/* Whoever reads what we print may end before we do. */
	signal(SIGPIPE, SIG_IGN);
	signal(SIGCHLD, SIG_DFL);
	s->signals = signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK);
}

static void close_marks(void)
{
	marks_close(&marks);
}

/* Listen to the driver. */
static void live(struct monitor *m)
{
	struct record start = { .type = RECORD_START, .ns = now_ns() };
	struct source s = { .control = CONTROL_INIT };
	sigset_t mask;
	int ret;

	block_signals(&s, &mask);
	/* The channels are asked for to see whether we may. */
	if (control_open(&s.control) ||
	    control_listen(&s.control, args.buffer << 10) ||
	    control_chans(&s.control, NULL, 0) < 0) {
		say("%s", control_message(&s.control));
		m->status = EXIT_LISTEN;
		goto out;
	}
	open_outputs(m);
	atexit(close_marks);
	if (!args.no_marks)
		marks_open_fences(&marks);
	put_out(m, &start);

	ret = args.command ? start_command(&s, &mask) : 0;
	if (ret)
		m->status = ret;
	else
		listen_until_end(m, &s);
	marks_close(&marks);

	/* It may still run: nothing is seen of it any more. */
	while (s.pid) {
		poll(&(struct pollfd){ .fd = s.signals, .events = POLLIN }, 1,
		     -1);
		take_signal(m, &s);
	}
out:
	close(s.signals);
	names_free(&s.names);
	control_close(&s.control);
}

/* Take a recording for what comes in. */
static void play(struct monitor *m)
{
	m->status = records_read(&m->pending, args.play);
	if (m->status == EXIT_MONITOR)
		return;

	open_outputs(m);
	put_out_pending(m, UINT64_MAX);
}

/* --- options --- */

static unsigned long parse_number(struct argp_state *state, const char *option,
				  const char *arg, unsigned long max)
{
	unsigned long n;
	char *end;

	errno = 0;
	n = strtoul(arg, &end, 10);
	if (*arg < '0' || *arg > '9' || *end || errno || !n || n > max)
		argp_error(state, "--%s %s: give a number, 1 to %lu", option,
			   arg, max);

	return n;
}

static error_t parse_opt(int key, char *arg, struct argp_state *state)
{
	switch (key) {
	case 'i':
		args.filter.instance = arg;
		return 0;
	case 'c':
		if (strcmp(arg, "tx") && strcmp(arg, "rx"))
			argp_error(state, "--channel %s: give tx or rx", arg);
		args.filter.channel = arg;
		return 0;
	case 'n':
		args.count = parse_number(state, "count", arg, ULONG_MAX);
		return 0;
	case 'b':
		args.buffer = parse_number(state, "buffer", arg, 1 << 20);
		return 0;
	case 'r':
		args.record = arg;
		return 0;
	case 'p':
		args.play = arg;
		return 0;
	case 's':
		args.svg = arg;
		return 0;
	case 'q':
		args.quiet = true;
		return 0;
	case 'm':
		args.no_marks = true;
		return 0;
	case ARGP_KEY_ARGS:
		args.command = state->argv + state->next;
		return 0;
	case ARGP_KEY_END:
		if (args.play && args.command)
			argp_error(state, "a recording is played without a command");
		return 0;
	}

	return ARGP_ERR_UNKNOWN;
}

static const struct argp_option options[] = {
	{ "instance", 'i', "NAME", 0,
	  "Only this instance, by name or number", 0 },
	{ "channel", 'c', "tx|rx", 0, "Only this channel", 0 },
	{ "count", 'n', "N", 0, "End after N events", 0 },
	{ "record", 'r', "FILE", 0, "Record everything in FILE", 0 },
	{ "play", 'p', "FILE", 0, "Read a recording, not the kernel", 0 },
	{ "svg", 's', "FILE", 0, "Draw a timeline in FILE at the end", 0 },
	{ "buffer", 'b', "KIB", 0,
	  "Room for events that were not read yet (16384)", 0 },
	{ "quiet", 'q', NULL, 0, "Print nothing", 0 },
	{ "no-marks", 'm', NULL, 0, "Leave the kernel's tracer alone", 0 },
	{ 0 }
};

static const struct argp argp = {
	.options = options,
	.parser = parse_opt,
	.args_doc = "[-- COMMAND [ARG...]]",
	.doc = "Print, record and draw what the IIO loopback driver does.\v\n"
		"Ends with the command, after N events, or by a signal.\n\n"
		"Exit status: that of the command, 0 without one, or\n"
		"  122  the recording to play is none, or not all of it is there\n"
		"  123  the driver cannot be listened to\n"
		"  124  something could not be written\n"
		"  125  anything else, like wrong usage\n"
		"  126, 127  the command cannot be run, does not exist\n",
};

int main(int argc, char **argv)
{
	struct monitor m = {};

	argp_err_exit_status = EXIT_MONITOR;
	argp_parse(&argp, argc, argv, ARGP_IN_ORDER, NULL, NULL);

	if (args.play)
		play(&m);
	else
		live(&m);

	draw(&m);
	close_output(&m, &m.svg, args.svg);
	close_output(&m, &m.record, args.record);
	check_output(&m, &m.print, stdout_name, true);
	records_free(&m.pending);
	records_free(&m.kept);
	names_free(&m.names);

	return m.status;
}

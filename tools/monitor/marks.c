// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "file.h"
#include "marks.h"
#include "monitor.h"

/*
 * IIO_BUFFER_DMABUF_ENQUEUE_IOCTL of linux/iio/buffer.h, which the headers of a
 * distribution do not have yet. It takes 16 bytes, and the descriptor of the
 * DMABUF comes first.
 */
#define ENQUEUE	_IOC(_IOC_WRITE, 'i', 0x94, 16)

#define DYNAMIC_EVENTS	"/sys/kernel/tracing/dynamic_events"

/*
 * Since Linux 6.17 fences that have signalled have another driver. Whose they
 * were shows in their context.
 */
#define FENCE_FILTER	"driver == \"iio\" || driver == \"detached-driver\""

/**
 * struct probe - An event made of an event of a system call, because that has
 * pointers only where the question is what they point to
 * @name: name for it
 * @definition: what it is made of, with what
 * @type: what it is recorded as
 * @call: of polls: which one
 */
struct probe {
	const char *name;
	const char *definition;
	enum record_type type;
	enum poll_call call;
};

static const struct probe probes[] = {
	{ "enqueue",
	  "syscalls.sys_enter_ioctl cmd=$cmd:u32 fd=+u0($arg):s32",
	  RECORD_ENQUEUE, 0 },
	{ "poll",
	  "syscalls.sys_enter_poll fd=+u0($ufds):s32 nfds=$nfds:u32",
	  RECORD_POLL, POLL_CALL_POLL },
	{ "poll_return", "syscalls.sys_exit_poll ret=$ret:s64",
	  RECORD_POLL_RETURN, POLL_CALL_POLL },
	{ "ppoll",
	  "syscalls.sys_enter_ppoll fd=+u0($ufds):s32 nfds=$nfds:u32",
	  RECORD_POLL, POLL_CALL_PPOLL },
	{ "ppoll_return", "syscalls.sys_exit_ppoll ret=$ret:s64",
	  RECORD_POLL_RETURN, POLL_CALL_PPOLL },
	{ "epoll_wait", "syscalls.sys_enter_epoll_wait fd=$epfd:s32",
	  RECORD_POLL, POLL_CALL_EPOLL_WAIT },
	{ "epoll_wait_return", "syscalls.sys_exit_epoll_wait ret=$ret:s64",
	  RECORD_POLL_RETURN, POLL_CALL_EPOLL_WAIT },
	{ "epoll_pwait", "syscalls.sys_enter_epoll_pwait fd=$epfd:s32",
	  RECORD_POLL, POLL_CALL_EPOLL_PWAIT },
	{ "epoll_pwait_return", "syscalls.sys_exit_epoll_pwait ret=$ret:s64",
	  RECORD_POLL_RETURN, POLL_CALL_EPOLL_PWAIT },
};

/* --- the tracer --- */

/* With times like those of the driver's events, and no delay */
static int pipe_open(struct mark_pipe *pipe, const char *kind)
{
	char name[48], path[PATH_MAX];
	int ret;

	snprintf(name, sizeof(name), "iio-dmabuf-monitor-%d-%s", getpid(),
		 kind);
	ret = trace_open(&pipe->trace, name) ?:
	      trace_set(&pipe->trace, "trace_clock", "mono") ?:
	      trace_set(&pipe->trace, "buffer_percent", "0");
	if (ret)
		return ret;

	snprintf(path, sizeof(path), "%s/trace_pipe", pipe->trace.dir);
	pipe->fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);

	return pipe->fd < 0 ? -errno : 0;
}

static void pipe_close(struct mark_pipe *pipe)
{
	close_fd(&pipe->fd);
	trace_close(&pipe->trace);
}

/**
 * marks_open_fences() - Begin to trace fences, or say why not
 * @m: where marks come from
 */
void marks_open_fences(struct marks *m)
{
	const struct trace *t = &m->fences.trace;
	int ret;

	ret = pipe_open(&m->fences, "fences") ?:
	      trace_event_enable(t, "dma_fence/dma_fence_init",
				 FENCE_FILTER) ?:
	      trace_event_enable(t, "dma_fence/dma_fence_signaled",
				 FENCE_FILTER) ?:
	      trace_start(t);
	if (!ret)
		return;

	say("fences are not recorded: %s: %s; mount tracefs there, and be root",
	    t->dir, strerror(-ret));
	pipe_close(&m->fences);
}

/* Return: how many probes of system calls this kernel has. */
static size_t add_probes(struct marks *m)
{
	char enqueue[32], event[96], line[256];
	const struct probe *probe;
	size_t i, nr = 0;

	/* Nothing but ENQUEUE is of interest among the ioctls. */
	snprintf(enqueue, sizeof(enqueue), "cmd == %u", (unsigned int)ENQUEUE);
	snprintf(m->group, sizeof(m->group), "iio_dmabuf_monitor_%d", getpid());
	for (i = 0; i < ARRAY_SIZE(probes); i++) {
		probe = &probes[i];
		snprintf(line, sizeof(line), "e:%s/%s %s", m->group,
			 probe->name, probe->definition);
		if (write_file(DYNAMIC_EVENTS, line))
			continue;

		snprintf(event, sizeof(event), "%s/%s", m->group, probe->name);
		nr += !trace_event_enable(&m->polls.trace, event,
					  probe->type == RECORD_ENQUEUE ?
					  enqueue : "0");
	}

	return nr;
}

/* After the instance is gone that uses them */
static void remove_probes(struct marks *m)
{
	char line[96];
	size_t i;

	for (i = 0; m->group[0] && i < ARRAY_SIZE(probes); i++) {
		snprintf(line, sizeof(line), "-:%s/%s", m->group,
			 probes[i].name);
		write_file(DYNAMIC_EVENTS, line);
	}
	m->group[0] = '\0';
}

/**
 * marks_open_polls() - Begin to trace polls, or say why not
 * @m: where marks come from; nothing is said if there are no fences either
 * @pid: of whom, and of what it forks
 */
void marks_open_polls(struct marks *m, pid_t pid)
{
	const struct trace *t = &m->polls.trace;
	char number[16];
	int ret;

	if (m->fences.fd < 0)
		return;

	snprintf(number, sizeof(number), "%d", pid);
	ret = pipe_open(&m->polls, "polls") ?:
	      trace_set(t, "trace_options", "event-fork") ?:
	      trace_set(t, "set_event_pid", number);
	if (!ret && !add_probes(m))
		ret = -ENOSYS;
	if (!ret)
		ret = trace_start(t);
	if (!ret)
		return;

	say("polls are not recorded: %s: %s; the kernel needs CONFIG_FTRACE_SYSCALLS and event probes",
	    t->dir, strerror(-ret));
	pipe_close(&m->polls);
	remove_probes(m);
}

/**
 * marks_close() - Leave nothing behind in the tracer
 * @m: where marks come from, may not be open
 */
void marks_close(struct marks *m)
{
	pipe_close(&m->fences);
	pipe_close(&m->polls);
	remove_probes(m);
	free(m->contexts);
	m->contexts = NULL;
	if (m->lost)
		say("the tracer lost %" PRIu64 " marks of fences and polls",
		    m->lost);
	m->lost = 0;
}

/* --- what it says --- */

/* The number behind @key in " key=number key=number" */
static int64_t number_of(const char *text, const char *key)
{
	char word[24];

	snprintf(word, sizeof(word), " %s=", key);
	text = strstr(text, word);

	return text ? strtoll(text + strlen(word), NULL, 0) : 0;
}

static bool context_known(const struct marks *m, uint64_t context)
{
	size_t i;

	for (i = m->nr_contexts; i > 0; i--) {
		if (m->contexts[i - 1] == context)
			return true;
	}

	return false;
}

/* Return: whether @name is about a fence of the IIO core. */
static bool fence_parse(struct marks *m, const char *name, const char *values,
			struct record *r)
{
	bool ours = strstr(values, " driver=iio ");

	if (!strcmp(name, "dma_fence_init"))
		r->type = RECORD_FENCE_INIT;
	else if (!strcmp(name, "dma_fence_signaled"))
		r->type = RECORD_FENCE_SIGNALED;
	else
		return false;

	r->fence.context = number_of(values, "context");
	r->fence.seqno = number_of(values, "seqno");
	if (!context_known(m, r->fence.context)) {
		if (!ours)
			return false;

		grow(m->contexts, m->nr_contexts);
		m->contexts[m->nr_contexts++] = r->fence.context;
	}

	return true;
}

/* Return: whether @name is one of the probes. */
static bool probe_parse(const char *name, const char *values, struct record *r)
{
	const struct probe *probe;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(probes); i++) {
		probe = &probes[i];
		if (strcmp(probe->name, name))
			continue;

		r->type = probe->type;
		r->call.call = probe->call;
		r->call.fd = number_of(values, "fd");
		r->call.nfds = number_of(values, "nfds");
		r->call.ret = number_of(values, "ret");
		return true;
	}

	return false;
}

/*
 * "  <...>-170     [000] ...2.     2.306974: poll: (...) fd=4 nfds=1", or
 * "CPU:0 [LOST 12 EVENTS]"
 */
static void line_parse(struct marks *m, const char *line,
		       struct records *records)
{
	const char *cpu = strchr(line, '['), *dash;
	uint64_t s, us, lost;
	struct record r = {};
	char name[32];
	int at = 0;

	if (cpu && sscanf(cpu, "[LOST %" SCNu64 " EVENTS]", &lost) == 1) {
		m->lost += lost;
		return;
	}
	if (!cpu || sscanf(cpu, "[%*d] %*s %" SCNu64 ".%" SCNu64 ": %31[a-z_]:%n",
			   &s, &us, name, &at) != 3 || !at)
		return;

	for (dash = cpu; dash > line && *dash != '-'; dash--)
		;
	r.fence.pid = atoi(dash + 1);
	if (!fence_parse(m, name, cpu + at, &r)) {
		r.call.pid = atoi(dash + 1);
		if (!probe_parse(name, cpu + at, &r))
			return;
	}

	/*
	 * The tracer cuts off what is below a microsecond. Nothing is to seem
	 * earlier than its cause, or later than its effect.
	 */
	r.ns = (s * 1000000 + us) * 1000;
	if (r.type == RECORD_FENCE_SIGNALED || r.type == RECORD_POLL_RETURN)
		r.ns += 999;
	records_add(records, &r);
}

static void pipe_read(struct marks *m, struct mark_pipe *pipe,
		      struct records *records)
{
	char *end, *line;
	ssize_t n;

	while (pipe->fd >= 0) {
		n = read(pipe->fd, pipe->line + pipe->len,
			 sizeof(pipe->line) - 1 - pipe->len);
		if (n <= 0)
			return;

		pipe->len += n;
		pipe->line[pipe->len] = '\0';
		line = pipe->line;
		while ((end = strchr(line, '\n'))) {
			*end = '\0';
			line_parse(m, line, records);
			line = end + 1;
		}
		pipe->len -= line - pipe->line;
		/* Lines that are longer than that there are none. */
		if (pipe->len == sizeof(pipe->line) - 1)
			pipe->len = 0;
		memmove(pipe->line, line, pipe->len);
	}
}

/**
 * marks_read() - Take the marks that there are, without waiting for more
 * @m: where they come from
 * @records: to which they are added
 */
void marks_read(struct marks *m, struct records *records)
{
	pipe_read(m, &m->fences, records);
	pipe_read(m, &m->polls, records);
}

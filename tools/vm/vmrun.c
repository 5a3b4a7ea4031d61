// SPDX-License-Identifier: GPL-2.0
/*
 * vmrun - run one virtual machine to its end, and say how it ended
 *
 * A test VM ends in more ways than a process does: its kernel may panic, loop
 * or sleep for ever, or not even boot.  vmrun starts QEMU with two serial
 * ports, keeps a record of each, and turns every ending into an exit status
 * and, if it was not a good one, into a line that names the test that was
 * running.
 *
 * The contract with whoever writes the command line and the guest's init:
 *
 *  - vmrun appends the -serial options.  The guest's first port (ttyS0, the
 *    kernel's console) arrives on QEMU's stderr, mixed with QEMU's own
 *    complaints, and goes to the --console file.  The second (ttyS1, KTAP)
 *    arrives on QEMU's stdout, and goes to the --ktap file and, live, to
 *    vmrun's stdout.
 *  - The guest's first line on ttyS1 is "# vm: up", its last "# vm: done N",
 *    whereupon it powers off.  A panic reboots, which -no-reboot turns into an
 *    end of QEMU.
 *
 * Lines from the guest are recorded without carriage returns.  When the VM
 * ends badly, "# vm: ..." with the reason is appended to the KTAP file, so
 * that the file alone tells the story.
 */

#define _GNU_SOURCE
#include <argp.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define ARRAY_SIZE(a)	(sizeof(a) / sizeof((a)[0]))

/* Exit statuses of vmrun's own. A guest's 2 to 5 is reported as 1. */
enum {
	EXIT_HOST = 2,
	EXIT_DIED = 3,
	EXIT_HUNG = 4,
	EXIT_NOT_UP = 5,
};

#define TAIL_LINES	15
#define LINE_MAX_LEN	1024

/* How long a guest that is done may take to power off. */
#define POWEROFF_MS	30000

/**
 * struct port - one serial port of the guest
 * @name:	for messages
 * @path:	file that records it
 * @in:		QEMU's end, -1 after end of file
 * @out:	@path, open for writing
 * @line:	line being received, without its newline; the excess of an
 *		overlong line is not kept here, only in the file
 * @len:	bytes in @line
 * @tail:	ring of the last complete lines
 * @nr_lines:	number of complete lines so far
 */
struct port {
	const char *name;
	const char *path;
	int in;
	int out;
	char line[LINE_MAX_LEN];
	size_t len;
	char *tail[TAIL_LINES];
	unsigned long nr_lines;
};

/**
 * struct vm - the virtual machine being run
 * @console:	ttyS0
 * @ktap:	ttyS1
 * @pid:	QEMU, 0 when it has been reaped
 * @sigfd:	signalfd with SIGCHLD and what ends vmrun early
 * @deadline:	when the VM must have ended, in ms
 * @idle_ms:	how long it may be silent
 * @heard:	when it was last not, in ms
 * @up:		"# vm: up" was seen
 * @done:	"# vm: done" was seen
 * @status:	N of "# vm: done N"
 * @program:	selftest program last started, as "collection:program"
 * @test:	test last started in it, as "fixture.variant.test"
 * @program_ended: its result was seen
 */
struct vm {
	struct port console;
	struct port ktap;
	pid_t pid;
	int sigfd;
	long deadline;
	long idle_ms;
	long heard;
	bool up;
	bool done;
	int status;
	char program[256];
	char test[256];
	bool program_ended;
};

static struct {
	const char *ktap;
	const char *console;
	int timeout;
	int idle;
	bool quiet;
	char **command;
} args = {
	.timeout = 1800,
	.idle = 150,
};

static long now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000L + ts.tv_nsec / 1000000;
}

/* Kill QEMU and whatever it started, and wait for its end. */
static void vm_kill(struct vm *vm)
{
	if (!vm->pid)
		return;
	kill(-vm->pid, SIGKILL);
	while (waitpid(vm->pid, NULL, 0) < 0 && errno == EINTR)
		;
	vm->pid = 0;
}

/* The host failed us: no verdict about the guest. */
#define vm_die(vm, fmt, ...) do {					\
	vm_kill(vm);							\
	fprintf(stderr, "vmrun: " fmt "\n", ##__VA_ARGS__);		\
	exit(EXIT_HOST);						\
} while (0)

static void write_all(struct vm *vm, int fd, const char *path,
		      const char *buf, size_t len)
{
	ssize_t n;

	while (len) {
		n = write(fd, buf, len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			vm_die(vm, "cannot write %s: %s; the VM was stopped",
			       path, strerror(errno));
		buf += n;
		len -= n;
	}
}

/* Copy the first word of @from, or nothing when there is none. */
static void copy_word(char *to, size_t size, const char *from)
{
	size_t len = strcspn(from, " \t");

	if (len >= size)
		len = size - 1;
	memcpy(to, from, len);
	to[len] = '\0';
}

/* @s after @prefix, or NULL when it does not start with that. */
static const char *after(const char *s, const char *prefix)
{
	size_t len = strlen(prefix);

	return strncmp(s, prefix, len) ? NULL : s + len;
}

/* "collection: program" of a runner's line; what may follow is a directive. */
static void program_name(char *to, size_t size, const char *from)
{
	const char *colon = strstr(from, ": ");
	size_t len;

	if (!colon) {
		copy_word(to, size, from);
		return;
	}
	len = colon - from + 1;
	if (len >= size)
		len = size - 1;
	memcpy(to, from, len);
	copy_word(to + len, size - len, colon + 2);
}

static void ktap_line(struct vm *vm, const char *line)
{
	const char *rest;
	char *end;
	long n;

	if (!strcmp(line, "# vm: up")) {
		vm->up = true;
		return;
	}
	rest = after(line, "# vm: done ");
	if (rest) {
		n = strtol(rest, &end, 10);
		if (end != rest && !*end) {
			vm->done = true;
			vm->status = n < 0 || n > 255 ? 1 : n;
			/* Now it has to power off, and soon. */
			if (vm->deadline > now_ms() + POWEROFF_MS)
				vm->deadline = now_ms() + POWEROFF_MS;
		}
		return;
	}

	rest = after(line, "# selftests: ");
	if (rest) {
		program_name(vm->program, sizeof(vm->program), rest);
		vm->test[0] = '\0';
		vm->program_ended = false;
		return;
	}
	rest = after(line, "ok ") ?: after(line, "not ok ");
	if (rest) {
		rest = strchr(rest, ' ');
		if (rest && after(rest, " selftests: "))
			vm->program_ended = true;
	}

	/* The harness, alone or below the runner: "#  RUN   name ...". */
	while ((rest = after(line, "# ")))
		line = rest;
	rest = after(line, " RUN ");
	if (rest) {
		rest += strspn(rest, " ");
		copy_word(vm->test, sizeof(vm->test), rest);
	}
}

static void port_line(struct vm *vm, struct port *port)
{
	char **slot = &port->tail[port->nr_lines % TAIL_LINES];

	port->line[port->len] = '\0';
	free(*slot);
	*slot = strdup(port->line);
	if (!*slot)
		vm_die(vm, "out of memory");
	port->nr_lines++;
	port->len = 0;
	if (port == &vm->ktap)
		ktap_line(vm, port->line);
}

/* Record what has arrived. Returns false when nothing (more) has. */
static bool port_read(struct vm *vm, struct port *port)
{
	char raw[4096], buf[4096];
	size_t len = 0;
	ssize_t i, n;

	n = read(port->in, raw, sizeof(raw));
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return false;
	if (n < 0)
		vm_die(vm, "cannot read the VM's %s: %s", port->name,
		       strerror(errno));
	if (!n) {
		close(port->in);
		port->in = -1;
		return false;
	}

	vm->heard = now_ms();
	for (i = 0; i < n; i++)
		if (raw[i] != '\r')
			buf[len++] = raw[i];
	write_all(vm, port->out, port->path, buf, len);
	if (port == &vm->ktap && !args.quiet)
		write_all(vm, STDOUT_FILENO, "standard output", buf, len);

	for (i = 0; i < (ssize_t)len; i++) {
		if (buf[i] == '\n')
			port_line(vm, port);
		else if (port->len < sizeof(port->line) - 1)
			port->line[port->len++] = buf[i];
	}
	return true;
}

static void port_drain(struct vm *vm, struct port *port)
{
	while (port->in >= 0 && port_read(vm, port))
		;
	if (port->len)
		port_line(vm, port);
}

static void print_tail(const struct port *port)
{
	unsigned long i = 0;

	if (port->nr_lines > TAIL_LINES)
		i = port->nr_lines - TAIL_LINES;
	for (; i < port->nr_lines; i++)
		fprintf(stderr, "  %s\n", port->tail[i % TAIL_LINES]);
	if (!port->nr_lines)
		fputs("  (nothing)\n", stderr);
}

/* Describe a bad ending, on stderr and at the end of the KTAP file. */
static void vm_report(struct vm *vm, const char *how)
{
	char msg[1024];

	if (!vm->up)
		snprintf(msg, sizeof(msg), "VM %s before its init ran", how);
	else if (vm->done)
		snprintf(msg, sizeof(msg), "VM %s after its last test", how);
	else if (!vm->program[0] && !vm->test[0])
		snprintf(msg, sizeof(msg), "VM %s before its first test", how);
	else
		snprintf(msg, sizeof(msg), "VM %s %s %s%s%s", how,
			 vm->program_ended ? "after" : "while running",
			 vm->program, vm->program[0] && vm->test[0] ? " " : "",
			 vm->test);

	fprintf(stderr, "%s; tail of its console (%s):\n", msg,
		vm->console.path);
	print_tail(&vm->console);

	/* On a line of its own, though the guest may have died within one. */
	dprintf(vm->ktap.out, "\n# vm: %s\n", msg + strlen("VM "));
}

/* QEMU has ended by itself: find out what that means. */
static int vm_ended(struct vm *vm, int wstatus)
{
	/* However the guest ends, QEMU exits with 0: the trouble is its own. */
	if (!vm->up && WIFEXITED(wstatus) && WEXITSTATUS(wstatus)) {
		fprintf(stderr, "vmrun: %s failed with status %d; tail of its messages (%s):\n",
			args.command[0], WEXITSTATUS(wstatus),
			vm->console.path);
		print_tail(&vm->console);
		return EXIT_HOST;
	}
	if (vm->done) {
		if (vm->status)
			fprintf(stderr, "vmrun: the guest reported status %d\n",
				vm->status);
		if (vm->status >= EXIT_HOST && vm->status <= EXIT_NOT_UP)
			return 1;
		return vm->status;
	}
	vm_report(vm, "died");
	return vm->up ? EXIT_DIED : EXIT_NOT_UP;
}

/* A signal has arrived. Returns an exit status if that is the end, or -1. */
static int vm_signal(struct vm *vm)
{
	struct signalfd_siginfo si;
	int wstatus;

	if (read(vm->sigfd, &si, sizeof(si)) != sizeof(si))
		return -1;

	if (si.ssi_signo != SIGCHLD) {
		vm_kill(vm);
		fprintf(stderr, "vmrun: stopped by %s\n",
			strsignal(si.ssi_signo));
		return 128 + si.ssi_signo;
	}
	if (waitpid(vm->pid, &wstatus, WNOHANG) != vm->pid)
		return -1;
	/* What QEMU may have left behind must not survive it. */
	kill(-vm->pid, SIGKILL);
	vm->pid = 0;
	port_drain(vm, &vm->console);
	port_drain(vm, &vm->ktap);
	return vm_ended(vm, wstatus);
}

static int vm_wait(struct vm *vm)
{
	struct pollfd fds[3] = {
		{ .events = POLLIN },
		{ .events = POLLIN },
		{ .events = POLLIN },
	};
	long limit, left;
	int status;

	for (;;) {
		limit = vm->heard + vm->idle_ms;
		if (limit > vm->deadline)
			limit = vm->deadline;
		left = limit - now_ms();
		if (left <= 0) {
			vm_kill(vm);
			port_drain(vm, &vm->console);
			port_drain(vm, &vm->ktap);
			vm_report(vm, "hung");
			return vm->up ? EXIT_HUNG : EXIT_NOT_UP;
		}

		fds[0].fd = vm->console.in;
		fds[1].fd = vm->ktap.in;
		fds[2].fd = vm->sigfd;
		if (poll(fds, 3, left) < 0 && errno != EINTR)
			vm_die(vm, "poll: %s", strerror(errno));

		if (fds[0].revents)
			port_read(vm, &vm->console);
		if (fds[1].revents)
			port_read(vm, &vm->ktap);
		if (fds[2].revents) {
			status = vm_signal(vm);
			if (status >= 0)
				return status;
		}
	}
}

/* The caller's command and the serial ports. */
static char **qemu_command(struct vm *vm)
{
	static const char * const ports[] = {
		"-chardev", "file,id=console,path=/dev/fd/2",
		"-serial", "chardev:console",
		"-chardev", "file,id=ktap,path=/dev/fd/1",
		"-serial", "chardev:ktap",
	};
	size_t i, n = 0;
	char **argv;

	while (args.command[n])
		n++;
	argv = calloc(n + ARRAY_SIZE(ports) + 1, sizeof(*argv));
	if (!argv)
		vm_die(vm, "out of memory");
	memcpy(argv, args.command, n * sizeof(*argv));
	for (i = 0; i < ARRAY_SIZE(ports); i++)
		argv[n++] = (char *)ports[i];
	return argv;
}

/* In the child: become QEMU. */
static void vm_exec(char **argv, pid_t parent, int console, int ktap)
{
	sigset_t none;
	int null;

	/* QEMU must not outlive us, not even if we are killed by SIGKILL. */
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(EXIT_HOST);

	/* The terminal's SIGINT is for us to handle. */
	setpgid(0, 0);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);

	null = open("/dev/null", O_RDONLY);
	dup2(null, STDIN_FILENO);
	dup2(ktap, STDOUT_FILENO);
	dup2(console, STDERR_FILENO);
	execvp(argv[0], argv);
	dprintf(STDERR_FILENO, "vmrun: cannot run %s: %s\n", argv[0],
		strerror(errno));
	_exit(127);
}

static void port_open(struct vm *vm, struct port *port, int *guest)
{
	int fds[2];

	port->out = open(port->path,
			 O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
	if (port->out < 0)
		vm_die(vm, "cannot write %s: %s; give another --%s", port->path,
		       strerror(errno), port->name);
	if (pipe2(fds, O_CLOEXEC))
		vm_die(vm, "pipe: %s", strerror(errno));
	fcntl(fds[0], F_SETFL, O_NONBLOCK);
	port->in = fds[0];
	*guest = fds[1];
}

static void vm_start(struct vm *vm)
{
	char **argv = qemu_command(vm);
	pid_t parent = getpid(), pid;
	int console, ktap;
	sigset_t mask;

	port_open(vm, &vm->console, &console);
	port_open(vm, &vm->ktap, &ktap);

	sigemptyset(&mask);
	sigaddset(&mask, SIGCHLD);
	sigaddset(&mask, SIGINT);
	sigaddset(&mask, SIGTERM);
	sigaddset(&mask, SIGHUP);
	sigprocmask(SIG_BLOCK, &mask, NULL);
	/* Ignored, it would reap QEMU for us. */
	signal(SIGCHLD, SIG_DFL);
	vm->sigfd = signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK);
	if (vm->sigfd < 0)
		vm_die(vm, "signalfd: %s", strerror(errno));

	pid = fork();
	if (pid < 0)
		vm_die(vm, "fork: %s", strerror(errno));
	if (!pid)
		vm_exec(argv, parent, console, ktap);

	/* Here too, or a kill() of the group might come before the group. */
	setpgid(pid, pid);
	vm->pid = pid;
	close(console);
	close(ktap);
	free(argv);
}

static int parse_time(struct argp_state *state, const char *option,
		      const char *arg)
{
	char *end;
	long n = strtol(arg, &end, 10);

	if (end == arg || *end || n < 1 || n > 1000000)
		argp_error(state, "--%s %s: give seconds, 1 to 1000000",
			   option, arg);
	return n;
}

static error_t parse_opt(int key, char *arg, struct argp_state *state)
{
	switch (key) {
	case 'k':
		args.ktap = arg;
		return 0;
	case 'c':
		args.console = arg;
		return 0;
	case 't':
		args.timeout = parse_time(state, "timeout", arg);
		return 0;
	case 'i':
		args.idle = parse_time(state, "idle", arg);
		return 0;
	case 'q':
		args.quiet = true;
		return 0;
	case ARGP_KEY_ARGS:
		args.command = state->argv + state->next;
		return 0;
	case ARGP_KEY_END:
		if (!args.command)
			argp_error(state, "no command: give QEMU's after --");
		if (!args.ktap || !args.console)
			argp_error(state, "--ktap and --console are needed");
		return 0;
	}
	return ARGP_ERR_UNKNOWN;
}

static const struct argp_option options[] = {
	{ "ktap", 'k', "FILE", 0, "Record the second serial port in FILE", 0 },
	{ "console", 'c', "FILE", 0, "Record the first serial port in FILE",
	  0 },
	{ "timeout", 't', "SECONDS", 0, "Longest run (1800)", 0 },
	{ "idle", 'i', "SECONDS", 0, "Longest silence (150)", 0 },
	{ "quiet", 'q', NULL, 0, "Do not echo the second port", 0 },
	{ 0 }
};

static const struct argp argp = {
	.options = options,
	.parser = parse_opt,
	.args_doc = "-- QEMU [ARG...]",
	.doc = "Run a virtual machine to its end.\v\n"
		"Exit status: N if the guest said \"# vm: done N\" (1 for 2 to 5)\n"
		"  2  trouble on the host\n"
		"  3  the VM died\n"
		"  4  it hung\n"
		"  5  it did not boot\n"
		"  129, 130, 143  stopped by a signal\n",
};

int main(int argc, char **argv)
{
	struct vm vm = {
		.console = { .name = "console", .in = -1 },
		.ktap = { .name = "ktap", .in = -1 },
	};

	/* A caller that is killed cannot stop us; its end does. */
	prctl(PR_SET_PDEATHSIG, SIGTERM);

	argp_err_exit_status = EXIT_HOST;
	argp_parse(&argp, argc, argv, ARGP_IN_ORDER, NULL, &args);

	vm.console.path = args.console;
	vm.ktap.path = args.ktap;
	vm.heard = now_ms();
	vm.deadline = vm.heard + args.timeout * 1000L;
	vm.idle_ms = args.idle * 1000L;

	vm_start(&vm);
	return vm_wait(&vm);
}

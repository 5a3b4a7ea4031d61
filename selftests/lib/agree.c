// SPDX-License-Identifier: GPL-2.0
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "kselftest.h"

#include "agree.h"
#include "suite.h"

/**
 * struct told - What the stream has told of a transfer, NULL what it has not
 * @submitted: event
 * @issued: event
 * @started: event
 * @completed: the first one
 * @terminated: the first one
 * @faulted: SCRIPT_FAULT() of the kinds that had an effect
 * @bytes: that it had moved, according to the last event
 */
struct told {
	const struct control_event *submitted;
	const struct control_event *issued;
	const struct control_event *started;
	const struct control_event *completed;
	const struct control_event *terminated;
	uint32_t faulted;
	uint64_t bytes;
};

/**
 * struct channel - What the stream has told of a channel so far
 * @last: last event
 * @submitted: last one
 * @completed: last one, in the order of submission
 * @synchronized: last one
 * @nr_submitted: how many
 * @nr_completed: how many
 * @nr_terminated: how many
 */
struct channel {
	const struct control_event *last;
	const struct control_event *submitted;
	const struct control_event *completed;
	const struct control_event *synchronized;
	uint64_t nr_submitted;
	uint64_t nr_completed;
	uint64_t nr_terminated;
};

/* The comparison */
struct comparison {
	const struct play_record *r;
	struct agreement *a;
	struct told *told;
	struct channel chans[SCRIPT_CHANS];
};

static void __printf(4, 5) disagree(struct comparison *c,
				    unsigned int transfer,
				    unsigned int other, const char *fmt, ...)
{
	struct disagreement *d;
	va_list ap;

	if (c->a->nr++ >= AGREE_MAX)
		return;

	d = &c->a->first[c->a->nr - 1];
	d->transfer = transfer;
	d->other = other;
	va_start(ap, fmt);
	vsnprintf(d->what, sizeof(d->what), fmt, ap);
	va_end(ap);
}

/* Return: index of the transfer that an event is about, or SCRIPT_NONE. */
static unsigned int index_of(const struct comparison *c,
			     const struct control_event *e)
{
	unsigned int chan = e->addr.channel;
	uint64_t number = e->transfer - c->r->before[chan].prepared;

	return number - 1 < c->r->s->prepared[chan] ?
		c->r->s->index[chan][number - 1] : SCRIPT_NONE;
}

/* --- the stream by itself --- */

/* How a transfer ends is told once. */
static const struct control_event *end_of(const struct told *told)
{
	return told->completed ?: told->terminated;
}

/* A terminated transfer may complete all the same, until the callbacks end. */
static bool may_complete(const struct comparison *c, const struct told *told,
			 const struct control_event *e)
{
	const struct channel *ch = &c->chans[e->addr.channel];

	if (!told->terminated)
		return true;

	return told->faulted & SCRIPT_FAULT(AFTER_TERMINATE) &&
	       (!ch->synchronized ||
		ch->synchronized->seq < told->terminated->seq);
}

static void see_completed(struct comparison *c, unsigned int index,
			  const struct control_event *e)
{
	struct channel *ch = &c->chans[e->addr.channel];
	struct told *told = &c->told[index];

	ch->nr_completed++;
	if (told->completed) {
		disagree(c, index, SCRIPT_NONE,
			 "it completes twice");
		return;
	}
	if (!told->started || !may_complete(c, told, e))
		disagree(c, index, SCRIPT_NONE, "it completes, and %s",
			 told->started ? "was terminated before" :
					 "was never started");
	if (e->bytes + e->residue != e->length)
		disagree(c, index, SCRIPT_NONE,
			 "its bytes and its residue do not make its length");

	told->completed = e;
	if (ch->completed && e->transfer < ch->completed->transfer)
		disagree(c, index, index_of(c, ch->completed),
			 "it completes after the other one, which was submitted later");
	else
		ch->completed = e;
}

static void see_submitted(struct comparison *c, unsigned int index,
			  const struct control_event *e)
{
	struct channel *ch = &c->chans[e->addr.channel];
	const struct control_event *last = ch->submitted;
	struct told *told = &c->told[index];

	ch->nr_submitted++;
	if (told->submitted)
		disagree(c, index, SCRIPT_NONE,
			 "it is submitted twice");
	if (last && (e->transfer <= last->transfer ||
		     e->cookie <= last->cookie))
		disagree(c, index, index_of(c, last),
			 "it is submitted with cookie %d, after the other one with cookie %d",
			 e->cookie, last->cookie);

	told->submitted = e;
	ch->submitted = e;
}

/* A step towards the end of a transfer: once, and after the one before */
static void see_step(struct comparison *c, unsigned int index,
		     const struct control_event **step,
		     const struct control_event *before,
		     const struct control_event *e)
{
	if (*step || !before)
		disagree(c, index, SCRIPT_NONE, "%s comes %s",
			 control_event_name(e->type),
			 *step ? "a second time" : "too early");
	*step = e;
}

static void see_faulted(struct comparison *c, unsigned int index,
			const struct control_event *e)
{
	const struct script *s = c->r->s;
	const struct script_fault *f;
	size_t i;

	for (i = 0; i < s->nr_faults; i++) {
		f = &s->faults[i];
		if (c->r->fault_ids[i] == e->fault && f->kind == e->kind &&
		    f->chan == e->addr.channel &&
		    f->number == s->transfers[index].number)
			break;
	}
	if (i == s->nr_faults)
		disagree(c, index, SCRIPT_NONE,
			 "fault %u (%s), which was not armed for it, has an effect on it",
			 e->fault, control_fault_name(e->kind));

	c->told[index].faulted |= 1u << e->kind;
}

static void see_transfer(struct comparison *c, unsigned int index,
			 const struct control_event *e)
{
	const struct script_transfer *t = &c->r->s->transfers[index];
	struct channel *ch = &c->chans[e->addr.channel];
	struct told *told = &c->told[index];

	if (end_of(told) && e->type != DMA_LOOPBACK_EVENT_TYPE_COMPLETED)
		disagree(c, index, SCRIPT_NONE, "%s comes after its end",
			 control_event_name(e->type));

	if (e->type == DMA_LOOPBACK_EVENT_TYPE_FAULTED) {
		see_faulted(c, index, e);
		return;
	}

	if (e->length != t->len || e->bytes > e->length ||
	    e->bytes < told->bytes)
		disagree(c, index, SCRIPT_NONE,
			 "%s tells of another length, or of fewer bytes than before",
			 control_event_name(e->type));
	told->bytes = e->bytes;
	if (told->submitted && e->cookie != told->submitted->cookie)
		disagree(c, index, SCRIPT_NONE,
			 "%s gives it another cookie than before, %d",
			 control_event_name(e->type), e->cookie);

	switch (e->type) {
	case DMA_LOOPBACK_EVENT_TYPE_SUBMITTED:
		see_submitted(c, index, e);
		break;
	case DMA_LOOPBACK_EVENT_TYPE_ISSUED:
		see_step(c, index, &told->issued, told->submitted, e);
		break;
	case DMA_LOOPBACK_EVENT_TYPE_STARTED:
		see_step(c, index, &told->started, told->issued, e);
		break;
	case DMA_LOOPBACK_EVENT_TYPE_PROGRESSED:
		if (!told->started)
			disagree(c, index, SCRIPT_NONE,
				 "it progresses, and was never started");
		break;
	case DMA_LOOPBACK_EVENT_TYPE_COMPLETED:
		see_completed(c, index, e);
		break;
	case DMA_LOOPBACK_EVENT_TYPE_TERMINATED:
		ch->nr_terminated++;
		told->terminated = e;
		if (!told->submitted)
			disagree(c, index, SCRIPT_NONE,
				 "it is terminated, and was never submitted");
		break;
	}
}

static void see(struct comparison *c, const struct control_event *e)
{
	struct channel *ch = &c->chans[e->addr.channel];
	unsigned int index;

	if (ch->last && e->ns < ch->last->ns)
		disagree(c, index_of(c, e), index_of(c, ch->last),
			 "%s of it was earlier than %s of the other one, which came before",
			 control_event_name(e->type),
			 control_event_name(ch->last->type));
	ch->last = e;

	if (e->type == DMA_LOOPBACK_EVENT_TYPE_SYNCHRONIZED) {
		ch->synchronized = e;
		return;
	}

	index = index_of(c, e);
	if (index == SCRIPT_NONE || index >= c->r->nr_enqueued)
		disagree(c, SCRIPT_NONE, SCRIPT_NONE,
			 "%s tells of transfer %llu (%s), which nobody has enqueued",
			 control_channel_name(e->addr.channel),
			 (unsigned long long)e->transfer,
			 control_event_name(e->type));
	else
		see_transfer(c, index, e);
}

static void see_all(struct comparison *c)
{
	uint64_t seq = c->r->before[0].seq;
	const struct control_event *e;

	for (e = c->r->events; e < c->r->events + c->r->nr_events; e++) {
		if (e->seq != ++seq)
			disagree(c, SCRIPT_NONE, SCRIPT_NONE,
				 "event %llu follows on event %llu",
				 (unsigned long long)e->seq,
				 (unsigned long long)seq - 1);
		seq = e->seq;
		if (e->addr.instance == c->r->instance &&
		    e->addr.channel < SCRIPT_CHANS)
			see(c, e);
	}
}

/* --- the stream and the script --- */

static void compare_end(struct comparison *c, unsigned int index)
{
	const struct script_transfer *t = &c->r->s->transfers[index];
	const struct control_event *synchronized =
		c->chans[t->chan].synchronized;
	const struct told *told = &c->told[index];
	const struct control_event *e = told->completed;

	if (t->end == SCRIPT_REFUSED) {
		if (told->submitted)
			disagree(c, index, SCRIPT_NONE,
				 "it must be refused, and is submitted");
		return;
	}

	/* Where the script was stopped some have no end yet. */
	if (!end_of(told) && c->r->stopped[0]) {
		if (t->ended <= c->r->stopped_at)
			disagree(c, index, SCRIPT_NONE,
				 "it must have ended by then");
		return;
	}

	if (!told->submitted || !end_of(told)) {
		disagree(c, index, SCRIPT_NONE, "it is never %s",
			 told->submitted ? "at its end" : "submitted");
		return;
	}

	if (told->terminated &&
	    (!synchronized || synchronized->seq < told->terminated->seq))
		disagree(c, index, SCRIPT_NONE,
			 "it is terminated, and nobody waits for its callback");
	if (t->end == SCRIPT_COMPLETED && !e)
		disagree(c, index, SCRIPT_NONE,
			 "it must complete before it is terminated");
	if (t->end == SCRIPT_TERMINATED && e)
		disagree(c, index, SCRIPT_NONE,
			 "it must be terminated before it completes");
	if (e && (e->result != t->result || e->bytes != t->moved))
		disagree(c, index, SCRIPT_NONE,
			 "it must complete with result %u after %u bytes",
			 t->result, t->moved);
}

static void compare_counter(struct comparison *c, unsigned int chan,
			    const char *what, uint64_t before, uint64_t after,
			    uint64_t must)
{
	if (after - before != must)
		disagree(c, SCRIPT_NONE, SCRIPT_NONE,
			 "%s counts %llu transfers %s, of %llu",
			 control_channel_name(chan),
			 (unsigned long long)(after - before), what,
			 (unsigned long long)must);
}

static void compare_counters(struct comparison *c, unsigned int chan)
{
	const struct control_chan *before = &c->r->before[chan];
	const struct control_chan *after = &c->r->after[chan];
	const struct channel *ch = &c->chans[chan];

	compare_counter(c, chan, "queued", 0, after->queued, 0);
	compare_counter(c, chan, "prepared", before->prepared, after->prepared,
			c->r->s->prepared[chan]);
	compare_counter(c, chan, "submitted", before->submitted,
			after->submitted, ch->nr_submitted);
	compare_counter(c, chan, "completed", before->completed,
			after->completed, ch->nr_completed);
	compare_counter(c, chan, "terminated", before->terminated,
			after->terminated, ch->nr_terminated);
}

/* --- the program and the stream --- */

/* Return: which transfer of a channel was the last to complete by then. */
static unsigned int completed_by(const struct comparison *c, unsigned int chan,
				 uint64_t ns)
{
	const struct control_event *e;
	unsigned int index = SCRIPT_NONE;

	for (e = c->r->events; e < c->r->events + c->r->nr_events; e++) {
		if (e->type == DMA_LOOPBACK_EVENT_TYPE_COMPLETED &&
		    e->addr.instance == c->r->instance &&
		    e->addr.channel == chan && e->ns <= ns)
			index = index_of(c, e);
	}

	return index;
}

static void compare_success(struct comparison *c, unsigned int index)
{
	const struct script_transfer *t = &c->r->s->transfers[index];
	const struct play_saw *saw = &c->r->saw[index];
	const struct control_event *e = c->told[index].completed;

	if (!e || e->ns > saw->ns)
		disagree(c, index, completed_by(c, t->chan, saw->ns),
			 "its fence tells of success, and it has not completed%s; by then the other one has, as the last",
			 e ? " by then" : "");
	else if (e->result != DMA_LOOPBACK_RESULT_NOERROR)
		c->a->nr_dropped++;
}

static void compare_error(struct comparison *c, unsigned int index)
{
	const struct play_saw *saw = &c->r->saw[index];
	const struct told *told = &c->told[index];
	const struct control_event *e = end_of(told);

	/* A part is not success, nor need it be an error. */
	if (told->completed && !e->residue &&
	    e->result == DMA_LOOPBACK_RESULT_NOERROR)
		disagree(c, index, SCRIPT_NONE,
			 "its fence tells of an error, and it has gone well");
	else if (told->submitted && (!e || e->ns > saw->ns))
		disagree(c, index, SCRIPT_NONE,
			 "its fence tells of an error, and it has not ended by then");
}

static void compare_fence(struct comparison *c, unsigned int index)
{
	const struct play_saw *saw = &c->r->saw[index];

	if (!saw->status != !(saw->sync_file & POLLIN))
		disagree(c, index, SCRIPT_NONE,
			 "the status of its sync file is %d and poll() says %#x",
			 saw->status, saw->sync_file);

	if (!saw->status)
		disagree(c, index, SCRIPT_NONE,
			 "it has ended, and its fence is pending");
	else if (saw->status > 0)
		compare_success(c, index);
	else
		compare_error(c, index);
}

static void compare_sight(struct comparison *c, unsigned int index)
{
	const struct script_transfer *t = &c->r->s->transfers[index];
	const struct play_saw *saw = &c->r->saw[index];

	if (saw->early != SCRIPT_NONE)
		disagree(c, index, SCRIPT_NONE,
			 "poll() or epoll tells of its end after operation %u, and it cannot end before operation %u",
			 saw->early, t->ended);
	if (!saw->over || saw->enqueue)
		return;

	if (saw->dmabuf != POLL_BOTH || saw->epolls != 1)
		disagree(c, index, SCRIPT_NONE,
			 "it has ended: poll() says %#x of its DMABUF, and epoll has told of it %u times",
			 saw->dmabuf, saw->epolls);
	if (t->witnessed)
		compare_fence(c, index);
}

/* What completes in order is seen to be done in that order. */
static void compare_order(struct comparison *c, unsigned int chan)
{
	const struct play_saw *saw, *before = NULL;
	unsigned int i, index, last = 0;

	for (i = 0; i < c->r->s->prepared[chan]; i++) {
		index = c->r->s->index[chan][i];
		saw = &c->r->saw[index];
		if (!saw->over || !c->told[index].completed)
			continue;

		if (before && saw->epolled < before->epolled)
			disagree(c, last, index,
				 "epoll tells of its end after that of the other one, which was enqueued later");
		if (before && before->ns && saw->ns && saw->ns < before->ns)
			disagree(c, last, index,
				 "its fence signals after that of the other one, which was enqueued later");
		before = saw;
		last = index;
	}
}

/**
 * agree() - Compare what was seen of a script
 * @a: filled in
 * @r: what was seen
 */
void agree(struct agreement *a, const struct play_record *r)
{
	struct comparison c = { .r = r, .a = a };
	unsigned int chan, i;

	*a = (struct agreement){};
	c.told = calloc(r->s->nr_transfers + 1, sizeof(*c.told));
	if (!c.told)
		abort();

	if (r->stopped[0])
		disagree(&c, SCRIPT_NONE, SCRIPT_NONE,
			 "the script could not go on");

	see_all(&c);
	for (i = 0; i < r->nr_enqueued; i++) {
		compare_end(&c, i);
		compare_sight(&c, i);
		if (c.told[i].completed && c.told[i].completed->result)
			a->nr_errors++;
	}
	for (chan = 0; chan < SCRIPT_CHANS; chan++) {
		compare_order(&c, chan);
		if (!r->stopped[0])
			compare_counters(&c, chan);
	}
	if (!r->stopped[0] && r->faults_left)
		disagree(&c, SCRIPT_NONE, SCRIPT_NONE,
			 "%u faults are left in the end", r->faults_left);

	free(c.told);
}

/* Whether one of the first disagreements is about this transfer */
bool agree_names(const struct agreement *a, unsigned int transfer)
{
	unsigned int i;

	for (i = 0; i < a->nr && i < AGREE_MAX; i++) {
		if (a->first[i].transfer == transfer ||
		    a->first[i].other == transfer)
			return true;
	}

	return false;
}

/* --- telling of it --- */

static void print_ns(uint64_t ns)
{
	printf(" at %llu.%09llu", (unsigned long long)ns / 1000000000,
	       (unsigned long long)ns % 1000000000);
}

static void print_seen(const struct play_saw *saw,
		       const struct script_transfer *t)
{
	printf("#   seen:");
	if (saw->enqueue)
		printf(" ENQUEUE %s,", errno_name(-saw->enqueue));
	if (saw->over && t->witnessed) {
		printf(" fence %s", saw->status > 0 ? "success" :
		       saw->status ? errno_name(-saw->status) : "pending");
		print_ns(saw->ns);
		printf(", poll() on it %#x,", saw->sync_file);
	}
	if (saw->over && !saw->enqueue)
		printf(" poll() on the DMABUF %#x, epoll report %u",
		       saw->dmabuf, saw->epolled);
	else if (!saw->over)
		printf(" nothing of its end");
	printf("\n");
}

static void print_told(const struct play_record *r,
		       const struct script_transfer *t)
{
	uint64_t number = r->before[t->chan].prepared + t->number;
	const struct control_event *e;

	printf("#   told:");
	for (e = r->events; e < r->events + r->nr_events; e++) {
		if (e->addr.instance != r->instance ||
		    e->addr.channel != t->chan || e->transfer != number)
			continue;

		printf(" %llu: %s", (unsigned long long)e->seq,
		       control_event_name(e->type));
		if (e->type == DMA_LOOPBACK_EVENT_TYPE_FAULTED)
			printf(" (%s)", control_fault_name(e->kind));
		if (e->type == DMA_LOOPBACK_EVENT_TYPE_COMPLETED)
			printf(" (result %u, %llu bytes, residue %llu)",
			       e->result, (unsigned long long)e->bytes,
			       (unsigned long long)e->residue);
		print_ns(e->ns);
		printf(",");
	}
	printf(" no more\n");
}

/* In full the first time, @printed has a flag for each transfer. */
static void print_transfer(const struct play_record *r, unsigned int index,
			   bool *printed)
{
	const struct script_transfer *t;
	const struct control_event *e;
	uint64_t number;
	int cookie = 0;

	if (index == SCRIPT_NONE)
		return;

	t = &r->s->transfers[index];
	number = r->before[t->chan].prepared + t->number;
	for (e = r->events; e < r->events + r->nr_events; e++) {
		if (e->addr.instance == r->instance && e->cookie &&
		    e->addr.channel == t->chan && e->transfer == number)
			cookie = e->cookie;
	}
	printf("#  %s transfer %llu, cookie %d, DMABUF %u, %u bytes, enqueued by operation %u, to end by operation %u\n",
	       control_channel_name(t->chan), (unsigned long long)number,
	       cookie, t->dmabuf, t->len, t->enqueued, t->ended);
	if (printed[index])
		return;

	print_seen(&r->saw[index], t);
	print_told(r, t);
	printed[index] = true;
}

/* Tell what does not fit: of which script and transfers, and who says what. */
void agree_print(const struct agreement *a, const struct play_record *r)
{
	const struct disagreement *d;
	bool *printed;

	if (!a->nr)
		return;

	printed = calloc(r->s->nr_transfers + 1, sizeof(*printed));
	if (!printed)
		abort();

	printf("# seed %llu: %u disagreements\n",
	       (unsigned long long)r->s->rules.seed, a->nr);
	if (r->stopped[0])
		printf("# it was stopped at operation %zu of %zu: %s\n",
		       r->stopped_at, r->s->nr_ops, r->stopped);
	for (d = a->first; d < a->first + AGREE_MAX && d < a->first + a->nr;
	     d++) {
		printf("# %s\n", d->what);
		print_transfer(r, d->transfer, printed);
		print_transfer(r, d->other, printed);
	}
	fflush(stdout);
	free(printed);
}

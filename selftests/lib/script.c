// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <linux/dma_loopback.h>

#include "prng.h"
#include "script.h"

/* Faults that are armed or under way at a time */
#define MAX_LIVE	8

/* Lengths and parts of them suit any alignment that the driver has. */
#define LEN_UNIT	64
#define BYTES_UNIT	16

/* What a DMABUF is to a buffer */
enum attachment {
	ATTACHED,
	DETACHED,
	STUCK,		/* its submission has failed */
};

/**
 * struct list - A few indices in order
 * @nr: how many
 * @at: the indices
 */
struct list {
	unsigned int nr;
	unsigned int at[SCRIPT_DMABUFS];
};

/**
 * struct chan - Model of a channel and its buffer
 * @enabled: the buffer is
 * @waiting: transfers queued while it is not
 * @queue: transfers under way, the oldest first
 * @recent: transfers that have ended since it has last settled
 * @prepared: transfers that were prepared
 * @transfers: released and not begun
 * @bytes: released and not moved
 * @released: the oldest transfer needs no bytes to be released
 * @moved: bytes that the oldest transfer has moved
 * @total: bytes that were moved since the buffer was last disabled
 * @held: a fault holds the oldest transfer
 * @settled: the driver is sure to be here too
 * @had_bytes: since then @bytes was not 0 all the time
 * @attached: DMABUFs
 */
struct chan {
	bool enabled;
	struct list waiting;
	struct list queue;
	struct list recent;
	unsigned int prepared;
	uint64_t transfers;
	uint64_t bytes;
	bool released;
	uint32_t moved;
	uint64_t total;
	bool held;
	bool settled;
	bool had_bytes;
	enum attachment attached[SCRIPT_DMABUFS];
};

/**
 * struct model - What is known while a script is written
 * @s: the script
 * @prng: chance
 * @chans: channels
 * @busy: DMABUFs whose last transfer is not known to have ended
 * @nr_live: number of @live
 * @live: indices of the faults that have not had their effect
 */
struct model {
	struct script *s;
	struct prng prng;
	struct chan chans[SCRIPT_CHANS];
	bool busy[SCRIPT_DMABUFS];
	unsigned int nr_live;
	unsigned int live[MAX_LIVE];
};

static void list_add(struct list *l, unsigned int index)
{
	l->at[l->nr++] = index;
}

static unsigned int list_take_first(struct list *l)
{
	unsigned int first = l->at[0];

	memmove(l->at, l->at + 1, --l->nr * sizeof(l->at[0]));

	return first;
}

/* Return: room for one more item, zeroed; @nr counts it already. */
static void *grow(void **items, size_t *nr, size_t size)
{
	void *item;

	/* Double it when it is full, which is at each power of two. */
	if (!(*nr & (*nr - 1)))
		*items = realloc(*items, (*nr ? 2 * *nr : 1) * size);
	if (!*items)
		abort();

	item = (char *)*items + (*nr)++ * size;

	return memset(item, 0, size);
}

static struct script_op *op_add(struct model *m, enum script_do what,
				unsigned int chan)
{
	struct script_op *op;

	op = grow((void **)&m->s->ops, &m->s->nr_ops, sizeof(*op));
	op->what = what;
	op->chan = chan;

	return op;
}

/* The operation that is being written */
static unsigned int now(const struct model *m)
{
	return m->s->nr_ops - 1;
}

/* --- faults --- */

static struct script_fault *fault_of(const struct model *m,
				     const struct script_transfer *t)
{
	return t->fault == SCRIPT_NONE ? NULL : &m->s->faults[t->fault];
}

static bool fault_is(const struct model *m, const struct script_transfer *t,
		     uint32_t kinds)
{
	const struct script_fault *f = fault_of(m, t);

	return f && kinds & 1u << f->kind;
}

/* Return: the fault for this transfer that has had no effect, SCRIPT_NONE. */
static unsigned int live_find(const struct model *m, unsigned int chan,
			      unsigned int number)
{
	const struct script_fault *f;
	unsigned int i;

	for (i = 0; i < m->nr_live; i++) {
		f = &m->s->faults[m->live[i]];
		if (f->chan == chan && f->number == number)
			return m->live[i];
	}

	return SCRIPT_NONE;
}

static void live_del(struct model *m, unsigned int fault)
{
	unsigned int i;

	for (i = 0; i < m->nr_live; i++) {
		if (m->live[i] == fault)
			m->live[i] = m->live[--m->nr_live];
	}
}

/* How far the fault lets a transfer get */
static uint32_t limit_of(const struct model *m, const struct script_transfer *t)
{
	const uint32_t part = SCRIPT_FAULT(READ_ERROR) |
			      SCRIPT_FAULT(WRITE_ERROR) | SCRIPT_FAULT(ABORT) |
			      SCRIPT_FAULT(SHORT) | SCRIPT_FAULT(STALL);

	return fault_is(m, t, part) ? fault_of(m, t)->bytes : t->len;
}

/* Whether it holds the transfer there, until it is deleted */
static bool holds(const struct model *m, const struct script_transfer *t)
{
	if (fault_is(m, t, SCRIPT_FAULT(LATE)))
		return !fault_of(m, t)->delay;

	return fault_is(m, t, SCRIPT_FAULT(STALL) |
			      SCRIPT_FAULT(BEFORE_TERMINATE) |
			      SCRIPT_FAULT(AFTER_TERMINATE));
}

static uint32_t result_of(const struct model *m,
			  const struct script_transfer *t)
{
	if (fault_is(m, t, SCRIPT_FAULT(READ_ERROR)))
		return DMA_LOOPBACK_RESULT_READ_FAILED;
	if (fault_is(m, t, SCRIPT_FAULT(WRITE_ERROR)))
		return DMA_LOOPBACK_RESULT_WRITE_FAILED;
	if (fault_is(m, t, SCRIPT_FAULT(ABORT)))
		return DMA_LOOPBACK_RESULT_ABORTED;

	return DMA_LOOPBACK_RESULT_NOERROR;
}

/* --- the engine --- */

static struct script_transfer *oldest(const struct model *m,
				      const struct chan *c)
{
	return c->queue.nr ? &m->s->transfers[c->queue.at[0]] : NULL;
}

/* The oldest transfer has come to its limit. Return: false if it is held. */
static bool arrive(struct model *m, struct chan *c)
{
	struct script_transfer *t = oldest(m, c);

	c->held = holds(m, t);
	if (c->held)
		return false;

	t->result = result_of(m, t);
	t->moved = c->moved;
	/* The other completion is still to come. */
	if (!fault_is(m, t, SCRIPT_FAULT(DOUBLE)))
		live_del(m, t->fault);
	c->moved = 0;
	c->released = false;
	list_add(&c->recent, list_take_first(&c->queue));

	return true;
}

/*
 * The oldest transfer wants to go on. Released transfers are used before bytes.
 * Return: how many bytes of it are released.
 */
static uint64_t claim(struct chan *c)
{
	if (!c->released && c->transfers) {
		c->released = true;
		c->transfers--;
	}

	return c->released ? UINT64_MAX : c->bytes;
}

/* Return: how many bytes the channel could move now. */
static uint64_t movable(struct model *m, struct chan *c)
{
	struct script_transfer *t;
	uint64_t left, credit;

	while ((t = oldest(m, c))) {
		if (fault_is(m, t, SCRIPT_FAULT(SPLIT) |
				   SCRIPT_FAULT(COALESCE)))
			live_del(m, t->fault);

		/* A transfer without bytes does not end without a step. */
		left = limit_of(m, t) - c->moved;
		credit = left || !c->moved ? claim(c) : UINT64_MAX;
		if (!credit)
			return 0;
		if (left)
			return credit < left ? credit : left;
		if (!arrive(m, c))
			return 0;
	}

	return 0;
}

static void move(struct chan *c, uint64_t bytes)
{
	c->moved += bytes;
	c->total += bytes;
	if (!c->released)
		c->bytes -= bytes;
}

/* Have the engine run until nothing moves any more. */
static void run(struct model *m)
{
	struct chan *tx = &m->chans[DMA_LOOPBACK_CHANNEL_TX];
	struct chan *rx = &m->chans[DMA_LOOPBACK_CHANNEL_RX];
	uint64_t sends, receives, n;

	do {
		sends = movable(m, tx);
		receives = movable(m, rx);
		if (m->s->rules.loopback) {
			n = sends < receives ? sends : receives;
			sends = n;
			receives = n;
		}
		move(tx, sends);
		move(rx, receives);
	} while (sends || receives);
}

/* Something has changed for a channel. */
static void disturb(struct model *m, struct chan *c)
{
	run(m);
	c->settled = false;
	if (m->s->rules.loopback) {
		m->chans[0].settled = false;
		m->chans[1].settled = false;
	}
}

/* The buffer hands a transfer to its channel. */
static void submit(struct model *m, struct chan *c, unsigned int index)
{
	struct script_transfer *t = &m->s->transfers[index];

	t->fault = live_find(m, t->chan, ++c->prepared);
	if (!fault_is(m, t, SCRIPT_REFUSALS)) {
		list_add(&c->queue, index);
		return;
	}

	live_del(m, t->fault);
	t->end = SCRIPT_REFUSED;
	t->ended = now(m);
	m->busy[t->dmabuf] = false;
	if (!m->s->rules.reuse)
		c->attached[t->dmabuf] = STUCK;
}

/* --- operations --- */

static void settle(struct model *m)
{
	struct script_op *op = op_add(m, SCRIPT_SETTLE, 0);
	struct script_transfer *t;
	struct chan *c;

	for (c = m->chans; c < m->chans + SCRIPT_CHANS; c++) {
		while (c->recent.nr) {
			t = &m->s->transfers[list_take_first(&c->recent)];
			t->end = SCRIPT_COMPLETED;
			t->ended = now(m);
			m->busy[t->dmabuf] = false;
		}
		c->settled = true;
		c->had_bytes = c->bytes;
		op->settled[c - m->chans] = (struct script_chan){
			.queued = c->queue.nr,
			.transfers = c->transfers,
			.bytes = c->bytes,
			.moved = c->total,
		};
	}
}

static unsigned int enqueue(struct model *m, unsigned int chan,
			    unsigned int dmabuf, uint32_t len)
{
	struct script_op *op = op_add(m, SCRIPT_ENQUEUE, chan);
	struct chan *c = &m->chans[chan];
	unsigned int index = m->s->nr_transfers;
	struct script_transfer *t;

	op->dmabuf = dmabuf;
	op->transfer = index;
	t = grow((void **)&m->s->transfers, &m->s->nr_transfers, sizeof(*t));
	*t = (struct script_transfer){
		.chan = chan,
		.dmabuf = dmabuf,
		.len = len,
		.number = c->prepared + c->waiting.nr + 1,
		.fault = SCRIPT_NONE,
		.enqueued = now(m),
		.ended = SCRIPT_NONE,
	};
	m->busy[dmabuf] = true;

	if (c->enabled) {
		submit(m, c, index);
		disturb(m, c);
		t->witnessed = c->queue.nr &&
			       c->queue.at[c->queue.nr - 1] == index;
	} else {
		list_add(&c->waiting, index);
		t->witnessed = true;
	}

	return index;
}

static void step(struct model *m, unsigned int chan, uint32_t transfers)
{
	struct chan *c = &m->chans[chan];

	/* Which of the two is used first may depend on when they came. */
	if (c->had_bytes && !c->settled)
		settle(m);

	op_add(m, SCRIPT_STEP, chan)->amount = transfers;
	c->transfers += transfers;
	disturb(m, c);
}

static void enable(struct model *m, unsigned int chan)
{
	struct chan *c = &m->chans[chan];

	op_add(m, SCRIPT_ENABLE, chan);
	c->enabled = true;
	while (c->waiting.nr)
		submit(m, c, list_take_first(&c->waiting));
	disturb(m, c);
}

/* The buffer is disabled: what its transfer has come to, and that it has */
static void terminate(struct model *m, const struct chan *c,
		      struct script_transfer *t, enum script_end end)
{
	const uint32_t completes = SCRIPT_FAULT(BEFORE_TERMINATE) |
				   SCRIPT_FAULT(AFTER_TERMINATE);

	t->end = end;
	t->ended = now(m);
	m->busy[t->dmabuf] = false;
	if (end != SCRIPT_TERMINATED)
		return;

	if (t == oldest(m, c) && c->held && fault_is(m, t, completes)) {
		t->end = c->settled ? SCRIPT_COMPLETED : SCRIPT_EITHER;
		t->moved = t->len;
	}
	live_del(m, t->fault);
}

static void disable(struct model *m, unsigned int chan)
{
	struct chan *c = &m->chans[chan];
	unsigned int i;

	/* How much the other channel gets must not depend on who is faster. */
	if (m->s->rules.loopback && !c->settled)
		settle(m);

	op_add(m, SCRIPT_DISABLE, chan);
	for (i = 0; i < c->recent.nr; i++)
		terminate(m, c, &m->s->transfers[c->recent.at[i]],
			  SCRIPT_EITHER);
	for (i = 0; i < c->queue.nr; i++)
		terminate(m, c, &m->s->transfers[c->queue.at[i]],
			  SCRIPT_TERMINATED);

	c->enabled = false;
	c->recent.nr = 0;
	c->queue.nr = 0;
	c->transfers = 0;
	c->bytes = 0;
	c->moved = 0;
	c->released = false;
	c->total = 0;
	c->held = false;
	c->settled = true;
	c->had_bytes = false;
}

static void attach(struct model *m, unsigned int chan, unsigned int dmabuf)
{
	op_add(m, SCRIPT_ATTACH, chan)->dmabuf = dmabuf;
	m->chans[chan].attached[dmabuf] = ATTACHED;
}

static void detach(struct model *m, unsigned int chan, unsigned int dmabuf)
{
	op_add(m, SCRIPT_DETACH, chan)->dmabuf = dmabuf;
	m->chans[chan].attached[dmabuf] = DETACHED;
}

static void fault_add(struct model *m, const struct script_fault *fault)
{
	struct script_op *op = op_add(m, SCRIPT_FAULT_ADD, fault->chan);
	struct script_fault *f;

	op->fault = m->s->nr_faults;
	op->nth = fault->number - m->chans[fault->chan].prepared;
	m->live[m->nr_live++] = m->s->nr_faults;
	f = grow((void **)&m->s->faults, &m->s->nr_faults, sizeof(*f));
	*f = *fault;
}

static void fault_del(struct model *m, unsigned int fault)
{
	unsigned int chan = m->s->faults[fault].chan;
	struct chan *c = &m->chans[chan];
	struct script_transfer *t;
	unsigned int i;

	op_add(m, SCRIPT_FAULT_DEL, chan)->fault = fault;
	live_del(m, fault);
	for (i = 0; i < c->queue.nr; i++) {
		t = &m->s->transfers[c->queue.at[i]];
		if (t->fault == fault)
			t->fault = SCRIPT_NONE;
	}
	c->held = false;
	disturb(m, c);
}

/* --- operations by chance --- */

static unsigned int any_chan(struct model *m)
{
	return prng_below(&m->prng, SCRIPT_CHANS);
}

/* A length, or where a fault is to strike, in whole units from @from on */
static uint32_t any_units(struct model *m, uint32_t unit, uint32_t from,
			  uint32_t below)
{
	return (from + prng_below(&m->prng, below / unit - from)) * unit;
}

/*
 * Each of these writes an operation of its kind, whatever it is about left to
 * chance, and returns false if there is nothing to do.
 */
static bool try_enqueue(struct model *m)
{
	unsigned int fault, first, chan = any_chan(m), i, d;
	struct chan *c = &m->chans[chan];
	uint32_t len;

	/* Those that wait for the other channel must leave it some. */
	if (m->s->rules.loopback &&
	    c->queue.nr + c->waiting.nr >= SCRIPT_DMABUFS / 2)
		return false;

	first = prng_below(&m->prng, SCRIPT_DMABUFS);
	for (i = 0; i < SCRIPT_DMABUFS; i++) {
		d = (first + i) % SCRIPT_DMABUFS;
		if (!m->busy[d] && c->attached[d] == ATTACHED)
			break;
	}
	if (i == SCRIPT_DMABUFS)
		return false;

	fault = live_find(m, chan, c->prepared + c->waiting.nr + 1);
	do {
		len = any_units(m, LEN_UNIT, 1, m->s->rules.size + LEN_UNIT);
	} while (fault != SCRIPT_NONE && len <= m->s->faults[fault].bytes);
	enqueue(m, chan, d, len);

	return true;
}

static bool try_step(struct model *m)
{
	unsigned int chan = any_chan(m);
	struct chan *c = &m->chans[chan];
	unsigned int most = c->queue.nr;

	/* Now and then for transfers that are still to come */
	if (most <= c->transfers && prng_percent(&m->prng, 90))
		return false;

	step(m, chan, 1 + prng_below(&m->prng, most + 1));

	return true;
}

static bool try_step_bytes(struct model *m)
{
	unsigned int chan = any_chan(m);
	struct chan *c = &m->chans[chan];
	uint32_t bytes;

	if (!c->queue.nr || c->transfers)
		return false;

	if (!c->settled)
		settle(m);
	bytes = any_units(m, BYTES_UNIT, 1, 2 * m->s->rules.size);
	op_add(m, SCRIPT_STEP_BYTES, chan)->amount = bytes;
	c->bytes += bytes;
	disturb(m, c);
	settle(m);

	return true;
}

static bool try_settle(struct model *m)
{
	if (m->chans[0].settled && m->chans[1].settled)
		return false;

	settle(m);

	return true;
}

static bool try_enable(struct model *m)
{
	unsigned int chan = any_chan(m);

	if (m->chans[chan].enabled)
		return false;

	enable(m, chan);

	return true;
}

static bool try_disable(struct model *m)
{
	unsigned int chan = any_chan(m);

	if (!m->chans[chan].enabled || !m->s->rules.restart)
		return false;

	/* As often as not while it is busy */
	if (prng_percent(&m->prng, 50))
		try_settle(m);
	disable(m, chan);

	return true;
}

static bool is_waiting(const struct model *m, const struct chan *c,
		       unsigned int dmabuf)
{
	unsigned int i;

	for (i = 0; i < c->waiting.nr; i++) {
		if (m->s->transfers[c->waiting.at[i]].dmabuf == dmabuf)
			return true;
	}

	return false;
}

/* What is queued on a disabled buffer may be lost by an ATTACH (B3). */
static bool try_attach(struct model *m)
{
	unsigned int chan = any_chan(m), first, i, d;
	struct chan *c = &m->chans[chan];

	if (!c->enabled && c->waiting.nr)
		return false;

	first = prng_below(&m->prng, SCRIPT_DMABUFS);
	for (i = 0; i < SCRIPT_DMABUFS; i++) {
		d = (first + i) % SCRIPT_DMABUFS;
		if (c->attached[d] == STUCK)
			detach(m, chan, d);
		if (c->attached[d] == DETACHED) {
			attach(m, chan, d);
			return true;
		}
	}

	return false;
}

/* Also while the transfer is under way. The buffer keeps half of them. */
static bool try_detach(struct model *m)
{
	unsigned int chan = any_chan(m), attached = 0, i;
	unsigned int d = prng_below(&m->prng, SCRIPT_DMABUFS);
	struct chan *c = &m->chans[chan];

	for (i = 0; i < SCRIPT_DMABUFS; i++)
		attached += c->attached[i] == ATTACHED;
	if (attached <= SCRIPT_DMABUFS / 2 || c->attached[d] != ATTACHED ||
	    is_waiting(m, c, d))
		return false;

	detach(m, chan, d);

	return true;
}

/* How far the transfer may get for which a fault is to be armed */
static uint32_t known_length(const struct model *m, const struct chan *c,
			     unsigned int number)
{
	unsigned int i = number - c->prepared - 1;

	if (i < c->waiting.nr)
		return m->s->transfers[c->waiting.at[i]].len;

	/* Its length can still be chosen, and is to have some choice. */
	return m->s->rules.size / 2;
}

static bool try_fault_add(struct model *m)
{
	static const uint32_t errors[] = { 0, ENOMEM, ENOSPC, EIO, ENODEV };
	struct script_fault f = { .chan = any_chan(m) };
	struct chan *c = &m->chans[f.chan];
	unsigned int left;

	f.number = c->prepared + 1 + prng_below(&m->prng, 8);
	if (!m->s->rules.faults || m->nr_live == MAX_LIVE ||
	    live_find(m, f.chan, f.number) != SCRIPT_NONE)
		return false;

	left = prng_below(&m->prng, __builtin_popcount(m->s->rules.faults));
	for (; !(m->s->rules.faults & 1u << f.kind) || left; f.kind++)
		left -= !!(m->s->rules.faults & 1u << f.kind);

	switch (f.kind) {
	case DMA_LOOPBACK_FAULT_KIND_READ_ERROR:
	case DMA_LOOPBACK_FAULT_KIND_WRITE_ERROR:
	case DMA_LOOPBACK_FAULT_KIND_ABORT:
	case DMA_LOOPBACK_FAULT_KIND_SHORT:
	case DMA_LOOPBACK_FAULT_KIND_STALL:
		f.bytes = any_units(m, BYTES_UNIT, 0,
				    known_length(m, c, f.number));
		break;
	case DMA_LOOPBACK_FAULT_KIND_SPLIT:
		f.bytes = any_units(m, BYTES_UNIT, 1,
				    m->s->rules.size / 4);
		break;
	case DMA_LOOPBACK_FAULT_KIND_LATE:
		f.delay = prng_below(&m->prng, 3);
		break;
	case DMA_LOOPBACK_FAULT_KIND_SUBMIT_ERROR:
		f.error = errors[prng_below(&m->prng, sizeof(errors) /
						      sizeof(errors[0]))];
		break;
	}
	fault_add(m, &f);

	return true;
}

static bool try_fault_del(struct model *m)
{
	if (!m->nr_live)
		return false;

	fault_del(m, m->live[prng_below(&m->prng, m->nr_live)]);

	return true;
}

static void any_op(struct model *m)
{
	static const struct {
		unsigned int percent;
		bool (*try)(struct model *m);
	} ops[] = {
		{ 48, try_enqueue },
		{ 18, try_step },
		{  5, try_settle },
		{  7, try_fault_add },
		{  4, try_fault_del },
		{  3, try_step_bytes },
		{  2, try_disable },
		{  7, try_enable },
		{  4, try_attach },
		{  2, try_detach },
	};
	unsigned int i, at;

	do {
		at = prng_below(&m->prng, 100);
		for (i = 0; at >= ops[i].percent; i++)
			at -= ops[i].percent;
	} while (!ops[i].try(m));
}

/* --- scripts --- */

static void model_init(struct model *m, const struct script_rules *rules)
{
	unsigned int chan;

	*m = (struct model){ .prng = { rules->seed } };
	m->s = calloc(1, sizeof(*m->s));
	if (!m->s)
		abort();

	m->s->rules = *rules;
	for (chan = 0; chan < SCRIPT_CHANS; chan++)
		m->chans[chan].settled = true;
}

/* Leave nothing behind. */
static struct script *finish(struct model *m)
{
	struct script *s = m->s;
	struct script_transfer *t;
	unsigned int chan;

	for (chan = 0; chan < SCRIPT_CHANS; chan++) {
		if (m->chans[chan].enabled)
			disable(m, chan);
		s->prepared[chan] = m->chans[chan].prepared;
		s->index[chan] = calloc(s->prepared[chan] + 1,
					sizeof(*s->index[chan]));
		if (!s->index[chan])
			abort();
	}
	settle(m);
	for (t = s->transfers; t < s->transfers + s->nr_transfers; t++)
		s->index[t->chan][t->number - 1] = t - s->transfers;

	return s;
}

/* Let everything run that there is, as far as the other channel lets it. */
static void run_dry(struct model *m)
{
	unsigned int chan;

	while (m->nr_live)
		fault_del(m, m->live[0]);
	for (chan = 0; chan < SCRIPT_CHANS; chan++) {
		if (!m->chans[chan].enabled)
			enable(m, chan);
		step(m, chan, SCRIPT_DMABUFS);
	}
	settle(m);
}

/**
 * script_random() - Write a script of all that the rules allow
 * @rules: the rules
 *
 * Return: the script, the same for the same rules.
 */
struct script *script_random(const struct script_rules *rules)
{
	struct model m;

	model_init(&m, rules);
	while (m.s->nr_transfers < rules->transfers)
		any_op(&m);
	run_dry(&m);

	return finish(&m);
}

/*
 * Have some transfers of one channel queued, one of them with a fault of @kind,
 * and release them. Return: index of the transfer with the fault.
 */
static unsigned int one_fault(struct model *m, uint32_t kind, unsigned int chan,
			      unsigned int nr)
{
	struct script_fault f = { .chan = chan, .kind = kind };
	unsigned int i;

	/* Not the last one, which has none after it. */
	f.number = 1 + prng_below(&m->prng, nr - 1);
	fault_add(m, &f);
	enable(m, chan);
	for (i = 0; i < nr; i++)
		enqueue(m, chan, i, any_units(m, LEN_UNIT, 1,
					      m->s->rules.size));
	step(m, chan, nr);
	settle(m);

	return f.number - 1;
}

/**
 * script_reorder() - Write a script in which two completions are exchanged
 * @rules: the rules, of which seed and size count
 * @victim: set to the index of the transfer that completes after the next one
 *
 * The model knows of no such thing.
 *
 * Return: the script.
 */
struct script *script_reorder(const struct script_rules *rules,
			      unsigned int *victim)
{
	unsigned int chan;
	struct model m;

	model_init(&m, rules);
	chan = any_chan(&m);
	*victim = one_fault(&m, DMA_LOOPBACK_FAULT_KIND_REORDER, chan,
			    SCRIPT_DMABUFS / 2);

	return finish(&m);
}

/**
 * script_double() - Write a script in which a transfer completes twice
 * @rules: the rules, of which seed and size count
 * @victim: set to the index of that transfer; the last transfer of the script
 *	is of the same DMABUF, and under way when the other completion comes
 *
 * The model knows of no such thing.
 *
 * Return: the script.
 */
struct script *script_double(const struct script_rules *rules,
			     unsigned int *victim)
{
	unsigned int chan, fault;
	struct model m;

	model_init(&m, rules);
	chan = any_chan(&m);
	*victim = one_fault(&m, DMA_LOOPBACK_FAULT_KIND_DOUBLE, chan,
			    SCRIPT_DMABUFS / 2);
	fault = m.s->transfers[*victim].fault;
	enqueue(&m, chan, m.s->transfers[*victim].dmabuf, LEN_UNIT);
	fault_del(&m, fault);

	return finish(&m);
}

void script_free(struct script *s)
{
	unsigned int chan;

	if (!s)
		return;

	for (chan = 0; chan < SCRIPT_CHANS; chan++)
		free(s->index[chan]);
	free(s->ops);
	free(s->transfers);
	free(s->faults);
	free(s);
}

static uint64_t hash(uint64_t h, const void *data, size_t len)
{
	const uint8_t *byte = data;

	while (len--)
		h = (h ^ *byte++) * 0x100000001b3ull;

	return h;
}

/* Return: a number that tells scripts apart. */
uint64_t script_hash(const struct script *s)
{
	uint64_t h = 0xcbf29ce484222325ull;
	size_t i;

	/* Not all at once: there may be holes in the structures. */
	for (i = 0; i < s->nr_ops; i++) {
		const struct script_op *op = &s->ops[i];

		h = hash(h, &op->what, sizeof(op->what));
		h = hash(h, &op->chan, sizeof(op->chan));
		h = hash(h, &op->dmabuf, sizeof(op->dmabuf));
		h = hash(h, &op->transfer, sizeof(op->transfer));
		h = hash(h, &op->fault, sizeof(op->fault));
		h = hash(h, &op->nth, sizeof(op->nth));
		h = hash(h, &op->amount, sizeof(op->amount));
	}
	for (i = 0; i < s->nr_transfers; i++) {
		const struct script_transfer *t = &s->transfers[i];

		h = hash(h, &t->len, sizeof(t->len));
		h = hash(h, &t->end, sizeof(t->end));
		h = hash(h, &t->moved, sizeof(t->moved));
	}

	return h;
}

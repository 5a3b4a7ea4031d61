// SPDX-License-Identifier: GPL-2.0
/*
 * The order of fences, proved against what the DMA controller says it did.
 *
 * A script that follows from a seed enqueues transfers on an output and an
 * input of the loopback driver, releases them by steps, has faults strike,
 * disables and enables the buffers, detaches and attaches DMABUFs. What a
 * program sees of each transfer, through sync files, poll() and epoll, must
 * agree with the driver's event stream, and both with what the script has to
 * come to.
 *
 * IIO_DMABUF_SEED=7 plays the script of seed 7, the same each time;
 * IIO_DMABUF_SEEDS is how many seeds are played from there on, and
 * IIO_DMABUF_TRANSFERS how many transfers a script has.
 */

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "lib/agree.h"
#include "lib/conformance.h"
#include "lib/instance.h"
#include "lib/play.h"
#include "lib/script.h"

#define NAME		"order"

/* What a test can afford everywhere */
#define SEEDS		3
#define TRANSFERS	400

/* It does what it is asked for, however long that takes. */
#define ORDER_TIMEOUT	7200

/* Events that the kernel keeps between two looks at the stream, in bytes */
#define RCVBUF		(8 << 20)

/**
 * struct show - An instance of the driver, and what was played on it last
 * @inst: instance
 * @control: connection that listens
 * @script: what was played
 * @record: what was seen
 * @agreement: what came of the comparison
 */
struct show {
	struct instance inst;
	struct control control;
	struct script *script;
	struct play_record record;
	struct agreement agreement;
};

#define ALONE	"clock=step source=counter sink=discard"
#define LOOPED	"clock=step source=loopback sink=loopback"

static void show_setup(struct __test_metadata *_metadata, struct show *show,
		       const char *shape)
{
	show->control = (struct control)CONTROL_INIT;
	suite_print_reqs(_metadata->fixture->name, _metadata->name);
	ASSERT_OK(instance_make(&show->inst, NAME, shape));
	ASSERT_OK(control_open(&show->control)) {
		TH_LOG("%s", control_message(&show->control));
	}
	ASSERT_OK(control_listen(&show->control, RCVBUF));
}

static void show_teardown(struct __test_metadata *_metadata, struct show *show)
{
	play_free(&show->record);
	script_free(show->script);
	control_close(&show->control);
	instance_remove(NAME);
	dut_teardown(_metadata);
}

static uint64_t setting(const char *name, uint64_t without)
{
	const char *env = getenv(name);

	return env ? strtoull(env, NULL, 0) : without;
}

/* Play @script, which belongs to the fixture from then on, and compare. */
static void play(struct __test_metadata *_metadata, struct show *show,
		 struct script *script)
{
	const struct iio_dut *const duts[SCRIPT_CHANS] = {
		[DMA_LOOPBACK_CHANNEL_TX] = &show->inst.out,
		[DMA_LOOPBACK_CHANNEL_RX] = &show->inst.in,
	};

	play_free(&show->record);
	show->record = (struct play_record){};
	script_free(show->script);
	show->script = script;
	ASSERT_OK(play_script(&show->record, script, &show->control,
			      show->inst.number, duts));
	agree(&show->agreement, &show->record);
}

static void expect_agreement(struct __test_metadata *_metadata,
			     struct show *show)
{
	agree_print(&show->agreement, &show->record);
	EXPECT_EQ(0, show->agreement.nr) {
		TH_LOG("again with IIO_DMABUF_SEED=%llu IIO_DMABUF_TRANSFERS=%u",
		       (unsigned long long)show->script->rules.seed,
		       show->script->rules.transfers);
	}
}

/**
 * struct total - What came of the scripts of all seeds
 * @errors: transfers that the DMA engine reported an error of
 * @dropped: those of them whose fence tells of success
 * @refused: transfers that could not be submitted
 * @stuck: how often that made a DMABUF unusable
 */
struct total {
	unsigned int errors;
	unsigned int dropped;
	unsigned int refused;
	unsigned int stuck;
};

static void print_play(const struct show *show, unsigned int ms)
{
	printf("# seed %llu: %zu transfers in %zu operations (%llx), %zu events, %u errors, %u disagreements, %u ms\n",
	       (unsigned long long)show->script->rules.seed,
	       show->script->nr_transfers, show->script->nr_ops,
	       (unsigned long long)script_hash(show->script),
	       show->record.nr_events, show->agreement.nr_errors,
	       show->agreement.nr, ms);
	fflush(stdout);
}

/* Play scripts of @seeds seeds by the rules, which lack the seed. */
static struct total play_seeds(struct __test_metadata *_metadata,
			       struct show *show, uint64_t seeds,
			       struct script_rules rules)
{
	uint64_t first = setting("IIO_DMABUF_SEED", 1), seed, started;
	struct total total = {};
	struct script *script;
	size_t i;

	rules.size = page_size();
	for (seed = first; seed < first + seeds; seed++) {
		rules.seed = seed;
		script = script_random(&rules);
		started = now_ms();
		play(_metadata, show, script);
		print_play(show, now_ms() - started);
		expect_agreement(_metadata, show);

		total.errors += show->agreement.nr_errors;
		total.dropped += show->agreement.nr_dropped;
		total.stuck += show->record.nr_stuck;
		for (i = 0; i < script->nr_transfers; i++)
			total.refused += script->transfers[i].end ==
					 SCRIPT_REFUSED;
	}

	return total;
}

FIXTURE(order) {
	struct show show;
};

FIXTURE_VARIANT(order) {
	const char *shape;
	bool loopback;
};

/* The two directions have nothing to do with each other. */
FIXTURE_VARIANT_ADD(order, alone) {
	.shape = ALONE,
	.loopback = false,
};

/* What goes out comes in, each waits for the other. */
FIXTURE_VARIANT_ADD(order, looped) {
	.shape = LOOPED,
	.loopback = true,
};

FIXTURE_SETUP(order)
{
	show_setup(_metadata, &self->show, variant->shape);
}

FIXTURE_TEARDOWN(order)
{
	show_teardown(_metadata, &self->show);
}

TEST_REQ_WITHIN(order, witnesses_agree, ORDER_TIMEOUT, "FEN-26", "FEN-06",
		"FEN-07", "FEN-08", "FEN-09", "FEN-12", "FEN-14",
		"ENQ-12", "ENQ-13", "ENQ-15", "ENQ-16", "DET-06", "DET-07",
		"POL-02", "POL-03", "POL-08", "SFI-07")
{
	uint64_t seeds = setting("IIO_DMABUF_SEEDS",
				 getenv("IIO_DMABUF_SEED") ? 1 : SEEDS);

	play_seeds(_metadata, &self->show, seeds, (struct script_rules){
		.transfers = setting("IIO_DMABUF_TRANSFERS", TRANSFERS),
		.faults = SCRIPT_FAULTS,
		.loopback = variant->loopback,
		.restart = true,
	});
}

TEST_REQ_WITHIN(order, errors_reach_the_fence, ORDER_TIMEOUT, "FEN-10")
{
	struct total total;

	total = play_seeds(_metadata, &self->show, SEEDS, (struct script_rules){
		.transfers = TRANSFERS,
		.faults = SCRIPT_FAULT(READ_ERROR) | SCRIPT_FAULT(WRITE_ERROR) |
			  SCRIPT_FAULT(ABORT),
		.loopback = variant->loopback,
	});
	ASSERT_LT(0, total.errors);
	if (total.dropped)
		TH_LOG("of %u transfers that failed %u look well",
		       total.errors, total.dropped);
	EXPECT_UNLESS("B9", !total.dropped);
}

TEST_REQ_WITHIN(order, refused_can_be_enqueued_again, ORDER_TIMEOUT, "ENQ-11")
{
	struct total total;

	total = play_seeds(_metadata, &self->show, SEEDS, (struct script_rules){
		.transfers = TRANSFERS,
		.faults = SCRIPT_REFUSALS,
		.loopback = variant->loopback,
		.reuse = true,
	});
	ASSERT_LT(0, total.refused);
	if (total.stuck)
		TH_LOG("of %u DMABUFs whose submission failed %u were busy ever after",
		       total.refused, total.stuck);
	EXPECT_UNLESS("B8", !total.stuck);
}

/* --- that it can fail --- */

/**
 * struct cast - Transfers of a record that is to be falsified
 * @first: completed well, all that can be seen of it was seen
 * @second: likewise, on the same channel, the next one that did
 * @aborted: was terminated, and its fence was seen
 */
struct cast {
	unsigned int first;
	unsigned int second;
	unsigned int aborted;
};

/* What the stream told of a transfer, which must be there */
static struct control_event *told(struct play_record *r, unsigned int index,
				  uint32_t type)
{
	const struct script_transfer *t = &r->s->transfers[index];
	uint64_t number = r->before[t->chan].prepared + t->number;
	struct control_event *e;

	for (e = r->events; e < r->events + r->nr_events; e++) {
		if (e->type == type && e->transfer == number &&
		    e->addr.instance == r->instance &&
		    e->addr.channel == t->chan)
			return e;
	}
	abort();
}

static struct control_event *completed(struct play_record *r,
				       unsigned int index)
{
	return told(r, index, DMA_LOOPBACK_EVENT_TYPE_COMPLETED);
}

static bool is_success(const struct play_record *r, unsigned int index)
{
	const struct script_transfer *t = &r->s->transfers[index];

	return t->witnessed && t->end == SCRIPT_COMPLETED &&
	       t->fault == SCRIPT_NONE;
}

/* Return: whether the record has such transfers. */
static bool find_cast(const struct play_record *r, struct cast *cast)
{
	unsigned int i, last[SCRIPT_CHANS] = { SCRIPT_NONE, SCRIPT_NONE };
	const struct script_transfer *t;

	*cast = (struct cast){ SCRIPT_NONE, SCRIPT_NONE, SCRIPT_NONE };
	for (i = 0; i < r->nr_enqueued; i++) {
		t = &r->s->transfers[i];
		if (t->end == SCRIPT_TERMINATED)
			cast->aborted = i;
		if (is_success(r, i) && last[t->chan] != SCRIPT_NONE &&
		    is_success(r, last[t->chan])) {
			cast->first = last[t->chan];
			cast->second = i;
		}
		last[t->chan] = i;
	}

	return cast->first != SCRIPT_NONE && cast->aborted != SCRIPT_NONE;
}

static void lose_event(struct play_record *r, const struct cast *cast)
{
	struct control_event *e = completed(r, cast->first);

	memmove(e, e + 1, (r->events + --r->nr_events - e) * sizeof(*e));
}

static void complete_in_wrong_order(struct play_record *r,
				    const struct cast *cast)
{
	struct control_event *first = completed(r, cast->first);
	struct control_event *second = completed(r, cast->second);
	struct control_event copy = *first;

	*first = *second;
	first->seq = copy.seq;
	first->ns = copy.ns;
	copy.seq = second->seq;
	copy.ns = second->ns;
	*second = copy;
}

/* play_copy() leaves room for one event. */
static void complete_twice(struct play_record *r, const struct cast *cast)
{
	struct control_event *e, *end = r->events + r->nr_events++;
	const struct control_event *first = completed(r, cast->first);

	for (e = end; e > first; e--) {
		*e = e[-1];
		e->seq++;
	}
}

static void complete_late(struct play_record *r, const struct cast *cast)
{
	completed(r, cast->first)->ns = r->saw[cast->first].ns + 1;
}

static void complete_as_failed(struct play_record *r, const struct cast *cast)
{
	completed(r, cast->first)->result = DMA_LOOPBACK_RESULT_ABORTED;
}

static void complete_with_residue(struct play_record *r,
				  const struct cast *cast)
{
	completed(r, cast->first)->residue++;
}

static void submit_another(struct play_record *r, const struct cast *cast)
{
	told(r, cast->first, DMA_LOOPBACK_EVENT_TYPE_SUBMITTED)->length++;
}

static void repeat_cookie(struct play_record *r, const struct cast *cast)
{
	told(r, cast->second, DMA_LOOPBACK_EVENT_TYPE_SUBMITTED)->cookie =
		completed(r, cast->first)->cookie;
}

static void start_unissued(struct play_record *r, const struct cast *cast)
{
	told(r, cast->first, DMA_LOOPBACK_EVENT_TYPE_ISSUED)->type =
		DMA_LOOPBACK_EVENT_TYPE_PROGRESSED;
}

static void see_pending(struct play_record *r, const struct cast *cast)
{
	r->saw[cast->first].status = 0;
	r->saw[cast->first].sync_file = 0;
}

static void see_status_only(struct play_record *r, const struct cast *cast)
{
	r->saw[cast->first].sync_file = 0;
}

static void see_error(struct play_record *r, const struct cast *cast)
{
	r->saw[cast->first].status = -EINTR;
}

static void see_success(struct play_record *r, const struct cast *cast)
{
	r->saw[cast->aborted].status = 1;
}

static void see_wrong_order(struct play_record *r, const struct cast *cast)
{
	r->saw[cast->first].ns = r->saw[cast->second].ns + 1;
}

static void see_busy_dmabuf(struct play_record *r, const struct cast *cast)
{
	r->saw[cast->first].dmabuf = POLLIN;
}

static void see_early(struct play_record *r, const struct cast *cast)
{
	r->saw[cast->first].early = 0;
}

static void epoll_in_wrong_order(struct play_record *r,
				 const struct cast *cast)
{
	r->saw[cast->first].epolled = r->saw[cast->second].epolled + 1;
}

static void epoll_twice(struct play_record *r, const struct cast *cast)
{
	r->saw[cast->first].epolls++;
}

static void leave_fault(struct play_record *r, const struct cast *cast)
{
	(void)cast;

	r->faults_left++;
}

static void count_wrong(struct play_record *r, const struct cast *cast)
{
	r->after[r->s->transfers[cast->aborted].chan].terminated++;
}

/**
 * struct falsification - Something that the comparison has to notice
 * @what: its name
 * @falsify: has it in the record
 * @first: the first transfer has to be named
 * @second: the second one has to be
 * @aborted: the aborted one has to be
 */
struct falsification {
	const char *what;
	void (*falsify)(struct play_record *r, const struct cast *cast);
	bool first;
	bool second;
	bool aborted;
};

#define FALSIFICATION(name, ...)	{ #name, name, __VA_ARGS__ }

static const struct falsification falsifications[] = {
	FALSIFICATION(lose_event, true, false, false),
	FALSIFICATION(complete_in_wrong_order, true, true, false),
	FALSIFICATION(complete_twice, true, false, false),
	FALSIFICATION(complete_late, true, false, false),
	FALSIFICATION(complete_as_failed, true, false, false),
	FALSIFICATION(complete_with_residue, true, false, false),
	FALSIFICATION(submit_another, true, false, false),
	FALSIFICATION(repeat_cookie, true, true, false),
	FALSIFICATION(start_unissued, true, false, false),
	FALSIFICATION(see_pending, true, false, false),
	FALSIFICATION(see_status_only, true, false, false),
	FALSIFICATION(see_error, true, false, false),
	FALSIFICATION(see_success, false, false, true),
	FALSIFICATION(see_wrong_order, true, true, false),
	FALSIFICATION(see_busy_dmabuf, true, false, false),
	FALSIFICATION(see_early, true, false, false),
	FALSIFICATION(epoll_in_wrong_order, true, true, false),
	FALSIFICATION(epoll_twice, true, false, false),
	FALSIFICATION(leave_fault, false, false, false),
	FALSIFICATION(count_wrong, false, false, false),
};

/* A record of what was well, falsified in one way after the other */
TEST_F_TIMEOUT(order, notices_what_does_not_fit, TEST_REQ_TIMEOUT)
{
	const struct falsification *f;
	struct play_record *copy;
	struct agreement a;
	struct cast cast;
	bool all_named;

	play(_metadata, &self->show, script_random(&(struct script_rules){
		.seed = 1,
		.transfers = TRANSFERS,
		.size = page_size(),
		.faults = SCRIPT_FAULTS,
		.loopback = variant->loopback,
		.restart = true,
	}));
	expect_agreement(_metadata, &self->show);
	ASSERT_EQ(0, self->show.agreement.nr);
	ASSERT_TRUE(find_cast(&self->show.record, &cast));

	for (f = falsifications;
	     f < falsifications + ARRAY_SIZE(falsifications); f++) {
		copy = play_copy(&self->show.record);
		f->falsify(copy, &cast);
		agree(&a, copy);
		EXPECT_LT(0, a.nr) {
			TH_LOG("%s is not noticed", f->what);
		}
		all_named = agree_names(&a, cast.first) >= f->first &&
			    agree_names(&a, cast.second) >= f->second &&
			    agree_names(&a, cast.aborted) >= f->aborted;
		EXPECT_TRUE(!a.nr || all_named) {
			TH_LOG("%s is noticed, and not of whom", f->what);
			agree_print(&a, copy);
		}
		play_free(copy);
		free(copy);
	}
}

TEST_F(order, seed_makes_the_script)
{
	struct script_rules rules = {
		.seed = 1,
		.transfers = TRANSFERS,
		.size = page_size(),
		.faults = SCRIPT_FAULTS,
		.loopback = variant->loopback,
		.restart = true,
	};
	struct script *same;
	uint64_t hash;

	self->show.script = script_random(&rules);
	hash = script_hash(self->show.script);
	same = script_random(&rules);
	EXPECT_EQ(hash, script_hash(same));
	script_free(same);

	rules.seed++;
	same = script_random(&rules);
	EXPECT_NE(hash, script_hash(same));
	script_free(same);
}

/* Whether the driver was built to misbehave */
static bool can_misbehave(struct __test_metadata *_metadata,
			  struct show *show)
{
	const struct control_fault fault = {
		.addr.instance = show->inst.number,
		.kind = DMA_LOOPBACK_FAULT_KIND_REORDER,
	};
	int id;

	id = control_fault_add(&show->control, &fault);
	if (id == -EOPNOTSUPP)
		return false;

	EXPECT_LT(0, id);
	EXPECT_OK(control_fault_del(&show->control, show->inst.number, id));

	return true;
}

/* The disagreement is there, and about these two transfers. */
static void expect_named(struct __test_metadata *_metadata,
			 struct show *show, unsigned int one,
			 unsigned int other)
{
	const struct agreement *a = &show->agreement;
	unsigned int i;

	agree_print(a, &show->record);
	EXPECT_LT(0, a->nr);
	EXPECT_TRUE(agree_names(a, one));
	EXPECT_TRUE(agree_names(a, other));
	for (i = 0; i < show->script->nr_transfers; i++) {
		EXPECT_TRUE(i == one || i == other || !agree_names(a, i)) {
			TH_LOG("transfer %u is named, which is none of %u and %u",
			       i, one, other);
		}
	}
}

FIXTURE(order_broken) {
	struct show show;
};

FIXTURE_SETUP(order_broken)
{
	show_setup(_metadata, &self->show, ALONE);
	if (!can_misbehave(_metadata, &self->show))
		SKIP(return, "the driver was built without CONFIG_DMA_LOOPBACK_MISBEHAVE");
}

FIXTURE_TEARDOWN(order_broken)
{
	show_teardown(_metadata, &self->show);
}

TEST_F(order_broken, notices_reordered_completion)
{
	struct script_rules rules = { .size = page_size() };
	unsigned int victim;

	for (rules.seed = 1; rules.seed <= SEEDS; rules.seed++) {
		play(_metadata, &self->show, script_reorder(&rules, &victim));
		expect_named(_metadata, &self->show, victim, victim + 1);
	}
}

/*
 * The other completion ends the next transfer of the same DMABUF, too early:
 * where there is none, kernels go down.
 */
TEST_F(order_broken, notices_double_completion)
{
	struct script_rules rules = { .size = page_size() };
	unsigned int victim;

	for (rules.seed = 1; rules.seed <= SEEDS; rules.seed++) {
		play(_metadata, &self->show, script_double(&rules, &victim));
		expect_named(_metadata, &self->show, victim,
			     self->show.script->nr_transfers - 1);
	}
}

int main(int argc, char **argv)
{
	return instance_main(argc, argv, " -");
}

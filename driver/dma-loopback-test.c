// SPDX-License-Identifier: GPL-2.0
/*
 * KUnit tests of the loopback DMA controller
 *
 * The contract between a dmaengine provider and its client is not visible from
 * userspace: there, a provider that calls back twice is just a kernel that
 * crashes. These tests are such a client, of the kind that the IIO DMABUF
 * interface is. Each of them makes a controller of the shape that it needs.
 *
 * A comment "REQ ID..." above a test names the requirements that it covers, as
 * they are in selftests/requirements.yaml.
 *
 * All the time somebody listens to the driver's events, as userspace may: the
 * events have to be complete, and what they cost must not hurt anybody.
 */

#include <kunit/device.h>
#include <kunit/test.h>

#include <linux/atomic.h>
#include <linux/bits.h>
#include <linux/cleanup.h>
#include <linux/completion.h>
#include <linux/delay.h>
#include <linux/device.h>
#include <linux/dma-mapping.h>
#include <linux/dmaengine.h>
#include <linux/err.h>
#include <linux/gfp.h>
#include <linux/irqflags.h>
#include <linux/jiffies.h>
#include <linux/ktime.h>
#include <linux/limits.h>
#include <linux/list.h>
#include <linux/minmax.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/net.h>
#include <linux/netlink.h>
#include <linux/panic.h>
#include <linux/platform_device.h>
#include <linux/preempt.h>
#include <linux/scatterlist.h>
#include <linux/sched.h>
#include <linux/sizes.h>
#include <linux/slab.h>
#include <linux/socket.h>
#include <linux/sockptr.h>
#include <linux/spinlock.h>
#include <linux/string.h>
#include <linux/time64.h>
#include <linux/types.h>
#include <linux/unaligned.h>
#include <linux/workqueue.h>
#include <net/genetlink.h>
#include <net/net_namespace.h>
#include <net/netlink.h>
#include <net/sock.h>

#include "dma-loopback-core.h"

/* Nothing here takes long; this much means that it will not happen. */
#define DEADLINE	(30 * HZ)

/* No byte that a test sends, see fill() */
#define POISON		0xa5

/* More events than a test has that looks at them */
#define EVENTS_MAX	64

/**
 * struct event - An event of the driver, as a listener gets it
 * @val: its attributes, 0 for those that it does not have
 */
struct event {
	u64 val[DMA_LOOPBACK_A_EVENT_MAX + 1];
};

/**
 * struct listener - Who listens to events, from the first test to the last
 * @sock: a netlink socket
 * @seq: number of the last event that it has got
 * @missed: events up to this number may have been missed
 * @lost: some were lost since; the socket is to be emptied
 * @buf: a datagram
 */
struct listener {
	struct socket *sock;
	u64 seq;
	u64 missed;
	bool lost;
	u8 buf[SZ_8K];
};

static struct listener listener;

/**
 * struct loopback - A controller and its client
 * @test: the running test
 * @link: pacing of the controller
 * @consumer: the client's device
 * @dma: the controller
 * @tx: memory to device
 * @rx: device to memory
 * @calls: callbacks so far, of all transfers
 * @faults: faults so far
 * @events: events of the controller, the first of them
 * @nr_events: how many these are
 */
struct loopback {
	struct kunit *test;
	struct dma_loopback_link link;
	struct device *consumer;
	struct platform_device *dma;
	struct dma_chan *tx;
	struct dma_chan *rx;
	atomic_t calls;
	u32 faults;
	struct event events[EVENTS_MAX];
	size_t nr_events;
};

/**
 * struct memory - What the CPU and the controller see of some memory
 * @dev: the controller
 * @cpu: address for the CPU
 * @dma: address for the controller
 * @size: bytes
 */
struct memory {
	struct device *dev;
	u8 *cpu;
	dma_addr_t dma;
	size_t size;
};

/**
 * struct transfer - One descriptor from prep to callback
 * @lb: where it runs
 * @chan: on which channel
 * @dir: direction of that channel
 * @tx: the descriptor, until it is issued
 * @number: how many transfers were prepared on the channel, this one included
 * @cookie: what submit returned
 * @next: transfer for the callback to submit and issue, or NULL
 * @terminate: terminate the channel from the callback
 * @called: completed by the callback
 * @calls: number of callbacks
 * @rank: how many callbacks there were of any transfer, this one included
 * @status: of the cookie, as the callback sees it
 * @result: what the callback was given
 * @hardirq: the callback ran in hard interrupt context
 * @irqs_disabled: the callback ran with interrupts disabled, as it does when
 *	the lock of the channel is held
 * @ret: what terminate returned in the callback
 */
struct transfer {
	struct loopback *lb;
	struct dma_chan *chan;
	enum dma_transfer_direction dir;
	struct dma_async_tx_descriptor *tx;
	u64 number;
	dma_cookie_t cookie;
	struct transfer *next;
	bool terminate;
	struct completion called;
	atomic_t calls;
	int rank;
	enum dma_status status;
	struct dmaengine_result result;
	bool hardirq;
	bool irqs_disabled;
	int ret;
};

/* --- the controller and its client --- */

static void unregister_dma(void *pdev)
{
	platform_device_unregister(pdev);
}

static void release_chan(void *chan)
{
	dma_release_channel(chan);
}

static struct dma_chan *request_chan(struct loopback *lb, const char *name)
{
	struct kunit *test = lb->test;
	struct dma_chan *chan;

	chan = dma_request_chan(lb->consumer, name);
	KUNIT_ASSERT_FALSE_MSG(test, IS_ERR(chan), "dma_request_chan(%s): %pe",
			       name, chan);
	KUNIT_ASSERT_EQ(test, 0,
			kunit_add_action_or_reset(test, release_chan, chan));

	return chan;
}

/* A controller of this shape; consumer and link are filled in. */
static struct loopback *make_loopback(struct kunit *test,
				      struct dma_loopback_pdata shape)
{
	struct loopback *lb;

	lb = kunit_kzalloc(test, sizeof(*lb), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, lb);
	lb->test = test;

	lb->consumer = kunit_device_register(test, "consumer");
	KUNIT_ASSERT_FALSE(test, IS_ERR(lb->consumer));

	shape.consumer = dev_name(lb->consumer);
	shape.link = &lb->link;
	lb->dma = platform_device_register_data(NULL, DMA_LOOPBACK_DRV_NAME,
						PLATFORM_DEVID_AUTO, &shape,
						sizeof(shape));
	KUNIT_ASSERT_FALSE(test, IS_ERR(lb->dma));
	KUNIT_ASSERT_EQ(test, 0,
			kunit_add_action_or_reset(test, unregister_dma,
						  lb->dma));

	lb->tx = request_chan(lb, DMA_LOOPBACK_CHAN_TX);
	lb->rx = request_chan(lb, DMA_LOOPBACK_CHAN_RX);
	test->priv = lb;

	return lb;
}

/* TX feeds RX. */
static struct loopback *make_pair(struct kunit *test)
{
	return make_loopback(test, (struct dma_loopback_pdata) { .align = 1 });
}

/* RX takes a counter, TX is thrown away. */
static struct loopback *make_solo(struct kunit *test)
{
	return make_loopback(test, (struct dma_loopback_pdata) {
		.align = 1,
		.counter = true,
		.discard = true,
	});
}

/* --- the listener --- */

static void take_event(struct kunit *test, const struct nlmsghdr *nlh)
{
	struct nlattr *attrs[DMA_LOOPBACK_A_EVENT_MAX + 1];
	u64 before = max(listener.seq, listener.missed);
	struct loopback *lb = test->priv;
	struct event e = {};
	u64 seq;
	int i;

	if (nlmsg_parse(nlh, GENL_HDRLEN, attrs, DMA_LOOPBACK_A_EVENT_MAX,
			NULL, NULL)) {
		KUNIT_FAIL(test, "an event cannot be parsed");
		return;
	}
	for (i = 1; i <= DMA_LOOPBACK_A_EVENT_MAX; i++) {
		if (attrs[i])
			e.val[i] = nla_get_uint(attrs[i]);
	}

	seq = e.val[DMA_LOOPBACK_A_EVENT_SEQ];
	if (seq > listener.missed && !listener.lost)
		KUNIT_EXPECT_EQ_MSG(test, before + 1, seq,
				    "events were lost, and nobody was told");
	listener.seq = seq;

	if (lb && e.val[DMA_LOOPBACK_A_EVENT_INSTANCE] == lb->dma->id &&
	    lb->nr_events < EVENTS_MAX)
		lb->events[lb->nr_events++] = e;
}

/*
 * Take all events that there have been so far, or be told that some are lost.
 * No test is ended by this: it has to clean up.
 */
static void take_events(struct kunit *test)
{
	u64 last = dma_loopback_event_seq();
	struct msghdr msg = {};
	struct nlmsghdr *nlh;
	int n, rest;

	while (max(listener.seq, listener.missed) < last) {
		struct kvec vec = { listener.buf, sizeof(listener.buf) };

		n = kernel_recvmsg(listener.sock, &msg, &vec, 1, vec.iov_len,
				   listener.lost ? MSG_DONTWAIT : 0);
		if (n == -ENOBUFS) {
			listener.lost = true;
			continue;
		}
		if (n == -EAGAIN && listener.lost) {
			kunit_info(test, "the listener has lost events");
			listener.lost = false;
			listener.missed = dma_loopback_event_seq();
			continue;
		}
		if (n <= 0) {
			KUNIT_FAIL(test, "event %llu did not come: %d",
				   listener.seq + 1, n);
			listener.missed = last;
			break;
		}
		nlmsg_for_each_msg(nlh, (struct nlmsghdr *)listener.buf, n,
				   rest)
			take_event(test, nlh);
	}
}

static int loopback_suite_init(struct kunit_suite *suite)
{
	struct sockaddr_nl addr = { .nl_family = AF_NETLINK };
	int group = dma_loopback_event_group();
	struct socket *sock;
	int ret;

	ret = sock_create_kern(&init_net, AF_NETLINK, SOCK_RAW,
			       NETLINK_GENERIC, &sock);
	if (ret)
		return ret;

	/* Who has no address gets nothing from the kernel, which has none. */
	ret = kernel_bind(sock, (struct sockaddr *)&addr, sizeof(addr));
	if (!ret)
		ret = sock->ops->setsockopt(sock, SOL_NETLINK,
					    NETLINK_ADD_MEMBERSHIP,
					    KERNEL_SOCKPTR(&group),
					    sizeof(group));
	if (ret) {
		sock_release(sock);
		return ret;
	}

	sock_set_rcvbuf(sock->sk, SZ_8M);
	sock->sk->sk_rcvtimeo = DEADLINE;
	listener.sock = sock;
	listener.missed = dma_loopback_event_seq();

	return 0;
}

static void loopback_suite_exit(struct kunit_suite *suite)
{
	if (listener.sock)
		sock_release(listener.sock);
}

/* Of the controller of the test before, whose number the next one may get */
static int loopback_test_init(struct kunit *test)
{
	take_events(test);

	return 0;
}

/* Before the memory that transfers use goes, whatever became of the test. */
static void loopback_test_exit(struct kunit *test)
{
	struct loopback *lb = test->priv;

	if (!lb)
		return;

	dmaengine_terminate_sync(lb->tx);
	dmaengine_terminate_sync(lb->rx);
	take_events(test);
}

/* --- memory --- */

static void free_memory(void *data)
{
	struct memory *mem = data;

	dma_free_coherent(mem->dev, mem->size, mem->cpu, mem->dma);
}

static struct memory *make_memory(struct loopback *lb, size_t size)
{
	struct kunit *test = lb->test;
	struct memory *mem;

	mem = kunit_kzalloc(test, sizeof(*mem), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, mem);

	mem->dev = &lb->dma->dev;
	mem->size = size;
	mem->cpu = dma_alloc_coherent(mem->dev, size, &mem->dma, GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, mem->cpu);
	KUNIT_ASSERT_EQ(test, 0,
			kunit_add_action_or_reset(test, free_memory, mem));
	memset(mem->cpu, POISON, size);

	return mem;
}

/* A sequence that has no short period and no POISON in it */
static u8 pattern(size_t i)
{
	return (i + i / 128) % 128;
}

static struct memory *make_source(struct loopback *lb, size_t size)
{
	struct memory *mem = make_memory(lb, size);
	size_t i;

	for (i = 0; i < size; i++)
		mem->cpu[i] = pattern(i);

	return mem;
}

static void free_the_page(void *data)
{
	struct memory *mem = data;

	free_page((unsigned long)mem->cpu);
}

static void unmap_the_page(void *data)
{
	struct memory *mem = data;

	dma_unmap_page(mem->dev, mem->dma, mem->size, DMA_FROM_DEVICE);
}

/* For the controller to write to, until unmap_the_page() is released. */
static struct memory *make_mapped_page(struct loopback *lb)
{
	struct kunit *test = lb->test;
	struct memory *mem;

	mem = kunit_kzalloc(test, sizeof(*mem), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, mem);

	mem->dev = &lb->dma->dev;
	mem->size = PAGE_SIZE;
	mem->cpu = (u8 *)get_zeroed_page(GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, mem->cpu);
	KUNIT_ASSERT_EQ(test, 0,
			kunit_add_action_or_reset(test, free_the_page, mem));
	mem->dma = dma_map_page(mem->dev, virt_to_page(mem->cpu), 0, mem->size,
				DMA_FROM_DEVICE);
	KUNIT_ASSERT_EQ(test, 0, dma_mapping_error(mem->dev, mem->dma));
	KUNIT_ASSERT_EQ(test, 0,
			kunit_add_action_or_reset(test, unmap_the_page, mem));

	return mem;
}

/* Bytes @from up to @to are as nobody has touched them. */
static void expect_untouched(struct loopback *lb, const struct memory *mem,
			     size_t from, size_t to)
{
	void *touched = memchr_inv(mem->cpu + from, POISON, to - from);

	KUNIT_EXPECT_NULL_MSG(lb->test, touched,
			      "byte %td of %zu was written, it is outside of what was to be",
			      (u8 *)touched - mem->cpu, mem->size);
}

/* --- transfers --- */

static void transfer_done(void *param, const struct dmaengine_result *result)
{
	struct transfer *t = param;

	t->hardirq = in_hardirq();
	t->irqs_disabled = irqs_disabled();
	t->rank = atomic_inc_return(&t->lb->calls);
	t->result = *result;

	/* All that takes the lock of the channel, if nobody else has it. */
	if (!t->irqs_disabled) {
		t->status = dmaengine_tx_status(t->chan, t->cookie, NULL);
		if (t->terminate)
			t->ret = dmaengine_terminate_async(t->chan);
		if (t->next) {
			t->next->cookie = dmaengine_submit(t->next->tx);
			dma_async_issue_pending(t->chan);
		}
	}

	atomic_inc(&t->calls);
	complete(&t->called);
}

static struct transfer *make_transfer(struct loopback *lb,
				      struct dma_chan *chan)
{
	struct transfer *t;

	t = kunit_kzalloc(lb->test, sizeof(*t), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(lb->test, t);

	t->lb = lb;
	t->chan = chan;
	t->dir = chan == lb->tx ? DMA_MEM_TO_DEV : DMA_DEV_TO_MEM;
	init_completion(&t->called);

	return t;
}

static void hook(struct transfer *t)
{
	struct virt_dma_desc *vd;

	vd = container_of(t->tx, struct virt_dma_desc, tx);
	t->number = to_dma_loopback_desc(vd)->number;
	t->tx->callback_result = transfer_done;
	t->tx->callback_param = t;
}

static struct transfer *prep_vecs(struct loopback *lb, struct dma_chan *chan,
				  const struct dma_vec *vecs, size_t n,
				  unsigned long flags)
{
	struct transfer *t = make_transfer(lb, chan);

	t->tx = dmaengine_prep_peripheral_dma_vec(chan, vecs, n, t->dir,
						  flags | DMA_PREP_INTERRUPT);
	KUNIT_ASSERT_NOT_NULL(lb->test, t->tx);
	hook(t);

	return t;
}

/* @len bytes of @mem from @offset on, in one vector */
static struct transfer *prep(struct loopback *lb, struct dma_chan *chan,
			     struct memory *mem, size_t offset, size_t len,
			     unsigned long flags)
{
	struct dma_vec vec = { .addr = mem->dma + offset, .len = len };

	return prep_vecs(lb, chan, &vec, 1, flags);
}

static void submit(struct transfer *t)
{
	t->cookie = dmaengine_submit(t->tx);
	KUNIT_ASSERT_EQ(t->lb->test, 0, dma_submit_error(t->cookie));
}

static void issue(struct transfer *t)
{
	submit(t);
	dma_async_issue_pending(t->chan);
}

static struct transfer *start(struct loopback *lb, struct dma_chan *chan,
			      struct memory *mem, size_t offset, size_t len)
{
	struct transfer *t = prep(lb, chan, mem, offset, len, 0);

	issue(t);

	return t;
}

static void wait_for(struct transfer *t)
{
	KUNIT_ASSERT_NE_MSG(t->lb->test, 0,
			    wait_for_completion_timeout(&t->called, DEADLINE),
			    "no callback of cookie %d on %s, status %d",
			    t->cookie, dma_chan_name(t->chan),
			    dmaengine_tx_status(t->chan, t->cookie, NULL));
}

static enum dma_status status_of(struct transfer *t, u32 *residue)
{
	struct dma_tx_state state = { .residue = U32_MAX };
	enum dma_status status;

	status = dmaengine_tx_status(t->chan, t->cookie, &state);
	*residue = state.residue;

	return status;
}

static void expect_residue(struct transfer *t, u32 expected)
{
	u32 residue;

	KUNIT_EXPECT_EQ(t->lb->test, DMA_IN_PROGRESS, status_of(t, &residue));
	KUNIT_EXPECT_EQ(t->lb->test, expected, residue);
}

/* The sender is called back before the receiver has accounted for the bytes. */
static void wait_for_residue(struct transfer *t, u32 expected)
{
	unsigned long deadline = jiffies + DEADLINE;
	u32 residue;

	while (status_of(t, &residue) == DMA_IN_PROGRESS &&
	       residue > expected && time_before(jiffies, deadline))
		usleep_range(100, 200);
	expect_residue(t, expected);
}

/* Without a sleep, for what comes next to come close behind the engine. */
static void follow_to_residue(struct transfer *t, u32 most)
{
	unsigned long deadline = jiffies + DEADLINE;
	u32 residue;

	status_of(t, &residue);
	while (residue > most && time_before(jiffies, deadline)) {
		cond_resched();
		status_of(t, &residue);
	}
	KUNIT_ASSERT_LE(t->lb->test, residue, most);
}

/* The same number of bytes through both channels, from start to end */
static void expect_loop_works(struct loopback *lb, size_t len)
{
	struct memory *src = make_source(lb, len);
	struct memory *dst = make_memory(lb, len);
	struct transfer *tx = start(lb, lb->tx, src, 0, len);
	struct transfer *rx = start(lb, lb->rx, dst, 0, len);

	wait_for(tx);
	wait_for(rx);
	KUNIT_EXPECT_MEMEQ(lb->test, dst->cpu, src->cpu, len);
}

/*
 * Have the engine of a solo controller look at both channels once more: it
 * looks at each of them between any two transfers of the other.
 */
static void let_engine_look(struct loopback *lb, struct dma_chan *other)
{
	struct memory *mem = make_memory(lb, 4);

	wait_for(start(lb, other, mem, 0, 4));
	wait_for(start(lb, other, mem, 0, 4));
}

/* --- capabilities --- */

/* REQ DMAE-17 */
static void caps_name_the_alignment(struct kunit *test)
{
	struct dma_loopback_pdata shape = { .align = 8 };
	struct loopback *lb = make_loopback(test, shape);
	struct dma_slave_caps caps;

	KUNIT_ASSERT_EQ(test, 0, dma_get_slave_caps(lb->tx, &caps));
	KUNIT_EXPECT_EQ(test, 8, __ffs(caps.dst_addr_widths));
	KUNIT_EXPECT_NE(test, 0, caps.directions & BIT(DMA_MEM_TO_DEV));

	KUNIT_ASSERT_EQ(test, 0, dma_get_slave_caps(lb->rx, &caps));
	KUNIT_EXPECT_EQ(test, 8, __ffs(caps.src_addr_widths));
	KUNIT_EXPECT_NE(test, 0, caps.directions & BIT(DMA_DEV_TO_MEM));

	KUNIT_EXPECT_EQ(test, DMA_RESIDUE_GRANULARITY_BURST,
			caps.residue_granularity);
	KUNIT_EXPECT_TRUE(test, caps.cmd_terminate);
}

/* REQ DMAE-17 */
static void config_takes_advertised_widths(struct kunit *test)
{
	struct dma_loopback_pdata shape = { .align = 4 };
	struct loopback *lb = make_loopback(test, shape);
	struct dma_slave_config config = {
		.src_addr_width = DMA_SLAVE_BUSWIDTH_16_BYTES,
		.dst_addr_width = DMA_SLAVE_BUSWIDTH_4_BYTES,
	};

	KUNIT_EXPECT_EQ(test, 0, dmaengine_slave_config(lb->tx, &config));
	KUNIT_EXPECT_EQ(test, 0, dmaengine_slave_config(lb->rx, &config));

	config.src_addr_width = DMA_SLAVE_BUSWIDTH_2_BYTES;
	config.dst_addr_width = DMA_SLAVE_BUSWIDTH_64_BYTES;
	KUNIT_EXPECT_EQ(test, -EINVAL, dmaengine_slave_config(lb->tx, &config));
	KUNIT_EXPECT_EQ(test, -EINVAL, dmaengine_slave_config(lb->rx, &config));
}

/* --- prep --- */

static void expect_refused(struct loopback *lb, struct dma_chan *chan,
			   const struct dma_vec *vecs, size_t n,
			   enum dma_transfer_direction dir)
{
	struct dma_async_tx_descriptor *tx;

	tx = dmaengine_prep_peripheral_dma_vec(chan, vecs, n, dir, 0);
	KUNIT_EXPECT_NULL(lb->test, tx);
}

/* REQ DMAE-05 */
static void prep_refuses_wrong_direction(struct kunit *test)
{
	struct loopback *lb = make_pair(test);
	struct memory *mem = make_memory(lb, 16);
	struct dma_vec vec = { .addr = mem->dma, .len = 16 };
	struct scatterlist sg;

	expect_refused(lb, lb->tx, &vec, 1, DMA_DEV_TO_MEM);
	expect_refused(lb, lb->rx, &vec, 1, DMA_MEM_TO_DEV);
	expect_refused(lb, lb->tx, &vec, 1, DMA_MEM_TO_MEM);

	sg_init_table(&sg, 1);
	sg_dma_address(&sg) = mem->dma;
	sg_dma_len(&sg) = 16;
	KUNIT_EXPECT_NULL(test, dmaengine_prep_slave_sg(lb->tx, &sg, 1,
							DMA_DEV_TO_MEM, 0));
}

/* REQ DMAE-05 */
static void prep_refuses_nothing_to_do(struct kunit *test)
{
	struct loopback *lb = make_pair(test);
	struct memory *mem = make_memory(lb, 16);
	struct dma_vec vecs[] = {
		{ .addr = mem->dma, .len = 8 },
		{ .addr = mem->dma + 8, .len = 0 },
	};

	expect_refused(lb, lb->tx, vecs, 0, DMA_MEM_TO_DEV);
	expect_refused(lb, lb->tx, vecs, 2, DMA_MEM_TO_DEV);
}

/* REQ DMAE-05 */
static void prep_refuses_misaligned_address(struct kunit *test)
{
	struct dma_loopback_pdata shape = { .align = 4 };
	struct loopback *lb = make_loopback(test, shape);
	struct memory *mem = make_memory(lb, 16);
	struct dma_vec vec = { .len = 8 };

	for (vec.addr = mem->dma + 1; vec.addr < mem->dma + 4; vec.addr++)
		expect_refused(lb, lb->tx, &vec, 1, DMA_MEM_TO_DEV);

	/* The same at an aligned address is fine. */
	prep(lb, lb->tx, mem, 4, 8, 0);
}

/* REQ DMAE-05 */
static void prep_refuses_misaligned_length(struct kunit *test)
{
	struct dma_loopback_pdata shape = { .align = 4 };
	struct loopback *lb = make_loopback(test, shape);
	struct memory *mem = make_memory(lb, 16);
	struct dma_vec vecs[] = {
		{ .addr = mem->dma, .len = 4 },
		{ .addr = mem->dma + 8 },
	};

	for (vecs[1].len = 1; vecs[1].len < 4; vecs[1].len++)
		expect_refused(lb, lb->tx, vecs, 2, DMA_MEM_TO_DEV);
}

/* REQ DMAE-05 */
static void prep_refuses_memory_out_of_reach(struct kunit *test)
{
	struct loopback *lb = make_pair(test);
	struct dma_vec vec = { .addr = BIT_ULL(50), .len = 16 };

	expect_refused(lb, lb->tx, &vec, 1, DMA_MEM_TO_DEV);
}

/* REQ DMAE-06 */
static void prep_refuses_too_many_segments(struct kunit *test)
{
	struct dma_loopback_pdata shape = {
		.align = 1,
		.max_seg_size = 16,
		.max_segs = 4,
	};
	struct loopback *lb = make_loopback(test, shape);
	struct memory *mem = make_memory(lb, 128);
	struct dma_vec vecs[] = {
		{ .addr = mem->dma, .len = 16 },
		{ .addr = mem->dma + 16, .len = 17 },
		{ .addr = mem->dma + 64, .len = 1 },
		{ .addr = mem->dma + 96, .len = 1 },
	};

	/* 1 + 2 + 1 segments, and one more */
	prep_vecs(lb, lb->tx, vecs, 3, 0);
	expect_refused(lb, lb->tx, vecs, 4, DMA_MEM_TO_DEV);

	vecs[0].len = 64;
	prep_vecs(lb, lb->tx, vecs, 1, 0);
	vecs[0].len = 65;
	expect_refused(lb, lb->tx, vecs, 1, DMA_MEM_TO_DEV);
}

/*
 * REQ DMAE-04
 *
 * The kernel reports who may sleep where nobody may, and is tainted then.
 */
static void nothing_sleeps(struct kunit *test)
{
	static DEFINE_SPINLOCK(lock);
	struct loopback *lb = make_solo(test);
	struct memory *mem = make_memory(lb, 64);
	struct transfer *t = make_transfer(lb, lb->rx);
	struct dma_vec vec = { .addr = mem->dma, .len = 64 };
	unsigned long flags;

	if (!IS_ENABLED(CONFIG_DEBUG_ATOMIC_SLEEP))
		kunit_skip(test, "needs CONFIG_DEBUG_ATOMIC_SLEEP");
	if (test_taint(TAINT_WARN))
		kunit_skip(test, "the kernel has warned already: reboot");

	spin_lock_irqsave(&lock, flags);
	t->tx = dmaengine_prep_peripheral_dma_vec(lb->rx, &vec, 1,
						  DMA_DEV_TO_MEM, 0);
	if (t->tx) {
		hook(t);
		t->cookie = dmaengine_submit(t->tx);
		dma_async_issue_pending(lb->rx);
		dmaengine_tx_status(lb->rx, t->cookie, NULL);
		dmaengine_terminate_async(lb->rx);
	}
	spin_unlock_irqrestore(&lock, flags);

	KUNIT_EXPECT_NOT_NULL(test, t->tx);
	KUNIT_EXPECT_FALSE(test, test_taint(TAINT_WARN));
}

/* REQ DMAE-03 */
static void prep_copies_the_vectors(struct kunit *test)
{
	struct loopback *lb = make_pair(test);
	struct memory *src = make_source(lb, 64);
	struct memory *dst = make_memory(lb, 64);
	struct dma_vec vecs[] = {
		{ .addr = src->dma, .len = 24 },
		{ .addr = src->dma + 24, .len = 40 },
	};
	struct transfer *tx, *rx;

	tx = prep_vecs(lb, lb->tx, vecs, 2, 0);
	vecs[0].addr = dst->dma;
	vecs[0].len = 1;
	vecs[1] = vecs[0];
	issue(tx);
	rx = start(lb, lb->rx, dst, 0, 64);

	wait_for(tx);
	wait_for(rx);
	KUNIT_EXPECT_MEMEQ(test, dst->cpu, src->cpu, 64);
}

/* REQ DMAE-01 DMAE-02 */
static void vectors_go_in_array_order(struct kunit *test)
{
	struct loopback *lb = make_pair(test);
	struct memory *src = make_source(lb, 256);
	struct memory *dst = make_memory(lb, 256);
	/* Neither ascending, nor adjacent, nor of the same length */
	struct dma_vec from[] = {
		{ .addr = src->dma + 101, .len = 7 },
		{ .addr = src->dma, .len = 1 },
		{ .addr = src->dma + 200, .len = 33 },
		{ .addr = src->dma + 3, .len = 59 },
	};
	struct dma_vec to[] = {
		{ .addr = dst->dma + 150, .len = 9 },
		{ .addr = dst->dma + 10, .len = 90 },
		{ .addr = dst->dma + 249, .len = 1 },
	};
	struct transfer *tx = prep_vecs(lb, lb->tx, from, ARRAY_SIZE(from), 0);
	struct transfer *rx = prep_vecs(lb, lb->rx, to, ARRAY_SIZE(to), 0);
	u8 sent[100], received[100];

	issue(tx);
	issue(rx);
	wait_for(tx);
	wait_for(rx);

	memcpy(sent, src->cpu + 101, 7);
	memcpy(sent + 7, src->cpu, 1);
	memcpy(sent + 8, src->cpu + 200, 33);
	memcpy(sent + 41, src->cpu + 3, 59);
	memcpy(received, dst->cpu + 150, 9);
	memcpy(received + 9, dst->cpu + 10, 90);
	memcpy(received + 99, dst->cpu + 249, 1);
	KUNIT_EXPECT_MEMEQ(test, received, sent, 100);
	expect_untouched(lb, dst, 0, 10);
	expect_untouched(lb, dst, 100, 150);
	expect_untouched(lb, dst, 159, 249);
	expect_untouched(lb, dst, 250, 256);
}

/* REQ DMAE-02: the scatter lists that file I/O mode uses */
static void scatter_list_goes_in_order(struct kunit *test)
{
	struct loopback *lb = make_pair(test);
	struct memory *src = make_source(lb, 64);
	struct memory *dst = make_memory(lb, 64);
	struct transfer *tx = make_transfer(lb, lb->tx);
	struct transfer *rx;
	struct scatterlist sg[2];

	sg_init_table(sg, 2);
	sg_dma_address(&sg[0]) = src->dma + 32;
	sg_dma_len(&sg[0]) = 5;
	sg_dma_address(&sg[1]) = src->dma;
	sg_dma_len(&sg[1]) = 20;
	tx->tx = dmaengine_prep_slave_sg(lb->tx, sg, 2, DMA_MEM_TO_DEV, 0);
	KUNIT_ASSERT_NOT_NULL(test, tx->tx);
	hook(tx);
	sg_init_table(sg, 2);

	issue(tx);
	rx = start(lb, lb->rx, dst, 0, 25);
	wait_for(tx);
	wait_for(rx);
	KUNIT_EXPECT_MEMEQ(test, dst->cpu, src->cpu + 32, 5);
	KUNIT_EXPECT_MEMEQ(test, dst->cpu + 5, src->cpu, 20);
	expect_untouched(lb, dst, 25, 64);
}

/* REQ DMAE-06 */
static void long_vectors_are_split(struct kunit *test)
{
	struct dma_loopback_pdata shape = { .align = 1, .max_seg_size = 100 };
	struct loopback *lb = make_loopback(test, shape);
	struct memory *src = make_source(lb, SZ_8K);
	struct memory *dst = make_memory(lb, SZ_8K);
	struct dma_vec vecs[] = {
		{ .addr = src->dma, .len = 99 },
		{ .addr = src->dma + 99, .len = 100 },
		{ .addr = src->dma + 199, .len = 101 },
		{ .addr = src->dma + 300, .len = 7000 },
	};
	struct transfer *tx = prep_vecs(lb, lb->tx, vecs, ARRAY_SIZE(vecs), 0);
	struct transfer *rx;

	issue(tx);
	rx = start(lb, lb->rx, dst, 0, 7300);
	wait_for(tx);
	wait_for(rx);
	KUNIT_EXPECT_MEMEQ(test, dst->cpu, src->cpu, 7300);
	expect_untouched(lb, dst, 7300, SZ_8K);
}

/* REQ DMAE-02: memory as a DMABUF has it, not the controller's own */
static void mapped_pages_work(struct kunit *test)
{
	struct loopback *lb = make_pair(test);
	struct memory *src = make_source(lb, PAGE_SIZE);
	struct memory *page = make_mapped_page(lb);
	struct transfer *tx, *rx;

	tx = start(lb, lb->tx, src, 0, PAGE_SIZE);
	rx = start(lb, lb->rx, page, 0, PAGE_SIZE);
	wait_for(tx);
	wait_for(rx);
	kunit_release_action(test, unmap_the_page, page);
	KUNIT_EXPECT_MEMEQ(test, page->cpu, src->cpu, PAGE_SIZE);
}

/* --- submit, issue and callback --- */

/* REQ DMAE-07 */
static void submit_only_queues(struct kunit *test)
{
	struct loopback *lb = make_solo(test);
	struct memory *mem = make_memory(lb, 64);
	struct transfer *rx = prep(lb, lb->rx, mem, 0, 64, 0);

	submit(rx);
	let_engine_look(lb, lb->tx);
	expect_residue(rx, 64);
	KUNIT_EXPECT_EQ(test, 0, atomic_read(&rx->calls));
	expect_untouched(lb, mem, 0, 64);

	dma_async_issue_pending(lb->rx);
	wait_for(rx);
}

/* REQ DMAE-07: issue_pending starts what was submitted before, all of it */
static void issue_starts_all_submitted(struct kunit *test)
{
	struct loopback *lb = make_solo(test);
	struct memory *mem = make_memory(lb, 64);
	struct transfer *t[4];
	int i;

	for (i = 0; i < 4; i++) {
		t[i] = prep(lb, lb->rx, mem, 16 * i, 16, 0);
		submit(t[i]);
	}
	dma_async_issue_pending(lb->rx);
	for (i = 0; i < 4; i++)
		wait_for(t[i]);
	KUNIT_EXPECT_EQ(test, 15, get_unaligned_le32(mem->cpu + 60));
}

/* REQ DMAE-08 DMAE-09 */
static void transfers_chain_in_order(struct kunit *test)
{
	static const size_t cut[] = { 0, 10, 11, 50, 100 };
	struct loopback *lb = make_pair(test);
	struct memory *src = make_source(lb, 100);
	struct memory *dst = make_memory(lb, 100);
	struct transfer *tx[4], *rx;
	int i;

	for (i = 0; i < 4; i++)
		tx[i] = start(lb, lb->tx, src, cut[i], cut[i + 1] - cut[i]);

	/* From here on nobody tells the engine to go on. */
	rx = start(lb, lb->rx, dst, 0, 100);
	wait_for(rx);
	for (i = 0; i < 4; i++)
		wait_for(tx[i]);
	KUNIT_EXPECT_MEMEQ(test, dst->cpu, src->cpu, 100);
	for (i = 1; i < 4; i++)
		KUNIT_EXPECT_LT(test, tx[i - 1]->rank, tx[i]->rank);
}

/* REQ DMAE-09 */
static void callback_comes_once(struct kunit *test)
{
	struct loopback *lb = make_solo(test);
	struct memory *mem = make_memory(lb, 64);
	struct transfer *t[8];
	int i;

	for (i = 0; i < 8; i++)
		t[i] = start(lb, lb->rx, mem, 8 * i, 8);
	for (i = 0; i < 8; i++)
		wait_for(t[i]);

	let_engine_look(lb, lb->tx);
	dma_async_issue_pending(lb->rx);
	KUNIT_ASSERT_EQ(test, 0, dmaengine_terminate_sync(lb->rx));
	for (i = 0; i < 8; i++)
		KUNIT_EXPECT_EQ(test, 1, atomic_read(&t[i]->calls));
}

/* REQ DMAE-10 */
static void callback_may_use_the_channel(struct kunit *test)
{
	struct loopback *lb = make_solo(test);
	struct memory *mem = make_memory(lb, 64);
	struct transfer *first = prep(lb, lb->rx, mem, 0, 32, 0);
	struct transfer *second = prep(lb, lb->rx, mem, 32, 32, 0);

	first->next = second;
	issue(first);
	wait_for(first);
	KUNIT_EXPECT_FALSE(test, first->hardirq);
	KUNIT_EXPECT_FALSE_MSG(test, first->irqs_disabled,
			       "the callback runs with interrupts disabled, as under a lock of the channel");
	if (!first->irqs_disabled)
		wait_for(second);
}

/* REQ DMAE-11 */
static void result_is_of_the_transfer(struct kunit *test)
{
	struct loopback *lb = make_solo(test);
	struct memory *mem = make_memory(lb, 64);
	struct transfer *rx = start(lb, lb->rx, mem, 0, 64);
	struct transfer *tx = start(lb, lb->tx, mem, 0, 64);

	wait_for(rx);
	KUNIT_EXPECT_EQ(test, DMA_TRANS_NOERROR, rx->result.result);
	KUNIT_EXPECT_EQ(test, 0, rx->result.residue);
	wait_for(tx);
	KUNIT_EXPECT_EQ(test, DMA_TRANS_NOERROR, tx->result.result);
	KUNIT_EXPECT_EQ(test, 0, tx->result.residue);
}

/* REQ DMAE-16 */
static void cookies_increase(struct kunit *test)
{
	struct loopback *lb = make_solo(test);
	struct memory *mem = make_memory(lb, 64);
	struct transfer *t[4];
	int i;

	for (i = 0; i < 4; i++) {
		t[i] = prep(lb, lb->rx, mem, 16 * i, 16, 0);
		submit(t[i]);
		KUNIT_EXPECT_GE(test, t[i]->cookie, DMA_MIN_COOKIE);
		if (i)
			KUNIT_EXPECT_GT(test, t[i]->cookie, t[i - 1]->cookie);
	}
}

/* REQ DMAE-16 */
static void complete_when_called_back(struct kunit *test)
{
	struct loopback *lb = make_solo(test);
	struct memory *mem = make_memory(lb, 64);
	struct transfer *first = start(lb, lb->rx, mem, 0, 32);
	struct transfer *second = start(lb, lb->rx, mem, 32, 32);

	wait_for(first);
	KUNIT_EXPECT_EQ(test, DMA_COMPLETE, first->status);
	wait_for(second);
	KUNIT_EXPECT_EQ(test, DMA_COMPLETE, second->status);
}

/* REQ DMAE-11 DMAE-16 */
static void residue_is_what_has_not_moved(struct kunit *test)
{
	struct loopback *lb = make_pair(test);
	struct memory *src = make_source(lb, 512);
	struct memory *dst = make_memory(lb, 512);
	struct transfer *tx, *queued, *submitted;
	u32 residue;
	size_t i;

	tx = start(lb, lb->tx, src, 0, 256);
	queued = start(lb, lb->tx, src, 256, 200);
	submitted = prep(lb, lb->tx, src, 456, 56, 0);
	submit(submitted);

	/* What the receiver has not asked for has not moved. */
	for (i = 0; i < 250; i += 50) {
		expect_residue(tx, 256 - i);
		expect_residue(queued, 200);
		expect_residue(submitted, 56);
		wait_for(start(lb, lb->rx, dst, i, 50));
	}
	expect_residue(tx, 6);

	wait_for(start(lb, lb->rx, dst, 250, 7));
	wait_for(tx);
	KUNIT_EXPECT_EQ(test, DMA_COMPLETE, status_of(tx, &residue));
	KUNIT_EXPECT_EQ(test, 0, residue);
	expect_residue(queued, 199);
	KUNIT_EXPECT_MEMEQ(test, dst->cpu, src->cpu, 257);
}

/* REQ DMAE-11: the same as seen from the receiver */
static void receiver_waits_for_the_sender(struct kunit *test)
{
	struct loopback *lb = make_pair(test);
	struct memory *src = make_source(lb, 64);
	struct memory *dst = make_memory(lb, 64);
	struct transfer *rx = start(lb, lb->rx, dst, 0, 64);

	wait_for(start(lb, lb->tx, src, 0, 24));
	wait_for_residue(rx, 40);
	KUNIT_EXPECT_EQ(test, 0, atomic_read(&rx->calls));
	KUNIT_EXPECT_MEMEQ(test, dst->cpu, src->cpu, 24);
	expect_untouched(lb, dst, 24, 64);

	wait_for(start(lb, lb->tx, src, 24, 40));
	wait_for(rx);
}

/* --- terminate --- */

/* REQ DMAE-13 */
static void terminated_are_not_called_back(struct kunit *test)
{
	struct loopback *lb = make_pair(test);
	struct memory *src = make_source(lb, 192);
	struct memory *dst = make_memory(lb, 192);
	struct transfer *t[3], *rx;
	int i;

	/* One in flight, one behind it, one not issued */
	t[0] = start(lb, lb->tx, src, 0, 64);
	t[1] = start(lb, lb->tx, src, 64, 64);
	t[2] = prep(lb, lb->tx, src, 128, 64, 0);
	submit(t[2]);
	wait_for(start(lb, lb->rx, dst, 0, 16));
	KUNIT_EXPECT_EQ(test, 0, dmaengine_terminate_async(lb->tx));
	dmaengine_synchronize(lb->tx);

	/* Who would take what they had to send gets the next one's. */
	rx = start(lb, lb->rx, dst, 16, 32);
	wait_for(start(lb, lb->tx, src, 100, 32));
	wait_for(rx);
	KUNIT_EXPECT_MEMEQ(test, dst->cpu + 16, src->cpu + 100, 32);
	for (i = 0; i < 3; i++)
		KUNIT_EXPECT_EQ(test, 0, atomic_read(&t[i]->calls));
}

/* REQ DMAE-13 */
static void synchronize_ends_memory_access(struct kunit *test)
{
	struct loopback *lb = make_solo(test);
	struct memory *mem = make_memory(lb, SZ_1M);
	struct transfer *rx;
	int round;

	for (round = 0; round < 40; round++) {
		rx = prep(lb, lb->rx, mem, 0, mem->size, DMA_PREP_REPEAT);
		issue(rx);
		/* In the middle of it, somewhere else each time */
		follow_to_residue(rx, mem->size - 1);
		udelay(100 + 37 * round);
		dmaengine_terminate_async(lb->rx);
		dmaengine_synchronize(lb->rx);

		memset(mem->cpu, POISON, mem->size);
		let_engine_look(lb, lb->tx);
		expect_untouched(lb, mem, 0, mem->size);
		KUNIT_EXPECT_EQ(test, 0, atomic_read(&rx->calls));
	}
}

/*
 * REQ DMAE-13 DMAE-14
 *
 * Complete or not, a transfer is called back once or not at all, and never
 * after synchronize. Here those that are complete are called back.
 */
static void terminate_races_completion(struct kunit *test)
{
	struct loopback *lb = make_solo(test);
	struct memory *mem = make_memory(lb, SZ_64K);
	struct transfer *t[4];
	int round, i, calls, complete = 0;
	u32 residue;

	for (round = 0; round < 200; round++) {
		for (i = 0; i < 4; i++) {
			t[i] = prep(lb, lb->rx, mem, SZ_16K * i, SZ_16K, 0);
			submit(t[i]);
		}
		dma_async_issue_pending(lb->rx);
		/* At any time, or when one of them has just become complete */
		if (round & 1)
			follow_to_residue(t[round / 2 % 4], 0);
		else
			udelay(round);
		dmaengine_terminate_async(lb->rx);
		dmaengine_synchronize(lb->rx);

		for (i = 0; i < 4; i++) {
			calls = atomic_read(&t[i]->calls);
			if (status_of(t[i], &residue) == DMA_COMPLETE) {
				complete++;
				KUNIT_EXPECT_EQ(test, 1, calls);
			} else {
				KUNIT_EXPECT_EQ(test, 0, calls);
			}
		}
	}

	KUNIT_EXPECT_GT(test, complete, 0);
	kunit_info(test, "%d of 800 transfers were complete before", complete);
}

/* REQ DMAE-13 */
static void callback_may_terminate(struct kunit *test)
{
	struct loopback *lb = make_pair(test);
	struct memory *src = make_source(lb, 64);
	struct memory *dst = make_memory(lb, 64);
	struct transfer *first = prep(lb, lb->tx, src, 0, 16, 0);
	struct transfer *second = prep(lb, lb->tx, src, 16, 16, 0);

	first->terminate = true;
	issue(first);
	issue(second);
	wait_for(start(lb, lb->rx, dst, 0, 16));
	wait_for(first);
	KUNIT_EXPECT_EQ(test, 0, first->ret);
	KUNIT_EXPECT_EQ(test, 1, atomic_read(&first->calls));

	expect_loop_works(lb, 32);
	KUNIT_EXPECT_EQ(test, 0, atomic_read(&second->calls));
}

/* REQ DMAE-13 DMAE-19 */
static void terminate_leaves_the_other_channel(struct kunit *test)
{
	struct loopback *lb = make_pair(test);
	struct memory *src = make_source(lb, 64);
	struct memory *dst = make_memory(lb, 64);
	struct transfer *tx = start(lb, lb->tx, src, 0, 64);
	struct transfer *rx;

	wait_for(start(lb, lb->rx, dst, 0, 16));
	KUNIT_ASSERT_EQ(test, 0, dmaengine_terminate_sync(lb->rx));
	expect_residue(tx, 48);

	rx = start(lb, lb->rx, dst, 16, 48);
	wait_for(tx);
	wait_for(rx);
	KUNIT_EXPECT_MEMEQ(test, dst->cpu, src->cpu, 64);
}

/* REQ DMAE-15 */
static void channel_works_after_terminate(struct kunit *test)
{
	struct loopback *lb = make_pair(test);
	struct memory *src = make_source(lb, 64);
	int round;

	for (round = 0; round < 10; round++) {
		start(lb, lb->tx, src, 0, 64);
		KUNIT_ASSERT_EQ(test, 0, dmaengine_terminate_sync(lb->tx));
		start(lb, lb->rx, src, 0, 64);
		KUNIT_ASSERT_EQ(test, 0, dmaengine_terminate_sync(lb->rx));
		/* With nothing to terminate, too */
		KUNIT_ASSERT_EQ(test, 0, dmaengine_terminate_sync(lb->rx));
		expect_loop_works(lb, 100);
	}
}

/* --- both directions --- */

/* REQ DMAE-19 */
static void directions_run_together(struct kunit *test)
{
	struct loopback *lb = make_solo(test);
	struct memory *mem = make_memory(lb, SZ_64K);
	struct transfer *endless, *tx, *rx;

	/* One that never ends must not keep the other one waiting. */
	endless = prep(lb, lb->rx, mem, 0, SZ_64K, DMA_PREP_REPEAT);
	issue(endless);
	tx = start(lb, lb->tx, mem, 0, SZ_64K);
	wait_for(tx);
	KUNIT_ASSERT_EQ(test, 0, dmaengine_terminate_sync(lb->rx));

	endless = prep(lb, lb->tx, mem, 0, SZ_64K, DMA_PREP_REPEAT);
	issue(endless);
	rx = start(lb, lb->rx, mem, 0, SZ_64K);
	wait_for(rx);
	KUNIT_EXPECT_EQ(test, 0, atomic_read(&endless->calls));
}

/*
 * REQ DMAE-19 DMAE-22
 *
 * Callbacks submit on both channels while the test itself does.
 */
static void completions_meet_submissions(struct kunit *test)
{
	struct loopback *lb = make_solo(test);
	struct memory *mem = make_memory(lb, 64);
	const int n = 600;
	struct transfer **t;
	int i;

	t = kunit_kcalloc(test, n, sizeof(*t), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, t);
	for (i = 0; i < n; i++)
		t[i] = prep(lb, i & 1 ? lb->rx : lb->tx, mem, 0, 8, 0);
	/* Every third one of a channel is submitted by its predecessor. */
	for (i = 0; i < n; i++)
		if (i % 6 >= 4)
			t[i - 2]->next = t[i];
	for (i = 0; i < n; i++)
		if (i % 6 < 4)
			issue(t[i]);
	for (i = 0; i < n; i++)
		wait_for(t[i]);

	KUNIT_EXPECT_EQ(test, n, atomic_read(&lb->calls));
}

/* --- transfers that repeat --- */

/* REQ DMAE-18 */
static void repeat_goes_on_until_terminated(struct kunit *test)
{
	struct loopback *lb = make_pair(test);
	struct memory *src = make_source(lb, 64);
	struct memory *dst = make_memory(lb, 64 * 5);
	struct transfer *tx = prep(lb, lb->tx, src, 0, 64, DMA_PREP_REPEAT);
	int i;

	issue(tx);
	wait_for(start(lb, lb->rx, dst, 0, 64 * 4 + 32));
	for (i = 0; i < 4; i++)
		KUNIT_EXPECT_MEMEQ(test, dst->cpu + 64 * i, src->cpu, 64);
	KUNIT_EXPECT_MEMEQ(test, dst->cpu + 64 * 4, src->cpu, 32);
	expect_residue(tx, 32);

	KUNIT_ASSERT_EQ(test, 0, dmaengine_terminate_sync(lb->tx));
	KUNIT_EXPECT_EQ(test, 0, atomic_read(&tx->calls));
	expect_loop_works(lb, 64);
}

/* REQ DMAE-18 */
static void repeat_gives_way_at_its_end(struct kunit *test)
{
	struct loopback *lb = make_pair(test);
	struct memory *src = make_source(lb, 96);
	struct memory *dst = make_memory(lb, 160);
	struct transfer *tx = prep(lb, lb->tx, src, 0, 64, DMA_PREP_REPEAT);
	struct transfer *next;

	issue(tx);
	wait_for(start(lb, lb->rx, dst, 0, 80));
	expect_residue(tx, 48);

	next = prep(lb, lb->tx, src, 64, 32, DMA_PREP_LOAD_EOT);
	issue(next);
	wait_for(start(lb, lb->rx, dst, 80, 80));
	wait_for(tx);
	wait_for(next);
	KUNIT_EXPECT_MEMEQ(test, dst->cpu + 64, src->cpu, 96);
	KUNIT_EXPECT_EQ(test, 1, atomic_read(&tx->calls));
	KUNIT_EXPECT_LT(test, tx->rank, next->rank);
}

/* REQ DMAE-18 */
static void repeat_ignores_who_does_not_replace(struct kunit *test)
{
	struct loopback *lb = make_pair(test);
	struct memory *src = make_source(lb, 96);
	struct memory *dst = make_memory(lb, 256);
	struct transfer *tx = prep(lb, lb->tx, src, 0, 64, DMA_PREP_REPEAT);
	struct transfer *next;

	issue(tx);
	next = start(lb, lb->tx, src, 64, 32);
	wait_for(start(lb, lb->rx, dst, 0, 256));
	KUNIT_EXPECT_MEMEQ(test, dst->cpu + 192, src->cpu, 64);
	expect_residue(next, 32);
	KUNIT_EXPECT_EQ(test, 1, atomic_read(&lb->calls));
}

/* --- source, sink and clock --- */

static void counter_goes_on(struct kunit *test)
{
	struct loopback *lb = make_solo(test);
	struct memory *mem = make_memory(lb, 128);
	struct dma_vec vecs[] = {
		{ .addr = mem->dma, .len = 5 },
		{ .addr = mem->dma + 5, .len = 22 },
	};
	struct transfer *first = prep_vecs(lb, lb->rx, vecs, 2, 0);
	struct transfer *second = prep(lb, lb->rx, mem, 27, 93, 0);
	u32 i;

	issue(first);
	issue(second);
	wait_for(second);
	for (i = 0; i < 30; i++)
		KUNIT_EXPECT_EQ(test, i, get_unaligned_le32(mem->cpu + 4 * i));
	expect_untouched(lb, mem, 120, 128);
}

static void sink_changes_no_memory(struct kunit *test)
{
	struct loopback *lb = make_solo(test);
	struct memory *mem = make_memory(lb, SZ_4K);

	wait_for(start(lb, lb->tx, mem, 0, SZ_4K));
	expect_untouched(lb, mem, 0, SZ_4K);
}

static struct loopback *make_paced(struct kunit *test)
{
	return make_loopback(test, (struct dma_loopback_pdata) {
		.clock = DMA_LOOPBACK_CLOCK_RATE,
		.align = 1,
		.counter = true,
		.discard = true,
	});
}

static void rate_is_not_exceeded(struct kunit *test)
{
	struct loopback *lb = make_paced(test);
	struct memory *mem = make_memory(lb, 1000);
	ktime_t since = ktime_get();

	atomic64_set(&lb->link.rx_rate, 10000);
	wait_for(start(lb, lb->rx, mem, 0, 1000));
	KUNIT_EXPECT_GE(test, ktime_ms_delta(ktime_get(), since),
			1000 * MSEC_PER_SEC / 10000);
}

static void rate_of_nothing_stops(struct kunit *test)
{
	struct loopback *lb = make_paced(test);
	struct memory *mem = make_memory(lb, 64);
	struct transfer *rx = start(lb, lb->rx, mem, 0, 64);

	atomic64_set(&lb->link.tx_rate, 1000000);
	let_engine_look(lb, lb->tx);
	expect_residue(rx, 64);
	expect_untouched(lb, mem, 0, 64);

	atomic64_set(&lb->link.rx_rate, 1000000);
	wait_for(rx);
}

/* --- the life of channels and controller --- */

/* REQ DMAE-21 */
static void released_channel_can_be_requested(struct kunit *test)
{
	struct loopback *lb = make_pair(test);
	struct memory *src = make_source(lb, 64);
	struct transfer *t[3];
	int i;

	expect_loop_works(lb, 64);
	KUNIT_EXPECT_TRUE(test, IS_ERR(dma_request_chan(lb->consumer,
							DMA_LOOPBACK_CHAN_TX)));

	/* With one in flight, one not issued, one not submitted */
	t[0] = start(lb, lb->tx, src, 0, 64);
	t[1] = prep(lb, lb->tx, src, 0, 64, 0);
	submit(t[1]);
	t[2] = prep(lb, lb->tx, src, 0, 64, 0);
	kunit_release_action(test, release_chan, lb->tx);

	lb->tx = request_chan(lb, DMA_LOOPBACK_CHAN_TX);
	expect_loop_works(lb, 64);
	for (i = 0; i < 3; i++)
		KUNIT_EXPECT_EQ(test, 0, atomic_read(&t[i]->calls));
}

/* --- faults --- */

/* Of the next transfer, if @shape does not say which */
static int try_to_arm(struct loopback *lb, struct dma_chan *chan,
		      struct dma_loopback_fault shape)
{
	struct dma_loopback_fault *fault;
	int ret;

	fault = kmemdup(&shape, sizeof(shape), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(lb->test, fault);

	fault->id = ++lb->faults;
	fault->nth = shape.nth ?: 1;
	ret = dma_loopback_fault_add(to_dma_loopback_chan(chan), fault);
	if (ret)
		kfree(fault);

	return ret;
}

/* Return: the number of the fault. */
static u32 arm(struct loopback *lb, struct dma_chan *chan,
	       struct dma_loopback_fault shape)
{
	KUNIT_ASSERT_EQ(lb->test, 0, try_to_arm(lb, chan, shape));

	return lb->faults;
}

static void disarm(struct loopback *lb, struct dma_chan *chan, u32 id)
{
	KUNIT_EXPECT_TRUE(lb->test,
			  dma_loopback_fault_del(to_dma_loopback_chan(chan),
						 id));
}

static size_t faults_of(struct dma_chan *chan)
{
	struct dma_loopback_chan *lc = to_dma_loopback_chan(chan);

	guard(spinlock_irqsave)(&lc->vc.lock);

	return list_count_nodes(&lc->faults);
}

static u32 descriptors_of(struct dma_chan *chan)
{
	struct dma_loopback_chan *lc = to_dma_loopback_chan(chan);

	guard(spinlock_irqsave)(&lc->vc.lock);

	return lc->descriptors;
}

static enum dma_loopback_state state_of(struct dma_chan *chan)
{
	struct dma_loopback_chan *lc = to_dma_loopback_chan(chan);

	guard(spinlock_irqsave)(&lc->vc.lock);

	return lc->state;
}

/* Have the engine do all that it can do, after something has woken it. */
static void let_engine_settle(struct loopback *lb)
{
	flush_delayed_work(&to_dma_loopback(lb->tx->device)->work);
}

/* The event of this type that is transfer @number's, an empty one for none */
static const struct event *event_of(struct loopback *lb, struct dma_chan *chan,
				    u64 number,
				    enum dma_loopback_event_type type)
{
	static const struct event none;
	size_t i;

	take_events(lb->test);
	for (i = 0; i < lb->nr_events; i++) {
		const u64 *val = lb->events[i].val;

		if (val[DMA_LOOPBACK_A_EVENT_CHANNEL] ==
		    dma_loopback_channel(to_dma_loopback_chan(chan)) &&
		    val[DMA_LOOPBACK_A_EVENT_TRANSFER] == number &&
		    val[DMA_LOOPBACK_A_EVENT_TYPE] == type)
			return &lb->events[i];
	}

	return &none;
}

/*
 * What the events tell of a transfer, and of its channel, in order; its fault
 * is gone with what it tells.
 */
static void expect_story(struct transfer *t, const char *expected)
{
	static const char * const names[] = {
		[DMA_LOOPBACK_EVENT_TYPE_SUBMITTED] = "submitted",
		[DMA_LOOPBACK_EVENT_TYPE_ISSUED] = "issued",
		[DMA_LOOPBACK_EVENT_TYPE_STARTED] = "started",
		[DMA_LOOPBACK_EVENT_TYPE_PROGRESSED] = "progressed",
		[DMA_LOOPBACK_EVENT_TYPE_COMPLETED] = "completed",
		[DMA_LOOPBACK_EVENT_TYPE_FAULTED] = "faulted",
		[DMA_LOOPBACK_EVENT_TYPE_TERMINATED] = "terminated",
		[DMA_LOOPBACK_EVENT_TYPE_SYNCHRONIZED] = "synchronized",
	};
	struct loopback *lb = t->lb;
	char story[128] = "";
	size_t i, len = 0;

	take_events(lb->test);
	for (i = 0; i < lb->nr_events; i++) {
		const u64 *val = lb->events[i].val;
		u64 transfer = val[DMA_LOOPBACK_A_EVENT_TRANSFER];

		if (val[DMA_LOOPBACK_A_EVENT_CHANNEL] ==
		    dma_loopback_channel(to_dma_loopback_chan(t->chan)) &&
		    (!transfer || transfer == t->number))
			len += scnprintf(story + len, sizeof(story) - len,
					 "%s%s", len ? " " : "",
					 names[val[DMA_LOOPBACK_A_EVENT_TYPE]]);
	}

	KUNIT_EXPECT_STREQ(lb->test, expected, story);
	KUNIT_EXPECT_EQ(lb->test, 0, faults_of(t->chan));
}

static void expect_result(struct transfer *t,
			  enum dmaengine_tx_result result, u32 residue)
{
	KUNIT_EXPECT_EQ(t->lb->test, 1, atomic_read(&t->calls));
	KUNIT_EXPECT_EQ(t->lb->test, result, t->result.result);
	KUNIT_EXPECT_EQ(t->lb->test, residue, t->result.residue);
}

/* A transfer that comes to an end after @bytes of 64, and the one after it */
static void expect_end(struct loopback *lb, struct dma_chan *chan,
		       enum dma_loopback_fault_kind kind, size_t bytes,
		       enum dmaengine_tx_result result)
{
	struct memory *mem = make_memory(lb, 128);
	struct transfer *faulty, *next;
	const struct event *e;
	u32 id;

	id = arm(lb, chan, (struct dma_loopback_fault) {
		.kind = kind,
		.bytes = bytes,
	});
	faulty = start(lb, chan, mem, 0, 64);
	next = start(lb, chan, mem, 64, 64);
	wait_for(next);
	wait_for(faulty);
	expect_result(faulty, result, 64 - bytes);
	expect_result(next, DMA_TRANS_NOERROR, 0);
	expect_untouched(lb, mem, bytes, 64);

	expect_story(faulty, "submitted issued started faulted completed");
	expect_story(next, "submitted issued started completed");
	e = event_of(lb, chan, faulty->number,
		     DMA_LOOPBACK_EVENT_TYPE_COMPLETED);
	KUNIT_EXPECT_EQ(lb->test, result, e->val[DMA_LOOPBACK_A_EVENT_RESULT]);
	KUNIT_EXPECT_EQ(lb->test, bytes, e->val[DMA_LOOPBACK_A_EVENT_BYTES]);
	KUNIT_EXPECT_EQ(lb->test, 64 - bytes,
			e->val[DMA_LOOPBACK_A_EVENT_RESIDUE]);
	e = event_of(lb, chan, faulty->number, DMA_LOOPBACK_EVENT_TYPE_FAULTED);
	KUNIT_EXPECT_EQ(lb->test, kind, e->val[DMA_LOOPBACK_A_EVENT_KIND]);
	KUNIT_EXPECT_EQ(lb->test, id, e->val[DMA_LOOPBACK_A_EVENT_FAULT]);
}

/* REQ DMAE-11 DMAE-12 */
static void read_error_is_reported(struct kunit *test)
{
	struct loopback *lb = make_solo(test);

	expect_end(lb, lb->rx, DMA_LOOPBACK_FAULT_KIND_READ_ERROR, 24,
		   DMA_TRANS_READ_FAILED);
}

/* REQ DMAE-11 DMAE-12 */
static void write_error_is_reported(struct kunit *test)
{
	struct loopback *lb = make_solo(test);

	expect_end(lb, lb->tx, DMA_LOOPBACK_FAULT_KIND_WRITE_ERROR, 24,
		   DMA_TRANS_WRITE_FAILED);
}

/* REQ DMAE-11 DMAE-12: of either direction, and before the first byte */
static void abort_is_reported(struct kunit *test)
{
	struct loopback *lb = make_solo(test);

	expect_end(lb, lb->rx, DMA_LOOPBACK_FAULT_KIND_ABORT, 24,
		   DMA_TRANS_ABORTED);
	expect_end(lb, lb->tx, DMA_LOOPBACK_FAULT_KIND_ABORT, 0,
		   DMA_TRANS_ABORTED);
}

/* REQ DMAE-11 */
static void short_transfer_has_a_residue(struct kunit *test)
{
	struct loopback *lb = make_solo(test);

	expect_end(lb, lb->rx, DMA_LOOPBACK_FAULT_KIND_SHORT, 24,
		   DMA_TRANS_NOERROR);
	expect_end(lb, lb->tx, DMA_LOOPBACK_FAULT_KIND_SHORT, 0,
		   DMA_TRANS_NOERROR);
}

/* REQ DMAE-12: at the very end, too, where it would begin again */
static void error_ends_what_repeats(struct kunit *test)
{
	struct loopback *lb = make_solo(test);
	struct memory *mem = make_memory(lb, 64);
	struct transfer *rx;

	arm(lb, lb->rx, (struct dma_loopback_fault) {
		.kind = DMA_LOOPBACK_FAULT_KIND_ABORT,
		.bytes = 64,
	});
	rx = prep(lb, lb->rx, mem, 0, 64, DMA_PREP_REPEAT);
	issue(rx);
	wait_for(rx);
	expect_result(rx, DMA_TRANS_ABORTED, 0);
	expect_story(rx, "submitted issued started faulted completed");
}

/* REQ DMAE-02: what failed has sent and received what it says, no byte more */
static void what_fails_takes_no_more_bytes(struct kunit *test)
{
	struct loopback *lb = make_pair(test);
	struct memory *src = make_source(lb, 256);
	struct memory *dst = make_memory(lb, 256);
	struct transfer *tx, *rx, *next;

	arm(lb, lb->tx, (struct dma_loopback_fault) {
		.kind = DMA_LOOPBACK_FAULT_KIND_WRITE_ERROR,
		.bytes = 24,
	});
	arm(lb, lb->rx, (struct dma_loopback_fault) {
		.kind = DMA_LOOPBACK_FAULT_KIND_READ_ERROR,
		.bytes = 50,
	});
	tx = start(lb, lb->tx, src, 0, 64);
	next = start(lb, lb->tx, src, 100, 100);
	rx = start(lb, lb->rx, dst, 0, 64);
	wait_for(start(lb, lb->rx, dst, 128, 74));
	wait_for(tx);
	wait_for(rx);
	wait_for(next);

	KUNIT_EXPECT_MEMEQ(test, dst->cpu, src->cpu, 24);
	KUNIT_EXPECT_MEMEQ(test, dst->cpu + 24, src->cpu + 100, 26);
	expect_untouched(lb, dst, 50, 128);
	KUNIT_EXPECT_MEMEQ(test, dst->cpu + 128, src->cpu + 126, 74);
}

static void stalled_transfer_waits_for_its_fault_to_go(struct kunit *test)
{
	struct loopback *lb = make_solo(test);
	struct memory *mem = make_memory(lb, 128);
	struct transfer *rx, *next;
	u32 id;

	id = arm(lb, lb->rx, (struct dma_loopback_fault) {
		.kind = DMA_LOOPBACK_FAULT_KIND_STALL,
		.bytes = 24,
	});
	rx = start(lb, lb->rx, mem, 0, 64);
	next = start(lb, lb->rx, mem, 64, 64);
	let_engine_settle(lb);
	let_engine_look(lb, lb->tx);
	expect_residue(rx, 40);
	expect_residue(next, 64);
	expect_untouched(lb, mem, 24, 128);
	KUNIT_EXPECT_EQ(test, DMA_LOOPBACK_STATE_HELD, state_of(lb->rx));

	disarm(lb, lb->rx, id);
	wait_for(next);
	wait_for(rx);
	expect_result(rx, DMA_TRANS_NOERROR, 0);
	expect_story(rx,
		     "submitted issued started faulted progressed completed");
	KUNIT_EXPECT_EQ(test, 15, get_unaligned_le32(mem->cpu + 60));
	let_engine_settle(lb);
	KUNIT_EXPECT_EQ(test, DMA_LOOPBACK_STATE_IDLE, state_of(lb->rx));
}

/* REQ DMAE-13 DMAE-15: in the worst state that a channel can be in */
static void stalled_transfer_can_be_terminated(struct kunit *test)
{
	struct loopback *lb = make_solo(test);
	struct memory *mem = make_memory(lb, 64);
	struct transfer *rx;

	arm(lb, lb->rx, (struct dma_loopback_fault) {
		.kind = DMA_LOOPBACK_FAULT_KIND_STALL,
	});
	rx = start(lb, lb->rx, mem, 0, 64);
	let_engine_settle(lb);
	expect_residue(rx, 64);
	KUNIT_ASSERT_EQ(test, 0, dmaengine_terminate_async(lb->rx));
	KUNIT_EXPECT_EQ(test, 0, faults_of(lb->rx));
	dmaengine_synchronize(lb->rx);
	expect_story(rx,
		     "submitted issued started faulted terminated synchronized");

	wait_for(start(lb, lb->rx, mem, 0, 64));
	KUNIT_EXPECT_EQ(test, 0, atomic_read(&rx->calls));
}

static void late_transfer_completes_when_its_fault_goes(struct kunit *test)
{
	struct loopback *lb = make_pair(test);
	struct memory *src = make_source(lb, 64);
	struct memory *dst = make_memory(lb, 64);
	struct transfer *tx, *rx;
	u32 id;

	id = arm(lb, lb->rx, (struct dma_loopback_fault) {
		.kind = DMA_LOOPBACK_FAULT_KIND_LATE,
	});
	rx = start(lb, lb->rx, dst, 0, 64);
	tx = start(lb, lb->tx, src, 0, 64);
	wait_for(tx);
	let_engine_settle(lb);
	expect_residue(rx, 0);
	KUNIT_EXPECT_EQ(test, 0, atomic_read(&rx->calls));
	KUNIT_EXPECT_MEMEQ(test, dst->cpu, src->cpu, 64);

	disarm(lb, lb->rx, id);
	wait_for(rx);
	expect_result(rx, DMA_TRANS_NOERROR, 0);
	KUNIT_EXPECT_EQ(test, 0, faults_of(lb->rx));
}

static void late_transfer_completes_after_its_delay(struct kunit *test)
{
	static const struct dma_loopback_fault late = {
		.kind = DMA_LOOPBACK_FAULT_KIND_LATE,
		.delay = 50,
	};
	struct loopback *lb = make_pair(test);
	struct memory *mem = make_memory(lb, 64);
	ktime_t since = ktime_get();
	struct transfer *rx, *tx;

	arm(lb, lb->rx, late);
	arm(lb, lb->tx, late);
	rx = start(lb, lb->rx, mem, 0, 32);
	tx = start(lb, lb->tx, mem, 32, 32);
	wait_for(rx);
	wait_for(tx);
	KUNIT_EXPECT_GE(test, ktime_ms_delta(ktime_get(), since), 50);
	expect_result(rx, DMA_TRANS_NOERROR, 0);
	expect_result(tx, DMA_TRANS_NOERROR, 0);

	/* What is behind it has to wait as long. */
	since = ktime_get();
	arm(lb, lb->rx, late);
	start(lb, lb->rx, mem, 0, 32);
	wait_for(start(lb, lb->tx, mem, 32, 32));
	expect_loop_works(lb, 32);
	KUNIT_EXPECT_GE(test, ktime_ms_delta(ktime_get(), since), 50);
	KUNIT_EXPECT_EQ(test, 0, faults_of(lb->rx));
}

static void prep_is_refused_once(struct kunit *test)
{
	struct loopback *lb = make_solo(test);
	struct memory *mem = make_memory(lb, 64);
	struct dma_vec vec = { .addr = mem->dma, .len = 16 };
	struct transfer *before, *after;
	const struct event *e;
	struct scatterlist sg;
	u32 id;

	id = arm(lb, lb->rx, (struct dma_loopback_fault) {
		.kind = DMA_LOOPBACK_FAULT_KIND_PREP_REFUSED,
		.nth = 2,
	});
	arm(lb, lb->rx, (struct dma_loopback_fault) {
		.kind = DMA_LOOPBACK_FAULT_KIND_PREP_REFUSED,
		.nth = 3,
	});
	before = prep(lb, lb->rx, mem, 0, 16, 0);
	expect_refused(lb, lb->rx, &vec, 1, DMA_DEV_TO_MEM);

	sg_init_table(&sg, 1);
	sg_dma_address(&sg) = mem->dma;
	sg_dma_len(&sg) = 16;
	KUNIT_EXPECT_NULL(test, dmaengine_prep_slave_sg(lb->rx, &sg, 1,
							DMA_DEV_TO_MEM, 0));
	after = prep(lb, lb->rx, mem, 16, 16, 0);
	KUNIT_EXPECT_EQ(test, 0, faults_of(lb->rx));

	e = event_of(lb, lb->rx, 2, DMA_LOOPBACK_EVENT_TYPE_FAULTED);
	KUNIT_EXPECT_EQ(test, id, e->val[DMA_LOOPBACK_A_EVENT_FAULT]);
	KUNIT_EXPECT_EQ(test, DMA_LOOPBACK_FAULT_KIND_PREP_REFUSED,
			e->val[DMA_LOOPBACK_A_EVENT_KIND]);

	issue(before);
	issue(after);
	wait_for(before);
	wait_for(after);
}

static void submit_error_is_the_cookie(struct kunit *test)
{
	struct loopback *lb = make_solo(test);
	struct memory *mem = make_memory(lb, 64);
	struct transfer *t[3];

	arm(lb, lb->rx, (struct dma_loopback_fault) {
		.kind = DMA_LOOPBACK_FAULT_KIND_SUBMIT_ERROR,
	});
	arm(lb, lb->rx, (struct dma_loopback_fault) {
		.kind = DMA_LOOPBACK_FAULT_KIND_SUBMIT_ERROR,
		.nth = 2,
		.error = ENOSPC,
	});
	t[0] = prep(lb, lb->rx, mem, 0, 16, 0);
	t[1] = prep(lb, lb->rx, mem, 16, 16, 0);
	KUNIT_EXPECT_EQ(test, 2, descriptors_of(lb->rx));
	KUNIT_EXPECT_EQ(test, -EIO, dmaengine_submit(t[0]->tx));
	KUNIT_EXPECT_EQ(test, -ENOSPC, dmaengine_submit(t[1]->tx));
	KUNIT_EXPECT_EQ(test, 0, descriptors_of(lb->rx));

	t[2] = start(lb, lb->rx, mem, 32, 16);
	wait_for(t[2]);
	KUNIT_EXPECT_EQ(test, 1, atomic_read(&lb->calls));
	expect_untouched(lb, mem, 0, 32);
	expect_story(t[0], "faulted");
	expect_story(t[1], "faulted");
	expect_story(t[2], "submitted issued started completed");
}

/* Start a transfer that is held with all of its bytes moved, by a @kind. */
static struct transfer *start_held(struct loopback *lb,
				   enum dma_loopback_fault_kind kind)
{
	struct memory *mem = make_memory(lb, 64);
	struct transfer *rx;

	arm(lb, lb->rx, (struct dma_loopback_fault) { .kind = kind });
	rx = start(lb, lb->rx, mem, 0, 64);
	let_engine_settle(lb);
	let_engine_look(lb, lb->tx);
	expect_residue(rx, 0);
	KUNIT_EXPECT_EQ(lb->test, 0, atomic_read(&rx->calls));

	return rx;
}

/* A channel whose transfer was called back once: not again, and it works. */
static void expect_no_more_calls(struct transfer *t)
{
	struct loopback *lb = t->lb;

	wait_for(start(lb, t->chan, make_memory(lb, 64), 0, 64));
	let_engine_look(lb, lb->tx);
	KUNIT_ASSERT_EQ(lb->test, 0, dmaengine_terminate_sync(t->chan));
	expect_result(t, DMA_TRANS_NOERROR, 0);
	KUNIT_EXPECT_EQ(lb->test, DMA_COMPLETE, t->status);
}

/* REQ DMAE-09 DMAE-14 */
static void completes_just_before_terminate(struct kunit *test)
{
	struct loopback *lb = make_solo(test);
	struct transfer *rx;

	rx = start_held(lb, DMA_LOOPBACK_FAULT_KIND_BEFORE_TERMINATE);
	KUNIT_EXPECT_EQ(test, 0, dmaengine_terminate_async(lb->rx));
	dmaengine_synchronize(lb->rx);
	KUNIT_EXPECT_EQ(test, 1, atomic_read(&rx->calls));
	expect_story(rx,
		     "submitted issued started faulted progressed completed synchronized");
	expect_no_more_calls(rx);
}

/* REQ DMAE-09 DMAE-14 */
static void completes_just_after_terminate(struct kunit *test)
{
	struct loopback *lb = make_solo(test);
	struct transfer *rx;

	rx = start_held(lb, DMA_LOOPBACK_FAULT_KIND_AFTER_TERMINATE);
	KUNIT_EXPECT_EQ(test, 0, dmaengine_terminate_async(lb->rx));
	dmaengine_synchronize(lb->rx);
	KUNIT_EXPECT_EQ(test, 1, atomic_read(&rx->calls));
	expect_story(rx,
		     "submitted issued started faulted progressed terminated completed synchronized");
	expect_no_more_calls(rx);
}

/* @n vectors of one @kind of fault must be @segs segments, and all arrive. */
static void expect_segments(struct loopback *lb,
			    struct dma_loopback_fault fault,
			    const struct dma_vec *vecs, size_t n, u32 segs,
			    struct memory *dst, size_t len)
{
	struct transfer *tx, *rx;
	const struct event *e;

	arm(lb, lb->tx, fault);
	tx = prep_vecs(lb, lb->tx, vecs, n, 0);
	issue(tx);
	rx = start(lb, lb->rx, dst, 0, len);
	wait_for(tx);
	wait_for(rx);
	expect_untouched(lb, dst, len, dst->size);
	e = event_of(lb, lb->tx, tx->number, DMA_LOOPBACK_EVENT_TYPE_COMPLETED);
	KUNIT_EXPECT_EQ(lb->test, segs,
			e->val[DMA_LOOPBACK_A_EVENT_SEGMENTS]);
	e = event_of(lb, lb->tx, tx->number, DMA_LOOPBACK_EVENT_TYPE_FAULTED);
	KUNIT_EXPECT_EQ(lb->test, fault.kind,
			e->val[DMA_LOOPBACK_A_EVENT_KIND]);
	KUNIT_EXPECT_EQ(lb->test, 0, faults_of(lb->tx));
}

/* REQ DMAE-02 DMAE-06 */
static void split_keeps_the_data(struct kunit *test)
{
	struct dma_loopback_pdata shape = { .align = 1, .max_segs = 4 };
	struct dma_loopback_fault split = {
		.kind = DMA_LOOPBACK_FAULT_KIND_SPLIT,
		.bytes = 17,
	};
	struct loopback *lb = make_loopback(test, shape);
	struct memory *src = make_source(lb, 64);
	struct memory *dst = make_memory(lb, 80);
	struct dma_vec vecs[] = {
		{ .addr = src->dma, .len = 33 },
		{ .addr = src->dma + 33, .len = 31 },
	};

	/* 17 + 16 and 17 + 14 bytes */
	expect_segments(lb, split, vecs, 2, 4, dst, 64);
	KUNIT_EXPECT_MEMEQ(test, dst->cpu, src->cpu, 64);

	/* 16 + 16 + 1 and 16 + 15 are too many. */
	split.bytes = 16;
	arm(lb, lb->tx, split);
	expect_refused(lb, lb->tx, vecs, 2, DMA_MEM_TO_DEV);
	KUNIT_EXPECT_EQ(test, 0, faults_of(lb->tx));
}

/* REQ DMAE-06 */
static void split_does_not_lift_the_limit(struct kunit *test)
{
	struct dma_loopback_pdata shape = { .align = 1, .max_seg_size = 10 };
	struct dma_loopback_fault split = {
		.kind = DMA_LOOPBACK_FAULT_KIND_SPLIT,
		.bytes = 17,
	};
	struct loopback *lb = make_loopback(test, shape);
	struct memory *src = make_source(lb, 64);
	struct memory *dst = make_memory(lb, 80);
	struct dma_vec vec = { .addr = src->dma, .len = 64 };

	expect_segments(lb, split, &vec, 1, 7, dst, 64);
	KUNIT_EXPECT_MEMEQ(test, dst->cpu, src->cpu, 64);
}

/* REQ DMAE-02 DMAE-06 */
static void coalescing_keeps_the_data(struct kunit *test)
{
	struct dma_loopback_pdata shape = { .align = 1, .max_segs = 2 };
	struct dma_loopback_fault coalesce = {
		.kind = DMA_LOOPBACK_FAULT_KIND_COALESCE,
	};
	struct loopback *lb = make_loopback(test, shape);
	struct memory *src = make_source(lb, 64);
	struct memory *dst = make_memory(lb, 80);
	struct dma_vec vecs[] = {
		{ .addr = src->dma, .len = 10 },
		{ .addr = src->dma + 10, .len = 20 },
		{ .addr = src->dma + 40, .len = 8 },
		{ .addr = src->dma + 48, .len = 16 },
	};

	expect_refused(lb, lb->tx, vecs, 4, DMA_MEM_TO_DEV);
	expect_segments(lb, coalesce, vecs, 4, 2, dst, 54);
	KUNIT_EXPECT_MEMEQ(test, dst->cpu, src->cpu, 30);
	KUNIT_EXPECT_MEMEQ(test, dst->cpu + 30, src->cpu + 40, 24);
}

static void start_fails_when_it_is_to(struct kunit *test)
{
	struct loopback *lb = make_pair(test);
	struct dma_loopback_link *link = &lb->link;

	arm(lb, lb->tx, (struct dma_loopback_fault) {
		.kind = DMA_LOOPBACK_FAULT_KIND_ENABLE_BEFORE,
	});
	arm(lb, lb->tx, (struct dma_loopback_fault) {
		.kind = DMA_LOOPBACK_FAULT_KIND_ENABLE_AFTER,
		.nth = 2,
		.error = ENOSPC,
	});
	KUNIT_EXPECT_EQ(test, 0, link->start(link, DMA_DEV_TO_MEM, false));
	KUNIT_EXPECT_EQ(test, -EIO, link->start(link, DMA_MEM_TO_DEV, false));
	KUNIT_EXPECT_EQ(test, 0, link->start(link, DMA_MEM_TO_DEV, false));
	KUNIT_EXPECT_EQ(test, -ENOSPC,
			link->start(link, DMA_MEM_TO_DEV, true));
	KUNIT_EXPECT_EQ(test, 0, link->start(link, DMA_MEM_TO_DEV, false));
	KUNIT_EXPECT_EQ(test, 0, link->start(link, DMA_MEM_TO_DEV, true));
	KUNIT_EXPECT_EQ(test, 0, faults_of(lb->tx));
}

static void one_fault_for_a_transfer(struct kunit *test)
{
	struct dma_loopback_fault stall = {
		.kind = DMA_LOOPBACK_FAULT_KIND_STALL,
		.nth = 3,
	};
	struct dma_loopback_fault before = {
		.kind = DMA_LOOPBACK_FAULT_KIND_ENABLE_BEFORE,
		.nth = 3,
	};
	struct dma_loopback_fault after = {
		.kind = DMA_LOOPBACK_FAULT_KIND_ENABLE_AFTER,
		.nth = 3,
	};
	struct loopback *lb = make_solo(test);
	struct memory *mem = make_memory(lb, 16);
	u32 id;

	arm(lb, lb->rx, stall);
	KUNIT_EXPECT_EQ(test, -EEXIST, try_to_arm(lb, lb->rx, stall));

	/* The same one when it is the next but one */
	wait_for(start(lb, lb->rx, mem, 0, 16));
	stall.nth = 2;
	KUNIT_EXPECT_EQ(test, -EEXIST, try_to_arm(lb, lb->rx, stall));
	stall.nth = 3;
	id = arm(lb, lb->rx, stall);

	/* Starts are counted by themselves, and so are channels. */
	KUNIT_EXPECT_EQ(test, 0, try_to_arm(lb, lb->rx, before));
	KUNIT_EXPECT_EQ(test, -EEXIST, try_to_arm(lb, lb->rx, after));
	KUNIT_EXPECT_EQ(test, 0, try_to_arm(lb, lb->tx, stall));
	KUNIT_EXPECT_EQ(test, 3, faults_of(lb->rx));

	disarm(lb, lb->rx, id);
	KUNIT_EXPECT_EQ(test, 2, faults_of(lb->rx));
	KUNIT_EXPECT_FALSE(test,
			   dma_loopback_fault_del(to_dma_loopback_chan(lb->rx),
						  id));
	disarm(lb, lb->rx, 0);
	KUNIT_EXPECT_EQ(test, 0, faults_of(lb->rx));
	KUNIT_EXPECT_EQ(test, 1, faults_of(lb->tx));
}

static void destroy_cache(void *cache)
{
	kmem_cache_destroy(cache);
}

/* Memory of a cache of its own, which tells when it goes what it still has */
static void unbinding_deletes_faults(struct kunit *test)
{
	struct loopback *lb = make_pair(test);
	struct dma_loopback_chan *lc[] = {
		to_dma_loopback_chan(lb->tx),
		to_dma_loopback_chan(lb->rx),
	};
	struct kunit_resource resource;
	struct dma_loopback_fault *fault;
	struct kmem_cache *cache;
	int i, leaked = 0;

	cache = kmem_cache_create("dma_loopback_fault", sizeof(*fault), 0,
				  SLAB_NO_MERGE, NULL);
	KUNIT_ASSERT_NOT_NULL(test, cache);
	KUNIT_ASSERT_EQ(test, 0,
			kunit_add_action_or_reset(test, destroy_cache, cache));

	for (i = 0; i < 4; i++) {
		fault = kmem_cache_zalloc(cache, GFP_KERNEL);
		KUNIT_ASSERT_NOT_NULL(test, fault);
		fault->id = i + 1;
		fault->kind = DMA_LOOPBACK_FAULT_KIND_STALL;
		fault->nth = i / 2 + 1;
		KUNIT_ASSERT_EQ(test, 0,
				dma_loopback_fault_add(lc[i % 2], fault));
	}

	/* One of them is of a transfer that was prepared. */
	prep(lb, lb->tx, make_memory(lb, 16), 0, 16, 0);
	kunit_release_action(test, release_chan, lb->tx);
	kunit_release_action(test, release_chan, lb->rx);
	/* There is nothing left for the end of the test to terminate. */
	test->priv = NULL;
	device_release_driver(&lb->dma->dev);
	KUNIT_EXPECT_NULL(test, lb->link.start);

	/* What mm/slub.c counts in, instead of a warning */
	KUNIT_ASSERT_EQ(test, 0,
			kunit_add_named_resource(test, NULL, NULL, &resource,
						 "slab_errors", &leaked));
	kunit_release_action(test, destroy_cache, cache);
	KUNIT_EXPECT_EQ_MSG(test, 0, leaked, "faults were left");
	kunit_destroy_named_resource(test, "slab_errors");
}

/* --- faults that no controller may have --- */

static void double_completion_calls_twice(struct kunit *test)
{
	struct dma_loopback_fault twice = {
		.kind = DMA_LOOPBACK_FAULT_KIND_DOUBLE,
	};
	struct loopback *lb = make_solo(test);
	struct memory *mem = make_memory(lb, 64);
	struct transfer *rx;
	u32 id;

	id = arm(lb, lb->rx, twice);
	rx = start(lb, lb->rx, mem, 0, 64);
	wait_for(rx);
	wait_for(start(lb, lb->rx, mem, 0, 64));
	expect_result(rx, DMA_TRANS_NOERROR, 0);
	KUNIT_EXPECT_EQ(test, 1, faults_of(lb->rx));

	disarm(lb, lb->rx, id);
	wait_for(rx);
	expect_story(rx,
		     "submitted issued started faulted completed completed");

	/* Once, if the channel is terminated before */
	arm(lb, lb->rx, twice);
	rx = start(lb, lb->rx, mem, 0, 64);
	wait_for(rx);
	KUNIT_ASSERT_EQ(test, 0, dmaengine_terminate_sync(lb->rx));
	let_engine_look(lb, lb->tx);
	expect_result(rx, DMA_TRANS_NOERROR, 0);
	expect_story(rx,
		     "submitted issued started faulted completed synchronized");
}

static void stray_completion_comes_after_synchronize(struct kunit *test)
{
	struct loopback *lb = make_solo(test);
	struct transfer *rx;

	rx = start_held(lb, DMA_LOOPBACK_FAULT_KIND_AFTER_SYNCHRONIZE);
	KUNIT_ASSERT_EQ(test, 0, dmaengine_terminate_sync(lb->rx));
	wait_for(rx);
	expect_story(rx,
		     "submitted issued started faulted progressed terminated synchronized completed");
	expect_no_more_calls(rx);
}

static void reordered_transfer_lets_the_next_one_pass(struct kunit *test)
{
	struct dma_loopback_fault reorder = {
		.kind = DMA_LOOPBACK_FAULT_KIND_REORDER,
	};
	struct loopback *lb = make_solo(test);
	struct memory *mem = make_memory(lb, 64);
	struct transfer *first, *second;
	u32 id, residue;

	arm(lb, lb->rx, reorder);
	first = start(lb, lb->rx, mem, 0, 32);
	let_engine_settle(lb);
	expect_residue(first, 0);
	second = start(lb, lb->rx, mem, 32, 32);
	wait_for(first);
	wait_for(second);
	KUNIT_EXPECT_LT(test, second->rank, first->rank);
	KUNIT_EXPECT_EQ(test, DMA_COMPLETE, status_of(second, &residue));
	KUNIT_EXPECT_EQ(test, 8, get_unaligned_le32(mem->cpu + 32));
	expect_story(first, "submitted issued started faulted completed");

	/* Nobody comes: the fault goes, or the channel is terminated. */
	id = arm(lb, lb->rx, reorder);
	first = start(lb, lb->rx, mem, 0, 32);
	let_engine_settle(lb);
	disarm(lb, lb->rx, id);
	wait_for(first);

	arm(lb, lb->rx, reorder);
	first = start(lb, lb->rx, mem, 0, 32);
	let_engine_settle(lb);
	KUNIT_ASSERT_EQ(test, 0, dmaengine_terminate_sync(lb->rx));
	expect_story(first,
		     "submitted issued started faulted terminated synchronized");
	KUNIT_EXPECT_EQ(test, 0, atomic_read(&first->calls));
}

/* @wrong is @right but for the byte at @pos. */
static void expect_one_wrong_byte(struct kunit *test, const u8 *right,
				  u8 *wrong, size_t pos, size_t len)
{
	KUNIT_EXPECT_EQ(test, (u8)~right[pos], wrong[pos]);
	wrong[pos] = right[pos];
	KUNIT_EXPECT_MEMEQ(test, wrong, right, len);
}

static void wrong_byte_is_wrong_alone(struct kunit *test)
{
	struct loopback *lb = make_pair(test);
	struct memory *src = make_source(lb, 64);
	struct memory *dst = make_memory(lb, 64);
	struct transfer *tx, *rx;

	arm(lb, lb->tx, (struct dma_loopback_fault) {
		.kind = DMA_LOOPBACK_FAULT_KIND_WRONG_BYTES,
		.bytes = 40,
	});
	arm(lb, lb->rx, (struct dma_loopback_fault) {
		.kind = DMA_LOOPBACK_FAULT_KIND_WRONG_BYTES,
		.nth = 2,
	});
	tx = start(lb, lb->tx, src, 0, 64);
	rx = start(lb, lb->rx, dst, 0, 64);
	wait_for(tx);
	wait_for(rx);
	expect_one_wrong_byte(test, src->cpu, dst->cpu, 40, 64);

	tx = start(lb, lb->tx, src, 0, 64);
	rx = start(lb, lb->rx, dst, 0, 64);
	wait_for(tx);
	wait_for(rx);
	expect_one_wrong_byte(test, src->cpu, dst->cpu, 0, 64);
	KUNIT_EXPECT_EQ(test, 0, faults_of(lb->tx));
	KUNIT_EXPECT_EQ(test, 0, faults_of(lb->rx));
}

/* --- the step clock --- */

static struct loopback *make_stepped(struct kunit *test, bool solo)
{
	return make_loopback(test, (struct dma_loopback_pdata) {
		.clock = DMA_LOOPBACK_CLOCK_STEP,
		.align = 4,
		.counter = solo,
		.discard = solo,
	});
}

static void step(struct loopback *lb, struct dma_chan *chan, u32 transfers,
		 u32 bytes)
{
	dma_loopback_step(to_dma_loopback_chan(chan), transfers, bytes);
	let_engine_settle(lb);
}

static void nothing_moves_without_a_step(struct kunit *test)
{
	struct loopback *lb = make_stepped(test, true);
	struct memory *mem = make_memory(lb, 64);
	struct transfer *rx = start(lb, lb->rx, mem, 0, 64);
	struct transfer *tx = start(lb, lb->tx, mem, 0, 64);

	let_engine_settle(lb);
	expect_residue(rx, 64);
	expect_residue(tx, 64);
	expect_untouched(lb, mem, 0, 64);
	KUNIT_EXPECT_EQ(test, DMA_LOOPBACK_STATE_WAITING, state_of(lb->rx));

	/* Not for a transfer without a byte either */
	KUNIT_ASSERT_EQ(test, 0, dmaengine_terminate_sync(lb->tx));
	arm(lb, lb->tx, (struct dma_loopback_fault) {
		.kind = DMA_LOOPBACK_FAULT_KIND_ABORT,
	});
	tx = start(lb, lb->tx, mem, 0, 64);
	let_engine_settle(lb);
	expect_residue(tx, 64);
	step(lb, lb->tx, 1, 0);
	wait_for(tx);
	expect_residue(rx, 64);
}

static void step_releases_transfers(struct kunit *test)
{
	struct loopback *lb = make_stepped(test, true);
	struct memory *mem = make_memory(lb, 256);
	struct transfer *t[4];
	int i;

	for (i = 0; i < 3; i++)
		t[i] = start(lb, lb->rx, mem, 64 * i, 64);
	step(lb, lb->rx, 1, 0);
	wait_for(t[0]);
	expect_residue(t[1], 64);

	/* One more than there are now, one less than there will be */
	step(lb, lb->rx, 3, 0);
	wait_for(t[1]);
	wait_for(t[2]);
	t[3] = start(lb, lb->rx, mem, 192, 32);
	wait_for(t[3]);
	t[3] = start(lb, lb->rx, mem, 224, 32);
	let_engine_settle(lb);
	expect_residue(t[3], 32);
	expect_untouched(lb, mem, 224, 256);
}

static void step_releases_bytes(struct kunit *test)
{
	struct loopback *lb = make_stepped(test, true);
	struct memory *mem = make_memory(lb, 128);
	struct transfer *rx = start(lb, lb->rx, mem, 0, 64);
	struct transfer *next = start(lb, lb->rx, mem, 64, 64);

	step(lb, lb->rx, 0, 24);
	expect_residue(rx, 40);
	expect_untouched(lb, mem, 24, 128);

	/* In units of the alignment; what is less is not forgotten. */
	step(lb, lb->rx, 0, 6);
	expect_residue(rx, 36);
	step(lb, lb->rx, 0, 2);
	expect_residue(rx, 32);
	expect_untouched(lb, mem, 32, 128);

	step(lb, lb->rx, 0, 48);
	wait_for(rx);
	expect_residue(next, 48);
	expect_untouched(lb, mem, 80, 128);

	/* A transfer is what is left of it. */
	step(lb, lb->rx, 1, 0);
	wait_for(next);
}

static void terminate_drops_what_was_released(struct kunit *test)
{
	struct loopback *lb = make_stepped(test, true);
	struct memory *mem = make_memory(lb, 64);
	struct transfer *rx;

	step(lb, lb->rx, 3, 0);
	step(lb, lb->rx, 0, 100);
	KUNIT_ASSERT_EQ(test, 0, dmaengine_terminate_sync(lb->rx));
	rx = start(lb, lb->rx, mem, 0, 64);
	let_engine_settle(lb);
	expect_residue(rx, 64);

	/* The half of one that was terminated is nobody else's. */
	step(lb, lb->rx, 0, 32);
	expect_residue(rx, 32);
	KUNIT_ASSERT_EQ(test, 0, dmaengine_terminate_sync(lb->rx));
	rx = start(lb, lb->rx, mem, 0, 64);
	step(lb, lb->rx, 0, 16);
	expect_residue(rx, 48);
}

/* A transfer that has moved by bytes leaves a released one to the next. */
static void step_is_for_one_transfer(struct kunit *test)
{
	struct loopback *lb = make_stepped(test, true);
	struct memory *mem = make_memory(lb, 128);
	struct transfer *rx, *next;
	u32 id;

	id = arm(lb, lb->rx, (struct dma_loopback_fault) {
		.kind = DMA_LOOPBACK_FAULT_KIND_LATE,
	});
	rx = start(lb, lb->rx, mem, 0, 64);
	next = start(lb, lb->rx, mem, 64, 64);
	step(lb, lb->rx, 0, 64);
	expect_residue(rx, 0);
	step(lb, lb->rx, 1, 0);
	disarm(lb, lb->rx, id);
	wait_for(rx);
	wait_for(next);
}

/* A fault can have stopped the transfer anywhere. */
static void step_goes_on_from_an_odd_byte(struct kunit *test)
{
	struct loopback *lb = make_stepped(test, true);
	struct memory *mem = make_memory(lb, 64);
	struct transfer *rx;
	u32 id;

	id = arm(lb, lb->rx, (struct dma_loopback_fault) {
		.kind = DMA_LOOPBACK_FAULT_KIND_STALL,
		.bytes = 5,
	});
	rx = start(lb, lb->rx, mem, 0, 64);
	step(lb, lb->rx, 0, 8);
	expect_residue(rx, 59);

	disarm(lb, lb->rx, id);
	let_engine_settle(lb);
	expect_residue(rx, 56);
	step(lb, lb->rx, 0, 4);
	expect_residue(rx, 52);
	expect_untouched(lb, mem, 12, 64);
}

static void both_channels_need_a_step(struct kunit *test)
{
	struct loopback *lb = make_stepped(test, false);
	struct memory *src = make_source(lb, 64);
	struct memory *dst = make_memory(lb, 64);
	struct transfer *tx = start(lb, lb->tx, src, 0, 64);
	struct transfer *rx = start(lb, lb->rx, dst, 0, 64);

	step(lb, lb->rx, 1, 0);
	expect_residue(tx, 64);
	expect_residue(rx, 64);

	step(lb, lb->tx, 0, 20);
	expect_residue(tx, 44);
	expect_residue(rx, 44);
	KUNIT_EXPECT_MEMEQ(test, dst->cpu, src->cpu, 20);
	expect_untouched(lb, dst, 20, 64);

	step(lb, lb->tx, 1, 0);
	wait_for(tx);
	wait_for(rx);
	KUNIT_EXPECT_MEMEQ(test, dst->cpu, src->cpu, 64);
}

/* --- other shapes --- */

static void without_a_peer_there_is_only_waiting(struct kunit *test)
{
	struct dma_loopback_pdata shape = { .align = 1, .counter = true };
	struct loopback *lb = make_loopback(test, shape);
	struct memory *mem = make_memory(lb, 64);
	struct transfer *tx = start(lb, lb->tx, mem, 0, 64);

	wait_for(start(lb, lb->rx, mem, 0, 64));
	let_engine_settle(lb);
	expect_residue(tx, 64);
	KUNIT_EXPECT_EQ(test, DMA_LOOPBACK_STATE_WAITING, state_of(lb->tx));
	KUNIT_EXPECT_EQ(test, DMA_LOOPBACK_STATE_IDLE, state_of(lb->rx));
}

static void without_vectors_there_are_scatter_lists(struct kunit *test)
{
	struct dma_loopback_pdata shape = { .align = 1, .no_vectors = true };
	struct loopback *lb = make_loopback(test, shape);
	struct memory *mem = make_source(lb, 32);
	struct dma_vec vec = { .addr = mem->dma, .len = 16 };
	struct transfer *t[2];
	struct scatterlist sg;
	int i;

	expect_refused(lb, lb->tx, &vec, 1, DMA_MEM_TO_DEV);

	for (i = 0; i < 2; i++) {
		t[i] = make_transfer(lb, i ? lb->rx : lb->tx);
		sg_init_table(&sg, 1);
		sg_dma_address(&sg) = mem->dma + 16 * i;
		sg_dma_len(&sg) = 16;
		t[i]->tx = dmaengine_prep_slave_sg(t[i]->chan, &sg, 1,
						   t[i]->dir, 0);
		KUNIT_ASSERT_NOT_NULL(test, t[i]->tx);
		hook(t[i]);
		issue(t[i]);
	}
	wait_for(t[0]);
	wait_for(t[1]);
	KUNIT_EXPECT_MEMEQ(test, mem->cpu + 16, mem->cpu, 16);
}

static struct kunit_case loopback_test_cases[] = {
	KUNIT_CASE(caps_name_the_alignment),
	KUNIT_CASE(config_takes_advertised_widths),
	KUNIT_CASE(prep_refuses_wrong_direction),
	KUNIT_CASE(prep_refuses_nothing_to_do),
	KUNIT_CASE(prep_refuses_misaligned_address),
	KUNIT_CASE(prep_refuses_misaligned_length),
	KUNIT_CASE(prep_refuses_memory_out_of_reach),
	KUNIT_CASE(prep_refuses_too_many_segments),
	KUNIT_CASE(prep_copies_the_vectors),
	KUNIT_CASE(nothing_sleeps),
	KUNIT_CASE(vectors_go_in_array_order),
	KUNIT_CASE(scatter_list_goes_in_order),
	KUNIT_CASE(long_vectors_are_split),
	KUNIT_CASE(mapped_pages_work),
	KUNIT_CASE(submit_only_queues),
	KUNIT_CASE(issue_starts_all_submitted),
	KUNIT_CASE(transfers_chain_in_order),
	KUNIT_CASE(callback_comes_once),
	KUNIT_CASE(callback_may_use_the_channel),
	KUNIT_CASE(result_is_of_the_transfer),
	KUNIT_CASE(cookies_increase),
	KUNIT_CASE(complete_when_called_back),
	KUNIT_CASE(residue_is_what_has_not_moved),
	KUNIT_CASE(receiver_waits_for_the_sender),
	KUNIT_CASE(terminated_are_not_called_back),
	KUNIT_CASE(synchronize_ends_memory_access),
	KUNIT_CASE(terminate_races_completion),
	KUNIT_CASE(callback_may_terminate),
	KUNIT_CASE(terminate_leaves_the_other_channel),
	KUNIT_CASE(channel_works_after_terminate),
	KUNIT_CASE(directions_run_together),
	KUNIT_CASE(completions_meet_submissions),
	KUNIT_CASE(repeat_goes_on_until_terminated),
	KUNIT_CASE(repeat_gives_way_at_its_end),
	KUNIT_CASE(repeat_ignores_who_does_not_replace),
	KUNIT_CASE(counter_goes_on),
	KUNIT_CASE(sink_changes_no_memory),
	KUNIT_CASE(rate_is_not_exceeded),
	KUNIT_CASE(rate_of_nothing_stops),
	KUNIT_CASE(released_channel_can_be_requested),
	KUNIT_CASE(read_error_is_reported),
	KUNIT_CASE(write_error_is_reported),
	KUNIT_CASE(abort_is_reported),
	KUNIT_CASE(short_transfer_has_a_residue),
	KUNIT_CASE(error_ends_what_repeats),
	KUNIT_CASE(what_fails_takes_no_more_bytes),
	KUNIT_CASE(stalled_transfer_waits_for_its_fault_to_go),
	KUNIT_CASE(stalled_transfer_can_be_terminated),
	KUNIT_CASE(late_transfer_completes_when_its_fault_goes),
	KUNIT_CASE(late_transfer_completes_after_its_delay),
	KUNIT_CASE(prep_is_refused_once),
	KUNIT_CASE(submit_error_is_the_cookie),
	KUNIT_CASE(completes_just_before_terminate),
	KUNIT_CASE(completes_just_after_terminate),
	KUNIT_CASE(split_keeps_the_data),
	KUNIT_CASE(split_does_not_lift_the_limit),
	KUNIT_CASE(coalescing_keeps_the_data),
	KUNIT_CASE(start_fails_when_it_is_to),
	KUNIT_CASE(one_fault_for_a_transfer),
	KUNIT_CASE(unbinding_deletes_faults),
	KUNIT_CASE(double_completion_calls_twice),
	KUNIT_CASE(stray_completion_comes_after_synchronize),
	KUNIT_CASE(reordered_transfer_lets_the_next_one_pass),
	KUNIT_CASE(wrong_byte_is_wrong_alone),
	KUNIT_CASE(nothing_moves_without_a_step),
	KUNIT_CASE(step_releases_transfers),
	KUNIT_CASE(step_releases_bytes),
	KUNIT_CASE(terminate_drops_what_was_released),
	KUNIT_CASE(step_is_for_one_transfer),
	KUNIT_CASE(step_goes_on_from_an_odd_byte),
	KUNIT_CASE(both_channels_need_a_step),
	KUNIT_CASE(without_a_peer_there_is_only_waiting),
	KUNIT_CASE(without_vectors_there_are_scatter_lists),
	{}
};

static struct kunit_suite loopback_test_suite = {
	.name = "dma_loopback",
	.suite_init = loopback_suite_init,
	.suite_exit = loopback_suite_exit,
	.init = loopback_test_init,
	.exit = loopback_test_exit,
	.test_cases = loopback_test_cases,
};

kunit_test_suite(loopback_test_suite);

MODULE_DESCRIPTION("KUnit tests of the loopback DMA controller");
MODULE_LICENSE("GPL");
MODULE_IMPORT_NS(EXPORTED_FOR_KUNIT_TESTING);
MODULE_SOFTDEP("pre: " DMA_LOOPBACK_DRV_NAME);

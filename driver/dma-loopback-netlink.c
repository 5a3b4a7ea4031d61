// SPDX-License-Identifier: GPL-2.0
/*
 * Control interface of the loopback DMA controller, a generic netlink family
 *
 * Documentation/netlink/specs/dma_loopback.yaml specifies it, and what follows
 * from that alone is generated: dma-loopback-genl.c. Here is the rest.
 */

#include <linux/cleanup.h>
#include <linux/err.h>
#include <linux/kconfig.h>
#include <linux/list.h>
#include <linux/mutex.h>
#include <linux/skbuff.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <net/genetlink.h>

#include "dma-loopback-core.h"
#include "dma-loopback-genl.h"

/* Protects the list, and what is on it from leaving. */
static DEFINE_MUTEX(dma_loopback_mutex);
static LIST_HEAD(dma_loopback_controllers);
/* Changes with the list, never 0 */
static unsigned int dma_loopback_generation = 1;

static void dma_loopback_nl_changed(void)
{
	lockdep_assert_held(&dma_loopback_mutex);

	if (!++dma_loopback_generation)
		dma_loopback_generation = 1;
}

void dma_loopback_nl_add(struct dma_loopback *dl)
{
	guard(mutex)(&dma_loopback_mutex);

	list_add_tail(&dl->node, &dma_loopback_controllers);
	dma_loopback_nl_changed();
}

/* Nobody can control @dl any more, and all its faults are gone. */
void dma_loopback_nl_del(struct dma_loopback *dl)
{
	scoped_guard(mutex, &dma_loopback_mutex) {
		list_del(&dl->node);
		dma_loopback_nl_changed();
	}

	dma_loopback_fault_del(&dl->tx, 0);
	dma_loopback_fault_del(&dl->rx, 0);
}

int dma_loopback_nl_init(void)
{
	return genl_register_family(&dma_loopback_nl_family);
}

void dma_loopback_nl_exit(void)
{
	genl_unregister_family(&dma_loopback_nl_family);
}

/* --- what requests name --- */

static u32 dma_loopback_nl_u32(const struct nlattr *attr, u32 without)
{
	return attr ? nla_get_u32(attr) : without;
}

static struct dma_loopback *dma_loopback_nl_find(struct genl_info *info,
						 int attr)
{
	struct dma_loopback *dl;
	u32 instance;

	lockdep_assert_held(&dma_loopback_mutex);

	if (GENL_REQ_ATTR_CHECK(info, attr)) {
		NL_SET_ERR_MSG(info->extack, "which instance?");
		return ERR_PTR(-EINVAL);
	}

	instance = nla_get_u32(info->attrs[attr]);
	list_for_each_entry(dl, &dma_loopback_controllers, node) {
		if (dl->instance == instance)
			return dl;
	}

	NL_SET_ERR_MSG_ATTR(info->extack, info->attrs[attr],
			    "no such instance");

	return ERR_PTR(-ENOENT);
}

static struct dma_loopback_chan *dma_loopback_nl_chan(struct genl_info *info,
						      int instance_attr,
						      int channel_attr)
{
	struct dma_loopback *dl;

	dl = dma_loopback_nl_find(info, instance_attr);
	if (IS_ERR(dl))
		return ERR_CAST(dl);

	if (GENL_REQ_ATTR_CHECK(info, channel_attr)) {
		NL_SET_ERR_MSG(info->extack, "which channel?");
		return ERR_PTR(-EINVAL);
	}

	return nla_get_u32(info->attrs[channel_attr]) ==
		DMA_LOOPBACK_CHANNEL_TX ? &dl->tx : &dl->rx;
}

/* --- dumps --- */

/**
 * struct dma_loopback_nl_pos - How far a dump is
 * @instances: controllers it is done with
 * @channels: channels of the next controller it is done with
 * @fault: number of the last fault of the next channel it is done with
 */
struct dma_loopback_nl_pos {
	unsigned int instances;
	unsigned int channels;
	u32 fault;
};

/* Call @put for all channels, until one does not fit any more. */
static int dma_loopback_nl_dump(struct sk_buff *skb,
				struct netlink_callback *cb,
				int (*put)(struct sk_buff *skb,
					   const struct genl_info *info,
					   struct dma_loopback_chan *lc,
					   struct dma_loopback_nl_pos *pos))
{
	struct dma_loopback_nl_pos *pos = (void *)cb->ctx;
	const struct genl_info *info = genl_info_dump(cb);
	struct dma_loopback *dl;
	unsigned int n = 0;
	void *msg;
	int ret;

	BUILD_BUG_ON(sizeof(*pos) > sizeof(cb->ctx));

	guard(mutex)(&dma_loopback_mutex);

	cb->seq = dma_loopback_generation;
	list_for_each_entry(dl, &dma_loopback_controllers, node) {
		if (n++ < pos->instances)
			continue;

		for (; pos->channels < 2; pos->channels++) {
			msg = skb_tail_pointer(skb);
			ret = put(skb, info, pos->channels ? &dl->rx : &dl->tx,
				  pos);
			if (skb_tail_pointer(skb) != msg)
				nl_dump_check_consistent(cb, msg);
			if (ret)
				return ret;
			pos->fault = 0;
		}

		pos->channels = 0;
		pos->instances++;
	}

	return 0;
}

static int dma_loopback_nl_put_chan(struct sk_buff *skb,
				    const struct genl_info *info,
				    struct dma_loopback_chan *lc,
				    struct dma_loopback_nl_pos *pos)
{
	const struct dma_loopback *dl = dma_loopback_of(lc);
	const struct dma_loopback_counters *c = &lc->counters;
	void *hdr;

	hdr = genlmsg_iput(skb, info);
	if (!hdr)
		return -EMSGSIZE;

	guard(spinlock_irqsave)(&lc->vc.lock);

	if (nla_put_u32(skb, DMA_LOOPBACK_A_CHAN_INSTANCE, dl->instance) ||
	    nla_put_string(skb, DMA_LOOPBACK_A_CHAN_NAME, dl->shape.name) ||
	    nla_put_u32(skb, DMA_LOOPBACK_A_CHAN_CHANNEL,
			dma_loopback_channel(lc)) ||
	    nla_put_u32(skb, DMA_LOOPBACK_A_CHAN_CLOCK, dl->shape.clock) ||
	    nla_put_u32(skb, DMA_LOOPBACK_A_CHAN_STATE, lc->state) ||
	    nla_put_u32(skb, DMA_LOOPBACK_A_CHAN_QUEUED,
			dma_loopback_queued(lc)) ||
	    nla_put_u32(skb, DMA_LOOPBACK_A_CHAN_DESCRIPTORS,
			lc->descriptors) ||
	    nla_put_uint(skb, DMA_LOOPBACK_A_CHAN_PREPARED, c->prepared) ||
	    nla_put_uint(skb, DMA_LOOPBACK_A_CHAN_SUBMITTED, c->submitted) ||
	    nla_put_uint(skb, DMA_LOOPBACK_A_CHAN_COMPLETED, c->completed) ||
	    nla_put_uint(skb, DMA_LOOPBACK_A_CHAN_TERMINATED, c->terminated) ||
	    nla_put_uint(skb, DMA_LOOPBACK_A_CHAN_FAULTED, c->faulted) ||
	    nla_put_uint(skb, DMA_LOOPBACK_A_CHAN_BYTES, c->bytes) ||
	    nla_put_uint(skb, DMA_LOOPBACK_A_CHAN_CREDIT_TRANSFERS,
			 lc->credit_transfers) ||
	    nla_put_uint(skb, DMA_LOOPBACK_A_CHAN_CREDIT_BYTES,
			 lc->credit_bytes) ||
	    nla_put_u32(skb, DMA_LOOPBACK_A_CHAN_FAULTS,
			list_count_nodes(&lc->faults)) ||
	    nla_put_uint(skb, DMA_LOOPBACK_A_CHAN_SEQ,
			 dma_loopback_event_seq())) {
		genlmsg_cancel(skb, hdr);
		return -EMSGSIZE;
	}

	genlmsg_end(skb, hdr);

	return 0;
}

int dma_loopback_nl_chan_get_doit(struct sk_buff *skb, struct genl_info *info)
{
	struct dma_loopback_chan *lc;
	struct sk_buff *reply;
	int ret;

	guard(mutex)(&dma_loopback_mutex);

	lc = dma_loopback_nl_chan(info, DMA_LOOPBACK_A_CHAN_INSTANCE,
				  DMA_LOOPBACK_A_CHAN_CHANNEL);
	if (IS_ERR(lc))
		return PTR_ERR(lc);

	reply = genlmsg_new(GENLMSG_DEFAULT_SIZE, GFP_KERNEL);
	if (!reply)
		return -ENOMEM;

	ret = dma_loopback_nl_put_chan(reply, info, lc, NULL);
	if (ret) {
		nlmsg_free(reply);
		return ret;
	}

	return genlmsg_reply(reply, info);
}

int dma_loopback_nl_chan_get_dumpit(struct sk_buff *skb,
				    struct netlink_callback *cb)
{
	return dma_loopback_nl_dump(skb, cb, dma_loopback_nl_put_chan);
}

/* --- step --- */

int dma_loopback_nl_step_doit(struct sk_buff *skb, struct genl_info *info)
{
	struct nlattr *transfers = info->attrs[DMA_LOOPBACK_A_STEP_TRANSFERS];
	struct nlattr *bytes = info->attrs[DMA_LOOPBACK_A_STEP_BYTES];
	struct dma_loopback_chan *lc;

	guard(mutex)(&dma_loopback_mutex);

	lc = dma_loopback_nl_chan(info, DMA_LOOPBACK_A_STEP_INSTANCE,
				  DMA_LOOPBACK_A_STEP_CHANNEL);
	if (IS_ERR(lc))
		return PTR_ERR(lc);

	if (!transfers == !bytes) {
		NL_SET_ERR_MSG(info->extack,
			       "either transfers or bytes can be released");
		return -EINVAL;
	}

	if (dma_loopback_of(lc)->shape.clock != DMA_LOOPBACK_CLOCK_STEP) {
		NL_SET_ERR_MSG_ATTR(info->extack,
				    info->attrs[DMA_LOOPBACK_A_STEP_INSTANCE],
				    "the clock of this instance is not step");
		return -EINVAL;
	}

	dma_loopback_step(lc, dma_loopback_nl_u32(transfers, 0),
			  dma_loopback_nl_u32(bytes, 0));

	return 0;
}

/* --- faults --- */

/**
 * struct dma_loopback_rule - What goes with a kind of fault
 * @bytes: a number of bytes
 * @needs_bytes: it does not go without
 * @error: an error number
 * @delay: a delay
 * @misbehaves: only with CONFIG_DMA_LOOPBACK_MISBEHAVE
 */
struct dma_loopback_rule {
	bool bytes;
	bool needs_bytes;
	bool error;
	bool delay;
	bool misbehaves;
};

static const struct dma_loopback_rule dma_loopback_rules[] = {
	[DMA_LOOPBACK_FAULT_KIND_READ_ERROR] = { .bytes = true },
	[DMA_LOOPBACK_FAULT_KIND_WRITE_ERROR] = { .bytes = true },
	[DMA_LOOPBACK_FAULT_KIND_ABORT] = { .bytes = true },
	[DMA_LOOPBACK_FAULT_KIND_SHORT] = {
		.bytes = true,
		.needs_bytes = true,
	},
	[DMA_LOOPBACK_FAULT_KIND_STALL] = { .bytes = true },
	[DMA_LOOPBACK_FAULT_KIND_LATE] = { .delay = true },
	[DMA_LOOPBACK_FAULT_KIND_PREP_REFUSED] = { },
	[DMA_LOOPBACK_FAULT_KIND_SUBMIT_ERROR] = { .error = true },
	[DMA_LOOPBACK_FAULT_KIND_BEFORE_TERMINATE] = { },
	[DMA_LOOPBACK_FAULT_KIND_AFTER_TERMINATE] = { },
	[DMA_LOOPBACK_FAULT_KIND_SPLIT] = {
		.bytes = true,
		.needs_bytes = true,
	},
	[DMA_LOOPBACK_FAULT_KIND_COALESCE] = { },
	[DMA_LOOPBACK_FAULT_KIND_ENABLE_BEFORE] = { .error = true },
	[DMA_LOOPBACK_FAULT_KIND_ENABLE_AFTER] = { .error = true },
	[DMA_LOOPBACK_FAULT_KIND_DOUBLE] = { .misbehaves = true },
	[DMA_LOOPBACK_FAULT_KIND_AFTER_SYNCHRONIZE] = { .misbehaves = true },
	[DMA_LOOPBACK_FAULT_KIND_REORDER] = { .misbehaves = true },
	[DMA_LOOPBACK_FAULT_KIND_WRONG_BYTES] = {
		.bytes = true,
		.misbehaves = true,
	},
};

/* Whether @attr is there only where @kind has it */
static bool dma_loopback_nl_fits(struct genl_info *info, int attr, bool has)
{
	if (!info->attrs[attr] || has)
		return true;

	NL_SET_ERR_MSG_ATTR(info->extack, info->attrs[attr],
			    "this kind of fault has no such parameter");

	return false;
}

static int dma_loopback_nl_check_fault(struct genl_info *info,
				       const struct dma_loopback *dl)
{
	struct nlattr *kind_attr = info->attrs[DMA_LOOPBACK_A_FAULT_KIND];
	struct nlattr *bytes = info->attrs[DMA_LOOPBACK_A_FAULT_BYTES];
	const struct dma_loopback_rule *rule;
	u32 kind;

	if (GENL_REQ_ATTR_CHECK(info, DMA_LOOPBACK_A_FAULT_KIND)) {
		NL_SET_ERR_MSG(info->extack, "which kind?");
		return -EINVAL;
	}

	kind = nla_get_u32(kind_attr);
	rule = &dma_loopback_rules[kind];
	if (rule->misbehaves && !IS_ENABLED(CONFIG_DMA_LOOPBACK_MISBEHAVE)) {
		NL_SET_ERR_MSG_ATTR(info->extack, kind_attr,
				    "the driver was built without CONFIG_DMA_LOOPBACK_MISBEHAVE");
		return -EOPNOTSUPP;
	}

	if (!dma_loopback_nl_fits(info, DMA_LOOPBACK_A_FAULT_BYTES,
				  rule->bytes) ||
	    !dma_loopback_nl_fits(info, DMA_LOOPBACK_A_FAULT_ERROR,
				  rule->error) ||
	    !dma_loopback_nl_fits(info, DMA_LOOPBACK_A_FAULT_DELAY,
				  rule->delay))
		return -EINVAL;

	if (rule->needs_bytes &&
	    GENL_REQ_ATTR_CHECK(info, DMA_LOOPBACK_A_FAULT_BYTES)) {
		NL_SET_ERR_MSG(info->extack, "how many bytes?");
		return -EINVAL;
	}

	if (kind == DMA_LOOPBACK_FAULT_KIND_SPLIT &&
	    (!nla_get_u32(bytes) || nla_get_u32(bytes) % dl->shape.align)) {
		NL_SET_ERR_MSG_ATTR(info->extack, bytes,
				    "a segment is a multiple of length_align");
		return -EINVAL;
	}

	return 0;
}

int dma_loopback_nl_fault_add_doit(struct sk_buff *skb, struct genl_info *info)
{
	struct nlattr *bytes = info->attrs[DMA_LOOPBACK_A_FAULT_BYTES];
	struct nlattr *error = info->attrs[DMA_LOOPBACK_A_FAULT_ERROR];
	struct nlattr *delay = info->attrs[DMA_LOOPBACK_A_FAULT_DELAY];
	struct nlattr *kind = info->attrs[DMA_LOOPBACK_A_FAULT_KIND];
	struct nlattr *nth = info->attrs[DMA_LOOPBACK_A_FAULT_NTH];
	struct dma_loopback_fault *fault;
	struct dma_loopback_chan *lc;
	struct dma_loopback *dl;
	struct sk_buff *reply;
	void *hdr;
	int ret;
	u32 id;

	guard(mutex)(&dma_loopback_mutex);

	lc = dma_loopback_nl_chan(info, DMA_LOOPBACK_A_FAULT_INSTANCE,
				  DMA_LOOPBACK_A_FAULT_CHANNEL);
	if (IS_ERR(lc))
		return PTR_ERR(lc);

	dl = dma_loopback_of(lc);
	ret = dma_loopback_nl_check_fault(info, dl);
	if (ret)
		return ret;

	fault = kzalloc(sizeof(*fault), GFP_KERNEL);
	reply = genlmsg_new(GENLMSG_DEFAULT_SIZE, GFP_KERNEL);
	if (!fault || !reply) {
		ret = -ENOMEM;
		goto err_free;
	}

	fault->id = dl->fault_id + 1;
	fault->kind = nla_get_u32(kind);
	fault->nth = dma_loopback_nl_u32(nth, 1);
	fault->has_bytes = bytes;
	fault->bytes = dma_loopback_nl_u32(bytes, 0);
	fault->error = dma_loopback_nl_u32(error, 0);
	fault->delay = dma_loopback_nl_u32(delay, 0);

	hdr = genlmsg_iput(reply, info);
	ret = hdr ? nla_put_u32(reply, DMA_LOOPBACK_A_FAULT_ID, fault->id) :
		    -EMSGSIZE;
	if (ret)
		goto err_free;
	genlmsg_end(reply, hdr);

	ret = dma_loopback_fault_add(lc, fault);
	if (ret) {
		NL_SET_ERR_MSG(info->extack,
			       "there is a fault for this transfer already");
		goto err_free;
	}

	/* A client that does not hear of it does not have it. */
	id = ++dl->fault_id;
	ret = genlmsg_reply(reply, info);
	if (ret)
		dma_loopback_fault_del(lc, id);

	return ret;

err_free:
	nlmsg_free(reply);
	kfree(fault);

	return ret;
}

static int dma_loopback_nl_put_fault(struct sk_buff *skb,
				     const struct genl_info *info,
				     struct dma_loopback_chan *lc,
				     const struct dma_loopback_fault *fault)
{
	void *hdr;

	hdr = genlmsg_iput(skb, info);
	if (!hdr)
		return -EMSGSIZE;

	if (nla_put_u32(skb, DMA_LOOPBACK_A_FAULT_INSTANCE,
			dma_loopback_of(lc)->instance) ||
	    nla_put_u32(skb, DMA_LOOPBACK_A_FAULT_CHANNEL,
			dma_loopback_channel(lc)) ||
	    nla_put_u32(skb, DMA_LOOPBACK_A_FAULT_ID, fault->id) ||
	    nla_put_u32(skb, DMA_LOOPBACK_A_FAULT_KIND, fault->kind) ||
	    nla_put_u32(skb, DMA_LOOPBACK_A_FAULT_NTH, fault->nth) ||
	    (fault->has_bytes &&
	     nla_put_u32(skb, DMA_LOOPBACK_A_FAULT_BYTES, fault->bytes)) ||
	    (fault->error &&
	     nla_put_u32(skb, DMA_LOOPBACK_A_FAULT_ERROR, fault->error)) ||
	    (fault->delay &&
	     nla_put_u32(skb, DMA_LOOPBACK_A_FAULT_DELAY, fault->delay)) ||
	    nla_put_u32(skb, DMA_LOOPBACK_A_FAULT_STATE, fault->state) ||
	    nla_put_uint(skb, DMA_LOOPBACK_A_FAULT_TRANSFER, fault->transfer)) {
		genlmsg_cancel(skb, hdr);
		return -EMSGSIZE;
	}

	genlmsg_end(skb, hdr);

	return 0;
}

static int dma_loopback_nl_put_faults(struct sk_buff *skb,
				      const struct genl_info *info,
				      struct dma_loopback_chan *lc,
				      struct dma_loopback_nl_pos *pos)
{
	const struct dma_loopback_fault *fault;
	int ret;

	guard(spinlock_irqsave)(&lc->vc.lock);

	list_for_each_entry(fault, &lc->faults, node) {
		if (fault->id <= pos->fault)
			continue;

		ret = dma_loopback_nl_put_fault(skb, info, lc, fault);
		if (ret)
			return ret;
		pos->fault = fault->id;
	}

	return 0;
}

int dma_loopback_nl_fault_get_dumpit(struct sk_buff *skb,
				     struct netlink_callback *cb)
{
	return dma_loopback_nl_dump(skb, cb, dma_loopback_nl_put_faults);
}

int dma_loopback_nl_fault_del_doit(struct sk_buff *skb, struct genl_info *info)
{
	struct nlattr *attr = info->attrs[DMA_LOOPBACK_A_FAULT_ID];
	u32 id = dma_loopback_nl_u32(attr, 0);
	struct dma_loopback *dl;
	bool found;

	guard(mutex)(&dma_loopback_mutex);

	dl = dma_loopback_nl_find(info, DMA_LOOPBACK_A_FAULT_INSTANCE);
	if (IS_ERR(dl))
		return PTR_ERR(dl);

	found = dma_loopback_fault_del(&dl->tx, id);
	found |= dma_loopback_fault_del(&dl->rx, id);
	if (!found && id) {
		NL_SET_ERR_MSG_ATTR(info->extack, attr,
				    "the instance has no such fault");
		return -ENOENT;
	}

	return 0;
}

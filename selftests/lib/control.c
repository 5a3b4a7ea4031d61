// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <linux/genetlink.h>
#include <libmnl/libmnl.h>

#include "control.h"
#include "deadline.h"
#include "macros.h"

/* The kernel does not put more into one part of a dump. */
#define REPLY_MAX	32768

/* One of the driver's events is some 200 bytes. */
#define EVENTS_MAX	8192

/* More attributes than any command has, for those that are wrong on purpose */
#define REQUEST_MAX	1024

/**
 * struct control_priv - Behind struct control
 * @nl: socket of requests
 * @events: socket of events, NULL before control_listen()
 * @family: number of the family, 0 before it was found
 * @group: number of its multicast group
 * @seq: sequence number of the last request
 * @message: see control_message()
 * @next: first event in @event_buf that was not yet returned
 * @left: bytes from there on
 * @request: the last request, which error messages refer to
 * @reply: what was received last
 * @event_buf: what was received last on @events
 */
struct control_priv {
	struct mnl_socket *nl;
	struct mnl_socket *events;
	uint16_t family;
	uint32_t group;
	uint32_t seq;
	char message[256];
	struct nlmsghdr *next;
	int left;
	uint32_t request[REQUEST_MAX / sizeof(uint32_t)];
	uint32_t reply[REPLY_MAX / sizeof(uint32_t)];
	uint32_t event_buf[EVENTS_MAX / sizeof(uint32_t)];
};

/* Names as in the specification */
static const char * const chan_attrs[] = {
	[DMA_LOOPBACK_A_CHAN_INSTANCE] = "instance",
	[DMA_LOOPBACK_A_CHAN_NAME] = "name",
	[DMA_LOOPBACK_A_CHAN_CHANNEL] = "channel",
	[DMA_LOOPBACK_A_CHAN_CLOCK] = "clock",
	[DMA_LOOPBACK_A_CHAN_STATE] = "state",
	[DMA_LOOPBACK_A_CHAN_QUEUED] = "queued",
	[DMA_LOOPBACK_A_CHAN_DESCRIPTORS] = "descriptors",
	[DMA_LOOPBACK_A_CHAN_PREPARED] = "prepared",
	[DMA_LOOPBACK_A_CHAN_SUBMITTED] = "submitted",
	[DMA_LOOPBACK_A_CHAN_COMPLETED] = "completed",
	[DMA_LOOPBACK_A_CHAN_TERMINATED] = "terminated",
	[DMA_LOOPBACK_A_CHAN_FAULTED] = "faulted",
	[DMA_LOOPBACK_A_CHAN_BYTES] = "bytes",
	[DMA_LOOPBACK_A_CHAN_CREDIT_TRANSFERS] = "credit-transfers",
	[DMA_LOOPBACK_A_CHAN_CREDIT_BYTES] = "credit-bytes",
	[DMA_LOOPBACK_A_CHAN_FAULTS] = "faults",
	[DMA_LOOPBACK_A_CHAN_SEQ] = "seq",
};

static const char * const step_attrs[] = {
	[DMA_LOOPBACK_A_STEP_INSTANCE] = "instance",
	[DMA_LOOPBACK_A_STEP_CHANNEL] = "channel",
	[DMA_LOOPBACK_A_STEP_TRANSFERS] = "transfers",
	[DMA_LOOPBACK_A_STEP_BYTES] = "bytes",
};

static const char * const fault_attrs[] = {
	[DMA_LOOPBACK_A_FAULT_INSTANCE] = "instance",
	[DMA_LOOPBACK_A_FAULT_CHANNEL] = "channel",
	[DMA_LOOPBACK_A_FAULT_ID] = "id",
	[DMA_LOOPBACK_A_FAULT_KIND] = "kind",
	[DMA_LOOPBACK_A_FAULT_NTH] = "nth",
	[DMA_LOOPBACK_A_FAULT_BYTES] = "bytes",
	[DMA_LOOPBACK_A_FAULT_ERROR] = "error",
	[DMA_LOOPBACK_A_FAULT_DELAY] = "delay",
	[DMA_LOOPBACK_A_FAULT_STATE] = "state",
	[DMA_LOOPBACK_A_FAULT_TRANSFER] = "transfer",
};

static const struct {
	const char * const *names;
	size_t nr;
} attrs_of_cmd[] = {
	[DMA_LOOPBACK_CMD_CHAN_GET] = { chan_attrs, ARRAY_SIZE(chan_attrs) },
	[DMA_LOOPBACK_CMD_STEP] = { step_attrs, ARRAY_SIZE(step_attrs) },
	[DMA_LOOPBACK_CMD_FAULT_ADD] = { fault_attrs, ARRAY_SIZE(fault_attrs) },
	[DMA_LOOPBACK_CMD_FAULT_DEL] = { fault_attrs, ARRAY_SIZE(fault_attrs) },
};

static const char * const event_names[] = {
	[DMA_LOOPBACK_EVENT_TYPE_SUBMITTED] = "submitted",
	[DMA_LOOPBACK_EVENT_TYPE_ISSUED] = "issued",
	[DMA_LOOPBACK_EVENT_TYPE_STARTED] = "started",
	[DMA_LOOPBACK_EVENT_TYPE_PROGRESSED] = "progressed",
	[DMA_LOOPBACK_EVENT_TYPE_COMPLETED] = "completed",
	[DMA_LOOPBACK_EVENT_TYPE_FAULTED] = "faulted",
	[DMA_LOOPBACK_EVENT_TYPE_TERMINATED] = "terminated",
	[DMA_LOOPBACK_EVENT_TYPE_SYNCHRONIZED] = "synchronized",
};

static const char * const fault_names[] = {
	[DMA_LOOPBACK_FAULT_KIND_READ_ERROR] = "read-error",
	[DMA_LOOPBACK_FAULT_KIND_WRITE_ERROR] = "write-error",
	[DMA_LOOPBACK_FAULT_KIND_ABORT] = "abort",
	[DMA_LOOPBACK_FAULT_KIND_SHORT] = "short",
	[DMA_LOOPBACK_FAULT_KIND_STALL] = "stall",
	[DMA_LOOPBACK_FAULT_KIND_LATE] = "late",
	[DMA_LOOPBACK_FAULT_KIND_PREP_REFUSED] = "prep-refused",
	[DMA_LOOPBACK_FAULT_KIND_SUBMIT_ERROR] = "submit-error",
	[DMA_LOOPBACK_FAULT_KIND_BEFORE_TERMINATE] = "before-terminate",
	[DMA_LOOPBACK_FAULT_KIND_AFTER_TERMINATE] = "after-terminate",
	[DMA_LOOPBACK_FAULT_KIND_SPLIT] = "split",
	[DMA_LOOPBACK_FAULT_KIND_COALESCE] = "coalesce",
	[DMA_LOOPBACK_FAULT_KIND_ENABLE_BEFORE] = "enable-before",
	[DMA_LOOPBACK_FAULT_KIND_ENABLE_AFTER] = "enable-after",
	[DMA_LOOPBACK_FAULT_KIND_DOUBLE] = "double",
	[DMA_LOOPBACK_FAULT_KIND_AFTER_SYNCHRONIZE] = "after-synchronize",
	[DMA_LOOPBACK_FAULT_KIND_REORDER] = "reorder",
	[DMA_LOOPBACK_FAULT_KIND_WRONG_BYTES] = "wrong-bytes",
};

static const char * const channel_names[] = {
	[DMA_LOOPBACK_CHANNEL_TX] = "tx",
	[DMA_LOOPBACK_CHANNEL_RX] = "rx",
};

static const char *name_of(const char * const *names, size_t nr, uint32_t i)
{
	return i < nr && names[i] ? names[i] : "unknown";
}

const char *control_event_name(uint32_t type)
{
	return name_of(event_names, ARRAY_SIZE(event_names), type);
}

const char *control_fault_name(uint32_t kind)
{
	return name_of(fault_names, ARRAY_SIZE(fault_names), kind);
}

const char *control_channel_name(uint32_t channel)
{
	return name_of(channel_names, ARRAY_SIZE(channel_names), channel);
}

/* --- what went wrong --- */

static void __printf(2, 3) set_message(struct control_priv *p,
				       const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(p->message, sizeof(p->message), format, args);
	va_end(args);
}

/* A call of ours that failed. Return: -errno. */
static int failed(struct control_priv *p, const char *what)
{
	int err = errno;

	set_message(p, "%s: %s", what, strerror(err));

	return -err;
}

/**
 * control_message() - What was wrong with the last call that failed
 * @c: connection, may be one that control_open() could not make
 *
 * Return: the kernel's own words where it had some, with the name of the
 * attribute that it objects to, as in "no such instance (attribute instance)".
 */
const char *control_message(const struct control *c)
{
	return c->priv ? c->priv->message : strerror(ENOMEM);
}

/* The name that attribute @type has in the command that was sent */
static const char *attr_name(const struct control_priv *p, uint16_t type)
{
	const struct nlmsghdr *nlh = (const void *)p->request;
	const struct genlmsghdr *genl = mnl_nlmsg_get_payload(nlh);
	static char number[16];

	if (nlh->nlmsg_type == p->family &&
	    genl->cmd < ARRAY_SIZE(attrs_of_cmd) &&
	    type < attrs_of_cmd[genl->cmd].nr &&
	    attrs_of_cmd[genl->cmd].names[type])
		return attrs_of_cmd[genl->cmd].names[type];

	snprintf(number, sizeof(number), "%u", type);

	return number;
}

/* The attribute that is at @offs in the request, which the kernel points to */
static const char *attr_name_at(const struct control_priv *p, uint32_t offs)
{
	const struct nlmsghdr *nlh = (const void *)p->request;

	if (offs + sizeof(struct nlattr) > nlh->nlmsg_len)
		return "beyond the end";

	return attr_name(p, mnl_attr_get_type((const void *)nlh + offs));
}

/*
 * Make a message of an acknowledgment, whose attributes begin at @offset, and
 * of the errno in it.
 */
static void explain(struct control_priv *p, const struct nlmsghdr *nlh,
		    size_t offset, int err)
{
	const struct nlattr *attr, *tb[NLMSGERR_ATTR_MAX + 1] = {};
	const char *what = strerror(err);
	uint32_t where;

	if (nlh->nlmsg_flags & NLM_F_ACK_TLVS) {
		mnl_attr_for_each(attr, nlh, offset) {
			if (mnl_attr_get_type(attr) < ARRAY_SIZE(tb))
				tb[mnl_attr_get_type(attr)] = attr;
		}
	}

	if (tb[NLMSGERR_ATTR_MSG])
		what = mnl_attr_get_str(tb[NLMSGERR_ATTR_MSG]);
	else if (err == EPERM)
		what = "Operation not permitted: it takes CAP_NET_ADMIN";

	if (tb[NLMSGERR_ATTR_MISS_TYPE]) {
		where = mnl_attr_get_u32(tb[NLMSGERR_ATTR_MISS_TYPE]);
		set_message(p, "%s (attribute %s is missing)", what,
			    attr_name(p, where));
	} else if (tb[NLMSGERR_ATTR_OFFS]) {
		where = mnl_attr_get_u32(tb[NLMSGERR_ATTR_OFFS]);
		set_message(p, "%s (attribute %s)", what,
			    attr_name_at(p, where));
	} else {
		set_message(p, "%s", what);
	}
}

/* --- requests --- */

typedef void (*reply_fn)(const struct nlmsghdr *nlh, void *arg);

/* Wait until there is something to read on a socket: 0 or a negative errno. */
static int wait_for(struct control_priv *p, const struct mnl_socket *nl,
		    int timeout_ms)
{
	struct pollfd pfd = {
		.fd = mnl_socket_get_fd(nl),
		.events = POLLIN,
	};
	int ret;

	ret = poll(&pfd, 1, timeout_ms);
	if (ret < 0)
		return failed(p, "poll");
	if (ret)
		return 0;

	set_message(p, "nothing came within %d ms", timeout_ms);

	return -ETIMEDOUT;
}

/* Begin a request. Attributes can be put into it. */
static struct nlmsghdr *request_new(struct control_priv *p, uint16_t family,
				    uint8_t cmd, uint16_t flags)
{
	struct genlmsghdr *genl;
	struct nlmsghdr *nlh;

	nlh = mnl_nlmsg_put_header(p->request);
	nlh->nlmsg_type = family;
	nlh->nlmsg_flags = NLM_F_REQUEST | flags;
	nlh->nlmsg_seq = ++p->seq;
	genl = mnl_nlmsg_put_extra_header(nlh, sizeof(*genl));
	genl->cmd = cmd;
	genl->version = 1;

	return nlh;
}

static struct nlmsghdr *command_new(struct control *c, uint8_t cmd)
{
	return request_new(c->priv, c->priv->family, cmd, NLM_F_ACK);
}

/* The errno that ends a request, from a message that does. */
static int final_error(struct control_priv *p, const struct nlmsghdr *nlh)
{
	const int *error = mnl_nlmsg_get_payload(nlh);
	size_t offset = nlh->nlmsg_type == NLMSG_ERROR ?
			sizeof(struct nlmsgerr) : sizeof(*error);

	if (mnl_nlmsg_get_payload_len(nlh) < sizeof(*error) || !*error)
		return 0;

	explain(p, nlh, offset, -*error);

	return *error;
}

/*
 * Read what comes in answer to the request, up to the message that ends it.
 * Return: 0, or the negative errno in that; -EINTR if the dump was interrupted.
 */
static int receive(struct control_priv *p, reply_fn fn, void *arg)
{
	uint64_t end = now_ms() + DEADLINE_MS;
	bool interrupted = false;
	struct nlmsghdr *nlh;
	ssize_t n;
	int len, ret;

	while (now_ms() < end) {
		ret = wait_for(p, p->nl, DEADLINE_MS);
		if (ret)
			return ret;

		n = mnl_socket_recvfrom(p->nl, p->reply, sizeof(p->reply));
		if (n < 0)
			return failed(p, "recvmsg");

		len = n;
		for (nlh = (void *)p->reply; mnl_nlmsg_ok(nlh, len);
		     nlh = mnl_nlmsg_next(nlh, &len)) {
			/* What a request that failed has left */
			if (nlh->nlmsg_seq != p->seq)
				continue;

			interrupted |= nlh->nlmsg_flags & NLM_F_DUMP_INTR;
			if (nlh->nlmsg_type == NLMSG_ERROR ||
			    nlh->nlmsg_type == NLMSG_DONE) {
				ret = final_error(p, nlh);
				return ret ?: interrupted ? -EINTR : 0;
			}
			if (nlh->nlmsg_type >= NLMSG_MIN_TYPE && fn)
				fn(nlh, arg);
		}
	}
	set_message(p, "no end of the answer");

	return -ETIMEDOUT;
}

/* Send the request, have @fn called with @arg for each message in answer. */
static int transact(struct control_priv *p, reply_fn fn, void *arg)
{
	const struct nlmsghdr *nlh = (const void *)p->request;

	p->message[0] = '\0';
	if (mnl_socket_sendto(p->nl, nlh, nlh->nlmsg_len) < 0)
		return failed(p, "sendmsg");

	return receive(p, fn, arg);
}

/**
 * control_request() - Send a command as it is
 * @c: connection
 * @cmd: DMA_LOOPBACK_CMD_*, or something that there is not
 * @attrs: attributes, right or wrong
 * @nr_attrs: number of them
 *
 * What comes in answer, other than an error, is dropped.
 *
 * Return: 0, or a negative errno.
 */
int control_request(struct control *c, uint8_t cmd,
		    const struct control_attr *attrs, size_t nr_attrs)
{
	struct nlmsghdr *nlh = command_new(c, cmd);
	size_t i;

	for (i = 0; i < nr_attrs; i++) {
		if (!mnl_attr_put_check(nlh, REQUEST_MAX, attrs[i].type,
					attrs[i].len ?: sizeof(attrs[i].value),
					&attrs[i].value)) {
			set_message(c->priv, "too many attributes");
			return -EMSGSIZE;
		}
	}

	return transact(c->priv, NULL, NULL);
}

/* --- what comes back --- */

/* Integers of the type uint are as long as they have to be. */
static uint64_t get_uint(const struct nlattr *attr)
{
	uint64_t val;

	if (mnl_attr_get_payload_len(attr) < sizeof(val))
		return mnl_attr_get_u32(attr);

	memcpy(&val, mnl_attr_get_payload(attr), sizeof(val));

	return val;
}

static void parse_chan(const struct nlmsghdr *nlh, struct control_chan *chan)
{
	const struct nlattr *attr;

	*chan = (struct control_chan){};
	mnl_attr_for_each(attr, nlh, GENL_HDRLEN) {
		switch (mnl_attr_get_type(attr)) {
		case DMA_LOOPBACK_A_CHAN_INSTANCE:
			chan->addr.instance = mnl_attr_get_u32(attr);
			break;
		case DMA_LOOPBACK_A_CHAN_NAME:
			snprintf(chan->name, sizeof(chan->name), "%.*s",
				 mnl_attr_get_payload_len(attr),
				 mnl_attr_get_str(attr));
			break;
		case DMA_LOOPBACK_A_CHAN_CHANNEL:
			chan->addr.channel = mnl_attr_get_u32(attr);
			break;
		case DMA_LOOPBACK_A_CHAN_CLOCK:
			chan->clock = mnl_attr_get_u32(attr);
			break;
		case DMA_LOOPBACK_A_CHAN_STATE:
			chan->state = mnl_attr_get_u32(attr);
			break;
		case DMA_LOOPBACK_A_CHAN_QUEUED:
			chan->queued = mnl_attr_get_u32(attr);
			break;
		case DMA_LOOPBACK_A_CHAN_DESCRIPTORS:
			chan->descriptors = mnl_attr_get_u32(attr);
			break;
		case DMA_LOOPBACK_A_CHAN_FAULTS:
			chan->faults = mnl_attr_get_u32(attr);
			break;
		case DMA_LOOPBACK_A_CHAN_PREPARED:
			chan->prepared = get_uint(attr);
			break;
		case DMA_LOOPBACK_A_CHAN_SUBMITTED:
			chan->submitted = get_uint(attr);
			break;
		case DMA_LOOPBACK_A_CHAN_COMPLETED:
			chan->completed = get_uint(attr);
			break;
		case DMA_LOOPBACK_A_CHAN_TERMINATED:
			chan->terminated = get_uint(attr);
			break;
		case DMA_LOOPBACK_A_CHAN_FAULTED:
			chan->faulted = get_uint(attr);
			break;
		case DMA_LOOPBACK_A_CHAN_BYTES:
			chan->bytes = get_uint(attr);
			break;
		case DMA_LOOPBACK_A_CHAN_CREDIT_TRANSFERS:
			chan->credit_transfers = get_uint(attr);
			break;
		case DMA_LOOPBACK_A_CHAN_CREDIT_BYTES:
			chan->credit_bytes = get_uint(attr);
			break;
		case DMA_LOOPBACK_A_CHAN_SEQ:
			chan->seq = get_uint(attr);
			break;
		}
	}
}

static void parse_fault(const struct nlmsghdr *nlh, struct control_fault *fault)
{
	const struct nlattr *attr;

	*fault = (struct control_fault){};
	mnl_attr_for_each(attr, nlh, GENL_HDRLEN) {
		switch (mnl_attr_get_type(attr)) {
		case DMA_LOOPBACK_A_FAULT_INSTANCE:
			fault->addr.instance = mnl_attr_get_u32(attr);
			break;
		case DMA_LOOPBACK_A_FAULT_CHANNEL:
			fault->addr.channel = mnl_attr_get_u32(attr);
			break;
		case DMA_LOOPBACK_A_FAULT_ID:
			fault->id = mnl_attr_get_u32(attr);
			break;
		case DMA_LOOPBACK_A_FAULT_KIND:
			fault->kind = mnl_attr_get_u32(attr);
			break;
		case DMA_LOOPBACK_A_FAULT_NTH:
			fault->nth = mnl_attr_get_u32(attr);
			break;
		case DMA_LOOPBACK_A_FAULT_BYTES:
			fault->with_bytes = true;
			fault->bytes = mnl_attr_get_u32(attr);
			break;
		case DMA_LOOPBACK_A_FAULT_ERROR:
			fault->error = mnl_attr_get_u32(attr);
			break;
		case DMA_LOOPBACK_A_FAULT_DELAY:
			fault->delay = mnl_attr_get_u32(attr);
			break;
		case DMA_LOOPBACK_A_FAULT_STATE:
			fault->state = mnl_attr_get_u32(attr);
			break;
		case DMA_LOOPBACK_A_FAULT_TRANSFER:
			fault->transfer = get_uint(attr);
			break;
		}
	}
}

static void parse_event(const struct nlmsghdr *nlh, struct control_event *e)
{
	const struct nlattr *attr;

	*e = (struct control_event){};
	mnl_attr_for_each(attr, nlh, GENL_HDRLEN) {
		switch (mnl_attr_get_type(attr)) {
		case DMA_LOOPBACK_A_EVENT_SEQ:
			e->seq = get_uint(attr);
			break;
		case DMA_LOOPBACK_A_EVENT_NS:
			e->ns = get_uint(attr);
			break;
		case DMA_LOOPBACK_A_EVENT_INSTANCE:
			e->addr.instance = mnl_attr_get_u32(attr);
			break;
		case DMA_LOOPBACK_A_EVENT_CHANNEL:
			e->addr.channel = mnl_attr_get_u32(attr);
			break;
		case DMA_LOOPBACK_A_EVENT_TYPE:
			e->type = mnl_attr_get_u32(attr);
			break;
		case DMA_LOOPBACK_A_EVENT_TRANSFER:
			e->transfer = get_uint(attr);
			break;
		case DMA_LOOPBACK_A_EVENT_COOKIE:
			e->cookie = mnl_attr_get_u32(attr);
			break;
		case DMA_LOOPBACK_A_EVENT_LENGTH:
			e->length = get_uint(attr);
			break;
		case DMA_LOOPBACK_A_EVENT_SEGMENTS:
			e->segments = mnl_attr_get_u32(attr);
			break;
		case DMA_LOOPBACK_A_EVENT_BYTES:
			e->bytes = get_uint(attr);
			break;
		case DMA_LOOPBACK_A_EVENT_RESIDUE:
			e->residue = get_uint(attr);
			break;
		case DMA_LOOPBACK_A_EVENT_RESULT:
			e->result = mnl_attr_get_u32(attr);
			break;
		case DMA_LOOPBACK_A_EVENT_KIND:
			e->kind = mnl_attr_get_u32(attr);
			break;
		case DMA_LOOPBACK_A_EVENT_FAULT:
			e->fault = mnl_attr_get_u32(attr);
			break;
		}
	}
}

/* --- the connection --- */

/* The one group that there is in CTRL_ATTR_MCAST_GROUPS */
static uint32_t events_group(const struct nlattr *groups)
{
	const struct nlattr *group, *attr;
	uint32_t id = 0;

	mnl_attr_for_each_nested(group, groups) {
		mnl_attr_for_each_nested(attr, group) {
			if (mnl_attr_get_type(attr) == CTRL_ATTR_MCAST_GRP_ID)
				id = mnl_attr_get_u32(attr);
		}
	}

	return id;
}

static void take_family(const struct nlmsghdr *nlh, void *arg)
{
	struct control_priv *p = arg;
	const struct nlattr *attr;

	mnl_attr_for_each(attr, nlh, GENL_HDRLEN) {
		switch (mnl_attr_get_type(attr)) {
		case CTRL_ATTR_FAMILY_ID:
			p->family = mnl_attr_get_u16(attr);
			break;
		case CTRL_ATTR_MCAST_GROUPS:
			p->group = events_group(attr);
			break;
		}
	}
}

static int find_family(struct control_priv *p, const char *family)
{
	struct nlmsghdr *nlh;
	int ret;

	nlh = request_new(p, GENL_ID_CTRL, CTRL_CMD_GETFAMILY, NLM_F_ACK);
	mnl_attr_put_strz(nlh, CTRL_ATTR_FAMILY_NAME, family);
	ret = transact(p, take_family, p);
	if (ret == -ENOENT)
		set_message(p, "no generic netlink family %s: load the module %s",
			    family, family);

	return ret;
}

/* Return: a socket, NULL with errno set if there is none. */
static struct mnl_socket *socket_new(void)
{
	struct mnl_socket *nl;
	int on = 1, err;

	nl = mnl_socket_open2(NETLINK_GENERIC, SOCK_CLOEXEC);
	if (!nl)
		return NULL;

	if (!mnl_socket_setsockopt(nl, NETLINK_EXT_ACK, &on, sizeof(on)) &&
	    !mnl_socket_setsockopt(nl, NETLINK_CAP_ACK, &on, sizeof(on)) &&
	    !mnl_socket_bind(nl, 0, MNL_SOCKET_AUTOPID))
		return nl;

	err = errno;
	mnl_socket_close(nl);
	errno = err;

	return NULL;
}

/**
 * control_open_family() - Connect to a generic netlink family
 * @c: the connection; to be closed even on failure
 * @family: its name, and that of the module that has it
 *
 * Return: 0; -ENOENT if there is no such family, control_message() then says
 * which module to load; another negative errno.
 */
int control_open_family(struct control *c, const char *family)
{
	struct control_priv *p;

	p = calloc(1, sizeof(*p));
	c->priv = p;
	if (!p)
		return -ENOMEM;

	p->nl = socket_new();
	if (!p->nl)
		return failed(p, "generic netlink");

	return find_family(p, family);
}

/* control_open_family() for the loopback driver */
int control_open(struct control *c)
{
	return control_open_family(c, DMA_LOOPBACK_FAMILY_NAME);
}

/* One that is not open is fine. */
void control_close(struct control *c)
{
	struct control_priv *p = c->priv;

	if (!p)
		return;

	if (p->nl)
		mnl_socket_close(p->nl);
	if (p->events)
		mnl_socket_close(p->events);
	free(p);
	c->priv = NULL;
}

/* Return: the message type of the family, for who makes his own messages. */
uint16_t control_family_id(const struct control *c)
{
	return c->priv->family;
}

/* --- commands --- */

/* An array that a dump is to fill */
struct dump {
	void (*parse)(const struct nlmsghdr *nlh, void *item);
	char *items;
	size_t size;
	size_t max;
	size_t nr;
};

static void take_item(const struct nlmsghdr *nlh, void *arg)
{
	struct dump *dump = arg;

	if (dump->nr < dump->max)
		dump->parse(nlh, dump->items + dump->nr * dump->size);
	dump->nr++;
}

/* Return: the number of items, of which the first @dump->max are filled in. */
static int dump_all(struct control *c, uint8_t cmd, struct dump *dump)
{
	uint64_t end = now_ms() + DEADLINE_MS;
	int ret;

	/* What changes while it is being dumped has to be asked for again. */
	do {
		dump->nr = 0;
		request_new(c->priv, c->priv->family, cmd, NLM_F_DUMP);
		ret = transact(c->priv, take_item, dump);
	} while (ret == -EINTR && now_ms() < end);

	return ret ?: (int)dump->nr;
}

static void take_chan(const struct nlmsghdr *nlh, void *arg)
{
	parse_chan(nlh, arg);
}

static void take_fault(const struct nlmsghdr *nlh, void *arg)
{
	parse_fault(nlh, arg);
}

static void take_fault_id(const struct nlmsghdr *nlh, void *arg)
{
	struct control_fault fault;
	uint32_t *id = arg;

	parse_fault(nlh, &fault);
	*id = fault.id;
}

/**
 * control_chan_get() - Get state and counters of a channel
 * @c: connection
 * @addr: the channel
 * @chan: filled in
 *
 * Return: 0, or a negative errno.
 */
int control_chan_get(struct control *c, struct control_addr addr,
		     struct control_chan *chan)
{
	struct nlmsghdr *nlh = command_new(c, DMA_LOOPBACK_CMD_CHAN_GET);

	mnl_attr_put_u32(nlh, DMA_LOOPBACK_A_CHAN_INSTANCE, addr.instance);
	mnl_attr_put_u32(nlh, DMA_LOOPBACK_A_CHAN_CHANNEL, addr.channel);

	return transact(c->priv, take_chan, chan);
}

/**
 * control_chans() - Get state and counters of all channels
 * @c: connection
 * @chans: filled in
 * @max: room in @chans
 *
 * Return: how many there are, which may be more than @max; a negative errno.
 */
int control_chans(struct control *c, struct control_chan *chans, size_t max)
{
	struct dump dump = {
		.parse = take_chan,
		.items = (char *)chans,
		.size = sizeof(*chans),
		.max = max,
	};

	return dump_all(c, DMA_LOOPBACK_CMD_CHAN_GET, &dump);
}

/* Release transfers of a channel whose clock is step. */
int control_step(struct control *c, struct control_addr addr,
		 uint32_t transfers)
{
	const struct control_attr attrs[] = {
		{ DMA_LOOPBACK_A_STEP_INSTANCE, addr.instance, 0 },
		{ DMA_LOOPBACK_A_STEP_CHANNEL, addr.channel, 0 },
		{ DMA_LOOPBACK_A_STEP_TRANSFERS, transfers, 0 },
	};

	return control_request(c, DMA_LOOPBACK_CMD_STEP, attrs,
			       ARRAY_SIZE(attrs));
}

/* Release bytes of a channel whose clock is step. */
int control_step_bytes(struct control *c, struct control_addr addr,
		       uint32_t bytes)
{
	const struct control_attr attrs[] = {
		{ DMA_LOOPBACK_A_STEP_INSTANCE, addr.instance, 0 },
		{ DMA_LOOPBACK_A_STEP_CHANNEL, addr.channel, 0 },
		{ DMA_LOOPBACK_A_STEP_BYTES, bytes, 0 },
	};

	return control_request(c, DMA_LOOPBACK_CMD_STEP, attrs,
			       ARRAY_SIZE(attrs));
}

/**
 * control_fault_add() - Arm a fault
 * @c: connection
 * @fault: the fault
 *
 * Return: its id, which is positive, or a negative errno.
 */
int control_fault_add(struct control *c, const struct control_fault *fault)
{
	struct nlmsghdr *nlh = command_new(c, DMA_LOOPBACK_CMD_FAULT_ADD);
	uint32_t id = 0;
	int ret;

	mnl_attr_put_u32(nlh, DMA_LOOPBACK_A_FAULT_INSTANCE,
			 fault->addr.instance);
	mnl_attr_put_u32(nlh, DMA_LOOPBACK_A_FAULT_CHANNEL,
			 fault->addr.channel);
	mnl_attr_put_u32(nlh, DMA_LOOPBACK_A_FAULT_KIND, fault->kind);
	mnl_attr_put_u32(nlh, DMA_LOOPBACK_A_FAULT_NTH, fault->nth ?: 1);
	if (fault->with_bytes)
		mnl_attr_put_u32(nlh, DMA_LOOPBACK_A_FAULT_BYTES, fault->bytes);
	if (fault->error)
		mnl_attr_put_u32(nlh, DMA_LOOPBACK_A_FAULT_ERROR, fault->error);
	if (fault->delay)
		mnl_attr_put_u32(nlh, DMA_LOOPBACK_A_FAULT_DELAY, fault->delay);

	ret = transact(c->priv, take_fault_id, &id);
	if (ret)
		return ret;

	if (!id) {
		set_message(c->priv, "the answer has no fault id");
		return -EPROTO;
	}

	return id;
}

/**
 * control_fault_del() - Delete a fault, and let go what it holds
 * @c: connection
 * @instance: number of the controller
 * @id: the fault, 0 for all of the instance
 *
 * Return: 0, or a negative errno.
 */
int control_fault_del(struct control *c, uint32_t instance, uint32_t id)
{
	const struct control_attr attrs[] = {
		{ DMA_LOOPBACK_A_FAULT_INSTANCE, instance, 0 },
		{ DMA_LOOPBACK_A_FAULT_ID, id, 0 },
	};

	return control_request(c, DMA_LOOPBACK_CMD_FAULT_DEL, attrs,
			       id ? 2 : 1);
}

/**
 * control_faults() - List the faults of all instances
 * @c: connection
 * @faults: filled in
 * @max: room in @faults
 *
 * Return: how many there are, which may be more than @max; a negative errno.
 */
int control_faults(struct control *c, struct control_fault *faults, size_t max)
{
	struct dump dump = {
		.parse = take_fault,
		.items = (char *)faults,
		.size = sizeof(*faults),
		.max = max,
	};

	return dump_all(c, DMA_LOOPBACK_CMD_FAULT_GET, &dump);
}

/* --- events --- */

/* The size that is asked for, beyond the limit of the system if we may. */
static int set_rcvbuf(int fd, int size)
{
	if (!setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)))
		return 0;

	return setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
}

/**
 * control_listen() - Begin to receive events
 * @c: connection, which does not listen yet
 * @rcvbuf: bytes that the kernel keeps for it before it loses events, 0 for
 *	what a socket has by itself
 *
 * Events that come from now on are kept, whoever does not read them in time
 * loses some.
 *
 * Return: 0, or a negative errno.
 */
int control_listen(struct control *c, int rcvbuf)
{
	struct control_priv *p = c->priv;

	p->events = socket_new();
	if (!p->events)
		return failed(p, "socket of events");

	if (rcvbuf && set_rcvbuf(mnl_socket_get_fd(p->events), rcvbuf))
		return failed(p, "size of the receive buffer");

	if (mnl_socket_setsockopt(p->events, NETLINK_ADD_MEMBERSHIP, &p->group,
				  sizeof(p->group)))
		return failed(p, "joining the group of events");

	return 0;
}

/* For poll(). Events that control_event() has read at once do not show. */
int control_events_fd(const struct control *c)
{
	return mnl_socket_get_fd(c->priv->events);
}

/* Return the next event that is in the buffer, if there is one. */
static bool buffered_event(struct control_priv *p, struct control_event *e)
{
	const struct genlmsghdr *genl;
	const struct nlmsghdr *nlh;

	while (mnl_nlmsg_ok(p->next, p->left)) {
		nlh = p->next;
		p->next = mnl_nlmsg_next(nlh, &p->left);
		genl = mnl_nlmsg_get_payload(nlh);
		if (nlh->nlmsg_type == p->family &&
		    genl->cmd == DMA_LOOPBACK_CMD_EVENT) {
			parse_event(nlh, e);
			return true;
		}
	}
	p->left = 0;

	return false;
}

/**
 * control_event() - Take the next event
 * @c: connection that listens
 * @e: filled in
 * @timeout_ms: how long to wait for one
 *
 * Return: 0; -ETIMEDOUT if none came; -ENOBUFS, once, if events were lost. What
 * came before the loss is still there after that, and then there is a gap in
 * @e->seq. Another negative errno.
 */
int control_event(struct control *c, struct control_event *e, int timeout_ms)
{
	struct control_priv *p = c->priv;
	ssize_t n;
	int ret;

	while (!buffered_event(p, e)) {
		ret = wait_for(p, p->events, timeout_ms);
		if (ret)
			return ret;

		n = mnl_socket_recvfrom(p->events, p->event_buf, EVENTS_MAX);
		if (n < 0)
			return failed(p, "events");

		p->next = (void *)p->event_buf;
		p->left = n;
	}

	return 0;
}

/**
 * control_event_wait() - Wait for an event, and drop those that come before it
 * @c: connection that listens
 * @addr: channel that it is to come from
 * @type: what is to happen there
 * @e: filled in
 *
 * Return: 0; -ETIMEDOUT if it has not come within DEADLINE_MS; what else
 * control_event() returns.
 */
int control_event_wait(struct control *c, struct control_addr addr,
		       enum dma_loopback_event_type type,
		       struct control_event *e)
{
	uint64_t end = now_ms() + DEADLINE_MS;
	int ret;

	while (now_ms() < end) {
		ret = control_event(c, e, DEADLINE_MS);
		if (ret)
			return ret;

		if (e->type == type && e->addr.instance == addr.instance &&
		    e->addr.channel == addr.channel)
			return 0;
	}
	set_message(c->priv, "no event %s of instance %u %s",
		    control_event_name(type), addr.instance,
		    control_channel_name(addr.channel));

	return -ETIMEDOUT;
}

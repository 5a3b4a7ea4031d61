// SPDX-License-Identifier: ((GPL-2.0 WITH Linux-syscall-note) OR BSD-3-Clause)
/* Do not edit directly, auto-generated from: */
/*	Documentation/netlink/specs/dma_loopback.yaml */
/* YNL-GEN kernel source */

#include <net/netlink.h>
#include <net/genetlink.h>

#include "dma-loopback-genl.h"

#include <uapi/linux/dma_loopback.h>
#include <linux/err.h>

/* DMA_LOOPBACK_CMD_CHAN_GET - do */
static const struct nla_policy dma_loopback_chan_get_nl_policy[DMA_LOOPBACK_A_CHAN_CHANNEL + 1] = {
	[DMA_LOOPBACK_A_CHAN_INSTANCE] = { .type = NLA_U32, },
	[DMA_LOOPBACK_A_CHAN_CHANNEL] = NLA_POLICY_MAX(NLA_U32, 1),
};

/* DMA_LOOPBACK_CMD_STEP - do */
static const struct nla_policy dma_loopback_step_nl_policy[DMA_LOOPBACK_A_STEP_BYTES + 1] = {
	[DMA_LOOPBACK_A_STEP_INSTANCE] = { .type = NLA_U32, },
	[DMA_LOOPBACK_A_STEP_CHANNEL] = NLA_POLICY_MAX(NLA_U32, 1),
	[DMA_LOOPBACK_A_STEP_TRANSFERS] = NLA_POLICY_MIN(NLA_U32, 1),
	[DMA_LOOPBACK_A_STEP_BYTES] = NLA_POLICY_MIN(NLA_U32, 1),
};

/* DMA_LOOPBACK_CMD_FAULT_ADD - do */
static const struct nla_policy dma_loopback_fault_add_nl_policy[DMA_LOOPBACK_A_FAULT_DELAY + 1] = {
	[DMA_LOOPBACK_A_FAULT_INSTANCE] = { .type = NLA_U32, },
	[DMA_LOOPBACK_A_FAULT_CHANNEL] = NLA_POLICY_MAX(NLA_U32, 1),
	[DMA_LOOPBACK_A_FAULT_KIND] = NLA_POLICY_MAX(NLA_U32, 17),
	[DMA_LOOPBACK_A_FAULT_NTH] = NLA_POLICY_MIN(NLA_U32, 1),
	[DMA_LOOPBACK_A_FAULT_BYTES] = { .type = NLA_U32, },
	[DMA_LOOPBACK_A_FAULT_ERROR] = NLA_POLICY_RANGE(NLA_U32, 1, MAX_ERRNO),
	[DMA_LOOPBACK_A_FAULT_DELAY] = NLA_POLICY_MIN(NLA_U32, 1),
};

/* DMA_LOOPBACK_CMD_FAULT_DEL - do */
static const struct nla_policy dma_loopback_fault_del_nl_policy[DMA_LOOPBACK_A_FAULT_ID + 1] = {
	[DMA_LOOPBACK_A_FAULT_INSTANCE] = { .type = NLA_U32, },
	[DMA_LOOPBACK_A_FAULT_ID] = NLA_POLICY_MIN(NLA_U32, 1),
};

/* Ops table for dma_loopback */
static const struct genl_split_ops dma_loopback_nl_ops[] = {
	{
		.cmd		= DMA_LOOPBACK_CMD_CHAN_GET,
		.doit		= dma_loopback_nl_chan_get_doit,
		.policy		= dma_loopback_chan_get_nl_policy,
		.maxattr	= DMA_LOOPBACK_A_CHAN_CHANNEL,
		.flags		= GENL_ADMIN_PERM | GENL_CMD_CAP_DO,
	},
	{
		.cmd	= DMA_LOOPBACK_CMD_CHAN_GET,
		.dumpit	= dma_loopback_nl_chan_get_dumpit,
		.flags	= GENL_ADMIN_PERM | GENL_CMD_CAP_DUMP,
	},
	{
		.cmd		= DMA_LOOPBACK_CMD_STEP,
		.doit		= dma_loopback_nl_step_doit,
		.policy		= dma_loopback_step_nl_policy,
		.maxattr	= DMA_LOOPBACK_A_STEP_BYTES,
		.flags		= GENL_ADMIN_PERM | GENL_CMD_CAP_DO,
	},
	{
		.cmd		= DMA_LOOPBACK_CMD_FAULT_ADD,
		.doit		= dma_loopback_nl_fault_add_doit,
		.policy		= dma_loopback_fault_add_nl_policy,
		.maxattr	= DMA_LOOPBACK_A_FAULT_DELAY,
		.flags		= GENL_ADMIN_PERM | GENL_CMD_CAP_DO,
	},
	{
		.cmd	= DMA_LOOPBACK_CMD_FAULT_GET,
		.dumpit	= dma_loopback_nl_fault_get_dumpit,
		.flags	= GENL_ADMIN_PERM | GENL_CMD_CAP_DUMP,
	},
	{
		.cmd		= DMA_LOOPBACK_CMD_FAULT_DEL,
		.doit		= dma_loopback_nl_fault_del_doit,
		.policy		= dma_loopback_fault_del_nl_policy,
		.maxattr	= DMA_LOOPBACK_A_FAULT_ID,
		.flags		= GENL_ADMIN_PERM | GENL_CMD_CAP_DO,
	},
};

static const struct genl_multicast_group dma_loopback_nl_mcgrps[] = {
	[DMA_LOOPBACK_NLGRP_EVENTS] = { "events", },
};

struct genl_family dma_loopback_nl_family __ro_after_init = {
	.name		= DMA_LOOPBACK_FAMILY_NAME,
	.version	= DMA_LOOPBACK_FAMILY_VERSION,
	.netnsok	= true,
	.parallel_ops	= true,
	.module		= THIS_MODULE,
	.split_ops	= dma_loopback_nl_ops,
	.n_split_ops	= ARRAY_SIZE(dma_loopback_nl_ops),
	.mcgrps		= dma_loopback_nl_mcgrps,
	.n_mcgrps	= ARRAY_SIZE(dma_loopback_nl_mcgrps),
};

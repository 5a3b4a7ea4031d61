/* SPDX-License-Identifier: ((GPL-2.0 WITH Linux-syscall-note) OR BSD-3-Clause) */
/* Do not edit directly, auto-generated from: */
/*	Documentation/netlink/specs/dma_loopback.yaml */
/* YNL-GEN kernel header */

#ifndef _LINUX_DMA_LOOPBACK_GEN_H
#define _LINUX_DMA_LOOPBACK_GEN_H

#include <net/netlink.h>
#include <net/genetlink.h>

#include <uapi/linux/dma_loopback.h>
#include <linux/err.h>

int dma_loopback_nl_chan_get_doit(struct sk_buff *skb, struct genl_info *info);
int dma_loopback_nl_chan_get_dumpit(struct sk_buff *skb,
				    struct netlink_callback *cb);
int dma_loopback_nl_step_doit(struct sk_buff *skb, struct genl_info *info);
int dma_loopback_nl_fault_add_doit(struct sk_buff *skb, struct genl_info *info);
int dma_loopback_nl_fault_get_dumpit(struct sk_buff *skb,
				     struct netlink_callback *cb);
int dma_loopback_nl_fault_del_doit(struct sk_buff *skb, struct genl_info *info);

enum {
	DMA_LOOPBACK_NLGRP_EVENTS,
};

extern struct genl_family dma_loopback_nl_family;

#endif /* _LINUX_DMA_LOOPBACK_GEN_H */

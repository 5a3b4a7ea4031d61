// SPDX-License-Identifier: GPL-2.0
/*
 * Loopback IIO devices on a loopback DMA controller
 *
 * Each instance is one output and one input IIO device with a dmaengine buffer
 * each, on the two channels of one DMA controller (dma-loopback). Instances are
 * created and shaped through configfs:
 *
 *	mkdir /sys/kernel/config/iio-loopback/NAME
 *	echo 4 > /sys/kernel/config/iio-loopback/NAME/channels
 *	echo 1 > /sys/kernel/config/iio-loopback/NAME/live
 *
 * What can be done to the devices is what can be done to any IIO device with
 * such buffers: this half knows nothing of how bytes move.
 */

#include <linux/array_size.h>
#include <linux/bits.h>
#include <linux/cleanup.h>
#include <linux/configfs.h>
#include <linux/device.h>
#include <linux/dmaengine.h>
#include <linux/err.h>
#include <linux/idr.h>
#include <linux/iio/buffer-dmaengine.h>
#include <linux/iio/buffer.h>
#include <linux/iio/iio.h>
#include <linux/kmemleak.h>
#include <linux/kstrtox.h>
#include <linux/lockdep.h>
#include <linux/log2.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/platform_device.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/sysfs.h>
#include <linux/types.h>
#include <linux/units.h>

#include "dma-loopback.h"

#define IIO_LOOPBACK_DRV_NAME		"iio-loopback"
#define IIO_LOOPBACK_CHANNELS_MAX	16
#define IIO_LOOPBACK_RATE_DEFAULT	MEGA	/* Hz */
#define IIO_LOOPBACK_RATE_MAX		GIGA	/* Hz */

/**
 * struct iio_loopback_pdata - Platform data of the IIO half of an instance
 * @name: name of the instance, the devices' labels start with it
 * @channels: number of channels of each device
 * @storagebits: bits that a sample takes in memory
 * @realbits: bits of it that carry data
 * @paced: the devices have a sampling frequency
 * @link: pacing signals to the DMA controller
 * @dma_dev: the DMA controller
 */
struct iio_loopback_pdata {
	const char *name;
	u32 channels;
	u32 storagebits;
	u32 realbits;
	bool paced;
	struct dma_loopback_link *link;
	struct device *dma_dev;
};

/* --- IIO devices --- */

/**
 * struct iio_loopback_dev - One IIO device
 * @link: signals to the DMA controller
 * @dir: direction, in dmaengine's words
 * @rate: where the DMA controller learns the rate, bytes per second
 * @frequency: sampling frequency, scans per second
 * @channels: description of the channels
 */
struct iio_loopback_dev {
	struct dma_loopback_link *link;
	enum dma_transfer_direction dir;
	atomic64_t *rate;
	u32 frequency;
	struct iio_chan_spec channels[IIO_LOOPBACK_CHANNELS_MAX];
};

static int iio_loopback_read_raw(struct iio_dev *indio_dev,
				 const struct iio_chan_spec *chan,
				 int *val, int *val2, long mask)
{
	struct iio_loopback_dev *ld = iio_priv(indio_dev);

	switch (mask) {
	case IIO_CHAN_INFO_SAMP_FREQ:
		*val = ld->frequency;
		return IIO_VAL_INT;
	default:
		return -EINVAL;
	}
}

static int iio_loopback_write_raw(struct iio_dev *indio_dev,
				  const struct iio_chan_spec *chan,
				  int val, int val2, long mask)
{
	struct iio_loopback_dev *ld = iio_priv(indio_dev);

	switch (mask) {
	case IIO_CHAN_INFO_SAMP_FREQ:
		if (val < 1 || val > IIO_LOOPBACK_RATE_MAX || val2)
			return -EINVAL;

		if (iio_buffer_enabled(indio_dev))
			return -EBUSY;

		ld->frequency = val;
		return 0;
	default:
		return -EINVAL;
	}
}

static const struct iio_info iio_loopback_info = {
	.read_raw = iio_loopback_read_raw,
	.write_raw = iio_loopback_write_raw,
};

static int iio_loopback_buffer_preenable(struct iio_dev *indio_dev)
{
	struct iio_loopback_dev *ld = iio_priv(indio_dev);
	int ret;

	ret = ld->link->start(ld->link, ld->dir, false);
	if (ret)
		return ret;

	atomic64_set(ld->rate, (u64)ld->frequency * indio_dev->scan_bytes);

	return 0;
}

static int iio_loopback_buffer_postenable(struct iio_dev *indio_dev)
{
	struct iio_loopback_dev *ld = iio_priv(indio_dev);

	return ld->link->start(ld->link, ld->dir, true);
}

static int iio_loopback_buffer_postdisable(struct iio_dev *indio_dev)
{
	struct iio_loopback_dev *ld = iio_priv(indio_dev);

	atomic64_set(ld->rate, 0);

	return 0;
}

static const struct iio_buffer_setup_ops iio_loopback_buffer_setup_ops = {
	.preenable = iio_loopback_buffer_preenable,
	.postenable = iio_loopback_buffer_postenable,
	.postdisable = iio_loopback_buffer_postdisable,
};

static int iio_loopback_add(struct device *dev, enum iio_buffer_direction dir)
{
	const struct iio_loopback_pdata *pdata = dev_get_platdata(dev);
	bool output = dir == IIO_BUFFER_DIRECTION_OUT;
	struct iio_loopback_dev *ld;
	struct iio_dev *indio_dev;
	unsigned int i;
	int ret;

	indio_dev = devm_iio_device_alloc(dev, sizeof(*ld));
	if (!indio_dev)
		return -ENOMEM;

	ld = iio_priv(indio_dev);
	ld->link = pdata->link;
	ld->dir = output ? DMA_MEM_TO_DEV : DMA_DEV_TO_MEM;
	ld->rate = output ? &pdata->link->tx_rate : &pdata->link->rx_rate;
	ld->frequency = IIO_LOOPBACK_RATE_DEFAULT;

	for (i = 0; i < pdata->channels; i++) {
		struct iio_chan_spec *chan = &ld->channels[i];

		chan->type = IIO_VOLTAGE;
		chan->indexed = 1;
		chan->channel = i;
		chan->output = output;
		chan->scan_index = i;
		chan->scan_type.sign = 's';
		chan->scan_type.realbits = pdata->realbits;
		chan->scan_type.storagebits = pdata->storagebits;
		chan->scan_type.endianness = IIO_CPU;
		if (pdata->paced)
			chan->info_mask_shared_by_all =
				BIT(IIO_CHAN_INFO_SAMP_FREQ);
	}

	indio_dev->name = output ? "iio-loopback-out" : "iio-loopback-in";
	indio_dev->label = devm_kasprintf(dev, GFP_KERNEL, "%s-%s", pdata->name,
					  output ? "out" : "in");
	if (!indio_dev->label)
		return -ENOMEM;

	indio_dev->info = &iio_loopback_info;
	indio_dev->setup_ops = &iio_loopback_buffer_setup_ops;
	indio_dev->channels = ld->channels;
	indio_dev->num_channels = pdata->channels;

	ret = devm_iio_dmaengine_buffer_setup_ext(dev, indio_dev,
						  output ? DMA_LOOPBACK_CHAN_TX
							 : DMA_LOOPBACK_CHAN_RX,
						  dir);
	if (ret)
		return dev_err_probe(dev, ret, "no buffer for %s\n",
				     indio_dev->label);

	return devm_iio_device_register(dev, indio_dev);
}

static int iio_loopback_probe(struct platform_device *pdev)
{
	const struct iio_loopback_pdata *pdata = dev_get_platdata(&pdev->dev);
	struct device *dev = &pdev->dev;
	int ret;

	if (!pdata)
		return dev_err_probe(dev, -ENODEV, "no platform data\n");

	/*
	 * The DMA controller must not lose its driver under a buffer that holds
	 * its channels: with this link the IIO devices go first, and come back
	 * when the controller does.
	 */
	if (!device_link_add(dev, pdata->dma_dev, DL_FLAG_AUTOPROBE_CONSUMER))
		return dev_err_probe(dev, -ENODEV, "no link to %s\n",
				     dev_name(pdata->dma_dev));

	ret = iio_loopback_add(dev, IIO_BUFFER_DIRECTION_OUT);
	if (ret)
		return ret;

	return iio_loopback_add(dev, IIO_BUFFER_DIRECTION_IN);
}

static struct platform_driver iio_loopback_driver = {
	.driver = {
		.name = IIO_LOOPBACK_DRV_NAME,
		/* The configfs half wants to know whether it worked. */
		.probe_type = PROBE_FORCE_SYNCHRONOUS,
	},
	.probe = iio_loopback_probe,
};

/* --- configfs --- */

/**
 * struct iio_loopback_instance - One configfs directory
 * @item: the directory
 * @lock: serializes attributes and going live; protects all below
 * @clock: index into iio_loopback_clocks[]
 * @source: index into iio_loopback_sources[]
 * @sink: index into iio_loopback_sinks[]
 * @vectors: the DMA controller takes vectors
 * @dma: what the DMA controller is to look like
 * @iio: what the IIO devices are to look like
 * @link: pacing signals between the two
 * @id: number of the platform devices while live
 * @dma_pdev: DMA controller, NULL while not live
 * @iio_pdev: parent of the IIO devices, NULL while not live
 */
struct iio_loopback_instance {
	struct config_item item;
	struct mutex lock;	/* the shape and whether it is live */
	u32 clock;
	u32 source;
	u32 sink;
	u32 vectors;
	struct dma_loopback_pdata dma;
	struct iio_loopback_pdata iio;
	struct dma_loopback_link link;
	int id;
	struct platform_device *dma_pdev;
	struct platform_device *iio_pdev;
};

static DEFINE_IDA(iio_loopback_ida);

static struct iio_loopback_instance *to_iio_loopback(struct config_item *item)
{
	return container_of(item, struct iio_loopback_instance, item);
}

static bool iio_loopback_live(const struct iio_loopback_instance *inst)
{
	lockdep_assert_held(&inst->lock);

	return inst->iio_pdev;
}

/* Register @pdev and see to it that a driver is bound to it. */
static int iio_loopback_register(struct platform_device *pdev)
{
	bool bound;
	int ret;

	ret = platform_device_add(pdev);
	if (ret)
		return ret;

	scoped_guard(device, &pdev->dev)
		bound = device_is_bound(&pdev->dev);

	if (!bound) {
		dev_err(&pdev->dev, "no driver has taken the device\n");
		platform_device_del(pdev);
		return -ENXIO;
	}

	return 0;
}

static int iio_loopback_activate(struct iio_loopback_instance *inst)
{
	struct platform_device *dma_pdev, *iio_pdev;
	int ret;

	lockdep_assert_held(&inst->lock);

	if (inst->iio.realbits > inst->iio.storagebits)
		return -EINVAL;

	if (inst->dma.max_seg_size % inst->dma.align)
		return -EINVAL;

	inst->id = ida_alloc(&iio_loopback_ida, GFP_KERNEL);
	if (inst->id < 0)
		return inst->id;

	dma_pdev = platform_device_alloc(DMA_LOOPBACK_DRV_NAME, inst->id);
	iio_pdev = platform_device_alloc(IIO_LOOPBACK_DRV_NAME, inst->id);
	inst->dma.consumer = kasprintf(GFP_KERNEL, IIO_LOOPBACK_DRV_NAME ".%d",
				       inst->id);
	if (!dma_pdev || !iio_pdev || !inst->dma.consumer) {
		ret = -ENOMEM;
		goto err_put;
	}

	inst->dma.name = config_item_name(&inst->item);
	inst->dma.link = &inst->link;
	inst->dma.clock = inst->clock;
	inst->dma.counter = inst->source;
	inst->dma.discard = inst->sink;
	inst->dma.no_vectors = !inst->vectors;
	ret = platform_device_add_data(dma_pdev, &inst->dma, sizeof(inst->dma));
	if (ret)
		goto err_put;

	inst->iio.name = config_item_name(&inst->item);
	inst->iio.paced = inst->clock == DMA_LOOPBACK_CLOCK_RATE;
	inst->iio.link = &inst->link;
	inst->iio.dma_dev = &dma_pdev->dev;
	ret = platform_device_add_data(iio_pdev, &inst->iio, sizeof(inst->iio));
	if (ret)
		goto err_put;

	ret = iio_loopback_register(dma_pdev);
	if (ret)
		goto err_put;

	ret = iio_loopback_register(iio_pdev);
	if (ret) {
		platform_device_del(dma_pdev);
		goto err_put;
	}

	inst->dma_pdev = dma_pdev;
	inst->iio_pdev = iio_pdev;

	return 0;

err_put:
	platform_device_put(iio_pdev);
	platform_device_put(dma_pdev);
	kfree(inst->dma.consumer);
	ida_free(&iio_loopback_ida, inst->id);

	return ret;
}

static void iio_loopback_deactivate(struct iio_loopback_instance *inst)
{
	lockdep_assert_held(&inst->lock);

	platform_device_unregister(inst->iio_pdev);

	/*
	 * No platform_device_put(): the attachments of a buffer descriptor that
	 * is still open name the DMA device without a reference to it, and use
	 * it when they are closed. The device of a controller in hardware stays
	 * as well when its driver goes.
	 */
	platform_device_del(inst->dma_pdev);
	kmemleak_not_leak(inst->dma_pdev);

	kfree(inst->dma.consumer);
	ida_free(&iio_loopback_ida, inst->id);

	inst->iio_pdev = NULL;
	inst->dma_pdev = NULL;
}

/**
 * struct iio_loopback_param - What one shape attribute may be set to
 * @offset: offset of the u32 in struct iio_loopback_instance
 * @min: smallest value
 * @max: largest value
 * @pow2: only powers of two
 * @words: names of the values @min to @max, in place of numbers
 */
struct iio_loopback_param {
	size_t offset;
	u32 min;
	u32 max;
	bool pow2;
	const char * const *words;
};

static ssize_t iio_loopback_param_show(struct config_item *item, char *page,
				       const struct iio_loopback_param *param)
{
	struct iio_loopback_instance *inst = to_iio_loopback(item);
	const u32 *field = (void *)inst + param->offset;

	guard(mutex)(&inst->lock);

	if (param->words)
		return sysfs_emit(page, "%s\n", param->words[*field]);

	return sysfs_emit(page, "%u\n", *field);
}

static int iio_loopback_param_parse(const struct iio_loopback_param *param,
				    const char *page, u32 *val)
{
	int ret;

	if (param->words) {
		ret = __sysfs_match_string(param->words, param->max + 1, page);
		if (ret < 0)
			return ret;

		*val = ret;
		return 0;
	}

	ret = kstrtou32(page, 0, val);
	if (ret)
		return ret;

	if (*val < param->min || *val > param->max)
		return -ERANGE;

	if (param->pow2 && !is_power_of_2(*val))
		return -EINVAL;

	return 0;
}

static ssize_t iio_loopback_param_store(struct config_item *item,
					const char *page, size_t count,
					const struct iio_loopback_param *param)
{
	struct iio_loopback_instance *inst = to_iio_loopback(item);
	u32 *field = (void *)inst + param->offset;
	u32 val;
	int ret;

	ret = iio_loopback_param_parse(param, page, &val);
	if (ret)
		return ret;

	guard(mutex)(&inst->lock);

	if (iio_loopback_live(inst))
		return -EBUSY;

	*field = val;

	return count;
}

#define IIO_LOOPBACK_ATTR(_name)					\
static ssize_t iio_loopback_##_name##_show(struct config_item *item,	\
					   char *page)			\
{									\
	return iio_loopback_param_show(item, page,			\
				       &iio_loopback_##_name##_param);	\
}									\
static ssize_t iio_loopback_##_name##_store(struct config_item *item,	\
					    const char *page,		\
					    size_t count)		\
{									\
	return iio_loopback_param_store(item, page, count,		\
					&iio_loopback_##_name##_param);	\
}									\
CONFIGFS_ATTR(iio_loopback_, _name)

static const struct iio_loopback_param iio_loopback_channels_param = {
	.offset = offsetof(struct iio_loopback_instance, iio.channels),
	.min = 1,
	.max = IIO_LOOPBACK_CHANNELS_MAX,
};

IIO_LOOPBACK_ATTR(channels);

static const struct iio_loopback_param iio_loopback_storagebits_param = {
	.offset = offsetof(struct iio_loopback_instance, iio.storagebits),
	.min = 8,
	.max = 64,
	.pow2 = true,
};

IIO_LOOPBACK_ATTR(storagebits);

static const struct iio_loopback_param iio_loopback_realbits_param = {
	.offset = offsetof(struct iio_loopback_instance, iio.realbits),
	.min = 1,
	.max = 64,
};

IIO_LOOPBACK_ATTR(realbits);

static const char * const iio_loopback_clocks[] = {
	[DMA_LOOPBACK_CLOCK_FREE] = "free",
	[DMA_LOOPBACK_CLOCK_RATE] = "rate",
	[DMA_LOOPBACK_CLOCK_STEP] = "step",
};

static const struct iio_loopback_param iio_loopback_clock_param = {
	.offset = offsetof(struct iio_loopback_instance, clock),
	.max = ARRAY_SIZE(iio_loopback_clocks) - 1,
	.words = iio_loopback_clocks,
};

IIO_LOOPBACK_ATTR(clock);

static const char * const iio_loopback_sources[] = { "loopback", "counter" };

static const struct iio_loopback_param iio_loopback_source_param = {
	.offset = offsetof(struct iio_loopback_instance, source),
	.max = ARRAY_SIZE(iio_loopback_sources) - 1,
	.words = iio_loopback_sources,
};

IIO_LOOPBACK_ATTR(source);

static const char * const iio_loopback_sinks[] = { "loopback", "discard" };

static const struct iio_loopback_param iio_loopback_sink_param = {
	.offset = offsetof(struct iio_loopback_instance, sink),
	.max = ARRAY_SIZE(iio_loopback_sinks) - 1,
	.words = iio_loopback_sinks,
};

IIO_LOOPBACK_ATTR(sink);

static const struct iio_loopback_param iio_loopback_length_align_param = {
	.offset = offsetof(struct iio_loopback_instance, dma.align),
	.min = 1,
	.max = DMA_LOOPBACK_ALIGN_MAX,
	.pow2 = true,
};

IIO_LOOPBACK_ATTR(length_align);

static const struct iio_loopback_param iio_loopback_max_seg_size_param = {
	.offset = offsetof(struct iio_loopback_instance, dma.max_seg_size),
	.max = U32_MAX,
};

IIO_LOOPBACK_ATTR(max_seg_size);

static const struct iio_loopback_param iio_loopback_max_segs_param = {
	.offset = offsetof(struct iio_loopback_instance, dma.max_segs),
	.max = U32_MAX,
};

IIO_LOOPBACK_ATTR(max_segs);

static const struct iio_loopback_param iio_loopback_vectors_param = {
	.offset = offsetof(struct iio_loopback_instance, vectors),
	.max = 1,
};

IIO_LOOPBACK_ATTR(vectors);

static ssize_t iio_loopback_show_dev_name(struct iio_loopback_instance *inst,
					  struct platform_device **pdev,
					  char *page)
{
	guard(mutex)(&inst->lock);

	return sysfs_emit(page, "%s\n",
			  *pdev ? dev_name(&(*pdev)->dev) : "n/a");
}

static ssize_t iio_loopback_dev_name_show(struct config_item *item, char *page)
{
	struct iio_loopback_instance *inst = to_iio_loopback(item);

	return iio_loopback_show_dev_name(inst, &inst->iio_pdev, page);
}

CONFIGFS_ATTR_RO(iio_loopback_, dev_name);

static ssize_t iio_loopback_dma_dev_name_show(struct config_item *item,
					      char *page)
{
	struct iio_loopback_instance *inst = to_iio_loopback(item);

	return iio_loopback_show_dev_name(inst, &inst->dma_pdev, page);
}

CONFIGFS_ATTR_RO(iio_loopback_, dma_dev_name);

static ssize_t iio_loopback_live_show(struct config_item *item, char *page)
{
	struct iio_loopback_instance *inst = to_iio_loopback(item);

	guard(mutex)(&inst->lock);

	return sysfs_emit(page, "%d\n", iio_loopback_live(inst));
}

static ssize_t iio_loopback_live_store(struct config_item *item,
				       const char *page, size_t count)
{
	struct iio_loopback_instance *inst = to_iio_loopback(item);
	bool live;
	int ret;

	ret = kstrtobool(page, &live);
	if (ret)
		return ret;

	guard(mutex)(&inst->lock);

	if (live == iio_loopback_live(inst))
		return -EPERM;

	if (!live) {
		iio_loopback_deactivate(inst);
		return count;
	}

	ret = iio_loopback_activate(inst);

	return ret ?: count;
}

CONFIGFS_ATTR(iio_loopback_, live);

static struct configfs_attribute *iio_loopback_attrs[] = {
	&iio_loopback_attr_channels,
	&iio_loopback_attr_storagebits,
	&iio_loopback_attr_realbits,
	&iio_loopback_attr_clock,
	&iio_loopback_attr_source,
	&iio_loopback_attr_sink,
	&iio_loopback_attr_length_align,
	&iio_loopback_attr_max_seg_size,
	&iio_loopback_attr_max_segs,
	&iio_loopback_attr_vectors,
	&iio_loopback_attr_live,
	&iio_loopback_attr_dev_name,
	&iio_loopback_attr_dma_dev_name,
	NULL
};

static void iio_loopback_item_release(struct config_item *item)
{
	struct iio_loopback_instance *inst = to_iio_loopback(item);

	/* rmdir of a live instance */
	scoped_guard(mutex, &inst->lock)
		if (iio_loopback_live(inst))
			iio_loopback_deactivate(inst);

	mutex_destroy(&inst->lock);
	kfree(inst);
}

static struct configfs_item_operations iio_loopback_item_ops = {
	.release = iio_loopback_item_release,
};

static const struct config_item_type iio_loopback_item_type = {
	.ct_item_ops = &iio_loopback_item_ops,
	.ct_attrs = iio_loopback_attrs,
	.ct_owner = THIS_MODULE,
};

static struct config_item *
iio_loopback_make_item(struct config_group *group, const char *name)
{
	struct iio_loopback_instance *inst;

	inst = kzalloc(sizeof(*inst), GFP_KERNEL);
	if (!inst)
		return ERR_PTR(-ENOMEM);

	mutex_init(&inst->lock);
	inst->iio.channels = 1;
	inst->iio.storagebits = 16;
	inst->iio.realbits = 16;
	inst->vectors = 1;
	inst->dma.align = 4;
	config_item_init_type_name(&inst->item, name, &iio_loopback_item_type);

	return &inst->item;
}

static struct configfs_group_operations iio_loopback_group_ops = {
	.make_item = iio_loopback_make_item,
};

static const struct config_item_type iio_loopback_group_type = {
	.ct_group_ops = &iio_loopback_group_ops,
	.ct_owner = THIS_MODULE,
};

static struct configfs_subsystem iio_loopback_subsys = {
	.su_group = {
		.cg_item = {
			.ci_namebuf = "iio-loopback",
			.ci_type = &iio_loopback_group_type,
		},
	},
};

static int __init iio_loopback_init(void)
{
	int ret;

	ret = platform_driver_register(&iio_loopback_driver);
	if (ret)
		return ret;

	config_group_init(&iio_loopback_subsys.su_group);
	mutex_init(&iio_loopback_subsys.su_mutex);
	ret = configfs_register_subsystem(&iio_loopback_subsys);
	if (ret) {
		mutex_destroy(&iio_loopback_subsys.su_mutex);
		platform_driver_unregister(&iio_loopback_driver);
	}

	return ret;
}
module_init(iio_loopback_init);

static void __exit iio_loopback_exit(void)
{
	configfs_unregister_subsystem(&iio_loopback_subsys);
	mutex_destroy(&iio_loopback_subsys.su_mutex);
	platform_driver_unregister(&iio_loopback_driver);
}
module_exit(iio_loopback_exit);

MODULE_DESCRIPTION("Loopback IIO devices for tests of the DMABUF interface");
MODULE_LICENSE("GPL");
MODULE_ALIAS("platform:" IIO_LOOPBACK_DRV_NAME);
MODULE_SOFTDEP("pre: " DMA_LOOPBACK_DRV_NAME);
MODULE_INFO(test, "Y");
/* The form that MODULE_IMPORT_NS() has before and after v6.13 */
MODULE_INFO(import_ns, "IIO_DMAENGINE_BUFFER");

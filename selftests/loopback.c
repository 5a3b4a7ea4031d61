// SPDX-License-Identifier: GPL-2.0
/*
 * The loopback driver itself: its configfs attributes, its clocks, and that it
 * survives what may be done to it. These are no requirements of the IIO DMABUF
 * interface; on a machine without the driver all of it is skipped.
 */

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

#include "lib/conformance.h"
#include "lib/file.h"
#include "lib/instance.h"

#define DRIVERS		"/sys/bus/platform/drivers"

/* Bind or unbind ("bind", "unbind") one half of an instance. */
static int rebind(const char *action, const char *driver, const char *device)
{
	char path[128];

	snprintf(path, sizeof(path), DRIVERS "/%s/%s", driver, action);

	return write_file(path, device);
}

/* Whether debugfs knows a DMABUF of the DMA controller @device. */
static bool attached_anywhere(const char *device)
{
	char line[256];
	bool found = false;
	FILE *f;

	f = fopen("/sys/kernel/debug/dma_buf/bufinfo", "re");
	if (!f)
		return false;

	while (fgets(line, sizeof(line), f))
		found |= !!strstr(line, device);
	fclose(f);

	return found;
}

#define NAME	"selftest"

FIXTURE(loopback) {
	struct instance inst;
	struct iio_buf out;
	struct iio_buf in;
	struct dmabuf tx;
	struct dmabuf rx;
};

FIXTURE_SETUP(loopback)
{
	self->out = (struct iio_buf)IIO_BUF_INIT;
	self->in = (struct iio_buf)IIO_BUF_INIT;
	self->tx = (struct dmabuf)DMABUF_INIT;
	self->rx = (struct dmabuf)DMABUF_INIT;

	/* What a test that was killed has left */
	instance_remove(NAME);
	ASSERT_OK(instance_add(NAME));
}

FIXTURE_TEARDOWN(loopback)
{
	iio_buf_close(&self->out);
	iio_buf_close(&self->in);
	dmabuf_free(&self->tx);
	dmabuf_free(&self->rx);
	instance_remove(NAME);
}

/* The driver core brings the IIO half back from a work item. */
static void wait_for_ends(struct __test_metadata *_metadata,
			  FIXTURE_DATA(loopback) *self)
{
	ASSERT_TRUE(wait_until(!iio_dut_lookup(&self->inst.out, NAME "-out")));
	ASSERT_TRUE(wait_until(!iio_dut_lookup(&self->inst.in, NAME "-in")));
}

/* Make the instance live and open both ends, with one DMABUF attached each. */
static void go_live(struct __test_metadata *_metadata,
		    FIXTURE_DATA(loopback) *self, size_t size)
{
	const struct exporter *e = exporter_default();

	ASSERT_OK(instance_live(&self->inst, NAME));
	ASSERT_OK(iio_buf_open(&self->out, &self->inst.out));
	ASSERT_OK(iio_buf_open(&self->in, &self->inst.in));
	ASSERT_OK(dmabuf_alloc(&self->tx, e, size));
	ASSERT_OK(dmabuf_alloc(&self->rx, e, size));
	ASSERT_OK(iio_attach(self->out.fd, self->tx.fd));
	ASSERT_OK(iio_attach(self->in.fd, self->rx.fd));
}

static void enable_both(struct __test_metadata *_metadata,
			FIXTURE_DATA(loopback) *self)
{
	ASSERT_OK(iio_enable(&self->inst.in));
	ASSERT_OK(iio_enable(&self->inst.out));
}

/* One transfer of @len bytes from end to end. */
static void round_trip(struct __test_metadata *_metadata,
		       FIXTURE_DATA(loopback) *self, size_t len)
{
	ASSERT_OK(dmabuf_begin_cpu(&self->tx));
	pattern_fill(self->tx.map, len, len);
	ASSERT_OK(dmabuf_end_cpu(&self->tx));

	ASSERT_OK(iio_enqueue(self->in.fd, self->rx.fd, len));
	ASSERT_OK(iio_enqueue(self->out.fd, self->tx.fd, len));
	ASSERT_EQ(POLLOUT, fd_poll(self->rx.fd, POLLOUT, DEADLINE_MS));
	ASSERT_EQ(POLLOUT, fd_poll(self->tx.fd, POLLOUT, DEADLINE_MS));

	ASSERT_OK(dmabuf_begin_cpu(&self->rx));
	EXPECT_EQ(-1, pattern_mismatch(self->rx.map, len, len));
	ASSERT_OK(dmabuf_end_cpu(&self->rx));
}

TEST_F(loopback, attributes_refuse_what_is_out_of_range)
{
	static const struct {
		const char *attr;
		const char *val;
		int err;
	} bad[] = {
		{ "channels", "0", ERANGE },
		{ "channels", "17", ERANGE },
		{ "channels", "-1", EINVAL },
		{ "channels", "two", EINVAL },
		{ "storagebits", "4", ERANGE },
		{ "storagebits", "128", ERANGE },
		{ "storagebits", "24", EINVAL },
		{ "realbits", "0", ERANGE },
		{ "realbits", "65", ERANGE },
		{ "length_align", "0", ERANGE },
		{ "length_align", "32", ERANGE },
		{ "length_align", "3", EINVAL },
		{ "max_seg_size", "4294967296", ERANGE },
		{ "max_segs", "4294967296", ERANGE },
		{ "clock", "atomic", EINVAL },
		{ "source", "discard", EINVAL },
		{ "sink", "counter", EINVAL },
		{ "live", "maybe", EINVAL },
	};
	char before[64];
	size_t i;

	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		snprintf(before, sizeof(before), "%s",
			 instance_get(NAME, bad[i].attr));
		EXPECT_ERRNO(instance_set(NAME, bad[i].attr, bad[i].val),
			     bad[i].err) {
			TH_LOG("%s = %s", bad[i].attr, bad[i].val);
		}
		EXPECT_STREQ(before, instance_get(NAME, bad[i].attr));
	}
}

TEST_F(loopback, attributes_are_locked_while_live)
{
	static const char * const attrs[] = {
		"channels", "storagebits", "realbits", "length_align",
		"max_seg_size", "max_segs", "clock", "source", "sink",
	};
	char val[64];
	size_t i;

	ASSERT_OK(instance_set(NAME, "live", "1"));
	for (i = 0; i < ARRAY_SIZE(attrs); i++) {
		snprintf(val, sizeof(val), "%s", instance_get(NAME, attrs[i]));
		EXPECT_ERRNO(instance_set(NAME, attrs[i], val), EBUSY) {
			TH_LOG("%s", attrs[i]);
		}
	}
	EXPECT_ERRNO(instance_set(NAME, "live", "1"), EPERM);

	ASSERT_OK(instance_set(NAME, "live", "0"));
	EXPECT_OK(instance_set(NAME, "channels", "3"));
	EXPECT_ERRNO(instance_set(NAME, "live", "0"), EPERM);
}

TEST_F(loopback, failing_to_go_live_is_reported)
{
	ASSERT_OK(instance_set(NAME, "storagebits", "16"));
	ASSERT_OK(instance_set(NAME, "realbits", "24"));
	EXPECT_ERRNO(instance_set(NAME, "live", "1"), EINVAL);
	EXPECT_STREQ("0", instance_get(NAME, "live"));

	/* Nobody binds a driver: the devices cannot work. */
	ASSERT_OK(instance_set(NAME, "realbits", "16"));
	ASSERT_OK(write_file("/sys/bus/platform/drivers_autoprobe", "0"));
	EXPECT_ERRNO(instance_set(NAME, "live", "1"), ENXIO);
	ASSERT_OK(write_file("/sys/bus/platform/drivers_autoprobe", "1"));
	EXPECT_STREQ("0", instance_get(NAME, "live"));
	EXPECT_STREQ("n/a", instance_get(NAME, "dev_name"));

	EXPECT_OK(instance_set(NAME, "live", "1"));
}

TEST_F(loopback, shape_is_what_iio_shows)
{
	char type[32];

	ASSERT_OK(instance_set(NAME, "channels", "16"));
	ASSERT_OK(instance_set(NAME, "storagebits", "32"));
	ASSERT_OK(instance_set(NAME, "realbits", "24"));
	ASSERT_OK(instance_set(NAME, "length_align", "16"));
	go_live(_metadata, self, page_size());

	EXPECT_EQ(16, self->inst.in.align);
	EXPECT_EQ(16, self->inst.out.align);
	ASSERT_OK(iio_buf_attr_read(&self->inst.in, "in_voltage15_type", type,
				    sizeof(type)));
	EXPECT_NE(NULL, strstr(type, ":s24/32>>0"));
	EXPECT_ERRNO(iio_buf_attr_read(&self->inst.in, "in_voltage16_type",
				       type, sizeof(type)), ENOENT);
}

TEST_F(loopback, splits_long_segments)
{
	const size_t len = (1 << 19) + 4;

	ASSERT_OK(instance_set(NAME, "max_seg_size", "4096"));
	go_live(_metadata, self, len);
	enable_both(_metadata, self);
	round_trip(_metadata, self, len);
}

/* What the controller cannot do it refuses, and the fence says so. */
static int refused_status(struct __test_metadata *_metadata,
			  FIXTURE_DATA(loopback) *self, size_t len)
{
	int sync, status;

	ASSERT_OK(iio_enqueue(self->in.fd, self->rx.fd, len));
	sync = dmabuf_export(self->rx.fd, DMA_BUF_SYNC_RW);
	ASSERT_LE(0, sync);
	ASSERT_OK(iio_enable(&self->inst.in));
	status = sync_file_wait(sync);
	close(sync);

	return status;
}

TEST_F(loopback, refuses_too_many_segments)
{
	ASSERT_OK(instance_set(NAME, "max_seg_size", "4096"));
	ASSERT_OK(instance_set(NAME, "max_segs", "4"));
	go_live(_metadata, self, 8 * page_size());
	EXPECT_ERRNO(refused_status(_metadata, self, 4 * 4096 + 4), ENOMEM);
}

TEST_F(loopback, takes_as_many_segments_as_it_says)
{
	ASSERT_OK(instance_set(NAME, "max_seg_size", "4096"));
	ASSERT_OK(instance_set(NAME, "max_segs", "4"));
	go_live(_metadata, self, 8 * page_size());
	enable_both(_metadata, self);
	round_trip(_metadata, self, 4 * 4096);
}

TEST_F(loopback, refuses_unaligned_length)
{
	ASSERT_OK(instance_set(NAME, "length_align", "8"));
	go_live(_metadata, self, page_size());
	EXPECT_ERRNO(refused_status(_metadata, self, page_size() - 4), ENOMEM);
}

TEST_F(loopback, counter_goes_on_from_transfer_to_transfer)
{
	uint32_t next, word;
	size_t i, round;

	ASSERT_OK(instance_set(NAME, "source", "counter"));
	go_live(_metadata, self, page_size());
	ASSERT_OK(iio_enable(&self->inst.in));
	for (round = 0; round < 3; round++) {
		ASSERT_OK(iio_enqueue(self->in.fd, self->rx.fd,
				      self->rx.size));
		ASSERT_EQ(POLLOUT, fd_poll(self->rx.fd, POLLOUT, DEADLINE_MS));
		ASSERT_OK(dmabuf_begin_cpu(&self->rx));
		for (i = 0; i < self->rx.size; i += 4, next++) {
			const uint8_t *b = self->rx.map + i;

			word = b[0] | b[1] << 8 | b[2] << 16 |
			       (uint32_t)b[3] << 24;
			/* It has run before: opening the buffer enables it. */
			if (!round && !i)
				next = word;
			ASSERT_EQ(next, word);
		}
		ASSERT_OK(dmabuf_end_cpu(&self->rx));
	}
}

TEST_F(loopback, sampling_frequency_paces_the_rate_clock)
{
	char val[32];

	ASSERT_OK(instance_set(NAME, "clock", "rate"));
	ASSERT_OK(instance_set(NAME, "source", "counter"));
	ASSERT_OK(instance_set(NAME, "sink", "discard"));
	go_live(_metadata, self, 1 << 19);
	ASSERT_OK(iio_attr_read(&self->inst.in, "sampling_frequency", val,
				sizeof(val)));
	EXPECT_STREQ("1000000", val);
	EXPECT_ERRNO(iio_attr_write(&self->inst.in, "sampling_frequency", "0"),
		     EINVAL);
	EXPECT_ERRNO(iio_attr_write(&self->inst.in, "sampling_frequency",
				    "1000000001"), EINVAL);

	/*
	 * At one sample a second this takes days: it still goes on when
	 * twice as much has gone out, which the controller works on in turns.
	 */
	ASSERT_OK(iio_attr_write(&self->inst.in, "sampling_frequency", "1"));
	ASSERT_OK(iio_attr_write(&self->inst.out, "sampling_frequency",
				 "1000000000"));
	enable_both(_metadata, self);
	EXPECT_ERRNO(iio_attr_write(&self->inst.in, "sampling_frequency", "2"),
		     EBUSY);
	ASSERT_OK(iio_enqueue(self->in.fd, self->rx.fd, self->rx.size / 2));
	ASSERT_OK(iio_enqueue(self->out.fd, self->tx.fd, self->tx.size));
	EXPECT_EQ(POLLOUT, fd_poll(self->tx.fd, POLLOUT, DEADLINE_MS));
	EXPECT_EQ(0, fd_poll(self->rx.fd, POLLOUT, 0)) {
		TH_LOG("one sample a second is not what this clock runs at");
	}
	ASSERT_OK(iio_disable(&self->inst.in));

	ASSERT_OK(iio_attr_write(&self->inst.in, "sampling_frequency",
				 "1000000000"));
	ASSERT_OK(iio_enable(&self->inst.in));
	ASSERT_OK(iio_enqueue(self->in.fd, self->rx.fd, self->rx.size));
	EXPECT_EQ(POLLOUT, fd_poll(self->rx.fd, POLLOUT, DEADLINE_MS));
}

TEST_F(loopback, free_clock_has_no_sampling_frequency)
{
	char val[32];

	go_live(_metadata, self, page_size());
	EXPECT_ERRNO(iio_attr_read(&self->inst.in, "sampling_frequency", val,
				   sizeof(val)), ENOENT);
}

/* read() and write(), the other way to use such a buffer */
TEST_F(loopback, file_io_goes_round)
{
	uint8_t sent[4096], received[sizeof(sent)];
	size_t at;
	ssize_t n;

	ASSERT_OK(instance_live(&self->inst, NAME));
	ASSERT_OK(iio_buf_open(&self->out, &self->inst.out));
	ASSERT_OK(iio_buf_open(&self->in, &self->inst.in));
	ASSERT_OK(iio_buf_attr_write(&self->inst.out, "length", "2048"));
	ASSERT_OK(iio_buf_attr_write(&self->inst.in, "length", "2048"));
	enable_both(_metadata, self);

	pattern_fill(sent, sizeof(sent), 1);
	for (at = 0; at < sizeof(sent); at += n) {
		n = write(self->out.fd, sent + at, sizeof(sent) - at);
		ASSERT_LT(0, n);
	}
	for (at = 0; at < sizeof(received); at += n) {
		n = read(self->in.fd, received + at, sizeof(received) - at);
		ASSERT_LT(0, n);
	}
	EXPECT_EQ(-1, pattern_mismatch(received, sizeof(received), 1));
}

TEST_F(loopback, instances_do_not_mix)
{
	static const char other[] = NAME "2";
	struct iio_dut dut = {};
	struct dmabuf d = {};
	struct iio_buf b;

	ASSERT_OK(instance_add(other));
	EXPECT_OK(instance_set(other, "live", "1"));
	go_live(_metadata, self, page_size());
	enable_both(_metadata, self);

	/* The other input is hungry too, and must not get anything. */
	EXPECT_OK(iio_dut_lookup(&dut, "selftest2-in"));
	EXPECT_OK(iio_buf_open(&b, &dut));
	EXPECT_OK(dmabuf_alloc(&d, exporter_default(), page_size()));
	EXPECT_OK(iio_attach(b.fd, d.fd));
	EXPECT_OK(iio_enqueue(b.fd, d.fd, d.size));
	EXPECT_OK(iio_enable(&dut));
	round_trip(_metadata, self, page_size());
	EXPECT_EQ(0, fd_poll(d.fd, POLLOUT, 0));

	iio_buf_close(&b);
	dmabuf_free(&d);
	EXPECT_OK(instance_remove(other));
}

/* Enable both ends with only the input enqueued: it stays in flight. */
static int put_in_flight(struct __test_metadata *_metadata,
			 FIXTURE_DATA(loopback) *self)
{
	int sync;

	ASSERT_OK(iio_enqueue(self->in.fd, self->rx.fd, self->rx.size));
	sync = dmabuf_export(self->rx.fd, DMA_BUF_SYNC_RW);
	ASSERT_LE(0, sync);
	enable_both(_metadata, self);
	EXPECT_EQ(0, sync_file_status(sync));

	return sync;
}

static void expect_aborted(struct __test_metadata *_metadata, int sync)
{
	EXPECT_ERRNO(sync_file_wait(sync), EINTR);
	close(sync);
}

TEST_F(loopback, unbinding_the_iio_half_aborts_transfers)
{
	char device[64];
	int sync;

	go_live(_metadata, self, page_size());
	snprintf(device, sizeof(device), "%s", instance_get(NAME, "dev_name"));
	sync = put_in_flight(_metadata, self);
	ASSERT_OK(rebind("unbind", "iio-loopback", device));
	expect_aborted(_metadata, sync);

	iio_buf_close(&self->out);
	iio_buf_close(&self->in);
	EXPECT_OK(rebind("bind", "iio-loopback", device));
	EXPECT_OK(iio_dut_lookup(&self->inst.in, NAME "-in"));
}

TEST_F(loopback, unbinding_the_dma_half_takes_the_iio_half_along)
{
	char device[64];
	int sync;

	go_live(_metadata, self, page_size());
	snprintf(device, sizeof(device), "%s",
		 instance_get(NAME, "dma_dev_name"));
	sync = put_in_flight(_metadata, self);
	ASSERT_OK(rebind("unbind", "dma-loopback", device));
	expect_aborted(_metadata, sync);
	EXPECT_ERRNO(iio_dut_lookup(&self->inst.in, NAME "-in"), ENODEV);

	iio_buf_close(&self->out);
	iio_buf_close(&self->in);
	EXPECT_OK(rebind("bind", "dma-loopback", device));
	wait_for_ends(_metadata, self);
}

TEST_F(loopback, rmdir_aborts_transfers)
{
	int sync;

	go_live(_metadata, self, page_size());
	sync = put_in_flight(_metadata, self);
	EXPECT_OK(instance_remove(NAME));
	expect_aborted(_metadata, sync);
}

/*
 * The life of an instance, again and again, with a transfer in flight whenever
 * something is taken away. IIO_LOOPBACK_CYCLES says how often.
 */
TEST_F_TIMEOUT(loopback, instances_come_and_go, 3600)
{
	const char *env = getenv("IIO_LOOPBACK_CYCLES");
	char iio[64], dma[64];
	int i, cycles, fds;

	cycles = env ? atoi(env) : 5;
	fds = fd_count();
	for (i = 0; i < cycles; i++) {
		go_live(_metadata, self, page_size());
		snprintf(iio, sizeof(iio), "%s",
			 instance_get(NAME, "dev_name"));
		snprintf(dma, sizeof(dma), "%s",
			 instance_get(NAME, "dma_dev_name"));

		close(put_in_flight(_metadata, self));
		ASSERT_OK(rebind("unbind", "iio-loopback", iio));
		ASSERT_OK(rebind("bind", "iio-loopback", iio));
		iio_buf_close(&self->out);
		iio_buf_close(&self->in);
		ASSERT_OK(rebind("unbind", "dma-loopback", dma));
		ASSERT_OK(rebind("bind", "dma-loopback", dma));

		/* The second half of the cycle ends by rmdir. */
		wait_for_ends(_metadata, self);
		ASSERT_OK(iio_buf_open(&self->out, &self->inst.out));
		ASSERT_OK(iio_buf_open(&self->in, &self->inst.in));
		ASSERT_OK(iio_attach(self->in.fd, self->rx.fd));
		close(put_in_flight(_metadata, self));
		ASSERT_OK(instance_remove(NAME));
		iio_buf_close(&self->out);
		iio_buf_close(&self->in);

		ASSERT_OK(dmabuf_wait_refs(self->rx.fd, 2));
		ASSERT_FALSE(attached_anywhere(dma));
		dmabuf_free(&self->tx);
		dmabuf_free(&self->rx);
		ASSERT_OK(instance_add(NAME));
		ASSERT_EQ(KSFT_PASS, _metadata->exit_code);

		/* Nobody should take silence for a hang. */
		if ((i + 1) % 100 == 0)
			TH_LOG("%d cycles", i + 1);
	}
	EXPECT_EQ(fds, fd_count());
}

int main(int argc, char **argv)
{
	return instance_main(argc, argv, " -");
}

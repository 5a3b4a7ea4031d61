// SPDX-License-Identifier: GPL-2.0
/*
 * What takes an affected kernel down, or leaves its device dead: one test per
 * boot. "make kselftest LANE=destructive" gives each a virtual machine of its
 * own. Not among the programs that run_kselftest.sh runs, and it refuses to
 * start unless IIO_DMABUF_DESTRUCTIVE=1 is in the environment.
 *
 * A test that is expected to kill known kernels says so first, for those who
 * read the log afterwards. A test that survives looks at what the kernel has
 * logged since it began: a kernel that complains has not passed.
 */

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <poll.h>
#include <pthread.h>
#include <regex.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#include "lib/bind.h"
#include "lib/call.h"
#include "lib/conformance.h"
#include "lib/file.h"
#include "lib/fileio.h"
#include "lib/transfer.h"

#define SIZE_LIMIT	"/sys/module/udmabuf/parameters/size_limit_mb"

/* --- what the kernel says of itself --- */

/**
 * struct witness - What the kernel logs during a test
 * @kmsg: /dev/kmsg
 * @defect: id of the defect that is expected to show, or NULL
 */
struct witness {
	int kmsg;
	const char *defect;
};

/* Return: false if the test was marked as skipped. */
static bool witness_setup(struct __test_metadata *_metadata, struct witness *w)
{
	*w = (struct witness){};
	w->kmsg = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	if (w->kmsg < 0)
		SKIP(return false,
		     "what the kernel says cannot be read: /dev/kmsg: %s",
		     errno_name(errno));
	lseek(w->kmsg, 0, SEEK_END);

	return true;
}

/* For the log of a test that does not come to its end. */
static void expect_defect(struct witness *w, const char *id)
{
	const struct defect *d = defect_find(id);

	w->defect = id;
	if (!d || !defect_in_kernel(d, kernel_version()))
		return;

	printf("# DEFECT %s: %s\n", d->id, d->title);
	fflush(stdout);
}

/* The same as kernel_reports in tools/lane */
static bool is_report(const char *text)
{
	bool match;
	regex_t re;

	if (regcomp(&re,
		    "WARNING: |BUG[: ]|Oops: |refcount_t: |INFO: task |rcu: INFO|general protection fault|kernel BUG at | corruption",
		    REG_EXTENDED | REG_NOSUB))
		abort();
	match = !regexec(&re, text, 0, NULL, 0);
	regfree(&re);

	return match;
}

/* Last thing before dut_teardown(). */
static void witness_teardown(struct __test_metadata *_metadata,
			     struct witness *w)
{
	bool kernel_is_silent = true;
	char record[8192], *text;
	ssize_t n;

	for (;;) {
		n = read(w->kmsg, record, sizeof(record) - 1);
		/* Overwritten records are skipped. */
		if (n < 0 && errno == EPIPE)
			continue;
		if (n <= 0)
			break;

		record[n] = '\0';
		text = strchr(record, ';');
		if (!text || !is_report(text))
			continue;
		text[strcspn(text, "\n")] = '\0';
		TH_LOG("the kernel said: %s", text + 1);
		kernel_is_silent = false;
	}
	close(w->kmsg);

	if (_metadata->exit_code == KSFT_SKIP)
		return;

	if (w->defect) {
		EXPECT_UNLESS(w->defect, kernel_is_silent);
	} else {
		EXPECT_TRUE(kernel_is_silent);
	}
}

/* --- devices and modules --- */

/* The last part of what the link @dir/@link points to, "" if there is none. */
static void link_name(const char *dir, const char *link, char *name,
		      size_t size)
{
	char path[PATH_MAX], target[PATH_MAX];

	snprintf(path, sizeof(path), "%s/%s", dir, link);
	snprintf(name, size, "%s",
		 realpath(path, target) ? basename(target) : "");
}

/**
 * struct hardware - What is behind an IIO device, as sysfs tells it
 * @dev: its parent and the driver of that
 * @dma: the DMA controller and its driver, empty if it cannot be told
 * @module: module of the driver, "" if it is built in
 */
struct hardware {
	struct binding dev;
	struct binding dma;
	char module[64];
};

static void hardware_find(const struct iio_dut *dut, struct hardware *hw)
{
	*hw = (struct hardware){};
	binding_of(&hw->dev, dut->parent);
	if (binding_of_dma(&hw->dma, dut))
		hw->dma.driver[0] = '\0';
	link_name(dut->parent, "driver/module", hw->module, sizeof(hw->module));
}

/* Remove the device where that goes, or take it away from its driver. */
static int device_remove(struct binding *b)
{
	char path[PATH_MAX + NAME_MAX + 16];
	int ret;

	snprintf(path, sizeof(path), "%s/%s/remove", b->driver, b->device);
	ret = write_file(path, "1");

	return ret == -ENOENT ? binding_break(b) : ret;
}

/* The instances of the loopback driver hold its module, devices do not. */
static void loopback_instances_remove(void)
{
	static const char configfs[] = "/sys/kernel/config/iio-loopback";
	struct dirent *entry;
	DIR *dir;

	dir = opendir(configfs);
	if (!dir)
		return;

	while ((entry = readdir(dir))) {
		if (entry->d_name[0] != '.')
			unlinkat(dirfd(dir), entry->d_name, AT_REMOVEDIR);
	}
	closedir(dir);
}

/* Return: 0, or a negative errno: -EAGAIN if the module is in use. */
static int module_unload(const char *module)
{
	unsigned int looks = 0;
	int ret;

	/* Others may have a hold of it for a moment. */
	do {
		ret = syscall(SYS_delete_module, module, O_NONBLOCK) ?
			-errno : 0;
	} while (ret == -EAGAIN && ++looks < 200 && look_again());
	printf("# unloading %s: %s\n", module, errno_name(-ret));
	fflush(stdout);

	return ret;
}

/* Whether @module uses @of. */
static bool module_uses(const char *module, const char *of)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "/sys/module/%s/holders/%s", of, module);

	return !access(path, F_OK);
}

#define MAX_MODULES	16

/* The modules between @module and the IIO core: what it is built on. */
static size_t module_helpers(const char *module, char helpers[][64])
{
	struct dirent *entry;
	size_t nr = 0;
	DIR *dir;

	dir = opendir("/sys/module/industrialio/holders");
	if (!dir)
		return 0;

	while (nr < MAX_MODULES && (entry = readdir(dir))) {
		if (module_uses(module, entry->d_name))
			snprintf(helpers[nr++], sizeof(helpers[0]), "%.63s",
				 entry->d_name);
	}
	closedir(dir);

	return nr;
}

/*
 * Unload a driver and, from top to bottom, what it was built on: of that, what
 * the kernel lets go. Returns how the driver's own went.
 */
static int module_chain_unload(const char *module)
{
	char helpers[MAX_MODULES][64];
	size_t nr, i;
	int ret;

	nr = module_helpers(module, helpers);
	ret = module_unload(module);
	for (i = 0; !ret && i < nr; i++)
		module_chain_unload(helpers[i]);

	return ret;
}

/* Unload a module and all that use it; stops where the kernel refuses. */
static int module_users_unload(const char *module)
{
	char path[PATH_MAX], user[64];
	struct dirent *entry;
	int ret = 0;
	DIR *dir;

	snprintf(path, sizeof(path), "/sys/module/%s/holders", module);
	while (!ret && (dir = opendir(path))) {
		user[0] = '\0';
		while ((entry = readdir(dir))) {
			if (entry->d_name[0] != '.')
				snprintf(user, sizeof(user), "%.63s",
					 entry->d_name);
		}
		closedir(dir);
		if (!user[0])
			break;

		ret = module_users_unload(user) ?: module_unload(user);
	}

	return ret;
}

/* --- any buffer --- */

FIXTURE(any) {
	struct iio_buf buf;
	struct dmabuf a;
	struct dmabuf b;
	struct hardware hw;
	struct witness witness;
};

DUT_FIXTURE(any, DUT_ANY);

FIXTURE_SETUP(any)
{
	self->buf = (struct iio_buf)IIO_BUF_INIT;
	self->a = (struct dmabuf)DMABUF_INIT;
	self->b = (struct dmabuf)DMABUF_INIT;

	if (!dut_setup(_metadata, &variant->v) ||
	    !witness_setup(_metadata, &self->witness))
		return;

	hardware_find(variant->v.dut, &self->hw);
	ASSERT_OK(iio_buf_open(&self->buf, variant->v.dut));
	ASSERT_OK(variant_alloc(&self->a, &variant->v));
	ASSERT_OK(variant_alloc(&self->b, &variant->v));
}

FIXTURE_TEARDOWN(any)
{
	iio_buf_close(&self->buf);
	dmabuf_free(&self->a);
	dmabuf_free(&self->b);
	witness_teardown(_metadata, &self->witness);
	dut_teardown(_metadata);
}

/* Transfers are done in order: where the second is done the first has to be. */
static void expect_both_done(struct __test_metadata *_metadata,
			     const struct iio_buf *buf, int first, int second)
{
	bool first_is_done;

	ASSERT_OK(first);
	ASSERT_OK(second);
	ASSERT_OK(iio_enable(buf->dut));
	ASSERT_EQ(1, sync_file_wait(second));
	first_is_done = sync_file_status(first) == 1;
	EXPECT_UNLESS("B3", first_is_done);
	close(first);
	close(second);
}

TEST_REQ(any, attach_keeps_queued_transfer, "ATT-12")
{
	int first, second;

	expect_defect(&self->witness, "B3");
	ASSERT_OK(iio_attach(self->buf.fd, self->a.fd));
	first = iio_enqueue_whole(&self->buf, &self->a);
	ASSERT_OK(iio_attach(self->buf.fd, self->b.fd));
	second = iio_enqueue_whole(&self->buf, &self->b);
	expect_both_done(_metadata, &self->buf, first, second);
}

TEST_REQ(any, refused_attach_keeps_queued_transfer, "ATT-13")
{
	int first, second;

	expect_defect(&self->witness, "B3");
	ASSERT_OK(iio_attach(self->buf.fd, self->a.fd));
	ASSERT_OK(iio_attach(self->buf.fd, self->b.fd));
	first = iio_enqueue_whole(&self->buf, &self->a);
	EXPECT_ERRNO(iio_attach(self->buf.fd, self->a.fd), EBUSY);
	second = iio_enqueue_whole(&self->buf, &self->b);
	expect_both_done(_metadata, &self->buf, first, second);
}

TEST_REQ(any, next_user_has_file_io, "LIF-10")
{
	const struct iio_dut *dut = variant->v.dut;
	ssize_t n = 0;

	expect_defect(&self->witness, "B4");
	ASSERT_OK(iio_attach(self->buf.fd, self->a.fd));
	ASSERT_OK(iio_enqueue(self->buf.fd, self->a.fd, self->a.size));
	/* Not iio_buf_close(), which is kinder to the next user. */
	close(self->buf.fd);
	close(self->buf.dev_fd);
	self->buf = (struct iio_buf)IIO_BUF_INIT;
	dmabuf_free(&self->a);

	self->buf.dev_fd = open(dut->chrdev, O_RDWR | O_NONBLOCK | O_CLOEXEC);
	ASSERT_LE(0, self->buf.dev_fd);
	self->buf.dut = dut;
	ASSERT_OK(iio_enable(dut));
	wait_until((n = fileio(dut, self->buf.dev_fd, self->b.map,
			       self->b.size)) != 0 && n != -EAGAIN);
	if (n <= 0)
		TH_LOG("the next user's read() or write(): %s",
		       errno_name(-n));
	EXPECT_UNLESS("B4", n > 0);
}

/*
 * Nothing is left that could complete a transfer later, so this need not be
 * DEADLINE_MS.
 */
#define REMOVED_MS	2000

TEST_REQ(any, enqueue_after_removal_leaves_nothing_pending, "ENQ-24")
{
	int fence;

	expect_defect(&self->witness, "B5");
	ASSERT_OK(iio_attach(self->buf.fd, self->a.fd));
	ASSERT_OK(binding_break(&self->hw.dev));

	fence = iio_enqueue_whole(&self->buf, &self->a);
	if (fence < 0) {
		EXPECT_ERRNO(fence, ENODEV);
		return;
	}
	EXPECT_UNLESS("B5", fd_poll(fence, POLLIN, REMOVED_MS) == POLLIN);
	close(fence);
}

/* How long a device that was removed may take to be freed */
#define FREED_MS	500

TEST_REQ(any, dma_controller_goes_first, "LIF-19")
{
	uint64_t end;
	int ret;

	if (!self->hw.dma.driver[0])
		SKIP(return, "sysfs has no dma: link from %s to its controller",
		     self->hw.dev.device);

	/*
	 * B22 shows only where the device of the controller is freed, as that
	 * of a PCI card is, and not that of the loopback driver.
	 */
	ASSERT_OK(iio_attach(self->buf.fd, self->a.fd));
	ASSERT_OK(iio_attach(self->buf.fd, self->b.fd));
	ASSERT_OK(binding_break(&self->hw.dev));
	ASSERT_OK(device_remove(&self->hw.dma));
	loopback_instances_remove();

	/*
	 * Whether it is refused or done, it must not touch what is gone. The
	 * last reference may go in a work item, and nothing tells of it.
	 */
	end = now_ms() + FREED_MS;
	do {
		ret = iio_detach(self->buf.fd, self->a.fd);
		ASSERT_ERRNO(ret, OK, ENODEV, EPERM);
		ret = iio_attach(self->buf.fd, self->a.fd);
		ASSERT_ERRNO(ret, OK, ENODEV, EPERM);
	} while (look_again() && now_ms() < end);
	close(self->buf.fd);
	self->buf.fd = -1;
}

TEST_REQ(any, modules_stay_while_descriptor_is_open, "LIF-20")
{
	if (!self->hw.module[0])
		SKIP(return, "the driver of %s is not a module",
		     self->hw.dev.device);

	expect_defect(&self->witness, "B5");
	close(self->buf.dev_fd);
	self->buf.dev_fd = -1;
	ASSERT_OK(binding_break(&self->hw.dev));
	loopback_instances_remove();
	EXPECT_ERRNO(module_chain_unload(self->hw.module), OK, EAGAIN, EBUSY);

	close(self->buf.fd);
	self->buf = (struct iio_buf)IIO_BUF_INIT;
}

TEST_REQ(any, modules_stay_while_dmabuf_is_attached, "LIF-20")
{
	if (!self->hw.module[0])
		SKIP(return, "the driver of %s is not a module",
		     self->hw.dev.device);

	expect_defect(&self->witness, "B5");
	ASSERT_OK(iio_attach(self->buf.fd, self->a.fd));
	close(self->buf.dev_fd);
	self->buf.dev_fd = -1;
	ASSERT_OK(binding_break(&self->hw.dev));
	loopback_instances_remove();
	EXPECT_ERRNO(module_chain_unload(self->hw.module), OK, EAGAIN, EBUSY);

	EXPECT_ERRNO(iio_detach(self->buf.fd, self->a.fd), OK, ENODEV, EPERM);
	close(self->buf.fd);
	self->buf = (struct iio_buf)IIO_BUF_INIT;
}

TEST_REQ(any, fence_outlives_modules, "FEN-17")
{
	struct fence_info info = {};
	int fence, ret;

	if (!self->hw.module[0] || access("/sys/module/industrialio/refcnt",
					  F_OK))
		SKIP(return, "the driver of %s or IIO is not a module",
		     self->hw.dev.device);

	expect_defect(&self->witness, "B21");
	ASSERT_OK(iio_attach(self->buf.fd, self->a.fd));
	fence = iio_enqueue_whole(&self->buf, &self->a);
	ASSERT_OK(fence);
	ASSERT_OK(iio_enable(self->buf.dut));
	ASSERT_EQ(1, sync_file_wait(fence));
	iio_buf_close(&self->buf);

	ASSERT_OK(binding_break(&self->hw.dev));
	loopback_instances_remove();
	ret = module_users_unload("industrialio");
	if (ret)
		SKIP(return, "other users of IIO cannot be unloaded: %s",
		     errno_name(-ret));
	/* It may be what keeps the fence alive. */
	EXPECT_ERRNO(module_unload("industrialio"), OK, EAGAIN, EBUSY);

	EXPECT_OK(sync_file_info(fence, &info));
	EXPECT_EQ(1, info.status);
	close(fence);
	EXPECT_EQ(POLLIN | POLLOUT, fd_poll(self->a.fd, POLLIN | POLLOUT, 0));
	dmabuf_free(&self->a);
}

/* One page more than a list of 4 MiB, what kmalloc() can give, describes */
#define MANY_PAGES	(262144 + 1)

TEST_REQ(any, many_segments, "LIM-03")
{
	size_t size = MANY_PAGES * page_size();
	struct sysinfo mem;
	char limit[32];
	int memfd, ret;

	sysinfo(&mem);
	if ((uint64_t)mem.freeram * mem.mem_unit < size + (size >> 2))
		SKIP(return, "%zu MiB of free memory are needed", size >> 20);

	snprintf(limit, sizeof(limit), "%zu", (size >> 20) + 1);
	ret = write_file(SIZE_LIMIT, limit);
	if (ret)
		SKIP(return, "%s cannot be written: %s", SIZE_LIMIT,
		     errno_name(-ret));

	expect_defect(&self->witness, "B20");
	dmabuf_free(&self->a);
	memfd = memfd_for_udmabuf(size);
	ASSERT_LE(0, memfd);
	ASSERT_OK(dmabuf_from_memfd(&self->a, memfd, 0, size));
	write_file(SIZE_LIMIT, "64");

	ret = iio_attach(self->buf.fd, self->a.fd);
	EXPECT_ERRNO(ret, OK, EINVAL, ENOMEM, E2BIG);
	ASSERT_OK(iio_enable(self->buf.dut));
	if (!ret) {
		ret = iio_enqueue(self->buf.fd, self->a.fd, self->b.size);
		EXPECT_ERRNO(ret, OK, EINVAL, ENOMEM, E2BIG);
	}
	EXPECT_EQ(POLLOUT, fd_poll(self->a.fd, POLLOUT, DEADLINE_MS));
}

/* --- an input --- */

FIXTURE(input) {
	struct iio_buf buf;
	struct dmabuf d;
	struct witness witness;
};

DUT_FIXTURE(input, DUT_INPUT);

FIXTURE_SETUP(input)
{
	self->buf = (struct iio_buf)IIO_BUF_INIT;
	self->d = (struct dmabuf)DMABUF_INIT;

	if (!dut_setup(_metadata, &variant->v) ||
	    !witness_setup(_metadata, &self->witness))
		return;

	expect_defect(&self->witness, "B2");
	ASSERT_OK(iio_buf_open(&self->buf, variant->v.dut));
	ASSERT_OK(variant_alloc(&self->d, &variant->v));

	/* Only a buffer that was enabled once knows the size of a scan. */
	ASSERT_OK(iio_enable(self->buf.dut));
	ASSERT_OK(iio_disable(self->buf.dut));
	ASSERT_OK(iio_attach(self->buf.fd, self->d.fd));
}

FIXTURE_TEARDOWN(input)
{
	iio_buf_close(&self->buf);
	dmabuf_free(&self->d);
	witness_teardown(_metadata, &self->witness);
	dut_teardown(_metadata);
}

/* A non-blocking read() gives nothing and kills nobody. */
static void expect_no_data(struct __test_metadata *_metadata, int fd,
			   const struct dmabuf *d)
{
	ssize_t n;

	ASSERT_OK(fd_set_nonblock(fd, true));
	n = read(fd, d->map, d->size);
	EXPECT_GE(0, n) {
		TH_LOG("read() returned %zd bytes, out of no file I/O buffer",
		       n);
	}
}

TEST_REQ(input, read_while_enabled, "MODE-02")
{
	ASSERT_OK(iio_enable(self->buf.dut));
	expect_no_data(_metadata, self->buf.fd, &self->d);
}

TEST_REQ(input, read_while_disabled, "MODE-03")
{
	expect_no_data(_metadata, self->buf.fd, &self->d);
}

TEST_REQ(input, read_after_close, "MODE-04")
{
	close(self->buf.fd);
	self->buf.fd = -1;
	expect_no_data(_metadata, self->buf.dev_fd, &self->d);
}

/* --- an output: nobody but the kernel holds the fences --- */

FIXTURE(output) {
	struct iio_buf buf;
	struct dmabuf d;
	struct witness witness;
};

DUT_FIXTURE(output, DUT_OUTPUT);

FIXTURE_SETUP(output)
{
	self->buf = (struct iio_buf)IIO_BUF_INIT;
	self->d = (struct dmabuf)DMABUF_INIT;

	if (!dut_setup(_metadata, &variant->v) ||
	    !witness_setup(_metadata, &self->witness))
		return;

	ASSERT_OK(iio_buf_open(&self->buf, variant->v.dut));
	ASSERT_OK(variant_alloc(&self->d, &variant->v));
	ASSERT_OK(iio_attach(self->buf.fd, self->d.fd));
}

FIXTURE_TEARDOWN(output)
{
	iio_buf_close(&self->buf);
	dmabuf_free(&self->d);
	witness_teardown(_metadata, &self->witness);
	dut_teardown(_metadata);
}

/* The transfer runs to its end, and the DMABUF can be used again. */
static void expect_usable(struct __test_metadata *_metadata,
			  const struct iio_buf *buf, const struct dmabuf *d)
{
	ASSERT_OK(iio_enable(buf->dut));
	ASSERT_EQ(POLLOUT, fd_poll(d->fd, POLLOUT, DEADLINE_MS));
	ASSERT_OK(iio_disable(buf->dut));

	ASSERT_OK(iio_enqueue(buf->fd, d->fd, d->size));
	EXPECT_EQ(0, fd_poll(d->fd, POLLOUT, 0));
	ASSERT_OK(iio_enable(buf->dut));
	EXPECT_EQ(POLLOUT, fd_poll(d->fd, POLLOUT, DEADLINE_MS));
}

TEST_REQ(output, fence_outlives_refused_enqueue, "ENQ-09")
{
	expect_defect(&self->witness, "B1");
	ASSERT_OK(fd_set_nonblock(self->buf.fd, true));
	ASSERT_OK(iio_enqueue(self->buf.fd, self->d.fd, self->d.size));
	EXPECT_ERRNO(iio_enqueue(self->buf.fd, self->d.fd, self->d.size),
		     EPERM, EBUSY);
	EXPECT_UNLESS("B1", fd_poll(self->d.fd, POLLOUT, 0) == 0);
	expect_usable(_metadata, &self->buf, &self->d);
}

#define NR_THREADS	4

/* ENQUEUE again and again until told to stop. */
struct enqueuer {
	const struct iio_buf *buf;
	const struct dmabuf *d;
	pthread_barrier_t *start;
	unsigned int rounds;
	unsigned int accepted;
	int unexpected;
};

static void *enqueuer_thread(void *arg)
{
	struct enqueuer *e = arg;
	unsigned int i;
	int ret;

	pthread_barrier_wait(e->start);
	for (i = 0; i < e->rounds; i++) {
		ret = iio_enqueue(e->buf->fd, e->d->fd, e->d->size);
		if (!ret)
			e->accepted++;
		else if (ret != -EPERM && ret != -EBUSY)
			e->unexpected = ret;
	}

	return NULL;
}

/* Return: how many ENQUEUEs of all the threads were accepted. */
static unsigned int enqueue_all(struct __test_metadata *_metadata,
				const struct iio_buf *buf,
				const struct dmabuf *d, unsigned int rounds)
{
	struct enqueuer e[NR_THREADS];
	pthread_t threads[NR_THREADS];
	unsigned int accepted = 0, i;
	pthread_barrier_t start;

	pthread_barrier_init(&start, NULL, NR_THREADS);
	for (i = 0; i < NR_THREADS; i++) {
		e[i] = (struct enqueuer){ buf, d, &start, rounds, 0, 0 };
		ASSERT_EQ(0, pthread_create(&threads[i], NULL, enqueuer_thread,
					    &e[i]));
	}

	for (i = 0; i < NR_THREADS; i++) {
		pthread_join(threads[i], NULL);
		accepted += e[i].accepted;
		EXPECT_OK(e[i].unexpected);
	}
	pthread_barrier_destroy(&start);

	return accepted;
}

TEST_REQ(output, threads_enqueue_same_dmabuf, "CONC-19")
{
	expect_defect(&self->witness, "B1");
	ASSERT_OK(fd_set_nonblock(self->buf.fd, true));
	EXPECT_EQ(1, enqueue_all(_metadata, &self->buf, &self->d, 1));
	expect_usable(_metadata, &self->buf, &self->d);
}

/* Enough for one to meet the completion of the one before. */
#define RACE_ROUNDS	50000
#define RACE_MS		20000

TEST_REQ(output, enqueue_races_completion, "FEN-20")
{
	uint64_t end = now_ms() + RACE_MS;
	int fence = -1, previous = -1;
	bool previous_done = true;
	unsigned int rounds;

	expect_defect(&self->witness, "B1b");
	ASSERT_OK(fd_set_nonblock(self->buf.fd, true));
	ASSERT_OK(iio_enable(self->buf.dut));

	for (rounds = 0; rounds < RACE_ROUNDS && previous_done; rounds++) {
		while (iio_enqueue(self->buf.fd, self->d.fd, self->d.size) &&
		       now_ms() < end)
			;
		if (now_ms() >= end)
			break;

		/* Held all the time: this is not about B1. */
		fence = dmabuf_export(self->d.fd, DMA_BUF_SYNC_RW);
		ASSERT_OK(fence);
		if (previous >= 0) {
			previous_done = sync_file_wait(previous) == 1;
			close(previous);
		}
		previous = fence;
	}
	printf("# %u rounds\n", rounds);
	if (!previous_done)
		TH_LOG("ENQUEUE was accepted again, the fence of the transfer before has never signalled");
	EXPECT_UNLESS_RACE("B1b", previous_done);
	close(previous);
}

/* --- two devices of one driver --- */

FIXTURE(pair) {
	struct iio_buf out;
	struct iio_buf in;
	struct dmabuf d;
	struct dmabuf gate;
	struct hardware hw;
	struct witness witness;
	pid_t waiter;
};

DUT_FIXTURE(pair, DUT_PAIR);

FIXTURE_SETUP(pair)
{
	self->out = (struct iio_buf)IIO_BUF_INIT;
	self->in = (struct iio_buf)IIO_BUF_INIT;
	self->d = (struct dmabuf)DMABUF_INIT;
	self->gate = (struct dmabuf)DMABUF_INIT;
	self->waiter = -1;

	if (!dut_setup(_metadata, &variant->v) ||
	    !witness_setup(_metadata, &self->witness))
		return;

	hardware_find(variant->v.dut, &self->hw);
	ASSERT_OK(iio_buf_open(&self->out, variant->v.dut));
	ASSERT_OK(iio_buf_open(&self->in, variant->v.peer));
	ASSERT_OK(variant_alloc(&self->d, &variant->v));
	ASSERT_OK(variant_alloc(&self->gate, &variant->v));
}

FIXTURE_TEARDOWN(pair)
{
	call_kill(self->waiter);
	iio_buf_close(&self->out);
	iio_buf_close(&self->in);
	dmabuf_free(&self->d);
	dmabuf_free(&self->gate);
	witness_teardown(_metadata, &self->witness);
	dut_teardown(_metadata);
}

/*
 * The references of a transfer are dropped in a work item, which needs the
 * reservation lock of the DMABUF. Where an ENQUEUE that waits holds it, the
 * work waits too.
 */
TEST_REQ(pair, unload_waits_for_cleanup, "LIF-21")
{
	if (!self->hw.module[0])
		SKIP(return, "the driver of %s is not a module",
		     self->hw.dev.device);

	expect_defect(&self->witness, "B21");
	/* The node would keep the driver; the buffer's descriptors remain. */
	close(self->out.dev_fd);
	close(self->in.dev_fd);
	self->out.dev_fd = -1;
	self->in.dev_fd = -1;

	ASSERT_OK(iio_attach(self->out.fd, self->d.fd));
	ASSERT_OK(iio_enqueue(self->out.fd, self->d.fd, self->d.size));
	self->waiter = call_waiting_enqueue(&self->in, &self->gate, &self->d);
	ASSERT_OK(self->waiter);

	/* The transfer has the last reference to its attachment, then none. */
	ASSERT_OK(iio_detach(self->out.fd, self->d.fd));
	ASSERT_OK(iio_enable(self->out.dut));
	ASSERT_OK(iio_disable(self->out.dut));

	ASSERT_OK(binding_break(&self->hw.dev));
	loopback_instances_remove();
	EXPECT_ERRNO(module_chain_unload(self->hw.module), OK, EAGAIN, EBUSY);

	/* In its own time: it lets go of the lock, and the work goes on. */
	EXPECT_ERRNO(call_result(self->waiter), OK, EBUSY, ENODEV, EINTR);
	self->waiter = -1;
	dmabuf_free(&self->d);
}

/* --- */

static bool is_allowed(int argc, char **argv)
{
	const char *allowed = getenv("IIO_DMABUF_DESTRUCTIVE");

	if (argc == 2 && (!strcmp(argv[1], "-l") || !strcmp(argv[1], "-h")))
		return true;

	return allowed && !strcmp(allowed, "1");
}

int main(int argc, char **argv)
{
	if (!reqs_wanted(argc, argv) && !is_allowed(argc, argv)) {
		ksft_print_header();
		ksft_exit_skip("these tests may crash the kernel, unbind and unload its IIO drivers and leave devices dead until the next boot: set IIO_DMABUF_DESTRUCTIVE=1 to run them, one per boot with -r\n");
	}

	return conformance_main(argc, argv);
}

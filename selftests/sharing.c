// SPDX-License-Identifier: GPL-2.0
/*
 * DMABUFs between buffers, processes and other parts of the kernel: one DMABUF
 * on two IIO buffers, fences and modules of others, zero-copy networking, USB.
 *
 * A transfer that is enqueued while the buffer is disabled stays pending until
 * the buffer is enabled: that is how the tests hold it.
 */

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <dirent.h>
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>
#include <drm/drm.h>
#include <drm/vgem_drm.h>
#include <linux/usb/functionfs.h>

#ifdef HAVE_LIBURING
#include <liburing.h>
#endif

#include "lib/blocked.h"
#include "lib/conformance.h"
#include "lib/file.h"
#include "lib/transfer.h"

/* What a DMABUF holds that no device has written */
#define POISON		0xa5

/* --- one DMABUF on two buffers --- */

/**
 * struct two - Two buffers
 * @first: the first one; its DMABUF is the one that they share
 * @second: the other one
 * @call: an ENQUEUE of the shared DMABUF on one of them
 * @thread: where that waits
 */
struct two {
	struct transfer first;
	struct transfer second;
	struct enqueue_call call;
	struct blocked thread;
};

#define TWO_INIT	{ .first = TRANSFER_INIT, .second = TRANSFER_INIT }

static void two_setup(struct __test_metadata *_metadata, struct two *two,
		      const struct iio_dut *first, const struct iio_dut *second,
		      const struct exporter *e)
{
	transfer_setup_short(_metadata, &two->first, first, second, e);
	transfer_setup_short(_metadata, &two->second, second, first, e);
	ASSERT_OK(iio_attach(two->second.buf.fd, two->first.d.fd));
}

static void two_teardown(struct two *two)
{
	transfer_teardown(&two->first);
	transfer_teardown(&two->second);
}

/* Try to ENQUEUE the shared DMABUF on @t, without waiting. */
static int try_enqueue(const struct transfer *t, const struct dmabuf *d)
{
	int ret;

	ret = fd_set_nonblock(t->buf.fd, true);
	if (ret)
		return ret;

	ret = iio_enqueue(t->buf.fd, d->fd, t->len);
	fd_set_nonblock(t->buf.fd, false);

	return ret;
}

/* ENQUEUE the shared DMABUF on @t in a thread, and see it wait. */
static void start_enqueue(struct __test_metadata *_metadata, struct two *two,
			  const struct transfer *t)
{
	two->call = (struct enqueue_call){
		t->buf.fd, two->first.d.fd, t->len,
	};
	ASSERT_OK(blocked_start(&two->thread, enqueue_patiently, &two->call));
	ASSERT_OK(blocked_wait(&two->thread, SYS_ioctl)) {
		TH_LOG("ENQUEUE on %s did not wait for the transfer of %s",
		       t->buf.dut->name, two->first.buf.dut->name);
	}
}

/*
 * While the first buffer has the DMABUF the second one must not get it: EBUSY
 * for those who do not wait, and those who do get it when the first is done.
 */
static void expect_exclusive(struct __test_metadata *_metadata, struct two *two)
{
	transfer_hold(_metadata, &two->first);
	EXPECT_ERRNO(try_enqueue(&two->second, &two->first.d), EBUSY);
	EXPECT_EQ(0, sync_file_status(two->first.fence));

	start_enqueue(_metadata, two, &two->second);
	transfer_finish(_metadata, &two->first);
	EXPECT_OK(blocked_join(&two->thread));
	EXPECT_EQ(0, fd_poll(two->first.d.fd, POLLOUT, 0)) {
		TH_LOG("the DMABUF is ready with the transfer of %s pending",
		       two->second.buf.dut->name);
	}
}

static void expect_two_attachments(struct __test_metadata *_metadata,
				   const struct two *two)
{
	const struct dmabuf *d = &two->first.d;
	int nr = dmabuf_attachments(d->fd, NULL, 0);

	if (nr < 0)
		SKIP(return, "no /sys/kernel/debug/dma_buf/bufinfo: mount debugfs, run as root");

	ASSERT_EQ(2, nr) {
		TH_LOG("attached to %s and %s, the DMABUF has %d attachments",
		       two->first.buf.dut->name, two->second.buf.dut->name, nr);
	}

	/* One goes, the other one stays and works. */
	ASSERT_OK(iio_detach(two->second.buf.fd, d->fd));
	ASSERT_TRUE(wait_until(dmabuf_attachments(d->fd, NULL, 0) == 1));
}

FIXTURE(sharing_pair) {
	struct two two;
};

DUT_FIXTURE(sharing_pair, DUT_PAIR);

FIXTURE_SETUP(sharing_pair)
{
	self->two = (struct two)TWO_INIT;
	if (!dut_setup(_metadata, &variant->v))
		return;
}

FIXTURE_TEARDOWN(sharing_pair)
{
	two_teardown(&self->two);
	dut_teardown(_metadata);
}

TEST_REQ(sharing_pair, output_waits_for_input, "SHR-02")
{
	two_setup(_metadata, &self->two, variant->v.peer, variant->v.dut,
		  variant->v.exporter);
	expect_exclusive(_metadata, &self->two);
}

TEST_REQ(sharing_pair, input_waits_for_output, "SHR-03")
{
	two_setup(_metadata, &self->two, variant->v.dut, variant->v.peer,
		  variant->v.exporter);
	expect_exclusive(_metadata, &self->two);
}

TEST_REQ(sharing_pair, each_has_an_attachment, "SHR-06")
{
	two_setup(_metadata, &self->two, variant->v.dut, variant->v.peer,
		  variant->v.exporter);
	expect_two_attachments(_metadata, &self->two);
	transfer_hold(_metadata, &self->two.first);
	transfer_finish(_metadata, &self->two.first);
}

FIXTURE(sharing_inputs) {
	struct two two;
};

DUT_FIXTURE(sharing_inputs, DUT_INPUTS);

FIXTURE_SETUP(sharing_inputs)
{
	self->two = (struct two)TWO_INIT;
	if (!dut_setup(_metadata, &variant->v))
		return;

	two_setup(_metadata, &self->two, variant->v.dut, variant->v.peer,
		  variant->v.exporter);
}

FIXTURE_TEARDOWN(sharing_inputs)
{
	two_teardown(&self->two);
	dut_teardown(_metadata);
}

TEST_REQ(sharing_inputs, one_after_the_other, "SHR-05")
{
	expect_exclusive(_metadata, &self->two);
}

TEST_REQ(sharing_inputs, each_has_an_attachment, "SHR-06")
{
	expect_two_attachments(_metadata, &self->two);
	transfer_hold(_metadata, &self->two.first);
	transfer_finish(_metadata, &self->two.first);
}

FIXTURE(sharing_outputs) {
	struct two two;
};

DUT_FIXTURE(sharing_outputs, DUT_OUTPUTS);

FIXTURE_SETUP(sharing_outputs)
{
	self->two = (struct two)TWO_INIT;
	if (!dut_setup(_metadata, &variant->v))
		return;

	two_setup(_metadata, &self->two, variant->v.dut, variant->v.peer,
		  variant->v.exporter);
}

FIXTURE_TEARDOWN(sharing_outputs)
{
	two_teardown(&self->two);
	dut_teardown(_metadata);
}

TEST_REQ(sharing_outputs, both_at_once, "SHR-04")
{
	struct two *two = &self->two;

	transfer_hold(_metadata, &two->first);
	EXPECT_OK(try_enqueue(&two->second, &two->first.d));
	EXPECT_EQ(0, sync_file_status(two->first.fence));

	transfer_finish(_metadata, &two->first);
	EXPECT_EQ(0, fd_poll(two->first.d.fd, POLLOUT, 0)) {
		TH_LOG("the DMABUF is ready with the transfer of %s pending",
		       two->second.buf.dut->name);
	}
}

/* --- from the input back to the output --- */

FIXTURE(sharing_loopback) {
	struct two two;
	struct dmabuf result;
	int fence;
};

DUT_FIXTURE(sharing_loopback, DUT_LOOPBACK);

FIXTURE_SETUP(sharing_loopback)
{
	self->two = (struct two)TWO_INIT;
	self->result = (struct dmabuf)DMABUF_INIT;
	self->fence = -1;
	if (!dut_setup(_metadata, &variant->v))
		return;

	two_setup(_metadata, &self->two, variant->v.peer, variant->v.dut,
		  variant->v.exporter);
	ASSERT_OK(dmabuf_alloc(&self->result, variant->v.exporter,
			       self->two.first.d.size));
	ASSERT_OK(iio_attach(self->two.first.buf.fd, self->result.fd));
}

FIXTURE_TEARDOWN(sharing_loopback)
{
	two_teardown(&self->two);
	dmabuf_free(&self->result);
	if (self->fence >= 0)
		close(self->fence);
	dut_teardown(_metadata);
}

/*
 * ENQUEUE on the output waits until the input has filled the DMABUF, which is
 * what has the output send it a second time.
 */
TEST_REQ(sharing_loopback, received_is_sent_on, "SHR-01")
{
	struct transfer *in = &self->two.first, *out = &self->two.second;
	bool stale;

	ASSERT_OK(dmabuf_poison(&in->d, POISON));
	ASSERT_OK(dmabuf_sync(out->d.fd, DMA_BUF_SYNC_START |
			      DMA_BUF_SYNC_WRITE));
	pattern_fill(out->d.map, out->len, 1);
	ASSERT_OK(dmabuf_sync(out->d.fd, DMA_BUF_SYNC_END |
			      DMA_BUF_SYNC_WRITE));

	transfer_hold(_metadata, in);
	start_enqueue(_metadata, &self->two, out);
	transfer_enqueue(_metadata, out);
	self->fence = iio_enqueue_fence(&in->buf, &self->result, in->len);
	ASSERT_OK(self->fence);

	ASSERT_OK(iio_enable(in->buf.dut));
	ASSERT_OK(iio_enable(out->buf.dut));
	EXPECT_OK(blocked_join(&self->two.thread));
	ASSERT_EQ(1, sync_file_wait(in->fence));
	ASSERT_EQ(1, sync_file_wait(self->fence)) {
		TH_LOG("what the input received does not come back");
	}

	ASSERT_OK(dmabuf_sync(self->result.fd, DMA_BUF_SYNC_START |
			      DMA_BUF_SYNC_READ));
	stale = byte_mismatch(self->result.map, in->len, POISON) < 0;
	if (stale) {
		EXPECT_UNLESS("D4", !stale);
	} else {
		EXPECT_EQ(-1, pattern_mismatch(self->result.map, in->len, 1)) {
			TH_LOG("what comes back is not what was sent");
		}
	}
	ASSERT_OK(dmabuf_sync(self->result.fd, DMA_BUF_SYNC_END |
			      DMA_BUF_SYNC_READ));
}

/* --- other processes, other kernel subsystems --- */

/**
 * struct usb - A gadget with a FunctionFS function of two endpoints
 * @dir: where FunctionFS is mounted; what is made first and removed last, empty
 *	if there is nothing to remove
 * @ep0: control endpoint, -1 if not open
 * @ep: the first other endpoint, -1 if not open
 */
struct usb {
	char dir[32];
	int ep0;
	int ep;
};

FIXTURE(sharing) {
	struct transfer t;
	struct usb usb;
	int drm;
};

DUT_FIXTURE(sharing, DUT_ANY);

FIXTURE_SETUP(sharing)
{
	self->t = (struct transfer)TRANSFER_INIT;
	self->usb = (struct usb){ .ep0 = -1, .ep = -1 };
	self->drm = -1;
	if (!dut_setup(_metadata, &variant->v))
		return;

	transfer_setup_short(_metadata, &self->t, variant->v.dut,
			     variant->v.dut, variant->v.exporter);
}

static void usb_teardown(struct usb *usb);

FIXTURE_TEARDOWN(sharing)
{
	usb_teardown(&self->usb);
	transfer_teardown(&self->t);
	if (self->drm >= 0)
		close(self->drm);
	dut_teardown(_metadata);
}

/* A process that waits, in poll(), until @fd is ready */
static pid_t fork_poll(int fd)
{
	pid_t child = fork();

	if (!child)
		_exit(fd_poll(fd, POLLOUT, DEADLINE_MS) != POLLOUT);

	return child;
}

TEST_REQ(sharing, other_process_sees_readiness, "SHR-14")
{
	int status = -1;
	pid_t child;

	transfer_hold(_metadata, &self->t);
	child = fork_poll(self->t.d.fd);
	ASSERT_LT(0, child);
	EXPECT_OK(blocked_wait_pid(child, BLOCKED_POLL)) {
		TH_LOG("another process does not see that the DMABUF is in use");
	}

	ASSERT_OK(iio_enable(self->t.buf.dut));
	ASSERT_EQ(child, waitpid(child, &status, 0));
	EXPECT_EQ(0, status) {
		TH_LOG("another process is not told that the transfer is done");
	}
}

/*
 * Have a DMABUF of @size bytes in the transfer, filled with a pattern and
 * attached, or refused by the exporter or the DMA mapping, which SHR-09 allows.
 * Return: false if the test was marked as skipped.
 */
static bool use_exporter(struct __test_metadata *_metadata, struct transfer *t,
			 const struct exporter *e, size_t size)
{
	int ret;

	ret = dmabuf_alloc(&t->d, e, size);
	if (ret)
		SKIP(return false, "%s DMABUFs cannot be had here: %s", e->name,
		     errno_name(-ret));

	ASSERT_OK(dmabuf_begin_cpu(&t->d));
	pattern_fill(t->d.map, t->d.size, 1);
	ASSERT_OK(dmabuf_end_cpu(&t->d));

	ret = iio_attach(t->buf.fd, t->d.fd);
	if (transfer_refused(ret))
		SKIP(return false, "%s DMABUFs cannot be mapped for %s: %s",
		     e->name, t->buf.dut->name, errno_name(-ret));
	ASSERT_OK(ret);

	return true;
}

/* Have a vgem DMABUF in the transfer, in place of the one that is there. */
static bool use_vgem(struct __test_metadata *_metadata, struct transfer *t)
{
	const struct exporter *vgem = exporter_find("vgem");
	size_t size = t->d.size;

	if (!vgem->present())
		SKIP(return false, "no vgem: enable CONFIG_DRM_VGEM, load the module, run as root");

	ASSERT_OK(iio_detach(t->buf.fd, t->d.fd));
	dmabuf_free(&t->d);

	return use_exporter(_metadata, t, vgem, size);
}

TEST_REQ(sharing, fence_of_other_driver, "SHR-10")
{
	struct drm_prime_handle prime = { .fd = -1 };
	struct drm_vgem_fence_attach attach = { .flags = VGEM_FENCE_WRITE };
	struct drm_vgem_fence_signal sig = {};

	if (!use_vgem(_metadata, &self->t))
		return;

	self->drm = vgem_open();
	ASSERT_LE(0, self->drm);
	prime.fd = self->t.d.fd;
	ASSERT_EQ(0, ioctl(self->drm, DRM_IOCTL_PRIME_FD_TO_HANDLE, &prime));
	attach.handle = prime.handle;
	ASSERT_EQ(0, ioctl(self->drm, DRM_IOCTL_VGEM_FENCE_ATTACH, &attach));
	EXPECT_ERRNO(try_enqueue(&self->t, &self->t.d), EBUSY) {
		TH_LOG("the fence of vgem, which writes the DMABUF, is pending");
	}

	sig.fence = attach.out_fence;
	ASSERT_EQ(0, ioctl(self->drm, DRM_IOCTL_VGEM_FENCE_SIGNAL, &sig));
	transfer_hold(_metadata, &self->t);
	transfer_finish(_metadata, &self->t);
}

/* Users of a module, -1 if it is none or not loaded */
static int module_users(const char *name)
{
	int users = -1;
	char path[64];
	FILE *f;

	snprintf(path, sizeof(path), "/sys/module/%s/refcnt", name);
	f = fopen(path, "re");
	if (!f)
		return -1;

	if (fscanf(f, "%d", &users) != 1)
		users = -1;
	fclose(f);

	return users;
}

/* The buffer holds the last reference to the DMABUF. */
TEST_REQ(sharing, attachment_keeps_exporter_module, "LIF-28")
{
	int before = module_users("vgem");

	if (before < 0)
		SKIP(return, "vgem is no module here: load it as one to see whether it is pinned");
	if (!use_vgem(_metadata, &self->t))
		return;

	self->t.fence = iio_enqueue_fence(&self->t.buf, &self->t.d,
					  self->t.len);
	ASSERT_OK(self->t.fence);
	dmabuf_free(&self->t.d);
	EXPECT_LT(before, module_users("vgem")) {
		TH_LOG("nothing keeps the module of a DMABUF that is attached");
	}
	/* EPERM comes from kernels that do not let us unload anything. */
	EXPECT_ERRNO(syscall(SYS_delete_module, "vgem", O_NONBLOCK) ? -errno :
		     0, EAGAIN, EBUSY, EPERM);

	transfer_finish(_metadata, &self->t);
	iio_buf_close(&self->t.buf);
	close(self->t.fence);
	self->t.fence = -1;
	EXPECT_TRUE(wait_until(module_users("vgem") == before)) {
		TH_LOG("the module has more users than before");
	}
}

/* --- USB: FunctionFS on dummy_hcd --- */

#define GADGETS		"/sys/kernel/config/usb_gadget"
#define GADGET		GADGETS "/iio-dmabuf"

/* Set @name to the controller of dummy_hcd: others have better things to do. */
static bool find_dummy_udc(char *name, size_t size)
{
	struct dirent *entry;
	bool found = false;
	DIR *dir;

	dir = opendir("/sys/class/udc");
	while (dir && !found && (entry = readdir(dir))) {
		found = !strncmp(entry->d_name, "dummy_udc", 9);
		if (found)
			snprintf(name, size, "%.31s", entry->d_name);
	}
	if (dir)
		closedir(dir);

	return found;
}

static int mkdir_once(const char *path)
{
	return mkdir(path, 0755) && errno != EEXIST ? -errno : 0;
}

static int ffs_write_descriptors(int ep0)
{
	/* In full speed only, one interface with one bulk IN endpoint */
	static const uint8_t descs[32] = {
		FUNCTIONFS_DESCRIPTORS_MAGIC_V2, 0, 0, 0,
		sizeof(descs), 0, 0, 0,
		FUNCTIONFS_HAS_FS_DESC, 0, 0, 0,
		2, 0, 0, 0,
		USB_DT_INTERFACE_SIZE, USB_DT_INTERFACE, 0, 0, 1,
		USB_CLASS_VENDOR_SPEC, 0, 0, 0,
		USB_DT_ENDPOINT_SIZE, USB_DT_ENDPOINT, 1 | USB_DIR_IN,
		USB_ENDPOINT_XFER_BULK, 64, 0, 0,
	};
	static const uint8_t strings[16] = {
		FUNCTIONFS_STRINGS_MAGIC, 0, 0, 0,
		sizeof(strings), 0, 0, 0,
		0, 0, 0, 0,
		0, 0, 0, 0,
	};

	if (write(ep0, descs, sizeof(descs)) != sizeof(descs) ||
	    write(ep0, strings, sizeof(strings)) != sizeof(strings))
		return -errno;

	return 0;
}

/* Return: whether there is a directory to mount FunctionFS on. */
static bool usb_make_dir(struct usb *usb)
{
	char dir[] = "/tmp/iio-dmabuf.XXXXXX";

	if (!mkdtemp(dir))
		return false;

	snprintf(usb->dir, sizeof(usb->dir), "%s", dir);

	return true;
}

/*
 * All but binding the gadget to a controller. Return: 0, or a negative errno of
 * the first step that failed.
 */
static int usb_setup(struct usb *usb)
{
	char path[64];
	int ret;

	ret = mkdir_once(GADGET) ?:
	      write_file(GADGET "/idVendor", "0x1d6b") ?:
	      write_file(GADGET "/idProduct", "0x0104") ?:
	      mkdir_once(GADGET "/functions/ffs.iio-dmabuf") ?:
	      mkdir_once(GADGET "/configs/c.1");
	if (ret)
		return ret;

	if (symlink(GADGET "/functions/ffs.iio-dmabuf",
		    GADGET "/configs/c.1/ffs.iio-dmabuf") && errno != EEXIST)
		return -errno;

	if (mount("iio-dmabuf", usb->dir, "functionfs", 0, NULL))
		return -errno;

	snprintf(path, sizeof(path), "%s/ep0", usb->dir);
	usb->ep0 = open(path, O_RDWR | O_CLOEXEC);
	if (usb->ep0 < 0)
		return -errno;

	ret = ffs_write_descriptors(usb->ep0);
	if (ret)
		return ret;

	snprintf(path, sizeof(path), "%s/ep1", usb->dir);
	usb->ep = open(path, O_RDWR | O_CLOEXEC);

	return usb->ep < 0 ? -errno : 0;
}

static void usb_teardown(struct usb *usb)
{
	if (!usb->dir[0])
		return;

	write_file(GADGET "/UDC", "\n");
	if (usb->ep >= 0)
		close(usb->ep);
	if (usb->ep0 >= 0)
		close(usb->ep0);
	unlink(GADGET "/configs/c.1/ffs.iio-dmabuf");
	umount2(usb->dir, MNT_DETACH);
	rmdir(GADGET "/configs/c.1");
	rmdir(GADGET "/functions/ffs.iio-dmabuf");
	rmdir(GADGET);
	rmdir(usb->dir);
}

TEST_REQ(sharing, usb_without_scatter_gather_refuses, "SHR-15")
{
	int fd = self->t.d.fd, ret;
	char udc[32];
	long refs;

	if (access(GADGETS, W_OK) || !find_dummy_udc(udc, sizeof(udc)))
		SKIP(return, "no USB gadget to try: load libcomposite, usb_f_fs and dummy_hcd, mount configfs");

	if (!usb_make_dir(&self->usb))
		SKIP(return, "nothing to mount FunctionFS on: make /tmp writable");

	ret = usb_setup(&self->usb);
	if (ret == -ENODEV || ret == -ENOENT)
		SKIP(return, "no FunctionFS: enable CONFIG_USB_CONFIGFS_F_FS, load usb_f_fs");
	ASSERT_OK(ret);
	ret = write_file(GADGET "/UDC", udc);
	if (ret == -EBUSY)
		SKIP(return, "another gadget uses %s: unbind it", udc);
	ASSERT_OK(ret);

	refs = dmabuf_refs(fd);
	ret = ioctl(self->usb.ep, FUNCTIONFS_DMABUF_ATTACH, &fd) ? -errno : 0;
	if (!ret) {
		ioctl(self->usb.ep, FUNCTIONFS_DMABUF_DETACH, &fd);
		SKIP(return, "%s can scatter-gather: needs a controller that cannot",
		     udc);
	}
	EXPECT_ERRNO(ret, EPERM) {
		TH_LOG("FUNCTIONFS_DMABUF_ATTACH on %s", udc);
	}
	EXPECT_OK(dmabuf_wait_refs(fd, refs));

	transfer_hold(_metadata, &self->t);
	transfer_finish(_metadata, &self->t);
}

/* --- a mapping of a DMABUF, given to what wants its pages --- */

FIXTURE(sharing_mapping) {
	struct transfer t;
	uint8_t *plain;
	int fds[2];
};

DUT_FIXTURE(sharing_mapping, DUT_ANY | DUT_EXPORTERS);

FIXTURE_SETUP(sharing_mapping)
{
	const struct iio_dut *dut;

	self->t = (struct transfer)TRANSFER_INIT;
	self->plain = NULL;
	self->fds[0] = -1;
	self->fds[1] = -1;
	if (!dut_setup(_metadata, &variant->v))
		return;

	dut = variant->v.dut;
	ASSERT_OK(iio_buf_open(&self->t.buf, dut));
	if (!use_exporter(_metadata, &self->t, variant->v.exporter,
			  iio_good_length(dut, dut)))
		return;

	self->t.len = iio_short_length(dut);
	self->plain = mmap(NULL, page_size(), PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, self->plain);
	pattern_fill(self->plain, page_size(), 1);
}

FIXTURE_TEARDOWN(sharing_mapping)
{
	int i;

	for (i = 0; i < 2; i++) {
		if (self->fds[i] >= 0)
			close(self->fds[i]);
	}
	transfer_teardown(&self->t);
	if (self->plain)
		munmap(self->plain, page_size());
	dut_teardown(_metadata);
}

/*
 * Pinning the pages of a DMABUF may be refused with EFAULT, or work. Whatever
 * it does, the DMABUF goes on working.
 */
static void expect_usable(struct __test_metadata *_metadata, struct transfer *t)
{
	transfer_hold(_metadata, t);
	transfer_finish(_metadata, t);
}

/* A TCP connection, for memory is sent without a copy only there. */
static int tcp_pair(int fds[2])
{
	struct sockaddr_in addr = {
		.sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	socklen_t len = sizeof(addr);
	int listener, ret = 0;

	listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (listener < 0)
		return -errno;

	fds[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fds[0] < 0 ||
	    bind(listener, (struct sockaddr *)&addr, sizeof(addr)) ||
	    listen(listener, 1) ||
	    getsockname(listener, (struct sockaddr *)&addr, &len) ||
	    connect(fds[0], (struct sockaddr *)&addr, sizeof(addr)))
		ret = -errno;
	else
		fds[1] = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	close(listener);

	return ret;
}

/* Return: false if the test was marked as skipped. */
static bool tcp_setup(struct __test_metadata *_metadata, int fds[2])
{
	int one = 1, ret = tcp_pair(fds);

	if (ret == -ENETUNREACH || ret == -EADDRNOTAVAIL ||
	    ret == -EAFNOSUPPORT)
		SKIP(return false, "no TCP to 127.0.0.1: enable CONFIG_INET, set lo up");
	ASSERT_OK(ret);
	ASSERT_EQ(0, setsockopt(fds[0], SOL_SOCKET, SO_ZEROCOPY, &one,
				sizeof(one)));

	return true;
}

/* @len bytes of the pattern must arrive at @fd. */
static void expect_arrives(struct __test_metadata *_metadata, int fd,
			   size_t len)
{
	uint8_t *bytes = malloc(len);
	size_t got = 0;
	ssize_t n = 1;

	ASSERT_NE(NULL, bytes);
	for (; got < len && n > 0; got += n)
		n = read(fd, bytes + got, len - got);
	EXPECT_EQ(len, got);
	EXPECT_EQ(-1, pattern_mismatch(bytes, len, 1)) {
		TH_LOG("what arrives is not what is in the DMABUF");
	}
	free(bytes);
}

TEST_REQ(sharing_mapping, zerocopy_send, "SHR-11")
{
	size_t len = page_size();
	ssize_t n;

	if (!tcp_setup(_metadata, self->fds))
		return;

	n = send(self->fds[0], self->plain, len, MSG_ZEROCOPY);
	ASSERT_EQ(len, n);
	expect_arrives(_metadata, self->fds[1], len);

	n = send(self->fds[0], self->t.d.map, len, MSG_ZEROCOPY);
	EXPECT_ERRNO(n < 0 ? -errno : n, OK, EFAULT) {
		TH_LOG("send() of a mapping of a DMABUF with MSG_ZEROCOPY");
	}
	if (n >= 0)
		expect_arrives(_metadata, self->fds[1], n);
	expect_usable(_metadata, &self->t);
}

TEST_REQ(sharing_mapping, pages_into_a_pipe, "SHR-11")
{
	struct iovec iov = { self->plain, page_size() };
	ssize_t n;

	ASSERT_EQ(0, pipe(self->fds));
	n = vmsplice(self->fds[1], &iov, 1, 0);
	ASSERT_EQ(page_size(), n);
	expect_arrives(_metadata, self->fds[0], n);

	iov.iov_base = self->t.d.map;
	n = vmsplice(self->fds[1], &iov, 1, SPLICE_F_NONBLOCK);
	EXPECT_ERRNO(n < 0 ? -errno : n, OK, EFAULT) {
		TH_LOG("vmsplice() of a mapping of a DMABUF");
	}
	if (n >= 0)
		expect_arrives(_metadata, self->fds[0], n);
	expect_usable(_metadata, &self->t);
}

/* What copies works on a DMABUF as on any memory. */
TEST_REQ(sharing_mapping, copies_in_and_out, "SHR-12")
{
	uint8_t *map = self->t.d.map;
	size_t len = page_size();

	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM, 0, self->fds));

	ASSERT_OK(dmabuf_begin_cpu(&self->t.d));
	EXPECT_EQ(len, send(self->fds[0], map, len, 0));
	expect_arrives(_metadata, self->fds[1], len);

	EXPECT_EQ(len, send(self->fds[0], self->plain, len, 0));
	memset(map, 0, len);
	EXPECT_EQ(len, recv(self->fds[1], map, len, MSG_WAITALL));
	EXPECT_EQ(-1, pattern_mismatch(map, len, 1));
	ASSERT_OK(dmabuf_end_cpu(&self->t.d));
	expect_usable(_metadata, &self->t);
}

#ifdef HAVE_LIBURING

/* Return: false if the test was marked as skipped. */
static bool ring_setup(struct __test_metadata *_metadata,
		       struct io_uring *ring)
{
	int ret = io_uring_queue_init(4, ring, 0);

	if (ret == -ENOSYS || ret == -EPERM)
		SKIP(return false, "no io_uring: enable CONFIG_IO_URING, set sysctl kernel.io_uring_disabled to 0");
	ASSERT_OK(ret);

	return true;
}

TEST_REQ(sharing_mapping, io_uring_registration, "SHR-11")
{
	struct iovec iov = { self->plain, page_size() };
	struct io_uring ring;

	if (!ring_setup(_metadata, &ring))
		return;

	ASSERT_OK(io_uring_register_buffers(&ring, &iov, 1));
	ASSERT_OK(io_uring_unregister_buffers(&ring));
	iov.iov_base = self->t.d.map;
	EXPECT_ERRNO(io_uring_register_buffers(&ring, &iov, 1), OK, EFAULT,
		     EOPNOTSUPP);
	io_uring_queue_exit(&ring);
	expect_usable(_metadata, &self->t);
}

/*
 * Send without a copy; a notification may follow the result, of a failure as
 * well. Return: the result.
 */
static int ring_send(struct __test_metadata *_metadata, struct io_uring *ring,
		     int fd, const void *data, size_t len)
{
	struct __kernel_timespec ts = { .tv_sec = DEADLINE_MS / 1000 };
	struct io_uring_sqe *sqe = io_uring_get_sqe(ring);
	struct io_uring_cqe *cqe;
	bool more = true;
	int ret = 0;

	io_uring_prep_send_zc(sqe, fd, data, len, 0, 0);
	ASSERT_EQ(1, io_uring_submit(ring));
	while (more) {
		ASSERT_OK(io_uring_wait_cqe_timeout(ring, &cqe, &ts));
		more = cqe->flags & IORING_CQE_F_MORE;
		if (!(cqe->flags & IORING_CQE_F_NOTIF))
			ret = cqe->res;
		io_uring_cqe_seen(ring, cqe);
	}

	return ret;
}

TEST_REQ(sharing_mapping, io_uring_zerocopy_send, "SHR-11")
{
	size_t len = page_size();
	struct io_uring ring;
	int ret;

	if (!tcp_setup(_metadata, self->fds) || !ring_setup(_metadata, &ring))
		return;

	ret = ring_send(_metadata, &ring, self->fds[0], self->plain, len);
	if (ret == -EINVAL)
		SKIP(return, "no IORING_OP_SEND_ZC: Linux 6.0 has it");
	ASSERT_EQ(len, ret);
	expect_arrives(_metadata, self->fds[1], len);

	ret = ring_send(_metadata, &ring, self->fds[0], self->t.d.map, len);
	EXPECT_ERRNO(ret, OK, EFAULT) {
		TH_LOG("IORING_OP_SEND_ZC of a mapping of a DMABUF");
	}
	if (ret >= 0)
		expect_arrives(_metadata, self->fds[1], ret);
	io_uring_queue_exit(&ring);
	expect_usable(_metadata, &self->t);
}

#else

#define NO_LIBURING	"built without liburing: install its headers and static library, rebuild"

TEST_REQ(sharing_mapping, io_uring_registration, "SHR-11")
{
	SKIP(return, NO_LIBURING);
}

TEST_REQ(sharing_mapping, io_uring_zerocopy_send, "SHR-11")
{
	SKIP(return, NO_LIBURING);
}

#endif

CONFORMANCE_MAIN

# SPDX-License-Identifier: GPL-2.0
#
# The front door. Everything behind it is a script with its own explanation.

LANE ?= stock
export TESTS SHAPES LANES KSRC KERNEL V CROSS_COMPILE

.PHONY: help kselftest check spec ynl explain bench install clean

help:
	@sed -n 's/^#: \?//p' $(lastword $(MAKEFILE_LIST))

kselftest:
	@tools/lane $(LANE)

check:
	@tools/check

spec:
	@tools/spec

ynl:
	@tools/ynl

explain:
	@tools/explain "$(ID)"

bench:
	@tools/lane bench

install:
	@tools/install "$(DESTDIR)"

clean:
	@rm -rf out

#: make kselftest    build the suite and the loopback driver, run them in a VM
#: make check        static checks, unit tests of the tools, then LANES="stock kunit"
#: make spec         write Documentation/requirements.rst again
#: make ynl          write the code again that Documentation/netlink/specs generates
#: make explain ID=ENQ-07   a requirement, or a known defect: ID=B7
#: make bench        how fast the loopback driver is, next to memcpy()
#: make install      put the suite for this machine's IIO devices in DESTDIR
#: make clean        remove out/ (the cache of kernels stays)
#:
#: LANE=stock        Debian's kernel in a VM (the default)
#: LANE=swiotlb      the same with bounce buffers, where a missing sync shows
#: LANE=compat       the same with the suite as a 32-bit program
#: LANE=shapes       the same on devices of many shapes; SHAPES="a b": on these
#: LANE=destructive  what takes an affected kernel down, each test in its own VM
#: LANE=kunit        KUnit tests of the DMA controller, and failing allocations, in a VM
#: LANE=monitor      a recording and a picture of transfers, of TESTS if given
#: LANE=local        the IIO devices of this machine
#: TESTS="a b"       only these groups
#: KSRC=DIR          another kernel source tree
#: KERNEL=IMAGE      another kernel image for the VM
#: V=1               show commands
#:
#: Results are in out/LANE. See README.md.

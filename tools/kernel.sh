# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=sh
# shellcheck disable=SC2034,SC2154 # variables shared with who sources this
#
# What the scripts in tools/ share: where the kernel is that they build
# against, and how they build. To be sourced with $top, the top of the checkout,
# $lane, for messages, and $out, for what is built, set; KSRC, KERNEL and V come
# from the environment.

say()
{
	echo "lane $lane: $*" >&2
}

die()
{
	say "$*"
	exit 2
}

# make, quiet unless V=1 or something goes wrong
run_make()
{
	make -s ${V:+V="$V"} "$@" >"$out/make.log" 2>&1 && broken= || broken=yes
	[ -z "${V:-}$broken" ] || cat "$out/make.log" >&2
	[ -z "$broken" ] || die "the build failed, see above"
}

# Debian's kernel, unpacked in the cache: sets $debian
get_debian()
{
	[ -n "${debian:-}" ] ||
		debian=$("$top/tools/vm/kernel-get") || exit 2
}

# update FILE... DIR: copy what differs. Not cp -u, which keeps the file of
# another tree when that one is newer.
update()
{
	for dir; do :; done
	for file; do
		[ "$file" = "$dir" ] ||
			cmp -s "$file" "$dir/${file##*/}" || cp "$file" "$dir"
	done
}

# What was built from other sources or for another kernel does not count.
forget_other_builds()
{
	echo "$ksrc ${kbuild:-}" >"$out/built-from.tmp"
	cmp -s "$out/built-from.tmp" "$out/built-from" ||
		rm -rf "$out/modules" "$out/selftests" "$out/headers" \
			"$out/kselftest"
	mv "$out/built-from.tmp" "$out/built-from"
}

# --- where things are: sets $ksrc, $headers, $image, $moddir and $kbuild ---

find_source()
{
	if [ -n "${KSRC:-}" ]; then
		ksrc=$(readlink -f "$KSRC" || :)
		[ -d "$ksrc" ] ||
			die "KSRC=$KSRC is no directory: give a kernel source tree"
	else
		get_debian
		ksrc=$debian/linux-source
	fi

	[ -f "$ksrc/tools/testing/selftests/kselftest_harness.h" ] ||
		die "KSRC=$ksrc has no kselftest harness: give a whole kernel source tree"
	grep -q IIO_BUFFER_DMABUF_ENQUEUE_IOCTL \
		"$ksrc/include/uapi/linux/iio/buffer.h" 2>/dev/null ||
		die "KSRC=$ksrc is Linux $(make -s -C "$ksrc" kernelversion)," \
			"the IIO DMABUF interface came with 6.11"
}

# The kernel's name of the architecture that CROSS_COMPILE is for
cross_arch()
{
	case $CROSS_COMPILE in
	*aarch64*) echo arm64 ;;
	*arm*) echo arm ;;
	*riscv*) echo riscv ;;
	*x86_64*|*i?86*) echo x86 ;;
	*) echo "${ARCH:-}" ;;
	esac
}

make_headers()
{
	headers=$out/headers/usr/include
	if [ -n "${CROSS_COMPILE:-}" ]; then
		arch=$(cross_arch)
		[ -n "$arch" ] ||
			die "CROSS_COMPILE=$CROSS_COMPILE is for what? Set ARCH, as for a kernel"
		run_make -C "$ksrc" ARCH="$arch" O="$out/headers" headers
	elif [ -z "${KSRC:-}" ]; then
		headers=$debian/headers-out/usr/include
	else
		run_make -C "$ksrc" O="$out/headers" headers
	fi
}

find_kernel()
{
	if [ -z "${KERNEL:-}" ]; then
		get_debian
		KERNEL=$(echo "$debian"/boot/vmlinuz-*)
	fi

	image=$(readlink -f "$KERNEL" || :)
	[ -f "$image" ] ||
		die "KERNEL=$KERNEL does not exist: give a kernel image"

	release=${image##*/vmlinuz-}
	root=$(dirname "$(dirname "$image")")
	if [ -d "$root/lib/modules/$release" ]; then
		moddir=$root/lib/modules/$release
		kbuild=$root/usr/src/linux-headers-$release
		[ -d "$kbuild" ] || kbuild=$moddir/build
	else
		moddir=$(dirname "$image")
		until [ -f "$moddir/Module.symvers" ]; do
			[ "$moddir" != / ] ||
				die "KERNEL=$image is neither in a kernel build tree nor beside its lib/modules"
			moddir=$(dirname "$moddir")
		done
		kbuild=$moddir
	fi

	[ -f "$kbuild/.config" ] ||
		die "$kbuild has no .config: the headers of $image are missing"
}

# Whether the kernel was configured with $1 as $2, y or m
configured()
{
	grep -q "^CONFIG_$1=$2\$" "$kbuild/.config"
}

# The module file called $1, nothing if the kernel has it built in
module_file()
{
	find "$moddir/" -name "$1.ko" -o -name "$1.ko.xz" | head -n 1
}

# --- modules ---

# Our modules, and those of the IIO core that this kernel does not have or that
# KSRC changes, in $out/modules. With $misbehave set the loopback driver knows the
# faults that may crash the kernel. Arguments are make's. Sets $modules_built.
build_modules()
{
	mkdir -p "$out/modules/include/uapi/linux"
	update "$top"/driver/*.[ch] "$out/modules"
	update "$top"/include/uapi/linux/*.h "$out/modules/include/uapi/linux"
	cmp -s "$top/driver/Makefile" "$out/modules/Kbuild.driver" ||
		cp "$top/driver/Makefile" "$out/modules/Kbuild.driver"

	objs=
	if [ -n "${KSRC:-}" ] && configured IIO m; then
		update "$ksrc"/drivers/iio/industrialio-core.c \
			"$ksrc"/drivers/iio/industrialio-event.c \
			"$ksrc"/drivers/iio/industrialio-buffer.c \
			"$ksrc"/drivers/iio/industrialio-trigger.c \
			"$ksrc"/drivers/iio/inkern.c \
			"$ksrc"/drivers/iio/iio_core*.h "$out/modules"
		objs=industrialio
	fi
	if [ -n "$objs" ] || ! grep -q '^CONFIG_IIO_BUFFER_DMAENGINE=' \
	   "$kbuild/.config"; then
		update "$ksrc"/drivers/iio/buffer/industrialio-buffer-dma*.c \
			"$out/modules"
		objs="$objs industrialio-buffer-dma industrialio-buffer-dmaengine"
	fi

	{
		# shellcheck disable=SC2016 # for make to expand
		echo 'include $(src)/Kbuild.driver'
		for obj in $objs; do
			echo "obj-m += $obj.o"
		done
		echo 'industrialio-y := industrialio-core.o industrialio-event.o' \
			'inkern.o industrialio-buffer.o industrialio-trigger.o'
	} >"$out/modules/Makefile.tmp"
	cmp -s "$out/modules/Makefile.tmp" "$out/modules/Makefile" ||
		cp "$out/modules/Makefile.tmp" "$out/modules/Makefile"

	# BTF would need pahole, and nothing here reads it.
	run_make -C "$kbuild" M="$out/modules" KSRC="$ksrc" \
		CONFIG_DMA_LOOPBACK=m CONFIG_IIO_LOOPBACK=m \
		KCFLAGS="-I$out/modules/include ${misbehave:+-DCONFIG_DMA_LOOPBACK_MISBEHAVE=1}" \
		CONFIG_DEBUG_INFO_BTF_MODULES= "$@" modules

	modules_built="$objs dma-loopback iio-loopback"
}

# --- selftests ---

# The selftests, laid out in $out/kselftest as the kernel's own "make
# kselftest-install" does. Arguments are make's.
build_selftests()
{
	mkdir -p "$out/selftests" "$out/kselftest/kselftest"
	run_make -C "$top/selftests" KSRC="$ksrc" OUTPUT="$out/selftests" \
		KHDR_INCLUDES="-isystem $headers" \
		INSTALL_PATH="$out/kselftest/iio" "$@" install
	make -s -C "$top/selftests" KSRC="$ksrc" OUTPUT="$out/selftests" \
		COLLECTION=iio emit_tests >"$out/kselftest/kselftest-list.txt"
	update "$ksrc/tools/testing/selftests/run_kselftest.sh" "$out/kselftest"
	update "$ksrc"/tools/testing/selftests/kselftest/*.sh \
		"$ksrc/tools/testing/selftests/kselftest/prefix.pl" \
		"$out/kselftest/kselftest"

	# For "make explain", which can do without.
	[ -n "${CROSS_COMPILE:-}" ] || build_test_list 2>/dev/null || :
}

# Which test checks what, from the test programs: $out/selftests/test-list
build_test_list()
{
	[ -z "${CROSS_COMPILE:-}" ] || {
		say "programs built with CROSS_COMPILE=$CROSS_COMPILE do not run" \
			"here, and the tests are asked what they check: try without"
		return 1
	}

	mkdir -p "$out/selftests"
	make -s -C "$top/selftests" KSRC="$ksrc" OUTPUT="$out/selftests" \
		KHDR_INCLUDES="-isystem $headers" USERCFLAGS=-Werror \
		"$out/selftests/test-list" "$out/selftests/reqc" >"$out/make.log"
}

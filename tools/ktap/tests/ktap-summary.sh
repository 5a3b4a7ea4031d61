#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# Tests ktap-summary, found in PATH: logs in, summaries out.

set -u

tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
tests=0
failed=0

result()
{
	tests=$((tests + 1))
	if [ "$1" = 0 ]; then
		echo "ok $tests $2"
	else
		failed=$((failed + 1))
		sed 's/^/# /' "$tmp/out"
		echo "not ok $tests $2"
	fi
}

# summary NAME STATUS LAST-LINE [OPTION]... <LOG
summary()
{
	name=$1 want=$2 last=$3
	shift 3
	status=0
	ktap-summary "$@" >"$tmp/out" 2>&1 || status=$?
	[ $status -eq "$want" ] && [ "$(tail -n 1 "$tmp/out")" = "$last" ]
	result $? "$name"
}

# The last summary has a line that is TEXT, however it is indented or spaced.
has()
{
	sed 's/^ *//; s/  */ /g' "$tmp/out" | grep -q -x -F -e "$2"
	result $? "$1"
}

hasnt()
{
	! grep -q -F -e "$2" "$tmp/out"
	result $? "$1"
}

cat >"$tmp/full" <<'LOG'
# vm: up
TAP version 13
1..3
# timeout set to 45
# selftests: iio: abi
# TAP version 13
# 1..2
# # Starting 2 tests from 1 test cases.
# #  RUN           abi.size ...
# # REQ abi.size ABI-01
# # stray words of a passing test
# #            OK  abi.size
# ok 1 abi.size
# #  RUN           abi.flags ...
# # REQ abi.flags ABI-02 ABI-03
# #            OK  abi.flags
# ok 2 abi.flags #  both ways
# # PASSED: 2 / 2 tests passed.
# # Totals: pass:2 fail:0 xfail:0 xpass:0 skip:0 error:0
ok 1 selftests: iio: abi
# timeout set to 45
# selftests: iio: attach
# TAP version 13
# 1..4
# #  RUN           dmabuf.in.once ...
# # REQ dmabuf.in.once ATT-01
# # attach.c:10:once:Expected 0 (0) == errno (16)
# # once: Test failed
# #          FAIL  dmabuf.in.once
# not ok 1 dmabuf.in.once
# #  RUN           dmabuf.in.twice ...
# # REQ dmabuf.in.twice ATT-05 ATT-06
# #          FAIL  dmabuf.in.twice
# ok 2 dmabuf.in.twice # XFAIL lost transfer, since v6.12
# #  RUN           dmabuf.in.loop ...
# # REQ dmabuf.in.loop ATT-07
# #      SKIP      no loopback
# #            OK  dmabuf.in.loop
# ok 3 dmabuf.in.loop # SKIP no loopback
# #  RUN           dmabuf.in.fixed ...
# #            OK  dmabuf.in.fixed
# ok 4 dmabuf.in.fixed # XPASS unknown
# # FAILED: 3 / 4 tests passed.
not ok 2 selftests: iio: attach # exit=1
# selftests: iio: swsync
# 1..0 # SKIP no sw_sync in this kernel
ok 3 selftests: iio: swsync # SKIP
# vm: done 0
LOG

summary "every kind of result" 1 "4 passed, 1 failed, 2 skipped" <"$tmp/full"
has "row of a passing program" "iio:abi 2 2 - - - - -"
has "row of a mixed program" "iio:attach 4 - 1 1 1 1 -"
has "row of a skipped program" "iio:swsync 1 - - 1 - - -"
has "row of totals" "total 7 2 1 2 1 1 -"
has "failure is named" "iio:attach dmabuf.in.once: failed"
has "failure has its lines" "attach.c:10:once:Expected 0 (0) == errno (16)"
hasnt "failure has no other test's lines" "stray words"
has "xfail by reason" "1: lost transfer, since v6.12"
has "skip by reason" "1: no loopback"
has "skip of a program" "1: no sw_sync in this kernel"
has "requirements" "Requirements: 7 touched, 5 with a pass or an xfail"
has "requirements without" "without: ATT-01 ATT-07"

summary "--strict fails skip and xpass" 1 "3 passed, 4 failed" --strict <"$tmp/full"
has "--strict says so" "--strict: skip and xpass count as failed"

sed 's/$/\r/' "$tmp/full" >"$tmp/cr"
summary "carriage returns" 1 "4 passed, 1 failed, 2 skipped" "$tmp/cr"

grep -v '^not ok 2\|^# not ok 1' "$tmp/full" | sed '/RUN .*once/,/^# #.*FAIL/d' |
	sed '/in.twice/,$d' >"$tmp/cut"
summary "log cut within a program" 1 "2 passed, 5 failed" <"$tmp/cut"
has "planned tests are missing" "iio:attach 4 - - - - - 4"
has "so are programs" "(never started) 1 - - - - - 1"

summary "crash of a test program" 1 "1 passed, 2 failed" <<'LOG'
TAP version 13
1..1
# selftests: iio: fence
# 1..3
# #  RUN           fence.one ...
# ok 1 fence.one
# #  RUN           fence.two ...
# # REQ fence.two FEN-02
# # last words
not ok 1 selftests: iio: fence # exit=139
LOG
has "crash is attributed" "iio:fence fence.two: no result: exit=139"
has "crash has its lines" "last words"
has "crash leaves the rest of the plan" "iio:fence: 1 planned and never started"
has "crash touches its requirements" "Requirements: 1 touched, 0 with a pass or an xfail"

summary "death of the VM" 1 "0 passed, 2 failed" <<'LOG'
# vm: up
TAP version 13
1..1
# selftests: iio: fence
# 1..2
# #  RUN           fence.one ...
# # par
# vm: died while running iio:fence fence.one
LOG
has "death is in the verdict" "The VM died while running iio:fence fence.one"
has "death is attributed" "iio:fence fence.one: no result: the VM ended"

summary "time-out of a program" 1 "0 passed, 1 failed" <<'LOG'
1..1
# selftests: iio: poll
# 1..1
# #  RUN           poll.for_ever ...
#
not ok 1 selftests: iio: poll # TIMEOUT 45 seconds
LOG
has "time-out is the reason" "iio:poll poll.for_ever: no result: TIMEOUT 45 seconds"

summary "program that fails after its tests" 1 "1 passed, 1 failed" <<'LOG'
1..1
# selftests: iio: poll
# 1..1
# ok 1 poll.once
# free(): invalid pointer
not ok 1 selftests: iio: poll # exit=134
LOG
has "its lines are kept" "free(): invalid pointer"

summary "script without tests of its own" 1 "1 passed, 1 failed" <<'LOG'
1..2
# selftests: iio: good.sh
# whatever
ok 1 selftests: iio: good.sh
# selftests: iio: bad.sh
# what went wrong
not ok 2 selftests: iio: bad.sh # exit=1
LOG
has "script's lines are kept" "what went wrong"

summary "interleaved garbage" 0 "2 passed, 0 failed" <<'LOG'
1..1
[   12.345678] iio loopback: ok 1 not a result
# selftests: iio: abi
# 1..2
# #  RUN           abi.size ...
random: ok 7 garbage
ok
not ok
# ok
# okay 3
# ok 1 abi.size
# # ok 9 nested.result
# ok 2 abi.flags
ok 1 selftests: iio: abi
LOG

summary "old result lines without a name" 4 "0 passed, 0 failed, 1 skipped" <<'LOG'
TAP version 13
1..1
#  RUN           global.ioctl ...
#            OK  global.ioctl
ok 1 # SKIP no device
LOG
has "name is that of the test that ran" "(stdin) global.ioctl"

summary "program that skips itself after its plan" 0 "1 passed, 0 failed, 1 skipped" <<'LOG'
1..1
# selftests: iio: unbind
# 1..5
# ok 1 unbind.open
# ok 2 # SKIP not root
ok 1 selftests: iio: unbind # SKIP
LOG

summary "single program" 1 "1 passed, 1 failed" <<'LOG'
TAP version 13
1..2
#  RUN           abi.size ...
ok 1 abi.size
#  RUN           abi.flags ...
# abi.c:3:flags:Expected 1 == 2
not ok 2 abi.flags
LOG
has "its failure has its lines" "abi.c:3:flags:Expected 1 == 2"

summary "no result" 2 "ktap-summary: no test result in (stdin)" <<'LOG'
# vm: up
words
LOG
summary "empty log" 2 "ktap-summary: no test result in (stdin)" </dev/null
summary "no log" 2 "ktap-summary: cannot read $tmp/none: No such file or directory" "$tmp/none"
head -c 300000 /dev/urandom >"$tmp/noise"
summary "noise" 2 "ktap-summary: no test result in $tmp/noise" "$tmp/noise"

echo "1..$tests"
[ $failed -eq 0 ]

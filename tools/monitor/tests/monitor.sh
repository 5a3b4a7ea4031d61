#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# Tests iio-dmabuf-monitor, found in PATH: recordings in, lines, recordings and
# pictures out.

set -u

here=$(dirname "$0")
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
		sed 's/^/# /' "$tmp/log"
		echo "not ok $tests $2"
	fi
}

# same NAME WANT GOT: two files are the same, byte for byte
same()
{
	diff "$2" "$3" >"$tmp/log" 2>&1
	result $? "$1"
}

# monitor NAME STATUS [OPTION]...: run it; what it prints is in $tmp/out
monitor()
{
	name=$1 want=$2
	shift 2
	status=0
	iio-dmabuf-monitor "$@" >"$tmp/out" 2>"$tmp/log" || status=$?
	echo "status $status, not $want" >>"$tmp/log"
	[ $status -eq "$want" ]
	result $? "$name"
}

# It said this, on one line, and nothing else.
said()
{
	[ "$(wc -l <"$tmp/log")" -eq 2 ] && head -n 1 "$tmp/log" | grep -qF -e "$2"
	result $? "$1"
}

# has NAME TEXT [FILE]: a line of what was printed, or of a file, has this in it
has()
{
	grep -qF -e "$2" "${3:-$tmp/out}"
	result $? "$1"
}

# lines NAME NUMBER: so many were printed below the header
lines()
{
	wc -l "$tmp/out" >>"$tmp/log"
	[ "$(wc -l <"$tmp/out")" -eq $((1 + $2)) ]
	result $? "$1"
}

valid_xml()
{
	python3 -c 'import sys, xml.etree.ElementTree as t; t.parse(sys.argv[1])' \
		"$2" >>"$tmp/log" 2>&1
	result $? "$1"
}

# A line of a recording: event TYPE SEQ NS CHANNEL TRANSFER [MORE]
event()
{
	echo "event ns=$3 seq=$2 instance=0 channel=$4 type=$1 transfer=$5" \
		"cookie=$5 length=4096 segments=1 bytes=0${6:+ $6}"
}

recording()
{
	echo "iio-dmabuf-recording version=1"
	cat
	echo "end ns=999999999999 seq=${1:-0}"
}

# --- what comes out of a recording with everything in it ---

rec=$here/everything.rec
monitor "plays a recording" 0 --play "$rec" --record "$tmp/rec" \
	--svg "$tmp/svg"
same "prints it" "$here/everything.txt" "$tmp/out"
same "records it as it was" "$rec" "$tmp/rec"
same "draws it" "$here/everything.svg" "$tmp/svg"
valid_xml "the picture is valid XML" "$tmp/svg"

monitor "prints nothing" 0 --quiet --play "$rec"
[ ! -s "$tmp/out" ]
result $? "nothing is printed"

cp "$rec" "$tmp/same"
monitor "replaces what it plays" 0 -q --play "$tmp/same" --record "$tmp/same"
same "by the same" "$rec" "$tmp/same"

# --- filters and ends ---

monitor "--channel" 0 --play "$rec" --channel tx --record "$tmp/rec"
lines "only events of the channel, and losses" 14
same "the recording has all" "$rec" "$tmp/rec"
monitor "--instance by name" 0 --play "$rec" --instance lab
lines "its events, and losses" 37
monitor "--instance by number" 0 --play "$rec" --instance 2
lines "its events, too" 37
monitor "--instance of which there are no events" 0 --play "$rec" -i other
lines "losses only" 2
monitor "--count" 0 --play "$rec" --count 3 --record "$tmp/rec"
lines "three events, and what comes before" 6
monitor "a recording of so many is whole" 0 --play "$tmp/rec"
lines "and has so many" 6
monitor "--count beyond the end" 0 --play "$rec" --count 1000
same "all there is" "$here/everything.txt" "$tmp/out"

# --- events that are lost ---

{
	event submitted 7 1000 rx 1
	event issued 11 2000 rx 1
} | recording 20 >"$tmp/in"
monitor "gaps" 0 --play "$tmp/in" --svg "$tmp/svg"
has "a gap between events" " 3 events lost"
has "a gap at the end" " 9 events lost"
has "gaps are drawn" ">3 lost<" "$tmp/svg"

{
	event submitted 7 1000 rx 1
	event submitted 1 2000 rx 1
	event issued 2 3000 rx 1
} | recording >"$tmp/in"
monitor "a driver that was loaded again" 0 --play "$tmp/in"
lines "has lost nothing" 3

# --- order ---

{
	event submitted 1 5000 rx 1
	echo "fence-signaled ns=4000 pid=1 context=1 seqno=1"
	event issued 2 4999 rx 1
	echo "fence-init ns=3000 pid=1 context=1 seqno=1"
} | recording >"$tmp/in"
monitor "records in disorder" 0 --play "$tmp/in"
awk 'NR > 1 { print ($2 ~ /\//) ? $3 : $2 }' "$tmp/out" >"$tmp/got"
printf '%s\n' fence-init fence-signaled submitted issued >"$tmp/want"
same "are sorted, events by their numbers" "$tmp/want" "$tmp/got"

# --- pictures ---

# A fence belongs to the transfer that has just ended, and a poll to the fence of
# what was enqueued by the descriptor.
monitor "fences and polls" 0 -q --play "$rec" --svg "$tmp/svg"
tr '\n' '|' <"$tmp/svg" >"$tmp/flat"
has "fence of a transfer" "transfer 2 of lab/rx: short|submitted: 0.000253007 s|issued: 0.000254007 s|started: 0.900332007 s|completed: 0.900351007 s|cookie: 3|segments: 1|bytes: 2048 of 4096|residue: 2048|result: noerror|faults: short|fence 32:1|" \
	"$tmp/flat"
has "refused transfer" "transfer 4 of lab/rx: prep-refused|submitted: not seen|" \
	"$tmp/flat"
has "fence of a refused transfer" "fence 34:1|created: 0.000271000 s|signaled: 0.000274999 s|transfer 4|" \
	"$tmp/flat"
has "a poll" "<title>poll of 11 in task 71|called: 0.000291000 s|returned: 0.000316999 s|it returned 1<" \
	"$tmp/flat"

{
	echo "fence-init ns=900 pid=1 context=7 seqno=1"
	event submitted 1 1000 rx 1
} | recording >"$tmp/in"
monitor "a fence that has not signalled" 0 -q --play "$tmp/in" --svg "$tmp/svg"
! grep -q "other fences" "$tmp/svg"
result $? "belongs to what was submitted next"

# many NUMBER: that many transfers, four at a time
many()
{
	awk -v n="$1" '
	function event(type, i, more)
	{
		printf "event ns=%d seq=%d instance=0 channel=rx type=%s", \
			ns += 100, ++seq, type
		printf " transfer=%d cookie=%d length=8 segments=1 bytes=8%s\n", \
			i, i, more
	}
	BEGIN {
		for (i = 1; i <= n + 4; i++) {
			if (i <= n)
				event("submitted", i)
			if (i > 4) {
				event("started", i - 4)
				event("completed", i - 4, \
				      " residue=0 result=noerror")
				printf "fence-signaled ns=%d pid=0 context=1" \
					" seqno=%d\n", ns + 1, i - 4
			}
		}
	}' | recording
}

for nr in 1 3 3000 20000; do
	many $nr >"$tmp/in"
	monitor "draws $nr" 0 -q --play "$tmp/in" --svg "$tmp/svg"
	valid_xml "$nr are valid" "$tmp/svg"
	[ "$(wc -c <"$tmp/svg")" -lt 2000000 ]
	result $? "the picture of $nr is small"
done
has "bars stand for several" "bars stand for up to 10 transfers" "$tmp/svg"

recording </dev/null >"$tmp/in"
monitor "nothing to see" 0 --play "$tmp/in" --svg "$tmp/svg"
lines "prints nothing but the header" 0
valid_xml "is a picture nevertheless" "$tmp/svg"

{
	printf 'instance ns=1 instance=0 name=<&a\tb>\n'
	event submitted 1 1000 rx 1
} | recording >"$tmp/in"
monitor "a strange name" 0 --play "$tmp/in" --svg "$tmp/svg"
has "is printed as far as it can be" "<&a?b>/rx"
has "and drawn" "&lt;&amp;a?b&gt;/rx" "$tmp/svg"
valid_xml "as valid XML" "$tmp/svg"

# --- what is no recording, or not all of one ---

# bad NAME MESSAGE SCRIPT: what sed makes of the recording
bad()
{
	sed "$3" "$rec" >"$tmp/in"
	monitor "$1" 122 --quiet --play "$tmp/in"
	said "$1: it says so" "iio-dmabuf-monitor: $tmp/in:$2"
}

bad "no header" "1: this is no recording" 1d
bad "bad version" "1: this is no recording" '1s/1$/one/'
bad "newer version" "1: a recording of version 2, and only 1 can be played" \
	'1s/1$/2/'
bad "unknown line" "6: there are no lines that begin with 'evert'" \
	'6s/event/evert/'
bad "unknown key" "6: transfer= belongs where 'trans=1' is" '6s/transfer/trans/'
bad "missing key" "6: cookie= belongs where 'length=0' is" '6s/ cookie=0//'
bad "too many keys" "6: 'more=1' is too much" '6s/$/ more=1/'
bad "no number" "6: '0x1' cannot be bytes" '6s/bytes=0/bytes=0x1/'
bad "number too large" "6: '4294967296' cannot be segments" \
	'6s/segments=0/segments=4294967296/'
bad "negative number" "6: '-1' cannot be ns" '6s/ns=[0-9]*/ns=-1/'
bad "unknown word" "6: 'zx' cannot be channel" '6s/=rx/=zx/'
bad "name too long" "5: '$(printf '%065d' 0)' cannot be name" \
	"5s/=lab/=$(printf '%065d' 0)/"
bad "empty line" "6: there are no lines that begin with ''" '6s/.*//'
# shellcheck disable=SC2016 # of sed
bad "no end" "66: the end is missing" '$d'
# What is written after an end is another run's.
# shellcheck disable=SC2016 # of sed
bad "end in the middle" "68: the end is missing" '$p;$s/end/start/;$s/ seq.*//'

head -c 1000 "$rec" >"$tmp/in"
monitor "a line that is cut off" 122 --play "$tmp/in" --svg "$tmp/svg"
said "a line that is cut off: it says so" "$tmp/in:15: the line is cut off"
lines "what comes before it is played" 9
valid_xml "and drawn" "$tmp/svg"

head -c 100000 /dev/urandom >"$tmp/in"
monitor "noise" 122 --quiet --play "$tmp/in"
: >"$tmp/in"
monitor "an empty file" 122 --quiet --play "$tmp/in"
monitor "a directory" 125 --quiet --play "$tmp"
said "a directory: it says so" "cannot read $tmp: Is a directory"
monitor "no file" 125 --play "$tmp/none"
said "no file: it says so" "cannot read $tmp/none: No such file or directory"
lines "no file: nothing else is done" -1

# --- what cannot be written ---

monitor "full disk: recording" 124 --play "$rec" --record /dev/full
said "full disk: it says so" "cannot write /dev/full: No space left on device"
same "full disk: the rest goes on" "$here/everything.txt" "$tmp/out"
monitor "full disk: picture" 124 -q --play "$rec" --svg /dev/full
said "full disk: it says so" "cannot write /dev/full: No space left on device"
iio-dmabuf-monitor --play "$rec" --record "$tmp/rec" >/dev/full 2>"$tmp/log"
[ $? -eq 124 ]
result $? "full disk: standard output"
echo >>"$tmp/log"
said "full disk: it says so" "cannot write to standard output: No space left"
same "full disk: the recording goes on" "$rec" "$tmp/rec"

monitor "no place for a recording" 124 --play "$rec" --record "$tmp/no/rec"
said "no place for a recording: it says so" \
	"cannot write $tmp/no/rec: No such file or directory"
[ ! -s "$tmp/out" ]
result $? "nothing is done then"
monitor "no place for a picture" 124 --play "$rec" --svg "$tmp"

many 3000 >"$tmp/in"
iio-dmabuf-monitor --play "$tmp/in" 2>"$tmp/log" | head -n 1 >"$tmp/out"
lines "a reader that ends early" 0

# --- usage ---

monitor "--count without a number" 125 --count some
monitor "--channel of no such kind" 125 --channel up
monitor "a recording, and a command" 125 --play "$rec" -- true
monitor "unknown option" 125 --unknown
monitor "help" 0 --help

# Where the driver is, that is no error.
iio-dmabuf-monitor --quiet --record "$tmp/live" -- touch "$tmp/run" \
	2>"$tmp/log"
status=$?
if [ $status -eq 0 ] && [ -e "$tmp/run" ]; then
	result 0 "no driver # SKIP it is loaded"
else
	[ $status -eq 123 ] && [ "$(wc -l <"$tmp/log")" -eq 1 ] &&
		[ ! -e "$tmp/run" ] && [ ! -e "$tmp/live" ]
	result $? "no driver: it says so, and does nothing"
fi

echo "1..$tests"
[ $failed -eq 0 ]

#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# Tests vmrun, found in PATH, on shell scripts that end in the ways a VM does.
# As in QEMU, stdout is the KTAP port and stderr the console.

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
		sed 's/^/# /' "$tmp/out" "$tmp/err" 2>/dev/null
		echo "not ok $tests $2"
	fi
}

# A fake QEMU is a shell script on stdin. It ignores the arguments that vmrun
# appends.
guest()
{
	{ echo '#!/bin/sh'; cat; } >"$tmp/qemu"
	chmod +x "$tmp/qemu"
}

# run NAME STATUS [OPTION]...
run()
{
	name=$1 want=$2
	shift 2
	status=0
	vmrun --ktap "$tmp/ktap" --console "$tmp/console" "$@" -- "$tmp/qemu" \
		>"$tmp/out" 2>"$tmp/err" || status=$?
	[ $status -eq "$want" ]
	result $? "$name"
}

# has NAME FILE LINE
has()
{
	grep -q -x -F -e "$3" "$tmp/$2"
	result $? "$1"
}

# ended NAME PIDFILE: that process has, or is about to
ended()
{
	n=0
	while [ -d "/proc/$(cat "$tmp/$2")" ] && [ $n -lt 50 ]; do
		sleep 0.1
		n=$((n + 1))
	done
	[ -s "$tmp/$2" ] && [ $n -lt 50 ]
	result $? "$1"
}

# An orphan is reaped by a PID 1 that may take its time, or never do it.
gone()
{
	n=0
	while grep -q '^State:[^Z]*$' "/proc/$(cat "$tmp/$2")/status" \
	      2>/dev/null && [ $n -lt 50 ]; do
		sleep 0.1
		n=$((n + 1))
	done
	[ -s "$tmp/$2" ] && [ $n -lt 50 ]
	result $? "$1"
}

guest <<'QEMU'
printf 'Booting\r\n' >&2
printf '# vm: up\r\n# selftests: iio: abi\r\nok 1 selftests: iio: abi\r\n'
printf '# vm: done 0\r\n'
QEMU
run "a good end" 0
printf '# vm: up\n# selftests: iio: abi\nok 1 selftests: iio: abi\n# vm: done 0\n' |
	cmp -s - "$tmp/ktap"
result $? "KTAP is recorded without carriage returns"
cmp -s "$tmp/out" "$tmp/ktap"
result $? "KTAP is echoed"
has "console is recorded" console Booting
[ ! -s "$tmp/err" ]
result $? "a good end says nothing"

run "--quiet" 0 --quiet
[ ! -s "$tmp/out" ]
result $? "--quiet echoes nothing"

for pair in 1:1 4:1 5:1 7:7 300:1; do
	guest <<-QEMU
	echo '# vm: up'; echo '# vm: done ${pair%:*}'
	QEMU
	run "the guest's status ${pair%:*} is ${pair#*:}" "${pair#*:}"
done

guest <<'QEMU'
i=0
while [ $i -lt 20 ]; do echo "console $i" >&2; i=$((i + 1)); done
echo '# vm: up'
echo '# selftests: iio: attach'
echo '# #  RUN           dmabuf.in.twice ...'
printf '# # half a li'
exit 1
QEMU
run "death" 3
has "death names the test" err \
	"VM died while running iio:attach dmabuf.in.twice; tail of its console ($tmp/console):"
has "death shows the end of the console" err "  console 19"
[ "$(grep -c '^  console' "$tmp/err")" -eq 15 ]
result $? "death shows 15 lines"
has "death is in the record" ktap "# vm: died while running iio:attach dmabuf.in.twice"

guest <<'QEMU'
echo '# vm: up'
echo '#  RUN           abi.size ...'
kill -9 $$
QEMU
run "death by signal, program without a runner" 3
has "its test is named" ktap "# vm: died while running abi.size"

guest <<'QEMU'
echo '# vm: up'
echo '# selftests: iio: abi'
echo '# #  RUN           abi.size ...'
echo '# ok 1 abi.size'
echo 'ok 1 selftests: iio: abi'
QEMU
run "death between programs" 3
has "the program before it is named" ktap "# vm: died after iio:abi abi.size"

guest <<'QEMU'
echo '# vm: up'
echo '# # vm: done 0'
echo '# vm: done it'
QEMU
run "only init can say that it is done" 3
has "death before any test" ktap "# vm: died before its first test"

guest <<'QEMU'
echo 'Oops: int3' >&2
QEMU
run "no boot" 5
has "no boot is reported" ktap "# vm: died before its init ran"

guest <<'QEMU'
exec sleep 60
QEMU
run "hang before init" 5 --idle 1

guest <<QEMU
echo \$\$ >"$tmp/pid"
echo '# vm: up'
echo '# selftests: iio: fence'
sleep 60 &
echo \$! >"$tmp/child"
exec sleep 60
QEMU
run "silence" 4 --idle 1
has "silence names the test" ktap "# vm: hung while running iio:fence"
ended "silent QEMU is killed" pid
gone "and what it started" child

guest <<'QEMU'
echo '# vm: up'
while :; do echo tick >&2; sleep 0.2; done
QEMU
run "time-out, noise on the console" 4 --timeout 2 --idle 1
[ "$(grep -c tick "$tmp/console")" -ge 5 ]
result $? "console counts against silence"

guest <<'QEMU'
echo '# vm: up'
echo '# vm: done 0'
exec sleep 60
QEMU
run "no power-off" 4 --idle 1
has "no power-off is reported" ktap "# vm: hung after its last test"

guest <<'QEMU'
echo '# vm: up'
sleep 60 &
echo '# vm: done 0'
QEMU
run "a child that holds the ports open does not matter" 0 --idle 5

guest <<'QEMU'
echo '# vm: up'
i=0
while [ $i -lt 20000 ]; do echo "a line of some length, number $i"; i=$((i + 1)); done
head -c 100000 /dev/zero
echo
echo '# vm: done 0'
QEMU
run "a lot of output" 0
has "to its last line" ktap "a line of some length, number 19999"

for signal in INT:130 TERM:143 HUP:129; do
	guest <<-QEMU
	echo \$\$ >"$tmp/pid"
	echo '# vm: up'
	exec sleep 60
	QEMU
	# Or the "up" of the VM before would do.
	rm -f "$tmp/pid" "$tmp/out"
	# A shell without job control lets background jobs ignore SIGINT.
	env --default-signal=INT vmrun --ktap "$tmp/ktap" \
		--console "$tmp/console" -- "$tmp/qemu" >"$tmp/out" 2>"$tmp/err" &
	vmrun=$!
	until grep -qs up "$tmp/out"; do sleep 0.1; done
	kill -s "${signal%:*}" $vmrun
	status=0
	wait $vmrun || status=$?
	[ $status -eq "${signal#*:}" ]
	result $? "SIG${signal%:*}"
	ended "QEMU is killed by then" pid
done

rm -f "$tmp/pid" "$tmp/out"
vmrun --ktap "$tmp/ktap" --console "$tmp/console" -- "$tmp/qemu" \
	>"$tmp/out" 2>"$tmp/err" &
vmrun=$!
until grep -qs up "$tmp/out"; do sleep 0.1; done
kill -s KILL $vmrun
wait $vmrun 2>/dev/null
gone "QEMU does not outlive a vmrun that was killed" pid

status=0
vmrun --ktap "$tmp/none/ktap" --console "$tmp/console" -- "$tmp/qemu" \
	>"$tmp/out" 2>"$tmp/err" || status=$?
[ $status -eq 2 ] && [ "$(wc -l <"$tmp/err")" -eq 1 ]
result $? "a file that cannot be written"

guest <<QEMU
echo \$\$ >"$tmp/pid"
echo '# vm: up'
exec sleep 60
QEMU
status=0
vmrun --ktap /dev/full --console "$tmp/console" -- "$tmp/qemu" \
	>"$tmp/out" 2>"$tmp/err" || status=$?
[ $status -eq 2 ] && [ "$(wc -l <"$tmp/err")" -eq 1 ]
result $? "a full disk"
ended "QEMU is killed then" pid

guest <<'QEMU'
echo 'qemu: bad option' >&2
exit 1
QEMU
run "QEMU fails to start" 2
has "and says why" err "  qemu: bad option"

rm "$tmp/qemu"
run "no such QEMU" 2
has "no such QEMU is reported" err \
	"  vmrun: cannot run $tmp/qemu: No such file or directory"

for bad in "" "--ktap k" "--idle 0 --ktap k --console c -- true" "--nonsense"; do
	status=0
	# shellcheck disable=SC2086 # a list of words
	vmrun $bad >"$tmp/out" 2>"$tmp/err" || status=$?
	[ $status -eq 2 ]
	result $? "bad command line: vmrun $bad"
done

echo "1..$tests"
[ $failed -eq 0 ]

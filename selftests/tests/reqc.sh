#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# Unit test of the requirement compiler: reqc.sh PATH-OF-REQC
#
# Each bad catalogue is the good one with one thing changed; what reqc says
# about it is compared in full.

PLAN=70

reqc=${1:?usage: reqc.sh PATH-OF-REQC}
case $reqc in
/*) ;;
*) reqc=$PWD/$reqc ;;
esac

dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
trap 'exit 1' HUP INT TERM
cd "$dir" || exit 1

count=0
failed=0

# result NAME STATUS: status 0 is a pass
result()
{
	count=$((count + 1))
	if [ "$2" -eq 0 ]; then
		echo "ok $count $1"
	else
		echo "not ok $count $1"
		echo "# exit status $status, stdout and stderr:"
		sed 's/^/# /' stdout stderr
		failed=$((failed + 1))
	fi
}

# run ARGS: reqc, with its exit status in $status
run()
{
	"$reqc" "$@" >stdout 2>stderr
	status=$?
}

# refused MESSAGE...: exit status 1, these lines on stderr, nothing on stdout
refused()
{
	printf '%s\n' "$@" >expected
	[ "$status" -eq 1 ] && [ ! -s stdout ] && cmp -s expected stderr
}

# said LINE: exit status 0, this line on stdout, nothing on stderr
said()
{
	[ "$status" -eq 0 ] && [ ! -s stderr ] && grep -qxF -- "$1" stdout
}

# bad NAME SED-SCRIPT MESSAGE...
bad()
{
	name=$1
	sed "$2" good.yaml >bad.yaml
	shift 2
	cmp -s good.yaml bad.yaml && echo "# $name: nothing was changed"
	run bad.yaml
	refused "$@"
	result "$name" $?
}

# good NAME LINE
good()
{
	run good.yaml
	said "$2"
	result "$1" $?
}

# cited_good NAME LIST MESSAGE, cited_bad NAME LIST MESSAGE...
cited_good()
{
	printf '%b' "$2" >list
	run --cited good.yaml list
	said "$3"
	result "$1" $?
}

cited_bad()
{
	name=$1
	printf '%b' "$2" >list
	shift 2
	run --cited good.yaml list
	refused "$@"
	result "$name" $?
}

cat >good.yaml <<'END'
# A comment
defects:
  - id: B1
    title: "A \"quoted\" title"
    first: "6.11"
    fixed: ""
    reference: "back\\slash"
  - id: B1b
    title: "Another"
    first: "5.16"
    fixed: "6.13"
    reference: "there"
requirements:
  - id: ATT-05
    level: MUST
    statement: >-
      The first line
      and the second.
    authority: "CODE"
    capability: ANY
    destructive: false
    defects: [B1, B1b]
    why: "Reason."
    breaks: "Mistake."
    how: "Method."
  - id: ATT-06
    level: SHOULD
    statement: "Plain."
    authority: "CODE"
    capability: FI
    destructive: false
    defects: []
    why: "Reason."
    breaks: "Mistake."
    how: "Method."
  - id: ENQ-30
    level: MAY
    statement: "Rule."
    authority: "CODE"
    capability: ANY
    destructive: false
    defects: []
    why: "Reason."
    breaks: "Mistake."
    untested: "a rule"
  - id: ENQ-31
    level: MAY
    statement: "Oops."
    authority: "CODE"
    capability: OUT
    destructive: true
    defects: []
    why: "Reason."
    breaks: "Mistake."
    how: "Method."
groups:
  - id: ATT
    title: "Attach"
    description: "What may be attached."
  - id: ENQ
    title: "Enqueue"
    description: "What may be enqueued."
END
tab=$(printf '\t\t')

echo "TAP version 13"
echo "1..$PLAN"

good compiles_id "$tab.id = \"ATT-05\","
good compiles_folded_text "$tab.statement = \"The first line and the second.\","
good compiles_quotes "$tab.title = \"A \\\"quoted\\\" title\","
good compiles_backslash "$tab.reference = \"back\\\\slash\","
good compiles_first "$tab.first = KERNEL_VERSION(5, 16, 0),"
good compiles_fixed "$tab.fixed = KERNEL_VERSION(6, 13, 0),"
good compiles_defects "$tab.defects = (const char * const []){ \"B1\", \"B1b\", NULL },"
good compiles_no_defects "$tab.defects = (const char * const []){ NULL },"
good compiles_destructive "$tab.destructive = true,"
good compiles_breaks "$tab.breaks = \"Mistake.\","
good compiles_count "const size_t nr_requirements = 4;"

bad unknown_key '19i\    auhtor: x' "bad.yaml:19: unknown key 'auhtor'"
bad unknown_table '2i others: []' "bad.yaml:2: unknown key 'others'"
bad missing_key '31d' "bad.yaml:26: missing key 'destructive'"
bad missing_why '33d' "bad.yaml:26: missing key 'why'"
bad missing_breaks '34d' "bad.yaml:26: missing key 'breaks'"
bad missing_how '35d' "bad.yaml:26: neither 'how' nor 'untested'"
bad missing_fixed '6d' "bad.yaml:3: missing key 'fixed'"
bad missing_table '2,12d' \
	"bad.yaml:2: missing key 'defects'" \
	"bad.yaml:11: unknown defect 'B1'" "bad.yaml:11: unknown defect 'B1b'"
bad key_twice '15p' "bad.yaml:16: key 'level' stands twice"
bad empty_value '28s/".*"/""/' "bad.yaml:28: bad statement ''"
bad empty_reason '45s/".*"/""/' "bad.yaml:45: bad untested ''" \
	"bad.yaml:36: neither 'how' nor 'untested'"
bad duplicate_id 's/ATT-06/ATT-05/' "bad.yaml:26: duplicate id 'ATT-05'"
bad duplicate_defect '8s/B1b/B1/; 22s/, B1b//' "bad.yaml:8: duplicate id 'B1'"
bad bad_level 's/SHOULD/SHALL/' "bad.yaml:27: bad level 'SHALL'"
bad bad_capability 's/FI/FIX/' "bad.yaml:30: bad capability 'FIX'"
bad bad_destructive 's/true/yes/' "bad.yaml:51: bad destructive 'yes'"
bad bad_first 's/6\.11/6/' "bad.yaml:5: bad first '6'"
bad empty_first '5s/".*"/""/' "bad.yaml:5: bad first ''"
bad bad_fixed 's/6\.13/6.13-rc1/' "bad.yaml:11: bad fixed '6.13-rc1'"
bad unknown_defect 's/\[B1, B1b\]/[B1, B2]/' "bad.yaml:22: unknown defect 'B2'"
bad malformed_id 's/ATT-06/ATT-6/' "bad.yaml:26: bad id 'ATT-6'"
bad malformed_defect 's/- id: B1$/- id: bug/; s/\[B1, B1b\]/[]/' \
	"bad.yaml:3: bad id 'bug'"
bad unknown_group 's/ATT-06/DET-06/' "bad.yaml:26: 'DET-06' is of no known group"
bad duplicate_group '60s/ENQ/ATT/' "bad.yaml:60: duplicate id 'ATT'" \
	"bad.yaml:36: 'ENQ-30' is of no known group" \
	"bad.yaml:46: 'ENQ-31' is of no known group"
bad group_without_title '58d' "bad.yaml:57: missing key 'title'"
bad list_expected 's/\[B1, B1b\]/B1/' "bad.yaml:22: defects is not a list"
bad scalar_expected 's/FI/[FI]/' "bad.yaml:30: capability is not a scalar"
bad not_a_mapping '26i\  - text' "bad.yaml:26: not a mapping"
bad empty_file '1!d' "bad.yaml:1: empty"
bad syntax '4s/$/ trailing/' "bad.yaml:4: did not find expected key"

all='att.att.a ATT-05 ATT-06\n\nenq.enq.a ENQ-31\n'
ok="4 requirements: 3 tested, 1 with a reason"

cited_good everything_cited "$all" "$ok"
cited_good about_something_else "${all}own.own.a -\n" "$ok"
run --cited good.yaml <list
said "$ok"
result list_on_stdin $?
cited_bad cites_unknown "${all}att.att.b ATT-05 ATT-99\n" \
	"list:4: test 'att.b' cites unknown id 'ATT-99'"
cited_bad test_twice "${all}enq.att.a ENQ-31\n" \
	"list:4: test 'att.a' stands twice, in att and in enq"
cited_bad cites_nothing "${all}att.att.b\n" "list:4: test 'att.b' cites no id"
cited_bad no_program "${all}att.b ATT-05\n" \
	"list:4: 'att.b' is not PROGRAM.FIXTURE.TEST"
cited_bad untested_and_tested "${all}enq.enq.b ENQ-30\n" \
	"good.yaml:45: untested 'ENQ-30' is tested by 'enq.b'"
cited_bad uncited 'att.att.b ATT-06\n' "good.yaml:14: no test cites 'ATT-05'" \
	"good.yaml:46: no test cites 'ENQ-31'"

mkdir pages
touch pages/B1.rst pages/B1b.rst pages/index.rst
printf '%b' "$all" >list
run --cited --pages pages good.yaml list
said "$ok"
result pages_of_all_defects $?
rm pages/B1.rst
touch pages/B2.rst
run --cited --pages pages good.yaml list
refused "good.yaml:3: defect 'B1' has no page pages/B1.rst" \
	"pages/B2.rst: there is no defect 'B2'"
result page_missing_and_left_over $?

# spec_line NAME LINE [LIST]: --spec has this line
spec_line()
{
	printf '%b' "${3:-}" >list
	run --spec good.yaml list
	said "$2"
	result "$1" $?
}

# The catalogue with a text full of what would be markup
# shellcheck disable=SC2016 # no expansion
sed '28s/".*"/"A *star*, a `tick`, a|b, one_ and two_three."/' good.yaml >markup.yaml

spec_line spec_has_group "ATT: Attach"
spec_line spec_has_requirement "ATT-05"
spec_line spec_has_statement "**MUST**: The first line and the second."
spec_line spec_counts "ATT         1      1      0      2        0"
spec_line spec_counts_all "total       1      1      2      4        1"
spec_line spec_names_tests ":Tests: att: \`\`att.a\`\`, \`\`att.b\`\`; enq: \`\`enq.a\`\`" \
	'att.att.a ATT-05\natt.att.b ATT-05\nenq.enq.a ATT-05\n'
spec_line spec_gives_reason ":Not tested: a rule"
spec_line spec_says_destructive ":Needs: an output buffer (destructive: a kernel that breaks the rule may go down"
run --spec good.yaml
# shellcheck disable=SC2016 # no expansion
said ':Known defects: `B1 <defects/B1.rst>`__: A "quoted" title (Linux 6.11 and'
result spec_without_list $?
run --spec markup.yaml
# shellcheck disable=SC2016 # no expansion
said '**SHOULD**: A \*star\*, a \`tick\`, a\|b, one\_ and two_three.'
result spec_escapes_markup $?
printf 'att.att.a ATT-99\n' >list
run --spec good.yaml list
refused "list:1: test 'att.a' cites unknown id 'ATT-99'"
result spec_refuses_bad_list $?
run --spec good.yaml
grep -x 'ENQ-3.' stdout >ids
[ "$(tr '\n' ' ' <ids)" = "ENQ-30 ENQ-31 " ]
result spec_sorts_by_id $?

# explained NAME ID FILE: --explain prints just this
explained()
{
	printf 'att.att.a ATT-05\natt.att.b ATT-05\n' >list
	run --explain "$2" good.yaml list
	[ "$status" -eq 0 ] && [ ! -s stderr ] && cmp -s "$3" stdout
	result "$1" $?
}

cat >expected-requirement <<'END'
ATT-05 (MUST)

The first line and the second.

Why it matters
    Reason.

Source
    CODE

What usually breaks it
    Mistake.

How it is tested
    Method.

What a test needs
    any buffer that takes DMABUFs

Tests
    att: att.a
    att: att.b

Known defects
    B1: A "quoted" title (Linux 6.11 and later)
    B1b: Another (from Linux 5.16 on, fixed in 6.13)
END
cat >expected-defect <<'END'
B1b (defect of the kernel)

Another

Kernels
    from Linux 5.16 on, fixed in 6.13

Where
    there

Requirements that it breaks
    ATT-05: The first line and the second.

More
    Documentation/defects/B1b.rst
END

explained explains_requirement ATT-05 expected-requirement
explained explains_any_case att-05 expected-requirement
explained explains_defect B1b expected-defect
run --explain ENQ-3 good.yaml
refused "reqc: there is no 'ENQ-3'; the nearest are ENQ-30, ENQ-31, ATT-05"
result explain_unknown $?
run --explain ENQ-31 good.yaml
said "    Destructive: a kernel that breaks the rule may go down or keep the device"
result explain_without_list $?
run --explain ENQ-30 good.yaml
said "Why there is no test"
result explain_gives_reason $?

if [ "$count" -ne "$PLAN" ]; then
	echo "# planned $PLAN tests, ran $count"
	failed=$((failed + 1))
fi

[ "$failed" -eq 0 ]

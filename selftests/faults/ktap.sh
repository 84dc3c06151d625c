#!/bin/sh
# A test program whose output is wrong, started as `ktap -r NAME`; see vm/faults.toml.
name=$2
plan=1..1 result="ok 1 $name" status=0
case "$name" in
passes) ;;
fails_but_exits_0) result="not ok 1 $name" ;;
passes_but_exits_1) status=1 ;;
passes_but_is_killed) status=KILL ;;
unknown_directive) result="ok 1 $name # MAYBE later" ;;
todo) result="ok 1 $name # TODO later" ;;
bails_out) result="Bail out! no memory
ok 1 $name" ;;
no_plan) plan= ;;
plan_of_two) plan=1..2 ;;
no_result) result= ;;
another_test) result="ok 1 another" ;;
runs_another) name=another result="ok 1 another" ;;
nul) result='ok 1 n\0ul' ;;
nul_elsewhere) result="\0\0\n\0\nok 1 $name" ;;
invalid_bytes) result='ok 1 invalid\377bytes' ;;
garbage) plan='\001\377\200\0' result="ok ok ok 1 1..1 $name" ;;
nothing) exit 0 ;;
esac
printf "TAP version 13\n$plan\n#  RUN           %s ...\n$result\n" "$name"
case "$status" in
KILL) kill -KILL $$ ;;
*) exit "$status" ;;
esac

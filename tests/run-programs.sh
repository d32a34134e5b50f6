#!/bin/sh
# Runs each test program given, as many at once as there are processors, each one's output in one piece; says at the end how
# many passed. Fails if one does.
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export work TEST_WRAPPER
printf '%s\n' "$@" | xargs -P "$(nproc)" -I PROGRAM sh -c '
    log=$(mktemp "$work/XXXXXX")
    if $TEST_WRAPPER "$1" >"$log" 2>&1; then result=passed; else result=failed; fi
    exec 9>"$work/lock"
    flock 9
    cat "$log"
    echo "$1" >>"$work/$result"
    [ "$result" = passed ] || echo "FAILED: $1" >&2' sh PROGRAM
count() { if [ -f "$work/$1" ]; then wc -l <"$work/$1"; else echo 0; fi; }
passed=$(count passed) failed=$(count failed)
echo "test programs: $passed passed, $failed failed"
[ "$failed" -eq 0 ] && [ "$passed" -eq $# ]

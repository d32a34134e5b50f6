#!/bin/sh
# Runs each test program given; says at the end how many passed. Fails if one does.
passed=0 failed=0
for program in "$@"; do
    if $TEST_WRAPPER "$program"; then passed=$((passed + 1)); else
        failed=$((failed + 1))
        echo "FAILED: $program" >&2
    fi
done
echo "test programs: $passed passed, $failed failed"
[ "$failed" -eq 0 ]

#!/bin/sh
# What `make test` runs where there is no python3: the unit tests and the corpora, with sanitizers.
# Closes with "N passed, N failed" like the whole.
set -u
cd "$(dirname "$0")/.."
echo "no python3 here: the contract tests and tidy are passed over"
make -s VARIANT=asan unit replay || exit 1
passed=0 failed=0
count() {
    line=$("$@" 2>&1 | tee /dev/stderr | tail -n 1)
    case $line in
    *" passed, "*" failed")
        passed=$((passed + ${line%% passed*}))
        n=${line#* passed, }
        failed=$((failed + ${n%% failed}))
        ;;
    *) failed=$((failed + 1)) ;;
    esac
}
for program in build/asan/tests/test_*; do
    case $program in *.*) ;; *) count "$program" ;; esac
done
for corpus in tests/corpus/*; do
    count "build/asan/tests/replay_${corpus##*/}" "$corpus"
done
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]

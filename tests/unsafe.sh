#!/usr/bin/env bash
# The unsafe code, which lives in the kernels and the arena, under two checkers:
#
#   tests/unsafe.sh [asan|valgrind]        both, if none is named
#
# AddressSanitizer (the stable compiler's, switched on by RUSTC_BOOTSTRAP) sees
# every load and store of every variant that this processor has. Valgrind also
# sees reads of memory that was never written; it knows no AVX-512, so under it
# the kernels choose AVX2, which is then the variant that is checked.
# Ends with a status other than 0 at the first error.
#
# SPECK_FUZZ_CASES is how many shapes a random test tries, here 40 if it is not set:
# a checker makes a case ten to a hundred times as slow. What the dependencies compute
# is not checked, so they are compiled without optimization, which is most of the time.
set -euo pipefail
cd "$(dirname "$0")/.."
host=$(rustc -vV | sed -n 's/^host: //p')
which=${1:-both}
export SPECK_FUZZ_CASES=${SPECK_FUZZ_CASES:-40}
quick=(--config 'profile.dev.package."*".opt-level=0' --config 'profile.dev.debug="line-tables-only"')

if [[ $which == asan || $which == both ]]; then (
    export RUSTC_BOOTSTRAP=1 RUSTFLAGS=-Zsanitizer=address CARGO_INCREMENTAL=0
    # Leaks are safe, and what threads hold that live as long as their process looks like
    # one (kernels/src/team.rs).
    export ASAN_OPTIONS=detect_leaks=0
    export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-target}/asan
    cargo test "${quick[@]}" --locked --target "$host" -p speck-kernels --lib --test fuzz
    cargo test "${quick[@]}" --locked --target "$host" -p speck-engine \
        --test registry --test rules --test programs --test structure
) fi

if [[ $which == valgrind || $which == both ]]; then
    if ! command -v valgrind >/dev/null; then
        echo "valgrind is missing: install the package of that name" >&2
        exit 1
    fi
    # The random shapes of every kernel, and every op in a program, which is what uses the
    # arena. The kernels' own tests have shapes that take hours under valgrind. The test
    # binaries are on the lines of cargo's that name them.
    for tests in "-p speck-kernels --test fuzz" "-p speck-engine --test registry"; do
        # shellcheck disable=SC2086
        cargo test --locked $tests --no-run 2>&1 |
            sed -n 's/^ *Executable .*(\(.*\))$/\1/p' |
            while read -r binary; do
                valgrind --quiet --error-exitcode=1 "$binary" --test-threads 1 </dev/null
            done
    done
fi

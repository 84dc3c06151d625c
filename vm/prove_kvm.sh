#!/bin/sh
# In the host of prove_kvm.py: sh prove_kvm.sh CACHE PYTHON BENCHMARK
#
# Tests pass under KVM, the benchmark measures time, and guests that are lost are named
# as they are without KVM. What the harness writes to CACHE goes with the host.
cache=$1 python=$2 benchmark=$3
main=$(dirname "$0")/__main__.py
mkdir -p /run/cache/upper /run/cache/work
mount -t overlay -o "lowerdir=$cache,upperdir=/run/cache/upper,workdir=/run/cache/work" \
	overlay "$cache" || exit
status=0
run() {
	echo "\$ ./run_tests.py --require-kvm $*"
	"$python" -I "$main" --cache "$cache" --require-kvm "$@"
	code=$?
	echo "exit status $code"
	test $code = 0 || status=1
}
# One CPU: with two of them on the one of this host, a guest takes minutes to boot.
hooks=$(dirname "$main")/../selftests/hooks
run --cpus 1 -n 0 "$hooks/typed.c" "$hooks/static_key.c"
run --cpus 1 --faults --command 'PANIC sleeps'
run --cpus 1 --shell --command "$benchmark nanoseconds hit"
exit $status

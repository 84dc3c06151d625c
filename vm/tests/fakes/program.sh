# A test program of the tests: $tests are its tests; what each does is its last part.
name=$2 what=${2##*.} status=0
if [ "$1" = -l ]; then
    exec >&2
    echo "# FIXTURE            VARIANT                   TEST"
    for test in $tests; do
        rest=${test#*.}
        printf '%-20s %-25s %s\n' "${test%%.*}" "${rest%.*}" "${rest#*.}"
    done
    exit 4
fi
recorded=passes
case "$what" in
fails) recorded=fails status=1 ;;
needs) # the hooks: of the second patch
    if ! grep -q second "$PROJECT"/cache/trees/*/linux/map.c; then
        recorded=fails status=1
        echo "libbpf: prog 'p': failed to find kernel BTF type ID of" \
            "'bpf_map_trace_update_elem': -ESRCH"
    fi ;;
skips | crashes) recorded=$what ;;
splats) # with a trace that can be decoded
    for line in "WARNING: at map.c" " map+0x1/0x2" "BUG: sleeping function"; do
        echo "$line" > "$CONSOLE"
    done ;;
fills) ln -s /dev/full "$PROJECT/guest/two" ;;
taints) echo $((4096 + 512)) > "$PROJECT/tainted" ;;
accounts)
    echo "# update: issued ${STRESS_SECONDS%.*}1 fired 7 missed 1 difference -2"
    echo "# mirror: updated 3 deleted 2 evicted 1 skipped 4 differences 0"
    ;;
once) # panics, but not again
    [ -e "$PROJECT/guest/did" ] || {
        touch "$PROJECT/guest/did"
        echo "Kernel panic - not syncing: once" > "$CONSOLE"; kill -9 "$VNG"
    } ;;
panics) # with a trace, too
    printf '%s\n' "Kernel panic - not syncing: no way out" " map+0x1/0x2" > "$CONSOLE"
    kill -9 "$VNG" ;;
kills) # the harness's process whose child the guest is
    kill -9 "$(ps -o ppid= -p "$VNG")"; sleep 5 ;;
interrupts) kill -INT "$(cat "$PROJECT/harness")" ; sleep 5 ;;
sleeps) sleep 5 ;;
waits) # not longer than its guest lives
    until [ -e "$PROJECT/guest/go" ] || ! kill -0 "$VNG" 2> /dev/null; do sleep 0.05; done ;;
esac
# Not sed, whose start takes as long as all of this.
while IFS= read -r line; do
    case "$line" in
    *map.hash.$recorded*) line=${line%%map.hash.$recorded*}$name${line#*map.hash.$recorded} ;;
    *[!a-z]$recorded:*) line=${line%%$recorded:*}$what:${line#*$recorded:} ;;
    esac
    printf "%s\n" "$line"
done < "$data/ktap_$recorded.txt"
exit $status

# The benchmark of the tests: costs are 100 for an update and 60 for a deletion, 1000
# more by the system call, 10 more on the patched kernel, and 100 more with a program
# attached; half of that in nanoseconds. The project's `how` may say "SETUP MORE",
# or "SETUP MORE BOOT" for one boot only, or "error SETUP".
unit=$1 setup=$2
read -r first second third < "$PROJECT/how" || :
if [ "$first $second" = "error $setup" ]; then echo "error: $setup: no hook"; exit 1; fi
extra=0
[ "$first" != "$setup" ] || extra=$second
[ -z "$third" ] || [ "$third" = "$(grep -c '^vng ' "$PROJECT/asked")" ] || extra=0
cost() {
    [ "$unit" = nanoseconds ] && echo "figure $1 $(($2 / 2)).000" || echo "figure $1 $2.000"
}
if [ "$setup" = iterate ]; then
    cost "iterate array compare program" 200
    cost "iterate hash compare program" 200
    echo "done"
    exit
fi
case "$setup" in unattached | filtered | hit | fmod_ret | after) extra=$((extra + 10)) ;; esac
case "$setup" in unpatched | unattached) ;; *) extra=$((extra + 100)) ;; esac
for row in "array update 100" "hash update 100" "hash delete 60"; do
    set -- $row
    for path in program syscall; do
        name="$setup $1 $2 $path" more=$extra
        [ $path = program ] || more=$((extra + 1000))
        case "$setup $2 $path" in
        "kprobe_map_fn "*" syscall") echo "skipped $name" ;;
        "fentry_map_fn delete "*) echo "unavailable $name" ;;
        *) cost "$name" $(($3 + more)) ;;
        esac
    done
done
echo "done"

# A program of the kernel's own tests: what each test does is its name. bpf_testmod.ko
# has the source of the kernel that it was built for.
name=${0##*/} status=0
for name; do :; done
on=plain
! grep -q second bpf_testmod.ko || on=patched
case "$0" in
*/test_progs) ;;
*)
    name=${0##*/}
    echo "test_part:PASS"
    [ "$on" = plain ] || [ ! -e "$PROJECT/worse" ] || { echo "x.c(3):FAIL:no"; exit 1; }
    [ "$name" != test_lru_map ] || echo "test_sanity (map_type:9 map_flags:0x0): Pass"
    echo "$name: OK, 1 SKIPPED"
    exit ;;
esac
say() { echo "#1       $1:$2"; [ "$2" != FAIL ] || status=1; }
case "$name" in
passes | also_passes) say "$name" OK ;;
parts)
    say parts/one OK
    say parts/two SKIP
    say parts "OK (SKIP: 1/2)" ;;
skips) say skips SKIP ;;
fails)
    echo "test_fails:FAIL:open unexpected error: -2 (errno 2)"
    say fails FAIL
    echo "All error logs:"
    say fails FAIL ;;
worse | worse_part)
    [ $on = plain ] && result=OK || result=FAIL
    [ $name = worse ] || { say worse_part/one OK; say worse_part/two $result; }
    say $name $result ;;
better)
    [ $on = patched ] || echo "libbpf: failed to load: -22"
    [ $on = patched ] && { say better/hook OK; say better OK; } || say better FAIL ;;
gone) [ $on = plain ] && say gone OK || { echo "open: no"; exit 3; } ;;
crashes) echo "Caught signal #11!"; exit 139 ;;
lies) say lies OK; exit 1 ;;
splats) echo "WARNING: at map.c" > "$CONSOLE"; say splats OK ;;
panics_too)
    echo "Kernel panic - not syncing: no way out" > "$CONSOLE"; kill -9 "$VNG" ;;
panics)
    [ $on = plain ] || {
        echo "Kernel panic - not syncing: no way out" > "$CONSOLE"; kill -9 "$VNG"
    }
    say panics OK ;;
esac
exit $status

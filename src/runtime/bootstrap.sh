# Finds the host program on a host and becomes it; where it is absent, takes it from standard input first. Runs by any POSIX sh, as
# one line inside single quotes under any login shell: so no quote of that kind, no exclamation mark, no backslash, and each line
# must bear to be joined to the next by a blank. @WORDS@ are put in by bootstrap.rs, which reads what `say` says.
PATH=$PATH:/usr/local/bin:/usr/bin:/bin; set -f; n=@NONCE@;
say() { echo "$n $*"; };
# What comes with the command has this line before it: another shell that reads it instead ends there, and runs nothing of the rest.
[ @FIRST@ -eq 0 ] || { read -r x; [ "$x" = "exit #$n" ] || { say eaten; exit 1; }; };
pick() { case $1 in @PROGRAMS@ *) return 1;; esac; };
# Before it may run; only a host without sha256sum lets the program itself say, after a look at its length.
sum() { if command -v sha256sum >/dev/null 2>&1; then sha256sum <"$1"; else [ $(wc -c <"$1") -eq $l ] && "$1" --sha256 "$1"; fi 2>/dev/null; };
whole() { case $(sum "$1") in $s*) ;; *) return 1;; esac; };
runs() { "$1" --version </dev/null 2>&1 >/dev/null; };

# It is there on all but the first contact: then each process counts, and one ls tells both modes.
modes() { set -- $(cd "$1" && ls -ldn . "$2"); case $* in drwx--[-S]---*" -rwx------"*) ;; *) return 1;; esac; };
seek() { for x in "$@"; do for a in @SYSTEMS@; do pick "$a";
if [ -L "$x" ]; then :; elif [ -O "$x" ] && [ -O "$x/$f" ] && modes "$x" "$f" && whole "$x/$f" && e=$(runs "$x/$f"); then exec "$x/$f" serve $n; fi;
done; done; };
h=${HOME:-/nonexistent}; c=${XDG_CACHE_HOME:-$h/.cache}/landfall;
seek "$c" "$h/.local/lib/landfall";
u=$(id -u);
seek "@VAR@/lib/landfall/.bin-$u" "@VAR@/tmp/landfall-$u";

a=$(uname -sm); pick "$a" || { say foreign $a; exit 0; };
o=$(umask); umask 077; d=;
# Ours alone, and no link.
own() { set -- $(ls -ldn "$1" 2>/dev/null); k="$1, owner $3"; case $1.$3 in drwx--[-S]---*.$u) ;; *) return 1;; esac; };
# The folder above the one in /var is shared by all users.
make() { [ -d "$1" ] || { case $1 in @VAR@/*) umask 022;; esac; mkdir -p "${1%/*}"; umask 077; mkdir "$1"; }; };
try() { echo : >"$1" && chmod 700 "$1"; };
for x in "$c" "@VAR@/lib/landfall/.bin-$u" "$h/.local/lib/landfall" "@VAR@/tmp/landfall-$u"; do
case $x in /*) ;; *) say skip "$x: not an absolute path"; continue;; esac;
e=$(make "$x" 2>&1);
own "$x" || {
if [ -L "$x" ]; then say skip "$x: a symbolic link"; elif [ -e "$x" ]; then say skip "$x: not a folder of our own with mode 0700 ($k)";
else say skip "$x: cannot be made:" $e; fi;
continue; };
t=$x/.try.$$;
e=$(try "$t" 2>&1) || { rm -f "$t"; say skip "$x: cannot be written:" $e; continue; };
e=$("$t" 2>&1 </dev/null); r=$?; rm -f "$t";
[ $r -eq 0 ] || { say skip "$x: nothing executes there (mounted noexec?)"; continue; };
d=$x; break;
done;
[ -n "$d" ] || { say nowhere; exit 0; };

p=$d/$f; t=$d/.$f.$$; z=raw;
clean() { rm -f "$t"; }; trap clean 0; trap "exit 1" 1 2 13 15;
fail() { clean; say failed "$d:" $*; exit 1; };
unpack() { if [ $z = gzip ]; then head -c $g | gzip -dc; else head -c $l; fi >"$t"; };
command -v gzip >/dev/null 2>&1 && z=gzip;
# What came with the command was meant for the program.
[ @FIRST@ -eq 0 ] || head -c @FIRST@ >/dev/null;
say absent $z $a;
e=$(unpack 2>&1) || fail "the program cannot be stored:" $e;
[ $(wc -c <"$t") -eq $l ] || fail "the program did not arrive whole:" $e;
chmod 700 "$t"; whole "$t" || fail "what arrived is not what was sent";
e=$(runs "$t") || fail "the program does not run:" $e;
[ -d "$p" ] && fail "$f is a folder";
e=$(mv -f "$t" "$p" 2>&1) || fail "the program cannot be renamed:" $e;
# One version before this stays: a program in use is never replaced, and an older one can still be in use.
i=0; for x in $(ls -t "$d"); do case $x in $f) ;; host-*) i=$((i+1)); [ $i -lt 2 ] || rm -f "$d/$x";; esac; done;
find "$d" -name ".host-*" -mmin +60 -exec rm -f {} + 2>/dev/null;
trap - 0 1 2 13 15; umask $o; exec "$p" serve $n

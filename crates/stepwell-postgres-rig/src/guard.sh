# Waits until whoever made the directory $1 is gone or has closed our input, then ends the servers that live in it and
# removes it. Run by the makers themselves at their end, and by the next one for those that were left behind.
cat >/dev/null
place=$1

# A number in a file may by now belong to somebody else, so we look whose it is.
ours() {
    if [ -r "/proc/$1/cmdline" ]; then
        tr '\0' ' ' <"/proc/$1/cmdline"
    else
        ps -o args= -p "$1"
    fi 2>/dev/null | grep -qF -- "$place/"
}

for file in "$place"/*/postmaster.pid "$place"/*/bouncer.pid; do
    [ -f "$file" ] || continue
    pid=$(head -n 1 "$file")
    ours "$pid" || continue
    kill -QUIT "$pid" 2>/dev/null
    # One that was stopped would not hear it.
    kill -CONT "$pid" 2>/dev/null
    tries=0
    while ours "$pid" && [ "$tries" -lt 100 ]; do
        sleep 0.05
        tries=$((tries + 1))
    done
    ours "$pid" && kill -KILL "$pid" 2>/dev/null
done

# A server's last child may still be writing.
tries=0
until rm -rf -- "$place" 2>/dev/null || [ "$tries" -ge 100 ]; do
    sleep 0.05
    tries=$((tries + 1))
done
[ ! -e "$place" ]

# Ends the cluster whose state is in the folder $1, once standard input ends: when the harness closes it, or is gone
# in whatever way. Only processes that the harness recorded are ended: each is the first of a PID namespace, so the
# kernel ends all that runs in it, containers included, with it.
trap '' INT TERM HUP
cat >/dev/null
state=$1
name=${state##*/}

# A process is known by its id and its start: an id alone may have been given to another since.
runs() { [ "$(sed 's/.*) //' "/proc/$1/stat" 2>/dev/null | cut -d' ' -f20)" = "$2" ]; }

[ -e "$state/holders" ] || : >"$state/holders"
while read -r pid start; do
  runs "$pid" "$start" && kill -KILL "$pid"
done <"$state/holders"
while read -r pid start; do
  tries=0
  while runs "$pid" "$start" && [ $tries -lt 300 ]; do
    tries=$((tries + 1))
    sleep 0.05
  done
done <"$state/holders"

for root in /sys/fs/cgroup /sys/fs/cgroup/*; do
  tries=0
  # A cgroup can be removed a moment after its last process is gone.
  while [ -d "$root/$name" ] && [ $tries -lt 100 ]; do
    find "$root/$name" -depth -type d -exec rmdir {} \; 2>/dev/null
    tries=$((tries + 1))
    [ ! -d "$root/$name" ] || sleep 0.05
  done
done
rm -rf "$state"

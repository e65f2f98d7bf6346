#!/bin/sh
# `make run`: six nodes in two shards on this machine, until Ctrl-C. Each has a port of 127.0.0.1 to
# itself, 8082 to 8087; among themselves they speak on that + 10000.
# Others: PORTS="9001 9002" SHARD_COUNT=1 make run.
set -u
cd "$(dirname "$0")" || exit 1
[ -x ./kvs ] || make -s kvs || exit 1
PORTS=${PORTS:-8082 8083 8084 8085 8086 8087}
SHARD_COUNT=${SHARD_COUNT:-2}

view='' pids='' list='' first=''
for port in $PORTS; do
    view=$view${view:+,}127.0.0.1:$port
done

# Log lines go through a pipe with a name, so that $! is the node and not what prefixes its lines.
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
# Ctrl-C, or a kill of this script, ends the nodes; the script goes on to wait for them.
trap 'kill $pids 2>/dev/null' INT TERM HUP

for port in $PORTS; do
    mkfifo "$dir/$port" || exit 1
    while IFS= read -r line; do
        printf '%s | %s\n' "$port" "$line"
    done <"$dir/$port" &
    SOCKET_ADDRESS=127.0.0.1:$port VIEW=$view SHARD_COUNT=$SHARD_COUNT ./kvs >"$dir/$port" 2>&1 &
    pids="$pids $!"
    list="$list  127.0.0.1:$port is process $!
"
    last=$port first=${first:-$port}
done

sleep 1 # they have found each other by then, and said so
cat <<END

$list
Try, in another terminal:
  curl -X PUT localhost:$first/kvs/color -d '{"value":"red"}'
  curl localhost:$last/kvs/color
  curl localhost:$first/view
  curl localhost:$first/shard/ids
Kill one (kill -9 PROCESS) and go on asking the others. Ctrl-C here stops all.

END
wait # until all have ended by themselves, or Ctrl-C
wait # for those that Ctrl-C has just told to stop, to see their last words

#!/usr/bin/env bash
# A Slurm cluster of three nodes on this machine, for tests: munged, slurmctld and three slurmd, run as root,
# without systemd and without cgroups. All its files, its key and its socket lie in WORKDIR.
set -euo pipefail
PATH="$PATH:/usr/sbin:/sbin"

usage() {
  cat <<'END'
usage: slurm-cluster.sh start WORKDIR              start a cluster with the nodes n1, n2 and n3
       slurm-cluster.sh env WORKDIR                print the `export` lines with which sbatch and others find it
       slurm-cluster.sh kill-node WORKDIR NODE     SIGKILL its slurmd and all its jobs, as when a machine dies
       slurm-cluster.sh restart-node WORKDIR NODE  start its slurmd again
       slurm-cluster.sh stop WORKDIR               end all of it, jobs too; WORKDIR stays

The partition `debug` (the default) is not preempted; jobs in `preempt` are requeued when `debug` needs room.
END
}

nodes=(n1 n2 n3)
cpus_per_node=4 # more than the machine may have: three nodes share it

fail() {
  echo "slurm-cluster.sh: $*" >&2
  exit 1
}

# The processes of this cluster's daemons and jobs.

# Those that have FILE open. A slurmstepd keeps the log of its slurmd open.
pids_with_open_file() {
  local link pid last=""
  for link in /proc/[0-9]*/fd/*; do
    pid=${link#/proc/}
    pid=${pid%%/*}
    [ "$pid" != "$last" ] || continue
    if [ "$(readlink "$link" 2>/dev/null)" = "$1" ]; then
      echo "$pid"
      last=$pid
    fi
  done
}

# Given processes and everything below them, parents first.
with_descendants() {
  local -A children=()
  local stat pid ppid rest
  for stat in /proc/[0-9]*/stat; do
    rest=$(cat "$stat" 2>/dev/null) || continue
    pid=${rest%% *}
    rest=${rest##*) } # the command's name may hold anything
    rest=${rest#* }
    ppid=${rest%% *}
    children[$ppid]+=" $pid"
  done
  local -a queue=("$@")
  while [ "${#queue[@]}" -gt 0 ]; do
    pid=${queue[0]}
    echo "$pid"
    # shellcheck disable=SC2206  # a list of numbers
    queue=("${queue[@]:1}" ${children[$pid]:-})
  done
}

# Jobs that have lost their parent still have this in their environment.
pids_of_jobs() {
  local environ pid
  grep -lzxF "SLURMD_NODENAME=$1" /proc/[0-9]*/environ 2>/dev/null | while read -r environ; do
    grep -qzxF "SLURM_CONF=$workdir/slurm.conf" "$environ" 2>/dev/null || continue
    pid=${environ#/proc/}
    echo "${pid%%/*}"
  done || true
}

pids_of_node() {
  local -a daemons
  mapfile -t daemons < <(pids_with_open_file "$workdir/log/slurmd-$1.log")
  {
    [ "${#daemons[@]}" -eq 0 ] || with_descendants "${daemons[@]}"
    pids_of_jobs "$1"
  } | awk '!seen[$0]++'
}

kill_pids() {
  local pid
  for pid in "$@"; do
    [ "$pid" = "$$" ] || kill -KILL "$pid" 2>/dev/null || true
  done
}

kill_node() {
  local -a pids
  local attempt
  # More than once: a process may have started another while the list was made.
  for attempt in 1 2 3 4 5; do
    mapfile -t pids < <(pids_of_node "$1")
    [ "${#pids[@]}" -gt 0 ] || return 0
    kill_pids "${pids[@]}"
    sleep "0.$attempt"
  done
  mapfile -t pids < <(pids_of_node "$1")
  [ "${#pids[@]}" -eq 0 ] || fail "processes of $1 do not end: ${pids[*]}"
}

kill_holders() {
  local -a pids
  mapfile -t pids < <(pids_with_open_file "$1")
  [ "${#pids[@]}" -gt 0 ] || return 0
  mapfile -t pids < <(with_descendants "${pids[@]}")
  kill_pids "${pids[@]}"
}

# Starting.

port_is_free() {
  ! (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null
}

free_ports() {
  local base offset
  while true; do
    base=$((20000 + RANDOM % 10000))
    for offset in 0 1 2 3; do
      port_is_free $((base + offset)) || continue 2
    done
    echo "$base"
    return
  done
}

write_configuration() {
  local base host i
  base=$(free_ports)
  host=$(hostname -s)
  cat >"$workdir/slurm.conf" <<END
ClusterName=sidereal-test
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=$base
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
# How long a requeued job waits follows cred_expire.
AuthInfo=socket=$workdir/munge/socket,cred_expire=5
CredType=cred/munge
StateSaveLocation=$workdir/state
SlurmdSpoolDir=$workdir/spool/%n
SlurmctldPidFile=$workdir/run/slurmctld.pid
SlurmdPidFile=$workdir/run/slurmd-%n.pid
SlurmctldLogFile=$workdir/log/slurmctld.log
SlurmdLogFile=$workdir/log/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/none
MpiDefault=none
SwitchType=switch/none
SelectType=select/cons_tres
# CR_LLN: on the node with the least load, so that jobs spread.
SelectTypeParameters=CR_CPU,CR_LLN
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=5,bf_interval=5
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
JobRequeue=1
SlurmdParameters=config_overrides
ReturnToService=2
SlurmctldTimeout=10
SlurmdTimeout=10
MessageTimeout=5
BatchStartTimeout=10
KillWait=10
MinJobAge=600
UnkillableStepTimeout=60
GresTypes=gpu
END
  # A device that is always there: nothing opens it.
  echo "Name=gpu File=/dev/null" >"$workdir/gres.conf"
  for i in "${!nodes[@]}"; do
    echo "NodeName=${nodes[i]} NodeHostname=$host NodeAddr=127.0.0.1 Port=$((base + 1 + i)) CPUs=$cpus_per_node RealMemory=1000 Gres=gpu:1" \
      >>"$workdir/slurm.conf"
  done
  cat >>"$workdir/slurm.conf" <<END
PartitionName=debug Nodes=ALL Default=YES MaxTime=INFINITE State=UP PriorityTier=10 PreemptMode=OFF
PartitionName=preempt Nodes=ALL MaxTime=INFINITE State=UP PriorityTier=1 PreemptMode=REQUEUE
END
}

wait_for() {
  local what="$1" i
  shift
  for ((i = 0; i < 150; i++)); do
    ! "$@" >/dev/null 2>&1 || return 0
    sleep 0.2
  done
  tail -n 20 "$workdir"/log/*.log >&2 || true
  fail "$what did not come within 30 s"
}

start_slurmd() {
  setsid slurmd -D -f "$workdir/slurm.conf" -N "$1" </dev/null >>"$workdir/log/slurmd-$1.out" 2>&1 &
}

node_is_up() {
  case "$(sinfo -h -n "$1" -p debug -o %t)" in
    idle | mix | alloc | comp) return 0 ;;
    *) return 1 ;;
  esac
}

node_is_known() {
  local node
  for node in "${nodes[@]}"; do
    [ "$node" != "$1" ] || return 0
  done
  fail "there is no node $1; there are ${nodes[*]}"
}

start() {
  local program node
  for program in munged mungekey slurmctld slurmd sinfo; do
    command -v "$program" >/dev/null || fail "$program is not installed (tests/install-slurm.sh installs it)"
  done
  [ "$(id -u)" -eq 0 ] || fail "must run as root, as slurmd does"
  [ ! -e "$workdir/slurm.conf" ] || stop
  # munged wants directories that others can enter but not write.
  mkdir -p "$workdir"/{munge,state,spool,run,log}
  chmod 755 "$workdir/munge"
  chmod 700 "$workdir/state"
  for node in "${nodes[@]}"; do mkdir -p "$workdir/spool/$node"; done
  [ "$(printf %s "$workdir/munge/socket" | wc -c)" -lt 100 ] || fail "the path $workdir is too long for a socket"

  rm -rf "${workdir:?}/state"/* "$workdir/munge"/*
  mungekey --create --keyfile "$workdir/munge/key"
  write_configuration
  # --force: WORKDIR may lie in a directory that only root can enter.
  setsid munged --foreground --force --socket "$workdir/munge/socket" --key-file "$workdir/munge/key" \
    --pid-file "$workdir/munge/pid" --seed-file "$workdir/munge/seed" --num-threads 2 \
    </dev/null >"$workdir/log/munged.log" 2>&1 &
  wait_for "munged's socket" test -S "$workdir/munge/socket"
  setsid slurmctld -D -c -f "$workdir/slurm.conf" </dev/null >"$workdir/log/slurmctld.out" 2>&1 &
  wait_for "slurmctld's answer" sh -c 'scontrol ping | grep -q "is UP"'
  for node in "${nodes[@]}"; do start_slurmd "$node"; done
  for node in "${nodes[@]}"; do wait_for "node $node" node_is_up "$node"; done
}

stop() {
  local node
  kill_holders "$workdir/log/slurmctld.log"
  for node in "${nodes[@]}"; do kill_node "$node"; done
  kill_holders "$workdir/log/munged.log"
  rm -f "$workdir/slurm.conf"
}

case "${1:-}" in
  -h | --help)
    usage
    exit 0
    ;;
  start | stop | env | kill-node | restart-node) ;;
  *)
    usage >&2
    exit 2
    ;;
esac
verb=$1
n_arguments=2
case "$verb" in kill-node | restart-node) n_arguments=3 ;; esac
if [ $# -ne "$n_arguments" ]; then
  usage >&2
  exit 2
fi
workdir=$(realpath -m "$2")
case "$workdir" in *[[:space:]\"%\\#]*) fail "the path $workdir must be plain: Slurm's configuration knows no quoting" ;; esac
export SLURM_CONF="$workdir/slurm.conf"
[ "$verb" = start ] || [ -e "$SLURM_CONF" ] || [ "$verb" = stop ] || fail "no cluster runs in $workdir"

case "$verb" in
  start) start ;;
  stop) stop ;;
  env) printf 'export SLURM_CONF=%q\n' "$SLURM_CONF" ;;
  kill-node)
    node_is_known "$3"
    kill_node "$3"
    ;;
  restart-node)
    node_is_known "$3"
    [ -z "$(pids_of_node "$3")" ] || fail "$3 is running"
    start_slurmd "$3"
    wait_for "node $3" node_is_up "$3"
    ;;
esac

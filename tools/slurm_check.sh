#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Trains on four ranks that srun starts, under a Slurm of one node that lives in a temporary folder and ends with this
# script: the files must be those of one process, singletons must be refused, and a signal must end all with a whole
# checkpoint. Needs root, slurm-wlm and munge (tools/install.sh --ci) and a build; exit code 77 where Slurm is not there.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

for program in munged slurmctld slurmd srun; do
  PATH=$PATH:/usr/sbin command -v "$program" >/dev/null || { echo "slurm_check: $program is not installed"; exit 77; }
done
[[ $(id -u) -eq 0 ]] || { echo "slurm_check: the daemons need root"; exit 77; }
export PATH=$PATH:/usr/sbin
ito=$PWD/build/ito
[[ -x $ito && -f build/ito-mpi.so ]] || { echo "slurm_check: build/ito and build/ito-mpi.so are not there"; exit 1; }

place=$(mktemp -d)
stop() {
  local status=$? daemon pid
  for daemon in slurmd slurmctld munged; do
    [[ -s $place/$daemon.pid ]] || continue
    pid=$(cat "$place/$daemon.pid")
    kill "$pid" 2>/dev/null || true
    for _ in $(seq 100); do
      kill -0 "$pid" 2>/dev/null || break
      sleep 0.1
    done
  done
  [[ $status -eq 0 ]] || tail -n 20 "$place"/*.log 2>/dev/null || true
  sleep 0.2  # what a step's own daemon still writes
  rm -rf "$place" || true
  exit $status
}
trap stop EXIT
fail() { echo "slurm_check: $*"; exit 1; }

host=$(hostname -s)
port=$((20000 + $$ % 20000))
mkdir "$place/state" "$place/spool"
(umask 077 && head -c 1024 /dev/urandom >"$place/munge.key")
munged --force --key-file="$place/munge.key" --socket="$place/munge.socket" --pid-file="$place/munged.pid" \
  --log-file="$place/munged.log" --seed-file="$place/munge.seed"
# More tasks than cores are wanted, and no cgroups: a container may have none.
cat >"$place/slurm.conf" <<CONF
ClusterName=ito
SlurmctldHost=$host(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket=$place/munge.socket
SlurmctldPort=$port
SlurmdPort=$((port + 1))
StateSaveLocation=$place/state
SlurmdSpoolDir=$place/spool
SlurmctldPidFile=$place/slurmctld.pid
SlurmdPidFile=$place/slurmd.pid
SlurmctldLogFile=$place/slurmctld.log
SlurmdLogFile=$place/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
ReturnToService=2
KillWait=30
NodeName=$host NodeAddr=127.0.0.1 CPUs=$(nproc) State=UNKNOWN
PartitionName=all Nodes=$host Default=YES OverSubscribe=FORCE:8 MaxTime=INFINITE State=UP
CONF
export SLURM_CONF=$place/slurm.conf
slurmctld
slurmd
for _ in $(seq 100); do
  [[ $(sinfo --noheader --format=%T 2>/dev/null) == idle ]] && break
  sleep 0.2
done
[[ $(sinfo --noheader --format=%T) == idle ]] || fail "the node does not become idle: $(sinfo 2>&1)"

export OMP_NUM_THREADS=1 OMPI_MCA_mpi_yield_when_idle=1 OMPI_MCA_btl=self,vader
export OMPI_MCA_btl_vader_single_copy_mechanism=none
cd "$place"
train=("$ito" train --data fashion-mnist --model demo --batch 32 --warmup 2 --log-every 2 --checkpoint-every 3)
ranks=(srun --mpi=pmix -n 4 --overcommit --time=5)

"${train[@]}" --steps 6 --out alone >/dev/null 2>alone.txt || fail "one process: $(cat alone.txt)"
"${ranks[@]}" "${train[@]}" --steps 6 --out ranks >ranks.txt 2>&1 || fail "srun: $(cat ranks.txt)"
rm {alone,ranks}/{config.json,timings.jsonl}  # times, and options that are free
diff -r alone ranks || fail "four ranks by srun have other files than one process"
echo "slurm_check: four ranks by srun have the files of one process"

if srun --mpi=none -n 2 --overcommit "${train[@]}" --steps 6 --out singletons >singletons.txt 2>&1; then
  fail "singletons were not refused"
fi
grep -q "SLURM_NTASKS is 2, but srun gave this task no way to the others" singletons.txt || fail "$(cat singletons.txt)"
[[ ! -e singletons ]] || fail "singletons wrote"
echo "slurm_check: singletons are refused before anything is written"

"${ranks[@]}" --job-name=signalled "${train[@]}" --steps 100000 --out stopped >stopped.txt 2>&1 &
run=$!
for _ in $(seq 300); do
  [[ -e stopped/checkpoint-000003 ]] && break
  sleep 0.1
done
scancel --name=signalled --signal=TERM
status=0
wait $run || status=$?
[[ $status -eq 143 ]] || fail "a signalled run ended with $status: $(cat stopped.txt)"
grep -q "stopped by SIGTERM after step .* is whole" stopped.txt || fail "$(cat stopped.txt)"
compgen -G "stopped/*.partial*" && fail "a signalled run left files half written"
"$ito" inspect stopped >/dev/null || fail "the checkpoint of a signalled run cannot be read"
echo "slurm_check: SIGTERM ends all ranks with a whole checkpoint"

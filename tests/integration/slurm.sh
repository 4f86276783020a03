#!/usr/bin/env bash
# A Slurm of one node on loopback, for tests: slurm.sh start FOLDER, slurm.sh stop FOLDER. Needs root, slurm-wlm and munge.
# Commands find it by SLURM_CONF=FOLDER/slurm.conf.
set -euo pipefail
action=$1 folder=$(realpath "$2")
export SLURM_CONF=$folder/slurm.conf

stop() {
    for name in slurmd slurmctld munged; do
        if [ -s "$folder/$name.pid" ]; then kill "$(cat "$folder/$name.pid")" 2>/dev/null || true; fi
    done
}

[ "$action" = stop ] && { stop; exit 0; }

mkdir -p "$folder"/{state,spool,munge,log}
# Munge wants its folders and its key to be its own; commands find its socket by the configuration.
chmod 755 "$folder" && chmod 700 "$folder/munge"
dd if=/dev/urandom of="$folder/munge/key" bs=128 count=1 status=none && chmod 400 "$folder/munge/key"
mkdir -p "$folder/run" && chmod 755 "$folder/run"
munged --force --key-file="$folder/munge/key" --socket="$folder/run/munge.socket" --pid-file="$folder/munged.pid" \
    --log-file="$folder/log/munged.log" --seed-file="$folder/munge/seed"

host=$(hostname -s)
cat > "$folder/slurm.conf" <<CONF
ClusterName=test
SlurmctldHost=$host(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket=$folder/run/munge.socket
CryptoType=crypto/munge
CommunicationParameters=NoCtldInAddrAny,NoInAddrAny
SlurmctldPort=${3:-16817}
SlurmdPort=${4:-16818}
SrunPortRange=16820-16830
SlurmctldPidFile=$folder/slurmctld.pid
SlurmdPidFile=$folder/slurmd.pid
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/spool
SlurmctldLogFile=$folder/log/slurmctld.log
SlurmdLogFile=$folder/log/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MpiDefault=none
ReturnToService=2
NodeName=$host NodeAddr=127.0.0.1 CPUs=$(nproc) RealMemory=1500 State=UNKNOWN
PartitionName=test Nodes=$host Default=YES MaxTime=10 State=UP
CONF
slurmctld -c
# Debian 12's Slurm knows no "disabled", and on later ones without cgroups the other may fail.
for plugin in autodetect disabled; do
    echo "CgroupPlugin=$plugin" > "$folder/cgroup.conf"
    slurmd -c && break
done
for _ in $(seq 60); do
    sinfo -h -o %t 2>/dev/null | grep -qE '^(idle|mix|alloc)$' && exit 0
    sleep 0.5
done
echo "Slurm has no node that is up:" >&2
for log in "$folder"/log/*.log; do tail -n 5 "$log" >&2; done
exit 1

#!/usr/bin/env bash
# Installs Slurm and MUNGE (Debian, Ubuntu), with which the Slurm tests run a cluster on one machine.
set -euo pipefail
missing=0
for program in slurmctld slurmd sbatch munged mungekey; do
  PATH="$PATH:/usr/sbin" command -v "$program" >/dev/null || missing=1
done
[ "$missing" -eq 1 ] || exit 0
sudo=""
[ "$(id -u)" -eq 0 ] || sudo="sudo"
$sudo apt-get update -qq
# The packages start their daemons where systemd runs; the tests start their own.
$sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends slurm-wlm munge

#!/bin/sh
# Starts Sluice in its container. The address that the SFU sends a worker's RTP to is the container's own,
# which nobody can know beforehand when workers are scaled.
set -eu
if [ -z "${SLUICE_WORKER_ADDRESS:-}" ]; then
  SLUICE_WORKER_ADDRESS=$(hostname -i | cut -d ' ' -f 1)
  export SLUICE_WORKER_ADDRESS
fi
exec node dist/src/cli/main.js "$@"

#!/usr/bin/env bash
# Installs the FHIR server that a test sends results to: Medplum's, from npm. Where it cannot be installed the test is
# skipped with the reason.
set -uo pipefail
cd "$(dirname "$0")/../tests/clinic/fhir/medplum"
[ -d node_modules/@medplum/fhir-router ] && exit 0
command -v npm >/dev/null || { echo "absent: npm; the test that needs a FHIR server is skipped"; exit 0; }
npm ci --ignore-scripts --no-audit --no-fund >/dev/null || echo "could not be installed: the FHIR server; its test is skipped"

#!/usr/bin/env bash
# Fails a build whose network has lost a property: gate.sh CHECKPOINT [OPTIONS OF THE PROOF]
#
# Every property in properties/ must hold. Proofs stay beside the checkpoint, so a build that has
# not touched the network only checks them. Ends with 0: all hold; 1: one is violated, and the inputs
# that do it are beside the checkpoint; 4: one could be neither proved nor violated in the time
# there is; 3: it could not be asked.
set -u
cd "$(dirname "$0")" || exit 3
network=$1
shift
beside=${network%.safetensors}
proof=$beside.certificate
asked=()
for property in properties/*.txt; do asked+=(--specification "$property"); done

if [ -e "$proof" ]; then
  nncli verify "$network" "${asked[@]}" --check "$proof" -o "$beside.checked.parquet"
  case $? in
    0) echo "$network: all properties hold, by the proofs beside it" && exit 0 ;;
    1) echo "$network: the proofs beside it are not of this network and these properties" ;;
    *) exit 3 ;;
  esac
fi

# a proof that is cut short must not look like one
rm -f "$proof" "$beside.found.safetensors"
nncli verify "$network" "${asked[@]}" "$@" --certificate "$proof.new" \
  --counterexamples "$beside.found.safetensors" -o "$beside.verdicts.parquet"
code=$?
case $code in
  0) mv "$proof.new" "$proof" && echo "$network: all properties hold, proved anew" ;;
  1) echo "$network: refused, it violates a property; see $beside.found.safetensors" ;;
  4) echo "$network: refused, a property is neither proved nor violated; more --timeout may do" ;;
  *) code=3 ;;
esac
[ $code -eq 0 ] || rm -f "$proof.new"
exit $code

#!/bin/sh
# A stand-in for tofu that is quick, so that thousands of kills fit into minutes: it reads its credential, leaves
# processes that do not want to die, writes what the agent looks at, and takes an interrupt as tofu does.
STUB_STEP=$1
export STUB_STEP

# In a session of its own, deaf to everything that asks.
stay() { (trap '' INT TERM HUP QUIT; exec setsid sleep 600) >/dev/null 2>&1 & }

work() { sleep "$1" & wait $!; }

# One step may be so slow that it never ends by itself before somebody looks.
slow() { if read -r slow 2>/dev/null <slow && [ "$slow" = "$STUB_STEP" ]; then work 20; fi; }

# In its time an apply says more than a pipe holds, and its plan is still there; without that its state is lost.
end() { work 1; head -c 200000 /dev/zero && [ -e "$plan" ] && mv state errored.tfstate; exit 1; }

case $1 in
version) echo '{"terraform_version":"1.12.6","platform":"linux_amd64","provider_selections":{}}' ;;
get)
    grep -q auths "$DOCKER_CONFIG/config.json" || exit 9
    stay
    work 0.02
    slow
    ;;
init)
    stay
    mkdir -p .terraform/modules/deep/er
    echo '{"version":3,"backend":{"type":"http","config":{"address":null}}}' >.terraform/terraform.tfstate
    work 0.01
    slow
    ;;
plan)
    trap 'exit 1' INT
    work 0.02
    slow
    for word; do case $word in -out=*) echo plan >"${word#-out=}" ;; esac; done
    exit 2
    ;;
show) echo '{"format_version":"1.2","resource_changes":[],"output_changes":{}}' ;;
apply)
    for plan; do :; done
    trap end INT
    echo '{"version":4,"terraform_version":"1.12.6","serial":1,"lineage":"6ef5a1b6-3fd2-41f8-a8ab-7d5c3c1b8ba9",
"outputs":{"made":{"value":"by-the-stub","type":"string"}},"resources":[],"check_results":null}' >state
    echo >listening
    work "$(cat seconds)"
    slow
    echo >finished
    trap '' INT
    ;;
*) exit 8 ;;
esac
exit 0

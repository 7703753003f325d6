# Whether verdicts can all be true: nothing is verified that another method has broken at that radius
# or a smaller one. Fails with the cases that contradict each other; counts the rest.

NR == 1 {
    for (i = 1; i <= NF; i++) at[$i] = i
    next
}

{
    one = $at["model_id"] " " $at["instance"]
    epsilon = $at["epsilon"] + 0
    seen[one] = 1
    if ($at["verdict"] == "verified" && (!(one in verified) || epsilon > verified[one]))
        verified[one] = epsilon
    if ($at["verdict"] == "violated" && (!(one in broken) || epsilon < broken[one]))
        broken[one] = epsilon
}

END {
    for (one in seen) {
        cases++
        if (one in verified && one in broken && verified[one] >= broken[one]) {
            print one ": verified at " verified[one] ", broken at " broken[one]
            wrong++
        }
    }
    print cases " examples of networks, " wrong + 0 " with verdicts that contradict each other"
    exit wrong > 0
}

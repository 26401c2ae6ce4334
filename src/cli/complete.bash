# Completion of PROGRAM in bash: asks PROGRAM itself.
_PROGRAM_complete() {
    local IFS=$'\013' words=() index=0 rest=$COMP_LINE typed=$2 before word i
    for ((i = 0; i < ${#COMP_WORDS[@]}; i++)); do
        word=${COMP_WORDS[i]}
        before=${rest%%[![:space:]]*}
        rest=${rest#"$before"}
        rest=${rest#"$word"}
        ((i == COMP_CWORD)) && word=$typed
        # What stands close together is one word, whatever bash cuts it at.
        if [[ -n $before || $i -eq 0 ]]; then words+=("$word"); else words[-1]+=$word; fi
        ((i == COMP_CWORD)) && { index=$((${#words[@]} - 1)); break; }
    done
    COMPREPLY=( $(_CLAP_IFS="$IFS" _CLAP_COMPLETE_INDEX="$index" _CLAP_COMPLETE_COMP_TYPE="$COMP_TYPE" \
        VARIABLE=bash COMPLETER -- "${words[@]}" 2>/dev/null) )
    local kept=${words[index]%"$typed"}
    for i in "${!COMPREPLY[@]}"; do COMPREPLY[i]=${COMPREPLY[i]#"$kept"}; done
    [[ ${#COMPREPLY[@]} -eq 1 && ${COMPREPLY[0]} == *[=/:] ]] && compopt -o nospace
    return 0
}
complete -o bashdefault -o nosort -F _PROGRAM_complete PROGRAM

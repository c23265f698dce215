/** Scripts that have a shell ask `raftctl __complete` what may stand where the cursor is. */

export const SHELLS = ['bash', 'zsh', 'fish'] as const
export type Shell = (typeof SHELLS)[number]

/** How a person makes the shell load the script, for the help and the notes. */
export const INSTALL: Readonly<Record<Shell, string>> = {
  bash: "echo 'source <(raftctl completion bash)' >> ~/.bashrc",
  zsh: `raftctl completion zsh > "\${fpath[1]}/_raftctl"`,
  fish: 'raftctl completion fish > ~/.config/fish/completions/raftctl.fish',
}

/** bash splits words at = and : too; they are put together again for the question, and cut off again from the answers. */
const BASH = `_raftctl() {
  local i word current="" glue=""
  local -a words=()
  for ((i = 1; i <= COMP_CWORD; i++)); do
    word="\${COMP_WORDS[i]}"
    if [[ $glue || $word == [=:] ]] && ((\${#words[@]} > 0)); then
      words[\${#words[@]}-1]+="$word"
    else
      words+=("$word")
    fi
    [[ $word == *[=:] ]] && glue=1 || glue=""
  done
  current="\${words[\${#words[@]}-1]}"
  word="\${COMP_WORDS[COMP_CWORD]}"
  [[ $word == [=:] ]] && word=""
  local cut="\${current%"$word"}" line
  COMPREPLY=()
  while IFS=$'\\t' read -r line _; do
    COMPREPLY+=("\${line#"$cut"}")
  done < <(raftctl __complete "\${words[@]}" 2>/dev/null)
  [[ \${#COMPREPLY[@]} -eq 1 && \${COMPREPLY[0]} == *= ]] && compopt -o nospace
}
complete -o default -F _raftctl raftctl
`

const ZSH = `#compdef raftctl
_raftctl() {
  local -a items
  local line value
  for line in "\${(@f)$(raftctl __complete "\${(@)words[2,CURRENT]}" 2>/dev/null)}"; do
    [[ -z $line ]] && continue
    value="\${line%%$'\\t'*}"
    items+=("\${value//:/\\\\:}:\${line#*$'\\t'}")
  done
  if ((\${#items})); then
    _describe -t values raftctl items
  else
    _files
  fi
}
if [[ "\${funcstack[1]}" == _raftctl ]]; then
  _raftctl "$@"
else
  compdef _raftctl raftctl
fi
`

const FISH = `function __raftctl_complete
  set -l words (commandline -opc)
  set -e words[1]
  set -l current (commandline -ct)
  set -l found (raftctl __complete $words "$current" 2>/dev/null)
  if test (count $found) -gt 0
    printf '%s\\n' $found
  else
    __fish_complete_path "$current"
  end
end
complete -c raftctl -f -a '(__raftctl_complete)'
`

export function completionScript(shell: Shell): string {
  return { bash: BASH, zsh: ZSH, fish: FISH }[shell]
}

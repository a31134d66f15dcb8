import type { Command } from 'commander'
import { UsageError } from '../errors.ts'

/** A command by its words, and what can follow them. */
interface Completed {
  readonly path: string
  readonly words: readonly { readonly word: string; readonly description: string }[]
}

const scripts: Readonly<Record<string, (all: readonly Completed[]) => string>> = { bash, zsh, fish }

/**
 * Returns a script for a shell that completes the commands and options of the program.
 *
 * @throws UsageError for an unknown shell
 */
export function completion(program: Command, shell: string): string {
  const script = Object.hasOwn(scripts, shell) ? scripts[shell] : undefined
  if (script !== undefined) return script(completionsOf(program, ''))
  throw new UsageError(`The shell ${shell} is not known. Use ${Object.keys(scripts).join(', ')}.`)
}

/** The commands of a group that are neither hidden nor the help. */
export function visibleCommands(group: Command): Command[] {
  const visible = group.createHelp().visibleCommands(group)
  return visible.filter((each) => each.name() !== 'help')
}

function completionsOf(command: Command, path: string): Completed[] {
  const visible = visibleCommands(command)
  const own = visible.map((each) => ({ word: each.name(), description: each.description() }))
  const options = command.options.map(({ long, description }) => ({
    word: long ?? '',
    description,
  }))
  const inner = visible.flatMap((each) => completionsOf(each, `${path} ${each.name()}`.trim()))
  return [{ path, words: [...own, ...options] }, ...inner]
}

function bash(all: readonly Completed[]): string {
  const cases = all.map(
    ({ path, words }) => `    '${path}') words='${words.map(({ word }) => word).join(' ')}' ;;`,
  )
  return `# bash completion of stowage: eval "$(stowage completion bash)"
_stowage() {
  local path='' words='' word next
  for word in "\${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
    next="\${path:+$path }$word"
    [[ '${known(all)}' == *"|$next|"* ]] && path=$next
  done
  case "$path" in
${cases.join('\n')}
  esac
  COMPREPLY=($(compgen -W "$words" -- "\${COMP_WORDS[COMP_CWORD]}"))
}
complete -o default -F _stowage stowage`
}

function zsh(all: readonly Completed[]): string {
  const cases = all.map(({ path, words }) => {
    const entries = words.map(({ word, description }) => `'${word}:${quoted(description)}'`)
    return `    '${path}') candidates=(${entries.join(' ')}) ;;`
  })
  return `#compdef stowage
# zsh completion of stowage: eval "$(stowage completion zsh)"
_stowage() {
  local command_path='' word next
  local -a candidates
  for word in "\${(@)words[2,CURRENT-1]}"; do
    next="\${command_path:+$command_path }$word"
    [[ '${known(all)}' == *"|$next|"* ]] && command_path=$next
  done
  case "$command_path" in
${cases.join('\n')}
  esac
  _describe 'stowage' candidates
}
compdef _stowage stowage`
}

function fish(all: readonly Completed[]): string {
  const lines = all.flatMap(({ path, words }) => {
    const condition =
      path === ''
        ? '__fish_use_subcommand'
        : path
            .split(' ')
            .map((name) => `__fish_seen_subcommand_from ${name}`)
            .join('; and ')
    return words.map(({ word, description }) => {
      const option = word.startsWith('--') ? `-l ${word.slice(2)}` : `-a ${word}`
      return `complete -c stowage -f -n '${condition}' ${option} -d '${quoted(description)}'`
    })
  })
  return ['# fish completion of stowage: stowage completion fish | source', ...lines].join('\n')
}

/** The paths of all commands. Other words are arguments, or values of options. */
function known(all: readonly Completed[]): string {
  return `|${all.map(({ path }) => path).join('|')}|`
}

function quoted(text: string): string {
  return text.replaceAll("'", "'\\''").replaceAll(':', '\\:')
}

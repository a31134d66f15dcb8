import type { Command, Option } from 'commander'
import { visibleCommands } from './completion.ts'

/** Returns the man page of the program, in the language of man(7), from the definitions of its commands. */
export function manPage(program: Command): string {
  const commands = leaves(program, [])
  return [
    '.TH STOWAGE 1 "" Stowage "User Commands"',
    '.SH NAME',
    `stowage \\- ${escaped(lowerFirst(program.description()).replace(/\.$/, ''))}`,
    '.SH SYNOPSIS',
    '.B stowage',
    '.I command',
    '[\\fIoptions\\fR]',
    '.SH COMMANDS',
    ...commands.flatMap(({ command, path }) => section(command, path)),
    ...closing,
  ].join('\n')
}

interface Leaf {
  readonly command: Command
  readonly path: readonly string[]
}

function leaves(command: Command, path: readonly string[]): Leaf[] {
  return visibleCommands(command).flatMap((inner) => {
    const innerPath = [...path, inner.name()]
    return inner.commands.length > 0
      ? leaves(inner, innerPath)
      : [{ command: inner, path: innerPath }]
  })
}

function section(command: Command, path: readonly string[]): string[] {
  const args = command.registeredArguments
    .map((each) => ` \\fI${escaped(each.name())}\\fR`)
    .join('')
  return [
    `.SS "stowage ${path.join(' ')}${args}"`,
    escaped(sentence(command.description())),
    ...command.registeredArguments.flatMap((each) => [
      '.TP',
      `\\fI${escaped(each.name())}\\fR`,
      escaped(sentence(each.description)),
    ]),
    ...command.options.flatMap(entry),
  ]
}

function entry({ flags, description, argChoices, defaultValue }: Option): string[] {
  const choices = argChoices === undefined ? '' : ` One of ${argChoices.join(', ')}.`
  const fallback = defaultValue === undefined ? '' : ` Default: ${String(defaultValue)}.`
  return ['.TP', `\\fB${escaped(flags)}\\fR`, escaped(sentence(description) + choices + fallback)]
}

const closing = [
  '.SH EXIT STATUS',
  '.TP',
  '0',
  'The command has done what it should, and found no error.',
  '.TP',
  '1',
  'It failed, it found errors, or the key is not stored.',
  '.TP',
  '2',
  'It was used wrongly.',
  '.TP',
  '130',
  'It was ended by Ctrl+C.',
  '.SH ENVIRONMENT',
  'The variables of cachesFromEnv and sessionFromEnv.',
  '\\fBNO_COLOR\\fR turns colours off.',
  '.SH FILES',
  '.TP',
  '.I .env',
  'Variables that the environment does not set, if the file exists.',
]

function sentence(text: string): string {
  return `${text.charAt(0).toUpperCase()}${text.slice(1)}.`
}

function lowerFirst(text: string): string {
  return text.charAt(0).toLowerCase() + text.slice(1)
}

/** A hyphen would be printed as a dash, and a dot at the start of a line is a request. */
function escaped(text: string): string {
  return text.replaceAll('\\', '\\e').replaceAll('-', '\\-').replace(/^\./, '\\&.')
}

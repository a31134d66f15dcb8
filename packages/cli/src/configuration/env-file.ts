import { readFileSync, statSync } from 'node:fs'
import { resolve } from 'node:path'
import { parseEnv } from 'node:util'
import type { Finding } from '@stowage/core/tools'
import { CommandError } from '../errors.ts'

/** A file with environment variables, and what is wrong with it. */
export interface EnvFile {
  /** As it was given. */
  readonly path: string
  readonly variables: Readonly<Record<string, string>>
  readonly findings: readonly Finding[]
}

const byteOrderMark = '\uFEFF'

/** Reads the files. Without any, `.env` is read if it exists. @throws CommandError if a given file cannot be read */
export function readEnvFiles(paths: readonly string[], cwd: string): EnvFile[] {
  const isDefault = paths.length === 0
  const chosen = isDefault ? ['.env'].filter((path) => isFile(resolve(cwd, path))) : paths
  return chosen.map((path) => readEnvFile(path, cwd))
}

/** Not a folder: virtual environments of Python may have the name. */
function isFile(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() === false
}

function readEnvFile(path: string, cwd: string): EnvFile {
  const bytes = readBytes(path, cwd)
  const encoding = encodingOf(bytes)
  const text = bytes.toString(encoding === 'utf16le' ? 'utf16le' : 'utf8')
  const hasMark = text.startsWith(byteOrderMark)
  const content = hasMark ? text.slice(1) : text
  return {
    path,
    variables: parseEnv(content) as Record<string, string>,
    findings: [...(hasMark ? [markFinding(path, encoding)] : []), ...syntaxFindings(path, content)],
  }
}

function readBytes(path: string, cwd: string): Buffer {
  try {
    return readFileSync(resolve(cwd, path))
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    const reason = code === 'ENOENT' ? 'does not exist' : `cannot be read (${code})`
    throw new CommandError(`The file ${path} ${reason}.`)
  }
}

function encodingOf(bytes: Buffer): 'utf8' | 'utf16le' {
  return bytes[0] === 0xff && bytes[1] === 0xfe ? 'utf16le' : 'utf8'
}

function markFinding(subject: string, encoding: string): Finding {
  const name = encoding === 'utf8' ? 'UTF-8' : 'UTF-16'
  return {
    code: 'env-file-bom',
    severity: 'error',
    subject,
    problem: `The file begins with a byte order mark (${name}), so its first variable is not read.`,
    remedy: 'Save it as UTF-8 without BOM.',
  }
}

const assignment = /^\s*(?:export\s+)?([A-Za-z_][\w.-]*)\s*=\s*(.*)$/
const quotes = ['"', "'", '`']

/** Names the lines and variables, never the values. */
function syntaxFindings(path: string, content: string): Finding[] {
  const findings: Finding[] = []
  const seen = new Map<string, number>()
  const lines = content.split(/\r?\n/)
  for (let index = 0; index < lines.length; index++) {
    const line = lines[index] as string
    if (line.trim() === '' || line.trimStart().startsWith('#')) continue
    const [, name = '', value = ''] = assignment.exec(line) ?? []
    const at = `${path}:${index + 1}`
    if (name === '') findings.push(syntaxFinding(at, 'The line is not NAME=value.'))
    else if (seen.has(name)) findings.push(duplicateFinding(at, name, seen.get(name) as number))
    if (name !== '') seen.set(name, index + 1)
    const end = endOfQuoted(lines, index, value)
    if (end === undefined) findings.push(syntaxFinding(at, `The quote of ${name} is not closed.`))
    index = end ?? index
  }
  return findings
}

/** The line in which a quoted value ends, which may be a later one. `undefined` if it does not end. */
function endOfQuoted(lines: readonly string[], start: number, value: string): number | undefined {
  const quote = value.charAt(0)
  if (!quotes.includes(quote)) return start
  if (value.indexOf(quote, 1) > 0) return start
  const end = lines.findIndex((line, index) => index > start && line.includes(quote))
  return end < 0 ? undefined : end
}

function syntaxFinding(subject: string, problem: string): Finding {
  const remedy = 'Write NAME=value, with quotes around a value that contains spaces or #.'
  return { code: 'env-file-syntax', severity: 'error', subject, problem, remedy }
}

function duplicateFinding(subject: string, name: string, first: number): Finding {
  const problem = `${name} is set in line ${first} already; the last one counts.`
  return {
    code: 'env-file-duplicate',
    severity: 'warning',
    subject,
    problem,
    remedy: 'Remove one.',
  }
}

import { inspectKey } from '@stowage/core/tools'
import type { ListedSession, Sessions } from '@stowage/sessions'
import { Context, type SourceOptions } from '../configuration/context.ts'
import type { Output } from '../output/io.ts'
import { count, duration, size, table, wrap } from '../output/layout.ts'
import { printable } from '../output/printable.ts'
import { confirmed } from '../output/prompts.ts'

export interface SessionsOptions extends SourceOptions {
  readonly json?: boolean
  readonly yes?: boolean
  readonly user: string
}

interface Row {
  /** The digest under which the session is stored. It does not reveal the id. */
  readonly key: string
  readonly ttlMs: number | null
  readonly bytes: number | null
  /** The names of its fields. Their values may be secrets. */
  readonly fields: readonly string[]
}

export async function listSessions(options: SessionsOptions, output: Output): Promise<number> {
  const { user, json } = options
  return Context.use(options, output, async (context) => {
    const sessions = await context.sessions(user)
    const listed = await sessions.of(user)
    const rows = await Promise.all(listed.map((each) => rowOf(sessions, each)))
    if (json) output.json({ command: 'sessions', action: 'list', user, sessions: rows })
    else print(user, rows, output)
    return 0
  })
}

/** Returns the exit code: 1 if the action was denied. */
export async function revokeSessions(options: SessionsOptions, output: Output): Promise<number> {
  const { user, json, yes = false } = options
  return Context.use(options, output, async (context) => {
    const sessions = await context.sessions(user)
    const { length } = await sessions.of(user)
    const action = `End ${count(length, 'session')} of user ${user}`
    if (!(await confirmed(output, action, yes))) return 1
    await sessions.destroyAllFor(user)
    const ended = `Ended ${count(length, 'session')} of user ${printable(user)}.`
    if (json) output.json({ command: 'sessions', action: 'revoke', user, ended: length })
    else if (length === 0) output.line(noneListed(user, output))
    else output.line(`${output.colors.green('✓')} ${ended}`)
    return 0
  })
}

async function rowOf(
  { cache }: Sessions,
  { key, session }: ListedSession<Record<string, unknown>>,
): Promise<Row> {
  const { ttlMs, bytes } = await inspectKey(cache, key)
  const expires = ttlMs !== undefined && ttlMs !== Infinity
  return {
    key,
    ttlMs: expires ? ttlMs : null,
    bytes: bytes ?? null,
    fields: Object.keys(session).sort(),
  }
}

const shownKeyLength = 15
const maxFieldsLength = 36

function print(user: string, rows: readonly Row[], output: Output): void {
  if (rows.length === 0) {
    output.line(noneListed(user, output))
    return
  }
  const { dim } = output.colors
  const cells = rows.map(({ key, ttlMs, bytes, fields }) => [
    `${key.slice(0, shownKeyLength)}…`,
    ttlMs === null ? '' : duration(ttlMs),
    bytes === null ? '' : size(bytes),
    shortened(printable(fields.join(', '))),
  ])
  output.line(table(['session', 'expires in', 'size', 'fields'].map(dim), cells))
}

/** Nothing in the backend tells a user without sessions from one whose sessions are listed under another secret. */
function noneListed(user: string, { width }: Output): string {
  return wrap(
    `No sessions of user ${printable(user)} are listed with this secret. Sessions that the application has listed with ` +
      'another one are neither shown nor ended: check SESSION_INDEX_SECRET, or the last SESSION_SECRET.',
    width,
  )
}

function shortened(text: string): string {
  return text.length <= maxFieldsLength ? text : `${text.slice(0, maxFieldsLength - 1)}…`
}

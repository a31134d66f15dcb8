import type { Connection } from '../connection/connection.ts'
import { standing } from './replication-info.ts'

/** A place in a stream of changes. */
export interface Position {
  readonly stream: string
  readonly offset: number
}

const version = 'r1'
/** Of the 40 hexadecimal digits that name a stream, enough to tell those of one deployment apart. */
const digits = 12
const form = /^r1(:[0-9a-f]{12}\.\d{1,16})*$/

/** The positions as a text of letters, digits, `:` and `.`: fit for a cookie. */
export function formatToken(positions: readonly Position[]): string {
  const texts = positions.map(({ stream, offset }) => `:${stream.slice(0, digits)}.${offset}`)
  return version + texts.join('')
}

/** The streams by the beginning of their names; `undefined` for what is no token: it may come from anybody. */
export function parseToken(token: string): Position[] | undefined {
  if (!form.test(token)) return undefined
  return token
    .split(':')
    .slice(1)
    .map((text) => {
      const [stream = '', offset] = text.split('.')
      return { stream, offset: Number(offset) }
    })
}

/** What another process has to observe to see everything that has been written through these primaries. */
export async function tokenOf(primaries: readonly Connection[]): Promise<string> {
  const answers = await Promise.all(primaries.map(standing))
  const positions = answers.filter((answer) => typeof answer !== 'string')
  // Without the whole truth it says nothing, which means: not older than now.
  return formatToken(positions.length === answers.length ? positions : [])
}

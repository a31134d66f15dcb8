import type { Connection } from '../connection/connection.ts'
import { isForbidden } from '../redis-errors.ts'

/** Where a server stands in a stream of changes. */
export interface Standing {
  readonly role: 'master' | 'slave'
  /** Names the stream: offsets of different streams say nothing about each other. */
  readonly stream: string
  /** Bytes of the stream a primary has produced, or a replica has applied (not just received). */
  readonly offset: number
  /** Whether a replica is in touch with its primary. */
  readonly linked: boolean
}

/** `'silent'`: it is away, or has no answer now. `'forbidden'`: the user may not ask. */
export type Answer = Standing | 'silent' | 'forbidden'

/** Asks a server where it stands, by the section of https://redis.io/docs/latest/commands/info/ about replication. */
export async function standing(connection: Connection): Promise<Answer> {
  if (!connection.wake()) return 'silent'
  connection.begin()
  try {
    return parse(String(await connection.client.info('replication')))
  } catch (error) {
    return isForbidden(error) ? 'forbidden' : 'silent'
  } finally {
    connection.end()
  }
}

function parse(info: string): Answer {
  const field = (name: string) => new RegExp(`^${name}:(.*?)\r?$`, 'm').exec(info)?.[1]
  const stream = field('master_replid')
  if (stream === undefined) return 'silent'
  const isPrimary = field('role') === 'master'
  const offset = Number(field(isPrimary ? 'master_repl_offset' : 'slave_repl_offset'))
  if (Number.isNaN(offset)) return 'silent'
  const linked = isPrimary || field('master_link_status') === 'up'
  return { role: isPrimary ? 'master' : 'slave', stream, offset, linked }
}

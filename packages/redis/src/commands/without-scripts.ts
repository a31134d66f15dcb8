import type { BulkString, CommandClient } from '../protocol/command-client.ts'
import type { Capabilities } from '../protocol/server.ts'
import { isWrongType } from '../redis-errors.ts'

/** @param args expected, next, ttl in ms or '' */
export function setIfEqual(
  client: CommandClient,
  key: string,
  args: BulkString[],
): Promise<number> {
  const [expected, next, ttl] = args as [BulkString, BulkString, string]
  const expiry = ttl === '' ? [] : ['PX', ttl]
  return client
    .call('SET', key, next, 'IFEQ', expected, ...expiry)
    .then((reply) => (reply === null ? 0 : 1), unequalIfOtherType)
}

/** @param args expected */
export function deleteIfEqual(
  client: CommandClient,
  command: NonNullable<Capabilities['deleteIfEqual']>,
  key: string,
  [expected]: BulkString[],
): Promise<number> {
  const condition =
    command === 'DELEX' ? ['IFEQ', expected as BulkString] : [expected as BulkString]
  return client.call(command, key, ...condition).then(Number, unequalIfOtherType)
}

/** A key of another type equals no value. DELEX says it in other words than SET. */
function unequalIfOtherType(error: Error): number {
  if (isWrongType(error) || /^ERR Key should be of string type/.test(error.message)) return 0
  throw error
}

/**
 * For a user that may run no scripts. The reply is read as text, because the decoder of ioredis 6 rounds integers near 2^53.
 * A sum that is not a safe integer is undone, so that others may read it for a moment, as they may not in a script.
 *
 * @param args by, ttl in ms or ''
 */
export async function incrementInTransaction(
  client: CommandClient,
  key: string,
  args: BulkString[],
): Promise<number> {
  const [by, ttl] = args as [string, string]
  const create = ttl === '' ? [] : [['set', key, '0', 'PX', ttl, 'NX']]
  const replies = await transaction(client, [...create, ['incrby', key, by], ['get', key]])
  const sum = Number(replies.at(-1))
  if (Number.isSafeInteger(sum)) return sum
  await transaction(client, [['decrby', key, by]])
  throw Object.assign(new Error('ERR increment or decrement would overflow'), {
    name: 'ReplyError',
  })
}

export async function persistInTransaction(client: CommandClient, key: string): Promise<number> {
  const [hadExpiry, exists] = await transaction(client, [
    ['persist', key],
    ['exists', key],
  ])
  return hadExpiry === 1 ? 1 : Number(exists)
}

/** @throws Error the first error reply */
async function transaction(client: CommandClient, commands: unknown[][]): Promise<unknown[]> {
  const replies = await client.multi(commands).exec().catch(firstError)
  return (replies ?? []).map(([error, reply]) => {
    if (error !== null) throw error
    return reply
  })
}

/** A transaction that was not begun rejects with EXECABORT, whatever the reason. */
function firstError(error: Error & { previousErrors?: Error[] }): never {
  throw error.previousErrors?.[0] ?? error
}

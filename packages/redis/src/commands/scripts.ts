import { createHash } from 'node:crypto'
import type { BulkString, CommandClient } from '../protocol/command-client.ts'
import { type Capabilities, capabilitiesOf, nodeFor } from '../protocol/server.ts'
import { isScriptRefused, isWrongType } from '../redis-errors.ts'

/** The same as a script for one key, with commands; `undefined` where the script is used. */
type Instead = (
  client: CommandClient,
  capabilities: Capabilities,
  key: string,
  args: BulkString[],
) => Promise<number> | undefined

/**
 * A Lua script, which the server runs atomically. The first call on a connection sends the source, later ones its SHA-1
 * digest. A digest that the server does not know would have to be sent again, after the commands that followed it.
 */
export class Script {
  readonly #source: string
  readonly #digest: string
  readonly #instead: Instead | undefined

  constructor(source: string, instead?: Instead) {
    this.#source = source
    this.#digest = createHash('sha1').update(source).digest('hex')
    this.#instead = instead
  }

  /** Runs the script for one key. Resolves to its result, as a number. */
  run(client: CommandClient, key: string, args: BulkString[]): Promise<number> {
    const capabilities = capabilitiesOf(nodeFor(client, key))
    return (
      this.#instead?.(client, capabilities, key, args) ??
      this.#send(client, capabilities, 1, [key, ...args])
    )
  }

  /** Runs the script for several keys, which are the first of the arguments. */
  runForKeys(client: CommandClient, keyCount: number, args: BulkString[]): Promise<number> {
    const capabilities = capabilitiesOf(nodeFor(client, String(args[0])))
    return this.#send(client, capabilities, keyCount, args)
  }

  async #send(
    client: CommandClient,
    capabilities: Capabilities,
    keyCount: number,
    args: BulkString[],
  ): Promise<number> {
    const { sentScripts } = capabilities
    const isKnown = sentScripts.has(this.#digest)
    if (!isKnown) sentScripts.add(this.#digest)
    try {
      const reply = isKnown
        ? client.evalsha(this.#digest, keyCount, ...args)
        : client.eval(this.#source, keyCount, ...args)
      return Number(await reply)
    } catch (error) {
      // The server may not have the script: it runs SCRIPT FLUSH, or the connection leads to another server.
      sentScripts.delete(this.#digest)
      if (isScriptRefused(error)) capabilities.mayEval = false
      await capabilities.known
      throw error
    }
  }
}

/** A key of another type equals no value. Any other error, such as a missing permission, is returned. */
const returnUnlessEqual = `
local current = redis.pcall('GET', KEYS[1])
if type(current) == 'table' and not string.find(current.err, 'WRONGTYPE') then return current end
if current ~= ARGV[1] then return 0 end`

/** ARGV: expected, next, ttl in ms or ''. */
export const compareAndSet: Script = new Script(
  `${returnUnlessEqual}
if ARGV[3] == '' then redis.call('SET', KEYS[1], ARGV[2])
else redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3]) end
return 1`,
  (client, capabilities, key, args) => capabilities.ifEqualCommand && setIfEqual(client, key, args),
)

/** ARGV: ttl in ms, then a value for each key. */
export const setEach: Script = new Script(`
for i, key in ipairs(KEYS) do redis.call('SET', key, ARGV[i + 1], 'PX', ARGV[1]) end
return #KEYS`)

/** ARGV: expected. */
export const compareAndDelete: Script = new Script(
  `${returnUnlessEqual}
return redis.call('DEL', KEYS[1])`,
  (client, capabilities, key, args) =>
    capabilities.ifEqualCommand && deleteIfEqual(client, capabilities.ifEqualCommand, key, args),
)

/** Below it, every client decodes an integer reply exactly. */
const maxIntegerReply = 2 ** 50

/**
 * ARGV: by, ttl in ms or ''. The increment is undone if the sum is not a safe integer. A large sum is returned as text,
 * because the decoder of ioredis 6 rounds integer replies near 2^53. To format it costs a seventh of the whole call.
 */
export const increment: Script = new Script(
  `
if ARGV[2] ~= '' and redis.call('EXISTS', KEYS[1]) == 0 then
  redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
  return ARGV[1]
end
local sum = redis.call('INCRBY', KEYS[1], ARGV[1])
if sum > ${Number.MAX_SAFE_INTEGER} or sum < ${Number.MIN_SAFE_INTEGER} then
  redis.call('DECRBY', KEYS[1], ARGV[1])
  return redis.error_reply('ERR increment or decrement would overflow')
end
if sum < ${maxIntegerReply} and sum > -${maxIntegerReply} then return sum end
return string.format('%.0f', sum)`,
  (client, { mayEval }, key, args) =>
    mayEval ? undefined : incrementInTransaction(client, key, args),
)

/** Removes the expiry. Returns 1 if the key exists; PERSIST alone also returns 0 for a key without expiry. */
export const persist: Script = new Script(
  `
if redis.call('PERSIST', KEYS[1]) == 1 then return 1 end
return redis.call('EXISTS', KEYS[1])`,
  (client, { mayEval }, key) => (mayEval ? undefined : persistInTransaction(client, key)),
)

// The same with commands, for servers that have them, and users that may run no scripts.

/** @param args expected, next, ttl in ms or '' */
function setIfEqual(client: CommandClient, key: string, args: BulkString[]): Promise<number> {
  const [expected, next, ttl] = args as [BulkString, BulkString, string]
  const expiry = ttl === '' ? [] : ['PX', ttl]
  return client
    .call('SET', key, next, 'IFEQ', expected, ...expiry)
    .then((reply) => (reply === null ? 0 : 1), unequalIfOtherType)
}

/** @param args expected */
function deleteIfEqual(
  client: CommandClient,
  command: NonNullable<Capabilities['ifEqualCommand']>,
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
async function incrementInTransaction(
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

async function persistInTransaction(client: CommandClient, key: string): Promise<number> {
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

import { createHash } from 'node:crypto'
import type { RedisClient } from './redis-options.ts'

/** What the client takes: strings and Buffers; any other array it would print. */
export type Argument = string | Buffer

/** A Lua script the server runs atomically. It is sent once; later calls name its digest. */
export class Script {
  readonly #source: string
  readonly #digest: string

  constructor(source: string) {
    this.#source = source
    this.#digest = createHash('sha1').update(source).digest('hex')
  }

  /** What the script returns, as a number. */
  run(client: RedisClient, key: string, args: Argument[]): Promise<number> {
    return this.runOn(client, 1, [key, ...args])
  }

  /** The same for several keys, which are the first of the arguments. */
  async runOn(client: RedisClient, keys: number, args: Argument[]): Promise<number> {
    try {
      return Number(await client.evalsha(this.#digest, keys, ...args))
    } catch (error) {
      // A server that was restarted or flushed its scripts has not seen it yet.
      if (!(error as Error).message.startsWith('NOSCRIPT')) throw error
      return Number(await client.eval(this.#source, keys, ...args))
    }
  }
}

/** A key of another type is unequal to anything; any other refusal is one. */
const unlessEqual = `
local seen = redis.pcall('GET', KEYS[1])
if type(seen) == 'table' and not string.find(seen.err, 'WRONGTYPE') then return seen end
if seen ~= ARGV[1] then return 0 end`

/** ARGV: expected, next, ttl in ms or ''. */
export const compareAndSet: Script = new Script(`${unlessEqual}
if ARGV[3] == '' then redis.call('SET', KEYS[1], ARGV[2])
else redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3]) end
return 1`)

/** ARGV: ttl in ms, then a value for each key. */
export const setEach: Script = new Script(`
for i, key in ipairs(KEYS) do redis.call('SET', key, ARGV[i + 1], 'PX', ARGV[1]) end
return #KEYS`)

/** ARGV: expected. */
export const compareAndDelete: Script = new Script(`${unlessEqual}
return redis.call('DEL', KEYS[1])`)

/**
 * ARGV: by, ttl in ms or ''. A sum that a JavaScript number cannot hold exactly is taken back. The sum is returned
 * as text: the decoder of ioredis 6 rounds integer replies near 2^53.
 */
export const increment: Script = new Script(`
if ARGV[2] ~= '' and redis.call('EXISTS', KEYS[1]) == 0 then
  redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
  return ARGV[1]
end
local sum = redis.call('INCRBY', KEYS[1], ARGV[1])
if sum > ${Number.MAX_SAFE_INTEGER} or sum < ${Number.MIN_SAFE_INTEGER} then
  redis.call('DECRBY', KEYS[1], ARGV[1])
  return redis.error_reply('ERR increment or decrement would overflow')
end
return string.format('%.0f', sum)`)

/** Removes the expiry; 1 if the key lives. PERSIST alone says 0 for a key that had none. */
export const persist: Script = new Script(`
if redis.call('PERSIST', KEYS[1]) == 1 then return 1 end
return redis.call('EXISTS', KEYS[1])`)

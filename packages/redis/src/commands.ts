import type { Payload } from '@stowage/core'
import { toBytes } from '@stowage/core/driver'
import type { RedisClient } from './redis-options.ts'
import type { Argument } from './scripts.ts'

/** Keys per MGET, MSET or UNLINK: one command blocks the server while it runs. */
const chunkSize = 500

export function setCommand(
  client: RedisClient,
  key: string,
  item: Payload,
  ttl: number | undefined,
): Promise<void> {
  const answer =
    ttl === undefined ? client.set(key, argument(item)) : client.set(key, argument(item), 'PX', ttl)
  return answer as Promise<unknown> as Promise<void>
}

export function addCommand(
  client: RedisClient,
  key: string,
  item: Payload,
  ttl: number | undefined,
): Promise<'OK' | null> {
  return ttl === undefined
    ? client.set(key, argument(item), 'NX')
    : client.set(key, argument(item), 'PX', ttl, 'NX')
}

export function argument(item: Payload): Argument {
  return typeof item === 'string' ? item : toBytes(item)
}

/** A ttl as an argument of a script; '' where there is none. */
export function optional(ttl: number | undefined): string {
  return ttl === undefined ? '' : String(ttl)
}

export function chunked<T>(list: readonly T[]): T[][] {
  const chunks: T[][] = []
  for (let start = 0; start < list.length; start += chunkSize) {
    chunks.push(list.slice(start, start + chunkSize))
  }
  return chunks
}

/** Takes their meaning from the characters of a glob: https://redis.io/docs/latest/commands/keys/ */
export function escapeGlob(text: string): string {
  return text.replace(/[*?[\]\\^-]/g, '\\$&')
}

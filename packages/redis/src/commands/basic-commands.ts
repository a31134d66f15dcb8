import type { Payload } from '@stowage/core'
import { type ItemWithTtl, toBytes } from '@stowage/core/driver'
import type { BulkString, CommandClient } from '../protocol/command-client.ts'
import { isWrongType } from '../redis-errors.ts'

export type Entry = readonly [key: string, item: Payload]
export type Entries = readonly Entry[]

/** Reads a value. One of another type than string is a miss. */
export function getCommand(client: CommandClient, key: string): Promise<Payload | undefined> {
  return client.getBuffer(key).then((reply) => reply ?? undefined, missIfWrongType)
}

function missIfWrongType(error: unknown): undefined {
  if (!isWrongType(error)) throw error
}

type Items = (ItemWithTtl<Payload> | undefined)[]

/** Reads values with one MGET, and their ttls with a PTTL each, in one write. */
export async function getWithTtl(client: CommandClient, keys: string[]): Promise<Items> {
  const [values, ttls] = await Promise.all([client.mgetBuffer(keys), readTtls(client, keys)])
  return values.map((value, index) => withTtl(value ?? undefined, ttls[index]))
}

/** The same for keys that may have moved to different nodes. */
export async function getWithTtlSingly(client: CommandClient, keys: string[]): Promise<Items> {
  const values = Promise.all(keys.map((key) => getCommand(client, key)))
  const [items, ttls] = await Promise.all([values, readTtls(client, keys)])
  return items.map((item, index) => withTtl(item, ttls[index]))
}

function readTtls(client: CommandClient, keys: readonly string[]): Promise<number[]> {
  return Promise.all(keys.map((key) => client.pttl(key)))
}

/** @param ttl −1 for none, −2 if the key has expired since it was read. See https://redis.io/docs/latest/commands/pttl/ */
function withTtl(item: Payload | undefined, ttl = -1): ItemWithTtl<Payload> | undefined {
  if (item === undefined) return undefined
  return { item, ttl: ttl === -1 ? Infinity : Math.max(1, ttl) }
}

export function setCommand(
  client: CommandClient,
  key: string,
  item: Payload,
  ttl: number | undefined,
): Promise<void> {
  const reply =
    ttl === undefined
      ? client.set(key, toArgument(item))
      : client.set(key, toArgument(item), 'PX', ttl)
  return reply as Promise<unknown> as Promise<void>
}

export function addCommand(
  client: CommandClient,
  key: string,
  item: Payload,
  ttl: number | undefined,
): Promise<'OK' | null> {
  return ttl === undefined
    ? client.set(key, toArgument(item), 'NX')
    : client.set(key, toArgument(item), 'PX', ttl, 'NX')
}

export function toArgument(item: Payload): BulkString {
  return typeof item === 'string' ? item : toBytes(item)
}

/** The keys and the values in turn. */
export function toPairs(entries: Entries): BulkString[] {
  const pairs: BulkString[] = []
  for (const entry of entries) pairs.push(entry[0], toArgument(entry[1]))
  return pairs
}

/** A ttl as the argument of a script; `''` for none. */
export function ttlArgument(ttl: number | undefined): string {
  return ttl === undefined ? '' : String(ttl)
}

/** Escapes the special characters of a glob pattern: https://redis.io/docs/latest/commands/keys/ */
export function escapeGlob(text: string): string {
  return text.replace(/[*?[\]\\^-]/g, '\\$&')
}

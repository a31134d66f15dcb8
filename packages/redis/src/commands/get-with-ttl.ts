import type { Payload } from '@stowage/core'
import type { ItemWithTtl } from '@stowage/core/driver'
import type { CommandClient } from '../protocol/command-client.ts'
import { getCommand } from './basic-commands.ts'

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

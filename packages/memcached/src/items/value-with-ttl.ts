import { CacheError } from '@stowage/core'
import type { Connection } from '../connection/connection.ts'
import type { Dispatcher } from '../nodes/dispatcher.ts'
import type { ItemValue } from '../values/chunks.ts'
import { readTtl, readWithCas, readWithTtl, type TtlWithCas } from '../values/item-replies.ts'

/** The value of an item with its remaining ttl in milliseconds; `Infinity` if it never expires. */
interface ValueWithTtl {
  readonly value: ItemValue
  /** `undefined` if the server does not return it, or if the item was replaced while it was read. */
  readonly ttl: number | undefined
}

const operation = 'getWithTtl'

/** Reads the value of an item with its ttl, which only the meta protocol returns. */
export function getValueWithTtl(
  dispatcher: Dispatcher,
  key: string,
): Promise<ValueWithTtl | undefined> {
  return dispatcher.send(operation, key, (connection) =>
    connection.protocol.getWithTtl === undefined
      ? getOnTwoConnections(dispatcher, connection, key)
      : connection.getWithTtl(operation, key, readWithTtl),
  )
}

/**
 * Reads the value on the connection of the node, which has the order of the calls, and the ttl on the one with the meta
 * protocol, where it may be that of the item before or after a write. The ttl of an item that has been replaced since is
 * not known: a value that is stored again with a ttl that is too short would end the one that has replaced it.
 */
async function getOnTwoConnections(
  dispatcher: Dispatcher,
  connection: Connection,
  key: string,
): Promise<ValueWithTtl | undefined> {
  const [found, read] = await Promise.all([
    connection.get(operation, key, readWithCas),
    getTtl(dispatcher, key),
  ])
  if (found === undefined) return undefined
  const { value, cas } = found
  // The first one may be that before an own write that precedes this call.
  const isCurrent = read === 'unsupported' || read?.cas === cas
  const current = isCurrent ? read : await getTtl(dispatcher, key)
  const isKnown = current !== 'unsupported' && current?.cas === cas
  return { value, ttl: isKnown ? current.ttl : undefined }
}

/** Without the meta protocol, as on servers before 1.6, the ttl cannot be read. */
async function getTtl(
  dispatcher: Dispatcher,
  key: string,
): Promise<TtlWithCas | 'unsupported' | undefined> {
  try {
    return await dispatcher.sendMeta(operation, key, (connection) =>
      connection.getTtl(operation, key, readTtl),
    )
  } catch (error) {
    if (!CacheError.is(error) || error.code !== 'ERR_CACHE_UNSUPPORTED') throw error
    return 'unsupported'
  }
}

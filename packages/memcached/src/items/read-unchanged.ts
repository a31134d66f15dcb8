import type { Payload } from '@stowage/core'
import { conflict, toText } from '@stowage/core/driver'
import { isSameItem } from '@stowage/core/internal'

/** The server increments no longer text, `INCR_MAX_STORAGE_LEN` in memcached.h. */
export const maxCounterBytes = 24

/** Whether the server may increment the value, or another client may have made it shorter: digits and padding. */
export function isServerCounter(payload: Payload): boolean {
  return payload.length <= maxCounterBytes && /^\d+ *$/.test(toText(payload))
}

interface Item {
  readonly cas: bigint
  readonly value: unknown
  /** Seconds that remain, if they were requested. */
  readonly ttl?: number | undefined
}

/**
 * Reads a counter twice, in one round trip. While a thread of memcached adds to an item that another one is sending, it gives
 * the old item the cas id of the new one (`do_add_delta` in memcached.c): the old value then is read with an id that replaces
 * the sum. The second read finds the new item. Resolves to `conflict` if the two differ.
 *
 * @param between sends what must belong to the same second of the server as the seconds that remain
 */
export async function readUnchanged<T extends Item>(
  read: () => Promise<T | undefined>,
  between: () => void = () => {},
): Promise<T | undefined | typeof conflict> {
  const first = read()
  between()
  const [item, again] = await Promise.all([first, read()])
  const isSame = item?.cas === again?.cas && isSameItem(item?.value, again?.value)
  return isSame && item?.ttl === again?.ttl ? item : conflict
}

import { types } from 'node:util'
import type { Entry } from '../entry.ts'
import type { Codec } from '../values/codec.ts'
import { freezeDeeply } from '../values/freeze-deeply.ts'
import { DecodedItem } from '../values/stored-entries.ts'
import type { NearValues } from './near-options.ts'

/** Returns a codec that also decodes the items of a near cache, each once if its value can be shared. */
export function nearCodec(codec: Codec, values: NearValues): Codec {
  return {
    counters: codec.counters,
    encode: (entry, key) => codec.encode(entry, key),
    decode: (item: unknown, key) =>
      item instanceof DecodedItem
        ? (item.entry ?? decodeItem(codec, values, item, key))
        : codec.decode(item as never, key),
    decodeShared: (item: unknown, key) =>
      item instanceof DecodedItem
        ? (item.entry ?? decodeShared(codec, item, key))
        : codec.decode(item as never, key),
  }
}

/** The caller does not modify the bytes of the payload, which the near cache keeps. */
function decodeShared(codec: Codec, item: DecodedItem, key: string): Entry | undefined {
  if (codec.decodeShared === undefined || item.payload === undefined)
    return decodeItem(codec, 'copied', item, key)
  if (item.shared !== undefined) return item.shared
  const entry = codec.decodeShared(item.payload, key)
  item.freshUntil = entry?.facts?.freshUntil
  if (types.isUint8Array(entry?.value)) item.shared = entry
  return entry
}

function decodeItem(
  codec: Codec,
  values: NearValues,
  item: DecodedItem,
  key: string,
): Entry | undefined {
  const { payload } = item
  if (payload === undefined) return undefined
  // What is decoded may refer to the bytes, and the caller may modify it.
  const bytes = typeof payload === 'string' ? payload : Uint8Array.from(payload)
  const entry = codec.decode(bytes, key)
  item.freshUntil = entry?.facts?.freshUntil
  if (entry === undefined || values === 'copied') return entry
  if (values === 'frozen' && !freezeDeeply(entry.value)) return entry
  item.entry = entry
  // An entry with facts may become stale, and is replaced by compare-and-set then.
  if (entry.facts === undefined) {
    item.payload = undefined
    item.value = entry.value
  }
  return entry
}

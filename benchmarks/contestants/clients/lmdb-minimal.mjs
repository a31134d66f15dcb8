import { open } from 'lmdb'
import { asyncCache } from '../shared/async-cache.mjs'

/**
 * Not a usable cache: the minimum that a cache with JSON on the library does. Nothing expires, and a read shows what the
 * last turn of the event loop has committed. It shows the cost of `JSON.parse` and of the native code.
 */
export function minimal({ path }) {
  const database = open({ path, encoding: 'binary', noSync: true })
  const cache = asyncCache({
    get(key) {
      const bytes = database.getBinaryFast(key)
      return bytes === undefined ? undefined : JSON.parse(bytes.latin1Slice(0, database.lastSize))
    },
    set: (key, value) => database.put(key, Buffer.from(JSON.stringify(value))),
  })
  return {
    ...cache,
    set: (key, value) => database.put(key, Buffer.from(JSON.stringify(value))),
    close: () => database.close(),
  }
}

// Has stores that another process uses: fork(store-process.mjs). Every message is a call of a method of a store.
import { BatchError } from '@stowage/core/driver'
import { lmdb } from '@stowage/lmdb'

/** @type {Map<number, any>} */
const stores = new Map()

process.on('message', async (/** @type {any} */ { id, store, method, args }) => {
  try {
    process.send?.({ id, value: await call(store, method, args) })
  } catch (error) {
    process.send?.({ id, error: describe(error) })
  }
})
process.once('disconnect', () => process.exit(0))

/** @param {number} number @param {string} method @param {any[]} args */
async function call(number, method, args) {
  if (method === 'create') {
    stores.set(number, lmdb(args[0]))
    return stores.get(number).limits
  }
  const store = stores.get(number)
  if (method !== 'scan') return store[method](...args)
  const pages = []
  for await (const page of store.scan(...args)) pages.push(page)
  return pages
}

/** @param {any} error */
function describe(error) {
  const { name, code, message, operation, key, retryable } = error
  const outcomes = error instanceof BatchError ? error.outcomes : undefined
  return { name, code, message, operation, key, retryable, isBatch: outcomes !== undefined }
}

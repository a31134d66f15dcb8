import { Cache } from '@stowage/core'

/**
 * Opens a cache with the collection of the test.
 * @param {{ driver: string, options: object }} backend
 * @param {(id: string, value?: unknown) => Promise<unknown>} query loads a value from the database, or saves it
 */
export async function itemsOf({ driver, options }, query) {
  const { default: factory } = await import(`@stowage/${driver}`)
  const cache = new Cache(factory.create(options), { prefix: 'write-through:' })
  const items = cache.collection('item', {
    ttl: '1h',
    load: (id) => query(id),
    save: async (id, value) => void (await query(id, value)),
  })
  return { cache, items }
}

import { Cache } from '@stowage/core'
import { referenceStore } from '@stowage/testing'
import { expect, test } from 'vitest'

const strong = { consistency: 'strong' } as const

test('processes agree on the generation of a namespace after the prefix around it was cleared', async () => {
  const backend = referenceStore({ scan: false, async: true })
  // Two stores over the same items, as of two processes.
  const [a, b] = [{ ...backend }, { ...backend }].map(
    (store) => new Cache(store, { prefix: 'app:' }),
  )
  if (a === undefined || b === undefined) throw new Error('no caches')
  await a.namespace('ns').set('key', 'a')
  await a.clear()
  await b.namespace('ns').set('key', 'b')
  await b.namespace('ns').clear()
  await a.clear()
  await a.namespace('ns').set('key', 'new')
  expect(await b.namespace('ns').get('key', strong)).toBe('new')
  expect(await a.namespace('ns').get('key', strong)).toBe('new')
})

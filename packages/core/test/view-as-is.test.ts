import { asIs, Cache, encrypted, json } from '@stowage/core'
import { canListKeys, viewAsIs } from '@stowage/core/internal'
import { memory } from '@stowage/memory'
import { referenceStore } from '@stowage/testing'
import { expect, test } from 'vitest'

test('viewAsIs stores text without quotes, under the same keys', async () => {
  const cache = new Cache(memory(), { prefix: 'pages:' })
  const view = viewAsIs(cache, 'text')
  await view.set('home', '<h1>"Home"</h1>')
  expect(await cache.view({ codec: asIs({ returns: 'text' }) }).get('home')).toBe('<h1>"Home"</h1>')
  expect(await view.get('home')).toBe('<h1>"Home"</h1>')
  expect(await viewAsIs(cache, 'bytes').get('home')).toEqual(Buffer.from('<h1>"Home"</h1>'))
  await cache.delete('home')
  expect(await view.get('home')).toBeUndefined()
})

const keys = [`2026:${Buffer.alloc(32, 1).toString('base64')}`]
test.each([
  ['encryption', () => new Cache(memory(), { codec: encrypted(json(), { keys }) })],
  ['values by reference', () => new Cache(memory({ values: 'shared' }))],
  ['another codec', () => new Cache(memory(), { codec: asIs() })],
])('viewAsIs leaves a cache with %s as it is', (_, create) => {
  const cache = create()
  expect(viewAsIs(cache, 'text')).toBe(cache)
})

test('canListKeys tells whether keys() works', () => {
  const unlistable = Object.assign(referenceStore(), { scan: undefined }) as never
  expect(canListKeys(new Cache(memory()))).toBe(true)
  expect(canListKeys(new Cache(unlistable, { prefix: 'a:' }))).toBe(false)
})

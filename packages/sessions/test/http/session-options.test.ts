import { session } from '@stowage/sessions'
import { expect, test } from 'vitest'
import { setup } from '../fixture.ts'

test.each([
  ['no options', undefined],
  ['no store', { secret: 's' }],
  ['the cache instead of its sessions', { secret: 's', store: setup().createCache() }],
])('session with %s names what it needs', (_, options) => {
  expect(() => session(options as never)).toThrow(/store must be Sessions or a SessionStore/)
})

test.each([[undefined], [5], [''], [[]], [['s', 5]]])('session with the secret %o', (secret) => {
  const store = setup().one
  expect(() => session({ secret: secret as never, store })).toThrow(/secret must be a non-empty/)
})

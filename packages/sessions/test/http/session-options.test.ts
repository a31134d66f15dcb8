import { session } from '@stowage/sessions'
import { expect, test, vi } from 'vitest'
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

test.each([[42], ['secure'], [true], [() => 42]])('session with the cookie %o', async (cookie) => {
  const create = () => session({ secret: 's', store: setup().one, cookie: cookie as never })
  const message = /cookie must be an object of attributes/
  if (typeof cookie !== 'function') expect(create).toThrow(message)
  else {
    const next = vi.fn()
    const request = { headers: {}, url: '/', socket: {} }
    create()(request as never, {} as never, next)
    await expect.poll(() => next.mock.calls.length).toBe(1)
    expect(String(next.mock.calls[0])).toMatch(message)
  }
})

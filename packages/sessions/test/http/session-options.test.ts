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

test('a function that promises the attributes of the cookie is an error, and never a cookie without them', async () => {
  const cookie = async () => ({ secure: true })
  const middleware = session({ secret: 's', store: setup().one, cookie: cookie as never })
  const next = vi.fn()
  middleware({ headers: {}, url: '/', socket: {} } as never, {} as never, next)
  expect(String(next.mock.calls[0])).toMatch(/not a promise/)
})

test('an error of the function of the cookie goes to the error handlers', async () => {
  const cookie = () => {
    throw new Error('no attributes')
  }
  const middleware = session({ secret: 's', store: setup().one, cookie })
  const next = vi.fn()
  middleware({ headers: {}, url: '/', socket: {} } as never, {} as never, next)
  expect(String(next.mock.calls[0])).toMatch(/no attributes/)
})

test.each([
  [
    { path: '/; Domain=example.org' },
    /path, domain, sameSite or priority of the cookie is invalid/,
  ],
  [{ domain: 'a\nb' }, /path, domain, sameSite or priority/],
  [{ sameSite: 'some' }, /path, domain, sameSite or priority/],
  [{ priority: 5 }, /path, domain, sameSite or priority/],
  [{ expires: '2030-01-01' }, /must be a valid date: a Date/],
  [{ maxAge: 0 }, /maxAge of the cookie must be positive/],
  [{ maxAge: '-1m' }, /Leave it out for a cookie that lasts until the browser ends/],
  [{ sameSite: 'none' }, /must be secure: true, or 'auto'/],
  [{ samesite: 'strict' }, /samesite is not an attribute of a cookie/],
  [{ HttpOnly: true }, /HttpOnly is not an attribute of a cookie/],
])('session with the cookie %o', (cookie, message) => {
  const create = () => session({ secret: 's', store: setup().one, cookie: cookie as never })
  expect(create).toThrow(message)
})

test.each([[5], ['a b'], ['']])('session with the name %o', (name) => {
  const create = () => session({ secret: 's', store: setup().one, name: name as never })
  expect(create).toThrow(/is not a name of a cookie/)
})

test('an option that does not exist is refused', () => {
  const options = { secret: 's', store: setup().one, saveUninitialised: true }
  expect(() => session(options)).toThrow(
    'session: unknown option saveUninitialised. Did you mean saveUninitialized?',
  )
})

test.each(['maxAge', 'secure', 'httpOnly', 'sameSite', 'path'])(
  'the attribute %s beside the cookie is refused',
  (name) => {
    const options = { secret: 's', store: setup().one, [name]: 1 }
    expect(() => session(options)).toThrow(
      `${name} is an attribute of the cookie: cookie: { ${name}`,
    )
  },
)

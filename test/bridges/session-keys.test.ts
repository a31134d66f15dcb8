import { adonisSessionStore } from '@stowage/bridges/adonis-session'
import { openidSessionStore } from '@stowage/bridges/express-openid-connect'
import { honoSessionStorage } from '@stowage/bridges/hono-session'
import { honoSessionsStore } from '@stowage/bridges/hono-sessions'
import { koaSessionStore } from '@stowage/bridges/koa-session'
import { auth0SessionStore } from '@stowage/bridges/nextjs-auth0'
import { sessionStrategy } from '@stowage/bridges/react-router'
import { Cache } from '@stowage/core'
import { memory } from '@stowage/memory'
import { Sessions } from '@stowage/sessions'
import { sessionKey } from '@stowage/sessions/tools'
import { expect, test } from 'vitest'

/** What a library calls with the id of a cookie. */
const destroys: Record<string, (sessions: Sessions, id: string) => unknown> = {
  'koa-session': (sessions, id) => koaSessionStore(sessions).destroy(id, {}),
  'hono-sessions': (sessions, id) => honoSessionsStore(sessions).deleteSession(id),
  '@hono/session': (sessions, id) => honoSessionStorage(sessions)().delete(id),
  'express-openid-connect': (sessions, id) =>
    new Promise((resolve) => openidSessionStore<never>(sessions).destroy(id, resolve)),
  'React Router': (sessions, id) => sessionStrategy(sessions).deleteData(id),
  AdonisJS: (sessions, id) => adonisSessionStore(sessions)({}, { age: 60, cookie: {} }).destroy(id),
}

test.each(Object.entries(destroys))(
  '%s: a cookie with the key of a session does not end it',
  async (_, destroy) => {
    const sessions = new Sessions({ cache: new Cache(memory()) })
    await sessions.create('an id', { user: 'ada' })
    expect(await sessions.keys()).toEqual([sessionKey('an id')])
    await destroy(sessions, sessionKey('an id'))
    expect(await sessions.read('an id')).toEqual({ user: 'ada' })
    await destroy(sessions, 'an id')
    await expect.poll(() => sessions.read('an id')).toBeUndefined()
  },
)

const bridges: Record<string, (sessions: never) => unknown> = {
  koaSessionStore,
  honoSessionsStore,
  honoSessionStorage,
  openidSessionStore,
  sessionStrategy,
  adonisSessionStore,
  auth0SessionStore,
}

test.each(Object.keys(bridges))('%s refuses a cache in place of sessions', (name) => {
  const cache = new Cache(memory()) as never
  const message = `${name}: the first argument must be Sessions, such as new Sessions({ cache }).`
  expect(() => bridges[name]?.(cache)).toThrow(message)
})

test('koa-session: a session that has ended is not taken to another id', async () => {
  const sessions = new Sessions({ cache: new Cache(memory()) })
  const store = koaSessionStore(sessions)
  await store.set('a', { user: 'ada' }, 'session', { ctx: {} })
  // A request that has read the session before the logout gives it another id.
  const request = { ctx: {} }
  const session = await store.get('a', 'session', request)
  await store.destroy('a', { ctx: {} })
  await store.destroy('a', request)
  await store.set('b', { ...session, page: 1 }, 'session', request)
  expect(await store.get('b', 'session', { ctx: {} })).toEqual({ page: 1, _session: true })
})

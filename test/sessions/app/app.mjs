import { json } from 'node:stream/consumers'
import fastifyCookie from '@fastify/cookie'
import fastifySession from '@fastify/session'
import { getRequestListener } from '@hono/node-server'
import { Cache } from '@stowage/core'
import { SessionStore } from '@stowage/express'
import { session as ownSession, sessionLock } from '@stowage/sessions'
import { sessionLock as fastifyLock, session as ownFastifySession } from '@stowage/sessions/fastify'
import { sessionLock as honoLock, session as honoSession, sessionOf } from '@stowage/sessions/hono'
import { sessionLock as koaLock, session as koaSession } from '@stowage/sessions/koa'
import express from 'express'
import session from 'express-session'
import fastify from 'fastify'
import { Hono } from 'hono'
import Koa from 'koa'

/**
 * An application that does with its session what a request tells it: `POST /<app>` with a list of steps as JSON. It
 * replies with the session as it was read, and as it is in the end.
 * @typedef {readonly (string | number)[]} Step the name of one of `steps`, and its arguments
 */

/** Time to live of a session, in milliseconds, by the name of the application. */
export const maxAges = {
  plain: 600_000,
  resave: 600_000,
  own: 600_000,
  locked: 600_000,
  lockedOwn: 600_000,
  lockedFastify: 600_000,
  lockedHono: 600_000,
  lockedKoa: 600_000,
  fastify: 600_000,
  ownFastify: 600_000,
  ownHono: 600_000,
  ownKoa: 600_000,
  short: 3_000,
  unlisted: 600_000,
  listed: 600_000,
}

/**
 * The sessions of `unlisted` and `listed` are the same ones.
 * @type {Readonly<Record<string, string>>}
 */
const prefixes = { unlisted: 'users:', listed: 'users:' }
const lockOptions = /** @type {const} */ ({ ttl: '2s', wait: '20s' })
const users = {
  index: (/** @type {any} */ { user }) => user,
  indexSecret: 'a secret of this application',
}

/**
 * Creates an application for each of `maxAges`. `resave` saves every session, also unchanged ones. `own` and `lockedOwn`
 * have the middleware of `@stowage/sessions`, those that end with a framework that for it, `fastify` has @fastify/session, and
 * the others have express-session. The requests of one session of `locked…` run one after another. `listed` lists the sessions of each user,
 * and `unlisted` is the same application before that.
 * @param {import('@stowage/core').CacheStore} store
 * @param {(token: string) => Promise<void>} hold called by the step `hold`. The request goes on when it has resolved
 */
export async function createApps(store, hold) {
  const app = express()
  for (const [name, maxAge] of Object.entries(maxAges)) {
    if (/(fastify|hono|koa)$/i.test(name)) continue
    const cache = new Cache(store, { prefix: prefixes[name] ?? `${name}:` })
    const sessions = new SessionStore({ cache, ...(name === 'listed' ? users : {}) })
    const options = { resave: name === 'resave', saveUninitialized: false, cookie: { maxAge } }
    const create = name === 'own' || name === 'lockedOwn' ? ownSession : session
    const middleware = create({ secret: 'test only', ...options, store: sessions })
    const lock = name.startsWith('locked') ? [sessionLock(lockOptions)] : []
    app.post(`/${name}`, express.json(), middleware, ...lock, async (request, response) => {
      response.json(await perform(request, sessions, hold, request.body))
    })
  }
  app.use(
    (
      /** @type {any} */ error,
      /** @type {any} */ _,
      /** @type {any} */ response,
      /** @type {any} */ __,
    ) => {
      response.status(500).json({ error: `${error.code ?? error.name}: ${error.message}` })
    },
  )
  /** @type {Record<string, (request: any, response: any) => unknown>} */
  const others = { '/fastify': await createFastifyApp(store, hold) }
  for (const kind of ['own', 'locked']) {
    others[`/${kind}Fastify`] = await createOwnFastifyApp(store, hold, `${kind}Fastify`)
    others[`/${kind}Hono`] = createHonoApp(store, hold, `${kind}Hono`)
    others[`/${kind}Koa`] = createKoaApp(store, hold, `${kind}Koa`)
  }
  return (/** @type {any} */ request, /** @type {any} */ response) =>
    (others[request.url] ?? app)(request, response)
}

/** @param {import('@stowage/core').CacheStore} store @param {(token: string) => Promise<void>} hold */
async function createFastifyApp(store, hold) {
  const app = fastify()
  const sessions = new SessionStore({ cache: new Cache(store, { prefix: 'fastify:' }) })
  await app.register(fastifyCookie)
  await app.register(fastifySession, {
    secret: 'a secret of at least 32 characters',
    saveUninitialized: false,
    cookie: { maxAge: maxAges.fastify, secure: false },
    // Its types describe another signature of callbacks.
    store: /** @type {any} */ (sessions),
  })
  app.post('/fastify', (request) =>
    perform(request, sessions, hold, /** @type {Step[]} */ (request.body)),
  )
  await app.ready()
  return app.routing
}

/** @param {import('@stowage/core').CacheStore} store @param {string} name */
function ownOptions(store, name) {
  const sessions = new SessionStore({ cache: new Cache(store, { prefix: `${name}:` }) })
  return { secret: 'test only', cookie: { maxAge: maxAges.own }, store: sessions }
}

/** @param {import('@stowage/core').CacheStore} store @param {(token: string) => Promise<void>} hold @param {string} name */
async function createOwnFastifyApp(store, hold, name) {
  const app = fastify()
  const options = ownOptions(store, name)
  await app.register(ownFastifySession, options)
  const lock = name.startsWith('locked') ? { preHandler: fastifyLock(lockOptions) } : {}
  app.post(`/${name}`, lock, ({ raw, body }) =>
    perform(raw, options.store, hold, /** @type {Step[]} */ (body)),
  )
  await app.ready()
  return app.routing
}

/** @param {import('@stowage/core').CacheStore} store @param {(token: string) => Promise<void>} hold @param {string} name */
function createHonoApp(store, hold, name) {
  const app = new Hono()
  const options = ownOptions(store, name)
  app.use(honoSession(options))
  if (name.startsWith('locked')) app.use(honoLock(lockOptions))
  app.post(`/${name}`, async (context) => {
    const request = {
      get session() {
        return sessionOf(context)
      },
    }
    return context.json(await perform(request, options.store, hold, await context.req.json()))
  })
  return getRequestListener(app.fetch)
}

/** @param {import('@stowage/core').CacheStore} store @param {(token: string) => Promise<void>} hold @param {string} name */
function createKoaApp(store, hold, name) {
  const app = new Koa()
  const options = ownOptions(store, name)
  app.use(koaSession(options))
  if (name.startsWith('locked')) app.use(koaLock(lockOptions))
  app.use(async (context) => {
    const body = /** @type {Step[]} */ (await json(context.req))
    context.body = await perform(context, options.store, hold, body)
  })
  return app.callback()
}

/**
 * @param {any} request @param {SessionStore} sessions @param {(token: string) => Promise<void>} hold
 * @param {readonly Step[]} body
 */
async function perform(request, sessions, hold, body) {
  const read = dataOf(request.session)
  for (const [step, ...args] of body) await steps[step]?.(request, sessions, hold, ...args)
  return { read, data: dataOf(request.session) }
}

/** @type {Record<string, (request: any, sessions: SessionStore, hold: (token: string) => Promise<void>, ...args: any[]) => unknown>} */
const steps = {
  set: ({ session }, _, __, key, value) => (session[key] = value),
  add: ({ session }, _, __, key, value) => (session[key] = [...(session[key] ?? []), value]),
  delete: ({ session }, _, __, key) => delete session[key],
  hold: (_, __, hold, token) => hold(token),
  save: ({ session }) => promised((done) => session.save(done)),
  reload: ({ session }) => promised((done) => session.reload(done)),
  destroy: ({ session }) => promised((done) => session.destroy(done)),
  regenerate: ({ session }) => promised((done) => session.regenerate(done)),
  remember: ({ session }, _, __, maxAge) => (session.cookie.maxAge = maxAge),
  /** Logs out, and saves the session object nevertheless. */
  saveDestroyed: async ({ session }, _, __, key) => {
    await promised((done) => session.destroy(done))
    session[key] = 1
    await promised((done) => session.save(done))
  },
  destroyAllFor: (_, sessions, __, user) => sessions.sessions.destroyAllFor(user),
  destroyOthersOf: ({ sessionID: except }, sessions, _, user) =>
    sessions.sessions.destroyAllFor(user, { except }),
  clear: (_, sessions) => promised((done) => sessions.clear(done)),
}

/** @param {(done: (error?: unknown) => void) => unknown} call @returns {Promise<void>} */
function promised(call) {
  return new Promise((resolve, reject) => void call((error) => (error ? reject(error) : resolve())))
}

/** @param {any} session */
function dataOf(session) {
  if (session === undefined || session === null) return null
  const { cookie, ...data } = JSON.parse(JSON.stringify(session))
  return data
}

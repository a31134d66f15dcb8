import { randomBytes } from 'node:crypto'
import { Cache } from '@stowage/core'
import { SessionStore } from '@stowage/express'
import { redis } from '@stowage/redis'
import { session as ownSession, Sessions } from '@stowage/sessions'
import { RedisStore } from 'connect-redis'
import express from 'express'
import session, { MemoryStore, Store } from 'express-session'
import { Redis } from 'ioredis'
import { createClient } from 'redis'
import { hourMs, users } from '../../lib/workloads/dataset.mjs'
import { minimalSession as minimalMiddleware } from './minimal-session.mjs'
import { withLoad } from './with-load.mjs'

const cookie = { maxAge: hourMs }

/** What an application writes by hand: one GET, and one SET if the session has changed. */
export async function floor({ url }) {
  const client = new Redis(url)
  const app = express()
  app.use(async (request, response, next) => {
    const id =
      /sid=(\w+)/.exec(request.headers.cookie ?? '')?.[1] ?? randomBytes(16).toString('hex')
    const text = await client.get(id)
    request.session = text === null ? {} : JSON.parse(text)
    response.setHeader('Set-Cookie', `sid=${id}`)
    request.save = () => client.set(id, JSON.stringify(request.session), 'PX', hourMs)
    next()
  })
  return start(
    app,
    () => client.quit(),
    (request) => request.save(),
  )
}

export const memoryStore = () => withStore(new MemoryStore())

export async function connectRedis({ url }) {
  const client = await createClient({ url }).connect()
  return withStore(new RedisStore({ client }), () => client.close())
}

/**
 * What express-session itself costs with the driver: a store with one GET, and one SET if the session has changed. It
 * neither merges nor notices a logout.
 */
export function minimal({ url }) {
  const driver = redis({ url })
  return withStore(new MinimalStore(driver), () => driver.close())
}

class MinimalStore extends Store {
  #driver

  constructor(driver) {
    super()
    this.#driver = driver
  }

  get(id, callback) {
    this.#driver.get(id).then((item) => callback(null, item && JSON.parse(item)), callback)
  }

  set(id, session, callback) {
    this.#driver.set(id, JSON.stringify(session), hourMs).then(() => callback(null), callback)
  }

  touch(_id, _session, callback) {
    process.nextTick(callback)
  }

  destroy(id, callback) {
    this.#driver.delete(id).then(() => callback(null), callback)
  }
}

/**
 * The least that a store costs which overwrites nothing: a write compares what is stored with what was read. It does not
 * merge.
 */
export function minimalComparing({ url }) {
  const driver = redis({ url })
  return withStore(new ComparingStore(driver), () => driver.close())
}

class ComparingStore extends MinimalStore {
  #driver

  constructor(driver) {
    super(driver)
    this.#driver = driver
  }

  get(id, callback) {
    this.#driver.get(id).then((item) => {
      const session = item && JSON.parse(item)
      // express-session copies it, and does not store it.
      if (session) session.seen$ = { item, toJSON: () => undefined }
      callback(null, session)
    }, callback)
  }

  set(id, session, callback) {
    const { seen$: seen } = session
    if (seen === undefined) return super.set(id, session, callback)
    const next = JSON.stringify(session)
    const writing = this.#driver.compareAndSet(id, seen.item, next, hourMs)
    writing.then((isStored) => callback(isStored ? null : new Error('changed')), callback)
  }
}

export function stowage({ url }) {
  const cache = new Cache(redis({ url }), { prefix: 'session:' })
  return withStore(new SessionStore({ cache }), () => cache.close())
}

/** What `session()` has to cost with the driver. */
export function minimalSession({ url }) {
  const driver = redis({ url })
  const app = express()
  app.use(minimalMiddleware(driver, { secret: 'secret', maxAge: hourMs }))
  return start(app, () => driver.close())
}

export function stowageSession({ url }) {
  const cache = new Cache(redis({ url }), { prefix: 'session:' })
  return withStore(new Sessions({ cache }), () => cache.close(), ownSession)
}

export function withStore(store, close, create = session) {
  const app = express()
  app.use(create({ secret: 'secret', resave: false, saveUninitialized: false, cookie, store }))
  return start(app, close)
}

/** Adds the routes. The session is saved at the end of a request, or by `save`. */
function start(app, close, save) {
  const route = (path, handle) =>
    app.get(path, async (request, response) => {
      handle(request.session)
      if (path !== '/read/:index') await save?.(request)
      response.send(`${request.session.user.id}`)
    })
  app.disable('x-powered-by').disable('etag')
  route('/login', (session) => {
    session.user = users.values[0]
    session.count = 0
  })
  route('/read/:index', () => {})
  route('/write/:index', (session) => session.count++)
  return withLoad(app, close)
}

import { randomBytes } from 'node:crypto'
import { Cache } from '@stowage/core'
import { SessionStore } from '@stowage/express'
import { redis } from '@stowage/redis'
import { RedisStore } from 'connect-redis'
import express from 'express'
import session, { MemoryStore } from 'express-session'
import { Redis } from 'ioredis'
import { createClient } from 'redis'
import { hourMs, users } from '../../lib/workloads/dataset.mjs'
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

export function stowage({ url }) {
  const cache = new Cache(redis({ url }), { prefix: 'session:' })
  return withStore(new SessionStore({ cache }), () => cache.close())
}

function withStore(store, close) {
  const app = express()
  app.use(session({ secret: 'secret', resave: false, saveUninitialized: false, cookie, store }))
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

import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { SessionStore } from '@stowage/express'
import express from 'express'
import session from 'express-session'
import { createCaches, settings } from './config.ts'

declare module 'express-session' {
  interface SessionData {
    visits: number
  }
}

const caches = await createCaches()
const app = express()
app.use(
  session({
    secret: settings.secret,
    resave: false,
    saveUninitialized: false,
    store: new SessionStore({ cache: caches.use('session') }),
  }),
)

/** Counts in the session, which any process may have written a moment ago, and greets from the cache. */
app.get('/', async (req, res) => {
  const visits = (req.session.visits ?? 0) + 1
  req.session.visits = visits
  const greeting = await caches.use('cache').remember('greeting', { ttl: '1m' }, () => 'Hello')
  res.json({ greeting, visits })
})

app.post('/sign-out', (req, res, next) => {
  req.session.destroy((error) => (error ? next(error) : res.sendStatus(204)))
})

const server = app.listen(settings.port, '127.0.0.1')
await once(server, 'listening')
console.log(`Listening on http://127.0.0.1:${(server.address() as AddressInfo).port}`)

process.once('SIGTERM', async () => {
  server.close()
  server.closeAllConnections()
  await caches.close()
})

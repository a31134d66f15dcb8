import type { Caches, Role } from '@stowage/core'
import { closeServer, exitWithError, listen, onShutdown, urlOf } from '@stowage/example-shared'
import { SessionStore, sessionSecret } from '@stowage/express'
import express, { type Express } from 'express'
import session from 'express-session'
import { createCaches, settings } from './config.ts'

declare module 'express-session' {
  interface SessionData {
    visits: number
  }
}

const host = '127.0.0.1'
const shutdownTimeoutMs = 5_000

async function main(): Promise<void> {
  const caches = await createCaches()
  const server = await listen(createApp(caches), { host, port: settings.port })
  onShutdown(async () => {
    await closeServer(server, shutdownTimeoutMs)
    await caches.close()
  })
  console.log(`Listening on ${urlOf(server, host)}`)
}

function createApp(caches: Caches<Role>): Express {
  const app = express()
  app.use(
    session({
      secret: sessionSecret({ NODE_ENV: 'development', ...process.env }),
      resave: false,
      saveUninitialized: false,
      store: new SessionStore({ cache: caches.use('session') }),
    }),
  )

  // Counts visits in the session, which another process may have written a moment ago.
  app.get('/', async (req, res) => {
    const visits = (req.session.visits ?? 0) + 1
    req.session.visits = visits
    const greeting = await caches.use('cache').remember('greeting', { ttl: '1m' }, () => 'Hello')
    res.json({ greeting, visits })
  })

  app.post('/sign-out', (req, res, next) => {
    req.session.destroy((error) => (error ? next(error) : res.sendStatus(204)))
  })
  return app
}

main().catch(exitWithError)

import type { Caches, Role } from '@stowage/core'
import { closeServer, exitWithError, listen, onShutdown, urlOf } from '@stowage/example-shared'
import { SessionStore, sessionSecret } from '@stowage/express'
import express, { type Express } from 'express'
import session from 'express-session'
import { createCaches, pool } from './database.ts'
import { addNote, listNotes } from './notes.ts'

declare module 'express-session' {
  interface SessionData {
    written: number
  }
}

const host = '127.0.0.1'
const shutdownTimeoutMs = 5_000

async function main(): Promise<void> {
  const caches = await createCaches()
  const server = await listen(createApp(caches), { host, port: Number(process.env.PORT ?? 3000) })
  onShutdown(async () => {
    await closeServer(server, shutdownTimeoutMs)
    await caches.close()
    await pool.end()
  })
  console.log(`Listening on ${urlOf(server, host)}`)
}

function createApp(caches: Caches<Role>): Express {
  const cache = caches.use('cache')
  const app = express()
  app.use(express.json())
  app.use(
    session({
      secret: sessionSecret({ NODE_ENV: 'development', ...process.env }),
      resave: false,
      saveUninitialized: false,
      store: new SessionStore({ cache: caches.use('session') }),
    }),
  )

  app.get('/notes', async (req, res) => {
    res.json({ notes: await listNotes(cache), written: req.session.written ?? 0 })
  })

  // The database refuses an empty text: then the cache keeps what it has.
  app.post('/notes', async (req, res) => {
    await addNote(cache, String(req.body?.text ?? ''))
    req.session.written = (req.session.written ?? 0) + 1
    res.sendStatus(201)
  })
  return app
}

main().catch(exitWithError)

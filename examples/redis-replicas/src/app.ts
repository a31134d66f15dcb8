import { fileURLToPath } from 'node:url'
import { CacheError } from '@stowage/core'
import express, { type ErrorRequestHandler, type Express, type RequestHandler } from 'express'
import { delays } from './delays.ts'
import type { LocalServers } from './local-servers.ts'
import { noteKey, type SharedNote } from './note.ts'
import { page, problemPage } from './page.ts'
import type { Servers } from './servers.ts'
import { giveToken, tokenOf } from './token-cookie.ts'

export interface AppOptions {
  readonly note: SharedNote
  readonly servers: Servers
  /** Servers of our own, to play with. */
  readonly local: LocalServers | undefined
}

const longestText = 60
const publicFolder = fileURLToPath(new URL('../public', import.meta.url))

export function createApp(options: AppOptions): Express {
  const { note, local } = options
  const app = express()
  app.disable('x-powered-by')
  app.use(securityHeaders, express.static(publicFolder))
  app.use(sameOriginOnly, express.urlencoded({ extended: false, limit: '2kb' }))

  app.get('/', async (req, res) => {
    const token = tokenOf(req)
    // First the application's own reads: nothing may pass between a write and them.
    const readings = await note.read(token)
    const states = await options.servers.look(noteKey)
    const nameOf = (address: string | undefined) => options.servers.nameOf(address)
    res.set('Cache-Control', 'no-store')
    res.send(page({ token, readings, states, nameOf, local, now: Date.now() }))
  })

  app.post('/note', async (req, res) => {
    const text = String(req.body?.text ?? '').trim()
    if (text === '' || text.length > longestText) {
      res.status(422).send(problemPage(`Write something, of ${longestText} characters at most.`))
      return
    }
    giveToken(res, await note.write(text))
    res.redirect(303, '/')
  })

  if (local !== undefined) {
    app.post('/delay', (req, res) => {
      const chosen = Number(req.body?.ms)
      if (delays.has(chosen)) local.delayMs = chosen
      res.redirect(303, '/#servers')
    })
    app.post('/replicas/:number', async (req, res) => {
      const replica = local.replicas[Number(req.params.number) - 1]
      await (replica?.runs === true ? replica.stop() : replica?.start())
      res.redirect(303, '/#servers')
    })
  }
  app.use(notFound, problems)
  return app
}

const policy = [
  "default-src 'none'",
  "style-src 'self'",
  "img-src 'self'",
  "form-action 'self'",
  "base-uri 'none'",
  "frame-ancestors 'none'",
].join('; ')

const securityHeaders: RequestHandler = (_req, res, next) => {
  res.set({
    'Content-Security-Policy': policy,
    'X-Content-Type-Options': 'nosniff',
    'Referrer-Policy': 'same-origin',
  })
  next()
}

/** No other site's page may write here in a visitor's name. */
const sameOriginOnly: RequestHandler = (req, res, next) => {
  const site = req.get('Sec-Fetch-Site') ?? 'same-origin'
  if (req.method !== 'POST' || site === 'same-origin' || site === 'none') return next()
  res.status(403).send(problemPage('This came from another site.'))
}

const notFound: RequestHandler = (_req, res) => {
  res.status(404).send(problemPage('There is no such page.'))
}

const problems: ErrorRequestHandler = (error, _req, res, _next) => {
  const unavailable = CacheError.is(error) && error.retryable
  if (!unavailable) console.error(error)
  const text = unavailable ? error.message : 'Something went wrong, and the fault is ours.'
  res.status(unavailable ? 503 : 500).send(problemPage(text))
}

import { CacheError } from '@stowage/core'
import {
  createBaseApp,
  errorHandler,
  httpStatusOf,
  notFound,
  sameOriginOnly,
} from '@stowage/example-shared/express'
import express, { type Express, type RequestHandler, Router } from 'express'
import { delays } from './local/delays.ts'
import type { LocalServers } from './local/local-servers.ts'
import { noteKey, type SharedNote } from './note.ts'
import type { ServerInspector } from './server-inspector.ts'
import { readToken, setToken } from './token-cookie.ts'
import { errorPage, page } from './views/page.ts'

export interface AppOptions {
  readonly note: SharedNote
  readonly inspector: ServerInspector
  /** The servers that this example started, if the environment names no others. */
  readonly local: LocalServers | undefined
}

const maxTextLength = 60
const publicFolder = new URL('../public', import.meta.url)

export function createApp(options: AppOptions): Express {
  const app = createBaseApp(publicFolder)
  app.use(sameOriginOnly, express.urlencoded({ extended: false, limit: '2kb' }))
  app.get('/', showPage(options))
  app.post('/note', writeNote(options))
  if (options.local !== undefined) app.use(localServerRoutes(options.local))
  app.use(notFound, errorPages)
  return app
}

function showPage({ note, inspector, local }: AppOptions): RequestHandler {
  return async (req, res) => {
    const token = readToken(req)
    // The reads come first, so that as little time as possible passes after the write.
    const reads = await note.read(token)
    const states = await inspector.inspect(noteKey)
    const nameOf = (address: string | undefined) => inspector.nameOf(address)
    res.set('Cache-Control', 'no-store')
    res.send(page({ token, reads, states, nameOf, local, now: Date.now() }))
  }
}

function writeNote({ note }: AppOptions): RequestHandler {
  return async (req, res) => {
    const text = String(req.body?.text ?? '').trim()
    if (text === '' || text.length > maxTextLength) {
      res.status(422).send(errorPage(`Enter 1 to ${maxTextLength} characters.`))
      return
    }
    setToken(res, await note.write(text))
    res.redirect(303, '/')
  }
}

function localServerRoutes(local: LocalServers): Router {
  const router = Router()
  router.post('/delay', (req, res) => {
    const delayMs = Number(req.body?.ms)
    if (delays.has(delayMs)) local.delayMs = delayMs
    res.redirect(303, '/#servers')
  })
  router.post('/replicas/:number', async (req, res) => {
    const replica = local.replicas[Number(req.params.number) - 1]
    await (replica?.running === true ? replica.kill() : replica?.start())
    res.redirect(303, '/#servers')
  })
  return router
}

const errorTexts: Readonly<Record<number, string>> = {
  403: 'This request came from another site.',
  404: 'This page does not exist.',
  413: 'The form is too large.',
}

const errorPages = errorHandler({
  statusOf: (error) => (CacheError.is(error) && error.retryable ? 503 : httpStatusOf(error)),
  sendPage: (error, _req, res) => {
    const text = res.statusCode === 503 ? (error as CacheError).message : errorTexts[res.statusCode]
    res.send(errorPage(text ?? 'An internal error occurred.'))
  },
})

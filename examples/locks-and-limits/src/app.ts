import { type Cache, CacheError } from '@stowage/core'
import {
  createBaseApp,
  errorHandler,
  httpStatusOf,
  logError,
  notFound,
  sameOriginOnly,
} from '@stowage/example-shared/express'
import express, { type Express, type RequestHandler } from 'express'
import { LimitedLogin } from './login.ts'
import { SharedReport } from './report.ts'
import { errorPage, loginPage, reportPage } from './views/pages.ts'

export interface AppOptions {
  readonly cache: Cache
  /** How long it takes to generate a report, in milliseconds. */
  readonly reportMs: number
}

const maxNameLength = 60
const publicFolder = new URL('../public', import.meta.url)

export function createApp({ cache, reportMs }: AppOptions): Express {
  const report = new SharedReport(cache, reportMs)
  const login = new LimitedLogin(cache)
  const app = createBaseApp(publicFolder)
  app.use(sameOriginOnly, express.urlencoded({ extended: false, limit: '2kb' }))
  app.get('/', (_req, res) => res.redirect('/report'))
  app.get('/report', showReport(report))
  app.post('/report', generateReport(report))
  app.get('/login', (_req, res) => void res.send(loginPage(undefined)))
  app.post('/login', attemptLogin(login))
  app.use(notFound, errorPages)
  return app
}

function showReport(report: SharedReport): RequestHandler {
  return async (_req, res) => {
    const [latest, isBeingGenerated] = await Promise.all([
      report.latest(),
      report.isBeingGenerated(),
    ])
    res.set('Cache-Control', 'no-store')
    if (isBeingGenerated) res.set('Refresh', '1')
    res.send(reportPage({ latest, isBeingGenerated }))
  }
}

function generateReport(report: SharedReport): RequestHandler {
  return async (req, res) => {
    const generating = report.generate()
    // The page shows the progress, so the request does not wait for the end.
    generating.catch((error) => logError(req, error))
    await Promise.race([generating, report.isBeingGenerated()])
    res.redirect(303, '/report')
  }
}

function attemptLogin(login: LimitedLogin): RequestHandler {
  return async (req, res) => {
    const user = String(req.body?.user ?? '').trim()
    if (user === '' || user.length > maxNameLength) {
      res.status(422).send(errorPage(`Enter a name of 1 to ${maxNameLength} characters.`))
      return
    }
    const result = await login.attempt(user, String(req.body?.password ?? ''))
    if (result.outcome === 'too many attempts') {
      res.status(429).set('Retry-After', String(Math.ceil(result.retryAfterMs / 1_000)))
    } else if (result.outcome === 'wrong password') res.status(401)
    res.send(loginPage(result))
  }
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

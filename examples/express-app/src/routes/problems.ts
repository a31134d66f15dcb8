import { CacheError } from '@stowage/core'
import type { ErrorRequestHandler, Request, RequestHandler } from 'express'
import { HttpError } from '../http-error.ts'
import { logFailure } from '../session.ts'
import { problem } from '../views/problem.ts'
import { render } from './render.ts'

const retryAfterSeconds = 5

// What lies in the value or in the program does not get better by waiting.
const lasting: ReadonlySet<string> = new Set([
  'ERR_CACHE_CONFIG',
  'ERR_CACHE_LIMIT',
  'ERR_CACHE_CODEC',
  'ERR_CACHE_UNSUPPORTED',
])

interface Wording {
  readonly title: string
  readonly text: string
}

const wordings: Readonly<Record<number, Wording>> = {
  400: { title: 'That request was not understood', text: 'Go back, and send the form again.' },
  403: {
    title: 'That came from another site',
    text: 'For your safety, changes are only taken from pages of this shop.',
  },
  404: { title: 'Nothing is stowed here', text: 'The page may have moved, or never existed.' },
  413: { title: 'That is too much cargo', text: 'The form was larger than this shop accepts.' },
  500: { title: 'Something went wrong', text: 'The fault is ours. Please try again later.' },
  503: {
    title: 'The session store does not answer',
    text: 'Signing in, your account and editing need it. The products are still there to browse, and the rest comes back by itself.',
  },
}

export const notFound: RequestHandler = () => {
  throw new HttpError(404)
}

export const problems: ErrorRequestHandler = (error, req, res, _next) => {
  const status = statusOf(error)
  if (status >= 500) logFailure(req, error)
  // The default handler would print the stack trace.
  if (res.headersSent) return void res.destroy()
  if (status === 503) {
    res.set('Retry-After', String(retryAfterSeconds))
    res.locals.sessionError = error
  }
  const wording = (wordings[status] ?? wordings[500]) as Wording
  const retry = status === 503 ? retryPath(req) : undefined
  res.status(status)
  render(req, res, wording.title, problem({ status, ...wording, ...(retry && { retry }) }))
}

function statusOf(error: unknown): number {
  if (CacheError.is(error)) return lasting.has(error.code) ? 500 : 503
  const { status } = error as { status?: unknown }
  return typeof status === 'number' && status >= 400 && status < 600 ? status : 500
}

/** A form cannot be sent again by a link, but it can be opened again. */
function retryPath(req: Request): string {
  return req.path === '/sign-out' ? '/account' : req.path
}

import { CacheError } from '@stowage/core'
import { errorHandler, httpStatusOf } from '@stowage/example-shared/express'
import type { ErrorRequestHandler, Request, Response } from 'express'
import { errorPage } from '../views/error-page.ts'
import { render } from './render.ts'

const retryAfterSeconds = 5

// Caused by the value or by the program: a retry fails again.
const permanent: ReadonlySet<string> = new Set([
  'ERR_CACHE_CONFIG',
  'ERR_CACHE_LIMIT',
  'ERR_CACHE_CODEC',
  'ERR_CACHE_UNSUPPORTED',
])

interface Message {
  readonly title: string
  readonly text: string
}

const internalError: Message = {
  title: 'Something went wrong',
  text: 'An internal error occurred. Please try again later.',
}
const messages: Readonly<Record<number, Message>> = {
  400: { title: 'Bad request', text: 'Go back and submit the form again.' },
  403: {
    title: 'Request from another site',
    text: 'Changes are accepted only from pages of this shop.',
  },
  404: { title: 'Page not found', text: 'The page was moved, or it never existed.' },
  413: { title: 'Form too large', text: 'The form is larger than this shop accepts.' },
  503: {
    title: 'The session store is unavailable',
    text: 'Signing in, your account and editing need it. You can still browse the products.',
  },
}

export const errorPages: ErrorRequestHandler = errorHandler({ statusOf, sendPage })

/** A CacheError that reaches a route means that the session store failed: 503, so that clients try again. */
function statusOf(error: unknown): number {
  if (!CacheError.is(error)) return httpStatusOf(error)
  return permanent.has(error.code) ? 500 : 503
}

function sendPage(error: unknown, req: Request, res: Response): void {
  const status = res.statusCode
  const { title, text } = messages[status] ?? internalError
  const isOutage = status === 503
  if (isOutage) {
    res.set('Retry-After', String(retryAfterSeconds))
    res.locals.sessionError = error
  }
  const retryPath = isOutage ? retryPathOf(req) : undefined
  render(req, res, title, errorPage({ status, title, text, retryPath }))
}

/** A link cannot submit a form again, but it can open the form again. */
function retryPathOf(req: Request): string {
  return req.path === '/sign-out' ? '/account' : req.path
}

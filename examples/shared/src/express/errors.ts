import { CacheError } from '@stowage/core'
import type { ErrorRequestHandler, Request, RequestHandler, Response } from 'express'

/** An error that sets the status of the response. Errors of Express and its body parser have a `status`, too. */
export class HttpError extends Error {
  readonly status: number

  constructor(status: number) {
    super(`HTTP status ${status}`)
    this.status = status
  }
}

export const notFound: RequestHandler = () => {
  throw new HttpError(404)
}

/** The `status` of the error if it is a valid error status, otherwise 500. */
export function httpStatusOf(error: unknown): number {
  const { status } = error as { status?: unknown }
  return typeof status === 'number' && status >= 400 && status < 600 ? status : 500
}

export interface ErrorHandlerOptions {
  statusOf(error: unknown): number
  /** Sends the error page. The status of `res` is already set. */
  sendPage(error: unknown, req: Request, res: Response): void
}

/** The last handler of an app: logs 5xx errors and sends an error page. */
export function errorHandler({ statusOf, sendPage }: ErrorHandlerOptions): ErrorRequestHandler {
  return (error, req, res, _next) => {
    const status = statusOf(error)
    if (status >= 500) logError(req, error)
    // The default handler of Express would print the stack trace of every error, also of an unreachable store.
    if (res.headersSent) return void res.destroy()
    res.status(status)
    sendPage(error, req, res)
  }
}

/** Logs a CacheError in one line without its key, which may be a session id. Other errors are bugs: with their stack. */
export function logError(req: Request, error: unknown): void {
  const detail = CacheError.is(error) ? `${error.code}: ${error.message}` : error
  console.error(`${req.method} ${req.path}:`, detail)
}

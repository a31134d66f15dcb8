import { type Cache, CacheError } from '@stowage/core'
import { SessionStore } from '@stowage/express'
import type { Request, RequestHandler, Response } from 'express'
import session from 'express-session'
import type { Statistics } from './statistics.ts'

declare module 'express-session' {
  interface SessionData {
    name: string
    /** Epoch milliseconds. */
    signedInAt: number
    visits: number
  }
}

export interface SessionOptions {
  readonly cache: Cache
  readonly secret: string
  readonly statistics: Statistics
}

export const cookieName = 'stowage.sid'

/** Sessions that nobody needs do no harm when their store is down: the request goes on as a guest's. */
export function sessions(options: SessionOptions): RequestHandler {
  const handle = session({
    name: cookieName,
    secret: options.secret,
    store: new SessionStore({ cache: options.cache }),
    resave: false,
    saveUninitialized: false,
    // A visit prolongs the session in the store, so it must prolong the cookie too.
    rolling: true,
    // The cookie lives as long as the session behind it.
    cookie: { httpOnly: true, sameSite: 'lax', secure: 'auto', maxAge: options.cache.ttl },
  })
  return (req, res, next) => {
    let passed = false
    handle(req, res, (error?: unknown) => {
      if (CacheError.is(error)) options.statistics.failed(options.cache.name)
      // express-session calls next() again when saving fails after the response was made.
      if (passed) return logFailure(req, error)
      passed = true
      if (!CacheError.is(error)) return next(error)
      res.locals.sessionError = error
      next()
    })
  }
}

/** Why there is no session, if the store failed to tell. */
export function sessionError(res: Response): CacheError | undefined {
  return res.locals.sessionError
}

/** For what makes no sense without a session: fails with the store's error, which becomes a 503. */
export const needsSessions: RequestHandler = (_req, res, next) => {
  next(sessionError(res))
}

/** For signed-in users only; others sign in first and come back. */
export const needsUser: RequestHandler = (req, res, next) => {
  if (sessionError(res) !== undefined) return next(sessionError(res))
  if (req.session.name !== undefined) return next()
  res.redirect(303, `/sign-in?next=${encodeURIComponent(req.path)}`)
}

/** A new session, under a new id: one that was planted or overheard before is worth nothing afterwards. */
export async function signIn(req: Request, name: string): Promise<void> {
  await done((callback) => req.session.regenerate(callback))
  Object.assign(req.session, { name, signedInAt: Date.now(), visits: 0 })
  // Saved before the answer: the next page would not know the user otherwise, and a failure is still a 503.
  await done((callback) => req.session.save(callback))
}

export async function signOut(req: Request, res: Response): Promise<void> {
  // Also when the store fails: what the browser has forgotten, nobody else at it can use.
  res.clearCookie(cookieName, { httpOnly: true, sameSite: 'lax' })
  if (sessionError(res) !== undefined) throw sessionError(res)
  await done((callback) => req.session.destroy(callback))
}

function done(start: (callback: (error?: unknown) => void) => void): Promise<void> {
  return new Promise((resolve, reject) => {
    start((error) => (error ? reject(error) : resolve()))
  })
}

/** One line without the key, which is the session id, and without a stack trace. */
export function logFailure(req: Request, error: unknown): void {
  const { code, name, message } = error as CacheError
  console.error(`${req.method} ${req.path}: ${code ?? name}: ${message}`)
}

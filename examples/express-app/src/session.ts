import { createHash } from 'node:crypto'
import { type Cache, CacheError } from '@stowage/core'
import { logError } from '@stowage/example-shared/express'
import { SessionStore } from '@stowage/express'
import { addFlash } from '@stowage/sessions'
import type { Request, RequestHandler, Response } from 'express'
import session from 'express-session'

declare module 'express-session' {
  interface SessionData {
    name: string
    /** Epoch milliseconds. */
    signedInAt: number
    visits: number
    /** The browser, as it describes itself. */
    userAgent: string
    /** IP address of the browser. */
    address: string
  }
}

export interface SessionOptions {
  readonly store: SessionStore
  readonly secret: string
}

export const cookieName = 'stowage.sid'

/** The sessions, which are listed by the name of their user. */
export function createSessionStore(cache: Cache, secret: string): SessionStore {
  // A key of its own: it hides the names in the keys of the lists.
  const indexSecret = createHash('sha256').update(`index ${secret}`).digest('hex')
  return new SessionStore({ cache, index: (session) => session.name, indexSecret })
}

/** Like express-session, but if the store fails, the request continues without a session. */
export function sessions({ store, secret }: SessionOptions): RequestHandler {
  const { cache } = store.sessions
  const handle = session({
    name: cookieName,
    secret,
    store,
    resave: false,
    saveUninitialized: false,
    // Each request extends the session in the store, so it must extend the cookie, too.
    rolling: true,
    // The cookie expires together with the session.
    cookie: { httpOnly: true, sameSite: 'lax', secure: 'auto', maxAge: cache.ttl },
  })
  return (req, res, next) => {
    let nextCalled = false
    handle(req, res, (error?: unknown) => {
      // express-session calls next() a second time if saving fails after the response was sent.
      if (nextCalled) return logError(req, error)
      nextCalled = true
      if (!CacheError.is(error)) return next(error)
      res.locals.sessionError = error
      next()
    })
  }
}

/** The error of the session store, if it failed to load the session of this request. */
export function sessionError(res: Response): CacheError | undefined {
  return res.locals.sessionError
}

/** For routes that need the session store: fails with the store's error, which becomes a 503. */
export const requireSessionStore: RequestHandler = (_req, res, next) => {
  next(sessionError(res))
}

/** For signed-in users only. Redirects others to the sign-in page, which leads back. */
export const requireUser: RequestHandler = (req, res, next) => {
  if (sessionError(res) !== undefined) return next(sessionError(res))
  if (req.session.name !== undefined) return next()
  res.redirect(303, `/sign-in?next=${encodeURIComponent(req.path)}`)
}

/** Starts a new session with a new ID, which prevents session fixation. */
export async function signIn(req: Request, name: string): Promise<void> {
  await promisify((callback) => req.session.regenerate(callback))
  const userAgent = (req.get('User-Agent') ?? '').slice(0, 200)
  const device = { userAgent, address: req.ip ?? '' }
  Object.assign(req.session, { name, signedInAt: Date.now(), visits: 0, ...device })
  addFlash(req.session, 'notice', `Welcome, ${name}.`)
  // Save before the redirect: the next request needs the session, and a failure can still become a 503.
  await promisify((callback) => req.session.save(callback))
}

export async function signOut(req: Request, res: Response): Promise<void> {
  // Delete the cookie even if the store fails, so that nobody else can use the session in this browser.
  res.clearCookie(cookieName, { httpOnly: true, sameSite: 'lax' })
  if (sessionError(res) !== undefined) throw sessionError(res)
  await promisify((callback) => req.session.destroy(callback))
}

function promisify(start: (callback: (error?: unknown) => void) => void): Promise<void> {
  return new Promise((resolve, reject) => {
    start((error) => (error ? reject(error) : resolve()))
  })
}

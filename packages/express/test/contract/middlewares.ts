import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { Cache, type CacheStore } from '@stowage/core'
import { SessionStore, type SessionStoreOptions } from '@stowage/express'
import { session as ownSession } from '@stowage/sessions'
import express, { type Express, type NextFunction, type Request, type Response } from 'express'
import express4 from 'express-4'
import expressSession, { type SessionOptions } from 'express-session'

export type Options = Omit<SessionOptions, 'secret' | 'store'> & {
  readonly secret?: string | Buffer | (string | Buffer)[]
}

/** The middlewares that use a `SessionStore`. */
export const middlewares = {
  'express-session': (options: Options, store: SessionStore) =>
    expressSession({
      secret: 'test only',
      resave: false,
      saveUninitialized: false,
      ...options,
      store,
    }),
  'session of @stowage/sessions': (options: Options, store: SessionStore) =>
    ownSession({ secret: 'test only', ...options, store }),
} as const

export type MiddlewareName = keyof typeof middlewares

/** Creates applications, by the version of Express. */
export const frameworks = {
  'Express 5': express,
  // It has no types of its own; its interface is that of version 5, as far as the tests use it.
  'Express 4': express4 as typeof express,
} as const

export type FrameworkName = keyof typeof frameworks

export interface App {
  readonly url: string
  readonly store: SessionStore
  readonly app: Express
  stop(): Promise<void>
}

/** Starts an application. `routes` adds its handlers behind the middleware. */
export async function serve(
  name: MiddlewareName,
  cacheStore: CacheStore,
  options: Options,
  routes: (app: Express, store: SessionStore) => void,
  storeOptions: Partial<SessionStoreOptions> = {},
  framework: FrameworkName = 'Express 5',
): Promise<App> {
  const cache = new Cache(cacheStore, { prefix: 'session:', ttl: '1d' })
  const store = new SessionStore({ cache, ...storeOptions })
  const app = frameworks[framework]().disable('x-powered-by').disable('etag')
  app.use(middlewares[name](options, store))
  if (framework === 'Express 4') forwardRejections(app)
  routes(app, store)
  app.use((error: Error, _: Request, response: Response, _next: NextFunction) => {
    response.status(503).json({ error: error.message })
  })
  const server = createServer(app).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const stop = async () => {
    server.closeAllConnections()
    await new Promise((resolve) => server.close(resolve))
    await cache.close()
  }
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, store, app, stop }
}

/** Makes rejections of handlers errors, as Express 5 does. */
function forwardRejections(app: Express): void {
  const get = app.get.bind(app) as (...args: unknown[]) => unknown
  const wrap = (handler: unknown) => (request: Request, response: Response, next: NextFunction) =>
    Promise.resolve((handler as (...args: unknown[]) => unknown)(request, response, next)).catch(
      next,
    )
  const wrapped = (path: string, ...handlers: unknown[]) => get(path, ...handlers.map(wrap))
  Object.assign(app, { get: wrapped })
}

export interface Reply {
  readonly status: number
  readonly text: string
  readonly body: unknown
  /** The `Set-Cookie` header of the session, if there was one. */
  readonly setCookie: string | undefined
}

/** A client that keeps the cookie of its session. */
export class Client {
  cookie = ''
  readonly #url: string
  readonly #headers: Record<string, string>

  constructor(url: string, headers: Record<string, string> = {}) {
    this.#url = url
    this.#headers = headers
  }

  async get(path: string): Promise<Reply> {
    const headers = { ...this.#headers, ...(this.cookie && { cookie: this.cookie }) }
    const response = await fetch(this.#url + path, { headers, redirect: 'manual' })
    const setCookie = response.headers.getSetCookie().find((each) => !each.startsWith('other='))
    if (setCookie !== undefined) this.cookie = setCookie.split(';')[0] ?? ''
    const text = await response.text()
    return { status: response.status, text, body: parse(text), setCookie }
  }
}

/** The attributes of a `Set-Cookie` header, with lower-case names. */
export function attributesOf(setCookie: string | undefined): Record<string, string | true> {
  const [, ...attributes] = (setCookie ?? '').split('; ')
  return Object.fromEntries(
    attributes.map((attribute) => {
      const [name = '', value] = attribute.split('=')
      return [name.toLowerCase(), value ?? true]
    }),
  )
}

/** The session of a request without its cookie. */
export function dataOf({ session }: Request): unknown {
  const { cookie, ...data } = JSON.parse(JSON.stringify(session ?? {}))
  return data
}

/** Calls a method of a session, and resolves when it has called back. */
export function promised(call: (done: (error?: unknown) => void) => unknown): Promise<void> {
  return new Promise((resolve, reject) => {
    call((error) => (error ? reject(error) : resolve()))
  })
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return text
  }
}

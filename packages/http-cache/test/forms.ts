import { cached, type ResponseCacheOptions, responseCache } from '@stowage/http-cache'
import type express from 'express'
import type { RequestHandler } from 'express'
import { setupCache } from './fixture.ts'

export type Form = (options: ResponseCacheOptions, handler: RequestHandler) => RequestHandler[]
/** The two ways to cache a route. */
export const forms: Record<string, Form> = {
  middleware: (options, handler) => [responseCache(options) as RequestHandler, handler],
  cached: (options, handler) => [cached(options, handler as never) as RequestHandler],
}

export const delay = () => new Promise((resolve) => setTimeout(resolve, 5))

/** An application whose handler counts its calls. @param useInFront adds middleware in front of the cache */
export function counting(
  create: typeof express,
  options = {},
  setup = setupCache(),
  useInFront: (app: express.Express) => void = () => {},
) {
  const app = create()
  useInFront(app)
  const state = { calls: 0 }
  app.use(responseCache({ cache: setup.cache, ttl: '1m', ...options }))
  return { ...setup, app, state, next: () => ++state.calls }
}

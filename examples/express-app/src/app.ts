import type { Caches, Role } from '@stowage/core'
import { createBaseApp, notFound, sameOriginOnly } from '@stowage/example-shared/express'
import { healthCheck } from '@stowage/telemetry/health'
import express, { type Express, type RequestHandler } from 'express'
import type { Backends } from './backends.ts'
import type { Products } from './products.ts'
import { accountRoutes } from './routes/account.ts'
import { errorPages } from './routes/errors.ts'
import { productPages } from './routes/product-pages.ts'
import { productRoutes } from './routes/products.ts'
import { statusRoutes } from './routes/status.ts'
import { createSessionStore, sessions } from './session.ts'
import { CacheStatuses } from './telemetry/cache-statuses.ts'
import type { Statistics } from './telemetry/statistics.ts'

export interface AppOptions {
  readonly caches: Caches<Role>
  readonly backends: Backends
  readonly products: Products
  readonly statistics: Statistics
  readonly sessionSecret: string
}

const publicFolder = new URL('../public', import.meta.url)

/** Creates the Express app. It does not listen yet. */
export function createApp(options: AppOptions): Express {
  const { caches, backends, products, statistics, sessionSecret: secret } = options
  const store = createSessionStore(caches.use('session'), secret)
  const app = createBaseApp(publicFolder)
  app.get('/metrics', statistics.handler)
  // For load balancers and orchestrators: 503 while sessions are unavailable. Without the cache, pages are loaded.
  app.get('/health', healthCheck(caches, { required: ['session'] }).handler)
  const cacheStatuses = new CacheStatuses()
  app.use(productPages({ cache: caches.use('cache'), products, cacheStatuses }))
  app.use(pageHeaders, sessions({ store, secret }))
  app.use(sameOriginOnly, express.urlencoded({ extended: false, limit: '10kb' }))
  app.use(productRoutes({ cache: caches.use('cache'), products }))
  app.use(accountRoutes({ store }))
  app.use(statusRoutes({ caches, backends, statistics, cacheStatuses }))
  app.use(notFound, errorPages)
  return app
}

const pageHeaders: RequestHandler = (_req, res, next) => {
  // Every page depends on the session. After signing out, the "back" button must not show an earlier page.
  res.set('Cache-Control', 'no-store')
  next()
}

import { fileURLToPath } from 'node:url'
import type { Caches, Role } from '@stowage/core'
import express, { type Express, type RequestHandler } from 'express'
import type { MemcachedNodes } from './nodes.ts'
import type { Products } from './products.ts'
import { accountRoutes } from './routes/account.ts'
import { notFound, problems } from './routes/problems.ts'
import { productRoutes } from './routes/products.ts'
import { healthRoute, statusRoutes } from './routes/status.ts'
import { sameOriginOnly } from './same-origin.ts'
import { sessions } from './session.ts'
import type { Statistics } from './statistics.ts'

export interface AppOptions {
  readonly caches: Caches<Role>
  readonly nodes: MemcachedNodes
  readonly products: Products
  readonly statistics: Statistics
  readonly sessionSecret: string
}

const publicFolder = fileURLToPath(new URL('../public', import.meta.url))

/** The shop as an Express app that listens nowhere yet. */
export function createApp(options: AppOptions): Express {
  const { caches, nodes, products, statistics } = options
  const cache = caches.use('session')
  const app = express()
  app.disable('x-powered-by')
  app.use(securityHeaders)
  app.use(express.static(publicFolder))
  app.get('/healthz', healthRoute({ caches, statistics }))
  app.use(pageHeaders)
  app.use(
    sessions({
      cache,
      secret: options.sessionSecret,
      statistics,
    }),
  )
  app.use(sameOriginOnly, express.urlencoded({ extended: false, limit: '10kb' }))
  app.use(productRoutes({ cache: caches.use('cache'), products, statistics }))
  app.use(accountRoutes({ cache }))
  app.use(statusRoutes({ caches, nodes, statistics }))
  app.use(notFound, problems)
  return app
}

const policy = [
  "default-src 'none'",
  "style-src 'self'",
  "img-src 'self'",
  "form-action 'self'",
  "base-uri 'none'",
  "frame-ancestors 'none'",
].join('; ')

const securityHeaders: RequestHandler = (_req, res, next) => {
  res.set({
    'Content-Security-Policy': policy,
    'X-Content-Type-Options': 'nosniff',
    'Referrer-Policy': 'same-origin',
  })
  next()
}

const pageHeaders: RequestHandler = (_req, res, next) => {
  // Every page says who is signed in: the "back" button must not show it after signing out.
  res.set('Cache-Control', 'no-store')
  next()
}

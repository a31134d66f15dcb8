import { CacheError, type Caches, type Health, type Role } from '@stowage/core'
import { type RequestHandler, Router } from 'express'
import type { Backends } from '../backends.ts'
import type { CacheStatuses } from '../telemetry/cache-statuses.ts'
import type { Statistics } from '../telemetry/statistics.ts'
import { status } from '../views/status.ts'
import { render } from './render.ts'

export interface HealthRouteOptions {
  readonly caches: Caches<Role>
  readonly statistics: Statistics
}

export interface StatusRoutesOptions extends HealthRouteOptions {
  readonly backends: Backends
  readonly cacheStatuses: CacheStatuses
}

export function statusRoutes({
  caches,
  backends,
  statistics,
  cacheStatuses,
}: StatusRoutesOptions): Router {
  const router = Router()
  router.get('/status', async (req, res) => {
    const health = await caches.health()
    const roles = caches.names.map((role) => {
      const counts = statistics.of(role)
      return { role, health: health[role], counts, places: backends.of(role) }
    })
    const { last: pages } = cacheStatuses
    render(req, res, 'Status', status({ roles, pages, uptimeMs: statistics.uptimeMs }))
  })
  return router
}

/** For load balancers and orchestrators: 503 while sessions are unavailable. Without the cache, pages are loaded. */
export function healthRoute({ caches, statistics }: HealthRouteOptions): RequestHandler {
  return async (_req, res) => {
    const { status, health } = await caches.status({ required: ['session'] })
    res.status(status === 'unavailable' ? 503 : 200).json({
      status,
      pid: process.pid,
      uptimeSeconds: Math.round(statistics.uptimeMs / 1000),
      caches: Object.fromEntries(caches.names.map((role) => [role, summary(health[role])])),
    })
  }
}

function summary({ driver, ok, latencyMs, error }: Health) {
  const rounded = Math.round(latencyMs * 10) / 10
  return { driver, ok, latencyMs: rounded, ...(CacheError.is(error) && { error: error.code }) }
}

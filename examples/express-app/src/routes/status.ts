import type { Caches, Role } from '@stowage/core'
import { Router } from 'express'
import type { Backends } from '../backends.ts'
import type { CacheStatuses } from '../telemetry/cache-statuses.ts'
import type { Statistics } from '../telemetry/statistics.ts'
import { status } from '../views/status.ts'
import { render } from './render.ts'

export interface StatusRoutesOptions {
  readonly caches: Caches<Role>
  readonly statistics: Statistics
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
      const [counts, lastMinutes] = [statistics.of(role), statistics.lastMinutes(role)]
      return { role, health: health[role], counts, lastMinutes, places: backends.of(role) }
    })
    const { last: pages } = cacheStatuses
    render(req, res, 'Status', status({ roles, pages, uptimeMs: statistics.uptimeMs }))
  })
  return router
}

import type { Cache } from '@stowage/core'
import { responseCache } from '@stowage/http-cache'
import { type RequestHandler, Router } from 'express'
import type { Products } from '../products.ts'
import type { CacheStatuses } from '../telemetry/cache-statuses.ts'
import { layout } from '../views/layout.ts'
import { productPage } from '../views/product-page.ts'

export interface ProductPagesOptions {
  readonly cache: Cache
  readonly products: Products
  readonly cacheStatuses: CacheStatuses
}

/** The tag of the responses that show a product. */
export function tagOf(id: string): string {
  return `product:${id}`
}

/** The pages of products, which are the same for everyone: the whole response is cached. */
export function productPages({ cache, products, cacheStatuses }: ProductPagesOptions): Router {
  const router = Router()
  // Browsers send the cookie of the session, but the pages do not depend on it.
  const cached = responseCache({ cache, ttl: '1h', public: true })
  const show: RequestHandler = async (req, res, next) => {
    const id = String(req.params.id)
    const product = await products.read(id)
    if (product === undefined) return next()
    res.cache?.tags(tagOf(id))
    const viewer = { path: req.path, name: undefined, sessionsDown: false, isShared: true }
    const body = productPage(product, new Date())
    res.type('html').send(layout({ title: product.name, viewer, body, isOutagePage: false }))
  }
  router.get('/products/:id', cacheStatuses.record, cached, show)
  return router
}

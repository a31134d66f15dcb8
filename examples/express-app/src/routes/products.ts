import { type Cache, CacheError } from '@stowage/core'
import { type Html, html } from '@stowage/example-shared'
import { HttpError, logError } from '@stowage/example-shared/express'
import { type Request, type Response, Router } from 'express'
import { formFor, parseProductForm } from '../product-form.ts'
import type { Product, Products } from '../products.ts'
import { requireUser } from '../session.ts'
import { traceLookup } from '../telemetry/lookup.ts'
import { productEdit } from '../views/product-edit.ts'
import { productList } from '../views/product-list.ts'
import { tagOf } from './product-pages.ts'
import { render } from './render.ts'

export interface ProductRoutesOptions {
  readonly cache: Cache
  readonly products: Products
}

const listKey = 'products'

export function productRoutes({ cache, products }: ProductRoutesOptions): Router {
  const router = Router()

  router.get('/', async (req, res) => {
    const lookup = await traceLookup(() =>
      cache.remember(listKey, { ttl: '1m' }, () => products.list()),
    )
    const view = {
      lookup,
      driver: cache.driver,
      ttl: '1 minute',
      editable: isSignedIn(req),
      notice: savedNotice(req, products),
    }
    render(req, res, 'Products', productList(view))
  })

  router.get('/products/:id/edit', requireUser, (req, res) => {
    const product = productOf(req, products)
    render(req, res, `Edit ${product.name}`, productEdit(product, formFor(product)))
  })

  router.post('/products/:id/edit', requireUser, async (req, res) => {
    const product = productOf(req, products)
    const form = parseProductForm(req.body)
    if (form.change === undefined) {
      res.status(422)
      return render(req, res, `Error: edit ${product.name}`, productEdit(product, form))
    }
    products.update(product, form.change)
    await deleteCachedList(req, res, product)
  })

  /** The database already has the change, so the request succeeds even if the cache is unavailable. */
  async function deleteCachedList(req: Request, res: Response, { id }: Product): Promise<void> {
    try {
      await Promise.all([cache.delete(listKey), cache.invalidateTags(tagOf(id))])
      res.redirect(303, `/?saved=${id}`)
    } catch (error) {
      if (!CacheError.is(error)) throw error
      logError(req, error)
      res.redirect(303, `/?saved=${id}&cache=failed`)
    }
  }

  return router
}

function isSignedIn(req: Request): boolean {
  return (req.session as Request['session'] | undefined)?.name !== undefined
}

function productOf(req: Request, products: Products): Product {
  const product = products.find(String(req.params.id))
  if (product === undefined) throw new HttpError(404)
  return product
}

function savedNotice(req: Request, products: Products): Html | undefined {
  const product = products.find(String(req.query.saved))
  if (product === undefined) return undefined
  if (req.query.cache === 'failed') {
    return html`<p class="notice notice-warning" role="status"><strong>${product.name} is
      saved.</strong> The cache is unavailable: the cached list could not be deleted and may be
      outdated for up to 1 minute.</p>`
  }
  return html`<p class="notice notice-good" role="status"><strong>${product.name} is
    saved.</strong> The cached list was deleted.</p>`
}

import { type Cache, CacheError } from '@stowage/core'
import { type Request, type Response, Router } from 'express'
import { HttpError } from '../http-error.ts'
import { watched } from '../lookup.ts'
import { formOf, readProductForm } from '../product-form.ts'
import type { Product, Products } from '../products.ts'
import { logFailure, needsUser } from '../session.ts'
import type { Statistics } from '../statistics.ts'
import { type Html, html } from '../views/html.ts'
import { productEdit } from '../views/product-edit.ts'
import { productList } from '../views/product-list.ts'
import { render } from './render.ts'

export interface ProductRoutesOptions {
  readonly cache: Cache
  readonly products: Products
  readonly statistics: Statistics
}

const listKey = 'products'

export function productRoutes({ cache, products, statistics }: ProductRoutesOptions): Router {
  const router = Router()

  router.get('/', async (req, res) => {
    const lookup = await watched(() =>
      cache.remember(listKey, { ttl: '1m' }, () => products.list()),
    )
    const view = {
      lookup,
      driver: cache.driver,
      kept: '1 minute',
      lastLoadMs: statistics.of(cache.name).lastLoadMs,
      editable: isSignedIn(req),
      notice: savedNotice(req, products),
    }
    render(req, res, 'Products', productList(view))
  })

  router.get('/products/:id/edit', needsUser, (req, res) => {
    const product = productOf(req, products)
    render(req, res, `Edit ${product.name}`, productEdit(product, formOf(product)))
  })

  router.post('/products/:id/edit', needsUser, async (req, res) => {
    const product = productOf(req, products)
    const form = readProductForm(req.body)
    if (form.change === undefined) {
      res.status(422)
      return render(req, res, `Error: edit ${product.name}`, productEdit(product, form))
    }
    products.update(product, form.change)
    await forgetList(req, res, product)
  })

  /** The database has the change by now: a cache that is down must not make saving look failed. */
  async function forgetList(req: Request, res: Response, { id }: Product): Promise<void> {
    try {
      await cache.delete(listKey)
      res.redirect(303, `/?saved=${id}`)
    } catch (error) {
      if (!CacheError.is(error)) throw error
      statistics.failed(cache.name)
      logFailure(req, error)
      res.redirect(303, `/?saved=${id}&cached=kept`)
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
  if (req.query.cached === 'kept') {
    return html`<p class="notice notice-warning" role="status"><strong>${product.name} is
      saved.</strong> The cache did not answer, so once it is back it may show the list as it was
      for up to a minute.</p>`
  }
  return html`<p class="notice notice-good" role="status"><strong>${product.name} is
    saved.</strong> The cached list was deleted with it.</p>`
}

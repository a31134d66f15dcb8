import type { Cache } from '@stowage/core'
import { createBaseApp, sameOriginOnly } from '@stowage/example-shared/express'
import { SessionStore, sessionSecret } from '@stowage/express'
import express, { type Express, type RequestHandler } from 'express'
import session from 'express-session'
import { page } from './page.ts'
import type { Shop } from './shop.ts'

declare module 'express-session' {
  interface SessionData {
    visits: number
  }
}

const publicFolder = new URL('../public', import.meta.url)

export function createApp(shop: Shop, sessions: Cache): Express {
  const app = createBaseApp(publicFolder)
  app.use(sameOriginOnly, express.urlencoded({ extended: false, limit: '2kb' }))
  app.use(
    session({
      secret: sessionSecret({ NODE_ENV: 'development', ...process.env }),
      resave: false,
      saveUninitialized: false,
      store: new SessionStore({ cache: sessions }),
    }),
  )
  app.get('/', showProducts(shop))
  app.post('/products/:id', saveProduct(shop))
  return app
}

function showProducts(shop: Shop): RequestHandler {
  return async (request, response) => {
    request.session.visits = (request.session.visits ?? 0) + 1
    const products = await shop.list()
    response.set('Cache-Control', 'no-store')
    response.send(page(shop, products, request.session.visits))
  }
}

function saveProduct(shop: Shop): RequestHandler {
  return async (request, response) => {
    const id = Number(request.params.id)
    const name = String(request.body?.name ?? '').trim()
    const price = Number(request.body?.price)
    const isValid = name !== '' && name.length <= 60 && Number.isSafeInteger(price) && price >= 0
    if (!isValid || !shop.database.ids.includes(id)) {
      response.status(422).send('Enter a name, and a price of 0 or more.')
      return
    }
    await shop.products.set(id, { id, name, price })
    response.redirect(303, '/')
  }
}

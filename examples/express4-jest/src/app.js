const { SessionStore, sessionSecret } = require('@stowage/express')
const express = require('express')
const session = require('express-session')

/** @param {import('@stowage/core').Caches<import('@stowage/core').Role>} caches */
function createApp(caches) {
  const cache = caches.use('cache')
  const app = express()
  app.use(
    session({
      secret: sessionSecret({ NODE_ENV: 'development', ...process.env }),
      resave: false,
      saveUninitialized: false,
      store: new SessionStore({ cache: caches.use('session') }),
    }),
  )

  // Express 4 does not wait for the promise of a handler: pass its failure on.
  app.get('/products/:id', (request, response, next) => {
    const key = `product:${request.params.id}`
    cache
      .remember(key, { ttl: '1m' }, () => ({ id: request.params.id, loadedAt: Date.now() }))
      .then((product) => response.json(product), next)
  })
  app.get('/', (request, response) => {
    request.session.visits = (request.session.visits ?? 0) + 1
    response.json({ visits: request.session.visits })
  })
  app.use((error, _request, response, next) => {
    if (response.headersSent || !error.retryable) return next(error)
    response.status(503).set('Retry-After', '5').json({ error: error.code })
  })
  return app
}

module.exports = { createApp }

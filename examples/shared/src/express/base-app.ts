import { fileURLToPath } from 'node:url'
import express, { type Express } from 'express'
import { securityHeaders } from './security-headers.ts'

/** Contains `base.css` and `favicon.svg`. */
const sharedPublicFolder = new URL('../../public', import.meta.url)

/** An Express app that sets security headers and serves the files of `publicFolder` and of this package. */
export function createBaseApp(publicFolder: URL): Express {
  const app = express()
  app.disable('x-powered-by')
  app.use(securityHeaders)
  for (const folder of [publicFolder, sharedPublicFolder]) {
    app.use(express.static(fileURLToPath(folder)))
  }
  // For pages without markup, such as JSON, browsers request this path.
  app.get('/favicon.ico', (_req, res) => res.redirect(301, '/favicon.svg'))
  return app
}

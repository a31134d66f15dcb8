import type { Request, RequestHandler } from 'express'
import { HttpError } from './http-error.ts'

const safeMethods: ReadonlySet<string> = new Set(['GET', 'HEAD', 'OPTIONS'])

/**
 * Refuses changes that another site's page asks for. The cookie's SameSite=Lax keeps the session out of them
 * already; this also holds in browsers that do not know SameSite, and for signing in, which needs no cookie.
 */
export const sameOriginOnly: RequestHandler = (req, _res, next) => {
  next(safeMethods.has(req.method) || isSameOrigin(req) ? undefined : new HttpError(403))
}

function isSameOrigin(req: Request): boolean {
  const site = req.get('Sec-Fetch-Site')
  if (site !== undefined) return site === 'same-origin' || site === 'none'
  const origin = req.get('Origin')
  // Browsers send one or the other with a POST: whoever sends neither is no browser that could be misled.
  if (origin === undefined) return true
  return URL.canParse(origin) && new URL(origin).host === req.get('Host')
}

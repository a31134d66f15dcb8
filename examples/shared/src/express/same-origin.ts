import type { Request, RequestHandler } from 'express'
import { HttpError } from './errors.ts'

const safeMethods: ReadonlySet<string> = new Set(['GET', 'HEAD', 'OPTIONS'])

/**
 * Rejects changes requested by pages of other sites (CSRF). `SameSite=Lax` already keeps the cookie out of such
 * requests; this check also covers browsers without SameSite, and requests that need no cookie, such as signing in.
 */
export const sameOriginOnly: RequestHandler = (req, _res, next) => {
  next(safeMethods.has(req.method) || isSameOrigin(req) ? undefined : new HttpError(403))
}

function isSameOrigin(req: Request): boolean {
  const site = req.get('Sec-Fetch-Site')
  if (site !== undefined) return site === 'same-origin' || site === 'none'
  const origin = req.get('Origin')
  // Browsers send at least one of the two headers with a POST. A client that sends neither is not a browser.
  if (origin === undefined) return true
  return URL.canParse(origin) && new URL(origin).host === req.get('Host')
}

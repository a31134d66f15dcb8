import type { Cache } from '@stowage/core'
import { type Request, Router } from 'express'
import { fieldOf, validateName } from '../product-form.ts'
import { requireSessionStore, requireUser, signIn, signOut } from '../session.ts'
import { type AccountView, account } from '../views/account.ts'
import { signInForm } from '../views/sign-in.ts'
import { render } from './render.ts'

export function accountRoutes({ cache }: { readonly cache: Cache }): Router {
  const router = Router()

  router.get('/sign-in', requireSessionStore, async (req, res) => {
    // A request without a cookie did not use the store. Report an outage now, not after the form was submitted.
    await cache.ping()
    render(req, res, 'Sign in', signInForm({ name: '', next: localPath(req.query.next) }))
  })

  router.post('/sign-in', requireSessionStore, async (req, res) => {
    const name = fieldOf(req.body, 'name')
    const next = localPath(fieldOf(req.body, 'next'))
    const error = validateName(name)
    if (error !== undefined) {
      res.status(422)
      return render(req, res, 'Error: sign in', signInForm({ name, error, next }))
    }
    await signIn(req, name)
    res.redirect(303, next ?? '/account')
  })

  router.post('/sign-out', async (req, res) => {
    await signOut(req, res)
    res.redirect(303, '/')
  })

  router.get('/account', requireUser, (req, res) => {
    render(req, res, 'Account', account(countVisit(req, cache)))
  })

  return router
}

function countVisit({ session }: Request, cache: Cache): AccountView {
  session.visits = (session.visits ?? 0) + 1
  return {
    name: session.name ?? '',
    visits: session.visits,
    signedInAt: new Date(session.signedInAt ?? Date.now()),
    // This response extends the session (`rolling`).
    expiresAt: new Date(Date.now() + (session.cookie.originalMaxAge ?? 0)),
    driver: cache.driver,
  }
}

/** Prevents open redirects: returns only paths of this site. `//elsewhere.example` is a URL of another one. */
function localPath(path: unknown): string | undefined {
  return typeof path === 'string' && /^\/\w[\w/-]*$/.test(path) ? path : undefined
}

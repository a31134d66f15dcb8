import type { Cache } from '@stowage/core'
import { type Request, Router } from 'express'
import { fieldOf, nameProblem } from '../product-form.ts'
import { needsSessions, needsUser, signIn, signOut } from '../session.ts'
import { account } from '../views/account.ts'
import { signInForm } from '../views/sign-in.ts'
import { render } from './render.ts'

export function accountRoutes({ cache }: { readonly cache: Cache }): Router {
  const router = Router()

  router.get('/sign-in', needsSessions, async (req, res) => {
    // Who has no session yet was let in without asking the store: better to say so now than after the form.
    await cache.ping()
    render(req, res, 'Sign in', signInForm({ name: '', next: localPath(req.query.next) }))
  })

  router.post('/sign-in', needsSessions, async (req, res) => {
    const name = fieldOf(req.body, 'name')
    const next = localPath(fieldOf(req.body, 'next'))
    const error = nameProblem(name)
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

  router.get('/account', needsUser, (req, res) => {
    render(req, res, 'Account', account(visit(req, cache)))
  })

  return router
}

function visit({ session }: Request, cache: Cache) {
  session.visits = (session.visits ?? 0) + 1
  return {
    name: session.name ?? '',
    visits: session.visits,
    signedInAt: new Date(session.signedInAt ?? Date.now()),
    // Counted anew from this answer on: the cookie rolls.
    expiresAt: new Date(Date.now() + (session.cookie.originalMaxAge ?? 0)),
    driver: cache.driver,
  }
}

/** A path of this site, or nothing: `//elsewhere.example` would lead away from it. */
function localPath(path: unknown): string | undefined {
  return typeof path === 'string' && /^\/\w[\w/-]*$/.test(path) ? path : undefined
}

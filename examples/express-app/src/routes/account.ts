import type { SessionStore } from '@stowage/express'
import { takeFlash } from '@stowage/sessions'
import { type Request, Router } from 'express'
import { fieldOf, validateName } from '../product-form.ts'
import { requireSessionStore, requireUser, signIn, signOut } from '../session.ts'
import { type AccountView, account, type DeviceView } from '../views/account.ts'
import { signInForm } from '../views/sign-in.ts'
import { render } from './render.ts'

export function accountRoutes({ store }: { readonly store: SessionStore }): Router {
  const { cache } = store.sessions
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

  router.get('/account', requireUser, async (req, res) => {
    const devices = await devicesOf(req, store)
    render(req, res, 'Account', account(countVisit(req, store, devices)))
  })

  router.post('/sessions/end', requireUser, async (req, res) => {
    const key = fieldOf(req.body, 'key')
    const devices = await devicesOf(req, store)
    // Only those of the user: the form comes from the browser.
    if (devices.some((device) => device.key === key)) await store.sessions.destroy(key)
    res.redirect(303, '/account')
  })

  router.post('/sessions/end-others', requireUser, async (req, res) => {
    const { name = '' } = req.session
    await store.sessions.destroyAllFor(name, { except: req.sessionID })
    res.redirect(303, '/account')
  })

  return router
}

function countVisit(
  { session }: Request,
  { sessions: { cache } }: SessionStore,
  devices: readonly DeviceView[],
): AccountView {
  session.visits = (session.visits ?? 0) + 1
  return {
    name: session.name ?? '',
    messages: takeFlash(session).notice ?? [],
    devices,
    visits: session.visits,
    signedInAt: new Date(session.signedInAt ?? Date.now()),
    // This response extends the session (`rolling`).
    expiresAt: new Date(Date.now() + (session.cookie.originalMaxAge ?? 0)),
    driver: cache.driver,
  }
}

/** The other sessions of the user. */
async function devicesOf({ session }: Request, store: SessionStore): Promise<DeviceView[]> {
  const listed = await store.sessions.of(session.name ?? '')
  return listed
    .filter((other) => other.session.signedInAt !== session.signedInAt)
    .map(({ key, session: { userAgent = '', address = '', signedInAt } }) => ({
      ...{ key, userAgent, address },
      signedInAt: new Date(signedInAt ?? 0),
    }))
}

/** Prevents open redirects: returns only paths of this site. `//elsewhere.example` is a URL of another one. */
function localPath(path: unknown): string | undefined {
  return typeof path === 'string' && /^\/\w[\w/-]*$/.test(path) ? path : undefined
}

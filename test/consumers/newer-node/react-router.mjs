// A static handler of React Router, whose action logs in, whose loader reads the session, and that logs out.
import assert from 'node:assert/strict'
import { sessionStrategy } from '@stowage/bridges/react-router'
import { Cache } from '@stowage/core'
import { memory } from '@stowage/memory'
import { Sessions } from '@stowage/sessions'
import { createSessionStorage, createStaticHandler } from 'react-router'

const sessions = new Sessions({ cache: new Cache(memory()) })
const cookie = { name: '__session', secrets: ['a secret of a test'], maxAge: 3_600 }
const storage = createSessionStorage({ cookie, ...sessionStrategy(sessions) })
const { getSession, commitSession, destroySession } = storage
const sessionOf = ({ request }) => getSession(request.headers.get('cookie'))
const reply = (setCookie) => new Response('', { headers: { 'set-cookie': setCookie } })
const { queryRoute } = createStaticHandler([
  { id: 'me', path: '/me', loader: async (args) => Response.json((await sessionOf(args)).data) },
  {
    id: 'login',
    path: '/login',
    loader: async (args) => {
      const session = await sessionOf(args)
      session.set('user', 'ada')
      return reply(await commitSession(session))
    },
  },
  {
    id: 'logout',
    path: '/logout',
    loader: async (args) => reply(await destroySession(await sessionOf(args))),
  },
])
const get = (path, cookie = '') =>
  queryRoute(new Request(`http://localhost${path}`, { headers: { cookie } }))
const sent = (await get('/login')).headers.get('set-cookie').split(';')[0]
const me = async () => (await get('/me', sent)).json()
assert.deepEqual(await me(), { user: 'ada' })
await get('/logout', sent)
assert.deepEqual(await me(), {})
assert.deepEqual(await sessions.keys(), [])
console.log('done')

// An application of AdonisJS: a session is stored, read, regenerated, and ends.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer } from 'node:http'
import { IgnitorFactory } from '@adonisjs/core/factories'
import { defineConfig } from '@adonisjs/session'
import { adonisSessionStore } from '@stowage/bridges/adonis-session'
import { Cache } from '@stowage/core'
import { memory } from '@stowage/memory'
import { Sessions } from '@stowage/sessions'

const sessions = new Sessions({ cache: new Cache(memory()) })
const stores = { stowage: adonisSessionStore(sessions) }
const providers = [() => import('@adonisjs/session/session_provider')]
const app = new IgnitorFactory()
  .withCoreProviders()
  .withCoreConfig()
  .merge({
    config: { session: defineConfig({ store: 'stowage', stores, age: '1 hour' }) },
    rcFileContents: { providers },
  })
  .create(new URL('.', import.meta.url))
  .createApp('web')
await app.init()
await app.boot()
const [server, router] = [await app.container.make('server'), await app.container.make('router')]
server.use([() => import('@adonisjs/session/session_middleware')])
router.get('/login', ({ session }) => session.put('user', 'ada'))
router.get('/me', ({ session }) => session.all())
router.get('/renew', ({ session }) => session.regenerate())
router.get('/logout', ({ session }) => session.clear())
await server.boot()
const listener = createServer(server.handle.bind(server)).listen(0, '127.0.0.1')
await once(listener, 'listening')
const get = (path, cookie = '') =>
  fetch(`http://127.0.0.1:${listener.address().port}${path}`, { headers: { cookie } })
const cookieOf = (response) =>
  response.headers
    .getSetCookie()
    .map((cookie) => cookie.split(';')[0])
    .join('; ')
const me = async (cookie) => (await get('/me', cookie)).json()

const before = cookieOf(await get('/login'))
assert.deepEqual(await me(before), { user: 'ada' })
const after = cookieOf(await get('/renew', before))
assert.deepEqual([await me(before), await me(after)], [{}, { user: 'ada' }])
await get('/logout', after)
assert.deepEqual(await me(after), {})
assert.deepEqual(await sessions.keys(), [])
console.log('done')
listener.close()
await app.terminate()

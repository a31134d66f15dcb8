// An application in a process of its own: fork(process.mjs, ['<job as JSON>']). It tells its parent its port, and when a
// request is held, which goes on when the parent releases it.
import { once } from 'node:events'
import { createServer } from 'node:http'
import { createApps } from './app.mjs'

const { driver: name, options } = JSON.parse(process.argv[2] ?? '{}')
const { default: driver } = await import(`@stowage/${name}`)
// Tests run on slow machines.
const hasTimeout = name !== 'memory' && name !== 'lmdb'
const store = driver.create(hasTimeout ? { timeout: '20s', ...options } : options)
await store.ping()

/** @type {Map<string, () => void>} */
const held = new Map()
const hold = (/** @type {string} */ token) =>
  new Promise((/** @type {(value: void) => void} */ resolve) => {
    held.set(token, resolve)
    process.send?.({ held: token })
  })
process.on('message', (/** @type {any} */ { release }) => {
  held.get(release)?.()
  held.delete(release)
})
process.once('disconnect', () => process.exit(0))

const server = createServer(await createApps(store, hold)).listen(0, '127.0.0.1')
await once(server, 'listening')
process.send?.({ port: /** @type {any} */ (server.address()).port })

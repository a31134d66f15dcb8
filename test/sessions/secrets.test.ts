import { channel } from 'node:diagnostics_channel'
import { inspect } from 'node:util'
import { Cache, type CacheStore, channels, encrypted, json } from '@stowage/core'
import { wrapStore } from '@stowage/core/driver'
import { memory } from '@stowage/memory'
import { Sessions, sessionChannels } from '@stowage/sessions'
import { afterEach, beforeEach, expect, test } from 'vitest'

const data = 'the data of a session'
const email = 'ada@example.com'
const keys = [`k1:${Buffer.alloc(32, 7).toString('base64')}`]
const names = [...Object.values(channels), ...Object.values(sessionChannels)].map(
  ({ name }) => name,
)
const seen: string[] = []
const listen = (event: unknown) => seen.push(inspect(event, { depth: 8, showHidden: true }))

beforeEach(() => {
  seen.length = 0
  for (const name of names) channel(String(name)).subscribe(listen)
})
afterEach(() => {
  for (const name of names) channel(String(name)).unsubscribe(listen)
})

test('neither the store, nor an event, nor an error contains ids, users or data', async () => {
  const backend = memory()
  let isFailing = false
  const store: CacheStore = wrapStore(backend, (operation, call, args) => {
    // Everything that reaches the backend.
    seen.push(inspect(args, { depth: 8 }), String(args[1]))
    if (isFailing) throw new Error(`${operation} failed`)
    return call()
  })
  const codec = encrypted(json(), { keys })
  const cache = new Cache(store, { prefix: 'session:', ttl: '1d', codec })
  const sessions = new Sessions({
    cache,
    index: (session) => session.email as string,
    indexSecret: 'a secret of this application',
    maxBytes: 2_000,
  })
  const ids = Array.from({ length: 20 }, () => crypto.randomUUID())
  const errors: unknown[] = []
  const note = (error: unknown) => errors.push(error)
  for (const id of ids) {
    await sessions.create(id, { email, data })
    const [a = {}, b = {}] = [await sessions.read(id), await sessions.read(id)]
    await sessions.update(id, Object.assign(a, { a: data }))
    await sessions.update(id, Object.assign(b, { b: data }))
    await sessions.update(id, Object.assign(b, { large: data.repeat(200) })).catch(note)
    await sessions.create(id, { email, data }).catch(note)
    isFailing = true
    for (const call of [sessions.read(id), sessions.destroy(id)]) await call.catch(note)
    isFailing = false
    if (id !== ids[0]) await sessions.destroy(id)
    await sessions.update(id, Object.assign(a, { late: 1 }))
  }
  await sessions.destroyAllFor(email)
  expect(errors.length).toBe(ids.length * 4)
  const found = [
    ...seen,
    ...errors.map((error) => inspect(error, { depth: 8, showHidden: true })),
  ].join('\n')
  for (const secret of [...ids, email, data, Buffer.from(data).toString('base64').slice(0, 24)]) {
    expect(found.includes(secret), secret).toBe(false)
  }
})
